"""The samples for which kernels are carried out: a batch in tiles, the last of which may have fewer samples.

An array of a tile has a row for each of its samples, also where there are fewer. Rows after the last sample repeat it,
with the weight 0: as far as C pads a tile, to whole vectors, it does the same. What C leaves in the other rows nobody
knows; there ``memory`` has values that are not numbers until something is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import SAMPLE, Program, Tensor, evaluate

Array = NDArray[Any]


@dataclass(frozen=True)
class Tile:
    """The number of samples of a tile, the values of all tensors for its rows, and the samples: inputs and targets.

    The values of tensors without samples are those of the whole batch.
    """

    count: int
    values: Mapping[str, Array]
    X: Array
    Y: Array


@dataclass(frozen=True)
class Batch:
    """The tiles of a batch, each of which has ``rows``; they are padded to whole vectors of ``vector`` samples."""

    tiles: tuple[Tile, ...]
    rows: int = 1
    vector: int = 1

    @property
    def samples(self) -> int:
        """Return the samples of all tiles."""
        return sum(tile.count for tile in self.tiles)


def make_batch(
    program: Program,
    parameters: Array,
    X: Array,
    Y: Array,
    counts: Sequence[int],
    rows: int = 1,
    vector: int = 1,
    alike: bool = False,
) -> Batch | None:
    """Return a batch of tiles of some numbers of samples; None if a value is infinite or undefined.

    X and Y are repeated as often as it takes, with more columns if tensors have more. Samples have different weights,
    unless they are ``alike``.
    """
    samples, begins = sum(counts), np.cumsum([0, *counts])
    x, y = (
        _wide(np.resize(each, (samples, each.shape[1])), tensors)
        for each, tensors in ((X, program.inputs), (Y, program.targets))
    )
    numbers = np.concatenate(
        [first + np.minimum(np.arange(rows), n - 1) for first, n in zip(begins, counts, strict=False)]
    )
    is_sample = np.concatenate([np.arange(rows) < n for n in counts])
    weights = np.ones(samples) if alike else 1 + np.arange(samples) % 5
    values = evaluate(
        program,
        parameters,
        x[numbers],
        y[numbers],
        np.where(is_sample, weights[numbers] / np.sum(weights), 0.0),
        present=is_sample,
    )
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    axes = _axes(program)
    tiles = []
    for k, (first, n) in enumerate(zip(begins, counts, strict=False)):
        part = {
            name: np.take(value, range(k * rows, (k + 1) * rows), axes[name]) if name in axes else value
            for name, value in values.items()
        }
        tiles.append(Tile(n, part, x[first : first + n], y[first : first + n]))
    return Batch(tuple(tiles), rows, vector)


def of_one_sample(batch: Batch, program: Program) -> Batch:
    """Return a batch of a single sample without the index of the samples."""
    (tile,), axes = batch.tiles, _axes(program)
    values = {name: np.take(value, 0, axes[name]) if name in axes else value for name, value in tile.values.items()}
    return Batch((Tile(1, values, tile.X, tile.Y),))


def _axes(program: Program) -> dict[str, int]:
    """Return the axis of the samples, for each tensor that has one."""
    axes = dict.fromkeys(_columns(program), 0)
    targets = (step.target for step in program.steps)
    return axes | {each.tensor: each.indices.index(SAMPLE) for each in targets if SAMPLE in each.indices}


def _columns(program: Program) -> list[str]:
    """Return the tensors with samples that no step defines."""
    from_outside = [*program.inputs, *program.targets, *(source.tensor for source in program.noise), program.weight]
    return [tensor.name for tensor in (*from_outside, *([program.present] if program.present else []))]


def _wide(rows: Array, tensors: Iterable[Tensor]) -> Array:
    """Return rows, with more columns if tensors have more: the seeds of derivatives."""
    more = sum(tensor.size for tensor in tensors) - rows.shape[1]
    return np.hstack([rows, np.random.default_rng(1).uniform(0.5, 1.5, (len(rows), more))]) if more > 0 else rows
