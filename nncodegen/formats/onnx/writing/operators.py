"""Operators of opset 23 in the steps of a program: Attention, RMSNormalization and RotaryEmbedding, each of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from sympy import Add, Expr, Mul, Pow, Rational, cos, expand, sin

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step
from nncodegen.compiler.ir.element import renamed
from nncodegen.compiler.ir.steps import factors_of
from nncodegen.formats.onnx.reading.operators import OPERATORS
from nncodegen.formats.onnx.writing.graph import TYPES, OnnxGraph, Value

Steps = Mapping[str, Step]
"""The steps of a program by the names of their targets."""


class Writer(Protocol):
    """The methods of the writer of steps that operators call: a graph, and the values of elements in it."""

    graph: OnnxGraph
    sizes: dict[str, int | None]

    def read(self, element: Element) -> Value:
        """Return the value of an element, with its axes in the order of the element's indices."""

    def spread(self, value: Value, indices: tuple[str, ...]) -> Value:
        """Return a value with all of these indices, each at full length."""


class Operator(Protocol):
    """Several steps for which ONNX has one operator."""

    def write(self, writer: Writer) -> Value:
        """Return the result of the operator, after adding it to the graph."""


def operators_of(program: Program, opset: int) -> dict[str, Operator]:
    """Return the operators of several steps that a program has, by the name of the last step's target.

    In float64, Attention alone is among them: ONNX defines no RotaryEmbedding, and the other computes in float32.
    """
    steps = {step.target.tensor: step for step in program.steps}
    operators: dict[str, Operator] = {}
    kinds: dict[str, Callable[..., Any]] = {
        "Attention": _attention,
        "RMSNormalization": partial(_normalization, sizes=program.sizes),
        "RotaryEmbedding": partial(_rotation, sizes=program.sizes),
    }
    written = [match for name, match in kinds.items() if OPERATORS[name].is_written(program.precision, opset)]
    for step in program.steps:
        operator: Operator | None = next(filter(None, (match(step, steps) for match in written)), None)
        if operator is not None:
            operators[step.target.tensor] = operator
    return operators


def _defined(element: Element, steps: Steps) -> Step | None:
    """Return the step that defines an element, with the element as its target; None for inputs and parameters."""
    step = steps.get(element.tensor)
    if step is None or not set(step.given).isdisjoint(element.indices):
        return None
    names = dict(zip(step.target.indices, element.indices, strict=True))
    over = tuple(names.get(index, index) for index in step.over)
    where = tuple(equation.renamed(names) for equation in step.where)
    return Step(element, renamed(step.expression, names), step.operator, over, where)


def _formula(expression: Expr, steps: Steps) -> Expr:
    """Return an expression with the formula that defines it, where it is an element with such a formula."""
    while isinstance(expression, Element):
        definition = _defined(expression, steps)
        if definition is None or definition.operator is not None or definition.where:
            break
        expression = definition.expression
    return expression


def _folded(writer: Writer, value: Value, axes: Sequence[tuple[str, ...]]) -> str:
    """Return the name of a value with one axis for each group of indices, of size 1 where it has none of them."""
    groups = [tuple(index for index in group if index in value.indices) for group in axes]
    value = writer.graph.transposed(value, [index for group in groups for index in group])
    if all(len(group) == 1 for group in groups):
        return value.name
    shape = [0 if SAMPLE in group else math.prod(writer.sizes[index] or 0 for index in group) for group in groups]
    return writer.graph.node("Reshape", [value.name, writer.graph.constant(np.array(shape))])


def _unfolded(writer: Writer, name: str, axes: Sequence[tuple[str, ...]]) -> Value:
    """Return a tensor with one axis for each group of indices as a value with an axis for each index."""
    indices = tuple(index for group in axes for index in group)
    if any(len(group) != 1 for group in axes):
        shape = np.array([0 if index == SAMPLE else writer.sizes[index] or 0 for index in indices])
        name = writer.graph.node("Reshape", [name, writer.graph.constant(shape)])
    return Value(writer.graph, name, indices)


# --- attention ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attention:
    """The means of values, weighted by a softmax of scale*query*key + bias over the keys that a query may look at.

    ``heads`` are the indices of heads that keys have, ``more`` those that queries have in addition; ``steps`` and
    ``places`` are those of queries and of keys, ``features`` and ``results`` those of keys and of values. A key may be
    looked at where all ``masks`` are 1 and, if ``causal``, where it is at or before the place of the query.
    """

    query: Element
    key: Element
    value: Element
    heads: tuple[str, ...]
    more: tuple[str, ...]
    steps: tuple[str, ...]
    places: tuple[str, ...]
    features: tuple[str, ...]
    results: tuple[str, ...]
    scale: float
    bias: Element | None
    masks: tuple[Element, ...]
    causal: bool

    def write(self, writer: Writer) -> Value:
        """Return the result of Attention; 0 for a query that may look at no place, for which ONNX has NaN."""
        graph, of_queries = writer.graph, (*self.heads, *self.more)
        query = writer.read(self.query)
        if self.scale != 1:  # the operator takes the root of its own scale, in float32
            query = query * self.scale
        inputs = [
            _folded(writer, value, ((SAMPLE,), heads, steps, features))
            for value, heads, steps, features in (
                (query, of_queries, self.steps, self.features),
                (writer.read(self.key), self.heads, self.places, self.features),
                (writer.read(self.value), self.heads, self.places, self.results),
            )
        ]
        allowed = self._allowed(writer)
        added = None if self.bias is None else writer.read(self.bias)
        if added is not None and allowed is not None:
            added = graph.where(allowed, added, -math.inf)
        if (mask := allowed if added is None else added) is not None:
            heads = () if set(of_queries).isdisjoint(mask.indices) else of_queries
            wanted = (*((SAMPLE,) if SAMPLE in mask.indices else ()), *heads, *self.steps, *self.places)
            axes = ((SAMPLE,), of_queries, self.steps, self.places)
            inputs.append(_folded(writer, writer.spread(mask, wanted), axes))
        attributes = {"is_causal": 1} if self.causal and not self.masks else {}
        name = graph.node("Attention", inputs, scale=1.0, **attributes)
        result = _unfolded(writer, name, ((SAMPLE,), of_queries, self.steps, self.results))
        if allowed is None:
            return result
        over = [axis for axis, index in enumerate(allowed.indices) if index in self.places]
        number = graph.node("Cast", [allowed.name], to=TYPES[graph.precision])
        is_allowed = graph.node("ReduceMax", [number, graph.constant(np.array(over))], keepdims=0)
        rest = tuple(index for index in allowed.indices if index not in self.places)
        return graph.where(Value(graph, is_allowed, rest) > 0.0, result, 0.0)

    def _allowed(self, writer: Writer) -> Value | None:
        """Return where a query may look at a key, or None where an attribute of the operator says so."""
        graph, allowed = writer.graph, None
        for mask in self.masks:
            visible = writer.read(mask).equals(1.0)
            allowed = visible if allowed is None else graph.elementwise("And", allowed, visible)
        if allowed is not None and self.causal:
            sizes = [writer.sizes[index] or 0 for index in (*self.steps, *self.places)]
            lower = Value(graph, graph.constant(np.tri(*sizes, dtype=bool)), (*self.steps, *self.places))
            allowed = graph.elementwise("And", allowed, lower)
        return allowed


def _attention(step: Step, steps: Steps) -> Attention | None:
    """Return the attention whose weighted means a step has, or None."""
    factors = factors_of(step.expression)
    if step.operator != "sum" or len(factors) != 2 or step.expression.as_coeff_Mul()[0] != 1:
        return None
    masks, causal = _looked_at(step)
    for weights, value in (factors, factors[::-1]):
        weights = _formula(weights, steps)
        softmax_step = _defined(weights, steps) if isinstance(weights, Element) else None
        same = (
            softmax_step is not None and {*softmax_step.over} == {*step.over} and {*softmax_step.where} == {*step.where}
        )
        if softmax_step is None or softmax_step.operator != "softmax" or not same or masks is None:
            continue
        parts = _scores(softmax_step.expression, steps)
        if parts is None:
            continue
        scores, scale, bias = parts
        first, second = factors_of(scores.expression)
        places = tuple(index for index in weights.indices if index in softmax_step.over)
        features = tuple(index for index in scores.over if index not in step.given)
        if not {*scores.where} <= {*step.where} or not {*scores.given} <= {*features, *step.given}:
            continue
        for query, key in ((first, second), (second, first)):
            axes = _axes(step.target, weights, query, key, value, places, features, causal)
            if axes is not None:
                heads, batch_axes, queries, results = axes
                return Attention(
                    query,
                    key,
                    value,
                    heads,
                    batch_axes,
                    queries,
                    places,
                    features,
                    results,
                    scale,
                    bias,
                    masks,
                    bool(causal),
                )
    return None


def _looked_at(step: Step) -> tuple[tuple[Element, ...] | None, Equation | None]:
    """Return the masks that say where a query may look, None for other equations, and the equation of a causal row."""
    masks, causal = [], list[Equation]()
    for equation in step.where:
        if equation.data is not None and not equation.terms and equation.offset == 1:
            masks.append(equation.data)
        elif equation.left in step.given and sorted(f for _, f in equation.terms) == [-1, 1] and not equation.offset:
            causal.append(equation)
        else:
            return None, None
    return (tuple(masks), causal[0] if causal else None) if len(causal) < 2 else (None, None)


def _scores(expression: Expr, steps: Steps) -> tuple[Step, float, Element | None] | None:
    """Return the step of the scores in scale*scores + bias, the scale, and the bias."""
    products: list[tuple[Step, float]] = []
    others: list[Element] = []
    for term in Add.make_args(_formula(expression, steps)):
        scale, element = term.as_coeff_Mul()
        product_step = _defined(element, steps) if isinstance(element, Element) else None
        if (
            product_step is not None
            and product_step.operator == "sum"
            and len(factors_of(product_step.expression)) == 2
        ):
            products.append((product_step, float(scale * product_step.expression.as_coeff_Mul()[0])))
        elif isinstance(element, Element) and scale == 1:
            others.append(element)
        else:
            return None
    if len(products) != 1 or len(others) > 1:
        return None
    return *products[0], others[0] if others else None


def _axes(
    target: Element,
    weights: Element,
    query: Element,
    key: Element,
    value: Element,
    places: tuple[str, ...],
    features: tuple[str, ...],
    causal: Equation | None,
) -> tuple[tuple[str, ...], ...] | None:
    """Return the indices of heads that keys have, and of those that queries have too, of queries, and of results."""
    shared_indices = {SAMPLE, *places}
    heads = tuple(index for index in weights.indices if index in key.indices and index not in shared_indices)
    rest = [index for index in weights.indices if index not in shared_indices and index not in heads]
    queries = tuple(index for index, factor in causal.terms if factor == 1) if causal else tuple(rest[-len(places) :])
    results = tuple(index for index in value.indices if index not in weights.indices)
    batch_axes = tuple(index for index in rest if index not in queries)
    if causal and (len(places) != 1 or (places[0], -1) not in causal.terms or not {*queries} <= {*rest}):
        return None
    fits = (
        (key, (SAMPLE, *heads, *places, *features)),
        (query, (SAMPLE, *heads, *rest, *features)),
        (value, (SAMPLE, *heads, *places, *results)),
        (target, (SAMPLE, *heads, *rest, *results)),
    )
    if not results or not features or any(sorted(element.indices) != sorted(indices) for element, indices in fits):
        return None
    return heads, batch_axes, queries, results


# --- normalization -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalization:
    """x/sqrt(mean of squares + epsilon)*scale, with the mean over some axes; without a scale, this is 1."""

    x: Element
    axes: tuple[str, ...]
    epsilon: float
    scale: Element | None

    def write(self, writer: Writer) -> Value:
        """Return the result of RMSNormalization, whose axes are the last ones."""
        graph = writer.graph
        order = (*(index for index in self.x.indices if index not in self.axes), *self.axes)
        x = graph.transposed(writer.read(self.x), order)
        if self.scale is None:
            scale = graph.constant(np.ones([writer.sizes[index] or 0 for index in self.axes]))
        else:
            scale = graph.transposed(writer.read(self.scale), self.axes).name
        name = graph.node("RMSNormalization", [x.name, scale], axis=-len(self.axes), epsilon=self.epsilon)
        return Value(graph, name, order)


def _normalization(step: Step, steps: Steps, sizes: Mapping[str, int | None]) -> Normalization | None:
    """Return the normalization whose result a step has, or None."""
    factors = Mul.make_args(step.expression)
    if (
        step.operator is not None
        or step.where
        or not all(isinstance(factor_of_result, Element) for factor_of_result in factors)
    ):
        return None
    for factor in factors:
        formula = _formula(factor, steps)
        if not (isinstance(formula, Pow) and formula.exp == Rational(-1, 2)):
            continue
        epsilon, squares = formula.base.as_coeff_Add()
        square_step = _defined(squares, steps) if isinstance(squares, Element) else None
        other_factors = [factor_of_result for factor_of_result in factors if factor_of_result != factor]
        if (
            square_step is None
            or square_step.operator != "sum"
            or square_step.where
            or not 0 < epsilon < 1
            or len(other_factors) not in (1, 2)
        ):
            continue
        axes = square_step.over
        count = math.prod(sizes[index] or 0 for index in axes)
        for x in other_factors:
            scale = next((factor_of_result for factor_of_result in other_factors if factor_of_result != x), None)
            fits = scale is None or sorted(scale.indices) == sorted(axes)
            if fits and SAMPLE in x.indices and expand(square_step.expression * count - x**2) == 0:
                return Normalization(x, axes, float(epsilon), scale)
    return None


# --- rotary embeddings -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rotation:
    """Pairs of features ``k`` and k + half, turned by angles that depend on the place ``t`` and on k."""

    x: Element
    cosines: Element
    sines: Element
    t: str
    k: str

    def write(self, writer: Writer) -> Value:
        """Return the result of RotaryEmbedding, with the angles of all places."""
        graph, half = writer.graph, (writer.sizes[self.k] or 0) // 2
        others = tuple(index for index in self.x.indices if index not in (SAMPLE, self.t, self.k))
        axes = ((SAMPLE,), others, (self.t,), (self.k,))
        ends = [graph.constant(np.array([number])) for number in (0, half, 2)]
        inputs = [_folded(writer, writer.read(self.x), axes)]
        for angles in (self.cosines, self.sines):
            whole = writer.spread(writer.read(angles), (SAMPLE, self.t, self.k))
            inputs.append(graph.node("Slice", [whole.name, *ends]))
        return _unfolded(writer, graph.node("RotaryEmbedding", inputs), axes)


def _rotation(step: Step, steps: Steps, sizes: Mapping[str, int | None]) -> Rotation | None:
    """Return the rotation whose result a step has, or None."""
    if step.operator is not None or step.where or len(step.operands) != 5:
        return None
    moved = {element: features for element in step.operands if (features := _moved(element, steps, sizes))}
    turns = {
        formula.func: element for element in step.operands if (formula := _formula(element, steps)).func in (cos, sin)
    }
    if len(moved) != 2 or len(turns) != 2 or len({(x, k) for x, k, _ in moved.values()}) != 1:
        return None
    ((x, k, _), _) = moved.values()
    sides = {offset: element for element, (_, _, offset) in moved.items()}
    half = (sizes[k] or 0) // 2
    cosines, sines = turns[cos], turns[sin]
    (angle,), (other,) = _formula(cosines, steps).args, _formula(sines, steps).args
    if {*sides} != {-half, half} or angle != other or cosines.indices != sines.indices or k not in cosines.indices:
        return None
    whole = x * cosines + (sides[-half] - sides[half]) * sines
    rest = [index for index in cosines.indices if index != k]
    if len(rest) != 1 or rest[0] not in x.indices or SAMPLE not in x.indices or expand(step.expression - whole) != 0:
        return None
    return Rotation(x, cosines, sines, rest[0], k)


def _moved(element: Element, steps: Steps, sizes: Mapping[str, int | None]) -> tuple[Element, str, int] | None:
    """Return what an element reads at a distance along one axis, this axis, and the distance."""
    definition = _defined(element, steps)
    if (
        definition is None
        or definition.operator != "sum"
        or not isinstance(definition.expression, Element)
        or len(definition.where) != 1
    ):
        return None
    (equation,) = definition.where
    if len(equation.terms) != 1 or equation.terms[0][1] != 1 or definition.over != (equation.left,):
        return None
    k = equation.terms[0][0]
    if k not in element.indices or sizes[str(equation.left)] != sizes[k]:
        return None
    return definition.expression.renamed({str(equation.left): k}), k, equation.offset
