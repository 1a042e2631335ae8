"""The committed text of an export as C: a formula with training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nncodegen.perceptron import model as perceptron
from tests.support import ROOT
from tests.support.plain import exported

TEXTS = Path(__file__).parent / "texts"


EXPORTS = {
    "export_perceptron": (lambda: perceptron, {"train": True, "optimizers": ["sgd", "adam"]}),
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
