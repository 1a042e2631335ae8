"""What explains an error: how much exact results change when arguments, or steps, change by a unit in the last place.

All arguments are changed at once, each up or down by half a unit to a whole one, at random, so that their effects do
not cancel; in pairs that are opposite to each other, so that both sides of a branch are seen. The condition of the
function is the largest change. What rounding does to the steps is found in the same way: each value between them is
rounded to another number than the nearest, unless it is one that the precision has. That is more where the formula
itself loses digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certify.exact import array_of, bind, compute, lengths_of, many
from nncodegen.certify.points import Point
from nncodegen.certify.precision import Exact, evaluate_rows, outputs_of
from nncodegen.certify.ulps import Precision
from nncodegen.ir import Program

Array = NDArray[Any]


def moved(program: Program, point: Point, digits: int, precision: Precision, seed: int, pairs: int) -> list[Exact]:
    """The exact results at points that are a unit in the last place away."""
    random = np.random.default_rng(seed)
    found = []
    with mpmath.workdps(digits):
        for _ in range(pairs):
            arrays = (point.parameters, point.X, point.Y)
            steps = [_steps(random, part.shape, precision) for part in arrays]
            for side in (1, -1):
                parameters, X, Y = (
                    many(part) * (1 + side * many(step)) for part, step in zip(arrays, steps, strict=True)
                )
                found.append(evaluate_rows(program, parameters, X, Y, digits))
    return found


def near(
    operands: Mapping[str, Array], random: np.random.Generator, precision: Precision
) -> Iterator[dict[str, Array]]:
    """Some tensors, each number up or down by a unit in its last place; and the opposite."""
    steps = {name: _steps(random, array.shape, precision) for name, array in operands.items()}
    for side in (1, -1):
        yield {
            name: np.asarray(array * (1 + side * many(steps[name])), dtype=object) for name, array in operands.items()
        }


def _steps(random: np.random.Generator, shape: tuple[int, ...], precision: Precision) -> Array:
    """Relative changes of half a unit in the last place to a whole one."""
    steps: Array = random.choice([-1, 1], shape) * random.uniform(0.5, 1, shape) * precision.spacing
    return steps


def shaken(program: Program, point: Point, digits: int, precision: Precision, seed: int) -> tuple[list[Exact], str]:
    """The results of a program each of whose steps is rounded; and the first step that the precision cannot hold."""
    random = np.random.default_rng(seed)
    found, beyond = [], ""
    with mpmath.workdps(digits):
        for side in (1, -1, 1, -1):
            rows = []
            for n in range(len(point.X)):
                values = bind(program, point.parameters, point.X[n : n + 1], point.Y[n : n + 1])
                lengths = lengths_of(program, 1)
                for step in program.steps:
                    exact = np.asarray(compute(step, values, lengths), dtype=object)
                    if not beyond and any(_beyond(number, precision) for number in exact.flat):
                        beyond = str(step)
                    if step.target in program.gradient:  # its own rounding is in every bound
                        values[step.target.tensor] = exact
                        continue
                    by = (side * s for s in many(_steps(random, exact.shape, precision)).flat)
                    rounded = map(precision.rounded, exact.flat, by)
                    values[step.target.tensor] = array_of(rounded, exact.shape)
                rows.append((
                    outputs_of(program, values), values[program.loss.tensor].item(),
                    np.concatenate([np.asarray(values[e.tensor]).reshape(-1) for e in program.gradient]),
                ))  # fmt: skip
            outputs, losses, gradients = zip(*rows, strict=True)
            found.append(
                Exact(
                    np.concatenate(outputs),
                    np.asarray(losses, dtype=object),
                    np.asarray(gradients, dtype=object),
                    digits,
                )
            )
    return found, beyond


def _beyond(number: Any, precision: Precision) -> bool:
    """Whether a number is too large for a precision."""
    return not mpmath.isfinite(number) or abs(number) > precision.huge
