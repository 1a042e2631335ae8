"""Plain loops for one sample: they compute the program, whatever is fused and whichever arrays share memory."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncodegen.schedule.nest import Place
from nncodegen.schedule.plain import plan_gradient, plan_loss, plan_outputs
from tests.support.loops import Run, random_program, values_of
from tests.support.search import examples

seeds = st.integers(0, 2**32)


def drawn(seed):
    """A random program, its parameters, its results and its loss."""
    generator = random.Random(seed)
    program = random_program(generator)
    parameters = np.random.default_rng(seed).uniform(-1, 1, program.parameter_count)
    return program, parameters, *values_of(program, parameters)


@given(seeds)
@examples(80)
def test_outputs(seed):
    """Outputs of random programs are those of the evaluator: equal outputs, parameters and sums among them."""
    program, parameters, expected, _ = drawn(seed)
    run = Run(plan_outputs(program), parameters)
    assert run.memory[Place.OUTPUT] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(seeds)
@examples(80)
def test_gradients(seed):
    """Derivatives are added to what is there, and the loss is there when they are."""
    program, parameters, expected, loss = drawn(seed)
    run = Run(plan_gradient(program), parameters)
    assert run.memory[Place.GRADIENT] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert run.local("loss") == pytest.approx(loss, rel=1e-12, abs=1e-12)


@given(seeds)
@examples(20)
def test_losses(seed):
    """The loss of a sample has no weight."""
    program, parameters, _, loss = drawn(seed)
    assert Run(plan_loss(program), parameters).local("loss") == pytest.approx(loss / 0.75, rel=1e-12, abs=1e-12)
