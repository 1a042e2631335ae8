"""What the callback of a training is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Training
    from .types import Array


class Progress:
    """Where a training is: what a callback is given.

    epochs       the number of completed epochs
    updates      the number of completed updates
    metrics      {name: number} of the last completed epoch, empty before it
    seconds      since the training began
    parameters   (P,), a copy of the current ones, for the thread that is called
    """

    __slots__ = ("_training", "epochs", "metrics", "seconds", "updates")

    def __init__(self, training: Training) -> None:
        self._training = training
        self.epochs = training.native.epochs
        self.updates = training.native.updates
        self.metrics = training.figures()
        self.seconds = training.seconds()

    @property
    def parameters(self) -> Array:
        """A copy of the current parameters, of shape (P,)."""
        return self._training.parameters()
