"""A fit with NumPy: Levenberg and Marquardt, as ``fit.h``, ``endings.h`` and ``polish.h`` of the runtime lead them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncodegen.runtime.python.fit_watch import FitWatch
from nncodegen.runtime.python.problem import ENDS
from nncodegen.runtime.python.share import is_ended
from nncodegen.slow.rows import FitRows, NotConvexError, Problem, Rows
from nncodegen.slow.system import Point

Array = NDArray[Any]

LAST_STEPS = 20
FIRST_RADIUS, LEAST_RADIUS = 0.305, 1e-3
"""See fit.h."""


class Limits(NamedTuple):
    """Bounds of all parameters (P,), when to end, and the type of the parameters."""

    lower: Array
    upper: Array
    tolerance: float
    max_iterations: int
    dtype: np.dtype[Any]


@dataclass
class Found:
    """What a fit has come to."""

    parameters: Array
    point: Point
    ending: str
    iterations: int
    evaluations: int
    sample: int = 0

    @property
    def status(self) -> int:
        """The number of its ending."""
        return ENDS.index(self.ending)


class Fit:
    """A fit under way."""

    def __init__(
        self, rows: FitRows, problem: Problem, limits: Limits, start: Array, costs: Array, watch: FitWatch | None
    ) -> None:
        self._rows, self._problem, self._limits, self._costs, self._watch = rows, problem, limits, costs, watch
        self.cost = np.nan
        if watch is not None:
            watch.native = self
        self._place = start.astype(float)
        self._rounding = float(np.finfo(limits.dtype).eps)
        self._doubt = self._rounding**0.5 if rows.curved else max(10, len(problem.free)) * self._rounding
        self._least = max(limits.tolerance, 4 * self._rounding)
        self.iterations, self.evaluations, self._sample = 0, 0, 0

    def run(self) -> Found:
        """The solution."""
        try:
            first = self._evaluate(self._place)
            self._here = self._look(first, np.zeros(len(self._problem.free)))
            ending = self._begin(first)
            if ending in ("cost", "step", "gradient") and not self._is_minimum():
                ending = "stationary"
            if ending in ("cost", "step", "gradient"):
                self._polish(max(1e-13, 1e-5 * self._limits.tolerance))
        except NotConvexError as error:
            ending, self._sample = "not_convex", error.sample
            nothing = np.zeros(len(self._problem.free))
            empty = Rows(np.nan, np.nan, 0, np.zeros((len(nothing),) * 2), nothing, nothing, np.ones((2, 0), bool))
            self._here = self._look(empty, nothing)
        self._look_again()
        self._watch = None  # no cycle: memory is free at once
        return Found(self._place, self._here, ending, self.iterations, self.evaluations, self._sample)

    def parameters(self) -> Array:
        """Return a copy of the best parameters so far."""
        found: Array = self._place.astype(self._limits.dtype)
        return found

    def _begin(self, first: Rows) -> str:
        if not first.finite:
            empty = np.zeros_like(first.triangle)
            broken = first._replace(cost=np.nan, chi2=np.nan, triangle=empty, gradient=first.side * 0)
            self._here = self._look(broken, np.zeros(len(first.side)))
            return "not_finite"
        self.cost = first.cost
        return self._descend() if first.used else "no_data"

    def _evaluate(self, parameters: Array) -> Rows:
        self.evaluations += 1
        return self._rows(self._problem, parameters)

    def _tried(self, trial: Array) -> Rows:
        """The rows at parameters that are tried: not finite where a guard loses the sign that it has (guards.h)."""
        rows = self._evaluate(trial)
        lost = bool((self._here.rows.signs & ~rows.signs).any())
        return rows._replace(cost=np.nan) if lost else rows

    def _look(self, rows: Rows, scale: Array) -> Point:
        """What the rows at the parameters tell."""
        free, limits = self._problem.free, self._limits
        return Point(
            rows, self._place[free], limits.lower[free], limits.upper[free], scale, self._rows.curved, self._doubt
        )

    def _look_again(self) -> None:
        """The point as it is, not scaled by where the fit has come from."""
        self._here = self._look(self._here.rows, np.zeros(len(self._problem.free)))

    def _descend(self) -> str:
        """Steps until the fit ends."""
        self._radius, self._damping = self._first_radius(), 0.0
        while True:
            if self._here.largest_cosine() <= self._limits.tolerance:
                return "gradient"
            if self.iterations >= self._limits.max_iterations:
                return "max_iterations"
            ending = self._try_step()
            self.cost = self._here.rows.cost
            self._costs[(self.iterations - 1) % len(self._costs)] = self.cost
            ended = self._is_ended_by_caller()
            if ending or ended:
                return ending or "interrupted"

    def _is_ended_by_caller(self) -> bool:
        """Return whether what watches the fit, or another thread, ends it after a step."""
        watch = self._watch
        if is_ended() or (watch is not None and watch.asks and watch.stops()):
            return True
        return watch is not None and watch.after_each and watch.calls()

    def _first_radius(self) -> float:
        here, telling = self._here, np.count_nonzero(self._here.length)
        if telling < len(here.length) and telling == here.system(here.held, np.zeros(len(here.length))).rank:
            return np.inf
        length, residuals = here.scaled_length, float(np.sqrt(2 * here.size))
        return (max(FIRST_RADIUS * length, LEAST_RADIUS * residuals) if length > 0 else residuals) or 1.0

    def _placed(self, step: Array) -> tuple[Array, Array]:
        """The parameters a step further, within the bounds; and what is left of the step after rounding."""
        free, limits, here = self._problem.free, self._limits, self._here
        lower, upper = limits.lower[free], limits.upper[free]
        value = np.clip((here.place + step).astype(limits.dtype).astype(float), lower, upper)
        value = np.where(step == here.low, lower, np.where(step == here.high, upper, value))
        trial = self._place.copy()
        trial[free] = value
        return trial, value - here.place

    def _try_step(self) -> str:
        """One step that is tried. Returns how the fit has ended; nothing if it goes on."""
        here, tolerance = self._here, self._limits.tolerance
        step, self._damping = here.limited_step(self._radius, self._damping)
        length = here.length_of(step)
        trial, step = self._placed(step)
        expected, slope = here.predicted_fall(step)
        rows = self._tried(trial)
        gain = here.rows.cost - rows.cost if rows.finite else -np.inf
        ratio = gain / expected if expected > 0 else 0.0
        limited = self._damping > 0
        if self.iterations == 0 and length < self._radius:
            self._radius = length
        self.iterations += 1
        self._adapt(ratio, gain, slope, length)
        size = here.size
        is_short = length <= tolerance * (here.scaled_length + tolerance * np.sqrt(2 * size))
        is_flat = expected <= self._least * size
        taken = rows.finite and (ratio > 1e-4 or (gain >= 0 and (is_short or is_flat)))
        if taken:
            self._place = trial
            self._here = self._look(rows, here.scale)
            if ratio > 0.25 and gain <= self._least * size and self._here.possible_fall() <= self._least * size:
                return "cost"
        if not (is_short or expected <= 4 * self._rounding * size) or (limited and ratio > 0.25):
            return ""
        if not limited and (taken or is_flat):
            return "step" if is_short else "cost"
        return self._end_of_radius()

    def _end_of_radius(self) -> str:
        """How a fit has ended whose steps are too short to be seen in the cost."""
        here, fall = self._here, self._here.possible_fall()
        if fall <= self._least * here.size or here.largest_cosine() ** 2 <= self._least:
            return "step"
        squares = here.scaled_length**2 + self._rows.squares(self._problem, self._place)
        noise = 4 * self._rounding * np.sqrt(squares)
        return "cost" if fall <= noise * (np.sqrt(2 * here.size) + noise / 2) else "stalled"

    def _is_minimum(self) -> bool:
        """Whether the cost falls nowhere nearby, where derivatives by parameters are 0; with none, it must rise."""
        self._look_again()
        here = self._here
        flat = here.length == 0
        if not flat.any() or not here.size > 0:
            return True
        parts = np.where(here.place != 0, abs(here.place), 1.0) / 32
        alternating = np.where(np.cumsum(flat) % 2 == 1, 1.0, -1.0)
        each = [sign * row for row in np.eye(len(flat))[flat] for sign in (1.0, -1.0)]
        doubt, rises = 16 * self._rounding * here.size, False
        for signs in (*each, *(sign * flat * row for row in (np.ones(len(flat)), alternating) for sign in (1.0, -1.0))):
            step = signs * parts
            if (step < here.low).any() or (step > here.high).any():
                continue
            rows = self._tried(self._placed(step)[0])
            if rows.finite and rows.cost < here.rows.cost - doubt:
                return False
            rises |= rows.finite and rows.cost > here.rows.cost + doubt
        return rises or not flat.all()

    def _adapt(self, ratio: float, gain: float, slope: float, length: float) -> None:
        """Another radius of trust, after a step."""
        if not ratio > 0.25:
            part = 0.5 if gain >= 0 else 0.5 * slope / (slope + gain)
            part = part if part > 0.1 else 0.1  # noqa: FURB136 (max would keep NaN)
            self._radius = part * min(10 * length, self._radius)
            self._damping /= part
        elif self._damping == 0 or ratio >= 0.75:
            self._radius = 2 * length
            self._damping /= 2

    def _polish(self, tolerance: float) -> None:
        """The last digits: whole steps of Gauss-Newton, extrapolated (Walker and Ni, Anderson acceleration, 2011)."""
        last, before = np.inf, None
        for number in range(LAST_STEPS):
            self._look_again()
            here = self._here
            moves = here.held == 0
            whole = np.zeros(len(here.place))
            system = here.system(here.held, whole)
            whole[system.moving] = system.solution(0.0) * here.by_scale[system.moving]
            length = here.length_of(whole)
            inside = not (moves & ((whole < here.low) | (whole > here.high))).any()
            if not length < (3 * last if number == 1 else last) or not inside:
                return
            step = whole if before is None else _extrapolated(here, whole, *before)
            before = whole, here.place
            trial, step = self._placed(step)
            sizes = np.maximum(abs(here.place), 1e-3 * here.scaled_length * here.by_scale)
            change = float(np.max(abs(step[sizes > 0]) / sizes[sizes > 0], initial=0.0))
            factor = length / last if number > 0 and length < 0.9 * last else 0.9
            rows = self._tried(trial)
            if not rows.finite or rows.cost > here.rows.cost + 1e-9 * here.size:
                return
            self._place, self._here = trial, self._look(rows, here.scale)
            if change * factor <= tolerance * (1 - factor):
                return
            last = length


def _extrapolated(here: Point, step: Array, last_step: Array, last_place: Array) -> Array:
    """A step, changed by what the one before it tells."""
    weights, difference = np.where(here.held == 0, here.scale**2, 0.0), step - last_step
    square = float(weights @ difference**2)
    factor = float(weights @ (step * difference)) / square if square > 0 else 0.0
    way = here.place - last_place
    return np.where(here.held == 0, step - factor * (way + difference), 0.0)
