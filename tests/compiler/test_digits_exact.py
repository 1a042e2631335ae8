"""The exact values against which forms are measured."""

import mpmath
import numpy as np
import pytest
from sympy import cos, exp, log, sqrt

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.passes.digits.exact import Truth
from nncodegen.compiler.passes.digits.points import draw

x, y, z = (Element(name, ("n",)) for name in "xyz")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "formula",
    [
        sqrt(x + 1) - sqrt(x),
        (x + y) - x + z,
        (x + y) ** 2 - x**2,
        (x + y) - (x + z) + y * z,
        cos(x + y) - cos(x),
        exp(x) - exp(y),
        log(x**2 + 1) / x,
        (1 - cos(x)) / x**2,
    ],
    ids=str,
)
def test_exact_values(formula, dtype):
    """Values are those with many more digits, also where all digits of fewer have cancelled."""
    read = [element for element in (x, y, z) if formula.has(element)]
    points = draw(tuple(read), {}, 10, 10, dtype)
    exact_values = Truth(formula, points).everywhere()
    assert np.isfinite(exact_values).sum() >= 7
    for k, value in enumerate(exact_values):
        if np.isfinite(value):
            with mpmath.workprec(7000):
                numbers = {element: mpmath.mpf(float(column[k])) for element, column in points.items()}
                assert value == dtype(float(interpret(formula, numbers, exact=True)))


def test_values_are_computed_once(monkeypatch):
    """Each value is computed when it is first asked for, and only then."""
    truth = Truth(x + 1, {x: np.array([1.0, 2.0, 3.0])})
    assert truth.at([1, 2]).tolist() == [3.0, 4.0]
    monkeypatch.setattr("nncodegen.compiler.passes.digits.exact.walk", None)
    assert truth.at([2, 1]).tolist() == [4.0, 3.0]
    assert np.isnan(truth.at([0])[0])


def test_powers_of_exponentials_out_of_range():
    """A small power of an exponential that is far out of range has a value, or none is said to be known; never 0."""
    power = (1 / (1 + exp(-x))) ** y  # exp(-3.3) at the second point
    values = Truth(power, {x: np.array([50.0, -3.3e19]), y: np.array([0.5, 1e-19])}).everywhere()
    assert values[0] == 1.0
    assert np.isnan(values[1])
