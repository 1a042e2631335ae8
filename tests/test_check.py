"""The check of the gradient finds what is wrong."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.check import CheckError, check_gradient
from nncodegen.perceptron import model

STAGES = nn.compile_model(model, until="simplify")


def test_a_right_gradient(perceptron):
    """The perceptron's gradient is found right, by both comparisons."""
    check = check_gradient(perceptron, STAGES["describe"], STAGES["differentiate"])
    assert check.evaluated < 1e-14
    assert check.differences < 1e-8


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


def test_single_precision():
    """In single precision the gradient is compared to that."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(2, "softmax")], 2, "categorical_crossentropy", "single")
    compiled = nn.compile_model(network, "float32")
    check = check_gradient(nn.build(network, "float32"), compiled["describe"], compiled["differentiate"])
    assert 1e-12 < check.evaluated < 1e-5
    assert np.isfinite(check.differences)
