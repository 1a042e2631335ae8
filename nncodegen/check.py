"""Checks the gradient of a compiled module against two independent sources.

The reference is the described program, before any stage has changed it: its NumPy evaluation gives the loss, and
central differences of that in random directions give derivatives without any of the compiler's algebra. The
evaluation of the differentiated program gives the whole gradient, without any of the compiler's C.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from nncodegen.errors import NncodegenError
from nncodegen.ir import Program, evaluate

Array = NDArray[np.float64]


class CheckError(NncodegenError):
    """The gradient of a compiled module is wrong."""


@dataclass(frozen=True)
class Check:
    """Relative differences of a module's gradient from the evaluated one and from central differences."""

    evaluated: float
    differences: float


def check_gradient(
    module: ModuleType, described: Program, differentiated: Program, X: Array | None = None, Y: Array | None = None
) -> Check | None:
    """Compares the gradient at the initial parameters, on the given data or on random ones.

    Returns None if the loss is not finite there. Raises CheckError if the gradient is wrong.
    """
    if X is None and Y is None:
        X, Y = _random_data(described)
    parameters = np.asarray(module.initial_parameters(seed=1), float)
    values = evaluate(differentiated, parameters, X, Y)
    gradient = np.concatenate([values[element.tensor].ravel() for element in differentiated.gradient])
    if not (np.isfinite(values[described.loss.tensor]) and np.isfinite(gradient).all()):
        return None
    _, compiled = module.loss_and_gradient(parameters, X, Y)
    scale = max(float(np.linalg.norm(gradient)), 1e-300)
    double = described.precision == "float64"
    check = Check(
        evaluated=float(np.linalg.norm(compiled - gradient)) / scale,
        differences=_differences(described, gradient, parameters, X, Y) / scale,
    )
    if check.evaluated > (1e-10 if double else 1e-3) or check.differences > 1e-3:
        raise CheckError(
            f"the gradient of {described.name} is wrong: it differs by {check.evaluated:.1e} from the evaluated one, "
            f"which differs by {check.differences:.1e} from central differences; please report this model"
        )
    return check


def _random_data(program: Program) -> tuple[Array | None, Array | None]:
    """Inputs and targets between 0 and 1, where most formulas are defined; rows of targets that sum to 1."""
    generator = np.random.default_rng(0)
    inputs, targets = (sum(t.size for t in tensors) for tensors in (program.inputs, program.targets))
    X, Y = generator.uniform(0.1, 0.9, (5, inputs)), generator.uniform(0.1, 0.9, (5, targets))
    if program.labels:
        Y /= Y.sum(axis=1, keepdims=True)
    return X if inputs else None, Y if targets else None


def _differences(program: Program, gradient: Array, parameters: Array, X: Array | None, Y: Array | None) -> float:
    """The largest difference of a directional derivative from a central difference, in three random directions."""
    generator = np.random.default_rng(1)
    worst = 0.0
    for _ in range(3):
        direction = generator.standard_normal(len(parameters))
        direction /= np.linalg.norm(direction)
        step = 1e-5 * max(1.0, float(np.linalg.norm(parameters)))
        ends = (evaluate(program, parameters + s * step * direction, X, Y)[program.loss.tensor] for s in (1, -1))
        upper, lower = (float(end) for end in ends)
        worst = max(worst, abs((upper - lower) / (2 * step) - float(gradient @ direction)))
    return worst
