"""Plain gradient descent where the parameters are: which optimizer it is, and what is summed up elsewhere.

The loops of the gradient come last in a tile, behind all that reads parameters. Where they sum it up for a whole batch,
in the order of the parameters, they can as well take it from these, times the learning rate (see ``descend.h``). So can
those of a single sample (see ``rows``).
"""

from __future__ import annotations

from nncodegen.ir import PARAMETER, Element, Update
from nncodegen.schedule import Place, Schedule

LEARNING_RATE = "learning_rate"
"""The hyperparameter that every optimizer has."""


def is_descent(update: Update) -> bool:
    """Whether an update is one step from a parameter along its derivative, whatever was before."""
    read = {element.tensor for step in update.steps for element in step.operands}
    return not update.state and len(update.steps) == 1 and read == {"parameter", "gradient", LEARNING_RATE}


def updates_in_place(schedule: Schedule) -> int:
    """The samples of a batch up to which updates change the parameters where they are; 0 if they never do."""
    if not any(_is_plain(update) for update in schedule.program.updates):
        return 0
    return schedule.tile if schedule.kernels[-1].descends else int(bool(schedule.rows and schedule.rows.gradient))


def _is_plain(update: Update) -> bool:
    """Whether an update takes from a parameter its derivative times the learning rate, and no more."""
    parameter, gradient = Element("parameter", [PARAMETER]), Element("gradient", [PARAMETER])
    return is_descent(update) and update.steps[0].expression == parameter - Element(LEARNING_RATE) * gradient


def finished(schedule: Schedule) -> list[tuple[int, int]]:
    """The ranges of the gradient that come from sums elsewhere; an empty one, if there are none."""
    kernel, count = schedule.kernels[-1], schedule.program.count
    places = ((kernel.storage[s.target.tensor], count(s.target.indices)) for n in kernel.finishing for s in n.steps)
    ranges = [(place.offset, place.offset + size) for place, size in places if place.place is Place.GRADIENT]
    return ranges or [(0, 0)]
