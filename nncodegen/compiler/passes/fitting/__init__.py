"""Chooses the program for the fit of a model: the rows of its Jacobian, or rows with the curvature of its loss."""

from __future__ import annotations

from nncodegen.compiler.ir import Companion, Program
from nncodegen.compiler.passes.fitting.curvature import curvature
from nncodegen.compiler.passes.fitting.jacobian import jacobian

MOST = 4096
"""The largest number of parameters of a model that can be fitted: a fit keeps a triangle with a column for each."""


def never_fitted(program: Program) -> str:
    """Return the reason why no program such as this has a fit, whatever its formulas are, as a text; "" without one."""
    if program.parameter_count > MOST:
        return f"it has {program.parameter_count:,} parameters, more than the {MOST:,} that a fit takes"
    return "" if program.targets else "it has no targets"


def fit_of(program: Program) -> Companion | str:
    """Return the companion of a stabilized program for its fit, or the reason why it has none, as a text."""
    never = never_fitted(program)
    if never:
        return never
    if program.task.least_squares:
        return jacobian(program)
    companion = curvature(program)
    if isinstance(companion, str) and program.task.terms and not program.task.residuals:
        return "a Mean among its losses is minimized itself, and a fit takes sums of squares; use train or minimize"
    return companion
