"""Tied parameters and derived quantities of many fits."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import name_of
from ..ground.same_bits import PORTABLE
from .quantities import evaluated

if TYPE_CHECKING:
    from ..ground.types import Array


class ManyQuantities:
    """Tied parameters, then derived quantities, Q of them, of the M fits of a ManyFits.

    ``derived["b"]`` are the values of one, (M,).

    values           (M, Q)
    standard_errors  (M, Q), by the propagation of errors: see ``Quantities``
    names            their names, in this order
    """

    def __init__(self, fits: Any) -> None:
        self._fits = fits
        self._own = fits._model.facts.fitting.quantities
        self.names = tuple(quantity.name for quantity in self._own)

    @cached_property
    def values(self) -> Array:
        """Return the values, (M, Q)."""
        points = self._fits.parameters.astype(float).tolist()
        same = self._fits._model.bits == PORTABLE
        rows = [[evaluated(quantity, point, same)[0] for quantity in self._own] for point in points]
        return np.array(rows, float).reshape(len(points), len(self._own))

    @cached_property
    def standard_errors(self) -> Array:
        """Return the standard errors, (M, Q): infinite where the data do not determine a quantity, or are not there.

        Each fit is evaluated again at its parameters. Raises ValueError for fits whose data are not known.
        """
        errors = np.full((len(self._fits), len(self._own)), np.inf)
        for m in np.flatnonzero(self._fits.data > 0).tolist():
            errors[m] = self._fits[m].derived.standard_errors
        return errors

    def __getitem__(self, name: Any) -> Array:
        """Return the values of a quantity, (M,), by its name or its SymPy symbol. Raises KeyError."""
        if name_of(name) not in self.names:
            raise KeyError(f"there is no quantity {name_of(name)!r}; there are: {', '.join(self.names) or 'none'}")
        values: Array = self.values[:, self.names.index(name_of(name))]
        return values

    def __len__(self) -> int:
        return len(self.names)
