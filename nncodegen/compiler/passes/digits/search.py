"""The search for a form that keeps more bits: over alternatives of all nodes, bounded by a count of candidates.

It is deterministic: the points come from a fixed seed, the alternatives have an order, and no clock is read. Candidates
are compared at few points, part by part. Only the given form and those that are taken are computed as the generated C
computes them, these at further points, and near the borders of their conditions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sympy import Eq, Expr, Piecewise, S, preorder_traversal
from sympy.core.relational import Relational

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import UNDEFINED
from nncodegen.compiler.ir.program import BEST
from nncodegen.compiler.passes.digits.borders import LINES, conditions_of, near_border
from nncodegen.compiler.passes.digits.branches import BRANCH, branches
from nncodegen.compiler.passes.digits.candidate import Candidate
from nncodegen.compiler.passes.digits.cost import FAR, OPERATIONS, Bound, operations
from nncodegen.compiler.passes.digits.exact import FAULTS, Truth
from nncodegen.compiler.passes.digits.formats import Array, are_apart, bits_lost
from nncodegen.compiler.passes.digits.measure import Sample, values
from nncodegen.compiler.passes.digits.points import Points, chosen, count_of, regimes
from nncodegen.compiler.passes.rules.alternatives import DIFFERENCES, RANGES, SERIES, Table, neighbours

CANDIDATES = 90
"""The number of forms that are measured."""

MOST_SERIES = 12
"""The number of series that are measured."""

ROUNDS, WIDTH = 4, 2
"""The number of rounds, and of forms whose alternatives are tried in each."""

LOSSY, ENOUGH, ENOUGH_FOR_SLOPES = 1.8, 0.75, 2.5
"""A form that loses fewer mean bits than the first is not searched; one that loses fewer than the second ends the
search, or than the third that of a derivative: most of these are longer, and are rounded more often."""

LOST_FAR = 16.0
"""Where a formula loses more mean bits than these, although none at ordinary numbers, differences may cancel, too."""

BUDGET = 3500
"""The operations that all measured forms have together: the bound of the time of a search."""

REWRITTEN = 2800
"""The operations of all nodes for which alternatives are looked for: SymPy takes the longer, the larger they are."""

GAIN = 1.0
"""The mean bits that a form must gain."""

GAIN_AS_WRITTEN = 0.25
"""The mean bits that the formula as it is written must gain over its stable form."""

ROUNDING = 2.0
"""Up to three units in the last place are the rounding of a few operations: no form is refused for them."""

NOTHING_LEFT = 0.7
"""Where a form has lost a larger part of all bits than this, it has no value that another form could make worse."""

WORSE = 1.0
"""The bits that a form may lose more than the one before at a point."""

RIGHT, MUCH = 4.0, 16.0
"""Where a form loses more bits than the first, arguments are rounded, and its error is luck: another form may be worse
there, but not by more than the second."""

LUCK, LUCKY = 0.02, 4.0
"""By luck, rounding may be right: at this part of the points that are compared, or one, a form may be worse by fewer
bits than these. Where exact values are computed for it, those are the points at which both forms differ."""

LARGEST = 180
"""The number of operations of formulas and forms that are searched."""

PRICE = 0.02
"""The mean bits that one more operation must gain."""

LEAST_POINTS = 12
"""The number of points with a value that a search needs."""

PROGRESS = 0.1
"""The mean bits that a round must gain for another one."""

FINALISTS = 10
"""The number of forms that are examined at further points, and of those that may be too dear before."""

MOST_CONDITIONS = 6
"""The number of conditions of a form whose borders are examined."""

HOLE = "value at 0"


@dataclass(frozen=True)
class Found:
    """The result of a search: the form and the rules that led to it; before and after, bits lost and operations.

    The bits are means over a number of points.
    """

    form: Expr
    rules: tuple[str, ...]
    points: int
    lost: tuple[float, float]
    operations: tuple[int, int]


class Search:
    """A search for a form of a formula: ``written`` is what it means, ``given`` its form so far.

    ``truth`` has the exact values of the formula at the points, ``further`` are points for what has been found: some
    where it may not be worse, and others where it may not be NaN if the given form is finite. ``limits`` is a form that
    has the limits of the formula at holes, where ``written`` has no value. A form without them gets them by branches,
    unless ``mends`` is set to False; ``zeros`` are the elements at whose 0 a value of the given form counts as a limit.
    ``starts`` has the parameters with their initial values. ``allows`` says whether a form may be taken; ``refused``
    are those that may not. ``enough`` are the mean bits below which a form ends the search, ``lost`` those that the
    given form loses: none can gain more.
    """

    def __init__(
        self,
        written: Expr,
        given_form: Expr,
        points: Points,
        further: tuple[Points, Points],
        truth: Truth | None = None,
        bound: Bound = OPERATIONS[BEST],
        limits: Expr | None = None,
        starts: Mapping[Element, float] = MappingProxyType({}),
    ) -> None:
        self.written, self.given, self._starts = written, given_form, starts
        self.further, self.anywhere = further
        exact = (truth or Truth(written, points)).everywhere()
        known = np.isfinite(exact)
        self.exact = exact[known]
        self.sample = Sample(chosen(points, known))
        self._regimes = [which for which in regimes(self.sample.points, starts) if which.sum() >= LEAST_POINTS]
        self.limits = given_form if limits is None else limits
        self.holes = self._holes(points, known)
        self.zeros = tuple(element for element in points if element not in starts)
        self.mends = True
        self.enough = ENOUGH
        self.allows: Callable[[Expr, float], bool] = lambda form, bits: True
        self.refused: list[Expr] = []
        self.seen: dict[Expr, None] = {}
        self.spent = self.rewritten = 0
        self.candidates: list[Candidate] = []
        self._borders: dict[tuple[Relational, int], tuple[Points, Truth]] = {}
        self.bound, self.lost = bound, math.inf
        self.before = max(map(operations, (given_form, written) if bound == FAR else (given_form,)))

    def _holes(self, points: Points, known: NDArray[np.bool_]) -> list[tuple[Expr, Expr, Points]]:
        """Return the elements that are 0 at a hole, each with the limits there, and the points."""
        holes: list[tuple[Expr, Expr, Points]] = []
        for element, column in points.items():
            here = (column == 0) & ~known
            few = chosen(points, here)
            if here.any() and np.isfinite(values(self.limits, few)).all():
                limit = self._limit(element, few)
                holes += [] if limit is None else [(element, limit, few)]
        return holes

    def _limit(self, element: Element, few: Points) -> Expr | None:
        """Return the limit where an element is 0, given some points there; None where none is known."""
        value: Expr = self.limits.subs(element, 0)
        if not value.has(element, *UNDEFINED):
            return value
        return S.Zero if count_of(few) and not np.any(values(self.limits, few) != 0) else None

    def run(self, first_forms: Iterable[Expr] = ()) -> Found | None:
        """Return the best form, if it is better than the given one; ``first_forms`` are further forms to begin with."""
        if len(self.exact) < LEAST_POINTS or operations(self.given) > LARGEST:
            return None
        start = self.add(self.given, ())
        if start is None or self._most(start) < LOSSY:
            return None
        self.lost = self._most(start)
        self.add(self.written, ("as written",))
        for other in first_forms:
            self.add(other, ("derivative of the form",))
        if self.bound != FAR or self.lost > LOST_FAR:
            self._go_on(DIFFERENCES, CANDIDATES // 2)
            self._go_on(SERIES, CANDIDATES // 2 + MOST_SERIES, rounds=1)
        self._go_on(RANGES, CANDIDATES)
        for form, rules in branches(self.ranked(), self.sample.points, self.written):
            self.add(form, rules)
        return self._best(start)

    def _best(self, start: Candidate) -> Found | None:
        """Return the best form that is better than the first one, and at no further point worse.

        As many forms may cost too much with their derivatives as are examined.
        """
        finalists = (self._mended(start, candidate) for candidate in self.ranked())
        examined = 0
        for candidate in (candidate for candidate in finalists if self._is_better(start, candidate)):
            lost = self._means(start, candidate)
            if not self.allows(candidate.form, lost[0] - lost[1]):
                self.refused.append(candidate.form)
            elif self._holds(start, candidate):
                costs = operations(start.form), operations(candidate.form)
                return Found(candidate.form, candidate.rules, len(self.exact), lost, costs)
            else:
                examined += 1
            if FINALISTS in (examined, len(self.refused)):
                break
        return None

    def _go_on(self, table: Table, most: int, rounds: int = ROUNDS) -> None:
        """Try the alternatives of a table at the best forms, until no better one is found, or too many are measured."""
        expanded: set[Expr] = set()  # used for membership only
        for _ in range(rounds):
            best = self.ranked()[0].score
            if min(map(self._most, self.candidates)) < self.enough:
                return
            for candidate in [c for c in self.ranked() if c.form not in expanded][:WIDTH]:
                expanded.add(candidate.form)
                for rule, form in self._neighbours(candidate.form, table):
                    if len(self.seen) >= most or self.spent > BUDGET:
                        return
                    self.add(form, (*candidate.rules, rule))
            if self.ranked()[0].score > best - PROGRESS and len(expanded) > 2 * WIDTH:
                return

    def add(self, form: Expr, rules: tuple[str, ...]) -> Candidate | None:
        """Measure a form, unless it is known or costs too much.

        The given form, to which no rules have led, is computed as C computes it: no other may be worse than this.
        """
        if form in self.seen or (len(self.seen) >= CANDIDATES and rules[-1:] not in ((BRANCH,), (HOLE,))):
            return None
        self.seen[form] = None
        cost = operations(form)
        self.spent += cost
        if rules and not self.bound.allows(cost, self.before, self.lost):
            return None
        try:
            computed = self.sample.values(form) if rules else values(form, self.sample.points)
            lost = bits_lost(computed, self.exact)
        except FAULTS:
            return None
        candidate = Candidate(form, rules, lost, float(lost.mean()) + PRICE * cost)
        self.candidates.append(candidate)
        return candidate

    def _means(self, start: Candidate, other: Candidate) -> tuple[float, float]:
        """Return the mean bits that two forms lose at the points of the regime where the second gains most.

        Where a parameter is far from 0, digits of the rest may not count; at 0 they do.
        """
        means = [(float(start.lost[which].mean()), float(other.lost[which].mean())) for which in self._regimes]
        return max(
            means, key=lambda mean: mean[0] - mean[1], default=(float(start.lost.mean()), float(other.lost.mean()))
        )

    def _most(self, candidate: Candidate) -> float:
        """Return the mean bits that a form loses at the points of the regime where it loses most."""
        means = [float(candidate.lost[which].mean()) for which in self._regimes]
        return max(means, default=float(candidate.lost.mean()))

    def ranked(self) -> list[Candidate]:
        """Return the candidates, the best first."""
        return sorted(self.candidates, key=lambda candidate: candidate.score)

    def _neighbours(self, form: Expr, table: Table) -> Iterator[tuple[str, Expr]]:
        """Yield the forms in which one node has been replaced by an alternative, with the name of its rule.

        Where a rule applies to several nodes, the form in which it has replaced all of them follows.
        """
        conditions = form.atoms(Relational)  # used for membership only
        by_rule: dict[str, dict[Expr, Expr]] = {}
        for node in dict.fromkeys(part for part in preorder_traversal(form) if part.func in table):
            if self.rewritten > REWRITTEN:
                break
            self.rewritten += operations(node)
            within = any(condition.has(node) for condition in conditions)
            for name, new in neighbours(node, table):
                if not (within and new.has(Piecewise)):  # no condition has a branch
                    by_rule.setdefault(name, {}).setdefault(node, new)
                    yield name, form.xreplace({node: new})
        for name, nodes in by_rule.items() if table is RANGES else ():
            if len(nodes) > 1:
                yield name, form.xreplace(nodes)

    def _mended(self, start: Candidate, other: Candidate) -> Candidate:
        """Return a form that has the value of the given one where an element is 0, if it would be lost there."""
        form = other.form
        if not self.mends:
            return other
        lost = (other.lost > start.lost + WORSE) & (other.lost > ROUNDING)
        points = self.sample.points
        zeros = {element for element, column in points.items() if np.any(column == 0) and np.all(lost[column == 0])}
        zeros |= {element for element, _, few in self.holes if not self._has_limits(form, few)}
        for element in (element for element in points if element in zeros):
            value = self._limit(element, chosen(self.anywhere, self.anywhere[element] == 0))
            if value is None:
                return other
            form = Piecewise((value, Eq(element, 0)), (form, True))
        if form == other.form:
            return other
        return self.add(form, (*other.rules, HOLE)) or other

    def _is_better(self, start: Candidate, other: Candidate) -> bool:
        """Return whether a form gains bits on average, and is worse at no point."""
        before, after = self._means(start, other)
        bits = before - after
        least = GAIN if other.form != self.written else GAIN_AS_WRITTEN
        if bits <= least or is_worse(start.lost, other.lost, self.exact):
            return False
        if not self.bound.allows(operations(other.form), self.before, bits):
            return False
        return all(self._has_limits(other.form, few) for _, _, few in self.holes)

    def _holds(self, start: Candidate, other: Candidate) -> bool:
        """Return whether a form is no worse either as C computes it, at further points, and near its borders."""
        lost = bits_lost(values(other.form, self.sample.points), self.exact)
        if is_worse(start.lost, lost, self.exact):
            return False
        if self._is_worse_at(*self._elsewhere, start, other):
            return False
        if self._loses_values(start, other):
            return False
        conditions = conditions_of(other.form)
        if len(conditions) > MOST_CONDITIONS:
            return False
        lines = max(1, LINES // max(1, len(conditions)))
        return not any(self._is_worse_at(*self._near(condition, lines), start, other) for condition in conditions)

    def _loses_values(self, start: Candidate, other: Candidate) -> bool:
        """Return whether a form is NaN where the first one has a value, or the limit where an element is 0."""
        before, after = (values(form, self.anywhere) for form in (start.form, other.form))
        few = chosen(self.anywhere, np.isnan(after) & np.isfinite(before))
        at_zero = any(np.any(few[element] == 0) for element in self.zeros)
        return bool(at_zero or np.isfinite(Truth(self.written, few).everywhere()).any())

    def _near(self, condition: Relational, lines: int) -> tuple[Points, Truth]:
        """Return points near the border of a condition, with the exact values there."""
        if (condition, lines) not in self._borders:
            near = near_border(condition, self.sample.points, lines) or chosen(self.further, [])
            self._borders[condition, lines] = near, Truth(self.written, near)
        return self._borders[condition, lines]

    @cached_property
    def _elsewhere(self) -> tuple[Points, Truth]:
        """Return the further points, with the exact values there."""
        return self.further, Truth(self.written, self.further)

    def _is_worse_at(self, points: Points, truth: Truth, start: Candidate, other: Candidate) -> bool:
        """Return whether a form is worse at some points; exact values are computed where both forms differ alone."""
        before, after = (values(form, points) for form in (start.form, other.form))
        differ = np.flatnonzero(are_apart(before, after, self.exact.dtype))
        exact = truth.at(differ)
        known = np.isfinite(exact)
        there, exact = differ[known], exact[known]
        return is_worse(bits_lost(before[there], exact), bits_lost(after[there], exact), exact)

    def _has_limits(self, form: Expr, few: Points) -> bool:
        return bool(np.allclose(values(form, few), values(self.limits, few), rtol=1e-9, atol=0))


def is_worse(before: Array, after: Array, exact: Array) -> bool:
    """Return whether a form is worse where the one before is right, given the bits that both lose.

    What counts as right, as worse and as luck say the constants of this file.
    """
    all_bits = 8 * exact.dtype.itemsize
    worse = np.where(after > ROUNDING, after - before, 0.0)
    lost_there = (before < RIGHT) & (worse > WORSE)
    by_luck = lost_there & (worse < LUCKY)
    much = (before < NOTHING_LEFT * all_bits) & (worse > MUCH)
    return bool(np.any(lost_there & ~by_luck) or by_luck.sum() > max(1, LUCK * len(worse)) or np.any(much))
