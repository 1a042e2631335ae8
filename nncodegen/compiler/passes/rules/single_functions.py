"""Rules for single functions: those that C lacks, and conditions in forms of SymPy's own."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Add, Eq, Expr, Piecewise, S, exp
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.ir.functions import defined, logaddexp, plain_conditions, sigmoid, tanh


def softmax_of_formula(node: Expr) -> Expr | None:
    """exp(u - logaddexp(u, v)) = sigmoid(u - v), exp(u - logaddexp(p, w)) = exp(u - p)*sigmoid(p - w) for u in p."""
    terms = Add.make_args(sympy.expand(node.args[0]))
    for term in terms:
        total = -term
        if isinstance(total, logaddexp):
            u = sympy.expand(node.args[0] + total)
            for part, other in (total.args, reversed(total.args)):
                if sympy.expand(u - part) == 0:
                    return sigmoid(part - other)
                if isinstance(part, logaddexp) and _holds(part, u):
                    return exp(u - part) * sigmoid(part - other)
    return None


def _holds(total: Expr, u: Expr) -> bool:
    """Return whether u is one of the exponents that a nested logaddexp adds up."""
    if isinstance(total, logaddexp):
        return any(_holds(part, u) for part in total.args)
    return bool(sympy.expand(total - u) == 0)


def square_root(node: Expr) -> Expr:
    """Sqrt(z) = sqrt(z)."""
    return sympy.sqrt(*node.args)


def own_tanh(node: Expr) -> Expr:
    """SymPy's tanh(z) = nncodegen's tanh(z), whose derivative keeps its digits."""
    return tanh(*node.args)


def step_function(node: Expr) -> Expr:
    """Heaviside(z) = 0, 1/2 or 1: its derivative is 0, not a delta distribution."""
    z, at_zero = node.args
    if at_zero == 0:
        return Piecewise((S.Zero, z <= 0), (S.One, True))
    return Piecewise((S.Zero, z < 0), (S.One, z > 0), (at_zero, True))


def sign_function(node: Expr) -> Expr:
    """sign(z) = -1, 0 or 1: its derivative is 0. The sign of a NaN is NaN, so that it is not lost."""
    (z,) = node.args
    return Piecewise((S.Zero, Eq(z, 0)), (S.One, z > 0), (S.NegativeOne, True))


def defined_branches(node: Piecewise) -> Expr:
    """Piecewise((1/0, c), (v, d)) = Piecewise((NAN, c), (v, d), (NAN, True))."""
    return defined(node)


def by_and_or(node: Boolean) -> Boolean:
    """ITE(c, p, q) = (c and p) or (not c and q); SymPy makes ITE when it compares a Piecewise."""
    return plain_conditions(node)


def by_primitives(form: Callable[..., Expr]) -> Callable[[Expr], Expr]:
    """Return a rule that writes a function that C lacks in terms of functions that C has."""

    def written_in_primitives(node: Expr) -> Expr:
        """f(z) = what it is in functions that C has."""
        return form(*node.args)

    return written_in_primitives
