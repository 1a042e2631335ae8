"""The result of training many models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.frames import frame_of, joined_columns
from ..native.model import Model, result_of_model
from .many import ROWS, SPREAD, Many, spread
from .result import Result
from .saved import MANY, head, write_archive
from .training_plot import plot_histories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from ..ground.types import Array


@result_of_model
class ManyResult(Many):
    """The result of ``train_many``, for M models.

    parameters   (M, P), after the last completed update of each
    loss         (M,), the loss at these parameters on the training data
    history      (epochs, M), the mean loss of each epoch, as computed before the updates; NaN after a model's end;
                 None if it was not asked for
    learning_rate  (epochs, M), that of each epoch; NaN after a model's end; None for rprop, whose steps have none
    epochs       (M,), the number of completed epochs
    status       (M,), how each ended, as a word: "completed", "converged" or "diverged"
    success      (M,), whether each ended as it was meant to: not "diverged"
    message      (M,), the same as a sentence

    ``result[m]`` is the ``Result`` of model m, and iterating yields these.
    """

    __slots__ = ("_model", "_rates", "_status", "epochs", "history", "loss", "parameters")

    def __init__(
        self,
        model: Model,
        parameters: Array,
        loss: Array,
        history: Array | None,
        epochs: Array,
        status: Sequence[str] | Array,
        rates: Array | None,
    ) -> None:
        self._model = model
        self.parameters = parameters
        self.loss = loss
        self.history = history
        self.epochs = epochs
        self._status = np.array(status)
        self._rates = rates  # one for each model

    @property
    def status(self) -> Array:
        """Return how the training of each model ended, as a word, (M,): "completed", "converged" or "diverged"."""
        return self._status

    @property
    def learning_rate(self) -> Array | None:
        """Return the learning rates of the epochs of each model, (epochs, M); NaN after its end; None for rprop."""
        if self._rates is None:
            return None
        count = int(self.epochs.max()) if self.history is None else len(self.history)
        return np.where(np.arange(count)[:, None] < self.epochs, self._rates, np.nan)

    def __getitem__(self, m: int) -> Result:
        """Return the result of model m: its history, plot, table and file. No training can be resumed from it.

        A negative index counts from the end. Raises IndexError for an index out of range, TypeError for one that is
        not an integer.
        """
        m = self._place(m, "model")
        epochs = int(self.epochs[m])
        history = np.full(epochs, np.nan) if self.history is None else self.history[:epochs, m].copy()
        rate = None if self._rates is None else float(self._rates[m])
        return Result(
            self._model,
            self.parameters[m].copy(),
            float(self.loss[m]),
            {"loss": history},
            str(self.status[m]),
            None,
            math.nan,
            rate=rate,
        )

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses of the models over the epochs, and their median, with matplotlib. Returns the figure.

        axes are those to draw on; by default those of a new figure. Of more than 200 models, 200 are drawn. Raises
        ValueError if the losses were not kept, MissingDependencyError without matplotlib.
        """
        return plot_histories(self._model.name, self.history, axes)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each model: its parameters by name, loss, epochs, status.

        Raises MissingDependencyError without pandas.
        """
        parameters = dict(zip(self.names, self.parameters.T, strict=True))
        columns = joined_columns(parameters, {"loss": self.loss, "epochs": self.epochs, "status": self.status})
        return frame_of(columns, range(len(self)), "model")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file, an .npz archive, from which the module's ``load`` reads it.

        A file of that name is replaced atomically: a reader finds the old content or the new.
        """
        arrays = head(self._model, MANY) | {
            "parameters": self.parameters,
            "loss": self.loss,
            "epochs": self.epochs.astype(np.int64),
            "status": self.status,
        }
        optional = {"history": self.history, "rates": self._rates}
        write_archive(path, arrays | {name: array for name, array in optional.items() if array is not None})

    def __repr__(self) -> str:
        return f"<ManyResult: {self._outcome_text()}, lowest loss {np.nanmin(self.loss):.6g}>"

    def _outcome_text(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{len(self)} models, {counts}"

    def _best(self) -> int:
        return int(np.argmin(np.where(np.isfinite(self.loss), self.loss, np.inf)))

    def _head(self) -> tuple[str, ...]:
        return ("of those with a finite loss", f"number {self._best()}, the best", *SPREAD)

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the loss, and the parameters if they are few: those of the best model, and their distribution."""
        known = np.isfinite(self.loss)
        if not known.any():
            return []
        best = self._best()
        columns = [("loss", self.loss)]
        if len(self.names) <= ROWS:
            columns += zip(self.names, self.parameters.T, strict=True)
        return [(name, f"{values[best]:.6g}", *spread(values[known])) for name, values in columns]
