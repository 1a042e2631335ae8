"""The choice of the candidates to average, by their predictions for rows that they had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.table.search import Search, Tried

STEPS = 10
"""Steps of the selection; each adds one candidate to the average."""

PREFERENCE = 1.0
"""The standard errors by which an average has to be better than the simplest candidate."""


@dataclass(frozen=True)
class Choice:
    """The candidates that are averaged, with their weights, which sum to 1.

    ``loss`` is the loss of the average, ``simplest`` the candidate that it was compared with, ``gain`` the difference
    of their losses (positive if the average is better), and ``error`` the standard error of ``gain``.
    """

    members: tuple[tuple[Tried, float], ...]
    loss: float
    simplest: Tried
    gain: float
    error: float

    @property
    def prefers_simplest(self) -> bool:
        """Return whether the simplest candidate is taken alone, as no average is better by more than chance."""
        return len(self.members) == 1 and self.members[0][0] is self.simplest

    def weight(self, tried: Tried) -> float:
        """Return the weight of a candidate in the average."""
        return next((weight for member, weight in self.members if member is tried), 0.0)


def choose(searched: Search, Y: Any) -> Choice:
    """Choose the average, by targets Y (N, outputs) of the rows that were left out.

    Candidates are added one at a time: the one that makes the average best, which may be in it already (Caruana et al.,
    2004). The best of these averages is taken. If a linear model was tried, the average has to be better than it by
    more than one standard error of the difference, and predict the right class more often, by more than chance as well
    (``_more_often``); otherwise the linear model is taken alone.
    """
    tried = searched.tried
    outputs = np.stack([candidate.outputs for candidate in tried])
    total, counts = np.zeros_like(outputs[0]), np.zeros(len(tried))
    best_loss, best_counts = np.inf, counts
    for size in range(1, STEPS + 1):
        means = searched.losses((total + outputs) / size, Y).mean(axis=1)
        added = int(np.argmin(means))  # the first of equal ones is the simplest
        total, counts = total + outputs[added], counts + np.eye(len(tried))[added]
        if means[added] < best_loss:
            best_loss, best_counts = float(means[added]), counts
    weights = best_counts / best_counts.sum()
    simplest = tried[0]
    average = np.tensordot(weights, outputs, 1)
    gain, error = _mean_and_error(searched.losses(simplest.outputs, Y) - searched.losses(average, Y))
    doubtful = gain <= PREFERENCE * error
    if searched.right is not None:
        doubtful = doubtful or not _more_often(searched.right(average, Y) - searched.right(simplest.outputs, Y))
    if not simplest.family.rates and doubtful:
        return Choice(((simplest, 1.0),), simplest.loss, simplest, gain, error)
    members = tuple((candidate, float(weight)) for candidate, weight in zip(tried, weights, strict=True) if weight)
    return Choice(members, best_loss, simplest, gain, error)


def _more_often(differences: Any) -> bool:
    """Return whether an average is right more often, by more than chance.

    ``differences`` (N,) are the weights of the rows in which the average alone is right, those of the rows in which the
    simplest candidate alone is right with a minus, and 0 elsewhere. Their mean has to exceed its standard error by one
    row: the correction of McNemar's test for continuity (Edwards, 1948), without which a single row would do. With it,
    three are the fewest.
    """
    mean, error = _mean_and_error(differences)
    return bool(mean - np.abs(differences).max() / len(differences) > PREFERENCE * error)


def _mean_and_error(values: Any) -> tuple[float, float]:
    """Return the mean of values (N,) and its standard error."""
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))
