"""The random numbers of a training, written once more: the same bits as in C."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Noise

MASK, STEP = 2**64 - 1, 0x9E3779B97F4A7C15
"""64 bits, and the increment of SplitMix64."""


def shuffled(samples: int, random: int) -> tuple[NDArray[np.intp], int]:
    """Return a random order of the samples, and the state of the generator after it."""
    bounds = np.arange(samples, 1, -1, dtype=np.uint64)
    counts = np.arange(1, samples, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = _mixed(np.uint64(random & MASK) + np.uint64(STEP) * counts)
        high, low = z >> np.uint64(32), z & np.uint64(2**32 - 1)
        others = (high * bounds + (low * bounds >> np.uint64(32))) >> np.uint64(32)
    order = list(range(samples))
    for n, other in zip(range(samples - 1, 0, -1), others.tolist(), strict=True):
        order[n], order[other] = order[other], order[n]
    return np.array(order, np.intp), (random + STEP * max(samples - 1, 0)) & MASK


def noise_of(
    sources: tuple[Noise, ...], precision: str, seed: int, update: int, samples: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Return the noise of an update by name: arrays (N, units), for samples of the given numbers (N,)."""
    noise = {}
    with np.errstate(over="ignore"):
        key = int(_mixed(_mixed(np.uint64(seed)) + np.uint64(STEP) * np.uint64(update + 1)))
        for number, source in enumerate(sources, 1):
            layer = int(_mixed(np.uint64((key + STEP * number) & MASK)))
            noise[source.tensor.name] = _drawn(source, precision, layer, samples)
    return noise


def _drawn(source: Noise, precision: str, key: int, samples: NDArray[Any]) -> NDArray[Any]:
    units = np.arange(source.tensor.size)
    if source.distribution == "dropout":
        dropped = _bits(key, samples, units) < round(source.scale * 2**32)
        return np.asarray(np.where(dropped, -1.0, source.scale / (1 - source.scale)))
    bits = 24 if precision == "float32" else 32  # as many as the precision holds
    first = (_bits(key, samples, 2 * units) // 2 ** (32 - bits) + 0.5) / 2**bits
    angle = _bits(key, samples, 2 * units + 1) // 2 ** (32 - bits) / 2**bits
    return np.asarray(-source.scale * np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * angle))


def _bits(key: int, samples: NDArray[Any], units: NDArray[Any]) -> NDArray[Any]:
    """32 random bits for each sample and unit, as float64."""
    low = _mixed_half(samples.astype(np.uint32) + np.uint32(key & 0xFFFFFFFF))
    high = units.astype(np.uint32) * np.uint32(0x9E3779B9) + np.uint32(key >> 32)
    return np.asarray(_mixed_half(low[:, None] ^ high[None, :]), float)


def _mixed(z: Any) -> Any:
    """The finalizer of SplitMix64."""
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def _mixed_half(z: Any) -> Any:
    """The finalizer of MurmurHash3."""
    z = (z ^ z >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    z = (z ^ z >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return z ^ z >> np.uint32(16)
