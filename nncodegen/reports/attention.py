"""Pictures of attention: at which places each step looks, in the first sample of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.exports.programs import of_outputs
from nncodegen.ir import Element, Program, Step, evaluate
from nncodegen.ir.steps import factors_of
from nncodegen.reports.given import GivenData
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


def attending(program: Program) -> list[Step]:
    """Return the steps that define weights of attention: softmaxes of products of queries and keys."""
    made = {step.target.tensor: step for step in program.steps}
    known = {tensor.name for tensor in program.parameters}
    found = []
    for step in program.steps:
        places = [index for index in step.over if index in step.target.indices]
        if step.operator != "softmax" or len(places) != 1 or step.target.indices[-1] != places[0]:
            continue
        scores = made.get(step.expression.tensor) if isinstance(step.expression, Element) else None
        if scores is not None and scores.operator is None:  # numbers are added to the scores
            inner = [made[one.tensor] for one in scores.operands if one.tensor in made]
            scores = next((one for one in inner if one.operator == "sum"), None)
        factors = factors_of(scores.expression) if scores is not None and scores.operator == "sum" else []
        if len(factors) == 2 and not known & {one.tensor for one in factors} and len(step.target.indices) > 2:
            found.append(step)
    return found
