"""The schedule as text, with links from each step to the sweep, or to its formula, and to the C that computes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from nncodegen.compiler.ir import Program
from nncodegen.reports.code import Place, anchor_of
from nncodegen.reports.reverse_sweep import Row

_STEP = re.compile(r"^(?P<indent> +)(?P<name>[^\[\]=]*[^\[\]= ])(?P<rest>(?:\[[^\]]*\])? = .*)$")
_NUMBERED = re.compile(r"t\d+")


def sweep_places(rows: Sequence[Row], simplified: Program) -> dict[str, str]:
    """Return, for steps of the simplified program, the anchor of the row of the sweep that contains the same step.

    A name that the compiler has numbered may mean another step in the sweep: then the whole step must be equal.
    """
    anchors = {}
    for row in reversed(rows):  # the first row counts
        for step in (*row.steps, row.step):
            anchors[step.target.tensor] = f"d-{row.number}", str(step)
    anchor_of = {}
    for step in simplified.steps:
        anchor, text = anchors.get(step.target.tensor, ("", ""))
        if anchor and (not _NUMBERED.fullmatch(step.target.tensor) or text == str(step)):
            anchor_of[step.target.tensor] = anchor
    return anchor_of


def linked(
    lines: Sequence[str], steps: Sequence[str], in_sweep: Mapping[str, str], in_code: Mapping[str, Sequence[Place]]
) -> list[Markup]:
    """Return the lines of a schedule; ``steps`` are the names of the steps whose formulas have anchors in the page."""
    known, kernel, linked_lines = set(steps), "", []
    for line in lines:
        if line.startswith("kernel "):
            kernel = line.split()[1].rstrip(",")
        step = _STEP.match(line)
        name = step["name"] if step else ""
        target = in_sweep.get(name) or (anchor_of(name) if name in known else "")
        if step is None or not target:
            linked_lines.append(Markup("{}").format(line))
            continue
        text = Markup('{}<a href="#{}">{}</a>{}').format(step["indent"], target, name, step["rest"])
        places = in_code.get(name, ())
        place = next(
            (sweep_place for sweep_place in places if sweep_place.function.startswith(kernel)),
            places[0] if places else None,
        )
        if place:
            text += Markup('  <a class="to" href="#{}" aria-label="{} in the C">C</a>').format(place.anchor, name)
        linked_lines.append(text)
    return linked_lines
