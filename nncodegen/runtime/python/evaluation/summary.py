"""The parts of a model with their shapes and parameter counts, as a plain-text table."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from ..ground.markup import aligned

if TYPE_CHECKING:
    from ..native.model import Model


def summary(model: Model, /, print_fn: Callable[[str], Any] | None = None) -> None:
    """Print the inputs, outputs and parameters of the model by name, with their shapes and parameter counts.

    Each line is passed to ``print_fn``, by default ``print``; ``lines.append`` collects the lines.
    """
    facts = model.facts
    roles = (("input", facts.samples.inputs), ("parameter", ()), ("output", facts.samples.outputs))
    rows: list[tuple[str, str, str, str]] = []
    for role, tensors in roles:
        rows += [
            (name, role, shape_text((None, *facts.samples.shapes.get(name, (size,)))), "0") for name, size in tensors
        ]
        if role == "parameter":
            rows += [
                (parameter.name, role, shape_text(parameter.shape), f"{parameter.size:,}")
                for parameter in facts.parameters
            ]
    fixed = facts.frozen + sum(last - first for first, last, _ in facts.following)
    counts = model.parameter_count, model.parameter_count - fixed
    note = predictions_text([facts.samples.shapes.get(name, (size,)) for name, size in facts.samples.outputs])
    print_summary(model.name, ("Name", "Role", "Shape", "Param #"), rows, counts, print_fn, (0, 1, 2), note)


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape as text, with None for the number of samples; a scalar gives an empty text."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" if shape else ""


def predictions_text(shapes: Sequence[Sequence[int]]) -> str:
    """Return what ``predict`` gives, where the shapes of outputs in a table are others; else an empty text."""
    if len(shapes) == 1 and len(shapes[0]) < 2:
        return ""
    width = sum(math.prod(shape) for shape in shapes)
    how = "outputs side by side" if len(shapes) > 1 else "the values of a sample one after the other"
    return f"Predictions: {shape_text((None, width))}, {how}"


def print_summary(
    name: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    counts: tuple[int, int],
    print_fn: Callable[[str], Any] | None,
    texts: Collection[int],
    note: str = "",
) -> None:
    """Print a table with a title, the numbers of all parameters and of those that are trained, and a note, if any."""
    first, *others = aligned(head, rows, texts)
    width = max(map(len, (first, *others)))
    total, trained = counts
    totals = (("Total", total), ("Trainable", trained), ("Non-trainable", total - trained))
    lines = [f'Model: "{name}"', "", first, "=" * width, *others, "=" * width]
    for line in (*lines, *(f"{what} params: {count:,}" for what, count in totals), *[note] * bool(note)):
        (print_fn or print)(line)
