"""The command ``curve`` with curves by name, starts from data, ties, and comparisons of formulas."""

import csv
import io
import json
import os
import pickle

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from scipy import stats

import nncodegen as nn
from nncodegen import curves
from nncodegen.curves.fitting import read_formula
from nncodegen.curves.fitting.nested import containment
from nncodegen.errors import ModelError
from nncodegen.table.curves.equation import read_equation, read_models
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

random = np.random.default_rng(7)
X = np.linspace(0, 10, 80)
PEAK = pandas.DataFrame(
    {"x": X, "y": 5 * np.exp(-(((X - 6) / 0.8) ** 2) / 2) + 1 + 0.2 * X + random.normal(size=80) / 20}
)
DECAY = pandas.DataFrame({"t": X, "count": 8 * np.exp(-0.9 * X) + 0.8 + random.normal(size=80) / 20})


@pytest.fixture
def run(tmp_path, commands):
    """Runs the command in a folder of its own: run(frame, *arguments) -> the finished process."""

    def call(frame, *arguments):
        frame.to_csv(tmp_path / "data.csv", index=False)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        return commands.run(["curve", "data.csv", *arguments], tmp_path, environment)

    call.folder = tmp_path
    return call


# --- one formula -------------------------------------------------------------------------------------------------


def test_curves_by_name(run):
    """The right side of ~ names curves: no start is needed, and the bounds of the curves hold."""
    done = run(PEAK, "y ~ gaussian + line")
    assert done.returncode == 0, done.stderr
    assert "start         from the data\n" in done.stderr
    assert "bounds        0 <= sigma\n" in done.stderr
    popt, _ = nn.curve_fit(curves.gaussian + curves.line, PEAK["x"], PEAK["y"])
    lines = {cells[0]: cells for cells in map(str.split, done.stdout.splitlines()) if len(cells) == 6}
    for name, value in zip(("height", "centre", "sigma", "intercept", "slope"), popt, strict=True):
        assert float(lines[name][1]) == pytest.approx(value, rel=1e-5)


def test_auto_ties_and_derived(run):
    """--p0 auto needs no start; --tie and --derived have rows in the table and in the file."""
    done = run(
        DECAY,
        "count = a*exp(-k*t) + b",
        "--p0",
        "auto",
        "--tie",
        "b = a/10",
        "--derived",
        "half_life = log(2)/k",
        "--out",
        "fits.csv",
    )
    assert done.returncode == 0, done.stderr
    assert "tie           b = a/10\n" in done.stderr
    rows = {row["parameter"]: row for row in csv.DictReader(io.StringIO((run.folder / "fits.csv").read_text()))}
    assert [*rows] == ["a", "k", "b", "half_life"]
    for tied, origin, factor in (("b", "a", 0.1),):
        for column in ("value", "standard_error"):
            assert float(rows[tied][column]) == pytest.approx(factor * float(rows[origin][column]), rel=1e-12)
    assert float(rows["half_life"]["value"]) == pytest.approx(np.log(2) / float(rows["k"]["value"]), rel=1e-12)
    assert "derived\n" in done.stdout


def test_groups(run):
    """With --by each group has its own start from data, and columns of tied parameters and derived quantities."""
    both = pandas.concat([DECAY.assign(plate=p, count=DECAY["count"] * f) for p, f in (("A", 1), ("B", 50))])
    empty = pandas.concat([both, DECAY[:3].assign(plate="C", count=np.nan)])
    arguments = ["--by", "plate", "--tie", "b = a/10", "--derived", "half_life = log(2)/k"]
    done = run(empty, "count = a*exp(-k*t) + b", *arguments)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["status"] for row in rows] == ["converged", "converged", "no_data"]
    assert rows[2]["half_life"] == rows[2]["b_error"] == ""
    for row in rows[:2]:
        assert float(row["b_error"]) == pytest.approx(float(row["a_error"]) / 10, rel=1e-6)
        assert float(row["half_life"]) == pytest.approx(np.log(2) / 0.9, rel=0.05)
    done = run(both, "count ~ exponential + constant", "--by", "plate")
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["converged", "converged"]


def test_the_variable_of_curves():
    """It is x, the only other column, or the one that is named."""
    assert read_equation("y ~ gaussian", ["t", "x", "y"])[1].columns == ("x",)
    assert read_equation("y ~ gaussian", ["t", "y", "s"], reserved=["s"])[1].columns == ("t",)
    assert read_equation("y ~ gaussian(x=t)", ["t", "u", "y"])[1].columns == ("t",)
    with pytest.raises(
        ModelError, match=r"does not tell the column of its variable: name it, as in gaussian\(x=time\)"
    ):
        read_equation("y ~ gaussian", ["t", "u", "y"])
    with pytest.raises(ModelError, match="there is no curve gausian"):
        read_equation("y ~ gausian", ["x", "y"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count = a*exp(-k*t)", "--tie", "b"], "is not NAME = FORMULA"),
        (["count = a*exp(-k*t)", "--tie", "z = 2*a"], "ties name z, which is no parameter"),
        (["count = a*exp(-k*t)", "--tie", "a = k", "--tie", "k = a"], "the ties go in a circle"),
        ([], "there is no equation"),
        (["--models", "exponential"], "compares two or more formulas"),
        (["--models", "exponential, hil4"], "is neither a curve nor a formula of the columns"),
        (["--models", "exponential, exponential"], "twice"),
        (["z", "--models", "exponential, hill4"], "which is no column"),
        (["--models", "exponential, hill4", "--plot", "a.png"], "leave it out with --models"),
    ],
)
def test_what_is_refused(run, arguments, message):
    """Mistakes are told in words."""
    done = run(DECAY, *arguments)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())


# --- comparisons -------------------------------------------------------------------------------------------------


def aicc(chi2, n, free):
    k = free + 1
    return n * np.log(chi2 / n) + 2 * free + 2 * k * (k + 1) / (n - k - 1)


def test_a_comparison(run):
    """AICc, weights and the likelihood ratio are those computed by hand from two fits; it says which is better."""
    texts = ("exponential(x=t)", "a*exp(-k*t) + b")
    done = run(DECAY, "count ~ t", "--models", ", ".join(texts), "--out", "models.csv")
    assert done.returncode == 0, done.stderr
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO((run.folder / "models.csv").read_text()))}
    chi2 = []
    for formula in ("a*exp(-k*t)", "a*exp(-k*t) + b"):
        _, _, info, *_ = nn.curve_fit(formula, {"t": DECAY["t"]}, DECAY["count"], full_output=True)
        chi2.append(np.sum(info["fvec"] ** 2))
    values = [aicc(chi2[0], 80, 2), aicc(chi2[1], 80, 3)]
    for text, value, other in zip(texts, values, values[::-1], strict=True):
        assert float(rows[text]["aicc"]) == pytest.approx(value, abs=1e-3)
        assert float(rows[text]["weight"]) == pytest.approx(1 / (1 + np.exp((value - other) / 2)), abs=1e-6)
    p = stats.chi2.sf(80 * np.log(chi2[0] / chi2[1]), 1)
    assert float(rows[texts[1]][f"p: {texts[0]} in {texts[1]}"]) == pytest.approx(p, rel=1e-3)
    assert f"contains      {texts[1]} is {texts[0]} for b = 0" in done.stderr
    assert f"so {texts[1]} is better" in done.stdout
    assert f"best          {texts[1]}\n" in done.stderr


def test_a_comparison_of_groups(run):
    """Each group has a row for each formula; the count of groups in which each is the best is told."""
    dose = np.repeat(np.geomspace(0.01, 100, 9), 3)
    parts = [
        pandas.DataFrame(
            {"well": well, "dose": dose, "y": 10 + 90 * (dose / (dose + 1)) ** power + random.normal(size=27)}
        )
        for well, power in enumerate([1, 0.3, 1])
    ]
    done = run(pandas.concat(parts), "y ~ dose", "--models", "hill4, hill5", "--by", "well")
    assert done.returncode == 0, done.stderr
    assert "contains      hill5 is hill4 for asymmetry = 1\n" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["model"] for row in rows] == ["hill4", "hill5"] * 3
    best = [row["model"] for row in rows if row["best"] == "True"]
    assert best[1] == "hill5"
    assert len(best) == 3
    small = [float(row["p: hill4 in hill5"]) for row in rows if row["model"] == "hill5"]
    assert small[1] < 0.01


@pytest.mark.parametrize(
    ("large", "small", "values"),
    [
        (curves.hill5, curves.hill4, {"asymmetry": 1}),
        (curves.hill4, curves.hill3, {"bottom": 0}),
        (curves.brain_cousens, curves.inhibition4, {"stimulation": 0}),
        (curves.richards, curves.logistic, {"asymmetry": 1}),
        (curves.quadratic, curves.line, {"c2": 0}),
        (curves.hill3, curves.michaelis_menten, {"slope": 1}),
        (curves.gaussian + curves.line, curves.gaussian, {"intercept": 0, "slope": 0}),
        (curves.gaussian("a_") + curves.gaussian("b_"), curves.gaussian("a_"), None),
        (curves.pseudo_voigt, curves.lorentzian, {"fraction": 1}),
        ("a*x + b*x**2", "q*x", {"b": 0}),
        (curves.stretched_exponential, curves.exponential, {"beta": 1}),
        (curves.hill4, curves.exponential, False),
        (curves.hill4, curves.inhibition4, False),
        ("a*x", "a*x", False),
        ("a*x + b", "a*x**2", False),
        ("a*exp(x)/b", "a*x", False),
    ],
    ids=lambda value: str(value)[:24],
)
def test_which_formulas_contain_others(large, small, values):
    """Containment is found by values of 0 and 1, also under other names, and only where it is there."""
    contained = containment(read_formula(large, ("x",)), read_formula(small, ("x",)))
    if values is False:
        assert contained is None
    elif values is None:
        assert contained.values["b_height"] == 0
        assert not contained.regular
    else:
        assert contained.values == values
        assert contained.regular == ("fraction" not in values)


def test_models_as_texts():
    """Commas within parentheses separate no models; without an equation the columns are x and y, or the only two."""
    target, formulas = read_models(None, "gaussian('a_', x=t) + line('b_', x=t), a*Max(t, b)", ["t", "z"], (), ())
    assert target == "z"
    assert [*formulas] == ["gaussian('a_', x=t) + line('b_', x=t)", "a*Max(t, b)"]
    assert read_models(None, "line, sine", ["q", "x", "y"], (), ())[0] == "y"
    with pytest.raises(ModelError, match="the columns to fit are not clear"):
        read_models(None, "line, sine", ["q", "r", "s"], (), ())


# --- the estimator -----------------------------------------------------------------------------------------------


def test_the_estimator():
    """FormulaRegressor takes curves and p0="auto"; it is cloned and pickled with them."""
    from sklearn.base import clone

    from nncodegen.estimators import FormulaRegressor

    fitted = clone(FormulaRegressor(curves.gaussian() + curves.line())).fit(PEAK[["x"]], PEAK["y"])
    popt, _ = nn.curve_fit(curves.gaussian + curves.line, PEAK["x"], PEAK["y"])
    np.testing.assert_allclose([*fitted.parameters_.values()], popt, rtol=1e-6)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(PEAK[["x"]]), fitted.predict(PEAK[["x"]]))
    other = FormulaRegressor("h*exp(-((x - m)/s)**2/2) + i + j*x", p0="auto").fit(PEAK[["x"]], PEAK["y"])
    assert other.result_.chi2 == pytest.approx(fitted.result_.chi2, rel=1e-6)
    assert json.dumps(other.parameters_)


def test_aicc():
    """It is the criterion of Hurvich and Tsai, with the variance counted unless it is known."""
    module = nn.build(nn.Model("line", "x", "y", {"a": 1, "b": 0}, "a*x + b"))
    y = 2 * X + random.normal(size=80)
    assert module.fit(X, y).aicc == pytest.approx(aicc(module.fit(X, y).chi2, 80, 2), rel=1e-12)
    known = module.fit(X, y, sigma=1, absolute_sigma=True)
    assert known.aicc == pytest.approx(known.chi2 + 4 + 12 / 77, rel=1e-12)
    assert np.isnan(module.fit(X[:3], y[:3]).aicc)
