"""Scalar expressions as C."""

import pytest
import sympy
from sympy import Max, Min, Piecewise, Rational, exp, log, pi, sqrt

from nncodegen.emit.printer import Printer
from nncodegen.ir import Element

x, y = Element("x"), Element("y", ("n",))


def text(expression, precision="float64"):
    return Printer(precision, lambda element: element.tensor).print(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (x + 2 * y, "x + 2*y"),
        (x**2, "x*x"),
        ((x * y) ** 3, "x*x*x*y*y*y"),
        (1 / x, "1.0/x"),
        (sqrt(x), "sqrt(x)"),
        (x ** Rational(1, 3), "cbrt(x)"),
        (1 / sqrt(x), "1.0/sqrt(x)"),
        (y * (x + 1) ** Rational(-1, 2), "y/sqrt(x + 1)"),
        (x ** Rational(3, 2), "(x*sqrt(x))"),
        (x ** Rational(-3, 2), "1.0/(x*sqrt(x))"),
        (y * (x + 1) ** Rational(-3, 2), "y/((x + 1)*sqrt(x + 1))"),
        (x ** Rational(5, 2), "pow(x, 5.0/2.0)"),
        (Rational(1, 3) * x, "(1.0/3.0)*x"),
        (log(2) * x, "0.69314718055994531*x"),
        (pi * x, "3.1415926535897932*x"),
        (10**12 * x, "1000000000000.0*x"),
        (exp(-x), "exp_of(-x)"),
        (sympy.sin(log(x)), "sin(log_of(x))"),
        (sympy.erf(x) * sympy.erfc(y), "erf_of(x)*erfc_of(y)"),
        (Max(x, y), "maximum(x, y)"),
        (Min(0, x), "minimum(0, x)"),
        (Piecewise((x, x > 0), (y, True)), "(x > 0 ? x : y)"),
        (Piecewise((x, (x > 0) & (y < 1)), (1, sympy.Eq(x, y)), (y, True)), "(x > 0 && y < 1 ? x : (x == y ? 1 : y))"),
    ],
)
def test_double(expression, expected):
    """What people would write."""
    assert text(expression) == expected


def test_float():
    """In single precision constants and functions have it, too."""
    found = text(exp(x) * Rational(1, 3) + sqrt(y) * log(2), "float32")
    assert found == "0.693147181F*sqrtf(y) + (1.0F/3.0F)*exp_of(x)"
