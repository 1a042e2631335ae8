"""A layer that looks up rows of a matrix by their indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nncodegen.describe.call import Call, Part
from nncodegen.describe.layer import Standard, positive_integer
from nncodegen.ir import Equation
from nncodegen.runtime.python.ground.renamed import renamed


@renamed("0.3.0", initializer="embeddings_initializer")
@dataclass(frozen=True)
class Embedding(Standard):
    """The row of E for each index: E has the shape (input_dim, output_dim), the indices are 0 to input_dim - 1.

    Its input is an input of the network; a value that is outside of this range, or no integer, is an error of the call.
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: str | float = "random_uniform"

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"E": ("embeddings", "weight")}

    def describe(self, call: Call) -> Part:
        """Write the step h[n, t, k] = sum(v) E[v, k] where v = x[n, t]."""
        x = call.x
        if not call.of_input:
            raise call.refuse("numbers that are an input of the network, as they are")
        rows = call.index(positive_integer(self.input_dim, f"the input_dim of {call.role}"))
        k = call.index(positive_integer(self.output_dim, f"the output_dim of {call.role}"))
        E = call.parameter("E", (rows, k), self.embeddings_initializer, (self.input_dim, self.output_dim))
        return call.part(call.step("h", (*x.indices, k), E, "sum", (rows,), [Equation(x, ((rows, 1),))]))
