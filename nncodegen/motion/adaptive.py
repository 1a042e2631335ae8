"""The path of differential equations whose steps are chosen by an estimate of their error, as steps of a program.

What the rates read of each sample lies in two rows: in ``given`` what derivatives are taken by, parameters and initial
values that depend on them; in ``fixed`` the rest. One step of the program is the path, ``path[n, k, s]``; each state is
one of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sympy import Add, Expr, S, Symbol

from nncodegen.ir import SAMPLE, Element, Equation
from nncodegen.ir.graphs import symbols_of
from nncodegen.ir.names import take
from nncodegen.ir.systems import INTEGRATE, Control, Named, System, path
from nncodegen.motion.steps import OBSERVATION, Writer
from nncodegen.passes.linearize import linearized

GIVEN, FIXED, STATE = "g", "f", "s"
"""The indices of what is given and fixed in a sample, and of the states."""


@dataclass(frozen=True)
class Problem:
    """Differential equations of first order: the rate, the start and the name of each state."""

    name: str
    control: Control
    time: Symbol
    rates: Mapping[Symbol, Expr]
    starts: Mapping[Symbol, Expr]
    names: Mapping[Symbol, str]
    parameters: tuple[Symbol, ...]
    inputs: tuple[Symbol, ...]


def path_of(
    problem: Problem, writer: Writer, time: Element, at: Mapping[Expr, Expr], outputs: Mapping[Symbol, str]
) -> tuple[dict[Symbol, Element], list[tuple[str, int]]]:
    """Write the path of a problem, and return its states at the times of observation, and the sizes of its indices.

    ``at`` has what symbols are in the program, ``outputs`` the names of states that have one already.
    """
    read = {*symbols_of(*problem.rates.values())}
    given: dict[Expr, Element] = {one: Element(one.name) for one in problem.parameters if one in read}
    fixed: dict[Expr, Element] = {one: Element(one.name) for one in problem.inputs if one in read}
    taken = {problem.time.name, *problem.names.values(), *(one.name for one in (*given, *fixed))}
    starts: list[Expr] = []
    for state, start in problem.starts.items():
        if symbols_of(start):
            row = given if {*symbols_of(start)} & {*problem.parameters} else fixed
            if start not in row:
                name = start.name if isinstance(start, Symbol) else f"{problem.names[state]}_start"
                row[start] = Element(take(name, taken))
            start = row[start]
        starts.append(start)
    states = {one: Element(name) for one, name in problem.names.items()}
    known = {**given, **fixed, **states, problem.time: Element(problem.time.name)}
    given = given or {S.Zero: Element(take("none", taken))}
    system = System(
        name=problem.name,
        control=problem.control,
        time=Element(problem.time.name),
        states=tuple(states.values()),
        given=tuple(given.values()),
        fixed=tuple(fixed.values()),
        starts=tuple(starts),
        steps=(),
        rates=tuple(rate.xreplace(known) for rate in problem.rates.values()),
        block=len(states),
    )
    if system.implicit:
        system = linearized(system)
    rows = [(GIVEN, "given", given), *([(FIXED, "fixed", fixed)] if fixed else [])]
    elements = [_row(writer, name, index, [one.xreplace(at) for one in row]) for index, name, row in rows]
    whole = Element(writer.name("path"), (SAMPLE, OBSERVATION, STATE))
    writer.put(whole, path(Named(system), time, *elements), INTEGRATE, tuple(index for index, *_ in rows))
    found = {}
    for number, state in enumerate(states):
        name = outputs.get(state) or writer.name(f"{problem.names[state]}_observed")
        element = Element(name, (SAMPLE, OBSERVATION))
        found[state] = writer.put(element, whole, "sum", (STATE,), (Equation(STATE, (), number),))
    return found, [*((index, len(row)) for index, _, row in rows), (STATE, len(states))]


def _row(writer: Writer, name: str, index: str, values: Sequence[Expr]) -> Element:
    """Write a row of values of each sample, and return its element."""
    places = ((Equation(index, (), number),) for number in range(len(values)))
    parts = [
        writer.define(f"{name}_{number}", index, value, None, (), place)
        for number, (value, place) in enumerate(zip(values, places, strict=True))
    ]
    return writer.define(name, index, Add(*parts))
