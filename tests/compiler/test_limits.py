"""Formulas have values, gradients and Hessians that are the limits where, as written, they are 0/0 or 0*log(0)."""

from functools import cache

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.limits import power_derivative, product_unless_zero, product_unless_zeros
from tests.support.limits import FORMULAS, Evaluated, Limits, a, b, c, model_of, x

y = sympy.Symbol("y")
evaluated, limits = cache(lambda name: Evaluated(model_of(name))), cache(Limits)


def check(name, numbers, at, rel):
    """Every derivative, compared with the largest of its order."""
    for computed, expected in zip(evaluated(name)(numbers, at), limits(name)(numbers, at), strict=True):
        assert computed == pytest.approx(expected, rel=rel, abs=max(rel * np.max(np.abs(expected)), 1e-150)), (name, at)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("at", [0.0, 1e-100, 1e-30, 1e-8, 1e-3, 0.2, 0.7, 2.0])
def test_value_gradient_and_hessian(name, at):
    """At the hole, and at any distance from it, nothing is lost."""
    check(name, list(FORMULAS[name][1].values()), at, 3e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_next_to_the_smallest_numbers(name):
    """The value and the gradient hold for the smallest x, too."""
    numbers = list(FORMULAS[name][1].values())
    for computed, expected in list(zip(evaluated(name)(numbers, 1e-300), limits(name)(numbers, 1e-300), strict=True))[
        :2
    ]:
        assert computed == pytest.approx(expected, rel=1e-13, abs=max(1e-13 * np.max(np.abs(expected)), 1e-300))


FAR = {
    "tanh": [-28.0, 9.0, 19.0, 40.0, 60.0],
    "decay": [9.0, 40.0, 300.0],
    "growth": [-9.0, -40.0, -300.0, 300.0],
    "planck": [-40.0, 9.0, 40.0, 300.0],
    "sinh": [-300.0, 9.0, 40.0, 300.0],
    "erf": [2.0, 5.0, 9.0],
    "atan": [1e6],
    "sinh_sinh": [9.0, 40.0, 300.0],
    "growth_growth": [-40.0, 9.0, 40.0, 300.0],
    "tanh_sine": [9.0, 40.0],
    "sine_growth": [9.0, 40.0],
    "asinh_erf": [9.0],
    "log": [1e6],
}


@pytest.mark.parametrize("name", FAR)
def test_far_out(name):
    """Far from the hole each derivative has its own digits, however small it is beside the value."""
    numbers = list(FORMULAS[name][1].values())
    for at in FAR[name]:
        value, gradient, _ = evaluated(name)(numbers, at)
        expected = limits(name)(numbers, at)
        assert value == pytest.approx(expected[0], rel=1e-13, abs=1e-300)
        assert gradient == pytest.approx(expected[1], rel=4e-14 + 1e-15 * min(abs(at), 300), abs=1e-300), at


UNEVEN = ("root", "lower_power_log", "tan", "tan_below", "asin", "sine_sine", "tanh_sine", "growth_sine", "sine_growth",
          "log_sine", "products", "cosine_sine", "cosines")  # fmt: skip
"""Formulas that have no value for some parameters, or lose digits there as they must: next to a zero of a sine."""

POWERS = [name for name, (_, values) in FORMULAS.items() if b in values and name not in UNEVEN]


@settings(max_examples=60)
@given(
    name=st.sampled_from(POWERS),
    exponent=st.floats(1.5, 5),
    other=st.floats(0.1, 4),
    at=st.sampled_from([0.0, 0.0]) | st.floats(-100, 0.5).map(lambda power: 10**power),
)
def test_any_parameters(name, exponent, other, at):
    """So do they for other parameters."""
    numbers = [exponent if symbol == b else other + k / 8 for k, symbol in enumerate(FORMULAS[name][1])]
    size = (
        abs(exponent * np.log(at / other)) if at else 0
    )  # of what is raised to a power: its last digit counts so much
    check(name, numbers, at, 1e-13 * (1 + size / 10 if name == "exponential" else 1))


@pytest.mark.parametrize("name", FORMULAS)
def test_with_digits(name):
    """With 50 digits the evaluator takes the same limits."""
    numbers = list(FORMULAS[name][1].values())
    for at in (0.0, 1e-8):
        computed, expected = evaluated(name)(numbers, at, digits=50), limits(name)(numbers, at)
        for part, limit in zip(computed, expected, strict=True):
            assert part == pytest.approx(limit, rel=1e-14, abs=1e-150), at


@pytest.mark.parametrize("exponent", [0.0, -1.5])
def test_no_limit_is_no_number(exponent):
    """At x = 0, x**b has no derivative by b where b is 0 or negative: it is not finite."""
    formula = {"power": [2.0, exponent], "power_log": [exponent, 0.5]}
    for name, numbers in formula.items():
        gradient = evaluated(name)(numbers, 0.0)[1]
        assert not np.isfinite(gradient[list(FORMULAS[name][1]).index(b)])
    assert evaluated("power")([2.0, exponent], 0.0)[0] == (2.0 if exponent == 0 else np.inf)


def test_negative_base():
    """A power of a negative number is NaN, except for whole exponents, where it has no derivative by the exponent."""
    assert np.isnan(evaluated("power")([2.0, 1.5], -1.0)[0])
    value, gradient, _ = evaluated("power")([2.0, 3.0], -1.0)
    assert (value, gradient[0]) == (-2.0, -1.0)
    assert np.isnan(gradient[1])


def test_exact_fit_has_a_hessian():
    """Where the residual r is 0, so that the gradient is, the second derivatives of r**2 are still there."""
    formula = (x / c) ** b
    model = nn.Model("fit", [x], [y], {b: 0.5, c: 0.5}, formula, (formula - y) ** 2)
    loss, gradient, hessian = Evaluated(model)([2.0, 0.5], 1.0, 4.0)
    slopes = np.array([4 * np.log(2), -16])
    assert (loss, *gradient) == (0, 0, 0)
    assert hessian == pytest.approx(2 * np.outer(slopes, slopes), rel=1e-14)


def test_second_derivative_at_a_whole_exponent():
    """The second derivative of (x - a)**b by a at x = a is that of the polynomial for b = 0, 1 and 2."""
    power = Evaluated(nn.Model("tip", [x], [], {a: 0.5, b: 0.5}, (x - a) ** b, (x - a) ** b))
    for exponent, expected in [(0.0, 0.0), (1.0, 0.0), (2.0, 2.0), (3.0, 0.0), (2.5, 0.0)]:
        assert power([1.0, exponent], 1.0)[2][0, 0] == expected
    assert np.isnan(power([1.0, 1.5], 1.0)[2][0, 0])


def test_box_cox():
    """(a**b - 1)/b at b = 0 has the first and the second derivative of its limit, log(a)."""
    formula = (a**b - 1) / b
    value, gradient, hessian = Evaluated(nn.Model("cox", [x], [], {a: 0.5, b: 0.5}, formula, formula))([2.0, 0.0], 1.0)
    log2 = np.log(2)
    assert value == pytest.approx(log2, rel=1e-15)
    assert gradient == pytest.approx([1 / 2, log2**2 / 2], rel=1e-15)
    assert hessian == pytest.approx(np.array([[-1 / 4, log2 / 2], [log2 / 2, log2**3 / 3]]), rel=1e-15)


U, V = Element("u"), Element("v")


def test_products():
    """A factor of 0 makes the product 0, whatever the other is; derivatives are those of the plain product."""
    for u, v, unless_zero, both in [
        (0.0, np.inf, 0, 0),
        (0.0, np.nan, 0, 0),
        (np.inf, 0.0, np.nan, 0),
        (2.0, 3.0, 6, 6),
    ]:
        values = {U: np.float64(u), V: np.float64(v)}
        for function, expected in ((product_unless_zero, unless_zero), (product_unless_zeros, both)):
            with np.errstate(all="ignore"):  # of the branch that is not taken
                value = interpret(function(U, V), values, exact=False)
            assert float(value) == pytest.approx(expected, nan_ok=True)
            assert (function(U, V).diff(U), function(U, V).diff(V)) == (V, U)


@pytest.mark.parametrize(("j", "k"), [(0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (3, 0)])
def test_derivatives_of_powers(j, k):
    """They are what SymPy derives of u**b, and 0 at u = 0 where they tend to it."""
    p, q = sympy.symbols("p q", positive=True)
    derived = (p**q).diff(p, j) if j else p**q
    derived = sympy.lambdify([p, q], derived.diff(q, k) if k else derived)
    function = power_derivative(U, V, j, k)
    for u, v in [(0.3, 2.7), (1e-9, 4.2), (7.0, -1.5), (1.0, 0.4)]:
        values = {U: np.float64(u), V: np.float64(v)}
        assert interpret(function, values, exact=False) == pytest.approx(derived(u, v), rel=1e-13)
    at_zero = {U: np.float64(0), V: np.float64(j + 0.5)}
    with np.errstate(all="ignore"):  # of branches that are not taken
        assert interpret(function, at_zero, exact=False) == 0
