"""PyTorch: the gradient of a transformer with scaled_dot_product_attention, eager or compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.transformers import Library, loss_of
from nncodegen.bench.tasks import Array, Gradient


def _attend(queries: Any, keys: Any, values: Any) -> Any:
    return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)


def _loss(scores: Any, following: Any) -> Any:
    return F.cross_entropy(scores.flatten(0, 1), following.flatten())


LIBRARY = Library(_attend, lambda a: a.transpose(1, 2), torch.relu, torch.sqrt, _loss)


def gradient(task: Gradient, compiles: bool) -> Run:
    """Return the run of one gradient."""
    loss = loss_of(task.stack, LIBRARY)
    loss = torch.compile(loss) if compiles else loss
    parameters = [torch.tensor(part, requires_grad=True) for part in task.stack.unpack(task.parameters)]
    tokens, following = (torch.from_numpy(array.astype(np.int64)) for array in (task.X, task.labels))

    def run() -> Array:
        parts = torch.autograd.grad(loss(parameters, tokens, following), parameters)
        return np.concatenate([part.numpy().ravel() for part in parts])

    return run
