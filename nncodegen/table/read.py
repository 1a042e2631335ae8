"""A table in memory, and reading it from a file: CSV, whose cells are text, or Parquet or Excel, which have types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from glob import glob
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.compiler.escape import printable
from nncodegen.errors import TableError
from nncodegen.runtime.python.ground.missing import missing_package
from nncodegen.table.cells import MISSING, text_of
from nncodegen.table.dates import Dates, read_dates
from nncodegen.table.numbers import PLAIN, has_decimal_comma, read_numbers
from nncodegen.table.rows import ENDINGS, ending_of, read_csv, read_rows

INDEX_OF_DASK = "__null_dask_index__"
"""A column that Dask writes for an index without a name."""

EXCEL = ".xlsx"
"""The end of the name of an Excel file."""

_MISSING = frozenset(MISSING)
_MOST_NAMES = 20  # an error lists at most this many names


@dataclass(frozen=True)
class Table:
    """A table and its origin. The cells of a CSV file are text; those of other files have types."""

    frame: pd.DataFrame
    path: Path
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns, in their order."""
        return list(self.frame.columns)

    def where(self, row: int, column: str) -> str:
        """Return the position of a cell as text: the file, the line (of Parquet the row, from 1) and the column."""
        label = int(self.frame.index[row])
        if self.delimiter is None:
            return f"{self.path}, row {label + 1}, column {printable(column)}"
        lines, _ = read_rows(self.path, self.encoding)
        line = f", line {lines[label + 1]}" if label + 1 < len(lines) else ""  # after the header
        return f"{self.path}{line}, column {printable(column)}"

    def require(self, name: str, what: str) -> None:
        """Raise TableError if no column has a name."""
        if name not in self.frame:
            names = self.columns
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            raise TableError(
                f"{self.path} has no column {name!r}, {what}; it has: {', '.join(map(repr, names[:_MOST_NAMES]))}{more}"
            )

    def drop(self, rows: Any) -> Table:
        """Return the table without some of its rows, given as a mask."""
        return replace(self, frame=self.frame[~rows])

    def missing(self, name: str, gaps: tuple[str, ...] = ()) -> Any:
        """Return which cells of a column are missing, or hold one of ``gaps``: (N,)."""
        return self._missing(self.frame[name], gaps)

    def _missing(self, cells: pd.Series, gaps: tuple[str, ...]) -> Any:
        if self.delimiter is not None:
            return np.array(list(map(_MISSING.union(gaps).__contains__, cells.to_numpy().tolist())), bool)
        missing = cells.isna().to_numpy(bool)
        if gaps:
            missing = missing | np.array([isinstance(cell, str) and cell.strip() in gaps for cell in cells], bool)
        return missing

    def numbers(self, name: str, expected: str | None = None, gaps: tuple[str, ...] = ()) -> tuple[Any, Any]:
        """Return the cells of a column as numbers (N,), NaN if missing or not a number, and a mask of the latter.

        ``read_numbers`` finds the format. Durations become numbers of seconds.
        """
        return self.written_numbers(name, expected, gaps)[:2]

    def written_numbers(
        self, name: str, expected: str | None = None, gaps: tuple[str, ...] = ()
    ) -> tuple[Any, Any, str, bool]:
        """Return the results of ``numbers``, the format of the numbers, and whether it is assumed."""
        cells = self.frame[name]
        missing = self._missing(cells, gaps)
        written, assumed = PLAIN, False
        if pd.api.types.is_timedelta64_dtype(cells.dtype):
            numbers = (cells[~missing] / pd.Timedelta(seconds=1)).to_numpy(float)
        elif pd.api.types.is_numeric_dtype(cells.dtype):
            numbers = cells[~missing].to_numpy(float)
        else:
            numbers, written, assumed = read_numbers(
                self._present(cells, missing), expected, self.delimiter == ";", lambda: self.decimal_comma is not None
            )
        values = np.full(len(missing), np.nan)
        values[~missing] = numbers
        return values, ~missing & ~np.isfinite(values), written, assumed

    def dates(self, name: str, expected: bool | None = None, gaps: tuple[str, ...] = ()) -> tuple[Dates, Any]:
        """Return the cells of a column as dates (N,), NaT if missing or not a date, and a mask of the latter.

        ``expected`` says whether days stand before months, if no cell decides it: see ``read_dates``.
        """
        cells = self.frame[name]
        missing = self._missing(cells, gaps)
        if pd.api.types.is_datetime64_any_dtype(cells.dtype):
            wall = cells.dt.tz_localize(None)
            world = cells if cells.dt.tz is None else cells.dt.tz_convert("UTC").dt.tz_localize(None)
            return Dates(world.to_numpy("M8[us]"), wall.to_numpy("M8[us]")), np.zeros(len(cells), bool)
        parsed = read_dates(self._present(cells, missing), expected, self.decimal_comma is not None)
        world, wall = (np.full(len(missing), np.datetime64("NaT", "us"), "M8[us]") for _ in range(2))
        world[~missing], wall[~missing] = parsed.world, parsed.wall
        return replace(parsed, world=world, wall=wall), ~missing & np.isnat(world)

    def _present(self, cells: pd.Series, missing: Any) -> list[str]:
        """Return the cells of a column that are not missing, as texts that may be numbers or dates."""
        present = cells.to_numpy(object)[~missing].tolist()
        return present if self.delimiter is not None else list(map(text_of, present))

    @cached_property
    def decimal_comma(self) -> str | None:
        """Return the first number with a decimal comma, if semicolons separate the columns; else None."""
        if self.delimiter != ";":
            return None
        cells = self.frame.to_numpy(object).T.ravel()
        return next((cell for cell in cells if "," in cell and has_decimal_comma(cell)), None)

    def texts(self, name: str) -> Any:
        """Return the cells of a column as text (N,); "" if missing."""
        cells = self.frame[name]
        texts = np.array(list(map(str, cells.to_numpy(object).tolist())), dtype=object)
        texts[self._missing(cells, ())] = ""
        return texts


def read_table(path: str | PathLike[str], encoding: str | None = None, sheet: str | None = None) -> Table:
    """Return the table in a file that ends in .csv, .tsv, .txt (or one of them with .gz), .parquet or .xlsx.

    A folder of Parquet files, and a pattern that several match, such as data/2026-*.parquet, are one table, with the
    rows in the order of the names. ``encoding`` is that of a CSV file, by default UTF-8, and ``sheet`` the name of a
    sheet of an Excel file that has several. Raises TableError, which says what is wrong, and where, and
    MissingDependencyError where a package that reads the file is not installed.
    """
    path = Path(path)
    several = parquet_files(path)
    if several is None and not path.is_file():
        raise TableError(f"there is no file {path}")
    ending = ending_of(path)
    if several is None and ending not in (*ENDINGS, ".parquet", EXCEL):
        raise TableError(
            f"{path} does not end in .csv, .tsv, .txt (or one of them with .gz), .parquet or .xlsx: its format is not "
            f"known"
        )
    parquet = several is not None or ending == ".parquet"
    if encoding is not None and (parquet or ending == EXCEL):
        raise TableError(f"an encoding is for CSV files, and {path} is none: leave it out")
    if sheet is not None and ending != EXCEL:
        raise TableError(f"a sheet is for Excel files, and {path} is none: leave it out")
    try:
        if ending == EXCEL:
            table = _read_excel(path, sheet)
        else:
            table = _read_parquet(path, several) if parquet else Table(*read_csv(path, encoding), encoding)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from error
    header = "the header" if table.delimiter is None else "line 1"
    seen: dict[str, int] = {}
    for number, name in enumerate(table.columns, start=1):
        if not name.strip():
            raise TableError(f"{path}, {header}, column {number} has no name")
        if name in seen:
            raise TableError(f"{path}, {header}: columns {seen[name]} and {number} are both called {name!r}")
        seen[name] = number
    if not len(table.frame):
        raise TableError(f"{path} holds no rows, only the names of {len(seen)} columns")
    return table


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern for names of files, and not an existing file or folder."""
    return not path.exists() and any(letter in str(path) for letter in "*?[")


def parquet_files(path: Path) -> list[Path] | None:
    """Return the Parquet files in a folder or matching a pattern, in the order of their names; None for a single file.

    Files in a folder whose names begin with a dot or an underscore are left out, by the usual convention. Raises
    TableError if no files are found.
    """
    if path.is_dir():
        below = sorted(path.rglob("*.parquet"))
        files = [file for file in below if not any(part[0] in "._" for part in file.relative_to(path).parts)]
    elif is_pattern(path):
        matching = sorted(map(Path, glob(str(path), recursive=True)))
        others = [file for file in matching if not file.is_dir() and ending_of(file) != ".parquet"]
        if others:
            raise TableError(f"{path} matches {others[0]}, which is no Parquet file: only these are read together")
        files = [file for each in matching for file in (parquet_files(each) or [each])]
    else:
        return None
    files = [file for file in files if file.is_file()]
    if not files:
        raise TableError(f"{path} {'holds' if path.is_dir() else 'matches'} no Parquet files")
    return files


def _together(files: list[Path]) -> pd.DataFrame:
    """Return the rows of several Parquet files with equal columns; path parts such as year=2026 are columns, too."""
    from pyarrow.dataset import dataset  # noqa: PLC0415 (it comes with pandas' reader of Parquet)

    whole = dataset([str(file) for file in files], format="parquet", partitioning="hive")
    first = None
    for fragment in whole.get_fragments():
        names = set(fragment.physical_schema.names)
        if first is not None and names != first:
            others = ", ".join(sorted(names ^ first)[:5])
            raise TableError(f"{fragment.path} has other columns than {files[0]}: one of them lacks {others}")
        first = names
    frame: pd.DataFrame = whole.to_table().to_pandas()
    return frame


def _read_parquet(path: Path, files: list[Path] | None) -> Table:
    try:
        frame = pd.read_parquet(path) if files is None else _together(files)
    except ImportError as error:
        raise missing_package(f"reading {path}", "pyarrow", "'nncodegen[table]'") from error
    except (OSError, ValueError) as error:
        if isinstance(error, TableError):
            raise
        kind = "a Parquet file" if files is None else "a set of Parquet files"
        raise TableError(f"{path} is not {kind} that can be read: {str(error).splitlines()[0]}") from error
    if isinstance(frame.index, pd.DatetimeIndex) or any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)  # an index with a name becomes a column
    frame = frame.reset_index(drop=True).drop(columns=INDEX_OF_DASK, errors="ignore")
    frame.columns = [str(name) for name in frame.columns]
    return Table(with_usual_types(frame), path)


def _read_excel(path: Path, sheet: str | None) -> Table:
    """Return the table in a sheet of an Excel file, whose first row has the names of the columns."""
    try:
        frames = pd.read_excel(path, sheet_name=None, header=None, engine="openpyxl")
    except ImportError as error:
        raise missing_package(f"reading {path}", "openpyxl", "'nncodegen[excel]'") from error
    except Exception as error:  # a damaged file makes its reader raise any error
        if isinstance(error, OSError):
            raise
        raise TableError(f"{path} is not an Excel file that can be read: {str(error).splitlines()[0]}") from error
    if sheet is not None and sheet not in frames:
        raise TableError(f"{path} has no sheet {sheet!r}; it has: {', '.join(map(repr, frames))}")
    chosen = frames if sheet is None else {sheet: frames[sheet]}
    filled = {name: rows for name, frame in chosen.items() if len(rows := frame.dropna(how="all"))}
    if len(filled) > 1:
        raise TableError(
            f"{path} has several sheets ({', '.join(map(repr, filled))}): name the one to read (--sheet NAME)"
        )
    if not filled:
        raise TableError(f"{path} is empty")
    (rows,) = filled.values()
    rows = rows.loc[:, rows.notna().any()]
    frame = rows.iloc[1:].reset_index(drop=True).infer_objects()
    frame.columns = pd.Index(["" if pd.isna(name) else str(name).strip() for name in rows.iloc[0]], dtype=object)
    return Table(with_usual_types(frame), path)


def with_usual_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the types of pyarrow for dates and durations, and of pandas for periods and categories.

    Dates become moments in microseconds, as do periods such as 2020Q1, which stand for their first moment; categories
    of pandas become the objects that they name.
    """
    frame = frame.copy(deep=False)
    for place, kind in enumerate(frame.dtypes):
        cells, name = frame.iloc[:, place], str(kind)
        if isinstance(kind, pd.CategoricalDtype):
            frame.isetitem(place, cells.astype(object))
        elif isinstance(kind, pd.PeriodDtype):
            frame.isetitem(place, cells.dt.to_timestamp())
        elif name.endswith("[pyarrow]") and name.startswith(("date", "duration")):
            objects = cells.astype(object).where(cells.notna(), None)  # pandas 2.0 converts no missing durations
            frame.isetitem(place, objects.to_numpy("M8[us]" if name.startswith("date") else "m8[us]"))
    return frame
