"""The system of differential equations of the sensitivities: the derivatives of a path by what is given.

For du/dt = f(t, u, g), the derivatives S = du/dg follow dS/dt = df/du*S + df/dg. They are further states, which choose
the steps together with u: the error of those by each g has a norm of its own, and the largest of all norms counts. So
a derivative is that of the steps with their lengths held fixed, and no less accurate than u.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sympy import Add, Expr, S

from nncodegen.errors import ModelError
from nncodegen.ir import Element
from nncodegen.ir.functions import defined, plain_conditions
from nncodegen.ir.names import take
from nncodegen.ir.systems import System
from nncodegen.passes.derivatives import derivative

MOST = 1000
"""The largest number of states together with their sensitivities: their rates lie on the stack of a thread."""


@lru_cache(maxsize=100)
def augmented(system: System) -> System:
    """Return the system whose path has the derivatives of another path: by each of ``given``, those of all states.

    Raise ModelError for a system that has derivatives itself, and for very many states.
    """
    size = len(system.states)
    if system.first:
        raise ModelError(f"{system.name} has no second derivatives: its steps follow an estimate of their error")
    if size * (1 + len(system.given)) > MOST:
        raise ModelError(
            f"{system.name} has {size} states and {len(system.given)} parameters and initial values, together "
            f"{size * (1 + len(system.given)):,} states and derivatives, more than the {MOST:,} that steps chosen by "
            "an estimate of the error take; give a number of steps, or initial values as numbers or inputs"
        )
    taken = set(system.taken)
    slopes = [[_slope(rate, state) for state in system.states] for rate in system.rates]
    states, starts, rates = [*system.states], [*system.starts], [*system.rates]
    for given in system.given:
        own = [Element(take(f"{state.tensor}_by_{given.tensor}", taken)) for state in system.states]
        states += own
        starts += [S.One if start == given else S.Zero for start in system.starts]
        rates += [
            Add(*(slope * one for slope, one in zip(row, own, strict=True)), _slope(rate, given))
            for rate, row in zip(system.rates, slopes, strict=True)
        ]
    return replace(
        system, name=f"{system.name}_slopes", states=tuple(states), starts=tuple(starts), rates=tuple(rates), first=size
    )


def _slope(rate: Expr, element: Element) -> Expr:
    """Return the derivative of a rate by one element."""
    return defined(plain_conditions(derivative(rate, element)))
