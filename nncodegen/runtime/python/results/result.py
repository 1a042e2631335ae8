"""The results of training, for one model and for many: their figures, plots, tables, files and pickles."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.measures import STATUS
from ..ground.facts import flat_names
from ..ground.frames import frame_of, joined_columns
from ..ground.markup import paragraph, table
from ..native.model import Model, result_of_model
from .saved import FORMAT, head, write_archive
from .training_plot import plot_histories, plot_history

if TYPE_CHECKING:
    from ..arguments.terms import Samples
    from ..ground.types import Array

ROWS = 20
"""The most parameters that a table shows; one of a model with more, such as a network, shows none."""

ALL, SPREAD = "of those with a finite loss", ("5 % below", "median", "5 % above")
"""The head of a table of many models, and its columns that show how values are distributed."""


@result_of_model
class Result:
    """The result of ``train``.

    parameters   (P,), after the last completed update; those of the best epoch, if it was looked for
    loss         the loss at these parameters on the training data, without penalties; the last of the history, if it
                 was not evaluated (``final_loss``)
    history      (epochs,), the mean loss of each epoch, as computed before the updates; NaN with history=False
    metrics      {name: (epochs,)}: "loss", which is the history, and everything else that was measured in each epoch
    learning_rate  (epochs,), that of the last update of each epoch, from the schedule; NaN for epochs of a file that
                 does not hold them; None if steps have no learning rate: for rprop, lm and the minimizers of SciPy
    epochs       the number of completed epochs
    status       "completed", "converged" (no parameter changed by ``tolerance``), "stopped_early" (``patience``),
                 "stopped" (by the callback), "time_limit", "diverged" or "interrupted"
    best_epoch   the epoch, counted from 1, whose ``monitor`` was best; None if it was not looked for
    seconds      the time that the training took
    message      the message of a minimizer of SciPy
    classes      the names of the classes, in the order of the outputs, if Y held names; else None
    """

    __slots__ = (
        "_kept", "_model", "_rate", "_samples", "best_epoch", "classes", "epochs", "loss", "message", "metrics",
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
        self.message = message
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
    def history(self) -> Array:
        """Return the mean loss of each epoch, as computed before the updates."""
        return self.metrics["loss"]

    @property
    def learning_rate(self) -> Array | None:
        """Return the learning rate of the last update of each epoch, from the schedule; None if steps have none."""
        return None if self._rate is None else np.full(self.epochs, self._rate)

    def __repr__(self) -> str:
        return f"<Result: {self.status} after {self.epochs} epochs, loss {self.loss:.6g}>"

    def _repr_html_(self) -> str:
        """Return a table in HTML: how the training ended, and the parameters if they are few."""
        model = self._model
        parts = [paragraph(f"{model.name}: training", "b"), table((), self._figures())]
        if model.parameter_count <= ROWS:
            rows = zip(flat_names(model.facts.parameters), (f"{value:.8g}" for value in self.parameters), strict=True)
            parts.append(table(("parameter", "value"), rows))
        return f"<div>{''.join(parts)}</div>"

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
        figures.append(("seconds", f"{self.seconds:.3g}"))
        return [*figures, ("message", self.message)] if self.message else figures

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the result, and the name of the module that made it."""
        return reduced(self)

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
        Raises ImportError without matplotlib.
        """
        kind = ("solution" if self._model.facts.terms else "history") if kind is None else kind
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
        ImportError without pandas.
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
            "status": np.array([self.status, self.message]),
            "best_epoch": np.array(self.best_epoch or 0),
        }
        if self.learning_rate is not None:
            arrays["learning_rate"] = self.learning_rate
        if self.classes is not None:
            arrays["classes" if self.classes.dtype.kind == "U" else "numbered_classes"] = self.classes
        for key, value in (self._state or {}).items():
            arrays[f"state.{key}"] = np.asarray(value)
        write_archive(path, arrays)


@result_of_model
class ManyResult:
    """The result of ``train_many``, for M models.

    parameters   (M, P), after the last completed update of each
    loss         (M,), the loss at these parameters on the training data
    history      (epochs, M), the mean loss of each epoch, as computed before the updates; NaN after a model's end;
                 None if it was not asked for
    learning_rate  (epochs, M), that of each epoch; NaN after a model's end; None for rprop, whose steps have none
    epochs       (M,), the number of completed epochs
    status       a list: "completed", "converged" or "diverged" for each
    """

    __slots__ = ("_model", "_rates", "epochs", "history", "loss", "parameters", "status")

    def __init__(
        self,
        model: Model,
        parameters: Array,
        loss: Array,
        history: Array | None,
        epochs: Array,
        status: list[str],
        rates: Array | None,
    ) -> None:
        self._model = model
        self.parameters = parameters
        self.loss = loss
        self.history = history
        self.epochs = epochs
        self.status = status
        self._rates = rates  # one for each model

    @property
    def learning_rate(self) -> Array | None:
        """Return the learning rates of the epochs of each model, (epochs, M); NaN after its end; None for rprop."""
        if self._rates is None:
            return None
        count = int(self.epochs.max()) if self.history is None else len(self.history)
        return np.where(np.arange(count)[:, None] < self.epochs, self._rates, np.nan)

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each column of the parameters, (P,): "a", or "W1[0,1]" for an element of an array."""
        return flat_names(self._model.facts.parameters)

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses of the models over the epochs, and their median, with matplotlib. Returns the figure.

        axes are those to draw on; by default those of a new figure. Of more than 200 models, 200 are drawn. Raises
        ValueError if the losses were not kept, ImportError without matplotlib.
        """
        return plot_histories(self._model.name, self.history, axes)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each model: its parameters by name, loss, epochs, status.

        Raises ImportError without pandas.
        """
        parameters = dict(zip(self.names, self.parameters.T, strict=True))
        columns = joined_columns(parameters, {"loss": self.loss, "epochs": self.epochs, "status": self.status})
        return frame_of(columns, range(len(self.status)), "model")

    def __repr__(self) -> str:
        return f"<ManyResult: {self._told()}, lowest loss {np.nanmin(self.loss):.6g}>"

    def _repr_html_(self) -> str:
        """Return a table in HTML: how the trainings ended, and the loss and the parameters, if these are few.

        It shows those of the model with the lowest loss, and how those of all models are distributed whose loss is
        finite.
        """
        title = paragraph(f"{self._model.name}: {self._told()}", "b")
        known = np.isfinite(self.loss)
        if not known.any():
            return f"<div>{title}</div>"
        best = int(np.argmin(np.where(known, self.loss, np.inf)))
        columns = [("loss", self.loss)]
        if len(self.names) <= ROWS:
            columns += zip(self.names, self.parameters.T, strict=True)
        rows = [(name, f"{values[best]:.6g}", *spread(values[known])) for name, values in columns]
        return f"<div>{title}{table((ALL, f'number {best}, the best', *SPREAD), rows)}</div>"

    def _told(self) -> str:
        """Return the number of models and how their trainings ended, as a text."""
        counts = ", ".join(f"{self.status.count(s)} {s}" for s in STATUS if s in self.status)
        return f"{len(self.status)} models, {counts}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the models like a Result."""
        return reduced(self)


def with_samples(result: Result, samples: Samples | None) -> Result:
    """Return the result after storing the samples that it was last trained on, for its plot."""
    if samples is not None and samples.last is not None:
        result._samples = (*samples.last, samples.sizes)
    return result


def spread(values: Array) -> list[str]:
    """Return the values below and above which 5 % of some values are, with their median between, as texts."""
    found = np.quantile(values.astype(float), (0.05, 0.5, 0.95), method="nearest")
    return [f"{value:.6g}" for value in found]


def reduced(result: Any) -> tuple[Any, ...]:
    """Return the pickled form of a result: its model makes an empty one, which then gets the values of this one."""
    held = {name: getattr(result, name) for name in result.__slots__ if name != "_model"}
    return result._model.empty_result, (type(result).__name__,), (None, held)
