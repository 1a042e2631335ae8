"""What training returns, for one model and for many, on its way to a file and back."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .measures import STATUS
from .result_table import result_html
from .saved import FORMAT, read_arrays, write_archive

if TYPE_CHECKING:
    from .model import Model
    from .types import Array


class Result:
    """What ``train`` returns.

    parameters   (P,), after the last completed update; those of the best epoch, where it was looked for
    loss         the loss at these parameters on the training data, without penalties; the last of the history, if it
                 was not to be evaluated (``final_loss``)
    history      (epochs,), the mean loss of each epoch, as it was met before the updates; NaN with history=False
    metrics      {name: (epochs,)}: "loss", which is the history, and all else that was measured in each epoch
    learning_rate  (epochs,), that of the last update of each epoch, as the schedule made it; NaN for epochs of a file
                 that does not know them; None where steps have none: of rprop, lm and the minimizers of SciPy
    epochs       the number of completed epochs
    status       "completed", "converged" (no parameter changed by ``tolerance``), "stopped_early" (``patience``),
                 "stopped" (by the callback), "time_limit", "diverged" or "interrupted"
    best_epoch   the epoch, counted from 1, whose ``monitor`` was best; None where it was not looked for
    seconds      the time that the training took
    message      what a minimizer of SciPy said
    classes      the names of the classes, in the order of the outputs, where Y held names; else None
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
        self._rate = rate  # of all epochs, or of each
        self._samples: tuple[Array, Array, dict[str, int]] | None = None

    @property
    def _state(self) -> dict[str, Any] | None:
        """What another training needs to go on; None where it cannot. A short training has kept it in few words."""
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
        """The mean loss of each epoch, as it was met before the updates."""
        return self.metrics["loss"]

    @property
    def learning_rate(self) -> Array | None:
        """The learning rate of the last update of each epoch, as the schedule made it; None where steps have none."""
        return None if self._rate is None else np.full(self.epochs, self._rate)

    def __repr__(self) -> str:
        return f"<Result: {self.status} after {self.epochs} epochs, loss {self.loss:.6g}>"

    def _repr_html_(self) -> str:
        return result_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it holds, and by the name of the module that made it."""
        return reduced(self)

    def plot(self, data: Mapping[str, Any] | None = None, axes: Any = None) -> Any:
        """Draws the solution of equations and the residuals that it leaves (matplotlib), on two axes.

        data    the samples whose residuals are drawn, as for ``train``; by default those of the training
        axes    a pair to draw on; new ones by default

        Returns the axes. Raises ValueError for a network without losses by name, or with more than two inputs, and
        where there are no samples, as in a result that was read from a file.
        """
        from .terms_plot import plot  # noqa: PLC0415 (a module that few need)

        return plot(self, data, axes)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the result to a file, an .npz archive, from which ``load`` reads it and ``train`` can resume.

        A file of that name is replaced at once: whoever reads it finds the old content or the new.
        """
        arrays = {
            "format": np.array(FORMAT),
            "identity": np.array(self._model.facts.identity),
            "model": np.array([self._model.name, self._model.precision]),
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


class ManyResult:
    """What ``train_many`` returns, for M models.

    parameters   (M, P), after the last completed update of each
    loss         (M,), the loss at these parameters on the training data
    history      (epochs, M), the mean loss of each epoch, as it was met before the updates; NaN after a model's end;
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
        self._rates = rates  # of each model

    @property
    def learning_rate(self) -> Array | None:
        """The learning rate of each epoch of each model, (epochs, M); NaN after a model's end; None for rprop."""
        if self._rates is None:
            return None
        count = int(self.epochs.max()) if self.history is None else len(self.history)
        return np.where(np.arange(count)[:, None] < self.epochs, self._rates, np.nan)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.status.count(s)} {s}" for s in STATUS if s in self.status)
        return f"<ManyResult: {len(self.status)} models, {counts}, lowest loss {np.nanmin(self.loss):.6g}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as a Result is."""
        return reduced(self)


def reduced(result: Any) -> tuple[Any, ...]:
    """How a result is pickled: its model makes an empty one, which then gets what this one holds."""
    held = {name: getattr(result, name) for name in result.__slots__ if name != "_model"}
    return result._model.empty_result, (type(result).__name__,), (None, held)


def load(model: Model, /, path: str | PathLike[str]) -> Result:
    """The result that was saved in a file, for this model in this precision.

    Raises ValueError for a file that is none, that is damaged, or that belongs to another model.
    """
    with open(path, "rb") as file:
        try:
            found = read_arrays(model, file)
            if isinstance(found, dict):
                return _restore(model, found)
        except KeyError as error:
            raise ValueError(f"{path!s} is no result that was saved: it lacks {error}") from error
        except Exception as error:  # a damaged archive raises whatever its reader meets
            raise ValueError(f"{path!s} is damaged, or no result that was saved: {error}") from error
    raise ValueError(
        f"{path!s} belongs to another model: it was saved for {found}, this is {model.name} in {model.precision}; "
        f"load it with the module that saved it"
    )


def _restore(model: Model, arrays: dict[str, Any]) -> Result:
    """The result in the arrays of a file; ValueError where they do not fit together."""
    names, figures, best = [str(key) for key in arrays["names"]], arrays["figures"], int(arrays["best_epoch"])
    loss, seconds = map(float, arrays["numbers"])
    status, message = map(str, arrays["status"])
    state = {key.removeprefix("state."): value for key, value in arrays.items() if key.startswith("state.")}
    if state:
        state |= {key: str(state[key]) for key in ("identity", "optimizer", "monitor", "watched") if key in state}
        state["variables"] = [str(key) for key in state["variables"]]
        state["metrics"] = int(state["metrics"])
    epochs = figures.shape[1]
    resumable = not state or (state["counters"][1] == epochs and len(state["state"]) == len(state["variables"]))
    rate = arrays.get("learning_rate")
    classes = arrays.get("classes", arrays.get("numbered_classes"))
    fit = (
        len(names) == len(figures)
        and (rate is None or len(rate) == epochs)
        and ("plateau" in state) == ("watched" in state)
    )
    plateau = state.get("plateau", np.array([1.0, 0.0, 0.0, 0.0]))
    counted = np.isfinite(plateau[2:]).all() and (plateau[2:] >= 0).all()
    fit = fit and bool(0 < plateau[0] <= 1 and not np.isnan(plateau[1]) and counted)
    if "loss" not in names or not fit or not 0 <= best <= epochs or not resumable:
        raise ValueError("its parts do not fit together")
    metrics = dict(zip(names, figures, strict=True))
    held = state or None
    reached = arrays["parameters"]
    return Result(model, reached, loss, metrics, status, best or None, seconds, message, held, rate, classes)
