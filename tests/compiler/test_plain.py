"""Plain loops for one sample: they compute the program, whatever is fused and whichever arrays share memory."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncodegen.certificates.carry_out import HOLDS, Run
from nncodegen.certificates.memory import Memory, OtherValueError
from nncodegen.certificates.tiles import Batch, Tile
from nncodegen.compiler.schedule import plain
from nncodegen.compiler.schedule.plain import plan_gradient, plan_loss, plan_outputs
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Let, Store
from nncodegen.compiler.schedule.tree_walks import rewritten
from nncodegen.errors import ProgramError
from tests.support.loops import random_program, results_of, values_of
from tests.support.search import examples

seeds = st.integers(0, 2**32)

NONE = np.zeros((1, 0))
"""The inputs and the targets of a sample that has none."""


def drawn(seed, weight=0.75):
    """A random program, and the values of all of its tensors."""
    program = random_program(random.Random(seed))
    parameters = np.random.default_rng(seed).uniform(-1, 1, program.parameter_count)
    return program, values_of(program, parameters, weight)


def carried_out(plan, values):
    """The memory that a kernel leaves. Every step is compared with the evaluator."""
    return memory_after(plan.kernel, plan.program, values)


def memory_after(kernel, program, values):
    """The memory that the trees of a kernel leave, for a sample without inputs and targets."""
    run = Run(kernel, program, Memory(kernel, program, Batch((Tile(1, values, NONE, NONE),))), HOLDS)
    run.everything()
    return run.memory


@given(seeds)
@examples(80)
def test_outputs(seed):
    """Outputs of random programs are those of the evaluator: equal outputs, parameters and sums among them."""
    program, values = drawn(seed)
    expected = results_of(program, values)
    memory = carried_out(plan_outputs(program), values)
    assert memory.columns[Place.OUTPUT][0] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(seeds)
@examples(80)
def test_gradients(seed):
    """Derivatives are added to what is there."""
    program, values = drawn(seed)
    expected = results_of(program, values)
    derivatives = carried_out(plan_gradient(program), values).flat[Place.GRADIENT][: len(expected)]
    assert derivatives == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(seeds)
@examples(20)
def test_losses(seed):
    """The loss of a sample has no weight."""
    program, values = drawn(seed, weight=1.0)
    plan = plan_loss(program)
    assert plan.kernel.place(plan.program.loss) is Place.LOCAL
    memory = carried_out(plan, values)
    assert memory.local(plan.program.loss) == pytest.approx(values["loss"], rel=1e-12, abs=1e-12)
    other = {**values, "loss": values["loss"] + 1}
    with pytest.raises(OtherValueError):
        carried_out(plan, other)


@given(seeds)
@examples(20)
def test_a_fault_is_named(seed):
    """Where a value is doubled, the step is named; where two arrays are put in one place, the plan is refused."""
    program, values = drawn(seed)
    plan = plan_gradient(program)
    names = [name for name, known in plan.kernel.storage.items() if known.place in (Place.LOCAL, Place.ARRAY)]
    for wrong in [name for name in names if name in values and np.any(values[name])][:3]:

        def doubled(statement, wrong=wrong):
            is_wrong = statement.target.tensor == wrong and statement.value.terms != (statement.target,)
            value = replace(statement.value, terms=tuple(2 * term for term in statement.value.terms))
            return (replace(statement, value=value) if is_wrong else statement,)

        tree = rewritten(plan.tree, {Let: doubled, Store: doubled})
        if tree != plan.tree:
            planted = replace(plan.kernel, trees=replace(plan.kernel.trees, parts=((0, tree),)))
            with pytest.raises(OtherValueError) as caught:
                memory_after(planted, plan.program, values)
            assert caught.value.step.startswith(wrong)


def test_arrays_in_one_place_are_refused(monkeypatch):
    """Trees of plain loops are verified as all others are."""
    place = plain._arrays

    def everything_at_the_beginning(*arguments):
        storage, work = place(*arguments)
        moved = {n: replace(s, offset=0) if s.place is Place.ARRAY else s for n, s in storage.items()}
        return moved, work

    monkeypatch.setattr(plain, "_arrays", everything_at_the_beginning)
    program = random_program(random.Random(3))
    with pytest.raises(ProgramError, match="lie in the same memory while both are used"):
        plan_gradient(program)
