"""A single C file: the headers of the runtime replace the lines that include them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nncodegen.compiler.building.targets import RUNTIME

HEADERS = RUNTIME / "nncodegen"
"""The folder of the headers of the runtime."""

Held = dict[str, list[frozenset[str]]]
"""The headers that a text contains already; for each occurrence, the #if conditions around it."""


def amalgamated(text: str, held: Held, without: tuple[str, ...] = ()) -> str:
    """Return a text of C with the headers of the runtime in place of their includes, each once where that is enough.

    ``held`` has the headers that stand in the text before; the expanded ones are added. Headers in ``without`` stay
    out.
    """
    return "\n".join(_expanded(text.splitlines(), held, without, [])) + "\n"


def _expanded(lines: Iterable[str], held: Held, without: tuple[str, ...], conditions: list[str]) -> Iterator[str]:
    """Yield the expanded lines.

    A header that so far stands only under a condition is expanded again where that condition may not hold; its guard
    makes this safe.
    """
    depth = len(conditions)
    for line in lines:
        if line.startswith("#if"):
            conditions.append(line)
        elif line.startswith("#el"):
            conditions[-1] += f" {line}"
        elif line.startswith("#endif") and len(conditions) > depth:
            conditions.pop()
        name = _included(line)
        here = frozenset(conditions)
        if name is None:
            yield line
        elif name not in without and not any(there <= here for there in held.get(name, ())):
            content = (HEADERS / name).read_text().splitlines()
            guard = next((k for k, each in enumerate(content) if each.startswith("#ifndef NNCODEGEN_")), None)
            if guard is None:  # it may be included several times
                yield from _expanded(content, held, without, conditions)
            else:
                held.setdefault(name, []).append(here)
                end = max(k for k, each in enumerate(content) if each == "#endif")
                yield from content[: guard + 2]
                yield from _expanded(content[guard + 2 : end], held, without, conditions)
                yield "#endif"


def _included(line: str) -> str | None:
    """Return the header of the runtime that a line includes, by its path among them, or None."""
    begin, path, *_ = [*line.split('"'), ""]
    name = path.removeprefix("nncodegen/")
    return name if begin == "#include " and name != path and (HEADERS / name).is_file() else None
