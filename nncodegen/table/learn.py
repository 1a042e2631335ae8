"""Learns the chosen average from given rows: each of its candidates once more, as long as was best for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nncodegen.errors import TableError
from nncodegen.estimators.network import PaddedNetwork, padded
from nncodegen.table.candidates import Rounds
from nncodegen.table.choose import Choice
from nncodegen.table.hidden import first_parameters, seeds_of, train_round
from nncodegen.table.linear import linear_path
from nncodegen.table.search import Tried
from nncodegen.table.trained import Member


def learn(
    choice: Choice, rounds: Rounds, X: Any, Y: Any, weight: Any, widths: tuple[int, int], seed: int, threads: int
) -> tuple[Member, ...]:
    """Return the members of the average, which learn from rows X (N, inputs), Y (N, outputs) and weights (N,) or None.

    ``widths`` are the numbers of inputs without pieces, and with them: they may be others than in the choice, as the
    rows are. Raises TableError if all networks of a candidate diverge.
    """
    members = []
    for candidate, share in choice.members:
        network = padded(replace(candidate.family.network, inputs=widths[candidate.family.in_pieces]))
        rows = network.rows(X[:, : network.network.inputs])
        train = _hidden if candidate.family.rates else _linear
        parameters = train(network, candidate, rounds, rows, Y, weight, seed, threads)
        members.append(Member(network.network, share, network.own(parameters)))
    return tuple(members)


def _linear(
    network: PaddedNetwork, candidate: Tried, rounds: Rounds, X: Any, Y: Any, weight: Any, seed: int, threads: int
) -> Any:
    """Return the parameters of a linear model, (1, P)."""
    return np.stack(list(linear_path(network.network, network.module, X, Y, weight, (candidate.l2,))))


def _hidden(
    network: PaddedNetwork, candidate: Tried, rounds: Rounds, X: Any, Y: Any, weight: Any, seed: int, threads: int
) -> Any:
    """Return the parameters of the networks of a candidate, (M, P), after the epochs that were best for it.

    Networks that diverged are left out. Raises TableError if all have.
    """
    seeds = seeds_of(seed, candidate.family.networks)
    parameters = first_parameters(network, seeds)
    places = np.full(len(seeds), candidate.family.pairs.index((candidate.l2, candidate.learning_rate)))
    for number, epochs in enumerate(np.cumsum(rounds.epochs)):
        orders = seeds + np.uint64(number + 1)
        parameters = train_round(
            network.module, candidate.family, rounds, number, X, Y, weight, parameters, places, orders, threads, np.inf
        )
        if epochs == candidate.epochs:
            break
    finite = np.isfinite(parameters).all(axis=1)
    if not finite.any():
        raise TableError(
            f"{candidate.name} diverged when it learned again from {len(X)} rows: choose a lower learning rate"
        )
    return parameters[finite]
