"""The clock of fits and trainings: it stands still while parts of modules are compiled, which no limit counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class Clock:
    """A clock that stands still while any thread of the process is inside ``standing``; ``timer`` never does."""

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer, self._lock = timer, Lock()
        self._inside = 0  # the number of calls of standing that have not ended
        self._since = self._stood = 0.0  # when it stopped, and the seconds that it has stood still before that

    def now(self) -> float:
        """Return the time in seconds, from an arbitrary one on."""
        with self._lock:
            return (self._since if self._inside else self._timer()) - self._stood

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Open a context in which the clock stands still. Yields nothing."""
        with self._lock:
            if not self._inside:
                self._since = self._timer()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._stood += self._timer() - self._since


clock = Clock()
"""The clock of this process."""
