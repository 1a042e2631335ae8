"""Writes formulas as text, and reads them again: pickles and JSON files store activations and losses like this.

The text is read by the grammar of ``describe`` and never evaluated, so that a file from elsewhere cannot run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy
from sympy import Expr, Symbol
from sympy.printing.str import StrPrinter

from nncodegen.compiler.describe.checks import bounded, check_size
from nncodegen.compiler.describe.grammar import as_expression, parse
from nncodegen.errors import ModelError


class _Printer(StrPrinter):
    """Writes numbers with all digits, so that reading them gives the same bits."""

    def _print_Float(self, expression: sympy.Float) -> str:
        return repr(float(expression))


def to_text(formula: str | Expr | Callable[..., Any], symbols: Mapping[str, Symbol], role: str) -> str:
    """Return a formula, which is a text, an expression, or a function of the symbols, as text that ``parse`` reads.

    Raise ModelError for anything else.
    """
    if isinstance(formula, str):
        as_expression(formula, symbols, role)
        return formula
    if callable(formula) and not isinstance(formula, Expr):
        try:
            formula = as_expression(formula(*symbols.values()), symbols, role)
        except ModelError:
            raise
        except Exception as error:
            symbol_names = " and ".join(symbols)
            raise ModelError(
                f"{role} cannot be evaluated with the symbols {symbol_names}: {type(error).__name__}: {error}; "
                f"write it with SymPy's functions"
            ) from error
    if not isinstance(formula, Expr):
        raise ModelError(f"{role} must be a name, a formula or a function of {', '.join(symbols)}, not {formula!r}")
    check_size(formula, role)
    named = {symbol: symbols[symbol.name] for symbol in formula.free_symbols if symbol.name in symbols}
    with bounded(role):
        text = str(_Printer({"order": "lex"}).doprint(formula.xreplace(named)))
    parse(text, symbols, role)
    return text
