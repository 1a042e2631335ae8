"""The committed texts of two exports as C: a formula with training, and a trained network that only predicts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.perceptron import model as perceptron
from tests.support import ROOT
from tests.support.plain import exported

TEXTS = Path(__file__).parent / "texts"


def softmax():
    layers = [nn.Dense(3, "tanh"), nn.Dense(2, "softmax")]
    return nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="softmax_4_3_2")


EXPORTS = {
    "export_perceptron": (lambda: perceptron, {"train": True, "optimizers": ["sgd", "adam"]}),
    "export_softmax": (softmax, {"parameters": np.arange(23) / 32, "precision": "float32", "libm": False}),
}


def write(name, folder):
    model, options = EXPORTS[name]
    return exported(model(), folder, **options)


@pytest.mark.parametrize("name", EXPORTS)
def test_texts(name, tmp_path, request):
    """What is exported is what was committed, byte for byte; ``--update-golden`` commits to what is exported now."""
    folder = TEXTS / name
    update = request.config.getoption("--update-golden")
    written = write(name, folder if update else tmp_path)
    assert folder.is_dir(), "there are no texts: commit to them with --update-golden"
    committed = {path.name: path.read_text() for path in folder.iterdir()}
    committed.pop("exported.json")
    assert committed == written


def test_the_same_text_every_time(tmp_path):
    """No text depends on the seed of Python's hashes."""
    program = f"from tests.golden.test_exports import write\nwrite('export_perceptron', {str(tmp_path)!r})"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=ROOT)
    committed = TEXTS / "export_perceptron"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in committed.iterdir()
    }
