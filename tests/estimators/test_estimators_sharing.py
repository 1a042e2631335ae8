"""Networks on one-hot columns share a module with room for more, whichever was built before, and no bit tells which."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nncodegen.estimators import NNClassifier
from nncodegen.estimators.network import (
    Description,
    PaddedNetwork,
    initial_parameters,
    modules,
    roomy_inputs,
    same_bits,
    varies,
)
from nncodegen.estimators.network.sharing import BLOCK

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (4,), "activation": "tanh", "random_state": 1, "max_iter": 4}
RNG = np.random.default_rng(0)


def room(inputs, precision="float64"):
    return roomy_inputs(Description(inputs, ((1, "linear"),), "mse", precision=precision))


@given(st.integers(1, 9999), st.sampled_from(["float64", "float32"]))
def test_room(inputs, precision):
    """There is room for two inputs more and for a sixteenth, in whole blocks, and not for very many."""
    roomy, block = room(inputs, precision), BLOCK[precision]
    assert roomy == inputs if inputs <= 4 else roomy >= inputs + max(2, inputs // 16)
    assert roomy < max(inputs + 2 + block, inputs * 1.4)
    assert roomy in (*range(1, 5), 8, 16) or roomy % block == 0
    assert room(inputs + 1, precision) >= roomy


def test_columns_that_vary():
    """Sparse rows and one-hot columns have other columns in other folds, scaled or not; measurements do not."""
    one_hot = np.eye(5)[RNG.integers(5, size=40)]
    for X in (one_hot, csr_matrix(one_hot), StandardScaler().fit_transform(one_hot)):
        assert varies(X)
    assert varies(np.column_stack([RNG.normal(size=(40, 7)), one_hot[:, 0]]))
    assert not varies(RNG.normal(size=(40, 7)))
    assert not varies(np.ones((40, 7)))
    assert not varies(one_hot[:1])


def bits(network, size, rows, targets):
    """All that a module of ``size`` inputs makes of some rows: predictions, gradients, trainings, in bytes."""
    padded = PaddedNetwork(network, size)
    module, wide, X = padded.module, padded.wide(initial_parameters(network, 3)), padded.rows(rows)
    arrays = [module.predict(wide, X[:count]) for count in (1, 3, len(X))]
    for count in (1, 2, len(X)):
        loss, gradient = module.loss_and_gradient(wide, X[:count], targets[:count])
        arrays += [loss, padded.own(gradient)]
    for samples, options in (
        (X, {"batch_size": 1, "epochs": 1}),
        (X, {"batch_size": 32, "optimizer": "adam", "l1": 0.01, "l2": 0.1}),
        (csr_matrix(X), {"batch_size": 3, "epochs": 1, "optimizer": "adam"}),
        (X, {"update": "sequential", "epochs": 1}),
        (X, {"validation_data": (X[:5], targets[:5]), "optimizer": "rmsprop"}),
    ):
        result = module.train(samples, targets, wide, learning_rate=0.01, **{"epochs": 2, **options})
        arrays += [padded.own(result.parameters), result.history]
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
@settings(max_examples=10)
@given(st.integers(1, 32), st.sampled_from([5, 70, 150]), st.integers(0, 9))
def test_the_same_bits(precision, less, samples, seed):
    """Modules of two sizes that may be used for a network give the same bits of everything."""
    first, second = {"float64": (32, 48), "float32": (64, 96)}[precision]
    network = Description(first - less + 1, ((4, "tanh"), (1, "linear")), "mse", precision=precision)
    rng = np.random.default_rng(seed)
    rows, targets = (rng.normal(size=(samples, n)).astype(precision) for n in (network.inputs, 1))
    assert same_bits(network, first, second)
    assert bits(network, first, rows, targets) == bits(network, second, rows, targets)


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("layers", [((100, "relu"), (3, "softmax")), ((40, "relu"), (7, "tanh"), (1, "linear"))])
def test_the_same_bits_of_larger_networks(layers, precision):
    """The same for networks with more units, and more sizes; some of these are alike."""
    outputs = layers[-1][0]
    loss = "mse" if outputs == 1 else "categorical_crossentropy"
    sizes, samples = (32, 48, 64, 96, 128, 160), 200
    targets = RNG.normal(size=(samples, 1)).astype(precision) if outputs == 1 else RNG.integers(outputs, size=samples)
    network = Description(1, layers, loss, precision=precision)
    pairs = [(a, b) for a in sizes for b in sizes if a < b and same_bits(network, a, b)]
    assert pairs
    for inputs in (9, 31, 62, 127):
        network = Description(inputs, layers, loss, precision=precision)
        rows = RNG.normal(size=(samples, inputs)).astype(precision)
        wide = [size for size in sizes if size >= inputs]
        by_name = {size: bits(network, size, rows, targets) for size in wide}
        for a, b in pairs:
            assert by_name.get(a, by_name[b]) == by_name[b] if b >= inputs else True, (inputs, a, b)


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("order", [1, -1])
def test_a_cross_validation_on_both_sides_of_a_size(built, order):
    """Folds with numbers of columns for which modules of two sizes would be built use the one that is built first."""
    table = np.array([[f"often {k % 29}"] for k in range(116)] + [["rare 1"]] * 1 + [["rare 2"]] * 3)[::order]
    labels = np.arange(120) % 2
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), NNClassifier(**SMALL))
    scores = cross_validate(pipeline, table, labels, cv=5, return_estimator=True)["estimator"]
    widths = {pipeline_of_fold[-1].n_features_in_ for pipeline_of_fold in scores}
    assert {room(width) for width in widths} == {32, 48}
    assert len(built) == 1


@pytest.mark.usefixtures("quick_compiler")
def test_nothing_tells_what_was_built_before(built):
    """A fit has the same parameters, to the last bit, whether its module was built for it or for another network."""
    X = np.eye(31)[np.arange(93) % 31]
    estimator, y = NNClassifier(**SMALL), np.arange(93) % 2
    alone = clone(estimator).fit(X, y)
    modules._modules.clear()
    fewer = clone(estimator).fit(X[:, :29], y)
    after = clone(estimator).fit(X, y)
    assert built == [48, 32]
    assert (alone._inputs, fewer._inputs, after._inputs) == (48, 32, 32)
    np.testing.assert_array_equal(alone.parameters_, after.parameters_)
    np.testing.assert_array_equal(alone.predict_proba(X), after.predict_proba(X))
    assert alone.loss_curve_ == after.loss_curve_


@pytest.mark.usefixtures("quick_compiler")
def test_sums_over_all_parameters(built):
    """Where something sums over all parameters, zeros among them too, only the columns decide the size."""
    X, y = np.eye(31)[np.arange(93) % 31], np.arange(93) % 2
    NNClassifier(**SMALL).fit(X[:, :29], y)
    NNClassifier(**SMALL, train_options={"clipnorm": 1.0}).fit(X, y)
    assert built == [32, 48]
    NNClassifier(**SMALL, solver="lbfgs").fit(X[:, :29], y)
    NNClassifier(**SMALL, solver="lbfgs").fit(X, y)
    assert built == [32, 48]
