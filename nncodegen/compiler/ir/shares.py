"""The share of one number in a sum of two, u/(u + v): the form of Hill's and Langmuir's formulas."""

from __future__ import annotations

from sympy import Expr

from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.limits import product_unless_zero
from nncodegen.compiler.ir.traits import Trait


class share(StableFunction):
    """u/(u + v), whose derivative by u as a quotient loses its digits where u is much the larger.

    It is 1/(u + v) - u/(u + v)**2 as written, and v/(u + v)**2 here, which is 0 where v is infinite.
    """

    nargs = 2
    traits = Trait.SLOW_POLE

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return u / (u + v)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return u / (u + v)

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        if argindex == 2:
            return -share(u, v) / (u + v)
        return (v / (u + v) if v.is_number else product_unless_zero(1 / (u + v), v)) / (u + v)

    def _eval_is_nonnegative(self) -> bool | None:
        return True if all(part.is_nonnegative for part in self.args) else None
