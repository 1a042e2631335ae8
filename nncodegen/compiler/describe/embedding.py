"""Layers that look up rows of a matrix: by indices, or by the places in a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Standard, positive_integer
from nncodegen.compiler.ir import Equation
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


@dataclass(frozen=True)
class PositionEmbedding(Standard):
    """The row of P for each step of a sequence: P has the shape (sequence_length, features).

    Its input is a sequence (steps, features) of at most sequence_length steps, of which only the shape counts: as in
    KerasHub, the result is added to what the steps hold, ``h + PositionEmbedding(16)(h)``.
    """

    sequence_length: int
    initializer: str | float = "glorot_uniform"

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"P": ("embeddings", "weight")}

    def describe(self, call: Call) -> Part:
        """Write the step h[n, t, k] = P[t, k], or that of the first rows of P."""
        length = positive_integer(self.sequence_length, f"the sequence_length of {call.role}")
        if len(call.shape) != 2 or call.shape[0] > length:
            raise call.refuse(f"a sequence of the shape (steps, features) with at most {length} steps")
        n, t, k = call.x.indices
        whole = call.size(t) == length
        row = t if whole else call.index(length)
        P = call.parameter("P", (row, k), self.initializer, (length, call.size(k)))
        if whole:
            return call.part(call.step("h", (n, t, k), P))
        return call.part(call.step("h", (n, t, k), P, "sum", (row,), [Equation(row, ((t, 1),))]))
