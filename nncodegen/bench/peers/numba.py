"""numba: the whole training in one compiled function; products by np.dot, which calls SciPy's BLAS."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.formulas import iterations
from nncodegen.bench.tasks import Array, Formula, Prediction, Task, Training


def make(task: Task, threads: int) -> Run:
    """The run of a task; threads are those of the BLAS, and of an ensemble's loop over models."""
    numba.set_num_threads(threads)
    if isinstance(task, Formula):
        return _formula(task, threads)
    if isinstance(task, Prediction):
        return _prediction(task)
    return _training(task)


def _formula(task: Formula, threads: int) -> Run:
    real = task.starts.dtype.type
    iterate = numba.njit(iterations(math.exp, real(1))[1 if task.sequential else 0])
    parallel = threads > 1 and len(task.starts) > 1
    models = numba.prange if parallel else range

    def train(starts: Any, x1: Any, x2: Any, y: Any, rate: Any, count: Any) -> Any:
        results = np.empty_like(starts)
        for m in models(len(starts)):
            s = starts[m]
            p = (s[0], s[1], s[2], s[3], s[4], s[5], s[6])
            for _ in range(count):
                p = iterate(p, x1, x2, y, rate)
            for k in range(7):
                results[m, k] = p[k]
        return results

    jitted = numba.njit(train, parallel=parallel)
    numbers = (*task.x[0], task.y[0, 0], real(task.learning_rate))
    return lambda: jitted(task.starts, *numbers, task.iterations)


@numba.njit
def _activate(z: Any, b: Any, kind: int) -> None:
    """Replaces z by activation(z + b); 0 is none, 1 tanh, 2 relu, 3 softmax."""
    zero = z.dtype.type(0)
    for n in range(z.shape[0]):
        for j in range(z.shape[1]):
            value = z[n, j] + b[j]
            if kind == 1:
                value = math.tanh(value)
            elif kind == 2:
                value = max(value, zero)
            z[n, j] = value
        if kind == 3:
            largest, total = z[n].max(), zero
            for j in range(z.shape[1]):
                z[n, j] = math.exp(z[n, j] - largest)
                total += z[n, j]
            for j in range(z.shape[1]):
                z[n, j] /= total


@numba.njit
def _back(d: Any, h: Any, kind: int) -> None:
    """Multiplies d by the derivative, from the value h of the activation."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for n in range(h.shape[0]):
        for j in range(h.shape[1]):
            if kind == 1:
                d[n, j] *= one - h[n, j] * h[n, j]
            elif h[n, j] <= zero:
                d[n, j] = zero


@numba.njit
def _predict(X: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    h = np.dot(X, W1.T)
    _activate(h, b1, 1)
    z = np.dot(h, W2.T)
    _activate(z, b2, 3)
    return z


@numba.njit
def _gradient(x: Any, y: Any, Ws: Any, bs: Any, hs: Any, ds: Any, gWs: Any, gbs: Any, hidden: int, last: int) -> None:
    """The gradient of the mean loss of a batch, into gWs and gbs; hs and ds are work memory of one batch."""
    rows, layers = len(x), len(Ws)
    for k in range(layers):
        h = hs[k][:rows]
        np.dot(x if k == 0 else hs[k - 1][:rows], Ws[k].T, h)
        _activate(h, bs[k], hidden if k < layers - 1 else last)
    scale = x.dtype.type(1.0 / rows if last == 3 else 2.0 / y.size)
    d, h = ds[layers - 1][:rows], hs[layers - 1][:rows]
    for n in range(rows):
        for j in range(h.shape[1]):
            d[n, j] = (h[n, j] - y[n, j]) * scale
    for k in range(layers - 1, -1, -1):
        d = ds[k][:rows]
        np.dot(d.T, x if k == 0 else hs[k - 1][:rows], gWs[k])
        gbs[k][:] = 0
        for n in range(rows):
            for j in range(d.shape[1]):
                gbs[k][j] += d[n, j]
        if k > 0:
            np.dot(d, Ws[k], ds[k - 1][:rows])
            _back(ds[k - 1][:rows], hs[k - 1][:rows], hidden)


@numba.njit
def _train(X: Any, Y: Any, p: Any, g: Any, Ws: Any, bs: Any, gWs: Any, gbs: Any, hs: Any, ds: Any, epochs: int,
           batch: int, rate: Any, adam: bool, hidden: int, last: int) -> None:  # fmt: skip
    m, v, t = np.zeros_like(p), np.zeros_like(p), 0
    beta1, beta2, epsilon = p.dtype.type(0.9), p.dtype.type(0.999), p.dtype.type(1e-8)
    one = p.dtype.type(1)
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            end = min(begin + batch, len(X))
            _gradient(X[begin:end], Y[begin:end], Ws, bs, hs, ds, gWs, gbs, hidden, last)
            if not adam:
                for k in range(len(p)):
                    p[k] -= rate * g[k]
                continue
            t += 1
            scale = p.dtype.type(rate / (1 - 0.9**t))
            correction = p.dtype.type(1 / (1 - 0.999**t))
            for k in range(len(p)):
                m[k] = beta1 * m[k] + (one - beta1) * g[k]
                v[k] = beta2 * v[k] + (one - beta2) * g[k] * g[k]
                p[k] -= scale * m[k] / (math.sqrt(v[k] * correction) + epsilon)


def _prediction(task: Prediction) -> Run:
    (W1, b1), (W2, b2) = task.stack.unpack(task.parameters)
    return lambda: _predict(task.X, W1, b1, W2, b2)


def _training(task: Training) -> Run:
    stack = task.stack
    units = [shape[0] for shape in stack.shapes]
    hidden = 1 if stack.hidden == "tanh" else 2
    last = 3 if stack.classifies else 0
    real = task.start.dtype

    def run() -> Array:
        p, g = task.start.copy(), np.empty_like(task.start)
        (Ws, bs), (gWs, gbs) = (tuple(zip(*stack.unpack(flat), strict=True)) for flat in (p, g))
        hs, ds = (tuple(np.empty((task.batch, count), real) for count in units) for _ in "hd")
        adam, rate = task.optimizer == "adam", real.type(task.learning_rate)
        _train(task.X, task.Y, p, g, Ws, bs, gWs, gbs, hs, ds, task.epochs, task.batch, rate, adam, hidden, last)
        return p

    return run
