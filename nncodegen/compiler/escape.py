"""Makes text from data, names and files safe to print: characters that control a terminal are escaped."""

from __future__ import annotations


def printable(text: object, lines: bool = False) -> str:
    r"""Return a text with its control characters, and other invisible ones, escaped, such as \x1b.

    With ``lines``, line ends are kept.
    """
    return "".join(
        c if c.isprintable() or c == "\u00a0" or (lines and c == "\n") else c.encode("unicode_escape").decode()
        for c in str(text)
    )
