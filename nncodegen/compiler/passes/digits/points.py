"""Points at which formulas are measured: drawn over all floating-point numbers, and of ordinary sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Element
from nncodegen.compiler.passes.digits.formats import Array

Points = dict[Element, Array]
"""The values of all elements of a formula, each an array with one value for each point."""

SEED = 1962
ORDINARY = 20
"""Ordinary numbers are between 2**-20 and 2**20."""

TINY = -0.6
"""Of the points near 0, one of five is tiny instead: where a number that is uniform in (-1, 1) is below this."""


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
    point follows for each input, which is 0 there. Where the start of a parameter is no ordinary number, such as 0,
    there are twice as many points: at some, this parameter is near its start, at others it has an ordinary size, as
    training moves it there.
    """
    generator = np.random.default_rng([seed, len(read)])
    inputs = [element for element in read if element not in starts]
    if not all(map(is_ordinary, (starts[element] for element in read if element in starts))):
        wide, ordinary = 2 * wide, 2 * ordinary
    count = wide + ordinary + len(inputs)
    widest = np.finfo(dtype).maxexp - 4
    is_wide = np.arange(count) < wide
    points: Points = {}
    for element in read:
        sign = np.where(generator.random(count) < 0.5, -1.0, 1.0)
        exponents = generator.uniform(-1, 1, count)
        if element not in starts:
            column = sign * 2.0 ** np.where(is_wide, widest * exponents, ORDINARY * exponents)
            column[wide + ordinary + inputs.index(element)] = 0.0
        elif is_ordinary(starts[element]):
            near = np.where(is_wide, 1.0, 2.0**exponents)
            column = starts[element] * (2.0 ** (spread * exponents) if spread else near)
        else:
            near, share = _near(starts[element], sign, exponents), generator.random(count)
            size = (spread or ORDINARY) * exponents
            moved = 2.0 ** np.where(is_wide, np.round(size), size)
            column = np.where(share < 0.5, near, (np.sign(starts[element]) or sign) * moved)
        points[element] = column.astype(dtype)
    return points


def is_ordinary(number: float) -> bool:
    """Return whether the size of a number is between 2**-20 and 2**20."""
    return bool(_are_ordinary(np.array(number)))


def _near(start: float, sign: Array, exponents: Array) -> Array:
    """Return numbers near the start of a parameter: up to a factor of two away; for 0, most of them 0, others tiny."""
    if start:
        return np.asarray(start * 2.0**exponents)
    return np.where(exponents < TINY, sign * 2.0 ** (2 * ORDINARY * exponents), 0.0)


def regimes(points: Points, starts: Mapping[Element, float]) -> list[NDArray[np.bool_]]:
    """Return which points belong together: those at which the same parameters are near starts that are not ordinary."""
    unusual = [points[element] for element in points if element in starts and not is_ordinary(starts[element])]
    kinds = sum((2**k * _are_ordinary(column) for k, column in enumerate(unusual)), np.zeros(count_of(points), int))
    return [kinds == kind for kind in np.unique(kinds)]


def ordinary_points(points: Points, inputs: Iterable[Element]) -> NDArray[np.bool_]:
    """Return the points at which the sizes of all inputs are ordinary, or 0."""
    usual = np.ones(count_of(points), bool)
    for element in inputs:
        usual &= _are_ordinary(points[element]) | (points[element] == 0)
    return usual


def _are_ordinary(numbers: Array) -> NDArray[np.bool_]:
    return (np.abs(numbers) >= 2.0**-ORDINARY) & (np.abs(numbers) <= 2.0**ORDINARY)


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
