"""Expressions for scalar text that is bound by latency: what is ready early is used first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sympy import Add, Expr, Mul, Pow

from nncodegen.emit.printer import Printer
from nncodegen.ir import Element

LATENCY = {"sum": 4, "product": 4, "quotient": 14, "function": 25}
"""Cycles until a result is ready: rough, and alike on the CPUs of today."""


class OrderedPrinter(Printer):
    """Prints sums and products in the order in which their parts are ready, and exponentials for one argument."""

    def __init__(self, precision: str, element: Callable[[Element], str], known: dict[Element, int]) -> None:
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


def ready(node: Expr, known: dict[Element, int]) -> int:
    """Cycles until the value of an expression is ready; elements that are not known are ready at once."""
    if isinstance(node, Element):
        return known.get(node, 0)
    times = sorted(ready(part, known) for part in node.args)
    if isinstance(node, Pow):
        return times[-1] + LATENCY["quotient"]
    if not isinstance(node, Add | Mul):
        return max(times, default=0) + (LATENCY["function"] if node.args else 0)
    time = times[0]
    for other in times[1:]:
        time = max(time, other) + LATENCY["sum" if isinstance(node, Add) else "product"]
    return time
