"""Learning-rate schedules by name: each is one entry, a function of where the training is. To add one, add an entry.

A schedule gives factors of the learning rate. ``epoch`` is an array: for each update, the epochs done before it, a
number with a fraction, or for each epoch, a whole number; ``total`` is the number of epochs in all, and ``end`` the
epochs done after the update, or the epoch. A factor depends only on its own number, to the last bit: a training may be
cut into calls anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .scalars import number

if TYPE_CHECKING:
    from .model import Model
    from .types import Array


def _step(epoch: Any, total: float, end: Any, step_size: float, gamma: float) -> Any:
    """A factor of gamma every step_size epochs."""
    return gamma ** np.floor(epoch / step_size)


def _exponential(epoch: Any, total: float, end: Any, gamma: float) -> Any:
    """A factor of gamma every epoch."""
    return gamma**epoch


def _inverse(epoch: Any, total: float, end: Any, decay: float, power: float) -> Any:
    """1/(1 + decay*epoch)**power."""
    return (1 + decay * epoch) ** -power


def _polynomial(epoch: Any, total: float, end: Any, final: float, power: float) -> Any:
    """From 1 down to final, linearly for the power 1."""
    return final + (1 - final) * (1 - epoch / total) ** power


def _cosine(epoch: Any, total: float, end: Any, final: float) -> Any:
    """Half a wave from 1 down to final (Loshchilov and Hutter, 2017)."""
    return final + (1 - final) * (1 + np.cos(math.pi * epoch / total)) / 2


def _one_cycle(epoch: Any, total: float, end: Any, rise: float, start: float, final: float) -> Any:
    """Half a wave from start up to 1, in the given part of the epochs, and one down to final (Smith, 2018)."""
    up, down = epoch / (rise * total), (epoch / total - rise) / (1 - rise)
    rising = start + (1 - start) * (1 - np.cos(math.pi * up)) / 2
    return np.where(up < 1, rising, final + (1 - final) * (1 + np.cos(math.pi * down)) / 2)


def _warm_up(epoch: Any, total: float, end: Any, epochs: float, start: float) -> Any:
    """From start up to 1, linearly, in some epochs; the last update of these has the factor 1."""
    return np.minimum(start + (1 - start) * end / epochs, 1)


class Parameter(NamedTuple):
    """A number that a schedule takes: its default, and the interval [low, high), or (low, high), of what is allowed."""

    default: float
    low: float = 0.0
    high: float = math.inf
    excludes_low: bool = False


class Entry(NamedTuple):
    """A schedule: its function and parameters, and what it needs to know."""

    function: Callable[..., Any]
    parameters: dict[str, Parameter]
    of_updates: bool = False
    """Whether each update has a factor of its own, not each epoch."""
    needs_total: bool = False
    """Whether the number of epochs in all must be known."""


SCHEDULES = {
    "step": Entry(_step, {"step_size": Parameter(30, excludes_low=True), "gamma": Parameter(0.1, excludes_low=True)}),
    "exponential": Entry(_exponential, {"gamma": Parameter(0.95, excludes_low=True)}),
    "inverse": Entry(_inverse, {"decay": Parameter(0.1), "power": Parameter(1, excludes_low=True)}),
    "polynomial": Entry(_polynomial, {"final": Parameter(0), "power": Parameter(1, excludes_low=True)}, True, True),
    "cosine": Entry(_cosine, {"final": Parameter(0)}, True, True),
    "one_cycle": Entry(
        _one_cycle,
        {"rise": Parameter(0.3, high=1, excludes_low=True), "start": Parameter(0.04), "final": Parameter(4e-6)},
        True, True,
    ),
    "warm_up": Entry(_warm_up, {"epochs": Parameter(5, excludes_low=True), "start": Parameter(0, high=1)}, True),
}  # fmt: skip


_BLOCK = 64
"""Factors are computed in whole blocks: on some CPUs, NumPy rounds values that fill no vector differently."""


class Schedule:
    """A checked schedule. ``factors`` computes those that a call into C needs; None where all are 1."""

    def __init__(self, model: Model, given: Any, total: int | None) -> None:
        self.model = model
        self.total = total
        self.array: Any = None
        self.name = "array"
        self.of_updates = False
        self.parameters: dict[str, float] = {}
        if isinstance(given, str) or (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)):
            self._choose(*((given, {}) if isinstance(given, str) else given))
        else:
            self._take(given)

    def _choose(self, name: str, parameters: Any) -> None:
        self.name = name
        known: dict[str, Parameter] = {}
        if name != "constant":
            if name not in SCHEDULES:
                raise ValueError(f"there is no schedule {name!r}; there are: constant, {', '.join(SCHEDULES)}")
            entry = SCHEDULES[name]
            self.of_updates, known = entry.of_updates, entry.parameters
            if entry.needs_total and self.total is None:
                raise ValueError(f"the schedule {name} needs to know the number of epochs: use train, or another one")
        if not isinstance(parameters, dict):
            raise ValueError(f"a schedule is a name, (name, {{parameter: number}}) or an array, not {parameters!r}")
        for key in parameters:
            if key not in known:
                raise ValueError(f"the schedule {name} has no {key!r}; it has: {', '.join(known) or 'none'}")
        self.parameters = {
            key: number(self.model, f"{key} of the schedule", parameters.get(key, default), low, high, excludes_low)
            for key, (default, low, high, excludes_low) in known.items()
        }

    def _take(self, given: Any) -> None:
        try:
            self.array = np.array(given, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a schedule is a name, (name, {{parameter: number}}) or an array of factors, not {given!r}"
            ) from error
        if self.array.ndim != 1 or not np.isfinite(self.array).all() or (self.array < 0).any():
            raise ValueError("a schedule as an array has one factor for each epoch, finite and none below 0")
        if self.total is not None and len(self.array) < self.total:
            raise ValueError(f"the schedule has {len(self.array)} factors, but there are {self.total} epochs")

    def factors(self, first: int, count: int, updates: int) -> Array | None:
        """The factors of some epochs, each of so many updates, or of their updates."""
        if self.array is not None:
            if first + count > len(self.array):
                raise ValueError(f"the schedule has {len(self.array)} factors, but this is epoch {first + count}")
            return np.ascontiguousarray(self.array[first : first + count])
        if self.name == "constant":
            return None
        parts = updates if self.of_updates else 1
        begin, end = first * parts, (first + count) * parts
        start = begin // _BLOCK * _BLOCK
        number = np.arange(start, -(-end // _BLOCK) * _BLOCK + 1)
        ends = number / parts  # the quotient of two integers, whichever is the first of them here
        total = math.inf if self.total is None else float(self.total)
        epoch = np.minimum(ends[:-1], total)  # behind the last update, too, the schedules have a value
        value = np.asarray(SCHEDULES[self.name].function(epoch, total, ends[1:], **self.parameters), dtype=float)
        return np.ascontiguousarray(value[begin - start : end - start])
