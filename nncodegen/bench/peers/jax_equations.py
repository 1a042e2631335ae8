"""JAX, equations: nested derivatives under one jit, and derivatives by inputs carried through the layers by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import VISCOSITY, Array, Equation


def nested(task: Equation) -> Run:
    """Return the run of the gradient, with nested jax.grad for each point, and vmap over the points."""

    def u(layers: Any, x: Any, t: Any) -> Any:
        h = jnp.stack([x, t])
        for W, b in layers[:-1]:
            h = jnp.tanh(h @ W + b)
        W, b = layers[-1]
        return (h @ W + b)[0]

    u_x, u_t = jax.grad(u, 1), jax.grad(u, 2)
    u_xx = jax.grad(u_x, 1)

    def residual(layers: Any, x: Any, t: Any) -> Any:
        return u_t(layers, x, t) + u(layers, x, t) * u_x(layers, x, t) - VISCOSITY * u_xx(layers, x, t)

    def loss(layers: Any, X: Any) -> Any:
        return (jax.vmap(residual, (None, 0, 0))(layers, X[:, 0], X[:, 1]) ** 2).mean()

    return _run(task, loss)


def by_hand(task: Equation, threads: int) -> Run:
    """Return the run of the gradient, with u, u_x, u_t and u_xx carried forward through the layers by hand.

    The points are side by side in memory. Of four ways to write it, this one is the fastest: points in rows take a
    tenth longer, one product of all four values a third.
    """
    jax.config.update("jax_enable_x64", task.precision == "float64")
    jax.config.update("jax_platforms", "cpu")

    def loss(layers: Any, X: Any) -> Any:
        (W, b), *rest = layers
        values = (W.T @ X.T, *(W.T[:, k : k + 1] * jnp.ones(len(X), X.dtype) for k in range(2)))
        z, z_x, z_t, z_xx = (*values, jnp.zeros_like(values[0]))
        for V, c in rest:
            a = jnp.tanh(z + b[:, None])
            slope = 1 - a * a
            carried = (a, slope * z_x, slope * z_t, slope * (z_xx - 2 * a * z_x * z_x))
            z, z_x, z_t, z_xx = (V.T @ value for value in carried)
            b = c
        u, u_x, u_t, u_xx = (value[0] for value in (z + b[:, None], z_x, z_t, z_xx))
        return ((u_t + u * u_x - VISCOSITY * u_xx) ** 2).mean()

    return _run(task, loss)


def _run(task: Equation, loss: Any) -> Run:
    """Return the run of the gradient of a loss of layers, whose weights are (inputs, units), and points."""
    gradient = jax.jit(jax.grad(loss))
    layers = [(jnp.asarray(W.T), jnp.asarray(b)) for W, b in task.stack.unpack(task.parameters)]
    X = jnp.asarray(task.X)

    def run() -> Array:
        return task.stack.pack((np.asarray(W).T, np.asarray(b)) for W, b in gradient(layers, X))

    return run
