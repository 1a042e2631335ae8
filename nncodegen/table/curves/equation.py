"""The equation of the command ``curve``: the column to fit on the left, and the formula, or curves by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping, Sequence

from nncodegen.compiler.describe.hints import BEFORE, shown
from nncodegen.curves.fitting.formula import Formula, read_formula, with_quantities
from nncodegen.curves.named import read
from nncodegen.curves.table import RECORDS
from nncodegen.errors import ModelError

EXAMPLE, BY_NAME = '"y = a*exp(-b*x) + c"', '"y ~ gaussian + line"'

X, Y = "x", "y"
"""The columns that are taken where an equation names none."""


def read_equation(
    text: str,
    columns: Collection[str],
    named_parameters: Collection[str] = (),
    ties: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | None = None,
    reserved: Collection[str] = (),
) -> tuple[str, Formula]:
    """Return the target and the formula of an equation, given the names of all columns. Raises ModelError.

    The right side of ``~`` is a sum of curves by name. ``named_parameters`` are names that were given to parameters
    (``read_formula``); ``reserved`` are columns that no curve is a function of, unless it names them.
    """
    sign = "~" if "~" in text else "="
    parts = text.split("~") if sign == "~" else re.split(r"(?<![<>=!])=(?!=)", text)
    if len(parts) != 2 and re.search(r"\bbefore\s*\(", text):
        raise ModelError(f"{shown(text)} is not one equation: {BEFORE}")
    if len(parts) != 2:
        raise ModelError(
            f"{shown(text)} is no equation: write it like {EXAMPLE} or {BY_NAME}, with the column to fit on the left"
        )
    target, right = (part.strip() for part in parts)
    if target not in columns:
        raise ModelError(f"the left side of {shown(text)} is no column; there are: {', '.join(columns)}")
    left = [column for column in columns if column != target]
    formula = read_curves(right, left, reserved) if sign == "~" else read_formula(right, left, named_parameters)
    if target in formula.parameters:
        raise ModelError(f"{target} stands on both sides of {shown(text)}")
    if not formula.columns and formula.curve is None:
        raise ModelError(
            f"the formula {shown(right)} uses none of the columns; there are: "
            f"{', '.join(column for column in columns if column != target)}"
        )
    return target, with_quantities(formula, ties, derived)


def read_curves(text: str, columns: Sequence[str], reserved: Collection[str] = ()) -> Formula:
    """Return a sum of curves by name as a formula of one of the columns. Raises ModelError where it is not clear which.

    Without a name, as in ``gaussian(x=time)``, it is the column x, or the only one that is none of ``reserved``.
    """
    left = [column for column in columns if column not in reserved]
    variable = X if X in left or len(left) != 1 else left[0]
    if not variable.isidentifier():
        raise ModelError(f"the column {variable!r} is no name: rename it, so that a formula can have it")
    curve = read(text, variable)
    if curve.variable not in columns:
        raise ModelError(
            f"{shown(text)} does not tell the column of its variable: name it, as in "
            f"{next(iter(curve.terms)).record.name}(x=time); there are: {', '.join(columns)}"
        )
    return read_formula(curve, columns)


def read_models(
    equation: str | None,
    models: str,
    columns: Sequence[str],
    named_parameters: Collection[str],
    reserved: Collection[str],
) -> tuple[str, dict[str, Formula]]:
    """Return the target, and the formulas to compare by their texts: curves by name, or formulas, with commas between.

    equation is "y", "y ~ x", or None, where y and x are the columns of these names, or the last and the first of two.
    Raises ModelError.
    """
    left = [column for column in columns if column not in reserved]
    target, variable = _columns_of(equation, left)
    rest = [column for column in left if column != target]
    formulas: dict[str, Formula] = {}
    for text in _split(models):
        if text in formulas:
            raise ModelError(f"--models names {shown(text)} twice")
        if _names(text) & {*RECORDS, "polynomial"}:
            formulas[text] = read_curves(text, [variable] if variable else rest)
            continue
        formula = read_formula(text, rest, named_parameters)
        if not formula.columns:
            raise ModelError(
                f"{shown(text)} is neither a curve nor a formula of the columns; curves are: {', '.join(RECORDS)}; "
                f"columns are: {', '.join(rest)}"
            )
        formulas[text] = formula
    if len(formulas) < 2:
        raise ModelError('--models compares two or more formulas: --models "hill4, hill5, exponential"')
    return target, formulas


def _columns_of(equation: str | None, columns: Sequence[str]) -> tuple[str, str | None]:
    """Return the target, and the variable of the curves if it is known."""
    if equation is None:
        if X in columns and Y in columns:
            return Y, X
        if len(columns) == 2:
            return columns[1], columns[0]
        raise ModelError(
            f'the columns to fit are not clear: write an equation like "y ~ x"; there are: {", ".join(columns)}'
        )
    target, _, variable = (part.strip() for part in equation.partition("~"))
    for name in filter(None, (target, variable)):
        if name not in columns:
            raise ModelError(
                f'{shown(equation)} names {shown(name)}, which is no column: with --models, write it like "y ~ x"; '
                f"there are: {', '.join(columns)}"
            )
    return target, variable or None


def _split(text: str) -> list[str]:
    """Return the parts of a text between commas that are in no parentheses and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _names(text: str) -> set[str]:
    """Return the names in a text; none where it is no expression."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
