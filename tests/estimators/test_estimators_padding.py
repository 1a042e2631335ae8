"""Networks whose numbers of inputs differ a little share a module: it is built once, and changes no result."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_validate
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, scale

from nncodegen.estimators import NNClassifier, NNRegressor, base
from nncodegen.estimators.network import Description, initial_parameters, module_of, padded, predict, shared_inputs

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y = load_wine(return_X_y=True)
X = scale(X)[:, :11]  # 11 inputs, which are built as 16
SMALL = {"hidden_layer_sizes": (4,), "activation": "tanh", "random_state": 1, "max_iter": 12}


def exactly(monkeypatch):
    """From here on, networks are built with as many inputs as they have."""
    monkeypatch.setattr(base, "shared_inputs", lambda inputs: inputs)


@given(st.integers(1, 10**6))
def test_sizes(inputs):
    """A shared number of inputs is not below the number itself and not far above, and stays as it is."""
    shared = shared_inputs(inputs)
    assert inputs <= shared <= max(inputs + 15, inputs * 5 / 4)
    assert shared_inputs(shared) == shared
    assert shared_inputs(inputs + 1) >= shared
    assert shared == inputs or inputs > 4


def test_a_cross_validation_over_categories_builds_once(built):
    """Where the folds have different numbers of one-hot columns, sparse or dense, all of them share one build."""
    rng = np.random.default_rng(0)
    rare = np.array([f"rare {k}" if k < 12 else "often" for k in range(90)])[rng.permutation(90)]
    table = np.column_stack([rng.choice(list("abcdefghijk"), 90), rng.choice(list("uvwxyz"), 90), rare])
    labels = (table[:, 0] > "d").astype(int)
    for sparse in (True, False):
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
        pipeline = make_pipeline(encoder, NNClassifier(**SMALL))
        scores = cross_validate(pipeline, table, labels, cv=6, return_estimator=True)
        widths = {pipeline_of_fold[-1].n_features_in_ for pipeline_of_fold in scores["estimator"]}
        assert len(widths) > 2
        assert {pipeline_of_fold[-1].coefs_[0].shape[0] for pipeline_of_fold in scores["estimator"]} == widths
    assert built == [32]


@pytest.mark.parametrize("case", ["classes", "stopped early", "numbers"])
def test_the_numbers_are_those_of_scikit_learn(case):
    """Where inputs are padded, too, weights begin and train as those of MLPClassifier and MLPRegressor."""
    targets = X[:, 3] + X[:, 5] if case == "numbers" else Y
    parameters = {**SMALL, "max_iter": 40, "solver": "sgd", "learning_rate_init": 0.05, "alpha": 1.0}
    parameters["early_stopping"] = case == "stopped early"
    pair = (NNRegressor, MLPRegressor) if case == "numbers" else (NNClassifier, MLPClassifier)
    ours, theirs = (cls(**parameters).fit(X, targets) for cls in pair)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for our_array, their_array in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(our_array, their_array, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X)) if case != "numbers" else None


OPTIONS = [
    {"solver": "lbfgs", "alpha": 1.0},
    {"learning_rate_init": 0.05, "train_options": {"clipnorm": 0.1, "l1": 0.01}},
    {"solver": "sgd", "train_options": {"clipvalue": 0.01, "update": "sequential"}, "max_iter": 2},
    {"solver": "adamw", "train_options": {"weight_decay": 0.1, "schedule": "cosine"}},
    {"train_options": {"validation_data": (X[:30], Y[:30]), "metrics": "accuracy", "patience": 3}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.get("solver", "adam"))
def test_padding_changes_nothing(monkeypatch, options):
    """Penalties, clipping, schedules, early stopping and L-BFGS give what they give without padding, to rounding."""
    fitted = NNClassifier(**{**SMALL, **options}).fit(X, Y)
    exactly(monkeypatch)
    expected = clone(fitted).fit(X, Y)
    assert padded(fitted.description_).built.inputs == 16
    assert (fitted._inputs, expected._inputs) == (16, 11)
    np.testing.assert_allclose(fitted.parameters_, expected.parameters_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fitted.predict_proba(X), expected.predict_proba(X), rtol=1e-7)
    assert fitted.curves_.keys() == expected.curves_.keys()
    for name, curve in expected.curves_.items():
        np.testing.assert_allclose(fitted.curves_[name], curve, rtol=1e-7)
    assert fitted.hash_ == expected.hash_


def test_further_weights_stay_zero():
    """No optimizer changes the weights of inputs that are always 0."""
    network = padded(Description(5, ((4, "relu"), (2, "softmax")), "categorical_crossentropy", skip=True))
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 5)), rng.integers(0, 2, 40)
    narrow = initial_parameters(network.network, 3)
    wide = network.wide(narrow)
    assert wide.shape == (narrow.size + 3 * 4 + 3 * 2,)
    np.testing.assert_array_equal(network.own(wide), narrow)
    for optimizer in network.module.optimizers:
        trained = network.module.train(
            network.rows(rows), labels, wide, optimizer=optimizer, epochs=5, batch_size=8, l2=0.1, l1=0.01
        ).parameters
        assert (network.own(trained) != narrow).any()
        np.testing.assert_array_equal(network.wide(network.own(trained)), trained)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_initial_parameters(precision):
    """What a network begins with depends on its own number of inputs, and needs no module of that."""
    network = Description(6, ((3, "tanh"), (2, "relu"), (1, "linear")), "mse", precision=precision, skip=True)
    initial = initial_parameters(network, 5)
    np.testing.assert_array_equal(initial, module_of(network).initial_parameters(5))
    assert initial.dtype == precision


def test_predictions_in_parts(monkeypatch):
    """The rows are copied a part at a time, and none is lost."""
    monkeypatch.setattr("nncodegen.estimators.network.padding.ROWS_AT_ONCE", 8)
    monkeypatch.setattr("nncodegen.estimators.network.padding.VALUES_AT_ONCE", 16 * 8)
    network = Description(11, ((4, "tanh"), (1, "linear")), "mse")
    assert [len(part) for part in padded(network).parts(X)] == [8] * 22 + [2]
    parameters = initial_parameters(network, 0)
    expected = predict(network, parameters, X, inputs=11)
    np.testing.assert_allclose(predict(network, parameters, X), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"X has the shape \(8, 12\); expected \(samples, 11\)"):
        predict(network, parameters, np.ones((8, 12)))


def test_a_training_goes_on_with_its_module(monkeypatch):
    """An estimator goes on with the module that it began with, also one that was pickled before there was padding."""
    estimator = NNClassifier(**SMALL)
    whole = clone(estimator).set_params(max_iter=4).fit(X, Y)
    parts = clone(estimator).partial_fit(X, Y, [0, 1, 2]).partial_fit(X, Y)
    with monkeypatch.context() as patch:
        exactly(patch)
        old = clone(estimator).partial_fit(X, Y, [0, 1, 2]).partial_fit(X, Y)
        parts.partial_fit(X, Y)
    del old._inputs
    old = pickle.loads(pickle.dumps(old))
    for resumed in (pickle.loads(pickle.dumps(parts)).partial_fit(X, Y), old.partial_fit(X, Y).partial_fit(X, Y)):
        np.testing.assert_allclose(resumed.parameters_, whole.parameters_, rtol=1e-8)
        np.testing.assert_allclose(resumed.predict_proba(X), whole.predict_proba(X), rtol=1e-8)


def test_where_nothing_is_padded(built, monkeypatch):
    """Large X is not copied, and what a user tells a minimizer of SciPy about the parameters is about theirs."""
    count = 11 * 4 + 4 + 4 * 3 + 3
    bounds = {"bounds": [(-0.1, 0.1)] * count}
    fitted = NNClassifier(**SMALL, solver="lbfgs", train_options=bounds).fit(X, Y)
    assert abs(fitted.parameters_).max() <= 0.1
    monkeypatch.setattr(base, "MOST_COPIED", 16 * len(X) - 1)
    large = NNClassifier(**SMALL).fit(X, Y)
    assert large.score(X, Y) == clone(large).fit(X, Y).score(X, Y)
    assert built == [11]
