"""Dropout and noise: random numbers of training alone, that depend on counters and on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from tests.support.built import built
from tests.support.compilers import COMPILERS, OF_FORMULAS, compile_strictly, emitted
from tests.support.models import differences, gradient_of
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 4)), RNG.normal(size=(300, 2))
LAYERS = [nn.GaussianNoise(0.3), nn.Dense(6, "tanh"), nn.Dropout(0.25), nn.Dense(2)]
MODEL = nn.Sequential(LAYERS, inputs=4, name="noisy")
U32, U64 = 2**32 - 1, 2**64 - 1


def mixed(z):
    """The finalizer of SplitMix64, in exact integers."""
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & U64
    return z ^ z >> 31


def mixed_half(z):
    """The finalizer of MurmurHash3."""
    z = ((z ^ z >> 16) * 0x85EBCA6B) & U32
    z = ((z ^ z >> 13) * 0xC2B2AE35) & U32
    return z ^ z >> 16


def bits(seed, update, layer, rows, units):
    """The random bits of rows and units, (rows, units)."""
    key = mixed((mixed(mixed(seed) + 0x9E3779B97F4A7C15 * (update + 1) & U64) + 0x9E3779B97F4A7C15 * layer) & U64)
    hashed = [
        [mixed_half(mixed_half((row + key) & U32) ^ (unit * 0x9E3779B9 + (key >> 32)) & U32) for unit in units]
        for row in rows
    ]
    return np.array(hashed, float)


def dropout(rate, *counters):
    return np.where(bits(*counters) < rate * 2**32, -1, rate / (1 - rate))


def normal(deviation, seed, update, layer, rows, units):
    first = (bits(seed, update, layer, rows, [2 * u for u in units]) + 0.5) / 2**32
    turn = bits(seed, update, layer, rows, [2 * u + 1 for u in units]) / 2**32
    return -deviation * np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * turn)


def noise(seed, update, rows):
    return {
        "noise1": normal(0.3, seed, update, 1, rows, range(4)),
        "noise3": dropout(0.25, seed, update, 2, rows, range(6)),
    }


@pytest.fixture(scope="module")
def module():
    return built(MODEL)


@pytest.fixture(scope="module")
def program():
    return nn.compile_model(MODEL, until="differentiate")["differentiate"]


def test_updates_follow_the_evaluator(module, program):
    """Every update, of shuffled batches that fill no tile, has the gradient that NumPy finds with the same noise."""
    seen = []
    module.train(
        X,
        Y,
        epochs=2,
        batch_size=70,
        shuffle=False,
        seed=9,
        learning_rate=0.1,
        callback_interval="epoch",
        callback=lambda p: seen.append(p.parameters),
    )
    w = module.initial_parameters(seed=9)
    update = 0
    for epoch in range(2):
        for begin in range(0, 300, 70):
            rows = range(begin, min(300, begin + 70))
            values = evaluate(program, w, X[rows], Y[rows], noise=noise(9, update, rows))
            w = w - 0.1 * np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
            update += 1
        assert seen[epoch] == pytest.approx(w, rel=1e-9, abs=1e-12)


def test_gradients_are_those_of_the_noisy_loss(program):
    """With given noise, the derived gradient agrees with differences of the loss with the same noise."""
    drawn_noise = noise(3, 0, range(20))
    w = np.random.default_rng(1).normal(size=44)
    values = evaluate(program, w, X[:20], Y[:20], noise=drawn_noise)
    joined = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])

    def loss(k, step):
        moved = w.copy()
        moved[k] += step
        return float(evaluate(program, moved, X[:20], Y[:20], noise=drawn_noise)["loss"])

    expected = [(loss(k, 1e-6) - loss(k, -1e-6)) / 2e-6 for k in range(44)]
    assert joined == pytest.approx(np.array(expected), rel=1e-6, abs=1e-8)
    assert not np.allclose(joined, gradient_of(program, w, X[:20], Y[:20]))
    assert gradient_of(program, w, X[:20], Y[:20]) == pytest.approx(differences(program, w, X[:20], Y[:20]), rel=1e-5)


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_noise_is_of_training_alone(precision):
    """Outputs have the bits of the network without the noise, losses and gradients agree; validation too."""
    noisy = built(MODEL, precision)
    plain = nn.build(nn.Sequential([LAYERS[1], LAYERS[3]], inputs=4, name="plain"), precision, fit=False)
    w = noisy.initial_parameters(seed=2)
    assert np.array_equal(noisy.predict(w, X), plain.predict(w, X))
    assert noisy.loss(w, X, Y) == pytest.approx(plain.loss(w, X, Y), rel=1e-6 if precision == "float32" else 1e-14)
    loss, gradient = noisy.loss_and_gradient(w, X, Y)
    expected, expected_gradient = plain.loss_and_gradient(w, X, Y)
    assert loss == pytest.approx(expected, rel=1e-6 if precision == "float32" else 1e-14)
    assert gradient == pytest.approx(expected_gradient, rel=1e-6 if precision == "float32" else 1e-12, abs=1e-9)
    result = noisy.train(X, Y, epochs=2, validation_data=(X, Y))
    assert result.metrics["val_loss"][-1] == result.loss == noisy.loss(result.parameters, X, Y)
    assert result.history[-1] != result.loss


@examples(10)
@given(order=st.permutations(range(8)))
def test_bits_do_not_depend_on_what_is_computed_together(module, order):
    """The noise of a row is that of its number in X, in whatever batch and order it comes; seeds differ."""
    rows = np.repeat(np.eye(8), 40, axis=0)[:, :4]  # a batch of 320 rows, more than two tiles
    targets = np.zeros((320, 2))
    first = module.train(rows, targets, epochs=1, seed=1, shuffle=False, learning_rate=0.1)
    again = module.train(rows, targets, epochs=1, seed=1, shuffle=False, learning_rate=0.1)
    assert np.array_equal(first.parameters, again.parameters)
    weight = np.zeros(320)
    weight[order[0] * 40] = 1  # one row alone counts: the others are noise that does not matter
    alone = module.train(rows, targets, epochs=1, seed=1, sample_weight=weight, batch_size=320)
    position = order[0] * 40
    shorter = module.train(
        rows[: position + 1], targets[: position + 1], epochs=1, seed=1, sample_weight=weight[: position + 1]
    )
    assert alone.parameters == pytest.approx(shorter.parameters, rel=1e-12)
    other = module.train(rows, targets, epochs=1, seed=2, parameters=module.initial_parameters(seed=1), shuffle=False)
    assert not np.allclose(first.parameters, other.parameters, rtol=1e-6)


def test_resuming_has_the_same_noise(module):
    """Noise goes on with the number of the update."""
    whole = module.train(X, Y, epochs=6, batch_size=64, optimizer="adam", seed=5)
    half = module.train(X, Y, epochs=3, batch_size=64, optimizer="adam", seed=5)
    assert np.array_equal(
        module.train(X, Y, epochs=6, batch_size=64, optimizer="adam", resume=half).parameters, whole.parameters
    )


@pytest.mark.parametrize(("layer", "distribution"), [(nn.Dropout(0.3), "dropout"), (nn.GaussianNoise(0.7), "normal")])
def test_distributions(layer, distribution):
    """The compiled numbers have the moments that they should, and no correlation of rows, units or updates."""
    # h = x + noise with x = 1 (dropout: the noise itself), and the loss is y*h: its gradient by W is the mean of y*h
    size, samples = 16, 4000
    module = nn.build(
        nn.Sequential([layer, nn.Dense(1, use_bias=False)], size, lambda output, y: output * y, name="moments"),
        fit=False,
    )
    Z = np.ones((samples, size))
    draws = []
    for seed in range(3):
        for update in range(2):
            points = [np.zeros(size)]
            module.train(
                Z,
                np.ones(samples),
                parameters=points[0],
                epochs=update + 1,
                seed=seed,
                learning_rate=1.0,
                callback=lambda p, points=points: points.append(p.parameters),
            )
            draws.append(points[-2] - points[-1] - 1)  # the mean of the noise over the samples, for each unit
    draws = np.array(draws)
    deviation = np.sqrt(0.3 / 0.7) if distribution == "dropout" else 0.7
    assert abs(draws).max() < 5 * deviation / np.sqrt(samples)
    assert draws.std() == pytest.approx(deviation / np.sqrt(samples), rel=0.25)
    assert len(np.unique(draws)) > 0.5 * draws.size
    sample = (
        dropout(0.3, 1, 0, 1, range(500), range(16))
        if distribution == "dropout"
        else normal(0.7, 1, 0, 1, range(500), range(16))
    )
    assert sample.mean() == pytest.approx(0, abs=5 * deviation / np.sqrt(sample.size))
    assert sample.std() == pytest.approx(deviation, rel=0.05)
    assert abs(np.corrcoef(sample.T) - np.eye(16)).max() < 5 / np.sqrt(500)
    assert abs(np.corrcoef(sample[:-1].ravel(), sample[1:].ravel())[0, 1]) < 5 / np.sqrt(sample.size)


def test_without_noise_there_is_no_code():
    """A program without noise has no generator in its C."""
    plain = emitted(nn.Sequential([nn.Dense(2)], 3, name="quiet"))
    assert "noise" not in plain.files["quiet.c"]
    silent = nn.Sequential([nn.GaussianNoise(0), nn.Dense(2), nn.Dropout(0.0), nn.Dense(1)], 3, name="quiet")
    assert "noise" not in emitted(silent).files["quiet.c"]


@pytest.mark.parametrize(
    ("precision", "first", "compilers"),
    [
        ("float64", 0, OF_FORMULAS),
        ("float32", 1, OF_FORMULAS),
        *(
            pytest.param(precision, first, COMPILERS, marks=pytest.mark.thorough)
            for precision in ("float64", "float32")
            for first in (0, 1)
        ),
    ],
    ids=str,
)
def test_noise_compiles_without_a_warning(precision, first, compilers, tmp_path):
    """So do noise and dropout; with --thorough in each order and precision, optimized as for people."""
    sources = emitted(nn.Sequential(LAYERS[first:], 4, name="noisy"), precision)
    compile_strictly(sources, tmp_path, compilers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Dropout(1.0), nn.Dense(1)], "the rate of layer 1, a Dropout, must be a number from 0, below 1, not 1.0"),
        ([nn.Dropout("half"), nn.Dense(1)], "the rate of layer 1, a Dropout, must be a number"),
        (
            [nn.GaussianNoise(-1), nn.Dense(1)],
            "the stddev of layer 1, a GaussianNoise, must be a number from 0, not -1",
        ),
        ([nn.GaussianNoise(float("inf")), nn.Dense(1)], "the stddev of layer 1"),
        (
            [nn.Dense(1), nn.Dropout(0.5)],
            "layer 2 puts noise on the output of the network: put a Dense layer after it",
        ),
    ],
)
def test_refused(layers, message):
    """A ModelError says which layer is wrong."""
    with pytest.raises(nn.ModelError, match=message):
        nn.Sequential(layers, 3)
