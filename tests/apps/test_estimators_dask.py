"""Dask: a search spread over worker processes, and data that no process holds as a whole."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
distributed = pytest.importorskip("distributed")
array = pytest.importorskip("dask.array")

import joblib
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from nncodegen.estimators import NNClassifier

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def client(quick_compiler, tmp_path_factory):
    """A cluster of two worker processes on this machine."""
    from tests.support.cluster import cluster_of_two

    with cluster_of_two(tmp_path_factory.mktemp("dask")) as cluster, distributed.Client(cluster) as client:
        yield client


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
    found = NNClassifier(hidden_layer_sizes=(4,), random_state=0, max_iter=20).fit(X, Y)
    futures = client.map(found.predict_proba, [X[:75], X[75:]], pure=False)
    np.testing.assert_array_equal(np.vstack(client.gather(futures)), found.predict_proba(X))
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
