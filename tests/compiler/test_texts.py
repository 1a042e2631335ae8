"""Formulas that are texts, wherever they are given: read by the grammar, or refused; never run, and never for long."""

import decimal
import fractions
import os

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.describe.grammar import parse
from nncodegen.ir import Element, Step
from nncodegen.ir.graphs import graph_of
from nncodegen.network import Description, to_text
from nncodegen.network.description import loss_text

x, y, a, z = sympy.symbols("x y a z", real=True)
EVIL = "__import__('os').mkdir('executed')"


class Disguised:
    """An object that SymPy takes for an expression, whose text is a program."""

    def _sympy_(self):
        return EVIL

    def __str__(self):
        return EVIL

    __repr__ = __str__


class Own:
    """A layer of one's own, which adds something to its input."""

    def __init__(self, formula, step):
        self.formula, self.step = formula, step

    def describe(self, call):
        h = Element("h", call.x.indices)
        formula = call.x + self.formula if isinstance(self.formula, int) else self.formula
        step = call.x + self.step if isinstance(self.step, int) else self.step
        return nn.Part((), (Step(h, step),), h, formula, call.shape)


GIVEN = {
    "loss": lambda bad: nn.Model("m", x, y, {a: 1}, a * x, bad),
    "output": lambda bad: nn.Model("m", x, y, {a: 1}, bad, (a * x - y) ** 2),
    "outputs": lambda bad: nn.Model("m", x, y, {a: 1}, (a * x, bad), (a * x - y) ** 2),
    "initial value": lambda bad: nn.Model("m", x, y, {a: bad}, a * x, (a * x - y) ** 2),
    "loss function": lambda bad: nn.Sequential([nn.Dense(1)], 1, lambda output, target: bad),
    "loss name": lambda bad: nn.Sequential([nn.Dense(1)], 1, bad),
    "activation": lambda bad: nn.Sequential([nn.Dense(1, bad)], 1),
    "activation function": lambda bad: nn.Sequential([nn.Dense(1, lambda z: bad)], 1),
    "initializer": lambda bad: nn.Sequential([nn.Dense(1, initializer=bad)], 1),
    "rule": lambda bad: nn.Optimizer("o", lambda parameter, gradient: bad),
    "state": lambda bad: nn.Optimizer("o", lambda parameter, gradient, v: (parameter, bad), ["v"]),
    "hyperparameter": lambda bad: nn.Optimizer("o", lambda parameter: parameter, (), {"k": bad}),
    "range": lambda bad: nn.Optimizer("o", lambda parameter: parameter, (), [nn.Hyperparameter("k", bad)]),
    "layer": lambda bad: nn.Sequential([Own(bad, 0), nn.Dense(1)], 1),
    "step of a layer": lambda bad: nn.Sequential([Own(0, bad), nn.Dense(1)], 1),
    "layer alone": lambda bad: nn.Sequential([Own(bad, bad)], 1, lambda output, target: sympy.exp(output)),
    "estimator": loss_text,
    "estimator's function": lambda bad: to_text(lambda z: bad, {"z": z}, "it"),
    "sigmoid": nn.sigmoid, "xlogy": lambda bad: nn.xlogy(x, bad), "elu": nn.elu, "softsign": nn.softsign,
    "silu": nn.silu,
}  # fmt: skip


@pytest.mark.parametrize("place", GIVEN)
def test_no_text_is_run(place, tmp_path, monkeypatch):
    """A text, also in a list, an array or an object, is a ModelError wherever a formula is expected, and never run."""
    monkeypatch.chdir(tmp_path)
    for bad in (EVIL, [EVIL], (EVIL,), {EVIL}, {EVIL: EVIL}, np.array(EVIL), np.array(EVIL, object), np.str_(EVIL),
                EVIL.encode(), Disguised()):  # fmt: skip
        with pytest.raises(nn.ModelError):
            GIVEN[place](bad)
    assert os.listdir() == []


def test_texts_are_formulas():
    """A text is the formula that it says, of the symbols that are known where it stands."""
    output = a * x
    formula, text = (
        nn.Model("m", x, y, {a: 1}, *two) for two in ((output, (output - y) ** 2), ("a*x", "(a*x - y)**2"))
    )
    assert (formula.outputs, formula.loss) == (text.outputs, text.loss)
    by_text = nn.Sequential([nn.Dense(1, lambda z: "z*exp(-z**2)")], 1, lambda output, target: "abs(output - target)")
    by_function = nn.Sequential([nn.Dense(1, lambda z: z * sympy.exp(-(z**2)))], 1, lambda p, t: sympy.Abs(p - t))
    assert by_text.describe().show() == by_function.describe().show()
    rule = nn.Optimizer("o", lambda parameter, gradient, learning_rate: "parameter - learning_rate*gradient")
    assert str(rule.update.steps[0].expression) == "-gradient[p]*learning_rate + parameter[p]"


@pytest.mark.parametrize(
    "number",
    [2, 2.5, np.float64(2.5), np.float32(2.5), np.int8(2), np.array(2.5), fractions.Fraction(5, 2),
     decimal.Decimal("2.5"), mpmath.mpf(2.5), sympy.Rational(5, 2)],
    ids=lambda number: type(number).__name__,
)  # fmt: skip
def test_numbers_of_any_library(number):
    """Numbers are expressions, whatever library they are of."""
    model = nn.Model("m", parameters={a: number}, loss=(a - 1) ** 2, output=number)
    assert (float(model.outputs[0]), model.parameters[a]) == (float(number), float(number))
    assert float(nn.sigmoid(number)) == pytest.approx(1 / (1 + np.exp(-float(number))))


SUM = "+".join(f"{k}*z**{k}" for k in range(2, 300))

TOO_LARGE = [
    "sqrt(2)**1000000000000*z", "(2*z)**(10**12)", "exp(1000000000*log(2))*z", "E**(10**9*log(2))*z",
    "exp(10**9*log(2*z))", "exp(10**9*log(2) + z)", "exp2(10**9)*z", "expm1(10**9*log(2))*z", "2**(2**(2**30))*z",
    "2**(-10**9)*z", "(1 + 1/10**6)**(10**9)*z", "((10*z)**300)**300", "3**(10**9*log(2)/log(3))*z",
    "Piecewise((10**300, z > 0), (10**9, True))**(10**300)", "abs(2*z)**(10**12)", "sigmoid(z == 1)",
    "log1p(1e-9**10**9)*z", "elu(10**300*log(2))*z",
    "sigmoid(10**9*log(2))*z", "(sqrt(2)*sqrt(3) + 1 == sqrt(6) + 1.0000000000001)*z",
    "max(exp(exp(exp(exp(10)))), exp(exp(exp(exp(11)))))*z", "exp(exp(exp(10))) + z > z", "cosh(exp(700))*z",
    "max(sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6)), 0)*z", "1e999*z", "10**400*z", "1e300*z*1e300", "9" * 5000 + "*z",
    "0x" + "f" * 50000 + "*z", "z**(10**400)", "-" * 3000 + "z", "-" * 200_000 + "z", "+".join(["z"] * 20_000),
    "(" * 1000 + "z" + ")" * 1000, "z**" * 3000 + "z", "silu(" * 40 + "z" + ")" * 40,
    "gelu(" * 60 + "z" + ")" * 60, "Piecewise((z, Xor(" + ", ".join(f"z > {k}" for k in range(40)) + ")), (0, True))",
    "ITE(" * 20 + "z > 0" + ", z > 1, z > 2)" * 20, "1/0*z", "log(0)*z", "sqrt(-1)*z", "asin(2)*z", "z\ud800", "z\0",
]  # fmt: skip


@pytest.mark.parametrize("text", TOO_LARGE, ids=lambda text: ascii(text[:25]))
def test_what_is_too_large_is_refused(text):
    """Huge powers, numbers, lengths and depths are a ModelError before SymPy takes long over them."""
    with pytest.raises(nn.ModelError) as caught:
        parse(text, {"z": z}, "the activation")
    assert len(str(caught.value)) < 3000


def test_work_is_bounded(monkeypatch):
    """What SymPy takes long over is ended after so many calls, and leaves Python as it was."""
    text = "max(" + ", ".join(f"z + {k}*z**{k}" for k in range(100)) + ")"
    with monkeypatch.context() as patch:
        patch.setattr("nncodegen.describe.grammar.MOST_CALLS", 100_000)
        with pytest.raises(nn.ModelError, match="takes too long to read"):
            parse(text, {"z": z}, "the activation")
    assert parse("max(z, 2)", {"z": z}, "it") == sympy.Max(z, 2)


@pytest.mark.parametrize("text", [SUM, "(1 + z/5000)**5000", "exp(-z/1.38e-23)", "z**(10**12)", "2**(1000*z)",
                                  "10**300*z", "erfc(-z/sqrt(2))/2", "(" * 100 + "z" + ")" * 100])  # fmt: skip
def test_what_is_large_is_read(text):
    """Long sums and large numbers that a double holds are read; SymPy reads the same."""
    assert parse(text, {"z": z}, "it") == sympy.sympify(text, locals={"z": z})


def test_huge_numbers_and_depths_are_model_errors():
    """Numbers beyond a double's, and formulas beyond Python's stack, are a ModelError whoever made them."""

    def deep(argument):
        for _ in range(2000):
            argument = sympy.exp(argument, evaluate=False)
        return argument

    for make in (
        lambda: nn.Sequential([nn.Dense(1, deep)], 1).describe(),
        lambda: nn.Model("m", parameters={z: 10**400}, loss=z**2),
        lambda: nn.compile_model(nn.Model("m", parameters={z: 1}, loss=z ** (10**300)), until="emit"),
        lambda: nn.Sequential([nn.Dense(1, initializer=10**400)], 1),
        lambda: nn.Sequential([nn.Dropout(fractions.Fraction(10**400, 3)), nn.Dense(1)], 1),
        lambda: nn.Optimizer("o", lambda parameter: parameter, (), {"k": 10**400}),
        lambda: Description.from_dict({"inputs": 1, "layers": [[float("inf"), "tanh"]], "loss": "mse"}),
    ):
        with pytest.raises(nn.ModelError):
            make()


def test_names_that_no_file_can_hold():
    """A lone surrogate in the name of a model or a symbol is a ModelError, also if it came later."""
    bad = sympy.Symbol("p\ud800")
    for make in (
        lambda: nn.Model("m\ud800", parameters={a: 1}, loss=a**2),
        lambda: nn.Sequential([nn.Dense(1)], 1, name="m\ud800"),
        lambda: nn.Model("m", parameters={bad: 1}, loss=bad**2),
        lambda: nn.Model("m", bad, parameters={a: 1}, loss=a**2),
    ):
        with pytest.raises(nn.ModelError, match="has a character that cannot be written to a file"):
            make()
    model = nn.Model("m", parameters={a: 1}, loss=a**2)
    model.name = "m\ud800"
    with pytest.raises(nn.ModelError, match="cannot be written to a file"):
        nn.build(model)


def test_hyperparameters_of_numpy():
    """Defaults of NumPy's types are numbers as good as Python's."""
    rule = nn.Optimizer("o", lambda parameter, k: parameter - k, (), [nn.Hyperparameter("k", np.float64(0.5))])
    module = nn.build(nn.Model("m", parameters={a: 1}, loss=a**2, optimizers=[rule]))
    assert module.train(optimizer="o", epochs=1).parameters.tolist() == [0.5]


def test_texts_of_many_levels_are_read():
    """A text may have as many levels as Python's parser takes; one with more is refused in words, at once."""
    text, value = "z", z
    for _ in range(180):
        text, value = f"sin({text} + a)", sympy.sin(value + a)
    found = parse(text, {"z": z, "a": a}, "the formula")
    graph = graph_of([found, value])
    assert graph.roots[0] == graph.roots[1]
    assert parse("*".join("z" * 400), {"z": z}, "the formula") == z**400
    with pytest.raises(nn.ModelError, match="too many nested parentheses"):
        parse("(" * 250 + "z" + ")" * 250, {"z": z}, "the formula")
