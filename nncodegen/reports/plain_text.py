"""Formulas and shapes as short texts, for places without typeset mathematics: drawings and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sympy import Expr
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from nncodegen.compiler.ir.functions import relu, xlogy

LONGEST = 46
"""The most characters of a formula; a longer one is cut off, as the section with formulas shows the whole."""


class _Printer(StrPrinter):
    """A printer of names of elements without indices."""

    def _print_Element(self, element: Any) -> str:  # noqa: N802 (named after the class)
        return str(element.tensor)

    def _print_Piecewise(self, expr: Any) -> str:  # noqa: N802
        z = expr.args[-1].expr
        if expr == relu(z):
            return f"relu({self._print(z)})"
        parts = [f"{self._print(value)} if {self._print(condition)}" for value, condition in expr.args[:-1]]
        return f"({'; '.join([*parts, f'else {self._print(z)}'])})"

    def _print_Function(self, expr: Any) -> str:  # noqa: N802
        if isinstance(expr, xlogy):
            return f"{self.parenthesize(expr.args[0], PRECEDENCE['Mul'])}*log({self._print(expr.args[1])})"
        name, arguments = expr.func.__name__, ", ".join(self._print(argument) for argument in expr.args)
        bare = name == "part of" or (name == "Σ" and expr.args[0].is_Mul)
        return f"{name} {arguments}" if bare else f"{name}({arguments})"


def plain_text(expression: Expr) -> str:
    """Return an expression as a text of one line, cut to LONGEST characters."""
    text = re.sub(r"\*\*([23])(?![\d.])", lambda match: "²³"[int(match[1]) - 2], str(_Printer().doprint(expression)))
    text = text.replace("**", "^")
    text = text.replace("*", "·").replace("-", "−")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"


def shape_text(shape: Sequence[int | None]) -> str:
    """Return the sizes of a tensor for one sample: 32 × 64, or 1 for a number."""
    return " × ".join(str(size) for size in shape if size is not None) or "1"
