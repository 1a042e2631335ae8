"""Powers whose bits do not depend on the CPU, in the C runtime, against pow of the C library and mpmath."""

import ctypes
import ctypes.util
from itertools import product

import mpmath
import numpy as np
import pytest

RNG = np.random.default_rng(6)
EDGES = [0, 1, 2, 0.5, 3, 4, 2.5, 1e-40, 1e30, 2.0**24 + 1, 2.0**60, np.inf]
"""Sizes of bases and exponents; 1e-40 is subnormal in single precision."""


@pytest.fixture(scope="session")
def powers(runtime):
    return runtime("powers")


def powers_of(powers, base, exponent):
    values = powers.zeros(len(base))
    powers.call("powers", base, exponent, len(base), values)
    return values


def test_edges(powers):
    """Zeros, infinities, NaN, whole and other exponents give the value and the sign that C's pow gives."""
    values = [*EDGES, *(-value for value in map(float, EDGES)), np.nan, 5e-324, -5e-324]
    base, exponent = (powers.array(each) for each in zip(*product(values, repeat=2), strict=True))
    pow_of_c = ctypes.CDLL(ctypes.util.find_library("m")).pow
    pow_of_c.restype, pow_of_c.argtypes = ctypes.c_double, [ctypes.c_double] * 2
    with np.errstate(over="ignore", invalid="ignore"):
        expected = powers.array([pow_of_c(*map(float, pair)) for pair in zip(base, exponent, strict=True)])
        computed = powers_of(powers, base, exponent)
        near = abs(computed - expected) <= 2 * powers.eps * abs(expected) + np.finfo(computed.dtype).smallest_subnormal
        near &= np.isfinite(computed) & (computed != 0)
    same = (computed == expected) & (np.signbit(computed) == np.signbit(expected)) | (
        np.isnan(computed) & np.isnan(expected)
    )
    wrong = ~(same | near)
    assert not wrong.any(), [*zip(base[wrong], exponent[wrong], computed[wrong], expected[wrong], strict=True)]


def test_values(powers):
    """They are within 1.1 units in the last place of the power with 50 digits."""
    base, exponent = powers.array(np.exp(RNG.uniform(-30, 30, 2000))), powers.array(RNG.uniform(-2.5, 2.5, 2000))
    with mpmath.workdps(50):
        for x, y, power in zip(base, exponent, powers_of(powers, base, exponent), strict=True):
            exact = mpmath.mpf(float(x)) ** mpmath.mpf(float(y))
            assert abs(mpmath.mpf(float(power)) - exact) <= 1.1 * float(np.spacing(power))
