"""The search for a form that keeps more bits: over alternatives of all nodes, bounded by a count of candidates.

It is deterministic: the points come from a fixed seed, the alternatives have an order, and no clock is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Abs, Eq, Expr, Float, Piecewise, preorder_traversal
from sympy.core.relational import Relational

from nncodegen.ir.functions import UNDEFINED, StableFunction, plain_conditions
from nncodegen.passes.digits.measure import FAULTS, bits_lost, exact_values, values
from nncodegen.passes.digits.points import Array, Points
from nncodegen.passes.rules.alternatives import DIFFERENCES, RANGES, SERIES, Alternative, alternatives
from nncodegen.passes.rules.forms import stable_form

OFF, FAST, BEST = "off", "fast", "best"
"""How much a form may cost: in "fast" no branch, and half as many operations again; in "best" more of both. With "off",
nothing is searched."""

OPERATIONS = {FAST: (1.5, 4), BEST: (8.0, 80)}
"""The operations that a form may have: a multiple of those that it had before, and some more."""

CANDIDATES = 90
"""The number of forms that are measured."""

MOST_SERIES = 12
"""The number of series that are measured."""

ROUNDS, WIDTH = 4, 2
"""The number of rounds, and of forms whose alternatives are tried in each."""

LOSSY, ENOUGH = 1.8, 0.75
"""A form that loses fewer mean bits than the first is not searched; one that loses fewer than the second ends it."""

BUDGET = 3500
"""The operations that all measured forms have together: the bound of the time of a search."""

GAIN = 1.0
"""The mean bits that a form must gain."""

ROUNDING = 2.0
"""Up to three units in the last place are the rounding of a few operations: no form is refused for them."""

NOTHING_LEFT = 44.0
"""Where a form has lost more bits than this, it has no value that another form could make worse."""

WORSE = 1.0
"""The bits that a form may lose more than the one before at a point."""

RIGHT, MUCH = 4.0, 16.0
"""Where a form loses more bits than the first, arguments are rounded, and its error is luck: another form may be worse
there, but not by more than the second."""

LUCK, LUCKY = 0.02, 4.0
"""A rounded argument may hit by luck: at this part of the points, a form may be worse by fewer than these bits."""

LARGEST = 180
"""The number of operations of formulas and forms that are searched."""

PRICE = 0.004
"""The mean bits that one more operation must gain."""

LEAST_POINTS = 12
"""The number of points with a value that a search needs."""


PROGRESS = 0.1
"""The mean bits that a round must gain for another one."""

Table = dict[type, tuple[Alternative, ...]]


@dataclass(frozen=True)
class Found:
    """The result of a search: the form, the rules that led to it, the number of points, the mean bits lost there."""

    form: Expr
    rules: tuple[str, ...]
    points: int
    before: float
    after: float


@dataclass
class _Candidate:
    form: Expr
    rules: tuple[str, ...]
    lost: Array
    score: float


class Search:
    """A search for a form of a formula; ``written`` is what it means, ``given`` its form so far.

    ``limits`` is a form that has the limits of the formula at holes, where ``written`` has no value.
    """

    def __init__(
        self, written: Expr, given: Expr, points: Points, choice: str = BEST, limits: Expr | None = None
    ) -> None:
        self.written, self.given = written, given
        exact = exact_values(written, points)
        known = np.isfinite(exact)
        self.points: Points = {name: column[known] for name, column in points.items()}
        self.exact = exact[known]
        self.limits = given if limits is None else limits
        self.holes = self._holes(points, known)
        self.choice = choice
        self.seen: dict[Expr, None] = {}
        self.spent = 0
        self.candidates: list[_Candidate] = []
        factor, more = OPERATIONS[choice]
        self.most = factor * operations(given) + more
        self._alternatives: dict[tuple[Expr, int], list[tuple[str, Expr]]] = {}

    def _holes(self, points: Points, known: NDArray[np.bool_]) -> list[tuple[Expr, Expr, Points]]:
        """Return the elements that are 0 at a hole, each with the limits there, and the points."""
        found: list[tuple[Expr, Expr, Points]] = []
        for element, column in points.items():
            here = (column == 0) & ~known
            if here.any() and not (limit := self.limits.subs(element, 0)).has(*UNDEFINED):
                few = {name: numbers[here] for name, numbers in points.items()}
                if np.isfinite(values(self.limits, few)).all():
                    found.append((element, limit, few))
        return found

    def run(self, *others: Expr) -> Found | None:
        """Return the best form, if it is better than the given one; ``others`` are further forms to begin with."""
        if len(self.exact) < LEAST_POINTS or operations(self.given) > LARGEST:
            return None
        start = self._add(self.given, ())
        if start is None or start.lost.mean() < LOSSY:
            return None
        self._add(self.written, ("as written",))
        for other in others:
            self._add(other, ("derivative of the form",))
        self._go_on(DIFFERENCES, CANDIDATES // 2)
        if self.choice == BEST:
            self._go_on(SERIES, CANDIDATES // 2 + MOST_SERIES, rounds=1)
        self._go_on(RANGES, CANDIDATES)
        if self.choice == BEST:
            self._branches()
        best = next((c for c in map(partial(self._mended, start), self._ranked()) if self._is_better(start, c)), None)
        return (
            None
            if best is None
            else Found(best.form, best.rules, len(self.exact), float(start.lost.mean()), float(best.lost.mean()))
        )

    def _go_on(self, table: Table, most: int, rounds: int = ROUNDS) -> None:
        """Try the alternatives of a table at the best forms, until no better one is found, or too many are measured."""
        expanded: set[Expr] = set()  # used for membership only
        for _ in range(rounds):
            best = self._ranked()[0].score
            if min(candidate.lost.mean() for candidate in self.candidates) < ENOUGH:
                return
            for candidate in [c for c in self._ranked() if c.form not in expanded][:WIDTH]:
                expanded.add(candidate.form)
                for rule, form in self._neighbours(candidate.form, table):
                    if len(self.seen) >= most or self.spent > BUDGET:
                        return
                    self._add(form, (*candidate.rules, rule))
            if self._ranked()[0].score > best - PROGRESS and len(expanded) > 2 * WIDTH:
                return

    def _add(self, form: Expr, rules: tuple[str, ...]) -> _Candidate | None:
        """Measure a form, unless it is known or costs too much."""
        if form in self.seen or (len(self.seen) >= CANDIDATES and rules[-1:] not in ((BRANCH,), (HOLE,))):
            return None
        self.seen[form] = None
        cost = operations(form)
        self.spent += cost
        if rules and (cost > self.most or (self.choice == FAST and form.has(Piecewise))):
            return None
        try:
            lost = bits_lost(values(form, self.points), self.exact)
        except FAULTS:
            return None
        candidate = _Candidate(form, rules, lost, float(lost.mean()) + PRICE * cost)
        self.candidates.append(candidate)
        return candidate

    def _ranked(self) -> list[_Candidate]:
        return sorted(self.candidates, key=lambda candidate: candidate.score)

    def _neighbours(self, form: Expr, table: Table) -> Iterator[tuple[str, Expr]]:
        """Yield the forms in which one node has been replaced by an alternative, with the name of its rule."""
        for node in dict.fromkeys(part for part in preorder_traversal(form) if part.func in table):
            key = node, id(table)
            if key not in self._alternatives:
                found = ((rule.__name__, plain_conditions(stable_form(new))) for rule, new in alternatives(node, table))
                self._alternatives[key] = [(name, new) for name, new in found if new != node]
            within = any(condition.has(node) for condition in form.atoms(Relational))
            for name, new in self._alternatives[key]:
                if within and new.has(Piecewise):
                    continue  # no condition has a branch
                yield name, form.xreplace({node: new})

    def _mended(self, start: _Candidate, other: _Candidate) -> _Candidate:
        """Return a form that has the value of the given one where an element is 0, if it would be lost there."""
        form = other.form
        lost = (other.lost > start.lost + WORSE) & (other.lost > ROUNDING)
        zeros = {element for element, column in self.points.items() if np.any((column == 0) & lost)}
        zeros |= {element for element, _, few in self.holes if not self._has_limits(form, few)}
        for element in (element for element in self.points if element in zeros):
            value = self.limits.subs(element, 0)
            if value.has(element, *UNDEFINED):
                return other
            form = Piecewise((value, Eq(element, 0)), (form, True))
        if form == other.form:
            return other
        return self._add(form, (*other.rules, HOLE)) or other

    def _is_better(self, start: _Candidate, other: _Candidate) -> bool:
        """Return whether a form gains bits on average, and is worse at no point where the first one is right.

        What counts as right, as worse and as luck say the constants above.
        """
        if start.lost.mean() - other.lost.mean() <= GAIN:
            return False
        if not all(self._has_limits(other.form, few) for _, _, few in self.holes):
            return False
        worse = np.where(other.lost > ROUNDING, other.lost - start.lost, 0.0)
        lost_there = (start.lost < RIGHT) & (worse > WORSE)
        by_luck = lost_there & (worse < LUCKY)
        much = (start.lost < NOTHING_LEFT) & (worse > MUCH)
        return not (np.any(lost_there & ~by_luck) or by_luck.sum() > LUCK * len(worse) or np.any(much))

    def _has_limits(self, form: Expr, few: Points) -> bool:
        return bool(np.allclose(values(form, few), values(self.limits, few), rtol=1e-9, atol=0))

    def _branches(self) -> None:
        """Add forms that a branch chooses by the size of an element, where no form is best at all points."""
        best = self._ranked()
        for one in best[:5]:
            for other in best[:24]:
                gain = one.lost - other.lost
                if one is other or not (np.sum(gain > WORSE) >= 2):
                    continue
                for element in self.points:
                    for size in (element, Abs(element)):
                        self._branch(one, other, element, size)

    def _branch(self, one: _Candidate, other: _Candidate, element: Expr, size: Expr) -> None:
        column = self.points[element] if size == element else np.abs(self.points[element])
        order = np.argsort(column, kind="stable")
        a, b = one.lost[order], other.lost[order]
        below = np.concatenate([[0.0], np.cumsum(a)]) + np.concatenate([np.cumsum(b[::-1])[::-1], [0.0]])
        k = int(np.argmin(below))
        count = len(column)
        if not 3 <= k <= count - 3 or below[k] / count > min(a.mean(), b.mean()) - GAIN:
            return
        end = _between(column[order][k - 1], column[order][k])
        form = Piecewise((one.form, size < end), (other.form, True))
        self._add(form, (*one.rules, *other.rules, BRANCH))


BRANCH, HOLE = "branch by size", "value at 0"


def _between(low: float, high: float) -> Expr:
    """Return a number between two, a power of two where one is: for each kind of numbers the same."""
    if low <= 0 < high:
        return Float(high / 2 if low == 0 else 0.0, 17)
    if high == 0:
        return Float(low / 2, 17)
    exponent = int(np.floor((np.log2(abs(low)) + np.log2(abs(high))) / 2))
    middle = float(np.sign(high)) * 2.0**exponent
    return Float(middle if low < middle <= high else high, 17)


def operations(form: Expr) -> int:
    """Return the number of operations of a form, with stable functions written out once."""
    return int(sympy.count_ops(form)) + 4 * len(form.atoms(StableFunction))
