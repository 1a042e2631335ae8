"""Formulas: what is accepted, and what is refused with the name of the culprit."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import Model, ModelError

a, b, x, y = sympy.symbols("a b x y")
GIVEN = {"name": "m", "inputs": [x], "targets": [y], "parameters": {a: 1.0}, "output": a * x, "loss": (a * x - y) ** 2}
f = sympy.Function("f")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": a * x + b}, "contains b, which is neither an input, a target nor a parameter"),
        ({"output": b * x}, "the output of m contains b"),
        ({"loss": sympy.Symbol("a", positive=True) * x}, "a second symbol named a, with other assumptions"),
        ({"inputs": [x, x]}, "the name x is given twice, in inputs and in inputs"),
        ({"inputs": [a]}, "the name a is given twice, in inputs and in parameters"),
        ({"targets": [x]}, "the name x is given twice, in inputs and in targets"),
        ({"loss": sympy.I * a * x}, "is complex: it contains I"),
        ({"loss": sympy.sqrt(-1 - a**2)}, "complex"),
        ({"loss": sympy.Matrix([a, x])}, "is not a scalar expression"),
        ({"loss": (a, x)}, "is not a scalar expression"),
        ({"loss": a > x}, "is not a scalar expression"),
        ({"loss": sympy.zeta(a * x)}, "contains zeta, which has no C form"),
        ({"loss": sympy.gamma(a * x)}, "contains gamma, which has no C form"),
        ({"loss": sympy.besselj(0, a * x)}, "contains besselj, which has no C form"),
        ({"loss": sympy.floor(a * x)}, "contains floor, which has no derivative"),
        ({"loss": sympy.Mod(a * x, 2)}, "contains Mod, which has no derivative"),
        ({"loss": f(a * x)}, "undefined function f"),
        ({"loss": sympy.Integral(sympy.exp(-a * x**2), (x, 0, 1))}, "contains Integral"),
        ({"loss": a * sympy.oo}, "contains oo"),
        ({"loss": None, "targets": ()}, "m has no loss"),
        ({"loss": None, "output": None}, "m has no loss"),
        ({"loss": None, "output": (a * x, a)}, "1 targets and 2 outputs: without a loss, each output needs the target"),
        ({"loss": "a*("}, "is not a formula"),
        ({"parameters": {}}, "m has no parameters"),
        ({"parameters": [a]}, "must map symbols to initial values"),
        ({"parameters": {"c": 1.0}}, "the parameter 'c' occurs neither in the output nor .*; their names are: a, x, y"),
        ({"parameters": {3: 1.0}}, "parameters must be symbols"),
        ({"parameters": {a: "one"}}, "initial value of a must be a number, not 'one'"),
        ({"parameters": {a: float("nan")}}, "initial value of a must be finite"),
        ({"inputs": [3]}, "inputs must be symbols"),
        ({"inputs": ["x", ""]}, "inputs must be symbols, .* or names"),
        ({"targets": " "}, "targets must be symbols"),
        ({"inputs": 5}, "inputs must be symbols"),
        ({"output": ()}, "empty tuple of outputs"),
        ({"output": a * y}, "depends on the target y"),
        ({"name": ""}, "name of a model is a text"),
        ({"name": 3}, "name of a model is a text"),
    ],
)
def test_refused(change, message):
    """A ModelError names the symbol or the function, and says what to do."""
    with pytest.raises(ModelError, match=message):
        Model(**{**GIVEN, **change})


def test_without_a_loss():
    """A model without a loss is a problem of least squares; so is one whose loss is a multiple of the squares."""
    output = a * sympy.exp(-x)
    squares = Model("m", x, y, {a: 1.0}, output).describe()
    assert squares.least_squares
    written = Model("m", x, y, {a: 1.0}, output, 3 * (y - output) ** 2).describe()
    assert written.least_squares
    assert Model("m", x, y, {a: 1.0}, output, (output - y) ** 2).describe() == squares
    for loss in ((output - y) ** 4, -((output - y) ** 2), (output - y) ** 2 + a**2, (output - 2 * y) ** 2):
        assert not Model("m", x, y, {a: 1.0}, output, loss).describe().least_squares


def test_parameters_by_name():
    """Parameters may be named by texts: the symbols of the formula are meant, whatever their assumptions."""
    positive = sympy.Symbol("c", positive=True)
    model = Model("m", x, y, {"c": 1.0, a: 2.0}, a * x**positive)
    assert tuple(model.parameters) == (positive, a)
    assert Model("m", x, y, {"k": 1}, "k*x").describe() == Model("m", x, y, {sympy.Symbol("k"): 1}, "k*x").describe()


def test_a_single_symbol_and_a_single_output():
    """One symbol may stand for a tuple of one; without an output, the loss is the output."""
    model = Model("m", x, y, {a: 1.0}, loss=(a * x - y) ** 2)
    assert model.inputs == (x,)
    assert model.outputs == (model.loss,)


def test_initial_values():
    """A formula's initial values are the ones given, whatever the seed."""
    module = nn.build(Model("m", [x], [y], {a: 0.1, b: sympy.Rational(1, 3)}, a * x + b, (a * x + b - y) ** 2))
    for seed in (0, 5):
        assert np.array_equal(module.initial_parameters(seed), [0.1, 1 / 3])


def test_names_that_the_compiler_uses():
    """A user's symbols may be called output, loss, weight, t1: nothing of the compiler's is mistaken for them."""
    names = sympy.symbols("output loss weight t1 loss_n d_output")
    values = [0.5, -0.25, 2.0, 1.5, 0.75, 3.0]
    formula = sum(s**2 * x for s in names)
    model = Model("m", [x], [y], dict(zip(names, values, strict=True)), formula, (formula - y) ** 2)
    program = nn.compile_model(model, until="simplify")["simplify"]
    evaluated = nn.evaluate(program, values, [[2.0]], [[1.0]])
    expected = 2 * sum(v**2 for v in values)
    assert evaluated[program.outputs[0].tensor] == pytest.approx(expected)
    gradient = [float(evaluated[e.tensor]) for e in program.gradient]
    assert gradient == pytest.approx([2 * (expected - 1) * 2 * v * 2 for v in values])


@pytest.mark.parametrize(
    "formula",
    [
        sympy.Piecewise((sympy.Piecewise((a * x, x > 1), (b * x, True)), x > 0), (a * b * x, True)),
        sympy.Piecewise((sympy.log(1 + nn.relu(a * x)), x > 0), (b, True)),
        nn.selu(nn.leaky_relu(a * x + b)),
        nn.elu(nn.relu(a * x)) + b,
        nn.elu(nn.elu(a * x + b)),
        sympy.Piecewise((a * x, x > 0), (sympy.sign(a * x) * sympy.sqrt(b + 2), True)),
        sympy.Piecewise((a * x, (x > 0) & (x < 5) & (a > 0)), (b, sympy.Xor(x > 1, a > b, b > 0)), (a * b, True)),
    ],
    ids=range(7),
)
def test_nested_conditions(formula):
    """Conditions may be nested in any way; the values and the gradient are those of the formula."""
    program = nn.compile_model(Model("m", [x], (), {a: 0.5, b: -0.25}, formula, formula), until="simplify")["simplify"]
    function = sympy.lambdify((a, b, x), formula, "mpmath")
    for numbers in ((0.5, -0.25, 2.0), (0.5, 0.75, 6.0), (-0.5, -0.25, -1.5), (1.5, 0.25, 0.3)):
        values = nn.evaluate(program, numbers[:2], [[numbers[2]]])
        assert float(values[program.loss.tensor]) == pytest.approx(float(function(*numbers)), rel=1e-14)
        for k, element in enumerate(program.gradient):
            moved = [[v + s * 1e-6 * (j == k) for j, v in enumerate(numbers)] for s in (1, -1)]
            expected = (float(function(*moved[0])) - float(function(*moved[1]))) / 2e-6
            assert float(values[element.tensor]) == pytest.approx(expected, abs=1e-8)


def test_shared_parameters():
    """A parameter may occur in any number of terms."""
    formula = sum(sympy.sin(a * x + k) for k in range(50))
    program = nn.compile_model(Model("m", [x], (), {a: 0.3}, formula, formula), until="simplify")["simplify"]
    values = nn.evaluate(program, [0.3], [[0.7]])
    assert float(values[program.gradient[0].tensor]) == pytest.approx(0.7 * sum(np.cos(0.21 + k) for k in range(50)))
