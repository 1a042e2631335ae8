"""The figures of the epochs of a training, with a table for each call of the kernel, and the learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arguments.measures import COLUMNS, Measure

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..results.result import Result


class History:
    """The figures of all epochs: ``names`` are the measured ones, ``columns`` is the width of the tables.

    The columns of figures that the kernel does not measure come after those of the kernel.
    """

    def __init__(self, metrics: tuple[Measure, ...] = (), validates: bool = False, without_loss: bool = False) -> None:
        self.names: tuple[str, ...] = ("loss",)
        self.columns, self._places = 1, {"loss": 0}
        if metrics or validates:
            self._add(metrics, ("", "val_") if validates else ("",))
        self._shown = () if without_loss else self.names
        self._tables: list[tuple[int, Array]] = []  # the first epoch of each table, and its figures

    def _add(self, metrics: tuple[Measure, ...], parts: tuple[str, ...]) -> None:
        """Add metrics, and the loss and metrics of validation."""
        native = {
            f"{part}{metric.name}": f"{part}{metric.native}" for part in parts for metric in metrics if metric.native
        }
        known = {**{f"{part}loss": f"{part}loss" for part in parts}, **native}
        self.names = tuple(f"{part}{name}" for part in parts for name in ("loss", *(metric.name for metric in metrics)))
        self._places = {name: COLUMNS.index(column) for name, column in known.items()}
        for name in self.names:
            self._places.setdefault(name, len(COLUMNS) + len(self._places) - len(known))
        self.columns = max(len(COLUMNS), *(place + 1 for place in self._places.values()))

    def table(self, first: int, count: int) -> Array:
        """Return a new table for some epochs; rows that are never written take no memory."""
        figures = np.empty((count, self.columns))
        if self.columns > len(COLUMNS):
            figures[:, len(COLUMNS) :] = np.nan  # these stay NaN if their computation, after an epoch, is interrupted
        self._tables.append((first, figures))
        return figures

    def note(self, figures: Array, name: str, value: float) -> None:
        """Write a figure that the kernel does not measure to the row of its epoch."""
        figures[self._places[name]] = value

    def last(self, done: int) -> dict[str, float]:
        """Return the figures of the last of ``done`` epochs; an empty dictionary before the first is done."""
        for first, figures in reversed(self._tables):
            if done > first:
                row = figures[done - first - 1]
                return {name: float(row[self._places[name]]) for name in self._shown}
        return {}

    def metrics(self, done: int, resumed: Result | None) -> dict[str, Array]:
        """Return the figures of ``done`` epochs by name; those of a resumed training come first."""
        tables = [figures[: max(0, done - first)] for first, figures in self._tables]
        whole = len(tables) == 1 and len(tables[0]) == len(self._tables[0][1])
        if whole and self.columns == 1 and resumed is None:
            return {"loss": tables[0].reshape(-1)}  # no copy: fresh memory would take longer than a short epoch
        table = np.concatenate(tables or [np.empty((0, self.columns))])
        if resumed is None:
            return {name: table[:, self._places[name]].copy() for name in self.names}
        before, missing = resumed.metrics, np.full(resumed.epochs, np.nan)
        places = self._places
        return {name: np.concatenate([before.get(name, missing), table[:, places[name]]]) for name in self.names}


class Rates:
    """The learning rates of the epochs; that of an epoch is the rate of its last update.

    They follow from the factors that the kernel was given, which multiply ``rate``. ``rate`` is None if the steps of
    the optimizer have no learning rate.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._parts: list[tuple[int, Array]] = []  # the first epoch of each call, and the rates of its epochs

    def add(self, first: int, factors: Array | None, each: int) -> None:
        """Store the factors of a call, ``each`` for each of its epochs; None if all are 1."""
        if self.rate is not None and factors is not None:
            self._parts.append((first, self.rate * factors[each - 1 :: each]))

    def of_all(self, done: int, resumed: Result | None) -> float | Array | None:
        """Return the rates of ``done`` epochs, those of a resumed training first; one number if all are equal."""
        before, begun = (self.rate, 0) if resumed is None else (getattr(resumed, "_rate", None), resumed.epochs)
        if self.rate is None or (not self._parts and isinstance(before, float) and before == self.rate):
            return self.rate
        rates = np.full(done, self.rate)
        rates[:begun] = np.nan if before is None else before  # old files do not hold them
        for first, part in self._parts:
            last = min(first + len(part), done)
            rates[first:last] = part[: last - first]
        return rates
