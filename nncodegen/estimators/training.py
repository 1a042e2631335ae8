"""The arguments of ``train`` from the parameters of scikit-learn's estimators, and their attributes from its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.estimators.layers import layer_views
from nncodegen.estimators.network import PaddedNetwork
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.arguments.calls import RENAMED
from nncodegen.runtime.python.ground.algebra import IN_FIXED_ORDER
from nncodegen.runtime.python.ground.renamed import current
from nncodegen.runtime.python.ground.same_bits import refuse
from nncodegen.runtime.python.ground.warn import warn

HYPERPARAMETERS = ("momentum", "beta_1", "beta_2", "epsilon")
"""The parameters of the estimators that are hyperparameters of optimizers, by the same names."""

AUTO_BATCH = 200
"""The batch size for batch_size="auto", unless there are fewer samples."""

SMALLEST_RATE = 1e-6
"""The learning rate at which learning_rate="adaptive" ends."""


@dataclass(frozen=True)
class WeightedSamples:
    """Samples: X (N, inputs), an array or sparse, Y (N, outputs) and their weights (N,), or None."""

    X: Any
    Y: Any
    weight: Any = None

    def weighted(self) -> WeightedSamples:
        """Return the samples with a positive weight: a sample of weight 0 has no effect at all."""
        if self.weight is None or (self.weight != 0).all():
            return self
        rows = self.weight != 0
        return WeightedSamples(self.X[rows], self.Y[rows], self.weight[rows])

    def split(self, function: Callable[..., Any]) -> tuple[WeightedSamples, WeightedSamples]:
        """Return two parts of the samples, split by a function of arrays such as train_test_split."""
        arrays = [self.X, self.Y] if self.weight is None else [self.X, self.Y, self.weight]
        parts = function(*arrays)
        return WeightedSamples(*parts[0::2]), WeightedSamples(*parts[1::2])


def train_options(estimator: Any, warns: bool = False) -> dict[str, Any]:
    """Return the arguments of the trainer that the user gave the estimator, by their present names.

    If ``warns``, there is a warning about old names.
    """
    return current(*RENAMED, estimator.train_options or {}, warns)


def solver_is_stochastic(solver: Any) -> bool:
    """Return whether a solver is an optimizer that learns from batches."""
    return bool(solver != "lbfgs")


# --- all samples at once -----------------------------------------------------------------------------------------


def minimize(estimator: Any, network: PaddedNetwork, data: WeightedSamples) -> None:
    """Train with L-BFGS over all samples."""
    total = len(data.Y) if data.weight is None else float(data.weight.sum())
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    result = network.module.minimize(
        network.rows(data.X),
        data.Y,
        network.wide(estimator.parameters_),
        sample_weight=data.weight,
        l2=estimator.alpha / total,
        options=options,
        **train_options(estimator),
    )
    if result.status != "converged":
        message = f"lbfgs did not converge in {result.epochs} iterations ({result.message})"
        warn(f"{message}: increase max_iter, or scale X", ConvergenceWarning)
    estimator.parameters_ = network.own(result.parameters)
    estimator.n_iter_ = result.epochs
    estimator.curves_ = result.metrics
    estimator.loss_ = estimator.best_loss_ = float(result.history[-1]) if result.epochs else float(result.loss)


# --- batches -----------------------------------------------------------------------------------------------------


def descend(estimator: Any, network: PaddedNetwork, data: WeightedSamples, held_out: WeightedSamples | None) -> None:
    """Train with an optimizer over batches, until scikit-learn's stopping rule ends it."""
    rate, adapts = estimator.learning_rate_init, estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
    options = _options(estimator, network.module, data, estimator.max_iter)
    if held_out is not None:
        weight = () if held_out.weight is None else (held_out.weight,)
        score = estimator._score_name
        options |= {"validation_data": (network.rows(held_out.X), held_out.Y, *weight), "metrics": (score,)}
        options |= {"monitor": f"val_{score}"}
    arguments = _given(estimator, network)
    if held_out is not None and "metrics" in arguments:
        others = arguments["metrics"]
        if isinstance(others, Mapping):
            arguments = {**arguments, "metrics": {score: score, **others}}
        else:
            single = isinstance(others, str) or not isinstance(others, Iterable)
            arguments = {**arguments, "metrics": (score, *((others,) if single else others))}
    options |= arguments
    stopping = Stopping(estimator, network, options["l2"], held_out is not None)
    start: dict[str, Any] = {"parameters": network.wide(estimator.parameters_)}
    rows = network.rows(data.X)
    while True:
        result = network.module.train(
            rows,
            data.Y,
            learning_rate=rate,
            epochs=estimator.max_iter,
            callback=stopping,
            progress=bool(estimator.verbose),
            **start,
            **options,
        )
        if not (stopping.stopped and adapts and rate > SMALLEST_RATE and result.epochs < estimator.max_iter):
            break
        rate, start = rate / 5, {"resume": result}
        stopping.again()
    _finish(estimator, network, result, result.epochs, len(data.Y))
    if result.status == "completed" and not stopping.stopped:
        message = f"the training ended after max_iter={result.epochs} epochs, before the loss converged"
        warn(f"{message}: increase max_iter", ConvergenceWarning)


def descend_once(estimator: Any, network: PaddedNetwork, data: WeightedSamples) -> None:
    """Train for one more epoch."""
    rate = estimator.learning_rate_init
    options = {**_options(estimator, network.module, data, 1), **_given(estimator, network)}
    if "schedule" in options and "schedule" not in train_options(estimator):
        rate *= float(options.pop("schedule")[0])  # the rate of this epoch: the trainer counts all epochs so far
    before = estimator._result.of(network.module) if estimator._result is not None else None
    if before is None:
        options["parameters"] = network.wide(estimator.parameters_)
    else:
        options.pop("seed")  # the seed is that of the continued training
    stopping = Stopping(estimator, network, options["l2"], False)
    result = network.module.partial_fit(
        network.rows(data.X),
        data.Y,
        before,
        data.weight,
        learning_rate=rate,
        callback=stopping,
        **{key: value for key, value in options.items() if key not in ("sample_weight", "threads")},
    )
    estimator._result = Kept(result)
    _finish(estimator, network, result, 1, len(data.Y))


def _given(estimator: Any, network: PaddedNetwork) -> dict[str, Any]:
    """Return the arguments of train that the user gave, with inputs padded for the network that is built."""
    arguments = train_options(estimator)
    match arguments.get("validation_data"):
        case [X, *others]:
            arguments["validation_data"] = (network.rows(X if issparse(X) else np.asarray(X)), *others)
    return arguments


def _finish(estimator: Any, network: PaddedNetwork, result: Any, epochs: int, samples: int) -> None:
    estimator.parameters_ = network.own(result.parameters)
    estimator.n_iter_ = epochs
    estimator.t_ += epochs * samples
    estimator.curves_ = result.metrics
    estimator.loss_ = estimator.loss_curve_[-1] if estimator.loss_curve_ else float(result.loss)


def _options(estimator: Any, module: Module, data: WeightedSamples, epochs: int) -> dict[str, Any]:
    """Return the arguments of train that follow from the parameters of the estimator."""
    samples = len(data.Y)
    fraction = train_options(estimator).get("validation_split")
    if isinstance(fraction, float) and 0 < fraction < 1:
        samples -= max(1, round(fraction * samples))  # the trainer holds these out
    batch = _batch_size(estimator, max(1, samples))
    mean_weight = 1.0 if data.weight is None else float(data.weight.mean())
    optimizer, options = _optimizer(estimator, module)
    if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
        native: Any = module
        refuse(native._model.facts, "powers of numbers of Python, as in learning_rate='invscaling',")
        options["schedule"] = _inverse_scaling(estimator, samples, epochs)
    return options | {
        "optimizer": optimizer,
        "batch_size": batch,
        "shuffle": bool(estimator.shuffle) and batch < samples,
        "seed": int(estimator._random.randint(2**31)),
        "sample_weight": data.weight,
        "l2": estimator.alpha / (mean_weight * batch),  # as in scikit-learn: divided by the weight of a batch
        **({} if estimator.threads == 1 else {"threads": estimator.threads}),
    }


class Stopping:
    """The stopping rule of scikit-learn, as a callback after every epoch.

    It stops after more than n_iter_no_change epochs in a row in which the loss is not lower than the best one by tol
    (or the validation score is not higher by tol). Unlike with ``patience``, the best loss is also replaced by one that
    is lower by less than tol.
    """

    def __init__(self, estimator: Any, network: PaddedNetwork, l2: float, validates: bool) -> None:
        self.estimator, self.network, self.l2, self.validates = estimator, network, l2, validates
        self.count, self.stopped = 0, False
        self.penalty = self._penalty(estimator.parameters_)

    def again(self) -> None:
        """Start counting again."""
        self.count, self.stopped = 0, False

    def _penalty(self, parameters: Any) -> float:
        if not self.l2:
            return 0.0
        views = layer_views(self.estimator.description_, parameters)
        if self.estimator.bits == PORTABLE:
            return 0.5 * self.l2 * sum(float(IN_FIXED_ORDER.total(weights * weights)) for weights, _ in views)
        return 0.5 * self.l2 * sum(float(np.vdot(weights, weights)) for weights, _ in views)

    def __call__(self, progress: Any) -> bool:
        """Return whether to stop after an epoch."""
        estimator, figures = self.estimator, progress.metrics
        loss = figures["loss"] + self.penalty  # the penalty is that before the epoch, as the loss of its first batch
        self.penalty = self._penalty(self.network.own(progress.parameters)) if self.l2 else 0.0
        estimator.loss_curve_.append(loss)
        if self.validates:
            score = figures[f"val_{estimator._score_name}"]
            estimator.validation_scores_.append(score)
            short = score < estimator.best_validation_score_ + estimator.tol
            estimator.best_validation_score_ = max(score, estimator.best_validation_score_)
        else:
            short = loss > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(loss, estimator.best_loss_)
        self.count = self.count + 1 if short else 0
        self.stopped = self.count > estimator.n_iter_no_change
        return self.stopped


class Kept:
    """The result of a training that can be continued. It is pickled as the bytes of its archive."""

    def __init__(self, result: Any) -> None:
        self._result, self._archive = result, b""

    def of(self, module: Module) -> Any:
        """Return the result as an object of the module that made it, in this process or another."""
        if self._result is None:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "result.npz"
                path.write_bytes(self._archive)
                self._result = module.load(path)
        return self._result

    def __getstate__(self) -> dict[str, Any]:
        if self._result is None:
            return {"_result": None, "_archive": self._archive}
        with TemporaryDirectory() as folder:
            path = Path(folder) / "result.npz"
            self._result.save(path)
            return {"_result": None, "_archive": path.read_bytes()}


def _batch_size(estimator: Any, samples: int) -> int:
    if isinstance(estimator.batch_size, str):
        return min(AUTO_BATCH, samples)
    if estimator.batch_size > samples:
        message = f"batch_size={estimator.batch_size} is above the number of samples: all {samples} make one batch"
        warn(message, UserWarning)
    return min(int(estimator.batch_size), samples)


def _optimizer(estimator: Any, module: Module) -> tuple[str, dict[str, Any]]:
    """Return the optimizer for a solver, and the values of its hyperparameters that are parameters of the estimator."""
    name = estimator.solver
    if name == "sgd" and estimator.momentum > 0:
        name = "nesterov" if estimator.nesterovs_momentum else "momentum"
    if not isinstance(name, str) or name not in module.optimizers:
        raise ValueError(f"there is no solver {name!r}; there are: lbfgs, {', '.join(module.optimizers)}")
    return name, {key: getattr(estimator, key) for key in HYPERPARAMETERS if key in module.optimizers[name]}


def _inverse_scaling(estimator: Any, samples: int, epochs: int) -> Any:
    """Return the learning rate of each epoch relative to the first: one over a power of the number of samples seen."""
    seen = estimator.t_ + samples * np.arange(epochs)
    return np.where(seen == 0, 1.0, 1 / (seen + 1.0) ** estimator.power_t)
