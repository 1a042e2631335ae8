"""BatchNormalization with the statistics of batches, against a network in NumPy with derivatives by complex steps."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_array

import nncodegen as nn
from nncodegen.compiler.check import check_gradient
from nncodegen.compiler.pipeline import evaluated_module
from tests.support.built import built, stage
from tests.support.reference import trained

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning"),
]

RNG = np.random.default_rng(0)
X, Y, WEIGHTS = RNG.normal(size=(11, 3)), RNG.normal(size=(11, 2)), RNG.uniform(0.2, 2, 11)

TWO = nn.Sequential(
    [
        nn.Dense(5),
        nn.BatchNormalization(momentum=0.8),
        nn.Activation("tanh"),
        nn.Dense(3),
        nn.BatchNormalization(momentum=0.9, epsilon=0.01, scale=False),
        nn.Activation("tanh"),
        nn.Dense(2),
    ],
    inputs=3,
    name="two",
)
TILE = {"tile": 16}  # so that batches have several


def normalized(z, moving, epsilon, training):
    """z less its mean, divided by its deviation; and mean and variance, over all axes but the last."""
    axes = tuple(range(z.ndim - 1))
    mean = z.mean(axis=axes) if training else moving[0]
    variance = ((z - mean) ** 2).mean(axis=axes) if training else moving[1]
    return (z - mean) / np.sqrt(variance + epsilon), (mean, variance)


class Reference:
    """A network in NumPy: parts of its parameters, where the moving statistics lie, and its outputs."""

    sizes: ClassVar = [(5, 3), (5,), (5,), (5,), (5,), (5,), (3, 5), (3,), (3,), (3,), (3,), (2, 3), (2,)]
    following: ClassVar = {2: (4, 5, 0.8), 3: (9, 10, 0.9)}  # mean, variance, momentum

    def parts(self, p):
        ends = np.cumsum([int(np.prod(size)) for size in self.sizes])
        return [part.reshape(size) for part, size in zip(np.split(p, ends[:-1]), self.sizes, strict=True)]

    def outputs(self, p, x, training):
        w1, b1, g1, s1, m1, v1, w2, b2, s2, m2, v2, w3, b3 = self.parts(p)
        z, first = normalized(x @ w1.T + b1, (m1, v1), 1e-3, training)
        z, second = normalized(np.tanh(g1 * z + s1) @ w2.T + b2, (m2, v2), 1e-2, training)
        return np.tanh(z + s2) @ w3.T + b3, (first, second)

    def loss(self, p, x, y, weights=None, training=True):
        output, _ = self.outputs(p, x, training)
        return np.mean(((output - y) ** 2).mean(axis=1) * (1 if weights is None else weights))

    def gradient(self, p, x, y, weights=None):
        """By complex steps, which lose no digits."""
        steps = p + 1e-30j * np.eye(len(p))
        return np.array([self.loss(step, x, y, weights).imag / 1e-30 for step in steps])

    def train(self, p, x, y, batch, rate, weights=None, clipnorm=np.inf):
        """One epoch of gradient descent; the moving statistics follow after each update."""
        weights = None if weights is None else weights / weights.mean()
        for first in range(0, len(x), batch):
            rows = slice(first, first + batch)
            slope = self.gradient(p, x[rows], y[rows], None if weights is None else weights[rows])
            _, statistics_of_layers = self.outputs(p, x[rows], True)
            after = self.parts(p - rate * slope * min(1, clipnorm / np.linalg.norm(slope)))
            before = self.parts(p)
            for (mean, variance, momentum), statistics in zip(
                self.following.values(), statistics_of_layers, strict=True
            ):
                for k, statistic in zip((mean, variance), statistics, strict=True):
                    after[k] = momentum * before[k] + (1 - momentum) * statistic
            p = np.concatenate([part.ravel() for part in after])
        return p


class Pictures(Reference):
    """A window of 2x2 over pictures of 3x3, a normalization over samples and places, and one layer after it."""

    sizes: ClassVar = [(2, 1, 2, 2), (2,), (2,), (2,), (2,), (2,), (1, 8), (1,)]
    following: ClassVar = {2: (4, 5, 0.5)}

    def outputs(self, p, x, training):
        kernel, b, gamma, beta, mean, variance, w, c = self.parts(p)
        windows = np.lib.stride_tricks.sliding_window_view(x.reshape(-1, 3, 3), (2, 2), (1, 2))
        z = np.einsum("nlmpq,okpq->nlmo", windows, kernel) + b
        z, batch_statistics = normalized(z, (mean, variance), 1e-3, training)
        return np.tanh(gamma * z + beta).reshape(len(x), 8) @ w.T + c, (batch_statistics,)


REFERENCE, PICTURES = Reference(), Pictures()
PICTURE = nn.Sequential(
    [
        nn.Conv2D(2, 2),
        nn.BatchNormalization(momentum=0.5),
        nn.Activation("tanh"),
        nn.Flatten(),
        nn.Dense(1),
    ],
    inputs=(3, 3, 1),
    name="picture",
)


@pytest.fixture(scope="module")
def two():
    return built(TWO, **TILE)


@pytest.fixture(scope="module")
def start(two):
    """Parameters of which none is special."""
    rng = np.random.default_rng(1)
    return np.asarray(two.initial_parameters(seed=3)) + rng.uniform(0.1, 0.3, two.parameter_count)


@pytest.mark.parametrize(
    "options", [{}, {"clipnorm": 0.05}, {"weights": WEIGHTS}], ids=["plain", "clipped", "weighted"]
)
@pytest.mark.parametrize("batch", [4, 1, 11])
def test_training(batch, options, two, start):
    """Updates, and moving statistics after each of them, are those of NumPy: with a remainder, of one, of all samples.

    Weights count in the loss, and not in the statistics; clipping does not see these.
    """
    expected = REFERENCE.train(start, X, Y, batch, 0.1, **options)
    values = {{"weights": "sample_weight"}.get(name, name): value for name, value in options.items()}
    training = two.train(X, Y, start, "sgd", 0.1, epochs=1, batch_size=batch, shuffle=False, **values)
    assert training.parameters == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_large_batches(two, start):
    """A batch of more tiles than are kept from phase to phase gives the same; and no bit depends on the threads."""
    rng = np.random.default_rng(2)
    most = stage(TWO, "schedule", **TILE).kept * 16
    for samples in (700, most + 100):
        x, y = rng.normal(size=(samples, 3)), rng.normal(size=(samples, 2))
        alone, several = (
            two.train(x, y, start, "sgd", 0.1, epochs=1, batch_size=samples, threads=threads) for threads in (1, 2)
        )
        assert alone.parameters == pytest.approx(REFERENCE.train(start, x, y, samples, 0.1), rel=1e-10, abs=1e-12)
        assert np.array_equal(alone.parameters, several.parameters)


def test_at_rest_and_in_training(two, start):
    """Predictions and losses take the moving statistics; loss and gradient together, those of the given samples."""
    outputs, _ = REFERENCE.outputs(start, X, training=False)
    assert two.predict(start, X) == pytest.approx(outputs, rel=1e-12)
    assert two.predict(start, X[:1]) == pytest.approx(outputs[:1], rel=1e-12)
    assert two.loss(start, X, Y) == pytest.approx(REFERENCE.loss(start, X, Y, training=False), rel=1e-12)
    for inputs in (X, csr_array(X)):
        loss, slope = two.loss_and_gradient(start, inputs, Y)
        assert loss == pytest.approx(REFERENCE.loss(start, X, Y), rel=1e-12)
        assert slope == pytest.approx(REFERENCE.gradient(start, X, Y), rel=1e-10, abs=1e-14)
    result = two.train(X, Y, start, epochs=2, batch_size=11, validation_data=(X, Y))
    first = two.train(X, Y, start, epochs=1, batch_size=11)
    assert result.metrics["loss"][1] == pytest.approx(two.loss_and_gradient(first.parameters, X, Y)[0], rel=1e-12)
    assert result.metrics["val_loss"][-1] == pytest.approx(two.loss(result.parameters, X, Y), rel=1e-12)


def test_check(two):
    """The check of ``build`` checks the gradient of training, by differences with 50 digits."""
    check = check_gradient(two, stage(TWO, "describe", **TILE), stage(TWO, "differentiate", **TILE))
    assert check.evaluated < 1e-13
    assert check.differences < 1e-12


def test_goes_on(two, start, tmp_path):
    """Moving statistics are in the archive: a training that is resumed is one that went on."""
    options = {"batch_size": 7, "seed": 1}
    whole = two.train(X, Y, start, "adam", epochs=3, **options)
    two.train(X, Y, start, "adam", epochs=1, **options).save(tmp_path / "part.npz")
    again = two.train(X, Y, optimizer="adam", epochs=3, batch_size=7, resume=two.load(tmp_path / "part.npz"))
    assert np.array_equal(again.parameters, whole.parameters)
    assert "moving_mean2" in two.unpack(again.parameters)


def test_minimize(two, start):
    """A minimizer takes all samples as one batch, and leaves their statistics: predictions have that loss."""
    minimized = two.minimize(X, Y, start, options={"maxiter": 5})
    _, statistics = REFERENCE.outputs(minimized.parameters, X, training=True)
    parts = REFERENCE.parts(minimized.parameters)
    for (mean, variance, _), expected in zip(REFERENCE.following.values(), statistics, strict=True):
        assert (parts[mean], parts[variance]) == (pytest.approx(expected[0], rel=1e-10), pytest.approx(expected[1]))
    assert minimized.loss == pytest.approx(two.loss(minimized.parameters, X, Y), rel=1e-12)
    assert minimized.loss < REFERENCE.loss(start, X, Y)


def test_many_models(two, start):
    """Several models are trained one after the other, each as by itself."""
    starts = np.stack([start, start + 0.1])
    together = two.train_many(X, Y, starts, epochs=2, batch_size=7, seed=[4, 9])
    for number, parameters in enumerate(starts):
        alone = two.train(X, Y, parameters, epochs=2, batch_size=7, seed=(4, 9)[number])
        assert np.array_equal(together.parameters[number], alone.parameters)


def test_windows_in_single_precision():
    """After a window, statistics are over all of its places as well."""
    picture = built(PICTURE, "float32")
    x, y = RNG.normal(size=(70, 9)), RNG.normal(size=(70, 1))
    p = np.asarray(picture.initial_parameters(seed=1), float) + RNG.uniform(0.1, 0.3, picture.parameter_count)
    p = p.astype("float32").astype(float)
    _, slope = picture.loss_and_gradient(p, x, y)
    assert slope == pytest.approx(PICTURES.gradient(p, x, y), rel=1e-4, abs=1e-6)
    training = picture.train(x, y, p, "sgd", 0.1, epochs=1, batch_size=32, shuffle=False)
    assert training.parameters == pytest.approx(PICTURES.train(p, x, y, 32, 0.1), rel=1e-4, abs=1e-6)
    for point, rows in ((p, x), (2 * p, x[:1])):  # others, as memory may hold what the first call computed
        outputs, _ = PICTURES.outputs(point, rows, training=False)
        data = point.astype("float32"), rows.astype("float32")
        assert picture.predict(*data) == pytest.approx(outputs, rel=1e-4, abs=1e-5)


def test_a_training_that_is_written_plainly():
    """C trains such a network as the evaluator and the rule say, with noise, penalties and decay of weights."""
    layers = [nn.Dense(4), nn.BatchNormalization(), nn.Activation("relu"), nn.Dropout(0.3), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, inputs=3, loss="categorical_crossentropy", name="noisy")
    module, slow = nn.build(model, choices=TILE), evaluated_module(model, reason="for a test")
    labels = RNG.integers(0, 3, 11)
    start = module.initial_parameters(seed=2)
    for options in ({"weight_decay": 0.01, "l2": 0.1, "clipnorm": 0.5}, {"update": "sequential"}):
        arguments = {"epochs": 2, "batch_size": 8, "sample_weight": WEIGHTS, "learning_rate": 0.1, **options}
        parameters = module.train(X, labels, start, "sgd", **arguments).parameters
        expected = trained(stage(model), start, X, labels, "sgd", **arguments)
        assert parameters == pytest.approx(expected, rel=1e-9, abs=1e-12)
    parameters, other = (each.loss_and_gradient(start, X, labels) for each in (module, slow))
    assert parameters[1] == pytest.approx(other[1], rel=1e-9, abs=1e-14)
    assert module.loss(start, X, labels) == pytest.approx(slow.loss(start, X, labels), rel=1e-12)


def test_shows_what_differs():
    """Programs and schedules tell what is at rest, what in training, and which phases a batch has."""
    assert "at rest     mean2[j] = moving_mean2[j]  variance2[j] = moving_variance2[j]" in stage(TWO, "describe").show()
    assert "in training" in stage(TWO, "simplify").show()
    text = stage(TWO, "schedule", **TILE).show()
    assert "a batch has 7 phases" in text
    assert "between the phases 1 and 2" in text


class Centered(nn.Layer):
    """x less its mean over the samples of a batch, as a user may write it."""

    def __init__(self, present=True, follows=True):
        self.present, self.follows = present, follows

    def describe(self, call):
        x, units = call.x, call.x.indices[1:]
        count = call.step("count", (), call.present, "sum", ("n",))
        total = call.step("total", units, x * call.present if self.present else x, "sum", ("n",))
        mean = call.step("mean", units, total / count)
        if self.follows:
            call.follow("moving", mean, 0.0, 0.9)
        return call.output(x - mean)


def test_layers_of_ones_own():
    """A layer of one's own may have statistics; it is told what it forgot, which would count what pads a tile."""
    program = stage(nn.Sequential([Centered(), nn.Dense(2)], 3, name="centered"))
    rng = np.random.default_rng(3)
    w, b, moving = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=3)
    values = nn.evaluate(program, np.concatenate([moving, w.ravel(), b]), X, Y)
    assert values[program.outputs[0].tensor] == pytest.approx((X - moving) @ w.T + b)
    assert values[program.batch.outputs[0].tensor] == pytest.approx((X - X.mean(axis=0)) @ w.T + b)
    with pytest.raises(nn.ModelError, match=r"total1\[i\] of .* multiply its terms by call.present"):
        nn.Sequential([Centered(present=False)], 3)
    with pytest.raises(nn.ModelError, match=r"count1 of .* nothing has its place at rest: .*call.follow"):
        nn.Sequential([Centered(follows=False)], 3)


def test_refused(two, start):
    """What needs samples one by one says that it does, and a layer that is used twice, or wrongly given."""
    x = nn.Input(3)
    once = nn.BatchNormalization()
    with pytest.raises(nn.ModelError, match=r"moving_mean1 of network would follow .* several uses of one layer"):
        nn.Network(x, once(once(x)))
    with pytest.raises(nn.ModelError, match="momentum of layer 1 is a number from 0 to 1, not 2"):
        nn.Sequential([nn.BatchNormalization(momentum=2)], 3)
    with pytest.raises(nn.ModelError, match="frozen of layer 1 is True or False, not 1"):
        nn.Sequential([nn.BatchNormalization(frozen=1)], 3)
    with pytest.raises(nn.ModelError, match=r"two cannot be fitted: .* statistics of them all"):
        nn.compile_model(TWO, fit=True, until="differentiate")
    with pytest.raises(ValueError, match="BatchNormalization needs statistics of them all"):
        two.fit(X, Y)
    with pytest.raises(nn.ModelError, match="plain C, also in WebAssembly, does not"):
        nn.export(TWO, "c", train=True, parameters=start)
