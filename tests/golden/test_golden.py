"""The committed perceptron is what ``build`` writes, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nncodegen.compiler.describe.optimizers import OPTIMIZERS, describe_update
from nncodegen.compiler.emit.controller import emit_controller
from nncodegen.compiler.emit.optimizers import emit_optimizers
from nncodegen.compiler.emit.options import emit_options
from nncodegen.compiler.emit.stub import emit_protocol
from nncodegen.compiler.passes.simplify import simplify_update
from tests.support import ROOT

GENERATED = ROOT / "generated" / "perceptron"


def texts(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.suffix in {".c", ".h", ".pyi", ".txt"})
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.mark.parametrize("seed", ["12345", pytest.param("0", marks=pytest.mark.thorough)])
def test_build_writes_the_committed_files(seed, tmp_path, request):
    """The sources and stages do not depend on the seed of Python's hashes."""
    out = GENERATED if request.config.getoption("--update-golden") else tmp_path / "perceptron"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "nncodegen", "build", "--quiet", "--out", str(out)],
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert set(texts(GENERATED)) == {
        "perceptron.c",
        "perceptron.h",
        "perceptron.pyi",
        "perceptron_many.c",
        "perceptron_fitting.c",
        "perceptron_hessian.c",
        "perceptron_module.c",
        "perceptron_variants.c",
        "stages/1-describe.txt",
        "stages/2-stabilize.txt",
        "stages/3-differentiate.txt",
        "stages/4-simplify.txt",
        "stages/5-schedule.txt",
    }
    assert texts(out) == texts(GENERATED)


def printed_rules():
    return emit_optimizers([simplify_update(describe_update(name)) for name in OPTIMIZERS])


EMITTED = {
    "runtime/c/nncodegen/train/options.h": emit_options,
    "runtime/c/nncodegen/solve/controller.h": emit_controller,
    "runtime/c/nncodegen/train/optimizers.h": lambda: emit_optimizers(
        [simplify_update(describe_update(name)) for name in OPTIMIZERS]
    ),
    "runtime/module.py": emit_protocol,
}
"""Files of nncodegen that follow from declarations in it."""


@pytest.mark.parametrize("file", EMITTED)
def test_what_follows_from_declarations(file, request):
    """Options, update rules and lengths of steps in C, and the protocol of modules, follow from Python."""
    path = ROOT / "nncodegen" / file
    if request.config.getoption("--update-golden"):
        path.write_text(EMITTED[file]())
    assert path.read_text() == EMITTED[file]()
