"""Cross-validation: for each fold of the rows, each candidate learns without it and predicts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nncodegen.estimators.network import PaddedNetwork, padded
from nncodegen.table.candidates import Candidates, Family
from nncodegen.table.criterion import criterion
from nncodegen.table.hidden import OutOfTimeError, first_parameters, outputs_of, seeds_of, train_round
from nncodegen.table.linear import linear_path
from nncodegen.table.target import decided

PATIENCE = 2
"""A candidate stops training when it has not improved for this many rounds."""

RISES = 3
"""The path of penalties of a linear model ends when the loss has not fallen for this many penalties."""

FEWEST_ROUNDS = 5
"""Each candidate trains for at least this many rounds: the first ones are short, and often change little. Then the
better half of a family goes on, as the later rounds take most of the time."""

FEW_ERRORS = 2
"""Where the linear model predicts at most this number of rows wrong, nothing else is tried: even an average without any
error would not be right more often by more than chance, as ``choose`` judges it."""


@dataclass(frozen=True)
class Tried:
    """A candidate, and its results on rows that it had not seen.

    ``outputs`` (N, outputs) are its outputs for all rows that were left out, by networks that had not seen them;
    ``loss`` is the mean loss of these, ``error`` its standard error. ``epochs`` says how long its networks trained,
    None for a linear model.
    """

    family: Family
    l2: float
    learning_rate: float | None
    epochs: int | None
    loss: float
    error: float
    outputs: Any

    @property
    def name(self) -> str:
        """Return the candidate as text: its family, penalty and learning rate."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        return f"{self.family.name}, l2 {self.l2:.2g}{rate}"


@dataclass(frozen=True)
class Search:
    """All candidates that were tried, simple ones first.

    ``rows`` are the rows that were left out in turn, in the order of each candidate's outputs. ``losses`` is a function
    of outputs and targets that gives the loss of each row; ``right``, for classes, gives the weight of each row whose
    class is the most probable one, and 0 for the others. ``out_of_time`` says whether the time limit ended the search,
    ``few_errors`` whether the linear model did, as hardly any row is left to improve.
    """

    tried: tuple[Tried, ...]
    rows: Any
    losses: Callable[[Any, Any], Any]
    out_of_time: bool
    right: Callable[[Any, Any], Any] | None = None
    few_errors: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows to learn from: X (N, inputs), Y (N, outputs), weights (N,) or None, and the folds."""

    X: Any
    Y: Any
    weight: Any
    folds: tuple[tuple[Any, Any], ...]

    def part(self, rows: Any) -> tuple[Any, Any, Any]:
        """Return X, Y and the weights of some rows."""
        return self.X[rows], self.Y[rows], None if self.weight is None else self.weight[rows]

    @property
    def held(self) -> Any:
        """Return the rows that are left out in turn."""
        return np.concatenate([held for _, held in self.folds])


def split_folds(Y: Any, classes: bool, candidates: Candidates, seed: int) -> tuple[tuple[Any, Any], ...]:
    """Return the rows to learn from and those to leave out, for each used fold, with equal shares of each class."""
    order = np.random.default_rng([seed, 1]).permutation(len(Y))
    if classes:
        labels = Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0]
        order = order[np.argsort(labels[order], kind="stable")]
    places = np.arange(len(order)) % candidates.folds
    return tuple((np.sort(order[places != k]), np.sort(order[places == k])) for k in range(candidates.used))


def search(
    candidates: Candidates,
    data: Rows,
    classes: bool,
    seed: int,
    threads: int = 1,
    deadline: float = np.inf,
    tell: Callable[[str], None] = lambda text: None,
) -> Search:
    """Try all candidates, until the deadline of ``time.perf_counter``; the linear model alone, if it has few errors.

    ``tell`` is called with the name of each family before it is tried. Random numbers depend neither on time nor on
    threads.
    """
    cost = criterion(candidates.families[0].network, classes)
    held = data.held
    weight = None if data.weight is None else data.weight[held]

    def losses(outputs: Any, Y: Any) -> Any:
        return cost(outputs, Y) if weight is None else cost(outputs, Y) * weight

    def right(outputs: Any, Y: Any) -> Any:
        is_right = decided(outputs) == decided(Y)
        return is_right.astype(float) if weight is None else is_right * weight

    def has_few_errors(candidate: Tried) -> bool:
        Y = data.Y[held]
        return bool(np.count_nonzero(right(Y, Y) - right(candidate.outputs, Y)) <= FEW_ERRORS)

    tried: list[Tried] = []
    late = few_errors = False
    try:
        for family in candidates.families:
            tell(family.name)
            network = padded(family.network)
            seen = replace(data, X=network.rows(data.X[:, : family.network.inputs]))
            if family.rates:
                tried += _try_hidden(network, family, candidates, seen, losses, seed, threads, deadline)
            else:
                tried += _try_linear(network, family, seen, losses, deadline)
            late = time.perf_counter() > deadline
            few_errors = classes and len(tried) == 1 and not family.rates and has_few_errors(tried[0])
            if late or few_errors:
                break
    except OutOfTimeError:
        late = True
    return Search(tuple(tried), held, losses, late, right if classes else None, few_errors)


def _try_linear(network: PaddedNetwork, family: Family, data: Rows, losses: Any, deadline: float) -> Iterator[Tried]:
    """Yield the linear model with the best penalty, if its loss is finite.

    Penalties are tried from strong to weak, until the loss has risen for several. After the deadline, no further one is
    tried. Here and in the functions called from here, rows and parameters have the layout of the built module.
    """
    module, Y = network.module, data.Y[data.held]
    paths = zip(
        *(linear_path(family.network, module, *data.part(rows), family.penalties) for rows, _ in data.folds),
        strict=True,
    )
    best: Tried | None = None
    rises = 0
    for l2, parameters in zip(family.penalties, paths, strict=True):
        outputs = np.concatenate(
            [
                module.predict(fold_parameters, data.X[held])
                for fold_parameters, (_, held) in zip(parameters, data.folds, strict=True)
            ]
        ).astype(float)
        fold_parameters = _tried(family, l2, None, None, losses(outputs, Y), outputs)
        rises += best is not None
        if np.isfinite(fold_parameters.loss) and (best is None or fold_parameters.loss < best.loss):
            best, rises = fold_parameters, 0
        if rises == RISES or time.perf_counter() > deadline:
            break
    if best is not None:
        yield best


def _try_hidden(
    network: PaddedNetwork,
    family: Family,
    candidates: Candidates,
    data: Rows,
    losses: Any,
    seed: int,
    threads: int,
    deadline: float,
) -> Iterator[Tried]:
    """Yield the candidates of a family, each as it was after its best round."""
    module = network.module
    seeds = seeds_of(seed, family.seeds)
    size, count, held = family.seeds, len(family.pairs), data.held
    fold_parameters = [np.tile(first_parameters(network, seeds), (count, 1)) for _ in data.folds]
    best: dict[int, Tried] = {}
    round_of: dict[int, int] = {}
    training = list(range(count))
    for number, epochs in enumerate(np.cumsum(candidates.rounds.epochs)):
        places = np.repeat(training, size)
        models = (np.array(training)[:, None] * size + np.arange(size)).ravel()
        orders = np.tile(seeds + np.uint64(number + 1), len(training))
        outputs = []
        try:
            for fold, (rows, left_out) in enumerate(data.folds):
                fold_parameters[fold][models] = train_round(
                    module,
                    family,
                    candidates.rounds,
                    number,
                    *data.part(rows),
                    fold_parameters[fold][models],
                    places,
                    orders,
                    threads,
                    deadline,
                )
                fold_outputs = outputs_of(module, fold_parameters[fold][models], data.X[left_out])
                outputs.append(fold_outputs.reshape(len(training), size, *fold_outputs.shape[1:]).mean(axis=1))
        except OutOfTimeError:
            if not best:
                raise
            break
        together = np.concatenate(outputs, axis=1)
        for place, model_outputs, loss in zip(training, together, losses(together, data.Y[held]), strict=True):
            if np.isfinite(loss).all() and (place not in best or loss.mean() < best[place].loss):
                best[place] = _tried(family, *family.pairs[place], int(epochs), loss, model_outputs)
                round_of[place] = number
        if number + 1 == FEWEST_ROUNDS:
            ranked = sorted(best, key=lambda place: best[place].loss)
            training = sorted(ranked[: -(-len(training) // 2)])
        if number + 1 >= FEWEST_ROUNDS:
            training = [place for place in training if number - round_of.get(place, -1) < PATIENCE]
        if not training:
            break
    yield from (best[place] for place in sorted(best))


def _tried(family: Family, l2: float, rate: float | None, epochs: int | None, losses: Any, outputs: Any) -> Tried:
    error = float(losses.std() / np.sqrt(len(losses)))
    return Tried(family, l2, rate, epochs, float(losses.mean()), error, outputs)
