"""The derivatives of the rates of differential equations that implicit methods read: the Jacobian, and the drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from sympy import Add, Expr, S

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.element import elements
from nncodegen.compiler.ir.functions import defined, plain_conditions
from nncodegen.compiler.ir.systems import Formulas, Linear, System
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.errors import ModelError

MOST = 100
"""The largest number of states of an implicit method: their Jacobian lies on the stack of a thread."""


@lru_cache(maxsize=100)
def linearized(system: System) -> System:
    """Return a system of one block of states with what an implicit method reads, from its rates as they are.

    Raise ModelError for very many states.
    """
    if len(system.states) > MOST:
        raise ModelError(
            f"{system.name} has {len(system.states)} states, more than the {MOST} whose Jacobian the method "
            f"{system.control.table.chosen} takes: use the method tsit5, or a number of steps"
        )
    jacobian = tuple(slope(rate, state) for rate in system.rates for state in system.states)
    return replace(system, linear=Linear(slopes_of(jacobian, system.rates, system.time)))


def slope(rate: Expr, element: Element) -> Expr:
    """Return the derivative of a rate by one element."""
    return defined(plain_conditions(derivative(rate, element)))


def change(rate: Expr, states: Sequence[Element], direction: Sequence[Element]) -> Expr:
    """Return the derivative of a rate in a direction of the states."""
    read = {*elements(rate)}
    return Add(*(slope(rate, u) * v for u, v in zip(states, direction, strict=True) if u in read))


def slopes_of(jacobian: Iterable[Expr], rates: Iterable[Expr], time: Element) -> Formulas:
    """Return the derivatives of rates by the states, with those by the time after them if one of the rates reads it."""
    drift = tuple(slope(rate, time) for rate in rates)
    return Formulas((*jacobian, *(drift if any(by_time != S.Zero for by_time in drift) else ())))
