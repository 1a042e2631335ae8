"""The objects that callbacks receive: the progress of a training or of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Array


class Progress:
    """The progress of a training: the argument of its callback.

    epochs       the number of completed epochs
    updates      the number of completed updates
    metrics      {name: number} of the last completed epoch, empty before it
    seconds      the time since the training began
    parameters   (P,), a copy of the current ones; only for the thread that calls the callback
    """

    __slots__ = ("_read", "epochs", "metrics", "seconds", "updates")

    def __init__(
        self, epochs: int, updates: int, metrics: dict[str, float], seconds: float, read: Callable[[], Array]
    ) -> None:
        self.epochs = epochs
        self.updates = updates
        self.metrics = metrics
        self.seconds = seconds
        self._read = read

    @property
    def parameters(self) -> Array:
        """Return a copy of the current parameters, of shape (P,)."""
        return self._read()


class FitProgress:
    """The progress of a fit: the argument of its callback.

    iterations   the number of iterations, which are steps that were taken or tried
    cost         the cost of the best parameters so far, as ``FitResult.cost``
    seconds      the time since the fit began
    parameters   (P,), a copy of the best parameters so far
    """

    __slots__ = ("cost", "iterations", "parameters", "seconds")

    def __init__(self, iterations: int, cost: float, seconds: float, parameters: Array) -> None:
        self.iterations = iterations
        self.cost = cost
        self.seconds = seconds
        self.parameters = parameters
