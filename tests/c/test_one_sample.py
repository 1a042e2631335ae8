"""Training on single samples, which has loops of its own: right whatever the network, and alone where it must be."""

from dataclasses import dataclass

import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.ir import SAMPLE
from nncodegen.compiler.schedule import Place
from nncodegen.compiler.schedule.tree_walks import steps_in
from tests.support.models import gradient_of
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("vector_compiler")

SAMPLES = 12
CONDITION = 1000
"""How many times a small change of the parameters may grow in an epoch, and rounding with it."""
LARGEST = 1e6
"""How large parameters and losses may become: beyond that, what they are made of may overflow in single precision."""
WIDTHS = (1, 2, 3, 4, 5, 8, 11, 16, 17, 20, 31, 33, 64, 100)
ACTIVATIONS = ("tanh", "relu", "sigmoid", "gelu", "elu", "linear", lambda z: z * sympy.exp(-(z**2)))
LOSSES = ("categorical_crossentropy", "mse", "mae", "huber", lambda output, target: (output - target) ** 4)


@st.composite
def networks(draw):
    hidden = draw(st.lists(st.sampled_from(WIDTHS), max_size=3))
    layers = [nn.Dense(units, draw(st.sampled_from(ACTIVATIONS)), use_bias=draw(st.booleans())) for units in hidden]
    loss, outputs = draw(st.sampled_from(LOSSES)), draw(st.sampled_from((1, 2, 3, 10, 17, 19)))
    if loss == "categorical_crossentropy":
        layers.append(nn.Dense(max(2, outputs), "softmax"))
    else:
        layers.append(nn.Dense(outputs, draw(st.sampled_from(("linear", "tanh")))))
    return nn.Sequential(layers, draw(st.sampled_from(WIDTHS)), loss, name="single")


def data_of(module, precision):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(SAMPLES, len(module.input_names))).astype(precision)
    targets = rng.uniform(size=(SAMPLES, len(module.target_names)))
    return X, (targets / targets.sum(axis=1, keepdims=True) if targets.shape[1] > 1 else targets).astype(precision)


def descend(program, start, X, Y, weights, size):
    """What plain descent and momentum make of the parameters in one epoch, and the loss of the former."""
    expected, moved, velocity, losses = start.astype(float), start.astype(float), 0.0, []
    for n in range(0, SAMPLES, size):
        rows = slice(n, n + size)
        row, weight = (X[rows].astype(float), Y[rows].astype(float)), weights[rows] / weights.mean() / len(X[rows])
        losses.append(float(nn.evaluate(program, expected, *row, weight)["loss"]) * len(X[rows]) / SAMPLES)
        expected = expected - 0.01 * gradient_of(program, expected, *row, weight)
        velocity = 0.9 * velocity - 0.01 * gradient_of(program, moved, *row, weight)
        moved = moved + velocity
    return expected, moved, np.sum(losses)


CASES = {
    "model": networks(),
    "precision": st.sampled_from(["float64", "float32"]),
    "size": st.sampled_from((1, 1, 2, 3, 4, 5)),
}


@pytest.mark.thorough
@examples(12)
@given(**CASES)
def test_more_steps(model, precision, size):
    """Other networks than those of ``test_steps`` take the same steps."""
    check_steps(model, precision, size)


@examples(2)
@given(**CASES)
def test_steps(model, precision, size):
    """Sample by sample, parameters and losses are those of steps along the gradient that the evaluator finds.

    So they are in batches so small that each gradient is the sum of those of single samples, or nearly.

    So they are where each step is measured and taken apart from its gradient, and for another optimizer.
    """
    check_steps(model, precision, size)


def check_steps(model, precision, size):
    """Compares trainings on single samples, or few, with what the evaluator makes of the parameters."""
    program = nn.compile_model(model, until="simplify")["simplify"]
    module = nn.build(model, precision, fit=False)
    X, Y = data_of(module, precision)
    start = (module.initial_parameters(3) + 0.05).astype(precision)
    weights = np.linspace(0.5, 1.5, SAMPLES)
    with np.errstate(all="ignore"):
        expected, moved, loss = descend(program, start, X, Y, weights, size)
        nearby = descend(program, start * (1 + 1e-9 * np.cos(np.arange(len(start)))), X, Y, weights, size)
        scale = np.abs(expected).max()
        assume(max(scale, np.abs(moved).max(), abs(loss)) < LARGEST)
        assume(np.abs(nearby[1] - moved).max() < CONDITION * 1e-9 * scale)
    options = {"epochs": 1, "batch_size": size, "shuffle": False, "sample_weight": weights, "learning_rate": 0.01}
    sgd = [
        module.train(X, Y, start, **options),
        module.train(X, Y, start, **options, tolerance=1e-300),
        module.train(X, Y, start, **options, history=False, final_loss=False),
    ]
    momentum = module.train(X, Y, start, optimizer="momentum", momentum=0.9, **options)
    bound = 1e-11 if precision == "float64" else 1e-4
    for training in sgd:
        assert training.parameters == pytest.approx(expected, rel=bound, abs=bound)
    assert sgd[0].history[0] == pytest.approx(loss, rel=bound, abs=bound)
    assert momentum.parameters == pytest.approx(moved, rel=bound, abs=bound)


@pytest.mark.parametrize(
    ("loss", "precision"),
    [
        pytest.param("categorical_crossentropy", "float64", marks=pytest.mark.thorough),
        ("categorical_crossentropy", "float32"),
        pytest.param("mse", "float32", marks=pytest.mark.thorough),
        ("binary_crossentropy_from_logits", "float64"),
    ],
)
def test_metrics(loss, precision):
    """Metrics are those of the outputs that each update met, and change nothing."""
    last = {"categorical_crossentropy": "softmax"}.get(loss, "linear")
    outputs = 1 if loss.startswith("binary") else 5
    model = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(outputs, last)], 7, loss, name="metrics")
    module, threshold = (
        nn.build(model, precision, fit=False),
        nn.compile_model(model, until="describe")["describe"].threshold,
    )
    X, Y = data_of(module, precision)
    Y = (Y > 0.5).astype(precision) if outputs == 1 else np.eye(5, dtype=precision)[Y.argmax(axis=1)]
    options = {"batch_size": 1, "shuffle": False, "learning_rate": 0.05}
    measured = module.train(X, Y, epochs=3, metrics=["accuracy", "mae", "r2"], **options)
    assert np.array_equal(measured.parameters, module.train(X, Y, epochs=3, **options).parameters)
    parameters, met, errors = module.initial_parameters(), [], []
    for n in range(SAMPLES):
        output = module.predict(parameters, X[n : n + 1])[0]
        errors.append(np.abs(output - Y[n]).mean())
        classes = output.argmax() == Y[n].argmax()
        met.append(classes if last == "softmax" else ((output > threshold) == (Y[n] > 0.5)).mean())
        parameters = parameters - 0.05 * module.loss_and_gradient(parameters, X[n : n + 1], Y[n : n + 1])[1]
    assert measured.metrics["accuracy"][0] == pytest.approx(np.mean(met))
    assert measured.metrics["mae"][0] == pytest.approx(np.mean(errors), rel=1e-4 if precision == "float32" else 1e-10)


DROPOUT, NOISE = nn.Dropout(0.3), nn.GaussianNoise(0.7)


@pytest.mark.parametrize(
    ("first", "second"),
    [(DROPOUT, NOISE), *(pytest.param(layer, layer, marks=pytest.mark.thorough) for layer in (DROPOUT, NOISE))],
    ids=lambda layer: type(layer).__name__,
)
def test_noise(first, second):
    """Noise is that of the row, as in a batch where the other rows do not count."""
    model = nn.Sequential([first, nn.Dense(37, "tanh"), second, nn.Dense(20)], 33, "mse", name="noisy")
    module = nn.build(model, fit=False)
    X, Y = data_of(module, "float64")
    for n in (0, 5):
        counts = (np.arange(n + 1) == n).astype(float)
        among = module.train(X[: n + 1], Y[: n + 1], epochs=1, learning_rate=0.1, seed=4, sample_weight=counts)
        ordered = {"batch_size": 1, "shuffle": False, "epochs": 1, "learning_rate": 0.1, "seed": 4}
        if n == 0:
            assert among.parameters == pytest.approx(module.train(X[:1], Y[:1], **ordered).parameters, rel=1e-12)
            continue
        start = module.initial_parameters(4)
        alone = module.train(X[n : n + 1], Y[n : n + 1], start, **ordered)
        assert not np.allclose(among.parameters, alone.parameters)  # the number of a row is that in X


@dataclass(frozen=True)
class Scaled:
    """Multiplies all with one number and its square, which is summed up over samples and units."""

    def describe(self, call):
        scale = call.parameter("s", (), "zeros")
        return call.output(call.x * (1 + scale + scale**2))


@dataclass(frozen=True)
class Squared:
    """A product with the squares of its weights, whose derivative is by what they are before the update."""

    units: int

    def describe(self, call):
        (n, i), j = call.x.indices, call.index(self.units)
        square = call.step("Q", (j, i), call.parameter("V", (j, i), "glorot_uniform") ** 2)
        return call.part(call.step("h", (n, j), square * call.x, "sum", (i,)))


@dataclass(frozen=True)
class Weighed:
    """A product with weights that lie by inputs, of inputs that have a weight of their own as well."""

    units: int

    def describe(self, call):
        (n, i), j = call.x.indices, call.index(self.units)
        weight, factor = (
            call.parameter(letter, indices, "glorot_uniform", (call.size(i), self.units))
            for letter, indices in (("T", (i, j)), ("e", (i,)))
        )
        return call.part(call.step("h", (n, j), weight * factor * call.x, "sum", (i,)))


@dataclass(frozen=True)
class Spread:
    """Multiplies each unit with the sum of its weights for others, which no product computes."""

    def describe(self, call):
        i, j = call.x.indices[1], call.index(7)
        weight = call.parameter("T", (i, j), "glorot_uniform", (call.size(i), 7))
        return call.part(call.step("h", call.x.indices, weight * call.x, "sum", (j,)))


@pytest.mark.parametrize(
    ("layer", "alone", "first", "precision"),
    [
        pytest.param(
            layer,
            alone,
            first,
            ("float64", "float32")[(number + first) % 2],
            marks=[] if (number, first) in ((0, True), (2, False)) else [pytest.mark.thorough],
        )
        for first in (True, False)
        for number, (layer, alone) in enumerate(
            [(Scaled(), True), (Squared(19), False), (Weighed(18), False), (Spread(), True)]
        )
    ],
)
def test_layers_of_ones_own(first, layer, alone, precision):
    """A number that all units share has loops for one sample; a gradient that reads weights is left to the others.

    One of each kind; with --thorough every layer stands first and second, in either precision.
    """
    layers = [*([] if first else [nn.Dense(20, "tanh")]), layer, nn.Dense(20, "tanh"), nn.Dense(3, "softmax")]
    check_descent(nn.Sequential(layers, 9, "categorical_crossentropy", name="own"), precision, alone)


def check_descent(model, precision, alone):
    """Compares two epochs of single samples with the evaluator's; ``alone`` tells that their gradient has own loops."""
    compiled = nn.compile_model(model, precision, until="schedule")
    rows = compiled["schedule"].single_sample
    assert (rows.gradient is not None) == alone
    module, program = nn.build(model, precision, fit=False), compiled["simplify"]
    X, Y = data_of(module, precision)
    result = module.train(X, Y, epochs=2, batch_size=1, shuffle=False, learning_rate=0.05)
    expected = module.initial_parameters().astype(float)
    for n in [*range(SAMPLES)] * 2:
        row = X[n : n + 1].astype(float), Y[n : n + 1].astype(float)
        expected = expected - 0.05 * gradient_of(program, expected, *row)
    bound = 1e-11 if precision == "float64" else 1e-4
    assert result.parameters == pytest.approx(expected, rel=bound, abs=bound)
    predicted = module.predict(expected, X)
    assert module.predict(expected, X[:1]) == pytest.approx(predicted[:1], rel=bound, abs=bound)


def transposed(width, several):
    """A network whose maximum is over the rows of a column of the units of a layer, which may be outputs, too."""
    inputs = nn.Input((7,), name="x")
    hidden = nn.Dense(width, name="h")(inputs)
    largest = nn.GlobalMaxPooling1D()(nn.Reshape((width, 1))(hidden))
    outputs, losses = ([hidden, largest], ["mse", "mse"]) if several else (largest, "mse")
    return nn.Network(inputs, outputs, losses, name="across")


@pytest.mark.parametrize(("width", "several"), [(20, False), (20, True), (11, True), (33, False)])
def test_arrays_that_are_read_across_their_rows(width, several):
    """A loop over the rows of an array ends at the last one: none that pads a vector follows."""
    check_descent(transposed(width, several), "float64", True)


def test_what_runs_alone():
    """All but formulas and the longest gradients; what the gradient changes, its last loops write."""
    layers = [nn.Dense(20, "tanh")] * 3
    rows = nn.compile_model(nn.Sequential([*layers, nn.Dense(2)], 7), until="schedule")["schedule"].single_sample
    places = [rows.gradient.place(step.target) for step in steps_in(rows.gradient.trees.after)]
    assert places == [Place.GRADIENT] * 8
    assert SAMPLE not in {index for step in steps_in(rows.gradient.trees.tile) for index in step.indices}
    deep = nn.Sequential([*layers * 12, nn.Dense(2)], 7)
    assert nn.compile_model(deep, until="schedule")["schedule"].single_sample.gradient is None
    a, x, y = sympy.symbols("a x y")
    formula = nn.Model("line", [x], [y], {a: 1.0}, a * x, (a * x - y) ** 2)
    assert nn.compile_model(formula, until="schedule")["schedule"].single_sample is None


def test_a_stop_goes_on():
    """A training on single samples that was stopped within an epoch has the bits of one that never was."""
    module = nn.build(nn.Sequential([nn.Dense(24, "tanh"), nn.Dense(3)], 9, "mse", name="stopped"), fit=False)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30_000, 9)), rng.normal(size=(30_000, 3))
    for optimizer in ("sgd", "adam"):
        options = {"optimizer": optimizer, "epochs": 2, "batch_size": 1, "learning_rate": 0.001}
        part = module.train(X, Y, **options, callback=lambda progress: True, callback_interval=1)
        assert part.status == "stopped"
        assert 0 < part._state["counters"][3] < 30_000
        whole = module.train(X, Y, **options)
        assert np.array_equal(module.train(X, Y, **options, resume=part).parameters, whole.parameters)
