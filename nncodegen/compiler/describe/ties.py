"""Ties, which are parameters that are formulas of others, and quantities that are derived from parameters.

A tied parameter is replaced by its formula, so that a fit knows nothing of it. Both are evaluated after a fit, with
errors that follow from those of the parameters: modules have them as texts in Python, with their derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sympy import Expr, Symbol, diff, pycode

from nncodegen.compiler.describe.checks import check_expression, check_name
from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.facts import Quantity, name_of
from nncodegen.runtime.python.ground.markup import listed

Given: TypeAlias = Mapping[Any, Any]
"""Formulas of parameters by name, as users give them."""

TIE, DERIVED = "the tie of", "the derived quantity"


def read_ties(
    ties: Given | None, parameters: Sequence[Symbol], symbol_of: Callable[[str], Symbol]
) -> dict[Symbol, Expr]:
    """Return the formulas of tied parameters, in which no tied one is left.

    ``parameters`` are the others, and ``symbol_of`` returns the symbol of the model for a name. Raises ModelError for a
    circle, an unknown name, and a tied name that is among the parameters.
    """
    tied = [] if not isinstance(ties, Mapping) else [_symbol(key, "ties", symbol_of) for key in ties]
    formulas = _formulas(ties, [*parameters, *tied], TIE, "ties", symbol_of)
    names = [symbol.name for symbol in formulas]
    for symbol in parameters:
        if symbol.name in names:
            raise ModelError(f"{symbol.name} is tied, so it has no initial value: leave it out of the parameters")
    done: dict[Symbol, Expr] = {}
    while len(done) < len(formulas):
        ready = [
            symbol for symbol in formulas if symbol not in done and not _tied(formulas[symbol], formulas) - {*done}
        ]
        if not ready:
            raise ModelError(f"the ties go in a circle: {_circle(formulas, done)}; one of these must be a parameter")
        for symbol in ready:
            done[symbol] = formulas[symbol].xreplace(done)
    return {symbol: done[symbol] for symbol in formulas}


def read_quantities(
    ties: Mapping[Symbol, Expr], derived: Given | None, parameters: Sequence[Symbol], taken: Sequence[Symbol]
) -> tuple[Quantity, ...]:
    """Return tied parameters and derived quantities, with their derivatives by the parameters.

    ``taken`` are the symbols whose names no quantity can have. Raises ModelError.
    """
    formulas = read_formulas(derived, [*parameters, *ties])
    for symbol in formulas:
        if symbol.name in {other.name for other in (*taken, *ties)}:
            raise ModelError(f"the derived quantity {symbol.name} has the name of another symbol: rename it")
    quantities = [_quantity(symbol.name, formula, parameters, True) for symbol, formula in ties.items()]
    quantities += [
        _quantity(symbol.name, formula.xreplace(dict(ties)), parameters, False) for symbol, formula in formulas.items()
    ]
    return tuple(quantities)


def read_formulas(derived: Given | None, known: Sequence[Symbol]) -> dict[Symbol, Expr]:
    """Return the formulas of derived quantities of known symbols. Raises ModelError."""
    return _formulas(derived, known, DERIVED, "derived", Symbol)


def _symbol(key: Any, argument: str, symbol_of: Callable[[str], Symbol]) -> Symbol:
    return symbol_of(check_name(name_of(key), f"a name of {argument}"))


def _formulas(
    mapping: Given | None, known: Sequence[Symbol], what: str, argument: str, symbol_of: Callable[[str], Symbol]
) -> dict[Symbol, Expr]:
    """Return formulas of known symbols by the symbol that they define."""
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise ModelError(f"{argument} must map names to formulas, not be a {type(mapping).__name__}")
    symbols = {symbol.name: symbol for symbol in known}
    formulas: dict[Symbol, Expr] = {}
    for key, formula in mapping.items():
        target = _symbol(key, argument, symbol_of)
        role = f"{what} {target.name}"
        expression = as_expression(formula, symbols, role)
        if isinstance(expression, Expr):  # symbols of SymPy may have assumptions that those of a text have not
            same = {symbol: symbols[symbol.name] for symbol in symbols_of(expression) if symbol.name in symbols}
            expression = expression.xreplace(same)
            unknown = sorted(symbol.name for symbol in symbols_of(expression) if symbol.name not in symbols)
            if unknown:
                there = listed(list(symbols))
                raise ModelError(f"{role} names {unknown[0]}, which is no parameter; there are: {there}")
        formulas[target] = check_expression(expression, [*symbols.values()], role)
    return formulas


def _tied(formula: Expr, formulas: Mapping[Symbol, Expr]) -> set[Symbol]:
    return {symbol for symbol in symbols_of(formula) if symbol in formulas}


def _circle(formulas: Mapping[Symbol, Expr], done: Mapping[Symbol, Expr]) -> str:
    """Return a circle of ties as a text, a = 2*b, b = a/2."""
    path = [next(symbol for symbol in formulas if symbol not in done)]
    while path.count(path[-1]) == 1:
        path.append(min(_tied(formulas[path[-1]], formulas) - {*done}, key=str))
    circle = path[path.index(path[-1]) : -1]
    return ", ".join(f"{symbol} = {formulas[symbol]}" for symbol in circle)


def _quantity(name: str, formula: Expr, parameters: Sequence[Symbol], tied: bool) -> Quantity:
    role = f"{TIE if tied else DERIVED} {name}"
    places = {symbol: Symbol(f"p[{place}]", real=True) for place, symbol in enumerate(parameters)}
    placed = formula.xreplace(places)
    slopes = [(place, diff(placed, symbol)) for place, symbol in enumerate(places.values())]
    return Quantity(
        name,
        tied,
        str(formula),
        _python(placed, role),
        tuple((place, _python(slope, role)) for place, slope in slopes if slope != 0),
    )


def _python(formula: Expr, role: str) -> str:
    """Return a formula as a text in Python that calls functions of ``math``. Raises ModelError where it has others."""
    written = formula.replace(lambda node: isinstance(node, StableFunction), lambda node: node.definition(*node.args))
    text = str(pycode(written, fully_qualified_modules=True, strict=False))
    if "Not supported" in text or "Derivative" in text:
        raise ModelError(f"{role} has functions that cannot be evaluated after a fit: {formula}")
    return text
