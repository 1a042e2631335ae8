"""The committed texts of eight small models, which have every kind of loop between them."""

from pathlib import Path

import pytest

from tests.support.built import stage
from tests.support.compilers import LIGHTLY_TO_AN_OBJECT, TO_AN_OBJECT, compile_strictly
from tests.support.kinds import KINDS

TEXTS = Path(__file__).parent / "texts"


def emitted(name):
    """The sources of a model, and those of its files that are its own: another model has them under another name."""
    model, precision, choices = KINDS[name]
    sources = stage(model, "emit", precision, **choices)
    return sources, {file: text for file, text in sources.files.items() if file.startswith(sources.module)}


@pytest.mark.parametrize("name", KINDS)
def test_texts(name, request):
    """What is emitted is what was committed, byte for byte; ``--update-golden`` commits to what is emitted now."""
    folder, (_, files) = TEXTS / name, emitted(name)
    if request.config.getoption("--update-golden"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for file, text in files.items():
            (folder / file).write_text(text)
    assert folder.is_dir(), "there are no texts: commit to them with --update-golden"
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


ALIKE = ("samples", "features", "registers", "formulas", "blas", "noise")
"""Models whose compilation tells little more than that of others here and in tests/c/test_c.py."""


@pytest.mark.parametrize(
    ("name", "compilers"),
    [
        *(pytest.param(name, LIGHTLY_TO_AN_OBJECT, id=name) for name in KINDS if name not in ALIKE),
        *(pytest.param(name, TO_AN_OBJECT, id=f"{name} optimized", marks=pytest.mark.thorough) for name in KINDS),
    ],
)
def test_no_warnings(name, compilers, tmp_path):
    """GCC and Clang compile each model, and find nothing to complain about in strict C11.

    Most models with little optimization, and with --thorough all of them with more.
    """
    sources, _ = emitted(name)
    compile_strictly(sources, tmp_path, compilers)


def test_every_kind_of_loop():
    """The models are what they stand for, as the schedule decides."""
    schedules = {
        name: stage(model, "schedule", precision, **choices) for name, (model, precision, choices) in KINDS.items()
    }
    assert not schedules["samples"].layout.features
    assert len(schedules["features"].layout.features) == 3
    assert schedules["features"].layout.transposed
    assert schedules["features"].kernels[-1].descends
    assert schedules["single_samples"].single_sample.gradient
    assert schedules["single_samples"].side_by_side
    for name in ("registers", "formulas"):
        assert schedules[name].unrolled
        assert not schedules[name].program.layered
    assert schedules["networks"].unrolled
    assert schedules["networks"].side_by_side
    assert schedules["blas"].layout.blas
    assert schedules["noise"].program.noise
