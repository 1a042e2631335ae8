"""numba: the whole training in one compiled function; products by np.dot, which calls SciPy's BLAS."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.formulas import iterations
from nncodegen.bench.tasks import Array, Peaks, PerceptronTask, Prediction, Stack, Task, Training


def make(task: Task, threads: int) -> Run:
    """Return the run of a task; threads are used by BLAS, and by the loop over the models of an ensemble."""
    numba.set_num_threads(threads)
    if isinstance(task, PerceptronTask):
        return _formula(task, threads)
    if isinstance(task, Prediction):
        return _prediction(task)
    assert isinstance(task, Training)
    return _training(task)


def _formula(task: PerceptronTask, threads: int) -> Run:
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
    """Replace z by activation(z + b); 0 is none, 1 tanh, 2 relu, 3 softmax."""
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
    """Multiply d by the derivative, from the value h of the activation."""
    unit, zero = h.dtype.type(1), h.dtype.type(0)
    for n in range(h.shape[0]):
        for j in range(h.shape[1]):
            if kind == 1:
                d[n, j] *= unit - h[n, j] * h[n, j]
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
    """Write the gradient of the mean loss of a batch to gWs and gbs; hs and ds are work arrays."""
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
def _adam(p: Any, g: Any, m: Any, v: Any, t: int, rate: Any) -> None:
    """Make update number t of all parameters."""
    beta1, beta2, epsilon = p.dtype.type(0.9), p.dtype.type(0.999), p.dtype.type(1e-8)
    unit = p.dtype.type(1)
    scale = p.dtype.type(rate / (1 - 0.9**t))
    correction = p.dtype.type(1 / (1 - 0.999**t))
    for k in range(len(p)):
        m[k] = beta1 * m[k] + (unit - beta1) * g[k]
        v[k] = beta2 * v[k] + (unit - beta2) * g[k] * g[k]
        p[k] -= scale * m[k] / (math.sqrt(v[k] * correction) + epsilon)


@numba.njit
def _train(
    X: Any,
    Y: Any,
    p: Any,
    g: Any,
    Ws: Any,
    bs: Any,
    gWs: Any,
    gbs: Any,
    hs: Any,
    ds: Any,
    epochs: int,
    batch: int,
    rate: Any,
    adam: bool,
    hidden: int,
    last: int,
) -> None:
    m, v, t = np.zeros_like(p), np.zeros_like(p), 0
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            end = min(begin + batch, len(X))
            _gradient(X[begin:end], Y[begin:end], Ws, bs, hs, ds, gWs, gbs, hidden, last)
            if not adam:
                for k in range(len(p)):
                    p[k] -= rate * g[k]
                continue
            t += 1
            _adam(p, g, m, v, t, rate)


def _prediction(task: Prediction) -> Run:
    (W1, b1), (W2, b2) = task.stack.unpack(task.parameters)
    return lambda: _predict(task.X, W1, b1, W2, b2)


@numba.njit(fastmath=True)
def _gradient_of_peaks(x: Any, y: Any, p: Any, g: Any) -> None:
    """Write the gradient of the mean loss of all samples to g. Loops over the peaks would take 1.5 times as long."""
    a0, a1, a2, c0, c1, c2, w0, w1, w2, level = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]
    unit = p.dtype.type(1)
    i0, i1, i2 = unit / w0, unit / w1, unit / w2
    h0 = h1 = h2 = m0 = m1 = m2 = s0 = s1 = s2 = total = p.dtype.type(0)
    for n in range(len(x)):
        z0, z1, z2 = (x[n] - c0) * i0, (x[n] - c1) * i1, (x[n] - c2) * i2
        e0, e1, e2 = math.exp(-z0 * z0), math.exp(-z1 * z1), math.exp(-z2 * z2)
        d = level - y[n] + a0 * e0 + a1 * e1 + a2 * e2
        total += d
        e0, e1, e2 = d * e0, d * e1, d * e2
        h0, h1, h2 = h0 + e0, h1 + e1, h2 + e2
        e0, e1, e2 = e0 * z0, e1 * z1, e2 * z2
        m0, m1, m2 = m0 + e0, m1 + e1, m2 + e2
        s0, s1, s2 = s0 + e0 * z0, s1 + e1 * z1, s2 + e2 * z2
    scale = p.dtype.type(2) / p.dtype.type(len(x))
    f0, f1, f2 = scale * 2 * a0 * i0, scale * 2 * a1 * i1, scale * 2 * a2 * i2
    g[0], g[1], g[2], g[9] = scale * h0, scale * h1, scale * h2, scale * total
    g[3], g[4], g[5], g[6], g[7], g[8] = f0 * m0, f1 * m1, f2 * m2, f0 * s0, f1 * s1, f2 * s2


@numba.njit
def _fit_peaks(x: Any, y: Any, p: Any, g: Any, epochs: int, rate: Any) -> None:
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, epochs + 1):
        _gradient_of_peaks(x, y, p, g)
        _adam(p, g, m, v, t, rate)


def _training(task: Training) -> Run:
    stack = task.stack
    if isinstance(stack, Peaks):
        return _peaks(task)
    assert isinstance(stack, Stack)
    units = [shape[0] for shape in stack.shapes]
    hidden = 1 if stack.hidden == "tanh" else 2
    last = 3 if stack.classifies else 0
    real = task.start.dtype

    def train(start: Array) -> Array:
        p, g = start.copy(), np.empty_like(start)
        (Ws, bs), (gWs, gbs) = (tuple(zip(*stack.unpack(flat), strict=True)) for flat in (p, g))
        hs, ds = (tuple(np.empty((task.batch, count), real) for count in units) for _ in "hd")
        adam, rate = task.optimizer == "adam", real.type(task.learning_rate)
        _train(task.X, task.Y, p, g, Ws, bs, gWs, gbs, hs, ds, task.epochs, task.batch, rate, adam, hidden, last)
        return p

    return lambda: np.stack(list(map(train, task.start))) if task.models else train(task.start)


def _peaks(task: Training) -> Run:
    rate = task.start.dtype.type(task.learning_rate)
    x, y = np.ascontiguousarray(task.X[:, 0]), np.ascontiguousarray(task.Y[:, 0])

    def run() -> Array:
        p = task.start.copy()
        _fit_peaks(x, y, p, np.empty_like(p), task.epochs, rate)
        return p

    return run
