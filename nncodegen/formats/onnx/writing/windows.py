"""Steps with moving windows as operators of ONNX: convolutions, their transposes, and pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Mul

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step
from nncodegen.formats.onnx.reading.operators import OPERATORS


@dataclass(frozen=True)
class Axis:
    """An axis that windows move along: its index in the input, in the result, and in the window."""

    source: str
    place: str
    tap: str
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    more: int = 0
    """Positions of a transpose that no window reaches."""


@dataclass(frozen=True)
class Form:
    """A step as an operator of ONNX: its input, its weights if it has any, and the movement of the windows.

    ``channel`` is an index of x, ``filters`` one of the result; without weights, they are equal. ``group`` has the
    index of groups, and that of channels within one.
    """

    operator: str
    x: Element
    W: Element | None
    channel: str
    filters: str
    axes: tuple[Axis, ...]
    group: tuple[str, str] | None
    factor: float

    def attributes(self, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of the node."""
        attributes: dict[str, Any] = {
            "kernel_shape": [axis.size for axis in self.axes],
            "strides": [axis.stride for axis in self.axes],
            "pads": [axis.before for axis in self.axes] + [axis.after for axis in self.axes],
        }
        if self.operator == "AveragePool":
            return attributes | {"count_include_pad": 1}
        attributes["dilations"] = [axis.dilation for axis in self.axes]
        if self.group:
            attributes["group"] = sizes[self.group[0]]
        if any(axis.more for axis in self.axes):
            attributes["output_padding"] = [axis.more for axis in self.axes]
        return attributes


def places_of(step: Step, program: Program) -> NDArray[np.int64] | None:
    """Return the positions that a step takes along an axis (one gate of all, a reversed sequence), or None."""
    if step.operator != "sum" or len(step.where) != 1 or not isinstance(step.expression, Element):
        return None
    (equation,) = step.where
    indices = [index for index, _ in equation.terms]
    if step.over != (equation.left,) or len(indices) > 1 or not {*indices} <= {*step.target.indices} - {SAMPLE}:
        return None
    if equation.left not in step.expression.indices or {*indices} & {*step.expression.indices}:
        return None
    places = np.array(equation.offset, np.int64)
    for index, factor in equation.terms:
        places = equation.offset + factor * np.arange(program.sizes[index] or 0)
    there = (places >= 0) & (places < (program.sizes[str(equation.left)] or 0))
    return places if there.all() else None


def rows_of(step: Step) -> tuple[Element, Element] | None:
    """Return the matrix whose rows a step takes, and the row indices, as an Embedding does; else None."""
    if step.operator != "sum" or len(step.where) != 1 or not isinstance(step.expression, Element):
        return None
    (equation,), table = step.where, step.expression
    numbers = equation.data
    if numbers is None or equation.terms != ((step.over[0], 1),) or equation.offset or len(step.over) != 1:
        return None
    apart = not {*numbers.indices} & {*table.indices}
    return (table, numbers) if step.over[0] in table.indices and apart else None


def window_form(step: Step, program: Program) -> Form | None:
    """Return the operator for a step, or None. Runtimes have such operators in single precision only."""
    coefficient, rest = step.expression.as_coeff_Mul()
    factors = [factor for factor in Mul.make_args(rest) if isinstance(factor, Element)]
    moving = [factor for factor in factors if SAMPLE in factor.indices]
    if not step.where or len(factors) != len(Mul.make_args(rest)):
        return None
    if len(moving) != 1 or len(factors) > 2 or any(equation.data is not None for equation in step.where):
        return None
    (x,), W = moving, next((factor for factor in factors if factor not in moving), None)
    if step.operator not in ("sum", "max") or (step.operator == "max" and (W or coefficient != 1)):
        return None
    groups = [equation for equation in step.where if W and _is_group(equation, step, x, W, program)]
    transposed = [equation for equation in step.where if equation.left in step.target.indices]
    axes = [_axis(move, step, x, W, program, bool(transposed)) for move in step.where if move not in groups]
    if len(groups) > 1 or not all(axes) or (transposed and not W):
        return None
    known = tuple(axis for axis in axes if axis)
    return _form(step, x, W, known, groups, bool(transposed), float(coefficient), program.precision)


def _form(
    step: Step,
    x: Element,
    W: Element | None,
    axes: tuple[Axis, ...],
    groups: list[Equation],
    transposed: bool,
    factor: float,
    precision: str,
) -> Form | None:
    """Return the form, or None if the step has other indices than the form has."""
    order = {index: place for place, index in enumerate(x.indices)}
    axes = tuple(sorted(axes, key=lambda axis: order[axis.source]))
    sources, places, taps = ([getattr(axis, name) for axis in axes] for name in ("source", "place", "tap"))
    group = next(((equation.terms[0][0], equation.terms[1][0]) for equation in groups), None)
    channels = {*x.indices} - {SAMPLE, *sources}
    filters = {*step.target.indices} - {SAMPLE, *places, *(group or ())[:1]}
    if len(channels) != 1 or len(filters) != 1:
        return None
    (channel,), (own_filter,) = channels, filters
    inner = {channel} if W else set()
    over = {*sources, *taps} | (inner | {group[1]} if group else inner)
    weights = {own_filter, *(group or (channel,)), *taps}
    if {*step.over} != over or (W and {*W.indices} != weights) or (not W and channel != own_filter):
        return None
    pool = "MaxPool" if step.operator == "max" else "AveragePool"
    if not W and any(max(axis.before, axis.after) >= axis.size for axis in axes):
        return None
    if not W and pool == "AveragePool" and any(axis.dilation > 1 for axis in axes):
        return None
    operator = pool if not W else "ConvTranspose" if transposed else "Conv"
    if precision not in OPERATORS[operator].written:
        return None
    factor *= prod(axis.size for axis in axes) if operator == "AveragePool" else 1
    return Form(operator, x, W, channel, own_filter, axes, group, factor)


def _is_group(equation: Equation, step: Step, x: Element, W: Element, program: Program) -> bool:
    """Return whether an equation splits the channel index of x into a group and a channel within it."""
    if len(equation.terms) != 2 or equation.left not in x.indices or equation.offset:
        return False
    (group, per), (of_group, step_within) = equation.terms
    shared = group in step.target.indices and group in W.indices and of_group in W.indices and of_group in step.over
    return shared and step_within == 1 and per == program.sizes[of_group]


def _axis(
    equation: Equation, step: Step, x: Element, W: Element | None, program: Program, transposed: bool
) -> Axis | None:
    """Return the axis of an equation: source = stride*place + dilation*tap - before, or place in a transpose."""
    if len(equation.terms) != 2 or equation.offset > 0 or any(factor < 1 for _, factor in equation.terms):
        return None
    (moved, stride), (tap, dilation) = equation.terms
    left = str(equation.left)
    source, place = (moved, left) if transposed else (left, moved)
    others = (*x.indices, *step.target.indices)
    if source not in x.indices or place not in step.target.indices or tap in others or (W and tap not in W.indices):
        return None
    length, places, size = (program.sizes[index] or 0 for index in (source, place, tap))
    before, reach = -equation.offset, dilation * (size - 1) + 1
    if transposed:
        after = stride * (length - 1) + reach - before - places
        output_padding = max(0, -after)
        return (
            Axis(source, place, tap, size, stride, dilation, before, max(0, after), output_padding)
            if output_padding < stride
            else None
        )
    after = max(0, (places - 1) * stride + reach - before - length)
    if (length + before + after - reach) // stride + 1 != places:
        return None
    return Axis(source, place, tap, size, stride, dilation, before, after)
