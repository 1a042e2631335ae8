"""Points at which formulas are measured: drawn over all floating-point numbers, and of ordinary sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import Element

Array = NDArray[np.float64]

Points = dict[Element, Array]
"""The values of all elements of a formula, each an array with one value for each point."""

SEED = 1962
ORDINARY = 20
"""Ordinary numbers are between 2**-20 and 2**20."""


def draw(read: tuple[Element, ...], starts: Mapping[Element, float], wide: int, ordinary: int) -> Points:
    """Return points for the elements of a formula.

    Inputs have random bits in the first ``wide`` points, and are between 2**-20 and 2**20 in the ``ordinary`` ones.
    Parameters are at their starts in the first of these, where a product with a large input would only be rounded, and
    up to a factor of two away in the others. Then one more point follows for each input, which is 0 there.
    """
    generator = np.random.default_rng([SEED, len(read)])
    inputs = [element for element in read if element not in starts]
    count = wide + ordinary + len(inputs)
    points: Points = {}
    for element in read:
        sign = np.where(generator.random(count) < 0.5, -1.0, 1.0)
        exponents = generator.uniform(-1, 1, count)
        size = np.where(np.arange(count) < wide, 1020 * exponents, ORDINARY * exponents)
        if element in starts:
            start = starts[element] or 1.0
            points[element] = start * np.where(np.arange(count) < wide, 1.0, 2.0**exponents)
        else:
            points[element] = sign * 2.0**size
            points[element][wide + ordinary + inputs.index(element)] = 0.0
    return points
