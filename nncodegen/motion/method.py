"""The record of a Runge-Kutta method: a table of coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sympy import Expr, Float, Rational

from nncodegen.ir.systems import Table

Coefficient: TypeAlias = int | float | str
"""A number: whole, a double, or a fraction as a text, "1/6", which stays exact."""


@dataclass(frozen=True)
class RungeKutta:
    """An explicit method: ``stages`` has a row (c, a_1, ..., a_i) for each stage after the first, ``weights`` the b.

    A step of length h from u at the time t is, with k_1 = f(t, u),

        k_(i+1) = f(t + c*h, u + h*(a_1*k_1 + ... + a_i*k_i))    for the next stage
        u + h*(b_1*k_1 + b_2*k_2 + ...)                          after all stages

    ``order`` is the order of its global error, ``source`` the publication of the coefficients. A method may estimate
    its error from one more stage, at the end of the step, which is the first of the next one: ``errors`` are the
    weights of the estimate, for all stages, and ``interpolant`` has for each stage the coefficients of x, x**2, ... of
    its weight b at the part x of a step.
    """

    name: str
    order: int
    stages: tuple[tuple[Coefficient, ...], ...]
    weights: tuple[Coefficient, ...]
    source: str
    errors: tuple[Coefficient, ...] = ()
    interpolant: tuple[tuple[Coefficient, ...], ...] = ()

    @property
    def times(self) -> tuple[Expr, ...]:
        """Return the times of all stages within a step, as parts of its length."""
        return (number(0), *(number(row[0]) for row in self.stages))

    @property
    def rows(self) -> tuple[tuple[Expr, ...], ...]:
        """Return, for each stage, the coefficients of the rates of the stages before it."""
        return ((), *(tuple(map(number, row[1:])) for row in self.stages))

    @property
    def table(self) -> Table:
        """Return the method with its estimate of the error as numbers."""
        rows = (*self.rows, self.last)
        return Table(
            name=self.name,
            times=(*map(float, self.times), 1.0),
            rows=tuple(tuple(map(float, row)) for row in rows),
            errors=tuple(map(float, map(number, self.errors))),
            interpolant=tuple(tuple(map(float, map(number, row))) for row in self.interpolant),
            exponent=self.order,
        )

    @property
    def last(self) -> tuple[Expr, ...]:
        """Return the weights of the rates of all stages in the step."""
        return tuple(map(number, self.weights))


def number(value: Coefficient) -> Expr:
    """Return a coefficient as SymPy has it: exactly, or as a double."""
    return Float(value) if isinstance(value, float) else Rational(value)
