"""What training returns, and the file that holds it."""

import contextlib
import os
import uuid
import zipfile
from typing import Any

import numpy as np

name: str
precision: str
dtype: Any
parameter_count: int
_members: Any
_read_member: Any
_measures_size: int
_IDENTITY: str
_OPTIMIZERS: dict[str, tuple[Any, ...]]

_FORMAT = "nncodegen result, version 2"


class Result:
    """What ``train`` returns.

    parameters   (P,), after the last completed update; those of the best epoch, where it was looked for
    loss         the loss at these parameters on the training data, without penalties; the last of the history, if it
                 was not to be evaluated (``final_loss``)
    history      (epochs,), the mean loss of each epoch, as it was met before the updates; NaN with history=False
    metrics      {name: (epochs,)}: "loss", which is the history, and all else that was measured in each epoch
    epochs       the number of completed epochs
    status       "completed", "converged" (no parameter changed by ``tolerance``), "stopped_early" (``patience``),
                 "stopped" (by the callback), "time_limit", "diverged" or "interrupted"
    best_epoch   the epoch, counted from 1, whose ``monitor`` was best; None where it was not looked for
    seconds      the time that the training took
    message      what a minimizer of SciPy said
    """

    __slots__ = ("_kept", "best_epoch", "epochs", "loss", "message", "metrics", "parameters", "seconds", "status")

    def __init__(
        self,
        parameters: Any,
        loss: float,
        metrics: dict[str, Any],
        status: str,
        best_epoch: "int | None" = None,
        seconds: float = 0.0,
        message: str = "",
        kept: Any = None,
    ) -> None:
        self.parameters = parameters
        self.loss = loss
        self.metrics = metrics
        self.epochs = len(metrics["loss"])
        self.status = status
        self.best_epoch = best_epoch
        self.seconds = seconds
        self.message = message
        self._kept = kept

    @property
    def _state(self) -> "dict[str, Any] | None":
        """What another training needs to go on; None where it cannot. A short training has kept it in few words."""
        if isinstance(self._kept, tuple):
            optimizer, parameters, state, counters, numbers = self._kept
            self._kept = {
                "identity": _IDENTITY,
                "optimizer": optimizer,
                "variables": list(_OPTIMIZERS[optimizer][2]),
                "monitor": "",
                "last": parameters,
                "best": np.zeros(parameter_count, dtype),
                "state": state,
                "counters": np.array(counters, np.uint64),
                "numbers": np.array(numbers),
                "metrics": 0,
                "measures": np.zeros(_measures_size),
            }
        kept: dict[str, Any] | None = self._kept
        return kept

    @property
    def history(self) -> Any:
        """The mean loss of each epoch, as it was met before the updates."""
        return self.metrics["loss"]

    def __repr__(self) -> str:
        return f"<Result: {self.status} after {self.epochs} epochs, loss {self.loss:.6g}>"

    def save(self, path: Any) -> None:
        """Writes the result to a file, an .npz archive, from which ``load`` reads it and ``train`` can resume.

        A file of that name is replaced at once: whoever reads it finds the old content or the new.
        """
        arrays = {
            "format": np.array(_FORMAT),
            "identity": np.array(_IDENTITY),
            "model": np.array([name, precision]),
            "parameters": self.parameters,
            "numbers": np.array([self.loss, self.seconds]),
            "names": np.array(list(self.metrics)),
            "figures": np.array(list(self.metrics.values())),
            "status": np.array([self.status, self.message]),
            "best_epoch": np.array(self.best_epoch or 0),
        }
        for key, value in (self._state or {}).items():
            arrays[f"state.{key}"] = np.asarray(value)
        path = os.path.abspath(path)
        beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}")
        try:
            with open(beside, "xb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise


def load(path: Any) -> Result:
    """The result that was saved in a file, for this model in this precision.

    Raises ValueError for a file that is none, that is damaged, or that belongs to another model.
    """
    with open(path, "rb") as file:
        try:
            found = _read_result(file)
        except KeyError as error:
            raise ValueError(f"{path} is no result that was saved: it lacks {error}") from error
        except Exception as error:  # a damaged archive raises whatever its reader meets
            raise ValueError(f"{path} is damaged, or no result that was saved: {error}") from error
    if isinstance(found, Result):
        return found
    raise ValueError(
        f"{path} belongs to another model: it was saved for {found}, this is {name} in {precision}; load it with the "
        f"module that saved it"
    )


def _read_result(file: Any) -> "Result | str":
    """The result in a file, or the model that it belongs to, if that is another; any error where it is none."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no archive, or a truncated one")
    with zipfile.ZipFile(file) as archive:
        members = _members(archive, file)
        version = str(_read_member(archive, members["format"], (), "U"))
        if version != _FORMAT:
            raise ValueError(f"its format is {version[:50]!r}, not {_FORMAT!r}")
        if str(_read_member(archive, members["identity"], (), "U")) != _IDENTITY:
            return " in ".join(map(str, _read_member(archive, members["model"], (2,), "U")))
        expected = _parts(any(key.startswith("state.") for key in members))
        unknown = sorted(set(members) - set(expected))
        if unknown:
            raise ValueError(f"it holds {unknown[0][:50]!r}, which no result has")
        return _restore({key: _read_member(archive, members[key], *form) for key, form in expected.items()})


def _parts(resumable: bool) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """The shape and the type of each array of a file; of one that can be resumed if there is a state."""
    parts = {
        "format": ((), "U"),
        "identity": ((), "U"),
        "model": ((2,), "U"),
        "parameters": ((parameter_count,), dtype),
        "numbers": ((2,), np.float64),
        "names": ((None,), "U"),
        "figures": ((None, None), np.float64),
        "status": ((2,), "U"),
        "best_epoch": ((), np.int64),
    }
    state = {
        "identity": ((), "U"),
        "optimizer": ((), "U"),
        "variables": ((None,), "U"),
        "monitor": ((), "U"),
        "last": ((parameter_count,), dtype),
        "best": ((parameter_count,), dtype),
        "state": ((None, parameter_count), dtype),
        "counters": ((8,), np.uint64),
        "numbers": ((4,), np.float64),
        "metrics": ((), np.int64),
        "measures": ((_measures_size,), np.float64),
    }
    return parts | ({f"state.{key}": form for key, form in state.items()} if resumable else {})


def _restore(arrays: dict[str, Any]) -> Result:
    """The result in the arrays of a file; ValueError where they do not fit together."""
    names, figures, best = [str(key) for key in arrays["names"]], arrays["figures"], int(arrays["best_epoch"])
    loss, seconds = map(float, arrays["numbers"])
    status, message = map(str, arrays["status"])
    state = {key.removeprefix("state."): value for key, value in arrays.items() if key.startswith("state.")}
    if state:
        state |= {key: str(state[key]) for key in ("identity", "optimizer", "monitor")}
        state["variables"] = [str(key) for key in state["variables"]]
        state["metrics"] = int(state["metrics"])
    epochs = figures.shape[1]
    resumable = not state or (state["counters"][1] == epochs and len(state["state"]) == len(state["variables"]))
    if "loss" not in names or len(names) != len(figures) or not 0 <= best <= epochs or not resumable:
        raise ValueError("its parts do not fit together")
    metrics = dict(zip(names, figures, strict=True))
    return Result(arrays["parameters"], loss, metrics, status, best or None, seconds, message, state or None)
