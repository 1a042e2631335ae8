"""The text that the command ``show`` prints: the stages of a model, wrapped, and coloured in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from textwrap import wrap

from rich.highlighter import RegexHighlighter
from rich.style import Style
from rich.theme import Theme

from nncodegen.compiler.emit import Sources
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.attention_heads import drawn
from nncodegen.compiler.pipeline import Stage

ABOUT = {
    "describe": "the model as it was given",
    "stabilize": "without what overflows or cancels",
    "differentiate": "with the derivatives of the loss",
    "simplify": "in primitives of C, each value computed once",
    "schedule": "the loops, and where each tensor lies",
    "emit": "the C of the kernels",
}
"""A description of the result of each stage."""


class Formulas(RegexHighlighter):
    """The highlighting of programs: targets of assignments, functions, numbers, and the keywords of plans."""

    base_style = "shown."
    highlights = [  # noqa: RUF012 (the base class declares it so)
        r"(?P<number>(?<![\w.])\d+(\.\d*)?(e[-+]?\d+)?\b)",
        r"(?P<function>\b[A-Za-z_]\w*(?=\())",
        r"(?m)^(?P<target> *[A-Za-z_]\w*(\[[^\]]*\])?)(?= *= )",
        r"(?m)^(?P<word> *(inputs|targets|parameters|noise|outputs|loss|at rest|in training|gradient)\b)",
        r"(?m)^(?P<word> *(operations|update|next|kernel|for)\b)",
        r"(?m)^(?P<title>---.*)$",
        r"(?P<comment>/\*.*\*/)",
    ]


THEME = Theme(
    {
        "shown.number": Style(color="cyan"),
        "shown.function": Style(color="blue"),
        "shown.target": Style(bold=True),
        "shown.word": Style(color="magenta"),
        "shown.title": Style(color="green", bold=True),
        "shown.comment": Style(color="green"),
    }
)
"""The colours of the highlighted parts."""


def shown(stages: Iterable[Stage], names: Iterable[str], rules: Iterable[str], companions: bool, width: int) -> str:
    """Return the named stages as text, wrapped to a width where words allow it; then the update rules of these names.

    With ``companions``, the programs that are derived for fits and for the Hessian are shown as well.
    """
    stages, names, rules = list(stages), list(names), list(rules)
    parts = []
    for stage in stages:
        if stage.name in names:
            title = f"--- {stage.name}: {ABOUT[stage.name]} ---"
            parts.append(f"{title}\n\n{_folded(_text(stage, companions), width)}")
            heads = drawn(stage.result) if stage.name == "describe" and isinstance(stage.result, Program) else ""
            if heads:
                parts.append(f"--- who looks at whom ---\n\n{_folded(heads, width)}")
    simplified = [stage.result for stage in stages if isinstance(stage.result, Program)][-1]
    if rules:
        chosen = [update.show() for update in simplified.updates if update.name in rules]
        parts.append(f"--- update rules ---\n\n{_folded(chr(10).join(chosen), width)}")
    return "\n".join(parts)


def _text(stage: Stage, companions: bool) -> str:
    """Return the result of a stage as text: a program without update rules, a plan, or C."""
    result = stage.result
    if isinstance(result, Sources):
        kernels = [f"{result.module}.c", *(result.companions if companions else ())]
        return "\n".join(result.files[name] for name in kernels)
    if isinstance(result, Program):
        stage = replace(stage, result=result.without_updates)
    return stage.show(companions)


def _folded(text: str, width: int) -> str:
    """Return a text folded at spaces to a width; continuation lines are indented to the right-hand side."""
    return "\n".join(part for line in text.rstrip("\n").split("\n") for part in _parts(line, width)) + "\n"


def _parts(line: str, width: int) -> Iterator[str]:
    if len(line) <= width:
        yield line
        return
    begin = re.match(r" *(\w+(\[[^\]]*\])? +=|\w+ {2,}|) *", line)
    indent = min(begin.end() if begin else 0, width // 2)
    yield from wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )
