"""The command ``curve``: formulas fitted to the columns of tables."""

import csv
import io
import os
import warnings

import click
import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
optimize = pytest.importorskip("scipy.optimize")

import nncodegen as nn
from nncodegen.cli.commands import command
from nncodegen.cli.flags import FIT_FLAGS
from nncodegen.curves.fitting.formula import module_of, read_formula
from nncodegen.table.curves.columns import columns_of, groups_of
from nncodegen.table.curves.equation import read_equation
from nncodegen.table.curves.groups import ColumnFit
from nncodegen.table.curves.pictures import draw_fit, draw_groups
from nncodegen.table.curves.settings import FitSettings
from nncodegen.table.read import read_table
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

EQUATION = "y = a*exp(-b*x) + c"

random = np.random.default_rng(7)
X = np.linspace(0, 4, 40)
SIGMA = 0.01 + 0.02 * random.random(40)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + SIGMA * random.normal(size=40)
ONE = pandas.DataFrame({"x": X, "y": Y, "s": SIGMA})


def plates():
    """Twelve decays of unequal length on two plates."""
    parts = []
    for well in range(12):
        x = X[: 20 + well % 4]
        y = (1 + well / 10) * np.exp(-(0.7 + well / 20) * x) + 0.1 + 0.01 * random.normal(size=len(x))
        parts.append(
            pandas.DataFrame({"plate": f"P{well // 6}", "well": well % 6, "x": x, "y": y, "s": 0.01 * (1 + x)})
        )
    return pandas.concat(parts, ignore_index=True)


MANY = plates()


@pytest.fixture
def run(tmp_path, commands):
    """Runs the command in a folder of its own: run(frame, *arguments) -> the finished process."""

    def call(frame, *arguments, file="data.csv"):
        if frame is not None:
            frame.to_csv(tmp_path / file, index=False) if file.endswith("csv") else frame.to_parquet(tmp_path / file)
        return commands.run(
            ["curve", file, *arguments], tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        )

    call.folder = tmp_path
    return call


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


# --- one fit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["data.csv", "data.parquet"])
def test_one_fit(run, file):
    """It tells what it understood, and prints the table of the fit."""
    done = run(ONE, EQUATION, file=file)
    assert done.returncode == 0
    summary = dict(line.split(maxsplit=1) for line in done.stderr.splitlines())
    assert summary == {
        "read": f"{file}: 40 rows, 3 columns",
        "fit": "y = a*exp(-b*x) + c",
        "columns": "x",
        "start": "a = 1, b = 1, c = 1",
    }
    popt, pcov = nn.curve_fit("a*exp(-b*x) + c", X, Y)
    lines = {cells[0]: cells[1:] for cells in map(str.split, done.stdout.splitlines()) if len(cells) == 6}
    for name, value, error in zip("abc", popt, np.sqrt(np.diag(pcov)), strict=True):
        assert [float(cell) for cell in lines[name][:2]] == pytest.approx([value, error], rel=1e-3)
    assert "ended                converged" in done.stdout


def test_profiles(run):
    """--profiles prints the intervals and verdicts of the result, and draws them beside the picture of the fit."""
    done = run(ONE, EQUATION, "--profiles", "--plot", "fit.png")
    assert done.returncode == 0
    assert (run.folder / "fit-profiles.png").read_bytes()[1:4] == b"PNG"
    assert "drawn to      fit-profiles.png" in done.stderr
    decay = module_of(read_formula("a*exp(-b*x) + c", ["x"]))
    expected = str(decay.fit(X[:, None], Y, p0=[1.0, 1.0, 1.0]).profiles())
    assert [line for line in expected.splitlines() if "identifiable" in line] == [
        line for line in done.stdout.splitlines() if "identifiable" in line
    ]
    flat = run(ONE, "y = a*b*x", "--profiles")
    assert flat.stdout.count("not identifiable: only a*b") == 2
    assert "exists already" in run(None, EQUATION, "--profiles", "--plot", "fit.png").stderr
    for option in (["--by", "s"], ["--models", "exponential"]):
        refused = run(None, *([EQUATION] if option[0] == "--by" else []), "--profiles", *option)
        assert refused.returncode != 0
        assert f"leave it out with {option[0]}" in refused.stderr


def test_options_are_told(run):
    """What --sigma, --p0, --bounds, --loss and --n-starts set is printed."""
    options = ["--sigma", "s", "--p0", "a=2, b=1.6", "--bounds", "b=1.5:,c=:0.6"]
    done = run(ONE, EQUATION, *options)
    assert done.returncode == 0
    assert "bounds        1.5 <= b, c <= 0.6\n" in done.stderr
    assert "columns       x, with the standard deviations s\n" in done.stderr
    assert "start         a = 2, b = 1.6, c = -0.4\n" in done.stderr
    done = run(ONE, "y = a*x", "--loss", "cauchy", "--f-scale", "0.02", "--n-starts", "16", "--bounds", "a=0:20")
    assert "loss          cauchy, for residuals beyond 0.02\n" in done.stderr
    assert "start         a = 10, and 16 points within the bounds\n" in done.stderr


def test_flags_are_options_of_a_fit():
    """Every option of ``fit`` that one word tells is a flag, with the default and the limits of its declaration."""
    flags = {flag.name: flag for flag in command.commands["curve"].params}
    assert {"absolute_sigma", "loss", "f_scale", "seed", "tolerance", "max_iterations", "threads"} == FIT_FLAGS.keys()
    for name, option in FIT_FLAGS.items():
        assert flags[name].opts == [f"--{name.replace('_', '-')}"]
        assert flags[name].default == option.default
        assert flags[name].help
        assert flags[name].is_flag == (option.default is False)
    for name, text in (("f_scale", "0"), ("tolerance", "1"), ("tolerance", "nan"), ("seed", "-1"), ("loss", "l2")):
        with pytest.raises(click.BadParameter):
            flags[name].type.convert(text, flags[name], None)
    assert flags["f_scale"].type.convert("1e300", None, None) == 1e300
    assert flags["tolerance"].type.convert("0", None, None) == 0


@pytest.mark.parametrize(("most", "tolerance"), [(3, 1e-8), (100, 0.5)])
def test_flags_reach_the_fit(run, most, tolerance):
    """They reach one fit, and fits side by side: known deviations, the tolerance, and the most steps."""
    flags = ["--sigma", "s", "--absolute-sigma", "--tolerance", str(tolerance), "--max-iterations", str(most)]
    options = {"sigma": SIGMA, "absolute_sigma": True, "tolerance": tolerance, "max_iterations": most}
    module = module_of(read_formula("a*exp(-b*x) + c", ("x",)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit did not converge
        single, many = module.fit(X, Y, **options), module.fit_many(X, Y[None], **options)
    assert run(ONE, EQUATION, *flags, "--out", "one.csv").returncode == 0
    rows = rows_of((run.folder / "one.csv").read_text())
    cells = np.array([[float(cell) for cell in [*row.values()][1:3]] for row in rows])
    np.testing.assert_allclose(cells, np.column_stack([single.parameters, single.standard_errors]), rtol=1e-8)
    assert run(ONE.assign(plate="P"), EQUATION, *flags, "--by", "plate", "--out", "many.csv").returncode == 0
    (row,) = rows_of((run.folder / "many.csv").read_text())
    expected = [number for pair in zip(many.parameters[0], many.standard_errors[0], strict=True) for number in pair]
    np.testing.assert_allclose([float(cell) for cell in [*row.values()][1:7]], expected, rtol=1e-8)
    assert row["status"] == many.status[0]


def test_missing_values(run):
    """Rows in which a value is missing are left out, and counted."""
    gaps = ONE.copy()
    gaps.loc[3, "y"] = gaps.loc[7, "x"] = np.nan
    for file in ("data.csv", "data.parquet"):
        done = run(gaps, EQUATION, "--out", f"{file}.out", file=file)
        assert "left out      2 rows in which a value is missing\n" in done.stderr
        there = gaps.notna().all(axis=1)
        values = [float(row["value"]) for row in rows_of((run.folder / f"{file}.out").read_text())]
        np.testing.assert_allclose(values, nn.curve_fit("a*exp(-b*x) + c", X[there], Y[there])[0], rtol=1e-9)


def test_a_fit_that_does_not_converge(run):
    """A warning is one line, and no line of Python; the table says it again."""
    done = run(ONE, "y = a*log(x - b)")
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert len(warned) == 1
    assert "not finite at the start" in warned[0]
    assert ".py" not in done.stderr
    assert "not_finite" in done.stdout


def test_a_picture(run):
    """--plot draws the fit to a file."""
    pytest.importorskip("matplotlib")
    done = run(ONE, EQUATION, "--plot", "fit.png")
    assert done.returncode == 0, done.stderr
    assert (run.folder / "fit.png").read_bytes().startswith(b"\x89PNG")
    assert run(None, EQUATION, "--plot", "fit.png").returncode == 1


def test_a_picture_of_groups(run):
    """With --by, --plot draws a panel for each group: of its data, and of the curve that was fitted to them."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    frame = pandas.concat(
        [ONE.assign(plate=plate, y=ONE["y"] * scale) for plate, scale in (("A", 1), ("B", 2), ("C", 3))]
    )
    done = run(frame, EQUATION, "--by", "plate", "--plot", "groups.svg", "--out", "groups.csv")
    assert done.returncode == 0, done.stderr
    assert "drawn to      groups.svg\n" in done.stderr
    fits = pandas.read_csv(run.folder / "groups.csv")
    table = read_table(run.folder / "data.csv")
    target, formula = read_equation(EQUATION, table.columns)
    problem = ColumnFit(formula, target, None, ("plate",), FitSettings())
    columns = columns_of(table, formula.columns, target, None)
    groups = groups_of(table, problem.by, columns.rows)
    pyplot.close("all")
    assert draw_groups(fits, columns, groups, problem, run.folder / "again.png") == 3
    panels = pyplot.gcf().axes
    assert [panel.get_title() for panel in panels] == ["A", "B", "C", ""]
    for panel, scale in zip(panels, (1, 2, 3), strict=False):
        data, curve = panel.lines
        np.testing.assert_allclose(data.get_ydata(), ONE["y"] * scale)
        a, b, c = fits.loc[scale - 1, ["a", "b", "c"]]
        np.testing.assert_allclose(curve.get_ydata(), a * np.exp(-b * curve.get_xdata()) + c, rtol=1e-12)
    pyplot.close("all")


def test_titles_of_pictures_are_whole(run):
    """An equation that is longer than its picture is wide stands in several lines above it."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    text = " + ".join(f"a{k}*exp(-{k}*x)" for k in range(1, 9))
    target, formula = read_equation(f"y = {text}", ["x", "y"])
    result = nn.build(formula.model()).fit(X, Y)
    pyplot.close("all")
    draw_fit(result, ColumnFit(formula, target, None, (), FitSettings()), run.folder / "long.png")
    figure = pyplot.gcf()
    figure.canvas.draw()
    box = figure.axes[0].title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    pyplot.close("all")


# --- groups ------------------------------------------------------------------------------------------------------


def test_groups(run):
    """--by makes a fit for each group, in the order of the table, with its key, errors and status."""
    done = run(MANY, EQUATION, "--by", "plate, well", "--sigma", "s")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2] == "fits          12 converged"
    assert done.stderr.splitlines()[-1].startswith("median errors a ")
    rows = rows_of(done.stdout)
    assert list(rows[0]) == [
        "plate",
        "well",
        "a",
        "a_error",
        "b",
        "b_error",
        "c",
        "c_error",
        "rows",
        "reduced_chi2",
        "iterations",
        "status",
    ]
    assert [(row["plate"], row["well"]) for row in rows] == [(f"P{k // 6}", str(k % 6)) for k in range(12)]
    for row, (_, group) in zip(rows, MANY.groupby(["plate", "well"]), strict=True):
        popt, pcov = nn.curve_fit("a*exp(-b*x) + c", group["x"].to_numpy(), group["y"], sigma=group["s"].to_numpy())
        errors = np.sqrt(np.diag(pcov))
        assert (row["rows"], row["status"]) == (str(len(group)), "converged")
        assert (np.abs([float(row[name]) for name in "abc"] - popt) < 1e-4 * errors).all()
        np.testing.assert_allclose([float(row[f"{name}_error"]) for name in "abc"], errors, rtol=1e-3)


def test_groups_that_share_parameters(run):
    """--shared makes one fit of all groups, whose rows are those of ``fit`` with groups; --plot draws each of them."""
    pytest.importorskip("matplotlib")
    done = run(MANY, EQUATION, "--by", "plate,well", "--shared", "c", "--derived", "t = log(2)/b", "--plot", "grid.svg")
    assert done.returncode == 0, done.stderr
    assert "shared        c by all groups; each has its own a, b\n" in done.stderr
    assert "fits          12 converged\n" in done.stderr
    assert (run.folder / "grid.svg").read_text().count("P1, 5") == 1
    rows = rows_of(done.stdout)
    labels = [f"{plate}{well}" for plate, well in zip(MANY["plate"], MANY["well"], strict=True)]
    module = nn.build(nn.Model("again", "x", "y", {"a": 1, "b": 1, "c": 1}, "a*exp(-b*x) + c"))
    result = module.fit(MANY["x"], MANY["y"], groups=labels, own=("a", "b"))
    values = [[float(row[name]) for name in ("a", "b", "c")] for row in rows]
    np.testing.assert_allclose(values, result.group_parameters, rtol=1e-7)
    errors = [[float(row[f"{name}_error"]) for name in ("a", "b", "c")] for row in rows]
    np.testing.assert_allclose(errors, result.group_errors, rtol=1e-6)
    np.testing.assert_allclose([float(row["t"]) for row in rows], np.log(2) / result["b"], rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        (["y ~ exponential(x=x) + constant"], "level"),
        ([EQUATION, "--p0", "auto"], "c"),
    ],
    ids=["by name", "auto"],
)
def test_groups_that_share_need_no_start(run, options, shared):
    """Curves by name, and p0 auto, find a start for each group; a group without data has no parameters."""
    gaps = MANY.assign(y=MANY["y"].where((MANY["well"] != 3) | (MANY["plate"] == "P0")))
    done = run(gaps, *options, "--by", "plate,well", "--shared", shared)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert [row["status"] for row in rows].count("converged") == 11
    assert rows[9]["status"] == "no_data"
    assert len({row[shared] for row in rows}) == 2


def test_errors_in_x(run):
    """--sigma-x takes the standard deviations of x, for all rows or for each group, as ``fit`` does."""
    frame = ONE.assign(sx=0.05)
    done = run(frame, EQUATION, "--sigma", "s", "--sigma-x", "sx", "--out", "fit.csv")
    assert done.returncode == 0, done.stderr
    assert "errors in x   x, with the standard deviations sx\n" in done.stderr
    popt, pcov = nn.curve_fit("a*exp(-b*x) + c", X, Y, sigma=SIGMA, sigma_x=0.05)
    rows = rows_of((run.folder / "fit.csv").read_text())
    np.testing.assert_allclose([float(row["value"]) for row in rows], popt, rtol=1e-7)
    np.testing.assert_allclose([float(row["standard_error"]) for row in rows], np.sqrt(np.diag(pcov)), rtol=1e-5)


def test_groups_with_errors_in_x(run):
    """With --by, groups are fitted side by side as by ``fit_many``; with --shared, it is one fit of all groups."""
    frame = MANY.assign(sx=0.05)
    frame.loc[(frame["plate"] == "P0") & (frame["well"] == 2), "y"] = np.nan
    rows = frame[frame["y"].notna()]
    module = nn.build(nn.Model("decay", "x", "y", dict.fromkeys("abc", 1), "a*exp(-b*x) + c"))
    many = run(frame, EQUATION, "--sigma-x", "x=sx", "--by", "plate,well")
    assert many.stderr.count("11 converged, 1 no_data") == 1, many.stderr
    groups = [group for _, group in rows.groupby(["plate", "well"], sort=False)]
    fits = module.fit_many(
        [rows_of_group["x"] for rows_of_group in groups], [rows_of_group["y"] for rows_of_group in groups], sigma_x=0.05
    )
    converged = [row for row in rows_of(many.stdout) if row["status"] == "converged"]
    for place, name in enumerate("abc"):
        np.testing.assert_allclose([float(row[name]) for row in converged], fits.parameters[:, place], rtol=1e-7)
        errors = [float(row[f"{name}_error"]) for row in converged]
        np.testing.assert_allclose(errors, fits.standard_errors[:, place], rtol=1e-5)
    done = run(frame, EQUATION, "--sigma-x", "sx", "--by", "plate,well", "--shared", "b", "--plot", "fits.png")
    assert "errors in x   x, with the standard deviations sx\n" in done.stderr, done.stderr
    shared = rows_of(done.stdout)
    assert [row["status"] for row in shared].count("converged") == 11
    labels = [f"{plate} {well}" for plate, well in zip(rows["plate"], rows["well"], strict=True)]
    result = module.fit(rows["x"], rows["y"], groups=labels, own=("a", "c"), sigma_x=0.05)
    converged = [row for row in shared if row["status"] == "converged"]
    np.testing.assert_allclose([float(row["b"]) for row in converged], result["b"], rtol=1e-7)
    np.testing.assert_allclose([float(row["a"]) for row in converged], result["a"], rtol=1e-7)
    np.testing.assert_allclose([float(row["a_error"]) for row in converged], result.group_errors[:, 0], rtol=1e-5)


def test_groups_in_a_file(run):
    """--out takes the table; Parquet gives the same as CSV, and threads do not change a bit."""
    first = run(MANY, EQUATION, "--by", "plate,well").stdout
    done = run(MANY, EQUATION, "--by", "plate,well", "--out", "fits.csv", "--threads", "2", file="data.parquet")
    assert done.stdout == ""
    assert done.stderr.endswith("written to    fits.csv\n")
    assert (run.folder / "fits.csv").read_text() == first


def test_groups_one_by_one(run):
    """With a robust loss or starting points, each group is fitted for itself: the same table."""
    options = ["--by", "plate,well", "--loss", "huber", "--f-scale", "100"]
    plain, robust = (rows_of(run(MANY, EQUATION, *some).stdout) for some in (options[:2], options))
    for plain_row, robust_row in zip(plain, robust, strict=True):
        assert (plain_row["well"], plain_row["rows"], plain_row["status"]) == (
            robust_row["well"],
            robust_row["rows"],
            robust_row["status"],
        )
        np.testing.assert_allclose(
            [float(plain_row[name]) for name in "abc"], [float(robust_row[name]) for name in "abc"], rtol=1e-4
        )


@pytest.mark.parametrize("options", [[], ["--loss", "huber"]], ids=["side by side", "one by one"])
def test_groups_that_are_not_fitted(run, options):
    """A group without data and one with too few have their rows and statuses, and no other suffers."""
    gaps = MANY.copy()
    gaps.loc[(gaps["plate"] == "P0") & (gaps["well"] == 2), "y"] = np.nan
    gaps = gaps.drop(gaps.index[(gaps["plate"] == "P1") & (gaps["well"] == 1)][2:])
    done = run(gaps, EQUATION, "--by", "plate,well", *options)
    assert done.returncode == 0
    assert "warning" not in done.stderr.lower()
    rows = rows_of(done.stdout)
    assert (rows[2]["a"], rows[2]["rows"], rows[2]["status"]) == ("", "0", "no_data")
    assert (rows[7]["a_error"], rows[7]["rows"], rows[7]["status"]) == ("inf", "2", "too_few_data")
    assert {row["status"] for row in rows[:2] + rows[3:7] + rows[8:]} == {"converged"}
    assert "left out      22 rows in which a value is missing\n" in done.stderr
    assert "1 no_data" in done.stderr


def test_keys_that_are_missing(run):
    """Rows without a key are a group of their own."""
    frame = MANY.assign(plate=MANY["plate"].where(MANY["plate"] == "P0"))
    for file in ("data.csv", "data.parquet"):
        rows = rows_of(run(frame, EQUATION, "--by", "plate", file=file).stdout)
        assert [row["plate"] for row in rows] == ["P0", ""]


# --- what is wrong -----------------------------------------------------------------------------------------------

TEXT = ONE.astype({"y": object})
TEXT.loc[4, "y"] = "n/d"


@pytest.mark.parametrize(
    ("frame", "arguments", "message"),
    [
        (ONE, ["a*x"], "'a*x' is no equation: write it like"),
        (ONE, ["y = a*x = b"], "is no equation"),
        (ONE, ["z = a*x"], "the left side of 'z = a*x' is no column; there are: x, y, s"),
        (ONE, ["y = a*x + y"], "y stands on both sides of 'y = a*x + y'"),
        (ONE, ["y = a"], "the formula 'a' uses none of the columns; there are: x, s"),
        (ONE, ["y = x"], "has no parameters"),
        (ONE, ["y = a*frob(x)"], "there is no function frob"),
        (
            ONE,
            ["y = a*before(y)"],
            "there is no function before here: equations that lead from each time to the next are "
            "for nncodegen.Dynamics, in Python: ",
        ),
        (ONE, ["y = a*before(y); x = b"], "is not one equation: equations that lead from each time to the next"),
        (ONE, [EQUATION, "--sigma", "q"], "data.csv has no column 'q'"),
        (ONE, [EQUATION, "--by", "q"], "data.csv has no column 'q', by which groups are made; it has: 'x', 'y', 's'"),
        (TEXT, [EQUATION], "data.csv, line 6, column y: 'n/d' is no number"),
        (None, [EQUATION], "there is no file data.csv"),
        (ONE, [EQUATION, "--out", "data.csv"], "data.csv exists already, and is not overwritten"),
        (ONE, [EQUATION, "--plot", "fit.png", "--by", "x", "--dask"], "leave out one of them"),
        (ONE, [EQUATION, "--plot", "fit.doc"], "fit.doc does not end in .png, .svg, .pdf"),
        (ONE, [EQUATION, "--p0", "a"], "--p0 'a' is not NAME=VALUE; write it like a=1,b=0.5"),
        (ONE, [EQUATION, "--p0", "a=one"], "--p0 a=one is not a finite number"),
        (ONE, [EQUATION, "--p0", "a=1,a=2"], "--p0 names a twice"),
        (ONE, [EQUATION, "--bounds", "a=2"], "--bounds a=2 is no interval"),
        (ONE, [EQUATION, "--sigma-x", "q"], "data.csv has no column 'q'"),
        (ONE, ["y = a*x + b*s", "--sigma-x", "s"], "write it like x=s"),
        (ONE, [EQUATION, "--shared", "a"], "name the columns of these with --by"),
        (MANY, [EQUATION, "--by", "well", "--shared", "z"], "--shared names z, which is no parameter"),
        (MANY, [EQUATION, "--by", "well", "--shared", "a,b,c"], "--shared names all parameters"),
    ],
    ids=str,
)
def test_bad_input(run, frame, arguments, message):
    """Each has its own message, which is one line, at most with the place in a formula, and the exit code 1."""
    done = run(frame, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message in error
    place = done.stderr.split(error)[1].strip("\n").splitlines()
    assert not place or (len(place), place[1].strip()) == (2, "^")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--wrong"], ["--loss", "tukey"], ["--n-starts", "0"]], ids=str)
def test_wrong_usage(run, arguments):
    """Options that there are not, or that do not go together, have the exit code of wrong usage."""
    assert run(ONE, EQUATION, *arguments).returncode == 2
