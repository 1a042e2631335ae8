"""Exact values of a module's further results, at a point and at neighbouring points, and the verdict on an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath

from nncodegen.certificates.conditions import moved_points
from nncodegen.certificates.exact import many
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.precision import norm_of
from nncodegen.certificates.products import Array
from nncodegen.certificates.results import Examined, Found
from nncodegen.certificates.ulps import LARGEST, bound, distance
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import DIGITS_LOST, HOLDS, OUT_OF_RANGE, WRONG, Figure

Lost = Callable[[Any, float], float | None]
"""A function that returns, for a unit and an error, how far results are apart whose steps are rounded another way; None
if the precision cannot hold one of the steps."""


@dataclass(frozen=True)
class Beside:
    """A point that is examined, and its neighbouring points."""

    examined: Examined

    @cached_property
    def points(self) -> list[Point]:
        """Return the point itself, and two that are a unit in the last place away."""
        examined = self.examined
        beside = moved_points(examined.programs.given, examined.point, examined.precision, examined.seed, 1)
        return [examined.point, *beside]

    def found(
        self, name: str, machine: Sequence[Array], exact: Sequence[Array], unit: Any = None, lost: Lost | None = None
    ) -> Iterator[Found]:
        """Yield the worst of several results; ``exact`` are those at the point, and at its neighbours."""
        first, *others = exact
        if not all(mpmath.isfinite(number) for part in exact for number in part.flat):
            return
        unit = unit or self.examined.precision.ulp(norm_of(first))
        error = max(distance(many(result).reshape(first.shape), first, unit) for result in machine)
        condition = max((distance(other, first, unit) for other in others), default=0.0)
        allowed, verdict = bound(condition), HOLDS
        if error > allowed:
            spread = lost(unit, error) if lost else 0.0
            if spread is None:
                allowed, verdict = LARGEST, OUT_OF_RANGE
            else:
                verdict = DIGITS_LOST if error <= bound(spread) else WRONG
                allowed = bound(spread) if verdict == DIGITS_LOST else allowed
        yield Found(Figure(name, self.examined.point.kind, error, condition, allowed, verdict), self.examined)


def arguments(module: Module, point: Point, count: int) -> tuple[Array, Array | None, Array | None]:
    """Return parameters, X and Y as a module takes them."""
    x, y = (part[:count].astype(module.dtype) if part.size else None for part in (point.X, point.Y))
    return point.parameters.astype(module.dtype), x, y
