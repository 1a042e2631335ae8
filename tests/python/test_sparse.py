"""Sparse matrices of SciPy as inputs of a module: the same as the arrays they stand for."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from sympy import symbols

import nncodegen as nn
from nncodegen.runtime.python.arguments.samples import CheckedSamples
from nncodegen.runtime.python.arguments.sparse import VALUES_AT_ONCE, Sparse

pytestmark = pytest.mark.usefixtures("quick_compiler")

INPUTS, SAMPLES = 24, 300
RNG = np.random.default_rng(0)
MATRIX = sparse.random(SAMPLES, INPUTS, 0.15, "csr", random_state=0)
X, Y = MATRIX.toarray(), RNG.normal(size=(SAMPLES, 2))
WEIGHT = RNG.uniform(0.5, 2, SAMPLES)


@pytest.fixture(scope="module")
def module():
    """A network with dropout, whose draws depend on the number of a sample."""
    layers = [nn.Dense(9, "tanh"), nn.Dropout(0.2), nn.Dense(2)]
    return nn.build(nn.Sequential(layers, inputs=INPUTS, name="sparse"), fit=True)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "batch_size": 32},
        {"optimizer": "adam", "batch_size": 150, "sample_weight": WEIGHT, "metrics": ("r2", "mae")},
        {"batch_size": 1},
        {"threads": 2},
        {"batch_size": 50, "validation_split": 0.3, "patience": 2, "metrics": "r2", "shuffle": False},
        {"validation_data": (MATRIX[:90], Y[:90], WEIGHT[:90]), "l2": 0.1, "schedule": "cosine"},
    ],
    ids=", ".join,
)
def test_training_has_the_same_bits(module, options):
    """Whatever a training does, with sparse X it gives the parameters and figures of the dense X, to the last bit."""
    dense = {**options}
    if "validation_data" in options:
        dense["validation_data"] = (X[:90], *options["validation_data"][1:])
    expected = module.train(X, Y, epochs=4, **dense)
    trained = module.train(MATRIX, Y, epochs=4, **options)
    np.testing.assert_array_equal(trained.parameters, expected.parameters)
    assert trained.metrics.keys() == expected.metrics.keys()
    for name in trained.metrics:
        np.testing.assert_array_equal(trained.metrics[name], expected.metrics[name])
    assert trained.loss == pytest.approx(expected.loss, rel=1e-12)


def test_single_samples_of_a_formula():
    """A formula with its parameters in registers takes the usual loops, which agree to rounding."""
    x1, x2, y, a, b = symbols("x1 x2 y a b")
    line = nn.build(nn.Model("line", (x1, x2), y, {a: 0.5, b: 0.1}, a * x1 + b * x2, (a * x1 + b * x2 - y) ** 2))
    options = {"learning_rate": 0.05, "epochs": 3, "batch_size": 1}
    expected = line.train(X[:, :2], Y[:, 0], **options)
    trained = line.train(MATRIX[:, :2], Y[:, 0], **options)
    assert trained.history[-1] < trained.history[0]
    np.testing.assert_allclose(trained.parameters, expected.parameters, rtol=1e-12)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix", "coo_array", "lil_array", "dok_array"])
def test_every_kind_of_matrix(module, kind):
    """Formats of SciPy, matrices and arrays, give the predictions of the dense X, in parts too, and of an empty row."""
    parameters = module.initial_parameters(1)
    matrix = getattr(sparse, kind)(MATRIX)
    np.testing.assert_array_equal(module.predict(parameters, matrix), module.predict(parameters, X))
    np.testing.assert_array_equal(module.predict(parameters, matrix, threads=2), module.predict(parameters, X))


def test_in_parts(module, monkeypatch):
    """Loss, gradient, Hessian and minimizers sum up parts of the rows, with weights: the whole, to rounding."""
    parameters = module.initial_parameters(1)
    monkeypatch.setattr("nncodegen.runtime.python.arguments.sparse.VALUES_AT_ONCE", 64 * INPUTS)
    weight = np.where(np.arange(SAMPLES) < 64, 0, WEIGHT)  # nothing counts in the first part
    parts = CheckedSamples(module.train.__self__, MATRIX, Y, weight).parts()
    assert [len(rows) for _, rows, _, _ in parts] == [64, 64, 64, 44]
    assert module.loss(parameters, MATRIX, Y) == pytest.approx(module.loss(parameters, X, Y), rel=1e-13)
    (value, slope), (expected, expected_slope) = (
        module.loss_and_gradient(parameters, rows_given, Y, weight) for rows_given in (MATRIX, X)
    )
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-10, atol=1e-14)
    vector = RNG.normal(size=module.parameter_count)
    products = [module.hessian_product(parameters, vector, rows_given, Y, weight) for rows_given in (MATRIX, X)]
    np.testing.assert_allclose(*products, rtol=1e-10, atol=1e-13)
    by_parts, dense = (module.minimize(rows_given, Y, parameters, options={"maxiter": 3}) for rows_given in (MATRIX, X))
    np.testing.assert_allclose(by_parts.history, dense.history, rtol=1e-9)


def test_parts_are_small():
    """The rows that are made whole at once do not grow with their number, and cover all of them."""
    rows = Sparse(np.zeros(0), np.zeros(100_001, np.uintp), np.zeros(0, np.uint32), 1000)
    parts = list(rows.parts())
    assert parts[0][0] == 0
    assert parts[-1][1] == 100_000
    assert all(end == begin for (_, end), (begin, _) in pairwise(parts))
    assert max((end - begin) * 1000 for begin, end in parts) <= VALUES_AT_ONCE


def test_rows_by_number():
    """Some rows, in any order and repeated, are those of the dense matrix."""
    rows_by_number = Sparse(MATRIX.data, MATRIX.indptr.astype(np.uintp), MATRIX.indices.astype(np.uint32), INPUTS)
    rows = np.array([7, 0, 299, 7, 31])
    np.testing.assert_array_equal(rows_by_number[rows].whole(0, 5), X[rows])
    np.testing.assert_array_equal(rows_by_number.whole(40, 90), X[40:90])
    assert len(rows_by_number[np.array([], int)]) == 0


def test_values_that_are_given_twice_are_summed(module):
    """A matrix that holds a place twice means the sum, as everywhere in SciPy; it is not changed."""
    twice = sparse.csr_matrix((np.array([1.0, 2.0, 5.0]), np.array([3, 3, 1]), np.array([0, 3])), (1, INPUTS))
    parameters = module.initial_parameters(1)
    predicted = module.predict(parameters, sparse.vstack([twice] * 6, "csr"))
    np.testing.assert_array_equal(predicted, module.predict(parameters, np.repeat(twice.toarray(), 6, 0)))
    module.predict(parameters, twice)
    assert twice.nnz == 3


def damaged(columns=(0, 1), starts=(0, 1, 2)):
    """A matrix of two rows whose places are not checked by SciPy."""
    matrix = sparse.csr_matrix(np.eye(2, INPUTS))
    matrix.indices, matrix.indptr = np.array(columns, np.int32), np.array(starts, np.int32)
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (MATRIX[:, :5], r"X has the shape \(300, 5\); expected \(samples, 24\)"),
        (sparse.csr_matrix((0, INPUTS)), "X is empty"),
        (sparse.coo_array(np.ones(INPUTS)), r"X has the shape \(24,\)"),
        (sparse.csr_matrix(np.eye(2, INPUTS) * 1j), "X holds values of the type complex128"),
        (sparse.csr_matrix(np.where(np.eye(3, INPUTS) > 0, [[1], [2], [np.nan]], 0)), r"X\[2, 2\] is nan; expected"),
        (damaged(columns=(0, INPUTS)), "X is a damaged sparse matrix"),
        (damaged(columns=(-1, 1)), "X is a damaged sparse matrix"),
        (damaged(starts=(0, 2, 1)), "X is a damaged sparse matrix"),
        (damaged(starts=(0, 1, 9)), "X is a damaged sparse matrix"),
        (damaged(starts=(0, 1)), "X is a damaged sparse matrix"),
    ],
)
def test_what_cannot_be_meant(module, matrix, message):
    """A matrix of the wrong shape or type, or that would be read outside of its memory, is refused."""
    with pytest.raises(ValueError, match=message):
        module.predict(module.initial_parameters(1), matrix)


def test_where_it_is_not_taken(module):
    """What needs whole rows says so, and how to get them."""
    for function in (module.jacobian, lambda p, X: module.train_many(X, Y, models=2), lambda p, X: module.fit(X, Y)):
        with pytest.raises(ValueError, match=r"X is sparse, which it must not be here: give X.toarray\(\)"):
            function(module.initial_parameters(1), MATRIX)
    with pytest.raises(ValueError, match="Y is sparse"):
        module.train(X, sparse.csr_matrix(Y))
