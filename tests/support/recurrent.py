"""Recurrent layers as loops over time in NumPy, written from their formulas and not from ours."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def simple_rnn(x, h, W, U, b):
    return (np.tanh(x @ W[0].T + h[0] @ U[0].T + b[0]),)


def lstm(x, state, W, U, b):
    h, c = state
    i, f, g, o = (x @ W[k].T + h @ U[k].T + b[k] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(x, state, W, U, b):
    (h,) = state
    z, r = (sigmoid(x @ W[k].T + h @ U[k].T + b[0, k] + b[1, k]) for k in (0, 1))
    return (z * h + (1 - z) * np.tanh(x @ W[2].T + b[0, 2] + r * (h @ U[2].T + b[1, 2])),)


def gru_before(x, state, W, U, b):
    (h,) = state
    z, r = (sigmoid(x @ W[k].T + h @ U[k].T + b[k]) for k in (0, 1))
    return (z * h + (1 - z) * np.tanh(x @ W[2].T + b[2] + (r * h) @ U[2].T),)


CELLS = {"SimpleRNN": simple_rnn, "LSTM": lstm, "GRU": gru}


def run(cell, x, parameters, states, backwards=False, exists=None):
    """The outputs (N, steps, units) in the order in which they are computed; a step that does not exist is left out."""
    samples, steps, _ = x.shape
    states = [np.broadcast_to(state, (samples, parameters[1].shape[1])) for state in states]
    outputs = []
    for t in reversed(range(steps)) if backwards else range(steps):
        there = np.ones((samples, 1), bool) if exists is None else exists[:, t, None]
        new = cell(x[:, t], states, *parameters)
        states = [np.where(there, after, before) for after, before in zip(new, states, strict=True)]
        outputs.append(states[0])
    return np.stack(outputs, 1)
