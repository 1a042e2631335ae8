"""Expressions for scalar text that is bound by latency: what is ready early is used first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sympy import Add, Expr, Mul, Pow

from nncodegen.emit.printer import Printer
from nncodegen.ir import Element
from nncodegen.passes.latency import ready


class OrderedPrinter(Printer):
    """Prints sums and products in the order in which their parts are ready, and exponentials for one argument."""

    def __init__(self, precision: str, element: Callable[[Element], str], known: Mapping[Element, int]) -> None:
        super().__init__(precision, element)
        self._settings["order"] = "none"  # what is given in an order is printed in it
        self._known = known

    def _ordered(self, parts: Iterable[Expr]) -> list[Expr]:
        return sorted(parts, key=lambda part: (ready(part, self._known), str(part)))

    def _as_ordered_terms(self, total: Add, order: Any = None) -> list[Expr]:
        return self._ordered(total.args)

    def _print_Mul(self, product: Mul) -> str:
        if any(isinstance(factor, Pow) and factor.exp.is_negative for factor in product.args):
            return str(super()._print_Mul(product))
        return str(super()._print_Mul(Mul(*self._ordered(product.args), evaluate=False)))

    def _print_exp(self, function: Any) -> str:
        return f"exp_scalar({self._print(function.args[0])})"

    def _print_decay(self, function: Any) -> str:
        return f"exp_scalar({self._print(-function.args[0])})"

    def _print_exp_plus_1(self, function: Any) -> str:
        return f"exp_plus_1({self._print(function.args[0])})"

    def _print_half_expm1_plus_1(self, function: Any) -> str:
        return f"half_expm1_plus_1({self._print(function.args[0])})"

    def _print_odds(self, function: Any) -> str:
        return f"odds({self._print(function.args[0])})"

    def _print_odds_plus_1(self, function: Any) -> str:
        return f"odds_plus_1({self._print(function.args[0])})"
