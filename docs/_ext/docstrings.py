"""Docstrings of plain text, as the site shows them: tables of arguments become lists, names in them code.

They are written to be read by ``help``: paragraphs, and tables whose left column holds names::

    X        (N, inputs)
    epochs   how often every sample is used,
             at least 1
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from nncodegen.bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROW = re.compile(r"^(\S(?:.*?\S)??)\s{2,}(\S.*)$")
"""A line of a table: a name, at least two spaces, and what it is."""

LITERAL = re.compile(r"(``.+?``)", re.DOTALL)


def escaped(text: str) -> str:
    """Return a text in which only what stands in double backquotes is markup."""
    parts = LITERAL.split(text)
    for k in range(0, len(parts), 2):
        plain = re.sub(r"`([^`\n]+)`", r"\0\1\0", parts[k])
        plain = re.sub(r"([\\*|`])", r"\\\1", plain)
        plain = re.sub(r"(\w)_(?!\w)", r"\1\\_", plain)
        parts[k] = plain.replace("\0", "``")
    return "".join(parts)


def names(text: str) -> str:
    """Return the left column of a table, with each name as code."""
    return ", ".join(f"``{name.strip()}``" for name in text.rstrip(",").split(","))


def is_table(block: list[str]) -> bool:
    """Return whether some line has two columns, or a name that stands alone has its description below."""
    if block[0].lstrip().startswith("* "):
        return False
    below = len(block) > 1 and not block[0][:1].isspace() and all(line.startswith("    ") for line in block[1:])
    return below or any(ROW.match(line) for line in block)


def table(block: list[str]) -> list[str]:
    """Return a table as a list of definitions."""
    lines: list[str] = []
    for line in block:
        if line[:1].isspace():
            lines.append(f"    {escaped(line.strip())}")
            continue
        row = ROW.match(line)
        if lines and not lines[-1].startswith("    "):
            lines.append("    \\")
        lines += [names(row[1]), f"    {escaped(row[2])}"] if row else [names(line)]
    if not lines[-1].startswith("    "):
        lines.append("    \\")
    return lines


def as_rst(lines: list[str]) -> list[str]:
    """Return the lines of a docstring, with tables as lists of definitions and without accidental markup."""
    result: list[str] = []
    block: list[str] = []
    literal = False
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
            continue
        if not block:
            continue
        if literal and block[0].startswith(" "):
            result += [*block, ""]
            block = []
            continue
        literal = False
        if is_table(block):
            result += [*table(block), ""]
        else:
            result += [*escaped("\n".join(block)).split("\n"), ""]
            literal = block[-1].endswith("::")
        block = []
    return result


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Change ``lines`` of a docstring in place; autodoc calls this for each."""
    if name.startswith("nncodegen"):
        lines[:] = as_rst(lines)


NOT_CALLED = (
    "Certificate", "ClassMetrics", "Exported", "FitProgress", "FitResult", "Fitted", "ManyFits", "ManyResult", "Metric",
    "Module", "Program", "Progress", "Report", "Result", "Table", "TableModel", "Understood",
)  # fmt: skip
"""Classes whose instances people are given: how they are made tells nobody anything."""


def signature(
    app: Any, what: str, name: str, thing: Any, options: Any, text: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Return the signature of a function or class; none for classes that users do not call."""
    if what == "class" and name.rpartition(".")[2] in NOT_CALLED:
        return "", ""
    return text and text.replace("<function <lambda>>", "..."), returned


def once(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Return whether to skip a member: the table in its class's docstring already has it."""
    owner = getattr(thing, "__objclass__", None) or owner_of(thing)
    return True if owner is not None and name in told(owner) else None


def owner_of(thing: Any) -> type | None:
    """Return the class of the values of a property, from its annotation; None for anything else."""
    function = getattr(thing, "fget", None) or getattr(thing, "func", None)
    parts = getattr(function, "__qualname__", "").split(".")
    module = sys.modules.get(getattr(function, "__module__", ""))
    return getattr(module, parts[0], None) if len(parts) == 2 else None


def told(owner: type) -> set[str]:
    """Return the names in the tables of a class's docstring."""
    text = owner.__doc__  # a property, where each object has a text of its own
    rows = (ROW.match(line.strip()) for line in (text if isinstance(text, str) else "").splitlines())
    return {name.strip() for row in rows if row for name in row[1].split(",")}


def describe(app: Any, context: Any, lines: list[str]) -> None:
    """Complete the help of ``bench``, which names the workloads only when it is printed."""
    lines[:] = [line.replace("@WORKLOADS@", ", ".join(WORKLOADS)) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc and sphinx-click."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", once)
    app.connect("sphinx-click-process-description", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
