"""The committed text of an export as C: a formula with training."""

import os
import re
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


COMPUTED = "perceptron_test.c"
"""The text that holds predictions and gradients, which NumPy computes."""

NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def write(name, folder):
    model, options = EXPORTS[name]
    return exported(model(), folder, **options)


@pytest.mark.parametrize("name", EXPORTS)
def test_texts(name, tmp_path, request):
    """What is exported is what was committed, byte for byte; ``--update-golden`` commits to what is exported now.

    The last digits of computed numbers depend on NumPy and the CPU, and where lines end depends on how many there are.
    """
    folder = TEXTS / name
    update = request.config.getoption("--update-golden")
    written = write(name, folder if update else tmp_path)
    assert folder.is_dir(), "there are no texts: commit to them with --update-golden"
    committed = {path.name: path.read_text() for path in folder.iterdir()}
    committed.pop("exported.json")
    committed_text, written_text = (" ".join(texts.pop(COMPUTED).split()) for texts in (committed, written))
    assert committed == written
    assert NUMBER.split(committed_text) == NUMBER.split(written_text)
    assert list(map(float, NUMBER.findall(committed_text))) == pytest.approx(
        list(map(float, NUMBER.findall(written_text))), rel=1e-12
    )


def test_the_same_text_every_time(tmp_path):
    """No text depends on the seed of Python's hashes."""
    there, here = tmp_path / "there", tmp_path / "here"
    program = f"from tests.golden.test_exports import write\nwrite('export_perceptron', {str(there)!r})"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=ROOT)
    write("export_perceptron", here)
    first, second = ({path.name: path.read_text() for path in folder.iterdir()} for folder in (there, here))
    assert first == second
