"""The fast C in one file: it stands alone, and computes what the formulas give."""

import shutil
import subprocess

import pytest

import nncodegen as nn
from nncodegen.formats.c.amalgamation import amalgamated
from nncodegen.perceptron import model as perceptron
from tests.support.compilers import WARNINGS

LAYERS = [nn.Dense(5, "tanh"), nn.Dropout(0.5), nn.Dense(3, "softmax")]
NETWORK = nn.Sequential(LAYERS, inputs=4, loss="categorical_crossentropy", name="network")


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


FORMULA, LAYERED = (perceptron, "float64", True), (NETWORK, "float32", False)


@pytest.mark.parametrize(
    ("model", "precision", "train", "compiler"),
    [
        (*FORMULA, "gcc"),
        (*LAYERED, "clang"),
        pytest.param(*FORMULA, "clang", marks=pytest.mark.thorough),
        pytest.param(*LAYERED, "gcc", marks=pytest.mark.thorough),
    ],
)
def test_one_file_stands_alone(model, precision, train, compiler, tmp_path):
    """Outputs, loss and gradient are those of the formulas, without a poll; it is C99, without a warning.

    A formula by GCC and a network by Clang; with --thorough also the other way round.
    """
    if not shutil.which(compiler):
        pytest.skip(f"not installed: {compiler}")
    exported = nn.export(model, "c", tmp_path, train=train, precision=precision, vectors=True, name="alone")
    assert '#include "nncodegen' not in (tmp_path / "alone.c").read_text() + (tmp_path / "alone.h").read_text()
    command = [compiler, "-std=c99", "-O1", *WARNINGS, "alone.c", "alone_test.c", "-lm", "-o", "alone"]
    done = run(command, exported.folder)
    assert done.returncode == 0, done.stderr
    done = run(["./alone"], exported.folder)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("right") == 3


def test_its_makefile_builds_and_tests_it(tmp_path):
    """``make test`` compiles with the flags that make vectors of loops, and passes."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    nn.export(perceptron, "c", tmp_path, vectors=True)
    done = run(["make", "test"], tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_model_may_be_called_like_a_header(tmp_path):
    """The header of a model is its own, also where one of the runtime has the same name."""
    if not shutil.which("gcc"):
        pytest.skip("not installed: gcc")
    nn.export(NETWORK, "c", tmp_path, vectors=True, name="many")
    assert '#include "many.h"' in (tmp_path / "many.c").read_text()
    done = run(["gcc", "-std=c99", *WARNINGS, "-fsyntax-only", "many.c"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_name_of_the_model_stays(tmp_path):
    """A name for the export is not that of the model."""
    nn.export(NETWORK, "c", tmp_path, vectors=True, name="other")
    assert NETWORK.name == "network"


def test_a_header_stands_where_it_may_be_needed():
    """What was included on a condition only is there again where that may not hold."""
    include = '#include "nncodegen/base/config.h"\n'
    text = f"#if A\n{include}#endif\n#if A\n{include}#endif\n{include}"
    merged = amalgamated(text, {})
    assert merged.count("#ifndef NNCODEGEN_CONFIG_H") == 2
    assert "#if A\n#endif" in merged
