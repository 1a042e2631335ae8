"""Compiled windows, pools, joined arrays and gathered rows against the evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.ir import Program, evaluate
from nncodegen.passes.differentiate import differentiate
from nncodegen.passes.simplify import simplify
from nncodegen.passes.stabilize import stabilize
from tests.support.plain import loaded
from tests.support.windows import GROUPED, OPERATIONS, PROGRAMS, STEPS, Given, chain, data, gradient

NUMBERS = (st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
RANDOM = st.lists(st.tuples(st.sampled_from(OPERATIONS), *NUMBERS), min_size=2, max_size=4)
CHAINS = {
    "strided, padded": [("window", 2, 1, 2), ("function", 1, 1, 1), ("transposed", 2, 1, 1), ("window", 1, 2, 1)],
    "recurrent, shifted": [("recurrence", 1, 1, 1), ("cut", 1, 1, 1), ("recurrence", 1, 1, 2), ("window", 1, 1, 1)],
    "pooled, mirrored": [("window", 1, 1, 1), ("pool", 3, 2, 1), ("cut", 1, 1, 1), ("transposed", 3, 2, 2)],
}


@pytest.mark.parametrize("name", [*PROGRAMS, *CHAINS])
def test_modules_compute_what_programs_mean(name: str) -> None:
    """Outputs, loss and gradient of a batch that leaves a vector incomplete are those of the evaluator."""
    check(chain(CHAINS[name]) if name in CHAINS else PROGRAMS[name])


@pytest.mark.thorough
@given(RANDOM)
@settings(max_examples=10)
def test_modules_compute_what_random_programs_mean(operations: list[tuple[str, int, int, int]]) -> None:
    """So do random programs."""
    check(chain(operations))


def check(model: Program) -> None:
    """A module of a program against the evaluator."""
    parameters, X, Y = data(model, samples=70)
    derived = simplify(differentiate(stabilize(model), fit=False))
    expected, slopes = evaluate(model, parameters, X, Y), gradient(derived, parameters, X, Y)
    module = nn.build(Given(model))
    loss, found = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(float(expected["loss"]), rel=1e-13)
    np.testing.assert_allclose(found, slopes, atol=1e-13 * np.linalg.norm(slopes))
    outputs = module.predict(parameters, X)
    np.testing.assert_allclose(np.ravel(outputs), np.ravel(expected["out"]), atol=1e-13)
    assert np.array_equal(module.predict(parameters, X[:1]), outputs[:1])


def test_rows_that_there_are_not_are_refused() -> None:
    """What names no row is an error with its position, whatever the number is: nothing outside is read or written."""
    model = PROGRAMS["gathered"]
    parameters, X, Y = data(model, samples=8)
    module = nn.build(Given(model))
    for wrong in (4.0, -1.0, 1.5, 1e300):
        X[3, 1] = wrong
        with pytest.raises(ValueError, match=r"X\[3, 1\] is .*; x has whole numbers from 0 to 3"):
            module.loss_and_gradient(parameters, X, Y)


def test_plain_c_computes_what_programs_mean(tmp_path: Path) -> None:
    """Outputs, loss and gradient of exported C are those of the evaluator, whatever windows, pools and gathers do."""
    exports = {name: (Given(PROGRAMS[name]), {"train": True}) for name in NAMES}
    for name, functions in loaded(tmp_path, exports).items():
        model = PROGRAMS[name]
        parameters, X, Y = data(model, samples=4)
        if name == "gathered":
            X[0, 1], X[1, 0], X[2, 2] = 4.0, -1.0, 1.5  # rows that there are not
        expected = evaluate(model, parameters, X, Y)
        slopes = gradient(simplify(differentiate(stabilize(model), fit=False)), parameters, X, Y)
        loss, found = functions.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(float(expected["loss"]), rel=1e-13)
        np.testing.assert_allclose(found, slopes, atol=1e-13 * np.linalg.norm(slopes))
        np.testing.assert_allclose(functions.predict(parameters, X).ravel(), np.ravel(expected["out"]), atol=1e-13)


@pytest.mark.parametrize(
    ("model", "precision", "tolerance"), [(GROUPED, "float64", 1e-13), (STEPS, "float32", 1e-6)], ids=["2D", "1D"]
)
def test_layers(model: nn.Sequential, precision: str, tolerance: float) -> None:
    """Convolutions, their transposes and pools give the evaluator's outputs and gradients, but for rounding."""
    program = model.describe()
    given = [each.astype(precision) for each in data(program, samples=37)]
    derived = simplify(differentiate(stabilize(program), fit=False))
    expected, slopes = evaluate(program, *given), gradient(derived, *given)
    module = nn.build(model, precision, fit=False)
    loss, found = module.loss_and_gradient(*given)
    assert loss == pytest.approx(float(expected["loss"]), rel=tolerance)
    np.testing.assert_allclose(found, slopes, atol=tolerance * np.linalg.norm(slopes))
    outputs = module.predict(*given[:2])
    np.testing.assert_allclose(outputs, expected[program.outputs[0].tensor], rtol=0, atol=3 * tolerance)
