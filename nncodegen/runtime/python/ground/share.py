"""Work that several threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable

calls = threading.local()
"""Thread-local; its attribute ``hook``, if set, is a function that native calls of the thread ask whether to end."""

PARTS = 16
"""The parts of the work for each thread. Parts take different times: with more parts, threads end almost together."""


def is_ended() -> bool:
    """Return whether another thread has ended the work that this one shares."""
    hook = getattr(calls, "hook", None)
    return hook is not None and bool(hook())


def share(work: Callable[[int, int], None], count: int, size: int, threads: int) -> None:
    """Call work(first, last) for all models, fits or rows, on several threads, in parts that are multiples of ``size``.

    The calling thread is one of them; the others end with the call. If one fails, all end, and its error is raised.
    """
    if threads == 1:
        work(0, count)
        return
    from concurrent.futures import ThreadPoolExecutor, wait  # noqa: PLC0415 (6 ms, which calls on one thread save)
    from queue import Empty, SimpleQueue  # noqa: PLC0415

    part = size * max(1, -(-count // (size * threads * PARTS)))
    parts: SimpleQueue[int] = SimpleQueue()
    for first in range(0, count, part):
        parts.put(first)
    errors: list[BaseException] = []  # the first one ends the work of all threads
    asked = getattr(calls, "hook", None)

    def run() -> None:
        outside = getattr(calls, "hook", None)
        calls.hook = lambda: bool(errors) or (asked is not None and bool(asked()))
        try:
            while not errors:
                first = parts.get_nowait()
                work(first, min(first + part, count))
        except Empty:
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            calls.hook = outside

    with ThreadPoolExecutor(min(threads, parts.qsize()) - 1 or 1) as pool:
        try:
            others = [pool.submit(run) for _ in range(threads - 1)]
            run()
            wait(others)
        except BaseException as interrupt:  # between two parts, or while the others are awaited
            errors.append(interrupt)
    if errors:
        raise errors[0]
