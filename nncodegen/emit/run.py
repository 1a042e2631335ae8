"""A training that is under way: what people asked for, and the calls of the native loop."""

import math
import numbers
import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

dtype: Any
target_names: tuple[str, ...]
output_count: int
parameter_count: int
initial_parameters: Any
_IDENTITY: str
_OPTIMIZERS: dict[str, tuple[int, dict[str, tuple[float, float, float, bool]], dict[str, "float | str"], bool]]
_measures_size: int
_state_size: int
_native_loss: Any
_NativeTraining: Any
_parameters: Any
_number: Any
_integer: Any
_flag: Any
Result: Any
_Schedule: Any
_Display: Any
_Data: Any

_STATUS = ("completed", "converged", "stopped_early", "diverged", "interrupted")
_COLUMNS = ("loss", "val_loss", "accuracy", "mae", "r2", "val_accuracy", "val_mae", "val_r2")
_METRICS = ("accuracy", "mae", "r2")
_HIGHER = ("accuracy", "r2", "val_accuracy", "val_r2")
_EPOCHS_AT_ONCE = 2**17  # what is not reached is not touched, and takes no memory
_FACTORS_AT_ONCE = 2**20
_OPTIONS = max(len(known) for _, known, _, _ in _OPTIMIZERS.values())
_SEED = 2**64 - 1  # the largest
_THREADS = 64  # the most that share a batch


class _Progress:
    """Where a training is: what a callback is given.

    epochs       the number of completed epochs
    updates      the number of completed updates
    metrics      {name: number} of the last completed epoch, empty before it
    seconds      since the training began
    parameters   (P,), a copy of the present ones, for the thread that is called
    """

    __slots__ = ("_training", "epochs", "metrics", "seconds", "updates")

    def __init__(self, training: Any) -> None:
        self._training = training
        self.epochs = training.native.epochs
        self.updates = training.native.updates
        self.metrics = training.figures()
        self.seconds = training.seconds()

    @property
    def parameters(self) -> Any:
        return self._training.parameters()


class _Training:
    """A training that is under way: what it was told, what it keeps, what has come out so far."""

    def __init__(
        self, parameters: Any, optimizer: Any, learning_rate: Any, seed: Any, update: Any, resume: Any,
        hyperparameters: dict[str, Any], weight_decay: Any,
    ) -> None:  # fmt: skip
        seed = _integer("seed", seed, 0, _SEED)
        before = _state_of(resume, parameters)
        self.seed = seed if before is None else int(before["counters"][6])
        if update not in ("simultaneous", "sequential"):
            raise ValueError(f"there is no update {update!r}; there are: simultaneous, sequential")
        self._optimizer, number, options, self._state, self._decay = _optimizer(
            optimizer, learning_rate, hyperparameters, weight_decay
        )
        self._buffers = np.zeros((2, parameter_count), dtype)  # the present parameters, the best
        self.native = _NativeTraining(self._buffers, self._state, options, number, self.seed)
        self._counters = np.array([self.seed, 0, 0, 0, 0, 0, self.seed, 0], np.uint64)
        self._numbers = np.array([0.0, 0.0, 0.0, math.inf])
        self._measures = np.zeros(_measures_size)  # sums for the metrics of the present epoch
        self._sequential = update == "sequential"
        self._resumed = resume
        if before is None:
            self._buffers[0] = initial_parameters(self.seed) if parameters is None else _parameters(parameters)
        else:
            self._continue(before)
        self.native.place(self._counters, self._numbers)
        self.done = self.native.epochs
        self._names: tuple[str, ...] = ("loss",)
        self._columns, self._monitor, self._restores = 1, "", False
        self._patience, self._min_delta = 0, 0.0
        self._measured: tuple[str, ...] = ()
        self._metrics_wanted = 0  # a bit for each
        self._without_loss = False
        self._callback: Any = None
        self._call_every: Any = None  # seconds; None: after every epoch
        self._next_call, self._deadline = math.inf, math.inf
        self._display: Any = None
        self._asks = False
        self._total: int | None = None
        self._chunks: list[tuple[int, Any]] = []  # the first epoch and the figures of each call
        self._start = time.perf_counter()
        self.data: Any = None
        self.status, self._reason = "completed", ""

    def _continue(self, before: dict[str, Any]) -> None:
        """Takes over where another training ended."""
        if before["optimizer"] != self._optimizer:
            raise ValueError(
                f"resume was made by the optimizer {before['optimizer']}, not by {self._optimizer}: its state does not "
                f"fit; to start anew from there, give parameters=result.parameters"
            )
        self._buffers[0], self._buffers[1] = before["last"], before["best"]
        self._state[: len(before["state"])] = before["state"]
        self._counters[:], self._numbers[:] = before["counters"], before["numbers"]
        self._measures[:] = before["measures"]

    def schedule(self, given: Any, total: "int | None") -> None:
        """Sets the schedule of the learning rate."""
        self._schedule = _Schedule(given, total)
        if self._schedule.name != "constant" and not _OPTIMIZERS[self._optimizer][3]:
            raise ValueError(f"the optimizer {self._optimizer} takes no schedule: its steps have no learning rate")

    def regularize(self, l1: Any, l2: Any, clip_value: Any, clip_norm: Any, tolerance: Any) -> None:
        """Sets penalties, clipping, and the tolerance."""
        self._l1, self._l2 = (_number(key, value, 0.0, math.inf, False) for key, value in (("l1", l1), ("l2", l2)))
        self._clip_value = 0.0 if clip_value is None else _number("clip_value", clip_value, 0.0, math.inf, True)
        self._clip_norm = 0.0 if clip_norm is None else _number("clip_norm", clip_norm, 0.0, math.inf, True)
        self._tolerance = _number("tolerance", tolerance, 0.0, math.inf, False)

    def watch(
        self, held_out: "_Data | None", metrics: Any, monitor: Any, patience: Any, min_delta: Any, restore_best: Any,
        history: Any = True,
    ) -> None:  # fmt: skip
        """Sets what is measured in each epoch, and what is done about it."""
        wanted = _metrics(metrics)
        self._without_loss = not _flag("history", history)
        if self._without_loss and (wanted or monitor is not None or patience is not None or held_out is not None):
            raise ValueError("history=False measures nothing: it goes without metrics, monitor, patience, validation")
        validation = () if held_out is None else ("val_loss", *(f"val_{metric}" for metric in wanted))
        names = ("loss", *wanted, *validation)
        if monitor is not None and monitor not in names:
            raise ValueError(f"monitor is {monitor!r}, which is not measured; there are: {', '.join(names)}")
        self._patience = 0 if patience is None else _integer("patience", patience, 1, 2**53)
        self._min_delta = _number("min_delta", min_delta, 0.0, math.inf, False)
        restores = _flag("restore_best", restore_best)
        if self._patience or monitor is not None:
            self._monitor = monitor or ("loss" if held_out is None else "val_loss")
            self._restores = restores
        self._measured = wanted
        if held_out is not None:
            held_out.measure(wanted)
            self.native.use(held_out.arrays(), held_out.samples, True)
        self._names, self._columns = names, 1 if names == ("loss",) else len(_COLUMNS)
        self._metrics_wanted = sum(1 << _METRICS.index(metric) for metric in wanted)
        if self._resumed is not None and self._resumed._state["metrics"] != self._metrics_wanted:
            within = self._counters[3] or self._counters[4]  # an epoch, of which nobody knows the first part
            self._measures[:] = np.nan if within else 0.0
        if self._resumed is not None and self._resumed._state["monitor"] != self._monitor:
            self._counters[5], self._numbers[3] = 0, math.inf  # the best of another figure says nothing
            self.native.place(self._counters, self._numbers)

    def ask(self, callback: Any, interval: Any, time_limit: Any, progress: Any, total: "int | None") -> None:
        """Sets what is called on the way, and what ends the training besides the number of epochs."""
        if callback is not None and not callable(callback):
            raise ValueError(f"callback must be a function of one argument, not {callback!r}")
        seconds = None
        if not (isinstance(interval, str) and interval == "epoch"):
            if not isinstance(interval, numbers.Real):
                raise ValueError(f"callback_interval must be 'epoch' or a number of milliseconds, not {interval!r}")
            seconds = _number("callback_interval", interval, 0.0, math.inf, True) / 1000
        limit = math.inf if time_limit is None else _number("time_limit", time_limit, 0.0, math.inf, True)
        self._display = _Display(total) if _flag("progress", progress) else None
        self._start = time.perf_counter()
        self._deadline = self._start + limit
        self._callback, self._total = callback, total
        if callback is not None:
            self._call_every = seconds
            self._next_call = math.inf if seconds is None else self._start + seconds
        self._asks = limit < math.inf or self._display is not None or self._next_call < math.inf
        self._interval = 0.03 if seconds is None else min(seconds, 0.03)
        outside = self.native.hook  # whether to end all that this thread has under way
        if self._asks:
            self.native.hook = self._stops if outside is None else lambda: outside() or self._stops()

    def settle(self, threads: Any) -> None:
        """Tells the native part how to train, and by how many threads."""
        self._threads = _integer("threads", threads, 1, _THREADS)
        column = _COLUMNS.index(self._monitor) if self._monitor else -1
        numbers = (
            self._l1, self._l2, self._decay, self._clip_value, self._clip_norm, self._tolerance, self._sequential,
            self._columns, column, self._monitor in _HIGHER, self._min_delta, self._patience, self._interval,
            self._threads, self._metrics_wanted, self._without_loss,
        )  # fmt: skip
        self.native.settle(np.array(numbers, float), self._measures)

    def use(self, data: _Data, batch: int, shuffles: bool) -> None:
        """Sets the samples to train on."""
        if self._counters[3] and self.data is None and self._counters[7] != data.samples:
            raise ValueError(
                f"resume was interrupted within an epoch of {self._counters[7]} samples; give the same samples, or "
                f"start anew from parameters=result.parameters"
            )
        data.measure(self._measured)
        self.data = data
        self._batches = -(-data.samples // batch)
        order = np.empty(data.samples, np.uintp) if shuffles else None
        self.native.use(data.arrays(), data.samples, False)
        self.native.order(order, batch)

    def run(self, until: int) -> None:
        """Trains until there are so many epochs, or something ends it."""
        training = self.native
        every = self._callback is not None and self._call_every is None
        most = max(1, _FACTORS_AT_ONCE // self._batches) if self._schedule.of_updates else _EPOCHS_AT_ONCE
        while self.status == "completed" and training.epochs < until:
            first, count = training.epochs, 1 if every else min(until - training.epochs, most, _EPOCHS_AT_ONCE)
            factors = self._schedule.factors(first, count, self._batches)
            figures = np.empty((count, self._columns))
            self._chunks.append((first, figures))
            self.status = _STATUS[training.advance(figures, factors, self._schedule.of_updates)]
            if self.status == "interrupted":
                if training.error is not None:
                    raise training.error
                if not self._reason:
                    raise KeyboardInterrupt
                self.status = self._reason
            elif every and training.epochs > first and self._callback(_Progress(self)):
                self._end("stopped")
            if self.status == "completed" and self._asks and self._stops():
                self._end(self._reason)

    def _end(self, status: str) -> None:
        """Ends a training that is not over anyway."""
        if self.status == "completed" and (self._total is None or self.native.epochs < self._total):
            self.status = status

    def _stops(self) -> bool:
        """What is called every 30 ms or so: whether to end the training."""
        now = time.perf_counter()
        if self._display is not None:
            self._display.show(self.native.epochs, self.figures(), self.seconds())
        if now >= self._next_call:
            stops = self._callback(_Progress(self))
            self._next_call = time.perf_counter() + self._call_every
            if stops:
                self._reason = "stopped"
                return True
        if now >= self._deadline:
            self._reason = "time_limit"
            return True
        return False

    def seconds(self) -> float:
        """How long the training has taken, with those that it resumed."""
        return time.perf_counter() - self._start + (0.0 if self._resumed is None else self._resumed.seconds)

    def parameters(self) -> Any:
        """The present parameters, a copy."""
        return self.native.parameters()

    def figures(self) -> dict[str, float]:
        """What was measured after the last completed epoch."""
        done = self.native.epochs
        for first, figures in reversed(self._chunks):
            if done > first:
                row = figures[done - first - 1]
                names = () if self._without_loss else self._names
                return {name: float(row[_COLUMNS.index(name)]) for name in names}
        return {}

    def finish(self, final_loss: bool = True) -> Any:
        """The Result, with the loss at its parameters (final_loss), and a warning where the training diverged."""
        found = self._result(self.status, math.nan)
        data = self.data
        if final_loss:
            found.loss = _native_loss(found.parameters, data.X, data.Y, data.weights, data.samples, None)
        if found.status == "diverged" or (final_loss and not math.isfinite(found.loss)):
            found.status = "diverged"
            warnings.warn(
                f"training diverged after {found.epochs} epochs: the loss or a parameter is no longer finite; the "
                f"parameters are those of the last completed update; try a lower learning_rate, or scale X and Y",
                RuntimeWarning,
                stacklevel=3,
            )
        return found

    def _result(self, status: str, loss: float) -> Any:
        self.native.tell(self._counters, self._numbers)
        self._counters[7] = self.data.samples if self.data else 0
        best = int(self._counters[5]) if self._monitor else 0
        last = self.parameters()
        metrics = self._metrics()
        if math.isnan(loss) and len(metrics["loss"]):
            loss = float(metrics["loss"][-1])
        return Result(
            self._buffers[1].copy() if best and self._restores else last, loss, metrics, status, best or None,
            self.seconds(), "",
            {
                "identity": _IDENTITY,
                "optimizer": self._optimizer,
                "variables": list(_OPTIMIZERS[self._optimizer][2]),
                "monitor": self._monitor,
                "last": last,
                "best": self._buffers[1].copy(),
                "state": self._state[: len(_OPTIMIZERS[self._optimizer][2])].copy(),
                "counters": self._counters.copy(),
                "numbers": self._numbers.copy(),
                "metrics": self._metrics_wanted,
                "measures": self._measures.copy(),
            },
        )  # fmt: skip

    def _metrics(self) -> dict[str, Any]:
        """The figures of all epochs, by name."""
        done = self.native.epochs
        tables = [figures[: max(0, done - first)] for first, figures in self._chunks]
        whole = len(tables) == 1 and len(tables[0]) == len(self._chunks[0][1])
        if whole and self._columns == 1 and self._resumed is None:
            return {"loss": tables[0].reshape(-1)}  # as it is: fresh memory would take longer than a short epoch
        table = np.concatenate(tables or [np.empty((0, self._columns))])
        if self._resumed is None:
            return {name: table[:, _COLUMNS.index(name)].copy() for name in self._names}
        before, missing = self._resumed.metrics, np.full(self._resumed.epochs, np.nan)
        return {
            name: np.concatenate([before.get(name, missing), table[:, _COLUMNS.index(name)]]) for name in self._names
        }

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Gives an exception (Ctrl-C, or of a callback or a signal handler) what was reached."""
        if self._display is not None:
            self._display.show(self.native.epochs, self.figures(), self.seconds(), last=True)
            self._display.close()
        if error is None or self.data is None:
            return
        error.result = self._result("interrupted", math.nan)
        if not error.args:
            held = "the attribute result of this exception holds what was reached"
            error.args = (f"interrupted after {self.native.epochs} epochs; {held}",)


def _state_of(resume: Any, parameters: Any) -> Any:
    """What a Result holds of its training, for another to go on."""
    if resume is None:
        return None
    if not hasattr(resume, "_state") or not hasattr(resume, "metrics"):
        raise ValueError(f"resume must be a Result of train or of load, not {resume!r}")
    if parameters is not None:
        raise ValueError("give resume or parameters, not both: a Result holds its own parameters")
    state = resume._state
    if state is None:
        raise ValueError("resume was made by minimize, which cannot go on: give parameters=result.parameters")
    if state["identity"] != _IDENTITY:
        raise ValueError("resume belongs to another model or precision: resume it with the module that made it")
    if resume.status == "diverged":
        raise ValueError("resume diverged, and has no state to go on from: give parameters=result.parameters")
    return state


def _metrics(metrics: Any) -> tuple[str, ...]:
    """The metrics that are asked for, in their order."""
    wanted = (metrics,) if isinstance(metrics, str) else tuple(metrics) if isinstance(metrics, Iterable) else (metrics,)
    for metric in wanted:
        if metric != "loss" and metric not in _METRICS:
            raise ValueError(f"there is no metric {metric!r}; there are: loss, {', '.join(_METRICS)}")
    found = tuple(metric for metric in _METRICS if metric in wanted)
    if found and not _measures_size:
        raise ValueError(
            f"metrics compare outputs with targets, but the model has {output_count} outputs and "
            f"{len(target_names)} targets: compute them from predict()"
        )
    return found


def _optimizer(
    name: Any, learning_rate: Any, hyperparameters: dict[str, Any], weight_decay: Any
) -> tuple[str, int, Any, Any, float]:
    """The name and number of the update rule, its hyperparameters, its state at first, and the decay besides it."""
    values = dict(hyperparameters, learning_rate=learning_rate)
    if name == "sgd":  # three rules under one name, as in Keras and PyTorch
        nesterov, momentum = _flag("nesterov", values.pop("nesterov", False)), values.get("momentum", 0.0)
        if nesterov:
            name = "nesterov"
        elif _number("momentum", momentum, 0.0, 1.0, False):
            name = "momentum"
        else:
            values.pop("momentum", None)
    if not isinstance(name, str) or name not in _OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; there are: {', '.join(_OPTIMIZERS)}")
    number, known, variables, _ = _OPTIMIZERS[name]
    decay = 0.0
    if weight_decay is not None and "weight_decay" in known:
        values["weight_decay"] = weight_decay
    elif weight_decay is not None:
        decay = _number("weight_decay", weight_decay, 0.0, math.inf, False)
    for key in values:
        if key not in known:
            names = ", ".join(known)
            raise TypeError(f"train() got an unexpected argument {key!r}; the optimizer {name} takes: {names}")
    options = {
        key: _number(key, values.get(key, default), low, high, excludes_low)
        for key, (default, low, high, excludes_low) in known.items()
    }
    state = np.zeros((max(1, _state_size // parameter_count), parameter_count), dtype)
    for row, value in enumerate(variables.values()):
        initial = options[value] if isinstance(value, str) else value
        if initial:
            state[row] = initial
    array = np.array([*options.values(), *(0.0 for _ in range(len(options), _OPTIONS))])
    return name, number, array, state, decay
