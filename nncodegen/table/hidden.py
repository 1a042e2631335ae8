"""The candidates with hidden layers: many networks at once, round by round, fold by fold."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from nncodegen.module import Module
from nncodegen.table.candidates import MANY_ROWS, Family, Rounds


class OutOfTimeError(Exception):
    """The deadline has come; what is under way is given up."""


def first_parameters(module: Module, linear: Any, seeds: Any) -> Any:
    """Where the networks of a family begin, (seeds, P).

    With ``linear``, the parameters by name of a linear model, they are that model at first: its weights are those of
    the linear path, and those that lead from the hidden layers to the outputs are 0.
    """
    parameters = np.stack([module.initial_parameters(int(seed)) for seed in seeds])
    for one in parameters if linear is not None else ():
        views = module.unpack(one)
        views["W1"][:], views["U1"][:], views["b1"][:] = 0, linear["W1"], linear["b1"]
    return parameters


def train_round(
    module: Module, family: Family, rounds: Rounds, number: int, X: Any, Y: Any, weight: Any, parameters: Any,
    places: Any, seeds: Any, threads: int, deadline: float,
) -> Any:  # fmt: skip
    """One round of the networks of a fold, from their parameters (M, P): the parameters after it.

    ``places`` (M,) are their numbers among the pairs of the family; seeds (M,) order the rows. Raises OutOfTimeError.
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
        warnings.simplefilter("ignore", RuntimeWarning)  # one that diverges is not chosen
        if weight is None and (deadline == np.inf or len(X) < MANY_ROWS):
            found = module.train_many(
                X, Y, parameters, learning_rate=rates, l2=pairs[:, 0], seed=seeds, threads=threads, history=False,
                **options,
            )  # fmt: skip
            return found.parameters
        trained = []
        for one, rate, l2, seed in zip(parameters, rates, pairs[:, 0], seeds, strict=True):
            left = deadline - time.perf_counter()
            if left <= 0:
                raise OutOfTimeError
            result = module.train(
                X, Y, one, learning_rate=float(rate), l2=float(l2), seed=int(seed), sample_weight=weight,
                time_limit=left if left < np.inf else None, history=False, **options,
            )  # fmt: skip
            if result.status == "time_limit":
                raise OutOfTimeError
            trained.append(result.parameters)
        return np.stack(trained)


def outputs_of(module: Module, parameters: Any, X: Any) -> Any:
    """What networks of one kind put out: (M, N, outputs)."""
    return np.stack([module.predict(one, X) for one in parameters]).astype(float)
