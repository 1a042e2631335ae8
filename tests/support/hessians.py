"""Second derivatives of models: by the program that is derived for them, and by the gradient at many digits."""

import mpmath
import numpy as np

import nncodegen as nn
from nncodegen.compiler.ir import evaluate, verify
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.hessian import hessian
from nncodegen.compiler.passes.simplify import simplify


def derived(model):
    """Programs of a model: that with its gradient, and that of its Hessian times a direction, simplified."""
    stabilized = nn.compile_model(model, until="stabilize")["stabilize"]
    return differentiate(stabilized), verify(simplify(verify(hessian(stabilized).program)))


def product_of(program, parameters, direction, X, Y, weight=None):
    """The Hessian times a direction, by the NumPy evaluator."""
    values = evaluate(program, np.concatenate([parameters, direction]), X, Y, weight)
    return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])


def hessian_of(program, parameters, X, Y, weight=None):
    """The Hessian, column by column."""
    columns = [product_of(program, parameters, unit, X, Y, weight) for unit in np.eye(len(parameters))]
    return np.stack(columns, axis=1)


def product_by_differences(differentiated, parameters, direction, X, Y, weight=None):
    """The Hessian times a direction, from the gradient of a differentiated program at 60 digits."""
    with mpmath.workdps(60):
        step = mpmath.mpf(10) ** -20

        def gradient(sign):
            moved = [mpmath.mpf(p) + sign * step * mpmath.mpf(v) for p, v in zip(parameters, direction, strict=True)]
            values = evaluate(differentiated, moved, X, Y, weight, digits=60)
            return np.concatenate([np.ravel(values[element.tensor]) for element in differentiated.gradient])

        return ((gradient(1) - gradient(-1)) / (2 * step)).astype(float)
