"""Reads the rows of a CSV file with Python's csv module, strictly: what is ambiguous is an error."""

from __future__ import annotations

import codecs
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
from nncodegen.runtime.python.ground.cells import plain_cell

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")

UTF_8 = "utf-8-sig"
"""The name of UTF-8 that leaves out a mark at the begin of a file."""

UNNAMED = "Unnamed: 0"
"""The name of a first column without a name, as in tables that were written with the names of their rows."""

_DELIMITERS = ",;\t|"
_SAMPLE = 2**16  # bytes that are first searched for the end of the first line
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_MOST_BYTES = 2**28  # the largest decompressed size of a file
_MOST_TIMES = 100  # or this many times its compressed size, if that is more; few tables are compressed to a twentieth
_LIMIT = threading.Lock()


def ending_of(path: Path) -> str:
    """Return the suffix of a file's name in lower case, with that of its compression, such as .csv.gz."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def stem_of(path: Path) -> str:
    """Return the name of a file without its suffix."""
    return path.name[: len(path.name) - len(ending_of(path))]


def read_csv(path: Path, encoding: str | None = None) -> tuple[pd.DataFrame, Path, str]:
    """Return the cells of a file as text without surrounding spaces in named columns, the path, and the delimiter.

    The encoding is a name that Python has; None for UTF-8.
    """
    _, (header, *rows) = read_rows(path, encoding)
    if not header[0] and len(header) > 1 and UNNAMED not in header:
        header[0] = UNNAMED
    cells = np.array(rows, object).reshape(len(rows), len(header))
    return (
        pd.DataFrame(cells, columns=pd.Index(header, dtype=object), dtype=object),
        path,
        _form(path, _codec(encoding))[0],
    )


def read_rows(path: Path, encoding: str | None = None) -> tuple[list[int], list[list[str]]]:
    """Return the line numbers, from 1, where rows begin, and the rows that are not blank, the header first.

    Raises TableError for a row that is not as long as the header, or whose reading is ambiguous, for an encoding that
    there is not, and for a file that is not text in it.
    """
    codec = _codec(encoding)
    try:
        delimiter, newline = _form(path, codec)
        with _LIMIT:  # the csv module has one limit of the size of a cell, for the whole process
            limit = csv.field_size_limit(sys.maxsize)
            try:
                return _read(path, delimiter, newline, codec)
            finally:
                csv.field_size_limit(limit)
    except UnicodeError as error:
        raise TableError(_undecodable(path, codec)) from error


def _codec(encoding: str | None) -> str:
    """Return the name of an encoding; that of UTF-8 leaves out a mark at the begin. Raises TableError."""
    try:
        name = codecs.lookup(encoding or UTF_8).name
        "".encode(name)  # some are of bytes, not of text
    except (LookupError, ValueError) as error:
        raise TableError(
            f"there is no encoding {encoding!r}; there are for instance utf-8, utf-16, cp1252 and latin-1"
        ) from error
    return UTF_8 if name == "utf-8" else name


def _read(path: Path, delimiter: str, newline: str, codec: str) -> tuple[list[int], list[list[str]]]:
    lines: list[int] = []
    rows: list[list[str]] = []
    with _open(path) as binary, io.TextIOWrapper(binary, encoding=codec, newline=newline) as file:
        reader = csv.reader(_without_zeros(file, path), delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                # an empty cell in quotes is a row in a table of one column, and a blank line in others
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
    """Return what is wrong with a row that begins in line ``first`` and could be read up to line ``last``, as text."""
    if "new-line" in str(error):
        return f"{last}: a line break (carriage return) stands within the row; remove it, or put quotes around its cell"
    if "unexpected end" in str(error):
        return f'{first}: a quote (") opens in this row that is never closed'
    if "expected after" in str(error):
        return f'{last}: a quote (") ends before its cell does; a quote within a cell is written twice ("")'
    return f"{last} cannot be read: {error}"


def _without_zeros(file: Iterator[str], path: Path) -> Iterator[str]:
    """Yield the lines of a file. Raises TableError for a zero byte, which text does not contain."""
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise TableError(f"{path}, line {number} holds a zero byte: it is not text; save the table as CSV in UTF-8")
        yield line


def _form(path: Path, codec: str) -> tuple[str, str]:
    """Return the delimiter, which is the most frequent in the first line outside quotes, and `open`'s newline argument.

    Lines end with a line feed and any carriage returns directly before it, or, in old files, with carriage returns
    alone. The delimiter of a .tsv file is the tab.
    """
    with _open(path) as file:
        sample, size = b"", _SAMPLE
        while True:
            content = file.read(size)
            sample += content
            unquoted = _QUOTED.sub('""', sample.decode(codec, errors="ignore"))
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
    """Open a file for reading; a compressed one is decompressed in memory. Raises TableError if it is too large.

    A table is rarely compressed to less than a twentieth. A file that decompresses to more than 256 MiB and a hundred
    times its size is probably made to exhaust the memory.
    """
    if not ending_of(path).endswith(".gz"):
        return path.open("rb")
    most = max(_MOST_BYTES, _MOST_TIMES * path.stat().st_size)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path} is not a gzip file that can be read: {error}") from error
    if len(content) > most:
        raise TableError(
            f"{path} holds more than {most // 2**20} MiB, a hundred times its size and more: decompress it, if it is a "
            f"table"
        )
    return io.BytesIO(content)


def write_csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV that all readers read alike: cells with carriage returns are quoted, too.

    Names with another delimiter than the comma are quoted as well, as readers guess the delimiter from the names. Texts
    that a spreadsheet would compute have an apostrophe before them.
    """
    frame = frame.rename(columns=lambda name: plain_cell(str(name)))
    for place, kind in enumerate(frame.dtypes):
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
            cells = frame.iloc[:, place].astype(object)
            frame.isetitem(place, cells.map(lambda cell: plain_cell(cell) if isinstance(cell, str) else cell))
    others = ("\r", *_DELIMITERS.replace(",", ""))
    broken = any(letter in str(name) for name in frame for letter in others) or any(
        "\r" in cell for name in frame for cell in frame[name].to_numpy() if isinstance(cell, str)
    )
    quoting = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
    return str(frame.to_csv(index=False, lineterminator="\n", quoting=quoting))


def _undecodable(path: Path, codec: str) -> str:
    """Return a message that says where a file is not text in its encoding."""
    if codec != UTF_8:
        return f"{path} is not text in {codec}: name another encoding"
    with _open(path) as file:
        content = file.read()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"{path} is text in UTF-16: save it as UTF-8, or give the encoding utf-16 (--encoding utf-16)"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        delimiter, _ = _form(path, codec)
        *lines, last = re.split(r"\r*\n|\r", content[: error.start].decode("latin-1"))
        column = _QUOTED.sub("", last).count(delimiter) + 1
        byte = content[error.start]
        return (
            f"{path}, line {len(lines) + 1}, column {column}: the byte {byte:#04x} is not text in UTF-8; "
            f"save the file as UTF-8, or give its encoding, such as cp1252 of Windows (--encoding cp1252)"
        )
    return f"{path} is not text in UTF-8: save it as UTF-8"
