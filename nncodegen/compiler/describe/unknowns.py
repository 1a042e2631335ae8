"""Reads symbols that a user gives, and unknown coefficients with their initial values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sympy import Symbol

from nncodegen.compiler.describe.checks import check_name, is_finite
from nncodegen.compiler.ir import Initial
from nncodegen.errors import ModelError


def symbols_of(unknowns: Any, role: str) -> tuple[Symbol, ...]:
    """Return one symbol, or several, as a tuple. Raise ModelError for other objects."""
    several = (unknowns,) if isinstance(unknowns, Symbol) else unknowns
    if not isinstance(several, Iterable) or isinstance(several, str):
        raise ModelError(f"{role} must be symbols, such as sympy.symbols('x t'), not {unknowns!r}")
    symbols = tuple(several)
    for symbol in symbols:
        if not isinstance(symbol, Symbol):
            raise ModelError(f"{role} must be symbols, such as sympy.symbols('x t'), not {symbol!r}")
        check_name(symbol.name, f"a name of the {role}")
    return symbols


def parameters_of(parameters: Any) -> dict[Symbol, Initial]:
    """Return the initial value of each unknown coefficient. Raise ModelError unless symbols are mapped to numbers."""
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ModelError(f"parameters must map symbols to initial values, such as {{nu: 0.1}}, not {parameters!r}")
    initial = {}
    for symbol, value in zip(symbols_of(parameters, "parameters"), parameters.values(), strict=True):
        if not is_finite(value):
            raise ModelError(f"the initial value of {symbol} must be a finite number, not {value!r}")
        initial[symbol] = Initial("constant", float(value))
    return initial
