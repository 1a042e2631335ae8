"""Lines of C, with their indentation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

WIDTH = 112
"""The length of a line, without its indentation."""


class Lines:
    """Lines of C, indented by blocks."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def add(self, *lines: str) -> None:
        """Appends lines at the present depth."""
        self._lines += ["    " * self._depth + line if line else "" for line in lines]

    def include(self, text: str) -> None:
        """Appends lines that are indented already."""
        self._lines += text.splitlines()

    def extend_last(self, text: str) -> None:
        """Appends text to the last line."""
        self._lines[-1] += text

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """A block in braces behind a head."""
        self._open(head)
        yield
        self._close()

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        """The body of a function, whose braces stand alone in their lines."""
        self.add(*head.splitlines(), "{")
        self._depth += 1
        yield
        self._close()

    def again(self, condition: str, end: Iterable[str], heads: Sequence[str], begin: Iterable[str]) -> None:
        """Where a condition of the preprocessor holds, closes the innermost blocks and opens them again.

        With lines at the end of the old and at the beginning of the new.
        """
        self._lines.append(f"#if {condition}")
        self.add(*end)
        for _ in heads:
            self._close()
        for head in heads:
            self._open(head)
        self.add(*begin)
        self._lines.append("#endif")

    def _open(self, head: str) -> None:
        self.add(*f"{head} {{".lstrip().splitlines())
        self._depth += 1

    def _close(self) -> None:
        self._depth -= 1
        self.add("}")

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def wrapped(line: str) -> list[str]:
    """A line, broken behind commas where it is too long."""
    held = re.sub("(?<!,) ", "\0", line)
    parts = textwrap.wrap(held, WIDTH, subsequent_indent="    ", break_long_words=False)
    return [part.replace("\0", " ") for part in parts]
