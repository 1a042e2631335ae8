"""The Python part of a compiled module for many models at once; its text is compiled into every module."""

import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # names of the module that this becomes a part of
    from nncodegen.emit.interface import (
        _array,
        _finite,
        _integer,
        _number,
        _samples,
        initial_parameters,
        parameter_count,
    )
    from nncodegen.emit.run import _OPTIMIZERS, _STATUS, _optimizer
    from nncodegen.emit.samples import _batch
    from nncodegen.emit.training import train

    _calls: Any
    _native_train_many: Any
    _group_size: int
    _LANES: bool


class ManyResult:
    """What ``train_many`` returns, for M models.

    parameters   (M, P), after the last completed update of each
    loss         (M,), the loss at these parameters on the training data
    history      (epochs, M), the mean loss of each epoch, as it was met before the updates; NaN after a model's end;
                 None if it was not asked for
    epochs       (M,), the number of completed epochs
    status       a list: "completed", "converged" or "diverged" for each
    """

    __slots__ = ("epochs", "history", "loss", "parameters", "status")

    def __init__(self, parameters: Any, loss: Any, history: Any, epochs: Any, status: list[str]) -> None:
        self.parameters = parameters
        self.loss = loss
        self.history = history
        self.epochs = epochs
        self.status = status

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.status.count(s)} {s}" for s in _STATUS if s in self.status)
        return f"<ManyResult: {len(self.status)} models, {counts}, lowest loss {np.nanmin(self.loss):.6g}>"


def train_many(
    X: Any = None,
    Y: Any = None,
    parameters: Any = None,
    optimizer: str = "sgd",
    learning_rate: Any = 0.01,
    epochs: int = 100,
    batch_size: "int | None" = None,
    shuffle: "bool | None" = None,
    seed: Any = 0,
    tolerance: float = 0.0,
    threads: int = 1,
    models: "int | None" = None,
    history: bool = True,
    l2: Any = 0.0,
    **hyperparameters: Any,
) -> ManyResult:
    """Trains M models of this kind at once, each as ``train`` does, with simultaneous updates.

    X, Y            as for train, shared by all models; or with a first axis for the models: (M, N, inputs) and
                    (M, N, targets)
    parameters      (M, P), where to start; by default initial_parameters(seed) of each model
    learning_rate   a number, or one for each model, (M,)
    seed            one for each model, (M,); or the number of the first: seed, seed + 1, seed + 2, ...
    l2              the gradient of l2/2*sum w**2 is added, as for train: a number, or one for each model, (M,)
    models          M, where no argument has an axis for the models
    history         whether to keep the losses of all epochs, M numbers each, which takes their evaluation; without
                    them, a model has diverged when a parameter is no longer finite, or the loss at the end
    threads         threads that share the work, at least 1; they do not change the results

    The others are those of train. The models of a formula that is not very long are trained side by side, in vectors,
    with the results of train to rounding, and so are those of a network without noise of up to 512 parameters; all
    others one by one, with the same bits as train gives. The bits of a model do not depend on the others. One that
    diverges or converges stays as it is while the others go on; a RuntimeWarning tells how many diverged. Returns a
    ManyResult. Raises ValueError for an argument that cannot be meant.
    """
    count = _count(X, Y, parameters, learning_rate, seed, l2, models)
    X, Y, samples, own_X, own_Y = _data_of_many(X, Y, count)
    seeds = _seeds(seed, count)
    start = _start(parameters, seeds, count)
    rates, penalties = _each("learning_rate", learning_rate, count, True), _each("l2", l2, count, False)
    rule = dict(hyperparameters)
    name, number, options, state, decay = _optimizer(optimizer, float(rates[0]), rule, rule.pop("weight_decay", None))
    initial_state = np.repeat(state[:, :1].astype(float), count, axis=1)
    for row, value in enumerate(_OPTIMIZERS[name][2].values()):
        if value == "learning_rate":
            initial_state[row] = rates
    epochs = _integer("epochs", epochs, 1, 2**63 - 1)
    batch = _batch(batch_size, samples)
    if shuffle is not None and not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle must be True, False or None, not {shuffle!r}")
    shuffles = batch < samples if shuffle is None else bool(shuffle)
    tolerance = _number("tolerance", tolerance, 0.0, np.inf, False)
    threads = _integer("threads", threads, 1, 10_000)

    if not isinstance(history, bool | np.bool_):
        raise ValueError(f"history must be True or False, not {history!r}")
    loss, losses = np.empty(count), np.full((epochs, count), np.nan) if history else None
    done, status = np.zeros(count, np.uint64), np.zeros(count, np.intc)

    def native(first: int, last: int) -> None:
        _native_train_many(
            X, Y, own_X, own_Y, samples, batch, number, options, rates, initial_state, decay,
            penalties if penalties.any() else None, tolerance, shuffles, seeds, first, last, epochs, start, loss,
            losses, done, status,
        )  # fmt: skip

    def one_by_one(first: int, last: int) -> None:
        for m in range(first, last):
            if _ended():
                raise KeyboardInterrupt
            result = train(
                X[m] if own_X else X, Y[m] if own_Y else Y, start[m], optimizer, rates[m], epochs, batch_size, shuffles,
                int(seeds[m]), tolerance=tolerance, history=bool(history), l2=penalties[m], **hyperparameters,
            )  # fmt: skip
            start[m], loss[m], done[m] = result.parameters, result.loss, result.epochs
            if losses is not None:
                losses[: result.epochs, m] = result.history
            status[m] = _STATUS.index(result.status)

    if _LANES:
        _share(native, count, _group_size, threads)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training diverged", RuntimeWarning)  # told once, for all, below
            _share(one_by_one, count, 1, threads)
    status[~np.isfinite(loss)] = _STATUS.index("diverged")
    names = [_STATUS[number] for number in status.tolist()]
    if "diverged" in names:
        warnings.warn(
            f"training diverged for {names.count('diverged')} of {count} models: a loss or a parameter is no longer "
            f"finite; their parameters are those of the last completed update; try a lower learning_rate",
            RuntimeWarning,
            stacklevel=2,
        )
    return ManyResult(start, loss, losses, done.astype(np.intp), names)


def _ended() -> bool:
    """Whether another thread has ended what this one has a share of."""
    hook = getattr(_calls, "hook", None)
    return hook is not None and hook()


def _share(work: Any, count: int, size: int, threads: int) -> None:
    """Calls work(first, last) for all models or rows, in chunks of whole groups, by threads that end with the call."""
    if threads == 1:
        work(0, count)
        return
    chunk = size * max(1, -(-count // (size * threads * 4)))  # some for each thread, as they may differ in length
    stored: list[BaseException] = []  # what ends the work of all threads

    def run(first: int) -> None:
        _calls.hook = lambda: bool(stored)
        if not stored:
            work(first, min(first + chunk, count))

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, first) for first in range(0, count, chunk)]
        try:
            wait(futures)
        except BaseException as interrupt:
            stored.append(interrupt)
            raise
    for future in futures:
        future.result()


# --- arguments of many models ------------------------------------------------------------------------------------


def _count(X: Any, Y: Any, parameters: Any, learning_rate: Any, seed: Any, l2: Any, models: Any) -> int:
    """The number of models: that of every argument which has an axis for them."""
    found = {}
    if models is not None:
        found["models"] = _integer("models", models, 1, 2**31 - 1)
    axes_of = (("X", X, 3), ("Y", Y, 3), ("parameters", parameters, 2), ("learning_rate", learning_rate, 1))
    for name, value, axes in (*axes_of, ("seed", seed, 1), ("l2", l2, 1)):
        if value is not None and np.ndim(value) == axes:
            found[name] = len(value)
    if not found:
        raise ValueError(
            f"the number of models is not known: give parameters of the shape (models, {parameter_count}), or models"
        )
    (first, count), *others = found.items()
    for name, other in others:
        if other != count:
            raise ValueError(f"{first} is for {count} models, but {name} for {other}: they must be for as many")
    if count < 1:
        raise ValueError(f"{first} is empty; expected at least one model")
    return count


def _data_of_many(X: Any, Y: Any, count: int) -> tuple[Any, Any, int, bool, bool]:
    """X and Y in the module's precision, the number of samples, and whether each model has its own X and Y."""
    own_X, own_Y = np.ndim(X) == 3, np.ndim(Y) == 3
    if not own_X and not own_Y:
        return (*_samples(X, Y), False, False)
    parts = [_samples(X[m] if own_X else X, Y[m] if own_Y else Y) for m in range(count)]
    lengths = {part[2] for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"the models have from {min(lengths)} to {max(lengths)} samples: they must have as many")
    shared = (parts[0][0], parts[0][1])
    stacked = [np.stack([part[k] for part in parts]) if own else shared[k] for k, own in ((0, own_X), (1, own_Y))]
    return stacked[0], stacked[1], parts[0][2], own_X, own_Y


def _seeds(seed: Any, count: int) -> Any:
    if np.ndim(seed) == 0:
        first = _integer("seed", seed, 0, 2**64 - count)
        return np.uint64(first) + np.arange(count, dtype=np.uint64)
    return np.array([_integer(f"seed[{m}]", value, 0, 2**64 - 1) for m, value in enumerate(seed)], np.uint64)


def _start(parameters: Any, seeds: Any, count: int) -> Any:
    if parameters is None:
        return np.stack([initial_parameters(int(seed)) for seed in seeds])
    expected = f"expected (models, {parameter_count})"
    array = _array("parameters", parameters, expected)
    if array.ndim != 2 or array.shape[1] != parameter_count:
        raise ValueError(f"parameters has the shape {array.shape}; {expected}")
    return np.array(_finite("parameters", array, expected))  # a copy: it will hold the result


def _each(name: str, value: Any, count: int, positive: bool) -> Any:
    """A number from 0 (or above it) for each model."""
    if np.ndim(value) == 0:
        return np.full(count, _number(name, value, 0.0, np.inf, positive))
    if np.ndim(value) != 1:
        raise ValueError(f"{name} has the shape {np.shape(value)}; expected a number, or ({count},)")
    return np.array([_number(f"{name}[{m}]", one, 0.0, np.inf, positive) for m, one in enumerate(value)])
