"""Equations that contain functions of inputs and their derivatives, as expressions of elements.

``u.diff(t) + u*u.diff(x)`` becomes ``u_t[n] + u[n]*u_x[n]``, with a step for each derivative, in the form that the pass
``tangent`` reads: ``u_t[n] = Derivative(u[n], t[n])``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from sympy import Derivative, Dummy, Expr, S, Symbol
from sympy.core.function import AppliedUndef

from nncodegen.compiler.describe.checks import check_size
from nncodegen.compiler.ir import SAMPLE, Element, Step
from nncodegen.errors import ModelError

HIGHEST = 4
"""The highest order of a derivative; for mixed derivatives, the total order."""


def derivatives_of(expressions: Sequence[Expr]) -> tuple[Derivative, ...]:
    """Return all derivatives in some expressions, in a fixed order."""
    derivatives = {node for expression in expressions for node in expression.atoms(Derivative)}
    return tuple(sorted(derivatives, key=lambda node: (node.derivative_count, str(node))))


def applied(expression: Any, role: str) -> Expr:
    """Return an expression whose derivatives are those of functions: derivatives of products and sums are expanded.

    Raise ModelError for an object that is no expression.
    """
    if not isinstance(expression, Expr):
        raise ModelError(f"{role} must be an expression, such as u.diff(t) - u.diff(x, 2), not {expression!r}")
    check_size(expression, role)
    while True:
        composed = [node for node in derivatives_of([expression]) if not isinstance(node.expr, AppliedUndef)]
        written = expression.xreplace({node: node.doit(deep=False) for node in composed})
        if written == expression:
            return expression
        expression = written


def check_functions(expression: Expr, functions: Sequence[AppliedUndef], inputs: Sequence[Symbol], role: str) -> None:
    """Raise ModelError for functions that are no outputs, and for derivatives that are not supported."""
    known = ", ".join(map(str, functions))
    if expression.has(sympy.Subs):
        raise ModelError(f"{role} has a value at a point: give such points as the samples of a separate term")
    for node in sorted(expression.atoms(AppliedUndef), key=str):
        if node not in functions:
            same = [function for function in functions if function.func == node.func]
            hint = "give its value elsewhere as a separate term with its own samples" if same else "give it in outputs"
            raise ModelError(f"{role} contains {node}, which is no output (there are: {known}); {hint}")
    for node in derivatives_of([expression]):
        if not isinstance(node.expr, AppliedUndef):
            raise ModelError(f"{role} contains {node}, a derivative of no function of the inputs")
        for variable in node.variables:
            if variable not in inputs:
                there = ", ".join(map(str, inputs))
                raise ModelError(f"{role} differentiates by {variable}, which is no input; there are: {there}")
        if node.derivative_count > HIGHEST:
            raise ModelError(f"{role} contains {node}, of order {node.derivative_count}; the highest is {HIGHEST}")


def laplacians(expressions: Sequence[Expr], functions: Sequence[AppliedUndef]) -> dict[Expr, Expr]:
    """Return replacements for second derivatives: the first one becomes a whole sum of them, and the others become 0.

    This is done for each function whose derivatives of second and higher order are all pure second ones, and occur in
    one and the same combination with constant factors, as in a Laplacian. The replacements do not change the value of
    any expression.
    """
    replacements: dict[Expr, Expr] = {}
    for function in functions:
        second = [node for node in derivatives_of(expressions) if node.expr == function and node.derivative_count > 1]
        pure = all(node.derivative_count == 2 and len({*node.variables}) == 1 for node in second)
        if len(second) < 2 or not pure:
            continue
        names = {node: Dummy() for node in second}
        factors = _common_factors([expression.xreplace(names) for expression in expressions], list(names.values()))
        if factors:
            replacements[second[0]] = sympy.Add(*(factor * node for factor, node in zip(factors, second, strict=True)))
            replacements |= dict.fromkeys(second[1:], S.Zero)
    return replacements


def _common_factors(expressions: Sequence[Expr], names: Sequence[Symbol]) -> list[Expr]:
    """Return c with c[0] = 1 such that each expression has the names only as a multiple of sum(c*name), or []."""
    common: list[Expr] = []
    for expression in expressions:
        if not expression.has(*names):
            continue
        slopes = [expression.diff(name) for name in names]
        if any(slope.has(*names) for slope in slopes) or slopes[0] == 0:
            return []
        ratios = [sympy.cancel(slope / slopes[0]) for slope in slopes]
        if not all(ratio.is_number and ratio != 0 for ratio in ratios) or (common and ratios != common):
            return []
        common = ratios
    return common


def name_of(node: Derivative, inputs: Sequence[Symbol]) -> str:
    """Return the name of a derivative: u_xx for the second derivative of u by x."""
    names = [str(variable) for variable in sorted(node.variables, key=inputs.index)]
    return f"{node.expr.func.__name__}_" + ("" if all(len(name) == 1 for name in names) else "_").join(names)


def derivative_step(target: Element, value: Expr, elements: dict[Expr, Expr]) -> Step:
    """Return the step that computes a derivative, or a sum of derivatives."""

    def written(node: Derivative) -> Expr:
        return Derivative(elements[node.expr], *(elements[variable] for variable in node.variables), evaluate=False)

    return Step(target, value.xreplace({node: written(node) for node in derivatives_of([value])}))


def sampled(name: str) -> Element:
    """Return a scalar element that every sample has."""
    return Element(name, (SAMPLE,))
