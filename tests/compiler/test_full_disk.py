"""A full disk is called that, and leaves nothing half-written; neither does a build that is cancelled."""

import errno
import os
from shutil import rmtree

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building import files
from nncodegen.compiler.building.build import cache_folder
from tests.support.compilers import QUICK
from tests.support.models import classifier

MODEL = classifier(3, name="small", classes=2, inputs=2)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full(monkeypatch):
    """full(count): the disk takes ``count`` files, and is full then."""

    def after(count):
        left = iter(range(count))

        def sync(path):
            if next(left, None) is None:
                raise FULL

        monkeypatch.setattr(files, "_sync", sync)

    return after


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_written_together(tmp_path, full):
    """Where the last of several files finds no room, none is there, nor a folder, and what was there is as before."""
    (tmp_path / "old").write_bytes(b"before")
    full(2)
    with pytest.raises(OSError, match="No space"):
        files.write_together(tmp_path, {"old": b"after", "a/b/new": b"1", "a/c": b"2"})
    assert contents(tmp_path) == {(tmp_path / "old").relative_to(tmp_path): b"before"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_full_disk(tmp_path, full):
    """The folders of builds and exports are complete, those of an earlier one, or not there; a module or an export."""
    nn.compile_model(MODEL)
    made = {
        "build": lambda folder: nn.build(MODEL, out=folder),
        "c": lambda folder: nn.export(MODEL, "c", folder),
        "casadi": lambda folder: nn.export(MODEL, "casadi", folder),
    }
    for name, make in made.items():
        full(0)
        with pytest.raises(nn.BuildError, match=r"cannot write to .*: the disk is full; name another folder"):
            make(tmp_path / name)
        assert not (tmp_path / name).exists()
    full(1 << 30)
    made["c"](tmp_path / "c")
    before = contents(tmp_path / "c")
    full(2)
    with pytest.raises(nn.BuildError, match="the disk is full"):
        nn.export(MODEL, "c", tmp_path / "c", train=True)
    assert contents(tmp_path / "c") == before


def test_a_result_on_a_full_disk(tmp_path, monkeypatch):
    """A result that finds no room leaves the file that was there, and no other."""
    result = nn.build(MODEL).train(np.zeros((4, 2)), [0, 1, 0, 1], epochs=1)
    result.save(tmp_path / "result.npz")
    before = contents(tmp_path)

    def fsync(handle):
        raise FULL

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"the disk is full, and nothing was written: '.*result.npz'"):
        result.save(tmp_path / "result.npz")
    assert contents(tmp_path) == before


def test_errors_name_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """A result or a file that cannot be written is named itself, and not a temporary file beside it."""
    result = nn.build(MODEL).train(np.zeros((4, 2)), [0, 1, 0, 1], epochs=1)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone, and nothing was written: '.*gone/a.npz'$"):
        result.save(tmp_path / "gone" / "a.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"and nothing was written: '[^']*folder'$"):
        result.save(tmp_path / "folder")
    assert not contents(tmp_path)

    def mkstemp(dir, prefix):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{dir}/{prefix}y1wmgsip")

    monkeypatch.setattr(files, "mkstemp", mkstemp)
    with pytest.raises(PermissionError) as error:
        files.write_at_once(tmp_path / "fit.csv", b"")
    assert error.value.filename == str(tmp_path / "fit.csv")


def compiler(folder, text):
    """A C compiler that does what a script says, where it compiles a kernel."""
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\ncase "$*" in *small.c*) {text} ;; esac\nexec {QUICK} "$@"\n')
    path.chmod(0o755)
    return str(path)


def folders():
    return [path.name for path in cache_folder().iterdir() if path.is_dir()]


@pytest.fixture(scope="module")
def cache_with_a_wrapper(tmp_path_factory):
    """A folder with a cache, where no other test builds meanwhile, and with a compiler by which a wrapper is there."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCODEGEN_CACHE", str(folder / "cache"))
        patch.setenv("CC", compiler(folder, "true"))
        nn.build(MODEL)
    return folder


@pytest.mark.parametrize(
    ("text", "error", "message", "left"),
    [
        (
            "echo 'small.c: No space left on device' >&2; exit 1",
            nn.BuildError,
            "the disk is full; set NNCODEGEN_CACHE",
            0,
        ),
        ("echo 'small.c: wrong' >&2; exit 1", nn.BuildError, "the compiler failed .*(?s:.*)log are in", 1),
        ('kill -INT "$PPID"; exec sleep 20', KeyboardInterrupt, None, 0),
    ],
    ids=["full", "failed", "cancelled"],
)
def test_what_a_build_leaves(text, error, message, left, cache_with_a_wrapper, monkeypatch):
    """In the cache, a build that did not end leaves no folder, but for the logs of a compiler that failed."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(cache_with_a_wrapper / "cache"))
    before = folders()
    monkeypatch.setenv("CC", compiler(cache_with_a_wrapper, text))
    with pytest.raises(error, match=message):
        nn.build(classifier(4, name="small", classes=2, inputs=2))
    made = [name for name in folders() if name not in before]
    for name in made:
        rmtree(cache_folder() / name)  # the next build has the same key
    assert len(made) == left
