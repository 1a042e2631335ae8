"""Reading a table from a file: CSV as text, cell by cell, or Parquet with its types."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.errors import TableError

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")
"""Cells of a CSV file that hold nothing."""

_DELIMITERS = ",;\t|"
_SAMPLE = 2**16  # characters from which the delimiter is guessed
_DECIMAL_COMMA = r"[+-]?\d*,\d+([eE][+-]?\d+)?"


@dataclass(frozen=True)
class Table:
    """A table, and where it came from: cells of a CSV file are text, those of a Parquet file have their types."""

    frame: pd.DataFrame
    path: Path
    delimiter: str | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self.frame.columns)

    def where(self, row: int, column: str) -> str:
        """Where a cell is, for people: the file, the line (of Parquet the row, from 1) and the column."""
        label = int(self.frame.index[row])
        if self.delimiter is None:
            return f"{self.path}, row {label + 1}, column {column}"
        for number, (line, _) in enumerate(_lines(self.path, self.delimiter)):
            if number == label + 1:  # behind the header
                return f"{self.path}, line {line}, column {column}"
        return f"{self.path}, column {column}"

    def require(self, name: str, what: str) -> None:
        """Raises TableError if there is no column of a name."""
        if name not in self.frame:
            raise TableError(
                f"{self.path} has no column {name!r}, {what}; it has: {', '.join(map(repr, self.columns))}"
            )

    def drop(self, rows: Any) -> Table:
        """The table without some of its rows, given as a mask."""
        return Table(self.frame[~rows], self.path, self.delimiter)

    def missing(self, name: str) -> Any:
        """Which cells of a column hold nothing: (N,)."""
        cells = self.frame[name]
        if self.delimiter is None:
            return cells.isna().to_numpy()
        return cells.isin(MISSING).to_numpy()

    def numbers(self, name: str) -> tuple[Any, Any]:
        """The cells of a column as numbers (N,), NaN where there is none, and which of them hold something else."""
        cells, missing = self.frame[name], self.missing(name)
        if self.delimiter == ";":
            cells = cells.where(~cells.str.fullmatch(_DECIMAL_COMMA), cells.str.replace(",", "."))
        if self.delimiter is not None or not pd.api.types.is_numeric_dtype(cells.dtype):
            # text is cut to what is text: of Parquet, a date or a list is no number either
            text = cells.where(cells.map(lambda cell: isinstance(cell, str | int | float | bool)), None)
            values = pd.to_numeric(text, errors="coerce").to_numpy(float, na_value=np.nan)
        else:
            values = cells.to_numpy(float, na_value=np.nan)
        values = np.where(missing, np.nan, values)
        return values, ~missing & ~np.isfinite(values)

    @property
    def decimal_comma(self) -> str | None:
        """The first number with a decimal comma, as they are where semicolons part the columns; None without any."""
        if self.delimiter != ";":
            return None
        found = (cells[cells.str.fullmatch(_DECIMAL_COMMA)] for _, cells in self.frame.items())
        return next((str(numbers.iloc[0]) for numbers in found if len(numbers)), None)

    def texts(self, name: str) -> Any:
        """The cells of a column as text (N,), "" where they hold nothing."""
        texts = np.array([str(cell) for cell in self.frame[name]], dtype=object)
        texts[self.missing(name)] = ""
        return texts


def read_table(path: Path) -> Table:
    """The table in a file that ends in .csv, .tsv, .txt or .parquet. Raises TableError, naming what is wrong where."""
    if not path.is_file():
        raise TableError(f"there is no file {path}")
    ending = path.suffix.lower()
    if ending not in (".csv", ".tsv", ".txt", ".parquet"):
        raise TableError(f"{path} does not end in .csv, .tsv, .txt or .parquet: what it holds is not known")
    table = _read_parquet(path) if ending == ".parquet" else _read_csv(path)
    names = table.columns
    for number, name in enumerate(names, start=1):
        if not str(name).strip():
            raise TableError(f"{path}, {_header(table)}, column {number} has no name")
        if name in names[: number - 1]:
            first = names.index(name) + 1
            raise TableError(f"{path}, {_header(table)}: columns {first} and {number} are both called {name!r}")
    if not len(table.frame):
        raise TableError(f"{path} holds no rows, only the names of {len(names)} columns")
    return table


def _header(table: Table) -> str:
    return "the header" if table.delimiter is None else "line 1"


def _read_parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise TableError(
            f"{path} needs pyarrow to be read: install it with `python3 -m pip install 'nncodegen[table]'`"
        ) from error
    except (OSError, ValueError) as error:
        raise TableError(f"{path} is no Parquet file that can be read: {str(error).splitlines()[0]}") from error
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    return Table(frame, path)


def _read_csv(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(_SAMPLE)
        if not sample.strip():
            raise TableError(f"{path} is empty")
        delimiter = _delimiter(sample, path)
        header = _header_of(path, delimiter)
        frame = pd.read_csv(
            path, sep=delimiter, dtype=str, keep_default_na=False, index_col=False, header=0, names=range(len(header)),
            encoding="utf-8-sig",
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise TableError(_undecodable(path)) from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise TableError(f"{path} cannot be read as CSV: {error}") from error
    frame = frame.apply(lambda cells: cells.str.strip())
    frame.columns = [name.strip() for name in header]
    return Table(frame, path, delimiter)


def _undecodable(path: Path) -> str:
    """Where a file is no text in UTF-8, for people."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"{path} is text in UTF-16: save it as UTF-8"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        start = error.start
        header, *_ = content.decode("latin-1").splitlines()
        delimiter = _delimiter(header or " ", path)
        before = content[:start].decode("latin-1").splitlines()
        row = next(csv.reader([before[-1] + "x"], delimiter=delimiter))
        return (
            f"{path}, line {len(before)}, column {len(row)}: the byte {content[start]:#04x} is no text in UTF-8; save "
            f"the file as UTF-8"
        )
    return f"{path} is no text in UTF-8: save it as UTF-8"


def _delimiter(sample: str, path: Path) -> str:
    """The delimiter that the first line holds most often; a tab in a file of tabs."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    line = next(line for line in sample.splitlines() if line.strip())
    return max(_DELIMITERS, key=line.count)


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not blank, each with the number of the line where it begins, from 1."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        line = 1
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield line, row
            line = reader.line_num + 1


def _header_of(path: Path, delimiter: str) -> list[str]:
    """The first row. Raises TableError for the first of the others that is not as long: pandas would fill it up."""
    lines = _lines(path, delimiter)
    _, header = next(lines)
    for line, row in lines:
        if len(row) != len(header):
            raise TableError(
                f"{path}, line {line} has {len(row)} values, but the header has {len(header)} columns: complete it, or "
                f'put quotes around what contains {delimiter!r} ("..")'
            )
    return header
