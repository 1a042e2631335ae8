"""The record of a Runge-Kutta method: a table of coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sympy import Expr, Float, Rational

Coefficient: TypeAlias = int | float | str
"""A number: whole, a double, or a fraction as a text, "1/6", which stays exact."""


@dataclass(frozen=True)
class RungeKutta:
    """An explicit method: ``stages`` has a row (c, a_1, ..., a_i) for each stage after the first, ``weights`` the b.

    A step of length h from u at the time t is, with k_1 = f(t, u),

        k_(i+1) = f(t + c*h, u + h*(a_1*k_1 + ... + a_i*k_i))    for the next stage
        u + h*(b_1*k_1 + b_2*k_2 + ...)                          after all stages

    ``order`` is the order of its global error, ``source`` the publication of the coefficients.
    """

    name: str
    order: int
    stages: tuple[tuple[Coefficient, ...], ...]
    weights: tuple[Coefficient, ...]
    source: str

    @property
    def times(self) -> tuple[Expr, ...]:
        """Return the times of all stages within a step, as parts of its length."""
        return (number(0), *(number(row[0]) for row in self.stages))

    @property
    def rows(self) -> tuple[tuple[Expr, ...], ...]:
        """Return, for each stage, the coefficients of the rates of the stages before it."""
        return ((), *(tuple(map(number, row[1:])) for row in self.stages))

    @property
    def last(self) -> tuple[Expr, ...]:
        """Return the weights of the rates of all stages in the step."""
        return tuple(map(number, self.weights))


def number(value: Coefficient) -> Expr:
    """Return a coefficient as SymPy has it: exactly, or as a double."""
    return Float(value) if isinstance(value, float) else Rational(value)
