"""Steps that only the loss needs come one after the other in loops that it shares, so that one condition skips them.

They move to the last of them. Places are not known yet: what lies where another value was is chosen for this order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from nncodegen.schedule.tree import Compute, Trees
from nncodegen.schedule.walks import Site, computed


def collect(trees: Trees, of_loss: Collection[str]) -> Trees:
    """Return trees whose loops have the tensors ``of_loss``, which no other tensor needs, side by side."""
    return trees.of_tile(partial(computed, rule=lambda site: (_collected(site, of_loss),)))


def _collected(site: Site, of_loss: Collection[str]) -> Compute:
    steps = site.compute.steps
    own = [number for number, step in enumerate(steps) if step.target.tensor in of_loss]
    if not own:
        return site.compute
    first = [step for number, step in enumerate(steps[: own[-1]]) if number not in own]
    return replace(site.compute, steps=(*first, *(steps[number] for number in own), *steps[own[-1] + 1 :]))
