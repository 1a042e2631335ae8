"""Formulas as users write them, "a*exp(-b*x) + c": which names are columns of data, and which are parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from sympy import Expr, Symbol

from nncodegen.compiler.describe import Model
from nncodegen.compiler.describe.grammar import Read, as_expression, names_in, read_in_order
from nncodegen.compiler.describe.hints import cut
from nncodegen.compiler.describe.ties import read_formulas, read_ties
from nncodegen.compiler.ir.graphs import graph_of, replaced, symbols_of
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.program import NATIVE
from nncodegen.compiler.pipeline import build_module
from nncodegen.curves.curve import Curve, Record
from nncodegen.errors import ModelError
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.facts import name_of

NAME, TARGET, ROLE = "curve", "target", "the formula"

VARIABLE = "x"
"""The name of the independent variable where data have no names: x, or x1, x2, ... for several."""


KEPT = 256
"""The number of formulas that a process remembers: to read one takes hundreds of times as long as to look it up."""


Given: TypeAlias = str | Expr | Curve | Record
"""A formula as users give it; a record is the curve without a prefix."""


@dataclass(frozen=True)
class Formula:
    """A formula of columns and parameters; the parameters are in the order in which the text first names them.

    An expression of SymPy has no such order: its parameters are in alphabetical order. ``curve`` is the curve by name
    that the formula is, if it is one: it has bounds, and a start from data.
    """

    expression: Expr
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    curve: Curve | None = field(default=None, hash=False)  # the hash is computed in each call of curve_fit
    ties: tuple[tuple[str, Expr], ...] = field(default=(), hash=False)
    """Parameters that are formulas of the others; they are in the expression, and not among ``parameters``."""
    derived: tuple[tuple[str, Expr], ...] = field(default=(), hash=False)
    """Formulas of parameters that are evaluated after a fit."""
    order: tuple[str, ...] = field(default=(), hash=False)
    """The names of all parameters in their order, where some are tied."""
    in_order: Expr | None = field(default=None, hash=False)
    """The expression with products in the order of the text, where SymPy has changed it."""

    @cached_property
    def is_large(self) -> bool:
        """Return whether the expression is too large to be compared as a tree."""
        return graph_of([self.expression]).is_large

    def model(self, name: str = NAME) -> Model:
        """Return the least-squares problem as a model: that of a curve, or one in which each parameter starts at 1."""
        return Model(
            name,
            inputs=[Symbol(column) for column in self.columns],
            targets=Symbol(unused(TARGET, {*self.columns, *self.parameters})),
            parameters=None if self.curve else {Symbol(parameter): 1.0 for parameter in self.parameters},
            output=self.curve or Read(self.expression, self.in_order),
            ties={Symbol(name): formula for name, formula in self.ties},
            derived={Symbol(name): formula for name, formula in self.derived},
        )

    @property
    def every(self) -> tuple[str, ...]:
        """Return the names of the parameters and of the tied ones, in the order of the formula."""
        return self.order or self.parameters

    @property
    def results(self) -> tuple[str, ...]:
        """Return the names of parameters, tied ones and derived quantities."""
        return (*self.every, *(name for name, _ in self.derived))


def read_formula(formula: Given, columns: Collection[str], named_parameters: Collection[str] = ()) -> Formula:
    """Return the formula in a text, a SymPy expression or a curve; names that are not in ``columns`` are parameters.

    ``named_parameters`` were given a start or bounds: E is a parameter only if it is among them. No text is ever
    evaluated. One process reads a formula once, unless it has read many others since. Raises ModelError where it cannot
    be read, or leaves nothing to fit.
    """
    return _read(checked(formula), tuple(columns), tuple(named_parameters))


@lru_cache(maxsize=KEPT)
def _read(formula: str | Expr | Curve, columns: tuple[str, ...], named_parameters: tuple[str, ...]) -> Formula:
    names = names_of(formula, (*columns, *named_parameters))
    curve = formula if isinstance(formula, Curve) else None
    if curve is not None:
        if curve.variable not in columns:
            there = f"there are: {', '.join(columns)}" if columns else "there are none"
            raise ModelError(f"the variable {curve.variable} of {curve} is not among the data; {there}")
        expression = curve.expression
    elif isinstance(formula, str):
        expression = as_expression(formula, {name: Symbol(name) for name in names}, ROLE)
    else:
        expression = replaced(formula, {symbol: Symbol(symbol.name) for symbol in symbols_of(formula)})
    used = tuple(name for name in columns if name in names)
    parameters = tuple(name for name in names if name not in columns)
    if not parameters:
        raise ModelError(
            f"the formula {quoted(formula)} has no parameters: all its names ({', '.join(used) or 'none'}) are columns"
        )
    left = symbols_of(expression)
    vanished = [name for name in parameters if Symbol(name) not in left]
    if vanished:
        raise ModelError(
            f"the formula {quoted(formula)} does not depend on {vanished[0]}: it is {quoted(expression)} in short"
        )
    symbols = {name: Symbol(name) for name in names}
    in_order = read_in_order(formula, symbols) if isinstance(formula, str) else None
    differs = in_order is not None and in_order != expression
    return Formula(expression, used, parameters, curve, in_order=in_order if differs else None)


def with_quantities(formula: Formula, ties: Any = None, derived: Any = None) -> Formula:
    """Return a formula with tied parameters and derived quantities, given as mappings from names to formulas.

    Raises ModelError for a tied name that is no parameter, and for what ``read_ties`` refuses.
    """
    if not ties and not derived:
        return formula
    unknown = [name for name in map(name_of, ties or {}) if name not in formula.parameters]
    if unknown:
        raise ModelError(f"ties name {unknown[0]}, which is no parameter; there are: {', '.join(formula.parameters)}")
    known = {name: Symbol(name) for name in formula.parameters}
    tied = set(map(name_of, ties or {}))
    free = tuple(name for name in formula.parameters if name not in tied)
    solved = read_ties(ties or None, [known[name] for name in free], Symbol)
    others = read_formulas(derived or None, [*known.values()])
    return replace(
        formula,
        parameters=free,
        order=formula.parameters,
        ties=tuple((symbol.name, tie) for symbol, tie in solved.items()),
        derived=tuple((symbol.name, quantity) for symbol, quantity in others.items()),
    )


def quoted(formula: Given) -> str:
    """Return a formula as messages quote it: cut where it is long, and only its size where it is very deep."""
    graph = graph_of([formula] if isinstance(formula, Expr) else [])
    return f"of {graph.depth:,} levels" if graph.is_large else cut(str(formula))


def names_of(formula: Given, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return all names in a formula: those of a text as they first occur, those of an expression in alphabetical order.

    Those of a curve are its variable and its parameters. ``known`` are the names of columns, and those that were given
    to parameters.
    """
    formula = checked(formula)
    if isinstance(formula, Curve):
        return (formula.variable, *formula.names) if formula.has_variable else formula.names
    if isinstance(formula, str):
        return names_in(formula, ROLE, known)
    return tuple(sorted({symbol.name for symbol in symbols_of(formula)}))


def checked(formula: object) -> str | Expr | Curve:
    """Return a formula, with a record as a curve. Raises ModelError for what is none."""
    if isinstance(formula, str):  # the usual case, decided quickly
        return formula
    if isinstance(formula, Record):
        return formula()
    if not isinstance(formula, Expr | Curve):
        raise ModelError(f"a formula is a text, an expression of SymPy or a curve, not {type(formula).__name__}")
    return formula


def names_of_columns(formula: Given, count: int, named_parameters: Collection[str] = ()) -> tuple[str, ...]:
    """Return a formula's names of unnamed columns: x1, x2, ...; x0, x1, ...; or x for a single one.

    If the formula has both x0 and the last of x1, x2, ..., then x0 is a parameter. ``named_parameters`` were given a
    start or bounds. Raises ValueError if the formula has none of these names, or the next one as well (x4 for three
    columns).
    """
    return _names_of_columns(checked(formula), count, tuple(named_parameters))


@lru_cache(maxsize=KEPT)
def _names_of_columns(formula: str | Expr | Curve, count: int, named_parameters: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(formula, Curve) and count == 1:
        return (formula.variable,)
    used = set(names_of(formula, (*named_parameters, VARIABLE)))
    if count == 1 and VARIABLE in used:
        return (VARIABLE,)
    last, ones = f"{VARIABLE}{count}", tuple(f"{VARIABLE}{number}" for number in range(1, count + 1))
    zeros = (f"{VARIABLE}0", *ones[:-1])
    if used.intersection(ones) and f"{VARIABLE}{count + 1}" not in used and (zeros[0] not in used or last in used):
        return ones
    if zeros[0] in used and last not in used:
        return zeros
    called = VARIABLE if count == 1 else f"{ones[0]} to {last}"
    raise ValueError(
        f"the formula {quoted(formula)} does not tell its parameters from its data: {count} "
        f"column{'s' * (count > 1)} without names would be {called}; use these names, or give the data as a "
        f"mapping from names"
    )


@lru_cache(maxsize=KEPT)
def module_of(formula: Formula, precision: str = "float64", bits: str = NATIVE) -> Module:
    """Return the compiled module of a formula. One process builds it, or finds it in the cache, once.

    A large formula is looked up on disk by its hash each time: to compare two of them as trees may take for ever.
    """
    if formula.is_large:
        return build_module(formula.model(), precision, bits=bits)
    return _module_of(formula, precision, bits)


@lru_cache(maxsize=KEPT)
def _module_of(formula: Formula, precision: str, bits: str) -> Module:
    return build_module(formula.model(), precision, bits=bits)
