"""Formulas and layers at several places at once, in many digits: their values, and their derivatives at each place.

A place is a time in a step of a solution, with the states there, or a time of observation. The steps are those of the
described program, in which tensors get a further index, that of the places. Derivatives by what is the same at all
places, such as weights, are those at each place if it gets this index, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import computed, received_by
from nncodegen.certificates.products import Array, zeros
from nncodegen.compiler.ir import RECURRENCES, Element, Step
from nncodegen.compiler.ir.evaluate import FLOATS
from nncodegen.compiler.ir.systems import Formulas, System
from nncodegen.compiler.motion.networks import PLACE

RESULT = "result"
"""The index of results whose derivatives are found together."""


def along(steps: Iterable[Step], index: str, tensors: Collection[str]) -> tuple[Step, ...]:
    """Return steps in which some tensors have a further index, before their own, unless they have it already."""

    def moved(element: Element) -> Element:
        if element.tensor not in tensors or index in element.indices:
            return element
        return Element(element.tensor, (index, *element.indices))

    return tuple(
        replace(
            step,
            target=moved(step.target),
            expression=step.expression.xreplace({element: moved(element) for element in step.operands}),
        )
        for step in steps
    )


def repeated(array: Any, length: int) -> Array:
    """Return an array with a further axis, along which its values are the same."""
    return np.broadcast_to(np.asarray(array, dtype=object), (length, *np.shape(array)))


def at_each_place(
    steps: Sequence[Step],
    values: Mapping[str, Array],
    lengths: Mapping[str, int],
    results: Sequence[Element],
    by: Sequence[tuple[str, tuple[int, ...]]],
) -> Array:
    """Return the derivatives of results at each place, (results, places, columns).

    ``by`` are tensors that have the index of the places, and the shapes that they have without it: one column for each
    of their values, which are 0 where no result depends on them.

    One sweep has those of all results: all tensors get a further index, under which each result has its own seed.
    """
    count, size = len(results), values[results[0].tensor].size
    wide = along(steps, RESULT, {item.tensor for step in steps for item in (step.target, *step.operands)})
    # an axis of length 1 is computed once for all results; terms of equations and of recurrences are looked up
    looked_up = [item for item in steps if item.where or any(each.operator in RECURRENCES for each in steps)]
    full = {item.tensor for step in looked_up for item in step.operands}
    values = {name: repeated(array, count if name in full else 1) for name, array in values.items()}
    seeds = dict[str, Array]()
    for number, result in enumerate(results):
        seed = zeros([count, *values[result.tensor].shape[1:]])
        seed[number] = mpmath.mpf(1)
        seeds[result.tensor] = seeds[result.tensor] + seed if result.tensor in seeds else seed
    received = received_by(wide, values, {**lengths, RESULT: count}, seeds)
    parts = []
    for name, shape in by:
        columns = int(np.prod(shape, dtype=int))
        parts.append(received[name].reshape(count, size, -1) if name in received else zeros([count, size, columns]))
    return np.concatenate(parts, axis=2)


class AtPlaces:
    """Formulas of a system at several times, and the states there.

    ``known`` has the values of what is the same at all places, by the names of tensors.
    """

    def __init__(self, system: System, formulas: Formulas) -> None:
        self._system, self._sizes = system, dict(system.sizes)
        results = [Element(f"result {number}") for number in range(len(formulas.values))]
        steps = (
            *formulas.steps,
            *(Step(element, value) for element, value in zip(results, formulas.values, strict=True)),
        )
        varying = {
            system.time.tensor,
            *(element.tensor for element in (*system.states, *(step.target for step in steps))),
        }
        self._others = {element.tensor for step in steps for element in step.operands} - varying
        self._steps = along(steps, PLACE, varying)
        self._apart = along(steps, PLACE, varying | self._others)
        self._results = [Element(element.tensor, (PLACE,)) for element in results]

    def values(self, known: Mapping[str, Any], times: Array, states: Array) -> Array:
        """Return the formulas at each place, (places, formulas)."""
        values = computed(self._steps, self._at(known, times, states), self._lengths(times))
        return np.stack([values[result.tensor] for result in self._results], axis=1)

    def rough(self, known: Mapping[str, Any], times: NDArray[np.float64], states: NDArray[np.float64]) -> Any:
        """Return the formulas at each place in double precision, given numbers in double precision."""
        values, lengths = self._at(known, times, states), self._lengths(times)
        for step in self._steps:
            values[step.target.tensor] = FLOATS.compute(step, values, lengths)
        return np.stack([values[result.tensor] for result in self._results], axis=1)

    def slopes(
        self, known: Mapping[str, Any], times: Array, states: Array, by: Sequence[tuple[str, tuple[int, ...]]]
    ) -> Array:
        """Return the derivatives of the formulas at each place by states and others, (places, formulas, columns)."""
        lengths = self._lengths(times)
        values = computed(self._steps, self._at(known, times, states), lengths)
        values |= {name: repeated(values[name], len(times)) for name in self._others}
        every = [*((state.tensor, ()) for state in self._system.states), *by]
        return np.swapaxes(at_each_place(self._apart, values, lengths, self._results, every), 0, 1)

    def _at(self, known: Mapping[str, Any], times: Array, states: Array) -> dict[str, Any]:
        state_values = {state.tensor: states[:, s] for s, state in enumerate(self._system.states)}
        return {**known, self._system.time.tensor: times, **state_values}

    def _lengths(self, times: Array) -> dict[str, int]:
        return {**self._sizes, PLACE: len(times)}
