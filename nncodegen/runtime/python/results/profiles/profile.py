"""Profiles of one fit: what the data say of its parameters, as curves, intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...ground.facts import name_of
from ...ground.frames import frame_of
from ...ground.markup import aligned, paragraph, table
from ...native.model import result_of_model
from ..base import Shown
from ..saved import write_archive
from .follow import Followed
from .joined import Curves
from .saved import arrays_of_profiles
from .verdicts import Verdict

if TYPE_CHECKING:
    from os import PathLike

    from ...ground.types import Array
    from .axis import Axis


class Scale(NamedTuple):
    """The least cost, half of the error scale, and the rise at the level: numbers, or arrays for many fits."""

    cost: Any
    half: Any
    level_rise: Any


class Profile:
    """The profile of one parameter: the best cost for each of its values, the other parameters fitted.

    name        that of the parameter
    value       its best value
    interval    (low, high), where the profile crosses the level: infinite where it does not, a bound where that comes
                first, NaN where a time limit came before
    verdict     what the data say of it, as a ``Verdict``
    level_rise  the rise at the level
    """

    __slots__ = ("_axis", "_cost", "_curves", "_half", "interval", "level_rise", "name", "value", "verdict")

    def __init__(
        self, name: str, verdict: Verdict, interval: tuple[float, float], curves: Curves, axis: Axis, scale: Scale
    ) -> None:
        self.name, self.verdict, self.interval = name, verdict, interval
        self.value = float(axis.best[0])
        self._curves = curves
        self._cost, self._half, self.level_rise = scale
        self._axis = axis

    @property
    def values(self) -> Array:
        """Return the values at which the others were fitted, (K,), rising."""
        return self._curves.values

    @property
    def rises(self) -> Array:
        """Return the rises of the cost there, (K,), in units of half the error scale: 1 is one standard error away."""
        rises: Array = self.level_rise * self._curves.z**2
        return rises

    @property
    def costs(self) -> Array:
        """Return the costs there, (K,)."""
        costs: Array = self._cost + self._half * self.rises
        return costs

    @property
    def parameters(self) -> Array:
        """Return all parameters there, (K, P)."""
        return self._curves.points

    def __call__(self, value: Any) -> Array:
        """Return the best costs for some values of the parameter, interpolated; NaN beyond the ends of the profile."""
        costs: Array = self._cost + self._half * self.rise(value)
        return costs

    def rise(self, value: Any) -> Array:
        """Return the rises of the cost at some values, interpolated: within 1 % of that at the level, up to there."""
        shape, values = np.shape(value), np.asarray(value, float).ravel()
        u, known = self._axis.coordinate(values), self._curves.u
        if len(known) < 2:
            return np.where(values == self.value, 0.0, np.nan).reshape(shape)
        left = np.clip(np.searchsorted(known, u, side="right") - 1, 0, len(known) - 2)
        roots = self._curves.at(left, u, self._curves.slopes())
        inside = (values >= self.values[0]) & (values <= self.values[-1])
        rises: Array = np.where(inside, self.level_rise * roots**2, np.nan).reshape(shape)
        return rises


@result_of_model
class Profiles(Shown):
    """The profiles of some parameters of a fit: ``profiles["k"]`` is the ``Profile`` of one.

    names      those of the n parameters
    level      the probability of the intervals
    intervals  (n, 2), the ends where each profile crosses the level
    verdicts   what the data say of each, as n texts
    result     the fit; another one if a profile came to a lower cost than the fit from which all of them began
    status     "completed", or "time_limit" if the time was over before
    """

    def __init__(
        self,
        result: Any,
        names: tuple[str, ...],
        level: float,
        scale: Scale,
        followed: Followed,
        verdicts: Sequence[Verdict],
    ) -> None:
        self.result, self.names, self.level = result, names, level
        self._scale, self._followed, self._verdicts = scale, followed, verdicts

    @property
    def intervals(self) -> Array:
        """Return the ends of the intervals, (n, 2)."""
        return self._followed.intervals

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Return what the data say of each parameter, as a text."""
        return tuple(verdict.text for verdict in self._verdicts)

    @property
    def status(self) -> str:
        """Return "completed", or "time_limit" if some profile was not followed to its ends."""
        return "time_limit" if np.isnan(self.intervals).any() else "completed"

    def __getitem__(self, name: Any) -> Profile:
        """Return the profile of a parameter by its name or its SymPy symbol. Raises KeyError."""
        name = name_of(name)
        if name not in self.names:
            raise KeyError(f"there is no profile of {name!r}; there are: {', '.join(self.names)}")
        place = self.names.index(name)
        every, axis = self._followed.curves, self._followed.axis
        part = slice(*every.begins[place : place + 2].tolist())
        curves = Curves(np.array([0, part.stop - part.start]), *(array[part] for array in every[1:]))
        low, high = self.intervals[place].tolist()
        return Profile(name, self._verdicts[place], (low, high), curves, axis.of_curves(np.array([place])), self._scale)

    def __iter__(self) -> Iterator[Profile]:
        return (self[name] for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each point of each profile.

        Its columns are profile, the name of the parameter that is held; value, cost and rise; then all parameters.
        Raises MissingDependencyError without pandas.
        """
        curves = self._followed.curves
        cost, half, level_rise = self._scale
        rises = level_rise * curves.z**2
        columns: dict[str, Any] = {
            "profile": np.array(self.names, object)[curves.curves],
            "value": curves.values,
            "cost": cost + half * rises,
            "rise": rises,
        }
        parameters = dict(zip(self.result.names, curves.points.T, strict=True))
        return frame_of(columns | {f"parameter {name}": values for name, values in parameters.items()})

    def plot(self, axes: Any = None) -> Any:
        """Draw the profiles with matplotlib: a picture for each parameter, on ``axes`` or those of a new figure.

        The line is the profile, dashed the parabola of the standard error, across the level; the interval is marked,
        and the verdict is the title. Returns the figure. Raises MissingDependencyError without matplotlib.
        """
        from .plot import plot_profiles  # noqa: PLC0415 (matplotlib is optional)

        return plot_profiles(self, axes)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profiles with their fit to a file, an .npz archive, from which the module's ``load`` reads them.

        A file of that name is replaced atomically. Raises ValueError for a fit that cannot be saved.
        """
        write_archive(path, arrays_of_profiles(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the profiles and their fit; the module of the fit makes them again."""
        return self.result._model.empty_result, (type(self).__name__,), vars(self)

    @property
    def standard_errors(self) -> Array:
        """Return the standard errors of what was followed, (n,)."""
        names, errors = self.result.names, self.result.standard_errors.tolist()
        if set(self.names) - set(names):
            names = (*names, *self.result.derived.names)
            errors = [*errors, *self.result.derived.standard_errors.tolist()]
        by_name = dict(zip(names, errors, strict=True))
        return np.array([by_name[name] for name in self.names])

    def _rows(self) -> list[tuple[str, ...]]:
        columns = self._followed.axis.best, self.standard_errors, *self.intervals.T
        texts = [[number(value) for value in column.tolist()] for column in columns]
        return list(zip(self.names, *texts, self.verdicts, strict=True))

    def __str__(self) -> str:
        head = ("", "value", "standard error", *self._ends(), "")
        title = f"{self.result.model_name}: profiles of {len(self)} parameter{'s' * (len(self) != 1)}{self._outcome()}"
        return "\n".join([title, "", *aligned(head, self._rows(), (0, 5))])

    def _repr_html_(self) -> str:
        head = ("", "value", "standard error", *self._ends(), "")
        return f"<div>{paragraph(f'{self.result.model_name}: profiles', 'b')}{table(head, self._rows())}</div>"

    def _ends(self) -> tuple[str, str]:
        return f"{100 * self.level:g} % from", "to"

    def _outcome(self) -> str:
        return "" if self.status == "completed" else ", not all followed to their ends: raise time_limit"

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for verdict in self._verdicts:
            counts[verdict.word] = counts.get(verdict.word, 0) + 1
        return f"<Profiles: {', '.join(f'{count} {word}' for word, count in counts.items())}>"


def number(value: float) -> str:
    """Return a number as tables show it."""
    return "" if math.isnan(value) else f"{value:.6g}"
