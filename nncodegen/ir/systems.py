"""Systems of differential equations, each of which one step of a program solves.

Such a step has a *path*: the states at all times of a sample, ``path[n, k, s] = integrate(g) path(lotka, t[n, k],
given[n, g])``. Its operands are the times, the numbers that its derivatives are taken by (``given``: parameters and
initial values), and those that have no derivatives (``fixed``). The steps in time are chosen by an estimate of their
error, at run time, so that they are no steps of the program: the system has the rates of its states as formulas of
scalars, and ``integrate`` says what is done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sympy import Expr, Function, Symbol

from nncodegen.ir.element import Element
from nncodegen.ir.step import Step

INTEGRATE = "integrate"
"""The operator of a step that solves differential equations."""

Row: TypeAlias = tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """An explicit Runge-Kutta method with an estimate of its error, whose last stage is the first of the next step.

    times        the time of each stage in a step, as a part of its length
    rows         for each stage, the coefficients of the rates of those before; the last row has the weights of a step
    errors       the weights of the estimated error
    interpolant  for each stage, the coefficients of x, x**2, ... of its weight at the part x of a step
    exponent     the power of the length of a step with which its error grows
    """

    name: str
    times: Row
    rows: tuple[Row, ...]
    errors: Row
    interpolant: tuple[Row, ...]
    exponent: int


@dataclass(frozen=True)
class Control:
    """The choice of steps: the tolerances, the largest number of steps, and the time of the initial values, if known.

    ``start`` is None where it is the first time of a sample.
    """

    table: Table
    rtol: float
    atol: float
    most: int
    start: float | None = None

    def __str__(self) -> str:
        start = "" if self.start is None else f" from the time {self.start!r}"
        return f"{self.table.name}{start}, rtol={self.rtol!r}, atol={self.atol!r}, at most {self.most:,} steps"


@dataclass(frozen=True)
class System:
    """Equations du/dt = f(t, u, given, fixed), with all names scalars.

    ``starts`` are the initial values: elements of given and fixed, or numbers. ``steps`` compute what ``rates`` read in
    addition. The path has the states from number ``first`` on. The error is measured in blocks of ``block`` states.
    """

    name: str
    control: Control
    time: Element
    states: tuple[Element, ...]
    given: tuple[Element, ...]
    fixed: tuple[Element, ...]
    starts: tuple[Expr, ...]
    steps: tuple[Step, ...]
    rates: tuple[Expr, ...]
    first: int = 0
    block: int = 0

    @property
    def taken(self) -> tuple[str, ...]:
        """Return the names that its steps must not have."""
        return tuple(one.tensor for one in (self.time, *self.states, *self.given, *self.fixed))

    @property
    def formulas(self) -> tuple[Expr, ...]:
        """Return all formulas of its rates."""
        return (*(step.expression for step in self.steps), *self.rates)

    def mapped(self, change: Callable[[Expr], Expr]) -> System:
        """Return the system with a function applied to each formula of its rates."""
        steps = tuple(replace(step, expression=change(step.expression)) for step in self.steps)
        return replace(self, steps=steps, rates=tuple(map(change, self.rates)))

    def show(self) -> str:
        """Return the system as text."""
        returned = self.states[self.first :]
        lines = [f"equations   {self.name}, by {self.control}"]
        lines += [f"{role:<12}{'  '.join(map(str, names))}" for role, names in self._roles if names]
        lines += [f"{'path':<12}{'  '.join(map(str, returned))}", "", *map(str, self.steps)]
        lines += [f"{one}' = {rate}" for one, rate in zip(self.states, self.rates, strict=True)]
        starts = (f"{one} = {start}" for one, start in zip(self.states, self.starts, strict=True))
        return "\n".join([*lines, f"{'start':<12}{'  '.join(starts)}"]) + "\n"

    @property
    def _roles(self) -> tuple[tuple[str, tuple[Element, ...]], ...]:
        return ("time", (self.time,)), ("given", self.given), ("fixed", self.fixed)


class Named(Symbol):
    """A system as a part of an expression, where it is printed by its name."""

    __slots__ = ("system",)

    system: System

    def __new__(cls, system: System) -> Named:
        """Return the symbol of a system."""
        symbol: Named = Symbol.__xnew__(Named, system.name, real=True)
        symbol.system = system
        return symbol

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.system,)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.system,), {}


class path(Function):  # noqa: N801 (written in formulas, like tanh)
    """The states of a system at a time: ``path(system, time, given, fixed)``, without fixed where there is none."""

    nargs = (3, 4)

    def _eval_is_extended_real(self) -> bool:
        return True

    @property
    def system(self) -> System:
        """Return the system."""
        named: Named = self.args[0]
        return named.system

    def of(self, system: System) -> path:
        """Return the path of another system with the same operands."""
        return path(Named(system), *self.args[1:])


def formulas_of(step: Step) -> tuple[Expr, ...]:
    """Return the formulas that a step computes: those of the rates, if it solves differential equations."""
    return step.expression.system.formulas if step.operator == INTEGRATE else (step.expression,)


def systems_of(steps: Iterable[Step]) -> tuple[System, ...]:
    """Return the systems that steps solve, each once."""
    return tuple(dict.fromkeys(step.expression.system for step in steps if step.operator == INTEGRATE))
