"""Models that train with the statistics of a batch, as BatchNormalization does: two programs, examined separately.

At rest, moving statistics replace those of a batch, and outputs and loss of each sample are examined separately. In
training, a batch is examined as a whole: its loss, and the derivatives through its statistics.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.certificates.results import REST, TRAINING, Programs
from nncodegen.compiler.ir import InTraining, Program, needed

SAMPLES = 4
"""Least number of samples of a batch: with two, all normalized values are 1 or -1."""


def halves(programs: Programs) -> tuple[Programs, ...]:
    """Return the programs at rest and in training; without statistics, one program for both."""
    described, simplified = programs.described, programs.simplified
    batch = simplified.batch
    if batch is None:
        return (programs,)
    steps = needed(simplified.steps, simplified.outputs_and_loss)
    rest = replace(simplified, steps=steps, gradient=(), batch=None, present=None)
    training = _in_training(simplified, batch)
    return (
        Programs(programs.given.at_rest, described.at_rest, rest, (), REST, programs.companions),
        Programs(programs.given, described, training, programs.updates, TRAINING),
    )


def _in_training(program: Program, batch: InTraining) -> Program:
    """Return the program of the gradient alone, with the outputs and the loss of training."""
    steps = needed(program.steps, (*batch.outputs, batch.loss, *program.gradient))
    return replace(program, steps=steps, outputs=batch.outputs, loss=batch.loss, batch=None)
