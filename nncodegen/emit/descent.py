"""Plain gradient descent where the parameters are: which optimizer it is, and what is summed up elsewhere.

The loops of the gradient come last in a tile, behind all that reads parameters. Where they sum it up for a whole batch,
in the order of the parameters, they can as well take it from these, times the learning rate (see ``descent.c``). So can
those of a single sample (see ``rows``).
"""

from __future__ import annotations

from pathlib import Path

from nncodegen.ir import PARAMETER, Element, Update
from nncodegen.schedule import Place, Schedule

HERE = Path(__file__).parent

LEARNING_RATE = "learning_rate"
"""The hyperparameter that every optimizer has."""


def is_descent(update: Update) -> bool:
    """Whether an update is one step from a parameter along its derivative, whatever was before."""
    read = {element.tensor for step in update.steps for element in step.operands}
    return not update.state and len(update.steps) == 1 and read == {"parameter", "gradient", LEARNING_RATE}


def emit_descent(schedule: Schedule) -> str:
    """The updates that change parameters where they are, with marks; nothing where no optimizer or no gradient does."""
    numbers = [number for number, update in enumerate(schedule.program.updates) if _is_plain(update)]
    most = "TILE" if schedule.kernels[-1].descends else "1" if schedule.rows and schedule.rows.gradient else ""
    if not numbers or not most:
        return ""
    text = (HERE / "descent.c").read_text().replace("@NUMBER@", str(numbers[0])).replace("@MOST@", most)
    return text.replace("@FINISHED@", ", ".join(f"{{{first}, {last}}}" for first, last in _finished(schedule)))


def _is_plain(update: Update) -> bool:
    """Whether an update takes from a parameter its derivative times the learning rate, and no more."""
    parameter, gradient = Element("parameter", [PARAMETER]), Element("gradient", [PARAMETER])
    return is_descent(update) and update.steps[0].expression == parameter - Element(LEARNING_RATE) * gradient


def _finished(schedule: Schedule) -> list[tuple[int, int]]:
    """The ranges of the gradient that come from sums elsewhere; an empty one, if there are none."""
    kernel, count = schedule.kernels[-1], schedule.program.count
    places = ((kernel.storage[s.target.tensor], count(s.target.indices)) for n in kernel.finishing for s in n.steps)
    ranges = [(place.offset, place.offset + size) for place, size in places if place.place is Place.GRADIENT]
    return ranges or [(0, 0)]
