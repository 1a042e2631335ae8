"""A release: the same sources give the same bytes, and the documents of a release say the same version."""

import os
import platform
import re
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest

import nncodegen as nn
from tests.support import ROOT

EPOCH = "1790000000"

SDIST = """
    from setuptools import build_meta
    print(build_meta.build_sdist("dist"))
    """

WHEEL = """
    from setuptools import build_meta
    print(build_meta.build_wheel("dist"))
    """

NEEDED = """
    import sys
    from setuptools import build_meta
    sys.modules["ziglang"] = None  # as if it were not installed
    print("needs", *build_meta.get_requires_for_build_wheel())
    """

MODULE = """
    import sys
    import nncodegen as nn
    nn.build(nn.Model("same_bytes", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x)"), out=sys.argv[1])
    """


def copy_of(folder):
    """A copy of the files of the repository, with other times."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    return folder


def run(folder, program, **variables):
    """Run a program of setuptools in a folder, with variables of the environment; None is one that is not set."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH} | variables
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in environment.items() if value is not None},
    )


def built(folder, program, **variables):
    """Run a program of setuptools in a folder. Returns the path of what it made."""
    done = run(folder, program, **variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "dist" / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Two copies of the repository, in folders of different names."""
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("Cython")
    folder = tmp_path_factory.mktemp("copies")
    return copy_of(folder / "one"), copy_of(folder / "the other")


def test_sources_are_the_same_bytes(copies):
    """The archive of the sources depends on nothing but them, and holds what a release needs, and nothing else."""
    (copies[1] / "README.md").chmod(0o600)
    first, second = (built(folder, SDIST) for folder in copies)
    assert first.name == second.name == f"nncodegen-{nn.__version__}.tar.gz"
    assert first.read_bytes() == second.read_bytes()
    listed = subprocess.run(["tar", "tzf", str(first)], capture_output=True, text=True, check=True).stdout.split("\n")
    names = {name.partition("/")[2] for name in listed}
    assert {"CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert {"nncodegen/runtime/c/nncodegen/module/library.c", "generated/perceptron/perceptron.c"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".npz", ".so"))]


@pytest.mark.thorough
def test_wheels_are_the_same_bytes(copies, tmp_path):
    """So does the wheel; auditwheel finds that it needs nothing of the system but what manylinux promises."""
    first, second = (built(folder, WHEEL) for folder in copies)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    pytest.importorskip("auditwheel")
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(first)], capture_output=True, text=True, check=True
    )
    assert re.search(r'"manylinux_2_\d+_(x86_64|aarch64)"', done.stdout.replace("\n", " ")), done.stdout


@pytest.mark.thorough
def test_objects_are_kept_for_the_next_wheel(copies):
    """What an earlier build has compiled serves the next one, if nobody has damaged it, and the wheel is the same."""
    whole, objects = built(copies[0], WHEEL).read_bytes(), copies[0] / "build" / "objects"
    damaged, *others = sorted(objects.glob("library_*.o"))
    times = {path: path.stat().st_mtime_ns for path in [damaged, *others]}
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert built(copies[0], WHEEL).read_bytes() == whole
    assert [path for path, written in times.items() if path.stat().st_mtime_ns != written] == [damaged]
    with (copies[0] / "nncodegen/runtime/c/nncodegen/module/library.c").open("a") as file:
        file.write("/* another text */\n")
    built(copies[0], WHEEL)
    assert not set(objects.glob("library_*.o")) & set(times)


def test_sources_bring_a_compiler(copies, tmp_path):
    """Where there is no C compiler, pip installs one with all else that the build needs; elsewhere it does not."""
    if Path(sysconfig.get_config_var("CC").split()[0]).is_absolute():
        pytest.skip("Python's own compiler is found without PATH")
    done = run(copies[0], NEEDED, PATH=str(tmp_path), CC=None)
    assert done.stdout.splitlines()[-1] == "needs ziglang>=0.13", done.stderr[-3000:]
    compiler = tmp_path / "clang"
    compiler.touch(0o755)
    done = run(copies[0], NEEDED, PATH=str(tmp_path), CC=None)
    assert done.stdout.splitlines()[-1] == "needs", done.stderr[-3000:]
    done = run(copies[0], NEEDED, PATH=str(tmp_path), CC="no_such_compiler -O1")
    assert "CC is no_such_compiler -O1: unset it, or correct it" in done.stderr
    for wrong, message in ((" ", "CC is  : unset it, or correct it"), ("'gcc", "CC is no command: 'gcc (No closing")):
        done = run(copies[0], NEEDED, PATH=str(tmp_path), CC=wrong)
        assert message in done.stderr


@pytest.mark.thorough
def test_wheels_without_a_compiler(copies, tmp_path):
    """That compiler builds the wheel, with kernels and a library for the same CPUs as others."""
    pytest.importorskip("ziglang")
    if Path(sysconfig.get_config_var("CC").split()[0]).is_absolute():
        pytest.skip("Python's own compiler is found without PATH")
    wheel = built(copies[0], WHEEL, PATH=str(tmp_path), CC=None)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-c", "from nncodegen.generated import perceptron; print(*perceptron.variants)"],
        cwd=tmp_path / "installed",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["avx512", "avx2", "plain"] or platform.machine() != "x86_64"


def test_modules_are_the_same_bytes(quick_compiler, tmp_path):
    """A module that is built twice, with caches in two places, has the same bytes, its wrapper too."""
    built_files = []
    for place in ("one", "another/place"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        environment = {**os.environ, "NNCODEGEN_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(MODULE), str(folder / "out")],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        built_files.append({path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()})
    first, second = built_files
    assert first.keys() == second.keys()
    assert any(name.endswith(".so") for name in first)
    assert [name for name in first if first[name] != second[name]] == []


def test_documents_say_the_version():
    """The changelog, its details and the citation are those of this version; what may be read is short."""
    version = nn.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    section = changelog.split(f"## [{version}]")[1].split("\n## [")[0]
    assert len(section.split()) < 500, "a section is read in two minutes"
    assert f"docs/changes/version-{version}.md" in section
    assert (ROOT / "docs" / "changes" / f"version-{version}.md").is_file()
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {version}\n" in citation
    (day,) = re.findall(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert f"## [{version}] - {day}\n" in changelog
    assert "git tag -a v" in (ROOT / "CONTRIBUTING.md").read_text()


def test_a_clone_in_use_can_be_released():
    """What CONTRIBUTING makes in a clone is ignored, the environment included: a release refuses other new files."""
    (folder,) = re.findall(r"^python3 -m venv (\S+) ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    made = [f"{folder}/bin/python", "dist/a.whl", "build/a.o", "nncodegen.egg-info/PKG-INFO", "nncodegen/a.abi3.so"]
    done = subprocess.run(["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("this is no clone")
    assert done.stdout.split() == made


def test_lowest_versions_are_those_of_the_classifiers():
    """The Python that is promised is the one that is tested as the lowest."""
    promised = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"first={promised} #" in (ROOT / ".ci" / "versions").read_text()


def test_only_standard_names_of_the_lowest_python():
    """Nothing is imported from the standard library that the lowest Python does not have: what 3.11 has added."""
    added = re.compile(
        r"import .*\b(tomllib|assert_never|assert_type|StrEnum|ReprEnum|Self|LiteralString|reveal_type|Never)\b"
        r"|^\s*except\*|\bExceptionGroup\b|from datetime import .*\bUTC\b",
        re.MULTILINE,
    )
    for path in [*Path(ROOT, "nncodegen").rglob("*.py"), ROOT / "setup.py"]:
        match = added.search(path.read_text(encoding="utf-8"))
        assert match is None, f"{path}: {match[0]}"
