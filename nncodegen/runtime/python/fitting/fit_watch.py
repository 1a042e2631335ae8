"""The watch of a running fit: its progress, and the argument of its callback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..ground.progress import FitProgress
from ..ground.watch import Watch

if TYPE_CHECKING:
    from ..arguments.fit_options import CheckedFitOptions
    from ..ground.types import Array
    from ..native.native import NativeFit


class FitWatch(Watch):
    """The watch of a fit. The native loop of the fit sets ``native``, from which the state is read."""

    def __init__(
        self,
        time_limit: float | None,
        progress: bool,
        callbacks: Sequence[Callable[[Any], Any]] | None,
        every: float | None,
        total: int,
    ) -> None:
        super().__init__(self, time_limit, progress, callbacks, every, total, "iteration")
        self.native: NativeFit | None = None
        self.count: int | None = None
        """The number of parameters that are shown, the first ones; None: all of them."""
        self.mean_over = 1
        """The number of values of a sample whose losses have the loss as their mean; see Facts."""

    def count_done(self) -> int:
        """Return the number of iterations that are done."""
        return 0 if self.native is None else self.native.iterations

    def figures(self) -> dict[str, float]:
        """Return the cost of the best parameters so far."""
        return {} if self.native is None else {"cost": self.native.cost * self.mean_over}

    def parameters(self) -> Array:
        """Return a copy of the best parameters so far."""
        assert self.native is not None  # callbacks are never called before the native loop starts
        return self.native.parameters()[: self.count]

    def progress(self) -> Any:
        """Return the argument of the callback."""
        return FitProgress(self.count_done(), self.figures()["cost"], self.seconds(), self.parameters())


def watch_of(options: CheckedFitOptions, total: int) -> FitWatch | None:
    """Return the watch of a fit, or None if nothing is to be watched."""
    if options.time_limit is None and not options.progress and options.callback is None:
        return None
    return FitWatch(options.time_limit, options.progress, options.callback, None, total)
