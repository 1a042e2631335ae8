"""Training of many models of one kind at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import check_samples, to_array, to_column, to_finite
from ..arguments.calls import TRAIN, check_trainable
from ..arguments.initial import initial_parameters
from ..arguments.measures import STATUS
from ..arguments.one_matrix import joined
from ..arguments.optimizers import Chosen, choose
from ..arguments.options import check_options
from ..arguments.samples import size_of_batch
from ..arguments.scalars import SEED, flag, integer, number
from ..arguments.tables import has_names
from ..ground.share import is_ended, share
from ..ground.warn import warn
from ..results.advice import unsolved
from ..results.many_result import ManyResult
from .training import train

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model

MOST_THREADS = 10_000


def train_many(
    model: Model,
    /,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    parameters: ArrayLike | None = None,
    optimizer: str = "sgd",
    learning_rate: ArrayLike = 0.01,
    epochs: int = 100,
    batch_size: int | None = None,
    shuffle: bool | None = None,
    seed: ArrayLike = 0,
    tolerance: float = 0.0,
    threads: int = 1,
    models: int | None = None,
    history: bool = True,
    l2: ArrayLike = 0.0,
    **hyperparameters: Any,
) -> ManyResult:
    """Train M models of this kind at once, each as ``train`` does, with simultaneous updates.

    X, Y            as for train, shared by all models; or with a first axis for the models: (M, N, inputs) and
                    (M, N, targets)
    parameters      (M, P), the starts; by default initial_parameters(seed) of each model
    learning_rate   a number, or one for each model, (M,)
    seed            one for each model, (M,); or that of the first, the others being seed + 1, seed + 2, ...
    l2              the gradient of l2/2*sum w**2 is added, as for train: a number, or one for each model, (M,)
    models          M, if no argument has an axis for the models
    history         whether to keep the losses of all epochs, M numbers each, which have to be evaluated; without
                    it, a model has diverged if a parameter is no longer finite, or the loss at the end
    threads         the number of threads that share the work, at least 1; it does not change the results

    The other options are those of train. The models of a formula that is not very long are trained side by side, in
    vectors, with the results of train up to rounding, and so are those of a network without noise and those of
    equations of motion, of up to 512 parameters; all others one by one, with the same bits as train. The bits of a
    model do not depend on the other models. A model that diverges or converges keeps its parameters while the
    others continue; a RuntimeWarning tells how many diverged. Returns a ManyResult. Raises ValueError for an
    invalid argument.
    """
    check_trainable(model)
    X, Y = _columns_together(model, "X", X), _columns_together(model, "Y", Y)
    count = _count(model, X, Y, parameters, learning_rate, seed, l2, models)
    options = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle, "tolerance": tolerance}
    many = _Many(model, _data(model, X, Y, count), options, flag("history", history))
    many.begin(parameters, seed, count)
    many.choose(optimizer, _each(model, "learning_rate", learning_rate, count, True), hyperparameters)
    many.penalties = _each(model, "l2", l2, count, False)
    many.run(integer("threads", threads, 1, MOST_THREADS))
    return many.finish()


class _Many:
    """The models of a training: their samples and options, and arrays with an axis for the models."""

    penalties: Array

    def __init__(
        self, model: Model, data: tuple[Any, Any, int, bool, bool], options: dict[str, Any], history: bool
    ) -> None:
        self.model, self.history = model, history
        self.X, self.Y, self.samples, self.own_X, self.own_Y = data
        self.epochs, self.batch_size, shuffle, self.tolerance = check_options(model, **options)
        self.batch = size_of_batch(self.batch_size, self.samples)
        self.shuffles = self.batch < self.samples if shuffle is None else shuffle

    def begin(self, parameters: Any, seed: Any, count: int) -> None:
        """Set the start of each model."""
        self.count, self.seeds = count, _seeds(seed, count)
        self.parameters = _start(self.model, parameters, self.seeds, count)
        self.losses = np.full((self.epochs, count), np.nan) if self.history else None
        self.loss, self.done, self.status = np.empty(count), np.zeros(count, np.uint64), np.zeros(count, np.intc)

    def choose(self, optimizer: str, rates: Array, hyperparameters: dict[str, Any]) -> None:
        """Set the update rule of all models, with a learning rate for each."""
        self.optimizer, self.rates, self.hyperparameters = optimizer, rates, hyperparameters
        others = {key: value for key, value in hyperparameters.items() if key != "weight_decay"}
        for name in others:
            if name in TRAIN.options:
                raise TypeError(f"train_many takes no {name}: give it to train, for one model after the other")
        decay = hyperparameters.get("weight_decay")
        self.rule = choose(self.model, optimizer, float(rates[0]), others, decay)
        self.initial_state = _initial_state(self.model, self.rule, rates)

    def run(self, threads: int) -> None:
        """Train all models, on several threads."""
        if self.model.facts.side_by_side and not self._fills_lanes:
            share(self._side_by_side, self.count, self.model.native.group_size, threads)
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training diverged", RuntimeWarning)  # one for all models follows
            share(self._one_by_one, self.count, 1, threads)

    @property
    def _fills_lanes(self) -> bool:
        """Return whether the samples of each model alone fill the lanes in which equations are solved.

        A lane takes the next sample of its model when one is solved, while models side by side wait for each other at
        each sample: with twice as many samples as lanes, they take a tenth more time.
        """
        lanes = self.model.facts.steps.lanes
        return lanes > 0 and self.batch >= 2 * lanes

    def _side_by_side(self, first: int, last: int) -> None:
        """Train the models first <= m < last in the lanes of vectors."""
        self.model.native.train_many(
            self.X,
            self.Y,
            self.own_X,
            self.own_Y,
            self.samples,
            self.batch,
            self.rule.number,
            self.rule.options,
            self.rates,
            self.initial_state,
            self.rule.weight_decay,
            self.penalties if self.penalties.any() else None,
            self.tolerance,
            self.shuffles,
            self.seeds,
            first,
            last,
            self.epochs,
            self.parameters,
            self.loss,
            self.losses,
            self.done,
            self.status,
        )

    def _one_by_one(self, first: int, last: int) -> None:
        """Train the models first <= m < last, each with ``train``."""
        for m in range(first, last):
            if is_ended():
                raise KeyboardInterrupt
            X, Y = self.X[m] if self.own_X else self.X, self.Y[m] if self.own_Y else self.Y
            result = train(
                self.model,
                X,
                Y,
                self.parameters[m],
                self.optimizer,
                self.rates[m],
                self.epochs,
                self.batch_size,
                self.shuffles,
                int(self.seeds[m]),
                tolerance=self.tolerance,
                history=self.history,
                l2=self.penalties[m],
                **self.hyperparameters,
            )
            self.parameters[m], self.loss[m], self.done[m] = result.parameters, result.loss, result.epochs
            if self.losses is not None:
                self.losses[: result.epochs, m] = result.history
            self.status[m] = STATUS.index(result.status)

    def finish(self) -> ManyResult:
        """Return the result, after a warning if models have diverged."""
        self.status[~np.isfinite(self.loss)] = STATUS.index("diverged")
        diverged = np.count_nonzero(self.status == STATUS.index("diverged"))
        if diverged:
            solver = self.model.facts.steps.solver
            start = f", or look whether the loss is finite at the start; {unsolved(solver)}" if solver else ""
            warn(
                f"training diverged for {diverged} of {self.count} models: a loss or a parameter is no longer finite; "
                f"their parameters are those of the last completed update; try a lower learning_rate{start}",
                RuntimeWarning,
            )
        rates = self.rates if self.model.rules[self.rule.name].scheduled else None
        words = np.array(STATUS)[self.status]  # an array from a list of 1,024 words takes 60 us
        return ManyResult(self.model, self.parameters, self.loss, self.losses, self.done.astype(np.intp), words, rates)


def _initial_state(model: Model, rule: Chosen, rates: Array) -> Array:
    """Return the initial value of each variable of the state, for each model."""
    state = np.repeat(rule.state[:, :1].astype(float), len(rates), axis=1)
    for row, value in enumerate(model.rules[rule.name].state.values()):
        if value == "learning_rate":
            state[row] = rates
    return state


# --- arguments of many models ------------------------------------------------------------------------------------


def _count(model: Model, X: Any, Y: Any, parameters: Any, learning_rate: Any, seed: Any, l2: Any, models: Any) -> int:
    """Return the number of models, given by every argument that has an axis for them."""
    counts = {}
    if models is not None:
        counts["models"] = integer("models", models, 1, 2**31 - 1)
    axes_of = (("X", X, 3), ("Y", Y, 3), ("parameters", parameters, 2), ("learning_rate", learning_rate, 1))
    for name, value, axes in (*axes_of, ("seed", seed, 1), ("l2", l2, 1)):
        if value is not None and np.ndim(value) == axes:
            counts[name] = len(value)
    if not counts:
        raise ValueError(
            f"the number of models is not known: give parameters of the shape (models, {model.parameter_count}), or "
            f"models"
        )
    (first, count), *others = counts.items()
    for name, other in others:
        if other != count:
            raise ValueError(f"{first} is for {count} models, but {name} for {other}: the numbers must be equal")
    if count < 1:
        raise ValueError(f"{first} is empty; expected at least one model")
    return count


def _columns_together(model: Model, name: str, values: Any) -> Any:
    """Join the arrays of several inputs or targets side by side; return the arrays of several models unchanged.

    The columns of tables, one for each model, are taken by their names.
    """
    if not isinstance(values, list | tuple):
        return values
    columns = len(model.input_names if name == "X" else model.target_names)
    of_models = all(np.shape(entry)[1:] == (columns,) for entry in values)
    tensors = model.facts.samples.inputs if name == "X" else model.facts.samples.targets
    alone = of_models or len(tensors) == 1 or all(isinstance(entry, Mapping) for entry in values)
    if alone and any(map(has_names, values)):
        arrays = [to_array(model, name, joined(model, name, entry, to_array), model.expected[name]) for entry in values]
        return [to_column(array, columns) for array in arrays]
    return values if of_models else joined(model, name, values, to_array)


def _data(model: Model, X: Any, Y: Any, count: int) -> tuple[Any, Any, int, bool, bool]:
    """Return X and Y in the module's precision, the number of samples, and whether each model has its own X and Y."""
    own_X, own_Y = np.ndim(X) == 3, np.ndim(Y) == 3
    if not own_X and not own_Y:
        return (*check_samples(model, X, Y), False, False)
    parts = [check_samples(model, X[m] if own_X else X, Y[m] if own_Y else Y) for m in range(count)]
    lengths = {part[2] for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"the models have from {min(lengths)} to {max(lengths)} samples: the numbers must be equal")
    shared = (parts[0][0], parts[0][1])
    stacked = [np.stack([part[k] for part in parts]) if is_own else shared[k] for k, is_own in ((0, own_X), (1, own_Y))]
    return stacked[0], stacked[1], parts[0][2], own_X, own_Y


def _seeds(seed: Any, count: int) -> Array:
    """Return the seed of each model."""
    if np.ndim(seed) == 0:
        first = integer("seed", seed, 0, 2**64 - count)
        return np.uint64(first) + np.arange(count, dtype=np.uint64)
    return np.array([integer(f"seed[{m}]", value, 0, SEED) for m, value in enumerate(seed)], np.uint64)


def _start(model: Model, parameters: Any, seeds: Array, count: int) -> Array:
    """Return the starting parameters of each model, as a copy: it will hold the result."""
    if parameters is None:
        return np.stack([initial_parameters(model, int(seed)) for seed in seeds])
    expected = f"expected (models, {model.parameter_count})"
    array = to_array(model, "parameters", parameters, expected)
    if array.ndim != 2 or array.shape[1] != model.parameter_count:
        raise ValueError(f"parameters has the shape {array.shape}; {expected}")
    return np.array(to_finite(model, "parameters", array, expected))


def _each(model: Model, name: str, value: Any, count: int, positive: bool) -> Array:
    """Return a number from 0 (or above it) for each model."""
    if np.ndim(value) == 0:
        return np.full(count, number(model, name, value, 0.0, np.inf, positive))
    if np.ndim(value) != 1:
        raise ValueError(f"{name} has the shape {np.shape(value)}; expected a number, or ({count},)")
    return np.array([number(model, f"{name}[{m}]", entry, 0.0, np.inf, positive) for m, entry in enumerate(value)])
