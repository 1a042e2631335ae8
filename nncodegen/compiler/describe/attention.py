"""Attention: each query is answered by the mean of all values, weighted by how well their keys fit the query.

(Vaswani et al., 2017.) The weights of a query are a softmax over the keys that it may look at. In a causal row these
are the keys at or before the place of the query, as an equation says; a mask and the lengths of sequences are
conditions on data. Keys that a query may not look at do not exist for it: their weights are 0, and their values count
as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from sympy import Expr, Integer, S, sqrt

from nncodegen.compiler.describe.call import Call, Part, Shape, Writer, told
from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.describe.layer import Array, Node, Standard, is_integer, positive_integer
from nncodegen.compiler.describe.rotary import RotaryEmbedding, Rotation
from nncodegen.compiler.ir import SAMPLE, Element, Equation
from nncodegen.errors import ModelError

INPUTS = ("query", "value", "key", "attention_mask", "lengths")
"""The names of the inputs of attention, in their order."""

CAUSAL = "use_causal_mask"
SCORES = "return_attention_scores"
BIAS = "attention_bias"
"""The name of an input that is added to the scores of a query, where networks from elsewhere have one."""


@dataclass(frozen=True)
class Attention(Standard):
    """The base of the layers of attention: their call, and their steps; ``MultiHeadAttention`` documents both."""

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {
        f"{of}{letter}": (f"{keras}/{in_keras}", f"{torch}.{in_torch}")
        for letter, keras, torch in (
            ("q", "query", "q_proj"),
            ("k", "key", "k_proj"),
            ("v", "value", "v_proj"),
            ("o", "attention_output", "out_proj"),
        )
        for of, in_keras, in_torch in (("W", "kernel", "weight"), ("b", "bias", "bias"))
    }

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values with outputs first and inputs last: Keras has (features, heads, size) and the reverse."""
        if origin != "keras" or letters[0] != "W":
            return values
        return np.moveaxis(values, -1, 0) if letters == "Wo" else np.moveaxis(values, 0, -1)

    def __call__(  # type: ignore[override]
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        lengths: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:
        """Return the answers as a node; with return_attention_scores, also the weights of all heads.

        Raise ModelError for anything but nodes.
        """
        options = {CAUSAL: use_causal_mask, SCORES: return_attention_scores}
        for name, option in options.items():
            if not isinstance(option, bool):
                raise ModelError(f"{name} is True or False, not {option!r}")
        inputs = dict(
            zip(INPUTS, (query, query if value is None else value, key, attention_mask, lengths), strict=True)
        )
        inputs = {name: node for name, node in inputs.items() if node is not None}
        return self.called(inputs, tuple(name for name, option in options.items() if option))

    def called(self, inputs: Mapping[str, Any], options: tuple[str, ...] = ()) -> Any:
        """Return the answers for inputs by name, and the weights where the options ask for these."""
        node = Node.of(self, tuple(inputs.values()))
        node.arguments = (*inputs, *options)
        return (node, node.further(1, "scores")) if SCORES in options else node

    def heads(self, call: Call) -> Heads:
        """Return the sizes of the heads. Raise ModelError for options that do not fit."""
        raise NotImplementedError

    def describe(self, call: Call) -> Part:
        """Write the projections, the scores of all keys, their softmax, the weighted means, and their projection."""
        return _Attending(call, self.heads(call)).part()


@dataclass(frozen=True)
class Heads:
    """The sizes of heads, and the options that all layers of attention have.

    ``of_keys`` are the sizes of the axes of heads that keys and values have, ``of_queries`` those that queries have in
    addition.
    """

    of_keys: Shape
    of_queries: Shape
    key_dim: int
    value_dim: int
    output: int | None
    dropout: float
    use_bias: bool
    kernel_initializer: str | float
    bias_initializer: str | float
    rotary: RotaryEmbedding | None
    axes: tuple[int, ...] | None = None
    """The numbers of the axes that queries look along; None for all but the samples and the features."""


@dataclass(frozen=True)
class MultiHeadAttention(Attention):
    """Attention of several heads, each with projections of its own of query, key and value.

    (Vaswani et al., 2017.) A head has key_dim features of query and key, and value_dim of values, by default key_dim.
    Its weights are softmax(query*key/sqrt(key_dim)), of which a share ``dropout`` is 0 in training. The results of all
    heads are projected to output_shape features, by default those of the query. With rotary, a RotaryEmbedding, which
    Keras does not have here, queries and keys are rotated by their places.

    It is called with nodes: (query, value=None, key=None, attention_mask=None, lengths=None, use_causal_mask=False,
    return_attention_scores=False).
    The query has the shape (steps, features), value and key have (places, features); a query alone looks at the same
    sequence. attention_mask: 1 where a query may look at a place, 0 where it may not, of the shape (steps, places),
    (1, places) or (places,). lengths: the number of places of each sample, from 1 on, of the shape (1,); later ones do
    not exist. use_causal_mask: a query looks at no place after its own. All weights of a query that may look at no
    place are 0. return_attention_scores: the weights are a second result, (num_heads, steps, places), before dropout.

    A sample may have several axes before that of the features, such as (rows, columns, features): a query looks at all
    places of these axes, or along the axes with the numbers in attention_axes, where axis 0 is that of the samples. Its
    other axes have the same sizes in query, value and key; a mask is for all of their places.

    Wq and Wk have the shape (num_heads, key_dim, features), Wv (num_heads, value_dim, features), Wo (output features,
    num_heads, value_dim); bq, bk, bv and bo are the biases.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: int | None = field(default=None, kw_only=True)
    attention_axes: int | Sequence[int] | None = field(default=None, kw_only=True)
    kernel_initializer: str | float = field(default="glorot_uniform", kw_only=True)
    bias_initializer: str | float = field(default="zeros", kw_only=True)
    rotary: RotaryEmbedding | None = field(default=None, kw_only=True)

    def heads(self, call: Call) -> Heads:
        """Return the sizes of the heads."""
        count = positive_integer(self.num_heads, f"the num_heads of {call.role}")
        size = positive_integer(self.key_dim, f"the key_dim of {call.role}")
        of_values = (
            size if self.value_dim is None else positive_integer(self.value_dim, f"the value_dim of {call.role}")
        )
        heads = Heads((count,), (), size, of_values, *_options(self, call))
        return replace(heads, axes=_axes(self.attention_axes, call))


@dataclass(frozen=True)
class GroupQueryAttention(Attention):
    """Attention whose heads of queries share keys and values in groups.

    (Ainslie et al., 2023.) There are num_query_heads, a multiple of num_key_value_heads; each of the latter serves as
    many consecutive heads of queries. All heads have head_dim features. ``MultiHeadAttention`` documents its call, and
    rotary.

    Wq has the shape (num_key_value_heads, heads of a group, head_dim, features), Wk and Wv (num_key_value_heads,
    head_dim, features), Wo (output features, num_key_value_heads, heads of a group, head_dim).
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    kernel_initializer: str | float = field(default="glorot_uniform", kw_only=True)
    bias_initializer: str | float = field(default="zeros", kw_only=True)
    rotary: RotaryEmbedding | None = field(default=None, kw_only=True)

    def heads(self, call: Call) -> Heads:
        """Return the sizes of the heads. Raise ModelError unless those of queries are in equal groups."""
        size = positive_integer(self.head_dim, f"the head_dim of {call.role}")
        queries = positive_integer(self.num_query_heads, f"the num_query_heads of {call.role}")
        groups = positive_integer(self.num_key_value_heads, f"the num_key_value_heads of {call.role}")
        if queries % groups:
            raise ModelError(
                f"{call.role} has {queries} heads of queries, which {groups} heads of keys and values do not divide: "
                f"num_query_heads must be a multiple of num_key_value_heads"
            )
        return Heads((groups,), (queries // groups,), size, size, *_options(self, call))


def _options(layer: Any, call: Call) -> tuple[Any, ...]:
    """Return the checked options of a layer that all layers of attention have, in the order of ``Heads``."""
    output = getattr(layer, "output_shape", None)
    output = None if output is None else positive_integer(output, f"the output_shape of {call.role}")
    if not is_finite(layer.dropout) or not 0 <= layer.dropout < 1:
        raise ModelError(f"the dropout of {call.role} must be a number from 0 to below 1, not {layer.dropout!r}")
    if not isinstance(layer.use_bias, bool):
        raise ModelError(f"use_bias of {call.role} is True or False, not {layer.use_bias!r}")
    if not (layer.rotary is None or isinstance(layer.rotary, RotaryEmbedding)):
        raise ModelError(f"rotary of {call.role} is a RotaryEmbedding or None, not {layer.rotary!r}")
    initializers = layer.kernel_initializer, layer.bias_initializer
    return output, float(layer.dropout), layer.use_bias, *initializers, layer.rotary


def causal_row(before: str, t: str, s: str) -> Equation:
    """Return the equation under which step t may look at place s: before = t - s, an index from 0 on."""
    return Equation(before, ((t, 1), (s, -1)))


@dataclass(frozen=True)
class Rows:
    """The rows of scores, one for each query: their indices, and those of the places that a query looks at.

    The places that exist for a query are those that meet the equations of ``where``, which give ``given`` their values.
    """

    indices: tuple[str, ...]
    places: tuple[str, ...]
    where: tuple[Equation, ...] = ()
    given: tuple[str, ...] = ()

    def softmax(self, write: Writer, scores: Expr) -> Element:
        """Write the softmax of the scores of all places that exist for a query; all others have the weight 0."""
        return write.step(
            "p", (*self.indices, *self.places), scores, "softmax", (*self.places, *self.given), self.where
        )


def rows_of(indices: Sequence[str], places: Sequence[str], masks: Sequence[Expr], before: str = "") -> Rows:
    """Return the rows of scores under these indices, the last of which is that of the queries in a causal row.

    A place exists for a query where all masks are 1. In a causal row, ``before`` is an index for how far it lies before
    the query; without one, a query looks at all places.
    """
    where = [Equation(mask, (), 1) for mask in masks]
    if not before:
        return Rows(tuple(indices), tuple(places), tuple(where))
    return Rows(tuple(indices), tuple(places), (causal_row(before, indices[-1], places[0]), *where), (before,))


def attended(
    call: Call,
    rows: Rows,
    query: Element,
    key: Element,
    value: Element,
    result: Sequence[str],
    bias: Expr = S.Zero,
    dropout: float = 0.0,
) -> tuple[Element, Element]:
    """Write the scores of all keys, their softmax, and the weighted means; return the means, and the weights.

    The last index of the query is summed over. A bias is added to the scores, as a term under their indices.
    """
    every, where, over = (*rows.indices, *rows.places), rows.where, (*rows.places, *rows.given)
    z = call.step("z", every, query * key, "sum", (query.indices[-1], *rows.given), where)
    if bias != 0:
        z = call.step("z_biased", every, z + bias)
    weights = rows.softmax(call, z)
    applied_weights: Expr = weights
    if dropout:
        noise = call.noise("dropout", every, "dropout", dropout)
        applied_weights = call.step("kept", every, weights * (1 + noise))
    return call.step("a", result, applied_weights * value, "sum", over, where), weights


def _axes(axes: Any, call: Call) -> tuple[int, ...] | None:
    """Return the axes that queries look along, in order, with numbers from 1 on. Raise ModelError for others."""
    if axes is None:
        return None
    numbers = tuple(axes) if isinstance(axes, list | tuple) else (axes,)
    rank = len(call.shapes[0]) + 1
    places = tuple(sorted(int(axis) % rank for axis in numbers if is_integer(axis) and -rank <= axis < rank))
    if not numbers or len({*places}) < len(numbers) or not all(1 <= axis <= rank - 2 for axis in places):
        raise ModelError(
            f"attention_axes of {call.role} are different axes from 1 on and before that of the features, "
            f"{told(tuple(range(1, rank - 1)))} at most, not {axes!r}"
        )
    return places


class _Attending:
    """One use of attention, written as steps.

    ``t`` are the indices of queries, ``s`` those of keys and values, ``h`` those of heads that keys have, ``r`` those
    that only queries have; ``rest`` are the other axes of a sample. ``masks`` say which keys a query may look at;
    ``b`` is how far a key of a causal row lies before the query.
    """

    def __init__(self, call: Call, heads: Heads) -> None:
        self._call, self._heads = call, heads
        names = call.arguments or INPUTS[: len(call.inputs)]
        inputs = dict(zip(names, zip(call.inputs, call.shapes, strict=True), strict=False))
        self._check(inputs, names)
        query = inputs["query"][0]
        value = inputs.get("value", inputs["query"])[0]
        key = inputs["key"][0] if "key" in inputs else value
        self._query, self._value, self._key = query, value, key
        attended = self._attended(inputs["query"][1])
        self._t = tuple(query.indices[axis] for axis in attended)
        self._rest = tuple(index for index in query.indices[1:-1] if index not in self._t)
        self._h, self._r = (tuple(map(call.index, sizes)) for sizes in (heads.of_keys, heads.of_queries))
        self._k, self._v = call.index(heads.key_dim), call.index(heads.value_dim)
        self._s = tuple(call.index(call.size(value.indices[axis])) for axis in attended)
        places_by_axis = dict(zip(attended, self._s, strict=True))
        self._places = tuple(places_by_axis.get(axis, index) for axis, index in enumerate(query.indices[:-1]))
        self._b = call.index(call.size(self._t[0]))
        self._masks = self._masks_of(inputs)
        self._causal = CAUSAL in names
        self._bias: Expr = self._mask(*inputs[BIAS]) if BIAS in inputs else S.Zero
        self._returned = SCORES in names

    def _attended(self, query: Shape) -> tuple[int, ...]:
        """Return the numbers of the axes that queries look along."""
        return tuple(range(1, len(query))) if self._heads.axes is None else self._heads.axes

    def _check(self, inputs: Mapping[str, tuple[Element, Shape]], names: Sequence[str]) -> None:
        """Raise ModelError for inputs whose shapes do not fit."""
        call, shapes = self._call, {name: shape for name, (_, shape) in inputs.items()}
        if not shapes or len(shapes) < len(call.inputs):
            raise ModelError(f"{call.role} takes a query, a value and a key, not {len(call.inputs)} inputs")
        query, value = shapes["query"], shapes.get("value", shapes["query"])
        key = shapes.get("key", value)
        for name in ("query", "value", "key"):
            if name in shapes and (len(shapes[name]) < 2 or len(shapes[name]) != len(query)):
                needs = "(steps, features)" if len(query) < 3 else f"{len(query)} axes, as the query has"
                article = "the shape " if len(query) < 3 else ""
                raise ModelError(f"the {name} of {call.role} has {article}{needs}, not {told(shapes[name])}")
        if key[:-1] != value[:-1]:
            raise ModelError(
                f"{call.role} has a key for each of its values, but keys have the shape {told(key)}, values "
                f"{told(value)}"
            )
        axes = self._attended(query)
        for axis in range(1, len(query)):
            if axis not in axes and query[axis - 1] != value[axis - 1]:
                raise ModelError(
                    f"{call.role} does not look along axis {axis}, which has {query[axis - 1]} places in the query and "
                    f"{value[axis - 1]} in the value: it needs the same number"
                )
        single = CAUSAL in names or "lengths" in names or self._heads.rotary is not None
        if len(axes) > 1 and single:
            raise ModelError(
                f"{call.role} looks along {len(axes)} axes, in which no place is before another: use_causal_mask, "
                f"lengths and rotary are for one; choose it with attention_axes"
            )
        steps, places = (tuple(shape[axis - 1] for axis in axes) for shape in (query, value))
        masks = ((*steps, *places), (*(1 for _ in steps), *places), places)
        if "attention_mask" in shapes and shapes["attention_mask"] not in masks:
            raise ModelError(
                f"the attention_mask of {call.role} has the shape {told(masks[0])}, {told(masks[1])} or "
                f"{told(masks[2])}: steps of the query, places of the value; not {told(shapes['attention_mask'])}"
            )
        if "lengths" in shapes and shapes["lengths"] != (1,):
            raise ModelError(f"the lengths of {call.role} have the shape (1,), not {told(shapes['lengths'])}")

    # --- the keys that a query may look at ------------------------------------------------------------------------

    def _masks_of(self, inputs: Mapping[str, tuple[Element, Shape]]) -> list[Element]:
        """Return elements that are 1 where a key exists for a query."""
        masks = [self._mask(*inputs["attention_mask"])] if "attention_mask" in inputs else []
        return [*masks, *([self._within(inputs["lengths"][0])] if "lengths" in inputs else [])]

    def _mask(self, mask: Element, shape: Shape) -> Element:
        """Return the mask under the indices of queries and keys, without axes of size 1."""
        n, *axes = mask.indices
        before = len(axes) - len(self._s)
        if before and all(size == 1 for size in shape[:before]) and any(self._call.size(t) > 1 for t in self._t):
            mask = self._call.step("mask", (n, *axes[before:]), mask, "sum", tuple(axes[:before]))
        ends = (*self._h, *self._r, *self._t, *self._s)
        return Element(mask.tensor, (n, *ends[len(ends) - len(mask.indices) + 1 :]))

    def _within(self, length: Element) -> Element:
        """Return an element that is 1 for the places of a sample, up to its last one, and 0 for those after it."""
        call, (n, single), (s,) = self._call, length.indices, self._s
        size = call.size(s)
        last, after = call.index(size), call.index(size)
        number = call.step("length", (n,), length, "sum", (single,))
        ends = call.step("ends", (n, last), S.One, None, (), (Equation(number, ((last, 1),), 1),))
        until = (Equation(after, ((last, 1), (s, -1))),)
        return call.step("within", (n, s), ends, "sum", (last, after), until)

    # --- steps ---------------------------------------------------------------------------------------------------

    def part(self) -> Part:
        """Return the part of this use."""
        call, heads, steps = self._call, self._heads, self._query.indices[:-1]
        every = (*self._h, *self._r)
        query = self._projected("q", self._query, (*every, self._k), 1 / sqrt(Integer(heads.key_dim)))
        key = self._projected("k", self._key, (*self._h, self._k))
        value = self._projected("v", self._value, (*self._h, self._v))
        if heads.rotary is not None:
            query, key = self._rotated(heads.rotary, query, key)
        at_s = (*self._places, *self._h)
        key, value = Element(key.tensor, (*at_s, self._k)), Element(value.tensor, (*at_s, self._v))
        before = self._b if self._causal else ""
        rows = rows_of((SAMPLE, *self._rest, *every, *self._t), self._s, self._masks, before)
        means, weights = attended(call, rows, query, key, value, (*steps, *every, self._v), self._bias, heads.dropout)
        further = (self._of_all_heads(weights),) if self._returned else ()
        size = heads.output or call.size(self._query.indices[-1])
        j, inner = call.index(size), (*every, self._v)
        count = math.prod((*heads.of_keys, *heads.of_queries))
        fans = (call.size(self._v) * count, size * count)  # as Keras counts them
        W = call.parameter("Wo", (j, *inner), heads.kernel_initializer, fans)
        if not heads.use_bias:
            return call.part(call.step("h", (*steps, j), W * means, "sum", inner), further=further)
        o = call.step("o", (*steps, j), W * means, "sum", inner)
        formula = o + self._bias_of("o", (j,), fans)
        return call.part(call.step("h", (*steps, j), formula), formula, further)

    def _of_all_heads(self, weights: Element) -> Element:
        """Return the weights under one index of heads, those of a group one after the other."""
        if not self._r:
            return weights
        call, (h,), (r,) = self._call, self._h, self._r
        head = call.index(call.size(h) * call.size(r))
        indices = [head if index == h else index for index in weights.indices if index != r]
        where = (Equation(head, ((h, call.size(r)), (r, 1))),)
        return call.step("scores", indices, weights, "sum", (h, r), where)

    def _projected(self, letter: str, x: Element, indices: Sequence[str], scale: Expr = S.One) -> Element:
        """Return a sequence in the features of all heads, times a number."""
        call, heads = self._call, self._heads
        *steps, i = x.indices
        count, size = math.prod(map(call.size, indices[:-1])), call.size(indices[-1])
        fans = (call.size(i) * count, call.size(i) * size)  # as Keras counts them
        W = call.parameter(f"W{letter}", (*indices, i), heads.kernel_initializer, fans)
        projected = call.step(f"{letter}_sum", (*steps, *indices), W * x, "sum", (i,))
        if heads.use_bias:
            projected = call.step(
                f"{letter}", (*steps, *indices), (projected + self._bias_of(letter, indices, fans)) * scale
            )
        elif scale != 1:
            projected = call.step(f"{letter}", (*steps, *indices), projected * scale)
        return projected

    def _rotated(self, layer: RotaryEmbedding, query: Element, key: Element) -> tuple[Element, Element]:
        """Return query and key, rotated by their places; in self-attention by one table of angles."""
        (t,) = self._t
        rotation = Rotation(self._call, layer, t, self._k)
        of_key, place = rotation, key.indices[self._query.indices.index(t)]
        if place != t:
            of_key = Rotation(self._call, layer, place, self._k, "key")
        return rotation.of(query, "q_rotated"), of_key.of(key, "k_rotated")

    def _bias_of(self, letter: str, indices: Sequence[str], fans: tuple[int, int]) -> Element:
        return self._call.parameter(f"b{letter}", indices, self._heads.bias_initializer, fans, penalized=False)
