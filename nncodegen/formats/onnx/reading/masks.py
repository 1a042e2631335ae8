"""Scores of which a mask hides some: sums with minus infinity, choices of it, and what moves such scores.

A mask is true where a query may look, or a number that is added to scores, minus infinity where a query may not look.
What is hidden counts as nothing in the softmax: no formula computes with infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Piecewise

from nncodegen.errors import ModelError
from nncodegen.formats import masks
from nncodegen.formats.onnx.reading.call import OnnxCall, Operand
from nncodegen.formats.onnx.reading.values import Masked, Value, Weights

Function = Callable[[OnnxCall], Any]


def hidden_by_sum(call: OnnxCall) -> Masked | None:
    """Return a sum with minus infinity where a mask hides places, if an operand of Add has it; else None."""
    if not any(hides(operand) for operand in call.inputs[:2]):
        return None
    (first, allowed), (second, also_allowed) = (parts(call, k) for k in (0, 1))
    return _masked(call.builder.elementwise(lambda p, q: p + q, first, second), _both(call, allowed, also_allowed))


def hidden_by_choice(call: OnnxCall) -> Any:
    """Return what Where makes of a mask and minus infinity; None where no operand has that."""
    if not any(hides(operand) for operand in call.inputs[1:3]):
        return None
    condition, *others = call.inputs[:3]
    if isinstance(condition, np.ndarray) and all(isinstance(operand, Weights) for operand in others):
        chosen = np.where(condition, *(operand.array for operand in others if isinstance(operand, Weights)))
        return Weights(call.node.outputs[0], chosen)
    build, holds = call.builder, call.value(0)
    alone = [k for k in (1, 2) if _is_lowest(call.inputs[k])]
    if len(alone) == 1:  # one operand hides everything, so the scores are those of the other one
        (k,) = alone
        value, allowed = parts(call, 3 - k)
        visible = holds if k == 2 else build.elementwise(lambda z: 1 - z, holds)
        return _masked(value, _both(call, visible, allowed))
    (first, allowed), (second, also_allowed) = (parts(call, k) for k in (1, 2))

    def chosen_of(p: Value, q: Value) -> Value:
        return build.elementwise(lambda c, p, q: Piecewise((q, sympy.Eq(c, 0)), (p, True)), holds, p, q)

    there = build.number(1.0)
    return _masked(chosen_of(first, second), build.held(chosen_of(allowed or there, also_allowed or there), "allowed"))


def hidden_by_factor(call: OnnxCall, join: Callable[[Any, Any], Expr]) -> Masked | None:
    """Return hidden scores times a positive number, or divided by one; None for other operands of Mul or Div."""
    first, second = call.inputs[:2]
    place = 0 if isinstance(first, Masked) else 1
    masked = (first, second)[place]
    if not isinstance(masked, Masked) or (place and call.node.operator == "Div"):
        return None
    factor = call.value(1 - place)
    if not factor.is_number or not all(block > 0 for block in factor.blocks.values()):
        return None
    pair = (factor, masked.value) if place else (masked.value, factor)
    return Masked(call.builder.elementwise(join, *pair), masked.allowed)


def of_hidden(operator: Function) -> Function:
    """Return an operator that moves places, such as Reshape, for scores and what a mask hides of them alike."""

    def moved(call: OnnxCall) -> Any:
        if not any(hides(operand) for operand in call.inputs):
            return operator(call)
        pairs = [
            _spread(call, *parts(call, k)) if _is_real(operand) else (operand, operand)
            for k, operand in enumerate(call.inputs)
        ]
        values, allowed = (operator(replace(call, inputs=list(pair))) for pair in zip(*pairs, strict=True))
        if isinstance(values, list):
            return [_masked(*operand) for operand in zip(values, allowed, strict=True)]
        return _masked(values, allowed)

    return moved


def softmax_of_masked(call: OnnxCall, masked: Masked) -> Value:
    """Return the softmax over the last axis of what a mask does not hide."""
    rank = len(masked.value.axes)
    if call.axis(call.whole("axis", -1), rank) != rank - 1 or call.opset < 13:
        raise ModelError(f"{call.node} has scores that a mask hides, and another axis than the last one")
    return call.builder.softmax_where(masked.value, masked.allowed, False, call.node.outputs[0])


def hides(operand: Operand) -> bool:
    """Return whether an operand has numbers that hide places."""
    return isinstance(operand, Masked) or (isinstance(operand, Weights) and masks.hides(operand.array))


def parts(call: OnnxCall, k: int) -> tuple[Value, Value | None]:
    """Return the finite numbers of an operand, and where it is finite: None if everywhere."""
    operand = call.inputs[k]
    if isinstance(operand, Masked):
        return operand.value, operand.allowed
    if isinstance(operand, Weights) and operand.array.size > 1 and not operand.array.any():
        return call.builder.filled(operand.name, 0.0, operand.array.shape), None  # as a parameter, it would be trained
    if not isinstance(operand, Weights) or not hides(operand):
        return call.value(k), None
    finite, allowed = masks.apart(operand.array)
    value = call.builder.number(0.0) if not finite.any() else call.builder.parameter(operand.name, finite)
    return value, call.builder.table(f"{operand.name} allowed", allowed)


def _is_lowest(operand: Operand) -> bool:
    return isinstance(operand, Weights) and operand.array.size == 1 and masks.hides(operand.array)


def _is_real(operand: Operand) -> bool:
    return isinstance(operand, Value | Weights | Masked)


def _masked(value: Value, allowed: Value | None) -> Masked:
    assert allowed is not None
    return Masked(value, allowed)


def _both(call: OnnxCall, first: Value | None, second: Value | None) -> Value | None:
    if first is None or second is None:
        return second if first is None else first
    return call.builder.elementwise(lambda p, q: p * q, first, second)


def _spread(call: OnnxCall, value: Value, allowed: Value | None) -> tuple[Value, Value]:
    """Return scores, and where they are not hidden, each with all axes that one of them has."""
    value_and_mask = value, call.builder.number(1.0) if allowed is None else allowed
    return call.builder.elementwise(lambda z, a: z, *value_and_mask), call.builder.elementwise(
        lambda z, a: a, *value_and_mask
    )
