"""Replay tells which texts a change alters, and no other process or selection of tests hides or invents one."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT, recording
from tests.support.replay import Kept, compare, preprocessed


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """A function that keeps what a run of tests has made, given (test, kind, name, text) of each; it returns that."""

    def run(name, items, tests):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(recording, "_folders", [folder])
        monkeypatch.setattr(recording, "_kept", set())
        for test, kind, file, text in items:
            monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test} (call)")
            recording.keep(kind, file, text)
        (folder / "tests.json").write_text(json.dumps(tests))
        return Kept(folder)

    return run


KERNEL = [("a.py::a", "kernel", "m.c", "one\ntwo\n"), ("a.py::b", "kernel", "m.c", "one\nother\n")]


def test_nothing_changes(keep):
    """The same texts in another order, made by other tests of the same files, are alike."""
    before = keep("before", KERNEL, ["a.py::a", "a.py::b"])
    now = keep("now", [("a.py::b", *KERNEL[0][1:]), KERNEL[1], KERNEL[1]], ["a.py::a", "a.py::b"])
    changes = compare(before, now)
    assert not changes
    assert changes.lines() == ["replay: 2 texts are alike, 0 changed, 0 are new, 0 are gone"]


def test_what_changes(keep):
    """A changed text is shown beside the one that the same test had made; what is new or gone is listed."""
    tests = ["a.py::a", "a.py::b"]
    before = keep("before", [*KERNEL, ("a.py::a", "export", "m.onnx", b"\xff")], tests)
    now = keep(
        "now", [KERNEL[0], ("a.py::b", "kernel", "m.c", "one\nmended\n"), ("a.py::b", "facts", "f.c", "")], tests
    )
    lines = compare(before, now).lines()
    assert lines[:4] == [
        "replay: 1 texts are alike, 1 changed, 1 are new, 1 are gone",
        "  changed  kernel   m.c  (a.py::b)",
        "  new      facts    f.c  (a.py::b)",
        "  gone     export   m.onnx  (a.py::a)",
    ]
    assert {"-other", "+mended"} <= set(lines)


def test_some_of_the_tests(keep):
    """Where some tests are run again, what others have made is not missed; headers are compared all the same."""
    header, other = ("", "runtime", "library", "text"), ("", "runtime", "kernels: HAS_FIT", "text")
    before = keep("before", [*KERNEL, ("a.py::a", "kernel", "n.c", "text"), header, other], ["a.py::a", "a.py::b"])
    changes = compare(before, keep("now", [(*header[:3], "changed")], ["a.py::a"]))
    assert [name for _, name, _ in changes.gone] == ["m.c", "n.c"]
    assert [item[1] for pair in changes.changed for item in pair] == ["library", "library"]
    assert not compare(before, keep("none", [], []))


def test_watched_classes():
    """The classes whose objects hold the texts are where recordings look for them."""
    for module, (name, _) in recording.WATCHED.items():
        assert isinstance(getattr(importlib.import_module(module), name), type)


def test_commands_are_recorded(tmp_path):
    """A Python that a test starts keeps its texts as well, and names the test; so do those that it starts."""
    inner = (
        "from nncodegen.compiler.emit import Sources; Sources('m', 'double', {'m.c': 'text', 'm_module.c': 'table'})"
    )
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    environment = {
        **os.environ,
        recording.FOLDER: str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(recording.STARTED), str(ROOT)]),
        "PYTEST_CURRENT_TEST": "a.py::a (call)",
    }
    subprocess.run([sys.executable, "-c", outer], env=environment, check=True)
    items = Kept(tmp_path).items
    assert {(kind, name): tests for (kind, name, _), tests in items.items()} == {
        ("kernel", "m.c"): {"a.py::a"},
        ("facts", "m_module.c"): {"a.py::a"},
    }


def test_headers_without_the_system(usual_compiler):
    """A header is kept as macros leave it: what comes from the system, and comments, are no part of it."""
    text = "#include <math.h>\n#define TWICE(x) (2*(x)) /* a comment */\n\ndouble four = TWICE(2);\n"
    assert preprocessed(["cc"], text, ("-std=c11",), ()) == "double four = (2*(2));\n"
