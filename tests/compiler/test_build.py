"""The disk and the compiler: what is written, what is kept, what goes wrong."""

import ctypes
import importlib
import os
import pickle
import platform
import re
import signal
import stat
import subprocess
import sys
import textwrap
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import BuildError
from nncodegen.compiler.building.build import Built, _wrapper, load
from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.compiler.building.files import is_intact, keep, seal, write_at_once
from nncodegen.compiler.building.targets import LIBRARY, linked_parts, wrapper_object
from nncodegen.compiler.pipeline import compile_model
from nncodegen.estimators.network import Description, predict
from nncodegen.perceptron import X, Y, model
from nncodegen.runtime import embedded
from nncodegen.runtime.embedded import wrapper_source
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, x, y = sympy.symbols("a x y")
LINE = nn.Model("line", x, y, {a: 2.0}, a * x, (a * x - y) ** 2)
"""What compiles soon."""

PROGRAM = """
    import nncodegen as nn
    import sympy
    a, x, y = sympy.symbols("a x y")
    model = nn.Model("line", x, y, {a: 2.0}, a * x, (a * x - y) ** 2)
    """
"""The same in a process of its own."""


def command_of(program):
    """What runs a program that has the line."""
    return [sys.executable, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(program)]


@pytest.fixture
def nothing_shipped(monkeypatch):
    """Nothing compiled comes with the package."""
    monkeypatch.setattr(sys.modules["nncodegen.compiler.building.build"], "SHIPPED", "nncodegen/nothing")


@pytest.fixture(scope="module")
def wrapper(quick_compiler, tmp_path_factory):
    """The wrapper that is compiled with the first model in an empty cache."""
    cache = tmp_path_factory.mktemp("wrapper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCODEGEN_CACHE", str(cache))
        patch.setattr(sys.modules["nncodegen.compiler.building.build"], "SHIPPED", "nncodegen/nothing")
        nn.build(LINE, fit=False)
    (made,) = cache.glob("wrapper_double_*.o")
    return made


def test_models_share_a_wrapper(wrapper, nothing_shipped, monkeypatch):
    """The wrapper is compiled with the first model, and anew where it is damaged, but not with force."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(wrapper.parent))
    other = nn.Sequential([nn.Dense(1)], 1, name="other")
    made = wrapper.stat().st_mtime_ns
    assert load(nn.compile_model(other, fit=False).built).name == "other"
    nn.build(LINE, fit=False, force=True)
    nn.compile_model(LINE, fit=False, force=True)
    assert wrapper.stat().st_mtime_ns == made
    wrapper.write_bytes(b"broken")
    third = nn.Sequential([nn.Dense(2)], 1, name="third")
    assert load(nn.compile_model(third, fit=False).built).predict(np.zeros(4), [[1.0]]).tolist() == [[0, 0]]
    assert is_intact(wrapper)


def test_the_cache_is_addressed_by_content(wrapper, nothing_shipped, monkeypatch):
    """The same model is compiled once; another precision is another module with a wrapper of its own; force compiles
    again; and what all modules are linked with alike, such as Python's files, is made once."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(wrapper.parent))
    addressed = nn.Model("addressed", x, y, {a: 2.0}, a * x)
    assert [nn.compile_model(addressed, fit=False).built.cached for _ in range(2)] == [False, True]
    assert not nn.compile_model(addressed, fit=False, force=True).built.cached
    monkeypatch.setattr(embedded, "header", None)  # whoever calls it fails
    other = nn.compile_model(addressed, "float32", fit=False).built
    assert not other.cached
    assert load(other).predict([2.0], [[3.0]]).tolist() == [[6.0]]
    assert len([*wrapper.parent.glob("python_*.o")]) == 1
    ordered = sorted(wrapper.parent.glob("wrapper*.o"))
    assert [path.name[:13] for path in ordered] == ["wrapper_doubl", "wrapper_float"]
    assert not [path for path in wrapper.parent.iterdir() if path.suffix == ".work"]


def test_names_that_all_modules_have_are_hidden():
    """What the wrapper and a model know each other by is not seen outside of a module, where others have it as well."""
    library = ctypes.CDLL(str(nn.compile_model(LINE, fit=False).built.path))
    assert hasattr(library, "PyInit_line")
    assert not [name for name in ("own", "facts") if hasattr(library, f"nncodegen_{name}")]
    assert not hasattr(library, "PyInit_nncodegen_wrapper")


def test_modules_know_their_own_names():
    """A module is known to Python by its name, not by that of the wrapper, whichever was imported before."""
    network = nn.build(nn.Sequential([nn.Dense(1)], 1, name="other"), fit=False)
    assert network.__name__.startswith("nncodegen.modules.")
    assert network.__name__.endswith(".other")
    assert sys.modules[network.__name__] is network
    assert network.Result is nn.Result
    result = network.train([[1.0]], [1.0], epochs=1)
    assert pickle.loads(pickle.dumps(result)).parameters.tolist() == result.parameters.tolist()
    named = nn.build(nn.Model("nncodegen_wrapper", parameters={a: 1.0}, loss=(a - 1) ** 2), fit=False)
    assert named.__name__.endswith(".nncodegen_wrapper_")
    assert not {"other", "nncodegen_wrapper", "nncodegen_wrapper_"} & set(sys.modules)


def test_no_model_shadows_a_module(monkeypatch):
    """A model may have the name of any module, and another model the same: all of them can be imported."""
    monkeypatch.delitem(sys.modules, "wave", raising=False)  # which is not imported yet
    networks = [nn.build(nn.Sequential([nn.Dense(units)], 1, name="wave"), fit=False) for units in (1, 2)]
    numpy = nn.build(nn.Sequential([nn.Dense(1)], 1, name="numpy"), fit=False)
    assert [network.parameter_count for network in networks] == [2, 4]
    assert {network.name for network in networks} == {"wave"}
    assert hasattr(importlib.import_module("wave"), "open")
    assert sys.modules["numpy"] is np is not numpy


def test_reload_says_what_to_do(tmp_path, monkeypatch):
    """A module cannot be loaded again in a process, built or imported: the error says how to get the changed one."""
    network = nn.Sequential([nn.Dense(1)], 1, name="again")
    nn.build(network, fit=False, out=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in (nn.build(network, fit=False), importlib.import_module("again")):
        with pytest.raises(ImportError, match=r"again is a compiled module, .* module = nncodegen\.build\(model\)"):
            importlib.reload(module)
        assert sys.modules[module.__spec__.name] is module
        assert module.parameter_count == 2
    del sys.modules["again"]


def test_what_is_written(tmp_path):
    """A folder gets the sources and the module, and with dump the text of every stage."""
    nn.build(LINE, out=tmp_path / "a")
    suffix = next(p for p in (tmp_path / "a").iterdir() if p.suffix == ".so").name
    sources = {
        "line.c",
        "line.h",
        "line.pyi",
        "line_many.c",
        "line_fitting.c",
        "line_hessian.c",
        "line_module.c",
        "line_variants.c",
    }
    assert {p.name for p in (tmp_path / "a").iterdir()} == {*sources, suffix}
    nn.build(LINE, out=tmp_path / "a", dump=True)
    assert len(list((tmp_path / "a" / "stages").iterdir())) == 5
    nn.build(LINE, out=tmp_path / "a")
    assert not (tmp_path / "a" / "stages").exists()
    with pytest.raises(BuildError, match="dump writes the text of every stage to the folder out"):
        nn.build(LINE, dump=True)


def test_a_written_module_can_be_imported(tmp_path):
    """The folder holds an importable module."""
    nn.build(LINE, out=tmp_path, fit=False)
    program = "import line; print(line.train([[0.35]], [1], epochs=2).status)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "completed"


def test_foreign_files_stay(tmp_path):
    """A folder with files of somebody else is refused, and left as it was."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "line.c").write_text("int mine;")
    with pytest.raises(BuildError, match=r"holds files that nncodegen did not write \(line.c, notes.txt\)"):
        nn.build(LINE, out=tmp_path, fit=False)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"notes.txt": "mine", "line.c": "int mine;"}


def test_hidden_files_and_other_models_are_no_obstacle(tmp_path):
    """Hidden files and what Python leaves behind do not matter; several models may share a folder."""
    (tmp_path / ".gitignore").write_text("*.so")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"")
    nn.build(LINE, out=tmp_path, fit=False)
    nn.build(nn.Sequential([nn.Dense(1)], 1, name="other"), out=tmp_path, fit=False)
    nn.build(LINE, out=tmp_path, fit=False)
    assert {"other.c", "line.c", ".gitignore"} <= {p.name for p in tmp_path.iterdir()}


def test_links_are_not_followed(tmp_path):
    """A link in the folder is somebody else's, and so is what it leads to."""
    nn.build(LINE, out=tmp_path / "out", fit=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "out" / "stages").symlink_to(tmp_path / "notes")
    for dump in (False, True):
        with pytest.raises(BuildError, match=r"did not write \(stages\)"):
            nn.build(LINE, out=tmp_path / "out", dump=dump, fit=False)
    assert [path.read_text() for path in (tmp_path / "notes").iterdir()] == ["mine"]


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    """A file in place of a folder, and a folder without permission, are a BuildError that names it."""
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BuildError, match=r"file.*name a(nother)? folder"):
            nn.build(LINE, out=out, fit=False)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nncodegen.compiler.building.files.mkstemp", refuse)  # as root, permissions do not bind
    with pytest.raises(BuildError, match=r"cannot write to .*fresh: Permission denied; name another folder"):
        nn.build(LINE, out=tmp_path / "fresh", fit=False)


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    """A cache that cannot be written is named, and the variable that moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BuildError, match=r"cannot write to .*cache: .*set NNCODEGEN_CACHE to a folder"):
        nn.build(LINE, fit=False)


def test_no_compiler(empty_cache, tmp_path, monkeypatch):
    """Without a compiler the error names the command that brings one, or says that CC names none."""
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildError, match=r"no C compiler was found \(looked for \$CC = no-such-compiler\)\nUnset"):
        nn.compile_model(LINE, fit=False)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys.modules["nncodegen.compiler.building.compiler"], "find_zig", lambda march: None)
    with pytest.raises(
        BuildError, match=rf"no C compiler was found .*\n.*\n    {re.escape(sys.executable)} -m pip install"
    ):
        nn.compile_model(LINE, fit=False)


@pytest.mark.thorough
def test_the_compiler_of_ziglang(tmp_path, monkeypatch):
    """Without another compiler, that of the package ziglang builds modules, portable ones too."""
    pytest.importorskip("ziglang", reason="the extra compiler is not installed")
    expected = nn.build(model)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    module = nn.build(model, march="portable")
    assert "zig" in find_compiler("portable").command[0]
    assert module.variants[-1] == "plain"
    if platform.machine() == "x86_64":
        known = Path("/proc/cpuinfo").read_text().split()
        assert ("avx2" in module.variants) == ("avx2" in known and "fma" in known)
        assert ("avx512" in module.variants) == ("avx512vl" in known)
    result, of_zig = (m.train(X, Y, learning_rate=0.3, epochs=99, optimizer="adam") for m in (expected, module))
    np.testing.assert_allclose(of_zig.parameters, result.parameters, rtol=1e-12)


def fake_compiler(folder, script):
    """A compiler that answers questions about itself and then does as the script says."""
    path = folder / "fakecc"
    path.write_text(f'#!/bin/sh\ncase "$*" in *-dM*) exec gcc "$@";; esac\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_compiler_that_fails(empty_cache, tmp_path, monkeypatch):
    """The error holds the compiler's own message, and where the sources lie."""
    monkeypatch.setenv("CC", fake_compiler(tmp_path, "echo 'disk on fire' >&2; exit 3"))
    with pytest.raises(BuildError, match="the compiler failed with exit code 3") as caught:
        nn.build(LINE, fit=False)
    assert "disk on fire" in str(caught.value)
    folder = str(caught.value).rsplit("are in ", 1)[1]
    assert list(Path(folder).glob("*.c"))
    cases = {
        "false": "false does not work as a C compiler",
        "true": "does not work as a C compiler",
        "gcc 'x": "CC is no command",
        fake_compiler(tmp_path, "exit 0"): r"wrote no \w+\.(o|linked); set CC",
    }
    for named, message in cases.items():
        monkeypatch.setenv("CC", named)
        with pytest.raises(BuildError, match=message):
            nn.build(LINE, fit=False)


@pytest.mark.parametrize("content", [b"no program", b"#!/nowhere/sh\n", b"#!/bin/sh\nprintf '\\377'\n"])
def test_what_is_no_compiler(content, empty_cache, tmp_path, monkeypatch, capfd):
    """A file that cannot be run, or that answers with anything, is refused in words, and nothing else is printed."""
    path = tmp_path / "fakecc"
    path.write_bytes(content)
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    with pytest.raises(BuildError, match="fakecc does not work as a C compiler; set CC to one"):
        nn.build(LINE, fit=False)
    assert capfd.readouterr() == ("", "")


def test_a_compiler_by_a_relative_path(empty_cache, tmp_path, monkeypatch):
    """CC may be a path relative to the working directory, which is not where the compiler runs."""
    fake_compiler(tmp_path, "echo 'disk on fire' >&2; exit 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CC", "./fakecc")
    with pytest.raises(BuildError, match="disk on fire"):
        nn.build(LINE, fit=False)


def test_a_killed_build_does_no_harm(begun_cache, tmp_path):
    """A build that is killed half-way leaves the old module whole, and the next build succeeds."""
    nn.build(LINE, out=tmp_path / "out", fit=False)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    slow = fake_compiler(tmp_path, "sleep 60")
    environment = {**os.environ, "CC": slow, "PYTHONPATH": str(ROOT)}
    command = command_of(f"nn.build(model, out={str(tmp_path / 'out')!r}, fit=False, force=True)")
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while not list(begun_cache.glob("*.work/kernel.o.log")):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert nn.build(LINE, out=tmp_path / "out", fit=False, force=True).train([[0.35]], [1], epochs=1).epochs == 1


def test_two_processes_build_at_once(begun_cache, tmp_path):
    """Processes that build the same model into the same folder at once all end with a whole module."""
    program = f"""
        module = nn.build(model, out={str(tmp_path / "out")!r}, dump=True, fit=False)
        assert module.train([[0.35]], [1], epochs=3).epochs == 3
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command_of(program), env=environment) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    done = subprocess.run([sys.executable, "-c", "import line"], cwd=tmp_path / "out", check=False)
    assert done.returncode == 0


def test_a_broken_module_is_named(tmp_path):
    """A module that cannot be imported is named, with the way out."""
    path = tmp_path / "key" / "perceptron.so"
    path.parent.mkdir()
    path.write_bytes(b"not a library")
    with pytest.raises(BuildError, match=r"cannot be imported.*build it again with force"):
        load(Built("perceptron", path, cached=True))


DAMAGE = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a page short": lambda content: content[:-4096],
    "a byte": lambda content: content[: len(content) // 3] + b"?" + content[len(content) // 3 + 1 :],
    "zeros": lambda content: content[:5000] + bytes(5000) + content[10000:],
    "no library": lambda content: b"not a library",
}
"""What may become of a file."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told(damage, tmp_path):
    """A file that was cut, changed or emptied is not taken for what was kept, nor is one without its digest."""
    (tmp_path / "made").write_bytes(bytes(range(256)) * 100)
    path = tmp_path / "module.so"
    keep(tmp_path / "made", path)
    assert is_intact(path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert not is_intact(path)
    keep(path, path)
    assert is_intact(path)
    (tmp_path / "module.so.sha256").unlink()
    assert not is_intact(path)
    assert not is_intact(tmp_path / "nothing")


def test_what_is_damaged_is_built_again(begun_cache):
    """A module of the cache that would end the process is never loaded, but made anew; it is then taken from there."""
    program = """
        for _ in range(2):
            print(nn.compile_model(model, fit=False).built.cached, nn.build(model, fit=False).predict([2], [[3]])[0, 0])
        """
    built = nn.compile_model(LINE, fit=False).built
    whole = built.path.read_bytes()
    built.path.write_bytes(whole[: len(whole) // 2])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command_of(program), env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False 6.0", "True 6.0"]


def test_a_damaged_wrapper_of_the_package_is_not_used(wrapper, tmp_path, monkeypatch):
    """What came with the package is linked as it came, or not at all."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(wrapper.parent))
    shipped = tmp_path / "nncodegen" / "wrappers" / wrapper_object(wrapper_source(), "double", version("cython"))
    shipped.parent.mkdir(parents=True)

    class Installed:
        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(sys.modules["nncodegen.compiler.building.build"], "distributions", lambda name: [Installed()])
    shipped.write_bytes(wrapper.read_bytes())
    assert _wrapper("double", find_compiler()) != shipped  # without a digest
    seal(shipped)
    assert _wrapper("double", find_compiler()) == shipped
    shipped.write_bytes(wrapper.read_bytes()[:-1])
    assert _wrapper("double", find_compiler()) != shipped


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    """Where a file cannot be written, at whatever call, the old one is whole, and nothing hidden lies beside it."""
    path = tmp_path / "file"
    write_at_once(path, b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for call in ("fsync", "chmod", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(OSError, match="No space left"):
                write_at_once(path, b"new")
        assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]
    program = f"""
        import resource, pathlib
        from nncodegen.compiler.building.files import write_at_once
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            write_at_once(pathlib.Path({str(path)!r}), bytes(5000))
        except OSError as error:
            print(error.errno)
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout.strip() == b"27"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


@pytest.fixture
def no_permission():
    """A function that makes a folder unreadable, and this process no administrator."""
    user, folders = os.geteuid(), []

    def lock(folder):
        folders.append(folder)
        folder.chmod(0)
        if user == 0:
            os.seteuid(65534)
            for needed in (nn.__file__, np.__file__):
                if not os.access(needed, os.R_OK, effective_ids=True):
                    pytest.skip(f"only an administrator can read {needed}")

    yield lock
    os.seteuid(user)
    for folder in folders:
        folder.chmod(0o700)


def test_an_unreadable_cache(tmp_path, monkeypatch, no_permission):
    """A cache that cannot be read is a BuildError that names it; networks are then evaluated with NumPy."""
    network = Description(2, ((1, "linear"),), "mse")
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("NNCODEGEN_CACHE", str(cache))
    find_compiler()
    no_permission(cache)
    with pytest.raises(BuildError, match=r"cannot read .*cache: Permission denied; set NNCODEGEN_CACHE to a folder"):
        nn.build(LINE, fit=False)
    monkeypatch.setattr(sys.modules["nncodegen.estimators.network.modules"], "_modules", {})
    with pytest.warns(RuntimeWarning, match="Permission denied.*NumPy evaluates the model"):
        assert predict(network, [1.0, 2.0, 0.5], [[1.0, 1.0]]) == [[3.5]]


def test_an_unreadable_folder(tmp_path, no_permission):
    """A folder to write to that cannot be read is a BuildError that names it."""
    (tmp_path / "out").mkdir()
    no_permission(tmp_path / "out")
    with pytest.raises(BuildError, match=r"cannot read .*out: Permission denied; name another folder"):
        nn.build(LINE, out=tmp_path / "out", fit=False)


def test_portable_modules():
    """A module for any CPU of the family computes what one for this CPU does, to rounding; other targets are named."""
    network = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 20, "mse", name="portable")
    native, portable = nn.build(network), nn.build(network, march="portable")
    X = np.linspace(-1, 1, 400).reshape(20, 20)
    parameters = native.initial_parameters()
    assert portable.predict(parameters, X) == pytest.approx(native.predict(parameters, X), rel=1e-12, abs=1e-14)
    with pytest.raises(nn.BuildError, match="there is no march 'avx'; there are: native, portable"):
        nn.build(network, march="avx")


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("made", [lambda: model, lambda: nn.Sequential([nn.Dense(3)], inputs=2, name="linked")])
def test_the_library_has_groups_of_every_size(made, precision):
    """What trains many models of a formula or a network is a part of the library, for as many models as they have."""
    sources = compile_model(made(), precision, until="emit").sources
    (part,) = linked_parts("many", sources.files[f"{sources.module}_many.c"])
    assert part in LIBRARY
    assert part == ("groups_512" if made() is model else "groups_64")
