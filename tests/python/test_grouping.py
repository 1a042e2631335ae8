"""A training has the same bits however its updates are grouped into calls: by resuming, callbacks, limits."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.runtime.python.arguments.rate_schedules import RateSchedule

pytestmark = pytest.mark.usefixtures("vector_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(70, 3)), RNG.normal(size=(70, 1))
SCHEDULES = ["constant", "step", ("step", {"step_size": 3, "gamma": 0.7}), "exponential", ("inverse", {"power": 0.5}),
             "polynomial", ("polynomial", {"power": 1.7, "final": 0.1}), "cosine", ("cosine", {"final": 0.01}),
             "one_cycle", ("one_cycle", {"start": 0, "rise": 0.37}), "warm_up", ("warm_up", {"epochs": 20}),
             ("warm_up", {"epochs": 3.3, "start": 0.1}),
             list(RNG.uniform(0, 1, 20) * (np.arange(20) % 4 > 0))]  # fmt: skip


def name_of(schedule):
    return "array" if isinstance(schedule, list) else str(schedule)


@pytest.fixture(scope="module", params=["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def module(request, vector_compiler):
    network = nn.Sequential([nn.Dense(8, "tanh"), nn.Dense(1)], 3, "mse", name="grouped")
    return nn.build(network, request.param, fit=False)


def same(first, second):
    return np.array_equal(first.parameters, second.parameters) and np.array_equal(first.history, second.history)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_epochs(module, schedule):
    """Stopped and resumed after any epoch, or after every one, or seen by a callback: with each schedule and batch."""
    for batch in (1, 7, 10, 11, 23, 32, 70):
        for epochs in (7, 13, 20):
            options = {"schedule": schedule, "batch_size": batch, "epochs": epochs, "learning_rate": 0.05}
            whole = module.train(X, Y, **options)
            assert same(whole, module.train(X, Y, callback=lambda progress: None, **options))
            pieces = None
            for until in range(1, epochs):
                half = module.train(X, Y, callback=lambda progress, until=until: progress.epochs == until, **options)
                assert half.epochs == until
                assert same(whole, module.train(X, Y, resume=half, **options))
                last = 0 if pieces is None else pieces.epochs
                pieces = module.train(
                    X, Y, callback=lambda progress, last=last: progress.epochs > last, resume=pieces, **options
                )
            assert same(whole, module.train(X, Y, resume=pieces, **options))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": 3, "momentum": 0.9}, {"batch_size": 1}], ids=str)
def test_within_epochs(module, schedule, options):
    """Stopped again and again within epochs, and resumed each time."""
    rows, targets = np.tile(X, (100, 1)), np.tile(Y, (100, 1))
    arguments = {"schedule": schedule, "epochs": 4, "learning_rate": 1e-3, **options}
    whole = module.train(rows, targets, **arguments)
    pieces, ends = None, []
    while pieces is None or pieces.status == "stopped":
        pieces = module.train(
            rows, targets, resume=pieces, callback=lambda progress: True, callback_interval=1e-9, **arguments
        )
        ends.append(pieces._state["counters"][3])
    assert np.count_nonzero(ends) > 3
    assert same(whole, pieces)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", ("warm_up", {"epochs": 7}), "exponential"], ids=name_of)
def test_what_is_measured_changes_no_update(module, schedule):
    """Metrics, validation, patience that does not end it, a far time limit: the parameters are the same."""
    arguments = {"schedule": schedule, "batch_size": 11, "epochs": 13, "restore_best_weights": False}
    whole = module.train(X, Y, **arguments)
    for options in (
        {"time_limit": 1e6},
        {"patience": 100},
        {"metrics": ["r2"]},
        {"validation_data": (X, Y)},
        {"callback": lambda progress: None, "callback_interval": 1e-3},
        {"threads": 2},
    ):
        assert np.array_equal(whole.parameters, module.train(X, Y, **arguments, **options).parameters)


@pytest.mark.parametrize("schedule", SCHEDULES[1:-1], ids=name_of)
def test_factors(module, schedule):
    """The factor of an update is the same in any call, and that of the formula; a warm-up ends with 1."""
    factors = RateSchedule(module._model, schedule, 20).factors
    for updates in (1, 6, 10, 11):
        whole = factors(0, 20, updates)
        each = len(whole) // 20
        for first in range(20):
            for count in range(1, 21 - first):
                assert np.array_equal(factors(first, count, updates), whole[first * each :][: count * each])
        if schedule == ("warm_up", {"epochs": 20}):
            assert whole[-1] == 1
            assert whole == pytest.approx(np.arange(1, 20 * updates + 1) / (20 * updates), rel=1e-15)


def test_batches_above_all_samples(module):
    """A batch_size above the number of samples means all of them, in every training."""
    for size in (71, 10**12):
        assert same(module.train(X, Y, epochs=3), module.train(X, Y, epochs=3, batch_size=size))
        options = {"epochs": 3, "validation_split": 0.1}
        assert same(module.train(X, Y, **options), module.train(X, Y, batch_size=size, **options))
        assert same(module.partial_fit(X, Y), module.partial_fit(X, Y, batch_size=size))
        many = module.train_many(X, Y, models=2, epochs=3, batch_size=size)
        assert np.array_equal(many.parameters, module.train_many(X, Y, models=2, epochs=3).parameters)
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match="batch_size must be an integer from 1"):
            module.train(X, Y, batch_size=wrong)
