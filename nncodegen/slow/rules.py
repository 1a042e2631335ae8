"""The update rules of optimizers with NumPy: their steps, for all parameters at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import Update
from nncodegen.slow.expressions import translated

Array = NDArray[Any]


class Rule:
    """An update rule; ``penalized`` tells for which parameters (P,) there are penalties."""

    def __init__(self, update: Update, penalized: NDArray[np.bool_]) -> None:
        self.penalized = penalized
        self._update = update
        self._steps = [
            (step.target.tensor, step.operands, translated(step.expression, step.operands)) for step in update.steps
        ]

    def step(
        self, options: Array, number: int, parameters: Array, gradient: Array, state: Array
    ) -> tuple[Array, Array]:
        """The next values of parameters and their state, in an update of a number; the first is 1."""
        values: dict[str, Any] = {"parameter": parameters, "gradient": gradient, "t": np.float64(number)}
        values |= {hyper.name: options[k] for k, hyper in enumerate(self._update.hyperparameters)}
        values |= {name: state[k] for k, name in enumerate(self._update.state)}
        with np.errstate(all="ignore"):
            for name, operands, function in self._steps:
                values[name] = function([values[operand.tensor] for operand in operands])
        following, *states = (
            np.broadcast_to(values[result.tensor], parameters.shape) for result in self._update.results
        )
        return following, np.array(states).reshape(len(states), len(parameters))
