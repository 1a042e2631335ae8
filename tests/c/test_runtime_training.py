"""Whole trainings in C of the sample model, whose loops are written by hand, against NumPy."""

import numpy as np
import pytest

PARAMETERS, SAMPLES, EPOCHS = 10, 90, 3
SGD, MOMENTUM, ADAM = 0, 1, 5
COMPLETED, DIVERGED = 0, 3
WORK = 1 << 20
WORD = 2**64 - 1
OPTIONS = np.array([0.2, 0.0, 0.999, 1e-8, 0.0])

RNG = np.random.default_rng(0)
X, Y, START = RNG.normal(size=(SAMPLES, 3)), RNG.normal(size=(SAMPLES, 2)), RNG.normal(size=PARAMETERS)
ALL = np.arange(SAMPLES)
WEIGHTS = RNG.uniform(0.5, 2, size=SAMPLES)


def predicted(parameters, inputs):
    """Outputs of the sample model, and what they are before the scales."""
    hidden = np.tanh(inputs @ parameters[:6].reshape(2, 3).T + parameters[6:8])
    return hidden * parameters[8:], hidden


def derived(parameters, inputs, targets, weights):
    """The weighted loss and its gradient."""
    outputs, hidden = predicted(parameters, inputs)
    errors = outputs - targets
    by_sum = weights[:, None] * errors * parameters[8:] * (1 - hidden**2)
    gradient = [(by_sum.T @ inputs).ravel(), by_sum.sum(0), (weights[:, None] * errors * hidden).sum(0)]
    return (weights @ errors**2).sum() / 2, np.concatenate(gradient)


def shuffled_orders(state):
    """The orders of the samples in each epoch, as SplitMix64 and Fisher and Yates have them."""
    orders = []
    for _ in range(EPOCHS):
        order = np.arange(SAMPLES)
        for n in range(SAMPLES, 1, -1):
            state = state + 0x9E3779B97F4A7C15 & WORD
            z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & WORD
            z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
            other = (z ^ z >> 31) * n >> 64
            order[[n - 1, other]] = order[[other, n - 1]]
        orders.append(order)
    return orders


def descended(batch, weights=None, orders=(ALL,) * EPOCHS, updated=(slice(None),)):
    """The parameters after plain gradient descent by NumPy, and the loss of each epoch.

    ``updated`` are the parameters of each update: one after the other with the same samples.
    """
    parameters, history = START.copy(), []
    weights = np.ones(SAMPLES) if weights is None else weights
    for order in orders:
        losses = []
        for rows in np.split(order, range(batch, SAMPLES, batch)):
            share = weights[rows] / weights.mean() / len(rows)
            losses.append(derived(parameters, X[rows], Y[rows], share)[0] * len(rows) / SAMPLES)
            for chosen in updated:
                _, gradient = derived(parameters, X[rows], Y[rows], share)
                parameters[chosen] -= OPTIONS[0] * gradient[chosen]
        history.append(sum(losses))
    return parameters, np.array(history)


def train(
    library, optimizer, batch, start=START, weights=None, shuffled=0, sequential=0, interrupted=0, options=OPTIONS
):
    """The parameters after a training in C, the history, and the status."""
    parameters, history = library.array(start), np.zeros(EPOCHS)
    state, order = library.zeros(3, PARAMETERS), np.zeros(SAMPLES, np.uint64)
    work = np.full(WORK, 255, np.uint8)
    weights = None if weights is None else library.array(weights)
    assert library.call("sample_work_size") <= WORK
    status = library.call(
        "train_single",
        optimizer,
        options,
        library.array(X),
        library.array(Y),
        weights,
        SAMPLES,
        batch,
        EPOCHS,
        shuffled,
        sequential,
        interrupted,
        state,
        order,
        work,
        parameters,
        history,
    )
    return parameters, history, status


def close(library, expected, digits_lost=300):
    return pytest.approx(expected, rel=digits_lost * library.eps, abs=digits_lost * library.eps)


@pytest.mark.parametrize("samples", [1, 4, 31, 32, 33, 90])
def test_outputs_loss_and_gradient(model, samples):
    """Outputs, the weighted mean loss and its gradient are NumPy's, for any number of samples."""
    inputs, targets, weights = (model.array(values[:samples]) for values in (X, Y, WEIGHTS))
    work, parameters = np.full(WORK, 255, np.uint8), model.array(START)
    outputs, few = model.zeros(samples, 2), model.zeros(min(samples, 4), 2)
    loss, other_loss, gradient = np.zeros(1), np.zeros(1), model.zeros(PARAMETERS)
    assert model.call("sample_predict", parameters, inputs, samples, work, outputs, None) == 0
    assert model.call("sample_predict_few", parameters, inputs, len(few), work, few) == 1
    assert model.call("sample_loss", parameters, inputs, targets, weights, samples, work, loss, None) == 0
    arguments = (parameters, inputs, targets, weights, samples, work, other_loss, gradient, None)
    assert model.call("sample_loss_and_gradient", *arguments) == 0
    shares = WEIGHTS[:samples] / WEIGHTS[:samples].sum()
    expected_loss, expected_gradient = derived(START, X[:samples], Y[:samples], shares)
    assert outputs == close(model, predicted(START, X[:samples])[0])
    assert few == close(model, outputs[:4])
    assert [loss[0], other_loss[0]] == close(model, [expected_loss] * 2)
    assert gradient == close(model, expected_gradient)


def test_few_rows_are_finite(model):
    """No outputs of a few rows are computed where a number is not finite."""
    work, outputs, inputs = np.zeros(WORK, np.uint8), model.zeros(2, 2), model.array(X[:2])
    inputs[1, 2] = np.nan
    assert model.call("sample_predict_few", model.array(START), inputs, 2, work, outputs) == 0
    assert not outputs.any()


@pytest.mark.parametrize("batch", [1, 2, 7, 32, 40, 90])
@pytest.mark.parametrize("optimizer", [SGD, MOMENTUM], ids=["in place", "by updates"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_descent(model, optimizer, batch, weights):
    """Gradient descent is NumPy's: in registers, in place, or update by update (momentum without any)."""
    parameters, history, status = train(model, optimizer, batch, weights=weights)
    expected, losses = descended(batch, weights)
    assert status == COMPLETED
    assert parameters == close(model, expected, 3000)
    assert history == close(model, losses, 3000)


@pytest.mark.parametrize("batch", [1, 20, 50])
@pytest.mark.parametrize("optimizer", [SGD, MOMENTUM])
def test_sequential(model, optimizer, batch):
    """A sequential update changes one parameter after the other, each with the gradient at what the last one left."""
    parameters, history, _ = train(model, optimizer, batch, sequential=1)
    expected, losses = descended(batch, updated=range(PARAMETERS))
    assert parameters == close(model, expected, 3000)
    assert history == close(model, losses, 3000)


@pytest.mark.parametrize("sequential", [0, 1])
@pytest.mark.parametrize("batch", [1, 20, 50])
@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_interruptions(model, optimizer, batch, sequential):
    """A training that is interrupted again and again, and goes on, gives the bits of one that is not."""
    whole, parts = (train(model, optimizer, batch, shuffled=1, sequential=sequential, interrupted=k) for k in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("optimizer", [SGD, MOMENTUM], ids=["in place", "by updates"])
def test_shuffled(model, optimizer, batch):
    """A shuffled training goes through the samples of each epoch in an order of its own, drawn from the state given."""
    parameters, history, _ = train(model, optimizer, batch, shuffled=1)
    expected, losses = descended(batch, orders=shuffled_orders(1))
    assert parameters == close(model, expected, 3000)
    assert history == close(model, losses, 3000)


@pytest.mark.parametrize("batch", [1, 7, 90])
def test_divergence(model, batch):
    """A training ends as diverged when a parameter or the loss is no longer finite; its parameters are those before."""
    parameters, _, status = train(
        model, SGD, batch, options=np.array([1e200 if model.bits == 64 else 1e30, 0, 0, 0, 0])
    )
    assert status == DIVERGED
    assert np.isfinite(parameters).all()


@pytest.mark.parametrize("batch", [7, 90])
@pytest.mark.parametrize("optimizer", [SGD, MOMENTUM, ADAM])
def test_groups(model, optimizer, batch):
    """Models side by side reach what each of them reaches alone, also where they are more than a group."""
    count = 19
    rates = np.linspace(0.05, 0.3, count)
    starts = START + 0.1 * np.random.default_rng(1).normal(size=(count, PARAMETERS))
    parameters, losses, history = model.array(starts), np.zeros(count), np.zeros((EPOCHS, count))
    done, status = np.zeros(count, np.uint64), np.zeros(count, np.int32)
    work = np.full(model.call("sample_many_size"), 255, np.uint8)
    assert (
        model.call(
            "train_several",
            optimizer,
            OPTIONS,
            rates,
            model.array(X),
            model.array(Y),
            SAMPLES,
            batch,
            EPOCHS,
            count,
            work,
            parameters,
            losses,
            history,
            done,
            status,
        )
        == 0
    )
    assert (done == EPOCHS).all()
    assert not status.any()
    for m in range(count):
        options = np.array([rates[m], *OPTIONS[1:]])
        alone, its_history, _ = train(model, optimizer, batch, starts[m], options=options)
        assert parameters[m] == close(model, alone, 3000)
        assert history[:, m] == close(model, its_history, 3000)
        assert losses[m] == close(model, derived(alone.astype(float), X, Y, np.full(SAMPLES, 1 / SAMPLES))[0], 3000)
