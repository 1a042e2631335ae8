"""A fit that is under way, as its watch sees it: where it is, and what its callback is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .options import check_options
from .progress import FitProgress, Progress
from .watch import Watch

if TYPE_CHECKING:
    from .model import Model
    from .native import NativeFit
    from .types import Array


class FitWatch(Watch):
    """The watch of a fit. Its native loop sets ``native`` to where it is."""

    def __init__(
        self, time_limit: float | None, progress: bool, callbacks: Sequence[Callable[[Any], Any]] | None,
        every: float | None, total: int,
    ) -> None:  # fmt: skip
        super().__init__(self, time_limit, progress, callbacks, every, total, "iteration")
        self.native: NativeFit | None = None

    def count_done(self) -> int:
        """Return the iterations that are done."""
        return 0 if self.native is None else self.native.iterations

    def figures(self) -> dict[str, float]:
        """Return the cost of the best parameters so far."""
        return {} if self.native is None else {"cost": self.native.cost}

    def parameters(self) -> Array:
        """Return a copy of the best parameters so far."""
        assert self.native is not None  # nobody is called before
        return self.native.parameters()

    def progress(self) -> Any:
        """Return what the callback is given."""
        return FitProgress(self.count_done(), self.figures()["cost"], self.seconds(), self.parameters())


class TrainingByFit(FitWatch):
    """The watch of a training by the loop of fits; ``loss`` gives the mean loss at some parameters."""

    def __init__(self, loss: Callable[[Array], float], *given: Any) -> None:
        super().__init__(*given)
        self._loss = loss

    def figures(self) -> dict[str, float]:
        """Return the mean loss."""
        return {} if self.native is None else {"loss": self._loss(self.parameters())}

    def progress(self) -> Progress:
        """Return what the callback is given: an epoch is an iteration, and so is an update."""
        return Progress(self.count_done(), self.count_done(), self.figures(), self.seconds(), self.parameters)


def watch_of(model: Model, time_limit: Any, progress: Any, callback: Any, total: int) -> FitWatch | None:
    """Return the watch of a fit, its arguments checked as those of ``train``; None if there is nothing to watch."""
    if time_limit is None and progress is False and callback is None:
        return None
    limit, shows, callbacks = check_options(model, time_limit=time_limit, progress=progress, callback=callback)
    return FitWatch(limit, shows, callbacks, None, total)
