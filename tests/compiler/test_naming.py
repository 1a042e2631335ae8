"""A model is never written under the name of something else: of a module, a distribution, a word, a header."""

import shutil
import subprocess
import sys
from functools import partial

import pytest

import nncodegen as nn
from nncodegen.cli import commands as cli
from nncodegen.compiler import naming
from nncodegen.formats.export.command import DESTINATIONS
from nncodegen.formats.export.first_line import EXPORTED
from tests.support.models import classifier

exporting = sys.modules["nncodegen.formats.export.command"]
MODEL = classifier(2, name="model", classes=2, inputs=2)
OF_PYTHON = {
    "json": "a module of Python's standard library",
    "os": "standard library",
    "Queue": "standard library",
    "distutils": "standard library",
    "annotationlib": "standard library",
    "test": "standard library",
    "numpy": "a well-known package",
    "Num-Py": "a well-known package",
    "NUMPY": "a well-known package",
    "sklearn": "a well-known package",
    "scikit.learn": "a well-known package",
    "pip": "a well-known package",
    "nncodegen": "a well-known package",
}
"""Names that no module or package can have, and why."""
WORDS = ("class", "lambda", "match", "None", "type")


@pytest.mark.parametrize("target", [*DESTINATIONS, "build"])
def test_names_of_others(target, tmp_path, monkeypatch):
    """Every destination refuses the names that it must not write, before any work, and proposes one that it takes."""
    monkeypatch.setattr("nncodegen.compiler.pipeline.describe", lambda *arguments: pytest.fail("work was done"))
    monkeypatch.setattr(exporting, "_exporter", lambda target: pytest.fail("work was done"))
    python = target in ("build", "wheel", "sdist")
    refused = dict.fromkeys(WORDS, "word of Python") | (OF_PYTHON if python else {})
    if target in ("c", "casadi", "wasm"):
        refused |= {"math": "header of the C library", "install": "target or a library"}
    out = tmp_path / "out"
    for name, reason in refused.items():
        write = (
            partial(nn.build, classifier(2, name=name, classes=2, inputs=2), out=out)
            if target == "build"
            else partial(nn.export, MODEL, target, out, name=name)
        )
        with pytest.raises(nn.ModelError, match=f"a model called {name} cannot be written: .*{reason}") as caught:
            write()
        assert not out.exists()
        naming.check_free(str(caught.value).rpartition("such as ")[2], "c", "python")


def test_build_on_the_command_line(tmp_path, monkeypatch, capsys):
    """The command refuses them as well, also where the name is that of the model."""
    (tmp_path / "m.py").write_text("import nncodegen as nn\nm = nn.Sequential([nn.Dense(1)], 2, name='numpy')\n")
    monkeypatch.chdir(tmp_path)
    for options, name in ("", "numpy"), ("--name queue --out .", "queue"):
        monkeypatch.setattr(sys, "argv", ["nncodegen", "build", "m.py", *options.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert f"a model called {name} cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.py"]


def test_names_that_are_free():
    """Names that merely resemble others, and those that a module in the cache has, are nobody's."""
    for name in ("numbers_of_eggs", "time_it", "json_model", "digits", "x[0]", "class_of_wine", "Model 3"):
        naming.check_free(name, "c", "python")
    assert nn.build(classifier(2, name="queue", classes=2, inputs=2)).name == "queue"


def test_installed_distributions(tmp_path, monkeypatch):
    """What others have installed keeps its name, and that of its packages; a package of nncodegen may be replaced."""
    installed = {
        "Peaks.Of-Others": {"peaks_finder/__init__.py": "", "peaks_module.py": ""},
        "decay": {"decay/__init__.py": f"# {EXPORTED}\n"},
    }
    for name, files in installed.items():
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(text)
    (tmp_path / "mine.py").write_text("# the file of the model itself\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("peaks_of_others", "peaks-of-others", "peaks_finder", "peaks_module"):
        with pytest.raises(nn.ModelError, match=r"Peaks.Of-Others 1.0, which is installed, has that name"):
            naming.check_free(name, "python")
        naming.check_free(name, "c")
    for name in ("decay", "Decay", "mine", "peaks"):
        naming.check_free(name, "python")


def test_all_promised_pythons():
    """The modules of other versions of Python are known, whichever makes the package."""
    program = "import sys; print(*sys.stdlib_module_names)"
    others = [command for minor in range(10, 15) if (command := shutil.which(f"python3.{minor}"))]
    for python in [sys.executable, *others]:
        done = subprocess.run([python, "-S", "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or python != sys.executable  # others may be installed by halves
        names = {name for name in done.stdout.split() if not name.startswith("_")}
        assert names <= sys.stdlib_module_names | naming.OTHER_PYTHONS
