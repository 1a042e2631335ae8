"""A network; random parameters and data for a program, and its gradient by the evaluator and by differences."""

import numpy as np

import nncodegen as nn
from nncodegen.ir import evaluate


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
