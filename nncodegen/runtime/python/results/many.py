"""The results of many trainings or fits of one model, with an axis for them."""

from __future__ import annotations

from abc import abstractmethod
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.endings import STATUSES, SUCCESSES
from ..ground.facts import flat_names
from ..ground.markup import aligned, paragraph, table
from .base import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model

ROWS = 20
"""The most parameters that a table shows; one of a model with more, such as a network, shows none."""

SPREAD = ("5 % below", "median", "5 % above")
"""The columns of a table of many models that show how values are distributed."""


class Many(Shown):
    """M trainings or fits of one model. Attributes with one value for each have M as their first axis.

    ``many[m]`` is the result of one of them, and iterating yields these.
    """

    __slots__ = ()

    _model: Model
    parameters: Array

    @property
    @abstractmethod
    def status(self) -> Array:
        """Return how each of them ended, as a word, (M,)."""

    @property
    def success(self) -> Array:
        """Return whether each of them ended as it was meant to: "completed", "converged" or "stopped_early", (M,)."""
        success: Array = np.isin(self.status, SUCCESSES)
        return success

    @property
    def message(self) -> Array:
        """Return how each of them ended, as a sentence, (M,)."""
        return np.array([STATUSES[word] for word in self.status.tolist()])

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of them for each status that occurred."""
        words = self.status
        counts = {word: int(np.count_nonzero(words == word)) for word in STATUSES}
        return {word: count for word, count in counts.items() if count}

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each column of the parameters, (P,): "a", or "W1[0,1]" for an element of an array."""
        return flat_names(self._model.facts.parameters)

    def __len__(self) -> int:
        """Return their number, M."""
        return len(self.parameters)

    def _place(self, m: Any, what: str) -> int:
        """Return an index from 0; a negative one counts from the end. Raises IndexError, TypeError."""
        place = index(m)
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no {what} {place}: there are {len(self)}, from 0")
        return place % len(self)

    @abstractmethod
    def __getitem__(self, m: int) -> Any:
        """Return the result of one of them."""

    def predict(self, X: ArrayLike | None = None, threads: int = 1) -> Array:
        """Return the outputs of each of them for the rows of X, (M, N, outputs).

        X has the shape (N, inputs), shared by all, or (M, N, inputs); for threads see ``predict`` of the module.
        """
        model: Any = self._model
        inputs: Any = X
        is_stacked = inputs is not None and np.ndim(inputs) == 3
        if is_stacked and len(inputs) != len(self):
            raise ValueError(f"X has the shape {np.shape(inputs)}; expected a first axis of {len(self)}, or none")
        return np.stack(
            [model.predict(p, inputs[m] if is_stacked else inputs, threads) for m, p in enumerate(self.parameters)]
        )

    @abstractmethod
    def plot(self, axes: Any = None) -> Any:
        """Draw all of them with matplotlib. Returns the figure."""

    @abstractmethod
    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to a file, an .npz archive, from which the module's ``load`` reads it."""

    @abstractmethod
    def _outcome_text(self) -> str:
        """Return how many there are and how they ended, as a text."""

    @abstractmethod
    def _rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the table; none if there is nothing to show."""

    @abstractmethod
    def _head(self) -> Sequence[str]:
        """Return the head of the table."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._outcome_text()}>"

    def __str__(self) -> str:
        """Return how they ended, and a table of how their figures are distributed."""
        rows = self._rows()
        return "\n".join(
            [f"{self._model.name}: {self._outcome_text()}", *(["", *aligned(self._head(), rows)] if rows else [])]
        )

    def _repr_html_(self) -> str:
        title, rows = paragraph(f"{self._model.name}: {self._outcome_text()}", "b"), self._rows()
        return f"<div>{title}{table(self._head(), rows) if rows else ''}</div>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the result, and the name of the module that made it."""
        return reduced(self)


def spread(values: Array) -> list[str]:
    """Return the values below and above which 5 % of some values are, with their median between, as texts."""
    quantiles = np.quantile(values.astype(float), (0.05, 0.5, 0.95), method="nearest")
    return [f"{value:.6g}" for value in quantiles]


def reduced(result: Any) -> tuple[Any, ...]:
    """Return the pickled form of a result: its model makes an empty one, which then gets the values of this one."""
    held = {name: getattr(result, name) for name in result.__slots__ if name != "_model"}
    return result._model.empty_result, (type(result).__name__,), (None, held)
