"""A running training: its settings, and the calls of the native loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.measures import STATUS, Measure, bits_of, column_of
from ..arguments.optimizers import choose
from ..arguments.options import OPTIONS
from ..arguments.rate_schedules import EXACT, SCHEDULES, RateSchedule
from ..arguments.start import start_of
from ..arguments.watching import Best, choose_mode
from ..evaluation.evaluate import outputs_of
from ..ground.clock import clock
from ..ground.progress import Progress
from ..ground.rules import BY_SIGN
from ..ground.same_bits import refuse
from ..ground.warn import warn
from ..ground.watch import Watch
from ..results.advice import unsolved
from ..results.result import Result
from .history import History, Rates

if TYPE_CHECKING:
    from ..arguments.options import CheckedOptions
    from ..arguments.samples import CheckedSamples
    from ..ground.types import Array
    from ..native.model import Model

EPOCHS_AT_ONCE = 2**17
FACTORS_AT_ONCE = 2**20


class Training:
    """A running training: its settings, its state, and its results so far.

    The methods are called in this order: ``watch``, ``begin``, then ``use`` and ``run`` for each part of the data, and
    ``finish``. Inside ``with training``, an exception gets the result so far.
    """

    def __init__(
        self, model: Model, settings: CheckedOptions, hyperparameters: dict[str, Any], total: int | None
    ) -> None:
        self.model, self._settings, self._total = model, settings, total
        before = _state_of(model, settings.resume, settings.parameters)
        self._resumed: Result | None = settings.resume
        self.seed = settings.seed if before is None else _seed_of(before, settings.seed)
        rule = choose(model, settings.optimizer, settings.learning_rate, hyperparameters, settings.weight_decay)
        settings.weight_decay = rule.weight_decay
        self._optimizer, self._state = rule.name, rule.state
        self._buffers = np.zeros((2, model.parameter_count), model.dtype)  # the current parameters, and the best
        self.native = model.native.training(self._buffers, self._state, rule.options, rule.number, self.seed)
        self._counters = np.array([self.seed, 0, 0, 0, 0, 0, self.seed, 0], np.uint64)
        self._numbers = np.array([0.0, 0.0, 0.0, math.inf])
        self._measures = np.zeros(model.measures_size)  # sums for the metrics of the current epoch
        if before is not None:
            self._continue(before)
        else:
            self._buffers[0] = start_of(model, settings.parameters, self.seed)
        self.native.place(self._counters, self._numbers)
        self.done = self.native.epochs
        self._schedule = RateSchedule(model, settings.schedule, total, before)
        if self._schedule.name in SCHEDULES and self._schedule.name not in EXACT:
            refuse(model.facts, f"the schedule {self._schedule.name}")
        if self._schedule.name != "constant" and not model.rules[self._optimizer].scheduled:
            raise ValueError(f"the optimizer {self._optimizer} takes no schedule: its steps have no learning rate")
        clips = [name for name in ("clipvalue", "clipnorm") if getattr(settings, name) is not None]
        if clips and self._optimizer in BY_SIGN:
            raise ValueError(
                f"{clips[0]} has no effect on {self._optimizer}, which uses the signs of the gradient alone"
            )
        self._rates = Rates(float(rule.options[0]) if model.rules[self._optimizer].scheduled else None)
        self._history = History(without_loss=not settings.history)
        self._computed: tuple[Measure, ...] = ()
        self._held_out: CheckedSamples | None = None
        self._best: Best | None = None
        self._start = clock.now()
        self.data: CheckedSamples | None = None
        self.status = "completed"

    def _continue(self, before: dict[str, Any]) -> None:
        """Continue from the state where another training ended."""
        if before["optimizer"] != self._optimizer:
            raise ValueError(
                f"resume was made by the optimizer {before['optimizer']}, not by {self._optimizer}: its state does not "
                f"fit; to start anew from there, give parameters=result.parameters"
            )
        self._buffers[0], self._buffers[1] = before["last"], before["best"]
        self._state[: len(before["state"])] = before["state"]
        self._counters[:], self._numbers[:] = before["counters"], before["numbers"]
        self._measures[:] = before["measures"]

    def watch(self, held_out: CheckedSamples | None) -> None:
        """Set what is measured in each epoch, and how the training reacts to it."""
        settings = self._settings
        wanted, monitor = settings.metrics, settings.monitor
        reacts = self._schedule.plateau is not None
        looks = monitor is not None or settings.patience is not None or reacts
        if not settings.history and (wanted or looks or held_out is not None):
            raise ValueError("history=False measures nothing: it goes without metrics, monitor, patience, validation")
        self._history = History(wanted, held_out is not None, not settings.history)
        names = self._history.names
        if monitor is not None and monitor not in names:
            raise ValueError(f"monitor is {monitor!r}, which is not measured; there are: {', '.join(names)}")
        if settings.min_delta and monitor is None and settings.patience is None:
            raise ValueError("min_delta has no effect without patience or monitor: give one of them, or leave it out")
        usual = "loss" if held_out is None else "val_loss"
        if settings.patience is not None and monitor is None:
            settings.monitor = usual
        if self._schedule.plateau is not None:
            self._schedule.plateau.watch(names, monitor or usual, settings.mode, wanted)
        settings.mode = choose_mode("mode", settings.monitor, settings.mode, wanted)
        if held_out is not None:
            held_out.measure(wanted)
            self.native.use(held_out.arrays(), held_out.samples, True)
        self._held_out, self._computed = held_out, tuple(metric for metric in wanted if not metric.native)
        before = None if self._resumed is None else self._resumed._state
        if before is not None and before["metrics"] != bits_of(wanted):
            within = self._counters[3] or self._counters[4]  # the first part of this epoch was not measured
            self._measures[:] = np.nan if within else 0.0
        if before is not None and before["monitor"] != self._monitored():
            self._counters[5], self._numbers[3] = 0, math.inf  # the best epoch by another figure does not matter
            self.native.place(self._counters, self._numbers)
        if settings.monitor is not None and column_of(settings.monitor, wanted) < 0:
            best, epoch, figure = self._buffers[1].copy(), int(self._counters[5]), float(self._numbers[3])
            self._best = Best(settings.mode == "max", settings.min_delta, settings.patience, best, epoch, figure)

    def _monitored(self) -> str:
        """Return the name of the figure that decides on the best epoch, and the mode if it is not the usual one."""
        monitor, mode = self._settings.monitor, self._settings.mode
        if monitor is None:
            return ""
        usual = choose_mode("mode", monitor, "auto", self._settings.metrics, "unknown")
        return monitor if mode == usual else f"{monitor} {mode}"

    def begin(self) -> None:
        """Pass the settings to the native part, and start measuring the time."""
        settings = self._settings
        self._watch = Watch(
            self,
            settings.time_limit,
            settings.progress,
            settings.callback,
            seconds_between_calls(settings),
            self._total,
            "epoch",
        )
        self._start = self._watch.start
        self._each = self._watch.after_each or bool(self._computed) or self._best is not None or self._schedule.reacts
        self.native.hook = self._watch.hook(self.native.hook)
        self.native.set(settings.members(), self._measures, self._history.columns, self._watch.interval)

    def use(self, data: CheckedSamples, batch: int, shuffles: bool) -> None:
        """Set the samples to train on."""
        if self._counters[3] and self.data is None and self._counters[7] != data.samples:
            raise ValueError(
                f"resume was interrupted within an epoch of {self._counters[7]} samples; give the same samples, or "
                f"start anew from parameters=result.parameters"
            )
        data.measure(self._settings.metrics)
        self.data = data
        self._batches = -(-data.samples // batch)
        self.shuffles = shuffles
        order = np.empty(data.samples, np.uintp) if shuffles else None
        self.native.use(data.arrays(), data.samples, False)
        self.native.order(order, batch)

    def run(self, until: int) -> None:
        """Train until this number of epochs is completed, or something ends the training."""
        training, watch = self.native, self._watch
        most = EPOCHS_AT_ONCE
        if self._schedule.of_updates:
            most = min(most, max(1, FACTORS_AT_ONCE // self._batches))
        while self.status == "completed" and training.epochs < until:
            first, count = training.epochs, 1 if self._each else min(until - training.epochs, most)
            factors = self._schedule.factors(first, count, self._batches)
            self._rates.add(first, factors, self._batches if self._schedule.of_updates else 1)
            figures = self._history.table(first, count)
            self.status = STATUS[training.advance(figures, factors, self._schedule.of_updates)]
            if self.status == "interrupted":
                if training.error is not None:
                    raise training.error
                if not watch.reason:
                    raise KeyboardInterrupt
                self.status = watch.reason
            elif self._each and training.epochs > first:
                self._end_epoch(figures[0])
            if self.status == "completed" and watch.asks and watch.stops():
                self._end(watch.reason)

    def _end_epoch(self, row: Array) -> None:
        """Do the work after an epoch that the kernel does not: compute figures from predictions, and react to them."""
        if self._computed:
            parameters = self.native.parameters()
            for part, data in (("", self.data), ("val_", self._held_out)):
                if data is not None:
                    outputs = outputs_of(data, parameters, self._settings.threads)
                    for name, value in data.measured(self._computed, outputs).items():
                        self._history.note(row, f"{part}{name}", value)
        figures = self._history.last(self.native.epochs)
        if self._best is not None and self._settings.monitor is not None:
            stops = self._best.compare(figures[self._settings.monitor], self.native.epochs, self.native.parameters)
            if stops and self.status == "completed":
                self.status = "stopped_early"
        if self._schedule.plateau is not None:
            self._schedule.plateau.observe(figures, self._rates.rate)
        if self._watch.after_each and self._watch.calls():
            self._end(self._watch.reason)

    def _end(self, status: str) -> None:
        """Set the status, unless the training has ended already."""
        if self.status == "completed" and (self._total is None or self.native.epochs < self._total):
            self.status = status

    def count_done(self) -> int:
        """Return the number of completed epochs."""
        return self.native.epochs

    def progress(self) -> Progress:
        """Return the argument of the callback."""
        return Progress(self.native.epochs, self.native.updates, self.figures(), self.seconds(), self.parameters)

    def seconds(self) -> float:
        """Return the seconds that the training has taken, including those of the training that it resumed."""
        return clock.now() - self._start + (0.0 if self._resumed is None else self._resumed.seconds)

    def parameters(self) -> Array:
        """Return a copy of the current parameters."""
        return self.native.parameters()

    def figures(self) -> dict[str, float]:
        """Return the figures measured after the last completed epoch."""
        return self._history.last(self.native.epochs)

    def finish(self) -> Result:
        """Return the Result, with the loss at its parameters if requested. Warns if the training diverged."""
        result, data, final_loss = self.result(self.status), self.data, self._settings.final_loss
        if final_loss and data is not None:
            result.loss = data.loss(result.parameters)
        if result.status == "diverged" or (final_loss and not math.isfinite(result.loss)):
            result.status = "diverged"
            if (solver := self.model.facts.steps.solver) and not self.native.updates:
                result._message = f"the loss is not finite at the start; {unsolved(solver)}"
                warn(f"training diverged: {result.message}", RuntimeWarning)
                return result
            warn(
                f"training diverged after {result.epochs} epochs: the loss or a parameter is no longer finite; the "
                f"parameters are those of the last completed update; try a lower learning_rate, or scale X and Y",
                RuntimeWarning,
            )
        return result

    def result(self, status: str) -> Result:
        """Return the results so far; the loss is that of the last epoch."""
        settings, model = self._settings, self.model
        self.native.tell(self._counters, self._numbers)
        self._counters[7] = self.data.samples if self.data else 0
        if self._best is not None:
            self._counters[5], self._numbers[3] = self._best.epoch, self._best.figure
            self._buffers[1] = self._best.parameters
        best = int(self._counters[5]) if settings.monitor else 0
        last = self.parameters()
        metrics = self._history.metrics(self.native.epochs, self._resumed)
        loss = float(metrics["loss"][-1]) if len(metrics["loss"]) else math.nan
        state = model.rules[self._optimizer].state
        resumable = {
            "identity": model.facts.identity,
            "optimizer": self._optimizer,
            "variables": list(state),
            "monitor": self._monitored(),
            "last": last,
            "best": self._buffers[1].copy(),
            "state": self._state[: len(state)].copy(),
            "counters": self._counters.copy(),
            "numbers": self._numbers.copy(),
            "metrics": bits_of(settings.metrics),
            "measures": self._measures.copy(),
        }
        if self._schedule.plateau is not None:
            resumable |= self._schedule.plateau.state()
        reached = self._buffers[1].copy() if best and settings.restore_best_weights else last
        rate = self._rates.of_all(self.native.epochs, self._resumed)
        classes = None if self.data is None else self.data.classes
        return Result(model, reached, loss, metrics, status, best or None, self.seconds(), "", resumable, rate, classes)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Attach the results so far to an exception (Ctrl-C, or one of a callback or a signal handler)."""
        self._watch.show(last=True)
        if error is None or self.data is None:
            return
        error.result = self.result("interrupted")  # type: ignore[attr-defined]
        if not error.args:
            held = "the attribute result of this exception holds what was reached"
            error.args = (f"interrupted after {self.native.epochs} epochs; {held}",)


def seconds_between_calls(settings: CheckedOptions) -> float | None:
    """Return the seconds between two calls of the callback; None if it is called after each epoch."""
    every = settings.callback_interval
    if settings.callback is None and every != "epoch":
        raise ValueError("callback_interval has no effect without a callback: give callback, or leave it out")
    return None if every == "epoch" else float(every) / 1000


def _seed_of(before: dict[str, Any], seed: int) -> int:
    """Return the seed with which a resumed training began. Raises ValueError for another one."""
    begun = int(before["counters"][6])
    if seed not in (begun, OPTIONS["seed"].default):
        raise ValueError(f"seed has no effect on a training that goes on: resume began with {begun}; leave seed out")
    return begun


def _state_of(model: Model, resume: Any, parameters: Any) -> dict[str, Any] | None:
    """Return the state in a Result from which to continue; None without one. Raises ValueError."""
    if resume is None:
        return None
    if not hasattr(resume, "_state") or not hasattr(resume, "metrics"):
        raise ValueError(f"resume must be a Result of train or of load, not {resume!r}")
    if parameters is not None:
        raise ValueError("give resume or parameters, not both: a Result holds its own parameters")
    state: dict[str, Any] | None = resume._state
    if state is None:
        raise ValueError(
            "resume was made by minimize or train_many, which cannot go on: give parameters=result.parameters"
        )
    if state["identity"] != model.facts.identity:
        raise ValueError("resume belongs to another model or precision: resume it with the module that made it")
    if resume.status == "diverged":
        raise ValueError("resume diverged, and has no state to go on from: give parameters=result.parameters")
    return state
