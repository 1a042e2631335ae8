"""The path of differential equations whose steps are chosen by an estimate of their error, as steps of a program.

What the rates read of each sample lies in two rows: in ``given`` what derivatives are taken by, parameters and initial
values that depend on them; in ``fixed`` the rest; in ``course`` what columns have at each time. One step of the program
is the path, ``path[n, k, s]``; each state is one of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sympy import Add, Expr, S, Symbol

from nncodegen.ir import SAMPLE, Element, Equation
from nncodegen.ir.graphs import symbols_of
from nncodegen.ir.names import take
from nncodegen.ir.systems import INTEGRATE, SWEPT, Control, Formulas, Named, System, path
from nncodegen.motion.networks import Networks
from nncodegen.motion.steps import COURSE, FIXED, GIVEN, OBSERVATION, STATE, Writer
from nncodegen.passes.linearize import linearized


@dataclass(frozen=True)
class Problem:
    """Differential equations of first order: the rate, the start and the name of each state.

    Rates may call networks.
    ``course`` has the values at each time of symbols of rates and jumps that are constant in the interval that leads
    there. ``jumps`` are what some of the states become at each time.
    """

    name: str
    control: Control
    time: Symbol
    rates: Mapping[Symbol, Expr]
    starts: Mapping[Symbol, Expr]
    names: Mapping[Symbol, str]
    parameters: tuple[Symbol, ...]
    inputs: tuple[Symbol, ...]
    networks: Networks
    course: Mapping[Symbol, Expr] = field(default_factory=dict)
    jumps: Mapping[Symbol, Expr] = field(default_factory=dict)


def path_of(
    problem: Problem, writer: Writer, time: Element, at: Mapping[Expr, Expr], outputs: Mapping[Symbol, str]
) -> tuple[dict[Symbol, Element], list[tuple[str, int]]]:
    """Write the path of a problem, and return its states at the times of observation, and the sizes of its indices.

    ``at`` has what symbols are in the program, ``outputs`` the names of states that have one already.
    """
    read = {*symbols_of(*problem.rates.values(), *problem.jumps.values())}
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
    course = {one: Element(take(one.name, taken)) for one in problem.course}
    known = {**given, **fixed, **states, **course, problem.time: Element(problem.time.name)}
    given = given or {S.Zero: Element(take("none", taken))}
    weights = problem.networks.weights
    steps = problem.networks.written(problem.rates.values(), {*taken, *(one.tensor for one in weights)}, known)
    system = System(
        name=problem.name,
        control=problem.control,
        time=Element(problem.time.name),
        states=tuple(states.values()),
        given=tuple(given.values()),
        fixed=tuple(fixed.values()),
        starts=tuple(starts),
        steps=steps,
        rates=tuple(rate.xreplace(known) for rate in problem.rates.values()),
        block=len(states),
        course=tuple(course.values()),
        jumps=Formulas(tuple(problem.jumps.get(one, one).xreplace(known) for one in problem.rates if problem.jumps)),
        weights=weights,
        sizes=problem.networks.extents,
    )
    if system.implicit:
        system = linearized(system)
    rows = [(GIVEN, "given", given), *([(FIXED, "fixed", fixed)] if fixed else [])]
    elements = [_row(writer, name, (index,), [one.xreplace(at) for one in row]) for index, name, row in rows]
    if course:
        rows.append((COURSE, "course", course))
        elements.append(_row(writer, "course", (OBSERVATION, COURSE), [*problem.course.values()]))
    whole = Element(writer.name("path"), (SAMPLE, OBSERVATION, STATE))
    over = dict.fromkeys([*(index for index, *_ in rows), *(index for one in weights for index in one.indices)])
    writer.put(whole, path(Named(system), time, *elements, *weights), INTEGRATE, tuple(over))
    found = {}
    for number, state in enumerate(states):
        name = outputs.get(state) or writer.name(f"{problem.names[state]}_observed")
        element = Element(name, (SAMPLE, OBSERVATION))
        found[state] = writer.put(element, whole, "sum", (STATE,), (Equation(STATE, (), number),))
    swept = [(SWEPT, len(given) + system.offsets[-1])] if weights else []
    return found, [*((index, len(row)) for index, _, row in rows), (STATE, len(states)), *swept]


def _row(writer: Writer, name: str, indices: tuple[str, ...], values: Sequence[Expr]) -> Element:
    """Write a row of values of each sample, or of each of its times, and return its element."""
    parts = [
        writer.put(Element(writer.name(f"{name}_{number}"), (SAMPLE, *indices)), value, where=(place,))
        for number, value in enumerate(values)
        for place in [Equation(indices[-1], (), number)]
    ]
    return writer.put(Element(writer.name(name), (SAMPLE, *indices)), Add(*parts))
