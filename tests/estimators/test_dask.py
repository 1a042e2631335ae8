"""Dask: groups of a table and a search spread over worker processes, and data that no process holds as a whole."""

import csv
import os

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")
distributed = pytest.importorskip("distributed")
array = pytest.importorskip("dask.array")
pytest.importorskip("dask.dataframe")

import joblib
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from nncodegen.estimators import NNClassifier
from tests.support import ROOT

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

EQUATION = "y = a*exp(-b*x) + c"
X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def cluster(quick_compiler, tmp_path_factory):
    """A cluster of two worker processes on this machine."""
    from tests.support.cluster import cluster_of_two

    with cluster_of_two(tmp_path_factory.mktemp("dask")) as started:
        yield started


# --- tables ------------------------------------------------------------------------------------------------------


@pytest.fixture
def address(cluster):
    """Where the command finds the cluster."""
    return cluster.scheduler_address


@pytest.fixture
def run(tmp_path, commands):
    """Runs the command in a folder with a dataset of three files, whose groups are spread over them."""
    random = np.random.default_rng(1)
    parts = []
    for well in range(20):
        x = np.linspace(0, 4, 20 + well % 3)
        y = (1 + well / 20) * np.exp(-(0.7 + well / 40) * x) + 0.1 + 0.01 * random.normal(size=len(x))
        parts.append(pandas.DataFrame({"plate": f"P{well // 10}", "well": well % 10, "x": x, "y": y, "note": "-"}))
    frame = pandas.concat(parts, ignore_index=True)
    frame.loc[frame["well"] == 4, "y"] = np.nan
    frame.to_parquet(tmp_path / "whole.parquet")
    (tmp_path / "parts").mkdir()
    for number in range(3):
        frame[frame.index % 3 == number].to_parquet(tmp_path / "parts" / f"part{number}.parquet")

    def call(*arguments):
        return commands.run(["curve", *arguments], tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"})

    call.folder = tmp_path
    return call


def numbers(path):
    """The rows of a table of fits: keys, statuses and counts as texts, all else as numbers."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    texts = [[row[name] for name in ("plate", "well", "rows", "status")] for row in rows]
    return texts, [
        [float(row[name] or "nan") for name in ("a", "a_error", "b", "c_error", "reduced_chi2")] for row in rows
    ]


@pytest.mark.thorough
def test_groups_on_workers(run, address):
    """The table is the same, though no file holds a whole group."""
    alone = run("whole.parquet", EQUATION, "--by", "plate,well", "--out", "alone.csv")
    spread = run("parts", EQUATION, "--by", "plate,well", "--out", "spread.csv", "--dask", address)
    assert (alone.returncode, spread.returncode) == (0, 0), spread.stderr
    assert "fits          18 converged, 2 no_data\n" in spread.stderr
    texts, spread_numbers = numbers(run.folder / "spread.csv")
    expected = numbers(run.folder / "alone.csv")
    assert texts == expected[0]
    np.testing.assert_allclose(spread_numbers, expected[1], rtol=1e-6)


@pytest.mark.thorough
def test_groups_that_share_stay_on_one_worker(run, address):
    """A fit that shares parameters is the same on a worker, and the command says that it is one."""
    options = [EQUATION, "--by", "plate,well", "--shared", "c"]
    alone = run("whole.parquet", *options, "--out", "alone.csv")
    spread = run("parts", *options, "--out", "spread.csv", "--dask", address)
    assert (alone.returncode, spread.returncode) == (0, 0), spread.stderr
    assert "one worker fits all groups" in spread.stderr
    texts, spread_numbers = numbers(run.folder / "spread.csv")
    expected = numbers(run.folder / "alone.csv")
    assert texts == expected[0]
    np.testing.assert_allclose(spread_numbers, expected[1], rtol=1e-6)


@pytest.mark.thorough
def test_partitions_without_data(run, address):
    """Where a worker's groups have no data at all, the others are fitted all the same."""
    frame = pandas.read_parquet(run.folder / "whole.parquet")
    frame.loc[frame["plate"] == "P1", "y"] = np.nan
    for number in range(2):
        frame[frame["plate"] == f"P{number}"].to_parquet(run.folder / "parts" / f"part{number}.parquet")
    (run.folder / "parts" / "part2.parquet").unlink()
    done = run("parts", EQUATION, "--by", "plate", "--dask", address, "--out", "fits.csv")
    assert done.returncode == 0, done.stderr
    rows = csv.DictReader((run.folder / "fits.csv").read_text().splitlines())
    assert [(row["rows"], row["status"]) for row in rows] == [("188", "converged"), ("0", "no_data")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parts", EQUATION], "name the columns that make them with --by"),
        (["nothing", EQUATION, "--by", "well"], "there is no file nothing"),
        (["data.csv", EQUATION, "--by", "well"], "data.csv is no Parquet file, or folder of them, that can be read"),
        (["parts", EQUATION, "--by", "q"], "parts has no column 'q'; it has: 'plate', 'well', 'x', 'y', 'note'"),
        (["parts", "y = a*x + y", "--by", "well"], "y stands on both sides"),
        (["parts", "note = a*x", "--by", "well"], "column note: '-' is no number"),
    ],
    ids=str,
)
def test_bad_input(run, address, arguments, message):
    """Each has its own message, also where a worker finds out."""
    (run.folder / "data.csv").write_text("x,y,well\n1,2,3\n")
    done = run(*arguments, "--dask", address)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# --- estimators --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(cluster):
    """What hands tasks to the cluster."""
    with distributed.Client(cluster) as connected:
        yield connected


def test_a_search_on_workers(client):
    """joblib's backend for Dask spreads a search, with no change to the estimator, and finds the same."""
    estimator = NNClassifier(hidden_layer_sizes=(4,), random_state=0, max_iter=20)
    grid = {"alpha": [1e-4, 1.0], "learning_rate_init": [0.01, 0.05]}
    alone = GridSearchCV(estimator, grid, cv=2).fit(X, Y)
    with joblib.parallel_config(backend="dask"):
        spread = GridSearchCV(estimator, grid, cv=2).fit(X, Y)
    assert spread.best_params_ == alone.best_params_
    np.testing.assert_array_equal(spread.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(spread.predict(X), alone.predict(X))


def test_a_fitted_estimator_predicts_on_workers(client):
    """An estimator goes to the workers as its pickle does, and each worker builds or finds the module."""
    fitted = NNClassifier(hidden_layer_sizes=(4,), random_state=0, max_iter=20).fit(X, Y)
    futures = client.map(fitted.predict_proba, [X[:75], X[75:]], pure=False)
    np.testing.assert_array_equal(np.vstack(client.gather(futures)), fitted.predict_proba(X))
    pids = client.run(lambda: __import__("os").getpid())
    assert len(set(pids.values())) == 2


def test_incremental_learning(client):
    """dask-ml's Incremental learns block by block, what partial_fit learns from the same blocks in order."""
    wrappers = pytest.importorskip("dask_ml.wrappers")
    order = np.random.default_rng(0).permutation(len(X))
    blocks = [order[start : start + 50] for start in range(0, 150, 50)]
    estimator = NNClassifier(hidden_layer_sizes=(4,), random_state=0, learning_rate_init=0.05)
    incremental = wrappers.Incremental(estimator, shuffle_blocks=False)
    rows, labels = (array.from_array(values[order], chunks=50 if values.ndim == 1 else (50, 4)) for values in (X, Y))
    incremental.fit(rows, labels, classes=[0, 1, 2])
    expected = NNClassifier(**estimator.get_params())
    for block in blocks:
        expected.partial_fit(X[block], Y[block], classes=[0, 1, 2])
    np.testing.assert_array_equal(incremental.estimator_.parameters_, expected.parameters_)
    np.testing.assert_array_equal(np.asarray(incremental.predict(rows)), expected.predict(X[order]))
