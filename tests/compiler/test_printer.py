"""Scalar expressions as C."""

import pytest
import sympy
from sympy import Max, Min, Piecewise, Rational, exp, log, pi, sqrt

from nncodegen.compiler.emit.dialects import ANY_TYPE, IN_MODULES, in_registers
from nncodegen.compiler.emit.printer import Printer
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import decay, half_expm1, tanh_of
from nncodegen.formats.c.dialects import doubles, exported

x, y, t = Element("x"), Element("y", ("n",)), Element("t")


def text(expression, precision="float64", dialect=IN_MODULES, used=None):
    return Printer(precision, lambda element: element.tensor, dialect, used).print(expression)


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
        (y / x**2, "y/(x*x)"),
        (-x * y**-3 / 3, "(-1.0/3.0*x)/(y*y*y)"),
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
    printed = text(exp(x) * Rational(1, 3) + sqrt(y) * log(2), "float32")
    assert printed == "0.693147181F*sqrtf(y) + (1.0F/3.0F)*exp_of(x)"


def test_registers():
    """What is ready early comes first, and functions are those for one argument."""
    dialect = in_registers({x: 50, y: 0})
    assert text(x + y + x * y + 1, dialect=dialect) == "1 + y + x + y*x"
    assert text(exp(x) * decay(y), dialect=dialect) == "exp_scalar(-y)*exp_scalar(x)"
    assert text(x**y, dialect=dialect) == "pow(x, y)"
    same = Printer("float64", lambda element: element.tensor, dialect, fuses=True)
    assert same.print(x**y) == "power_scalar(x, y)"


def test_any_type():
    """A text for either type of numbers casts its constants, and calls functions for either."""
    expression = Rational(1, 3) * x + 0.5 * y + 1 / sqrt(x) + 1 / y + abs(y)
    expected = "1/root(x) + (real) 0.5*y + magnitude(y) + 1/y + ((real) 1/3)*x"
    assert sorted(text(expression, dialect=ANY_TYPE).split(" + ")) == sorted(expected.split(" + "))


HYPERBOLIC = tanh_of(x, half_expm1(x), y)


@pytest.mark.parametrize(
    ("dialect", "precision", "expression", "expected", "helpers"),
    [
        (exported(True), "float32", exp(x), "expf(x)", []),
        (exported(True), "float32", decay(x), "expf(-x)", []),
        (exported(True), "float64", HYPERBOLIC, "tanh_of(x, half_expm1_of(x), y)", ["half_expm1", "tanh_of"]),
        (exported(True), "float64", Max(x, y), "maximum(x, y)", ["maximum"]),
        (exported(True), "float64", sympy.sign(x), "(real) ((x > 0) - (x < 0))", []),
        (exported(False), "float32", decay(x), "decay_of(x)", ["functions"]),
        (doubles("float32", True), "float64", y**t, "power(y, t)", ["power"]),
        (doubles("float32", True), "float64", sqrt(x), "sqrt(x)", []),
        (doubles("float32", False), "float64", sqrt(x), "root_of(x)", ["root"]),
        (doubles("float64", False), "float64", sqrt(x), "sqrt(x)", []),
        (doubles("float64", False), "float64", exp(x), "exp_of((real) (x))", ["functions"]),
        (doubles("float64", False), "float64", abs(x), "fabs((real) (x))", []),
        (
            doubles("float64", False),
            "float64",
            tanh_of(x, y, t),
            "tanh_of((real) (x), (real) (y), (real) (t))",
            ["functions"],
        ),
    ],
)
def test_exports(dialect, precision, expression, expected, helpers):
    """Exports call the C library or functions of nncodegen, and tell which helpers they need."""
    used = {}
    assert text(expression, precision, dialect, used) == expected
    assert list(used) == helpers
