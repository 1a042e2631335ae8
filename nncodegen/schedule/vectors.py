"""Functions of the C library, which loops may call for whole vectors.

Such a function need not have the same bits as the one for a single value. A loop calls that one for the samples that no
longer fill a vector, and for the last of those that it reads, or writes, with gaps between. But what is predicted of a
row must not depend on the rows beside it. So a kernel that predicts copies its rows to arrays without gaps, where the
last row is repeated to the end of a vector, and all its other loops run over these alone.
"""

from __future__ import annotations

from sympy import Abs, Function, Piecewise, Pow, Rational, sign

from nncodegen.functions import INLINE
from nncodegen.ir import SAMPLE, Step


def calls_library(step: Step) -> bool:
    """Whether a step over the samples calls a function of the C library."""
    functions = (call for call in step.expression.atoms(Function) if not isinstance(call, Abs | Piecewise | sign))
    others = any(function.func.__name__ not in INLINE for function in functions)
    return SAMPLE in step.indices and (others or any(map(_is_called, step.expression.atoms(Pow))))


def _is_called(power: Pow) -> bool:
    """Whether a power is neither made of products nor of square roots."""
    return not power.exp.is_Integer and abs(power.exp) not in (Rational(1, 2), Rational(3, 2))
