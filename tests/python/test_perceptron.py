"""The shipped perceptron against a trajectory that was computed with 60 digits."""

import json
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import perceptron as shipped

REFERENCE = json.loads((Path(__file__).parent / "reference" / "perceptron.json").read_text())
X = [[float(value) for value in REFERENCE["x"]]]
Y = [float(REFERENCE["y"])]
POINTS = [(update, point) for update in ("sequential", "simultaneous") for point in REFERENCE[update]["trajectory"]]


@pytest.mark.parametrize(("update", "point"), POINTS, ids=lambda value: str(value)[:12])
def test_trajectory(perceptron, update, point):
    """Parameters, output and loss agree with the reference to 1e-12 at every listed iteration."""
    rate = float(REFERENCE["learning_rate"])
    result = perceptron.train(X, Y, learning_rate=rate, epochs=point["iteration"], update=update)
    expected = {name: float(value) for name, value in point["parameters"].items()}
    assert {k: float(v) for k, v in perceptron.unpack(result.parameters).items()} == pytest.approx(expected, rel=1e-12)
    assert perceptron.predict(result.parameters, X)[0, 0] == pytest.approx(float(point["output"]), rel=1e-12)
    assert result.loss == pytest.approx(float(point["loss"]), rel=1e-12)
    assert (result.epochs, result.status) == (point["iteration"], "completed")


@pytest.mark.parametrize("update", ["sequential", "simultaneous"])
def test_tolerance(perceptron, update):
    """With a tolerance the run stops at the iteration in which all steps are below it."""
    expected = REFERENCE[update]["first_iteration_with_all_steps_below_0.001"]
    result = perceptron.train(X, Y, learning_rate=0.3, epochs=5000, update=update, tolerance=0.001)
    assert (result.epochs, result.status) == (expected["iteration"], "converged")
    assert perceptron.predict(result.parameters, X)[0, 0] == pytest.approx(float(expected["output"]), rel=1e-12)


def test_initial_output_and_gradient(perceptron):
    """Before training, output and gradient are those of the reference."""
    parameters = perceptron.initial_parameters()
    assert perceptron.predict(parameters, X)[0, 0] == pytest.approx(float(REFERENCE["initial_output"]), rel=1e-14)
    _, gradient = perceptron.loss_and_gradient(parameters, X, Y)
    expected = [float(REFERENCE["initial_gradient"][name]) for name in perceptron.parameter_names]
    assert gradient == pytest.approx(expected, rel=1e-13)


def test_floating_point_base():
    """2.71828182845905 in place of exp gives the same program, step for step."""
    base = sympy.Float(2.71828182845905)

    def rewritten(expression):
        return expression.replace(sympy.exp, lambda z: base**z)

    model = shipped.model
    other = nn.Model(
        model.name, model.inputs, model.targets, model.parameters, rewritten(model.outputs[0]), rewritten(model.loss)
    )
    assert other.loss != model.loss
    programs = [nn.compile_model(m, until="simplify")["simplify"] for m in (model, other)]
    assert programs[0].show() == programs[1].show()


def mpmath_gradient(values, x1, x2, y):
    """The perceptron's loss and gradient at 50 digits from the formula, with exact numbers."""
    import mpmath

    symbols = (*shipped.model.parameters, shipped.x1, shipped.x2, shipped.y)
    exact = [mpmath.mpf(float(v)) for v in (*values, x1, x2, y)]
    with mpmath.workdps(1000):  # 1 - f keeps its digits at f = 1 - exp(-800)
        formulas = [shipped.model.loss, *(shipped.model.loss.diff(symbol) for symbol in shipped.model.parameters)]
        numbers = [sympy.lambdify(symbols, formula, "mpmath")(*exact) for formula in formulas]
        return float(numbers[0]), np.array([float(number) for number in numbers[1:]])


@pytest.mark.parametrize("bias", [400.0, -400.0, 20.0, -20.0])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
def test_saturated(perceptron, bias, y):
    """At pre-activations of +-800 and +-40 the loss and the gradient are finite and right."""
    parameters = np.array([bias, 0.2, 0.8, 0.6, 0.4, 0.1, 0.5])
    loss, gradient = perceptron.loss_and_gradient(parameters, X, [y])
    expected_loss, expected = mpmath_gradient(parameters, *X[0], y)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    assert gradient == pytest.approx(expected, rel=1e-13, abs=1e-13 * np.linalg.norm(expected))


@pytest.mark.parametrize(("x1", "x2"), [(1e300, 1.0), (-1e300, 0.5), (1e300, 1e300), (-1e300, -1e300)])
def test_huge_inputs(perceptron, x1, x2):
    """At inputs of 1e300 the loss and the gradient are finite and right: the hidden neurons are saturated."""
    parameters = perceptron.initial_parameters()
    loss, gradient = perceptron.loss_and_gradient(parameters, [[x1, x2]], [1.0])
    hidden = 1.0 if x1 > 0 else 0.0
    z = 0.2 + 0.6 * hidden
    delta = -1 / (1 + np.exp(z))
    assert loss == pytest.approx(np.log1p(np.exp(-z)), rel=1e-13)
    assert gradient == pytest.approx([2 * delta, 0, 0, 0, 0, delta * hidden, delta * hidden], rel=1e-13)
