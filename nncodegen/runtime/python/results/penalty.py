"""A penalty on the parameters of a fit: half the squares of linear functions of them, added to its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..ground.types import Array


class Penalty(NamedTuple):
    """K linear functions of P parameters: for a normal prior, (parameter - mean)/deviation."""

    slopes: Array
    """The derivatives by the parameters, (K, P)."""
    at_zero: Array
    """The values where all parameters are 0, (K,)."""

    def values(self, parameters: Array) -> Array:
        """Return the functions at parameters, (K,)."""
        values: Array = self.at_zero + (self.slopes * parameters).sum(axis=1)
        return values

    def cost(self, parameters: Array) -> float:
        """Return what is added to the cost at parameters, (P,)."""
        return float((self.values(parameters) ** 2).sum()) / 2

    def for_c(self, parameters: int, factor: float = 1.0) -> Array:
        """Return the rows that C takes for a model with as many parameters, whose last ones have no penalty, or more.

        The cost of C, times the square of the factor, is that of the fit.
        """
        rows = np.zeros((len(self.slopes), parameters + 1))
        rows[:, : self.slopes.shape[1]] = self.slopes
        rows[:, -1] = self.at_zero
        return rows / factor


def without(penalty: Penalty | None, cost: float, parameters: Array) -> float:
    """Return a cost at parameters, (P,), without what a penalty adds to it."""
    return cost if penalty is None else cost - penalty.cost(parameters)
