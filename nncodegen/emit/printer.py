"""Scalar expressions in C, through SymPy's printer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy
from sympy import Expr, Float, Rational, S, sqrt
from sympy.codegen.ast import float32, float64, real
from sympy.printing.c import C99CodePrinter, known_functions_C99

from nncodegen.ir import Element
from nncodegen.ir.functions import INLINE
from nncodegen.passes.latency import exp_plus_1, half_expm1_plus_1, odds, odds_plus_1

OWN_FUNCTIONS = {name: name if name.endswith("_of") else f"{name}_of" for name in (*INLINE, "odds")}
"""Functions that are emitted inline -> their names in C; all others are calls of the C library (library.h)."""

FUNCTIONS = frozenset(
    {
        *OWN_FUNCTIONS.values(),
        *(function.__name__ for function in (exp_plus_1, half_expm1_plus_1, odds, odds_plus_1)),
        *(name for name in known_functions_C99.values() if isinstance(name, str)),
    }
)
"""The functions that printed text may call."""

REAL_TYPES = {"float64": ("double", float64), "float32": ("float", float32)}


class Printer(C99CodePrinter):
    """Prints an expression whose elements are given as C text by ``element``."""

    def __init__(self, precision: str, element: Callable[[Element], str]) -> None:
        super().__init__({"type_aliases": {real: REAL_TYPES[precision][1]}, "math_macros": {}})
        self._element = element

    def print(self, expression: Expr) -> str:
        """One C expression. Constants are folded, so that no call with a constant argument is left."""
        return str(self._print(_folded(expression)))

    def _print_Element(self, element: Element) -> str:
        return self._element(element)

    def _print_Integer(self, number: Any) -> str:
        return str(number) if abs(number) < 2**31 else self._print(Float(number, 20))

    def _print_Pow(self, power: Any) -> str:
        base, exponent = power.as_base_exp()
        if exponent in (2, 3):  # exact, and without a call
            text = self.parenthesize(base, sympy.printing.precedence.PRECEDENCE["Mul"], strict=True)
            return "*".join([text] * int(exponent))
        if abs(exponent) == Rational(3, 2):  # without a call, too; in parentheses, since it may follow a division
            text = self.parenthesize(base, sympy.printing.precedence.PRECEDENCE["Mul"], strict=True)
            product = f"({text}*{self._print(sqrt(base))})"
            return product if exponent > 0 else f"{self._print(Float(1.0))}/{product}"
        if exponent == -S.Half:
            return f"{self._print(Float(1.0))}/{self._print(sqrt(base))}"
        return str(super()._print_Pow(power))

    def _print_Piecewise(self, piecewise: Any) -> str:
        *branches, (last, condition) = piecewise.args
        text = self._print(last) if condition == True else "NAN"  # noqa: E712 (a SymPy truth value)
        if condition != True:  # noqa: E712
            branches.append((last, condition))
        for value, condition in reversed(branches):
            text = f"({self._print(condition)} ? {self._print(value)} : {text})"
        return text

    def _print_BooleanFalse(self, _: Any) -> str:  # C has no name for it without a header
        return "0"

    def _print_BooleanTrue(self, _: Any) -> str:
        return "1"

    def _print_Or(self, disjunction: Any) -> str:
        return " || ".join(f"({self._print(part)})" for part in sorted(disjunction.args, key=str))

    def _print_own(self, function: Any) -> str:
        arguments = ", ".join(self._print(argument) for argument in function.args)
        return f"{OWN_FUNCTIONS[function.func.__name__]}({arguments})"

    _print_exp = _print_decay = _print_expm1 = _print_log = _print_log1p = _print_tanh_of = _print_own
    _print_half_expm1 = _print_erf = _print_erfc = _print_odds = _print_own

    def _print_Max(self, maximum: Any) -> str:
        return self._nested("maximum", maximum.args)

    def _print_Min(self, minimum: Any) -> str:
        return self._nested("minimum", minimum.args)

    def _nested(self, function: str, arguments: tuple[Expr, ...]) -> str:
        text = self._print(arguments[-1])
        for argument in reversed(arguments[:-1]):
            text = f"{function}({self._print(argument)}, {text})"
        return str(text)


def _is_constant(node: Any) -> bool:
    compound = isinstance(node, Expr) and node.is_number and not node.is_Rational and not node.is_Float
    return bool(compound)


@lru_cache(maxsize=10_000)  # several kernels print the same step
def _folded(expression: Expr) -> Expr:
    """The expression with its constants as numbers."""
    return expression.replace(_is_constant, lambda constant: constant.evalf(20))
