"""Turns the data that functions of this package accept into a Table: a Table, a DataFrame of pandas, or a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from nncodegen.errors import TableError
from nncodegen.table.read import Table, read_table, with_usual_types


def as_table(data: Any) -> Table:
    """Return the data as a Table. Raises TableError.

    The columns of a DataFrame keep their types, as those of a Parquet file do.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, str | os.PathLike):
        return read_table(Path(data))
    if not isinstance(data, pd.DataFrame):
        raise TableError(f"a table is a DataFrame of pandas, or the path of a file, not {type(data).__name__}")
    frame = data.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise TableError(f"the DataFrame has several columns called {name!r}")
    if not len(frame) or not len(frame.columns):
        raise TableError(f"the DataFrame is empty: {len(frame)} rows, {len(frame.columns)} columns")
    for name, cells in frame.items():
        if pd.api.types.is_complex_dtype(cells.dtype):
            raise TableError(f"column {name!r} of the DataFrame holds complex numbers: make their parts columns")
    return Table(with_usual_types(frame), Path("the DataFrame"))
