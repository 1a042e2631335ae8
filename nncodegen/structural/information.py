"""The information of observations about the unknowns: the rows that the derivatives of all observations span.

An unknown is locally identifiable if the unit vector of its column is in their span, at generic points (A. Sedoglavic,
A probabilistic algorithm to test local algebraic observability in polynomial time, Journal of Symbolic Computation 33,
2002).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from nncodegen.structural.experiments import Design, Experiments
from nncodegen.structural.fields import Array, Field
from nncodegen.structural.flow import Flow, Formula
from nncodegen.structural.sequence import Sequence
from nncodegen.structural.system import System

MORE_ORDERS = 4
"""The orders of power series beyond the numbers of unknowns and states, where a first value is a special one."""

MOST_ROWS, FEW_ROWS = 256, 8
"""The experiments that are evaluated together, where many are given: those of formulas, and of equations of motion."""


FEWEST_SAMPLES = 3
"""The experiments that are tried first, where they differ by their inputs."""


SELDOM = 8
"""The part of the orders so far after which the rank is computed again."""


@dataclass(frozen=True)
class Information:
    """The span of the derivatives at a point: ``rows`` in reduced echelon form, (rank, unknowns), and their 1s.

    ``zeros`` says which derivatives are 0, (experiments, outputs, orders, columns), as they then are at all points.
    """

    experiments: Experiments
    rows: Array
    pivots: list[int]
    zeros: Array
    independent: list[int]
    """Experiments whose derivatives span those of all, where no parameters are own."""

    @property
    def null_space(self) -> Array:
        """Return a basis of the directions in which the unknowns change no observation, (unknowns - rank, unknowns)."""
        return self.experiments.field.cleared(self.experiments.field.null_space(self.rows))


def settled(
    system: System, field: Field, random: Generator, inputs: Array | None, courses: Array | None, samples: int | None
) -> tuple[Design, Information]:
    """Return a design that has all information, and its information at a random point.

    One more order, experiment or group adds nothing to that of this design. inputs and courses fix the experiments, and
    ``samples`` their number. Where one more experiment at a random point adds nothing, no other one does. So it is with
    orders, if all first values are unknowns of their own; otherwise the orders are as many as the unknowns and twice
    the states, and some more.
    """
    fixed = samples is not None or inputs is not None or not system.has_inputs
    count = len(system.unknowns) + 2 if not system.states else FEWEST_SAMPLES if system.has_inputs else 1
    count = samples or (count if inputs is None else len(inputs))
    design = Design(_most_orders(system), count, 2 if system.own else 1, inputs, courses)
    if inputs is not None and not system.own:
        design = _useful(system, field, random, design)
    while True:
        experiments = Experiments(system, field, random, design)
        rows = _rows(experiments)
        grouped = rows.reshape(design.groups, design.experiments, *rows.shape[1:])
        if not fixed and design.experiments > 1 and _rank(field, grouped[:, :-1]) < _rank(field, grouped):
            design = replace(design, experiments=2 * design.experiments)
        elif system.own and _shared_rank(system, field, grouped) > _shared_rank(system, field, grouped[:-1]):
            design = replace(design, groups=design.groups + 1)
        else:
            return replace(design, orders=rows.shape[2]), _informed(experiments, rows)


def information(
    system: System, field: Field, random: Generator, design: Design, zeros: Array | None = None
) -> Information:
    """Return the information of the experiments of a design at a new random point.

    Of own parameters, those of the first group count. With ``zeros`` of another point, rounding errors are not looked
    for again, unless the model has choices, of which another point may have another branch.
    """
    experiments = Experiments(system, field, random, design)
    return _informed(experiments, _rows(experiments, None if system.has_kinks else zeros))


def _informed(experiments: Experiments, rows: Array) -> Information:
    """Return the information that the derivatives of all observations have about the unknowns."""
    system, field = experiments.system, experiments.field
    flat = rows.reshape(-1, experiments.unknowns)
    first = [experiments.columns[symbol][0] for symbol in system.unknowns]
    if system.own:
        null_space = field.null_space(flat)[:, first]
        flat = field.null_space(field.reduced(null_space)[0])
    independent = []
    if experiments.design.inputs is not None and not system.own:
        each = flat.shape[0] // experiments.count
        independent = sorted({place // each for place in field.reduced(flat.T)[1]})
    reduced, pivots = field.reduced(flat if system.own else flat[:, first])
    return Information(experiments, reduced, pivots, rows == 0, independent)


def _most_orders(system: System) -> int:
    """Return how many orders of power series, or times, can have information."""
    states = len(system.states or {})
    if system.successors is not None:
        return min(system.times, len(system.unknowns) + states + MORE_ORDERS)
    if not states:
        return 1
    return len(system.unknowns) + (1 if system.is_generic else 2 * states + MORE_ORDERS)


def _rows(experiments: Experiments, zeros: Array | None = None) -> Array:
    """Return the derivatives of all observations, (experiments, outputs, orders, columns).

    Orders stop where the rank is full, or, for generic first values, where one more adds nothing; with ``zeros``, they
    are as many as these have.
    """
    system, field, most = experiments.system, experiments.field, experiments.design.orders
    kind = Sequence if system.successors is not None else Flow if system.states else Formula
    source = kind(experiments)
    if zeros is not None:
        rows = np.stack([source.advance() for _ in range(zeros.shape[2])], axis=2)
        return np.where(zeros, field.zeros(()), rows)
    again = kind(experiments) if field.is_rounded else None
    parts: list[Array] = []
    basis, looked = field.zeros((0, experiments.unknowns)), 0
    for order in range(1, most + 1):
        parts.append(source.advance())
        if again is not None:
            with field.rougher():
                parts[-1] = field.without_noise(parts[-1], again.advance())
        enough = order * len(parts[0]) * len(system.outputs) >= experiments.unknowns
        if order == most or not enough or order - looked < (order // SELDOM if looked else 1):
            continue
        new = np.stack(parts[looked:], axis=2).reshape(-1, experiments.unknowns)
        rank = len(basis)
        basis, _ = field.reduced(np.concatenate([basis, new]))
        if len(basis) == experiments.unknowns or (system.is_generic and looked and len(basis) == rank):
            break
        looked = order
    return np.stack(parts, axis=2)


def _rank(field: Field, rows: Array) -> int:
    return len(field.reduced(rows.reshape(-1, rows.shape[-1]))[1])


def _shared_rank(system: System, field: Field, grouped: Array) -> int:
    """Return the rank of what groups say of the parameters that they share."""
    groups = len(grouped)
    shared = len([symbol for symbol in system.unknowns if symbol not in system.own])
    repeated = len(system.unknowns) - shared
    columns = shared + groups * repeated
    flat = grouped[..., :columns].reshape(-1, columns)
    null_space = field.null_space(flat)[:, :shared]
    return shared - len(field.reduced(null_space)[1])


def _useful(system: System, field: Field, random: Generator, design: Design) -> Design:
    """Return a design with those of the given experiments that have information, of many equal ones the first."""
    assert design.inputs is not None
    count = len(design.inputs)
    courses = np.zeros((count, 0)) if design.courses is None else design.courses.reshape(count, -1)
    rows = np.concatenate([design.inputs, courses], axis=1)
    places = np.sort(np.unique(rows, axis=0, return_index=True)[1]) if rows.shape[1] else np.arange(1)
    together = MOST_ROWS if system.states is None else FEW_ROWS
    if len(places) <= together:
        return _chosen(design, places)
    kept, rank = places[:0], 0
    for start in range(0, len(places), together):
        candidates = np.concatenate([kept, places[start : start + together]])
        seen = information(system, field, random, _chosen(design, candidates))
        if len(seen.pivots) > rank:
            kept, rank = candidates[seen.independent], len(seen.pivots)
        if rank == len(system.unknowns):
            break
    return _chosen(design, kept if len(kept) else places[:1])


def _chosen(design: Design, places: Array) -> Design:
    """Return a design with some of its experiments."""
    assert design.inputs is not None
    courses = None if design.courses is None else design.courses[places]
    return replace(design, inputs=design.inputs[places], courses=courses, experiments=len(places))
