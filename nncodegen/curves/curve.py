"""Curves that are formulas: records with prefixes, and sums of these, of one variable."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Add, Expr, Symbol

from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.errors import ModelError
from nncodegen.runtime.python.fitting.curve_starts import estimated
from nncodegen.runtime.python.ground.facts import CurveTerm, TermParameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class CurveParameter:
    """A parameter of a curve: its name, its meaning, and the bounds within which it has this meaning.

    The formula is a linear function of all parameters that are ``linear`` together: least squares gives these without a
    start.
    """

    name: str
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    linear: bool = False


def linear(name: str, meaning: str) -> CurveParameter:
    """Return a parameter that enters linearly; it has no bounds."""
    return CurveParameter(name, meaning, linear=True)


@dataclass(frozen=True)
class Record:
    """A curve by name: ``formula`` is a text in x and the parameters, ``about`` a description, ``source`` a reference.

    ``start`` has a text for each parameter that is not linear: an expression of data x and y, (N,) each with x
    ascending, of the parameters before it, and of the functions of ``runtime/python/fitting/estimates.py``.
    """

    name: str
    formula: str
    about: str
    parameters: tuple[CurveParameter, ...]
    source: str
    start: tuple[str, ...] = ()

    def __call__(self, prefix: str = "", x: str = "x") -> Curve:
        """Return the curve of a variable, whose parameters have a prefix: ``gaussian("a_")`` has a_height.

        Raises ModelError for a prefix or a variable that makes no names.
        """
        return Curve((Term(self, prefix, x),))

    def __add__(self, other: Any) -> Curve:
        """Return the sum of two curves without prefixes: ``gaussian + line``."""
        total: Curve = self() + other
        return total

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def typical(self) -> dict[str, float]:
        """Return a value within the bounds for each parameter."""
        return self().typical

    def facts(self, inputs: Sequence[str], output: int = 0) -> tuple[CurveTerm, ...]:
        """Return what a module knows of the curve (``Curve.facts``)."""
        return self().facts(inputs, output)

    def _sympy_(self) -> Expr:
        return self().expression

    def __str__(self) -> str:
        """Return the formula, the meaning of each parameter, its bounds, and the source."""
        width = max(map(len, self.names))
        rows = [
            f"  {parameter.name:<{width}}  {parameter.meaning}{_bounds(parameter)}" for parameter in self.parameters
        ]
        return "\n".join([f"{self.name}: {self.about}", f"  {self.formula}", *rows, f"  ({self.source})"])

    def __repr__(self) -> str:
        return f"<curve {self.name}({', '.join(self.names)}): {self.formula}>"


def _bounds(parameter: CurveParameter) -> str:
    """Return the bounds of a parameter as an addition to its meaning."""
    if math.isfinite(parameter.low) and math.isfinite(parameter.high):
        return f", from {parameter.low:g} to {parameter.high:g}"
    if math.isfinite(parameter.low):
        return f", at least {parameter.low:g}"
    return f", at most {parameter.high:g}" if math.isfinite(parameter.high) else ""


@dataclass(frozen=True)
class Term:
    """A record with a prefix for its parameters, and the name of its variable. Raises ModelError for other names."""

    record: Record
    prefix: str = ""
    variable: str = "x"

    def __post_init__(self) -> None:
        for role, text in (("prefix", self.prefix), ("variable", self.variable)):
            valid = isinstance(text, str) and (not text or (text.isidentifier() and not keyword.iskeyword(text)))
            if not valid or (role == "variable" and not text):
                raise ModelError(f"the {role} of {self.record.name} makes no name: {text!r}; write one like 'a_'")
        if self.variable in self.names:
            raise ModelError(f"{self.record.name} has a parameter {self.variable}, as its variable: give a prefix")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parameters, with the prefix."""
        return tuple(self.prefix + name for name in self.record.names)

    @cached_property
    def expression(self) -> Expr:
        """Return the formula."""
        symbols = {name: Symbol(full) for name, full in zip(self.record.names, self.names, strict=True)}
        expression: Expr = as_expression(self.record.formula, {"x": Symbol(self.variable), **symbols}, self.record.name)
        return expression

    def facts(self, inputs: Sequence[str], output: int) -> CurveTerm:
        """Return what a module knows of the term, given the names of its inputs and the index of its output."""
        estimates = iter(self.record.start)
        parameters = tuple(
            TermParameter(
                full,
                parameter.name,
                parameter.low,
                parameter.high,
                _typical(parameter),
                "" if parameter.linear else next(estimates),
            )
            for full, parameter in zip(self.names, self.record.parameters, strict=True)
        )
        variable = inputs.index(self.variable) if self.variable in inputs else 0
        return CurveTerm(self.record.name, variable, output, parameters)

    def __str__(self) -> str:
        arguments = [repr(self.prefix)] * bool(self.prefix) + [f"x={self.variable!r}"] * (self.variable != "x")
        called = f"({', '.join(arguments)})" if arguments else ""
        if called and self.record.name.endswith(")"):  # polynomial(3)
            return f"{self.record.name[:-1]}, {called[1:]}"
        return f"{self.record.name}{called}"


@dataclass(frozen=True)
class Curve:
    """A formula with names, bounds and starts: a sum of curves such as ``gaussian("a_") + gaussian("b_") + line()``.

    It is taken wherever a formula is: by ``curve_fit``, as ``output`` of a Model (whose ``parameters`` may be left out
    then), by FormulaRegressor. Raises ModelError if two terms have a parameter of the same name, or other variables.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        owners: dict[str, Term] = {}
        for term in self.terms:
            for name in term.names:
                if name in owners:
                    raise ModelError(
                        f"{owners[name]} and {term} both have a parameter {name}: give one a prefix, as in "
                        f'{term.record.name}("b_")'
                    )
            owners |= dict.fromkeys(term.names, term)
        variables = sorted({term.variable for term in self.terms})
        if len(variables) > 1:
            raise ModelError(f"the curves of a sum have one variable, not {' and '.join(variables)}")

    def __add__(self, other: Any) -> Any:
        """Return the sum with another curve, or with an expression of SymPy, which is an expression."""
        if isinstance(other, Record):
            other = other()
        if isinstance(other, Curve):
            return Curve((*self.terms, *other.terms))
        return self.expression + other if isinstance(other, Expr) else NotImplemented

    @property
    def variable(self) -> str:
        """Return the name of the variable."""
        return self.terms[0].variable

    @property
    def has_variable(self) -> bool:
        """Return whether the formula depends on its variable: a constant does not."""
        return Symbol(self.variable) in self.expression.free_symbols

    @cached_property
    def expression(self) -> Expr:
        """Return the formula as an expression of SymPy."""
        return Add(*(term.expression for term in self.terms))

    def _sympy_(self) -> Expr:
        return self.expression

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parameters, in the order of the terms."""
        return tuple(name for term in self.terms for name in term.names)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return (lower, upper) of the parameters that have a bound."""
        pairs = {name: (parameter.low, parameter.high) for name, parameter in self._parameters()}
        return {name: pair for name, pair in pairs.items() if any(map(math.isfinite, pair))}

    @property
    def typical(self) -> dict[str, float]:
        """Return a value within the bounds for each parameter: 1, or the middle of two bounds."""
        return {name: _typical(parameter) for name, parameter in self._parameters()}

    def facts(self, inputs: Sequence[str], output: int = 0) -> tuple[CurveTerm, ...]:
        """Return what a module knows of the curve, given the names of its inputs and the index of its output."""
        return tuple(term.facts(inputs, output) for term in self.terms)

    def start(self, x: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """Return a start for each parameter, computed from data x and y, (N,).

        Each term estimates its parameters that are not linear from what the terms before it leave, backgrounds first;
        the others are those of least squares. Values that are not finite are left out. Raises ValueError without two
        different values of x.
        """
        places, data = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
        if places.shape != data.shape:
            raise ValueError(f"x has the shape {places.shape} and y {data.shape}: they must be equal")
        used = np.isfinite(places) & np.isfinite(data)
        order = np.argsort(places[used], kind="stable")
        places, data = places[used][order], data[used][order]
        if not len(places) or places[0] == places[-1]:
            raise ValueError("a start from data takes at least two different values of x")
        expressions = {
            facts: term.expression for facts, term in zip(self.facts([self.variable]), self.terms, strict=True)
        }

        def system(
            terms: Sequence[CurveTerm], values: Mapping[str, float], names: Sequence[str]
        ) -> tuple[Array, Array]:
            total = Add(*(expressions[term] for term in terms))
            at = {**values} | dict.fromkeys(names, 0.0)
            rest = self._value(total, at, places)
            with np.errstate(invalid="ignore"):  # of infinities, which are left out
                columns = [self._value(total, at | {name: 1.0}, places) - rest for name in names]
            return np.array(columns).reshape(len(names), len(places)).T, rest

        estimates = estimated(expressions, places, data, system)
        return {name: estimates[name] for name in self.names}

    def _value(self, expression: Expr, parameter_values: Mapping[str, float], x: Array) -> Array:
        """Return the value of an expression at x, (N,)."""
        names = {Symbol(name): Element(name) for name in (self.variable, *self.names)}
        values = {Element(name): np.asarray(value) for name, value in {**parameter_values, self.variable: x}.items()}
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(interpret(expression.xreplace(names), values, False), float), x.shape)

    def _parameters(self) -> Iterator[tuple[str, CurveParameter]]:
        for term in self.terms:
            yield from _named(term)

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))

    def __repr__(self) -> str:
        return f"<curve {self}: {self.expression}>"


def _typical(parameter: CurveParameter) -> float:
    """Return a value within the bounds of a parameter: 1, or the middle of two bounds."""
    return (
        (parameter.low + parameter.high) / 2
        if math.isfinite(parameter.low + parameter.high)
        else max(1.0, parameter.low)
    )


def _named(term: Term) -> Iterator[tuple[str, CurveParameter]]:
    """Yield the parameters of a term with their full names."""
    yield from zip(term.names, term.record.parameters, strict=True)
