"""The check of the gradient finds what is wrong."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.check import CheckError, check_gradient
from nncodegen.perceptron import model

pytestmark = pytest.mark.usefixtures("quick_compiler")

STAGES = nn.compile_model(model, until="simplify")


def test_a_right_gradient(perceptron):
    """The perceptron's gradient is found right, by both comparisons."""
    check = check_gradient(perceptron, STAGES["describe"], STAGES["differentiate"])
    assert check.evaluated < 1e-14
    assert check.differences < 1e-14


def test_a_wrong_module(perceptron):
    """A module whose gradient is wrong is found."""
    wrong = SimpleNamespace(
        initial_parameters=perceptron.initial_parameters,
        loss_and_gradient=lambda p, X, Y: (0.0, perceptron.loss_and_gradient(p, X, Y)[1] * (1 + 1e-8)),
    )
    with pytest.raises(CheckError, match=r"the gradient of perceptron is wrong: it differs by 1.0e-08"):
        check_gradient(wrong, STAGES["describe"], STAGES["differentiate"])


def test_a_wrong_derivation(perceptron):
    """A gradient that was derived wrongly is found by the differences, even if the module computes just that."""
    program = STAGES["differentiate"]
    swapped = replace(program, gradient=(program.gradient[1], program.gradient[0], *program.gradient[2:]))
    module = SimpleNamespace(
        initial_parameters=perceptron.initial_parameters,
        loss_and_gradient=lambda p, X, Y: (0.0, perceptron.loss_and_gradient(p, X, Y)[1][[1, 0, 2, 3, 4, 5, 6]]),
    )
    with pytest.raises(CheckError, match="from central differences"):
        check_gradient(module, STAGES["describe"], swapped)


def test_a_loss_that_is_not_finite():
    """Where the loss is not finite on random data, nothing is claimed."""
    a, x = sympy.symbols("a x")
    undefined = nn.Model("undefined", [x], (), {a: 1.0}, a, a * sympy.log(x - 5))
    compiled = nn.compile_model(undefined)
    assert check_gradient(nn.build(undefined), compiled["describe"], compiled["differentiate"]) is None


def test_parameters_of_any_size():
    """A physicist's constants and fast oscillations are no obstacle to the differences."""
    A, E, T, k = sympy.symbols("A E T k")
    arrhenius = A * sympy.exp(-E / T)
    w, x, y = sympy.symbols("w x y")
    for checked in (
        nn.Model("arrhenius", [T], [k], {A: 1e13, E: 0.5}, arrhenius, (arrhenius - k) ** 2),
        nn.Model("fast", [x], [y], {w: 0.7}, w * x, (sympy.sin(10**6 * w * x) - y) ** 2),
    ):
        compiled = nn.compile_model(checked)
        check = check_gradient(nn.build(checked), compiled["describe"], compiled["differentiate"])
        assert check.differences < 1e-9


def test_large_networks():
    """A network too large for 50 digits is checked with differences in float64."""
    network = nn.Sequential([nn.Dense(200, "tanh"), nn.Dense(3, "softmax")], 50, "categorical_crossentropy", "checked")
    compiled = nn.compile_model(network)
    check = check_gradient(nn.build(network), compiled["describe"], compiled["differentiate"])
    assert check.evaluated < 1e-13
    assert check.differences < 1e-7


def test_single_precision():
    """In single precision the gradient is compared to that."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(2, "softmax")], 2, "categorical_crossentropy", "single")
    compiled = nn.compile_model(network, "float32")
    check = check_gradient(nn.build(network, "float32"), compiled["describe"], compiled["differentiate"])
    assert 1e-12 < check.evaluated < 1e-5
    assert check.differences < 1e-12
