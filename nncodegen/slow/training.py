"""A training with NumPy: what ``runtime/c/nncodegen/train.h`` does, with the same random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.runtime.python.measures import COLUMNS, STATUS
from nncodegen.runtime.python.sparse import Sparse
from nncodegen.slow.batches import Batches, Sums
from nncodegen.slow.plan import Samples
from nncodegen.slow.random import noise_of, shuffled
from nncodegen.slow.rules import Rule

Array = NDArray[Any]

COMPLETED, CONVERGED, STOPPED_EARLY, DIVERGED, INTERRUPTED = range(len(STATUS))

METRICS, VALIDATION_METRICS = COLUMNS.index("accuracy"), COLUMNS.index("val_accuracy")


@dataclass(frozen=True)
class Data:
    """What is trained on or validated with: rows, their weights in the loss, their counts and spread for metrics."""

    X: Array | Sparse | None
    Y: Array | None
    weights: Array | None
    counts: Array | None
    spread: Array | None
    samples: int

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.samples) if self.weights is None else float(self.weights.sum())

    @property
    def counted(self) -> float:
        """The sum of the counts."""
        return float(self.samples) if self.counts is None else float(self.counts.sum())

    def rows(self, order: Any, total: float, noise: Mapping[str, Array] | None) -> Samples:
        """Some of the samples, their weights divided by a total."""
        numbers = order if isinstance(order, np.ndarray) else np.arange(order.start, order.stop)
        count, X = len(numbers), self.X
        if X is not None:
            X = X[numbers if isinstance(X, Sparse) else order]
        Y = None if self.Y is None else self.Y[order]
        weight = np.full(count, 1 / total) if self.weights is None else self.weights[order] / total
        return Samples(X, Y, weight, noise)


@dataclass(frozen=True)
class Progress:
    """Where a training is. It changes by one assignment, so that an interrupt never leaves half an update."""

    parameters: Array
    best: Array
    state: Array
    measures: Array
    random: int = 0
    epochs: int = 0
    updates: int = 0
    begin: int = 0
    sweep: int = 0
    best_epoch: int = 0
    epoch_loss: float = 0.0
    batch_loss: float = 0.0
    largest: float = 0.0
    best_figure: float = np.inf


class NumpyTraining:
    """A training under way; see ``NativeTraining`` for what its methods do."""

    def __init__(
        self, batches: Batches, rule: Rule, dtype: np.dtype[Any], buffers: Array, state: Array, options: Array,
        seed: int,
    ) -> None:  # fmt: skip
        self.hook: Callable[[], Any] | None = None
        self.error: BaseException | None = None
        self._batches, self._rule, self._dtype, self._seed = batches, rule, dtype, seed
        self._buffers, self._state, self._options = buffers, state, options
        self._now = Progress(buffers[0].astype(float), buffers[1].astype(float), state.astype(float), np.zeros(0))
        tensors = batches.program.parameters
        momentum = [np.full(tensor.size, np.nan if tensor.momentum is None else tensor.momentum) for tensor in tensors]
        self._momentum = np.concatenate(momentum)
        self._followed = ~np.isnan(self._momentum)
        self._frozen = np.concatenate([np.full(tensor.size, not tensor.trained) for tensor in tensors])
        self._validation: Data | None = None
        self._data = Data(None, None, None, None, None, 0)
        self._batch, self._shuffles = 1, False
        self._asked, self._interval = time.perf_counter(), 0.0
        self._set: Mapping[str, float] = {}
        self._interrupted = False

    @property
    def epochs(self) -> int:
        """The epochs that are completed."""
        return self._now.epochs

    @property
    def updates(self) -> int:
        """The updates that are completed."""
        return self._now.updates

    def use(self, arrays: tuple[Array | None, ...], samples: int, validation: bool) -> None:
        """Sets what to train on, or to validate with."""
        *numbers, starts, columns = arrays
        X, Y, weights, counts, spread = (None if array is None else array.astype(float) for array in numbers)
        inputs: Array | Sparse | None = X
        if X is not None and starts is not None and columns is not None:
            inputs = Sparse(X, starts, columns, sum(tensor.size for tensor in self._batches.program.inputs))
        data = Data(inputs, Y, weights, counts, spread, samples)
        if validation:
            self._validation = data
        else:
            self._data = data

    def order(self, order: Array | None, batch: int) -> None:
        """Sets the size of batches, and whether the samples are shuffled."""
        self._shuffles, self._batch = order is not None, batch

    def set(self, members: Mapping[str, float], measures: Array, columns: int, interval: float) -> None:
        """Sets the options."""
        self._set, self._interval, self._measures, self._columns = members, interval, measures, columns
        self._now = replace(self._now, measures=measures.copy())

    def tell(self, counters: Array, numbers: Array) -> None:
        """Writes where the training is, and brings the arrays that it was given up to date."""
        now = self._now
        counters[:6] = now.random, now.epochs, now.updates, now.begin, now.sweep, now.best_epoch
        numbers[:4] = now.epoch_loss, now.batch_loss, now.largest, now.best_figure
        self._buffers[0], self._buffers[1] = now.parameters, now.best
        self._state[:] = now.state
        self._measures[:] = now.measures

    def place(self, counters: Array, numbers: Array) -> None:
        """Sets where the training is; parameters and state are those in the arrays that it was given."""
        random, epochs, updates, begin, sweep, best_epoch = (int(count) for count in counters[:6])
        epoch_loss, batch_loss, largest, best_figure = map(float, numbers[:4])
        self._now = replace(
            self._now, parameters=self._buffers[0].astype(float), best=self._buffers[1].astype(float),
            state=self._state.astype(float), random=random, epochs=epochs, updates=updates, begin=begin, sweep=sweep,
            best_epoch=best_epoch, epoch_loss=epoch_loss, batch_loss=batch_loss, largest=largest,
            best_figure=best_figure,
        )  # fmt: skip

    def parameters(self) -> Array:
        """A copy of the current parameters."""
        return self._now.parameters.astype(self._dtype)

    def advance(self, history: Array, factors: Array | None, factors_of_updates: bool) -> int:
        """Trains for as many epochs as history has rows for. Returns the status; an interrupt is kept as ``error``."""
        self.error, self._interrupted = None, False
        self._factors, self._of_updates = factors, factors_of_updates
        table = history.reshape(len(history), -1)
        try:
            for epoch in range(len(table)):
                status = self._train_epoch(table[epoch], epoch)
                if status != COMPLETED:
                    return status
        except BaseException as error:  # Ctrl-C, or what a callback raised
            self.error = error
            return INTERRUPTED
        return COMPLETED

    def _train_epoch(self, figures: Array, epoch: int) -> int:
        """One epoch, or what is left of it."""
        order, random = None, self._now.random
        if self._shuffles:
            order, random = shuffled(self._data.samples, random)
        while self._now.begin < self._data.samples:
            if self._stops():
                return INTERRUPTED
            last = min(self._now.begin + self._batch, self._data.samples)
            place = slice(self._now.begin, last)
            rows: Any = place if order is None else order[place]
            if not (self._sweep(rows, epoch) if self._set["sequential"] else self._update(rows, epoch)):
                return INTERRUPTED if self._interrupted else DIVERGED
        return self._end_epoch(figures, random)

    def _stops(self) -> bool:
        """Whether to end, which is asked now and then."""
        now = time.perf_counter()
        if self.hook is None or now - self._asked < self._interval:
            return False
        self._asked = now
        return bool(self.hook())

    # --- updates

    def _samples(self, rows: Any) -> tuple[Samples, float]:
        """The samples of the next update, and their share of all."""
        data, program = self._data, self._batches.program
        count = len(rows) if isinstance(rows, np.ndarray) else rows.stop - rows.start
        numbers = rows if isinstance(rows, np.ndarray) else np.arange(rows.start, rows.stop)
        noise = noise_of(program.noise, program.precision, self._seed, self._now.updates, numbers)
        share = count / data.samples
        return data.rows(rows, data.total * share, noise or None), share

    def _update(self, rows: Any, epoch: int) -> bool:
        """The next update of all parameters at once. Returns whether the training goes on."""
        samples, share = self._samples(rows)
        count = len(self._now.parameters)
        found = self._step(samples, rows, epoch, 0, count)
        if found is None:
            return False
        self._now = self._counted(found, share, len(samples.weight))
        return True

    def _sweep(self, rows: Any, epoch: int) -> bool:
        """The next updates of one parameter after the other. Returns whether the training goes on."""
        samples, share = self._samples(rows)
        while self._now.sweep < len(self._now.parameters):
            if self._stops():
                self._interrupted = True
                return False
            p = self._now.sweep
            found = self._step(samples, rows, epoch, p, p + 1)
            if found is None:
                return False
            self._now = replace(found, sweep=p + 1)
        self._now = self._counted(replace(self._now, sweep=0), share, len(samples.weight))
        return True

    @staticmethod
    def _counted(now: Progress, share: float, samples: int) -> Progress:
        """The progress after an update."""
        loss = now.epoch_loss + now.batch_loss * share
        return replace(now, updates=now.updates + 1, epoch_loss=loss, begin=now.begin + samples)

    def _step(self, samples: Samples, rows: Any, epoch: int, first: int, last: int) -> Progress | None:
        """The progress with the next values of the parameters first <= p < last; None where it diverges."""
        now, options = self._now, self._set
        metrics = int(options["metrics"]) if first == 0 else 0
        counts = None if self._data.counts is None or not metrics else self._data.counts[rows]
        sums: Sums = self._batches.sums(now.parameters, samples, first, last, metrics, counts)
        loss = np.nan if options["without_loss"] else self._rounded(sums.loss)
        if first == 0 and not options["without_loss"] and not np.isfinite(loss):
            return None
        statistics = self._rounded(sums.gradient)  # they lie where parameters that follow them have no derivative
        gradient = self._changed(np.where(self._followed, 0.0, statistics))
        numbers = self._options.copy()
        numbers[0] *= self._factor(epoch)
        place = slice(first, last)
        following, state = self._rule.step(
            numbers, now.updates + 1, now.parameters[place], gradient[place], now.state[:, place]
        )
        following, state = self._rounded(following), self._rounded(state)
        if options["weight_decay"] > 0:
            decay = numbers[0] * options["weight_decay"] * now.parameters[place]
            following = self._rounded(following - decay)
        averages = self._rounded(self._momentum * now.parameters + (1 - self._momentum) * statistics)
        following = np.where(self._frozen[place], now.parameters[place], following)
        following = np.where(self._followed[place], averages[place], following)
        if not np.isfinite(following).all():
            return None
        largest = max(now.largest, float(np.max(abs(following - now.parameters[place]))))
        parameters, states = now.parameters.copy(), now.state.copy()
        parameters[place], states[: len(state), place] = following, state
        return replace(
            now, parameters=parameters, state=states, largest=largest, measures=now.measures + sums.measures,
            batch_loss=float(loss) if first == 0 else now.batch_loss,
        )  # fmt: skip

    def _rounded(self, values: Any) -> Any:
        """Values in the precision of the model."""
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self._dtype).astype(float)

    def _factor(self, epoch: int) -> float:
        """The factor of the learning rate; epochs are counted from the beginning of the call."""
        if self._factors is None:
            return 1.0
        batches = -(-self._data.samples // self._batch)
        place = epoch * batches + self._now.begin // self._batch if self._of_updates else epoch
        return float(self._factors[place])

    def _changed(self, gradient: Array) -> Array:
        """The gradient with penalties, then clipped."""
        options, parameters = self._set, self._now.parameters
        if options["l1"] > 0 or options["l2"] > 0:
            penalties = options["l2"] * parameters + options["l1"] * np.sign(parameters)
            gradient = gradient + np.where(self._rule.penalized, penalties, 0.0)
        if options["clip_value"] > 0:
            gradient = np.clip(gradient, -options["clip_value"], options["clip_value"])
        if options["clip_norm"] > 0:
            largest = float(np.max(abs(gradient)))
            norm = largest * float(np.linalg.norm(gradient / largest)) if largest > 0 else 0.0
            gradient = gradient * (options["clip_norm"] / norm) if norm > options["clip_norm"] else gradient
        return gradient

    # --- the end of an epoch

    def _end_epoch(self, figures: Array, random: int) -> int:
        """Measures an epoch, keeps the best parameters, and begins the next."""
        now, options, status = self._now, self._set, COMPLETED
        found = self._figures()
        kept = min(len(figures), len(found))  # further columns belong to others
        figures[:kept] = found[:kept]
        best, best_figure, best_epoch = now.best, now.best_figure, now.best_epoch
        monitor = int(options["monitor"])
        if monitor >= 0:
            figure = -found[monitor] if options["higher"] else found[monitor]
            if figure < best_figure - options["min_delta"]:
                best, best_figure, best_epoch = now.parameters, figure, now.epochs + 1
            waited = now.epochs + 1 - best_epoch
            status = STOPPED_EARLY if options["patience"] and waited >= options["patience"] else COMPLETED
        if now.largest < options["tolerance"]:
            status = CONVERGED
        self._now = replace(
            now, random=random, begin=0, epoch_loss=0.0, largest=0.0, measures=np.zeros_like(now.measures),
            epochs=now.epochs + 1, best=best, best_figure=best_figure, best_epoch=best_epoch,
        )  # fmt: skip
        return status

    def _figures(self) -> list[float]:
        """The columns of the history, NaN for those that are not measured."""
        now, metrics, batches = self._now, int(self._set["metrics"]), self._batches
        found = [np.nan] * len(COLUMNS)
        found[0] = now.epoch_loss
        if metrics:
            of_epoch = batches.figures(metrics, now.measures, self._data.counted, self._data.spread)
            found[METRICS : METRICS + len(of_epoch)] = of_epoch
        held_out = self._validation
        if held_out is not None and self._columns > 1:
            samples = held_out.rows(slice(0, held_out.samples), held_out.total, None)
            found[1] = float(self._rounded(batches.mean_loss(now.parameters, samples)))
            if metrics:
                sums = batches.measures(now.parameters, samples, metrics, held_out.counts)
                of_others = batches.figures(metrics, sums, held_out.counted, held_out.spread)
                found[VALIDATION_METRICS : VALIDATION_METRICS + len(of_others)] = of_others
        return found
