"""Learning-rate schedules by name: each is one entry, a function of where the training is. To add one, add an entry.

A schedule gives factors of the learning rate. ``epoch`` is an array: for each update, the epochs done before it, a
number with a fraction, or for each epoch, a whole number; ``total`` is the number of epochs in all, and ``end`` the
epochs done after the update, or the epoch. A factor depends on its own number alone, to the last bit: a training may be
cut into calls anywhere.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_number: Any


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


_Parameter = tuple[float, float, float, bool]

_SCHEDULES: dict[str, tuple[Callable[..., Any], bool, bool, dict[str, _Parameter]]] = {
    "step": (_step, False, False, {"step_size": (30, 0, math.inf, True), "gamma": (0.1, 0, math.inf, True)}),
    "exponential": (_exponential, False, False, {"gamma": (0.95, 0, math.inf, True)}),
    "inverse": (_inverse, False, False, {"decay": (0.1, 0, math.inf, False), "power": (1, 0, math.inf, True)}),
    "polynomial": (_polynomial, True, True, {"final": (0, 0, math.inf, False), "power": (1, 0, math.inf, True)}),
    "cosine": (_cosine, True, True, {"final": (0, 0, math.inf, False)}),
    "one_cycle": (_one_cycle, True, True, {
        "rise": (0.3, 0, 1, True), "start": (0.04, 0, math.inf, False), "final": (4e-6, 0, math.inf, False)}),
    "warm_up": (_warm_up, True, False, {"epochs": (5, 0, math.inf, True), "start": (0, 0, 1, False)}),
}  # fmt: skip
"""Function, whether each update has a factor of its own, whether the epochs in all must be known, and parameters."""


_BLOCK = 64
"""Factors are computed in whole blocks: NumPy's vectors round what they leave over in another way, on some CPUs."""


class _Schedule:
    """A checked schedule. ``factors`` computes those that a call into C needs; None where all are 1."""

    def __init__(self, given: Any, total: "int | None") -> None:
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
        known: dict[str, _Parameter] = {}
        if name != "constant":
            if name not in _SCHEDULES:
                raise ValueError(f"there is no schedule {name!r}; there are: constant, {', '.join(_SCHEDULES)}")
            _, self.of_updates, needs_total, known = _SCHEDULES[name]
            if needs_total and self.total is None:
                raise ValueError(f"the schedule {name} needs to know the number of epochs: use train, or another one")
        if not isinstance(parameters, dict):
            raise ValueError(f"a schedule is a name, (name, {{parameter: number}}) or an array, not {parameters!r}")
        for key in parameters:
            if key not in known:
                raise ValueError(f"the schedule {name} has no {key!r}; it has: {', '.join(known) or 'none'}")
        self.parameters = {
            key: _number(f"{key} of the schedule", parameters.get(key, default), low, high, excludes_low)
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

    def factors(self, first: int, count: int, updates: int) -> Any:
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
        value = np.asarray(_SCHEDULES[self.name][0](epoch, total, ends[1:], **self.parameters), dtype=float)
        return np.ascontiguousarray(value[begin - start : end - start])
