"""Models that train with the statistics of a batch, as BatchNormalization does: two programs, examined separately.

At rest, moving statistics replace those of a batch, and outputs and loss of each sample are examined separately. In
training, a batch is examined as a whole: its loss, and the derivatives through its statistics.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.certificates.results import REST, TRAINING, Programs
from nncodegen.compiler.ir import needed

SAMPLES = 4
"""Least number of samples of a batch: with two, all normalized values are 1 or -1."""


def halves(programs: Programs) -> tuple[Programs, ...]:
    """Return the programs at rest and in training; without statistics, one program for both."""
    described, simplified = programs.described, programs.simplified
    batch = simplified.batch
    if batch is None:
        return (programs,)
    rest = replace(
        simplified,
        steps=needed(simplified.steps, (*simplified.outputs, simplified.loss)),
        gradient=(),
        batch=None,
        present=None,
    )
    training_steps = needed(simplified.steps, (*batch.outputs, batch.loss, *simplified.gradient))
    training = replace(simplified, steps=training_steps, outputs=batch.outputs, loss=batch.loss, batch=None)
    return (
        Programs(programs.given.at_rest, described.at_rest, rest, (), REST, programs.companions),
        Programs(programs.given, described, training, programs.updates, TRAINING),
    )
