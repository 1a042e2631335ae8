"""Steps that only the loss needs come one after the other in loops that it shares, so that one condition skips them.

They move to the last of them. Places are not known yet: what lies where another value was is chosen for this order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from nncodegen.compiler.schedule.tree import Compute, Trees
from nncodegen.compiler.schedule.tree_walks import Site, computed


def gather_loss_only(trees: Trees, of_loss: Collection[str]) -> Trees:
    """Return trees whose loops have the tensors ``of_loss``, which no other tensor needs, side by side."""
    return trees.of_tile(partial(computed, rule=lambda site: (_collected(site, of_loss),)))


def _collected(site: Site, of_loss: Collection[str]) -> Compute:
    steps = site.compute.steps
    end = max((number for number, step in enumerate(steps, 1) if step.target.tensor in of_loss), default=0)
    first = sorted(steps[:end], key=lambda step: step.target.tensor in of_loss)  # else they keep their order
    return replace(site.compute, steps=(*first, *steps[end:]))
