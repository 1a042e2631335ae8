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


@dataclass(frozen=True)
class Tried:
    """A candidate, and its results on rows that it had not seen.

    ``outputs`` (N, outputs) are its outputs for all rows that were left out, by networks that had not seen them;
    ``loss`` is the mean loss of these, ``error`` its standard error. ``epochs`` says how long its networks trained,
    None for a linear model; ``start`` is the penalty of the linear model that they started as, None without a linear
    path.
    """

    family: Family
    l2: float
    learning_rate: float | None
    epochs: int | None
    loss: float
    error: float
    outputs: Any
    start: float | None = None

    @property
    def name(self) -> str:
        """Return the candidate as text: its family, penalty and learning rate."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        return f"{self.family.name}, l2 {self.l2:.2g}{rate}"


@dataclass(frozen=True)
class Search:
    """All candidates that were tried, simple ones first.

    ``rows`` are the rows that were left out in turn, in the order of each candidate's outputs. ``losses`` is a function
    of outputs and targets that gives the loss of each row; ``decides``, for classes, gives the weight of each row if
    its class is the most probable one, else 0. ``out_of_time`` says whether the time limit ended the search.
    """

    tried: tuple[Tried, ...]
    rows: Any
    losses: Callable[[Any, Any], Any]
    out_of_time: bool
    decides: Callable[[Any, Any], Any] | None = None


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

    def losses(outputs: Any, Y: Any) -> Any:
        return cost(outputs, Y) if weight is None else cost(outputs, Y) * weight

    def decides(outputs: Any, Y: Any) -> Any:
        right = decided(outputs) == decided(Y)
        return right.astype(float) if weight is None else right * weight

    tried: list[Tried] = []
    starts: dict[int, Start] = {}
    late = False
    try:
        for family in plan.families:
            tell(family.name)
            network = padded(family.network)
            seen = replace(data, X=network.rows(data.X[:, : family.network.inputs]))
            if family.rates:
                start = starts[family.network.inputs] if family.network.skip else None
                tried += _try_hidden(network, family, plan, seen, losses, start, seed, threads, deadline)
            else:
                best, starts[family.network.inputs] = _try_linear(network, family, seen, losses, deadline)
                tried += best
            late = time.perf_counter() > deadline
            if late:
                break
    except OutOfTimeError:
        late = True
    return Search(tuple(tried), held, losses, late, decides if classes else None)


@dataclass(frozen=True)
class Start:
    """The penalty of the best linear model, and its parameters by name for each fold, as networks start with them."""

    l2: float
    parameters: list[Any]


def _try_linear(
    network: PaddedNetwork, family: Family, data: Rows, losses: Any, deadline: float
) -> tuple[list[Tried], Start]:
    """Return the linear model with the best penalty, if its loss is finite, and the start of networks beside it.

    Penalties are tried from strong to weak, until the loss has risen for several. After the deadline, no further one is
    tried. Here and in the functions called from here, rows and parameters have the layout of the built module.
    """
    module, Y = network.module, data.Y[data.held]
    paths = zip(
        *(linear_path(family.network, module, *data.part(rows), family.penalties) for rows, _ in data.folds),
        strict=True,
    )
    best: tuple[int, float, Any, Any, Any] | None = None
    first = None
    for number, parameters in enumerate(paths):
        first = first or parameters
        outputs = np.concatenate(
            [module.predict(one, data.X[held]) for one, (_, held) in zip(parameters, data.folds, strict=True)]
        ).astype(float)
        found = losses(outputs, Y)
        loss = float(found.mean())
        if np.isfinite(loss) and (best is None or loss < best[1]):
            best = number, loss, found, outputs, parameters
        elif best is not None and number - best[0] >= RISES:
            break
        if time.perf_counter() > deadline:
            break
    number, _, found, outputs, parameters = best or (0, np.inf, None, None, first)
    l2 = family.penalties[number]
    start = Start(l2, [module.unpack(one) for one in parameters])
    return ([] if best is None else [_tried(family, l2, None, None, found, outputs, None)]), start


def _try_hidden(
    network: PaddedNetwork, family: Family, plan: Plan, data: Rows, losses: Any, start: Start | None, seed: int,
    threads: int, deadline: float,
) -> Iterator[Tried]:  # fmt: skip
    """Yield the candidates of a family, each as it was after its best round."""
    module = network.module
    seeds = seeds_of(seed, family.seeds)
    linear, l2 = (start.parameters, start.l2) if start else (None, None)
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
        together = np.concatenate(outputs, axis=1)
        for place, one, loss in zip(training, together, losses(together, data.Y[held]), strict=True):
            if np.isfinite(loss).all() and (place not in best or loss.mean() < best[place].loss):
                best[place] = _tried(family, *family.pairs[place], int(epochs), loss, one, l2)
                round_of[place] = number
        if number + 1 == FEWEST_ROUNDS:
            kept = sorted(best, key=lambda place: best[place].loss)[: -(-len(training) // 2)]
            training = sorted(kept)
        if number + 1 >= FEWEST_ROUNDS:
            training = [place for place in training if number - round_of.get(place, -1) < PATIENCE]
        if not training:
            break
    yield from (best[place] for place in sorted(best))


def _tried(
    family: Family, l2: float, rate: float | None, epochs: int | None, losses: Any, outputs: Any, start: float | None
) -> Tried:
    error = float(losses.std() / np.sqrt(len(losses)))
    return Tried(family, l2, rate, epochs, float(losses.mean()), error, outputs, start)
