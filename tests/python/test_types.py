"""The types of compiled modules, as mypy sees them: of what build returns, and of a module that is imported."""

import ast
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sympy

import nncodegen as nn
from nncodegen.perceptron import model
from tests.support import ROOT

pytest.importorskip("mypy")
pytestmark = pytest.mark.usefixtures("quick_compiler")

BUILT = """
    import nncodegen as nn

    module: nn.Module = nn.build(nn.Sequential([nn.Dense(1)], 4))
    result = module.train([[1.0, 2, 3, 4]], [1.0], optimizer="adam", epochs=3, beta_1=0.5)
    reveal_type(result)
    reveal_type(module.predict(result.parameters, [[1.0, 2, 3, 4]]))
    reveal_type(module.parameter_shapes)
    reveal_type(module.train_many(models=2).loss)
    reveal_type(module.loss_and_gradient(result.parameters)[0])
    module.train(epochs="many")
    module.prdict(result.parameters)
    """

IMPORTED = """
    import perceptron
    import nncodegen as nn

    result = perceptron.train([[0.35, 0.9]], [0.5], update="sequential", threads=2)
    reveal_type(result.status)
    reveal_type(perceptron.predict(result.parameters, [[0.35, 0.9]]))
    reveal_type(perceptron.parameter_names)
    perceptron.train(seed=None)
    module: nn.Module = perceptron
    """


def mypy(folder: Path, **programs: str) -> list[list[str]]:
    """What mypy says of each of some programs, by lines."""
    for name, program in programs.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(program))
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(folder / "cache"), "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *options]
    command += [f"{name}.py" for name in programs]
    environment = {"MYPYPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr
    said = [line.partition(": ") for line in done.stdout.splitlines()]
    return [[text for where, _, text in said if where.startswith(f"{name}.py:")] for name in programs]


def test_types(tmp_path):
    """A program that uses modules is checked: options, results, arrays, and names that there are not."""
    shutil.copy(ROOT / "generated" / "perceptron" / "perceptron.pyi", tmp_path)
    built, imported = mypy(tmp_path, built=BUILT, imported=IMPORTED)
    array = "numpy.ndarray[Any, numpy.dtype[Any]]"
    revealed = [line.removeprefix("note: Revealed type is ").strip('"') for line in built if "Revealed" in line]
    assert revealed[0] == "nncodegen.runtime.python.results.result.Result"
    assert revealed[1:] == [array, "dict[str, tuple[int, ...]]", array, "float"]
    errors = [line for line in built if line.startswith("error")]
    assert len(errors) == 2
    assert 'Argument "epochs" to "train" of "Module" has incompatible type "str"; expected "int"' in errors[0]
    assert 'has no attribute "prdict"; maybe "predict"?' in errors[1]
    assert [line.partition("is ")[2] for line in imported if "Revealed" in line] == [
        '"str"',
        f'"{array}"',
        '"tuple[str, ...]"',
    ]
    (error,) = [line for line in imported if line.startswith("error")]
    assert 'Argument "seed" to "train" has incompatible type "None"; expected "int"' in error


def test_names_that_stubs_may_hold(tmp_path):
    """A stub is Python whatever a model and its parts are called."""
    names = [sympy.Symbol(name) for name in ('a"""b', "c\\", "d e", "ü")]
    odd = nn.Model('"""\\', names[:1], (), dict.fromkeys(names[1:], 0.5), sum(names), sum(names) ** 2)
    (stub,) = [
        text for file, text in nn.compile_model(odd, until="emit").sources.files.items() if file.endswith(".pyi")
    ]
    assert ast.get_docstring(ast.parse(stub)).startswith('"""\\ in float64.')
    assert stub.isascii()


def test_a_stub_lies_beside_a_module(tmp_path):
    """What is written to a folder has the types of the module."""
    nn.build(model, out=tmp_path)
    assert (tmp_path / "perceptron.pyi").read_text() == (ROOT / "generated/perceptron/perceptron.pyi").read_text()
