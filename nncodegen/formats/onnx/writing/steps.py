"""The steps of a program as nodes: matrix products, sums and maxima, softmax, and elementwise formulas."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sympy import Add

from nncodegen.compiler.ir import NORMALIZATIONS, SAMPLE, Element, Group, Program, Step, grouped
from nncodegen.compiler.ir.reductions import reduction
from nncodegen.compiler.ir.step import needed
from nncodegen.compiler.ir.steps import factors_of
from nncodegen.compiler.schedule.loops import without_noise
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.writing.expressions import Expressions
from nncodegen.formats.onnx.writing.graph import OnnxGraph, Value
from nncodegen.formats.onnx.writing.operators import Operator
from nncodegen.formats.onnx.writing.recurrences import scanned
from nncodegen.formats.onnx.writing.windows import Form, places_of, rows_of, window_form

EXACT = 1e-12
"""The tolerance with which a factor counts as 1, in spite of rounding."""

AXES = 18
"""The first opset in which all reductions take their axes as an input, as ReduceSum does before."""

LEVELS = 6
"""The most levels of a formula's steps that are written by recursion; each takes some hundred Python calls of 1,000."""

NONE: Mapping[str, Operator] = MappingProxyType({})
"""The operators for several steps of older opsets."""

LETTERS = "abcdefghijklmopqrstuvwxyz"
"""The letters of an Einsum, without n, which is the index of samples."""


class Steps:
    """A writer of the steps on which the outputs of a stabilized program depend.

    ``columns`` are the values of its inputs by name, ``rows`` the tensor of the graph that has N rows, ``parameters``
    the arrays of its parameters, of which some are ``trained``, ``operators`` what one operator has for several steps;
    ``whole`` are the inputs that the graph has as whole numbers.
    """

    def __init__(
        self,
        program: Program,
        graph: OnnxGraph,
        columns: Mapping[str, Value],
        rows: str,
        parameters: Mapping[str, Any],
        trained: Container[str],
        operators: Mapping[str, Operator] = NONE,
        whole: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:
        self.graph, self.sizes = graph, program.sizes
        self._operators, self._whole = operators, whole
        self._program, self._rows, self._parameters, self._trained = program, rows, parameters, trained
        self._steps = {step.target.tensor: step for step in needed(without_noise(program), program.outputs)}
        self._uses = Counter(element for step in self._steps.values() for element in step.operands)
        self._uses.update(program.outputs)
        self._values: dict[str, Value] = dict(columns)
        items = grouped(self._steps.values())
        self._groups = {step.target.tensor: item for item in items if isinstance(item, Group) for step in item.steps}
        self._expressions = Expressions(graph, self._element, program.layered)
        if not program.layered:
            self._write_deep()

    def _write_deep(self) -> None:
        """Write a formula's steps at every LEVELS-th level first, so that no recursion goes down to the first step."""
        levels: dict[str, int] = {}
        for name, step in self._steps.items():
            levels[name] = 1 + max((levels.get(operand.tensor, 0) for operand in step.operands), default=0)
            if levels[name] % LEVELS == 0:
                self._tensor(step.target)

    def read(self, element: Element) -> Value:
        """Return the value of an element of the program, with its axes in the order of the element's indices."""
        return self._tensor(element)

    def zeros(self, indices: Sequence[str]) -> Value:
        """Return zeros with all of these indices."""
        return self.spread(self.graph.number(0.0), tuple(indices))

    def inside(self, steps: Sequence[Step], values: Mapping[str, Value]) -> Steps:
        """Return a writer of the steps of a body, which read these values by name."""
        inner = copy.copy(self)
        inner._steps = {step.target.tensor: step for step in steps}
        inner._uses = Counter(element for step in steps for element in step.operands)
        inner._values, inner._groups = dict(values), {}
        inner._expressions = Expressions(self.graph, inner._element, self._program.layered)
        return inner

    def _recur(self, group: Group) -> None:
        """Write a group of recurrent steps."""
        defined = {step.target.tensor for step in group.steps}
        read = {e.tensor for name, step in self._steps.items() if name not in defined for e in step.operands}
        read |= {element.tensor for element in self._program.outputs}
        self._values |= scanned(group, self._program, [name for name in sorted(defined) if name in read], self)

    # --- tensors -------------------------------------------------------------------------------------------------

    def _element(self, element: Element) -> Value:
        """Return an element, with its axes in the order of the graph."""
        value = self._tensor(element)
        return self.graph.transposed(value, self.graph.sorted(element.indices))

    def _tensor(self, element: Element) -> Value:
        """Return an element, with its axes in their own order, after writing the steps that define it."""
        name = element.tensor
        if len(set(element.indices)) != len(element.indices):
            raise ModelError(f"{element} has an index twice, which cannot be written as ONNX")
        if name not in self._values:
            if name in self._parameters:
                array = self._parameters[name]
                self._values[name] = Value(
                    self.graph, self.graph.constant(array, name, name in self._trained), element.indices
                )
            elif name in self._groups:
                self._recur(self._groups[name])
            elif name in self._steps:
                self._values[name] = self.graph.named(self._step(self._steps[name]), name)
            else:
                raise ModelError(
                    f"{self._program.name} cannot predict: its output depends on {name}, which is known in training "
                    f"only; give an output in addition to the loss"
                )
        return Value(self.graph, self._values[name].name, element.indices)

    def _step(self, step: Step) -> Value:
        operator = self._operators.get(step.target.tensor)
        if operator is not None:
            return self.graph.transposed(operator.write(self), step.target.indices)
        factors, form = _factors(step), window_form(step, self._program)
        places = places_of(step, self._program)
        if places is not None:
            value = self._taken(step, places)
        elif rows := rows_of(step):
            value = self._of_numbers(step, *rows)
        elif form:
            value = self._window(step, form)
        elif factors:
            value = self._product(step, factors)
        elif step.operator is None:
            value = self._layer(step) or self._expressions.read(step.expression)
        elif step.operator in NORMALIZATIONS:
            return self._normalization(step)
        else:
            value = self._reduction(step)
        return self.spread(value, step.target.indices)

    def spread(self, value: Value, indices: tuple[str, ...]) -> Value:
        """Return a value with all of these indices, each at full length."""
        return self.graph.spread(value, indices, self._program.sizes, self._rows)

    def _window(self, step: Step, form: Form) -> Value:
        """Return the result of windows that move over the axes of a value, by ONNX's operator for them."""
        sizes, axes = self._program.sizes, form.axes
        x = self.graph.transposed(self._tensor(form.x), (SAMPLE, form.channel, *(axis.source for axis in axes)))
        inputs, group, places = [x.name], form.group, [axis.place for axis in axes]
        if form.W is not None:
            pair = [form.filters, group[1] if group else form.channel]
            order = pair if form.operator == "Conv" else pair[::-1]
            order = [*(group or ())[:1], *order, *(axis.tap for axis in axes)]
            W = self.graph.transposed(self._tensor(form.W), order)
            shape = [sizes[index] or 0 for index in order]
            merged = np.array([shape[0] * shape[1], *shape[2:]]) if group else None
            inputs.append(
                W.name if merged is None else self.graph.node("Reshape", [W.name, self.graph.constant(merged)])
            )
        name = self.graph.node(form.operator, inputs, **form.attributes(sizes))
        result_axes = (SAMPLE, *(group or ())[:1], form.filters, *places)
        if group:
            split = np.array([0, *(sizes[index] or 0 for index in result_axes[1:])])  # 0 keeps the number of rows
            name = self.graph.node("Reshape", [name, self.graph.constant(split)])
        value = Value(self.graph, name, result_axes)
        return value if abs(form.factor - 1) < EXACT else value * form.factor

    def _taken(self, step: Step, places: NDArray[Any]) -> Value:
        """Return some positions along an axis of a value."""
        ((index,), element) = step.over, step.operands[0]
        taken = [i for i, _ in step.where[0].terms]
        value, axis = self._tensor(element), element.indices.index(index)
        name = self.graph.node("Gather", [value.name, self.graph.constant(places)], axis=axis)
        return Value(self.graph, name, (*element.indices[:axis], *taken, *element.indices[axis + 1 :]))

    def _of_numbers(self, step: Step, table: Element, numbers: Element) -> Value:
        """Return rows of a matrix, selected by their indices."""
        E, axis, whole = self._tensor(table), table.indices.index(step.over[0]), self._whole.get(numbers.tensor)
        at = whole.name if whole else self.graph.node("Cast", [self._tensor(numbers).name], to=TensorProto.INT64)
        name = self.graph.node("Gather", [E.name, at], axis=axis)
        return Value(self.graph, name, (*table.indices[:axis], *numbers.indices, *table.indices[axis + 1 :]))

    # --- products ------------------------------------------------------------------------------------------------

    def _product(self, step: Step, factors: list[Element], bias: Element | None = None) -> Value:
        """Return a sum of products of elements times a number: a Gemm for two matrices, otherwise an Einsum."""
        coefficient = float(step.expression.as_coeff_Mul()[0])
        indices = {index for factor in factors for index in factor.indices}
        coefficient *= self._count(step, indices)
        values = [self._tensor(factor) for factor in factors]
        if _is_gemm(step, factors):
            row, column = step.target.indices
            a, b = values if row in factors[0].indices else reversed(values)
            inputs = [a.name, b.name, *([self._tensor(bias).name] if bias is not None else [])]
            transposed = {"transA": int(a.indices[0] != row), "transB": int(b.indices[0] == column)}
            name = self.graph.node("Gemm", inputs, **{key: 1 for key, value in transposed.items() if value})
            result = Value(self.graph, name, step.target.indices)
        else:
            result_indices = tuple(index for index in step.target.indices if index in indices)
            letters = self._letters(step)
            terms = ",".join("".join(letters[index] for index in factor.indices) for factor in factors)
            equation = f"{terms}->{''.join(letters[index] for index in result_indices)}"
            name = self.graph.node("Einsum", [value.name for value in values], equation=equation)
            result = Value(self.graph, name, result_indices)
        return result * coefficient if coefficient != 1 else result

    def _letters(self, step: Step) -> dict[str, str]:
        """Return a letter for each index of a step: the index itself if it is a single letter."""
        known = [index for index in step.indices if len(index) == 1]
        others = iter([letter for letter in LETTERS if letter not in known])
        return {index: index if index in known else next(others) for index in step.indices}

    def _count(self, step: Step, indices: set[str]) -> int:
        """Return how many equal terms a sum has for each of its different ones."""
        count = 1
        for index in step.over:
            if index not in indices:
                size = self._program.sizes[index]
                if size is None:
                    raise ModelError(f"{step} sums over the samples, whose number a prediction does not know")
                count *= size
        return count

    def _layer(self, step: Step) -> Value | None:
        """Return a sum with a matrix product that only it uses, a bias, and further terms, by one Gemm; else None."""
        terms = list(step.expression.args) if isinstance(step.expression, Add) else []
        indices = step.target.indices
        for term in terms:
            product_step = self._steps.get(term.tensor) if isinstance(term, Element) else None
            bias = next((t for t in terms if isinstance(t, Element) and t.indices == indices[1:]), None)
            if product_step is None or bias is None or self._uses[term] > 1 or term.indices != indices:
                continue
            factors = _factors(product_step)
            if factors and _is_gemm(product_step, factors) and product_step.expression.as_coeff_Mul()[0] == 1:
                result = self._product(product_step, factors, bias)
                rest = [other for other in terms if other not in (term, bias)]
                return result + self._expressions.read(Add(*rest)) if rest else result
        return None

    # --- reductions ----------------------------------------------------------------------------------------------

    def _reduction(self, step: Step) -> Value:
        """Return the sum of an expression over indices, its maximum, or another reduction of ONNX."""
        value = self._expressions.read(step.expression)
        axes = [axis for axis, index in enumerate(value.indices) if index in step.over]
        remaining_indices = tuple(index for index in value.indices if index not in step.over)
        operator = reduction(step.operator).onnx
        if axes and (operator == "ReduceSum" or self.graph.opset >= AXES):
            axis = self.graph.constant(np.array(axes))
            value = Value(self.graph, self.graph.node(operator, [value.name, axis], keepdims=0), remaining_indices)
        elif axes:
            value = Value(self.graph, self.graph.node(operator, [value.name], axes=axes, keepdims=0), remaining_indices)
        indices = {index for element in step.operands for index in element.indices}
        count = self._count(step, indices) if step.operator == "sum" else 1
        return value * count if count != 1 else value

    def _normalization(self, step: Step) -> Value:
        operator = reduction(step.operator).onnx
        if not operator or len(step.over) != 1:
            raise ModelError(f"{step} cannot be written as ONNX, whose softmax is along one axis")
        value = self.spread(self._expressions.read(step.expression), step.target.indices)
        axis = step.target.indices.index(step.over[0])
        return Value(self.graph, self.graph.node(operator, [value.name], axis=axis), value.indices)


def _factors(step: Step) -> list[Element]:
    """Return the elements whose products a step sums; an empty list for any other step."""
    return factors_of(step.expression) if step.operator == "sum" else []


def _is_gemm(step: Step, factors: list[Element]) -> bool:
    """Return whether a sum of products is a product of two matrices."""
    if len(factors) != 2 or len(step.over) != 1 or len(step.target.indices) != 2:
        return False
    (inner,) = step.over
    pairs = [
        set(factor.indices) - {inner} for factor in factors if len(factor.indices) == 2 and inner in factor.indices
    ]
    return len(pairs) == 2 and set.union(*pairs) == set(step.target.indices)
