"""The rows of a CSV file, as Python's csv module reads them, strictly: what could be read in two ways is an error."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from nncodegen.errors import TableError

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")

UNNAMED = "Unnamed: 0"
"""What a first column without a name is called, as tables have it that were written with the names of their rows."""

_DELIMITERS = ",;\t|"
_SAMPLE = 2**16  # bytes in which the first line is looked for, at first
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_MOST_BYTES = 2**28  # of a compressed file when it is read,
_MOST_TIMES = 100  # or, if that is more, times its size; tables are rarely compressed to a twentieth
_LIMIT = threading.Lock()


def ending_of(path: Path) -> str:
    """The ending of a file's name in lower case, with that of its compression: .csv.gz."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def stem_of(path: Path) -> str:
    """The name of a file without its ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


def read_csv(path: Path) -> tuple[pd.DataFrame, Path, str]:
    """The cells of a file as text without spaces around them, in columns of their names, and the delimiter."""
    _, (header, *rows) = read_rows(path)
    if not header[0] and len(header) > 1 and UNNAMED not in header:
        header[0] = UNNAMED
    cells = np.array(rows, object).reshape(len(rows), len(header))
    return pd.DataFrame(cells, columns=pd.Index(header, dtype=object), dtype=object), path, _form(path)[0]


def read_rows(path: Path) -> tuple[list[int], list[list[str]]]:
    """The rows of a file that are not blank, the header first, and the numbers of the lines where they begin, from 1.

    Raises TableError for a row that is not as long as the header, and where a row ends otherwise than its line.
    """
    try:
        delimiter, newline = _form(path)
        with _LIMIT:  # of the size of a cell, which the module keeps for the whole process
            limit = csv.field_size_limit(sys.maxsize)
            try:
                return _read(path, delimiter, newline)
            finally:
                csv.field_size_limit(limit)
    except UnicodeDecodeError as error:
        raise TableError(_undecodable(path)) from error


def _read(path: Path, delimiter: str, newline: str) -> tuple[list[int], list[list[str]]]:
    lines: list[int] = []
    rows: list[list[str]] = []
    with _open(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline=newline) as file:
        reader = csv.reader(_without_zeros(file, path), delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                # one empty cell in quotes is a row of a table of one column, else of none
                if row and (len(row) > 1 or row[0].strip() or (rows and len(rows[0]) == 1)):
                    if rows and len(row) != len(rows[0]):
                        raise TableError(
                            f"{path}, line {line} has {len(row)} values, but the header has {len(rows[0])} columns: "
                            f'complete it, or put quotes around what contains {delimiter!r} ("..")'
                        )
                    lines.append(line)
                    rows.append([cell.strip() for cell in row])
                line = reader.line_num + 1
        except csv.Error as error:
            raise TableError(f"{path}, line {_explain(error, line, reader.line_num)}") from error
    if not rows:
        raise TableError(f"{path} is empty")
    return lines, rows


def _explain(error: csv.Error, first: int, last: int) -> str:
    """What is wrong with a row that begins in one line and could be read up to another, for people."""
    if "new-line" in str(error):
        return f"{last}: a line break (carriage return) stands within the row; remove it, or put quotes around its cell"
    if "unexpected end" in str(error):
        return f'{first}: a quote (") opens in this row that is never closed'
    if "expected after" in str(error):
        return f'{last}: a quote (") ends before its cell does; a quote within a cell is written twice ("")'
    return f"{last} cannot be read: {error}"


def _without_zeros(file: Iterator[str], path: Path) -> Iterator[str]:
    """The lines of a file. Raises TableError for one that holds a zero, as no text does."""
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise TableError(f"{path}, line {number} holds a zero byte: it is no text; save the table as CSV in UTF-8")
        yield line


def _form(path: Path) -> tuple[str, str]:
    """The delimiter, which the first line holds most often outside quotes, and the end of lines, as `open` takes it.

    Lines end with a line feed and what carriage returns stand directly before it, or else (in old files) with carriage
    returns alone. A file that ends in .tsv has tabs.
    """
    with _open(path) as file:
        sample, size = b"", _SAMPLE
        while True:
            content = file.read(size)
            sample += content
            unquoted = _QUOTED.sub('""', sample.decode("utf-8-sig", errors="ignore"))
            end = re.search(r"(?<=[^\s])\s*?(\r*\n|\r(?!\r*$))", unquoted)
            if end or not content:
                break
            size = len(sample)
    if not unquoted.strip():
        raise TableError(f"{path} is empty")
    newline = "\r" if end and "\n" not in unquoted else "\n"
    line = unquoted[: end.start(1)] if end else unquoted
    tabs = ending_of(path).startswith(".tsv")
    return ("\t" if tabs else max(_DELIMITERS, key=line.count)), newline


def _open(path: Path) -> BinaryIO:
    """A file for reading, decompressed in memory where it is compressed. Raises TableError for more than it can hold.

    A table is rarely compressed to less than a twentieth, so a file that is more than 256 MiB and a hundred times as
    large as it seems is no table, but exhausts the memory.
    """
    if not ending_of(path).endswith(".gz"):
        return path.open("rb")
    most = max(_MOST_BYTES, _MOST_TIMES * path.stat().st_size)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path} is no gzip file that can be read: {error}") from error
    if len(content) > most:
        raise TableError(
            f"{path} holds more than {most // 2**20} MiB, a hundred times its size and more: decompress it, if it is a "
            f"table"
        )
    return io.BytesIO(content)


def write_csv(frame: pd.DataFrame) -> str:
    """A table as CSV, which every reader reads alike: carriage returns are in quotes, too."""
    broken = any("\r" in str(name) for name in frame) or any(
        "\r" in cell for name in frame for cell in frame[name].to_numpy() if isinstance(cell, str)
    )
    quoting = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
    return str(frame.to_csv(index=False, lineterminator="\n", quoting=quoting))


def _undecodable(path: Path) -> str:
    """Where a file is no text in UTF-8, for people."""
    with _open(path) as file:
        content = file.read()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"{path} is text in UTF-16: save it as UTF-8"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        delimiter, _ = _form(path)
        *lines, last = re.split(r"\r*\n|\r", content[: error.start].decode("latin-1"))
        column = _QUOTED.sub("", last).count(delimiter) + 1
        byte = content[error.start]
        return (
            f"{path}, line {len(lines) + 1}, column {column}: the byte {byte:#04x} is no text in UTF-8; "
            f"save the file as UTF-8"
        )
    return f"{path} is no text in UTF-8: save it as UTF-8"
