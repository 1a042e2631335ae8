"""Each rule of algebra, as a formula and what becomes of it."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Abs, Add, Heaviside, Max, cosh, exp, log, sinh, tanh

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import (
    bose_einstein,
    erfcx,
    exponential_ratio,
    log_cosh,
    log_erfc,
    log_one_minus_exp,
    log_softplus,
    logaddexp,
    plain_conditions,
    sech,
    sech2,
    sigmoid,
    softplus,
    xlogy,
)
from nncodegen.compiler.ir.functions import tanh as own_tanh
from nncodegen.compiler.ir.limits import power_near_one
from nncodegen.compiler.ir.quotients import over, under
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.compiler.passes.rules import RULES
from nncodegen.compiler.passes.rules.forms import stable_form
from tests.support.search import examples

u, v, w, y, z = (Element(name) for name in "uvwyz")
E = sympy.Float(2.71828182845905)

CASES = [
    (1 / (1 + exp(-z)), sigmoid(z)),
    (1 / (1 + E**-z), sigmoid(z)),
    (exp(z) / (1 + exp(z)), sigmoid(z)),
    (exp(-z) / (1 + exp(-z)) ** 2, sigmoid(z) * sigmoid(-z)),
    (1 - 1 / (1 + exp(-z)), sigmoid(-z)),
    (1 / (2 + 3 * exp(z)), sigmoid(log(sympy.Rational(2, 3)) - z) / 2),
    (exp(u) / (exp(u) + exp(v)), sigmoid(u - v)),
    (log(1 + exp(z)), softplus(z)),
    (log(exp(u) + exp(v)), logaddexp(u, v)),
    (1 / (exp(u) + exp(v)), exp(-logaddexp(u, v))),
    (exp(v) / (exp(u) + exp(v) + exp(w)), sigmoid(v - u) * sigmoid(logaddexp(u, v) - w)),
    (exp(-2 * (u * z + v)) / (1 + exp(-u * z - v)) ** 2, sigmoid(-u * z - v) ** 2),
    ((1 + exp(z)) ** sympy.Rational(1, 3), exp(softplus(z) / 3)),
    ((1 + exp(-z)) ** -y, exp(-y * softplus(-z))),
    (2**z / (1 + 2**z), sigmoid(z * log(2))),
    (u / (1 + v * exp(-w * z)), u * exponential_ratio(-w * z, v, 1)),
    (exp(z) / (y + exp(z)), exponential_ratio(-z, y, 1)),
    (y - y * sigmoid(z), y * sigmoid(-z)),
    (sigmoid(z) - 1, -sigmoid(-z)),
    (sympy.Rational(1, 2) - sigmoid(z) / 2, sigmoid(-z) / 2),
    (1 + tanh(z), 2 * sigmoid(2 * z)),
    (3 - 3 * tanh(z), 6 * sigmoid(-2 * z)),
    (1 - sigmoid(z) ** 2, sigmoid(-z) * (1 + sigmoid(z))),
    (1 - exp(z), -sympy.codegen.cfunctions.expm1(z)),
    (1 / cosh(z), sech(z)),
    (1 / cosh(z) ** 3, sech2(z) * sech(z)),
    (sinh(z) / cosh(z), own_tanh(z)),
    (exp(z) / (exp(z) - 1), -bose_einstein(-z)),
    (log(exp(z) - 1), z + log_one_minus_exp(z)),
    (log(sympy.sqrt(1 / (1 + exp(-z)))), -softplus(-z) / 2),
    (log(2 * cosh(z)), log(2) + log_cosh(z)),
    (log(softplus(z)), log_softplus(z)),
    (log(1 / (1 + exp(-z))), -softplus(-z)),
    (log(1 - 1 / (1 + exp(-z))), -softplus(z)),
    (log(exp(z) * sigmoid(z)), z - softplus(-z)),
    (log(cosh(z)), log_cosh(z)),
    (log(1 - tanh(z) ** 2), -2 * log_cosh(z)),
    ((1 + z**2) ** -y, power_near_one(z**2, -y, 0, 0)),
    (y ** (u - 1) * (1 + z) ** (w - 1), y ** (u - 1) * power_near_one(z, w - 1, 0, 0)),
    (log((1 + z**2) ** y), y * sympy.codegen.cfunctions.log1p(z**2)),
    (sympy.sin(u * z) / z, over(sympy.sin)(u, z)),
    (z / sinh(u * z), under(sinh)(u, z)),
    (sympy.sin(u * z) / sympy.tan(v * z), over(sympy.sin)(u, z) * under(sympy.tan)(v, z)),
    (log(sympy.erfc(z)), log_erfc(z)),
    (exp((u * z) ** 2) * sympy.erfc(u * z), erfcx(u * z)),
    (exp(z**2) * sympy.erfc(-z), erfcx(-z)),
    (1 - sympy.erf(z), sympy.erfc(z)),
    (log(1 + z**2), sympy.codegen.cfunctions.log1p(z**2)),
    (exp(z) - 1, sympy.codegen.cfunctions.expm1(z)),
    (xlogy(y, sigmoid(z)), -y * softplus(-z)),
    (xlogy(y, exp(z)), y * z),
    (tanh(z), own_tanh(z)),
    (1 - tanh(z) ** 2, sech2(z)),
    ((exp(z) - exp(-z)) / (exp(z) + exp(-z)), own_tanh(z)),
    ((exp(2 * z) - 1) / (exp(2 * z) + 1), own_tanh(z)),
    ((1 - exp(-2 * z)) / (1 + exp(-2 * z)), own_tanh(z)),
    (2 / (1 + exp(-2 * z)) - 1, own_tanh(z)),
    (1 - 2 / (1 + exp(2 * z)), own_tanh(z)),
]

x = Element("x", ("n",))
SHARES = [
    (3 * u * z / (1 + 2 * u * z), 3 * share(2 * u * z, 1) / 2),
    (w * u**y / (u**y + z**y), w * share(u**y, z**y)),
    (y - y * u / (u + z), y * share(z, u)),
]
"""Quotients whose derivatives as written lose digits."""


@pytest.mark.parametrize(("formula", "expected"), [*CASES, *SHARES], ids=str)
def test_rule(formula, expected):
    """A formula as people write it becomes its stable form."""
    assert stable_form(formula) == expected


@pytest.mark.parametrize(
    "formula",
    [case[0] for case in CASES]
    + [
        exp(u) / (exp(u) + exp(v) + exp(w)),
        log(exp(u) + 2 * exp(v) + exp(w)),
        sympy.sign(z),
        Heaviside(z),
        sympy.sech(z),
        sympy.coth(z),
        sympy.csch(z),
        sympy.sec(z),
        sympy.csc(z),
        sympy.cot(z),
        Max(u, v, w),
        sinh(z) * exp(-Abs(z)),
        log(exp(u) / (exp(u) + exp(v) + exp(w))),
        exp(u) * exp(v),
        1 / (1 + exp(z)) ** 3,
        Add(1, -sigmoid(u), -sigmoid(v)),
        exp(-2 * z) * sigmoid(z) ** 3,
        *(case[0] for case in SHARES),
    ],
    ids=str,
)
@examples(30)
@given(numbers=st.lists(st.floats(0.01, 20), min_size=5, max_size=5))
def test_the_value_is_kept(formula, numbers):
    """The stable form has the value of the formula, at 50 digits; v is negative, the others positive."""
    numbers[1] = -numbers[1] if formula.has(exp(v)) else numbers[1]
    values = {symbol: mpmath.mpf(number or 0.5) for symbol, number in zip((u, v, w, y, z), numbers, strict=True)}
    with mpmath.workdps(50):
        before = interpret(formula, values, exact=True)
        after = interpret(stable_form(formula), values, exact=True)
        assert abs(before - after) <= mpmath.mpf("1e-12") * (1 + abs(before))  # the base is e to machine precision


def test_the_share_of_an_input_stays_a_quotient():
    """No gradient needs the derivative by x of V*x/(K + x), the formula of Michaelis and Menten: it stays as it is."""
    assert stable_form(v * x / (u + x)) == v * x / (u + x)


@pytest.mark.parametrize("formula", [case[0] for case in CASES], ids=str)
@pytest.mark.parametrize("z_value", [1e-10, 1e-5, 0.5, 3.0])
def test_a_value_is_recognized_everywhere(formula, z_value):
    """In sin(T)/T, where SymPy takes the second T apart, both are the same value: the derivative keeps its digits."""
    whole = sympy.sin(formula) / formula
    values = {u: 0.7, v: -0.4, w: 1.3, y: 2.5, z: z_value}

    def derivative_at(moved):
        with mpmath.workdps(60):
            exact = {symbol: mpmath.mpf(number) for symbol, number in {**values, z: moved}.items()}
            return mpmath.diff(lambda t: interpret(whole, {**exact, z: t}, exact=True), exact[z])

    expected = derivative_at(z_value)
    condition = abs(derivative_at(z_value * (1 + 2**-40)) / expected - 1) * 2**40 if expected else 0
    slope = plain_conditions(derivative(stable_form(whole), z))
    with np.errstate(all="ignore"):
        value = interpret(slope, {symbol: np.float64(number) for symbol, number in values.items()}, exact=False)
    assert float(abs(value - expected)) <= 1e-12 * (1 + condition) * abs(expected) + 1e-17


@pytest.mark.parametrize("z_value", [800.0, -800.0, 1e300, -1e300])
def test_nothing_overflows(z_value):
    """What overflows as written is finite in its stable form, and so is its derivative."""
    formulas = [
        1 / (1 + exp(-z)),
        log(1 + exp(z)),
        log(cosh(z)),
        (exp(z) - exp(-z)) / (exp(z) + exp(-z)),
        exp(z) / (exp(z) + exp(-z)),
        log(exp(z) + exp(-z)),
        1 / (exp(z) + exp(-z)),
        1 / cosh(z),
        sinh(z) / cosh(z),
        1 / (1 - 3 * exp(z)),
        log(1 / (1 + exp(-z))),
        exp(z) / (exp(z) + exp(-z) + 1),
    ]
    for formula in formulas:
        stable = stable_form(formula)
        for expression in (stable, sympy.diff(stable, z)):
            with np.errstate(all="ignore"):
                assert np.isfinite(interpret(expression, {z: np.float64(z_value)}, exact=False)), (formula, expression)


def test_every_rule_states_its_algebra():
    """The first line of each rule's docstring is an equation."""
    for rules in RULES.values():
        for rule in rules:
            if rule.__name__ != "<lambda>":
                assert "=" in rule.__doc__ or "with a derivative" in rule.__doc__, rule.__name__
