"""The loss of each row, for outputs that may be averages of several networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sympy import Symbol

from nncodegen.compiler.describe import Model
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir import evaluate
from nncodegen.estimators.network import Description, parse

SMALLEST = 1e-15
"""The smallest value to which probabilities are clipped."""


def criterion(network: Description, classes: bool) -> Callable[[Any, Any], Any]:
    """Return a function of outputs (..., N, outputs) and targets (N, outputs): the loss of each row, (..., N)."""
    entry = LOSSES.get(network.loss)
    output, target = (Symbol(name, real=True) for name in ("output", "target"))
    if entry:
        formula = entry.function(output, target)
    else:
        formula = parse(network.loss, {"output": output, "target": target}, "the loss")
    program = Model("criterion", (output,), (target,), {Symbol("none"): 0.0}, output, formula).describe()
    summed = entry is not None and entry.total == "sum"

    def losses(outputs: Any, Y: Any) -> Any:
        if classes:
            outputs = np.clip(outputs, SMALLEST, 1 - SMALLEST)
        o, y = (array.reshape(-1, 1).astype(float) for array in np.broadcast_arrays(outputs, Y))
        each = np.reshape(evaluate(program, [0.0], o, y)["loss_n"], np.shape(outputs))
        return each.sum(axis=-1) if summed else each.mean(axis=-1)

    return losses
