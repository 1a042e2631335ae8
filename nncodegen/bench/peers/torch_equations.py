"""PyTorch, equations: derivatives by inputs from nested calls of autograd, as programs for this are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import VISCOSITY, Array, Equation


def nested(task: Equation) -> Run:
    """Return the run of the gradient, through graphs that autograd keeps of its own derivatives."""
    stack = task.stack
    points = torch.from_numpy(task.X)

    def forward(layers: Any, h: Any) -> Any:
        for W, b in layers[:-1]:
            h = torch.tanh(torch.nn.functional.linear(h, W, b))
        return torch.nn.functional.linear(h, *layers[-1])[:, 0]

    def run() -> Array:
        layers = [tuple(torch.tensor(part).requires_grad_() for part in pair) for pair in stack.unpack(task.parameters)]
        x, t = (points[:, k].clone().requires_grad_() for k in range(2))
        u = forward(layers, torch.stack([x, t], dim=1))
        u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
        loss = ((u_t + u * u_x - VISCOSITY * u_xx) ** 2).mean()
        slopes = iter(torch.autograd.grad(loss, [part for pair in layers for part in pair], allow_unused=True))
        gradients = [
            tuple(np.zeros(part.shape) if (g := next(slopes)) is None else g.numpy() for part in pair)
            for pair in layers
        ]
        return stack.pack(gradients)

    return run
