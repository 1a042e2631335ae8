"""Verdicts on parameters: determined, bounded on one side, or not, and then what alone of it is determined."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...ground.markup import listed
from .walk import BOUND, UNFINISHED

if TYPE_CHECKING:
    from ...ground.types import Array

IDENTIFIABLE, ONE_SIDED, NOT_IDENTIFIABLE, UNKNOWN = (
    "identifiable", "bounded from one side only", "not identifiable", "not followed to its ends",
)  # fmt: skip

MOST_DENOMINATOR = 12
"""The largest denominator of an exponent or a factor."""

CLOSE = 1e-5
"""The distance up to which a number counts as a fraction, and two points as having the same directions."""

MOVED = 0.1
"""The relative change of another parameter, along a flat profile, from which it moves together with this one."""


class Verdict(NamedTuple):
    """A verdict: a word on a parameter, and the rest of the sentence.

    word          "identifiable", "bounded from one side only", "not identifiable", or "not followed to its ends"
    detail        the rest of the sentence: the bound, or what is determined in its place
    together      the names of the parameters that move with it where it is not identifiable
    combinations  what the data determine of these, as formulas such as "V*k"; none where it is no simple formula
    """

    word: str
    detail: str = ""
    together: tuple[str, ...] = ()
    combinations: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the verdict as a text."""
        return f"{self.word}: {self.detail}" if self.detail else self.word


def verdict_of_ends(interval: Sequence[float], ends: Sequence[int], is_lost: bool) -> Verdict:
    """Return the verdict on a parameter from the ends of its profile; ``is_lost`` if no derivative tells of it."""
    low, high = interval
    if UNFINISHED in ends:
        return Verdict(UNKNOWN)
    below, above = (
        not is_lost and np.isfinite(value) and end != BOUND for value, end in zip(interval, ends, strict=True)
    )
    if below and above:
        return Verdict(IDENTIFIABLE)
    if not below and not above:
        return Verdict(NOT_IDENTIFIABLE)
    reached = [value for value, end in zip(interval, ends, strict=True) if end == BOUND]
    as_far = f"; its bound {reached[0]:.4g} is within the level" if reached else ""
    return Verdict(ONE_SIDED, f"at least {low:.4g}{as_far}" if below else f"at most {high:.4g}{as_far}")


class Direction(NamedTuple):
    """The changes of free parameters that change no output: at the best fit, and at other points of a profile."""

    names: tuple[str, ...]
    """Those of the F free parameters."""
    points: list[Array]
    """The parameters (F,) at each point, the best fit first."""
    null: list[Array]
    """The directions (D, F) there."""


def with_direction(verdict: Verdict, name: str, direction: Direction) -> Verdict:
    """Return the verdict on a parameter that some direction without effect changes, with what is determined of it."""
    place = direction.names.index(name)
    moving = _linked(direction.null[0], place)
    together = tuple(direction.names[k] for k in np.flatnonzero(moving) if k != place)
    if not together:
        return verdict._replace(detail="the data say nothing of it")
    formulas = _monomials(direction, moving) or _sums(direction, moving)
    detail = f"only {listed(formulas)}" if formulas else f"it moves together with {listed(together)}"
    return verdict._replace(detail=detail, together=together, combinations=formulas)


def along_path(verdict: Verdict, names: Sequence[str], position: int, path: Array) -> Verdict:
    """Return the verdict on a parameter that the data bound on no side, with what moves along its profile (K, P)."""
    ends, best = path[[0, -1]], np.abs(path).mean(axis=0)
    moved = np.abs(ends[1] - ends[0]) > MOVED * np.where(best > 0, best, 1)
    together = tuple(name for k, name in enumerate(names) if moved[k] and k != position)
    detail = f"it moves together with {listed(together)}" if together else "the data say nothing of it"
    return verdict._replace(detail=detail, together=together)


def _linked(null: Array, place: int) -> Array:
    """Return which parameters are connected with one by directions without effect, (F,)."""
    reduced = _reduced(null)
    moving = np.zeros(null.shape[1], bool)
    moving[place] = True
    for _ in range(len(reduced)):
        for row in reduced:
            if (moving & (np.abs(row) > CLOSE)).any():
                moving |= np.abs(row) > CLOSE
    return moving


def _monomials(direction: Direction, moving: Array) -> tuple[str, ...]:
    """Return the products of powers that stay along directions which multiply parameters; none if they do not."""
    points = [point[moving] for point in direction.points]
    if not all(point.all() for point in points):
        return ()
    exponents = _invariants([null[:, moving] / point for null, point in zip(direction.null, points, strict=True)])
    names = [name for name, moves in zip(direction.names, moving, strict=True) if moves]
    return tuple(_product(names, row) for row in exponents)


def _sums(direction: Direction, moving: Array) -> tuple[str, ...]:
    """Return the sums that stay along directions which are the same everywhere; none if they are not."""
    factors = _invariants([null[:, moving] for null in direction.null])
    names = [name for name, moves in zip(direction.names, moving, strict=True) if moves]
    return tuple(_sum(names, row) for row in factors)


def _invariants(directions: list[Array]) -> list[list[int]]:
    """Return whole numbers whose products with directions are 0, if these (D, F) are the same at all points.

    None if they are not, or are no fractions.
    """
    first, *others = map(_reduced, directions)
    if not all(each.shape == first.shape and np.allclose(first, each, rtol=0, atol=CLOSE) for each in others):
        return []
    fractions = [[Fraction(float(value)).limit_denominator(MOST_DENOMINATOR) for value in row] for row in first]
    if not np.allclose(first, np.array(fractions, float), rtol=0, atol=CLOSE):
        return []
    leads = [next(k for k, value in enumerate(row) if value) for row in fractions]
    rows = []
    for free in (k for k in range(first.shape[1]) if k not in leads):
        row = [Fraction(int(k == free)) for k in range(first.shape[1])]
        for lead, direction in zip(leads, fractions, strict=True):
            row[lead] = -direction[free]
        common = np.lcm.reduce([value.denominator for value in row])
        rows.append([int(value * int(common)) for value in row])
    # of what changes with the other parameter, the one that leads has a positive sign
    return [row if next(value for value in row if value) > 0 else [-value for value in row] for row in rows if any(row)]


def _reduced(rows: Array) -> Array:
    """Return rows in reduced echelon form, by elimination with the largest entries of columns; without rows of 0."""
    rows = rows.astype(float) / max(float(np.abs(rows).max(initial=0)), np.finfo(float).tiny)
    lead = 0
    for column in range(rows.shape[1]):
        if lead == len(rows):
            break
        pivot = lead + int(np.abs(rows[lead:, column]).argmax())
        if abs(rows[pivot, column]) <= CLOSE:
            continue
        rows[[lead, pivot]] = rows[[pivot, lead]]
        rows[lead] /= rows[lead, column]
        others = np.arange(len(rows)) != lead
        rows[others] -= rows[others, column][:, None] * rows[lead]
        lead += 1
    reduced: Array = rows[:lead]
    return reduced


def _product(names: Sequence[str], exponents: Sequence[int]) -> str:
    """Return a product of powers as a text, such as "a*b**2/c"."""

    def power(name: str, exponent: int) -> str:
        return name if exponent == 1 else f"{name}**{exponent}"

    pairs = list(zip(names, exponents, strict=True))
    above = [power(name, exponent) for name, exponent in pairs if exponent > 0]
    below = [power(name, -exponent) for name, exponent in pairs if exponent < 0]
    divisor = f"/{below[0]}" if len(below) == 1 else f"/({'*'.join(below)})" if below else ""
    return f"{'*'.join(above) or '1'}{divisor}"


def _sum(names: Sequence[str], factors: Sequence[int]) -> str:
    """Return a sum of multiples as a text, such as "a + 2*b - c"."""
    terms = [
        (factor < 0, name if abs(factor) == 1 else f"{abs(factor)}*{name}")
        for name, factor in zip(names, factors, strict=True)
        if factor
    ]
    first, *others = terms
    text = f"-{first[1]}" if first[0] else first[1]
    return text + "".join(f" {'-' if negative else '+'} {term}" for negative, term in others)
