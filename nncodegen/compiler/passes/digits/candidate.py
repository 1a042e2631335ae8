"""A form that a search has measured."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr

from nncodegen.compiler.passes.digits.formats import Array


@dataclass(frozen=True)
class Candidate:
    """A form, the rules that led to it, and the bits that it loses at each point; the least ``score`` is the best.

    The score is the mean of the bits lost, and a price for the operations.
    """

    form: Expr
    rules: tuple[str, ...]
    lost: Array
    score: float
