"""Profiles of many fits: what the data of each say of its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.frames import frame_of
from ...ground.markup import aligned, paragraph, table
from ...native.model import result_of_model
from ..base import Shown
from ..saved import write_archive
from .follow import Followed
from .of_fit import verdicts_of
from .profile import Profiles, Scale, number
from .saved import arrays_of_many
from .verdicts import IDENTIFIABLE, NOT_IDENTIFIABLE, ONE_SIDED, UNKNOWN
from .walk import BOUND, UNFINISHED

if TYPE_CHECKING:
    from os import PathLike

    from ...ground.types import Array

WORDS = (NOT_IDENTIFIABLE, ONE_SIDED, IDENTIFIABLE, UNKNOWN)
"""The words of verdicts, by the number of sides on which the data bound a parameter; the last if nobody knows."""


@result_of_model
class ManyProfiles(Shown):
    """The profiles of n parameters or quantities of each of M fits. ``profiles[m]`` are the ``Profiles`` of fit m.

    names      those of the parameters
    level      the probability of the intervals
    intervals  (M, n, 2), the ends where each profile crosses the level; NaN for fits that have no profiles
    verdicts   (M, n), what the data say of each, as words: "identifiable", "bounded from one side only", "not
               identifiable", "not followed to its ends"; ``profiles[m]`` has the whole sentences
    counts     the number of profiles for each of these words
    lower      (M,), whether a profile came to a lower cost than the fit
    """

    def __init__(
        self,
        fits: Any,
        places: Array,
        positions: Array,
        level: float,
        scale: Scale,
        followed: Followed,
        quantities: tuple[str, ...] = (),
    ) -> None:
        self._fits, self._places, self._positions = fits, places, positions
        self.level, self._scale, self._followed = level, scale, followed
        self.names = (*(fits.names[position] for position in positions), *quantities)

    @property
    def intervals(self) -> Array:
        """Return the ends of the intervals, (M, n, 2)."""
        intervals = np.full((len(self._fits), len(self.names), 2), np.nan)
        intervals[self._places] = np.moveaxis(self._of_each(self._followed.intervals), 0, 1)
        return intervals

    @property
    def verdicts(self) -> Array:
        """Return what the data say of each parameter, as a word, (M, n)."""
        ends, intervals = (self._of_each(part) for part in (self._followed.ends, self._followed.intervals))
        sides = (np.isfinite(intervals) & (ends != BOUND)).sum(axis=2)
        numbers = np.where((ends == UNFINISHED).any(axis=2), len(WORDS) - 1, sides)
        words = np.full((len(self._fits), len(self.names)), UNKNOWN, f"U{max(map(len, WORDS))}")
        words[self._places] = np.array(WORDS)[numbers].T
        return words

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of profiles for each verdict that occurs."""
        words = self.verdicts
        counts = {word: int(np.count_nonzero(words == word)) for word in reversed(WORDS)}
        return {word: count for word, count in counts.items() if count}

    @property
    def lower(self) -> Array:
        """Return whether a profile came to a lower cost than the fit, (M,)."""
        lower = np.zeros(len(self._fits), bool)
        lower[self._places[list(self._followed.lower)]] = True
        return lower

    def _of_each(self, values: Array) -> Array:
        """Return values of all curves by parameters and fits."""
        return values.reshape(len(self.names), len(self._places), 2)

    def __getitem__(self, m: int) -> Profiles:
        """Return the profiles of fit m, with verdicts in whole sentences. A negative index counts from the end.

        Raises IndexError for an index out of range, ValueError for a fit that has no profiles.
        """
        count = len(self._fits)
        if not -count <= index(m) < count:
            raise IndexError(f"there is no fit {m}: there are {count}, from 0")
        place = np.flatnonzero(self._places == index(m) % count)
        if not len(place):
            status = self._fits.status[m]
            raise ValueError(f"fit {m} has no profiles: its status is {status!r}, or it has no degrees of freedom")
        result, whole = self._fits[m], self._followed
        some = whole.some(place[0] + np.arange(len(self.names)) * len(self._places))
        if int(place[0]) in whole.lower:
            some = some._replace(lower={0: whole.lower[int(place[0])]})
        verdicts = verdicts_of(result, self._positions, some)
        if some.lower:
            result = result._again_from(some.lower[0][1])
        return Profiles(
            result, self.names, self.level, Scale(*(float(part[place[0]]) for part in self._scale)), some, verdicts
        )

    def __iter__(self) -> Iterator[Profiles]:
        return (self[m] for m in range(len(self)))

    def __len__(self) -> int:
        return len(self._fits)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each fit: NAME, NAME_low, NAME_high and NAME_verdict.

        Raises MissingDependencyError without pandas.
        """
        columns: dict[str, Any] = {}
        intervals, verdicts = self.intervals, self.verdicts
        values = [*self._fits.parameters.T[self._positions]]
        values += [self._fits.derived[name] for name in self.names[len(values) :]]
        for k, (name, column) in enumerate(zip(self.names, values, strict=True)):
            columns[name] = column
            columns[f"{name}_low"], columns[f"{name}_high"] = intervals[:, k].T
            columns[f"{name}_verdict"] = verdicts[:, k]
        return frame_of(columns, range(len(self)), "fit")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profiles and their fits to a file, an .npz archive, from which the module's ``load`` reads them.

        What has been read so has no data: ``profiles[m]``, which needs those of fit m, is not there.
        """
        write_archive(path, arrays_of_many(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the profiles and their fits; the module of the fits makes them again."""
        return self._fits._model.empty_result, (type(self).__name__,), vars(self)

    def _rows(self) -> list[tuple[str, ...]]:
        rows, words, intervals = [], self.verdicts, self.intervals
        for k, name in enumerate(self.names):
            counts = tuple(f"{np.count_nonzero(words[:, k] == word):,}" for word in reversed(WORDS))
            widths = np.diff(intervals[:, k], axis=1)
            width = float(np.median(widths[np.isfinite(widths)])) if np.isfinite(widths).any() else np.nan
            rows.append((name, *counts, number(width)))
        return rows

    def _head(self) -> tuple[str, ...]:
        return ("", *reversed(WORDS), f"median width of {100 * self.level:g} %")

    def __str__(self) -> str:
        title = f"{self._fits._model.name}: profiles of {len(self.names)} parameters of {len(self):,} fits"
        return "\n".join([title, "", *aligned(self._head(), self._rows())])

    def _repr_html_(self) -> str:
        title = paragraph(f"{self._fits._model.name}: profiles of {len(self):,} fits", "b")
        return f"<div>{title}{table(self._head(), self._rows())}</div>"

    def __repr__(self) -> str:
        return f"<ManyProfiles: {', '.join(f'{count} {word}' for word, count in self.counts.items())}>"
