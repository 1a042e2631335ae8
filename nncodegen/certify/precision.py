"""Exact results at a point: with ever more digits, until fifty of them no longer change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certify.exact import bind, derivatives, run
from nncodegen.ir import Program

Array = NDArray[Any]

DIGITS = 50
"""The digits of exact results that are certain, relative to the norm of a tensor."""

LADDER = (120, 400, 800, 1600, 3200)
"""With how many digits is computed, one after the other, until two agree. The second has all that a number of double
precision may be small by: where 120 digits make 0 of 1 - 1/(1 + exp(-700)), 400 do not."""


@dataclass(frozen=True)
class Exact:
    """Outputs (N, columns), losses (N,) and derivatives (N, P) of the loss of each row, and the digits that it took."""

    outputs: Array
    losses: Array
    gradients: Array
    digits: int

    @property
    def finite(self) -> bool:
        """Whether all of them are numbers."""
        return all(mpmath.isfinite(number) for part in self.parts for number in part.flat)

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        """The three arrays."""
        return self.outputs, self.losses, self.gradients


def evaluate_rows(program: Program, parameters: Array, X: Array, Y: Array, digits: int) -> Exact:
    """The results for each row by itself, computed with so many digits."""
    found = []
    with mpmath.workdps(digits):
        for n in range(len(X)):
            values = run(program, bind(program, parameters, X[n : n + 1], Y[n : n + 1]))
            found.append(
                (outputs_of(program, values), values[program.loss.tensor].item(), gradient_of(program, values))
            )
    outputs, losses, gradients = zip(*found, strict=True)
    return Exact(np.concatenate(outputs), np.asarray(losses, dtype=object), np.asarray(gradients, dtype=object), digits)


def outputs_of(program: Program, values: dict[str, Array]) -> Array:
    """The outputs of a program as a matrix (N, columns)."""
    samples = len(values[program.weight.name])
    return np.concatenate([values[e.tensor].reshape(samples, -1) for e in program.outputs], axis=1)


def gradient_of(program: Program, values: dict[str, Array]) -> Array:
    """The derivatives of the loss by all parameters, (P,), accumulated in reverse."""
    received = derivatives(program, values)
    return np.concatenate([np.asarray(received[tensor.name]).reshape(-1) for tensor in program.parameters])


def settled(program: Program, parameters: Array, X: Array, Y: Array) -> Exact | None:
    """The exact results at a point; None where a formula has none there, or none in 3,200 digits."""
    return climb(lambda digits: evaluate_rows(program, parameters, X, Y, digits))


def climb(evaluate: Callable[[int], Exact]) -> Exact | None:
    """What an evaluation gives when it no longer changes; with the digits that are enough for it."""
    below = evaluate(LADDER[0])
    for digits in LADDER[1:]:
        above = evaluate(digits)
        if above.finite and below.finite and all(map(agree, below.parts, above.parts, [above.digits] * 3)):
            return Exact(*above.parts, digits=below.digits)
        if digits > LADDER[1] and not above.finite and not below.finite:
            return None  # more digits rarely help where there is no number
        below = above
    return None


def agree(found: Array, expected: Array, digits: int, certain: int = DIGITS) -> bool:
    """Whether two arrays agree to so many digits of their norm."""
    with mpmath.workdps(digits):
        norm = norm_of(expected)
        return bool(norm_of(found - expected) <= norm * mpmath.mpf(10) ** -certain)


def norm_of(array: Array) -> Any:
    """The root of the sum of the squares."""
    return mpmath.sqrt(mpmath.fsum((number for number in np.asarray(array).flat), squared=True))
