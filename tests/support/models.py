"""A network; random parameters and data for a program, and its gradient by the evaluator and by differences."""

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates import exact
from nncodegen.compiler.ir import evaluate


def classifier(*units, name="classifier", classes=3, inputs=7):
    """Layers of some units with tanh, and one with a softmax."""
    layers = [*(nn.Dense(n, "tanh") for n in units), nn.Dense(classes, "softmax")]
    return nn.Sequential(layers, inputs, "categorical_crossentropy", name=name)


def parameter_count(program):
    return sum(tensor.size for tensor in program.parameters)


def random_data(program, samples=5, seed=0):
    """Parameters, inputs, and targets between 0 and 1 whose rows sum to 1."""
    rng = np.random.default_rng(seed)
    inputs, targets = (sum(t.size for t in tensors) for tensors in (program.inputs, program.targets))
    Y = rng.uniform(0.1, 0.9, (samples, targets))
    if targets:
        Y /= Y.sum(axis=1, keepdims=True)
    X = rng.normal(size=(samples, inputs))
    return rng.normal(size=parameter_count(program)), X if inputs else None, Y if targets else None


def gradient_of(program, parameters, X, Y, weight=None):
    """The gradient of a differentiated program, flat, by the NumPy evaluator."""
    values = evaluate(program, parameters, X, Y, weight)
    return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])


def differences(program, parameters, X, Y, step=1e-6):
    """The gradient by central differences of the loss."""

    def loss(k, sign):
        moved = np.array(parameters, float)
        moved[k] += sign * step
        return float(evaluate(program, moved, X, Y)[program.loss.tensor])

    return np.array([(loss(k, 1) - loss(k, -1)) / (2 * step) for k in range(len(parameters))])


def check_classifier(module, program, samples, bound):
    """Compare outputs, loss and gradient of a ``classifier`` with the evaluator, for each number of samples."""
    rng = np.random.default_rng(0)
    parameters = (0.5 * rng.normal(size=module.parameter_count)).astype(module.dtype).astype(float)
    for count in samples:
        X, Y = rng.normal(size=(count, 7)).astype(module.dtype), np.eye(3)[rng.integers(0, 3, count)]
        values, expected = evaluate(program, parameters, X, Y), gradient_of(program, parameters, X, Y)
        loss, gradient = module.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(float(values["loss"]), rel=bound)
        assert module.loss(parameters, X, Y) == pytest.approx(float(values["loss"]), rel=bound)
        for name, part in module.unpack(gradient).items():
            right = module.unpack(expected)[name]
            assert np.linalg.norm(part - right) <= bound * np.linalg.norm(right), (count, name)
        outputs = values[program.outputs[0].tensor]
        assert module.predict(parameters, X) == pytest.approx(outputs, rel=10 * bound, abs=bound)


def check_derivatives(program, parameters, X, Y):
    """Compare the derivatives of a certificate with differences of many digits; return its values of all steps."""
    with mpmath.workdps(60):
        values = exact.run(program, exact.bind(program, parameters, X, Y))
        received = exact.derivatives(program, values)
        gradient = np.concatenate([np.asarray(received[tensor.name]).reshape(-1) for tensor in program.parameters])
        h = mpmath.mpf(10) ** -20
        for k, derivative in enumerate(gradient):
            losses = []
            for side in (h, -h):
                moved = exact.many(parameters).copy()
                moved[k] += side
                losses.append(exact.run(program, exact.bind(program, moved, X, Y))["loss"].item())
            assert abs(derivative - (losses[0] - losses[1]) / (2 * h)) < mpmath.mpf(10) ** -35
    return values
