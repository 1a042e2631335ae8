"""The watch of a running training or fit: its time limit, progress display and callbacks."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from .clock import clock
from .display import Display
from .share import calls

INTERVAL = 0.03
"""The seconds between two checks of native loops whether to end."""


class Watched(Protocol):
    """A running training or fit, as a watch sees it."""

    def count_done(self) -> int:
        """Return the number of epochs, iterations or fits that are done."""

    def figures(self) -> dict[str, float]:
        """Return the last measured figures, by name."""

    def seconds(self) -> float:
        """Return the seconds since it began."""

    def progress(self) -> Any:
        """Return the argument of the callbacks."""


class Watch:
    """The watch of a running training or fit: it checks regularly whether to end, and shows the progress.

    Its time begins when it is created, and stands still while a part of the module is compiled. ``every`` is the number
    of seconds between two calls of the callbacks; None means after each epoch or iteration. ``total`` is the number of
    these, or None if it is not known.
    """

    def __init__(
        self,
        watched: Watched,
        time_limit: float | None,
        progress: bool,
        callbacks: Sequence[Callable[[Any], Any]] | None,
        every: float | None,
        total: int | None,
        unit: str,
    ) -> None:
        self._callbacks = callbacks or ()
        self._watched = weakref.proxy(watched)  # no reference cycle: memory is freed at once
        self._display = Display(total, unit) if progress else None
        self.start = clock.now()
        self._deadline = self.start + (math.inf if time_limit is None else time_limit)
        self.after_each = bool(callbacks) and every is None
        """True if the callbacks are called after each epoch or iteration (``calls``)."""
        self._call_every = every if callbacks and every is not None else math.inf
        self._next_call = self.start + self._call_every
        self.asks = self._deadline < math.inf or self._display is not None or self._next_call < math.inf
        """True if anything has to be checked between epochs or iterations."""
        self.interval = INTERVAL if every is None else min(every, INTERVAL)
        """The seconds between two checks."""
        self.reason = ""
        """The reason for the end: "stopped" by the callback, or "time_limit"; empty while it continues."""

    def hook(self, outside: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """Return the function that native loops ask whether to end, combined with the thread's present one."""
        if not self.asks:
            return outside
        return self.stops if outside is None else lambda: outside() or self.stops()

    @contextmanager
    def asked_by_calls(self) -> Iterator[None]:
        """Open a context in which all native calls of this thread ask whether to end. Yields nothing."""
        outside = getattr(calls, "hook", None)
        calls.hook = self.hook(outside)
        try:
            yield
        finally:
            calls.hook = outside

    def calls(self) -> bool:
        """Call all callbacks. Return whether one of them ends the training or fit."""
        progress = self._watched.progress() if self._callbacks else None
        answers = [callback(progress) for callback in self._callbacks]  # all are called, even if one ends it
        if any(answers):
            self.reason = "stopped"
        return bool(self.reason)

    def stops(self) -> bool:
        """Return whether to end; native loops ask this regularly. Also shows the progress and calls the callbacks."""
        now = clock.now()
        self.show()
        if now >= self._next_call:
            stops = self.calls()
            self._next_call = clock.now() + self._call_every
            if stops:
                return True
        if now >= self._deadline:
            self.reason = self.reason or "time_limit"
        return bool(self.reason)

    def seconds(self) -> float:
        """Return the seconds since the watch was created."""
        return clock.now() - self.start

    def show(self, last: bool = False) -> None:
        """Show the progress, if it is requested and due; ``last`` shows it in any case, and closes the display."""
        if self._display is None or not (last or self._display.is_due()):
            return
        self._display.show(self._watched.count_done(), self._watched.figures(), self._watched.seconds())
        if last:
            self._display.close()


@contextmanager
def ended_by(watch: Watch | None) -> Iterator[None]:
    """Open a context that a watch, if there is one, may end early, without an error. Yields nothing."""
    if watch is None:
        yield
        return
    try:
        with watch.asked_by_calls():
            yield
    except KeyboardInterrupt:
        if not watch.reason:
            raise
