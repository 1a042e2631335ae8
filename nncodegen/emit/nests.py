"""Nests of loops one after the other: what they are made of as a comment, and what only the loss needs on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nncodegen.emit.lines import Lines
from nncodegen.ir import Element, Step
from nncodegen.schedule import Kernel, Nest, only


def emit_nests(
    nests: Iterable[Nest],
    kernel: Kernel,
    name_of: Callable[[str], str],
    lines: Lines,
    emit: Callable[[Nest], None],
) -> None:
    """Each nest behind a comment, with what the loss alone needs of it only where that is wanted."""
    for nest in nests:
        lines.add("")
        _comment(nest, name_of, lines)
        rest = only((nest,), lambda step: step.target.tensor not in kernel.of_loss)
        if rest == (nest,):
            emit(nest)
            continue
        with lines.block("if (with_loss)"):
            emit(nest)
        for other in rest:
            with lines.block("else"):
                emit(other)


def _comment(nest: Nest, name_of: Callable[[str], str], lines: Lines) -> None:
    """Says which steps a nest came from, in names of C: a user's text could end the comment."""
    first, last = (name_of(nest.steps[k].target.tensor) for k in (0, -1))
    if not nest.outer and not nest.reduced and len(nest.steps) > 1:  # the statements are the steps
        lines.add(f"/* {first} to {last} */")
        return
    texts = []
    for step in nest.steps:
        names = {e: Element(name_of(e.tensor), e.indices) for e in (step.target, *step.operands)}
        expression = step.expression.xreplace(names)
        texts.append(str(Step(names[step.target], expression, step.operator, step.over)))
    lines.add("/* " + texts[0], *("   " + text for text in texts[1:]))
    lines.extend_last(" */")
