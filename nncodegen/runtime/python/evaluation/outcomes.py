"""The outcomes of chosen steps of differential equations, without the model that was compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ground.outcomes import NOT_FINITE, UNTOLD, advised, is_explicit, outcomes_in
from .evaluate import predict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.outcomes import Outcomes
    from ..native.model import Model


def outcomes(model: Model, /, parameters: ArrayLike, X: ArrayLike | None = None) -> Outcomes:
    """Return for each sample how the chosen steps of its differential equations ended: "solved", or why it is NaN.

    Then it is "too many steps" (more than max_steps: the text says what to do about it), "steps too short" (where a
    solution leaves the range of numbers, or its rate jumps), "times before the start", or "not a number" where what
    is observed is NaN by itself, or keeps no reason; ``outcomes`` of the model tells these apart. The tuple of
    these texts has arrays ``status``, ``success`` and ``message``, (N,). It takes the time of ``predict``. Raises
    ValueError for a model whose steps are not chosen.
    """
    solver = model.facts.steps.solver
    if not solver:
        raise ValueError(f"{model.name} chooses no steps: outcomes are of differential equations without steps=...")
    texts = (NOT_FINITE if text == UNTOLD else text for text in outcomes_in(predict(model, parameters, X)))
    return model.told_outcomes(advised(texts, is_explicit(solver)))
