"""Recurrences: the order of their steps, and what is refused. Their derivatives are tested in test_equations.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nncodegen.errors import ProgramError
from nncodegen.ir import Element, Group, Program, Step, evaluate, gathered, grouped, verify
from nncodegen.passes.differentiate import differentiate
from nncodegen.passes.stabilize import stabilize
from tests.support.windows import gated, recurrent


def groups(model: Program) -> list[Group]:
    """The groups of a program."""
    return [item for item in grouped(model.steps) if isinstance(item, Group)]


def test_a_recurrence_is_a_loop_over_time() -> None:
    """The states are those of a loop in Python, forwards and backwards."""
    rng = np.random.default_rng(0)
    for forward in (True, False):
        model = recurrent(5, forward)
        parameters, x = rng.normal(size=model.parameter_count), rng.normal(size=(4, 5, 2))
        W, U, H = parameters[:6].reshape(3, 2), parameters[6:15].reshape(3, 3), parameters[15:21].reshape(3, 2)
        found = evaluate(model, parameters, x.reshape(4, -1), np.zeros((4, 1)))["h"]
        times = range(5) if forward else range(4, -1, -1)
        state = x[:, times[0]] @ H.T
        for t in times:
            state = np.tanh(x[:, t] @ W.T + state @ U.T)
            np.testing.assert_allclose(found[:, t], state, atol=1e-14)


def test_groups_hold_what_depends_on_itself() -> None:
    """Products of the inputs with their weights stand before the group, and sums over time after it."""
    (group,) = groups(recurrent())
    assert (group.index, group.forward) == ("t", True)
    assert [step.target.tensor for step in group.steps] == ["h_0", "state", "s", "h"]
    forward, backward = groups(differentiate(stabilize(gated()), fit=False))
    assert (forward.forward, backward.forward) == (True, False)
    names = {step.target.tensor for step in backward.steps}
    assert {"d_h", "d_c"} < names
    assert not {"d_Wi", "d_Ui", "d_V"} & names


def test_the_order_of_other_steps_does_not_matter() -> None:
    """Steps that stand within a group and do not belong there are moved out of it."""
    model = recurrent()
    names = [step.target.tensor for step in gathered(model.steps)]
    assert names.index("z") < names.index("h_0")
    values = [evaluate(replace(model, steps=steps), np.ones(24), np.ones((2, 8)), np.ones((2, 1)))["loss"]
              for steps in (model.steps, gathered(model.steps))]  # fmt: skip
    assert values[0] == values[1]


def test_recurrences_that_do_not_fit_are_refused() -> None:
    """States of different shapes, loops without an operator, and both directions at once are refused by name."""
    model = recurrent()
    (before,) = (step for step in model.steps if step.operator == "before")

    def changed(*others: Step) -> Program:
        new = {step.target: step for step in others}
        return replace(model, steps=tuple(new.get(step.target, step) for step in model.steps))

    with pytest.raises(ProgramError, match="under the indices of its result"):
        verify(changed(replace(before, expression=before.expression * 2)))
    with pytest.raises(ProgramError, match="h is used before it is defined"):
        verify(changed(replace(before, operator=None, over=())))
    after = Step(Element("h_1", ("n", "t", "j")), Element("h", ("n", "t", "j")), "after", ("t",))
    state = next(step for step in model.steps if step.target.tensor == "state")
    both = changed(replace(state, expression=state.expression + after.target))
    with pytest.raises(ProgramError, match="more than one direction"):
        verify(replace(both, steps=(after, *both.steps)))
