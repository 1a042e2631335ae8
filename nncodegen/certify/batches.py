"""Models that train with the statistics of a batch, as BatchNormalization does: two programs, examined one by one.

At rest, moving statistics take the place of those of a batch, and each sample is one by itself: outputs and the loss.
In training, a batch is examined as a whole: its loss, and the derivatives through its statistics.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.certify.results import REST, TRAINING, Programs
from nncodegen.ir import needed

SAMPLES = 4
"""The samples of a batch, at least: of two, all that is normalized is 1 or -1."""


def halves(programs: Programs) -> tuple[Programs, ...]:
    """The programs at rest and in training; where there are no statistics, they are the same."""
    described, simplified = programs.described, programs.simplified
    batch = simplified.batch
    if batch is None:
        return (programs,)
    rest = replace(
        simplified, steps=needed(simplified.steps, (*simplified.outputs, simplified.loss)), gradient=(), batch=None,
        present=None,
    )  # fmt: skip
    own = needed(simplified.steps, (*batch.outputs, batch.loss, *simplified.gradient))
    training = replace(simplified, steps=own, outputs=batch.outputs, loss=batch.loss, batch=None)
    return (
        Programs(programs.given.at_rest, described.at_rest, rest, (), REST),
        Programs(programs.given, described, training, programs.updates, TRAINING),
    )
