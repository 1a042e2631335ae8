"""Learning-rate schedules by name, each a function of the progress of the training. To add one, add an entry.

The schedule "plateau" is separate: it depends on measured figures.

A schedule returns factors of the learning rate. ``epoch`` is an array: for each update, the number of epochs done
before it, with a fraction; or for each epoch, a whole number. ``total`` is the number of all epochs, and ``end`` the
number of epochs done after the update, or after the epoch. A factor depends only on its own index, to the last bit: a
training may be split into calls anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .scalars import number
from .watching import choose_mode

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model
    from .measures import Measure


def _step(epoch: Any, total: float, end: Any, step_size: float, gamma: float) -> Any:
    """Multiply by gamma every step_size epochs."""
    return gamma ** np.floor(epoch / step_size)


def _exponential(epoch: Any, total: float, end: Any, gamma: float) -> Any:
    """Multiply by gamma every epoch."""
    return gamma**epoch


def _inverse(epoch: Any, total: float, end: Any, decay: float, power: float) -> Any:
    """Return 1/(1 + decay*epoch)**power."""
    return (1 + decay * epoch) ** -power


def _polynomial(epoch: Any, total: float, end: Any, final: float, power: float) -> Any:
    """Decrease from 1 to final, linearly for the power 1."""
    return final + (1 - final) * (1 - epoch / total) ** power


def _cosine(epoch: Any, total: float, end: Any, final: float) -> Any:
    """Decrease from 1 to final along half a cosine wave (Loshchilov and Hutter, 2017)."""
    return final + (1 - final) * (1 + np.cos(math.pi * epoch / total)) / 2


def _one_cycle(epoch: Any, total: float, end: Any, rise: float, start: float, final: float) -> Any:
    """Rise from start to 1 in a fraction of the epochs, then fall to final, along half cosine waves (Smith, 2018)."""
    up, down = epoch / (rise * total), (epoch / total - rise) / (1 - rise)
    rising = start + (1 - start) * (1 - np.cos(math.pi * up)) / 2
    return np.where(up < 1, rising, final + (1 - final) * (1 + np.cos(math.pi * down)) / 2)


def _warm_up(epoch: Any, total: float, end: Any, epochs: float, start: float) -> Any:
    """Rise linearly from start to 1 in some epochs; their last update has the factor 1."""
    return np.minimum(start + (1 - start) * end / epochs, 1)


class Number(NamedTuple):
    """A number that a schedule takes: its default, and the interval of allowed values, [low, high) or (low, high)."""

    default: float
    low: float = 0.0
    high: float = math.inf
    excludes_low: bool = False


class Entry(NamedTuple):
    """A schedule: its function and parameters, and the arguments it needs."""

    function: Callable[..., Any]
    parameters: dict[str, Number]
    of_updates: bool = False
    """True if each update has a separate factor, rather than each epoch."""
    needs_total: bool = False
    """True if the total number of epochs must be known."""


SCHEDULES = {
    "step": Entry(_step, {"step_size": Number(30, excludes_low=True), "gamma": Number(0.1, excludes_low=True)}),
    "exponential": Entry(_exponential, {"gamma": Number(0.95, excludes_low=True)}),
    "inverse": Entry(_inverse, {"decay": Number(0.1), "power": Number(1, excludes_low=True)}),
    "polynomial": Entry(_polynomial, {"final": Number(0), "power": Number(1, excludes_low=True)}, True, True),
    "cosine": Entry(_cosine, {"final": Number(0)}, True, True),
    "one_cycle": Entry(
        _one_cycle,
        {"rise": Number(0.3, high=1, excludes_low=True), "start": Number(0.04), "final": Number(4e-6)},
        True,
        True,
    ),
    "warm_up": Entry(_warm_up, {"epochs": Number(5, excludes_low=True), "start": Number(0, high=1)}, True),
}


EXACT = ("warm_up",)
"""The schedules that consist of sums, products and quotients: no power or cosine of theirs depends on a library."""


class Plateau:
    """A schedule that lowers the learning rate when a figure stops improving, like Keras' ReduceLROnPlateau.

    ``factor`` is the current factor of the learning rate; ``best`` is the best figure, negated if higher is better;
    ``waited`` counts the epochs without a better one; ``cooling`` counts the remaining epochs of the cooldown.
    """

    parameters: ClassVar[dict[str, Number]] = {
        "factor": Number(0.1, high=1, excludes_low=True),
        "patience": Number(10),
        "min_delta": Number(1e-4),
        "cooldown": Number(0),
        "min_lr": Number(0),
    }
    texts: ClassVar[dict[str, str | None]] = {"monitor": None, "mode": "auto"}

    def __init__(self, texts: dict[str, Any], numbers: dict[str, float], before: dict[str, Any] | None) -> None:
        self._given, self._numbers, self._before = {**self.texts, **texts}, numbers, before
        for key in ("patience", "cooldown"):
            if numbers[key] != math.floor(numbers[key]):
                raise ValueError(f"{key} of the schedule must be a whole number of epochs, not {numbers[key]}")
        if self._given["mode"] not in ("auto", "min", "max"):
            raise ValueError(f"mode of the schedule must be 'auto', 'min' or 'max', not {self._given['mode']!r}")
        self.monitor, self._higher = "", False
        self.factor, self.best, self.waited, self.cooling = 1.0, math.inf, 0, 0

    def watch(self, names: tuple[str, ...], monitor: str, mode: str, metrics: tuple[Measure, ...]) -> None:
        """Set the figure to observe: the given one, which must be among ``names``, or else ``monitor``."""
        requested = self._given["monitor"]
        if requested is not None and requested not in names:
            raise ValueError(
                f"monitor of the schedule is {requested!r}, which is not measured; there are: {', '.join(names)}"
            )
        self.monitor = monitor if requested is None else requested
        chosen = self._given["mode"]
        if chosen == "auto" and self.monitor == monitor:
            chosen = mode
        self._higher = choose_mode("mode of the schedule", self.monitor, chosen, metrics) == "max"
        before = self._before
        if before is not None and "plateau" in before:
            self.factor = float(before["plateau"][0])
            if before["watched"] == self._watched():
                self.best = float(before["plateau"][1])
                self.waited, self.cooling = (int(count) for count in before["plateau"][2:])

    def observe(self, figures: dict[str, float], rate: float | None) -> None:
        """Record the figures of an epoch and adapt the factor; ``rate`` is the learning rate that it multiplies."""
        figure = -figures[self.monitor] if self._higher else figures[self.monitor]
        numbers = self._numbers
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        if figure < self.best - numbers["min_delta"]:
            self.best, self.waited = figure, 0
        elif not self.cooling:
            self.waited += 1
            if self.waited >= numbers["patience"]:
                least = numbers["min_lr"] / rate if rate else 0.0
                if self.factor > least:
                    self.factor = max(self.factor * numbers["factor"], least)
                    self.cooling, self.waited = int(numbers["cooldown"]), 0

    def state(self) -> dict[str, Any]:
        """Return the state from which another training can continue."""
        plateau = np.array([self.factor, self.best, self.waited, self.cooling], float)
        return {"plateau": plateau, "watched": self._watched()}

    def _watched(self) -> str:
        return f"{self.monitor} {'max' if self._higher else 'min'}"


_BLOCK = 64
"""Factors are computed in whole blocks: on some CPUs, NumPy rounds the values of partial vectors differently."""


class RateSchedule:
    """A checked schedule. ``factors`` computes the factors for a call into C; None if all are 1.

    ``reacts`` is whether the factor of an epoch is known only after the epoch before; ``before`` is the state of a
    resumed training, whose plateau schedule continues.
    """

    def __init__(self, model: Model, schedule: Any, total: int | None, before: dict[str, Any] | None = None) -> None:
        self.model = model
        self.total = total
        self.array: Any = None
        self.function: Callable[[int], Any] | None = None
        self.plateau: Plateau | None = None
        self._before = before
        self.name = "array"
        self.of_updates = False
        self.parameters: dict[str, float] = {}
        if isinstance(schedule, str) or (
            isinstance(schedule, tuple) and len(schedule) == 2 and isinstance(schedule[0], str)
        ):
            self._choose(*((schedule, {}) if isinstance(schedule, str) else schedule))
        elif callable(schedule):
            self.name, self.function = "function", schedule
        else:
            self._take(schedule)

    @property
    def reacts(self) -> bool:
        """Return whether each epoch must end before the factor of the next is known."""
        return self.function is not None or self.plateau is not None

    def _choose(self, name: str, parameters: Any) -> None:
        self.name = name
        known: dict[str, Number] = {}
        texts: dict[str, str | None] = {}
        if name == "plateau":
            known, texts = Plateau.parameters, Plateau.texts
        elif name != "constant":
            if name not in SCHEDULES:
                there = ", ".join(("constant", *SCHEDULES, "plateau"))
                raise ValueError(f"there is no schedule {name!r}; there are: {there}")
            entry = SCHEDULES[name]
            self.of_updates, known = entry.of_updates, entry.parameters
            if entry.needs_total and self.total is None:
                raise ValueError(f"the schedule {name} needs to know the number of epochs: use train, or another one")
        if not isinstance(parameters, dict):
            raise ValueError(f"a schedule is a name, (name, {{parameter: number}}) or an array, not {parameters!r}")
        for key in parameters:
            if key not in known and key not in texts:
                there = ", ".join((*known, *texts)) or "none"
                raise ValueError(f"the schedule {name} has no {key!r}; it has: {there}")
        self.parameters = {
            key: number(self.model, f"{key} of the schedule", parameters.get(key, default), low, high, excludes_low)
            for key, (default, low, high, excludes_low) in known.items()
        }
        if name == "plateau":
            chosen_texts = {key: value for key, value in parameters.items() if key in texts}
            self.plateau = Plateau(chosen_texts, self.parameters, self._before)

    def _take(self, factors: Any) -> None:
        try:
            self.array = np.array(factors, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a schedule is a name, (name, {{parameter: number}}), an array of factors or a function of the epoch, "
                f"not {factors!r}"
            ) from error
        if self.array.ndim != 1 or not np.isfinite(self.array).all() or (self.array < 0).any():
            raise ValueError("a schedule as an array has one factor for each epoch, finite and none below 0")
        if self.total is not None and len(self.array) < self.total:
            raise ValueError(f"the schedule has {len(self.array)} factors, but there are {self.total} epochs")

    def _asked(self, epoch: int) -> float:
        """Return the factor of the next epoch, after ``epoch`` epochs, from the user's function."""
        assert self.function is not None
        return number(
            self.model, f"the factor of the schedule after {epoch} epochs", self.function(epoch), 0, math.inf, False
        )

    def factors(self, first: int, count: int, updates: int) -> Array | None:
        """Return the factors of some epochs, or of their updates: ``updates`` for each epoch."""
        if self.array is not None:
            if first + count > len(self.array):
                raise ValueError(f"the schedule has {len(self.array)} factors, but this is epoch {first + count}")
            return np.ascontiguousarray(self.array[first : first + count])
        if self.name == "constant":
            return None
        if self.plateau is not None:
            return np.full(count, self.plateau.factor)
        if self.function is not None:
            return np.array([self._asked(epoch) for epoch in range(first, first + count)])
        parts = updates if self.of_updates else 1
        begin, end = first * parts, (first + count) * parts
        start = begin // _BLOCK * _BLOCK
        number = np.arange(start, -(-end // _BLOCK) * _BLOCK + 1)
        ends = number / parts  # a quotient of two integers, independent of ``first``
        total = math.inf if self.total is None else float(self.total)
        epoch = np.minimum(ends[:-1], total)  # the schedules have a value after the last update, too
        value = np.asarray(SCHEDULES[self.name].function(epoch, total, ends[1:], **self.parameters), dtype=float)
        return np.ascontiguousarray(value[begin - start : end - start])
