"""Layers of one's own."""

from dataclasses import dataclass

from nncodegen.describe.initializers import initial
from nncodegen.describe.layers import Part
from nncodegen.ir import Element, Step, Tensor


@dataclass(frozen=True)
class Shift:
    """A layer that adds a vector of its own: its gradient is that of the bias before it."""

    def describe(self, x, size, number, axis, last):
        (i,) = x.indices[1:]
        shift, output = Element(f"c{number}", (i,)), Element(f"h{number}", x.indices)
        parameter = Tensor(shift.tensor, (size,), initial("zeros", size, size), penalized=False)
        return Part((parameter,), (Step(output, x + shift),), output, x + shift, size)
