"""Text from data, names and files as it is printed: what a terminal would obey is written out."""

from __future__ import annotations


def printable(text: object, lines: bool = False) -> str:
    r"""A text with its control characters, and others that are not seen, written out, such as \x1b.

    With ``lines``, it may have several lines, and ends of lines stay.
    """
    return "".join(
        c if c.isprintable() or c == "\u00a0" or (lines and c == "\n") else c.encode("unicode_escape").decode()
        for c in str(text)
    )
