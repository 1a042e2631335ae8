"""Observations of equations from time to time, with their tangents: values at one time after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, Symbol

from nncodegen.compiler.motion.before import before
from nncodegen.structural.experiments import Experiments, exact_number
from nncodegen.structural.fields import Array
from nncodegen.structural.smooth import smooth, value_of
from nncodegen.structural.tape import Tape
from nncodegen.structural.taylor import Series, Taylor


class Sequence:
    """The values of all outputs at one time after the other."""

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments
        self._parts = [_Part(experiments, part) for part in experiments.parts()]

    def advance(self) -> Array:
        """Return the tangents of all outputs at the next time, (experiments, outputs, unknowns)."""
        return np.concatenate([part.advance() for part in self._parts])


class _Part:
    """The values of some experiments: those of all that varies in time, with the latest ones last."""

    def __init__(self, experiments: Experiments, part: slice) -> None:
        self._experiments, self._part = experiments, part
        self._constants = experiments.leaves(part)
        self._size = len(range(*part.indices(experiments.count)))
        self._history: dict[Symbol, list[Series]] = {}
        self._time = 0

    def advance(self) -> Array:
        """Return the tangents of all outputs at the next time."""
        system, field = self._experiments.system, self._experiments.field
        symbols, leaves = self._leaves()
        rename = {node: symbol for node, symbol in symbols.items() if isinstance(node, before)}
        successors = {state: right.xreplace(rename) for state, right in (system.successors or {}).items()}
        outputs = [output.xreplace(rename) for output in system.outputs]
        if system.has_kinks:
            at = {symbol: series.values[0, 0] for symbol, series in leaves.items()}
            for state, right in successors.items():
                successors[state] = smooth(right, at)
                at[state] = value_of(successors[state], at)
            outputs = [smooth(output, at) for output in outputs]
        tape = Tape({symbol: (False, series.tangents is not None) for symbol, series in leaves.items()})
        ends = {}
        for state, right in successors.items():
            (ends[state],) = tape.add([right])
            tape.define(state, ends[state])
        places = tape.add(outputs)
        taylor = Taylor(tape, field, leaves, {}, (1, self._size, self._experiments.unknowns))
        taylor.advance()
        for state, place in ends.items():
            self._history.setdefault(state, []).append(taylor.of(place))
        for course in system.courses:
            self._history.setdefault(course, []).append(leaves[course])
        self._time += 1
        zeros = field.zeros((self._size, self._experiments.unknowns))
        tangents = [taylor.of(place).tangents for place in places]
        return np.stack([zeros if each is None else each[0] for each in tangents], axis=1)

    def _leaves(self) -> tuple[dict[Any, Symbol], dict[Symbol, Series]]:
        """Return the values of all symbols, and the symbols that stand for earlier values."""
        system, field, experiments = self._experiments.system, self._experiments.field, self._experiments
        leaves = dict(self._constants)
        for place, course in enumerate(system.courses):
            if experiments.design.courses is None:
                values = experiments.courses[course][self._time, self._part]
            else:
                row = np.tile(experiments.design.courses[:, place, self._time], experiments.design.groups)
                values = np.array([field.number(exact_number(each)) for each in row[self._part]], field.dtype)
            leaves[course] = Series(values[None])
        if system.time is not None:
            leaves[system.time] = Series(experiments.times[None, self._time, self._part])
        symbols: dict[Any, Symbol] = {}
        for node in self._earlier():
            what = node.args[0]
            symbols[node] = symbol = Symbol(str(node))
            history = self._history.get(what, [])
            if node.lag <= len(history):
                leaves[symbol] = history[-node.lag]
            else:
                leaves[symbol] = self._first(node)
        return symbols, leaves

    def _earlier(self) -> list[before]:
        """Return all earlier values that the equations read."""
        system = self._experiments.system
        nodes = {node for right in (system.successors or {}).values() for node in right.atoms(before)}
        return sorted(nodes, key=str)

    def _first(self, node: before) -> Series:
        """Return the first value of what an equation reads before the first time.

        Where it looks back by several times, the first value of the time that is meant counts, or that of all times.
        """
        system = self._experiments.system
        assert system.states is not None
        what, lag = node.args[0], node.lag - len(self._history.get(node.args[0], []))
        asked = before(what) if lag == 1 else before(what, lag)
        first: Expr = system.states.get(asked, system.states.get(what))
        if system.has_kinks:
            first = smooth(first, {symbol: series.values[0, 0] for symbol, series in self._constants.items()})
        tape = Tape({symbol: (False, series.tangents is not None) for symbol, series in self._constants.items()})
        (place,) = tape.add([first])
        sizes = (1, self._size, self._experiments.unknowns)
        taylor = Taylor(tape, self._experiments.field, self._constants, {}, sizes)
        taylor.advance()
        return taylor.of(place)
