"""Tables: what is read, what is understood, what is learned, and what is said about that which is wrong."""

import io
import json
import os
import subprocess
import sys
import textwrap
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from rich.console import Console

import nncodegen as nn
from nncodegen.table import Settings, TableError, fit, load_model, read_table
from nncodegen.table.columns import (
    Category,
    Number,
    column_from_dict,
    column_to_dict,
    encode,
    knotted,
    understand,
    widths,
)
from nncodegen.table.command import _judge
from nncodegen.table.fitting import split_rows
from nncodegen.table.metrics import ClassMetrics, class_metrics, confusion, measure
from nncodegen.table.target import Target, understand_target
from nncodegen.table.trained import _checksum
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

RAINY = textwrap.dedent("""\
    height,place,rain,dry
    1.5,north,2,yes

    2.5,"south,
    east",4,no
    NA,north,8,yes
    4.5,?,16,no
    """)


@pytest.fixture
def table(tmp_path):
    """Writes a text to a file and reads it: table(text, name="data.csv")."""

    def read(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path)

    return read


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A CSV file of 90 rows: numbers with gaps, a category, an identifier, two targets."""
    rng = np.random.default_rng(3)
    kind, size = rng.integers(0, 3, 90), rng.normal(size=90)
    frame = pd.DataFrame(
        {
            "identifier": [f"f{k}" for k in range(90)],
            "petal": kind + rng.normal(scale=0.1, size=90),
            "size": size,
            "garden": np.array(["north", "south"])[(size > 0).astype(int)],
            "constant": 1,
            "species": np.array(["rose", "tulip", "lily"])[kind],
            "price": 100 + 20 * size,
        }
    )
    frame.loc[7, "petal"] = np.nan
    path = tmp_path_factory.mktemp("flowers") / "flowers.csv"
    frame.to_csv(path, index=False)
    return path


def test_cells_and_their_lines(table):
    """Quoted cells, blank lines and missing values are read as people mean them, and lines are those of the file."""
    read = table(RAINY)
    assert read.columns == ["height", "place", "rain", "dry"]
    assert read.texts("place").tolist() == ["north", "south,\neast", "north", ""]
    values, others = read.numbers("height")
    np.testing.assert_array_equal(values, [1.5, 2.5, np.nan, 4.5])
    assert not others.any()
    for row, line in enumerate((2, 4, 6, 7)):
        assert f"line {line}, column rain" in read.where(row, "rain")
    assert "line 7" in read.drop(np.array([True, False, True, False])).where(1, "rain")


@pytest.mark.parametrize(("delimiter", "name"), [(";", "a.csv"), ("\t", "a.tsv"), ("|", "a.txt"), (",", "a.csv")])
def test_delimiters(table, delimiter, name):
    """The delimiter is that of the header, and a mark of the byte order is none of its names."""
    text = "\ufeffa b,c\n1,2\n3,4\n".replace(",", delimiter)
    read = table(text, name)
    assert read.columns == ["a b", "c"]
    assert read.numbers("c")[0].tolist() == [2, 4]


def test_decimal_commas(table):
    """Where semicolons part the columns, numbers may have decimal commas; commas elsewhere part thousands."""
    read = table("n;t\n-1,5;a\n2;b\n,25e1;a\n;b\n")
    assert read.numbers("n")[0].tolist()[:3] == [-1.5, 2, 2.5]
    assert not read.numbers("n")[1].any()
    assert (read.decimal_comma, table("n;t\n1.5;a\n").decimal_comma) == ("-1,5", None)
    assert table('n,t\n"1,500",a\n').numbers("n")[0].tolist() == [1500]
    assert table("n;t\n1,500;a\n").numbers("n")[0].tolist() == [1.5]
    assert table("n;t\n1.234,5;a\n").numbers("n")[0].tolist() == [1234.5]


def test_parquet_reads_as_csv(flowers, tmp_path):
    """A Parquet file of the same table means the same."""
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(flowers, engine="pyarrow")  # that of pandas 2 does not round to the nearest number
    frame.to_parquet(tmp_path / "flowers.parquet")
    table_read, other = read_table(flowers), read_table(tmp_path / "flowers.parquet")
    for name in ("identifier", "petal", "size", "garden", "constant"):
        assert understand(table_read, name, False) == understand(other, name, False)
    assert understand_target(table_read, "species", None) == understand_target(other, "species", None)
    assert other.where(3, "size").endswith("row 4, column size")


def test_several_parquet_files(tmp_path):
    """A folder of Parquet files, or a pattern that they match, is one table, also where Dask or Spark wrote it."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"year": [2025, 2026, 2026, 2025], "x": [1, 2, 3, 4], "note": ["a", "b", "c", "d"]})
    for folder in ("parts", "parts/below", "hive/year=2025", "hive/year=2026"):
        (tmp_path / folder).mkdir(parents=True)
    frame[:2].to_parquet(tmp_path / "parts" / "1.parquet")
    frame[2:].to_parquet(tmp_path / "parts" / "below" / "2.parquet")
    (tmp_path / "parts" / "_metadata.parquet").write_text("what Dask writes besides")
    (tmp_path / "parts" / "notes.txt").write_text("x\n1\n")
    for year, rows in frame.groupby("year"):
        rows.drop(columns="year").to_parquet(tmp_path / "hive" / f"year={year}" / "0.parquet")
    for path in ("parts", "parts/**/[12].parquet"):
        table = read_table(tmp_path / path)
        assert table.columns == ["year", "x", "note"]
        assert table.frame["x"].tolist() == [1, 2, 3, 4]
    table = read_table(tmp_path / "hive")
    assert sorted(zip(table.frame["year"], table.frame["x"], strict=True)) == [
        (2025, 1),
        (2025, 4),
        (2026, 2),
        (2026, 3),
    ]
    frame.rename(columns={"x": "z"}).to_parquet(tmp_path / "parts" / "3.parquet")
    with pytest.raises(TableError, match=r"other columns than .*: one of them lacks x, z"):
        read_table(tmp_path / "parts")
    for path, message in (
        ("parts/*", "which is no Parquet file"),
        ("*.parquet", "matches no Parquet files"),
        ("nothing", "there is no file"),
        ("parts/below/..", "other columns"),
    ):
        with pytest.raises(TableError, match=message):
            read_table(tmp_path / path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="empty holds no Parquet files"):
        read_table(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "holds no rows, only the names of 2 columns"),
        ("a,b,a\n1,2,3\n", "line 1: columns 1 and 3 are both called 'a'"),
        ("a,,b\n1,2,3\n", "line 1, column 2 has no name"),
        ("a,b\n1,2\n\n3,4,5\n", "line 4 has 3 values, but the header has 2 columns"),
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 values, but the header has 2 columns"),
        ("a,b\n1,2,3\n4,5,6\n", "line 2 has 3 values"),
        (b"a,b\n1,2\n'k, \xf6',2\n", "line 3, column 2: the byte 0xf6 is not text in UTF-8; save the file as UTF-8"),
        (b"a;\xfc\n1;2\n", "line 1, column 2: the byte 0xfc"),
        (b'a,b\n1,2\n"k, \xf6",2\n', "line 3, column 1: the byte 0xf6"),
        ("a,b\n1,2\n".encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
    ],
)
def test_what_is_no_table(table, text, message):
    """A file that is not a table is refused with the line that is wrong."""
    with pytest.raises(TableError) as caught:
        table(text)
    assert message in str(caught.value)
    assert "data.csv" in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("none.csv", "there is no file"), ("a.xls", "does not end in .csv")])
def test_what_is_no_file(tmp_path, name, message):
    """A file that is missing, or of another kind, is named."""
    (tmp_path / "a.xls").write_text("x")
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / name)


def test_a_damaged_parquet_file(tmp_path):
    """A file that is not a Parquet is told from one that is."""
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(TableError, match="is not a Parquet file"):
        read_table(tmp_path / "a.parquet")


def test_what_columns_mean(table):
    """Numbers with their mean, categories with their values; what says nothing is left out, with the reason."""
    read = table("n,c,z,one,id,void\n" + "".join(f"{k},{'ab'[k % 2]},{k % 3},7,i{k},\n" for k in range(12)))
    assert understand(read, "n", False) == Number("n", 5.5, np.std(range(12)), 5.5, False)
    assert understand(read, "c", False) == Category("c", ("a", "b"))
    assert isinstance(understand(read, "z", False), Number)
    assert understand(read, "z", True) == Category("z", ("0", "1", "2"))
    reasons = {name: understand(read, name, False).reason for name in ("one", "id", "void")}
    assert reasons == {
        "one": "it is always 7",
        "id": "it identifies rows, each by another text, such as 'i0'; --keep id uses it",
        "void": "it is empty",
    }


def test_encoding(table):
    """Numbers are standardized, gaps get the median and are told, categories are one-hot."""
    read = table("n,c\n1,a\n,b\n3,\n5,a\n")
    columns = understand(read, "n", False), understand(read, "c", True)
    deviation = np.std([1, 3, 5])
    expected = [[-2 / deviation, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [2 / deviation, 0, 0, 1, 0]]
    np.testing.assert_allclose(encode(columns, read), expected)


def test_pieces(table):
    """Between the quantiles of a column, one input each grows from -1 to 1; these come after all other inputs."""
    rng = np.random.default_rng(0)
    cells = [f"{value:.6f}" if value < 2 else "" for value in rng.exponential(size=40)]
    read = table("n,c,few\n" + "".join(f"{cell},{'ab'[k % 2]},{k % 3}\n" for k, cell in enumerate(cells)))
    plain = tuple(understand(read, name, False) for name in ("n", "c", "few"))
    number, category, few = columns = tuple(knotted(column, read, 4) for column in plain)
    values = np.array([float(cell) for cell in cells if cell])
    np.testing.assert_allclose(number.knots, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    assert (category, few) == plain[1:]  # three different numbers need no pieces
    assert widths(columns) == (5, 9)
    expected = [
        np.interp([float(cell or number.median) for cell in cells], ends, [-1, 1]) for ends in pairwise(number.knots)
    ]
    np.testing.assert_allclose(encode(columns, read), np.column_stack([encode(plain, read), *expected]))
    assert knotted(number, read, 0) == plain[0]
    assert column_from_dict(json.loads(json.dumps(column_to_dict(number)))) == number
    for knots in ([1.0], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan")], [0.0, float("inf")]):
        with pytest.raises(ValueError, match="knot"):
            column_from_dict({**column_to_dict(number), "knots": knots})


def test_numbers_too_large(table):
    """Numbers whose deviation is beyond floating point are refused, as a column and as a target."""
    read = table("a,b\n" + "1e308,1\n-1e308,2\n" * 6)
    for function, option in ((understand, False), (understand_target, "regression")):
        with pytest.raises(TableError, match="column a: its numbers are too large"):
            function(read, "a", option)


def test_numbers_that_do_not_differ(table):
    """A column of one number is left out, even if its mean is rounded; numbers that differ too little are refused."""
    for number in ("0.1", "0.7", "19.99", "5"):
        assert understand(table("a,b\n" + f"{number},1\n" * 12), "a", False).reason == f"it is always {number}"
    read = table("a,b\n" + "1e-200,1\n2e-200,2\n" * 6)
    for function, option in ((understand, False), (understand_target, "regression")):
        with pytest.raises(TableError, match="column a: its numbers differ too little for a deviation"):
            function(read, "a", option)


def test_a_number_that_is_not_finite_is_a_mistake(table):
    """An infinity among numbers is named with its line and column; half of a column in texts makes a category."""
    rows = [f"{k},{'x' if k % 2 else k}" for k in range(20)]
    assert isinstance(understand(table("\n".join(["n,m", *rows])), "m", True), Category)
    rows[13] = "inf,4"
    with pytest.raises(TableError, match=r"line 15, column n: 'inf' is not a finite number"):
        understand(table("\n".join(["n,m", *rows])), "n", False)


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        (["b", "a"] * 8, None, Target("t", ("a", "b"))),
        ([str(k % 3) for k in range(12)], None, Target("t", ("0", "1", "2"))),
        ([str(2 + 8 * (k % 2)) for k in range(12)], None, Target("t", ("2", "10"))),
        ([str(k) for k in range(12)], None, Target("t", (), 5.5, float(np.std(range(12))))),
        ([str(k / 2) for k in range(4)] * 4, None, Target("t", (), 0.75, float(np.std(np.arange(4) / 2)))),
        ([str(k % 3) for k in range(12)], "regression", Target("t", (), 1.0, float(np.std([0, 1, 2])))),
    ],
)
def test_what_the_target_means(table, values, task, expected):
    """Texts and few whole numbers are classes, in their order; other numbers are numbers; a task overrules that."""
    assert understand_target(table("\n".join(["t,x", *(f"{v},1" for v in values)])), "t", task) == expected


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a"] * 12, None, "column t: there is one class only, 'a'"),
        (["3"] * 12, "regression", "column t: it is always 3"),
        ([f"w{k}" for k in range(12)], None, "12 different values in 12 rows, too many for classes"),
        (["1", "2", "x"] * 4, "regression", "line 4, column t: 'x' is not a finite number"),
        ([str(k) for k in range(19)] + ["x"], None, "line 21, column t: 'x' is not a finite number"),
    ],
)
def test_targets_that_teach_nothing(table, values, task, message):
    """A target from which nothing can be learned is told, where it is one cell with its line."""
    with pytest.raises(TableError) as caught:
        understand_target(table("\n".join(["t,x", *(f"{v},1" for v in values)])), "t", task)
    assert message in str(caught.value)


def test_parts_are_disjoint_and_hold_every_class(table):
    """Rows are in one part each, and every class has its share of all."""
    values = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    read = table("\n".join(["t,x", *(f"{v},1" for v in values)]))
    for seed in range(5):
        parts = split_rows(read, Target("t", ("a", "b", "c")), seed)
        assert sorted(np.concatenate(parts)) == list(range(100))
        for part, share in zip(parts, (0.8, 0.2), strict=True):
            counts = [sum(values[row] == name for row in part) for name in "abc"]
            np.testing.assert_allclose(counts, share * np.array([60, 30, 10]), atol=1.01)
    assert not np.array_equal(split_rows(read, Target("t"), 0)[1], split_rows(read, Target("t"), 1)[1])


def test_metrics_are_those_of_scikit_learn():
    """The figures of the network and of the baseline are what scikit-learn computes."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 40)
    chances = rng.dirichlet(np.ones(3), 40)
    known = np.eye(3)[[0, 1, 1, 2]]
    target, decided = Target("t", ("a", "b", "c")), chances.argmax(axis=1)
    accuracy, balanced, loss = measure(target, known, np.eye(3)[truth], chances)
    assert balanced.network == pytest.approx(metrics.balanced_accuracy_score(truth, decided))
    assert balanced.simple == pytest.approx(1 / 3)
    counts = confusion(target, np.eye(3)[truth], chances)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(truth, decided))
    expected = metrics.precision_recall_fscore_support(truth, decided)
    rows_of_classes = [
        (class_metric.precision, class_metric.recall, class_metric.f1, class_metric.count)
        for class_metric in class_metrics(target, counts)
    ]
    np.testing.assert_allclose(np.array(rows_of_classes).T, expected)
    assert accuracy.network == metrics.accuracy_score(truth, chances.argmax(axis=1))
    assert (accuracy.baseline, accuracy.simple) == ("always b", np.mean(truth == 1))
    np.testing.assert_allclose(loss.network, metrics.log_loss(truth, chances))
    np.testing.assert_allclose(loss.simple, metrics.log_loss(truth, np.tile([0.25, 0.5, 0.25], (40, 1))))
    Y, outputs = rng.normal(size=(2, 40, 1))
    mae, rmse, r2 = measure(Target("t", (), 5.0, 3.0), Y + 1, Y, outputs)
    y, predicted = 3 * Y + 5, 3 * outputs + 5
    np.testing.assert_allclose(mae.network, metrics.mean_absolute_error(y, predicted))
    np.testing.assert_allclose(rmse.network, metrics.mean_squared_error(y, predicted) ** 0.5)
    np.testing.assert_allclose(r2.network, metrics.r2_score(y, predicted))
    np.testing.assert_allclose(r2.simple, metrics.r2_score(y, np.full(40, y.mean() + 3)))


def test_classes_are_learned_written_and_read(flowers, tmp_path):
    """A model beats its baseline, and the folder that it is written to predicts the same, here and elsewhere."""
    understood = []
    settings = Settings(layers=(4,), l2=1e-3, learning_rate=0.02, epochs=60)
    fitted = fit(read_table(flowers), "species", drop=("price",), settings=settings, observe=understood.append)
    assert [column.name for column in understood[0].columns] == ["petal", "size", "garden"]
    assert {column.name for column in understood[0].skipped} == {"identifier", "constant"}
    assert understood[0].missing == {"petal": 1}
    assert fitted.metrics[0].network > 0.9 > fitted.metrics[0].simple
    out = tmp_path / "model"
    fitted.model.save(out)
    expected = fitted.model.predict(read_table(flowers))
    pd.testing.assert_frame_equal(load_model(out).predict(read_table(flowers)), expected)
    np.testing.assert_allclose(expected.iloc[:, 1:].sum(axis=1), 1)
    assert list(expected)[1:] == ["probability of lily", "probability of rose", "probability of tulip"]
    assert (expected["species"] == pd.read_csv(flowers)["species"]).mean() > 0.9
    # where there is no compiler, and nothing has been built
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": "/nonexistent", "NNCODEGEN_CACHE": str(tmp_path / "c")}
    done = subprocess.run(
        [sys.executable, "-m", "nncodegen", "predict", out, flowers],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == (
        "warning: no C compiler was found (looked for $CC = /nonexistent); unset CC, or let it name a compiler that is "
        "installed: NumPy evaluates the model, which is slow; training and fits take a C compiler\n"
    )
    (tmp_path / "predicted.csv").write_text(done.stdout)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "predicted.csv"), expected, check_dtype=False)
    # what is wrong with a table is told before anything is predicted
    frame = pd.read_csv(flowers)
    for column, value, message in (
        ("garden", "west", "line 5, column garden: the category 'west' did not occur"),
        ("petal", "long", "line 5, column petal: 'long' is not a finite"),
    ):
        wrong = frame.astype({column: object})
        wrong.loc[3, column] = value
        wrong.to_csv(tmp_path / "wrong.csv", index=False)
        with pytest.raises(TableError, match=message):
            load_model(out).predict(read_table(tmp_path / "wrong.csv"))
    frame.drop(columns="garden").to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(TableError, match="has no column 'garden', which the network was trained with"):
        load_model(out).predict(read_table(tmp_path / "wrong.csv"))
    frame.loc[3, "garden"] = "west"
    frame.to_csv(tmp_path / "west.csv", index=False)
    assert len(load_model(out).predict(read_table(tmp_path / "west.csv"), unknown="ignore")) == 90


def test_numbers_are_learned(flowers):
    """A number is predicted in its own unit, and rows without a target are left out."""
    table = read_table(flowers)
    table.frame.loc[[2, 3], "price"] = ""
    understood = []
    fitted = fit(
        table, "price", drop=("species", "identifier"), settings=Settings(layers=(4,)), observe=understood.append
    )
    assert understood[0].left_out == 2
    assert fitted.metrics[2].network > 0.9 > fitted.metrics[2].simple
    predicted = fitted.model.predict(read_table(flowers))["price"]
    assert np.corrcoef(predicted, pd.read_csv(flowers)["price"])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "colour"}, "has no column 'colour', the target; it has: 'identifier', 'petal'"),
        ({"target": "species", "task": "clasification"}, "no task 'clasification'; there are: classification, regr"),
        ({"target": "species", "drop": ("colour",)}, "has no column 'colour', which is named as an option"),
        ({"target": "species", "drop": ("petal", "size", "garden", "price")}, "no column to predict 'species' from"),
        (
            {"target": "price", "settings": Settings(loss="binary_crossentropy")},
            "is for classes, but price is a number",
        ),
        ({"target": "species", "settings": Settings(loss="hinge")}, "for outputs that are not probabilities"),
        ({"target": "species", "settings": Settings(loss="mes")}, "there is no loss 'mes'"),
        ({"target": "species", "settings": Settings(activation="rellu")}, "activation of layer 1 is not known"),
    ],
)
def test_what_cannot_be_learned(flowers, arguments, message):
    """What cannot be meant is told before anything is trained."""
    with pytest.raises(nn.NncodegenError) as caught:
        fit(read_table(flowers), **arguments)
    assert message in str(caught.value)


def test_few_rows(table):
    """A table of less than ten rows is not a table to learn from."""
    with pytest.raises(TableError, match="has 9 rows with a value of 'a'; at least 10"):
        fit(table("a,b\n" + "1,2\n" * 9 + "NA,3\n"), "a")


@pytest.fixture(scope="module")
def written(flowers, tmp_path_factory):
    """A folder with a model."""
    out = tmp_path_factory.mktemp("written") / "model"
    fit(read_table(flowers), "species", drop=("price",), settings=Settings(layers=(4,), epochs=1)).save(out)
    return out


@pytest.mark.parametrize(
    "damage",
    [
        "description",
        "format",
        "earlier",
        "widths",
        "parameters",
        "missing",
        "truncated",
        "pickle",
        "mean",
        "null",
        "nan",
        "deviation",
        "classes",
        "weight",
        "report",
        "column",
        "deep",
        "list",
        "binary",
        "folder",
        "layers",
        "digits",
        "compressed",
        "another",
        "longer",
        "networks",
    ],
)
def test_damaged_folders(written, tmp_path, damage):
    """A folder that was damaged, or put together of two, is refused; no pickle is ever read."""
    import shutil

    out = shutil.copytree(written, tmp_path / "model")
    text = json.loads((out / "model.json").read_text())
    parameters = np.load(out / "parameters.npz")["parameters1"]
    whole = {"deep": "[" * 100_000, "list": "[]", "binary": "\udcff{}", "digits": '{"format": ' + "9" * 5000 + "}"}
    changes = {
        "description": lambda: text["columns"][0].pop("kind"),
        "format": lambda: text.update(format=99),
        "earlier": lambda: text.update(format=1),
        "widths": lambda: text["columns"].pop(0),
        "mean": lambda: text["columns"][0].update(mean=text["columns"][0]["mean"] + 1e-3),
        "null": lambda: text["columns"][0].update(mean=None),
        "nan": lambda: text["columns"][0].update(mean=float("nan")),
        "deviation": lambda: text["columns"][0].update(deviation=0.0),
        "classes": text["target"]["classes"].reverse,
        "weight": lambda: text["members"][0].update(weight=0.5),
        "networks": lambda: text["members"][0].update(networks=10**30),
        "layers": lambda: text["members"][0]["network"].update(layers=[[4, "relu"]] * 1000),
        "report": lambda: text["report"]["rows"].update(learned=1),
        "column": lambda: text["columns"][0].update(name="size"),
        "parameters": lambda: np.savez(out / "parameters.npz", parameters1=0 * parameters),
        "another": lambda: np.savez(out / "parameters.npz", parameters1=parameters, parameters2=parameters),
        "longer": lambda: np.savez(out / "parameters.npz", parameters1=np.zeros(10**6)),
        "compressed": lambda: np.savez_compressed(out / "parameters.npz", parameters1=parameters),
        "missing": (out / "parameters.npz").unlink,
        "truncated": lambda: (out / "parameters.npz").write_bytes((out / "parameters.npz").read_bytes()[:100]),
        "pickle": lambda: np.savez(out / "parameters.npz", parameters1=np.array([object()])),
    }
    if damage == "folder":
        (out / "parameters.npz").unlink()
        (out / "parameters.npz").mkdir()
    elif damage not in whole:
        changes[damage]()
    content = whole.get(damage, json.dumps(text))
    (out / "model.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(TableError, match=r"damaged|missing|train again|does not fit"):
        load_model(out)
    with pytest.raises(TableError, match="holds no model"):
        load_model(tmp_path)


def test_a_folder_of_somebody_else_is_left_alone(written, flowers, tmp_path):
    """A model is written over an earlier one, and never into a folder that holds anything else."""
    model = load_model(written)
    model.save(tmp_path / "model")
    model.save(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(nn.BuildError, match=r"holds files that nncodegen did not write \(notes.txt\)"):
        model.save(tmp_path / "model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "parameters.npz").write_text("mine")
    with pytest.raises(nn.BuildError, match="did not write"):
        model.save(tmp_path / "other")
    with pytest.raises(nn.BuildError, match="is a file"):
        model.save(flowers)
    assert (tmp_path / "other" / "parameters.npz").read_text() == "mine"


def test_hostile_descriptions(written, flowers, tmp_path):
    """Whatever stands at one place of a description, with a checksum that fits: it predicts, or it is refused."""
    import copy
    import shutil

    out = shutil.copytree(written, tmp_path / "model")
    text = json.loads((out / "model.json").read_text())
    with np.load(out / "parameters.npz") as archive:
        arrays = list(archive.values())

    def places(value, place=()):
        yield place
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*place, key))

    accepted = 0
    for place in places({key: text[key] for key in ("format", "target", "columns", "members")}):
        for value in (None, float("nan"), 1e308, 10**400, "", [], {}, [1], True):
            if place:
                changed = copy.deepcopy(text)
                *outer, last = place
                node = changed
                for key in outer:
                    node = node[key]
                node[last] = value
                changed["checksum"] = _checksum(changed, arrays)
                (out / "model.json").write_text(json.dumps(changed))
                try:
                    load_model(out)
                    accepted += 1
                except nn.NncodegenError:
                    pass
    assert accepted


@pytest.mark.parametrize("letters", [3, 60])
def test_classes_of_long_names_have_numbers_in_the_confusion_matrix(letters):
    """Columns are named by their classes where a line has room for the names, and otherwise by their numbers."""
    names = [letter * letters for letter in "abc"]
    classes = [ClassMetrics(name, 0.5, 0.25, 1 / 3, 4) for name in names]
    counts = np.arange(9).reshape(3, 3)
    text = io.StringIO()
    fitted = SimpleNamespace(held_out=12, metrics=[], classes=classes, confusion=counts)
    _judge(Console(file=text, width=1000), fitted)
    *_, head, first, second, third = (line.split() for line in text.getvalue().splitlines())
    assert head[-3:] == (names if letters == 3 else ["1", "2", "3"])
    for number, row in enumerate((first, second, third)):
        assert row == [*([] if letters == 3 else [str(number + 1)]), names[number], *map(str, counts[number])]
