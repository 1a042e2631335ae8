"""The samples of a tile in C, and how a call is stopped."""

import numpy as np
import pytest

INPUTS, TARGETS, TILE, SAMPLES = 3, 2, 32, 90
MILLION = 1e6


@pytest.fixture(scope="session")
def samples(runtime):
    return runtime("samples")


class Tile:
    """What a tile of the samples from ``first`` on is, in the given order and with the given weights."""

    def __init__(self, library, data, first, count, order=None, weights=None, total=1.0):
        self.inputs, self.targets = library.zeros(TILE, INPUTS), library.zeros(TILE, TARGETS)
        self.weights, self.rows = library.zeros(TILE) - 1, np.full(TILE, 10**9, np.uint64)
        work = np.full(library.call("bytes"), 255, np.uint8)
        self.read_in_place = library.call(
            "make_tile",
            work,
            *data,
            order,
            weights,
            total,
            first,
            count,
            self.inputs,
            self.targets,
            self.weights,
            self.rows,
        )


@pytest.fixture
def data(samples):
    rng = np.random.default_rng(0)
    return samples.array(rng.normal(size=(SAMPLES, INPUTS))), samples.array(rng.normal(size=(SAMPLES, TARGETS)))


@pytest.mark.parametrize("ordered", [False, True], ids=["in place", "ordered"])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("count", [1, 2, 5, 31, 32])
def test_tile(samples, data, count, weighted, ordered):
    """A tile holds rows, numbers and weights of its samples in their order, and weight 0 up to whole vectors."""
    rng = np.random.default_rng(count)
    order = rng.permutation(SAMPLES).astype(np.uint64) if ordered else None
    weights = samples.array(rng.uniform(size=SAMPLES)) if weighted else None
    tile = Tile(samples, data, 40, count, order, weights, total=8.0)
    chosen = (np.arange(SAMPLES) if order is None else order.astype(int))[40 : 40 + count]
    assert np.array_equal(tile.inputs[:count], data[0][chosen])
    assert np.array_equal(tile.targets[:count], data[1][chosen])
    expected = (np.ones(SAMPLES) if weights is None else weights)[chosen] / 8
    assert tile.weights[:count] == pytest.approx(expected, rel=samples.eps)
    padding = samples.call("padding")
    padded = -(-count // padding) * padding
    assert not tile.weights[count:padded].any()
    assert np.array_equal(tile.rows[:count], chosen)
    assert not tile.rows[count:padded].any()
    assert tile.read_in_place == (not ordered or count == 1)


@pytest.mark.parametrize("count", [1, 3, 15, 32])
def test_whole_vectors(samples, data, count):
    """Rows that are read in whole vectors have the last sample again after them, and never one that is not theirs."""
    order = np.random.default_rng(0).permutation(SAMPLES).astype(np.uint64)
    padding = samples.call("padding")
    padded = -(-count // padding) * padding
    copied = samples.zeros(padded, INPUTS)
    samples.call("make_whole_rows", data[0], order, SAMPLES - count, count, copied)
    rows = data[0][order[SAMPLES - count :].astype(int)]
    expected = np.concatenate([rows, np.repeat(rows[-1:], padded - count, 0)])
    assert padded == count == 1 or np.array_equal(copied, expected)


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("ordered", [False, True], ids=["in place", "ordered"])
@pytest.mark.parametrize("count", [1, 3, 32])
def test_sparse_rows(samples, data, count, ordered, whole):
    """Rows of which only some values are given, in any order within a row, are whole rows with 0 elsewhere."""
    rng = np.random.default_rng(count)
    is_stored = rng.uniform(size=(SAMPLES, INPUTS)) < 0.5
    columns = [rng.permutation(np.flatnonzero(row)).astype(np.uint32) for row in is_stored]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])]).astype(np.uint64)
    values = np.concatenate([row[places] for row, places in zip(data[0], columns, strict=True)])
    order = rng.permutation(SAMPLES).astype(np.uint64) if ordered else None
    padding = samples.call("padding")
    padded = -(-count // padding) * padding if whole else count
    copied = samples.zeros(padded, INPUTS) + 9
    samples.call("make_sparse_rows", values, starts, np.concatenate(columns), order, 40, count, whole, copied)
    rows = np.where(is_stored, data[0], 0)[np.arange(SAMPLES) if order is None else order.astype(int)][40 : 40 + count]
    assert np.array_equal(copied, np.concatenate([rows, np.repeat(rows[-1:], padded - count, 0)]))


def test_total_weight(samples):
    """The weight of all samples is summed up in double, and is their number without weights."""
    weights = samples.array(np.random.default_rng(0).uniform(size=1000))
    weight = samples.call("weight_of_all", weights, 1000, returns="number")
    assert weight == pytest.approx(weights.astype(float).sum(), rel=1e-14)
    assert samples.call("weight_of_all", None, 1000, returns="number") == 1000


def poll(samples, calls, operations=MILLION, interval=0.0, asked=0.0, last=0):
    """The calls until one was stopped, the questions asked, and whether these saw subnormal numbers."""
    questions, gradual = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    made = samples.call("poll_calls", calls, operations, interval, asked, last, questions, gradual)
    return made, int(questions[0]), bool(gradual[0])


def test_asked_after_some_operations(samples):
    """Nobody is asked before a million operations are done, and then the count begins anew."""
    assert poll(samples, 999, 1e3) == (999, 0, True)
    assert poll(samples, 10_000, 1e3) == (10_000, 10, True)
    assert poll(samples, 50) == (50, 50, True)


def test_ends_when_asked_to(samples):
    """A call ends at the question whose answer says so."""
    assert poll(samples, 100, last=7) == (7, 7, True)
    assert poll(samples, 10_000, 1e3, last=3) == (3000, 3, True)


def test_asked_once_an_interval(samples):
    """Within an interval nobody is asked again, however much is done."""
    now = samples.call("seconds_now", returns="number")
    assert poll(samples, 1000, interval=3600.0) == (1000, 1, True)
    assert poll(samples, 1000, interval=3600.0, asked=now) == (1000, 0, True)


def test_a_clock_that_is_set_back(samples):
    """A question that lies in the future, as the clock was set back, does not keep others from being asked."""
    now = samples.call("seconds_now", returns="number")
    assert poll(samples, 10, interval=3600.0, asked=now + 1e6) == (10, 1, True)


def test_nobody_to_ask(samples):
    """Where there is nobody to ask, nothing is stopped."""
    assert samples.call("poll_nobody") == 0
