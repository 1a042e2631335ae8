"""Points at which formulas are measured: drawn over all floating-point numbers, and of ordinary sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncodegen.ir import Element
from nncodegen.passes.digits.formats import Array

Points = dict[Element, Array]
"""The values of all elements of a formula, each an array with one value for each point."""

SEED = 1962
ORDINARY = 20
"""Ordinary numbers are between 2**-20 and 2**20."""


def draw(
    read: tuple[Element, ...],
    starts: Mapping[Element, float],
    wide: int,
    ordinary: int,
    dtype: Any = np.float64,
    seed: int = SEED,
    spread: float = 0.0,
) -> Points:
    """Return points for the elements of a formula, of a type.

    Inputs have random bits in the first ``wide`` points, and are between 2**-20 and 2**20 in the ``ordinary`` ones.
    Parameters are at their starts in the first of these, where a product with a large input would only be rounded, and
    up to a factor of two away in the others; or up to ``spread`` factors of two in all, if it is given. Then one more
    point follows for each input, which is 0 there.
    """
    generator = np.random.default_rng([seed, len(read)])
    inputs = [element for element in read if element not in starts]
    count = wide + ordinary + len(inputs)
    widest = np.finfo(dtype).maxexp - 4
    points: Points = {}
    for element in read:
        sign = np.where(generator.random(count) < 0.5, -1.0, 1.0)
        exponents = generator.uniform(-1, 1, count)
        size = np.where(np.arange(count) < wide, widest * exponents, ORDINARY * exponents)
        if element in starts:
            start = starts[element] or 1.0
            near = np.where(np.arange(count) < wide, 1.0, 2.0**exponents)
            column = start * (2.0 ** (spread * exponents) if spread else near)
        else:
            column = sign * 2.0**size
            column[wide + ordinary + inputs.index(element)] = 0.0
        points[element] = column.astype(dtype)
    return points


def chosen(points: Points, which: Any) -> Points:
    """Return some of the points: those of a slice, of places, or where a mask holds."""
    return {element: column[which] for element, column in points.items()}


def count_of(points: Points) -> int:
    """Return the number of points."""
    return len(next(iter(points.values())))


def type_of(points: Points) -> np.dtype[Any]:
    """Return the type of the numbers of points."""
    return next(iter(points.values())).dtype


def joined(*several: Points) -> Points:
    """Return the points of several, one after the other."""
    return {element: np.concatenate([points[element] for points in several]) for element in several[0]}
