"""The products and powers of a text in the order in which it has them.

SymPy sorts the factors of a product and spreads a power over them: of ``delta**l*(1/delta)`` it makes
``delta**(l - 1)``, of ``(a/b)**2`` the quotient a**2/b**2. These are the same numbers; but what was written may be in
range where they are not. Here every product that SymPy would merge with its surroundings stays one of two factors.
"""

from __future__ import annotations

from typing import Any

from sympy import Abs, Expr, Mul, Number, Piecewise, S, atan, cos, sign, sin, sqrt

from nncodegen.compiler.ir.magnitudes import FAR, grouped, length


def product(u: Any, v: Any) -> Any:
    """Return u*v, as a part of its own if SymPy does not keep these two factors."""
    result = u * v
    if u == v and isinstance(u, Expr) and not isinstance(u, Mul):
        return result  # a square
    if not (isinstance(u, Expr) and isinstance(v, Expr)) or _is_plain(u, v, result):
        return result
    return grouped(u, v)


def _is_plain(u: Expr, v: Expr, result: Expr) -> bool:
    """Return whether SymPy's product of two factors is the one that was written; signs do not count."""
    u, v, result = map(_unsigned, (u, v, result))
    if (u.is_number and v.is_number) or S.One in (u, v) or S.NegativeOne in (u, v):
        return not (isinstance(u, Mul) and isinstance(v, Mul)) and not result.is_Add
    return isinstance(result, Mul) and {*result.args} == {u, v}


def _unsigned(value: Expr) -> Expr:
    """Return an expression without the factor -1."""
    return -value if isinstance(value, Mul) and value.args[0] == S.NegativeOne else value


def quotient(u: Any, v: Any) -> Any:
    """Return u/v; a divisor that is a product is one number."""
    return product(u, reciprocal(v))


def reciprocal(v: Any) -> Any:
    """Return 1/v, whose product is not spread."""
    return 1 / part(v)


def part(value: Any) -> Any:
    """Return a value; a product is made a part of its own, so that no power is spread over its factors."""
    if not isinstance(value, Mul):
        return value
    first, *others = value.args
    return grouped(first, Mul(*others))


def cosine(z: Any) -> Any:
    """Return cos(z); cos(atan(u)) is 1/length(1, u), where SymPy has a root of 1 + u**2, which may overflow."""
    return 1 / length(1, *z.args) if isinstance(z, atan) else cos(z)


def sine(z: Any) -> Any:
    """Return sin(z); sin(atan(u)) is u/length(1, u), and -1 or 1 where u is large, or infinite."""
    if not isinstance(z, atan):
        return sin(z)
    (u,) = z.args
    return Piecewise((quotient(u, length(1, u)), Abs(u) < FAR), (sign(u), True))


def root(z: Any) -> Any:
    """Return sqrt(z), which SymPy would spread over the factors of a product that are positive."""
    return sqrt(part(z))


def base_of(base: Any, exponent: Any) -> Any:
    """Return the base of a power that SymPy does not spread over the factors of the base."""
    return part(base) if isinstance(exponent, Number) else base
