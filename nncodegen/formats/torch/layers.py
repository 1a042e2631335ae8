"""Layers for operations on values in the ``forward`` of a module of PyTorch, other than calls of modules."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from sympy import Expr, Integer, S, sqrt

from nncodegen.compiler.describe.attention import BIAS, CAUSAL, Rows, attended, rows_of
from nncodegen.compiler.describe.call import Call, Part, Shape
from nncodegen.compiler.describe.layer import Standard
from nncodegen.compiler.describe.prelu import PReLU
from nncodegen.compiler.ir import SAMPLE, Element, Equation
from nncodegen.formats.activations import number


@dataclass(frozen=True)
class Taken(Standard):
    """Some places of each axis, as x[:, 1:, 0]: a number or a range for each axis but that of the samples."""

    places: tuple[int | range, ...]

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j] = sum(i) x[n, i] where i = start + step*j."""
        x = call.x
        indices: list[str] = []
        over: list[str] = []
        where: list[Equation] = []
        for index, place, size in zip(x.indices[1:], self.places, call.shape, strict=True):
            if isinstance(place, int):
                over.append(index)
                where.append(Equation(index, (), place))
            elif place == range(size):
                indices.append(index)
            else:
                taken = call.index(len(place))
                indices.append(taken)
                over.append(index)
                where.append(Equation(index, ((taken, place.step),), place.start))
        if not indices:  # a single value
            indices = [call.index(1)]
        if not over:
            return call.part(x)
        return call.part(call.step("h", (x.indices[0], *indices), x, "sum", over, where))


@dataclass(frozen=True)
class ChannelPReLU(PReLU):
    """A PReLU with a slope for each channel, which is the first axis of a sample, or with one for all values."""

    slopes: int = 1

    def of_slopes(self, call: Call) -> tuple[str, ...]:
        """Return the index of the channels, if each has its own slope."""
        return () if self.slopes == 1 else call.x.indices[1:2]


@dataclass(frozen=True)
class Mean(Standard):
    """The mean over some axes, by number, where 0 is that of the samples; kept: these axes stay, with the size 1."""

    axes: tuple[int, ...]
    kept: bool = False

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j] = sum(i) x[n, i, j]/size."""
        x = call.x
        over = [x.indices[axis] for axis in self.axes]
        indices = [index for index in x.indices if index not in over]
        if self.kept:
            indices = [call.index(1) if index in over else index for index in x.indices]
        elif len(indices) == 1:
            indices.append(call.index(1))
        return call.part(call.step("h", indices, x / math.prod(map(call.size, over)), "sum", over))


@dataclass(frozen=True)
class OfAllSamples(Standard):
    """Numbers of this shape that are the same for all samples, and that no training changes; its input is not read."""

    shape: Shape

    def describe(self, call: Call) -> Part:
        """Write the step h[n, i, j] = M[i, j]."""
        indices = tuple(map(call.index, self.shape))
        M = call.parameter("M", indices, "zeros", (1, 1), penalized=False, trained=False)
        return call.part(call.step("h", (SAMPLE, *indices), M))


@dataclass(frozen=True)
class WithWeights(Standard):
    """A sum, difference or product of its input and of weights P of this shape, which belong to its last axes.

    turned: the weights are the first operand.
    """

    operation: str
    shape: Shape
    trained: bool = True
    turned: bool = False

    def describe(self, call: Call) -> Part:
        """Write the step h[n, t, k] = x[n, t, k] + P[t, k]; an axis of size 1 is left out of P."""
        axes = call.x.indices[len(call.x.indices) - len(self.shape) :]
        of_weights = [index for index, size in zip(axes, self.shape, strict=True) if size > 1 or call.size(index) == 1]
        P = call.parameter("P", of_weights, "zeros", (1, 1), penalized=False, trained=self.trained)
        operands = (P, call.x) if self.turned else (call.x, P)
        value: Expr = getattr(operator, self.operation)(*operands)
        return call.output(value)


@dataclass(frozen=True)
class Same(Standard):
    """1 where its input, whole numbers that are given, is this number, and 0 elsewhere."""

    number: int

    def describe(self, call: Call) -> Part:
        """Write the step h[n, t] = 1 where x[n, t] = number."""
        if not call.of_input:
            raise call.refuse("numbers that are an input of the network, as they are, to compare them")
        return call.part(call.step("h", call.x.indices, S.One, None, (), (Equation(call.x, (), self.number),)))


@dataclass(frozen=True)
class MatrixProduct(Standard):
    """The product of two matrices in the last axes; all axes before them are the same."""

    def describe(self, call: Call) -> Part:
        """Write the step h[n, i, k] = sum(j) a[n, i, j]*b[n, j, k]."""
        (a, b), (first, second) = call.inputs, call.shapes
        if len(first) != len(second) or len(first) < 2 or first[:-2] != second[:-2] or first[-1] != second[-2]:
            raise call.refuse("matrices that can be multiplied, with the same axes before them")
        column = call.index(second[-1])
        b = Element(b.tensor, (*a.indices[:-2], a.indices[-1], column))
        return call.part(call.step("h", (*a.indices[:-1], column), a * b, "sum", (a.indices[-1],)))


@dataclass(frozen=True)
class DotProductAttention(Standard):
    """Attention of queries, keys and values that are given: softmax(query*key*scale), and the means of the values.

    Its inputs have the axes (..., steps, features), and the names of ``MultiHeadAttention``'s, in the order of query,
    key and value. A query may have further axes before the steps, such as the heads of a group.
    """

    scale: float
    dropout: float = 0.0

    def describe(self, call: Call) -> Part:
        """Write the scores, their softmax, and the weighted means."""
        inputs = dict(zip(call.arguments, zip(call.inputs, call.shapes, strict=True), strict=False))
        (q, first), (k, second), (v, third) = (inputs[name] for name in ("query", "key", "value"))
        shared = second[:-2]
        if len(second) < 2 or len(first) < len(second) or not first[: len(shared)] == shared == third[:-2]:
            raise call.refuse("queries, keys and values with the same axes before steps and features")
        if first[-1] != second[-1] or second[-2] != third[-2]:
            raise call.refuse("queries and keys with as many features, and a value for each key")
        *rest, t, d = q.indices
        s, u = call.index(second[-2]), call.index(third[-1])
        of_keys = rest[: len(shared) + 1]
        key, value = Element(k.tensor, (*of_keys, s, d)), Element(v.tensor, (*of_keys, s, u))
        query = call.step("q", q.indices, q * _exact(self.scale))
        rows = _rows(call, inputs, (*rest, t), s)
        bias = _under(inputs[BIAS], (*rest, t, s)) if BIAS in inputs else S.Zero
        means, _ = attended(call, rows, query, key, value, (*rest, t, u), bias, self.dropout)
        return call.part(means)


@dataclass(frozen=True)
class MaskedSoftmax(Standard):
    """A softmax over the last axis of scores, of the places that a query may look at; all others count as nothing.

    Its inputs are the scores, and perhaps a mask of 0 and 1, with the names of ``DotProductAttention``'s.
    """

    def describe(self, call: Call) -> Part:
        """Write the step p[n, t, s] = softmax(s) x[n, t, s] where mask[n, t, s] = 1."""
        inputs = dict(zip(call.arguments, zip(call.inputs, call.shapes, strict=True), strict=False))
        x, _ = inputs["query"]
        return call.part(_rows(call, inputs, x.indices[:-1], x.indices[-1]).softmax(call, x))


def _exact(scale: float) -> Expr:
    """Return a factor as an exact expression; a root of a whole number as such."""
    count = round(1 / scale**2) if scale else 0
    return 1 / sqrt(Integer(count)) if count and abs(1 / count**0.5 - scale) < 4e-16 * scale else number(scale)


def _rows(call: Call, inputs: dict[str, tuple[Element, Shape]], queries: tuple[str, ...], s: str) -> Rows:
    """Return the rows of scores, with the places that exist for each query."""
    masks = [_under(inputs["attention_mask"], (*queries, s))] if "attention_mask" in inputs else []
    before = call.index(call.size(queries[-1])) if CAUSAL in call.arguments else ""
    return rows_of(queries, (s,), masks, before)


def _under(mask: tuple[Element, Shape], indices: tuple[str, ...]) -> Element:
    """Return a mask under the last of some indices."""
    element, shape = mask
    return Element(element.tensor, (SAMPLE, *indices[len(indices) - len(shape) :]))
