"""Functions that write the activation of a layer as steps."""

from __future__ import annotations

from sympy import Expr, Symbol, exp

from nncodegen.compiler.describe.activations import ACTIVATIONS, SOFTMAX, Activation, usual_activation
from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.functions import call as call_function
from nncodegen.compiler.ir import Element
from nncodegen.errors import ModelError


def activated(call: Call, z: Element, activation: Activation, letters: str = "h") -> Part:
    """Return the part of a layer whose result is an activation of an element. A softmax is over its last axis.

    If the result feeds the loss, the logarithm of a softmax is defined as well, because the loss is written with it.
    """
    if not (isinstance(activation, str) and activation == SOFTMAX):
        return call.output(activation_formula(activation, z, call.role), z.indices, letters)
    over = z.indices[-1:]
    if not call.feeds_loss:
        return call.part(call.step(letters, z.indices, z, "softmax", over))
    v = call.step("v", z.indices, z, "log_softmax", over)
    return call.part(call.step(letters, z.indices, z, "softmax", over), exp(v))


def activation_formula(activation: Activation, z: Element, role: str) -> Expr:
    """Return the value of an activation, given as a name or a function, but not a softmax.

    Raise ModelError, which names the role, if there is no such activation or it does not depend on its argument.
    """
    if callable(activation):
        symbol = Symbol("z", real=True)
        formula = call_function(activation, [symbol], f"the activation of {role}")
        if symbol not in formula.free_symbols:
            raise ModelError(f"the activation of {role} does not depend on its argument: {formula}")
        return formula.xreplace({symbol: z})
    activation = usual_activation(activation)
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        names = ", ".join([*ACTIVATIONS, SOFTMAX])
        raise ModelError(f"{role} has an unknown activation: {activation!r}; there are: {names}, or a function")
    return ACTIVATIONS[activation](z)
