"""Estimators with sparse X: the same as with the dense matrix, which is never in memory."""

import pickle
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import nncodegen as nn
from nncodegen.estimators import NNClassifier, NNRegressor
from nncodegen.estimators.network import modules

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

MATRIX = sparse.random(300, 30, 0.2, "csr", random_state=0)
X = MATRIX.toarray()
CLASSES = np.array(["a", "b", "c"])[np.argmax(X[:, :3] + 0.1, axis=1)]
NUMBERS = X @ np.linspace(-1, 1, 30)
WEIGHT = np.random.default_rng(0).integers(0, 3, 300).astype(float)
SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 6, "batch_size": 32}

CASES = {
    "classes": (NNClassifier, CLASSES, {}),
    "early stopping": (NNClassifier, CLASSES, {"early_stopping": True}),
    "weighted": (NNClassifier, CLASSES, {"class_weight": "balanced", "early_stopping": True}),
    "numbers": (NNRegressor, NUMBERS, {"solver": "sgd", "learning_rate": "invscaling"}),
    "held out by the trainer": (NNRegressor, NUMBERS, {"train_options": {"validation_split": 0.2}}),
    "single precision": (NNRegressor, NUMBERS, {"precision": "float32"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_dense_data(case):
    """A fit to sparse X, in any format, has every bit of the fit to the dense X, with weights and held-out rows."""
    kind, targets, options = CASES[case]
    weight = WEIGHT if case == "weighted" else None
    dense = kind(**{**SMALL, **options}).fit(X, targets, weight)
    for matrix in (MATRIX, sparse.csc_array(MATRIX), sparse.coo_matrix(MATRIX)):
        fitted = clone(dense).fit(matrix, targets, weight)
        np.testing.assert_array_equal(fitted.parameters_, dense.parameters_)
        assert fitted.loss_curve_ == dense.loss_curve_
        assert fitted.validation_scores_ == dense.validation_scores_
        np.testing.assert_array_equal(fitted.predict(matrix), dense.predict(X))
        assert fitted.score(matrix, targets, weight) == dense.score(X, targets, weight)
    assert fitted.n_features_in_ == 30
    assert fitted.coefs_[0].shape == (30, 5)


def test_partial_fit_and_probabilities():
    """Blocks may be sparse or dense in turn, across a pickle; probabilities take both."""
    dense, mixed = NNClassifier(**SMALL), NNClassifier(**SMALL)
    for first in range(0, 300, 100):
        rows = slice(first, first + 100)
        dense.partial_fit(X[rows], CLASSES[rows], ["a", "b", "c"])
        mixed.partial_fit(MATRIX[rows] if first else X[rows], CLASSES[rows], ["a", "b", "c"])
        mixed = pickle.loads(pickle.dumps(mixed))
    np.testing.assert_array_equal(mixed.parameters_, dense.parameters_)
    np.testing.assert_array_equal(mixed.predict_proba(MATRIX), dense.predict_proba(X))
    np.testing.assert_array_equal(mixed.predict_log_proba(MATRIX), dense.predict_log_proba(X))


def test_validation_data_may_be_sparse():
    """Rows to validate with that are an argument of train may be sparse as well."""
    labels = np.unique(CLASSES, return_inverse=True)[1]
    curves = [
        NNClassifier(**SMALL, train_options={"validation_data": (rows[:90], labels[:90])}).fit(X, CLASSES).curves_
        for rows in (X, MATRIX)
    ]
    np.testing.assert_array_equal(curves[0]["val_loss"], curves[1]["val_loss"])


def test_lbfgs_is_that_of_scikit_learn():
    """L-BFGS goes through parts of the rows, and finds what MLPClassifier finds with the same sparse X."""
    options = {**SMALL, "solver": "lbfgs", "activation": "tanh", "alpha": 1.0, "max_iter": 3, "tol": 1e-8}
    ours, theirs = NNClassifier(**options).fit(MATRIX, CLASSES), MLPClassifier(**options).fit(MATRIX, CLASSES)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(MATRIX), theirs.predict_proba(MATRIX), rtol=1e-3)


def test_the_dense_matrix_is_never_in_memory():
    """A fit with held-out rows, L-BFGS and predictions take less than a quarter of the memory of the dense matrix."""
    rows, inputs = 4000, 4096
    rng = np.random.default_rng(0)
    matrix = sparse.csr_matrix(
        (np.ones(3 * rows), rng.integers(0, inputs, 3 * rows), np.arange(0, 3 * rows + 1, 3)), (rows, inputs)
    )
    targets = np.asarray(matrix[:, : inputs // 2].sum(axis=1)).ravel()
    options = {"hidden_layer_sizes": (), "random_state": 0, "max_iter": 1}
    NNRegressor(**options).fit(matrix[:9], targets[:9])  # builds the module
    tracemalloc.start()
    try:
        fitted = NNRegressor(**options, early_stopping=True, learning_rate_init=0.05).fit(matrix, targets)
        predicted = fitted.predict(matrix)
        NNRegressor(**options, solver="lbfgs").fit(matrix, targets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows * inputs * 8 / 4
    assert np.corrcoef(predicted, targets)[0, 1] > 0.5


def test_words():
    """Counts of words go straight from scikit-learn's vectorizer into a network, and a pipeline predicts texts."""
    texts = ["red apple", "green apple", "red car", "green car", "apple pie", "fast car"] * 5
    labels = np.array(["fruit", "fruit", "machine", "machine", "fruit", "machine"] * 5)
    pipeline = make_pipeline(CountVectorizer(), NNClassifier((5,), random_state=0, learning_rate_init=0.05))
    assert pipeline.fit(texts, labels).predict(["a red apple", "a slow car"]).tolist() == ["fruit", "machine"]


def test_it_says_so():
    """The tags of the estimators say that X may be sparse, as scikit-learn's own do."""
    assert get_tags(NNClassifier()).input_tags.sparse == get_tags(NNRegressor()).input_tags.sparse is True


def test_without_a_compiler(monkeypatch):
    """Where nothing can be compiled, NumPy predicts sparse X."""
    fitted = NNClassifier(**SMALL).fit(MATRIX, CLASSES)
    expected = fitted.predict_proba(MATRIX)

    def refuse(description):
        raise nn.BuildError("none")

    monkeypatch.setattr(modules, "module_of", refuse)
    with pytest.warns(RuntimeWarning, match="none: NumPy evaluates the model, which is slow"):
        np.testing.assert_allclose(fitted.predict_proba(MATRIX), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (MATRIX[:, :9], "X has 9 features, but NNClassifier is expecting 30"),
        (sparse.csr_matrix(np.where(X > 0.99, np.nan, 0)), "Input X contains NaN"),
    ],
)
def test_what_cannot_be_meant(matrix, message):
    """Sparse X of the wrong width, or that is not finite, is refused as dense X is."""
    fitted = NNClassifier(**SMALL).fit(MATRIX, CLASSES)
    with pytest.raises(ValueError, match=message):
        fitted.predict(matrix)
