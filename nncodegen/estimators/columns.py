"""X as a matrix of numbers; a column of texts is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from nncodegen.describe.hints import shown
from nncodegen.runtime.python.ground.cells import is_number


def validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """Return what scikit-learn's ``validate_data`` returns. Raises ValueError, for a text in X with its column."""
    try:
        return validate_data(estimator, X, *y, **options)
    except ValueError as error:
        told = _about_text(X) if "string" in str(error) else None  # not, for example, for other names of features
        if told is None:
            raise
        raise ValueError(told) from error


def _about_text(X: Any) -> str | None:
    """Return a message on the first column of X with a text that is no number; None without one."""
    if issparse(X):
        return None
    try:
        matrix = np.asarray(X, dtype=object)
    except ValueError:  # the rows have different lengths
        return None
    names = getattr(X, "columns", None)
    for number, column in enumerate(matrix.T if matrix.ndim == 2 else ()):
        text = next((value for value in column if isinstance(value, str) and not is_number(value)), None)
        if text is not None:
            which = f"column {number} of X" if names is None else f"the column {names[number]!r} of X"
            return (
                f"{which} has texts, such as {shown(text)}: leave it out, or encode it as numbers, for example by "
                f"OneHotEncoder of scikit-learn; the fit of nncodegen.table encodes columns of texts itself"
            )
    return None
