"""Pictures of attention: at which places each step looks, in the first sample of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Program, evaluate
from nncodegen.compiler.ir.attention_heads import attending
from nncodegen.formats.export.programs import of_outputs
from nncodegen.reports.arguments import GivenData
from nncodegen.reports.plots import Plot, looks

MOST_LAYERS, MOST_HEADS, MOST_PLACES = 4, 4, 32
"""The most layers, heads of a layer, and steps and places of a head that are drawn."""


def attention_plots(program: Program, parameters: NDArray[Any], data: GivenData | None) -> list[Plot]:
    """Return a plot of the weights of each layer with attention, for the first sample; none without data."""
    steps = attending(program)
    if data is None or not data.samples or not steps:
        return []
    with np.errstate(all="ignore"):
        values = evaluate(of_outputs(program), parameters, data.X[:1])
    plots = []
    for number, step in enumerate(steps[:MOST_LAYERS]):
        weights = np.asarray(values[step.target.tensor][0], float)
        heads = weights.reshape(-1, *weights.shape[-2:])
        if not np.isfinite(heads).all():
            continue
        shown = heads[:MOST_HEADS, :MOST_PLACES, :MOST_PLACES]
        whole = f", of {len(heads)} heads, {heads.shape[1]} steps and {heads.shape[2]} places"
        rest = "" if shown.shape == heads.shape else whole
        about = (
            f"The weights {step.target.tensor} in the first sample: a row for each step that looks, a column for each "
            f"place that it looks at; rows sum to 1. Shown are {len(shown)} heads{rest}."
        )
        plots.append(looks(f"attention-{number}", f"Who looks at whom: {step.target.tensor}", about, shown))
    return plots
