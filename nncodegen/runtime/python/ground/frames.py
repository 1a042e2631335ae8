"""Results as tables of pandas, which is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .missing import needed

ERROR = "_error"
"""The suffix of the columns of standard errors, after the name of the parameter."""


def frame_of(columns: Mapping[str, Any], index: Sequence[Any] | None = None, index_name: str | None = None) -> Any:
    """Return a DataFrame. Raises MissingDependencyError without pandas."""
    with needed("to_frame", "pandas", "pandas"):
        from pandas import DataFrame, Index  # noqa: PLC0415 (optional, and slow to import)
    return DataFrame(dict(columns), index=None if index is None else Index(index, name=index_name))


def joined_columns(parameters: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of parameters and of figures. Raises ValueError where two have one name."""
    twice = [name for name in figures if name in parameters]
    if twice:
        raise ValueError(f"a parameter is called {twice[0]}, as a column of the table is: give it another name")
    return parameters | figures
