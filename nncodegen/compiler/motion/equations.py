"""Reads equations of motion, as texts and as expressions of SymPy, into formulas of plain symbols.

A derivative becomes a symbol of its own, u' of u and so on, so that all other formulas are read as those of a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sympy import Basic, Derivative, Eq, Expr, Symbol, sympify
from sympy.core.function import AppliedUndef

from nncodegen.compiler.describe.checks import check_expression
from nncodegen.compiler.describe.grammar import as_expression, names_in, parse, primed
from nncodegen.compiler.describe.hints import PRIME
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.motion.before import before, expanded
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.markup import listed

Given: TypeAlias = Mapping[Any, Any] | Sequence[Any] | str
"""Equations as users give them: a mapping from left to right sides, or texts and objects Eq with both."""

EXAMPLE = 'equations=["u\' = -k*u"]'

FUNCTIONS: dict[str, Callable[..., Any]] = {"before": before}
"""The functions of equations in addition to those of all formulas."""


@dataclass(frozen=True)
class Equation:
    """An equation: the name on its left side, the number of its derivatives, and its right side as it was given."""

    name: str
    order: int
    right: Any

    @property
    def left(self) -> str:
        """Return the left side as people write it."""
        return shown(self.name, self.order)


def shown(name: str, order: int = 0) -> str:
    """Return a derivative of a state as people write it: u''."""
    return name + "'" * order


def symbol(name: str, order: int = 0) -> Symbol:
    """Return the symbol of a derivative of a state."""
    return Symbol(name + PRIME * order)


def read_equations(equations: Given, model: str, time: str = "t") -> tuple[Equation, ...]:
    """Return the equations, one for each state. Raise ModelError for a left side that is none, or is given twice.

    ``time`` is the name of the argument of SymPy's functions.
    """
    if not isinstance(equations, Mapping | Iterable) or not equations:
        raise ModelError(f"{model} needs equations, such as {EXAMPLE}, not {equations!r}")
    by_state: dict[str, Equation] = {}
    for left, right in _sides(equations, model):
        role = f"the left side of an equation of {model}"
        name, order = left_side(left, role)
        check_of_time(left, time, role)
        if name in by_state:
            raise ModelError(
                f"{model} has two equations for {name}: {by_state[name].left} = ..., {shown(name, order)} = ..."
            )
        by_state[name] = Equation(name, order, right)
    return tuple(by_state.values())


def _sides(equations: Given, model: str) -> Iterator[tuple[Any, Any]]:
    """Yield the left and the right side of each equation."""
    if isinstance(equations, Mapping):
        yield from equations.items()
        return
    for equation in re.split(r"[;\n]", equations) if isinstance(equations, str) else equations:
        if isinstance(equation, Eq):
            yield equation.lhs, equation.rhs
        elif isinstance(equation, str):
            if not equation.strip():
                continue
            left, equals, right = equation.partition("=")
            if not equals or right.startswith("="):
                raise ModelError(
                    f'an equation of {model} has one =, as in "u\' = -k*u", but there is: {equation.strip()!r}'
                )
            yield left, right
        else:
            raise ModelError(
                f'an equation of {model} is a text, such as "u\' = -k*u", or an Eq of SymPy, not {equation!r}'
            )


def left_side(left: Any, role: str) -> tuple[str, int]:
    """Return the name of a state and the number of its derivatives. Raise ModelError for anything else."""
    if isinstance(left, str):
        text = primed(left.strip())
        name = text.rstrip(PRIME)
        if name.isidentifier() and PRIME not in name:
            return name, len(text) - len(name)
    elif isinstance(left, Symbol):
        return left_side(left.name, role)
    elif isinstance(left, AppliedUndef):
        return left.func.__name__, 0
    elif isinstance(left, Derivative) and isinstance(left.expr, AppliedUndef) and len(left.variable_count) == 1:
        return left.expr.func.__name__, int(left.variable_count[0][1])
    raise ModelError(f"{role} is a state or its derivative in time, such as u, u' or u'', not {str(left).strip()!r}")


def check_of_time(node: Any, time: str, role: str) -> None:
    """Raise ModelError where a function of SymPy, or what is derived in a derivative, is not of the time alone."""
    if isinstance(node, Derivative):
        check_of_time(node.expr, time, role)
        (derived, _), *_ = node.variable_count
        if getattr(derived, "name", None) != time:
            raise ModelError(f"{role} has {node}: derivatives are those in time, {time}{_another(derived)}")
    elif isinstance(node, AppliedUndef) and [getattr(arg, "name", None) for arg in node.args] != [time]:
        function = node.func.__name__
        if len(node.args) > 1:
            raise ModelError(f"{role} has {node}: states are functions of the time alone, {function}({time})")
        if isinstance(node.args[0], Symbol):
            raise ModelError(f"{role} has {node}: the time is {time}{_another(node.args[0])}")
        raise ModelError(
            f"{role} has {node}: rates are of states at the same time, {function}({time}); equations with delays "
            f"cannot be written, and before({function}) is for equations from time to time"
        )


def _another(other: Any) -> str:
    """Return the words that name another symbol as the time."""
    return f'; if {other} is the time, say so: time="{other}"' if isinstance(other, Symbol) else ""


class Reader:
    """Reads formulas of names that are known: ``symbols`` in all formulas, ``varying`` of them in time.

    ``calls`` are further functions by name, which stay in formulas as calls of functions of SymPy without a meaning.
    Functions of ``time`` in SymPy's formulas are symbols here, and so are their derivatives.
    """

    def __init__(
        self,
        symbols: Sequence[Symbol],
        varying: Sequence[Symbol],
        calls: Mapping[str, Callable[..., Expr]] | None,
        time: str,
    ) -> None:
        self.symbols, self.varying, self._calls, self._time = tuple(symbols), tuple(varying), calls or {}, time
        self._names = {symbol.name: symbol for symbol in self.symbols}
        self.named: dict[str, set[str]] = {}
        """The names in the formulas that were read, by role: those of a text also where they cancel."""

    def read(self, formula: Any, role: str, among: Sequence[Symbol] | None = None) -> Expr:
        """Return a formula of the symbols, or of those ``among`` them, in which ``before`` is of symbols alone.

        Raise ModelError, which names ``role``, for one that cannot be read, or that has an unknown name.
        """
        try:
            return self._checked(formula, role, among)
        except ModelError as error:
            raise ModelError(str(error).replace(PRIME, "'")) from error

    def _checked(self, formula: Any, role: str, among: Sequence[Symbol] | None) -> Expr:
        """Return a formula; errors have u' as the parser sees it."""
        known = self._names if among is None else {symbol.name: symbol for symbol in among}
        if isinstance(formula, str):
            value: Any = parse(primed(formula), known, role, {**FUNCTIONS, **self._calls})
        else:
            value = as_expression(formula, known, role)
        if isinstance(value, Expr):
            value = self._plain(value, role)
            self._check_before(value, role)
            value = expanded(value, self.varying)
        called = value.atoms(AppliedUndef) if isinstance(value, Expr) else set()
        for call in called:
            for argument in call.args:
                self._without(argument, known, role)
        checked = self._without(value, known, role)
        named = self.named.setdefault(role, set())
        named.update(symbol.name for symbol in symbols_of(checked))
        if isinstance(formula, str):
            named.update(names_in(primed(formula), role, known))
        return checked

    def _without(self, value: Any, known: Mapping[str, Symbol], role: str) -> Expr:
        """Return an expression that is checked with symbols in place of earlier values and calls."""
        opaque = value.atoms(before, AppliedUndef) if isinstance(value, Expr) else set()
        lagged = {node: Symbol(str(node)) for node in opaque}
        checked = value.xreplace(lagged) if lagged else value
        checked = check_expression(checked, [*known.values(), *lagged.values()], role)
        return checked.xreplace({new: old for old, new in lagged.items()})

    def _plain(self, value: Expr, role: str) -> Expr:
        """Return an expression of SymPy with plain symbols in place of functions of time and their derivatives."""
        changed: dict[Basic, Basic] = {}
        for node in sorted(value.atoms(Derivative), key=str):
            changed[node] = symbol(*left_side(node, f"a derivative in {role}"))
            check_of_time(node, self._time, role)
        for node in sorted(value.atoms(AppliedUndef), key=str):
            name = node.func.__name__
            if name not in self._calls:
                changed[node] = symbol(name)
                if name in self._names:
                    check_of_time(node, self._time, role)
        changed |= {symbol: self._names[symbol.name] for symbol in symbols_of(value) if symbol.name in self._names}
        plain = value.xreplace(changed)
        return sympify(plain)

    def _check_before(self, value: Expr, role: str) -> None:
        """Raise ModelError where ``before`` is of something that does not vary in time."""
        for node in value.atoms(before):
            node.lag  # noqa: B018 (this raises an error for a wrong lag)
            if not {*symbols_of(node.args[0])} & {*self.varying}:
                there = listed([symbol.name for symbol in self.varying if PRIME not in symbol.name])
                raise ModelError(f"{role} has {node}, but {node.args[0]} does not vary in time; what does: {there}")
