"""The records of methods for differential equations: tables of coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from sympy import Expr, Float, Rational

from nncodegen.compiler.ir.systems import LinearlyImplicit, Table

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


@dataclass(frozen=True)
class Rosenbrock:
    """A linearly implicit method, each stage of which solves linear equations.

    ``stages`` has a row (a_1, ..., a_i) for each stage after the first, ``couplings`` a row (c_1, ..., c_i); ``times``
    has the time of each stage, and ``drifts`` its factor of the derivative by the time. A step of length h from u at
    the time t is, with J = df/du and f_t = df/dt there, and d = 1/(gamma*h),

        (d - J)*U_i = f(t + time_i*h, u + a_1*U_1 + ...) + (c_1*U_1 + ...)/h + drift_i*h*f_t    for each stage
        u + b_1*U_1 + b_2*U_2 + ...                                                            after all stages

    with the ``weights`` b (E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, IV.7). ``errors`` are
    the weights of its estimated error. Within a step, at its part x, the solution is

        (1 - x)*u + x*(v + (1 - x)*(V_1 + x*(V_2 + x*V_3)))

    with v at its end, and V_k = h_k1*U_1 + ...; these weights are the rows of ``dense``. ``order`` is the order of its
    global error, ``source`` the publication of the coefficients.
    """

    name: str
    order: int
    gamma: float
    times: tuple[float, ...]
    drifts: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    couplings: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    dense: tuple[tuple[float, ...], ...]
    source: str

    @property
    def table(self) -> LinearlyImplicit:
        """Return the method as a table, whose interpolant has the coefficients of powers of x."""
        V = [*zip(*self.dense, strict=True)]
        return LinearlyImplicit(
            name=self.name,
            times=self.times,
            rows=((), *self.stages),
            errors=self.errors,
            interpolant=tuple(
                (b + coefficients[0], *(after - before for before, after in pairwise(coefficients)), -coefficients[-1])
                for b, coefficients in zip(self.weights, V, strict=True)
            ),
            exponent=self.order,
            gamma=self.gamma,
            couplings=((), *self.couplings),
            drifts=self.drifts,
            weights=self.weights,
        )


@dataclass(frozen=True)
class Automatic:
    """A method whose steps are explicit or implicit, as the Jacobian at the begin of each step has it."""

    name: str
    explicit: RungeKutta
    implicit: Rosenbrock

    @property
    def errors(self) -> tuple[Coefficient, ...]:
        """Return the weights of the estimated error of implicit steps."""
        return self.implicit.errors

    @property
    def table(self) -> LinearlyImplicit:
        """Return both methods as a table."""
        return replace(self.implicit.table, explicit=self.explicit.table, together=self.name)


def number(value: Coefficient) -> Expr:
    """Return a coefficient as SymPy has it: exactly, or as a double."""
    return Float(value) if isinstance(value, float) else Rational(value)
