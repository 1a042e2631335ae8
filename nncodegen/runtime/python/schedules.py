"""Learning-rate schedules by name: each is one entry, a function of where the training is. To add one, add an entry.

The schedule "plateau" is none of these: it follows from what was measured.

A schedule gives factors of the learning rate. ``epoch`` is an array: for each update, the epochs done before it, a
number with a fraction, or for each epoch, a whole number; ``total`` is the number of epochs in all, and ``end`` the
epochs done after the update, or the epoch. A factor depends only on its own number, to the last bit: a training may be
cut into calls anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .scalars import number
from .watching import choose_mode

if TYPE_CHECKING:
    from .measures import Measure
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


class Plateau:
    """Multiplies the learning rate by a factor below 1 where a figure does not get better: as Keras' ReduceLROnPlateau.

    ``factor`` is that of the learning rate now, ``best`` the best figure, with the sign changed where more is better,
    ``waited`` the epochs without a better one, ``cooling`` the epochs in which nothing is counted.
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "factor": Parameter(0.1, high=1, excludes_low=True),
        "patience": Parameter(10),
        "min_delta": Parameter(1e-4),
        "cooldown": Parameter(0),
        "min_lr": Parameter(0),
    }
    texts: ClassVar[dict[str, str | None]] = {"monitor": None, "mode": "auto"}

    def __init__(self, given: dict[str, Any], numbers: dict[str, float], before: dict[str, Any] | None) -> None:
        self._given, self._numbers, self._before = {**self.texts, **given}, numbers, before
        for key in ("patience", "cooldown"):
            if numbers[key] != math.floor(numbers[key]):
                raise ValueError(f"{key} of the schedule must be a whole number of epochs, not {numbers[key]}")
        if self._given["mode"] not in ("auto", "min", "max"):
            raise ValueError(f"mode of the schedule must be 'auto', 'min' or 'max', not {self._given['mode']!r}")
        self.monitor, self._higher = "", False
        self.factor, self.best, self.waited, self.cooling = 1.0, math.inf, 0, 0

    def watch(self, names: tuple[str, ...], monitor: str, mode: str, metrics: tuple[Measure, ...]) -> None:
        """Sets what is looked at: of these names the one that was given, or else ``monitor``."""
        own = self._given["monitor"]
        if own is not None and own not in names:
            raise ValueError(
                f"monitor of the schedule is {own!r}, which is not measured; there are: {', '.join(names)}"
            )
        self.monitor = monitor if own is None else own
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
        """Takes note of the figures of an epoch; ``rate`` is what the factor is one of."""
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
        """Return what another training needs to go on."""
        found = np.array([self.factor, self.best, self.waited, self.cooling], float)
        return {"plateau": found, "watched": self._watched()}

    def _watched(self) -> str:
        return f"{self.monitor} {'max' if self._higher else 'min'}"


_BLOCK = 64
"""Factors are computed in whole blocks: on some CPUs, NumPy rounds values that fill no vector differently."""


class Schedule:
    """A checked schedule. ``factors`` computes those that a call into C needs; None where all are 1.

    ``reacts`` tells whether the factor of an epoch is known only after the one before; ``before`` is the state of a
    training that is resumed, whose plateau goes on.
    """

    def __init__(self, model: Model, given: Any, total: int | None, before: dict[str, Any] | None = None) -> None:
        self.model = model
        self.total = total
        self.array: Any = None
        self.function: Callable[[int], Any] | None = None
        self.plateau: Plateau | None = None
        self._before = before
        self.name = "array"
        self.of_updates = False
        self.parameters: dict[str, float] = {}
        if isinstance(given, str) or (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)):
            self._choose(*((given, {}) if isinstance(given, str) else given))
        elif callable(given):
            self.name, self.function = "function", given
        else:
            self._take(given)

    @property
    def reacts(self) -> bool:
        """Tell whether each epoch must be over before the factor of the next is known."""
        return self.function is not None or self.plateau is not None

    def _choose(self, name: str, parameters: Any) -> None:
        self.name = name
        known: dict[str, Parameter] = {}
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
            given = {key: value for key, value in parameters.items() if key in texts}
            self.plateau = Plateau(given, self.parameters, self._before)

    def _take(self, given: Any) -> None:
        try:
            self.array = np.array(given, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a schedule is a name, (name, {{parameter: number}}), an array of factors or a function of the epoch, "
                f"not {given!r}"
            ) from error
        if self.array.ndim != 1 or not np.isfinite(self.array).all() or (self.array < 0).any():
            raise ValueError("a schedule as an array has one factor for each epoch, finite and none below 0")
        if self.total is not None and len(self.array) < self.total:
            raise ValueError(f"the schedule has {len(self.array)} factors, but there are {self.total} epochs")

    def _asked(self, epoch: int) -> float:
        """Ask the user's function for the factor of the epoch after so many."""
        assert self.function is not None
        return number(
            self.model, f"the factor of the schedule after {epoch} epochs", self.function(epoch), 0, math.inf, False
        )

    def factors(self, first: int, count: int, updates: int) -> Array | None:
        """The factors of some epochs, each of so many updates, or of their updates."""
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
        ends = number / parts  # the quotient of two integers, whichever is the first of them here
        total = math.inf if self.total is None else float(self.total)
        epoch = np.minimum(ends[:-1], total)  # behind the last update, too, the schedules have a value
        value = np.asarray(SCHEDULES[self.name].function(epoch, total, ends[1:], **self.parameters), dtype=float)
        return np.ascontiguousarray(value[begin - start : end - start])
