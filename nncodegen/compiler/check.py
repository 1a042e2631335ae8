"""Checks the gradient of a compiled module against two independent sources.

First, the evaluation of the differentiated program gives the whole gradient, independent of the compiler's C. Second,
central differences of the loss along a random direction give one derivative, independent of the compiler's algebra:
the loss is that of the program after ``describe``, evaluated with 50 digits, so that no precision is lost. For a
program too large for that, the differences are taken in float64 with two step sizes, and count only where both agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Program, evaluate, ranges_of, slices_of
from nncodegen.errors import CheckError
from nncodegen.runtime.module import Module

Array = NDArray[np.float64]


EXACT_LIMIT = 20_000
"""Differences are taken with 50 digits up to this many operations, which takes about a tenth of a second."""


@dataclass(frozen=True)
class Check:
    """The relative errors of a gradient: of the module's to the evaluated one, and of that to central differences.

    The second is None where the central differences did not converge.
    """

    evaluated: float
    differences: float | None


def check_gradient(
    module: Module, described: Program, differentiated: Program, X: Array | None = None, Y: Array | None = None
) -> Check | None:
    """Compare the gradient at the initial parameters with the other sources, on the given data or on random ones.

    Returns None if the loss or the gradient is not finite at that point. Raises CheckError if the gradient is wrong.
    """
    if X is None and Y is None:
        X, Y = random_data(described)
    parameters = np.asarray(module.initial_parameters(seed=1), float)
    values = evaluate(differentiated, parameters, X, Y)
    gradient = np.concatenate([values[element.tensor].ravel() for element in differentiated.gradient])
    gradient = np.where(trained(described), gradient, 0.0)
    if not (np.isfinite(values[differentiated.in_training.loss.tensor]) and np.isfinite(gradient).all()):
        return None
    _, compiled = module.loss_and_gradient(parameters, X, Y)
    scale = max(float(np.linalg.norm(gradient)), 1e-300)
    check = Check(
        evaluated=float(np.linalg.norm(compiled - gradient)) / scale,
        differences=_differences(described, gradient, parameters, X, Y),
    )
    if check.evaluated > (1e-10 if described.precision == "float64" else 1e-3) or (check.differences or 0) > 1e-6:
        raise CheckError(
            f"the gradient of {described.name} is wrong: it differs by {check.evaluated:.1e} from the evaluated one, "
            f"which differs by {check.differences or 0:.1e} from central differences; please report this model"
        )
    return check


def random_data(program: Program, samples: int = 5) -> tuple[Array | None, Array | None]:
    """Return random inputs and targets between 0 and 1, where most formulas are defined.

    Rows of targets that are labels sum to 1. Inputs that are indices are whole numbers in their range, times ascend.
    """
    generator = np.random.default_rng(0)
    inputs, targets = (sum(t.size for t in tensors) for tensors in (program.inputs, program.targets))
    X, Y = generator.uniform(0.1, 0.9, (samples, inputs)), generator.uniform(0.1, 0.9, (samples, targets))
    for tensor, columns in slices_of(program.inputs):
        if numbers := ranges_of(program).get(tensor.name):
            X[:, columns] = generator.integers(*numbers, size=(samples, tensor.size))
        if tensor.name in program.task.sorted_inputs:
            X[:, columns].sort(axis=1)
    if program.task.labels:
        Y /= Y.sum(axis=1, keepdims=True)
    return X if inputs else None, Y if targets else None


def _differences(
    program: Program, gradient: Array, parameters: Array, X: Array | None, Y: Array | None
) -> float | None:
    """Return the error of a directional derivative against a central difference, relative to the terms that it sums."""
    generator = np.random.default_rng(1)
    direction = generator.standard_normal(len(parameters)) * np.maximum(abs(parameters), 1e-3)
    direction *= trained(program)
    exact_slope = float(gradient @ direction)
    scale = max(float(abs(gradient) @ abs(direction)), 1e-300)

    def difference(step: float) -> float:
        ends = [evaluate(program, parameters + sign * step * direction, X, Y) for sign in (1, -1)]
        upper, lower = (end[program.required_loss.tensor].item() for end in ends)
        return float((upper - lower) / (2 * step))

    if _size(program) * len(X if X is not None else [0]) < EXACT_LIMIT:
        return abs(sum(exact_slopes(program, parameters, X, Y, direction)) / 2 - exact_slope) / scale
    coarse, fine = difference(1e-4), difference(1e-5)
    return (
        abs(fine - exact_slope) / max(scale, abs(fine)) if abs(coarse - fine) < 1e-6 * max(scale, abs(fine)) else None
    )


def exact_slopes(
    program: Program, parameters: Array, X: Array | None, Y: Array | None, direction: Array
) -> tuple[float, float]:
    """Return the differences of the loss in a direction to both sides of a point, divided by their step, at 50 digits.

    Where the loss has a derivative, they differ by 1e-15 or less.
    """
    with mpmath.workdps(50):
        step = mpmath.mpf(10) ** -15
        here, move = ([mpmath.mpf(float(number)) for number in numbers] for numbers in (parameters, direction))
        points = [[p + side * step * d for p, d in zip(here, move, strict=True)] for side in (-1, 0, 1)]
        losses = [evaluate(program, point, X, Y, digits=50)[program.required_loss.tensor].item() for point in points]
        return float((losses[2] - losses[1]) / step), float((losses[1] - losses[0]) / step)


def trained(program: Program) -> Array:
    """Return whether each parameter is trained, (P,)."""
    return np.repeat([tensor.trained for tensor in program.parameters], [t.size for t in program.parameters])


def _size(program: Program) -> int:
    """Return roughly the number of operations to evaluate one sample."""
    return sum(program.count(step.indices) for step in program.steps)
