"""Advice about a fit that has not ended well, from its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..ground.endings import UNFINISHED
from ..ground.markup import listed
from ..ground.outcomes import is_explicit

if TYPE_CHECKING:
    from .fitted import Fitted

STILL = 0.01
"""More iterations are worthwhile if the cost fell by at least this fraction over the last ones."""

KEPT = 64
"""The number of last costs that are looked at."""

CONDITION = 1e5
"""Above this condition number, steps are dominated by directions that the data hardly determine."""


def advice_of(result: Fitted) -> str:
    """Return advice for a fit that has not finished, from how its cost fell over the last iterations."""
    costs = np.empty(0) if result._costs is None else result._costs[-KEPT:]
    remedy = UNFINISHED[result._ending]
    if len(costs) < 2 or not math.isfinite(result.cost):
        return remedy
    steps, size = len(costs) - 1, abs(float(costs[0]))
    fall = float(costs[0] - costs[-1]) / size if size > 0 else 0.0
    over = f"over the last {steps} iterations" if steps > 1 else "in the last iteration"
    if fall >= STILL:
        return f"{over} the cost fell by {100 * fall:.2g} %, so it still falls: {remedy}"
    fell = f"{over} the cost fell by {100 * fall:.2g} % alone" if fall > 0 else f"{over} the cost did not fall"
    ways = [*reasons_of(result), *_looser(fall / steps)]
    return f"{fell}, so more of them gain little: {'; or '.join(ways)}"


def _looser(fall: float) -> list[str]:
    """Return advice: the tolerance at which a fit would have ended whose cost falls by ``fall`` per iteration."""
    if not fall > 0:
        return ["begin elsewhere, or scale the data so that no parameter is very large or small"]
    return [f"accept this one, which tolerance={10.0 ** math.ceil(math.log10(fall)):.0e} would have ended"]


def reasons_of(result: Fitted) -> list[str]:
    """Return what hinders a fit whose cost hardly falls any more, and what to do about it."""
    free = result.free_count
    if free > result.used:
        return [
            f"{free} free parameters are more than the {result.used} values can tell: fix some, use a smaller "
            f"model, or train with l2"
        ]
    if result.undetermined:
        return [not_told(result.undetermined)]
    if result.condition > CONDITION:
        return [
            f"the data hardly tell some parameters from each other (condition number {result.condition:.1e}): look at "
            f"correlation, and fix or bound some of them"
        ]
    return []


def not_told(names: Sequence[str]) -> str:
    """Return a clause about parameters that the data do not determine."""
    return (
        f"the data do not determine {listed(names)}: some change of {'them' if len(names) > 1 else 'it'} changes no "
        f"output here; start elsewhere, or fix {'one of them' if len(names) > 1 else 'it'}"
    )


def unsolved(solver: str) -> str:
    """Return a clause about differential equations that have no solution at the start of a fit."""
    other = "or raise rtol or max_steps"
    if is_explicit(solver):
        other = 'raise rtol or max_steps, or take method="rodas5p" if the equations are stiff'
    return (
        "there, a solution leaves the range of numbers before its last time, or takes more steps than it may "
        f"({solver}): look at the model's outcomes (which are those of float64), change the start, {other}"
    )


def stiff(solver: str, steps: int) -> str:
    """Return a clause about a fit that ended where a solution takes more than a number of steps."""
    method = solver.partition(",")[0]
    return (
        f"there, a solution takes more than {steps:,} steps of {method}, as where equations are stiff, and its "
        'derivatives tell little: method="auto" takes few steps then'
    )
