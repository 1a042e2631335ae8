"""The successive derivatives of a function of one number, in forms that are cheap and keep their digits.

The derivatives of tanh are polynomials of tanh and of its first derivative, those of the logistic function of it and of
its complement; these are known. Others are differentiated one after the other, and written as products of factors where
that takes fewer operations. Each is found once.

An equation must not contain a derivative that jumps, such as that of relu at 0: ``is_smooth`` checks this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations

import mpmath
import sympy
from sympy import Abs, Dummy, Expr, Function, count_ops, preorder_traversal, sign
from sympy.core.relational import Relational
from sympy.functions.elementary.miscellaneous import Max, Min

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import defined, plain_conditions, sech2, sigmoid, softsign, tanh
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.errors import NncodegenError

Z = Element("z")
"""The argument of the functions here."""

DIGITS = 50
NEAR, JUMP = mpmath.mpf(10) ** -30, mpmath.mpf(10) ** -12
"""Values are compared at this distance from a point where branches meet; a larger difference is a jump."""


def _of_tanh(z: Expr) -> tuple[Expr, ...]:
    t, s = tanh(z), sech2(z)
    return t, s, -2 * t * s, s * (4 - 6 * s), -2 * t * s * (4 - 12 * s)


def _of_sigmoid(z: Expr) -> tuple[Expr, ...]:
    p, q = sigmoid(z), sigmoid(-z)
    w, d = p * q, q - p
    return p, w, w * d, w * (1 - 6 * w), w * d * (1 - 12 * w)


KNOWN: dict[type, Callable[[Expr], tuple[Expr, ...]]] = {tanh: _of_tanh, sigmoid: _of_sigmoid}
"""Functions with their derivatives up to the fourth."""


@lru_cache(maxsize=1000)
def successive(function: Expr, order: int) -> Expr:
    """Return the derivative of a function of ``Z``, taken ``order`` times."""
    if order == 0:
        return function
    known = KNOWN[type(function)](Z) if type(function) in KNOWN and function.args == (Z,) else ()
    if order < len(known):
        return known[order]
    next_derivative = defined(plain_conditions(derivative(successive(function, order - 1), Z, hidden=False)))
    return min(next_derivative, _factored(next_derivative), key=count_ops)


@lru_cache(maxsize=1000)
def is_smooth(function: Expr, order: int) -> bool:
    """Return whether a function of ``Z`` and its derivatives up to an order have no jumps, as far as can be told."""
    written = function.replace(softsign, softsign.definition)
    if not written.has(sympy.Piecewise, Abs, sign, Max, Min, sympy.Heaviside):
        return True
    points: list[Expr] = []
    for difference in _differences(written):
        slope = difference.diff(Z)
        if not slope.is_number or slope == 0:
            return False
        points.append(-difference.xreplace({Z: sympy.S.Zero}) / slope)
    try:
        derivatives = [successive(function, k) for k in range(order + 1)]
        return not any(_jumps(derived, point) for derived in derivatives for point in points)
    except (NncodegenError, TypeError, ValueError, AttributeError):
        return False


def _differences(function: Expr) -> Iterator[Expr]:
    """Yield expressions that are 0 where branches of a function meet."""
    for node in preorder_traversal(function):
        if not node.has(Z):
            continue
        if isinstance(node, Relational):
            yield node.lhs - node.rhs
        elif isinstance(node, Abs | sign | sympy.Heaviside):
            yield node.args[0]
        elif isinstance(node, Max | Min):
            yield from (u - v for u, v in combinations(node.args, 2))


def _jumps(function: Expr, point: Expr) -> bool:
    """Return whether the values on both sides of a point differ."""
    with mpmath.workdps(DIGITS):
        at = interpret(point, {}, True)
        left, right = (interpret(function, {Z: at + side * NEAR}, True) for side in (-1, 1))
        return not abs(right - left) <= JUMP * (1 + abs(left))


def _factored(expression: Expr) -> Expr:
    """Return an expression in factors, if it is a polynomial of functions, with tanh(z)**2 as 1 - sech2(z)."""
    calls = sorted((node for node in expression.atoms(Function) if node.has(Z)), key=count_ops)
    names = {call: Dummy() for call in calls}
    written = expression.xreplace(names)
    if not written.is_polynomial(Z, *names.values()):
        return expression
    for call, name in names.items():
        other = names.get(sech2(*call.args)) if isinstance(call, tanh) else None
        if other is not None:
            written = sympy.rem(written, name**2 - 1 + other, name)
    back = {name: call for call, name in names.items()}
    factored: Expr = sympy.factor(written).xreplace(back)
    return factored
