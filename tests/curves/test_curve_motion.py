"""The command ``curve`` with differential equations: what it understands, its files, and what it refuses."""

import csv
import io
import os

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import curve_fit

pytest.importorskip("pandas")

import nncodegen as nn
from nncodegen.cli.commands import command
from nncodegen.table.curves.motion import is_motion, read_motion
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

T = np.linspace(0, 5, 30)
U = 3 * np.exp(-0.7 * T) + 0.02 * np.random.default_rng(0).normal(size=30)


@pytest.fixture
def run(tmp_path, commands):
    """Runs the command in a folder of its own: run(columns, *arguments) -> the finished process."""

    def call(columns, *arguments):
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        return commands.run(["curve", "data.csv", *arguments], tmp_path, environment)

    call.folder = tmp_path
    return call


def test_a_decay(run):
    """The rate, the initial value and their errors are those of the exponential function, rows in any order."""
    order = np.random.default_rng(1).permutation(30)
    done = run({"u": U[order], "t": T[order]}, "u' = -k*u", "--out", "fit.csv", "--plot", "fit.svg")
    assert done.returncode == 0
    summary = dict(line.split(maxsplit=1) for line in done.stderr.splitlines())
    assert summary["fit"] == "u' = -k*u"
    assert summary["parameters"] == "k, u0"
    assert summary["columns"] == "u over t"
    popt, pcov = curve_fit(lambda t, k, u0: u0 * np.exp(-k * t), T, U, (1, 3))
    rows = list(csv.DictReader(io.StringIO((run.folder / "fit.csv").read_text())))
    assert [row["parameter"] for row in rows] == ["k", "u0"]
    np.testing.assert_allclose([float(row["value"]) for row in rows], popt, rtol=1e-4)
    np.testing.assert_allclose([float(row["standard_error"]) for row in rows], np.sqrt(np.diag(pcov)), rtol=1e-3)
    assert "<svg" in (run.folder / "fit.svg").read_text()[:2000]


def test_an_abbreviation_is_observed(run):
    """A column may be an abbreviation: its state, which is none, starts at a parameter."""
    done = run({"t": T, "r": 2 * U}, "u' = -k*u; r = 2*u", "--out", "fit.csv")
    assert done.returncode == 0, done.stderr
    popt, pcov = curve_fit(lambda t, k, u0: 2 * u0 * np.exp(-k * t), T, 2 * U, (1, 3))
    rows = list(csv.DictReader(io.StringIO((run.folder / "fit.csv").read_text())))
    assert [row["parameter"] for row in rows] == ["k", "u0"]
    np.testing.assert_allclose([float(row["value"]) for row in rows], popt, rtol=1e-4)
    np.testing.assert_allclose([float(row["standard_error"]) for row in rows], np.sqrt(np.diag(pcov)), rtol=1e-3)


@pytest.mark.filterwarnings("ignore:the fit of motion did not converge")
@pytest.mark.parametrize(("options", "status"), [(["--max-iterations", "1"], "max_iterations"), ([], "converged")])
def test_steps_that_are_not_checked(tmp_path, options, status):
    """A fit that has not converged says that its number of steps is not checked; one that has says nothing of it."""
    path = tmp_path / "data.csv"
    path.write_text("t,u\n" + "".join(f"{t},{u}\n" for t, u in zip(T, U, strict=True)))
    done = CliRunner().invoke(command, ["curve", str(path), "u' = -k*u", *options])
    assert done.exit_code == 0, done.output
    assert f"ended                {status} after" in done.output
    output = " ".join(done.output.split())
    expected = f"not checked whether 4 steps are enough; the fit ended as {status}"
    assert (expected in output) == (status != "converged")
    assert ("not checked" in output) == (status != "converged")


def test_what_is_refused(run):
    """Options of formulas, unknown states and solutions that are not finite are errors in words."""
    data = {"t": T, "u": U}
    for arguments, message in (
        (["w' = -k*w"], 'none of w in "w\' = -k*w" is a column; there are: t, u'),
        (["u' = -k*u", "--by", "u"], "--by is for fits of formulas"),
        (["u' = -k*u", "--tie", "k=1"], "--tie is for fits of formulas"),
        (["u' = -k*u", "--p0", "w=1"], "w"),
        (["u' = -k*u +"], "invalid syntax"),
    ):
        done = run(data, *arguments)
        assert done.returncode == 1
        assert message in done.stderr
    done = run({"t": T, "u": ["x", *U[1:]]}, "u' = -k*u")
    assert done.returncode == 1
    assert "no number" in done.stderr
    done = run({"t": ["", *T[1:]], "u": U}, "u' = -k*u")
    assert done.returncode == 1
    assert "a value is missing" in done.stderr


def test_names():
    """States are those on the left, the time is t, time or the only other column, and the rest are parameters."""
    read = read_motion("u'' = -k*u + f - c*u'; v' = u - v", ["u", "time", "f", "w"])
    assert (read.time, read.observed, read.columns) == ("time", ("u",), ("f",))
    assert read.names == ("k", "c", "u0", "u_prime0", "v0")
    assert read.starts == {"u": "u0", "u'": "u_prime0", "v": "v0"}
    assert read_motion("u' = -k*u", ["year", "u"]).time == "year"
    with pytest.raises(nn.ModelError, match="which column is the time is not clear"):
        read_motion("u' = -k*u", ["year", "u", "w"])
    assert [is_motion(text) for text in ("u' = -k*u", "y = a*x", "r = k*u; u' = r")] == [True, False, True]
