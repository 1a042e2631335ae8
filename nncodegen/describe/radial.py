"""Layers that are formulas over indices: radial basis functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sympy import exp

from nncodegen.describe.call import Call, Part
from nncodegen.describe.layer import Standard, positive_integer
from nncodegen.ir import Initial

STANDARD_NORMAL = Initial("normal", 1.0)


@dataclass(frozen=True)
class RBF(Standard):
    """exp(-(w |x - c|)**2) for each of its units, with centers c of shape (units, inputs) and w of shape (units,).

    (Broomhead and Lowe, 1988.) Centers are drawn from a normal distribution of standard deviation 1, as inputs that are
    standardized have it; w starts with 1/sqrt(inputs).
    """

    units: int
    initializer: str | float | Initial = STANDARD_NORMAL
    width_initializer: str | float | None = None

    def describe(self, call: Call) -> Part:
        """D = sum (x - c)**2, h = exp(-w**2 d)."""
        units, x = positive_integer(self.units, f"the units of {call.role}"), call.x
        *leading, i = x.indices
        j = call.index(units)
        c = call.parameter("c", (j, i), self.initializer)
        width = 1 / math.sqrt(call.size(i)) if self.width_initializer is None else self.width_initializer
        w = call.parameter("w", (j,), width, penalized=False)
        d = call.step("d", (*leading, j), (x - c) ** 2, "sum", (i,))
        return call.output(exp(-(w**2) * d), d.indices)
