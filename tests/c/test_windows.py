"""Compiled windows, pools, joined arrays and gathered rows against the evaluator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.ir import Program, evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from tests.support.windows import OPERATIONS, PROGRAMS, chain, data, gradient

pytestmark = pytest.mark.usefixtures("vector_compiler")

NUMBERS = (st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
RANDOM = st.lists(st.tuples(st.sampled_from(OPERATIONS), *NUMBERS), min_size=2, max_size=4)
CHAINS = {
    "strided, padded": [("window", 2, 1, 2), ("function", 1, 1, 1), ("transposed", 2, 1, 1), ("window", 1, 2, 1)],
    "recurrent, shifted": [("recurrence", 1, 1, 1), ("cut", 1, 1, 1), ("recurrence", 1, 1, 2), ("window", 1, 1, 1)],
    "pooled, mirrored": [("window", 1, 1, 1), ("pool", 3, 2, 1), ("cut", 1, 1, 1), ("transposed", 3, 2, 2)],
}

ALIKE = ("window", "padding", "stride", "dilation", "overlap", "recurrent")
"""Programs of which others have more: a window that is strided, padded and dilated, a recurrence that goes back."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.thorough] if name in ALIKE else []) for name in (*PROGRAMS, *CHAINS)],
)
def test_modules_compute_what_programs_mean(name: str) -> None:
    """Outputs, loss and gradient of a batch that leaves a vector incomplete are those of the evaluator."""
    check(chain(CHAINS[name]) if name in CHAINS else PROGRAMS[name])


@pytest.mark.thorough
@pytest.mark.usefixtures("usual_compiler")
@pytest.mark.parametrize("name", [*PROGRAMS, *CHAINS])
def test_modules_of_people_do(name: str) -> None:
    """So they do where they are compiled as people get them."""
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
    derived = simplify(differentiate(stabilize(model)))
    expected, slopes = evaluate(model, parameters, X, Y), gradient(derived, parameters, X, Y)
    module = nn.build(Described(model))
    loss, predicted = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(float(expected["loss"]), rel=1e-13)
    np.testing.assert_allclose(predicted, slopes, atol=1e-13 * np.linalg.norm(slopes))
    outputs = module.predict(parameters, X)
    np.testing.assert_allclose(np.ravel(outputs), np.ravel(expected["out"]), atol=1e-13)
    assert np.array_equal(module.predict(parameters, X[:3]), outputs[:3])
    for single in range(3):  # a recurrence has loops of its own for one row
        predicted = module.predict(parameters, X[single : single + 1])
        np.testing.assert_allclose(np.ravel(predicted), np.ravel(expected["out"][single]), atol=1e-13)


def test_rows_that_there_are_not_are_refused() -> None:
    """What names no row is an error with its position, whatever the number is: nothing outside is read or written."""
    model = PROGRAMS["gathered"]
    parameters, X, Y = data(model, samples=8)
    module = nn.build(Described(model))
    for wrong in (4.0, -1.0, 1.5, 1e300):
        X[3, 1] = wrong
        with pytest.raises(ValueError, match=r"X\[3, 1\] is .*; x has whole numbers from 0 to 3"):
            module.loss_and_gradient(parameters, X, Y)
