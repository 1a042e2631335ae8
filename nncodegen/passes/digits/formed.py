"""A formula with forms of its own: one that keeps the digits of the value, and one for each derivative.

The derivative of a form that keeps its digits need not keep them: x times a tiny derivative may be lost on the way
where the product is not. So the derivative of a formula by each of its elements is a formula that is searched as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import sympy
from sympy import Expr

from nncodegen.ir import Element, elements
from nncodegen.ir.functions import StableFunction, defined, plain_conditions
from nncodegen.passes.derivatives import derivative
from nncodegen.passes.digits.measure import exact_values, values
from nncodegen.passes.digits.points import Points, draw
from nncodegen.passes.digits.screen import is_sound
from nncodegen.passes.digits.search import LARGEST, Found, Search, operations
from nncodegen.passes.rules.forms import stable_form

WIDE, ORDINARY = 56, 28
"""The number of points over all numbers, and of those of ordinary sizes."""

MOST_ELEMENTS = 8
"""The number of elements of formulas that are searched."""

MOST_PARAMETERS = 4
"""The number of parameters up to which each derivative of a formula has a form of its own."""


@dataclass(frozen=True)
class Finding:
    """The result of the search for the value of a formula, or for a derivative: ``what`` names it.

    ``found`` is None if no form is better; ``lost`` are the mean bits that are still lost at the points.
    """

    what: str
    found: Found | None
    lost: float
    points: int

    def __str__(self) -> str:
        if self.found is None:
            return (
                f"{self.what}: {self.lost:.1f} bits are lost on average at {self.points} points, and no form was found "
                f"that keeps more: its sums cancel, or its parts leave the range of numbers, in each of them"
            )
        rules = ", ".join(dict.fromkeys(rule.replace("_", " ") for rule in self.found.rules)) or "other form"
        return (
            f"{self.what}: {rules}; at {self.points} points, {self.found.before:.1f} bits were lost on average before "
            f"and {self.found.after:.1f} are after"
        )


class Formed(StableFunction):
    """A formula of its arguments; ``written`` is what it means, ``form`` how it is computed."""

    names: tuple[Element, ...]
    written: Expr
    form: Expr
    slopes: Mapping[Element, Expr]

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        return cls.written.xreplace(dict(zip(cls.names, args, strict=True)))

    @classmethod
    def stable(cls, *args: Expr) -> Expr:
        return cls.form.xreplace(dict(zip(cls.names, args, strict=True)))

    def fdiff(self, argindex: int = 1) -> Expr:
        element = self.names[argindex - 1]
        slope = self.slopes.get(element)
        if slope is None:
            slope = defined(plain_conditions(stable_form(derivative(self.written, element))))
        return slope.xreplace(dict(zip(self.names, self.args, strict=True)))


@lru_cache(maxsize=200)
def formed(
    name: str, names: tuple[Element, ...], written: Expr, form: Expr, slopes: tuple[tuple[Element, Expr], ...]
) -> type[Formed]:
    """Return the class of a formula, whose name is that of what it computes."""
    members = {"names": names, "written": written, "form": form, "slopes": MappingProxyType(dict(slopes))}
    return type(f"{name}_formula", (Formed,), {"__doc__": f"{written}", **members})


def kept(
    name: str, written: Expr, form: Expr, starts: Mapping[Element, float], choice: str
) -> tuple[Expr, tuple[Finding, ...]]:
    """Return a formula in a form that keeps its digits, and what the search found.

    ``written`` is the formula as it was given, ``form`` its stable form, ``starts`` has the parameters with their
    initial values. Formulas that a cheap test finds sound stay as they are.
    """
    read = elements(written)
    if not read or len(read) > MOST_ELEMENTS or operations(form) > LARGEST:
        return form, ()
    points = draw(read, starts, WIDE, ORDINARY)
    findings: list[Finding] = []
    usual = {element: column[WIDE:] for element, column in points.items()}
    examined = points

    def searched(what: str, meant: Expr, now: Expr, limits: Expr, *others: Expr) -> Expr:
        if operations(now) > LARGEST or is_sound(meant, now, examined):
            return now
        search = Search(meant, now, points, choice, limits)
        if not fills_holes(written, form, points):
            search.holes = []  # where the value is not defined, or has no hole, a derivative has none
        elif search.holes and (meant is not written or is_sound(meant, now, usual)):
            return limits  # the derivatives of a form with limits have limits, too, and so have theirs
        found = search.run(*others)
        lost = search.candidates[0].lost if search.candidates else np.zeros(1)
        if found or lost.mean() >= 1:
            findings.append(Finding(what, found, found.after if found else float(lost.mean()), len(search.exact)))
        return found.form if found else now

    best = searched(name, written, form, form)
    if best == form:  # far out, derivatives of a formula that stays as it is may leave the range of numbers
        examined = usual
    slopes: dict[Element, Expr] = {}
    trained = [element for element in read if element in starts]
    if len(trained) > MOST_PARAMETERS:
        return best, tuple(findings)
    for element in trained:
        meant = plain_conditions(derivative(written, element))
        own = plain_conditions(derivative(best, element))
        limits = own if best == form else plain_conditions(derivative(form, element))
        plain = [stable_form(meant), stable_form(sympy.diff(written, element)), sympy.diff(best, element)]
        slopes[element] = defined(searched(f"derivative by {element}", meant, own, limits, *plain))
    if not any(finding.found for finding in findings):
        return form, tuple(findings)
    return formed(name, read, written, best, tuple(slopes.items()))(*read), tuple(findings)


def fills_holes(written: Expr, form: Expr, points: Points) -> bool:
    """Return whether a form has a value at a point with a 0, where the formula as written has none."""
    zeros = np.any([column == 0 for column in points.values()], axis=0)
    few = {name: column[zeros] for name, column in points.items()}
    return bool(np.any(np.isfinite(values(form, few)) & ~np.isfinite(exact_values(written, few, once=True))))
