"""JAX: the whole loop in one jit. Batches run in a scan, scalars stay scalars, many models use vmap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nncodegen.bench.convolving import Windowed
from nncodegen.bench.peers import Run
from nncodegen.bench.peers.formulas import iterations, peaks
from nncodegen.bench.peers.jax_equations import nested
from nncodegen.bench.peers.jax_fits import fitting
from nncodegen.bench.peers.jax_transformers import gradient as of_transformer
from nncodegen.bench.recurring import Sequences
from nncodegen.bench.tasks import Array, Equation, Fit, Gradient, Peaks, PerceptronTask, Prediction, Task, Training


def make(task: Task, threads: int) -> Run:
    """Return the run of a task; the environment sets the threads of XLA."""
    jax.config.update("jax_enable_x64", task.precision == "float64")
    jax.config.update("jax_platforms", "cpu")
    if isinstance(task, PerceptronTask):
        return _formula(task)
    if isinstance(task, Prediction):
        return _prediction(task)
    if isinstance(task, Fit):
        return fitting(task)
    if isinstance(task, Equation):
        return nested(task)
    if isinstance(task, Gradient):
        return of_transformer(task)
    if isinstance(task, Training):
        return _training(task)
    raise TypeError(f"there is no run in JAX of {task!r}")


def _formula(task: PerceptronTask) -> Run:
    simultaneous, sequential = iterations(jnp.exp)
    iterate = sequential if task.sequential else simultaneous

    def train(parameters: Any, x1: Any, x2: Any, y: Any, rate: Any) -> Any:
        return jax.lax.fori_loop(0, task.iterations, lambda _, p: iterate(p, x1, x2, y, rate), parameters)

    numbers = tuple(jnp.asarray(value, task.precision) for value in (*task.x[0], task.y[0, 0], task.learning_rate))
    if len(task.starts) == 1:
        jitted, start = jax.jit(train), tuple(map(jnp.asarray, task.starts[0]))
    else:
        jitted = jax.jit(jax.vmap(train, in_axes=(0, None, None, None, None)))
        start = tuple(map(jnp.asarray, np.ascontiguousarray(task.starts.T)))
    return lambda: np.array(jitted(start, *numbers)).reshape(len(start), -1).T


def _forward(stack: Any, parameters: Any, x: Any) -> Any:
    """Return the output of the last layer before its softmax; weights are (inputs, units), which is faster with XLA."""
    if isinstance(stack, Windowed):
        return _windowed(stack, parameters, x)
    if isinstance(stack, Sequences):
        return _recurrent(stack, parameters, x)
    hidden = jnp.tanh if stack.hidden == "tanh" else lambda z: jnp.maximum(z, 0)
    for W, b in parameters[:-1]:
        x = hidden(x @ W + b)
    W, b = parameters[-1]
    return x @ W + b


def _windowed(stack: Windowed, parameters: Any, x: Any) -> Any:
    """Return this output for convolutions: channels are the last axis of samples, as XLA prefers them."""
    x = x.reshape(-1, *stack.shape)
    ones, twos = (1,) * stack.axes, (2,) * stack.axes
    names = ("NWC", "WIO", "NWC") if stack.axes == 1 else ("NHWC", "HWIO", "NHWC")
    for W, b in parameters[: len(stack.filters)]:
        x = jnp.maximum(jax.lax.conv_general_dilated(x, W, ones, "VALID", dimension_numbers=names) + b, 0)
        if stack.pools:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, *twos, 1), (1, *twos, 1), "VALID")
    x = x.reshape(len(x), -1) if stack.pools else x.mean(axis=range(1, 1 + stack.axes))
    for W, b in parameters[len(stack.filters) : -1]:
        x = jnp.maximum(x @ W + b, 0)
    W, b = parameters[-1]
    return x @ W + b


def _recurrent(stack: Sequences, parameters: Any, x: Any) -> Any:
    """Return the output of an LSTM as a scan, with the products of all inputs before it, and a linear layer."""
    (W, U, b), *dense = parameters
    inputs = jnp.swapaxes(x.reshape(-1, stack.steps, stack.features), 0, 1) @ W + b

    def step(state: Any, z: Any) -> tuple[Any, None]:
        h, c = state
        i, f, g, o = jnp.split(z + h @ U, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), stack.units), x.dtype)
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), inputs)
    return h @ dense[0][0] + dense[0][1] if dense else h


def _prediction(task: Prediction) -> Run:
    softmax = jax.nn.softmax if task.stack.classifies else lambda z: z
    forward = jax.jit(lambda parameters, x: softmax(_forward(task.stack, parameters, x)))
    parameters = _start(task.stack, task.parameters)
    return lambda: np.asarray(forward(parameters, task.X))


def _training(task: Training) -> Run:
    stack = task.stack

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        if isinstance(stack, Peaks):  # columns of shape (samples, 1) would take ten times as long
            return ((peaks(jnp.exp, parameters[0], x[:, 0]) - y[:, 0]) ** 2).mean()
        z = _forward(stack, parameters, x)
        if stack.classifies:
            return -(y * jax.nn.log_softmax(z)).sum(axis=1).mean()
        return ((z - y) ** 2).mean()

    def step(state: Any, batch: Any) -> tuple[Any, None]:
        parameters, m, v, t = state
        gradient = jax.grad(loss)(parameters, *batch)
        rate, tree = task.learning_rate, jax.tree.map
        if task.optimizer == "sgd":
            return (tree(lambda p, g: p - rate * g, parameters, gradient), m, v, t), None
        t = t + 1
        m = tree(lambda m, g: 0.9 * m + (1 - 0.9) * g, m, gradient)
        v = tree(lambda v, g: 0.999 * v + (1 - 0.999) * g * g, v, gradient)
        scale, correction = rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
        change = lambda p, m, v: p - scale * m / (jnp.sqrt(v * correction) + 1e-8)  # noqa: E731
        return (tree(change, parameters, m, v), m, v, t), None

    whole = len(task.X) // task.batch
    many = tuple(jnp.asarray(a[: whole * task.batch].reshape(whole, task.batch, -1)) for a in (task.X, task.Y))
    rest = tuple(jnp.asarray(a[whole * task.batch :]) for a in (task.X, task.Y))

    def train(parameters: Any, many: Any, rest: Any) -> Any:
        def epoch(_: Any, state: Any) -> Any:
            if whole == 1:
                state, _ = step(state, (many[0][0], many[1][0]))
            else:
                state, _ = jax.lax.scan(step, state, many)
            return step(state, rest)[0] if len(rest[0]) else state

        zeros = jax.tree.map(jnp.zeros_like, parameters) if task.optimizer == "adam" else ()
        t = jnp.zeros((), task.precision)
        return jax.lax.fori_loop(0, task.epochs, epoch, (parameters, zeros, zeros, t))[0]

    jitted = jax.jit(jax.vmap(train, in_axes=(0, None, None)) if task.models else train)
    start = _start(stack, task.start)
    return lambda: stack.pack(_turned(stack, parts, True) for parts in jitted(start, many, rest))


def _start(stack: Any, flat: Array) -> Any:
    return [tuple(map(jnp.asarray, _turned(stack, parts, False))) for parts in stack.unpack(flat)]


def _turned(stack: Any, parts: Any, back: bool) -> Any:
    """Return the arrays of a layer with transposed weights: one array, or those of inputs and states."""
    weights = 2 if isinstance(stack, Sequences) else 1
    return (*map(_order(stack, back), parts[:weights]), *parts[weights:])


def _order(stack: Any, back: bool) -> Callable[[Any], Any]:
    """Return a function that brings weights into the order of axes that is used here, or back."""
    return partial(_of_windows, back=back) if isinstance(stack, Windowed) else _transposed


def _transposed(W: Any) -> Any:
    """Return a matrix, or one for each model, transposed; the heights of peaks are returned as they are."""
    return np.asarray(W) if np.ndim(W) < 2 else np.swapaxes(W, -1, -2)


def _of_windows(W: Any, back: bool) -> Any:
    """Return convolution weights with (filters, channels) as the last two axes, reversed, or as the first two again."""
    if W.ndim == 2:
        return np.swapaxes(W, 0, 1)
    return np.moveaxis(W, (-1, -2), (0, 1)) if back else np.moveaxis(W, (0, 1), (-1, -2))
