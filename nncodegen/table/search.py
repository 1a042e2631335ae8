"""Cross-validation: for each fold of the rows, each candidate learns without it and predicts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nncodegen.network import PaddedNetwork, padded
from nncodegen.table.candidates import Family, Plan
from nncodegen.table.criterion import criterion
from nncodegen.table.hidden import OutOfTimeError, first_parameters, outputs_of, train_round
from nncodegen.table.linear import minimize_path

PATIENCE = 2
"""A candidate stops training when it has not improved for this many rounds."""

FEWEST_ROUNDS = 5
"""Each candidate trains for at least this many rounds: the first ones are short, and often change little."""


@dataclass(frozen=True)
class Tried:
    """A candidate, and its results on rows that it had not seen.

    ``outputs`` (N, outputs) are its outputs for all rows that were left out, by networks that had not seen them;
    ``loss`` is the mean loss of these, ``error`` its standard error. ``parameters`` (M, P) are those of its networks,
    whose outputs are averaged: one network for each fold and seed; of a linear model, the one that has learned from all
    rows. ``epochs`` says how long each trained, None for the linear model.
    """

    family: Family
    l2: float
    learning_rate: float | None
    epochs: int | None
    loss: float
    error: float
    outputs: Any
    parameters: Any

    @property
    def name(self) -> str:
        """Return the candidate as text: its family, penalty and learning rate."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        return f"{self.family.name}, l2 {self.l2:.2g}{rate}"


@dataclass(frozen=True)
class Search:
    """All candidates that were tried, simple ones first.

    ``rows`` are the rows that were left out in turn, in the order of each candidate's outputs. ``losses`` is a function
    of outputs and targets that gives the loss of each row. ``out_of_time`` says whether the time limit ended the
    search.
    """

    tried: tuple[Tried, ...]
    rows: Any
    losses: Callable[[Any, Any], Any]
    out_of_time: bool


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


def split_folds(Y: Any, classes: bool, plan: Plan, seed: int) -> tuple[tuple[Any, Any], ...]:
    """Return the rows to learn from and those to leave out, for each used fold, with equal shares of each class."""
    order = np.random.default_rng([seed, 1]).permutation(len(Y))
    if classes:
        labels = Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0]
        order = order[np.argsort(labels[order], kind="stable")]
    places = np.arange(len(order)) % plan.folds
    return tuple((np.sort(order[places != k]), np.sort(order[places == k])) for k in range(plan.used))


def search(
    plan: Plan,
    data: Rows,
    classes: bool,
    seed: int,
    threads: int = 1,
    deadline: float = np.inf,
    tell: Callable[[str], None] = lambda text: None,
) -> Search:
    """Try all candidates of a plan, until the deadline of ``time.perf_counter``.

    ``tell`` is called with the name of each family before it is tried. Random numbers depend neither on time nor on
    threads.
    """
    cost = criterion(plan.families[0].network, classes)
    held = data.held
    weight = None if data.weight is None else data.weight[held]
    data = replace(data, X=padded(plan.families[0].network).rows(data.X))

    def losses(outputs: Any, Y: Any) -> Any:
        return cost(outputs, Y) if weight is None else cost(outputs, Y) * weight

    tried: list[Tried] = []
    starts: list[Any] | None = None
    try:
        for family in plan.families:
            tell(family.name)
            network = padded(family.network)
            if family.rates:
                tried += _try_hidden(network, family, plan, data, losses, starts, seed, threads, deadline)
            else:
                best, starts = _try_linear(network, family, data, losses, deadline)
                tried += best
    except OutOfTimeError:
        return Search(tuple(tried), held, losses, True)
    return Search(tuple(tried), held, losses, time.perf_counter() > deadline)


def _try_linear(
    network: PaddedNetwork, family: Family, data: Rows, losses: Any, deadline: float
) -> tuple[list[Tried], list[Any]]:
    """Return the linear model with the best penalty, if its loss is finite, and its parameters by name for each fold.

    Here and in the functions called from here, rows and parameters have the layout of the built module.
    """
    module = network.module
    paths = [minimize_path(module, *data.part(rows), family.penalties, deadline) for rows, _ in data.folds]
    penalties = family.penalties[: min(map(len, paths))]
    held = [data.X[rows] for _, rows in data.folds]
    outputs = np.concatenate([outputs_of(module, p[: len(penalties)], X) for p, X in zip(paths, held, strict=True)], 1)
    found = [losses(one, data.Y[data.held]) for one in outputs]
    means = np.array([loss.mean() for loss in found])
    best = int(np.argmin(np.where(np.isfinite(means), means, np.inf)))
    starts = [module.unpack(path[best]) for path in paths]
    if not np.isfinite(means[best]):
        return [], starts
    parameters = minimize_path(module, data.X, data.Y, data.weight, penalties[: best + 1], deadline)[-1:]
    tried = _tried(family, penalties[best], None, None, found[best], outputs[best], network.own(parameters))
    return [tried], starts


def _try_hidden(
    network: PaddedNetwork, family: Family, plan: Plan, data: Rows, losses: Any, starts: list[Any] | None, seed: int,
    threads: int, deadline: float,
) -> Iterator[Tried]:  # fmt: skip
    """Yield the candidates of a family, each as it was after its best round."""
    module = network.module
    seeds = np.random.SeedSequence([seed, 2]).generate_state(family.seeds, np.uint64)
    linear = starts if family.network.skip else None
    size, count, held = family.seeds, len(family.pairs), data.held
    fold_parameters = [
        np.tile(first_parameters(network, linear[fold] if linear else None, seeds), (count, 1))
        for fold in range(len(data.folds))
    ]
    best: dict[int, Tried] = {}
    round_of: dict[int, int] = {}
    training = list(range(count))
    for number, epochs in enumerate(np.cumsum(plan.rounds.epochs)):
        places = np.repeat(training, size)
        models = (np.array(training)[:, None] * size + np.arange(size)).ravel()
        orders = np.tile(seeds + np.uint64(number + 1), len(training))
        outputs = []
        try:
            for fold, (rows, left_out) in enumerate(data.folds):
                fold_parameters[fold][models] = train_round(
                    module, family, plan.rounds, number, *data.part(rows), fold_parameters[fold][models], places,
                    orders, threads, deadline,
                )  # fmt: skip
                found = outputs_of(module, fold_parameters[fold][models], data.X[left_out])
                outputs.append(found.reshape(len(training), size, *found.shape[1:]).mean(axis=1))
        except OutOfTimeError:
            if not best:
                raise
            break
        for place, one in zip(training, np.concatenate(outputs, axis=1), strict=True):
            loss = losses(one, data.Y[held])
            if np.isfinite(loss).all() and (place not in best or loss.mean() < best[place].loss):
                own = slice(place * size, (place + 1) * size)
                parameters = network.own(np.concatenate([parameters[own] for parameters in fold_parameters]))
                best[place] = _tried(family, *family.pairs[place], int(epochs), loss, one, parameters)
                round_of[place] = number
        if number + 1 >= FEWEST_ROUNDS:
            training = [place for place in training if number - round_of.get(place, -1) < PATIENCE]
        if not training:
            break
    yield from (best[place] for place in sorted(best))


def _tried(
    family: Family, l2: float, rate: float | None, epochs: int | None, losses: Any, outputs: Any, parameters: Any
) -> Tried:
    error = float(losses.std() / np.sqrt(len(losses)))
    return Tried(family, l2, rate, epochs, float(losses.mean()), error, outputs, parameters.copy())
