"""Sequences that go on past the last position of a model, whose window slides along with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ground.types import Array
    from ..native.model import Model

MASK = 2**64 - 1

STEP = 0x9E3779B97F4A7C15
"""The number by which the state of SplitMix64 (Steele, Lea and Flood, 2014) grows with each number that is drawn."""

SHIFTS = 30, 27, 31
FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The shifts and factors of its finalizer, in their order."""


def mixed(z: int) -> int:
    """Return the finalizer of SplitMix64, as ``begin_of_seed`` in C."""
    for shift, factor in zip(SHIFTS, (*FACTORS, 1), strict=True):
        z = (z ^ z >> shift) * factor & MASK
    return z


def unmixed(z: int) -> int:
    """Return the number of which ``mixed`` makes z."""
    for shift, factor in zip(reversed(SHIFTS), (*reversed(FACTORS), 1), strict=True):
        z = z ^ z >> shift ^ z >> 2 * shift
        z = z * pow(factor, -1, 2**64) & MASK
    return z


def generate_sliding(
    model: Model,
    parameters: Array,
    prompts: Sequence[Array],
    positions: int,
    steps: int,
    settings: tuple[float, int, int],
    seed: int,
) -> list[Array]:
    """Return the tokens that follow each prompt. Once all positions are taken, each is drawn after the last ones alone.

    The random numbers of a sequence are those that it has without a sliding window. ``settings`` are the temperature,
    top_k and stop, as C takes them.
    """
    return [
        _one(model, parameters, prompt, positions, steps, settings, mixed(seed) + row)
        for row, prompt in enumerate(prompts)
    ]


def _one(
    model: Model,
    parameters: Array,
    prompt: Array,
    positions: int,
    steps: int,
    settings: tuple[float, int, int],
    start: int,
) -> Array:
    """Return the tokens that follow a prompt, for which random numbers begin at the state ``start``."""
    sequence, end = np.concatenate([prompt, np.zeros(steps, np.int32)]), len(prompt)
    while end < len(sequence):
        window = np.ascontiguousarray(sequence[max(0, end - positions) : end])
        count = min(len(sequence) - end, positions - len(window) + 1)
        drawn, counts = np.empty((1, count), np.int32), np.empty(1, np.int64)
        seed = unmixed(start + (end - len(prompt)) * STEP & MASK)
        lengths = np.array([len(window)], np.int64)
        temperature, top_k, stop = settings
        model.native.generate(parameters, window, lengths, 1, count, temperature, top_k, stop, seed, drawn, counts)
        drawn_count = int(counts[0])
        sequence[end : end + drawn_count] = drawn[0, :drawn_count]
        end += drawn_count
        if drawn_count < count:  # stop was drawn
            break
    return sequence[len(prompt) : end].astype(np.int64)
