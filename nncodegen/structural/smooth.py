"""Formulas as smooth ones: functions by their definitions, and of each choice the branch that holds at a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
from sympy import Abs, Basic, Expr, Heaviside, Max, Min, Piecewise, Pow, Rational, S, sign
from sympy.codegen.cfunctions import Cbrt

from nncodegen.compiler.ir.arithmetics import Exact
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.graphs import contains, rewritten
from nncodegen.compiler.ir.walk import walk
from nncodegen.structural.fields import SingularError

KINKS = (Piecewise, Abs, sign, Heaviside, Max, Min, Cbrt)
"""The functions that are not smooth everywhere."""


def defined(formula: Expr) -> Expr:
    """Return a formula in which each function of nncodegen is written by its definition."""
    while contains(formula, StableFunction):
        formula = rewritten(formula, _definition)
    return formula


def _definition(node: Basic) -> Basic:
    return node.definition(*node.args) if isinstance(node, StableFunction) else node


def has_kinks(*formulas: Expr) -> bool:
    """Return whether a formula has a choice, or a function with a kink."""
    return any(contains(formula, *KINKS) for formula in formulas)


def smooth(formula: Expr, values: Mapping[Basic, Any]) -> Expr:
    """Return the smooth formula that a formula is near a point, given the values of mpmath that symbols have there.

    Raises SingularError where a condition has no value there.
    """
    return _smooth(formula, values, {})


def _smooth(formula: Any, values: Mapping[Basic, Any], done: dict[Basic, Expr]) -> Expr:
    """Return a smooth formula; ``done`` has those of the parts so far."""
    if formula not in done:
        near = formula
        while isinstance(near, KINKS):
            near = _resolved(near, values)
        if near.args and contains(near, *KINKS):
            near = near.func(*(_smooth(part, values, done) for part in near.args))
        done[formula] = near
    return done[formula]


def _resolved(node: Any, values: Mapping[Basic, Any]) -> Expr:
    """Return the formula that a node with a kink is near the point."""
    if isinstance(node, Piecewise):
        return next((value for value, condition in node.args if value_of(condition, values)), S.NaN)
    if isinstance(node, Max | Min):
        ordered = sorted(node.args, key=lambda part: value_of(part, values))
        return ordered[-1 if isinstance(node, Max) else 0]
    argument = node.args[0]
    size = value_of(argument, values)
    if isinstance(size, mpmath.mpc):  # such as log(-1)
        raise SingularError
    factor = int(size > 0) - int(size < 0)
    if isinstance(node, Abs):
        return factor * argument
    if isinstance(node, Cbrt):
        return factor * Pow(factor * argument, Rational(1, 3), evaluate=False) if factor else S.Zero
    return S(factor) if isinstance(node, sign) else Heaviside(factor, *node.args[1:])


def value_of(node: Basic, values: Mapping[Basic, Any]) -> Any:
    """Return the value of an expression or a condition at a point. Raises SingularError without one."""
    try:
        return walk(node, Exact({}), dict(values))
    except (TypeError, ValueError, ZeroDivisionError) as error:  # complex numbers have no order
        raise SingularError from error
