"""Systems of differential equations, each of which one step of a program solves.

Such a step has a *path*: the states at all times of a sample, ``path[n, k, s] = integrate(g) path(lotka, t[n, k],
given[n, g])``. Its operands are the times, the numbers that its derivatives are taken by (``given``: parameters and
initial values), and those that have no derivatives: of each sample (``fixed``), and of each of its times (``course``:
those of the interval that leads to this time, and of what happens there). The steps in time are chosen by an estimate
of their error, at run time, so that they are no steps of the program: the system has the rates of its states as
formulas of scalars, and ``integrate`` says what is done with them.

Where networks are in the rates, the system has their layers as steps under indices of units, and the path has their
weights as further operands, which are the same for all samples. Its derivatives are another such step, ``swept[n, w] =
integrate(...) swept(pendulum, t[n, k], given[n, g], W1[j, i], ..., path[n, k, s], d_path[n, k, s])``: those of the sum
of all ``d_path`` times ``path``, by all of ``given`` and then by all weights, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Any, TypeAlias

from sympy import Expr, Function, Symbol

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.graphs import graph_of, with_names
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.step import Step

INTEGRATE = "integrate"
"""The operator of a step that solves differential equations."""

SWEPT = "w"
"""The index of what derivatives are taken by in the reverse of a path: all of given, then the values of all weights."""

DIRECTED = "d"
"""The index of what is fixed, and then of a direction of what is given, in second derivatives of a path."""

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

    @property
    def chosen(self) -> str:
        """Return the name by which a user chooses it."""
        return self.name


@dataclass(frozen=True)
class LinearlyImplicit(Table):
    """A Rosenbrock method with an estimate of its error: each stage solves linear equations with one matrix.

    With the Jacobian J = df/du at the begin of a step of length h, the stages U_i are those of

        (1/(gamma*h) - J)*U_i = f(t + times_i*h, u + rows_i1*U_1 + ...) + (couplings_i1*U_1 + ...)/h + drifts_i*h*df/dt

    and a step leads to u + weights_1*U_1 + ...; its error, and its interpolant, are sums of stages without h. With a
    method ``explicit``, steps are its own where no eigenvalue of J is large: where h times sqrt(|J*J|) is at most
    REACH, with the smaller of the largest sums of absolute values in a row and in a column. Both together have the name
    ``together``.
    """

    gamma: float
    couplings: tuple[Row, ...]
    drifts: Row
    weights: Row
    explicit: Table | None = None
    together: str = ""

    @property
    def chosen(self) -> str:
        """Return the name by which a user chooses it."""
        return self.together or self.name


REACH = 2.0
"""The largest product of the length of an explicit step and a bound of eigenvalues, up to which steps are stable."""


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
        explicit = self.table.explicit if isinstance(self.table, LinearlyImplicit) else None
        name = f"{explicit.name} or {self.table.name}" if explicit else self.table.name
        return f"{name}{start}, rtol={self.rtol!r}, atol={self.atol!r}, at most {self.most:,} steps"


@dataclass(frozen=True)
class Formulas:
    """Formulas of scalars, and the steps that compute what they share."""

    values: tuple[Expr, ...]
    steps: tuple[Step, ...] = ()

    @property
    def all(self) -> tuple[Expr, ...]:
        """Return the formulas, those of the steps first."""
        return (*(step.expression for step in self.steps), *self.values)


@dataclass(frozen=True)
class Linear:
    """The derivatives of rates that implicit methods read.

    slopes     those of the rates of the first block of states by these states, row by row; then those of all rates by
               the time, unless no rate reads it
    direction  the names of a change of the first block of states
    bend       the change of the rates of all other blocks with it, row by row
    """

    slopes: Formulas
    direction: tuple[Element, ...] = ()
    bend: Formulas = Formulas(())


@dataclass(frozen=True)
class Transposed:
    """The derivatives of the sum of all rates, each times its factor: by the states, by given, and by the weights.

    Those by the weights have the indices of these. ``jumps`` are the derivatives of the sum of what states become at a
    time, each times its factor: by the states just before, and by given.
    """

    factors: tuple[Element, ...]
    sums: Formulas
    jumps: Formulas = Formulas(())

    @property
    def all(self) -> tuple[Expr, ...]:
        """Return all formulas."""
        return (*self.sums.all, *self.jumps.all)


@dataclass(frozen=True)
class System:
    """Equations du/dt = f(t, u, given, fixed, weights), with all names but those of weights scalars.

    ``starts`` are the initial values: elements of given and fixed, or numbers. ``motion`` has the rates of the states,
    and the steps that compute what these read in addition. The path has the states from number ``first`` on. The error
    is measured in blocks of ``block`` states; in all blocks, the derivative of a rate by the states of its own block is
    that of the first one. ``linear`` has what an implicit method reads in addition. ``sizes`` are those of the indices
    of ``weights`` and of steps that compute layers with them; ``transposed`` has what the reverse of the steps in time
    reads.
    """

    name: str
    control: Control
    time: Element
    states: tuple[Element, ...]
    given: tuple[Element, ...]
    fixed: tuple[Element, ...]
    starts: tuple[Expr, ...]
    motion: Formulas
    first: int = 0
    block: int = 0
    linear: Linear | None = None
    course: tuple[Element, ...] = ()
    jumps: Formulas = Formulas(())
    weights: tuple[Element, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    transposed: Transposed | None = None

    @property
    def rates(self) -> tuple[Expr, ...]:
        """Return the rate of each state."""
        return self.motion.values

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps that compute what the rates read in addition."""
        return self.motion.steps

    @property
    def stops(self) -> bool:
        """Return whether a step ends at each time, as rates or states may jump there."""
        return bool(self.course or self.jumps.values)

    @property
    def steered(self) -> bool:
        """Return whether rates read numbers that change with each time."""
        return any(formula.has(*self.course) for formula in self.formulas) if self.course else False

    @property
    def offsets(self) -> tuple[int, ...]:
        """Return the number of the first value of each of the weights, and after them the number of all values."""
        sizes = dict(self.sizes)
        return (0, *accumulate(prod(sizes[index] for index in weight.indices) for weight in self.weights))

    @property
    def implicit(self) -> bool:
        """Return whether its method reads derivatives of the rates."""
        return isinstance(self.control.table, LinearlyImplicit)

    @property
    def driven(self) -> bool:
        """Return whether the derivatives that an implicit method reads have those by the time."""
        return self.linear is not None and len(self.linear.slopes.values) > self.block**2

    @property
    def taken(self) -> tuple[str, ...]:
        """Return the names that its steps must not have."""
        direction = self.linear.direction if self.linear else ()
        factors = self.transposed.factors if self.transposed else ()
        rows = (*self.given, *self.fixed, *self.course, *self.weights)
        return tuple(element.tensor for element in (self.time, *self.states, *rows, *direction, *factors))

    @property
    def formulas(self) -> tuple[Expr, ...]:
        """Return all formulas of its rates."""
        return self.motion.all

    def mapped(self, change: Callable[[Expr], Expr]) -> System:
        """Return the system with a function applied to each formula of its rates and jumps."""
        steps = tuple(replace(step, expression=change(step.expression)) for step in self.steps)
        jumps = replace(self.jumps, values=tuple(map(change, self.jumps.values)))
        return replace(self, motion=Formulas(tuple(map(change, self.rates)), steps), jumps=jumps)

    def show(self) -> str:
        """Return the system as text."""
        formulas = (*self.rates, *(self.linear.slopes.values + self.linear.bend.values if self.linear else ()))
        shown = self._named(formulas) if graph_of(formulas).is_large else self
        return "\n".join(shown._lines) + "\n"

    @property
    def _lines(self) -> list[str]:
        """Return the lines of its text."""
        returned = self.states[self.first :]
        lines = [f"equations   {self.name}, by {self.control}"]
        lines += [f"{role:<12}{'  '.join(map(str, names))}" for role, names in self._roles if names]
        lines += [f"{'path':<12}{'  '.join(map(str, returned))}", "", *map(str, self.steps)]
        lines += [f"{state}' = {rate}" for state, rate in zip(self.states, self.rates, strict=True)]
        lines += self._shown_linear()
        jumps = zip(self.states, self.jumps.values, strict=False)
        lines += [
            *map(str, self.jumps.steps),
            *(f"{state} becomes {value}" for state, value in jumps if state != value),
        ]
        lines += self._shown_transposed()
        starts = (f"{state} = {start}" for state, start in zip(self.states, self.starts, strict=True))
        return [*lines, f"{'start':<12}{'  '.join(starts)}"]

    def _named(self, formulas: Sequence[Expr]) -> System:
        """Return the system with steps for the parts that its rates and their derivatives share, to be shown only."""
        taken = {*self.taken, *(step.target.tensor for step in self.steps)}
        named, written = with_names(formulas, lambda number: Element(take(f"part{number}", taken)))
        steps = (Step(element, value) for element, value in named.items())
        count, linear = len(self.rates), self.linear
        if linear:
            end = count + len(linear.slopes.values)
            slopes, bend = replace(linear.slopes, values=written[count:end]), replace(linear.bend, values=written[end:])
            linear = replace(linear, slopes=slopes, bend=bend)
        return replace(self, motion=Formulas(written[:count], (*self.steps, *steps)), linear=linear)

    def _shown_linear(self) -> list[str]:
        """Return lines with the derivatives of rates that are not zero."""
        if not self.linear:
            return []
        block_states, slopes = self.states[: self.block], self.linear.slopes
        places = [f"d({state}')/d({other})" for state in block_states for other in block_states]
        places += [f"d({state}')/d({self.time})" for state in self.states] if self.driven else []
        shown = [(f"{place} = {value}") for place, value in zip(places, slopes.values, strict=True) if value != 0]
        bends = zip(self.states[self.block :], self.linear.bend.values, strict=False)
        return [
            *map(str, slopes.steps),
            *shown,
            *map(str, self.linear.bend.steps),
            *(f"change of {state}' = {value}" for state, value in bends if value != 0),
        ]

    def _shown_transposed(self) -> list[str]:
        """Return lines with the derivatives of the weighted sum of rates."""
        transposed = self.transposed
        if not transposed:
            return []
        by = (*self.states, *self.given, *self.weights)
        slopes = (f"by {element}: {value}" for element, value in zip(by, transposed.sums.values, strict=True))
        jumps = (f"jump, by {element}: {value}" for element, value in zip(by, transposed.jumps.values, strict=False))
        factors = "  ".join(map(str, transposed.factors))
        return [
            "",
            f"{'factors':<12}{factors}",
            *map(str, transposed.sums.steps),
            *slopes,
            *map(str, transposed.jumps.steps),
            *jumps,
        ]

    @property
    def _roles(self) -> tuple[tuple[str, tuple[Element, ...]], ...]:
        rows = ("given", self.given), ("fixed", self.fixed), ("course", self.course), ("weights", self.weights)
        return ("time", (self.time,)), *rows


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
    """The states of a system at a time: ``path(system, time, given, fixed, course, ...)``, with its weights at the end.

    Rows that the system does not have are left out.
    """

    def _eval_is_extended_real(self) -> bool:
        return True

    @property
    def system(self) -> System:
        """Return the system."""
        named: Named = self.args[0]
        return named.system

    @property
    def time(self) -> Element:
        """Return the times."""
        time: Element = self.args[1]
        return time

    @property
    def rows(self) -> tuple[Element, ...]:
        """Return the rows of each sample: what is given, and what is fixed, if anything is."""
        rows: tuple[Element, ...] = self.args[2 : 4 if self.system.fixed else 3]
        return rows

    @property
    def course(self) -> Element | None:
        """Return the rows of each time of a sample."""
        row: Element | None = self.args[2 + len(self.rows)] if self.system.course else None
        return row

    @property
    def weights(self) -> tuple[Element, ...]:
        """Return the weights, which all samples share."""
        first = 2 + len(self.rows) + bool(self.system.course)
        weights: tuple[Element, ...] = self.args[first : first + len(self.system.weights)]
        return weights

    def of(self, system: System) -> path:
        """Return the path of another system, with the same operands."""
        other: path = self.func(Named(system), *self.args[1:])
        return other


class swept(path):  # noqa: N801 (written in formulas, like tanh)
    """The derivatives of a sum of states at all times: ``swept(system, time, given, fixed, ..., path, adjoint)``.

    The path, whose steps it goes back through, and the factor of each state at each time come after the operands of the
    path. The derivatives by all of given come first, then those by the values of all weights.
    """

    @property
    def states(self) -> Element:
        """Return the path."""
        states: Element = self.args[-2]
        return states

    @property
    def adjoint(self) -> Element:
        """Return the factors of the states."""
        adjoint: Element = self.args[-1]
        return adjoint


def formulas_of(step: Step) -> tuple[Expr, ...]:
    """Return the formulas that a step computes: if it solves differential equations, of rates and their derivatives."""
    if step.operator != INTEGRATE:
        return (step.expression,)
    system: System = step.expression.system
    linear, transposed = system.linear, system.transposed
    return (
        *system.formulas,
        *(linear.slopes.all + linear.bend.all if linear else ()),
        *system.jumps.all,
        *(transposed.all if transposed else ()),
    )


def systems_of(steps: Iterable[Step]) -> tuple[System, ...]:
    """Return the systems that steps solve, each once."""
    return tuple(dict.fromkeys(step.expression.system for step in steps if step.operator == INTEGRATE))
