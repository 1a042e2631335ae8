"""The solvers of the runtime in plain C: the text for one lane, without what only several lanes need.

The headers ``solve/*.h`` solve samples in several lanes or in one. Their number, ``lanes``, is a constant, and what one
lane does otherwise stands under ``if (lanes == 1)``. Here, this is decided: loops over lanes become what they repeat,
arrays over lanes have one value, and what nothing calls any more is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from nncodegen.formats.c.runtime_headers import runtime_text

DECIDED = {
    "#if NN_SAME_BITS || (defined(__FMA__) && defined(fused))": False,
    "#if NN_SAME_BITS": False,
    "#ifndef IN_LOOP": False,
    "#ifdef NNCODEGEN_LINKED": False,
    "#if !defined(NNCODEGEN_LINKED) || defined(NNCODEGEN_LIBRARY)": True,
}
"""The conditions of these headers, as plain C has them; besides guards and the bits of numbers."""

LOOP = "for (size_t lane = 0; lane < lanes; lane++)"

LEFT_OUT = re.compile(
    r" *(LANES_LOOP|LARGEST_LOOP\(\w+\)|FEW_ROUNDS|const linear_lanes \*\w+;|rates_of_lanes \w+;)"
    r"|#define (ALIGNED|OF_\w+|IN\(|BY\(|(\w+) NN\(\3\)).*"
)
"""Lines that several lanes need."""

TOKENS = {
    r"\bOF_(LANES|RATES) |\b(IN|BY)\([^()]+\) | ALIGNED\b|\b(HOT|COLD) ": "",
    r"\bSHARED\b": "INLINE",
    r"\bsize_t lane, | size_t lane,$|(?<=[(,] )lane, |(?<=\()lane, |(?<=\badded\()lanes, ": "",
    r"\(lanes\) > 1 \? [^:]* : ": "",
    r"\blanes (== 1 &&|> 1 \|\|) ": "",
    r"\[\(([^()]*)\)\*lanes \+ lane\]": r"[\1]",
    r"\*lanes( \+ lane\b)?": "",
    r"\[LANES\]": "[1]",
    r"\[lane\]": "[0]",
}
"""For parts of other lines, what they become."""

NEEDS = re.compile(r"\n\n +Needs .*?(?=\n\n| \*/)", re.DOTALL)
"""The sentences on what a header needs and gives, in its first comment."""

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)

FUNCTION = re.compile(r"^(?:INLINE|IN_LOOP|static) [\w *]*?(\w+)\(", re.MULTILINE)
"""The name of a function that a part of a text defines."""

DEFINED = re.compile(r"^(?:#define |} |typedef [\w ]*\(\*|enum {(?= \w+ = [^,]*};) )(\w+)", re.MULTILINE)
"""The names of what other parts define."""


def solver_text(headers: Iterable[str], bits: str, callers: str) -> list[str]:
    """Return the lines of headers of solvers for one lane, as far as the text of callers needs them."""
    lines: list[str] = []
    for header in headers:
        guard = f"#ifndef NNCODEGEN_{header.split('/')[-1].upper()}_H"
        decided = {**DECIDED, guard: True, "#if NN_BITS == 64": bits == "64"}
        lines += ["", *_chosen(runtime_text(header), decided)]
    parts = [part for part in map(_one_lane, _parts(lines)) if part]
    return "\n\n".join(_called(parts, callers)).splitlines()


def _chosen(lines: Iterable[str], decided: dict[str, bool]) -> Iterator[str]:
    """Yield the lines under conditions that hold, without the conditions that are decided."""
    holding: list[bool | None] = []  # of each condition around a line; None where it is not decided
    for line in lines:
        if line.startswith("#if"):
            holding.append(decided.get(line.split(" /*")[0]))
            shown = holding[-1] is None
        elif line.startswith(("#else", "#endif")):
            shown = holding[-1] is None
            if line == "#endif":
                holding.pop()
            elif not shown:
                holding[-1] = not holding[-1]
        else:
            shown = not re.fullmatch(r"#define NNCODEGEN_\w+_H", line)
        if shown and False not in holding:
            yield line


def _parts(lines: Iterable[str]) -> list[str]:
    """Return the parts of a text: definitions with their comments, which blank lines separate outside of comments."""
    text = COMMENT.sub(lambda comment: comment.group().replace("\n\n", "\n\0\n"), "\n".join(lines))
    return [part.replace("\0", "") for part in re.split(r"\n\n+", text.strip("\n"))]


def _one_lane(part: str) -> str:
    """Return a part of a text for one lane; without any text where nothing but a comment is left."""
    comment = COMMENT.match(part)
    about = comment.group() if comment else ""
    code = part[len(about) :].strip("\n").splitlines()
    kept = list(_unrolled([line for line in code if not LEFT_OUT.fullmatch(line)]))
    for pattern, replacement in TOKENS.items():
        kept = [re.sub(pattern, replacement, line) for line in kept]
    return "" if code and not kept else "\n".join([NEEDS.sub("", about)] * bool(about) + kept)


def _unrolled(lines: Sequence[str]) -> Iterator[str]:
    """Yield code without loops over lanes, and without conditions on their number."""
    number = 0
    while number < len(lines):
        head = re.fullmatch(rf"( *)({re.escape(LOOP)}|if \(lanes (== 1|> 1)\))( {{)?", lines[number])
        if not head:
            yield lines[number]
            number += 1
            continue
        margin, _, condition, _ = head.groups()
        end = _end(lines, number + 1, margin)
        if condition != "> 1":
            yield from _unrolled([line[4:] for line in lines[number + 1 : end]])
        while re.match(rf"{margin}(}} )?else\b", "".join(lines[end : end + 1])):
            end = _end(lines, end + 1, margin)
        number = end + (lines[end : end + 1] == [f"{margin}}}"] and "{" in lines[number])


def _end(lines: Sequence[str], begin: int, margin: str) -> int:
    """Return the number of the line after those that stand further to the right."""
    return next((k for k in range(begin, len(lines)) if not lines[k].startswith(f"{margin} ")), len(lines))


def _called(parts: Sequence[str], callers: str) -> list[str]:
    """Return the parts of a text whose definitions any other part reads, or the callers."""
    while True:
        codes = [COMMENT.sub("", part) for part in parts]
        names = [FUNCTION.findall(code) or DEFINED.findall(code) for code in codes]
        kept = []
        for number, part in enumerate(parts):
            others = "\n".join([*codes[:number], *codes[number + 1 :], callers])
            if not names[number] or any(re.search(rf"\b{name}\b", others) for name in names[number]):
                kept.append(part)
        if len(kept) == len(parts):
            return kept
        parts = kept
