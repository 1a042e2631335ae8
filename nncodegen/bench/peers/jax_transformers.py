"""JAX: the gradient of a transformer in one jit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.transformers import Library, loss_of
from nncodegen.bench.tasks import Gradient


def _attend(queries: Any, keys: Any, values: Any) -> Any:
    *_, steps, size = queries.shape
    scores = jnp.einsum("nhtk,nhsk->nhts", queries, keys) / jnp.sqrt(size).astype(queries.dtype)
    causal = jnp.tril(jnp.ones((steps, steps), bool))
    return jnp.einsum("nhts,nhsk->nhtk", jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)), values)


def _loss(scores: Any, following: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), following[..., None], -1).mean()


LIBRARY = Library(_attend, lambda a: jnp.swapaxes(a, 1, 2), jax.nn.relu, jnp.sqrt, _loss)


def gradient(task: Gradient) -> Run:
    """Return the run of one gradient."""
    derive = jax.jit(jax.grad(loss_of(task.stack, LIBRARY)))
    parameters = list(map(jnp.asarray, task.stack.unpack(task.parameters)))
    tokens, following = jnp.asarray(task.X.astype(np.int32)), jnp.asarray(task.labels.astype(np.int32))
    return lambda: np.concatenate([np.ravel(part) for part in derive(parameters, tokens, following)])
