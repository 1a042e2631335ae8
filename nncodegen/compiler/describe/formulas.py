"""Layers that are formulas over indices: radial basis functions, polynomials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sympy import Add, Expr, exp

from nncodegen.compiler.describe.activate import activated
from nncodegen.compiler.describe.activations import Activation
from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Standard, positive_integer
from nncodegen.compiler.ir import Initial
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.renamed import renamed

STANDARD_NORMAL = Initial("normal", 1.0)


@dataclass(frozen=True)
class RBF(Standard):
    """exp(-(w |x - c|)**2) for each of its units, with centers c of shape (units, inputs) and w of shape (units,).

    (Broomhead and Lowe, 1988.) Centers are drawn from a normal distribution of standard deviation 1, which is that of
    standardized inputs; w starts with 1/sqrt(inputs).
    """

    units: int
    initializer: str | float | Initial = STANDARD_NORMAL
    width_initializer: str | float | None = None

    def describe(self, call: Call) -> Part:
        """Write the steps d = sum (x - c)**2, h = exp(-w**2 d)."""
        units, x = positive_integer(self.units, f"the units of {call.role}"), call.x
        *leading, i = x.indices
        j = call.index(units)
        c = call.parameter("c", (j, i), self.initializer)
        width = 1 / math.sqrt(call.size(i)) if self.width_initializer is None else self.width_initializer
        w = call.parameter("w", (j,), width, penalized=False)
        d = call.step("d", (*leading, j), (x - c) ** 2, "sum", (i,))
        return call.output(exp(-(w**2) * d), d.indices)


@renamed("0.3.0", initializer="kernel_initializer")
@dataclass(frozen=True)
class Polynomial(Standard):
    """activation(a polynomial of all inputs) for each of its units, with all products of up to ``degree`` inputs.

    In layer 1, P1_1 has the shape (units, inputs), P2_1 (units, inputs, inputs) and so on, b1 (units,): the highest
    degree has units*inputs**degree weights, and products of the same inputs in another order have separate weights.
    """

    units: int
    degree: int = 2
    activation: Activation = "linear"
    kernel_initializer: str | float | Initial = "glorot_uniform"
    bias_initializer: str | float = "zeros"

    def describe(self, call: Call) -> Part:
        """Write the steps of z = b + sum(i) P1 x + sum(i, k) P2 x x + ..., summed index by index from the last."""
        units = positive_integer(self.units, f"the units of {call.role}")
        degree = positive_integer(self.degree, f"the degree of {call.role}")
        if len(call.shape) != 1:
            raise call.refuse("an input with one axis")
        if call.shape[0] ** degree > MOST_PRODUCTS:
            raise ModelError(
                f"{call.role} has {call.shape[0]}**{degree} products for each unit: {MOST_PRODUCTS:,} are allowed"
            )
        x, (n, i), j = call.x, call.x.indices, call.index(units)
        others = (call.under(x, (n, call.index(call.size(i))), f"factor{k}_") for k in range(2, degree + 1))
        values = [x, *others]  # each factor of a product needs a different index
        terms: list[Expr] = []
        for power in range(1, degree + 1):
            over = [value.indices[1] for value in values[:power]]
            fans = (call.shape[0] ** power, units)
            total = call.parameter(f"P{power}_", (j, *over), self.kernel_initializer, fans)
            for left in reversed(range(power)):
                product = total * values[left]
                total = call.step(f"s{power}_{left}_", (n, j, *over[:left]), product, "sum", (over[left],))
            terms.append(total)
        b = call.parameter("b", (j,), self.bias_initializer, (call.shape[0], units), penalized=False)
        return activated(call, call.step("z", (n, j), Add(b, *terms)), self.activation)


MOST_PRODUCTS = 100_000
"""The largest number of products of a polynomial for each unit."""
