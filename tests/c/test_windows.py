"""Compiled windows, pools, joined arrays and gathered rows against the evaluator."""

from __future__ import annotations

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.ir import evaluate
from nncodegen.passes.differentiate import differentiate
from nncodegen.passes.simplify import simplify
from nncodegen.passes.stabilize import stabilize
from tests.support.windows import PROGRAMS, Given, data, gradient

NAMES = [name for name in PROGRAMS if name not in ("recurrent", "backwards", "gated")]


@pytest.mark.parametrize("name", NAMES)
def test_modules_compute_what_programs_mean(name: str) -> None:
    """Outputs, loss and gradient of a batch that leaves a vector incomplete are those of the evaluator."""
    model = PROGRAMS[name]
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


def test_gathered_rows_that_there_are_not_are_zeros() -> None:
    """Nothing outside of an array is read or written, whatever the inputs are."""
    model = PROGRAMS["gathered"]
    parameters, X, Y = data(model, samples=8)
    X[:4, 1] = [4.0, -1.0, 1.5, 1e300]
    expected = gradient(differentiate(stabilize(model), fit=False), parameters, X, Y)
    module = nn.build(Given(model))
    np.testing.assert_allclose(module.loss_and_gradient(parameters, X, Y)[1], expected, atol=1e-14)
