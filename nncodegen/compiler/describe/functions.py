"""Calls functions that users write with symbols, and reads their results as expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import Expr, Symbol

from nncodegen.compiler.describe.checks import check_expression
from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.errors import ModelError


def call(function: Callable[..., Any], arguments: list[Symbol], role: str) -> Expr:
    """Return what a user's function returns for symbols, as an expression. Raise ModelError."""
    try:
        value = as_expression(function(*arguments), {symbol.name: symbol for symbol in arguments}, role)
    except ModelError:
        raise
    except Exception as error:
        names = " and ".join(map(str, arguments))
        raise ModelError(
            f"{role} cannot be evaluated with the symbols {names}: {type(error).__name__}: {error}; "
            f"write it with SymPy's functions"
        ) from error
    return check_expression(value, arguments, role)
