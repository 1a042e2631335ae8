"""Stable functions against their definitions at 50 digits, over the whole range."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.ir import Element, faddeeva, functions
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import (
    StableFunction,
    elu,
    exponential_ratio,
    gelu,
    leaky_relu,
    log_cosh,
    logaddexp,
    relu,
    selu,
    softsign,
    xlogy,
)

Z = Element("z")
OWN_DOMAIN = (functions.bose_einstein, functions.log_one_minus_exp)
HELD = (functions.constant,)
"""Functions whose derivative is declared, and is not that of their values."""
LARGE = (functions.log_erfc,)
"""Functions whose value at 1e300 no double holds."""
UNARY = [
    f
    for f in StableFunction.__subclasses__()
    if f.nargs == sympy.FiniteSet(1) and f.__module__ == functions.__name__ and f not in OWN_DOMAIN
]
A, B = Element("a"), Element("b")
POINTS = [s * 10.0**k * m for s in (1, -1) for k in range(-12, 3) for m in (1, 2.5, 7.1)] + [0.0, 745.0, -745.0, 1e300]


def number(expression, z):
    with np.errstate(all="ignore"):  # of branches that are not taken
        return float(interpret(expression, {Z: np.float64(z)}, exact=False))


def exact(expression, z):
    with mpmath.workdps(700):
        return float(interpret(expression, {Z: mpmath.mpf(z)}, exact=True))


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("z", POINTS)
def test_stable_form(function, z):
    """The stable form agrees with the definition to some units in the last place, and never overflows."""
    if abs(z) > 1e5:
        assert function in LARGE or np.isfinite(number(function(Z), z))
        return
    assert number(function(Z), z) == pytest.approx(exact(function(Z), z), rel=4e-15, abs=1e-300)


def test_the_derivative_of_what_is_held():
    """What is held for a constant has the derivative 0, whatever it is."""
    assert sympy.diff(functions.constant(Z**2), Z) == 0


@pytest.mark.parametrize("function", [f for f in UNARY if f not in HELD], ids=lambda f: f.__name__)
@given(z=st.floats(-30, 30))
def test_derivative(function, z):
    """fdiff is the derivative of the definition."""
    derivative = sympy.diff(function(Z), Z)
    with mpmath.workdps(60):
        expected = mpmath.diff(lambda t: interpret(function(Z), {Z: t}, exact=True), mpmath.mpf(z))
    assert exact(derivative, z) == pytest.approx(float(expected), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("z", [-26.0, -3.0, -0.5, 0.0, 1e-9, 0.3, 0.4999, 0.5, 0.51, 1.0, 2.5, 8.0, 30.0, 1e3, 1e8])
def test_derivatives_of_erfcx(n, z):
    """The scaled error function and its derivatives keep their digits, also where exp(z**2) overflows."""
    with mpmath.workdps(80):
        expected = float(interpret(functions.erfcx_derivative.definition(Z, n), {Z: mpmath.mpf(z)}, exact=True))
    derivative = sympy.diff(functions.erfcx(Z), Z, n) if n else functions.erfcx(Z)
    assert number(derivative, z) == pytest.approx(expected, rel=4e-15)


FADDEEVA_PLACES = [
    (0.0, 0.0), (0.3, 0.0), (1.5, 1e-9), (0.0, 1.5), (1e-9, 0.4), (-2.5, 0.7), (6.0, 1e-12), (4.0, 3.0), (0.5, -0.5),
    (8.0, 7.0), (11.9, 0.4), (0.0, 12.5), (12.1, 1.0), (-40.0, 3.0), (1e3, 1e-3), (1e-3, 1e5), (1e8, 1e8), (20.0, 0.0),
]  # fmt: skip
"""Places on both sides of where derivatives of the Faddeeva function are computed in another way."""


@pytest.mark.parametrize(("x", "y"), FADDEEVA_PLACES)
def test_derivatives_of_faddeeva(x, y):
    """Derivatives of both parts are those of w' = 2*i/sqrt(pi) - 2*z*w, as precise as |w'|, far out and near 0.

    The second ones lose more digits where they are made of the first.
    """
    with mpmath.workdps(120):
        z = mpmath.mpc(x, y)
        w = mpmath.mpc(*faddeeva.exact(x, y))
        first = mpmath.mpc(0, 2 / mpmath.sqrt(mpmath.pi)) - 2 * z * w
        second = -2 * w - 2 * z * first
    pairs = {functions.faddeeva_real: lambda w: w.real, functions.faddeeva_imag: lambda w: w.imag}
    for function, part in pairs.items():
        value_of = function(A, B)
        for by, expected in (("a", first), ("b", first * 1j), ("aa", second), ("ab", second * 1j), ("bb", -second)):
            computed = value(value_of.diff(*map(Element, by)), a=x, b=y)
            allowed = 2e-13 if len(by) == 1 else 5e-11
            assert abs(computed - float(part(expected))) <= allowed * float(abs(expected)), (function, by)


def test_numbers_of_faddeeva():
    """At numbers both parts have values in SymPy, which constants of formulas take."""
    with mpmath.workdps(30):
        computed = functions.faddeeva_real(0, 1).evalf(30)._to_mpmath(mpmath.mp.prec)
        assert abs(computed - mpmath.exp(1) * mpmath.erfc(1)) < 1e-28
    dawson = 0.4525399074037225  # of SciPy
    assert float(functions.faddeeva_imag(sympy.sqrt(2), 0)) == pytest.approx(2 / np.sqrt(np.pi) * dawson, rel=1e-15)
    assert functions.faddeeva_real(A, 1).evalf() == functions.faddeeva_real(A, 1)


def test_signs_of_faddeeva():
    """The real part is even in x and the imaginary part odd, which formulas use."""
    assert functions.faddeeva_real(-A, B) == functions.faddeeva_real(A, B)
    assert functions.faddeeva_imag(-A, B) == -functions.faddeeva_imag(A, B)


@pytest.mark.parametrize(
    ("expression", "z", "expected"),
    [
        (relu(Z), -2.0, 0.0),
        (relu(Z), 3.0, 3.0),
        (relu(Z), 0.0, 0.0),
        (leaky_relu(Z), -2.0, -0.02),
        (elu(Z), -1.0, np.expm1(-1)),
        (elu(Z), 2.0, 2.0),
        (selu(Z), 1.0, 1.0507009873554805),
        (selu(Z), -1.0, 1.0507009873554805 * 1.6732632423543772 * np.expm1(-1)),
        (softsign(Z), -3.0, -0.75),
        (gelu(Z), 1.0, 0.8413447460685429),
        (gelu(Z), -10.0, -7.61985302416052e-23),
        (log_cosh(Z), 1e-8, 5e-17),
    ],
)
def test_values(expression, z, expected):
    """Some values that are known from elsewhere."""
    assert number(expression, z) == pytest.approx(expected, rel=1e-13)


def value(expression, **numbers):
    with np.errstate(all="ignore"):
        return float(interpret(expression, {Element(k): np.float64(v) for k, v in numbers.items()}, exact=False))


@pytest.mark.parametrize("u", [-1e17, -800.0, -3.0, 0.3, 800.0])
@pytest.mark.parametrize("v", [-700.0, 0.25, 900.0])
def test_logaddexp(u, v):
    """logaddexp is that of NumPy; it depends on its larger argument alone where they are far apart."""
    assert value(logaddexp(A, B), a=u, b=v) == pytest.approx(np.logaddexp(u, v), rel=1e-15)
    weight = value(sympy.diff(logaddexp(A, B), A), a=u, b=v)
    assert weight == pytest.approx(np.exp(u - np.logaddexp(u, v)) if abs(u) < 1e4 else 0, rel=1e-12)


@pytest.mark.parametrize("u", [-800.0, -2.0, 0.0, 3.0, 800.0])
@pytest.mark.parametrize("b", [2.5, -0.125])
def test_exponential_ratio(u, b):
    """1/(c + b*exp(u)) and its derivatives are finite at any exponent, and those of the definition."""
    symbols = (Z, A, B)
    ratio = exponential_ratio(*symbols)
    for expression in (ratio, *(sympy.diff(ratio, symbol) for symbol in symbols)):
        computed = value(expression, z=u, a=b, b=1.5)
        with mpmath.workdps(50):
            exact_values = {Z: mpmath.mpf(u), A: mpmath.mpf(b), B: mpmath.mpf(1.5)}
            assert computed == pytest.approx(
                float(interpret(expression, exact_values, exact=True)), rel=1e-13, abs=1e-300
            )


def test_relu_at_zero_and_nan():
    """The derivative of relu at 0 is 0, as in Keras and PyTorch, and a NaN is not hidden."""
    assert number(sympy.diff(relu(Z), Z), 0.0) == 0
    assert np.isnan(number(relu(Z), np.nan))


def test_xlogy():
    """0*log(0) is 0, and so is its derivative by the second argument."""
    a, b = Element("a"), Element("b")
    values = {a: np.float64(0), b: np.float64(0)}
    with np.errstate(all="ignore"):
        assert float(interpret(xlogy(a, b), values, exact=False)) == 0
        assert float(interpret(sympy.diff(xlogy(a, b), b), values, exact=False)) == 0
    values = {a: np.float64(2), b: np.float64(3)}
    assert float(interpret(xlogy(a, b), values, exact=False)) == pytest.approx(2 * np.log(3))


def test_every_function_is_documented():
    """A reader finds the formula of each function in its docstring."""
    for name, value in vars(functions).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == functions.__name__:
            assert value.__doc__, name


def test_the_derivative_of_softsign_keeps_its_digits_far_out():
    """The compiled form of d_a of softsign(a*x) is that of fifty digits, where z/(1 + |z|) has long become 1."""
    x, y, a = sympy.symbols("x y a")
    program = nn.compile_model(nn.Model("far", x, y, {a: 1}, softsign(a * x)), until="simplify", fit=False)["simplify"]
    (gradient,) = program.gradient
    for far in (0.0, 0.25, -3.0, 1e5, -1e8, 1e40):
        computed = nn.evaluate(program, [1.0], [[far]], [[0.5]])[gradient.tensor].item()
        with mpmath.workdps(60):
            z = mpmath.mpf(far)
            exact = 2 * (z / (1 + abs(z)) - mpmath.mpf(0.5)) * z / (1 + abs(z)) ** 2
        assert abs(computed - exact) <= abs(exact) * mpmath.mpf(2) ** -50


X, Y, P, Q = sympy.symbols("x y p q")
SHARES = {
    "hill": (X**Q / (P**Q + X**Q), (1.5, 2.0), 1e6),
    "hill of a quotient": ((X / P) ** Q / (1 + (X / P) ** Q), (1.5, 2.0), 1e6),
    "langmuir": (Q * P * X / (1 + P * X), (3.0, 2.0), 1e9),
    "ratio": (P / (P + Q * X), (1e12, 2.0), 0.75),
}


@pytest.mark.parametrize("name", SHARES)
def test_the_derivative_of_a_share_keeps_its_digits(name):
    """Where u is much the larger in u/(u + v), the compiled gradient is that of fifty digits, to a few units."""
    formula, values, at = SHARES[name]
    model = nn.Model("share", X, Y, dict(zip((P, Q), values, strict=True)), formula, formula)
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    computed = nn.evaluate(program, values, [[at]], [[0.0]])
    with mpmath.workdps(50):
        exact = sympy.lambdify((X, P, Q), [formula.diff(P), formula.diff(Q)], "mpmath")(*map(mpmath.mpf, (at, *values)))
    slopes = [float(computed[element.tensor]) for element in program.gradient]
    np.testing.assert_allclose(slopes, [float(number) for number in exact], rtol=1e-14)


def test_the_derivative_of_a_share_of_what_is_infinite():
    """Where p**q overflows, the share and its gradient are 0, as their limits are."""
    formula = X**Q / (P**Q + X**Q)
    model = nn.Model("share", X, Y, {P: 1e10, Q: 40}, formula, formula)
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    computed = nn.evaluate(program, (1e10, 40.0), [[2.0]], [[0.0]])
    assert [float(computed[element.tensor]) for element in (program.loss, *program.gradient)] == [0, 0, 0]
