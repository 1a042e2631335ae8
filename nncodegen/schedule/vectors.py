"""Loops over whole vectors alone, where what is computed for a row could hang on the rows beside it.

A loop over samples works on whole vectors, and on the samples that it leaves over one by one, as on the last of those
that it reads, or writes, with gaps between. Then functions of the C library are others, which need not have the same
bits. So are choices between values: a vector has both values and selects, where one sample may take a branch, and a
compiler fuses no product on one side of it with a sum on the other. But what is predicted of a row must not depend on
the rows beside it. So a kernel that predicts leaves no rows over: it is given whole vectors of them, the last row again
and again behind it. Where it would read or write with gaps, or calls the C library, it copies its rows to arrays
without any, and all its other loops run over these alone.
"""

from __future__ import annotations

from sympy import Abs, Function, Piecewise, Pow, Rational, sign

from nncodegen.ir import SAMPLE, Step
from nncodegen.ir.functions import INLINE


def calls_functions(step: Step) -> bool:
    """Whether a step over the samples is more than arithmetic: most functions choose between values, as branches do."""
    return SAMPLE in step.indices and (step.expression.has(Function, Piecewise) or calls_library(step))


def calls_library(step: Step) -> bool:
    """Whether a step over the samples calls a function of the C library."""
    functions = (call for call in step.expression.atoms(Function) if not isinstance(call, Abs | Piecewise | sign))
    others = any(function.func.__name__ not in INLINE for function in functions)
    return SAMPLE in step.indices and (others or any(map(_is_called, step.expression.atoms(Pow))))


def _is_called(power: Pow) -> bool:
    """Whether a power is neither made of products nor of square roots."""
    return not power.exp.is_Integer and abs(power.exp) not in (Rational(1, 2), Rational(3, 2))
