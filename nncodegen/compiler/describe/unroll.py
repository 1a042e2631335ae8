"""Unrolls one index of some steps: each of its values gets a name, and tensors with the index become several.

A layer reads its inputs as one tensor, ``x[n, i]``. Where every input is a variable of an equation, it is a separate
tensor: ``s1[n, j] = sum(i) W1[j, i]*x[n, i]`` becomes ``s1[n, j] = W1_x[j]*x[n] + W1_t[j]*t[n]``. A value that takes a
place under another index, as where inputs are joined, is a step: ``part1_x[n, k] = x[n] where k = 0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sympy import Add, Expr, S

from nncodegen.compiler.ir import NORMALIZATIONS, RECURRENCES, Element, Equation, Initial, Step, Tensor
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class Unrolled:
    """Steps and parameters without an index; ``values`` has one element for each value of the elements that had it."""

    steps: tuple[Step, ...]
    parameters: tuple[Tensor, ...]
    values: dict[Element, tuple[Element, ...]]


def unroll(
    steps: Sequence[Step],
    parameters: Sequence[Tensor],
    index: str,
    names: Sequence[str],
    outside: dict[Element, tuple[Element, ...]],
) -> Unrolled:
    """Return steps and parameters without ``index``, whose values have names.

    ``outside`` has the elements that hold the values of elements from outside. Tensors keep their name if the index has
    one value. Raise ModelError where steps normalize over the index.
    """
    values = dict(outside)
    unrolled: list[Step] = []
    for step in steps:
        for element in (step.target, *step.operands):
            if index in element.indices and element not in values:
                values[element] = tuple(_named(element, index, name, len(names)) for name in names)
        if index in step.over and index in step.target.indices:
            raise ModelError(f"{step.operator} over {', '.join(names)} has no derivatives: use another activation")
        placing = [equation for equation in step.where if index in equation.indices]
        if placing and not (step.operator in (None, "sum") and all(map(_is_copy, placing))):
            raise ModelError(
                f"{', '.join(names)} cannot be cut into windows or steps: put a layer of units, such as Dense, between "
                f"them and {step}"
            )
        if placing:
            unrolled += _copies(step, index, names, values)
            continue
        parts = [_at(step.expression, values, k) for k in range(len(names))]
        if index in step.over:
            if step.operator != "sum":
                raise ModelError(f"{step.operator} over {', '.join(names)} has no derivatives: use another layer")
            over = tuple(other for other in step.over if other != index)
            unrolled.append(Step(step.target, Add(*parts), "sum" if over else None, over))
        elif index in step.target.indices:
            targets = zip(values[step.target], parts, strict=True)
            unrolled += [replace(step, target=target, expression=part) for target, part in targets]
        else:
            unrolled.append(step)
    by_name = {element.tensor: element for element in values}
    tensors = (_split(tensor, by_name.get(tensor.name), index, values) for tensor in parameters)
    return Unrolled(tuple(unrolled), tuple(part for parts in tensors for part in parts), values)


def _is_copy(equation: Equation) -> bool:
    """Return whether an equation says that one index is another one, or has a fixed distance from it, or a number."""
    return equation.data is None and all(factor == 1 for _, factor in equation.terms) and len(equation.terms) < 2


def _copies(step: Step, index: str, names: Sequence[str], values: dict[Element, tuple[Element, ...]]) -> list[Step]:
    """Return the steps of one whose equations give each value of the index its place: one for each, and their sum."""
    over, copies = tuple(other for other in step.over if other != index), list[Step]()
    targets = values.get(step.target)
    for k, name in enumerate(names):
        where = [equation.at(index, k) for equation in step.where]
        left = tuple(equation for equation in where if equation.holds is None)
        target = targets[k] if targets else _named(step.target, index, name, len(names))
        if all(equation.holds is not False for equation in where):
            copies.append(Step(target, _at(step.expression, values, k), "sum" if over else None, over, left))
        elif targets:
            copies.append(Step(target, S.Zero))
    if not targets and (len(names) > 1 or not copies):
        copies.append(Step(step.target, Add(*(copy.target for copy in copies))))
    return copies


def is_separable(step: Step, index: str) -> bool:
    """Return whether the values of an index are independent of each other, except for sums over them."""
    indices = {*step.indices, *(name for equation in step.where for name in equation.indices)}
    return index not in indices or not (step.where or step.operator in (*RECURRENCES, *NORMALIZATIONS))


def _named(element: Element, index: str, name: str, count: int) -> Element:
    """Return the element for one value of an index."""
    indices = (other for other in element.indices if other != index)
    return Element(f"{element.tensor}_{name}" if count > 1 else element.tensor, indices)


def _at(expression: Expr, values: dict[Element, tuple[Element, ...]], k: int) -> Expr:
    """Return an expression at one value of the index."""
    value: Expr = expression.xreplace({element: parts[k] for element, parts in values.items()})
    return value


def _split(
    tensor: Tensor, element: Element | None, index: str, values: dict[Element, tuple[Element, ...]]
) -> tuple[Tensor, ...]:
    """Return the tensors of a parameter that has the index: one for each of its values."""
    if element is None:
        return (tensor,)
    axis = element.indices.index(index)
    shape = (*tensor.shape[:axis], *tensor.shape[axis + 1 :])
    parts = values[element]
    initials = [tensor.initial] * len(parts)
    if tensor.initial.values:
        array = np.frombuffer(tensor.initial.values, "<f8").reshape([size or 0 for size in tensor.shape])
        initials = [Initial("given", 0.0, array.take(k, axis).tobytes()) for k in range(len(parts))]
    return tuple(
        replace(tensor, name=part.tensor, shape=shape, initial=initial)
        for part, initial in zip(parts, initials, strict=True)
    )
