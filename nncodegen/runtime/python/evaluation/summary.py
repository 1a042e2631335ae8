"""The parts of a model with their shapes and parameter counts, as a plain-text table."""

from __future__ import annotations

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
    roles = (("input", facts.inputs), ("parameter", ()), ("output", facts.outputs))
    rows: list[tuple[str, str, str, str]] = []
    for role, tensors in roles:
        rows += [(name, role, shape_text((None, *facts.shapes.get(name, (size,)))), "0") for name, size in tensors]
        if role == "parameter":
            rows += [(one.name, role, shape_text(one.shape), f"{one.size:,}") for one in facts.parameters]
    fixed = facts.frozen + sum(last - first for first, last, _ in facts.following)
    counts = model.parameter_count, model.parameter_count - fixed
    print_summary(model.name, ("Name", "Role", "Shape", "Param #"), rows, counts, print_fn, (0, 1, 2))


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape as text, with None for the number of samples; a scalar gives an empty text."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" if shape else ""


def print_summary(
    name: str, head: Sequence[str], rows: Sequence[Sequence[str]], counts: tuple[int, int],
    print_fn: Callable[[str], Any] | None, texts: Collection[int],
) -> None:  # fmt: skip
    """Print a table with a title, and the numbers of all parameters and of those that are trained."""
    first, *others = aligned(head, rows, texts)
    width = max(map(len, (first, *others)))
    total, trained = counts
    totals = (("Total", total), ("Trainable", trained), ("Non-trainable", total - trained))
    lines = [f'Model: "{name}"', "", first, "=" * width, *others, "=" * width]
    for line in (*lines, *(f"{what} params: {count:,}" for what, count in totals)):
        (print_fn or print)(line)
