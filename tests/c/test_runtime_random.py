"""The random numbers of the C runtime: orders of samples, dropout and noise, against NumPy."""

from itertools import permutations

import numpy as np
import pytest

WORD, HALF = 2**64 - 1, 2**32 - 1
STEP = 0x9E3779B97F4A7C15
ROWS = np.array([0, 1, 5, 2**31, 2**32 + 5, 77], np.uint64)


@pytest.fixture(scope="session")
def random(runtime):
    return runtime("random")


def state(value):
    return np.array([value], np.uint64)


def mixed(z):
    """The finalizer of SplitMix64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def mixed_half(z):
    """The finalizer of MurmurHash3, of arrays of 32 bits."""
    z = (z ^ z >> 16) * 0x85EBCA6B & HALF
    z = (z ^ z >> 13) * 0xC2B2AE35 & HALF
    return z ^ z >> 16


def key_of(seed, update, layer):
    """The key of the noise of a layer in an update."""
    return mixed(mixed(mixed(seed) + STEP * (update + 1) & WORD) + STEP * layer & WORD)


def bits_of(key, rows, units):
    """32 random bits for each row and unit."""
    rows, units = rows.astype(np.uint64)[:, None] & HALF, np.asarray(units, np.uint64)[None]
    return mixed_half(mixed_half(rows + (key & HALF) & HALF) ^ (units * 0x9E3779B9 + (key >> 32) & HALF))


def dropped(random, key, rows, units, share=0.25, kept=1 / 3, scale=1.0):
    out = random.zeros(len(rows), units)
    random.call("dropout", key, scale, rows, len(rows), units, int(share * 2**32), kept, out)
    return out


def normal(random, key, rows, units, deviation=1.0, scale=1.0):
    out = random.zeros(len(rows), units)
    random.call("normal", key, scale, rows, len(rows), units, deviation, out)
    return out


def test_known_numbers(random):
    """The generator is SplitMix64: its first numbers from 1234567 on are those of the published code."""
    counter = state(1234567)
    assert [random.call("draw", counter) for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 2**31 + 1, 2**32 - 1, 2**32, 2**32 + 1, 3 * 2**40, 2**63, 2**64 - 1])
def test_numbers_below_a_bound(random, bound):
    """A number below a bound is the share of it that 64 random bits are, or their remainder for bounds above 2^32."""
    counter, again = state(bound), state(bound)
    for _ in range(200):
        number, bits = random.call("draw_below", bound, counter), random.call("draw", again)
        assert number == (bits * bound >> 64 if bound < 2**32 else bits % bound)
        assert number < bound
    assert counter == again


@pytest.mark.parametrize("samples", [1, 2, 3, 10, 1000, 4097])
def test_an_order_is_a_permutation(random, samples):
    """A shuffled order holds every sample once, and depends on the state alone."""
    orders = np.empty((3, samples), np.uint64)
    counter, again = state(5), state(5)
    random.call("make_order", orders[0], samples, counter)
    random.call("make_order", orders[1], samples, counter)
    random.call("make_order", orders[2], samples, again)
    assert np.array_equal(np.sort(orders[0]), np.arange(samples))
    assert np.array_equal(orders[0], orders[2])
    assert samples < 10 or not np.array_equal(orders[0], orders[1])


def test_orders_are_uniform(random):
    """All 24 orders of four samples come equally often: chi-square is below what it exceeds once in a thousand."""
    counter, order, draws = state(0), np.empty(4, np.uint64), 12_000
    counts = dict.fromkeys(permutations(range(4)), 0)
    for _ in range(draws):
        random.call("make_order", order, 4, counter)
        counts[tuple(order.tolist())] += 1
    expected = draws / 24
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 49.7


def test_keys(random):
    """The key of a layer's noise is a function of the seed, the update and the layer, and of nothing else."""
    keys = {(s, u, n): random.call("key_of", s, u, n) for s in (0, 1, WORD) for u in (0, 1, 10**9) for n in (0, 1, 7)}
    assert keys == {key: key_of(*key) for key in keys}
    assert len(set(keys.values())) == len(keys)


def test_dropout_is_a_function_of_counters(random):
    """Which units are dropped follows from the key, the row and the unit alone, as in NumPy, in any order of rows."""
    key = key_of(3, 7, 1)
    factors = dropped(random, key, ROWS, 50)
    expected = np.where(bits_of(key, ROWS, np.arange(50)) < 2**30, -1, 1 / 3)
    assert factors == pytest.approx(expected, rel=random.eps)
    assert np.array_equal(dropped(random, key, ROWS[::-1].copy(), 50), factors[::-1])
    assert not dropped(random, key, ROWS, 50, scale=0.0).any()  # outside of a training


def test_dropout_moments(random):
    """The wanted share of units is dropped, those that stay make up for it, and neighbours are independent."""
    factors = dropped(random, key_of(0, 0, 0), np.arange(2000, dtype=np.uint64), 100)
    spread = np.sqrt(0.25 * 0.75) * 4 / 3
    assert abs(factors.mean()) < 4 * spread / np.sqrt(factors.size)
    assert abs((factors == -1).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / factors.size)
    for other in (np.roll(factors, 1, 0), np.roll(factors, 1, 1)):
        assert abs((factors * other).mean()) < 4 * spread**2 / np.sqrt(factors.size)


def test_normal_noise_is_a_function_of_counters(random):
    """Normal noise is Box and Muller's of two random numbers for the key, the row and the unit, as NumPy has them."""
    key = key_of(4, 1, 2)
    drawn = normal(random, key, ROWS, 40, 2.5)
    kept = 32 if random.bits == 64 else 24
    first, second = (bits_of(key, ROWS, 2 * np.arange(40) + k) >> (32 - kept) for k in (0, 1))
    radius = np.sqrt(-2 * np.log((first + 0.5) / 2.0**kept))
    expected = 2.5 * radius * np.cos(2 * np.pi * (second / 2.0**kept - 0.5))
    assert drawn == pytest.approx(expected, rel=0, abs=1e-10 if random.bits == 64 else 1e-5)
    assert np.array_equal(normal(random, key, ROWS[::-1].copy(), 40, 2.5), drawn[::-1])
    assert not normal(random, key, ROWS, 40, scale=0.0).any()


def test_normal_moments(random):
    """Normal noise has the moments of a normal distribution, and neighbours are independent."""
    normals = normal(random, key_of(1, 0, 0), np.arange(2000, dtype=np.uint64), 100).astype(float)
    error = 1 / np.sqrt(normals.size)
    assert abs(normals.mean()) < 4 * error
    assert abs((normals**2).mean() - 1) < 4 * np.sqrt(2) * error
    assert abs((normals**3).mean()) < 4 * np.sqrt(15) * error
    assert abs((normals**4).mean() - 3) < 4 * np.sqrt(96) * error
    assert np.abs(normals).max() < (6 if random.bits == 32 else 6.7)
    for other in (np.roll(normals, 1, 0), np.roll(normals, 1, 1)):
        assert abs((normals * other).mean()) < 4 * error
