"""Trains the candidates with hidden layers: many networks at once, for each fold and round."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from nncodegen.estimators.network import PaddedNetwork, initial_parameters
from nncodegen.runtime.module import Module
from nncodegen.table.candidates import MANY_ROWS, Family, Rounds


class OutOfTimeError(Exception):
    """The error for a passed deadline: the training that was going on has no result."""


def seeds_of(seed: int, count: int) -> Any:
    """Return the seeds of the networks of a family, (count,): more networks continue the same sequence."""
    return np.random.SeedSequence([seed, 2]).generate_state(count, np.uint64)


def first_parameters(network: PaddedNetwork, seeds: Any) -> Any:
    """Return the initial parameters of the networks of a family, (seeds, P), in the layout of the built module."""
    return network.wide(np.stack([initial_parameters(network.network, int(seed)) for seed in seeds]))


def train_round(
    module: Module,
    family: Family,
    rounds: Rounds,
    number: int,
    X: Any,
    Y: Any,
    weight: Any,
    parameters: Any,
    places: Any,
    seeds: Any,
    threads: int,
    deadline: float,
) -> Any:
    """Train the networks of a fold for one round, from parameters (M, P); return the new parameters.

    ``places`` (M,) are their indices in the pairs of the family; ``seeds`` (M,) give the order of rows. Raises
    OutOfTimeError.
    """
    pairs = np.array(family.pairs)[places]
    options: dict[str, Any] = {
        "optimizer": "adam",
        "epochs": rounds.epochs[number],
        "batch_size": min(rounds.batch, len(X)),
    }
    rates = pairs[:, 1] * rounds.decay**number
    if time.perf_counter() > deadline:
        raise OutOfTimeError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a network that diverges will not be chosen
        if weight is None and (deadline == np.inf or len(X) < MANY_ROWS):
            many_result = module.train_many(
                X,
                Y,
                parameters,
                learning_rate=rates,
                l2=pairs[:, 0],
                seed=seeds,
                threads=threads,
                history=False,
                **options,
            )
            return many_result.parameters
        trained = []
        for start, rate, l2, seed in zip(parameters, rates, pairs[:, 0], seeds, strict=True):
            left = deadline - time.perf_counter()
            if left <= 0:
                raise OutOfTimeError
            result = module.train(
                X,
                Y,
                start,
                learning_rate=float(rate),
                l2=float(l2),
                seed=int(seed),
                sample_weight=weight,
                time_limit=left if left < np.inf else None,
                history=False,
                **options,
            )
            if result.status == "time_limit":
                raise OutOfTimeError
            trained.append(result.parameters)
        return np.stack(trained)


def outputs_of(module: Module, parameters: Any, X: Any) -> Any:
    """Return the outputs of M networks of the same kind: (M, N, outputs)."""
    return np.stack([module.predict(network, X) for network in parameters]).astype(float)
