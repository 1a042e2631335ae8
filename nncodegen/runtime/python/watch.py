"""What watches a training or a fit that is under way: a time limit, a bar, callbacks."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from .display import Display
from .share import calls

INTERVAL = 0.03
"""Seconds between two questions of native loops whether to end."""


class Watched(Protocol):
    """What is under way, as far as a watch asks."""

    def count_done(self) -> int:
        """Return how many epochs, iterations or fits are done."""

    def figures(self) -> dict[str, float]:
        """Return what was measured last, by name."""

    def seconds(self) -> float:
        """Return how long it has taken."""

    def progress(self) -> Any:
        """Return what the callbacks are given."""


class Watch:
    """Asks now and then, or after each epoch or iteration, whether to end, and shows how far it is.

    Its time begins when it is made. ``every`` are the seconds between two calls of the callbacks; None: they are called
    after each epoch or iteration. ``total`` is the number of these, None where nobody knows it.
    """

    def __init__(
        self, watched: Watched, time_limit: float | None, progress: bool,
        callbacks: Sequence[Callable[[Any], Any]] | None, every: float | None, total: int | None, unit: str,
    ) -> None:  # fmt: skip
        self._callbacks = callbacks or ()
        self._watched = weakref.proxy(watched)  # no cycle: memory is free at once
        self._display = Display(total, unit) if progress else None
        self.start = time.perf_counter()
        self._deadline = self.start + (math.inf if time_limit is None else time_limit)
        self.after_each = bool(callbacks) and every is None
        """True if the callbacks are called after each epoch or iteration (``calls``)."""
        self._call_every = every if callbacks and every is not None else math.inf
        self._next_call = self.start + self._call_every
        self.asks = self._deadline < math.inf or self._display is not None or self._next_call < math.inf
        """True if there is anything to ask between."""
        self.interval = INTERVAL if every is None else min(every, INTERVAL)
        """Seconds between two questions."""
        self.reason = ""
        """Why it ends: "stopped" by the callback, or "time_limit"; nothing while it goes on."""

    def hook(self, outside: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """Return what native loops ask whether to end, besides what this thread has under way otherwise."""
        if not self.asks:
            return outside
        return self.stops if outside is None else lambda: outside() or self.stops()

    @contextmanager
    def asked_by_calls(self) -> Iterator[None]:
        """Open a context in which all native calls of this thread ask whether to end."""
        outside = getattr(calls, "hook", None)
        calls.hook = self.hook(outside)
        try:
            yield
        finally:
            calls.hook = outside

    def calls(self) -> bool:
        """Call all callbacks. Return whether one of them ends what is under way."""
        progress = self._watched.progress() if self._callbacks else None
        answers = [callback(progress) for callback in self._callbacks]  # of all, also where one ends it
        if any(answers):
            self.reason = "stopped"
        return bool(self.reason)

    def stops(self) -> bool:
        """Return whether to end, as is asked now and then."""
        now = time.perf_counter()
        self.show()
        if now >= self._next_call:
            stops = self.calls()
            self._next_call = time.perf_counter() + self._call_every
            if stops:
                return True
        if now >= self._deadline:
            self.reason = self.reason or "time_limit"
        return bool(self.reason)

    def seconds(self) -> float:
        """Return the seconds since the watch was made."""
        return time.perf_counter() - self.start

    def show(self, last: bool = False) -> None:
        """Show how far it is, if that is asked for; ``last`` leaves the terminal as it was."""
        if self._display is None or not (last or self._display.is_due()):
            return
        self._display.show(self._watched.count_done(), self._watched.figures(), self._watched.seconds())
        if last:
            self._display.close()
