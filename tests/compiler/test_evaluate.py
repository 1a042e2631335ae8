"""The NumPy evaluator against NumPy written by hand, and against mpmath."""

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.checks import accepted
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import StableFunction

LAYERS = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
PROGRAM = nn.Sequential(LAYERS, inputs=4, loss="categorical_crossentropy").describe()


def test_network_by_hand():
    """A network is what its formula says."""
    rng = np.random.default_rng(0)
    parameters, X, Y = rng.normal(size=43), rng.normal(size=(7, 4)), np.eye(3)[rng.integers(0, 3, 7)]
    W1, b1, W2, b2 = parameters[:20].reshape(5, 4), parameters[20:25], parameters[25:40].reshape(3, 5), parameters[40:]
    z = np.tanh(X @ W1.T + b1) @ W2.T + b2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    values = nn.evaluate(PROGRAM, parameters, X, Y)
    assert values["h2"] == pytest.approx(p, rel=1e-14)
    assert values["loss"] == pytest.approx(-(Y * np.log(p)).sum(axis=1).mean(), rel=1e-14)
    weight = rng.uniform(size=7)
    weighted = nn.evaluate(PROGRAM, parameters, X, Y, weight=weight)
    assert weighted["loss"] == pytest.approx(-weight @ (Y * np.log(p)).sum(axis=1), rel=1e-13)


def test_without_targets():
    """Without Y, the outputs are evaluated, but no loss; data that are missing where they are needed are named."""
    rng = np.random.default_rng(2)
    parameters, X, Y = rng.normal(size=43), rng.normal(size=(7, 4)), np.eye(3)[rng.integers(0, 3, 7)]
    values, all_values = nn.evaluate(PROGRAM, parameters, X), nn.evaluate(PROGRAM, parameters, X, Y)
    np.testing.assert_array_equal(values["h2"], all_values["h2"])
    assert "loss" not in values
    with pytest.raises(nn.ProgramError, match=r"^the program reads y: give Y, of shape \(N, 3\)$"):
        nn.evaluate(PROGRAM, parameters, X, results=[PROGRAM.loss])
    with pytest.raises(nn.ProgramError, match=r"^the program reads x: give X, of shape \(N, 4\)$"):
        nn.evaluate(PROGRAM, parameters, Y=Y)


def test_digits():
    """With digits, the values are mpmath numbers of that precision."""
    rng = np.random.default_rng(1)
    parameters, X, Y = rng.normal(size=43), rng.normal(size=(3, 4)), np.eye(3)
    values = nn.evaluate(PROGRAM, parameters, X, Y, digits=40)
    assert isinstance(values["loss"].item(), mpmath.mpf)
    assert float(values["loss"].item()) == pytest.approx(
        float(nn.evaluate(PROGRAM, parameters, X, Y)["loss"]), rel=1e-14
    )


@pytest.mark.parametrize(
    "function", [f for f in accepted() if f not in (StableFunction, sympy.Piecewise)], ids=lambda f: f.__name__
)
def test_every_accepted_function_can_be_evaluated(function):
    """What describe accepts, both interpretations know, and they agree."""
    a, b = Element("a"), Element("b")
    two = function in (sympy.atan2, sympy.Max, sympy.Min) or function.__name__ == "hypot"
    expression = function(a, b) if two else function(a)
    start = 1.25 if function is sympy.acosh else 0.375
    values = {a: start, b: 0.8125}
    floating = interpret(expression, {k: np.float64(v) for k, v in values.items()}, exact=False)
    exact = interpret(expression, {k: mpmath.mpf(v) for k, v in values.items()}, exact=True)
    assert float(floating) == pytest.approx(float(exact), rel=1e-15)


def test_unknown_function():
    """An expression that cannot be evaluated is named."""
    with pytest.raises(nn.ProgramError, match="gamma"):
        interpret(sympy.gamma(Element("a")), {Element("a"): 1.0}, exact=False)
