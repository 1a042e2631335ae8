"""Gradients are numbers wherever the mathematics has one, however large a value is that does not count."""

import mpmath
import numpy as np
import pytest
import sympy
from sympy import Abs, Heaviside, Max, Min, Piecewise, exp, log, sin, sqrt
from sympy.codegen.cfunctions import Cbrt, hypot

import nncodegen as nn
from nncodegen.compiler.ir.functions import StableFunction
from tests.support.hidden import GROWING, HIDING, MODULES, POINTS
from tests.support.models import gradient_of

a, b, c, d, x, y = sympy.symbols("a b c d x y")
T = (exp(a) - exp(-a)) / (exp(a) + exp(-a))
HILL = d + (a - d) / (1 + (x / c) ** b)


def found(formula, values, at):
    """The loss and its gradient by the simplified program, in float64; ``values`` by symbol."""
    parameters = dict.fromkeys(values, 0.5)
    model = nn.Model("m", [x], [], parameters, formula, formula)
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    numbers = list(values.values())
    return float(nn.evaluate(program, numbers, [[at]])["loss"]), gradient_of(program, numbers, [[at]], None)


CASES = [
    (HILL, {a: 0.1, b: 2.0, c: 0.5, d: 0.3}, 0.0, 0.1, [1, 0, 0, 0]),
    (HILL, {a: 0.1, b: 0.5, c: 0.5, d: 0.3}, 0.0, 0.1, [1, 0, 0, 0]),
    (HILL, {a: 0.1, b: -2.0, c: 0.5, d: 0.3}, 0.0, 0.3, [0, 0, 0, 1]),
    (HILL, {a: 0.1, b: 40.0, c: 0.5, d: 0.3}, 1e200, 0.3, [0, 0, 0, 1]),
    (Min(exp(a * x), 10**6), {a: 1.0}, 1000.0, 1e6, [0]),
    (Max(-exp(a * x), -1), {a: 1.0}, 1000.0, -1, [0]),
    (Min(0.7, sqrt(Abs(x / a))), {a: 0.0}, 1.0, 0.7, [0]),
    (Cbrt(a), {a: -2.0}, 0.0, -(2 ** (1 / 3)), [2 ** (-2 / 3) / 3]),
    (exp(a) / (exp(a) - 1), {a: -800.0}, 0.0, 0, [0]),
    (1 / (exp(a) - 1), {a: 800.0}, 0.0, 0, [0]),
    (1 / (exp(a) - 1), {a: 400.0}, 0.0, np.exp(-400.0), [-np.exp(-400.0)]),
    (sqrt(a * Heaviside(a)), {a: -2.0}, 0.0, 0, [0]),
    (Heaviside(a) * log(a), {a: -2.0}, 0.0, 0, [0]),
    (sin(T) / T, {a: 0.0}, 0.0, 1, [0]),
    (sin(T) / T, {a: 1e-10}, 0.0, 1, [-1e-10 / 3]),
    (sin(T) / T, {a: 1e-5}, 0.0, 1 - 1e-10 / 6, [-1e-5 / 3 * (1 - 4.3e-10 / 3)]),
    (sin(T) / T, {a: 800.0}, 0.0, np.sin(1.0), [0]),
    (a * exp(-b * exp(-c * x)), {a: 1.0, b: 2.0, c: -3.0}, 1000.0, 0, [0, 0, 0]),
    (exp(-((x / a) ** b)), {a: 1.0, b: 500.0}, 10.0, 0, [0, 0]),
    (a * x**b, {a: 2.0, b: 1.5}, 0.0, 0, [0, 0]),
    (x ** (b - 1) * exp(-(x**b)), {b: 2.0}, 0.0, 0, [0]),
    (a / (1 + b / x), {a: 2.0, b: 1.0}, 0.0, 0, [0, 0]),
    (Piecewise((exp(-(a**2) / x**2), x < 1), (b, True)), {a: 2.0, b: 1.0}, 0.0, 0, [0, 0]),
    (a * Cbrt(exp(-b * x)), {a: 1.0, b: 2.0}, 1000.0, 0, [0, 0]),
    (a * exp(-b / x), {a: 2.0, b: 1.0}, 0.0, 0, [0, 0]),
    (x * log(x / a) - x + a, {a: 0.5}, 0.0, 0.5, [1]),
    (a * x * log(Abs(a * x)), {a: 0.5}, 0.0, 0, [0]),
    (a * b * x * log(a * b * x), {a: 0.5, b: 2.0}, 0.0, 0, [0, 0]),
    (b * sin(a + x / b) / (a + x / b), {a: -2.0, b: 1.0}, 2.0, 1, [0, 1]),
    ((exp(x + x / a) - 1) / (x + x / a), {a: -1.0}, 2.0, 1, [-1]),
    (x / (exp(a * x) - 1), {a: 0.5}, 0.0, 2, [-4]),
    ((1 - exp(-a * x)) / x, {a: 0.5}, 0.0, 0.5, [1]),
    ((1 - sympy.cos(a * x)) / x**2, {a: 0.5}, 0.0, 0.125, [0.5]),
    ((exp(a * x) - 1 - a * x) / x**2, {a: 0.5}, 0.0, 0.125, [0.5]),
    (b * (sympy.coth(a * x) - 1 / (a * x)), {a: 0.5, b: 2.0}, 0.0, 0, [0, 0]),
    (hypot(a, b), {a: 0.0, b: 0.0}, 0.0, 0, [0, 0]),
    (sqrt(a**2 + b**2), {a: 0.0, b: 0.0}, 0.0, 0, [0, 0]),
    (Abs(x - a) ** b, {a: 1.0, b: 0.5}, 1.0, 0, [0, 0]),
    (log(1 - exp(-a)), {a: 30.0}, 0.0, -9.357622968840613e-14, [9.357622968840613e-14]),
    (log(exp(-(x**2) / (2 * a**2)) / (a * sqrt(2 * sympy.pi))), {a: 1.0}, 39.0, -761.4189385332047, [1520]),
    (log(a * exp(b)), {a: 2.0, b: 800.0}, 0.0, 800 + np.log(2), [0.5, 1]),
    (
        exp(a) / (exp(a) + exp(b) + exp(c)),
        {a: 800.0, b: -800.0, c: 799.0},
        0.0,
        1 / (1 + np.exp(-1)),
        [0.19661193324148185, 0, -0.19661193324148185],
    ),
    (log(exp(a) / (exp(a) + exp(b) + exp(c))), {a: -900.0, b: 800.0, c: 10.0}, 0.0, -1700, [1, -1, 0]),
]


@pytest.mark.parametrize(("formula", "values", "at", "loss", "gradient"), CASES, ids=[str(case[0]) for case in CASES])
def test_gradient_is_a_number(formula, values, at, loss, gradient):
    """Where a branch is not taken, a factor vanishes or a quotient is 0/0, loss and gradient are the limits."""
    found_loss, found_gradient = found(formula, values, at)
    assert found_loss == pytest.approx(loss, rel=1e-14, abs=1e-300)
    assert found_gradient == pytest.approx(gradient, rel=1e-13, abs=1e-300)


def limits(formula, values, at):
    """The loss and the gradient by a and b as the limit from two sides at 700 digits, or None where there is none."""
    real = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in (a, b, x)}
    written = formula.xreplace(real).replace(lambda e: isinstance(e, StableFunction), lambda e: e.definition(*e.args))
    function = sympy.lambdify([real[a], real[b], real[x]], written, MODULES)
    sides = []
    with mpmath.workdps(700):
        step = mpmath.mpf(10) ** -200
        for sign in (1, -1):
            p, q, r = (
                mpmath.mpf(v) + sign * k * mpmath.mpf(10) ** -60 for v, k in zip((*values, at), (1, 2, 3), strict=True)
            )
            try:
                rows = [
                    function(p, q, r),
                    (function(p + step, q, r) - function(p - step, q, r)) / (2 * step),
                    (function(p, q + step, r) - function(p, q - step, r)) / (2 * step),
                ]
            except (ZeroDivisionError, OverflowError, TypeError, ValueError):
                return None
            if any(isinstance(row, mpmath.mpc) or not abs(row) < mpmath.mpf("1e20") for row in rows):
                return None
            sides.append(rows)
        if any(abs(u - v) > mpmath.mpf(10) ** -20 * (1 + abs(u)) for u, v in zip(*sides, strict=True)):
            return None
    return [float((u + v) / 2) if abs(u) > 1e-25 else 0.0 for u, v in zip(*sides, strict=True)]


@pytest.mark.parametrize("hide", range(len(HIDING)))
def test_what_is_hidden_does_not_count(hide):
    """What grows without bounds inside a function that hides it leaves a gradient that is the limit, never a NaN."""
    checked = 0
    for growing in GROWING:
        formula = HIDING[hide](growing)
        formula = formula + b * x
        model = nn.Model("m", [x], [], {a: 0.5, b: 0.5}, formula, formula)
        program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
        for values, at in POINTS:
            expected = limits(formula, values, at)
            if expected is None:
                continue
            checked += 1
            loss = float(nn.evaluate(program, values, [[at]])["loss"])
            gradient = gradient_of(program, values, [[at]], None)
            assert [loss, *gradient] == pytest.approx(expected, rel=1e-10, abs=1e-20), (formula, values, at)
    assert checked >= 10


def test_compiled_module():
    """A dose response with doses of 0 is fitted: a compiled gradient is that of the evaluated program."""
    doses = np.array([[0.0], [0.0], [0.1], [1.0], [10.0], [1000.0]])
    model = nn.Model("dose", [x], [y], {a: 1.0, b: 1.5, c: 2.0, d: 0.0}, HILL, (HILL - y) ** 2)
    module = nn.build(model, fit=False)
    program = nn.compile_model(model, until="differentiate", fit=False)["differentiate"]
    response = 0.2 + 0.7 / (1 + (doses / 3) ** 2)
    loss, gradient = module.loss_and_gradient([1.0, 1.5, 2.0, 0.1], doses, response)
    assert np.isfinite(loss)
    assert gradient == pytest.approx(gradient_of(program, [1.0, 1.5, 2.0, 0.1], doses, response), rel=1e-12)
    result = module.train(doses, response, optimizer="adam", learning_rate=0.02, epochs=3000)
    assert result.status == "completed"
    assert result.parameters == pytest.approx([0.9, 2, 3, 0.2], rel=0.02)


@pytest.mark.parametrize(
    "formula",
    [
        a / (1 + ((x - b) / c) ** 2),
        a * exp(-((x - b) ** 2) / (2 * c**2)),
        a * exp(-b * x) + c,
        a / (1 + b * exp(-c * x)),
        a * x / (b + x),
        a * sin(b * x + c),
    ],
    ids=str,
)
def test_everyday_formulas_pay_nothing(formula):
    """Where nothing that is infinite can be hidden, nothing is asked."""
    parameters = dict.fromkeys((a, b, c), 0.5)
    model = nn.Model("m", [x], [y], parameters, formula, (formula - y) ** 2)
    program = nn.compile_model(model, until="differentiate", fit=False)["differentiate"]
    assert not any(step.expression.has(sympy.Eq) for step in program.steps)


def test_sign_of_nan():
    """What is multiplied by the sign of a NaN is no number, either."""
    loss, _ = found(sympy.sign(a * x) * log(1 + Abs(a * x)), {a: np.nan}, 1.0)
    assert np.isnan(loss)


U = "u = p*exp(before(u))"
"""A state that is infinite from the third time on, since 3*exp(3*exp(3*e)) is; all states begin at 1."""

RECURRENT = {
    "exponential": ([U, "w = 3*before(u)"], "exp(-w)", 1, lambda u: mpmath.exp(-3 * u) if u < 1e6 else mpmath.mpf(0)),
    "pole": ([U, "w = before(u)**2 + 1"], "1/w", 1, lambda u: 1 / (u**2 + 1)),
    "bounded": (["w = before(u)**2 + 1", U], "tanh(w)", 1, lambda u: mpmath.tanh(u**2 + 1)),
    "later": (["w = 3*before(v)", "v = before(u)", U], "1/(1 + w)", 2, lambda u: 1 / (1 + 3 * u)),
}
"""Equations, in either order, and what is observed: a function of the state some times before."""


@pytest.mark.parametrize("name", RECURRENT)
def test_states_that_grow_at_the_time_before(name):
    """The value before may be infinite as the state itself may: gradient and rows of a fit are those at 150 digits."""
    equations, observed, lag, function = RECURRENT[name]
    starts = {state: 1 for state in "uv" if f"before({state})" in str(equations)}
    model = nn.Dynamics(equations, starts, {"p": 3.0}, times=4, observed={"o": observed}, name="m")
    stages = nn.compile_model(model, until="simplify")
    program = stages["simplify"]
    (rows,) = (each.program for each in stages.findings.companions.simplified if each.name == "fitting")

    def outputs(p):
        states = [mpmath.mpf(1)] * lag
        for _ in range(3):
            states.append(p * mpmath.exp(states[-1]))
        return [function(state) for state in states[:4]]

    with mpmath.workdps(150):
        slopes = [mpmath.diff(lambda p, k=k: outputs(p)[k], 3) for k in range(4)]
        total = sum(value * slope for value, slope in zip(outputs(mpmath.mpf(3)), slopes, strict=True)) / 2
    derivatives = nn.evaluate(rows, [3.0])[rows.outputs[-1].tensor].ravel()
    assert derivatives == pytest.approx([*map(float, slopes)], rel=1e-13, abs=1e-300)
    assert gradient_of(program, [3.0], None, [[0.0] * 4]) == pytest.approx([float(total)], rel=1e-13, abs=1e-300)
