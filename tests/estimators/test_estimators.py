"""The estimators: they do what scikit-learn's do, and what people asked of those in vain."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sympy

pytest.importorskip("sklearn")

from joblib import Parallel, delayed
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nncodegen as nn
from nncodegen.estimators import DynamicsRegressor, FormulaRegressor, NNClassifier, NNRegressor, training
from nncodegen.estimators.network import modules
from tests.support import ROOT

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y = datasets.load_iris(return_X_y=True)
NAMES = np.array(datasets.load_iris().target_names, dtype=object)[Y]
BINARY = np.where(Y == 0, "setosa", "other")
LABELS = np.column_stack([Y == 0, X[:, 0] > 5.8, X[:, 1] > 3]).astype(int)
LENGTH = X[:, 2] / 3
ONE_BATCH = {"hidden_layer_sizes": (4,), "random_state": 1, "max_iter": 40}


def both(targets, **parameters):
    """An estimator of ours and one of scikit-learn's, with the same parameters, fitted to the same data."""
    number = targets.dtype.kind == "f"
    pair = (NNRegressor, MLPRegressor) if number else (NNClassifier, MLPClassifier)
    weight = parameters.pop("sample_weight", None)
    return [cls(**{**ONE_BATCH, **parameters}).fit(X, targets, sample_weight=weight) for cls in pair]


WEIGHT = np.linspace(0.5, 2, len(X))

# scikit-learn 1.7 stops early for classes that are numbers alone: it looks for NaN among those that it predicts
CASES = {
    "classes": (NAMES, {}),
    "classes, weighted": (NAMES, {"sample_weight": WEIGHT}),
    "classes, alpha": (NAMES, {"alpha": 5.0}),
    "classes, adaptive": (NAMES, {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2, "momentum": 0}),
    "classes, invscaling": (NAMES, {"learning_rate": "invscaling", "momentum": 0}),
    "classes, Polyak": (NAMES, {"nesterovs_momentum": False}),
    "classes, stopped": (NAMES, {"tol": 0.01, "n_iter_no_change": 3, "max_iter": 200}),
    "classes, early stopping": (Y, {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 100}),
    "two classes": ((Y == 0).astype(int), {"activation": "logistic", "early_stopping": True}),
    "labels": (LABELS, {"activation": "tanh"}),
    "numbers": (LENGTH, {"activation": "tanh"}),
    "numbers, early stopping": (LENGTH, {"activation": "tanh", "early_stopping": True, "sample_weight": WEIGHT}),
    "counts": (LENGTH, {"activation": "tanh", "loss": "poisson", "alpha": 1.0}),
}


@pytest.mark.parametrize("case", CASES)
def test_gradient_descent_is_that_of_scikit_learn(case):
    """With all samples in one batch, every number is that of MLPClassifier and MLPRegressor."""
    targets, parameters = CASES[case]
    ours, theirs = both(targets, solver="sgd", learning_rate_init=0.05, **parameters)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for our_array, their_array in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(our_array, their_array, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X) == targets, theirs.predict(X) == targets)
    for name in ("loss_", "best_loss_", "best_validation_score_", "validation_scores_"):
        mine, their_array = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (their_array is None)
        if their_array is not None:
            np.testing.assert_allclose(mine, their_array, rtol=1e-9)
    for name in ("n_outputs_", "n_layers_", "out_activation_", "n_features_in_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name)
    if targets.dtype.kind != "f":
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-6)


@pytest.mark.parametrize("targets", [NAMES, LENGTH], ids=["classes", "numbers"])
def test_adam_is_that_of_scikit_learn(targets):
    """Adam goes the same way, but for the place of its epsilon."""
    ours, theirs = both(targets, learning_rate_init=0.01, activation="relu" if targets is NAMES else "tanh")
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("targets", [NAMES, LENGTH], ids=["classes", "numbers"])
def test_lbfgs_finds_what_scikit_learn_finds(targets):
    """L-BFGS minimizes the same function, with weights and alpha."""
    parameters = {"activation": "relu" if targets is NAMES else "tanh", "alpha": 1.0, "sample_weight": WEIGHT}
    ours, theirs = both(targets, solver="lbfgs", tol=1e-8, max_iter=3, **parameters)
    assert (ours.n_iter_, theirs.n_iter_) == (3, 3)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-3, atol=1e-4)
    with pytest.warns(ConvergenceWarning, match="lbfgs did not converge in 2 iterations"):
        clone(ours).set_params(max_iter=2).fit(X, targets)
    assert not hasattr(ours, "partial_fit")


def test_several_outputs():
    """The gradient of several numbers is that of their sum, as there; the loss is that sum, too, where there a mean."""
    targets = np.column_stack([LENGTH, X[:, 0] / 5])
    ours, theirs = both(targets, solver="sgd", learning_rate_init=0.05, activation="tanh", alpha=0.0)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, 2 * np.array(theirs.loss_curve_), rtol=1e-9)


def test_batches_reach_what_scikit_learn_reaches():
    """In batches of its own order, the accuracy is the same."""
    ours, theirs = both(NAMES, learning_rate_init=0.01, batch_size=16, max_iter=100)
    assert ours.score(X, NAMES) > 0.95 < theirs.score(X, NAMES)
    again = clone(ours).fit(X, NAMES)
    np.testing.assert_array_equal(again.parameters_, ours.parameters_)
    other = clone(ours).set_params(random_state=2).fit(X, NAMES)
    assert not np.array_equal(other.parameters_, ours.parameters_)


@pytest.mark.parametrize("solver", ["adagrad", "rmsprop", "adamw", "nadam", "adamax", "lion", "rprop", "momentum"])
def test_every_optimizer_is_a_solver(solver):
    """The optimizers of the compiler are solvers, by their names."""
    fitted = NNClassifier(**ONE_BATCH, solver=solver, learning_rate_init=0.01).fit(X, NAMES)
    assert fitted.loss_ < fitted.loss_curve_[0]


# --- more than there ---------------------------------------------------------------------------------------------


def test_a_loss_is_a_name_or_a_formula():
    """The same loss as a name, a text, an expression and a function gives the same bits."""
    output, target = sympy.symbols("output target")
    kinds = ["squared_error", "(output - target)**2/2", (output - target) ** 2 / 2, lambda p, y: (p - y) ** 2 / 2]
    fits = [NNRegressor(**ONE_BATCH, activation="tanh", loss=kind).fit(X, LENGTH) for kind in kinds]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.parameters_, fits[0].parameters_)
        assert other.hash_ == fits[0].hash_
    assert pickle.loads(pickle.dumps(fits[2])).loss == kinds[2]
    quartic = NNRegressor(**ONE_BATCH, activation="tanh", loss="(output - target)**4").fit(X, LENGTH)
    expected = np.mean((quartic.predict(X) - LENGTH) ** 4)
    module = modules.module_of(quartic.description_)
    np.testing.assert_allclose(module.loss(quartic.parameters_, X, LENGTH), expected, rtol=1e-12)


def test_a_margin_loss_has_no_probabilities():
    """With the hinge loss there is a decision function, whose sign or maximum decides; elsewhere there is none."""
    scaled = StandardScaler().fit_transform(X)
    parameters = {**ONE_BATCH, "loss": "hinge", "learning_rate_init": 0.02, "max_iter": 400}
    fitted = NNClassifier(**parameters).fit(scaled, NAMES)
    assert fitted.score(scaled, NAMES) > 0.9
    np.testing.assert_array_equal(
        fitted.classes_[fitted.decision_function(scaled).argmax(axis=1)], fitted.predict(scaled)
    )
    assert not hasattr(fitted, "predict_proba")
    assert not hasattr(NNClassifier(), "decision_function")
    two = NNClassifier(**parameters).fit(scaled, BINARY)
    assert two.decision_function(scaled).shape == (150,)
    np.testing.assert_array_equal(two.classes_[(two.decision_function(scaled) > 0).astype(int)], two.predict(scaled))


def test_an_activation_for_each_layer():
    """Layers have activations of their own, and the network is the function that coefs_ and intercepts_ say."""
    fitted = NNClassifier((4, 3), ["tanh", "z*exp(-z**2)"], random_state=0, max_iter=5).fit(X, NAMES)
    assert [W.shape for W in fitted.coefs_] == [(4, 4), (4, 3), (3, 3)]
    first = np.tanh(X @ fitted.coefs_[0] + fitted.intercepts_[0])
    z = first @ fitted.coefs_[1] + fitted.intercepts_[1]
    logits = z * np.exp(-(z**2)) @ fitted.coefs_[2] + fitted.intercepts_[2]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-10)


@pytest.mark.parametrize("weights", ["balanced", {"setosa": 3, "other": 0.5}])
def test_class_weight(weights):
    """Weights of classes are weights of their samples, and multiply those that are given."""
    count = {"setosa": 50, "other": 100}
    by_class = {name: 150 / (2 * count[name]) for name in count} if weights == "balanced" else weights
    expected = WEIGHT * np.array([by_class[name] for name in BINARY])
    base = NNClassifier(**ONE_BATCH, activation="logistic")
    fitted = clone(base).set_params(class_weight=weights).fit(X, BINARY, sample_weight=WEIGHT)
    other = base.fit(X, BINARY, sample_weight=expected)
    np.testing.assert_allclose(fitted.parameters_, other.parameters_, rtol=1e-12)


def test_precision():
    """Single precision is kept from the parameters to the probabilities."""
    fitted = NNClassifier(**ONE_BATCH, precision="float32").fit(X, NAMES)
    assert fitted.parameters_.dtype == fitted.predict_proba(X).dtype == np.float32
    assert fitted.score(X, NAMES) > 0.6


def seen(y_true, y_pred):
    """A metric: the number of samples."""
    return len(y_true)


def test_further_arguments_of_training():
    """train_options reach the compiled module: a schedule changes the outcome, and what is unknown is refused."""
    base = NNClassifier(**ONE_BATCH)
    plain, scheduled = base.fit(X, NAMES), clone(base).set_params(train_options={"schedule": "cosine"}).fit(X, NAMES)
    assert not np.array_equal(plain.parameters_, scheduled.parameters_)
    with pytest.raises(TypeError, match="speed"):
        clone(base).set_params(train_options={"speed": 9}).fit(X, NAMES)


def test_more_is_measured():
    """Metrics that are asked for stand beside the score that early stopping watches; the trainer may hold out, too."""
    early = NNClassifier(**ONE_BATCH | {"early_stopping": True, "max_iter": 5})
    plain = clone(early).fit(X, NAMES)
    more = clone(early).set_params(train_options={"metrics": "mae"}).fit(X, NAMES)
    assert set(more.curves_) == {"loss", "accuracy", "mae", "val_loss", "val_accuracy", "val_mae"}
    assert more.validation_scores_ == plain.validation_scores_
    held = NNClassifier(**ONE_BATCH, train_options={"validation_split": 0.2, "metrics": ["accuracy"]}).fit(X, NAMES)
    assert set(held.curves_) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize("metrics", [seen, ["f1", seen], {"seen": seen, "score": "auc"}], ids=["one", "list", "named"])
def test_ones_own_metrics(metrics):
    """A function, a list and names for metrics stand beside the score of early stopping, too."""
    options = {"metrics": metrics}
    fitted = NNClassifier(**ONE_BATCH | {"early_stopping": True, "max_iter": 3}, train_options=options).fit(X, NAMES)
    assert {"accuracy", "val_accuracy", "seen", "val_seen"} <= set(fitted.curves_)
    assert fitted.curves_["seen"].tolist() == [135, 135, 135]


def test_a_plateau_goes_on_in_parts():
    """A schedule that reacts goes on from one part to the next, also across a pickle."""
    options = {"schedule": ("plateau", {"patience": 1, "min_delta": 10.0, "factor": 0.5})}
    parts = NNClassifier(**ONE_BATCH, train_options=options)
    for _ in range(3):
        parts.partial_fit(X, NAMES, classes=np.unique(NAMES))
        parts = pickle.loads(pickle.dumps(parts))
    whole = NNClassifier(**{**ONE_BATCH, "max_iter": 3}, train_options=options).fit(X, NAMES)
    np.testing.assert_allclose(parts.parameters_, whole.parameters_, rtol=1e-12)
    assert not np.array_equal(whole.parameters_, NNClassifier(**{**ONE_BATCH, "max_iter": 3}).fit(X, NAMES).parameters_)


def test_validation_curves():
    """curves_ holds what was measured after every epoch."""
    fitted = NNClassifier(**ONE_BATCH, early_stopping=True).fit(X, NAMES)
    assert set(fitted.curves_) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(curve) == fitted.n_iter_ for curve in fitted.curves_.values())
    np.testing.assert_array_equal(fitted.curves_["val_accuracy"], fitted.validation_scores_)


# --- going on ----------------------------------------------------------------------------------------------------


def test_partial_fit_is_fit_in_parts():
    """Epochs one at a time, across a pickle, are the epochs of one fit, with the state of the optimizer."""
    whole = NNClassifier(**{**ONE_BATCH, "max_iter": 6}).fit(X, NAMES)
    parts = NNClassifier(**ONE_BATCH)
    for epoch in range(6):
        parts.partial_fit(X, NAMES, classes=np.unique(NAMES) if epoch == 0 else None)
        if epoch == 2:
            parts = pickle.loads(pickle.dumps(parts))
    np.testing.assert_allclose(parts.parameters_, whole.parameters_, rtol=1e-12)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)
    assert parts.t_ == whole.t_


def test_partial_fit_of_some_classes():
    """A part need not hold all classes; the first call names them, and no other may come."""
    classifier = NNClassifier(**ONE_BATCH)
    with pytest.raises(ValueError, match="classes must be given to the first call"):
        classifier.partial_fit(X[:50], NAMES[:50])
    classifier.partial_fit(X[:50], NAMES[:50], classes=np.unique(NAMES)).partial_fit(X[50:], NAMES[50:])
    assert classifier.predict_proba(X).shape == (150, 3)
    with pytest.raises(ValueError, match=r"y has classes that it did not have .* \['rose'\]"):
        classifier.partial_fit(X[:2], ["rose", "setosa"])
    with pytest.raises(ValueError, match="not those of the earlier call"):
        classifier.partial_fit(X, NAMES, classes=["a", "b"])
    with pytest.raises(ValueError, match="early_stopping"):
        NNClassifier(**ONE_BATCH, early_stopping=True).partial_fit(X, NAMES, classes=np.unique(NAMES))


def test_warm_start():
    """A warm start goes on from the parameters, and keeps the curve."""
    fitted = NNClassifier(**{**ONE_BATCH, "max_iter": 5}, warm_start=True, solver="sgd", momentum=0).fit(X, NAMES)
    first = fitted.loss_curve_[:]
    fitted.fit(X, NAMES)
    whole = clone(fitted).set_params(max_iter=10, warm_start=False).fit(X, NAMES)
    np.testing.assert_allclose(fitted.loss_curve_, whole.loss_curve_, rtol=1e-10)
    assert fitted.loss_curve_[:5] == first
    with pytest.raises(ValueError, match="warm_start continues with the network that was fitted"):
        fitted.set_params(hidden_layer_sizes=(5,)).fit(X, NAMES)


# --- in company --------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_search_calibration_and_pipelines():
    """A grid is searched, also in processes; a pipeline scales; probabilities are calibrated."""
    pipeline = make_pipeline(StandardScaler(), NNClassifier(**ONE_BATCH, learning_rate_init=0.05))
    grid = {"nnclassifier__alpha": [1e-4, 10.0]}
    searches = [GridSearchCV(pipeline, grid, cv=3, n_jobs=jobs).fit(X, NAMES) for jobs in (None, 2)]
    assert searches[0].best_params_ == {"nnclassifier__alpha": 1e-4}
    for key in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(searches[0].cv_results_[key], searches[1].cv_results_[key])
    assert cross_val_score(pipeline, X, NAMES, cv=3).mean() > 0.9
    calibrated = CalibratedClassifierCV(pipeline, cv=3).fit(X, NAMES)
    assert calibrated.score(X, NAMES) > 0.9


def test_threads():
    """Fits that run side by side in threads, of one shape and of several, give the bits of fits one after the other."""
    estimators = [NNClassifier(**{**ONE_BATCH, "random_state": seed}) for seed in range(3)]
    estimators += [NNRegressor(**ONE_BATCH, activation="tanh")]
    tasks = [delayed(lambda fresh: fresh.fit(X, Y).parameters_)(clone(estimator)) for estimator in estimators]
    fitted = Parallel(n_jobs=4, backend="threading")(tasks)
    for estimator, parameters in zip(estimators, fitted, strict=True):
        np.testing.assert_array_equal(clone(estimator).fit(X, Y).parameters_, parameters)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    """Frames give their names, keep them through a pipeline that puts out frames, and refuse others."""
    frames = pytest.importorskip(library)
    names = ["a", "b", "c", "d"]
    frame = frames.DataFrame({name: X[:, k] for k, name in enumerate(names)})
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        pytest.skip(f"this scikit-learn finds no names in frames of this {library}")
    pipeline = make_pipeline(StandardScaler(), NNClassifier(**ONE_BATCH)).set_output(transform=library)
    pipeline.fit(frame, NAMES)
    assert pipeline[-1].feature_names_in_.tolist() == names
    plain = make_pipeline(StandardScaler(), NNClassifier(**ONE_BATCH)).fit(X, NAMES)
    np.testing.assert_allclose(pipeline.predict_proba(frame), plain.predict_proba(X), rtol=1e-9)
    with pytest.raises(ValueError, match="feature names"):
        pipeline[-1].predict(frames.DataFrame({name: X[:, k] for k, name in enumerate("dcba")}))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "estimator",
    [
        NNClassifier(**ONE_BATCH),
        NNRegressor(**ONE_BATCH),
        FormulaRegressor("a*size"),
        DynamicsRegressor(
            nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 1, "u0": 1}, times=3, name="texts"),
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_texts_in_a_frame(library, estimator):
    """A column of texts is refused by its name, with what to do; texts of numbers are numbers."""
    frames = pytest.importorskip(library)
    data = {"size": [1.0, 2.0, 3.0], "colour": ["0.5", "red", "blue"], "kind": ["a", "b", "c"]}
    message = r"^the column 'colour' of X has texts, such as 'red': leave it out, or encode it .*OneHotEncoder.*table"
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(frames.DataFrame(data), [0, 1, 2])
    with pytest.raises(ValueError, match=r"^column 2 of X has texts, such as 'a': leave it out"):
        clone(estimator).fit([[1, "0.5", "a"], [2, "1", "b"]], [0, 1])


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "estimator",
    [
        NNRegressor(**ONE_BATCH),
        FormulaRegressor("a*x0"),
        DynamicsRegressor(
            nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 1, "u0": 1}, times=3, name="texts"),
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_texts_in_targets(library, estimator):
    """A text in y of a regressor is refused with its target; texts of numbers are numbers."""
    frames = pytest.importorskip(library)
    rows, several = np.ones((3, 3 if isinstance(estimator, DynamicsRegressor) else 1)), {"u": [1, 2, 3]}
    for y, name in (
        (
            frames.Series("dose", ["0.5", "low", "2"])
            if library == "polars"
            else frames.Series(["0.5", "low", "2"], name="dose"),
            "the target 'dose'",
        ),
        (["0.5", "low", "2"], "y"),
        (np.array([0.5, "low", 2], object), "y"),
        (np.array(["1", "low", "2"]), "y"),
        (frames.DataFrame(several | {"v": ["0.5", "low", "2"]}), "the column 'v' of y"),
        ([[1, "0.5"], [2, "low"], [3, "2"]], "column 1 of y"),
    ):
        with pytest.raises(
            ValueError, match=f"^{name} has texts, such as 'low': a regressor learns numbers; .*NNClass"
        ):
            clone(estimator).fit(rows, y)
    if not isinstance(estimator, DynamicsRegressor):
        numbers = clone(estimator).fit(rows, [1, 2, 3]).predict(rows)
        np.testing.assert_array_equal(clone(estimator).fit(rows, ["1", "2", "3"]).predict(rows), numbers)


def test_names_of_classes_are_no_texts_in_the_way():
    """A text in X is told where y has names of classes."""
    with pytest.raises(ValueError, match=r"^column 1 of X has texts, such as 'a'"):
        NNClassifier(**ONE_BATCH).fit([[1, "a"], [2, "b"]], ["yes", "no"])


def test_texts_in_predictions():
    """So it is in a prediction; a frame of other names is refused for these."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1.0, 2.0, 3.0], "width": ["1", "2", "4"]})
    fitted = FormulaRegressor("a*size + b*width").fit(frame, [3, 6, 11])
    assert np.allclose(fitted.predict(frame), [3, 6, 11])
    with pytest.raises(ValueError, match=r"^the column 'width' of X has texts, such as 'wide'"):
        fitted.predict(frame.assign(width="wide"))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame.assign(width="wide").rename(columns={"size": "length"}))


def test_a_pickle_is_plain_and_needs_no_compiler(tmp_path):
    """What is pickled holds nothing compiled; it predicts without a compiler, after one warning."""
    fitted = NNClassifier(**ONE_BATCH).fit(X, NAMES)
    data = pickle.dumps(fitted)
    assert b".so" not in data
    assert len(data) < 8 * len(fitted.parameters_) + 8192
    (tmp_path / "found.pickle").write_bytes(data)
    program = f"""
        import pickle, sys, warnings
        import numpy as np
        from sklearn.datasets import load_iris
        with open({str(tmp_path / "found.pickle")!r}, "rb") as file:
            found = pickle.load(file)
        X, _ = load_iris(return_X_y=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.predict(X)
            np.save({str(tmp_path / "found.npy")!r}, found.predict_proba(X))
        assert [w.category for w in caught] == [RuntimeWarning], caught
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": "/nonexistent", "NNCODEGEN_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), fitted.predict_proba(X), rtol=1e-12)


def test_a_pickle_of_another_compiler_is_refused():
    """Parameters that mean another function to this nncodegen are not used."""
    fitted = NNClassifier(**ONE_BATCH).fit(X, NAMES)
    fitted.hash_ = "0" * 64
    with pytest.raises(nn.ModelError, match="trained by another version"):
        pickle.loads(pickle.dumps(fitted)).predict(X)


def test_many_shapes_in_one_process(monkeypatch):
    """Three shapes are built once each, and loaded once each, however often they are fitted."""
    built = []
    original = modules.build_module
    monkeypatch.setattr(
        modules, "build_module", lambda *arguments, **how: built.append(arguments) or original(*arguments, **how)
    )
    monkeypatch.setattr(modules, "_modules", {})
    estimator = NNRegressor(activation="linear", max_iter=1, random_state=0)
    libraries = []
    for _ in range(3):
        for units in range(1, 4):
            shape = clone(estimator).set_params(hidden_layer_sizes=(units,))
            shape.fit(np.ones((5, 2)), np.arange(5.0)).predict(np.ones((1, 2)))
        libraries.append(_libraries())
    assert len(built) == 3
    assert libraries[0] == libraries[1] == libraries[2]


def _libraries():
    """The shared libraries in this process, where the system tells them."""
    try:
        with open("/proc/self/maps") as file:
            return {line.split()[-1] for line in file if ".so" in line and "network." in line}
    except OSError:
        return set()


def test_without_scikit_learn(tmp_path):
    """The compiler does not import scikit-learn or pandas; the estimators say which extra they need."""
    (tmp_path / "sklearn.py").write_text("raise ImportError('none')")
    (tmp_path / "pandas.py").write_text("raise ImportError('none')")
    program = """
        import nncodegen, nncodegen.cli.commands
        try:
            from nncodegen.estimators import NNRegressor
        except nncodegen.MissingDependencyError as error:
            assert "pip install 'nncodegen[sklearn]'" in str(error)
        else:
            raise AssertionError
        try:
            from nncodegen.table import Settings, read_table
        except nncodegen.MissingDependencyError as error:
            assert "pip install 'nncodegen[table]'" in str(error)
        else:
            raise AssertionError
        """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, check=True)


# --- what cannot be meant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be integers from 1"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be integers from 1"),
        ({"activation": "rellu"}, "activation of layer 1 is not known: 'rellu'; there are: linear"),
        ({"activation": ["relu", "tanh"]}, "activation holds 2 activations, but there are 1 hidden layers"),
        ({"solver": "adma"}, "there is no solver 'adma'; there are: lbfgs, sgd"),
        ({"loss": "mes"}, "there is no loss 'mes'"),
        ({"loss": "output +"}, "the loss is not a formula"),
        ({"alpha": -1}, "alpha must be a number from 0, not -1"),
        ({"alpha": "a"}, "alpha must be a number from 0, not 'a'"),
        ({"beta_1": 1.0}, "beta_1 must be a number from 0, below 1"),
        ({"max_iter": 0}, "max_iter must be an integer from 1"),
        ({"batch_size": "all"}, "batch_size must be 'auto' or an integer from 1"),
        ({"learning_rate": "cosine"}, "learning_rate must be one of constant, invscaling, adaptive"),
        ({"precision": "half"}, "precision must be one of float64, float32"),
        ({"shuffle": 1}, "shuffle must be True or False"),
        ({"threads": 0}, "threads must be an integer from 1"),
        ({"train_options": 3}, "train_options must map names"),
        ({"train_options": {"epochs": 3}}, "train_options must not contain epochs"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "early_stopping holds out 1 of 150 samples"),
    ],
)
def test_wrong_parameters(parameters, message):
    """A parameter that cannot be meant is named, with what is allowed."""
    with pytest.raises((ValueError, TypeError)) as caught:
        NNClassifier(**{**ONE_BATCH, **parameters}).fit(X, NAMES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "targets", "message"),
    [
        ("poisson", LENGTH - 1, "poisson is for targets from 0"),
        ("hinge", LENGTH, "the loss hinge is for classes"),
        ("categorical_crossentropy", LENGTH, "is for classes"),
    ],
)
def test_losses_that_do_not_fit(loss, targets, message):
    """A loss of a regressor that is not for numbers, or not for these, is refused."""
    with pytest.raises(ValueError, match=message):
        NNRegressor(loss, **ONE_BATCH).fit(X, targets)


def test_nothing_is_predicted_before_fit():
    """An estimator that is not fitted says so."""
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(NNClassifier(), method)(X)


def test_weights_of_zero_are_samples_that_are_not_there():
    """Also in batches, a weight of 0 and the absence of a sample give the same bits."""
    weight = (np.arange(150) % 3 > 0).astype(float)
    base = NNClassifier(**ONE_BATCH, batch_size=16)
    fitted = clone(base).fit(X, NAMES, sample_weight=weight)
    other = clone(base).fit(X[weight > 0], NAMES[weight > 0])
    np.testing.assert_array_equal(fitted.parameters_, other.parameters_)
    with pytest.raises(ValueError, match=r"(?i)weight"):
        base.fit(X, NAMES, sample_weight=np.zeros(150))


def test_samples_are_kept_with_their_weights():
    """Data without weights is not copied."""
    data = training.WeightedSamples(X, Y)
    assert data.weighted() is data


@pytest.mark.parametrize(
    "estimator",
    [NNRegressor(hidden_layer_sizes=(2,), max_iter=2), FormulaRegressor("a*x0 + b")],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pickle_of_an_earlier_version(estimator):
    """An estimator that was pickled before there were bits has those of the CPU, and goes on as one with them."""
    X = np.linspace(-1, 1, 12)[:, None]
    fitted = clone(estimator).fit(X, 2 * X[:, 0] + 1)
    expected = fitted.predict(X)
    del fitted.__dict__["bits"]
    fitted = pickle.loads(pickle.dumps(fitted))
    assert "bits" not in vars(fitted)
    assert np.array_equal(fitted.predict(X), expected)
    assert fitted.get_params()["bits"] == clone(fitted).bits == "native"
    again = fitted.fit(X, 3 * X[:, 0] + 1).predict(X)
    assert again.shape == expected.shape
    assert "bits" not in vars(fitted)
