"""The best epoch by a figure that the kernel does not compute, and whether lower or higher is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ground.types import Array
    from .measures import Measure


def choose_mode(role: str, monitor: str | None, mode: str, metrics: tuple[Measure, ...], unknown: str = "") -> str:
    """Return "min" if lower is better for a figure, "max" if higher is; ``unknown`` for a function, which does not say.

    Raises ValueError, with the name ``role`` of the option, if the caller has to say it.
    """
    if mode != "auto" or monitor is None:
        return mode
    for metric in metrics:
        if metric.name == monitor.removeprefix("val_"):
            if metric.higher is None and not unknown:
                raise ValueError(f"monitor is {monitor!r}, a function of one's own: say {role}='min' or 'max'")
            return unknown if metric.higher is None else "max" if metric.higher else "min"
    return "min"


class Best:
    """The best epoch so far, with its parameters; tells when training has to stop because no better epoch follows.

    ``figure`` is the figure of the best epoch, negated if higher is better; infinity before any epoch.
    ``patience`` is the number of epochs without a better one after which to stop.
    """

    def __init__(
        self, higher: bool, min_delta: float, patience: int | None, parameters: Array, epoch: int, figure: float
    ) -> None:
        self._higher, self._min_delta, self._patience = higher, min_delta, patience
        self.parameters, self.epoch, self.figure = parameters, epoch, figure

    def compare(self, figure: float, epoch: int, parameters: Callable[[], Array]) -> bool:
        """Keep an epoch that is better. Returns whether to stop, by the rule of train.h for figures of the kernel."""
        figure = -figure if self._higher else figure
        if figure < self.figure - self._min_delta:  # never where it is NaN
            self.figure, self.epoch, self.parameters = figure, epoch, parameters()
        return self._patience is not None and epoch - self.epoch >= self._patience
