"""The C of the kernels in colours, with a link from each value to the step that it came from, and back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.ir import Program

_DEFINED = re.compile(
    r"^\s*(?:/\* )?(?:const )?(?:real |double )?\*?(?:const restrict )?"
    r"([A-Za-z_]\w*)(?:\[[^\]]*\])? [+*/-]?= "
)
_BLOCK = re.compile(r"/\* (?P<first>\w+)(?: to (?P<last>\w+))? \*/")
_FUNCTION = re.compile(r"^static .*?\b(\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """A line of C: its number, its anchor, and its text in colours."""

    number: int
    anchor: str
    html: Markup


@dataclass(frozen=True)
class Place:
    """The place where a step is computed: the anchor of a line, and the function around it."""

    anchor: str
    function: str


@dataclass(frozen=True)
class Code:
    """Lines of C, the places in them where each step is computed, and the number of lines that are left out."""

    lines: list[Line]
    places: dict[str, list[Place]]
    left_out: int


def code(text: str, program: Program, steps: Iterable[str], most: int) -> Code:
    """Return the C of a model, at most ``most`` lines; ``steps`` are the names of steps with anchors in the page."""
    names = Names(program.sizes)
    known = {names[name]: name for name in steps}
    lines = text.splitlines()
    coloured = _coloured(text)
    first = next((k for k, line in enumerate(lines) if line.startswith('#include "nncodegen/kernel')), -1) + 1
    places: defaultdict[str, list[Place]] = defaultdict(list)
    lines_of_code, function = [], ""
    for number in range(first, min(len(lines), first + most)):
        line, html = lines[number], coloured[number]
        begins = _FUNCTION.match(line)
        function = begins[1] if begins else function
        anchor = ""
        for written, step in _names_in(line, known):
            anchor = f"c{number + 1}"
            if all(place.function != function for place in places[step]):
                places[step].append(Place(anchor, function))
            html = _linked(html, written, step)
        lines_of_code.append(Line(number + 1, anchor, Markup(html)))
    return Code(lines_of_code, dict(places), max(0, len(lines) - first - most))


def _names_in(line: str, known: dict[str, str]) -> list[tuple[str, str]]:
    """Return the names in a line that become links, with their steps: a definition, or names in a comment."""
    block = _BLOCK.search(line)
    if block:
        return [(name, known[name]) for name in dict.fromkeys((block["first"], block["last"])) if name in known]
    defined = _DEFINED.match(line)
    if not defined:
        return []
    written = defined[1]
    base = re.sub(r"(_\d+)+$", "", written.removesuffix("_now"))  # t3_0_1 is an element of t3 after unrolling
    for name in (written, f"{written.removesuffix('_now')}_", written.removesuffix("_now"), base, f"{base}_"):
        if name in known:
            return [(written, known[name])]
    return []


def _linked(html: str, name: str, step: str) -> str:
    """Return a line with a link at the first occurrence of a name."""
    link = f'<a href="#{anchor_of(step)}">{name}</a>'
    return re.sub(rf"(?<![\w#-]){re.escape(name)}\b(?![^<]*>)", link, html, count=1)


def anchor_of(step: str) -> str:
    """Return the anchor of a step, from its name, which may hold any character."""
    return "s-" + "".join(c if c.isascii() and (c.isalnum() or c == "_") else f"-{ord(c):x}-" for c in step)


def _coloured(text: str) -> list[str]:
    """Return the lines of C as HTML; the classes of colours are single letters, so that the page stays small."""
    from pygments.lexers import CLexer  # noqa: PLC0415 (optional)

    lines = [""]
    for kind, value in CLexer(stripnl=False, ensurenl=False).get_tokens(text):
        short = _class(str(kind))
        for k, part in enumerate(value.split("\n")):
            if k:
                lines.append("")
            if part:
                escaped = str(escape(part))
                lines[-1] += f'<i class="{short}">{escaped}</i>' if short and part.strip() else escaped
    return lines


def _class(kind: str) -> str:
    """Return the class of a kind of token: a comment, a keyword of C, a number, and so on, or an empty text."""
    for start, short in (
        ("Token.Comment.Preproc", "p"),
        ("Token.Comment", "c"),
        ("Token.Keyword", "k"),
        ("Token.Literal", "n"),
        ("Token.Name.Function", "f"),
    ):
        if kind.startswith(start):
            return short
    return ""
