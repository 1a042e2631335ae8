"""The trainer: weights, penalties, clipping, schedules, metrics, early stopping, callbacks, limits, progress."""

import platform
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score
from sklearn.utils.class_weight import compute_sample_weight

import nncodegen as nn
from tests.support import ROOT
from tests.support.built import built
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
LABELS = RNG.integers(0, 3, 150)
FLOWERS = RNG.normal(size=(150, 4)) + LABELS[:, None]
WEIGHTS = np.r_[np.ones(12), np.zeros(4), np.ones(8), np.zeros(2)]
"""Which of the 26 parameters are weights: W1 (4, 3), b1 (4,), W2 (2, 4), b2 (2,)."""


@pytest.fixture(scope="module")
def module():
    return nn.build(nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(2)], inputs=3, name="trained"), fit=False)


@pytest.fixture(scope="module")
def logits():
    """One target that is 0 or 1, and a logit for it."""
    return nn.build(nn.Sequential([nn.Dense(1)], 4, "binary_crossentropy_from_logits", name="logits"), fit=False)


def descend(module, epochs, batch=40, rate=lambda update: 0.1, change=lambda w, g: g, decay=0.0, weight=None):
    """Gradient descent in NumPy, without shuffling."""
    w = module.initial_parameters(seed=0)
    weight = np.ones(len(X)) if weight is None else weight / weight.mean()
    update = 0
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            rows = slice(begin, begin + batch)
            _, g = module.loss_and_gradient(w, X[rows], Y[rows], weight[rows])
            g = change(w, g * weight[rows].mean())
            w = w - rate(update) * g - rate(update) * decay * w
            update += 1
    return w


def training(module, **arguments):
    return module.train(X, Y, **{"learning_rate": 0.1, "epochs": 5, "shuffle": False, **arguments})


def trained(module, **arguments):
    return training(module, **arguments).parameters


# --- weights, penalties, clipping ------------------------------------------------------------------------------------


def test_sample_weight(module):
    """Batches follow the gradient of their part of the weighted mean; of the whole, an integer counts that often."""
    weight = RNG.uniform(0.1, 2, 40)
    expected = descend(module, 5, 16, weight=weight)
    assert trained(module, batch_size=16, sample_weight=weight) == pytest.approx(expected, rel=1e-10)
    counts = RNG.integers(0, 3, 40)
    rows = np.repeat(np.arange(40), counts)
    result = module.train(X, Y, epochs=5, sample_weight=counts)
    repeated = module.train(X[rows], Y[rows], epochs=5)
    assert result.parameters == pytest.approx(repeated.parameters, rel=1e-10)
    assert result.history == pytest.approx(repeated.history, rel=1e-12)
    assert result.loss == pytest.approx(repeated.loss, rel=1e-12)


def test_a_batch_without_weight(module):
    """A batch whose samples do not count changes nothing, and is no error."""
    weight = np.r_[np.ones(20), np.zeros(20)]
    result = module.train(X, Y, epochs=3, batch_size=20, shuffle=False, sample_weight=weight, learning_rate=0.05)
    # every other update has no gradient, and what is left has twice the weight
    expected = module.train(X[:20], Y[:20], epochs=3, learning_rate=0.1)
    assert result.parameters == pytest.approx(expected.parameters, rel=1e-10)
    assert result.loss == pytest.approx(expected.loss, rel=1e-10)


def test_class_weight(chain, logits):
    """ "balanced" and a dictionary are what scikit-learn makes of them; they multiply sample_weight."""
    weight = RNG.uniform(0.1, 2, 150)
    for classes in ("balanced", {0: 2.0, 2: 0.5}, {np.int64(1): 3}):
        whole = classes if classes == "balanced" else {0: 1, 1: 1, 2: 1} | classes
        expected = compute_sample_weight(whole, LABELS)
        for arguments, factor in (({}, 1), ({"sample_weight": weight}, weight)):
            result = chain.train(FLOWERS, LABELS, epochs=3, class_weight=classes, **arguments)
            by_hand = chain.train(FLOWERS, LABELS, epochs=3, sample_weight=expected * factor)
            assert result.parameters == pytest.approx(by_hand.parameters, rel=1e-10)
    binary = (LABELS == 0).astype(float)
    result = logits.train(FLOWERS, binary, epochs=3, class_weight="balanced")
    by_hand = logits.train(FLOWERS, binary, epochs=3, sample_weight=compute_sample_weight("balanced", binary))
    assert result.parameters == pytest.approx(by_hand.parameters, rel=1e-10)
    signs = logits.train(FLOWERS, 2 * binary - 1, epochs=1, class_weight={-1: 2.0})
    by_hand = logits.train(FLOWERS, 2 * binary - 1, epochs=1, sample_weight=2 - binary)
    assert signs.parameters == pytest.approx(by_hand.parameters, rel=1e-10)


def test_penalties(module):
    """l1 and l2 add their gradient to that of weights, not of biases, and leave the reported loss alone."""
    parameters = trained(module, l1=0.02, l2=0.3)
    assert parameters == pytest.approx(
        descend(module, 5, change=lambda w, g: g + WEIGHTS * (0.3 * w + 0.02 * np.sign(w))), rel=1e-10
    )
    result = module.train(X, Y, epochs=1, l2=5.0)
    assert result.history[0] == module.loss(module.initial_parameters(), X, Y)


def test_penalties_of_a_formula():
    """Of a formula all parameters are weights; the gradient of |w| at 0 is 0."""
    a, b = sympy.symbols("a b")
    formula = nn.build(nn.Model("penalized", parameters={a: 3.0, b: 0.0}, loss=(a - 1) ** 2), fit=False)
    result = formula.train(epochs=400, learning_rate=0.1, l1=0.5, l2=1.0)
    assert result.parameters == pytest.approx([1.5 / 3, 0], rel=1e-9)  # 2*(a - 1) + 0.5 + a = 0


def test_weight_decay(module):
    """It takes its share of every parameter, with the scheduled learning rate, whatever the gradient is."""
    parameters = trained(module, weight_decay=0.2, schedule=[1, 0.5, 0.25, 0.5, 1])
    rates = [0.1, 0.05, 0.025, 0.05, 0.1]
    assert parameters == pytest.approx(descend(module, 5, rate=lambda k: rates[k], decay=0.2), rel=1e-10)
    adamw = module.train(X, Y, optimizer="adamw", epochs=9, weight_decay=0.3).parameters
    assert module.train(X, Y, optimizer="adam", epochs=9, weight_decay=0.3).parameters == pytest.approx(adamw, rel=1e-9)


def clip(w, g, value=None, norm=None):
    g = g if value is None else np.clip(g, -value, value)
    return g if norm is None else g * min(1, norm / np.linalg.norm(g))


@pytest.mark.parametrize("bounds", [{"value": 0.1}, {"norm": 0.2}, {"norm": 1e6}, {"value": 0.15, "norm": 0.3}])
def test_clipping(module, bounds):
    """Values first, then the norm of all of them together; sequential updates clip the same gradient."""
    arguments = {f"clip{key}": bound for key, bound in bounds.items()}
    parameters = trained(module, batch_size=10, **arguments)
    assert parameters == pytest.approx(descend(module, 5, 10, change=lambda w, g: clip(w, g, **bounds)), rel=1e-10)
    w = module.initial_parameters()
    for p in range(len(w)):
        w[p] -= 0.1 * clip(w, module.loss_and_gradient(w, X, Y)[1], **bounds)[p]
    assert trained(module, epochs=1, update="sequential", **arguments) == pytest.approx(w, rel=1e-10)


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_clipping_of_huge_gradients(precision):
    """Gradients whose squares overflow are scaled to the norm; those that are no number still end the training."""
    a, b, x = sympy.symbols("a b x")
    model = nn.Model("steep", [x], (), {a: 1.0, b: 1.0}, a * x, 3 * a * x + 4 * b * x)
    module = nn.build(model, precision, fit=False)
    huge = 1e200 if precision == "float64" else 1e30
    result = module.train([[huge]], epochs=1, learning_rate=1.0, clipnorm=0.5)
    assert result.parameters == pytest.approx([1 - 0.3, 1 - 0.4], rel=1e-6)
    power = nn.build(nn.Model("power", parameters={a: -2.0, b: 2.0}, loss=a**b), precision, fit=False)
    for arguments in ({"clipnorm": 1.0}, {"clipvalue": 1.0}, {"l2": 1.0}, {"weight_decay": 0.1}):
        with pytest.warns(RuntimeWarning, match="diverged after 0 epochs"):
            assert power.train(epochs=2, **arguments).status == "diverged"


def test_a_decay_that_overflows_ends_the_training(module):
    """Parameters that the decay makes infinite are not returned."""
    with pytest.warns(RuntimeWarning, match="diverged after 0 epochs"):
        result = module.train(X, Y, epochs=3, learning_rate=1e10, weight_decay=1e307, clipnorm=1e-12)
    assert np.isfinite(result.parameters).all()


# --- schedules -------------------------------------------------------------------------------------------------------


def by_pytorch(make, epochs, updates):
    """The learning rates of a schedule of PyTorch, one for each update, relative to 1."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(epochs * updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


SCHEDULES = [
    ("constant", lambda k: 1),
    (("step", {"step_size": 2, "gamma": 0.5}), lambda k: 0.5 ** (k // 3 // 2)),
    (("exponential", {"gamma": 0.8}), lambda k: 0.8 ** (k // 3)),
    (("inverse", {"decay": 0.5, "power": 2}), lambda k: (1 + 0.5 * (k // 3)) ** -2),
    (("polynomial", {"final": 0.1, "power": 2}), lambda k: 0.1 + 0.9 * (1 - k / 21) ** 2),
    (("cosine", {"final": 0.1}), lambda k: 0.1 + 0.9 * (1 + np.cos(np.pi * k / 21)) / 2),
    (("warm_up", {"epochs": 2, "start": 0.1}), lambda k: min(1, 0.1 + 0.9 * (k + 1) / 6)),
    (
        ("one_cycle", {"rise": 1 / 3}),
        lambda k: (
            (0.04 + 0.96 * (1 - np.cos(np.pi * k / 7)) / 2)
            if k < 7
            else 4e-6 + (1 - 4e-6) * (1 + np.cos(np.pi * (k - 7) / 14)) / 2
        ),
    ),
    ([1, 0.5, 0, 2, 1, 0.1, 0.3], lambda k: [1, 0.5, 0, 2, 1, 0.1, 0.3][k // 3]),
]


@pytest.mark.parametrize(("schedule", "factor"), SCHEDULES, ids=lambda value: str(value)[:20])
def test_schedules(module, schedule, factor):
    """Seven epochs of three updates follow the formula of the schedule; the result has the rate of the last of each."""
    result = training(module, epochs=7, batch_size=16, schedule=schedule)
    assert result.parameters == pytest.approx(descend(module, 7, 16, rate=lambda k: 0.1 * factor(k)), rel=1e-10)
    assert result.learning_rate == pytest.approx([0.1 * factor(3 * epoch + 2) for epoch in range(7)], rel=1e-12)


def test_schedules_of_pytorch(module):
    """PyTorch's schedules, where installed, take the same steps."""
    for schedule, make, updates in (
        (("step", {"step_size": 2, "gamma": 0.3}), lambda of, o: of.StepLR(o, 2, 0.3), 1),
        (("exponential", {"gamma": 0.9}), lambda of, o: of.ExponentialLR(o, 0.9), 1),
        ("cosine", lambda of, o: of.CosineAnnealingLR(o, 7 * 3), 3),
        (("polynomial", {"power": 2}), lambda of, o: of.PolynomialLR(o, 7 * 3, 2), 3),
    ):
        rates = by_pytorch(make, 7, updates)
        batch = -(-40 // updates)
        result = training(module, epochs=7, batch_size=batch, schedule=schedule)
        expected = descend(module, 7, batch, rate=lambda k, rates=rates: 0.1 * rates[k])
        assert result.parameters == pytest.approx(expected, rel=1e-9)
        assert result.learning_rate == pytest.approx(0.1 * np.array(rates[updates - 1 :: updates]), rel=1e-9)


def test_a_schedule_of_many_epochs(module):
    """Factors are those of the epoch also where a training takes several calls into C."""
    result = training(module, epochs=9000, learning_rate=1e-3, schedule=("exponential", {"gamma": 0.9995}))
    assert result.parameters == pytest.approx(descend(module, 9000, rate=lambda k: 1e-3 * 0.9995**k), rel=1e-8)
    assert result.learning_rate == pytest.approx(1e-3 * 0.9995 ** np.arange(9000), rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "inverse", ("warm_up", {"epochs": 3})], ids=str)
def test_learning_rates_are_those_of_the_steps(module, schedule):
    """With one update in each epoch, a step is the rate of its epoch times the gradient, also with patience."""
    points = [module.initial_parameters()]
    options = {"epochs": 12, "schedule": schedule, "monitor": "r2", "metrics": ("r2",)}
    full = training(module, callback=lambda progress: points.append(progress.parameters), **options)
    slopes = [module.loss_and_gradient(point, X, Y)[1] for point in points[:-1]]
    lengths = [
        np.linalg.norm(step) / np.linalg.norm(g) for step, g in zip(np.diff(points, axis=0), slopes, strict=True)
    ]
    assert full.learning_rate == pytest.approx(lengths, rel=1e-9)
    early = training(module, patience=4, min_delta=0.5, **options)
    assert early.status == "stopped_early"
    assert np.array_equal(early.learning_rate, full.learning_rate[: early.epochs])
    assert len(early.learning_rate) == 5


# --- metrics and validation ------------------------------------------------------------------------------------------


def met_by_updates(module, X, Y, batch, weight, epochs, rate=0.1):
    """For each epoch of gradient descent, the outputs that the updates met, and the parameters after it."""
    w = module.initial_parameters(seed=0)
    for _ in range(epochs):
        outputs = []
        for begin in range(0, len(X), batch):
            rows = slice(begin, begin + batch)
            outputs.append(module.predict(w, X[rows]))
            w = w - rate * module.loss_and_gradient(w, X[rows], Y[rows], weight[rows])[1] * weight[rows].mean()
        yield np.concatenate(outputs), w


def scores(labels, output, weight=None):
    """Accuracy, mean absolute error and R2 of classes, as scikit-learn has them."""
    one_hot = np.eye(output.shape[1])[labels]
    return {
        "accuracy": accuracy_score(labels, output.argmax(axis=1), sample_weight=weight),
        "mae": mean_absolute_error(one_hot, output, sample_weight=weight),
        "r2": r2_score(one_hot, output, sample_weight=weight),
    }


CHAIN = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="chain")


@pytest.mark.parametrize("batch", [100, 16, 3, 1])
@pytest.mark.parametrize(
    ("features", "precision"),
    [
        pytest.param([], "float64", id="samples-float64"),
        pytest.param(["j", "i"], "float32", id="features-float32"),
        pytest.param([], "float32", marks=pytest.mark.thorough, id="samples-float32"),
        pytest.param(["j", "i"], "float64", marks=pytest.mark.thorough, id="features-float64"),
    ],
)
def test_metrics_of_classes(features, precision, batch):
    """Accuracy, mae and r2 are scikit-learn's on what the updates met, also with weights, and on validation data."""
    chain = built(CHAIN, precision, features=features)
    weight = RNG.uniform(0.1, 2, 100)
    arguments = {
        "epochs": 4,
        "batch_size": batch,
        "sample_weight": weight,
        "class_weight": {0: 5.0},
        "shuffle": False,
        "validation_data": (FLOWERS[100:], LABELS[100:]),
        "learning_rate": 0.1,
    }
    result = chain.train(FLOWERS[:100], LABELS[:100], metrics=("accuracy", "r2", "mae"), **arguments)
    assert list(result.metrics) == ["loss", "accuracy", "mae", "r2", "val_loss", "val_accuracy", "val_mae", "val_r2"]
    tolerance = 1e-11 if precision == "float64" else 2e-5
    total = weight * np.where(LABELS[:100] == 0, 5, 1)
    epochs = met_by_updates(chain, FLOWERS[:100], LABELS[:100], batch, total / total.mean(), 4)
    for epoch, (output, parameters) in enumerate(epochs):
        expected = scores(LABELS[:100], output, weight)
        validated = scores(LABELS[100:], chain.predict(parameters, FLOWERS[100:]))
        expected |= {f"val_{name}": score for name, score in validated.items()}
        expected["val_loss"] = chain.loss(parameters, FLOWERS[100:], LABELS[100:])
        metrics = {name: result.metrics[name][epoch] for name in expected}
        assert metrics == pytest.approx(expected, rel=tolerance, abs=tolerance)
    for name in ("accuracy", "mae", "r2"):  # one alone
        alone = chain.train(FLOWERS[:100], LABELS[:100], metrics=name, **arguments)
        assert list(alone.metrics) == ["loss", name, "val_loss", f"val_{name}"]
        assert all(np.array_equal(alone.metrics[key], result.metrics[key]) for key in alone.metrics)


@pytest.mark.parametrize("batch", [100, pytest.param(1, marks=pytest.mark.thorough)])
def test_metrics_of_a_deep_network(batch):
    """So they are where a network has so many layers that its gradient takes several functions."""
    layers = [*(nn.Dense(5, "tanh") for _ in range(26)), nn.Dense(3, "softmax")]
    deep = nn.build(nn.Sequential(layers, 4, "categorical_crossentropy", name="deep"), fit=False)
    arguments = {"epochs": 2, "batch_size": batch, "shuffle": False, "learning_rate": 0.1}
    result = deep.train(FLOWERS[:100], LABELS[:100], metrics=("accuracy", "r2", "mae"), **arguments)
    for epoch, (output, _) in enumerate(met_by_updates(deep, FLOWERS[:100], LABELS[:100], batch, np.ones(100), 2)):
        metrics = {name: result.metrics[name][epoch] for name in ("accuracy", "mae", "r2")}
        assert metrics == pytest.approx(scores(LABELS[:100], output), rel=1e-10, abs=1e-10)


def test_the_loss_is_that_which_the_updates_met(module):
    """The loss of an epoch is the mean over its batches, each before its update."""
    result = module.train(X, Y, epochs=1, batch_size=16, shuffle=False, learning_rate=0.1)
    w, total = module.initial_parameters(), 0.0
    for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):
        loss, g = module.loss_and_gradient(w, X[rows], Y[rows])
        w, total = w - 0.1 * g, total + loss * len(X[rows]) / 40
    assert result.history == pytest.approx([total], rel=1e-12)
    assert np.shares_memory(result.history, result.metrics["loss"])


@pytest.mark.parametrize(
    "loss",
    [
        "binary_crossentropy",
        "hinge",
        pytest.param("mse", marks=pytest.mark.thorough),
        pytest.param("binary_crossentropy_from_logits", marks=pytest.mark.thorough),
    ],
)
def test_accuracy_of_two_classes(loss):
    """One half parts the classes, or 0 where the output is a logit or a margin; several outputs count each."""
    activation = "sigmoid" if loss == "binary_crossentropy" else "linear"
    module = nn.build(nn.Sequential([nn.Dense(2, activation)], 4, loss, name="sides"), fit=False)
    targets = np.stack([LABELS == 0, LABELS == 1], axis=1).astype(float)
    result = module.train(FLOWERS, targets, epochs=4, metrics="accuracy", learning_rate=0.1)
    output = module.predict(module.train(FLOWERS, targets, epochs=3, learning_rate=0.1).parameters, FLOWERS)
    expected = ((output > (0 if loss in ("hinge", "binary_crossentropy_from_logits") else 0.5)) == targets).mean()
    assert result.metrics["accuracy"][-1] == pytest.approx(expected, rel=1e-14)


def test_r2_of_a_constant_target(module):
    """As in scikit-learn, a target that never changes is explained (1) or not (0)."""
    flat = np.stack([Y[:, 0], np.ones(40)], axis=1)
    result = module.train(X, flat, epochs=1, metrics=["r2"])
    output = module.predict(module.initial_parameters(), X)
    assert result.metrics["r2"][0] == pytest.approx(r2_score(flat, output), rel=1e-10)
    assert module.train(X, np.ones((40, 2)), epochs=1, metrics="r2").metrics["r2"][0] == 0


def test_validation_fraction(module):
    """The held-out samples are drawn by the seed, are not trained on, and keep their order and their weights."""
    weight = np.arange(1.0, 41)
    result = module.train(X, Y, epochs=3, shuffle=False, validation_split=0.25, seed=5, sample_weight=weight)
    held = np.sort(np.random.default_rng(5).permutation(40)[:10])
    kept = np.setdiff1d(np.arange(40), held)
    expected = module.train(
        X[kept],
        Y[kept],
        epochs=3,
        shuffle=False,
        seed=5,
        sample_weight=weight[kept],
        validation_data=(X[held], Y[held], weight[held]),
    )
    assert np.array_equal(result.parameters, expected.parameters)
    assert result.metrics["val_loss"] == pytest.approx(expected.metrics["val_loss"], rel=1e-12)
    other = module.train(X, Y, epochs=3, shuffle=False, validation_split=0.25, seed=6, sample_weight=weight)
    assert not np.array_equal(result.metrics["val_loss"], other.metrics["val_loss"])


def test_validation_changes_nothing(module):
    """Metrics and validation data leave every bit of the training as it is."""
    arguments = {"epochs": 6, "batch_size": 7, "optimizer": "adam", "seed": 3}
    plain = module.train(X, Y, **arguments)
    measured = module.train(X, Y, validation_data=(X[:9], Y[:9]), metrics=("r2", "mae"), **arguments)
    assert np.array_equal(plain.parameters, measured.parameters)
    assert np.array_equal(plain.history, measured.history)


# --- the end ---------------------------------------------------------------------------------------------------------


def early(figures, patience, min_delta):
    """(epochs, best epoch) of early stopping over figures that shall be small."""
    best, best_epoch = np.inf, 0
    for epoch, figure in enumerate(figures, start=1):
        if figure < best - min_delta:
            best, best_epoch = figure, epoch
        if epoch - best_epoch >= patience:
            return epoch, best_epoch
    return len(figures), best_epoch


@examples(30)
@given(
    patience=st.integers(1, 6),
    min_delta=st.sampled_from([0.0, 1e-3, 0.05]),
    seed=st.integers(0, 5),
    monitor=st.sampled_from(["loss", "val_loss", "r2", "val_mae"]),
)
def test_early_stopping(module, patience, min_delta, seed, monitor):
    """It stops where a loop over the figures of a full training would, with the parameters of its best epoch."""
    seen = []
    arguments = {
        "learning_rate": 0.8,
        "batch_size": 5,
        "seed": seed,
        "metrics": ("r2", "mae"),
        "validation_data": (X[::-1] + 0.3, Y),
    }
    full = module.train(X, Y, epochs=25, callback=lambda p: seen.append(p.parameters), **arguments)
    figures = full.metrics[monitor] * (-1 if monitor == "r2" else 1)
    epochs, best = early(figures, patience, min_delta)
    arguments |= {"patience": patience, "min_delta": min_delta, "monitor": monitor}
    result = module.train(X, Y, epochs=25, **arguments)
    assert (result.epochs, result.best_epoch) == (epochs, best)
    waited = epochs - best >= patience
    assert result.status == ("stopped_early" if waited else "completed")
    assert np.array_equal(result.parameters, seen[best - 1])
    assert result.loss == module.loss(seen[best - 1], X, Y)
    last = module.train(X, Y, epochs=25, restore_best_weights=False, **arguments)
    assert np.array_equal(last.parameters, seen[epochs - 1])


def test_monitor_by_default(module):
    """Patience watches the validation loss where there is one, else the loss; without it nothing is best."""
    assert module.train(X, Y, epochs=5).best_epoch is None
    assert module.train(X, Y, epochs=50, patience=2, min_delta=10.0).epochs == 3
    result = module.train(X, Y, epochs=50, patience=2, validation_data=(-X, Y), learning_rate=0.3)
    assert result.best_epoch == 1 + result.metrics["val_loss"].argmin()
    best = module.train(X, Y, epochs=8, monitor="loss")
    assert (best.status, best.best_epoch) == ("completed", 1 + best.history.argmin())


def test_callback_after_each_epoch(module):
    """A callback sees every epoch, and ends the training by returning True; the bits are the same with it."""
    seen = []

    def callback(progress):
        seen.append((progress.epochs, progress.updates, dict(progress.metrics)))
        assert progress.seconds >= 0
        assert progress.parameters.shape == (26,)
        return progress.epochs == 4

    result = module.train(X, Y, epochs=10, batch_size=16, callback=callback)
    assert (result.status, result.epochs) == ("stopped", 4)
    assert [(epochs, updates) for epochs, updates, _ in seen] == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert [metrics["loss"] for _, _, metrics in seen] == list(result.history)
    assert np.array_equal(result.parameters, module.train(X, Y, epochs=4, batch_size=16).parameters)


def test_callback_every_so_many_milliseconds(module):
    """It is called within an epoch as well, and may end the training there; the result holds what was reached."""
    calls = []

    def callback(progress):
        calls.append(time.perf_counter())
        return len(calls) == 3

    result = module.train(X, Y, epochs=10**12, callback=callback, callback_interval=20)
    assert result.status == "stopped"
    assert len(calls) == 3
    assert min(np.diff(calls)) >= 0.02
    assert len(result.history) == result.epochs > 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_callback_sees_the_present_parameters(module, perceptron, shuffle):
    """Also within an epoch, and of a formula, whose parameters are in registers meanwhile."""
    for trained, data in ((module, (X, Y)), (perceptron, (np.array([[0.35, 0.9]]), np.array([[1.0]])))):
        seen = []

        def look(progress, seen=seen):
            seen.append((progress.epochs, progress.updates, progress.parameters))
            return len(seen) == 3

        options = {"learning_rate": 1e-6, "batch_size": 1, "shuffle": shuffle}
        result = trained.train(*data, epochs=10**8, callback=look, callback_interval=1, **options)
        assert np.array_equal(result.parameters, seen[-1][2])
        assert len({tuple(parameters) for _, _, parameters in seen}) == len({updates for _, updates, _ in seen})
        for epochs, updates, parameters in seen:
            if updates == epochs * len(data[0]) > 0:
                again = trained.train(*data, epochs=epochs, **options)
                assert np.array_equal(parameters, again.parameters)


def test_subnormal_numbers():
    """They count as zero in sums, for which some cores take very long; outputs keep them, and so does Python."""

    def has_them():
        return np.float32(1e-40) * np.float32(0.5) > 0

    def look(progress):
        kept.append(has_them())
        return len(kept) == 2

    a, x, y = sympy.symbols("a x y")
    module = nn.build(nn.Model("tail", [x], [y], {a: 1.0}, a * sympy.exp(-x), a * sympy.exp(-x)), "float32", fit=False)
    far, kept = np.full((3000, 1), 95, np.float32), []
    assert module.predict([1], far)[0, 0] == pytest.approx(np.exp(-95.0), rel=0.05, abs=0)
    log_likelihood = nn.Model("likelihood", [x], [], {a: 1.0}, a * sympy.exp(-x), -sympy.log(a * sympy.exp(-x)))
    assert nn.build(log_likelihood, "float32", fit=False).loss([1], far) == pytest.approx(95, rel=0.01)  # has them
    for threads in (1, 2):
        result = module.train(far, far, [1], epochs=10**9, callback=look, callback_interval=1, threads=threads)
        assert (kept, result.parameters) == ([True, True], [1])
        kept.clear()
    if platform.machine() in ("x86_64", "AMD64"):
        loss, gradient = module.loss_and_gradient([1], far, far)
        assert (module.loss([1], far, far), loss, gradient) == (0, 0, [0])
        assert has_them()
        assert module.train(far, far, [1], epochs=2, threads=2).history.tolist() == [0, 0]
        assert has_them()
        assert module.train_many(far, far, [[1], [2]], epochs=2).history.tolist() == [[0, 0]] * 2
        assert has_them()


def test_an_error_of_a_callback(module):
    """An exception of a callback ends the training, and holds what was reached."""
    for interval in ("epoch", 1):
        with pytest.raises(ZeroDivisionError) as caught:
            module.train(X, Y, epochs=10**9, callback=lambda progress: 1 / 0, callback_interval=interval)
        assert caught.value.result.status == "interrupted"
        assert len(caught.value.result.history) == caught.value.result.epochs


def test_time_limit(module):
    """The training ends soon after the limit, also within an epoch."""
    for samples, epochs in ((40, 10**12), (2_000_000, 3)):
        rows = np.resize(X, (samples, 3)), np.resize(Y, (samples, 2))
        result = module.train(*rows, epochs=epochs, time_limit=0.05, learning_rate=1e-4, batch_size=samples // 10)
        assert result.status == "time_limit"
        assert result.epochs < epochs
        assert np.isfinite(result.parameters).all()


PROGRESS = """
    import sys, importlib.util
    import numpy as np
    {head}
    spec = importlib.util.spec_from_file_location("trained", {file!r})
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    module.train(X, Y, epochs=50, progress=True, validation_split=0.2)
    """


def run_with_progress(module, head="", **arguments):
    program = textwrap.dedent(PROGRESS.format(file=module.__file__, head=head))
    return subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, **arguments)


@pytest.mark.parametrize("head", ["", "sys.modules['rich'] = None"])
def test_progress_in_a_pipe(module, head):
    """In a pipe, with or without rich, there are plain lines on the standard error, the last for the last epoch."""
    done = run_with_progress(module, head, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("epoch 50/50  loss ")
    assert "val_loss" in lines[-1]
    assert len(lines) < 5
    assert not set(done.stderr) & {"\r", "\x1b"}
    assert done.stdout == ""


def test_progress_in_a_terminal(module):
    """In a terminal there is a bar, one line in the end, and the cursor is shown again."""
    pty = pytest.importorskip("pty")
    import os

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    run_with_progress(module, stderr=follower, env=environment)
    os.close(follower)
    text = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the end, on Linux
            break
        if not chunk:
            break
        text += chunk
    os.close(leader)
    assert b"epoch 50/50" in text
    assert text.rstrip().endswith(b"\x1b[?25h")


@pytest.mark.parametrize("head", ["", "sys.modules['ipywidgets'] = None"])
@pytest.mark.filterwarnings("ignore")  # those of the kernel and its client are their own
def test_progress_in_a_notebook(module, head):
    """In a notebook a cell holds one bar, which ends with the last epoch, and nothing else; it needs no widgets."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    program = textwrap.dedent(PROGRESS.format(file=module.__file__, head=head))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(program + "None")])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    (shown,) = notebook.cells[0].outputs
    assert shown.output_type == "display_data"
    assert "epoch 50/50" in shown.data["text/html"]
    assert "val_loss" in shown.data["text/html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_weight": np.ones(3)}, r"sample_weight has the shape \(3,\)"),
        ({"class_weight": "balanced"}, "class_weight needs classes"),
        ({"l1": -1}, "l1 must be a number from 0, not -1"),
        ({"l2": np.nan}, "l2 must be a number from 0, not nan"),
        ({"weight_decay": "a"}, "weight_decay must be a number from 0, not 'a'"),
        ({"clipvalue": 0}, "clipvalue must be a number above 0, not 0"),
        ({"clipnorm": -1}, "clipnorm must be a number above 0, not -1"),
        ({"schedule": "cosinus"}, "there is no schedule 'cosinus'; there are: constant, step"),
        ({"schedule": ("step", {"size": 3})}, "the schedule step has no 'size'; it has: step_size, gamma"),
        ({"schedule": ("step", {"gamma": 0})}, "gamma of the schedule must be a number above 0, not 0"),
        ({"schedule": ("step", 3)}, "a schedule is a name, .* not 3"),
        ({"schedule": [1.0, 0.5]}, "the schedule has 2 factors, but there are 5 epochs"),
        ({"schedule": [1.0, -0.5, 1, 1, 1]}, "finite and none below 0"),
        ({"schedule": 7}, "a schedule as an array has one factor for each epoch"),
        ({"schedule": {"step": 3}}, "a schedule is a name"),
        ({"schedule": "cosine", "optimizer": "rprop"}, "the optimizer rprop takes no schedule"),
        ({"validation_data": X}, r"validation_data must be \(X, Y\)"),
        ({"validation_data": (X[:, :2], Y)}, r"validation_data: X has the shape \(40, 2\)"),
        ({"validation_data": (X, Y), "validation_split": 0.1}, "not both"),
        ({"validation_split": 1.0}, "validation_split must be a number from 0, below 1"),
        ({"metrics": "accurracy"}, "there is no metric 'accurracy'; there are: loss, accuracy, mae, r2"),
        ({"metrics": ["accuracy"]}, "the metric accuracy needs classes"),
        ({"metrics": 3}, "there is no metric 3"),
        ({"monitor": "val_loss"}, "monitor is 'val_loss', which is not measured; there are: loss"),
        ({"patience": 0}, "patience must be an integer from 1"),
        ({"min_delta": -1}, "min_delta must be a number from 0"),
        ({"restore_best_weights": 1}, "restore_best_weights must be True or False"),
        ({"time_limit": 0}, "time_limit must be a number above 0"),
        ({"callback": 3}, "callback must be a function of one argument, or several in a list, not 3"),
        ({"callback_interval": "batch"}, "callback_interval must be 'epoch' or a number of milliseconds"),
        ({"callback_interval": 0}, "callback_interval must be a number above 0"),
        ({"progress": "bar"}, "progress must be True or False"),
        ({"resume": 3}, "resume must be a Result"),
    ],
)
def test_bad_arguments(module, arguments, message):
    """Each argument that cannot be meant is refused by name, with what was expected."""
    with pytest.raises(ValueError, match=message):
        module.train(X, Y, **{"epochs": 5, **arguments})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({3: 1.0}, "class_weight names the class 3; there are: 0, 1, 2"),
        ({0: -1.0}, r"class_weight\[0\] must be a number from 0"),
        ("equal", "class_weight must be a dictionary or 'balanced', not 'equal'"),
        ({0: 0, 1: 0, 2: 0}, "sample_weight is 0 for every sample"),
    ],
)
def test_bad_class_weights(chain, weights, message):
    """Weights of classes name classes, and are not below 0."""
    with pytest.raises(ValueError, match=message):
        chain.train(FLOWERS, LABELS, class_weight=weights)


def test_metrics_need_targets():
    """A formula whose outputs are no predictions of its targets has no metrics."""
    a, x, y = sympy.symbols("a x y")
    model = nn.build(nn.Model("pair", [x], [y], {a: 2.0}, (a * x, a), (a * x - y) ** 2), fit=False)
    with pytest.raises(ValueError, match="the model has 2 outputs and 1 targets"):
        model.train([[1.0]], [1.0], metrics="mae")
    formula = nn.build(nn.Model("bowl", parameters={a: 1.0}, loss=a**2), fit=False)
    with pytest.raises(ValueError, match="the model has 1 outputs and 0 targets"):
        formula.train(metrics="mae")
    with pytest.raises(ValueError, match="validation_split needs at least 2 samples"):
        formula.train(validation_split=0.5)


def test_without_the_final_loss(chain):
    """The loss of a Result is that of the last epoch where it is not to be evaluated; all else has the same bits."""
    X, Y = FLOWERS, LABELS
    options = {"epochs": 3, "learning_rate": 0.01}
    usual, other = chain.train(X, Y, **options), chain.train(X, Y, final_loss=False, **options)
    assert np.array_equal(usual.parameters, other.parameters)
    assert np.array_equal(usual.history, other.history)
    assert usual.status == other.status == "completed"
    assert usual.loss == chain.loss(usual.parameters, X, Y)
    assert other.loss == other.history[-1] > usual.loss
    with pytest.raises(ValueError, match="final_loss must be True or False"):
        chain.train(X, Y, final_loss=1, **options)


@pytest.mark.parametrize(
    ("loss", "precision"),
    [
        ("mse", "float32"),
        ("categorical_crossentropy", "float64"),
        pytest.param("mse", "float64", marks=pytest.mark.thorough),
        pytest.param("categorical_crossentropy", "float32", marks=pytest.mark.thorough),
    ],
)
def test_without_history(loss, precision):
    """Without a history no loss is computed, and the parameters have the same bits, also with threads and batches."""
    last = "softmax" if loss == "categorical_crossentropy" else "linear"
    module = nn.build(nn.Sequential([nn.Dense(9, "tanh"), nn.Dense(3, last)], 4, loss), precision, fit=False)
    many = np.tile(FLOWERS, (20, 1))
    targets = np.tile(LABELS, 20) if last == "softmax" else np.tile(FLOWERS[:, :3], (20, 1))
    for options in ({}, {"batch_size": 64, "l2": 0.01}, {"threads": 2, "optimizer": "adam"}):
        options |= {"epochs": 3, "learning_rate": 0.01, "seed": 5}
        usual, other = module.train(many, targets, **options), module.train(many, targets, history=False, **options)
        assert np.array_equal(usual.parameters, other.parameters)
        assert (usual.loss, usual.status, usual.epochs) == (other.loss, other.status, other.epochs)
        assert np.isfinite(usual.history).all()
        assert np.isnan(other.history).all()
        assert other.history.shape == (3,)
    seen = []
    more = module.train(
        many, targets, resume=other, callback=lambda p: seen.append(p.metrics), **options | {"epochs": 5}
    )
    assert np.isnan(more.history[:3]).all()
    assert np.isfinite(more.history[3:]).all()
    module.train(many, targets, history=False, callback=lambda p: seen.append(p.metrics), epochs=2)
    assert [list(metrics) for metrics in seen] == [["loss"], ["loss"], [], []]
    for wrong in ({"metrics": "mae"}, {"patience": 3}, {"monitor": "loss"}, {"validation_split": 0.5}):
        with pytest.raises(ValueError, match="history=False measures nothing"):
            module.train(many, targets, history=False, **wrong)
    with pytest.raises(ValueError, match="history must be True or False"):
        module.train(many, targets, history=0)


@pytest.mark.parametrize("history", [True, False])
def test_divergence_with_and_without_history(chain, history):
    """A training that diverges is told, whether its losses are computed or its parameters alone say so."""
    with pytest.warns(RuntimeWarning, match="training diverged"):
        result = chain.train(FLOWERS, LABELS, learning_rate=1e200, l2=1.0, epochs=50, history=history)
    assert result.status == "diverged"
    assert np.isfinite(result.parameters).all()
