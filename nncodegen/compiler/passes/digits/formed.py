"""A formula with forms of its own: one that keeps the digits of the value, and one for each derivative.

The derivative of a form that keeps its digits need not keep them: x times a tiny derivative may be lost on the way
where the product is not. So the derivative of a formula by each of its elements is a formula that is searched as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from sympy import Expr

from nncodegen.compiler.ir import Element, elements
from nncodegen.compiler.ir.functions import StableFunction, defined, plain_conditions
from nncodegen.compiler.ir.program import BEST, FAST
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.compiler.passes.digits.cost import (
    FAR,
    FAR_WITH_SLOPES,
    OPERATIONS,
    WITH_SLOPES,
    Bound,
    operations,
    operations_with_slopes,
)
from nncodegen.compiler.passes.digits.exact import Truth
from nncodegen.compiler.passes.digits.formats import Array, are_apart, bits_lost
from nncodegen.compiler.passes.digits.measure import Sample, values
from nncodegen.compiler.passes.digits.points import Points, chosen, draw, joined, ordinary_points, regimes
from nncodegen.compiler.passes.digits.screen import are_few, is_sound, suspicious_points, suspicious_slopes
from nncodegen.compiler.passes.digits.search import ENOUGH_FOR_SLOPES, GAIN_AS_WRITTEN, LARGEST, Found, Search, is_worse
from nncodegen.compiler.passes.digits.text import LIKELY, PROBABLE, SURE, Gain, are_far_apart, gain
from nncodegen.compiler.passes.rules.derivative import as_sympy_writes
from nncodegen.compiler.passes.rules.forms import stable_form
from nncodegen.compiler.passes.rules.ranges import with_divisions

WIDE, ORDINARY = 44, 24
"""The number of points over all numbers, and of those of ordinary sizes."""

FURTHER_WIDE, FURTHER = 60, 20
"""The numbers of further points over all numbers, and of ordinary sizes, at which no form may be worse."""

FEW_DEFINED, MORE = 0.25, 12
"""Where fewer points than this part have a value, some of this many times as many further points are taken."""

SEED_OF_FURTHER, SEED_OF_ANY, SEED_OF_TEXT = 1974, 1980, 1986

SPREAD = 30.0
"""The factors of two between parameters and their starts, as a fit may reach, at points where a form may not be NaN."""

MOST_ELEMENTS = 8
"""The number of elements of formulas that are searched."""

MOST_PARAMETERS = 4
"""The number of parameters up to which each derivative of a formula has a form of its own."""


LONGEST_TOLD = 20
"""The operations up to which a finding tells the form itself."""

LOST = 20.0
"""Where the best form still loses more mean bits than these, derivatives have no form of their own."""


@dataclass(frozen=True)
class Finding:
    """The result of the search for the value of a formula, or for a derivative: ``what`` names it.

    ``found`` is None if no form is better; ``lost`` are the mean bits that are still lost at the points. ``dear`` has
    the operations of a formula with its derivatives, as it is and in a form that would take more than may be.
    """

    what: str
    found: Found | None
    lost: float
    points: int
    dear: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.dear:
            return (
                f"{self.what}: {self.lost:.1f} bits are lost on average at {self.points} points; a form that keeps "
                f"more takes {self.dear[1]} operations with its derivatives instead of {self.dear[0]}: the choice "
                f'digits="{BEST}" allows it'
            )
        if self.found is None:
            return (
                f"{self.what}: {self.lost:.1f} bits are lost on average at {self.points} points, and no form was found "
                f"that keeps more within the cost that the choice of digits allows: in each, sums cancel, or parts "
                f"leave the range of numbers"
            )
        rules = ", ".join(dict.fromkeys(rule.replace("_", " ") for rule in self.found.rules)) or "other form"
        (before, after), (less, more) = self.found.lost, self.found.operations
        form = f": {self.found.form}" if more <= LONGEST_TOLD else ""
        return (
            f"{self.what}: {rules}; at {self.points} points, {before:.1f} bits were lost on average before and "
            f"{after:.1f} are after; {more} operations instead of {less}{form}"
        )


class Formed(StableFunction):
    """A formula of its arguments; ``written`` is what it means, ``form`` how it is computed.

    Derivatives by elements without one of their own in ``slopes`` are those of its ``plain`` form, without a search.
    """

    names: tuple[Element, ...]
    written: Expr
    plain: Expr
    form: Expr
    slopes: Mapping[Element, Expr]

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        return cls.written.xreplace(dict(zip(cls.names, args, strict=True)))

    @classmethod
    def stable(cls, *args: Expr) -> Expr:
        return cls.form.xreplace(dict(zip(cls.names, args, strict=True)))

    @classmethod
    def plain_form(cls, *args: Expr) -> Expr:
        """Return the stable form of the formula without a search."""
        return cls.plain.xreplace(dict(zip(cls.names, args, strict=True)))

    def fdiff(self, argindex: int = 1) -> Expr:
        element = self.names[argindex - 1]
        slope = self.slopes.get(element)
        if slope is None:
            slope = defined(plain_conditions(derivative(self.plain, element)))
        return slope.xreplace(dict(zip(self.names, self.args, strict=True)))


@lru_cache(maxsize=200)
def formed(name: str, written: Expr, plain: Expr, form: Expr, slopes: tuple[tuple[Element, Expr], ...]) -> type[Formed]:
    """Return the class of a formula, whose name is that of what it computes."""
    members = {"names": elements(written), "written": written, "plain": plain, "form": form}
    members["slopes"] = MappingProxyType(dict(slopes))
    return type(f"{name}_formula", (Formed,), {"__doc__": f"{written}", **members})


@dataclass(frozen=True)
class Question:
    """A formula whose form is looked for: as it was given, and in its stable form.

    ``starts`` are the parameters that it reads, with their initial values; ``choice`` bounds what a form may cost.
    ``typed`` is the formula with its products in the order of its text, None if that is the order of ``written``.
    """

    name: str
    written: Expr
    form: Expr
    starts: tuple[tuple[Element, float], ...]
    choice: str
    precision: str
    typed: Expr | None = None


@dataclass(frozen=True)
class Answer:
    """The form of a value, and those of its derivatives, as far as they are its own, and what the search found.

    Without a better form, ``best`` is None; ``slopes`` is None if the derivatives are those of ``best``.
    """

    best: Expr | None = None
    slopes: tuple[tuple[Element, Expr], ...] | None = None
    findings: tuple[Finding, ...] = ()


def kept(
    name: str,
    written: Expr,
    form: Expr,
    starts: Mapping[Element, float],
    choice: str,
    precision: str = "float64",
    known: Known | None = None,
    typed: Expr | None = None,
) -> tuple[Expr, tuple[Finding, ...]]:
    """Return a formula in a form that keeps its digits, and what the search found.

    ``written`` is the formula as it was given, ``form`` its stable form, ``starts`` has the parameters with their
    initial values; ``typed`` has the products of ``written`` in the order of its text. Formulas that a cheap test finds
    sound stay as they are, or as they were typed. What has been searched before is not searched again: ``known`` has
    the answers of other processes.
    """
    read = elements(written)
    if not read or operations(form) > LARGEST:
        return form, ()
    typed = None if typed is None or elements(typed) != read else typed
    read_starts = tuple((element, starts[element]) for element in read if element in starts)
    question = Question(name, written, form, read_starts, choice, precision, typed)
    keeping = _keeping(question)
    if not (keeping.is_searched or keeping.typed):
        return form, ()
    answer = _answer(question) if known is None else known.get(question, _answer)
    if answer.best is None:  # the reverse sweep knows more of limits and infinities than a derivative that stands alone
        return form, answer.findings
    if answer.slopes is None:
        return answer.best, answer.findings
    return formed(name, written, form, answer.best, answer.slopes)(*read), answer.findings


class Known(Protocol):
    """Answers that have been found before."""

    def get(self, question: Question, answer: Callable[[Question], Answer]) -> Answer:
        """Return the answer to a question, which ``answer`` finds if it is not known."""


@lru_cache(maxsize=200)
def _answer(question: Question) -> Answer:
    """Return the form of a formula that keeps its digits, as far as its cost allows."""
    keeping = _keeping(question)
    answer = _searched(keeping) if keeping.is_searched else Answer()
    typed = keeping.typed
    if not typed or (answer.best and keeping.is_better(answer.best, typed.form)):
        return answer
    if not typed.gains:
        return Answer(typed.form, None, () if answer.best else answer.findings)
    finding, keeping = keeping.told(typed), _keeping(replace(question, form=typed.form, typed=None))
    answer = _searched(keeping) if keeping.is_searched else Answer()
    if answer.best and not keeping.is_better(answer.best, typed.form):
        answer = Answer()
    return replace(answer, best=answer.best or typed.form, findings=(finding, *answer.findings))


def _searched(keeping: _Keeping) -> Answer:
    """Return the result of the searches for a value and its derivatives."""
    best = keeping.value()
    if best == keeping.form:
        return Answer(None, None, tuple(keeping.findings))
    slopes = keeping.slopes(best)
    return keeping.within_cost(Answer(best, tuple(slopes.items()), tuple(keeping.findings)))


@dataclass(frozen=True)
class Typed:
    """A formula as its text has it: the mean bits that it gains, whether these are enough to tell, and operations."""

    form: Expr
    bits: float
    gains: bool
    operations: tuple[int, int]


class _Keeping:
    """The searches for the value of a formula and for its derivatives, at the same points; ``findings`` grows."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._name, self._written, self.form = question.name, question.written, question.form
        self._choice, self._dtype, self._starts = question.choice, np.dtype(question.precision), dict(question.starts)
        self._read, self._trained = elements(self._written), [*self._starts]
        self._inputs = [element for element in self._read if element not in self._starts]
        self._points = self._drawn(WIDE, ORDINARY)
        self._truth = Truth(self._written, self._points)
        self.findings: list[Finding] = []

    def _drawn(self, wide: int, ordinary: int, *how: Any) -> Points:
        """Return drawn points, except those where parameters are 0 without which no input is left, as in k*f(x)."""
        points = draw(self._read, self._starts, wide, ordinary, self._dtype, *how)
        defined = np.isfinite(Sample(points).values(self.form))
        if defined.sum() < FEW_DEFINED * len(defined):  # as of a sum of roots, whose arguments are seldom all positive
            further_points = draw(self._read, self._starts, MORE * wide, MORE * ordinary, self._dtype, *how)
            places = np.flatnonzero(np.isfinite(Sample(further_points).values(self.form)))
            few = places[:: max(1, len(places) // (len(defined) // 2))]
            points = joined(points, chosen(further_points, few))
        zeros = [element for element in self._trained if np.any(points[element] == 0)]
        if not zeros:
            return points
        kinds = np.stack([points[element] == 0 for element in zeros], axis=1)
        tells = np.ones(len(kinds), bool)
        for kind in np.unique(kinds, axis=0):
            left = self._written.subs({element: 0 for element, zero in zip(zeros, kind, strict=True) if zero})
            if kind.any() and not any(left.has(element) for element in self._inputs):
                tells &= np.any(kinds != kind, axis=1)
        return chosen(points, tells) if np.any(tells) else points

    @cached_property
    def is_searched(self) -> bool:
        """Return whether a search begins: the formula has few elements, and loses digits by the cheap test.

        No search begins for one with functions of nncodegen: what they are made of is in stable form.
        """
        if len(self._read) > MOST_ELEMENTS or self._written.has(StableFunction):
            return False
        return not self._is_sound(self.form, self._doubts, self._truth)

    def _is_sound(self, form: Expr, doubts: Any, truth: Truth) -> bool:
        """Return whether a form keeps its digits, by the cheap test, in each regime of the parameters."""
        kinds = regimes(self._points, self._starts)
        return all(is_sound(form, self._points, doubts & which, truth, int(which.sum())) for which in kinds)

    @cached_property
    def _doubts(self) -> Any:
        """Return at which points the form may lose digits."""
        return suspicious_points(self.form, self._points)

    @cached_property
    def typed(self) -> Typed | None:
        """Return the formula as its text has it, if no digits are lost so that the form keeps; None if they are.

        The rules apply to it as well, unless more digits are kept without them; and its quotients are single divisions
        where this keeps more digits.
        """
        text = self._question.typed or self._written
        ordered = stable_form(text)
        forms = dict.fromkeys((ordered, text))
        forms |= dict.fromkeys(form for form in map(with_divisions, forms) if self._differs(form, text))
        comparisons = [self._compared(form, form == ordered) for form in forms if form != self.form]
        best = max((each for each in comparisons if each), key=lambda each: each.bits, default=None)
        if best is None or (divided := with_divisions(best.form)) == best.form:
            return best
        as_typed = self._compared(divided, is_stable=True)  # a text has no reciprocals of its divisors
        return as_typed if as_typed and as_typed.bits >= best.bits and as_typed.gains == best.gains else best

    def _differs(self, form: Expr, other: Expr) -> bool:
        """Return whether two forms have values at any point that are far apart."""
        if form == other:
            return False
        sample = Sample(self._points)
        return bool(np.any(are_far_apart(sample.values(form), sample.values(other), self._dtype)))

    def _compared(self, form: Expr, is_stable: bool) -> Typed | None:
        """Return a form as a text has it, None if it keeps fewer digits, or costs too much.

        Of two orders that keep as many digits, that of the text is taken, as far as it costs no more: who has written
        it may know why. If it is not in stable form, it has to gain as much as any form that is taken as it is written.

        What was written is asked for less than forms that a search finds: only at ordinary points, and where an input
        is 0, are no digits lost for it. The cost is that of any form which gains as much.
        """
        value = self._gain(self.form, form)
        gains = value.bits > GAIN_AS_WRITTEN
        if value.is_loss(LIKELY) or not (gains or (is_stable and value.differing)):
            return None
        costs = operations(self.form), operations(form)
        if not (gains or costs[1] <= costs[0]) or not OPERATIONS[self._choice].allows(costs[1], costs[0], value.bits):
            return None
        usual = ordinary_points(self._points, self._inputs)
        for element in self._trained:
            if gain(*self._slopes_of(form, element), self._truth_of(element), usual, self._dtype).is_loss(SURE):
                return None
        after = operations_with_slopes(form, self._trained)
        if not (WITH_SLOPES[self._choice].allows(after, self._cost, value.bits) if gains else after <= self._cost):
            return None
        return Typed(form, value.bits, gains, costs)

    def is_better(self, form: Expr, typed: Expr) -> bool:
        """Return whether a form that was found probably keeps more digits than what was typed, at points of their own.

        The best of many orders of factors is the best at the points of the search by their chance.
        """
        points = self._drawn(FURTHER_WIDE, FURTHER, SEED_OF_TEXT)
        return self._gain_at((points, Truth(self._written, points)), typed, form).is_gain(PROBABLE)

    def _gain(self, before: Expr, after: Expr) -> Gain:
        """Return what a form gains over another at the points, and at further ones where the first do not decide."""
        total = Gain(0.0, 0.0, 0)
        for points, truth in ((self._points, self._truth), self._further):
            if not total.points or not (total.is_loss(SURE) or total.is_gain(SURE)):
                total += self._gain_at((points, truth), before, after)
        return total

    def _gain_at(self, where: tuple[Points, Truth], before: Expr, after: Expr) -> Gain:
        """Return what a form gains over another at some points."""
        points, truth = where
        usual = ordinary_points(points, self._inputs)
        return gain(values(before, points), values(after, points), truth, usual, self._dtype)

    @cached_property
    def _further(self) -> tuple[Points, Truth]:
        """Return further points, with the exact values there."""
        points = self._drawn(FURTHER_WIDE, FURTHER, SEED_OF_FURTHER)
        return points, Truth(self._written, points)

    def told(self, typed: Typed) -> Finding:
        """Return the finding that more digits are kept as a text has the formula."""
        exact = self._truth.everywhere()
        known = np.isfinite(exact)
        forms = (values(each, self._points)[known] for each in (self.form, typed.form))
        before, after = (float(bits_lost(each, exact[known]).mean()) for each in forms)
        improvement = Found(typed.form, ("as written",), int(known.sum()), (before, after), typed.operations)
        return Finding(self._name, improvement, after, improvement.points)

    @cached_property
    def _bounds(self) -> tuple[Bound, Bound]:
        """Return the bounds of the operations of a form, and of those with its derivatives."""
        if self._choice == FAST and self._is_usually_sound:
            return FAR, FAR_WITH_SLOPES
        return OPERATIONS[self._choice], WITH_SLOPES[self._choice]

    def value(self) -> Expr:
        """Return the best form of the value, with which ``findings`` begin."""
        self.findings = []
        return self._searched(self._name, self._written, self.form, self.form, self._truth)

    def slopes(self, best: Expr) -> dict[Element, Expr]:
        """Return the best forms of the derivatives by all parameters, given that of the value; none of many."""
        if len(self._trained) > MOST_PARAMETERS or self.findings[0].lost > LOST:
            return {}
        doubts = suspicious_slopes(best, self._points, self._trained)
        forms = {
            element: self._slope(best, element, where)
            for element, where in doubts.items()
            if not are_few(where, len(where))
        }
        other_elements = (element for element in self._trained if element not in forms)
        return forms | {element: defined(self._own(best, element)) for element in other_elements}

    def within_cost(self, answer: Answer) -> Answer:
        """Return an answer, or one whose derivatives are those of its form, or none, as the cost of these allows."""
        assert answer.best is not None
        whole = formed(self._name, self._written, self.form, answer.best, answer.slopes or ())(*self._read)
        value, *_ = answer.findings
        assert value.found
        bits = value.found.lost[0] - value.found.lost[1]
        if self._allows(whole, bits):
            if self._bounds[1] != FAR_WITH_SLOPES or self._allows(whole, 0.0):
                return answer
            if not any(
                self._is_worse_slope(whole, element) for element in self._trained
            ):  # it is dear for numbers far out
                return answer
            return Answer(None, None, (replace(value, found=None, lost=value.found.lost[0]),))
        if self._allows(answer.best, bits) and all(self._has_own(answer.best, element) for element in self._trained):
            return Answer(answer.best, None, (value,))
        return Answer(None, None, (self._dear(value, whole),))

    def _is_worse_slope(self, form: Expr, element: Element) -> bool:
        """Return whether the derivative of a form by an element loses digits that the one of the given form keeps.

        Exact values are computed where both differ alone.
        """
        before, after = self._slopes_of(form, element)
        differ = np.flatnonzero(are_apart(before, after, self._dtype))
        exact = self._truth_of(element).at(differ)
        known = np.isfinite(exact)
        there, exact = differ[known], exact[known]
        return is_worse(bits_lost(before[there], exact), bits_lost(after[there], exact), exact)

    def _slopes_of(self, form: Expr, element: Element) -> tuple[Array, Array]:
        """Return the derivatives of the given form and of another by an element at the points."""
        sample = Sample(self._points)
        forms = (defined(plain_conditions(derivative(each, element))) for each in (self.form, form))
        before, after = map(sample.values, forms)
        return before, after

    def _truth_of(self, element: Element) -> Truth:
        """Return the exact values of the derivative by an element."""
        return Truth(plain_conditions(derivative(self._written, element)), self._points)

    def _allows(self, form: Expr, bits: float) -> bool:
        """Return whether the choice allows what a form costs with its derivatives, which gains some mean bits."""
        _, bound = self._bounds
        if bound.multiple == math.inf:
            return True
        return bound.allows(operations_with_slopes(form, self._trained), self._cost, bits)

    @cached_property
    def _cost(self) -> int:
        """Return the operations of the given form with its derivatives, or of the formula as written if it has more."""
        forms = (self.form, self._written) if self._bounds[0] == FAR else (self.form,)
        return max(operations_with_slopes(form, self._trained) for form in forms)

    def _dear(self, finding: Finding, form: Expr) -> Finding:
        """Return the finding that a form costs too much."""
        lost = finding.found.lost[0] if finding.found else finding.lost
        return replace(finding, found=None, lost=lost, dear=(self._cost, operations_with_slopes(form, self._trained)))

    def _own(self, best: Expr, element: Element) -> Expr:
        """Return the derivative of the best form, or of the given one where that of the best is NaN and this is not."""
        best_slope, plain = (plain_conditions(derivative(form, element)) for form in (best, self.form))
        after, before = (Sample(self._anywhere).values(slope) for slope in (best_slope, plain))
        return plain if np.any(np.isnan(after) & np.isfinite(before)) else best_slope

    def _has_own(self, best: Expr, element: Element) -> bool:
        """Return whether the derivative of the best form is a number wherever that of the given one is."""
        return bool(self._own(best, element) == plain_conditions(derivative(best, element)))

    @cached_property
    def _anywhere(self) -> Points:
        """Return points at which the form has a value, with parameters as a fit may reach them as well."""
        drawn = self._drawn(FURTHER, FURTHER, SEED_OF_ANY, SPREAD)
        points = joined(self._points, drawn)
        return chosen(points, np.isfinite(Sample(points).values(self.form)))

    def _slope(self, best: Expr, element: Element, doubts: Any) -> Expr:
        """Return the best form of the derivative by an element, given that of the value."""
        best_slope = self._own(best, element)
        if operations(best_slope) > LARGEST:
            return defined(best_slope)
        meant = plain_conditions(derivative(self._written, element))
        truth = Truth(meant, self._points)
        if self._is_sound(best_slope, doubts | suspicious_points(best_slope, self._points), truth):
            return defined(best_slope)
        limits = plain_conditions(derivative(self.form, element))
        plain_slopes = self._plain_slopes(meant, best, element)
        return defined(self._searched(f"derivative by {element}", meant, best_slope, limits, truth, plain_slopes))

    def _plain_slopes(self, meant: Expr, best: Expr, element: Element) -> Iterator[Expr]:
        """Yield forms of a derivative with which a search may begin."""
        yield stable_form(meant)
        yield stable_form(as_sympy_writes(self._written, element))
        yield as_sympy_writes(best, element)

    def _searched(
        self, what: str, meant: Expr, now: Expr, limits: Expr, truth: Truth, first_forms: Iterable[Expr] = ()
    ) -> Expr:
        further = self._further[0], self._anywhere
        search = Search(meant, now, self._points, further, truth, self._bounds[0], limits, self._starts)
        if not self._fills_holes():
            search.holes = []  # where the value is not defined, or has no hole, a derivative has none
        elif search.holes and meant is not self._written:  # derivatives of a form with limits have limits, too
            first_forms, now = (now, *first_forms), limits
            search = Search(meant, now, self._points, further, truth, self._bounds[0], limits, self._starts)
        elif search.holes and self._is_usually_sound and self._bounds[0] != FAR:
            search.mends = False
        if meant is self._written:
            search.zeros = tuple(element for element, _, _ in search.holes)
            search.allows = self._allows
        else:
            search.enough = ENOUGH_FOR_SLOPES
        improvement = search.run(first_forms)
        lost = search.candidates[0].lost if search.candidates else np.zeros(1)
        if improvement or (lost.mean() >= 1 and self._bounds[0] != FAR):  # what is lost far out alone is not told
            after = improvement.lost[1] if improvement else float(lost.mean())
            finding = Finding(what, improvement, after, len(search.exact))
            self.findings.append(
                finding if improvement or not search.refused else self._dear(finding, search.refused[0])
            )
        return improvement.form if improvement else now

    @cached_property
    def _is_usually_sound(self) -> bool:
        """Return whether the form has its digits at ordinary points."""
        doubts = self._doubts & ordinary_points(self._points, self._inputs)
        return self._is_sound(self.form, doubts, self._truth)

    def _fills_holes(self) -> bool:
        """Return whether the form has a value at a point with a 0, where the formula as written has none."""
        zeros = np.flatnonzero(np.any([column == 0 for column in self._points.values()], axis=0))
        there = Sample(chosen(self._points, zeros)).values(self.form)
        return bool(np.any(np.isfinite(there) & ~np.isfinite(self._truth.at(zeros))))


@lru_cache(maxsize=100)
def _keeping(question: Question) -> _Keeping:
    """Return the searches for a question, which remember what they have computed."""
    return _Keeping(question)
