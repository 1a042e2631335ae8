"""An equation as a user writes it, "y = a*exp(-b*x) + c": the column that is fitted, and the formula."""

from __future__ import annotations

import re
from collections.abc import Collection

from nncodegen.curve.formula import Formula, read_formula
from nncodegen.describe.hints import shown
from nncodegen.errors import ModelError

EXAMPLE = '"y = a*exp(-b*x) + c"'


def read_equation(text: str, columns: Collection[str], given: Collection[str] = ()) -> tuple[str, Formula]:
    """Return the target and the formula of an equation, given the names of all columns. Raises ModelError.

    ``given`` are names that were given to parameters (``read_formula``).
    """
    parts = re.split(r"(?<![<>=!])=(?!=)", text)
    if len(parts) != 2:
        raise ModelError(f"{shown(text)} is no equation: write it like {EXAMPLE}, with the column to fit on the left")
    target, right = (part.strip() for part in parts)
    if target not in columns:
        raise ModelError(f"the left side of {shown(text)} is no column; there are: {', '.join(columns)}")
    formula = read_formula(right, [column for column in columns if column != target], given)
    if target in formula.parameters:
        raise ModelError(f"{target} stands on both sides of {shown(text)}")
    if not formula.columns:
        raise ModelError(
            f"the formula {shown(right)} uses none of the columns; there are: "
            f"{', '.join(column for column in columns if column != target)}"
        )
    return target, formula
