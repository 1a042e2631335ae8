"""Recurrent layers: one step of a sequence after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import activated
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array, zeros

Weights = Callable[[str], Array]
"""A function that returns W, U or b of a layer."""

States = tuple[Array, ...]
"""h, and c of an LSTM, each (samples, units)."""


def _bias(layer: Any, weights: Weights) -> Any:
    """Return the biases of all gates; 0 if the layer has none."""
    return weights("b") if layer.use_bias else [mpmath.mpf(0)] * len(weights("W"))


def simple_rnn(layer: Any, weights: Weights, x: Array, states: States) -> States:
    """Update h = activation(W x + U h + b)."""
    (h,), (W,), (U,), (b,) = states, weights("W"), weights("U"), _bias(layer, weights)
    return (activated(layer.activation, x @ W.T + h @ U.T + b),)


def lstm(layer: Any, weights: Weights, x: Array, states: States) -> States:
    """Update c = f*c + i*activation(z_c), h = o*activation(c), with the gates i, f and o."""
    h, c = states
    z = [x @ W.T + h @ U.T + b for W, U, b in zip(weights("W"), weights("U"), _bias(layer, weights), strict=True)]
    i, f, o = (activated(layer.recurrent_activation, z[gate]) for gate in (0, 1, 3))
    c = f * c + i * activated(layer.activation, z[2])
    return o * activated(layer.activation, c), c


def gru(layer: Any, weights: Weights, x: Array, states: States) -> States:
    """Update h = z*h + (1 - z)*activation(...), with the gates z (update) and r (reset)."""
    (h,), W, U, b = states, weights("W"), weights("U"), _bias(layer, weights)
    further = [mpmath.mpf(0)] * 3
    if layer.reset_after and layer.use_bias:
        b, further = b
    z, r = (
        activated(layer.recurrent_activation, x @ W[gate].T + b[gate] + h @ U[gate].T + further[gate])
        for gate in (0, 1)
    )
    reset = r * (h @ U[2].T + further[2]) if layer.reset_after else (r * h) @ U[2].T
    return (z * h + (1 - z) * activated(layer.activation, x @ W[2].T + b[2] + reset),)


Cell = Callable[[Any, Weights, Array, States], States]
"""One step of a layer: returns the states after it."""


def recurrent(cell: Cell, count: int) -> Callable[..., tuple[Array, ...]]:
    """Return the layer that repeats a cell with ``count`` states; its results are the output, then the final states."""

    def result(layer: Any, use: Use, *inputs: Array) -> tuple[Array, ...]:
        sequence, states = _run(cell, count, layer, use, *inputs)
        output = np.stack(sequence, axis=1) if layer.return_sequences else states[0]
        return output, *(states if layer.return_state else ())

    return result


def _run(cell: Cell, count: int, layer: Any, weights: Weights, x: Array, *others: Array) -> tuple[list[Array], States]:
    """Return the outputs of all steps, in the order in which they are computed, and the final states.

    A step is left out where all of its features have the mask_value, or where it comes after the length of its
    sample: the states stay as they are.
    """
    lengths = others[-1][:, 0] if layer.lengths else None
    starts = others[: len(others) - bool(layer.lengths)]
    states: States = starts or tuple(zeros([len(x), layer.units]) for _ in range(count))
    outputs = []
    steps = range(x.shape[1])
    for t in reversed(steps) if layer.go_backwards else steps:
        kept = np.full(len(x), True)
        if layer.mask_value is not None:
            kept &= np.asarray((x[:, t] != mpmath.mpf(float(layer.mask_value))).any(axis=1), bool)
        if lengths is not None:
            kept &= np.asarray(lengths > t, bool)
        after = cell(layer, weights, x[:, t], states)
        states = tuple(np.where(kept[:, None], new, old) for new, old in zip(after, states, strict=True))
        outputs.append(states[0])
    return outputs, states


def bidirectional(layer: Any, use: Use, x: Array, *others: Array) -> tuple[Array, ...]:
    """Merge a layer and a copy of it that goes backwards, at the same steps."""
    inner, lengths = layer.layer, others[len(others) - bool(layer.layer.lengths) :]
    starts = others[: len(others) - len(lengths)]
    half, (cell, count) = len(starts) // 2, CELLS[type(inner).__name__]
    sequences, final = [], list[Array]()
    for letter, backwards, initial in (("f", False, starts[:half]), ("b", True, starts[half:])):
        direction = replace(inner, go_backwards=backwards)
        sequence, states = _run(cell, count, direction, _with(letter, use), x, *initial, *lengths)
        in_time = sequence[::-1] if backwards else sequence
        sequences.append(np.stack(in_time, axis=1) if inner.return_sequences else states[0])
        final += states if inner.return_state else ()
    first, second = sequences
    merges: dict[str, Callable[[], Array]] = {
        "concat": lambda: np.concatenate(sequences, axis=-1),
        "sum": lambda: first + second,
        "mul": lambda: first * second,
        "ave": lambda: (first + second) / 2,
    }
    return merges[layer.merge_mode](), *final


def _with(letter: str, use: Use) -> Weights:
    """Return the weights of one direction, whose names end in its letter."""
    return lambda name: use(name + letter)


CELLS: dict[str, tuple[Cell, int]] = {"SimpleRNN": (simple_rnn, 1), "LSTM": (lstm, 2), "GRU": (gru, 1)}
"""The cell of each recurrent layer, and its number of states."""
