"""The options of an export: each is declared once, and signature, documentation, checks and flags agree with that."""

import inspect

import pytest
from sympy import symbols

import nncodegen as nn
from nncodegen.cli.commands import command
from nncodegen.formats.export.command import DESTINATIONS
from nncodegen.formats.export.options import OPTIONS

x, y, w = symbols("x y w")
MODEL = nn.Model("line", x, y, {w: 1}, w * x)
ASKED = {
    "train": True,
    "libm": False,
    "vectors": True,
    "cross": "aarch64-linux-gnu",
    "generate": True,
    "bits": "portable",
    "opset": 13,
}
"""A value of each option that not every destination has."""


def test_signature():
    """The signature has the options with the types and defaults of their declarations, after the four arguments."""
    signature = inspect.signature(nn.export).parameters
    assert list(signature)[:4] == ["model", "target", "out", "parameters"]
    options = {name: (each.annotation, each.default) for name, each in list(signature.items())[4:]}
    assert options == {name: (option.kind.type, option.default) for name, option in OPTIONS.items()}


def test_every_option_is_documented():
    """The documentation tells what each option does, and which destinations have it."""
    documentation = inspect.getdoc(nn.export)
    for name, option in OPTIONS.items():
        assert f"\n{name} " in documentation
        assert all(line in documentation for line in option.meaning.split("\n"))
    assert "(destinations: c, wheel)" in documentation
    assert "'casadi'" in documentation
    assert "{" not in documentation


def test_flags():
    """The command has a flag for each option, with its default; what is on by default is turned off by its flag."""
    context = command.commands["export"].make_context("export", ["--target", "c", "model.py"])
    assert {name: context.params[name] for name in OPTIONS} == {name: each.default for name, each in OPTIONS.items()}
    arguments = "--no-libm --train --optimizers sgd,,adam, --opset 23 --cross arm --bits native".split()
    context = command.commands["export"].make_context("export", ["--target", "c", *arguments, "model.py"])
    chosen = {
        "libm": False,
        "train": True,
        "optimizers": ("sgd", "adam"),
        "opset": 23,
        "cross": "arm",
        "bits": "native",
    }
    assert {name: context.params[name] for name in chosen} == chosen


def test_options_of_destinations(tmp_path):
    """A destination refuses every option that others have and it has not, and names them; the defaults it takes."""
    assert {name for each in DESTINATIONS.values() for name in each.options} == ASKED.keys()
    for name, value in ASKED.items():
        able = [target for target, destination in DESTINATIONS.items() if name in destination.options]
        for target in DESTINATIONS.keys() - set(able):
            with pytest.raises(nn.ModelError, match=f"{target} has no --.*: .*; these have it: {', '.join(able)}$"):
                nn.export(MODEL, target, tmp_path / "out", **{name: value})
    with pytest.raises(nn.ModelError, match=r"onnx has no --no-libm: leave it out; these have it: c, wasm$"):
        nn.export(MODEL, "onnx", tmp_path / "out", libm=False)
    assert not (tmp_path / "out").exists()
    assert nn.export(MODEL, "casadi", tmp_path / "out", bits="native", libm=True).files


@pytest.mark.parametrize("name", ["train", "libm", "vectors", "generate"])
def test_yes_and_no(name, tmp_path):
    """What is neither True nor False is refused; a text such as "no" once meant yes."""
    with pytest.raises(nn.ModelError, match=f"{name} must be True or False, not 'no'"):
        nn.export(MODEL, "c", tmp_path / "out", **{name: "no"})
