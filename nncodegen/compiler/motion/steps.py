"""Steps in index notation that carry equations of motion out: one time after the other, a recurrence.

``k`` is the index of the times of observation, ``m`` that of the steps of a method: there are several of them between
two observations. ``u_begin`` and ``u_end`` are a state before and after a step.

The number of these steps is that of a loop, so their lengths cannot depend on the states. Steps that an estimate of the
error chooses are not steps of the program: there, one step is the path of all states (see ``adaptive``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sympy import Add, Expr, Float, Piecewise, S, Symbol

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.motion.method import RungeKutta

OBSERVATION, STEP = "k", "m"
"""The indices of the times of observation, and of the steps of a method."""

GIVEN, FIXED, COURSE, STATE = ROWS = ("g", "f", "c", "s")
"""The indices of what is given and fixed in a sample whose steps are chosen, and of its states."""


class Writer:
    """A growing list of steps, with names that nothing else has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.steps: list[Step] = []
        self._taken = set(taken)

    def name(self, wish: str) -> str:
        """Return an unused name, which is taken from now on."""
        return take(wish, self._taken)

    def define(
        self,
        name: str,
        index: str,
        value: Expr,
        operator: str | None = None,
        over: tuple[str, ...] = (),
        where: tuple[Equation, ...] = (),
    ) -> Element:
        """Define a tensor of the samples and one index by a step, and return its element."""
        return self.put(Element(self.name(name), (SAMPLE, index)), value, operator, over, where)

    def put(
        self,
        element: Element,
        value: Expr,
        operator: str | None = None,
        over: tuple[str, ...] = (),
        where: tuple[Equation, ...] = (),
    ) -> Element:
        """Define an element whose name is taken already, and return it."""
        self.steps.append(Step(element, value, operator, over, where))
        return element

    def earlier(self, name: str, element: Element, first: Expr) -> Element:
        """Return the value of an element at the place before; at the first place it is ``first``."""
        index = element.indices[1]
        read = self.define(f"{name}_before", index, element, "before", (index,))
        start = self.define(f"{name}_start", index, first, None, (), (Equation(index, (), 0),))
        return self.define(f"{name}_begin", index, read + start)


class Grid:
    """The steps between the times of observation: their lengths, and values at times of observation in their places.

    ``count`` steps lie between two times. The first time is that of the initial values, and no step leads to it; or,
    with a ``start``, as many steps lead from this time to the first observation.
    """

    def __init__(self, writer: Writer, times: int, count: int, time: Element, start: float | None) -> None:
        self.writer, self.count = writer, count
        self._first = 0 if start is not None else 1 - count
        self.size = times * count + self._first
        self._last = (Equation(STEP, ((OBSERVATION, count),), self._first + count - 1),)
        self.index = OBSERVATION if count == 1 else STEP
        origin = time if start is None else Float(start)  # the time of the initial values
        self.begin = writer.earlier(time.tensor, time, origin)
        length = self.part("length", writer.define("interval", OBSERVATION, time - self.begin))
        if count > 1:
            begins = (Equation(STEP, ((OBSERVATION, count),), self._first),)
            self._begins = writer.put(Element(writer.name("begins"), (STEP,)), S.One, "sum", (OBSERVATION,), begins)
            self._where = begins
        self.length = self.held("step_length", length)
        self.time = time

    def part(self, name: str, difference: Element) -> Element:
        """Return the part of a difference between two observations that belongs to one step."""
        return difference if self.count == 1 else self.writer.define(name, OBSERVATION, difference / self.count)

    def held(self, name: str, value: Element, change: Expr = S.Zero) -> Element:
        """Return a value of each observation in all steps that lead to it; ``change`` is added from step to step."""
        if self.count == 1:
            return value
        writer = self.writer
        placed = writer.define(f"{name}_placed", STEP, value, "sum", (OBSERVATION,), self._where)
        result = Element(writer.name(name), (SAMPLE, STEP))
        last = writer.define(f"{name}_before", STEP, result, "before", (STEP,))
        return writer.put(result, Piecewise((placed, self._begins > 0), (last + change, True)))

    def observed(self, name: str, state: Element) -> Element:
        """Return a state after the last step to each time of observation; the name is taken already."""
        if self.count == 1:
            return state
        return self.writer.put(Element(name, (SAMPLE, OBSERVATION)), state, "sum", (STEP,), self._last)

    def landed(self, name: str, value: Element) -> Element:
        """Return a value of each observation in the last step that leads to it, and 0 in all others."""
        if self.count == 1:
            return value
        return self.writer.define(f"{name}_landed", STEP, value, "sum", (OBSERVATION,), self._last)

    def jumped(
        self, ends: Mapping[Symbol, Element], lasts: Mapping[Symbol, Element], jumps: Mapping[Symbol, Expr]
    ) -> None:
        """Write what states are where the next step begins: after the last step to each time, a formula.

        ``jumps`` are formulas of what is known in the last step to a time.
        """
        writer = self.writer
        lands: Element | None = None
        if self.count > 1:
            lands = Element(writer.name("lands"), (STEP,))
            writer.put(lands, S.One, "sum", (OBSERVATION,), self._last)
        for state, formula in jumps.items():
            value = formula.xreplace({**ends})
            writer.put(lasts[state], value if lands is None else Piecewise((value, lands > 0), (ends[state], True)))


def solved(
    grid: Grid,
    method: RungeKutta,
    rates: Mapping[Symbol, Expr],
    starts: Mapping[Symbol, Expr],
    names: Mapping[Symbol, str],
    known: Mapping[Symbol, Sequence[Expr]],
    call: Callable[[dict[Expr, Expr], str], None],
    jumps: Mapping[Symbol, Expr],
) -> dict[Symbol, Element]:
    """Write the steps of a method, and return each state after each step.

    ``rates`` are the derivatives of the states in time, ``starts`` their initial values, ``names`` their names in
    steps. ``known`` has what other symbols are at each stage of a step; ``call`` writes what the rates call, given all
    symbols at a stage, which has a number, and adds the values. ``jumps`` are what states become after the last step to
    each time of observation, formulas of the states and of what is known there.
    """
    writer, index, h = grid.writer, grid.index, grid.length
    ends = {state: Element(writer.name(f"{names[state]}_end"), (SAMPLE, index)) for state in rates}
    lasts = {**ends, **{state: Element(writer.name(f"{names[state]}_jumped"), (SAMPLE, index)) for state in jumps}}
    begins = {state: writer.earlier(names[state], lasts[state], starts[state]) for state in rates}
    stage_rates: list[dict[Symbol, Element]] = []
    for stage, row in enumerate(method.rows):
        at: dict[Expr, Expr] = {symbol: values[stage] for symbol, values in known.items()}
        for state in rates:
            moved = Add(*(a * rate[state] for a, rate in zip(row, stage_rates, strict=True)))
            value = begins[state] + h * moved
            at[state] = begins[state] if moved == 0 else writer.define(f"{names[state]}_{stage + 1}", index, value)
        call(at, str(stage + 1))
        stage_rates.append(
            {
                state: writer.define(f"rate_{names[state]}_{stage + 1}", index, rate.xreplace(at))
                for state, rate in rates.items()
            }
        )
    for state, end in ends.items():
        moved = Add(*(b * rate[state] for b, rate in zip(method.last, stage_rates, strict=True)))
        writer.put(end, begins[state] + h * moved)
    if jumps:
        grid.jumped(ends, lasts, jumps)
    return ends
