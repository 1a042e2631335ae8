"""Rules for sums: 1 - f for known functions f, and differences of poles."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr, Mul, Pow, S, exp
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir.functions import bose_einstein, sech2, sigmoid, tanh
from nncodegen.compiler.ir.quotients import langevin
from nncodegen.compiler.ir.shares import share


def complement(node: Expr) -> Expr | None:
    """1 - sigmoid(z) = sigmoid(-z), and its like for other functions, also with a factor: y - y*sigmoid(z)."""
    terms = set(node.args)  # used for membership only: a set has no fixed order
    for term in node.args:
        factors = Mul.make_args(term)
        for factor in factors:
            base, power = (factor, S.One) if isinstance(factor, exp) else factor.as_base_exp()
            form = COMPLEMENTS.get((base.func, power))
            if form is None:
                continue
            rest = Mul(*(other for other in factors if other is not factor))
            for sign, c in ((S.NegativeOne, -rest), (S.One, rest)):
                value = form(*base.args, sign=sign) if c in terms else None
                if value is not None:
                    return node - term - c + c * value
    return None


def _sigmoid_complement(z: Expr, sign: Expr) -> Expr | None:
    return sigmoid(-z) if sign == -1 else None  # 1 - sigmoid(z) = sigmoid(-z)


def _sigmoid_square_complement(z: Expr, sign: Expr) -> Expr | None:
    return sigmoid(-z) * (1 + sigmoid(z)) if sign == -1 else None  # 1 - sigmoid(z)**2 = (1 - s)*(1 + s)


def _tanh_complement(z: Expr, sign: Expr) -> Expr:
    return 2 * sigmoid(2 * sign * z)  # 1 + tanh(z) = 2*sigmoid(2*z)


def _tanh_square_complement(z: Expr, sign: Expr) -> Expr | None:
    return sech2(z) if sign == -1 else None  # 1 - tanh(z)**2 = sech2(z)


def _bose_einstein_complement(z: Expr, sign: Expr) -> Expr | None:
    return -bose_einstein(-z) if sign == 1 else None  # 1 + bose_einstein(z) = -bose_einstein(-z)


def _cosine_complement(z: Expr, sign: Expr) -> Expr:
    half = sympy.sin(z / 2) if sign == -1 else sympy.cos(z / 2)
    return 2 * half**2  # 1 - cos(z) = 2*sin(z/2)**2


def _hyperbolic_cosine_complement(z: Expr, sign: Expr) -> Expr | None:
    return -2 * sympy.sinh(z / 2) ** 2 if sign == -1 else None  # 1 - cosh(z) = -2*sinh(z/2)**2


def _error_complement(z: Expr, sign: Expr) -> Expr:
    return sympy.erfc(-sign * z)  # 1 - erf(z) = erfc(z)


def _exponential_complement(z: Expr, sign: Expr) -> Expr | None:
    return -expm1(z) if sign == -1 else None  # 1 - exp(z) = -expm1(z)


def _share_complement(u: Expr, v: Expr, sign: Expr) -> Expr | None:
    return share(v, u) if sign == -1 else None  # 1 - u/(u + v) = v/(u + v)


COMPLEMENTS: dict[tuple[type, Expr], Callable[..., Expr | None]] = {
    (sigmoid, S.One): _sigmoid_complement,
    (sigmoid, sympy.Integer(2)): _sigmoid_square_complement,
    (tanh, S.One): _tanh_complement,
    (tanh, sympy.Integer(2)): _tanh_square_complement,
    (exp, S.One): _exponential_complement,
    (bose_einstein, S.One): _bose_einstein_complement,
    (sympy.erf, S.One): _error_complement,
    (share, S.One): _share_complement,
    (sympy.cos, S.One): _cosine_complement,
    (sympy.cosh, S.One): _hyperbolic_cosine_complement,
}
"""The form of 1 + f, or 1 - f, for a function f and a power of it."""


def sigmoid_to_tanh(node: Expr) -> Expr | None:
    """2*sigmoid(z) - 1 = tanh(z/2), which keeps its digits near 0."""
    for sign in (1, -1):
        if -sign in node.args:
            for term in node.args:
                if isinstance(sign * term / 2, sigmoid):
                    return node + sign - term + sign * tanh((sign * term / 2).args[0] / 2)
    return None


def difference_of_poles(node: Expr) -> Expr | None:
    """1/tanh(z) - 1/z = langevin(z)."""
    for term in node.args:
        for factor in Mul.make_args(term):
            if isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, tanh):
                (z,) = factor.base.args
                if -term * factor.base / z in node.args:
                    return node - term + term * factor.base * (1 / z + langevin(z))
    return None
