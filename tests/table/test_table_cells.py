"""Files of tables: one reader decides what the rows are, whatever quotes, ends of lines and sizes it meets."""

import csv
import gzip
import io

import pytest

pd = pytest.importorskip("pandas")

from hypothesis import example, given
from hypothesis import strategies as st

from nncodegen.runtime.python.ground.cells import plain_cell
from nncodegen.table import TableError, read_table
from nncodegen.table.rows import write_csv
from tests.support.search import examples

ends = st.sampled_from(["\n", "\r\n", "\r"])
cells = st.text(st.sampled_from("ab 0,;\t|'\"\r\n.-é\u2028"), max_size=6)


@st.composite
def tables(draw):
    """A header and rows, all of them as long, and a dialect."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6))
    delimiter = draw(st.sampled_from(",;\t|" if width > 1 else ","))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_MINIMAL]))
    if quoting == csv.QUOTE_MINIMAL:  # which leaves stray returns
        rows = [[cell.replace("\r", "").replace("\n", "") for cell in row] for row in rows]
    return [f"h{k}" for k in range(width)], rows, delimiter, quoting, draw(ends)


@examples(300)
@given(tables())
def test_what_is_written_is_read(tmp_path_factory, drawn):
    """What the csv module writes in any dialect is read back, cell by cell, without the spaces around it."""
    header, rows, delimiter, quoting, end = drawn
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([header, *rows])
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    table_read = read_table(path)
    assert table_read.columns == header
    assert table_read.frame.to_numpy().tolist() == [[cell.strip() for cell in row] for row in rows]


@examples(300)
@given(st.lists(st.text(st.sampled_from("1\r\n"), max_size=3), min_size=4, max_size=4), ends)
def test_stray_returns_never_move_a_cell(tmp_path_factory, drawn, end):
    """Whatever breaks of lines stand in unquoted cells, cells stay in their columns, or the file is refused."""
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    first, second, third, fourth = (f"{k}{text}" for k, text in zip("abcd", drawn, strict=True))
    path.write_bytes(f"h,k{end}{first},{second}{end}{third},{fourth}{end}".encode())
    try:
        frame = read_table(path).frame
    except TableError as error:
        assert "line " in str(error)  # noqa: PT017 (either is right)
        return
    for column, letters in (("h", "ac"), ("k", "bd")):
        assert [cell[:1] for cell in frame[column]] == list(letters)
    assert "".join(frame.to_numpy().ravel()) == "".join(
        text.replace("\r", "").replace("\n", "") for text in (first, second, third, fourth)
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("h,k\n1,2\r\r,3\n4,5\n", 2),
        ("h,k\n1,2\n\r,3\n4,5\n", 3),
        ("h,k\r,x\n1,2\n", 1),
        ("h,k\n1,\r2\n", 2),
        ('h,k\n"1\n",2\r3\n', 3),
    ],
)
def test_a_stray_return_is_named(tmp_path, text, line):
    """A carriage return within a row is refused, with its line."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(TableError, match=f"a.csv, line {line}: a line break"):
        read_table(tmp_path / "a.csv")


def test_ends_of_lines(tmp_path):
    """Line feeds with any carriage returns before them, and carriage returns alone in an old file, end lines."""
    for end in ("\n", "\r\n", "\r\r\n", "\r"):
        (tmp_path / "a.csv").write_bytes(f"h,k{end}1,2{end}{end}3,4".encode())
        assert read_table(tmp_path / "a.csv").frame.to_numpy().tolist() == [["1", "2"], ["3", "4"]]
        (tmp_path / "a.csv").write_bytes(f"h,k{end}".encode())
        with pytest.raises(TableError, match="holds no rows"):
            read_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,"2\n3,4\n', "line 2: a quote"),
        ('a,b\n1,"2"3\n', "line 2: a quote"),
        ("a,b\n1,2\n3,\0\n", "line 3 holds a zero byte"),
        ("\ufeff\n", "is empty"),
        ('""\n', "is empty"),
    ],
)
def test_what_is_no_csv(tmp_path, text, message):
    """Quotes that do not close, and what is not text, are refused with the line."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "a.csv")


def test_long_cells_and_many_columns(tmp_path):
    """Cells beyond the limit of the csv module are read, which is left as it was; and tables as wide as any."""
    limit, long = csv.field_size_limit(), "x" * 300_000
    (tmp_path / "a.csv").write_text(f"a,b\n{long},1\ny,2\n")
    assert read_table(tmp_path / "a.csv").texts("a").tolist() == [long, "y"]
    assert csv.field_size_limit() == limit
    names = [f"c{k}" for k in range(100_000)]
    (tmp_path / "b.csv").write_text(",".join(names) + "\n" + ",".join("7" * 100_000) + "\n")
    table_read = read_table(tmp_path / "b.csv")
    assert table_read.columns == names
    assert table_read.numbers("c99999")[0].tolist() == [7]
    with pytest.raises(TableError, match="and 99980 more"):
        table_read.require("d", "the target")


def test_the_delimiter_is_counted_outside_quotes(tmp_path):
    """Commas in the quoted names of columns do not hide the semicolons between them."""
    (tmp_path / "a.csv").write_text('"a,b,c";"d\n,e"\n1;2\n')
    assert read_table(tmp_path / "a.csv").columns == ["a,b,c", "d\n,e"]


def test_the_names_of_rows(tmp_path):
    """A first column without a name, as tables have that were written with the names of their rows, gets one."""
    (tmp_path / "a.csv").write_text(",a\n0,1\n1,2\n")
    assert read_table(tmp_path / "a.csv").columns == ["Unnamed: 0", "a"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt"])
def test_compressed_files(tmp_path, ending):
    """A compressed file is read like the file, and its lines are named."""
    text = "a\tb\n1\t2\n\n3\tx\n".replace("\t", "\t" if ending == ".tsv" else ",")
    path = tmp_path / f"A{ending.upper()}.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table_read = read_table(path)
    assert table_read.frame.to_numpy().tolist() == [["1", "2"], ["3", "x"]]
    assert table_read.where(1, "b") == f"{path}, line 4, column b"
    path.write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(TableError, match="not a gzip file that can be read"):
        read_table(path)
    path.write_bytes(text.encode())
    with pytest.raises(TableError, match="not a gzip file that can be read"):
        read_table(path)
    path.write_bytes(gzip.compress(b"a,b\n1,\xff\n"))
    with pytest.raises(TableError, match=r"line 2, column \d: the byte 0xff"):
        read_table(path)


def test_a_file_that_would_fill_the_memory(tmp_path, monkeypatch):
    """A compressed file that holds far more than it seems is refused before all of it is in memory."""
    monkeypatch.setattr("nncodegen.table.rows._MOST_BYTES", 2**16)
    content = b"a,b\n" + b"1,2\n" * 2**20
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(TableError, match="a hundred times its size and more"):
        read_table(tmp_path / "a.csv.gz")


def test_parquet_keeps_what_stands_in_an_index(tmp_path):
    """An index that has a name, or dates, is a column; the numbers of rows are none."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").columns == ["key", "a"]
    frame.set_index(pd.date_range("2020-01-01", periods=2)).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").columns == ["index", "a"]
    frame.reset_index(drop=True).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").columns == ["a"]


@examples(200)
@given(st.lists(cells.map(str.strip), min_size=1, max_size=5), cells.map(str.strip))
@example([","], ";;")
def test_what_is_predicted_is_read(tmp_path_factory, texts, name):
    """What is written as a prediction, with any classes, is read back as it was, but for what would be computed."""
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    path.write_bytes(write_csv(pd.DataFrame({f"t {name}": texts, "p": 0.5})).encode())
    table_read = read_table(path)
    assert table_read.columns == [f"t {name}".strip(), "p"]
    assert table_read.frame.to_numpy().tolist() == [[plain_cell(text), "0.5"] for text in texts]


def test_no_cell_is_a_formula():
    """A text that a spreadsheet would compute begins with an apostrophe, also a name; numbers are as they were."""
    texts = ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "-1.5", "+2", "-inf", "a=1", ""]
    frame = pd.DataFrame({"=name": texts, "p": -0.5, "kind": pd.Categorical(texts)})
    rows = list(csv.reader(io.StringIO(write_csv(frame), newline="")))
    written = [f"'{text}" for text in texts[:6]] + texts[6:]
    assert rows == [["'=name", "p", "kind"], *([text, "-0.5", text] for text in written)]
    assert frame["=name"].tolist() == texts
