"""Work that threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

calls = threading.local()
"""Its attribute ``hook``, if there is one, is a function that native calls of this thread ask whether to end."""


def is_ended() -> bool:
    """Whether another thread has ended the work that this one shares."""
    hook = getattr(calls, "hook", None)
    return hook is not None and bool(hook())


def share(work: Callable[[int, int], None], count: int, size: int, threads: int) -> None:
    """Calls work(first, last) for all models or rows, in chunks of whole groups, by threads that end with the call."""
    if threads == 1:
        work(0, count)
        return
    chunk = size * max(1, -(-count // (size * threads * 4)))  # several for each thread, as times differ
    stored: list[BaseException] = []  # what ends the work of all threads

    def run(first: int) -> None:
        calls.hook = lambda: bool(stored)
        if not stored:
            work(first, min(first + chunk, count))

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, first) for first in range(0, count, chunk)]
        try:
            wait(futures)
        except BaseException as interrupt:
            stored.append(interrupt)
            raise
    for future in futures:
        future.result()
