"""The value of a state or a column at an earlier time, as equations in SymPy have it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sympy import Basic, Function, Integer, Symbol

from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.errors import ModelError

MOST = 1000
"""The largest number of times that an equation may look back."""


class before(Function):  # noqa: N801 (written in formulas, like tanh)
    """The value at the time before, ``before(u)``, or at several times before, ``before(u, 2)``, in ``nn.Dynamics``.

    Of a formula, it is the formula of the values at that time.
    """

    nargs = (1, 2)

    def _eval_is_extended_real(self) -> bool:
        return True

    @property
    def lag(self) -> int:
        """Return the number of times that it looks back. Raise ModelError unless that is a whole number from 1 on."""
        lag = self.args[1] if len(self.args) > 1 else Integer(1)
        if not isinstance(lag, Integer) or not 1 <= lag <= MOST:
            raise ModelError(f"{self}: the second argument of before is a whole number from 1 to {MOST}, not {lag}")
        return int(lag)


def earlier(symbol: Symbol, lag: int) -> before:
    """Return the value of a symbol some times before, in the one form that it has after ``expanded``."""
    return before(symbol) if lag == 1 else before(symbol, Integer(lag))


def expanded(expression: Any, varying: Collection[Symbol], lag: int = 0) -> Any:
    """Return an expression in which ``before`` is of symbols alone: of those that vary in time."""
    if isinstance(expression, before):
        return expanded(expression.args[0], varying, lag + expression.lag)
    if isinstance(expression, Symbol):
        return earlier(expression, lag) if lag and expression in varying else expression
    if not isinstance(expression, Basic) or not (lag or expression.has(before)):
        return expression
    if not lag or {*symbols_of(expression)} & {*varying}:
        return expression.func(*(expanded(argument, varying, lag) for argument in expression.args))
    return expression
