"""Activations of layers as steps."""

from __future__ import annotations

from sympy import Expr, Symbol, exp

from nncodegen.describe.activations import ACTIVATIONS, SOFTMAX, Activation
from nncodegen.describe.call import Call, Part
from nncodegen.describe.functions import call as call_function
from nncodegen.errors import ModelError
from nncodegen.ir import Element


def activated(call: Call, z: Element, activation: Activation, letters: str = "h") -> Part:
    """The part of a layer whose result is an activation of an element. A softmax is over its last axis.

    What feeds the loss has the logarithm of a softmax as well, with which the loss is written.
    """
    if not (isinstance(activation, str) and activation == SOFTMAX):
        return call.output(activation_formula(activation, z, call.role), z.indices, letters)
    over = z.indices[-1:]
    if not call.feeds_loss:
        return call.part(call.step(letters, z.indices, z, "softmax", over))
    v = call.step("v", z.indices, z, "log_softmax", over)
    return call.part(call.step(letters, z.indices, z, "softmax", over), exp(v))


def activation_formula(activation: Activation, z: Element, role: str) -> Expr:
    """The value of an activation, a name or a function, which is no softmax. Raises ModelError with the role."""
    if callable(activation):
        symbol = Symbol("z", real=True)
        formula = call_function(activation, [symbol], f"the activation of {role}")
        if symbol not in formula.free_symbols:
            raise ModelError(f"the activation of {role} does not depend on its argument: {formula}")
        return formula.xreplace({symbol: z})
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        names = ", ".join([*ACTIVATIONS, SOFTMAX])
        raise ModelError(f"{role} has an unknown activation: {activation!r}; there are: {names}, or a function")
    return ACTIVATIONS[activation](z)
