"""The result of a training: its figures, plots, tables, files and pickles."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..ground.endings import STATUSES, SUCCESSES
from ..ground.facts import flat_names
from ..ground.frames import frame_of
from ..ground.markup import aligned, paragraph, table
from ..native.model import Model, result_of_model
from .base import Shown
from .losses import Losses
from .many import ROWS, reduced
from .saved import FORMAT, head, write_archive
from .training_plot import plot_history

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..arguments.terms import Samples
    from ..ground.types import Array

Trained = TypeVar("Trained", bound=Any)


@result_of_model
class Result(Shown):
    """The result of ``train``.

    parameters   (P,), after the last completed update; those of the best epoch, if it was looked for
    loss         the loss at these parameters on the training data, without penalties; the last of the history, if it
                 was not evaluated (``final_loss``)
    history      (epochs,), the mean loss of each epoch, as computed before the updates; NaN with history=False
    metrics      {name: (epochs,)}: "loss", which is the history, and everything else that was measured in each epoch
    learning_rate  (epochs,), that of the last update of each epoch, from the schedule; NaN for epochs of a file that
                 does not hold them; None if steps have no learning rate: for rprop, lm and the minimizers of SciPy
    epochs       the number of completed epochs
    status       how it ended, as a word: "completed", "converged" (no parameter changed by ``tolerance``),
                 "stopped_early" (``patience``), "stopped" (by the callback), "time_limit", "diverged" or
                 "interrupted"; of a minimizer of SciPy also "max_iterations", "stalled" and "not_finite"
    success      whether it ended as it was meant to: "completed", "converged" or "stopped_early"
    message      the same as ``status`` as a sentence; that of SciPy for its minimizers
    best_epoch   the epoch, counted from 1, whose ``monitor`` was best; None if it was not looked for
    seconds      the time that the training took; NaN for one of many models
    classes      the names of the classes, in the order of the outputs, if Y held names; else None
    """

    __slots__ = (
        "_kept", "_message", "_model", "_rate", "_samples", "best_epoch", "classes", "epochs", "loss", "metrics",
        "parameters", "seconds", "status",
    )  # fmt: skip

    def __init__(
        self,
        model: Model,
        parameters: Array,
        loss: float,
        metrics: dict[str, Array],
        status: str,
        best_epoch: int | None = None,
        seconds: float = 0.0,
        message: str = "",
        kept: Any = None,
        rate: float | Array | None = None,
        classes: Array | None = None,
    ) -> None:
        self._model = model
        self.parameters = parameters
        self.loss = loss
        self.metrics = metrics
        self.epochs = len(metrics["loss"])
        self.status = status
        self.best_epoch = best_epoch
        self.seconds = seconds
        self._message = message  # that of SciPy, or about a solution that failed; else that of the status
        self.classes = classes
        self._kept = kept
        self._rate = rate  # one number for all epochs, or one for each
        self._samples: tuple[Array, Array, dict[str, int]] | None = None

    @property
    def _state(self) -> dict[str, Any] | None:
        """Return the state from which another training can continue, or None; expands that of a short training."""
        if isinstance(self._kept, tuple):
            model = self._model
            optimizer, parameters, state, counters, numbers = self._kept
            self._kept = {
                "identity": model.facts.identity,
                "optimizer": optimizer,
                "variables": list(model.rules[optimizer].state),
                "monitor": "",
                "last": parameters,
                "best": np.zeros(model.parameter_count, model.dtype),
                "state": state,
                "counters": np.array(counters, np.uint64),
                "numbers": np.array(numbers),
                "metrics": 0,
                "measures": np.zeros(model.measures_size),
            }
        kept: dict[str, Any] | None = self._kept
        return kept

    @property
    def success(self) -> bool:
        """Return whether the training ended as it was meant to: "completed", "converged" or "stopped_early"."""
        return self.status in SUCCESSES

    @property
    def message(self) -> str:
        """Return how the training ended, as a sentence: that of SciPy for its minimizers."""
        return self._message or STATUSES[self.status]

    @property
    def history(self) -> Array:
        """Return the mean loss of each epoch, as computed before the updates; ``history["val_loss"]`` is a metric."""
        return Losses.of(self.metrics)

    @property
    def learning_rate(self) -> Array | None:
        """Return the learning rate of the last update of each epoch, from the schedule; None if steps have none."""
        return None if self._rate is None else np.full(self.epochs, self._rate)

    def __repr__(self) -> str:
        return f"<Result: {self.status} after {self.epochs} epochs, loss {self.loss:.6g}>"

    def __str__(self) -> str:
        """Return how the training ended, and the parameters if they are few, as text."""
        figures, rows = self._figures(), self._values()
        label = max(len(name) for name, _ in figures)
        lines = [f"{self._model.name}: training", "", *(f"{name:<{label}}   {text}" for name, text in figures)]
        return "\n".join([*lines, *(["", *aligned(("parameter", "value"), rows)] if rows else [])])

    def _repr_html_(self) -> str:
        """Return a table in HTML: how the training ended, and the parameters if they are few."""
        parts, rows = [paragraph(f"{self._model.name}: training", "b"), table((), self._figures())], self._values()
        if rows:
            parts.append(table(("parameter", "value"), rows))
        return f"<div>{''.join(parts)}</div>"

    def _values(self) -> list[tuple[str, str]]:
        """Return the parameters by name if they are few, else an empty list."""
        if self._model.parameter_count > ROWS:
            return []
        values = (f"{value:.8g}" for value in self.parameters)
        return list(zip(flat_names(self._model.facts.parameters), values, strict=True))

    def _figures(self) -> list[tuple[str, str]]:
        """Return how the training ended: pairs of a label and a text."""
        figures = [("status", self.status), ("epochs", f"{self.epochs}"), ("loss", f"{self.loss:.6g}")]
        for name, values in self.metrics.items():
            if name != "loss" and len(values):
                figures.append((name, f"{values[-1]:.6g}"))
        rates = self.learning_rate
        if rates is not None and len(rates):
            ends = dict.fromkeys(f"{rate:.6g}" for rate in rates[[0, -1]])
            figures.append(("learning rate", " to ".join(ends)))
        if self.best_epoch is not None:
            figures.append(("best epoch", f"{self.best_epoch}"))
        if self.seconds == self.seconds:
            figures.append(("seconds", f"{self.seconds:.3g}"))
        return [*figures, ("message", self.message)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the result, and the name of the module that made it."""
        return reduced(self)

    def predict(self, X: ArrayLike | None = None, threads: int = 1) -> Array:
        """Return the outputs for the rows of X, (N, outputs), as ``predict`` of the module with these parameters."""
        model: Any = self._model
        outputs: Array = model.predict(self.parameters, X, threads)
        return outputs

    def plot(self, data: Mapping[str, Any] | None = None, axes: Any = None, kind: str | None = None) -> Any:
        """Draw the training with matplotlib. Returns the figure, which ``savefig`` writes to a file.

        kind    "history": the loss, the metrics, and the learning rate if it changes, over the epochs;
                "solution": the solution of equations, and its residuals. By default the solution for a network with
                losses by name, else the history
        data    for a solution: the samples whose residuals are drawn, as for ``train``; by default the training samples
        axes    the axes to draw on: a pair for a solution; for a history one for the loss alone, or one for each
                quantity; by default those of a new figure, which are its ``axes``

        Raises ValueError if nothing can be drawn: before the first epoch, for the solution of a network without losses
        by name or with more than two inputs, and if there are no samples, as in a result that was read from a file.
        Raises MissingDependencyError without matplotlib.
        """
        kind = ("solution" if self._model.facts.samples.terms else "history") if kind is None else kind
        if kind not in ("history", "solution"):
            raise ValueError(f"there is no picture {kind!r}; there are: 'history', 'solution'")
        if kind == "solution":
            from .terms_plot import plot_solution  # noqa: PLC0415 (a module that few need)

            return plot_solution(self._model, self.parameters, data, self._samples, axes)
        if data is not None:
            raise ValueError("data are drawn with a solution; leave them out of the picture of a history")
        title = f"{self._model.name}: {self.status} after {self.epochs} epochs"
        return plot_history(title, self.metrics, self.learning_rate, self.best_epoch, axes)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each epoch, counted from 1.

        Its columns are the metrics, of which "loss" is the first, and learning_rate if steps have one. Raises
        MissingDependencyError without pandas.
        """
        rates = self.learning_rate
        columns = self.metrics if rates is None else self.metrics | {"learning_rate": rates}
        return frame_of(columns, range(1, self.epochs + 1), "epoch")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file, an .npz archive, which ``load`` reads and from which ``train`` can resume.

        A file of that name is replaced atomically: a reader finds the old content or the new.
        """
        arrays = head(self._model, FORMAT) | {
            "parameters": self.parameters,
            "numbers": np.array([self.loss, self.seconds]),
            "names": np.array(list(self.metrics)),
            "figures": np.array(list(self.metrics.values())),
            "status": np.array([self.status, self._message]),
            "best_epoch": np.array(self.best_epoch or 0),
        }
        if self.learning_rate is not None:
            arrays["learning_rate"] = self.learning_rate
        if self.classes is not None:
            arrays["classes" if self.classes.dtype.kind == "U" else "numbered_classes"] = self.classes
        for key, value in (self._state or {}).items():
            arrays[f"state.{key}"] = np.asarray(value)
        write_archive(path, arrays)


def with_samples(result: Trained, samples: Samples | None) -> Trained:
    """Return the result after storing the samples that it was last trained on, for its plot."""
    if samples is not None and samples.last is not None:
        result._samples = (*samples.last, samples.sizes)
    return result
