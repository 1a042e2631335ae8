"""Explanation of errors: how much exact results change when arguments, or steps, change by a unit in the last place.

All arguments are changed at once, each up or down by half a unit to a whole one, at random, so that their effects do
not cancel; in pairs of opposite changes, so that both sides of a branch are seen. The condition of the function is the
largest change. The effect of rounding the steps is found in the same way: each intermediate value is rounded to a
number other than the nearest, unless the precision has it exactly. This effect is larger if the formula itself loses
digits. Index-valued inputs, such as the rows of an embedding, stay as they are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.exact import bind, many, run
from nncodegen.certificates.examination_points import Point, numbering
from nncodegen.certificates.precision import Exact, evaluate_rows, outputs_of, parts_of
from nncodegen.certificates.products import Array, array_of
from nncodegen.certificates.ulps import Precision
from nncodegen.compiler.ir import Program, Step


def moved(program: Program, point: Point, digits: int, precision: Precision, seed: int, pairs: int) -> list[Exact]:
    """Return the exact results at points that are a unit in the last place away."""
    with mpmath.workdps(digits):
        points = moved_points(program, point, precision, seed, pairs)
        return [evaluate_rows(program, neighbour.parameters, neighbour.X, neighbour.Y, digits) for neighbour in points]


def moved_points(program: Program, point: Point, precision: Precision, seed: int, pairs: int) -> list[Point]:
    """Return points that are a unit in the last place away, in pairs on opposite sides, as numbers of mpmath."""
    random = np.random.default_rng(seed)
    points = []
    for _ in range(pairs):
        arrays = (point.parameters, point.X, point.Y)
        steps = [_steps(random, part.shape, precision) for part in arrays]
        steps[1][:, numbering(program)] = 0
        for side in (1, -1):
            parts = (many(part) * (1 + side * many(step)) for part, step in zip(arrays, steps, strict=True))
            points.append(Point(point.kind, *parts))
    return points


def near(
    operands: Mapping[str, Array], random: np.random.Generator, precision: Precision, still: Container[str] = ()
) -> Iterator[dict[str, Array]]:
    """Yield some tensors twice, each number moved up or down by a unit in its last place, then the opposite way.

    The tensors in ``still`` keep their values.
    """
    steps = {name: _steps(random, array.shape, precision) * (name not in still) for name, array in operands.items()}
    for side in (1, -1):
        yield {
            name: np.asarray(array * (1 + side * many(steps[name])), dtype=object) for name, array in operands.items()
        }


def _steps(random: np.random.Generator, shape: tuple[int, ...], precision: Precision) -> Array:
    """Return relative changes of half a unit in the last place to a whole one."""
    steps: Array = random.choice([-1, 1], shape) * random.uniform(0.5, 1, shape) * precision.spacing
    return steps


def shaken(program: Program, point: Point, digits: int, precision: Precision, seed: int) -> tuple[list[Exact], str]:
    """Return results of a program with each step rounded, and the first step that the precision cannot hold."""
    random = np.random.default_rng(seed)
    shaken_results, beyond = [], ""
    results = {element.tensor for element in program.gradient}
    for side in (1, -1, 1, -1):

        def rounded(step: Step, exact: Array, side: int = side) -> Array:
            nonlocal beyond
            if not beyond and any(_beyond(number, precision) for number in exact.flat):
                beyond = str(step)
            if step.target.tensor in results:  # its own rounding is in every bound
                return exact
            by = (side * s for s in many(_steps(random, exact.shape, precision)).flat)
            return array_of(map(precision.rounded, exact.flat, by), exact.shape)

        with mpmath.workdps(digits):
            rows = [
                run(program, bind(program, point.parameters, point.X[part], point.Y[part]), rounded)
                for part in parts_of(program, len(point.X))
            ]
        shaken_results.append(
            Exact(
                np.concatenate([outputs_of(program, values) for values in rows]),
                np.asarray([values[program.required_loss.tensor].item() for values in rows], dtype=object),
                np.asarray([_gradient(program, values) for values in rows], dtype=object),
                digits,
            )
        )
    return shaken_results, beyond


def _gradient(program: Program, values: Mapping[str, Array]) -> list[Any]:
    """Return the derivatives of a program that computes them itself."""
    return [number for element in program.gradient for number in np.asarray(values[element.tensor]).flat]


def _beyond(number: Any, precision: Precision) -> bool:
    """Return whether a number is too large for a precision."""
    return not mpmath.isfinite(number) or abs(number) > precision.huge
