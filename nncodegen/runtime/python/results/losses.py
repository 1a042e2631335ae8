"""The losses of a training as an array that other figures can be read from by name, as from Keras's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..ground.types import Array


class Losses(np.ndarray[Any, np.dtype[Any]]):
    """The mean loss of each epoch, (epochs,): an array, of which ``history["val_loss"]`` gives another metric.

    What is computed from it, and pickled of it, are ordinary arrays.
    """

    _metrics: Mapping[str, Array]

    @classmethod
    def of(cls, metrics: Mapping[str, Array]) -> Losses:
        """Return the losses of some metrics, which hold them as "loss"; without a copy."""
        losses = metrics["loss"].view(cls)
        losses._metrics = metrics
        return losses

    def __getitem__(self, place: Any) -> Any:
        """Return a metric by its name, or elements. Raises KeyError for a name that no metric has."""
        if not isinstance(place, str):
            return np.asarray(self)[place]
        metrics = getattr(self, "_metrics", {})
        if place not in metrics:
            raise KeyError(f"{place}: the metrics of this training are {', '.join(metrics) or 'not known here'}")
        return metrics[place]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Return what a function of NumPy gives for ordinary arrays."""
        plain = [np.asarray(array) if isinstance(array, Losses) else array for array in inputs]
        if "out" in kwargs:
            kwargs["out"] = tuple(np.asarray(array) if isinstance(array, Losses) else array for array in kwargs["out"])
        return getattr(ufunc, method)(*plain, **kwargs)

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()
