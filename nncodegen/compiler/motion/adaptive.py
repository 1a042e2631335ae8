"""The path of differential equations whose steps are chosen by an estimate of their error, as steps of a program.

What the rates read of each sample lies in two rows: in ``given`` what derivatives are taken by, parameters and initial
values that depend on them; in ``fixed`` the rest; in ``course`` what columns have at each time. One step of the program
is the path, ``path[n, k, s]``; each state is one of its columns.

Where states and their derivatives by all of ``given`` together are very many, derivatives come from the reverse of the
steps, as those by the weights of networks do: then the parameters that rates read are weights of the system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Expr, S, Symbol

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.systems import INTEGRATE, SWEPT, Control, Formulas, LinearlyImplicit, Named, System, path
from nncodegen.compiler.motion.networks import Networks
from nncodegen.compiler.motion.steps import COURSE, FIXED, GIVEN, OBSERVATION, STATE, Writer
from nncodegen.compiler.passes.augment import MOST, parts_of
from nncodegen.compiler.passes.linearize import linearized
from nncodegen.errors import ModelError

MOST_PARTS = 2
"""The most parts in which derivatives of a path are solved for together with its states. The C of a part has a rate for
each state and each of its derivatives: 200 states and 12 parameters in three parts took 25 s to compile, and by the
reverse of the steps 4 s, with a gradient in a quarter of the time. The rows of a fit take a reverse for each value that
is observed: those of 60 states and 20 parameters, at 20 times of 12 outputs, eight times as long as in two parts."""


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
    by_reverse = _is_by_reverse(problem)
    differentiated, fixed, starts, taken = _rows_of(problem, by_reverse)
    states = {state: Element(name) for state, name in problem.names.items()}
    course = {symbol: Element(take(symbol.name, taken)) for symbol in problem.course}
    known = {**differentiated, **fixed, **states, **course, problem.time: Element(problem.time.name)}
    in_rates, weights = known, problem.networks.weights
    if by_reverse:  # they are all parameters, which lie one after the other in memory
        weights = tuple(Element(parameter.name) for parameter in problem.parameters)
        in_rates = known | dict(zip(problem.parameters, weights, strict=True))
    steps, layers = tuple[Step, ...](), dict[str, NDArray[Any]]()
    if weights and isinstance(problem.control.table, LinearlyImplicit):
        layers = _written_out(problem, len(differentiated), taken)
        differentiated |= {weight: weight for values in layers.values() for weight in values.flat}
        problem.networks.as_formulas(problem.rates.values(), taken, known, layers)
        weights = ()
    else:
        steps = problem.networks.written(
            problem.rates.values(), {*taken, *(weight.tensor for weight in weights)}, known
        )
    differentiated = differentiated or {S.Zero: Element(take("none", taken))}
    system = System(
        name=problem.name,
        control=problem.control,
        time=Element(problem.time.name),
        states=tuple(states.values()),
        given=tuple(differentiated.values()),
        fixed=tuple(fixed.values()),
        starts=tuple(starts),
        motion=Formulas(tuple(rate.xreplace(in_rates) for rate in problem.rates.values()), steps),
        block=len(states),
        course=tuple(course.values()),
        jumps=Formulas(
            tuple(problem.jumps.get(state, state).xreplace(known) for state in problem.rates if problem.jumps)
        ),
        weights=weights,
        sizes=problem.networks.extents if weights else (),
    )
    if system.implicit:
        system = linearized(system)
    rows = [(GIVEN, "given", differentiated), *([(FIXED, "fixed", fixed)] if fixed else [])]
    numbers = {GIVEN: len(differentiated) - sum(values.size for values in layers.values())}
    blocks = _blocks(problem.networks, layers, numbers[GIVEN])
    elements = [
        _row(
            writer,
            name,
            (index,),
            [value.xreplace(at) for value in [*row][: numbers.get(index)]],
            blocks if index == GIVEN else (),
        )
        for index, name, row in rows
    ]
    if course:
        rows.append((COURSE, "course", course))
        elements.append(_row(writer, "course", (OBSERVATION, COURSE), [*problem.course.values()]))
    whole = Element(writer.name("path"), (SAMPLE, OBSERVATION, STATE))
    over = dict.fromkeys([*(index for index, *_ in rows), *(index for weight in weights for index in weight.indices)])
    writer.put(whole, path(Named(system), time, *elements, *weights), INTEGRATE, tuple(over))
    observed = {}
    for number, state in enumerate(states):
        name = outputs.get(state) or writer.name(f"{problem.names[state]}_observed")
        element = Element(name, (SAMPLE, OBSERVATION))
        observed[state] = writer.put(element, whole, "sum", (STATE,), (Equation(STATE, (), number),))
    if weights:
        derived = [(SWEPT, len(differentiated) + system.offsets[-1])]
    else:
        derived = [(part, size) for part, _, size in parts_of(len(states), len(differentiated), GIVEN) if part != GIVEN]
    return observed, [*((index, len(row)) for index, _, row in rows), (STATE, len(states)), *derived]


def _rows_of(
    problem: Problem, by_reverse: bool
) -> tuple[dict[Expr, Element], dict[Expr, Element], list[Expr], set[str]]:
    """Return what derivatives are taken by, what is fixed, the initial values by these, and names that are taken.

    Derivatives by parameters in rates are not by values of a row if they come from the reverse of the steps.
    """
    in_jumps = {*symbols_of(*problem.jumps.values())}
    read = {*symbols_of(*problem.rates.values()), *in_jumps}
    named = [parameter for parameter in problem.parameters if by_reverse or parameter in read]
    fixed: dict[Expr, Element] = {symbol: Element(symbol.name) for symbol in problem.inputs if symbol in read}
    taken = {problem.time.name, *problem.names.values(), *(symbol.name for symbol in (*named, *fixed))}
    differentiated: dict[Expr, Element] = (
        {parameter: Element(take(f"{parameter.name}_jump", taken)) for parameter in named if parameter in in_jumps}
        if by_reverse
        else {parameter: Element(parameter.name) for parameter in named}
    )
    starts: list[Expr] = []
    for state, start in problem.starts.items():
        if symbols_of(start):
            row = differentiated if {*symbols_of(start)} & {*problem.parameters} else fixed
            if start not in row:
                name = start.name if isinstance(start, Symbol) else f"{problem.names[state]}_start"
                row[start] = Element(take(name, taken))
            start = row[start]
        starts.append(start)
    return differentiated, fixed, starts, taken


def _is_by_reverse(problem: Problem) -> bool:
    """Return whether derivatives come from the reverse of the steps: see MOST_PARTS. Implicit methods have none."""
    read = {*symbols_of(*problem.rates.values(), *problem.jumps.values(), *problem.starts.values())}
    count, states = len(read & {*problem.parameters}), len(problem.rates)
    if problem.networks.all or isinstance(problem.control.table, LinearlyImplicit) or not count:
        return False
    return 2 * states > MOST or len(parts_of(states, count, GIVEN)) > MOST_PARTS


def _written_out(problem: Problem, others: int, taken: set[str]) -> dict[str, NDArray[Any]]:
    """Return an element for each value of all weights, in their shapes. Raise ModelError for very many."""
    shapes = {parameter.name: tuple(size or 1 for size in parameter.shape) for parameter in problem.networks.parameters}
    count, states = sum(map(prod, shapes.values())), len(problem.rates)
    if states * (1 + others + count) > MOST:
        raise ModelError(
            f"{problem.name} has {states} states, and networks ({', '.join(problem.networks.names)}) with {count:,} "
            f"weights. {problem.control.table.chosen} solves equations for the derivatives of states by weights, "
            f"at most {MOST:,} of them: give the method tsit5, or a number of steps, such as steps=10, or fewer units"
        )
    elements = {}
    for name, shape in shapes.items():
        values = elements[name] = np.empty(shape, dtype=object)
        for place in np.ndindex(shape):
            values[place] = Element(take("_".join(map(str, (name, *place))), taken))
    return elements


def _blocks(networks: Networks, layers: Mapping[str, NDArray[Any]], first: int) -> list[tuple[Element, Equation]]:
    """Return the weights that lie in the row given, and the place of each of their values, from a number on.

    Matrices come first: in C, the index that gives a place in a vector is not yet known where they are written.
    """
    sizes, blocks = dict(networks.extents), []
    for weight in networks.weights if layers else ():
        strides = (
            (index, prod(sizes[other] for other in weight.indices[k + 1 :])) for k, index in enumerate(weight.indices)
        )
        blocks.append((weight, Equation(GIVEN, tuple(strides), first)))
        first += layers[weight.tensor].size
    return sorted(blocks, key=lambda block: -len(block[0].indices))


def _row(
    writer: Writer,
    name: str,
    indices: tuple[str, ...],
    values: Sequence[Expr],
    blocks: Iterable[tuple[Element, Equation]] = (),
) -> Element:
    """Write a row of values of each sample, or of each of its times, and return its element.

    ``blocks`` are parameters with indices, each with the places of its values.
    """
    parts = [
        writer.put(Element(writer.name(f"{name}_{number}"), (SAMPLE, *indices)), value, where=(place,))
        for number, value in enumerate(values)
        for place in [Equation(indices[-1], (), number)]
    ]
    parts += [
        writer.put(
            Element(writer.name(f"{name}_{parameter.tensor}"), (SAMPLE, *indices)),
            parameter,
            "sum",
            parameter.indices,
            (place,),
        )
        for parameter, place in blocks
    ]
    return writer.put(Element(writer.name(name), (SAMPLE, *indices)), Add(*parts))
