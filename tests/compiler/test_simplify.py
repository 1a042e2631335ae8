"""Cheaper algebra with the same value."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.ir import NORMALIZATIONS, Element, Step
from nncodegen.compiler.ir.functions import StableFunction, decay
from nncodegen.compiler.passes.simplify import _Signs, operations
from tests.support.models import gradient_of, random_data


def stages(model):
    return nn.compile_model(model, until="simplify")


def formula(build, name="m"):
    a, b, x = sympy.symbols("a b x")
    return nn.Model(name, [x], (), {a: 0.5, b: -0.25}, a * x, build(a, b, x))


MODELS = {
    "powers": formula(lambda a, b, x: (a * x) ** 7 + (b + x**2) ** (-3) + sympy.sqrt(1 + a**2) ** 5),
    "shared": formula(lambda a, b, x: nn.sigmoid(a * x + b) ** 2 + nn.softplus(a * x + b) + nn.sigmoid(-a * x - b)),
    "bell curve": formula(lambda a, b, x: a * sympy.exp(-(((x - b) / a) ** 2)) - sympy.exp(-abs(b * x))),
    "network": nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(3, "softmax")], 3, "categorical_crossentropy"),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_values_are_kept(model):
    """The loss, the outputs and the gradient are those of the differentiated program."""
    compiled = stages(model)
    before, after = compiled["differentiate"], compiled["simplify"]
    parameters, X, Y = random_data(before)
    expected, simplified = (nn.evaluate(program, parameters, X, Y) for program in (before, after))
    assert simplified[after.loss.tensor] == pytest.approx(expected[before.loss.tensor], rel=1e-14)
    for mine, theirs in zip(after.outputs, before.outputs, strict=True):
        assert simplified[mine.tensor] == pytest.approx(expected[theirs.tensor], rel=1e-14)
    scale = np.linalg.norm(gradient_of(before, parameters, X, Y))
    assert gradient_of(after, parameters, X, Y) == pytest.approx(
        gradient_of(before, parameters, X, Y), rel=1e-13, abs=1e-14 * scale
    )


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_only_primitives_are_left(model):
    """No stable function, no normalization and no power beyond the cube is left, and no value is computed twice."""
    steps = stages(model)["simplify"].steps
    for step in steps:
        assert not step.expression.has(StableFunction)
        assert step.operator not in NORMALIZATIONS
        for power in step.expression.atoms(sympy.Pow):
            assert power.exp in (2, 3, -1, sympy.Rational(1, 2)) or not power.exp.is_Integer
    values = [(step.expression, step.operator, step.over, step.target.indices) for step in steps]
    assert len(values) == len(set(values))


def test_one_exponential_for_sigmoid_and_softplus():
    """sigmoid(z), sigmoid(-z), softplus(z) and the derivatives share one exponential."""
    steps = stages(MODELS["shared"])["simplify"].steps
    assert sum(step.expression.has(sympy.exp, decay) for step in steps) == 1


BELOW_0 = {
    "square": lambda a, b, x: -((x - a) ** 2),
    "bell curve": lambda a, b, x: -(((x - a) / b) ** 2) / 2,
    "squares": lambda a, b, x: -((a * x) ** 2) - b**4 - 1,
    "root": lambda a, b, x: -sympy.sqrt((x - a) ** 2 + b**2),
    "absolute": lambda a, b, x: -abs(a * x) * sympy.exp(b),
}
AS_IT_IS = {
    "either": lambda a, b, x: -a * x,
    "cube": lambda a, b, x: -((x - a) ** 3),
    "unknown width": lambda a, b, x: -((x - a) ** 2) / b,
    "above": lambda a, b, x: (a * x) ** 2,
}


@pytest.mark.parametrize("build", [*BELOW_0.values(), *AS_IT_IS.values()], ids=[*BELOW_0, *AS_IT_IS])
def test_exponentials_that_only_decay(build):
    """exp(-u) is the cheaper decay(u) where u is never negative, whatever the parameters and inputs, and only there."""
    program = stages(formula(lambda a, b, x: sympy.exp(build(a, b, x)) * a))["simplify"]
    functions = {function for step in program.steps for function in step.expression.atoms(decay)}
    assert len(functions) == (build in BELOW_0.values())


def test_operations():
    """Operations are counted for each value of each index, and fewer than those of the formulas written out."""
    program = stages(nn.Sequential([nn.Dense(5, use_bias=False)], inputs=7))["describe"]
    # 5*7 products, 5*7 sums; 5 times: difference, square, quotient, sum; the weighted mean
    assert operations(program) == 5 * 7 * 2 + 5 * 4 + 2
    written_out, simplified = stages(MODELS["network"]).findings.operations
    assert written_out > 3 * simplified


def test_operations_of_what_nobody_writes_out():
    """Of windows, sequences and deep networks, the steps are counted before and after, and functions as written out."""
    sequence = nn.Sequential([nn.LSTM(3, return_sequences=True), nn.Flatten(), nn.Dense(4, "softmax")], (6, 2))
    for model in (sequence, nn.Sequential([nn.Dense(20, "tanh")] * 8 + [nn.Dense(1)], 2)):
        compiled = stages(model)
        before, after = compiled.findings.operations
        assert after < before < 2 * after
        assert f"{before} before, {after} in these steps" in compiled.stages[-1].show()


def test_operations_without_a_meaning_are_not_told():
    """Where nobody would write a formula out, since its parts repeat a thousand times, that number is left out."""
    a, x, y = sympy.symbols("a x y")
    value = a * x
    for _ in range(16):
        value = sympy.sin(value) + sympy.cos(value)  # twice as many parts each time, of 3 new operations
    compiled = stages(nn.Model("doubled", x, y, {a: 0.5}, value))
    before, after = compiled.findings.operations
    assert before == 0
    assert f"operations  {after} in these steps\n" in compiled.stages[-1].show()


def test_deterministic():
    """Compiling twice gives the same text."""
    first, second = (stages(MODELS["network"])["simplify"].show() for _ in range(2))
    assert first == second


def test_signs_of_recurrences_that_read_each_other():
    """The sign of an element that reads itself through others is not known; that of others is, however often read."""
    a, e, u, h, c = (Element(name) for name in "aeuhc")
    definitions = {e: sympy.Abs(a), u: e + 1, h: c - e, c: h * u}
    signs = _Signs(SimpleNamespace(steps=[Step(target, value) for target, value in definitions.items()]))
    assert signs.is_nonnegative(e * u + e)
    assert not signs.is_nonnegative(h)
    assert not signs.is_nonnegative(c + u)
    assert signs.is_nonnegative(h**2 + u)
