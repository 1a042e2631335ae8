"""What columns mean: dates, numbers as people write them, gaps, identifiers, many categories; all of it plain data."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from hypothesis import given
from hypothesis import strategies as st

from nncodegen.table import Settings, TableError, fit, load_model, read_table
from nncodegen.table.columns import (
    Category,
    Date,
    Number,
    Skipped,
    column_from_dict,
    column_to_dict,
    encode,
    understand,
)
from nncodegen.table.dates import read_dates
from nncodegen.table.frames import as_table
from nncodegen.table.identifiers import identifies_rows
from nncodegen.table.numbers import read_numbers
from nncodegen.table.target import Target, understand_target
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture
def column(tmp_path):
    """A table of one column, from its cells: column(cells, name="v", delimiter=",")."""

    def make(cells, name="v", delimiter=","):
        rows = [f'"{name}"{delimiter}"k"', *(f'"{cell}"{delimiter}"{k}"' for k, cell in enumerate(cells))]
        (tmp_path / "a.csv").write_text("\n".join(rows), encoding="utf-8")
        return read_table(tmp_path / "a.csv")

    return make


# --- numbers -----------------------------------------------------------------------------------------------------

number = st.decimals(-(10**9), 10**9, places=2, allow_nan=False)
styles = {"1,234.56": (",", "."), "1.234,56": (".", ","), "1 234,56": ("\u202f", ","), "1'234.56": ("\u2019", ".")}


@examples(200)
@given(
    st.lists(number, min_size=1, max_size=6), st.sampled_from(sorted(styles)), st.sampled_from(["", "$", " €", "()"])
)
def test_numbers_in_every_style(values, style, money):
    """Numbers with two digits after the decimal sign are read as they are, however their thousands are parted."""
    group, decimal = styles[style]
    texts = []
    for value in values:
        digits = f"{abs(value):,.2f}".replace(",", "g").replace(".", decimal).replace("g", group)
        sign = "-" if value < 0 else ""
        text = {"": f"{sign}{digits}", "$": f"{sign}${digits}", " €": f"{sign}{digits} €", "()": digits}[money]
        texts.append(f"({digits})" if money == "()" and value < 0 else text)
    numbers, written, assumed = read_numbers(texts)
    np.testing.assert_allclose(numbers, [float(value) for value in values], rtol=1e-15)
    assert not assumed
    assert read_numbers(texts, expected=written)[0].tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1,234,567", "12"], [1234567, 12]),
        (["1 234", "1 234 567"], [1234, 1234567]),
        (["50%", "0", "12.5 %"], [0.5, 0, 0.125]),
        (["50%", "3"], [np.nan, 3]),  # a share or a percentage: nobody knows
        (["$5", "€6"], [np.nan, np.nan]),
        (["USD 1,000.5", "3"], [1000.5, 3]),
        (["\u22125", "+3", "-.5e1"], [-5, 3, -5]),
        (["(5)", "$(5)"], [-5, np.nan]),
        (["1_000", "1,2,3", "10.0.0.1", "0,123,456", "--5", "1-2"], [np.nan] * 6),
    ],
)
def test_numbers_that_people_write(texts, expected):
    """Thousands, percents, money and signs are read; what is not a number in the style of its column is none."""
    np.testing.assert_array_equal(read_numbers(texts)[0], expected)


def test_a_style_that_no_cell_tells():
    """Where three digits follow every comma, the file decides what it means, and that it is assumed is said."""
    assert read_numbers(["1,500"])[0].tolist() == [1500]
    assert read_numbers(["1,500"], semicolons=True)[0].tolist() == [1.5]
    assert read_numbers(["1,500", "2,5"])[0].tolist() == [1.5, 2.5]
    assert read_numbers(["1,500"])[2]
    assert read_numbers(["1,500"], expected="1.234,56")[0].tolist() == [1.5]
    assert read_numbers(["1.500", "950"])[0].tolist() == [1.5, 950]
    assert read_numbers(["1.500", "950"], comma_elsewhere=lambda: True)[0].tolist() == [1500, 950]


def test_points_part_thousands_where_commas_are_decimal(tmp_path):
    """In a table with decimal commas, 1.500 is a thousand and a half, and 0.998 less than one."""
    (tmp_path / "a.csv").write_text("a;b;c\n1.500;1,25;0.998\n950;2,5;1.002\n")
    table = read_table(tmp_path / "a.csv")
    assert table.numbers("a")[0].tolist() == [1500, 950]
    assert table.numbers("c")[0].tolist() == [0.998, 1.002]
    assert "1.234,56 (assumed: no cell tells)" in understand(table, "a", False).show()


def test_money_is_learned_and_predicted(column):
    """What a column of money or percents means is kept, and another unit is named with its place."""
    money = understand(column([f"${k},000.50" for k in range(1, 12)]), "v", False)
    assert money == Number("v", 6000.5, np.std(range(1, 12)) * 1000, 6000.5, False, format="1,234.56 $")
    assert money.show().startswith("number, money in $, mean")
    np.testing.assert_allclose(encode((money,), column(["$6,000.5", "6000.5"])), [[0], [0]])
    with pytest.raises(TableError, match="line 3, column v: '€5' is not a finite number"):
        encode((money,), column(["$5", "€5"]))
    share = understand(column([f"{k}%" for k in range(11)]), "v", False)
    assert share.mean == pytest.approx(0.05)
    with pytest.raises(TableError, match="line 2, column v: '5' is not a finite number"):
        encode((share,), column(["5"]))
    target = understand_target(column([f"${k},000" for k in range(1, 13)]), "v", None)
    assert (target.task, target.mean, target.format) == ("regression", 6500, "1,234.56 $")


# --- gaps and texts ----------------------------------------------------------------------------------------------


def test_texts_among_numbers(column):
    """Few different numbers and a text are categories; texts that look missing are missing, which is said."""
    cylinders = understand(column(["4", "6", "8", "rotary"] * 5 + ["4"] * 40), "v", False)
    assert cylinders == Category("v", ("4", "6", "8", "rotary"))
    assert cylinders.show().startswith("category, numbers and texts, 4 values")
    understood = understand(column(["-", "unknown", "NA", *range(30)]), "v", False)
    assert (understood.gaps, understood.has_missing, understood.texts) == (("-", "unknown"), True, ())
    assert "'-', 'unknown' count as missing" in understood.show()
    np.testing.assert_allclose(encode((understood,), column(["-", "", "14.5"])), [[0, 1], [0, 1], [0, 0]], atol=1e-12)
    with pytest.raises(TableError, match="line 3, column v: 'missing' is not a finite number"):
        encode((understood,), column(["-", "missing"]))
    assert encode((understood,), column(["-", "missing"]), unknown="ignore")[:, 1].tolist() == [1, 1]
    assert isinstance(understand(column(["none"] * 20 + ["1", "2"] * 5), "v", False), Category)


def test_texts_among_many_numbers(column):
    """A text among many different numbers has an input of its own, which is said; another one is named later."""
    understood = understand(column([*(k / 8 for k in range(40)), "trace", "trace"]), "v", False)
    assert understood.texts == ("trace",)
    assert "texts, with an input each: 'trace'" in understood.show()
    encoded = encode((understood,), column(["trace", understood.mean]))
    np.testing.assert_allclose(
        encoded, [[(understood.median - understood.mean) / understood.deviation, 1], [0, 0]], atol=1e-12
    )
    with pytest.raises(TableError, match="line 3, column v: 'oops' is not a finite number"):
        encode((understood,), column(["trace", "oops"]))
    with pytest.raises(TableError, match="line 2, column v: 'inf' is not a finite number"):
        encode((understood,), column(["inf"]), unknown="ignore")


def test_gaps_are_found_in_all_rows(column):
    """How cells are written is told by all rows, also by those that are not trained with."""
    whole = column(["1/2/2020", "3/4/2020", "5/6/2020", "-", "13/2/2020"])
    part = whole.drop(np.array([False, False, False, True, True]))
    understood = understand(part, "v", False, whole=whole)
    assert (understood.day_first, understood.assumed, understood.gaps) == (True, False, ("-",))
    assert understand(part, "v", False).assumed


# --- dates -------------------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31))
forms = [
    "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y", "%d/%m/%Y %I:%M %p",
    "%m/%d/%Y", "%m-%d-%y", "%d.%m.%y", "%d %b %Y", "%B %d, %Y", "%d-%b-%y", "%a, %d %b %Y %H:%M:%S", "%Y%m%dT%H:%M",
]  # fmt: skip


@examples(200)
@given(st.lists(moments, min_size=1, max_size=6), st.sampled_from(forms))
def test_dates_in_every_form(values, form):
    """Dates in common forms are what pandas reads in that form, wherever a day beyond the twelfth tells the order."""
    texts = [value.strftime(form) for value in [*values, datetime(2020, 11, 25)]]
    dates = read_dates(texts)
    expected = pd.to_datetime(pd.Series(texts), format=form).to_numpy("M8[us]")
    np.testing.assert_array_equal(dates.world, expected)
    np.testing.assert_array_equal(dates.wall, expected)
    assert not dates.assumed


@examples(100)
@given(st.lists(st.tuples(moments, st.integers(-14 * 60, 14 * 60)), min_size=1, max_size=6))
def test_zones(values):
    """Dates with zones are those of world time, as pandas has them, and those of the clock on the wall."""
    pairs = [
        (moment, f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02d}:{abs(zone) % 60:02d}") for moment, zone in values
    ]
    texts = [moment.isoformat() + zone for moment, zone in pairs]
    dates = read_dates(texts)
    expected = pd.to_datetime(pd.Series(texts), utc=True, format="ISO8601").dt.tz_localize(None).to_numpy("M8[us]")
    np.testing.assert_array_equal(dates.world, expected)
    np.testing.assert_array_equal(dates.wall, [np.datetime64(moment, "us") for moment, _ in values])


@pytest.mark.parametrize(
    ("texts", "expected", "order", "assumed"),
    [
        (["31/1/2020", "1/2/2020"], ["2020-01-31", "2020-02-01"], True, False),
        (["1/31/2020", "1/2/2020"], ["2020-01-31", "2020-01-02"], False, False),
        (["1/2/2020"], ["2020-01-02"], False, True),
        (["1.2.2020"], ["2020-02-01"], True, True),
        (["31/1/2020", "30/1/2020", "1/31/2020"], ["2020-01-31", "2020-01-30", "NaT"], True, False),
        (
            ["2020-02-29", "2021-02-29", "2020-13-01", "2020-01-01 25:00"],
            ["2020-02-29", "NaT", "NaT", "NaT"],
            None,
            False,
        ),
        (
            ["3rd March 2001", "March 3rd, 2001", "Mar 2001", "2001-03"],
            ["2001-03-03"] * 2 + ["2001-03-01"] * 2,
            None,
            False,
        ),
        (["1.2.10", "2020", "may", "12:30", "1-2"], ["NaT"] * 5, None, False),
    ],
)
def test_one_order_of_days_and_months(texts, expected, order, assumed):
    """One order holds in a column; it is told by days beyond the twelfth, or assumed; what is not a date is none."""
    dates = read_dates(texts)
    np.testing.assert_array_equal(dates.wall.astype("M8[D]"), np.array(expected, "M8[D]"))
    assert (dates.day_first, dates.assumed) == (order, assumed)


def test_what_dates_become(column):
    """Elapsed time, year, month, day of the week and hour, as far as they vary, are what pandas says of the dates."""
    times = pd.Series(pd.date_range("2019-11-30 03:00", periods=60, freq="31h"))
    understood = understand(column(times.dt.strftime("%d/%m/%Y %H:%M")), "v", False)
    assert (understood.year, understood.month, understood.hour, understood.day_first, understood.has_missing) == (
        True,
        True,
        True,
        True,
        False,
    )
    assert understood.show().startswith("date, written as day, month, year, mean 2020-01-07")
    days = (times - pd.Timestamp(0)) / pd.Timedelta(days=1)
    years = (pd.to_datetime(times.dt.year.astype(str)) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    month, hour = 2 * np.pi * (times.dt.month - 1) / 12, 2 * np.pi * times.dt.hour / 24
    weekday = times.dt.day_of_week.to_numpy()[:, None] == np.arange(7)
    expected = [
        (days - days.mean()) / days.std(ddof=0),
        (years - days.mean()) / days.std(ddof=0),
        np.sin(month),
        np.cos(month),
        *weekday.T,
        np.sin(hour),
        np.cos(hour),
    ]
    encoded = encode((understood,), column(times.dt.strftime("%d/%m/%Y %H:%M")))
    np.testing.assert_allclose(encoded, np.array(expected, float).T, atol=1e-9)
    assert understood.width == encoded.shape[1]


def test_dates_that_vary_little(column):
    """A part that does not vary is not an input, nor is the weekday where all dates are on one day of the month."""
    monthly = understand(column(f"2020-{k:02d}-01" for k in range(1, 13)), "v", False)
    assert (monthly.year, monthly.month, monthly.weekdays, monthly.hour) == (False, True, (), False)
    weekly = understand(column(["2020-01-06", "2020-01-13", "2020-01-20", "-"]), "v", False)
    assert (weekly.width, weekly.month, weekly.weekdays, weekly.gaps) == (2, False, (), ("-",))
    assert encode((weekly,), column(["", "2020-01-13"])).tolist() == [[0, 1], [0, 0]]
    assert understand(column(["2020-01-06"] * 3), "v", False).reason == "it is always 2020-01-06 00:00:00"
    with pytest.raises(TableError, match="line 2, column v: '2020-02-30' is not a date"):
        encode((monthly,), column(["2020-02-30"]))
    assert isinstance(understand(column(["20200131", "20200201", "20200203"], "date"), "date", False), Date)
    assert not isinstance(understand(column(["20200131", "20200201", "20200203"]), "v", False), Date)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_parquet(tmp_path, column, unit, zone):
    """Timestamps of every unit and zone are dates as their texts are, and NaT is missing."""
    pytest.importorskip("pyarrow")
    times = pd.Series(pd.date_range("2020-02-27 23:00", periods=40, freq="31h", tz=zone)).dt.as_unit(unit)
    texts = times.map(lambda moment: moment.isoformat())
    times, texts[3] = times.where(times.index != 3), ""
    pd.DataFrame({"v": times}).to_parquet(tmp_path / "a.parquet")
    table_read, same = read_table(tmp_path / "a.parquet"), column(texts)
    assert understand(table_read, "v", False) == understand(same, "v", False)
    np.testing.assert_array_equal(table_read.dates("v")[0].world, same.dates("v")[0].world)
    assert understand(table_read, "v", False).has_missing


def test_other_types_of_parquet(tmp_path):
    """Days are dates, decimals and durations numbers, flags 0 and 1."""
    pytest.importorskip("pyarrow")
    from decimal import Decimal

    days = [datetime(2020, 1, 1).date() + timedelta(days=k) for k in range(10)]
    frame = pd.DataFrame(
        {
            "day": [*days, None],
            "money": [Decimal(k * k) / 4 for k in range(11)],
            "time": pd.to_timedelta([k * k for k in range(11)], unit="min"),
            "flag": [True, None, *[False] * 9],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert understand(table, "day", False).has_missing
    assert understand(table, "day", False).weekdays == tuple(range(7))
    assert table.numbers("money")[0].tolist() == [k * k / 4 for k in range(11)]
    assert table.numbers("time")[0].tolist() == [60 * k * k for k in range(11)]
    np.testing.assert_array_equal(table.numbers("flag")[0], [1, np.nan, *[0] * 9])


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("stored", [False, True])
def test_types_of_pandas_and_pyarrow(tmp_path, stored, unit):
    """Dates, durations, periods and categories of pandas and pyarrow mean what the usual types do, from a file as well.

    So a period is its first moment, and missing values stay missing.
    """
    pytest.importorskip("pyarrow")
    days, months = pd.date_range("2020-01-01", periods=40), pd.date_range("2020-01-01", periods=40, freq="MS")
    usual = pd.DataFrame(
        {
            "day": days,
            "time": pd.to_timedelta([k * k for k in range(40)], unit="min"),
            "month": months,
            "kind": list("abcd") * 10,
        }
    )
    usual.loc[3] = None
    other = usual.astype({"day": "date32[pyarrow]", "time": f"duration[{unit}][pyarrow]", "kind": "category"})
    other["month"] = other["month"].dt.to_period("M")
    if stored:
        other.to_parquet(tmp_path / "a.parquet")
    read, same = read_table(tmp_path / "a.parquet") if stored else as_table(other), as_table(usual)
    for name in usual:
        assert understand(read, name, False) == understand(same, name, False)
        column = understand(read, name, False)
        np.testing.assert_array_equal(column.encode(read, "error"), column.encode(same, "error"))
    assert isinstance(understand(read, "day", False), Date)
    assert isinstance(understand(read, "time", False), Number)
    assert isinstance(understand(read, "month", False), Date)


def test_later_dates_are_predicted(tmp_path):
    """What grows with time goes on after the training, and a weekday keeps its effect."""
    times = pd.date_range("2020-01-01", periods=400, freq="D")
    value = np.arange(400) / 20 + 10 * (times.day_of_week >= 5)
    pd.DataFrame({"day": times.strftime("%b %d, %Y"), "v": value}).to_csv(tmp_path / "a.csv", index=False)
    table = read_table(tmp_path / "a.csv")
    settings = Settings(layers=(), epochs=400, learning_rate=0.02)
    model = fit(table.drop(np.arange(400) >= 365), "v", settings=settings).model
    model.save(tmp_path / "model")
    predicted = load_model(tmp_path / "model").predict(table.drop(np.arange(400) < 365))["v"]
    assert np.abs(predicted - value[365:]).max() < 3


def test_an_order_that_training_did_not_meet(column):
    """Dates whose order neither the table nor the training tells are refused, not guessed."""
    understood = understand(column(["2020-01-31", "2020-02-01", "2020-03-01"]), "v", False)
    assert understood.day_first is None
    np.testing.assert_array_equal(
        encode((understood,), column(["31/1/2020", "1/2/2020"])),
        encode((understood,), column(["2020-01-31", "2020-02-01"])),
    )
    with pytest.raises(
        TableError, match="column v: neither its cells nor those of the training tell whether days or months"
    ):
        encode((understood,), column(["1/2/2020"]))


def test_rows_whose_target_looks_missing(tmp_path):
    """Rows are left out whose target is a text that looks missing among numbers; among classes, it is a class."""
    rows = [f"{k / 8},{'-' if k % 5 == 0 else k * k},{'unknown' if k % 5 == 0 else 'known'}" for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["x,n,c", *rows]))
    observed = []
    for target in ("n", "c"):
        options = {"observe": observed.append, "settings": Settings(layers=(), epochs=1)}
        fit(read_table(tmp_path / "a.csv"), target, drop=tuple({"n", "c"} - {target}), **options)
    assert [understood.left_out for understood in observed] == [8, 0]
    assert observed[1].target.classes == ("known", "unknown")


# --- what is left out, and what is grouped -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("id", [12, 7, 93], True),
        ("PassengerId", [12, 7, 93], True),
        ("customerid", [12, 7, 93], True),
        ("order_key", [12, 7, 93], True),
        ("rownames", [1947, 1948, 1949], True),
        ("Unnamed: 0", [0, 1, 2], True),
        ("index", [3, 1, 2], True),
        ("index", [100, 7, 93], False),
        ("id", [1, 2, 2], False),
        ("id", [1.5, 2, 3], False),
        ("house", range(1, 21), True),
        ("house", range(21, 1, -1), False),
        ("house", range(20, 0, -1), True),
        ("house", range(1, 11), False),
        ("time_index", range(20), False),
        ("order no", [3, 8, 9], True),
        ("year", range(20), False),
        ("x", range(20), False),
        ("population", [8_804_190, 3_898_747, 2_746_388], False),
        ("price", [9, 5, 7], False),
        ("humid", [30, 40, 50], False),
        ("paid", [30, 40, 50], False),
    ],
)
def test_what_identifies_rows(name, values, expected):
    """Different whole numbers identify rows where their name says so, or where they count them; measurements do not."""
    assert identifies_rows(name, np.array(list(values), float)) is expected


def test_identifiers_are_left_out_and_can_be_kept(column):
    """What identifies rows is left out, which is said, and kept on demand, as a number or as categories."""
    numbers, texts = column(range(100, 112), "id"), column([f"w{k}" for k in range(12)], "name")
    reason = "it identifies rows, each by a number from 100 to 111; --keep id uses it"
    assert understand(numbers, "id", False) == Skipped("id", reason)
    assert understand(numbers, "id", False, keep=True).mean == 105.5
    assert "each by another text, such as 'w0'; --keep name uses it" in understand(texts, "name", False).reason
    assert understand(texts, "name", False, keep=True) == understand(texts, "name", True)
    assert len(understand(texts, "name", True).values) == 12
    part = numbers.drop(np.arange(12) % 3 == 0)  # of a sample
    assert isinstance(understand(part, "id", False, whole=numbers), Skipped)


def test_many_categories_are_grouped(column):
    """The most frequent of many categories have an input each; all others, and new ones, share one."""
    cells = [f"c{k}" for k in range(150) for _ in range(max(1, 150 - 2 * k))] + [""] * 3
    table = column(cells)
    understood = understand(table, "v", False)
    assert understood.other
    assert understood.width == len(understood.values) + 1
    assert set(understood.values) == {"", *(f"c{k}" for k in range(73))}
    assert understood.show().startswith("category, the 74 most frequent values: (missing), c0, c1")
    encoded = encode((understood,), table)
    assert (encoded.sum(axis=1) == 1).all()
    assert encoded[:, -1].sum() == 4 + 2 + 75
    assert encode((understood,), column(["new"]))[0, -1] == 1
    assert understand(table, "v", True).width == 102
    wordy = understand(column([f"w{k // 2}" for k in range(60)]), "v", False)
    assert "30 different texts, such as 'w0', none of them in 5 rows" in wordy.reason


# --- plain data --------------------------------------------------------------------------------------------------

COLUMNS = [
    Number("a", 1.0, 2.0, 1.5, True, ("-",), ("x", "y"), "1.234,56 €", True),
    Date("b", 1.0, 2.0, True, False, (0, 6), True, False, None, False, (), ("open",)),
    Category("c", ("", "d"), True),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_are_plain_data(column):
    """A column survives JSON."""
    assert column_from_dict(json.loads(json.dumps(column_to_dict(column)))) == column


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (0, {"mean": None}),
        (0, {"mean": float("nan")}),
        (0, {"mean": 10**400}),
        (0, {"deviation": 0}),
        (0, {"deviation": -1.0}),
        (0, {"median": "1"}),
        (0, {"mean": True}),
        (0, {"has_missing": 1}),
        (0, {"gaps": "-"}),
        (0, {"texts": [1]}),
        (0, {"texts": ["x", "x"]}),
        (0, {"format": "1#2"}),
        (0, {"format": "1,234.56 kg"}),
        (0, {"name": None}),
        (0, {"more": 1}),
        (0, {"kind": "text"}),
        (0, {"kind": []}),
        (1, {"weekdays": [7]}),
        (1, {"weekdays": [True]}),
        (1, {"deviation": float("inf")}),
        (1, {"day_first": 0}),
        (1, {"year": "yes"}),
        (2, {"values": [None]}),
        (2, {"values": ["a", "a"]}),
        (2, {"values": {"a": 1}}),
        (2, {"other": None}),
    ],
)
def test_damaged_columns(number, changes):
    """Anything that is not a column is refused when it is read, whatever its values are."""
    with pytest.raises((TypeError, ValueError)):
        column_from_dict({**column_to_dict(COLUMNS[number]), **changes})
    with pytest.raises(KeyError):
        column_from_dict({})


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": None},
        {"deviation": 0.0},
        {"mean": float("nan")},
        {"classes": ("a",)},
        {"classes": (1, 2)},
        {"classes": ("a", "a")},
        {"format": ""},
    ],
)
def test_damaged_targets(changes):
    """Anything that is not a target is refused."""
    with pytest.raises((TypeError, ValueError)):
        Target(**{"name": "t", **changes})


def test_the_predicted_class_is_never_lost():
    """The names of the columns of a prediction are different, whatever the target and its classes are called."""
    target = Target("probability of yes", ("no", "yes", "yes'"))
    assert target.column_names == (
        "probability of yes",
        "probability of no",
        "probability of yes'",
        "probability of yes''",
    )
    assert Target("t", ("a", "b")).column_names == ("t", "probability of a", "probability of b")


def test_a_target_that_is_called_like_a_probability(tmp_path):
    """A target "probability of yes" with a class yes is predicted as a class."""
    rows = [f"{k % 2 + k / 100},{['no', 'yes'][k % 2]}" for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["x,probability of yes", *rows]))
    table = read_table(tmp_path / "a.csv")
    predicted = fit(table, "probability of yes", settings=Settings(layers=(), epochs=3)).model.predict(table)
    assert set(predicted["probability of yes"]) <= {"yes", "no"}
    assert list(predicted) == ["probability of yes", "probability of no", "probability of yes'"]
    assert predicted["probability of yes'"].between(0, 1).all()


def test_nothing_but_identifiers(tmp_path):
    """Where nothing is left to learn from, what was left out is told."""
    (tmp_path / "a.csv").write_text("\n".join(["id,t", *(f"{k},{k % 2}" for k in range(20))]))
    table = read_table(tmp_path / "a.csv")
    with pytest.raises(TableError, match="no column to predict 't' from; 'id' is not used: it identifies rows"):
        fit(table, "t")
    assert fit(table, "t", keep=("id",), settings=Settings(layers=(), epochs=1)).model.columns[0].name == "id"
    assert fit(table, "t", keep="id", settings=Settings(layers=(), epochs=1)).model.columns[0].name == "id"
    with pytest.raises(TableError, match="has no column 'key', which is named as an option"):
        fit(table, "t", keep=("key",))


# --- what is printed ---------------------------------------------------------------------------------------------


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path, monkeypatch, capsys):
    """Control characters in names, categories, classes and paths are written out, on a terminal in predictions, too."""
    from nncodegen.cli.commands import command

    def run(*arguments):
        command.main(list(map(str, arguments)), standalone_mode=False)
        return capsys.readouterr().out

    escape = "\x1b[31m"
    rows = [f"{k % 2}.{k},{'uv'[k % 2]}{escape},{'no' if k % 2 else f'y{escape}'},{k}" for k in range(40)]
    (tmp_path / "a.tar.csv").write_text("\n".join([f"x{escape},c,t{escape},id{escape}", *rows]))
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "a.tar.csv"
    printed = run("fit", data, "--target", f"t{escape}", "--layers", "", "--epochs", 2)
    assert escape not in printed
    for text in (r"x\x1b[31m", r"u\x1b[31m", r"y\x1b[31m", r"t\x1b[31m", r"id\x1b[31m"):
        assert text in printed
    assert "a.tar_model" in printed
    predict = ("predict", tmp_path / "a.tar_model", data)
    assert escape in run(*predict)  # a file or a program gets what stands in the data
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    printed = run(*predict)
    assert escape not in printed
    assert printed.splitlines()[0].startswith(r"t\x1b[31m,probability of no,probability of y\x1b[31m")
    data.write_text(f"x{escape},c\nw,u{escape}\n")
    with pytest.raises(TableError) as caught:
        run(*predict)
    assert r"column x\x1b[31m: 'w' is not a finite number" in str(caught.value)
    assert escape not in str(caught.value)


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_what_is_written_out_stays_in_its_column(tmp_path, monkeypatch, capfd, quiet):
    """What holds control characters is written out in columns that align, and where a model is no better."""
    from nncodegen.cli.commands import command

    rows = [f"{k % 7},{k % 5},{chr(27) + '[31m' if k % 3 else 'no'}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["x\ty,plain,t", *rows]))
    monkeypatch.chdir(tmp_path)
    command.main(["fit", "a.csv", "--target", "t", "--layers", "", *quiet], standalone_mode=False)
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert "NO BETTER     than without a model, on the 12 rows held out: accuracy" in (err if quiet else out)
    if quiet:
        return
    lines = out.splitlines()
    (first, second), start = [line for line in lines if "number, mean" in line], len(f"{'columns':<14}")
    assert first[start:].startswith(r"x\ty   number")
    assert second[start:].startswith("plain  number")
    begin = next(k for k, line in enumerate(lines) if line.startswith("by class"))
    place = lines[begin].index("precision")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines[begin + 1 : begin + 3])
    assert "tried         1 candidate in" in out
