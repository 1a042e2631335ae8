"""The examination of a module: the points that are drawn, and the exact results at each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nncodegen.certificates.batches import SAMPLES, halves
from nncodegen.certificates.examination_points import KINDS, Points
from nncodegen.certificates.precision import settled
from nncodegen.certificates.results import Examined, Programs
from nncodegen.certificates.ulps import precision_of

SMALL = 2_000
"""Number of values of all steps for a sample up to which a model is examined at more points: the time grows with
both."""


@dataclass(frozen=True)
class Extent:
    """The extent of an examination: points of each kind, rows of each point, and pairs of neighbours of each."""

    points: int
    rows: int
    pairs: int


def extent_of(programs: Programs, points: int | None) -> Extent:
    """Return an extent that takes about a second for a formula, and a millisecond per parameter of a large network."""
    small = sum(programs.described.count(step.indices) for step in programs.described.steps) <= SMALL
    usual = Extent(3, 3, 2) if small else Extent(1, 2, 2)
    if programs.described.statistics:
        usual = replace(usual, rows=max(usual.rows, SAMPLES))
    return usual if points is None else Extent(points, usual.rows, usual.pairs)


def examine(programs: Programs, extent: Extent, seed: int, visit: Callable[[Examined], None]) -> dict[str, int]:
    """Draw points, and call ``visit`` for each where the model has exact results. Return the number of each kind.

    ``visit`` is called for each part of a model that has several.
    """
    precision = precision_of(programs.described.precision)
    parts, counts = halves(programs), {}
    for number, kind in enumerate(KINDS):
        draw = Points(parts[0].described, parts[0].simplified, extent.rows, seed * len(KINDS) + number)
        count = 0
        for attempt in range(2 * extent.points + 2):
            point = draw.of(kind)
            exact = [settled(part.given, point.parameters, point.X, point.Y) for part in parts] if point else [None]
            if point and all(exact):
                for part, results in zip(parts, exact, strict=True):
                    assert results
                    visit(Examined(part, point, results, precision, attempt, extent.pairs))
                count += 1
            if count == extent.points:
                break
        counts[kind] = count
    return counts
