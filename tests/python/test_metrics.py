"""Metrics of predictions, functions of one's own, schedules that react, several callbacks, names of classes."""

import itertools
import pickle

import numpy as np
import pandas
import pytest
from scipy.sparse import csr_array
from sklearn import metrics as sklearn_metrics

import nncodegen as nn
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 3, 90)
X = np.round(RNG.normal(size=(90, 4)) + LABELS[:, None], 1)
WEIGHT = RNG.uniform(0.1, 2, 90)
NAMES = np.array(["setosa", "versicolor", "virginica"])

CHAIN = nn.Sequential([nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="metric_chain")
LOGITS = nn.Sequential([nn.Dense(3)], 4, "sparse_categorical_crossentropy_from_logits", name="metric_logits")
BINARY = nn.Sequential([nn.Dense(1, "sigmoid")], 4, "binary_crossentropy", name="metric_binary")
BINARY_LOGITS = nn.Sequential([nn.Dense(1)], 4, "binary_crossentropy_from_logits", name="metric_binary_logits")
SEVERAL = nn.Sequential([nn.Dense(2, "sigmoid")], 4, "binary_crossentropy", name="metric_several")
NUMBERS = nn.Sequential([nn.Dense(2)], 4, name="metric_numbers")

ADAM = {"optimizer": "adam", "learning_rate": 0.05, "batch_size": 16}


def probabilities(outputs):
    """Softmax of logits."""
    return np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)


def expected(name, y, p, weight, decided):
    """What scikit-learn makes of targets, outputs and decisions."""
    base, _, average = name.rpartition("_")
    sk = sklearn_metrics
    if name == "top_2_accuracy":
        return sk.top_k_accuracy_score(y, p, k=2, sample_weight=weight)
    functions = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    if "auc" in name:
        several = {"multi_class": "ovr"} if p.ndim > 1 and y.ndim == 1 else {}
        average = {"auc": "macro", "AUC": "macro"}.get(name, average)
        return sk.roc_auc_score(y, p, average=average, sample_weight=weight, **several)
    if name in functions:
        average = "binary" if p.ndim == 1 else "macro"
        return functions[name](y, decided, average=average, sample_weight=weight, zero_division=0)
    return functions[base](y, decided, average=average, sample_weight=weight, zero_division=0)


CLASSES = [
    *(f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_macro", "_micro", "_weighted")),
    "auc",
    "auc_weighted",
    "auc_micro",
]


@pytest.mark.parametrize("model", [CHAIN, LOGITS], ids=lambda model: model.name)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_classes_as_scikit_learn(model, weight):
    """Of several classes, all metrics are those of scikit-learn, for probabilities and logits, with weights too."""
    module = built(model, fit=False)
    result = module.train(X, LABELS, epochs=3, **ADAM)
    names = [*CLASSES, "top_2_accuracy"]
    for labels in (LABELS, np.where(LABELS == 2, 1, LABELS)):  # a class that no sample has
        if labels is not LABELS:
            names = [name for name in names if "auc" not in name and name != "top_2_accuracy"]
        values = module.evaluate(result.parameters, X, labels, weight, names)
        p = module.predict(result.parameters, X)
        p, decided = probabilities(p) if model is LOGITS else p, p.argmax(axis=1)
        for name in names:
            assert values[name] == pytest.approx(expected(name, labels, p, weight, decided), rel=1e-12), name


@pytest.mark.parametrize("model", [BINARY, BINARY_LOGITS], ids=lambda model: model.name)
def test_two_classes_as_scikit_learn(model):
    """Of two classes, precision, recall and F1 are those of the class 1, of logits above 0; ties count half in AUC."""
    module = built(model, fit=False)
    y = (LABELS > 0).astype(int)
    parameters = module.train(X, y, epochs=2, **ADAM).parameters
    rows, y, weight = np.r_[X, X], np.r_[y, np.roll(y, 1)], np.r_[WEIGHT, WEIGHT[::-1]]
    p = module.predict(parameters, rows)[:, 0]
    assert len(np.unique(p)) < len(p)
    decided = (p > (0 if model is BINARY_LOGITS else 0.5)).astype(int)
    values = module.evaluate(parameters, rows, y, weight, [*CLASSES, "accuracy"])
    for name in CLASSES:
        assert values[name] == pytest.approx(expected(name, y, p, weight, decided), rel=1e-12), name
    assert values["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(y, decided, sample_weight=weight))


def test_several_labels_as_scikit_learn():
    """Targets that do not exclude each other are scikit-learn's multilabel ones."""
    module = built(SEVERAL, fit=False)
    y = np.c_[LABELS > 0, LABELS == 1].astype(int)
    result = module.train(X, y, epochs=5, **ADAM)
    p = module.predict(result.parameters, X)
    values = module.evaluate(result.parameters, X, y, WEIGHT, CLASSES)
    for name in CLASSES:
        assert values[name] == pytest.approx(expected(name, y, p, WEIGHT, p > 0.5), rel=1e-12), name


def test_numbers_as_scikit_learn():
    """Errors of numbers are those of scikit-learn, by Keras' long names as well; mape is a share."""
    module = built(NUMBERS, fit=False)
    y = RNG.normal(size=(90, 2))
    parameters = module.initial_parameters(1)
    p = module.predict(parameters, X)
    names = ["mse", "root_mean_squared_error", "mape", "mae", "r2"]
    values = module.evaluate(parameters, X, y, WEIGHT, names)
    sk = sklearn_metrics
    functions = (
        sk.mean_squared_error,
        sk.root_mean_squared_error,
        sk.mean_absolute_percentage_error,
        sk.mean_absolute_error,
        sk.r2_score,
    )
    for name, function in zip(names, functions, strict=True):
        assert values[name] == pytest.approx(function(y, p, sample_weight=WEIGHT), rel=1e-12), name
    assert values["loss"] == module.loss(parameters, X, y, WEIGHT)


def test_figures_without_a_value():
    """Where nothing is said to be of a class its precision is 0; AUC of one class alone is NaN."""
    module = built(BINARY, fit=False)
    values = module.evaluate(np.zeros(5), X, np.ones(90), metrics=["precision", "f1", "auc"])
    assert (values["precision"], values["f1"]) == (0, 0)
    assert np.isnan(values["auc"])


# --- in training -----------------------------------------------------------------------------------------------------


def test_metrics_of_each_epoch():
    """They are those of the parameters after each epoch, of training and validation data, beside the kernel's own."""
    module = built(CHAIN, fit=False)
    seen = []
    names = ["f1", "accuracy", "AUC"]
    arguments = {
        "validation_data": (X[60:], LABELS[60:], WEIGHT[60:]),
        "sample_weight": WEIGHT[:60],
        "epochs": 4,
        **ADAM,
    }
    result = module.train(X[:60], LABELS[:60], metrics=names, callback=seen.append, **arguments)
    plain = module.train(X[:60], LABELS[:60], metrics="accuracy", **arguments)
    assert list(result.metrics) == ["loss", "accuracy", "f1", "AUC", "val_loss", "val_accuracy", "val_f1", "val_AUC"]
    for name, values in plain.metrics.items():
        assert np.array_equal(values, result.metrics[name])
    assert np.array_equal(plain.parameters, result.parameters)
    last = module.evaluate(result.parameters, X[60:], LABELS[60:], WEIGHT[60:], names)
    first = module.evaluate(result.parameters, X[:60], LABELS[:60], WEIGHT[:60], names)
    assert [result.metrics[f"val_{name}"][-1] for name in names] == pytest.approx([last[name] for name in names])
    assert [result.metrics[name][-1] for name in ("f1", "AUC")] == [first["f1"], first["AUC"]]
    assert seen[1].metrics["val_AUC"] == result.metrics["val_AUC"][1]


def share_met(y_true, y_pred):
    return (y_true == y_pred.argmax(axis=1)).mean()


def weighted(y_true, y_pred, sample_weight=None):
    return 1.0 if sample_weight is None else float(sample_weight @ (y_true == y_pred.argmax(axis=1)))


def test_functions_of_ones_own():
    """They get the targets as they were given, the outputs, and the weights where they take these."""
    module = built(CHAIN, fit=False)
    shapes = []
    functions = {"shapes": lambda y, p: shapes.append((y.shape, p.shape)) or 0, "weighted": weighted}
    result = module.train(X, LABELS, sample_weight=WEIGHT, epochs=2, metrics=[share_met, *("mae",)], **ADAM)
    met = (module.predict(result.parameters, X).argmax(axis=1) == LABELS).mean()
    assert result.metrics["share_met"][-1] == met
    values = module.evaluate(result.parameters, X, LABELS, WEIGHT, functions)
    assert (values["weighted"] > 1, shapes) == (True, [((90,), (90, 3))])
    module.evaluate(result.parameters, X, np.eye(3)[LABELS], metrics=functions)
    assert shapes[-1] == ((90, 3), (90, 3))
    by_name = {"seen": lambda y, p: float(set(y) == set(NAMES))}
    assert module.evaluate(result.parameters, X, NAMES[LABELS], metrics=by_name)["seen"] == 1
    single = built(BINARY, fit=False)
    single.evaluate(np.zeros(5), X, (LABELS > 0)[:, None], metrics=functions)
    assert shapes[-1] == ((90,), (90,))


def test_an_error_of_a_metric():
    """It ends the training; what was reached is its attribute, and can be resumed."""
    module = built(CHAIN, fit=False)
    calls = itertools.count(1)

    def fails(y_true, y_pred):
        if next(calls) == 3:
            raise RuntimeError
        return 0.5

    with pytest.raises(RuntimeError) as caught:
        module.train(X, LABELS, epochs=5, metrics=fails, **ADAM)
    reached = caught.value.result
    assert np.isnan(reached.metrics["fails"]).tolist() == [False, False, True]
    whole = module.train(X, LABELS, epochs=5, resume=reached, **ADAM)
    assert np.array_equal(whole.parameters, module.train(X, LABELS, epochs=5, **ADAM).parameters)
    with pytest.raises(ValueError, match="the metric text gives 'a', which is no number"):
        module.train(X, LABELS, metrics={"text": lambda y, p: "a"})


@pytest.mark.parametrize("monitor", ["val_f1", "auc", "val_share_met"])
def test_early_stopping_by_a_metric(monitor, tmp_path):
    """It has the best epoch of the figures of a full training, also after a pause, and its parameters."""
    module = built(CHAIN, fit=False)
    arguments = {**ADAM, "metrics": ["f1", "auc", share_met], "validation_split": 0.3, "learning_rate": 0.3}
    seen = []
    full = module.train(X, LABELS, epochs=20, callback=lambda p: seen.append(p.parameters), **arguments)
    figures = full.metrics[monitor]
    best, epochs = 0, 20
    for epoch in range(20):
        best = epoch if figures[epoch] > figures[best] + 0.01 or epoch == 0 else best
        if epoch - best >= 3:
            epochs = epoch + 1
            break
    arguments |= {"monitor": monitor, "patience": 3, "min_delta": 0.01, "mode": "max"}
    result = module.train(X, LABELS, epochs=20, **arguments)
    assert (result.epochs, result.best_epoch) == (epochs, best + 1)
    assert result.status == ("stopped_early" if epochs - best - 1 >= 3 else "completed")
    assert np.array_equal(result.parameters, seen[best])
    half = module.train(X, LABELS, epochs=2, **arguments)
    half.save(tmp_path / "half.npz")
    again = module.train(X, LABELS, epochs=20, resume=module.load(tmp_path / "half.npz"), **arguments)
    assert (again.epochs, again.best_epoch) == (result.epochs, result.best_epoch)
    assert np.array_equal(again.parameters, result.parameters)
    assert np.array_equal(again.metrics[monitor], result.metrics[monitor])


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("gini", r"there is no metric 'gini'; there are: loss, accuracy, mae, r2, .*f1.*_macro.* functions"),
        ("f1_median", "there is no metric 'f1_median'"),
        ("top_3_accuracy", "more than 3 classes, of which a sample has one; there are 3"),
        (lambda y, p: 0, 'a metric that is a function needs a name: give {"name": function}'),
        ({"accuracy": share_met}, "'accuracy' is the name of another metric"),
        ([share_met, {"a": 1}], "there is no metric {'a': 1}"),
    ],
)
def test_bad_metrics(metrics, message):
    """A metric that there is not is refused in words, and so is a function without a name."""
    module = built(CHAIN, fit=False)
    with pytest.raises(ValueError, match=message):
        module.train(X, LABELS, metrics=metrics)
    with pytest.raises(ValueError, match=message):
        module.evaluate(module.initial_parameters(), X, LABELS, metrics=metrics)


def test_metrics_that_need_something():
    """Metrics of classes need classes; more of a function of one's own is better only if that is said."""
    numbers = built(NUMBERS, fit=False)
    with pytest.raises(ValueError, match="the metric auc needs classes"):
        numbers.train(X, X[:, :2], metrics="auc")
    with pytest.raises(ValueError, match=r"top_2_accuracy is for more than 2 classes.*the targets are no classes"):
        numbers.train(X, X[:, :2], metrics="top_2_accuracy")
    chain = built(CHAIN, fit=False)
    with pytest.raises(ValueError, match="monitor is 'share_met', a function of one's own: say mode='min' or 'max'"):
        chain.train(X, LABELS, metrics=share_met, monitor="share_met")
    with pytest.raises(ValueError, match="mode must be 'auto', 'min' or 'max', not 'most'"):
        chain.train(X, LABELS, mode="most")


def test_metrics_of_sparse_inputs():
    """Sparse inputs are measured as dense ones."""
    module = built(CHAIN, fit=False)
    few = np.where(abs(X) > 1, X, 0)
    arguments = {"epochs": 2, "metrics": ["f1", "auc"], "validation_split": 0.2, **ADAM}
    dense, sparse = module.train(few, LABELS, **arguments), module.train(csr_array(few), LABELS, **arguments)
    for name, values in dense.metrics.items():
        assert np.array_equal(values, sparse.metrics[name])


def test_metrics_of_a_stream():
    """A batch is an epoch: its metrics are those of the batch."""
    module = built(CHAIN, fit=False)
    batches = [(X[k : k + 30], LABELS[k : k + 30]) for k in (0, 30, 60)]
    result = module.train_on_stream(batches, metrics=["f1"], validation_data=(X, LABELS), learning_rate=0.1)
    assert result.metrics["f1"][-1] == module.evaluate(result.parameters, X[60:], LABELS[60:], metrics="f1")["f1"]
    assert result.metrics["val_f1"].shape == (3,)


# --- schedules that react --------------------------------------------------------------------------------------------


def reduced(figures, rate, factor, patience, min_delta, cooldown, least):
    """The rate of each epoch, by the rule of Keras as its documentation tells it."""
    rates, best, wait, cooling = [], np.inf, 0, 0
    for figure in figures:
        rates.append(rate)
        if cooling > 0:
            cooling -= 1
            wait = 0
        if figure < best - min_delta:
            best, wait = figure, 0
        elif cooling == 0:
            wait += 1
            if wait >= patience and rate > least:
                rate, cooling, wait = max(rate * factor, least), cooldown, 0
    return rates


@pytest.mark.parametrize("cooldown", [0, 2])
@pytest.mark.parametrize("monitor", ["loss", "val_loss", "val_f1", "accuracy"])
def test_a_plateau_lowers_the_rate(monitor, cooldown, tmp_path):
    """The learning rate is multiplied by the factor after a number of epochs that were not better, as in Keras."""
    module = built(CHAIN, fit=False)
    numbers = {"factor": 0.5, "patience": 2, "min_delta": 0.02, "cooldown": cooldown, "min_lr": 0.02}
    arguments = {
        "learning_rate": 0.6,
        "batch_size": 16,
        "metrics": ["f1", "accuracy"],
        "validation_split": 0.3,
        "schedule": ("plateau", {**numbers, "monitor": monitor}),
    }
    result = module.train(X, LABELS, epochs=24, **arguments)
    sign = -1 if monitor in ("val_f1", "accuracy") else 1
    rates = reduced(sign * result.metrics[monitor], 0.6, 0.5, 2, 0.02, cooldown, 0.02)
    assert result.learning_rate == pytest.approx(rates, rel=1e-12)
    assert len(set(result.learning_rate)) > 2
    by_hand = module.train(X, LABELS, epochs=24, **{**arguments, "schedule": result.learning_rate / 0.6})
    assert by_hand.parameters == pytest.approx(result.parameters, rel=1e-12)
    half = module.train(X, LABELS, epochs=9, **arguments)
    half.save(tmp_path / "half.npz")
    for resumed in (half, module.load(tmp_path / "half.npz")):
        whole = module.train(X, LABELS, epochs=24, resume=resumed, **arguments)
        assert np.array_equal(whole.parameters, result.parameters)
        assert np.array_equal(whole.learning_rate, result.learning_rate)


@pytest.mark.parametrize("plateau", [[2, 0, 0, 0], [1, np.nan, 0, 0], [1, 0, np.inf, 0], [1, 0, 0, -1]])
def test_a_plateau_that_cannot_be(plateau, tmp_path):
    """A file whose plateau has figures that no training leaves is refused."""
    module = built(CHAIN, fit=False)
    module.train(X, LABELS, epochs=2, schedule="plateau").save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as good:
        np.savez(tmp_path / "bad.npz", **{**good, "state.plateau": np.array(plateau, float)})
    with pytest.raises(ValueError, match=r"bad\.npz is damaged, .* its parts do not fit together"):
        module.load(tmp_path / "bad.npz")


def test_a_plateau_of_the_monitor():
    """Without a monitor of its own it looks at that of the training, else at the validation loss, else at the loss."""
    module = built(CHAIN, fit=False)
    schedule = ("plateau", {"patience": 1, "factor": 0.5, "min_delta": 10.0})
    for arguments in ({}, {"validation_split": 0.2}, {"monitor": "mae", "metrics": "mae"}):
        result = module.train(X, LABELS, epochs=4, learning_rate=1.0, schedule=schedule, **arguments)
        assert result.learning_rate.tolist() == [1.0, 1.0, 0.5, 0.25]
        assert (result.best_epoch is None) == ("monitor" not in arguments)


def test_a_function_as_schedule():
    """It is asked before each epoch for the factor, with the number of epochs that are done, also after a pause."""
    module = built(CHAIN, fit=False)
    asked = []

    def halved(epoch):
        asked.append(epoch)
        return 0.5**epoch

    arguments = {"learning_rate": 0.4, "batch_size": 16}
    result = module.train(X, LABELS, epochs=5, schedule=halved, **arguments)
    expected = module.train(X, LABELS, epochs=5, schedule=0.5 ** np.arange(5), **arguments)
    assert asked == [0, 1, 2, 3, 4]
    assert np.array_equal(result.parameters, expected.parameters)
    assert np.array_equal(result.learning_rate, expected.learning_rate)
    half = module.train(X, LABELS, epochs=2, schedule=halved, **arguments)
    whole = module.train(X, LABELS, epochs=5, schedule=halved, resume=half, **arguments)
    assert np.array_equal(whole.parameters, expected.parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "plato"}, "there is no schedule 'plato'; there are: .*plateau"),
        (
            {"schedule": ("plateau", {"speed": 1})},
            "the schedule plateau has no 'speed'; it has: factor, .* monitor, mode",
        ),
        ({"schedule": ("plateau", {"factor": 1.5})}, "factor of the schedule must be a number above 0, below 1"),
        ({"schedule": ("plateau", {"patience": 1.5})}, "patience of the schedule must be a whole number of epochs"),
        ({"schedule": ("plateau", {"monitor": "f1"})}, "monitor of the schedule is 'f1', which is not measured"),
        ({"schedule": ("plateau", {"mode": "up"})}, "mode of the schedule must be 'auto', 'min' or 'max'"),
        ({"schedule": "plateau", "history": False}, "history=False measures nothing"),
        ({"schedule": lambda epoch: -1}, "the factor of the schedule after 0 epochs must be a number from 0, not -1"),
        ({"schedule": "plateau", "optimizer": "rprop"}, "rprop takes no schedule"),
    ],
)
def test_bad_schedules(arguments, message):
    """What a schedule cannot do is refused in words."""
    with pytest.raises(ValueError, match=message):
        built(CHAIN, fit=False).train(X, LABELS, epochs=2, **arguments)


def test_many_models_have_no_schedule():
    """Many models at once have constant rates, which an error says, and what to do instead."""
    with pytest.raises(TypeError, match="train_many takes no schedule: give it to train"):
        built(CHAIN, fit=False).train_many(X, LABELS, models=2, schedule="plateau")


def test_several_callbacks():
    """All are called after each epoch, in their order, and each can end the training."""
    module, seen = built(CHAIN, fit=False), []
    callbacks = [lambda p: p.epochs == 3, lambda p: seen.append(p.epochs), lambda p: p.epochs == 5]
    result = module.train(X, LABELS, epochs=9, callback=callbacks)
    assert (result.status, result.epochs, seen) == ("stopped", 3, [1, 2, 3])
    assert module.train(X, LABELS, epochs=9, callback=tuple(callbacks[1:])).epochs == 5
    assert module.train(X, LABELS, epochs=2, callback=[]).status == "completed"
    with pytest.raises(ValueError, match="callback must be a function of one argument, or several in a list"):
        module.train(X, LABELS, callback=[print, 3])


# --- labels ----------------------------------------------------------------------------------------------------------


def test_names_of_classes(tmp_path):
    """Texts are the classes in sorted order, which the result tells, in all samples, weights, and after a pause."""
    module = built(CHAIN, fit=False)
    arguments = {"epochs": 3, "validation_split": 0.2, "metrics": "accuracy", **ADAM}
    plain = module.train(X, LABELS, class_weight={0: 2.0}, **arguments)
    named = NAMES[LABELS]
    frame = pandas.DataFrame({"kind": named})
    for names in (named, named.tolist(), named.astype(object), named[:, None], frame, frame.kind.astype("category")):
        result = module.train(X, names, class_weight={"setosa": 2.0}, **arguments)
        assert np.array_equal(result.parameters, plain.parameters)
        assert result.classes.tolist() == NAMES.tolist()
    result.save(tmp_path / "named.npz")
    loaded = module.load(tmp_path / "named.npz")
    assert loaded.classes.tolist() == pickle.loads(pickle.dumps(result)).classes.tolist() == NAMES.tolist()
    arguments |= {"epochs": 6, "class_weight": {"setosa": 2.0}}
    again = module.train(X, NAMES[LABELS], resume=loaded, **arguments)
    assert again.classes.tolist() == NAMES.tolist()
    assert plain.classes is None
    validated = module.train(X, NAMES[LABELS], epochs=1, validation_data=(X[:1], NAMES[LABELS[:1]]))
    assert np.isfinite(validated.metrics["val_loss"]).all()
    other = module.train(X, NAMES[LABELS], classes=NAMES[::-1], epochs=1)
    assert np.array_equal(other.parameters, module.train(X, 2 - LABELS, epochs=1).parameters)
    assert module.minimize(X, NAMES[LABELS], options={"maxiter": 1}).classes.tolist() == NAMES.tolist()
    first = module.partial_fit(X[:2], NAMES[LABELS[:2]], classes=NAMES)
    assert module.partial_fit(X[2:4], NAMES[LABELS[2:4]], first).classes.tolist() == NAMES.tolist()


def test_whole_numbers_as_names(tmp_path):
    """Classes may be any whole numbers; of one target they are those of 0 and 1."""
    module = built(BINARY, fit=False)
    y = (LABELS > 0).astype(int)
    result = module.train(X, 7 - 4 * y, classes=[7, 3], epochs=2)
    assert np.array_equal(result.parameters, module.train(X, y, epochs=2).parameters)
    result.save(tmp_path / "numbered.npz")
    assert module.load(tmp_path / "numbered.npz").classes.tolist() == [7, 3]
    texts = module.train(X, np.where(y, "yes", "no"), epochs=2)
    assert np.array_equal(result.parameters, texts.parameters)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (
            NAMES[LABELS % 2],
            None,
            "Y has 2 different texts .*'setosa', 'versicolor'.*3 classes.*: give the names of all",
        ),
        (NAMES[LABELS], ["setosa", "virginica"], "classes has 2 names; the model tells 3 classes apart"),
        (NAMES[LABELS], "setosa", "classes must be a list of different texts or whole numbers"),
        (NAMES[LABELS], ["setosa", "setosa", "rose"], "classes has a name twice"),
        (
            NAMES[LABELS],
            ["setosa", "virginica", "rose"],
            r"Y\[[0-9]+\] is 'versicolor', which is no class; there are: 'se",
        ),
        (["a", None, *"bc" * 44], None, r"Y\[1\] is None, and no text"),
        (LABELS + 1, None, r"Y\[[0-9]+\] is 3, which is no class; expected labels 0 to 2"),
        ((LABELS + 1)[:, None], None, r"Y\[[0-9]+\] is 3, which is no class; expected labels 0 to 2"),
    ],
)
def test_labels_that_are_no_classes(labels, classes, message):
    """Labels and names that fit no class are refused with their place."""
    with pytest.raises(ValueError, match=message):
        built(CHAIN, fit=False).train(X, labels, classes=classes)


def test_sparse_crossentropy():
    """Keras' name for labels as targets is the same loss; labels may be a column, rows of probabilities do as well."""
    sparse = nn.Sequential(CHAIN.layers, 4, "sparse_categorical_crossentropy", name="metric_chain")
    assert sparse.describe() == CHAIN.describe()
    module = built(CHAIN, fit=False)
    result = module.train(X, LABELS, epochs=3)
    for labels in (LABELS[:, None], LABELS.tolist(), np.eye(3)[LABELS], {"y": LABELS}):
        assert np.array_equal(module.train(X, labels, epochs=3).parameters, result.parameters)
        assert module.loss(result.parameters, X, labels) == result.loss


def test_labels_of_sequences():
    """A class for each step of a sequence is given by its number, as in Keras."""
    layers = [nn.Dense(3, "softmax")]
    module = nn.build(nn.Sequential(layers, (5, 2), "sparse_categorical_crossentropy", name="tags"), fit=False)
    inputs, tags = RNG.normal(size=(20, 5, 2)), RNG.integers(0, 3, (20, 5))
    result = module.train(inputs, tags, epochs=2)
    for labels in (tags.tolist(), tags[..., None], np.eye(3)[tags], np.eye(3)[tags].reshape(20, 15), {"y": tags}):
        assert module.loss(result.parameters, inputs, labels) == result.loss
    p = module.predict(result.parameters, inputs).reshape(20, 5, 3)
    chosen = np.take_along_axis(p, tags[..., None], axis=2)
    assert result.loss == pytest.approx(-np.log(chosen).mean())
    with pytest.raises(ValueError, match=r"Y\[0, [0-4]\] is -?[0-9]+, which is no class; expected labels 0 to 2"):
        module.train(inputs, tags - 3)


# --- lists of arrays -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both():
    """Two inputs, of three values and of two, and two outputs: a number and one of three classes."""
    a, b = nn.Input(3, name="a"), nn.Input(2, name="b")
    h = nn.Dense(4, "tanh")(nn.concatenate([a, b]))
    outputs = {"size": nn.Dense(1)(h), "kind": nn.Dense(3, "softmax")(h)}
    losses = {"size": "mse", "kind": "sparse_categorical_crossentropy"}
    return nn.build(nn.Network([a, b], outputs, losses, name="listed"), fit=False)


A, B, SIZES = RNG.normal(size=(90, 3)), RNG.normal(size=(90, 2)), RNG.normal(size=90)


def test_lists_of_inputs_and_targets(both):
    """Arrays in a list are those of the inputs, or outputs, in their order: wherever X and Y are taken."""
    whole, targets = np.hstack([A, B]), np.hstack([SIZES[:, None], np.eye(3)[LABELS]])
    result = both.train(whole, targets, epochs=3, validation_data=(whole, targets))
    for X_, Y_ in (
        ([A, B], [SIZES, LABELS]),
        ((A, B), (SIZES[:, None], np.eye(3)[LABELS])),
        ({"b": B, "a": A}, {"size": SIZES, "kind": LABELS}),
    ):
        assert np.array_equal(both.train(X_, Y_, epochs=3, validation_data=(X_, Y_)).parameters, result.parameters)
        assert np.array_equal(both.predict(result.parameters, X_), both.predict(result.parameters, whole))
        assert both.loss(result.parameters, X_, Y_) == result.loss
        assert both.evaluate(result.parameters, X_, Y_)["loss"] == result.loss
        streamed = both.train_on_stream([(X_, Y_)], seed=1)
        assert np.array_equal(streamed.parameters, both.train_on_stream([(whole, targets)], seed=1).parameters)
        many = both.train_many(X_, Y_, models=2, epochs=2)
        assert np.array_equal(many.parameters, both.train_many(whole, targets, models=2, epochs=2).parameters)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([A, B, A], "X is a list of 3 arrays; expected one for each of a, b, in order"),
        ([B, A], r"X\[0\] has the shape \(90, 2\); expected \(samples, 3\)"),
        ([A, B[:9]], "X has arrays with different numbers of rows"),
    ],
)
def test_lists_that_do_not_fit(both, arrays, message):
    """A list with arrays that are not those of the inputs is refused in words."""
    with pytest.raises(ValueError, match=message):
        both.predict(both.initial_parameters(), arrays)


def test_lists_of_columns(perceptron):
    """Inputs of one value may be arrays (N,); where they could be rows as well, an error says so; rows stay rows."""
    x1, x2 = RNG.normal(size=(2, 5))
    parameters = perceptron.initial_parameters()
    expected = perceptron.predict(parameters, np.column_stack([x1, x2]))
    assert np.array_equal(perceptron.predict(parameters, [x1, x2]), expected)
    assert np.array_equal(perceptron.predict(parameters, [[0.0, 1.0], [2.0, 3.0]]).shape, (2, 1))
    rows = list(np.column_stack([x1, x2]))
    assert np.array_equal(perceptron.predict(parameters, rows), expected)
    with pytest.raises(ValueError, match="X is a list of 2 arrays of 2 values, which may be its rows or its columns"):
        perceptron.predict(parameters, rows[:2])


@pytest.mark.parametrize("attends", [False, True])
def test_outputs_that_are_sequences(attends):
    """Metrics of a training compare every value of outputs with a step and a feature, wherever samples lie."""
    x = nn.Input((3, 5))
    h = nn.MultiHeadAttention(1, 5)(x) if attends else nn.LSTM(5, return_sequences=True)(x)
    module = built(
        nn.Network(x, nn.Dense(4)(h), name=f"metric_steps_{'attended' if attends else 'recurrent'}"), fit=False
    )
    rng = np.random.default_rng(8)
    inputs, targets = rng.normal(size=(21, 15)), rng.normal(size=(21, 12))
    start = rng.normal(size=module.parameter_count)
    result = module.train(inputs, targets, start, epochs=1, learning_rate=1e-12, metrics="mae", batch_size=None)
    mean_value = abs(module.predict(start, inputs).reshape(21, 12) - targets).mean()
    np.testing.assert_allclose(result.metrics["mae"][0], mean_value, rtol=1e-9)


# --- sequences of classes ----------------------------------------------------------------------------------------


def sequences(name):
    """A network that gives one of three classes at each of four steps, tokens, and labels of which some are missing."""
    tokens = nn.Input(4, name="tokens")
    output = nn.Dense(3)(nn.Embedding(5, 4)(tokens))
    network = nn.Network(tokens, output, "sparse_categorical_crossentropy_from_logits", name=name)
    rng = np.random.default_rng(1)
    X, Y = rng.integers(0, 5, (40, 4)), rng.integers(0, 3, (40, 4))
    Y[rng.random(Y.shape) < 0.4] = -1
    Y[:, 1] = X[:, 1] % 3
    return built(network, fit=False), X, Y


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_without_a_target_count_as_nothing(weighted):
    """Metrics of steps with classes are those of scikit-learn for the steps that have a target."""
    module, X, Y = sequences("steps")
    parameters = np.random.default_rng(2).normal(size=module.parameter_count)
    weight = np.random.default_rng(3).random(40) + 0.1 if weighted else None
    names = ["accuracy", "sparse_categorical_accuracy", "f1", "precision_micro", "top_2_accuracy", "auc", "mae"]
    values = module.evaluate(parameters, X, Y, weight, names)
    outputs = module.predict(parameters, X).reshape(-1, 3)
    there, y = Y.ravel() >= 0, Y.ravel()[Y.ravel() >= 0]
    steps = {} if weight is None else {"sample_weight": np.repeat(weight, 4)[there]}
    p, decided = outputs[there], outputs[there].argmax(axis=1)
    shares = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    accuracy = sklearn_metrics.accuracy_score(y, decided, **steps)
    expected = {
        "accuracy": accuracy,
        "sparse_categorical_accuracy": accuracy,
        "f1": sklearn_metrics.f1_score(y, decided, average="macro", **steps),
        "precision_micro": sklearn_metrics.precision_score(y, decided, average="micro", **steps),
        "top_2_accuracy": sklearn_metrics.top_k_accuracy_score(y, p, k=2, **steps),
        "auc": sklearn_metrics.roc_auc_score(y, shares, multi_class="ovr", **steps),
        "mae": sklearn_metrics.mean_absolute_error(np.eye(3)[y], p, **steps),
    }
    assert {name: values[name] for name in names} == pytest.approx(expected, rel=1e-12)


def test_accuracy_of_steps_in_a_training():
    """A training notes the accuracy of its steps after each epoch, and may monitor it."""
    module, X, Y = sequences("noted")
    result = module.train(
        X, Y, epochs=8, metrics="accuracy", validation_data=(X[:9], Y[:9]), monitor="val_accuracy", **ADAM
    )
    best = module.evaluate(result.parameters, X, Y, metrics="accuracy")["accuracy"]
    assert result.metrics["accuracy"][result.best_epoch - 1] == pytest.approx(best, rel=1e-12)
    assert result.best_epoch == 1 + result.metrics["val_accuracy"].argmax()
