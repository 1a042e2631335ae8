"""Functions with a hole or an end of their domain, against their definitions at 50 digits."""

import mpmath
import numpy as np
import pytest
import sympy
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.compiler.ir import Element, functions
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import bose_einstein, log_one_minus_exp
from nncodegen.compiler.ir.quotients import QUOTIENTS, langevin, over, under

Z = Element("z")
INSIDE = [s * m for s in (1, -1) for m in (0.0, 1e-300, 1e-12, 1e-5, 1e-3, 0.05, 0.2, 0.2499, 0.2501, 0.3, 0.7, 0.95)]
BEYOND = [*INSIDE, 1.001, -1.3, 4.0, -9.0, 30.0, 300.0, -700.0]
BOUNDED = (sympy.asin, sympy.atanh)  # defined up to 1; log1p from -1 on, and tan has poles


def number(expression, z):
    with np.errstate(all="ignore"):  # of branches that are not taken
        return float(interpret(expression, {Z: np.float64(z)}, exact=False))


def exact(function, z):
    """The value and the derivative of a definition, at 50 digits."""
    with mpmath.workdps(120):
        value = lambda t: interpret(function.definition(Z), {Z: t}, exact=True)  # noqa: E731
        step = mpmath.mpf(10) ** -40
        at = mpmath.mpf(z)
        return value(at), (value(at + step) - value(at - step)) / (2 * step)


def points(function):
    numerator = getattr(function, "numerator", None)
    if numerator in BOUNDED:
        return INSIDE
    if numerator is not None and numerator.__name__ in ("log1p", "tan"):
        return [z for z in BEYOND if z > -1 and abs(z) < 1.5]
    return BEYOND


@pytest.mark.parametrize("function", [*QUOTIENTS.values(), langevin], ids=lambda f: f.__name__)
def test_quotients(function):
    """A quotient has its value and its derivative at 0 and on both sides of where its series ends."""
    for z in points(function):
        value, slope = exact(function, z)
        assert number(function(Z), z) == pytest.approx(float(value), rel=1e-14, abs=1e-300), z
        assert number(sympy.diff(function(Z), Z), z) == pytest.approx(float(slope), rel=2e-14, abs=1e-39), z


C, U = Element("c"), Element("u")
FUNCTIONS = [sympy.sin, sympy.sinh, functions.tanh, expm1, log1p, sympy.erf]


@pytest.mark.parametrize("kind", [over, under])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_quotients_of_two_arguments(function, kind):
    """f(c*u)/u and u/f(c*u) have their values and both derivatives, near 0 and far out, where f grows or saturates."""
    quotient, c = kind(function)(C, U), 0.75
    for u in points(QUOTIENTS[function]):
        if u and abs(u) < (1e-100 if function is not log1p else 0):
            continue
        with mpmath.workdps(700):
            at, step = {C: mpmath.mpf(c), U: mpmath.mpf(u)}, mpmath.mpf(10) ** -150
            value = interpret(quotient.definition(C, U), at, exact=True)
            slopes = [
                (interpret(quotient.definition(C, U), {**at, by: at[by] + step}, exact=True) - value) / step
                for by in (C, U)
            ]
        numbers = {C: np.float64(c), U: np.float64(u)}
        with np.errstate(all="ignore"):
            computed = [
                interpret(each, numbers, exact=False) for each in (quotient, *(quotient.diff(s) for s in (C, U)))
            ]
        for result, expected in zip(computed, [value, *slopes], strict=True):
            if abs(expected) < 1e300:
                bound = 2e-14 + 1e-15 * abs(u)
                assert float(result) == pytest.approx(float(expected), rel=bound, abs=1e-39), (function, u)


@pytest.mark.parametrize("z", [1e-300, 1e-9, 0.3, 0.69, 0.71, 1.0, 30.0, 600.0, 800.0])
def test_bose_einstein(z):
    """1/(exp(z) - 1) and log(1 - exp(-z)) keep their digits near 0 and far from it, and so do their derivatives."""
    with mpmath.workdps(700):
        e = mpmath.exp(mpmath.mpf(z))
        expected = [1 / (e - 1), -e / (e - 1) ** 2, mpmath.log(1 - 1 / e), 1 / (e - 1)]
    expressions = [
        bose_einstein(Z),
        sympy.diff(bose_einstein(Z), Z),
        log_one_minus_exp(Z),
        sympy.diff(log_one_minus_exp(Z), Z),
    ]
    for expression, value in zip(expressions, expected, strict=True):
        if 1e-300 < abs(value) < 1e300:
            assert number(expression, z) == pytest.approx(float(value), rel=4e-15)
    assert number(bose_einstein(Z), -z) == pytest.approx(float(-1 - expected[0]), rel=4e-15)
