"""Lines of C, with their indentation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

WIDTH = 112
"""The length of a line, without its indentation."""


@dataclass
class _Block:
    """An open block: the line of its head, its number of parts, whether its braces stay, whether it is a choice."""

    head: int
    parts: int = 0
    held: bool = False
    chooses: bool = False


class Lines:
    """Lines of C, indented by blocks. A block of a single statement has no braces."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._blocks: list[_Block] = []

    def add(self, *lines: str) -> None:
        """Append lines at the current depth; an empty line at the beginning of a block is left out."""
        if self._blocks:
            self._blocks[-1].parts += len(lines)
        self._append(*lines)

    def _append(self, *lines: str) -> None:
        for line in lines:
            if line:
                self._lines.append("    " * len(self._blocks) + line)
            elif not self._lines or not self._lines[-1].endswith("{"):
                self._lines.append("")

    def include(self, text: str) -> None:
        """Append lines that are indented already."""
        self._lines += text.splitlines()

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._lines)

    def cut(self, begin: int) -> str:
        """Remove the lines from a number on, and return them."""
        self._lines, removed = self._lines[:begin], self._lines[begin:]
        return "\n".join(removed)

    def extend_last(self, text: str) -> None:
        """Append text to the last line."""
        self._lines[-1] += text

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Yield inside a block after a line such as "for (...)"; "else" continues the block before it."""
        if self._blocks:
            outer = self._blocks[-1]
            outer.parts += 1
            # without braces, its else or a note would belong to another block
            outer.held |= head.startswith(("if", "else")) or "\n" in head
        self._open(head)
        yield
        block = self._blocks.pop()
        if block.held or block.parts != 1:
            self._append("}")
        else:
            self._lines[block.head] = self._lines[block.head].removesuffix(" {")

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        """Yield inside the body of a function, whose braces have separate lines."""
        self._append(*head.splitlines(), "{")
        self._blocks.append(_Block(len(self._lines), held=True))
        yield
        self._blocks.pop()
        self._append("}")

    @contextmanager
    def structure(self, name: str) -> Iterator[None]:
        """Yield inside the members of a structure, a type of this name."""
        self._open("typedef struct")
        yield
        self._blocks.pop()
        self._append(f"}} {name};", "")

    def again(self, condition: str, end: Iterable[str], heads: Sequence[str], begin: Iterable[str]) -> None:
        """Close the innermost blocks and open them again if a condition of the preprocessor holds.

        Lines are added at the end of the old blocks and at the beginning of the new ones.
        """
        self._lines.append(f"#if {condition}")
        self.add(*end)
        for _ in heads:
            self._blocks.pop()
            self._append("}")
        if self._blocks:
            self._blocks[-1].held = True  # it has two statements then
        for head in heads:
            self._open(head)
            self._blocks[-1].held = True
        self.add(*begin)
        self._lines.append("#endif")

    def _open(self, head: str) -> None:
        joins = head == "else" and self._lines[-1] == "    " * len(self._blocks) + "}"
        if joins:
            self._lines[-1] += " else {"
        else:
            self._append(*f"{head} {{".lstrip().splitlines())
        self._blocks.append(_Block(len(self._lines) - 1, held=joins, chooses=head.startswith(("if", "else"))))

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def head(index: str, end: int | str, begin: int | str = 0, backward: bool = False) -> str:
    """Return the head of a loop over an index, from ``begin`` up to ``end``, or backward from the last value."""
    if backward:
        return f"for (size_t {index} = {end}; {index}-- > {begin};)"
    return f"for (size_t {index} = {begin}; {index} < {end}; {index}++)"


def wrapped(line: str, after: str = ",") -> list[str]:
    """Return a line, broken at spaces after a given text if it is too long."""
    held = re.sub(f"(?<!{after}) ", "\0", line)
    parts = textwrap.wrap(held, WIDTH, subsequent_indent="    ", break_long_words=False)
    return [part.replace("\0", " ") for part in parts]
