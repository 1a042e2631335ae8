"""Starting points for fits that are given none: drawn from the scales of the data, linear parameters projected out.

For given values of the others, least squares gives the parameters that enter linearly (variable projection; G. H.
Golub, V. Pereyra, 1973). So only the others are drawn, and many draws are compared by the cost that is left. What a
parameter means is not known: it may be a place, a length or a rate on the axis of an input, a number, or a value of the
data. Draws of all kinds compete; the best of them are combined and varied, and short fits begin at the best of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..ground.facts import slices
from ..ground.same_bits import refuse
from ..ground.share import is_ended
from ..ground.watch import ended_by
from .coordinates import Coordinates
from .curve_starts import curve_starts, exchanged, in_order
from .problem import Problem, of_samples
from .starting_points import reached

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model
    from .fit_watch import FitWatch

DRAWS, MOST_DRAWS = 768, 3072
"""The points that are drawn first for each parameter that is not linear, and the most of them."""

GENERATIONS, CHILDREN, PARENTS = 8, 384, 48
"""The number of times that points are bred, of points each time, and of the best that they come from."""

SAMPLES = 200
"""The most samples by which points are compared; they are spread evenly over the data."""

FITS, FITS_ONE_BY_ONE = 96, 12
"""The number of short fits, side by side or one after the other."""

MANY, FINALISTS = 2000, 8
"""With more samples, short fits are made to a half of this number first, and the best of them are fitted to all."""

ROUNDS, IN_VAIN = 5, 2
"""The most rounds of a search, and the number of them that find nothing better after which it ends."""

ENOUGH = 5
"""The least number of samples for each parameter with which the start of a curve that leaves noise ends a search."""

EXCHANGES = 4
"""The most times that curves of other kinds are tried in each other's places."""

BETTER = 1e-3
"""The share of the cost by which a round must lower it to count."""

NOISE = 3.0
"""The distance of the statistic of residuals below 2 that noise explains, in standard deviations, about 2/sqrt(N)."""

CHUNK = 128
"""The number of points that are compared at once: their derivatives are in memory."""

SOLUTION, SOLUTION_TIME = 1000, 10
"""The steps that a solution of differential equations may take in a first search, with an rtol of 1e-6, and how many
more for each time of a sample. A method of order 5 takes about 20 for an oscillation then: data do not determine more
than a few at each of their times, and most solutions that a fit ends at take a few hundred steps. Among six parameters
of Lotka and Volterra's equations drawn at random, a quarter takes all of 100,000 steps, and most of the time."""

UNEXPLAINED = 0.05
"""The share of the squares of data, less their mean, that a fit may leave. If the first search leaves more, a second
one lets solutions take as many steps as the model allows."""

HUGE = 1e100
"""Values from here on count as not finite: their squares may overflow."""

DEPENDENT = 1e-10
"""The share of a column that is left beside those before it, below which it counts as dependent on them."""

EQUAL, ROUNDING = 1e-6, 100
"""Costs count as equal if they differ by this share, or by what this many units of rounding of all data leave."""

BETWEEN = np.sqrt([2, 3, 5, 7, 11, 13]) % 1
"""Where a curve is looked at between two samples, as shares of the way: an alias that has nearly the same value at one
of them has another one elsewhere, as no number times all of these is nearly whole."""

SAME = 1e-6
"""Parameters that differ by less than this share are those of one minimum."""

CLEARLY = 0.9
"""A fit of equal cost is taken in place of the first one if its curve turns by less than this share of that."""


class Kind(NamedTuple):
    """A kind of quantity: 10**u * x**of_x * y**of_y, with u between two limits and typical scales of x and y.

    ``weight`` is how often it is drawn, relative to others.
    """

    of_x: int
    of_y: int
    low: float
    high: float
    weight: float


PLACE, FREQUENCY = 0, 1
"""The first kinds, which are not powers of ten: a value of x, and an angular frequency."""

KINDS = (
    Kind(1, 0, 0, 0, 5),  # a place
    Kind(-1, 0, 0, 0, 2),  # a frequency
    Kind(1, 0, -2.5, 1.5, 5),  # a length
    Kind(-1, 0, -1.5, 2.5, 5),  # a rate
    Kind(0, 0, -1.5, 1.5, 4),  # a number
    Kind(2, 0, -5, 1, 2),  # the square of a length
    Kind(-2, 0, -1, 5, 2),
    Kind(-3, 0, -1, 3, 1),  # coefficients of a polynomial
    Kind(0, 1, -1, 2, 1),  # a value of y
    Kind(0, -1, -2, 1, 1),
    Kind(-1, -1, -2, 2, 1),
)


def automatic_start(
    problem: Problem,
    start: Array,
    held: Array | None,
    seed: int,
    threads: int,
    watch: FitWatch | None,
    is_given: Array | None = None,
) -> tuple[Array, Array]:
    """Return where the best of many short fits began, and the parameters that it reached: (P,) each.

    ``start`` competes with the points that are drawn; fixed parameters keep its values. The starts of curves by name
    are tried first, and terms of equal kind come in the order of their places, unless ``is_given``, a mask (P,),
    says that the user gave their values. The result is the same for the same seed. If a watch ends the search, it is
    the best so far. Raises ValueError for a model that draws its start, or that has another loss than least squares.

    Solutions of differential equations are first limited to few steps. Those that end within them are the same without
    this limit, so that the fit goes on at the cost that was found.
    """
    check_automatic(problem.model)
    refuse(problem.model.facts, 'the search for a start, "auto",')
    if np.isnan(problem.Y).all():
        return start, start
    limit = usual_steps(problem.model)
    is_given = np.zeros(len(start), bool) if is_given is None else is_given
    best = _search(problem.limited(limit), start, held, seed, threads, watch, is_given)
    if limit and best.unexplained > UNEXPLAINED and not (watch and watch.reason):
        best = min(
            best, _search(problem, start, held, seed, threads, watch, is_given), key=lambda candidate: candidate.rank
        )
    begun, end = in_order(problem, np.array([best.begun, best.reached]), held, is_given)
    return begun, end


def usual_steps(model: Model) -> int:
    """Return the steps of a solution of differential equations in a first search; 0 for as many as the model allows."""
    steps = model.facts.steps
    if not steps.max_steps:
        return 0
    times = max(size for _, size in model.facts.samples.outputs)
    limit = round((SOLUTION + SOLUTION_TIME * times) * max(1.0, 1e-6 / steps.rtol) ** 0.2)
    return limit if limit < steps.max_steps else 0


class _Found(NamedTuple):
    """The best of a search: where it began, the parameters that it reached, their rank, the least of which is best.

    ``unexplained`` is the share of the squares of data, less their mean, that is left; 1 without finite values.
    """

    begun: Array
    reached: Array
    rank: tuple[bool, float]
    unexplained: float


def _search(
    problem: Problem, start: Array, held: Array | None, seed: int, threads: int, watch: FitWatch | None, is_given: Array
) -> _Found:
    """Return the best of many short fits from points that are drawn, from those of curves by name, and from a start."""
    projected = _Projected(problem, start, held)
    begun, points, looks = [start], [start], True
    with ended_by(watch):
        if problem.model.facts.fitting.curves:
            places = np.vstack([start, curve_starts(problem, start, is_given)])
            order, ends, _ = _ranked(problem, places, held, threads, watch)
            begun, points = [start, *places[order]], [start, *ends[order]]
            if problem.samples >= ENOUGH * len(start) and projected.leaves_noise(ends[order[0]]):
                looks = False
        for places, ends in _rounds(problem, start, held, seed, threads, watch) if looks else ():
            begun.extend(places)
            points.extend(ends)
        if problem.model.facts.fitting.curves:
            for places, ends in _exchanges(problem, np.array(points), held, threads, watch, is_given):
                begun.extend(places)
                points.extend(ends)
    order, parameters, ranks = _ranked(problem, np.array(points), held, threads, watch)
    equal = _equal(ranks, order, projected.rounding())
    chosen = 0 if 0 in equal and projected.is_given else projected.smoothest(parameters, equal)
    return _Found(begun[chosen], parameters[chosen], ranks[chosen], projected.unexplained(parameters[chosen]))


def _exchanges(
    problem: Problem, points: Array, held: Array | None, threads: int, watch: FitWatch | None, is_given: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield starts in which other kinds of curves stand for the peaks of the best point, and the points they reach.

    It ends where no exchange finds a better one.
    """
    order, parameters, ranks = _ranked(problem, points, held, threads, watch)
    best, rank = parameters[order[0]], ranks[order[0]]
    for _ in range(EXCHANGES):
        places = exchanged(problem, best, is_given)
        if not len(places):
            return
        order, ends, ranks = _ranked(problem, places, held, threads, watch)
        yield places, ends
        if not ranks[order[0]] < (rank[0], rank[1] * (1 - BETTER)):
            return
        best, rank = ends[order[0]], ranks[order[0]]


def _rounds(
    problem: Problem, start: Array, held: Array | None, seed: int, threads: int, watch: FitWatch | None
) -> Iterator[tuple[Array, Array]]:
    """Yield, for each round of a search, where its best short fits began, and the points, (K, P), that they reached.

    It ends where the best of them leaves nothing but noise, and where rounds find nothing better.
    """
    coordinates = Coordinates(problem, held)
    here = coordinates.problem
    begin = coordinates.points_here(start[None])[0]
    begin = np.where(np.isfinite(begin), begin, start)
    projected = _Projected(here, begin, held)
    part = _part(here, MANY // 2) if problem.samples > MANY else here
    least, in_vain, best = np.inf, 0, np.empty((0, len(start)))
    for number in range(1 if problem.model.facts.steps.max_steps else ROUNDS):
        random = np.random.default_rng([seed, number] if number else seed)
        points = _chosen(projected, best, random)
        if not len(points):
            break
        order, parameters, ranks = _ranked(part, points, held, threads, watch)
        last = max(FINALISTS, len(_equal(ranks, order, projected.rounding())))
        order = _different(parameters, order[:last])
        best = parameters[order[:FINALISTS]]
        begun, ends = (coordinates.points_there(each[order]) for each in (points, parameters))
        known = np.isfinite(begun).all(axis=1) & np.isfinite(ends).all(axis=1)
        yield begun[known], ends[known]
        cost = ranks[order[0]][1]
        in_vain = 0 if cost < least * (1 - BETTER) else in_vain + 1
        least = min(least, cost)
        if in_vain == IN_VAIN or projected.leaves_noise(best[0]):
            break


def _ranked(
    problem: Problem, points: Array, held: Array | None, threads: int, watch: FitWatch | None
) -> tuple[Array, Array, list[tuple[bool, float]]]:
    """Return the indices of short fits from points (K, P), the best first, the parameters reached, and their ranks."""
    costs, parameters, poles = reached(problem, points, held, threads, watch)
    costs = np.where(np.isfinite(costs), costs, np.inf)
    bad = poles | np.isinf(costs)  # a minimum with a pole among the data is none
    return np.lexsort([costs, bad]), parameters, list(zip(bad.tolist(), costs.tolist(), strict=True))


def _equal(ranks: list[tuple[bool, float]], order: Array, rounding: float) -> list[int]:
    """Return the indices of the best fits, in their order, whose costs differ by no more than rounding."""
    bad, least = ranks[order[0]]
    most = least * (1 + EQUAL) + rounding
    return [place for place in order.tolist() if ranks[place][0] == bad and ranks[place][1] <= most]


def _different(parameters: Array, order: Array) -> Array:
    """Return the indices of points, in their order, without those that differ from an earlier one by rounding alone."""
    representatives: list[int] = []
    for place in order.tolist():
        if (
            not representatives
            or (np.abs(parameters[representatives] - parameters[place]) > SAME * np.abs(parameters[place])).any(1).all()
        ):
            representatives.append(place)
    return np.array(representatives)


def _part(problem: Problem, most: int) -> Problem:
    """Return the problem with some of its samples that have data, spread evenly: ``most`` of them, or all."""
    rows = np.flatnonzero(np.isfinite(problem.Y).any(axis=1))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
    return of_samples(problem, rows).limited(problem.max_steps)


def check_automatic(model: Model) -> None:
    """Raise ValueError for a model whose start cannot be found from the scales of the data."""
    if model.constants is None or any(parameter.shape for parameter in model.facts.parameters):
        raise ValueError(f"a start from the data is for formulas; {model.name} has layers: give p0, or a seed")
    if model.facts.fitting.curved:
        raise ValueError(f"a start from the data is for least squares; the loss of {model.name} is another: give p0")


class _Projected:
    """A problem as a function of the free parameters that are not linear; the linear ones are projected out.

    ``is_given`` says whether its start is another one than that of the model.
    """

    def __init__(self, problem: Problem, start: Array, held: Array | None) -> None:
        model = problem.model
        free = np.ones(len(start), bool) if held is None else held == 0
        names = model.facts.fitting.linear if model.facts.fitting.fits_outputs else ()
        linear = np.zeros(len(start), bool)
        linear[[model.places[name].start for name in names]] = True
        self.linear, self.others = np.flatnonzero(free & linear), np.flatnonzero(free & ~linear)
        self.model, self.start = model, start
        low, high = problem.options.bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
        self.low, self.high = np.asarray(low, float), np.asarray(high, float)
        limits = np.concatenate([self.low[self.linear], self.high[self.linear]])
        self.bounded = bool(np.isfinite(limits).any())
        usual = np.clip(np.asarray(model.constants, float), self.low, self.high)
        self.is_given = bool((np.asarray(start, float) != usual)[free].any())
        self.max_steps = problem.max_steps
        part = _part(problem, SAMPLES)
        self.X, self.Y = part.X, part.Y.astype(float)
        sigma = np.asarray(1.0 if part.sigma is None else part.sigma, float)
        weights = 1 / (sigma[:, None] if sigma.ndim == 1 else sigma) * np.ones_like(self.Y)
        self.weights = np.where(np.isnan(self.Y), 0, weights)
        self.Y = np.nan_to_num(self.Y)

    def costs(self, points: Array) -> Array:
        """Return the sum of squares at some points (S, others), infinite where the model is not finite, or huge."""
        parts = [self._some(points[first : first + CHUNK]) for first in range(0, len(points), CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _some(self, points: Array) -> Array:
        if is_ended():
            raise KeyboardInterrupt
        columns, rest = self._system(points)
        missing = len(self.linear) - rest.shape[1]
        if self.bounded and missing > 0:  # rows of 0, so that the triangle is square
            columns, rest = np.pad(columns, ((0, 0), (0, missing), (0, 0))), np.pad(rest, ((0, 0), (0, missing)))
        bad = ~((np.abs(columns) < HUGE).all(axis=(1, 2)) & (np.abs(rest) < HUGE).all(axis=1))
        columns[bad], rest[bad] = 0, 0
        total: Array = np.einsum("si,si->s", rest, rest)
        if len(self.linear):
            norms = np.linalg.norm(columns, axis=1, keepdims=True)
            norms[norms == 0] = 1
            Q, R = np.linalg.qr(columns / norms)
            along = np.einsum("sij,si->sj", Q, rest)
            dependent = np.abs(np.diagonal(R, axis1=1, axis2=2)) < DEPENDENT
            along[dependent] = 0
            total = np.maximum(total - (along**2).sum(axis=1), 0)
            if self.bounded:
                R[:, range(len(self.linear)), range(len(self.linear))] += dependent  # their values are 0
                values = np.linalg.solve(R, along[:, :, None])[:, :, 0] / norms[:, 0]
                self._hold(columns, rest, values, total)
        total[bad] = np.inf
        return total

    def _hold(self, columns: Array, rest: Array, values: Array, total: Array) -> None:
        """Replace sums of squares where linear parameters are beyond their bounds by sums within them.

        Those that are beyond are held there, the others follow, as often as there are linear parameters; then all are
        moved within. So the sums are not the least, but those of points where a fit may begin.
        """
        low, high = self.low[self.linear], self.high[self.linear]
        outside = np.flatnonzero(((values < low) | (values > high)).any(axis=1))
        if not len(outside):
            return
        outside_columns, there, at = columns[outside], rest[outside], values[outside]
        held = np.zeros(at.shape, bool)
        for _ in range(len(self.linear)):
            beyond = ~held & ((at < low) | (at > high))
            if not beyond.any():
                break
            held |= beyond
            at = np.clip(at, low, high)
            left = there - np.einsum("sij,sj->si", outside_columns, np.where(held, at, 0))
            free = np.where(held[:, None], 0, outside_columns)
            products = np.einsum("sij,sik->sjk", free, free)
            scale = np.sqrt(np.einsum("sjj->sj", products))
            scale[scale == 0] = 1
            products /= scale[:, :, None] * scale[:, None]
            products[:, range(len(self.linear)), range(len(self.linear))] += np.where(held, 1, DEPENDENT)
            sides = np.einsum("sij,si->sj", free, left) / scale
            at = np.where(held, at, np.linalg.solve(products, sides[:, :, None])[:, :, 0] / scale)
        left = there - np.einsum("sij,sj->si", outside_columns, np.clip(at, low, high))
        total[outside] = np.einsum("si,si->s", left, left)

    def _system(self, points: Array) -> tuple[Array, Array]:
        """Return the weighted columns of the linear parameters (S, rows, linear), and the data less the rest."""
        count, (samples, outputs) = len(points), self.Y.shape
        values = np.empty((count, samples, outputs), self.model.dtype)
        slopes = np.empty((count, samples, outputs, len(self.start)), self.model.dtype) if len(self.linear) else None
        native = self.model.native
        with np.errstate(over="ignore"):
            places = np.tile(self.start, (count, 1))
            places[:, self.linear] = 0
            places[:, self.others] = points
        for row, place in enumerate(places):
            native.predict(place, self.X, samples, values[row], self.max_steps)
            if slopes is None:
                continue
            if np.isfinite(values[row]).all():
                native.jacobian(place, self.X, samples, slopes[row], self.max_steps)
            else:  # whatever they are, this point is none
                slopes[row] = np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            rest = ((self.Y - values) * self.weights).reshape(count, -1)
            if slopes is None:
                return np.zeros((count, rest.shape[1], 0)), rest
            columns = slopes[..., self.linear] * self.weights[..., None]
        return columns.reshape(count, -1, len(self.linear)), rest

    def whole(self, point: Array) -> Array:
        """Return all parameters, (P,), at a point: linear ones are those of least squares, moved into their bounds."""
        parameters = self.start.copy()
        parameters[self.others] = point
        if len(self.linear):
            columns, rest = self._system(point[None])
            norms = np.linalg.norm(columns[0], axis=0)
            norms[norms == 0] = 1
            best = np.linalg.lstsq(columns[0] / norms, rest[0], rcond=DEPENDENT)[0] / norms
            parameters[self.linear] = best
        inside: Array = np.minimum(np.maximum(parameters, self.low), self.high).astype(self.model.dtype)
        return inside

    def unexplained(self, parameters: Array) -> float:
        """Return the share of the squares of data, less the mean of each output, that parameters (P,) leave."""
        values, squares = np.empty(self.Y.shape, self.model.dtype), self.weights**2
        self.model.native.predict(parameters, self.X, len(self.Y), values, self.max_steps)
        left = spread = 0.0
        for _, columns in slices(self.model.facts.samples.outputs):
            weight, data = squares[:, columns], self.Y[:, columns]
            mean = (weight * data).sum() / (weight.sum() or 1.0)
            left += float((weight * (data - values[:, columns]) ** 2)[weight > 0].sum())
            spread += float((weight * (data - mean) ** 2).sum())
        return left / spread if np.isfinite(left) and spread > 0 else 1.0

    def leaves_noise(self, parameters: Array) -> bool:
        """Return whether parameters (P,) leave residuals that do not depend on their neighbours.

        That is the statistic of J. Durbin and G. S. Watson (1950), about 2 for noise, and small where a curve goes past
        the data. Residuals of several inputs, which have no order, count as noise.
        """
        if self.X is None or self.X.shape[1] > 1:
            return True
        values = np.empty(self.Y.shape, self.model.dtype)
        self.model.native.predict(parameters, self.X, len(self.Y), values, self.max_steps)
        order = np.argsort(self.X[:, 0], kind="stable")
        for residuals, weights in zip(((self.Y - values) * self.weights)[order].T, self.weights[order].T, strict=True):
            left = residuals[weights > 0]
            total = float((left**2).sum())
            least = 2 - NOISE / np.sqrt(max(len(left), 1))
            if not np.isfinite(total) or (np.diff(left) ** 2).sum() < least * (total - self.rounding()):
                return False
        return True

    def rounding(self) -> float:
        """Return a sum of squares that may be left of the data by rounding alone."""
        return float(((self.weights * self.Y) ** 2).sum() * (ROUNDING * np.finfo(self.model.dtype).eps) ** 2)

    def smoothest(self, parameters: Array, equal: list[int]) -> int:
        """Return the one of some fits of equal cost, among parameters (K, P), whose curve turns least between the data.

        At times in equal distances, an oscillation has the values of ones with higher frequencies, its aliases: the
        data do not tell them apart, and the lowest frequency is what people mean. The first fit is kept unless
        another one is clearly smoother: most fits of equal cost are one curve.
        """
        if len(equal) < 2 or self.X is None or len(self.X) < 2:
            return equal[0]
        X = self.X[np.lexsort(self.X.T[::-1])]
        shares = np.repeat(BETWEEN, len(X) - 1)[:, None]
        before, after = (np.tile(neighbours, (len(BETWEEN), 1)) for neighbours in (X[:-1], X[1:]))
        rows = np.ascontiguousarray(np.vstack([X, before + shares.astype(X.dtype) * (after - before)]))
        values = np.empty((len(rows), self.Y.shape[1]), self.model.dtype)
        turns = []
        for place in equal:
            self.model.native.predict(parameters[place], rows, len(rows), values, self.max_steps)
            at, between = np.split(values.astype(float), [len(X)])
            first, last = (np.tile(neighbours, (len(BETWEEN), 1)) for neighbours in (at[:-1], at[1:]))
            with np.errstate(over="ignore", invalid="ignore"):
                turns.append(float(((between - first - shares * (last - first)) ** 2).sum()))
        bends = np.where(np.isfinite(turns), turns, np.inf)
        least = int(np.argmin(bends))
        return equal[least if bends[least] < CLEARLY * bends[0] else 0]

    def drawn(self, count: int, random: np.random.Generator) -> Array:
        """Return points of which each coordinate is a quantity of any kind, within the bounds: (count, others)."""
        size = (count, len(self.others))
        weights = np.array([kind.weight for kind in KINDS])
        kinds = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(size), side="right")
        of_x, of_y, low, high = (np.array([kind[k] for kind in KINDS])[kinds] for k in range(4))
        first, span, length = self._of_inputs(random, size)
        height = np.ptp(self.Y) or float(np.abs(self.Y).max()) or 1.0
        share = random.random(size)
        with np.errstate(over="ignore"):
            points = 10 ** (low + (high - low) * share) * length**of_x * height**of_y
        points *= np.where(random.random(size) < 0.25, -1, 1)
        points = np.where(kinds == PLACE, first + span * (1.2 * share - 0.1), points)
        points = np.where(kinds == FREQUENCY, share * np.pi * len(self.Y) / span, points)
        return self.within(points, random.random(size))

    def _of_inputs(self, random: np.random.Generator, size: tuple[int, int]) -> tuple[Array, Array, Array]:
        """Return for each draw the first value of some input, its range, and either that or its largest size."""
        if self.X is None:
            return np.zeros(size), np.ones(size), np.ones(size)
        X = self.X.astype(float)
        first, span, largest = X.min(axis=0), np.ptp(X, axis=0), np.abs(X).max(axis=0)
        span = np.where(span > 0, span, np.where(largest > 0, largest, 1))
        chosen = random.integers(X.shape[1], size=size)
        length = np.where(random.random(size) < 0.5, span[chosen], np.where(largest > 0, largest, 1)[chosen])
        return first[chosen], span[chosen], length

    def within(self, points: Array, share: Array) -> Array:
        """Return points moved into the bounds: beyond two of them to a share of the way, else to the other side."""
        low, high = self.low[self.others], self.high[self.others]
        outside = (points < low) | (points > high)
        with np.errstate(invalid="ignore", over="ignore"):
            between = low + share * (high - low)
            mirrored = np.where(np.isfinite(low), low + np.abs(points - low), high - np.abs(points - high))
        points = np.where(outside, np.where(np.isfinite(low) & np.isfinite(high), between, mirrored), points)
        inside: Array = np.minimum(np.maximum(points, low), high)
        return inside


def _chosen(problem: _Projected, known: Array, random: np.random.Generator) -> Array:
    """Return the points (K, P) at which short fits begin: the best of those that were drawn and bred, well apart.

    Points that are known to be good, (any, P), are among the parents. There are none if the model is finite at none.
    """
    count = len(problem.others)
    if not count:
        return problem.whole(np.empty(0))[None]
    competing = np.vstack([problem.start[None], known])[:, problem.others]
    points = np.vstack([competing, problem.drawn(min(DRAWS * count, MOST_DRAWS), random)])
    costs = problem.costs(points)
    first = len(points)
    if not np.isfinite(costs).any():
        return np.empty((0, len(problem.start)))
    for _ in range(GENERATIONS):
        best = points[np.argsort(costs, kind="stable")[:PARENTS]]
        children = _bred(problem, best, random)
        points, costs = np.vstack([points, children]), np.concatenate([costs, problem.costs(children)])
    most = FITS if problem.model.native.fits_lanes else FITS_ONE_BY_ONE
    bred = _apart(points, costs, most // 2)
    drawn = _apart(points[:first], costs[:first], most // 2)  # a bred family may have missed the valley
    return np.array([problem.whole(point) for point in np.vstack([bred, drawn])])


def _bred(problem: _Projected, best: Array, random: np.random.Generator) -> Array:
    """Return new points from good ones: coordinates of two of them, each varied a little, or drawn again."""
    size = (CHILDREN, best.shape[1])
    mother, father = (best[(random.random(CHILDREN) ** 2 * len(best)).astype(int)] for _ in range(2))
    mixed = np.where(random.random(size) < 0.25, father, mother)
    spread = 10 ** random.uniform(-2.5, 0, (CHILDREN, 1))
    varied = mixed * np.exp(spread * random.standard_normal(size))
    again = (random.random((CHILDREN, 1)) < 0.5) & (random.random(size) < 1.2 / size[1])
    return problem.within(np.where(again, problem.drawn(CHILDREN, random), varied), random.random(size))


def _apart(points: Array, costs: Array, most: int) -> Array:
    """Return the points of least cost, (at most ``most``, d), no two of which differ by less than 3% everywhere."""
    order = np.argsort(costs, kind="stable")
    left = points[order[np.isfinite(costs[order])]]
    chosen: list[Array] = []
    while len(chosen) < most and len(left):
        chosen.append(left[0])
        left = left[(np.abs(left - left[0]) > 0.03 * np.abs(left)).any(axis=1) & (np.arange(len(left)) > 0)]
    return np.array(chosen).reshape(-1, points.shape[1])
