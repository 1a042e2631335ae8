"""X as a matrix of numbers, and targets that are numbers; a column of texts is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.utils.validation import validate_data

from nncodegen.compiler.describe.hints import shown
from nncodegen.runtime.python.ground.cells import is_number


def validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Return what scikit-learn's ``validate_data`` returns. Raises ValueError, for a text with its column.

    Texts are refused in X, and in y where it is for a regressor.
    """
    try:
        checked = validate_data(estimator, X, *y, **options)
    except ValueError as error:
        message = _about_text(estimator, X, *y) if "string" in str(error) else None  # not for other names of features
        if message is None:
            raise
        raise ValueError(message) from error
    if y and is_regressor(estimator) and checked[1].dtype.kind in "US":  # scikit-learn leaves an array of texts alone
        message = _about_text(estimator, X, *y)
        if message is not None:
            raise ValueError(message)
    return checked


def _about_text(estimator: Any, X: Any, y: Any = None) -> str | None:
    """Return a message on the first column of X, or of the targets, with a text that is no number; None without one."""
    if message := _first_text(X, "X"):
        return (
            f"{message}: leave it out, or encode it as numbers, for example by OneHotEncoder of scikit-learn; the "
            f"fit of nncodegen.table encodes columns of texts itself"
        )
    if y is not None and is_regressor(estimator) and (message := _first_text(y, "y")):
        return f"{message}: a regressor learns numbers; the names of classes are for NNClassifier"
    return None


def _first_text(values: Any, role: str) -> str | None:
    """Return in words which column is the first with a text that is no number, and this text; None without one."""
    if issparse(values):
        return None
    try:
        matrix = np.asarray(values, dtype=object)
    except ValueError:  # the rows have different lengths
        return None
    names = getattr(values, "columns", None)
    if matrix.ndim == 1 and role == "y":
        matrix, name = matrix[:, None], getattr(values, "name", None)
        places = [role if name is None else f"the target {name!r}"]
    elif matrix.ndim == 2:
        numbers = range(matrix.shape[1])
        places = [f"column {k} of {role}" if names is None else f"the column {names[k]!r} of {role}" for k in numbers]
    else:
        return None
    for place, column in zip(places, matrix.T, strict=True):
        text = next((value for value in column if isinstance(value, str) and not is_number(value)), None)
        if text is not None:
            return f"{place} has texts, such as {shown(text)}"
    return None
