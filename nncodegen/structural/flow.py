"""Observations of differential equations: power series in time, with their tangents; and those of formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, Integer

from nncodegen.structural.experiments import Experiments, exact_number
from nncodegen.structural.fields import Array
from nncodegen.structural.reverse import reverse_gradients
from nncodegen.structural.smooth import smooth, value_of
from nncodegen.structural.tape import Tape
from nncodegen.structural.taylor import Series, Taylor


class Formula:
    """The values of a formula: there is one order."""

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments

    def advance(self) -> Array:
        """Return the derivatives of all outputs, (experiments, outputs, unknowns)."""
        return np.concatenate([self._derivatives(part) for part in self._experiments.parts()])

    def _derivatives(self, part: slice) -> Array:
        experiments, outputs = self._experiments, self._experiments.system.outputs
        values = {symbol: drawn[part] for symbol, drawn in experiments.point.values.items()}
        if experiments.system.has_kinks:
            at = {symbol: drawn[0] for symbol, drawn in values.items()}
            outputs = tuple(smooth(output, at) for output in outputs)
        tape = Tape(dict.fromkeys(values, (False, True)))
        places = tape.add(outputs)
        return reverse_gradients(
            tape, experiments.field, values, places, experiments.places(part), experiments.unknowns
        )


class Flow:
    """Power series of what is observed of a system of differential equations."""

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments
        self._solutions = [self._solution(part) for part in experiments.parts()]

    def advance(self) -> Array:
        """Return the tangents of the next coefficient of all outputs, (experiments, outputs, unknowns)."""
        return np.concatenate([self._advance(taylor, places) for taylor, places in self._solutions])

    def _advance(self, taylor: Taylor, places: list[int]) -> Array:
        order = taylor.orders
        taylor.advance()
        field, unknowns = self._experiments.field, self._experiments.unknowns
        rows = []
        for place in places:
            series = taylor.of(place)
            if series.tangents is None or order >= len(series.tangents):
                rows.append(field.zeros((len(series.values[0]), unknowns)))
            else:
                rows.append(series.tangents[order])
        return np.stack(rows, axis=1)

    def _solution(self, part: slice) -> tuple[Taylor, list[int]]:
        """Return the series of some experiments, and the places of the outputs among them."""
        experiments, system, field = self._experiments, self._experiments.system, self._experiments.field
        orders = experiments.design.orders
        leaves = experiments.leaves(part)
        size = len(range(*part.indices(experiments.count)))
        for course in system.courses:
            leaves[course] = Series(experiments.courses[course][:, part])
        if system.time is not None:
            values = field.zeros((max(orders, 2), size))
            values[0] = experiments.times[0, 0] if system.start is None else field.number(exact_number(system.start))
            values[1] = field.number(Integer(1))
            leaves[system.time] = Series(values)
        states, rates, outputs = dict(system.states or {}), dict(system.rates or {}), system.outputs
        if system.has_kinks:
            at = {symbol: series.values[0, 0] for symbol, series in leaves.items()}
            states, rates, outputs = _smooth_near(at, states, rates, outputs)
        kinds = {symbol: (len(series.values) > 1, series.tangents is not None) for symbol, series in leaves.items()}
        tape = Tape({**kinds, **dict.fromkeys(states, (True, True))})
        begins = tape.add(states.values())
        ends = tape.add([rates[state] for state in states])
        places = tape.add(outputs)
        of_states = {state: each for state, *each in zip(states, begins, ends, strict=True)}
        taylor = Taylor(
            tape,
            field,
            leaves,
            {state: (begin, end) for state, (begin, end) in of_states.items()},
            (orders, size, experiments.unknowns),
        )
        return taylor, places


def _smooth_near(
    at: dict[Any, Any], states: dict[Any, Expr], rates: dict[Any, Expr], outputs: tuple[Expr, ...]
) -> tuple[dict[Any, Expr], dict[Any, Expr], tuple[Expr, ...]]:
    """Return formulas as they are near the first values of an experiment."""
    states = {state: smooth(first, at) for state, first in states.items()}
    at = {**at, **{state: value_of(first, at) for state, first in states.items()}}
    return (
        states,
        {state: smooth(rate, at) for state, rate in rates.items()},
        tuple(smooth(output, at) for output in outputs),
    )
