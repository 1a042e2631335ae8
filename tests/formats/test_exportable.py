"""Fitted estimators and trained tables are models that can be exported: the same predictions, and texts for columns."""

import re
import subprocess

import numpy as np
import pandas as pd
import pytest

import nncodegen as nn
from nncodegen.compiler.describe import Describable, describe
from nncodegen.errors import ModelError
from nncodegen.estimators import FormulaRegressor, NNClassifier, NNRegressor
from nncodegen.estimators.network import Description, Ensemble, Kind, predict_mean
from nncodegen.formats.export.subject import exportable
from nncodegen.table.columns import encode, knotted, understand, widths
from nncodegen.table.frames import as_table
from nncodegen.table.target import Target, understand_target
from nncodegen.table.trained import Member, TableModel

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
FEATURES = pd.DataFrame(X, columns=["width", "height", "depth"])
CLASSES = np.array(["red", "green", "blue"])[np.arange(30) % 3]


def outputs(exportable, rows):
    """The outputs of what an object exports, by the compiled module of that."""
    return nn.build(exportable.model, exportable.precision).predict(exportable.parameters, rows)


def evaluated(exportable, rows):
    """The same by the evaluator, without the loss."""
    program = describe(exportable.model)
    Y = np.zeros((len(rows), sum(tensor.size for tensor in program.targets)))
    return nn.evaluate(program, exportable.parameters, rows, Y)[program.outputs[0].tensor]


# --- estimators --------------------------------------------------------------------------------------------------


def test_a_classifier():
    """A classifier is its network, with its parameters, and the outputs are the probabilities of its classes."""
    classifier = NNClassifier((4,), max_iter=3, n_iter_no_change=50, random_state=0, tol=0).fit(FEATURES, CLASSES)
    exported = exportable(classifier, None, None)
    assert exported.inputs == ("width", "height", "depth")
    assert exported.outputs == ("probability of blue", "probability of green", "probability of red")
    np.testing.assert_array_equal(outputs(exported, X), classifier.predict_proba(FEATURES))


@pytest.fixture(autouse=True)
def _unconverged():
    """Fits here are short."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


HEADS = {
    "two classes": (CLASSES == "red", {}, ("probability of True, else False",)),
    "margins": (CLASSES, {"loss": "hinge"}, ("margin of blue", "margin of green", "margin of red")),
    "several labels": (
        np.stack([X[:, 0] > 0, X[:, 1] > 0], 1).astype(int),
        {},
        ("probability of 0", "probability of 1"),
    ),
    "one class": (np.full(30, 7), {}, ("not used, as the class is always 7",)),
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_of_a_classifier(head):
    """The outputs of every head are named after the classes, and are what the classifier itself goes by."""
    y, options, meaning = HEADS[head]
    classifier = NNClassifier((2,), max_iter=1, random_state=0, **options).fit(X, y)
    exported = classifier.exportable()
    assert (exported.inputs, exported.outputs) == ((), meaning)
    expected = classifier.decision_function(X) if options else classifier.predict_proba(X)
    if head == "two classes":
        expected = expected[:, 1:]
    if head != "one class":
        np.testing.assert_allclose(evaluated(exported, X), expected, rtol=1e-12, atol=1e-13)


def test_a_regressor():
    """A regressor is its network; in float32 it is exported so."""
    regressor = NNRegressor(hidden_layer_sizes=(4,), max_iter=3, precision="float32", random_state=0).fit(X, X[:, :2])
    exported = exportable(regressor, None, None)
    assert exported.precision == "float32"
    assert exported.outputs == ("prediction of target 0", "prediction of target 1")
    np.testing.assert_array_equal(outputs(exported, X), regressor.predict(X))


def test_a_formula():
    """A fitted formula has the features that it uses as its inputs, by name."""
    y = 2 * np.exp(-0.5 * X[:, 2]) + 0.1 * X[:, 0]
    regressor = FormulaRegressor("a*exp(-b*depth) + c*width").fit(FEATURES, y)
    exported = exportable(regressor, None, None)
    assert exported.inputs == ("width", "depth")
    np.testing.assert_allclose(outputs(exported, X[:, [0, 2]])[:, 0], regressor.predict(FEATURES), rtol=1e-14)


@pytest.mark.parametrize("estimator", [NNClassifier(), NNRegressor(), FormulaRegressor()])
def test_unfitted_estimators_are_refused(estimator):
    """An estimator that has not been fitted says so, with scikit-learn's own error."""
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        nn.export(estimator, "c")


# --- the mean of networks ----------------------------------------------------------------------------------------

DEEP = Description(
    3, ((4, "tanh"), (5, "relu"), (4, "elu"), (6, "tanh"), (3, "softmax")), "categorical_crossentropy", dropout=0.1
)
WIDE = Description(3, ((4, "relu"), (5, "gelu"), (3, "softmax")), "categorical_crossentropy", skip=True)
LINEAR = Description(3, ((3, "softmax"),), "categorical_crossentropy")
MIXED = Ensemble((Kind(DEEP, 3, 0.5), Kind(WIDE, 4, 0.3), Kind(LINEAR, 1, 0.2)), scale=2.5, shift=-1.5)
SINGLE = Ensemble((Kind(LINEAR),))


def drawn(ensemble):
    """Parameters for the networks of each kind."""
    return [RNG.normal(size=(kind.count, kind.network.parameter_count)) for kind in ensemble.kinds]


def mean(ensemble, parameters, rows):
    """The output of an ensemble by its definition."""
    means = [
        predict_mean(kind.network, parameter, rows) for kind, parameter in zip(ensemble.kinds, parameters, strict=True)
    ]
    total = sum(kind.weight * parameter for kind, parameter in zip(ensemble.kinds, means, strict=True))
    return total * ensemble.scale + ensemble.shift


def test_the_mean_of_networks():
    """Networks of several kinds are one model, whose output is their weighted mean, scaled and shifted."""
    parameters = drawn(MIXED)
    exportable = nn.Exportable(MIXED, "float64", MIXED.parameters(parameters))
    np.testing.assert_allclose(evaluated(exportable, X), mean(MIXED, parameters, X), atol=1e-14)


@pytest.mark.parametrize("kind", [DEEP, WIDE, LINEAR])
def test_nothing_is_unrolled(kind):
    """The program of many networks of a kind has as many steps as that of two."""
    few, many = (Ensemble((Kind(kind, count),)) for count in (2, 40))
    assert len(few.describe().steps) == len(many.describe().steps)
    parameters = drawn(many)
    exportable = nn.Exportable(many, "float64", many.parameters(parameters))
    np.testing.assert_allclose(evaluated(exportable, X), mean(many, parameters, X), atol=1e-14)


def test_one_network_has_no_further_index():
    """A single network is described as it is."""
    assert [str(tensor) for tensor in SINGLE.describe().parameters] == ["W1[3, 3]", "b1[3]"]


def test_networks_that_do_not_fit_together():
    """Networks with different inputs have no mean."""
    other = Description(2, ((3, "softmax"),), "categorical_crossentropy")
    with pytest.raises(ModelError, match="the same inputs"):
        Ensemble((Kind(LINEAR), Kind(other)))


def test_any_object_that_describes_itself():
    """A model is whatever has a name, optimizers, and a program; anything else is refused."""
    assert isinstance(MIXED, Describable)
    assert not isinstance(nn.Dense(1), Describable)
    with pytest.raises(ModelError, match="is not a model"):
        describe(nn.Dense(1))


# --- tables ------------------------------------------------------------------------------------------------------


def frame():
    """A table with every kind of column, gaps, and texts among numbers."""
    return pd.DataFrame(
        {
            "age": ["23", "", *(str(20 + 2 * k) for k in range(28))],
            "shift": [-(k + 0.25) for k in range(30)],
            "colour": [("red", "green", "")[k % 3] for k in range(30)],
            "seen": [f"20{10 + k % 5}-0{1 + k % 9}-1{k % 7} 0{k % 8}:30" for k in range(30)],
            "size": [k / 3 for k in range(30)],
            "kind": list(CLASSES),
            "paid": [("yes", "no")[k % 2] for k in range(30)],
        }
    )


INPUTS = ("age", "shift", "colour", "seen")


@pytest.fixture(scope="module")
def columns():
    table = as_table(frame())
    return tuple(knotted(understand(table, name, as_category=False), table, 4) for name in INPUTS)


def table_model(columns, target, *kinds):
    """A table's model with drawn parameters; networks with hidden layers have the inputs of pieces, too."""
    members = []
    for layers, count, weight in kinds:
        head = "softmax" if target.outputs > 1 else "sigmoid" if target.classes else "linear"
        network = Description(widths(columns)[bool(layers)], (*layers, (target.outputs, head)), "mse")
        members.append(Member(network, weight, RNG.normal(size=(count, network.parameter_count)) / 2))
    return TableModel(columns, target, tuple(members))


TARGETS = {
    "kind": tuple(f"probability that kind is {value}" for value in ("blue", "green", "red")),
    "paid": ("probability that paid is yes, else no",),
    "size": ("size",),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_table(columns, name):
    """A table's model takes the encoded inputs, and gives probabilities, or the target as the table has it."""
    target = understand_target(as_table(frame()), name, None)
    model = table_model(columns, target, ((), 1, 0.4), (((4, "tanh"),), 3, 0.6))
    exported = exportable(model, None, None)
    encoded = encode(columns, as_table(frame()))
    expected = model.outputs_of(encoded)
    if not target.classes:
        expected = target.decide(expected)[:, None]
    np.testing.assert_allclose(evaluated(exported, encoded), expected, rtol=1e-13, atol=1e-13)
    assert exported.outputs == TARGETS[name]


def test_a_table_compiles(columns):
    """The mean of networks is one module, which predicts for few rows and for many, and has the right gradient."""
    target = understand_target(as_table(frame()), "size", None)
    model = table_model(columns, target, ((), 1, 0.4), (((4, "tanh"),), 3, 0.6))
    exported, encoded = model.exportable(), encode(columns, as_table(frame()))
    module = nn.build(exported.model, exported.precision)
    expected = target.decide(model.outputs_of(encoded))[:, None]
    for rows in (1, 3, 30):
        predicted = module.predict(exported.parameters, encoded[:rows])
        np.testing.assert_allclose(predicted, expected[:rows], rtol=1e-13, atol=1e-13)
    _, gradient = module.loss_and_gradient(exported.parameters, encoded, expected + 1)
    places = range(0, len(gradient), 5)
    steps = 1e-5 * np.eye(len(gradient))[places]
    losses = [[module.loss(exported.parameters + s, encoded, expected + 1) for s in (step, -step)] for step in steps]
    np.testing.assert_allclose(gradient[places], np.subtract(*np.transpose(losses)) / 2e-5, rtol=1e-6, atol=1e-6)


def test_a_table_as_c(columns, tmp_path):
    """The C of a table's model finds its own outputs right, and its header tells what the inputs are."""
    model = table_model(columns, Target("size"), ((), 1, 0.4), (((4, "tanh"),), 3, 0.6))
    exported = nn.export(model, "c", tmp_path, name="sizes")
    done = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "outputs: right" in done.stdout
    assert b"colour is green: 1, else 0" in exported.files["sizes.h"]


def test_what_the_inputs_of_a_table_are(columns):
    """The text of each input says how it is computed from a cell: following it gives what the table computes."""
    model = table_model(columns, Target("size"), ((), 1, 1.0))
    texts = model.exportable().inputs
    encoded = encode(columns, as_table(frame()))
    assert len(texts) == encoded.shape[1]
    days = pd.to_datetime(frame()["seen"]) - pd.Timestamp("1970-01-01")
    dates = pd.to_datetime(frame()["seen"])
    values = {
        "age": pd.to_numeric(frame()["age"]).to_numpy(),
        "shift": frame()["shift"].to_numpy(),
        "days": days.dt.total_seconds().to_numpy() / 86400,
        "month": dates.dt.month.to_numpy(),
        "hour": dates.dt.hour.to_numpy() + dates.dt.minute.to_numpy() / 60,
        "pi": np.pi,
        "sin": np.sin,
        "cos": np.cos,
    }
    assert sum(" at most 1; " in text for text in texts) >= 4
    followed = 0
    for text, column in zip(texts, encoded.T, strict=True):
        if piece := re.match(r"(2\*\(\w+ [-+] [\d.e-]+\)/[\d.e-]+ - 1), at least -1 and at most 1; ", text):
            expected = np.clip(eval(piece[1], dict(values)), -1, 1)
            missing = np.isnan(expected)
            np.testing.assert_allclose(column[~missing], expected[~missing], atol=1e-12, err_msg=text)
        elif scaled := re.search(r"(?:\(\w+ [-+] [\d.e-]+\)/[\d.e-]+|(?:sin|cos)\(.*?/\d+\))", text):
            expected = eval(scaled[0], dict(values))
            missing = np.isnan(expected)
            np.testing.assert_allclose(column[~missing], expected[~missing], atol=1e-12, err_msg=text)
        elif text.endswith(" is missing: 1, else 0"):
            expected = frame()[text.split()[0]] == ""
            np.testing.assert_array_equal(column, expected, err_msg=text)
        elif member := re.fullmatch(r"(\w+) is (\w+): 1, else 0", text):
            np.testing.assert_array_equal(column, frame()[member[1]] == member[2], err_msg=text)
        elif day := re.fullmatch(r"seen is a (\w+day): 1, else 0", text):
            np.testing.assert_array_equal(column, dates.dt.day_name() == day[1], err_msg=text)
        else:
            assert text == "the first day of the year of seen, in the same way"
            continue
        followed += 1
    assert followed == len(texts) - 1
