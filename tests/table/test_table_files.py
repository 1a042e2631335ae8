"""Files of tables in other encodings, and sheets of Excel."""

import numpy as np
import pytest

import nncodegen as nn

pd = pytest.importorskip("pandas")

from nncodegen.table import TableError, read_table

TABLE = pd.DataFrame(
    {
        "größe": [1.5, -2.25, np.nan, 1e-3],
        "art": ["ä, b", "5", None, "Ω"],
        "day": pd.to_datetime(["2026-01-02", None, "2026-03-04", "2026-05-06"]),
        "count": [1, 2, 3, 40000],
    }
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "iso8859-1", "cp1252", "shift_jis"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings(encoding, newline, tmp_path):
    """A table in any encoding that has its letters is that in UTF-8, whatever ends its lines."""
    text = newline.join(["name;value", "Ä;1,5" if encoding != "shift_jis" else "表;1,5", '"b;\u00b1";2', ""])
    (tmp_path / "usual.csv").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "other.csv").write_text(text, encoding=encoding, newline="")
    usual, other = read_table(tmp_path / "usual.csv"), read_table(tmp_path / "other.csv", encoding=encoding.upper())
    pd.testing.assert_frame_equal(other.frame, usual.frame)
    assert (other.delimiter, other.where(1, "value")[-21:]) == (usual.delimiter, usual.where(1, "value")[-21:])


REFUSED = [
    ({}, "the byte 0xf6 is not text in UTF-8; save .* or give its encoding, such as cp1252 of Windows"),
    ({"encoding": "utf-16"}, "a.csv is not text in utf-16: name another encoding"),
    ({"encoding": "latin-9000"}, "there is no encoding 'latin-9000'; there are for instance utf-8"),
    ({"encoding": "base64"}, "there is no encoding 'base64'"),
    ({"sheet": "one"}, "a sheet is for Excel files, and .*a.csv is none: leave it out"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_wrong_encodings(options, message, tmp_path):
    """An encoding that there is not, or that a file does not have, is told, and so are options without effect."""
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n'k, \xf6',2\n2,3\n")
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "a.csv", **options)


@pytest.fixture
def book(tmp_path):
    pytest.importorskip("openpyxl")

    def write(**sheets):
        with pd.ExcelWriter(tmp_path / "book.xlsx") as writer:
            for name, (frame, options) in sheets.items():
                frame.to_excel(writer, sheet_name=name, index=False, **options)
        return tmp_path / "book.xlsx"

    return write


def test_excel(book, tmp_path):
    """A sheet is the table that a Parquet file of the same cells is, where it begins on the sheet, and among others."""
    TABLE.to_parquet(tmp_path / "a.parquet")
    expected = read_table(tmp_path / "a.parquet")
    empty = pd.DataFrame()
    table_read = read_table(book(cells=(TABLE, {"startrow": 2, "startcol": 1}), nothing=(empty, {})))
    two = read_table(book(first=(TABLE.iloc[:2], {}), cells=(TABLE, {})), sheet="cells")
    for sheet in (table_read, two):
        assert sheet.columns == expected.columns
        for name in ("größe", "count"):
            np.testing.assert_array_equal(sheet.numbers(name)[0], expected.numbers(name)[0])
        np.testing.assert_array_equal(sheet.dates("day")[0].world, expected.dates("day")[0].world)
        np.testing.assert_array_equal(sheet.texts("art"), expected.texts("art"))


def test_wrong_sheets(book, tmp_path):
    """Several sheets, an unknown one, names that are missing or there twice, and other files are told."""
    twice = TABLE.rename(columns={"art": "count"})
    nameless = TABLE.rename(columns={"art": None})
    cases = [
        ({"a": (TABLE, {}), "b": (TABLE, {})}, {}, r"several sheets \('a', 'b'\): name the one to read"),
        ({"a": (TABLE, {}), "b": (TABLE, {})}, {"sheet": "c"}, "has no sheet 'c'; it has: 'a', 'b'"),
        ({"a": (twice, {})}, {}, "the header: columns 2 and 4 are both called 'count'"),
        ({"a": (nameless, {})}, {}, "the header, column 2 has no name"),
        ({"a": (TABLE.iloc[:0], {})}, {}, "holds no rows, only the names of 4 columns"),
        ({"a": (pd.DataFrame(), {})}, {}, "is empty"),
        ({"a": (TABLE, {})}, {"encoding": "cp1252"}, "an encoding is for CSV files"),
    ]
    for sheets, options, message in cases:
        with pytest.raises(TableError, match=message):
            read_table(book(**sheets), **options)
    (tmp_path / "no.xlsx").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(TableError, match="is not an Excel file that can be read"):
        read_table(tmp_path / "no.xlsx")


def test_excel_without_its_reader(tmp_path, monkeypatch):
    """Where the package that reads Excel is not installed, the error says how it is."""
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(nn.MissingDependencyError, match=r"needs openpyxl, .* install 'nncodegen\[excel\]'"):
        read_table(tmp_path / "a.xlsx")
