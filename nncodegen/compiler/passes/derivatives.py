"""The derivative of one expression by one of its elements, finite wherever the mathematical derivative is.

SymPy's derivatives are correct formulas, but cannot be computed everywhere: that of ``u**b`` by b, ``u**b*log(u)``, is
0*log(0) at u = 0, that of a cube root is the power of a negative number, and a chain of factors may multiply zero by
infinity. Here such cases are told apart before anything is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

from sympy import Abs, Add, Eq, Expr, Mul, Piecewise, Pow, S, Symbol, exp, sign
from sympy.codegen.cfunctions import Cbrt, hypot
from sympy.functions.elementary.miscellaneous import Max, Min

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.limits import power_derivative, product_unless_zero, product_unless_zeros
from nncodegen.compiler.passes.infinities import MOST_KNOWN, carries, is_steep, may_be_infinite


@lru_cache(maxsize=MOST_KNOWN)
def derivative(node: Expr, element: Element, hidden: bool = True) -> Expr:
    """Return the derivative of an expression by an element.

    Formulas of layers that are written out share very many parts, each of which is derived once.

    ``hidden`` says that the loss may be finite where the expression is infinite, so that its derivative has to be
    finite for such arguments as well.
    """
    if node == element:
        return S.One
    if node.is_Atom:
        return S.Zero
    if isinstance(node, Piecewise):
        parts = [(derivative(value, element, hidden), condition) for value, condition in node.args]
        return S.Zero if all(part == 0 for part, _ in parts) else Piecewise(*parts)
    if isinstance(node, sign):
        return S.Zero
    inside = hidden or not carries(node)
    terms = []
    for k, argument in enumerate(node.args):
        inner = derivative(argument, element, inside)
        if inner != 0:
            outer = partial(node, k)
            outer_grows = may_be_infinite(outer) and (hidden or is_steep(node, argument))
            inner_grows = may_be_infinite(inner) and (inside or is_steep(argument, element))
            zero_outer, zero_inner = inner_grows and may_vanish(outer), outer_grows and may_vanish(inner)
            terms.append(product(outer, inner, where_u_is_0=zero_outer, where_v_is_0=zero_inner))
    return Add(*terms)


def product(u: Expr, v: Expr, *, where_u_is_0: bool, where_v_is_0: bool) -> Expr:
    """Return u*v, but 0 where u is 0 (``where_u_is_0``) or v is 0 (``where_v_is_0``), even if the other is infinite."""
    u_is_asked, v_is_asked = where_u_is_0 and not u.is_number, where_v_is_0 and not v.is_number
    if u_is_asked and v_is_asked:
        return product_unless_zeros(u, v)
    if u_is_asked or v_is_asked:
        return product_unless_zero(u, v) if u_is_asked else product_unless_zero(v, u)
    return u * v


def may_vanish(node: Expr, infinite: Collection[Symbol] = ()) -> bool:
    """Return whether an expression may be 0 while all elements except ``infinite`` are finite.

    An exponential may, because it underflows.
    """
    if isinstance(node, Mul):
        return any(may_vanish(factor, infinite) for factor in node.args)
    reciprocal = isinstance(node, Pow) and node.exp.is_number and node.exp < 0 and not node.has(*infinite)
    return isinstance(node, exp) or not (node.is_number or reciprocal or node.is_nonzero)


def partial(node: Expr, k: int) -> Expr:
    """Return the derivative of a node by its argument number ``k``, without that of the argument."""
    if isinstance(node, Add):
        return S.One
    if isinstance(node, Mul):
        return Mul(*(factor for j, factor in enumerate(node.args) if j != k))
    rule = PARTIALS.get(node.func)
    return rule(node, k) if rule else node.fdiff(k + 1)


def _power(node: Expr, k: int) -> Expr:
    """Return b*u**(b - 1) by u; by b, u**b*log(u), which is 0 where u**b is: at u = 0, for b > 0."""
    u, b = node.args
    if b.is_number:
        return b * u ** (b - 1)
    return power_derivative(u, b, 1 - k, k)


def _extreme(node: Expr, k: int) -> Expr:
    """Return 1 where the argument is the maximum (or minimum), 1/2 where another one equals it, else 0."""
    this = node.args[k]
    other = node.func(*(argument for j, argument in enumerate(node.args) if j != k))
    beyond = this > other if isinstance(node, Max) else this < other
    return Piecewise((S.One, beyond), (S.Half, Eq(this, other)), (S.Zero, True))


def _absolute_value(node: Expr, k: int) -> Expr:
    """Return the sign, which is 0 at 0."""
    return sign(*node.args)


def _cube_root(node: Expr, k: int) -> Expr:
    """Return 1/(3*z**(2/3)), also for negative z."""
    return 1 / (3 * node**2)


def _hypotenuse(node: Expr, k: int) -> Expr:
    """Return u/hypot(u, v), and 0 at the corner, where both are 0."""
    return Piecewise((S.Zero, Eq(node, 0)), (node.args[k] / node, True))


PARTIALS: dict[type, Callable[[Expr, int], Expr]] = {
    Pow: _power,
    Max: _extreme,
    Min: _extreme,
    Abs: _absolute_value,
    Cbrt: _cube_root,
    hypot: _hypotenuse,
}
"""The partial derivatives that, as SymPy writes them, are not defined everywhere."""
