"""One file of many: the headers of the runtime take the place of the lines that include them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nncodegen.targets import RUNTIME

HEADERS = RUNTIME / "nncodegen"
"""Where the headers of the runtime are."""

Held = dict[str, list[frozenset[str]]]
"""The headers that stand in a text already, and on which conditions."""


def amalgamated(text: str, held: Held, without: tuple[str, ...] = ()) -> str:
    """A text of C in which the headers of the runtime stand where they are included, each once where that is enough.

    ``held`` has the headers that stand before; those that are expanded are added. A header ``without`` stays out.
    """
    return "\n".join(_expanded(text.splitlines(), held, without, [], "nncodegen/")) + "\n"


def _expanded(
    lines: Iterable[str], held: Held, without: tuple[str, ...], conditions: list[str], folder: str = ""
) -> Iterator[str]:
    """The lines. A header that stood on a condition only stands again where that may not hold: it has a guard.

    A model names a header with its ``folder``, as its own header may be called like one of the runtime.
    """
    depth = len(conditions)
    for line in lines:
        if line.startswith("#if"):
            conditions.append(line)
        elif line.startswith("#el"):
            conditions[-1] += f" {line}"
        elif line.startswith("#endif") and len(conditions) > depth:
            conditions.pop()
        name = _included(line, folder)
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


def _included(line: str, folder: str) -> str | None:
    """The header of the runtime that a line includes, or None."""
    begin, name, *_ = [*line.split('"'), ""]
    known = begin == "#include " and name.startswith(folder) and (HEADERS / name.removeprefix(folder)).is_file()
    return name.removeprefix(folder) if known else None
