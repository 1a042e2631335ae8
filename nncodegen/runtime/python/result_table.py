"""The result of a training as a table in HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .facts import flat_names
from .markup import paragraph, table

if TYPE_CHECKING:
    from .result import Result

ROWS = 20
"""The most parameters that are shown; a model with more, such as a network, shows none."""


def result_html(result: Result) -> str:
    """Return an HTML table of how the training ended, and of the parameters if they are few."""
    model = result._model
    figures = [("status", result.status), ("epochs", f"{result.epochs}"), ("loss", f"{result.loss:.6g}")]
    for name, values in result.metrics.items():
        if name != "loss" and len(values):
            figures.append((name, f"{values[-1]:.6g}"))
    rates = result.learning_rate
    if rates is not None and len(rates):
        ends = dict.fromkeys(f"{rate:.6g}" for rate in rates[[0, -1]])
        figures.append(("learning rate", " to ".join(ends)))
    if result.best_epoch is not None:
        figures.append(("best epoch", f"{result.best_epoch}"))
    figures.append(("seconds", f"{result.seconds:.3g}"))
    if result.message:
        figures.append(("message", result.message))
    parts = [paragraph(f"{model.name}: training", "b"), table((), figures)]
    if model.parameter_count <= ROWS:
        rows = zip(flat_names(model.facts.parameters), (f"{value:.8g}" for value in result.parameters), strict=True)
        parts.append(table(("parameter", "value"), rows))
    return f"<div>{''.join(parts)}</div>"
