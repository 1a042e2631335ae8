"""Recurrences: the order of their steps, what is refused, and the derivatives of random ones.

Those of layers and windows among them are tested in test_equations.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sympy import Add, Derivative, Rational

from nncodegen.certificates import exact
from nncodegen.certificates.differences import without_derivatives
from nncodegen.compiler.ir import (
    Companion,
    Element,
    Equation,
    Group,
    Program,
    Step,
    Tensor,
    columns_of,
    evaluate,
    gathered,
    grouped,
    needed,
    verify,
)
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.fitting.jacobian import jacobian
from nncodegen.compiler.passes.hessian import hessian
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.passes.tangent import tangent
from nncodegen.errors import ProgramError
from tests.support.search import examples
from tests.support.windows import gated, gradient, program, recurrent


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
        values = evaluate(model, parameters, x.reshape(4, -1), np.zeros((4, 1)))["h"]
        times = range(5) if forward else range(4, -1, -1)
        state = x[:, times[0]] @ H.T
        for t in times:
            state = np.tanh(x[:, t] @ W.T + state @ U.T)
            np.testing.assert_allclose(values[:, t], state, atol=1e-14)


def test_groups_hold_what_depends_on_itself() -> None:
    """Products of the inputs with their weights stand before the group, and sums over time after it."""
    (group,) = groups(recurrent())
    assert (group.index, group.forward) == ("t", True)
    assert [step.target.tensor for step in group.steps] == ["h_0", "state", "s", "h"]
    forward, backward = groups(differentiate(stabilize(gated())))
    assert (forward.forward, backward.forward) == (True, False)
    names = {step.target.tensor for step in backward.steps}
    assert {"d_h", "d_c"} < names
    assert not {"d_Wi", "d_Ui", "d_V"} & names


def test_the_order_of_other_steps_does_not_matter() -> None:
    """Steps that stand within a group and do not belong there are moved out of it."""
    model = recurrent()
    names = [step.target.tensor for step in gathered(model.steps)]
    assert names.index("z") < names.index("h_0")
    values = [
        evaluate(replace(model, steps=steps), np.ones(24), np.ones((2, 8)), np.ones((2, 1)))["loss"]
        for steps in (model.steps, gathered(model.steps))
    ]
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


# --- derivatives of random recurrences ---------------------------------------------------------------------------

Vector = NDArray[np.float64]

POINT, DIRECTION, OTHER = np.array([0.7, -0.4]), np.array([0.6, 0.8]), np.array([-0.3, 0.9])
"""Values of the parameters p and q, and two directions."""

C = np.array([0.8, -0.3])
"""The input c of two samples."""


@dataclass(frozen=True)
class Term:
    """What an equation reads: a state, some times before or at the same time, and what is done with it."""

    state: int
    lag: int
    how: str

    def of(self, value: Any, factors: Mapping[str, Any], sine: Callable[[Any], Any]) -> Any:
        """Return the term, given the value of the state."""
        return sine(value) if self.how == "sin" else factors[self.how] * value


@dataclass(frozen=True)
class Recurrence:
    """States that are sums of terms, each from a start, which stand in an order in which they can be computed."""

    equations: tuple[tuple[Term, ...], ...]
    starts: tuple[str, ...]
    observed: int
    times: int
    last: bool

    def program(self) -> Program:
        """The steps of the states, and squared errors of the one that is observed, at all times or at the last one."""
        p, q, c, k = Element("p"), Element("q"), Element("c", ("n",)), ("n", "k")
        factors, starts = {"": Rational(1, 2), "p": p, "q": q}, {"p": p, "q": q, "c": c, "": Rational(3, 10)}
        steps: list[Step] = []
        for number, start in enumerate(self.starts):
            first = Equation("k", (), 0)
            steps += [
                Step(Element(f"start{number}", k), c * 0 + starts[start], None, (), (first,)),
                Step(Element(f"first{number}", k), Element(f"u{number}", k), "before", ("k",)),
                Step(Element(f"begin{number}", k), Element(f"first{number}", k) + Element(f"start{number}", k)),
                Step(Element(f"second{number}", k), Element(f"begin{number}", k), "before", ("k",)),
            ]
        for number, terms in enumerate(self.equations):
            names = ("u", "begin", "second")
            read = [term.of(Element(f"{names[term.lag]}{term.state}", k), factors, sympy.sin) for term in terms]
            steps.append(Step(Element(f"u{number}", k), Add(*read)))
        output = Element(f"u{self.observed}", k)
        if self.last:
            steps.append(Step(Element("out", ("n",)), output, "sum", ("k",), (Equation("k", (), self.times - 1),)))
            output = steps[-1].target
        named = {tensor.name: tensor for tensor in (Tensor("p", ()), Tensor("q", ()))}
        return program([*needed(steps, [output])], output, [Tensor("c", (None,))], [*named.values()], k=self.times)

    def outputs(self, point: Any, c: Any = C) -> Any:
        """The observed values of both samples, by a loop over times, for real or complex parameters."""
        p, q = point
        factors, starts = {"": 0.5, "p": p, "q": q}, {"p": p, "q": q, "c": c, "": 0.3}
        nothing, begin = c * 0, [c * 0 + starts[start] for start in self.starts]
        now, before, lagged = [], begin, [nothing for _ in begin]
        observed = []
        for _ in range(self.times):
            now = []
            for terms in self.equations:
                read = [(now, before, lagged)[term.lag][term.state] for term in terms]
                now.append(sum(term.of(value, factors, np.sin) for term, value in zip(terms, read, strict=True)))
            before, lagged = now, before
            observed.append(now[self.observed])
        return np.stack(observed[-1:] if self.last else observed, axis=1)

    def loss(self, point: Any) -> Any:
        """The loss, for real or complex parameters."""
        return ((self.outputs(point) - self.targets) ** 2).sum() / 2

    @property
    def targets(self) -> Vector:
        """Targets for both samples."""
        return np.linspace(-1, 1, 2 if self.last else 2 * self.times).reshape(2, -1)


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    """Two to five states that read any at earlier times, and those before them at the same time; one reads p."""
    count = draw(st.integers(2, 5))
    equations = []
    for number in range(count):
        term = st.tuples(st.integers(0, count - 1), st.integers(0, 2), st.sampled_from(["", "", "sin", "p", "q"]))
        terms = draw(st.lists(term, min_size=1, max_size=3))
        equations.append([Term(state, lag if state < number else max(lag, 1), how) for state, lag, how in terms])
    equations[draw(st.integers(0, count - 1))].append(Term(draw(st.integers(0, count - 1)), 1, "p"))
    starts = draw(st.tuples(*(st.sampled_from(["c", "p", "q", ""]) for _ in range(count))))
    observed, times = draw(st.integers(0, count - 1)), draw(st.integers(2, 4))
    return Recurrence(tuple(map(tuple, equations)), starts, observed, times, draw(st.booleans()))


def along(function: Callable[[Any], Any], point: Vector, direction: Vector) -> Any:
    """The derivative of a function in a direction, by a complex step: exact to rounding."""
    return np.imag(function(point + 1e-20j * direction)) / 1e-20


def row_of(companion: Companion, parameters: Vector, seed: Vector) -> Vector:
    """The derivatives of the sum of all outputs times their seeds, for each sample, by the rows of a fit."""
    targets = np.tile(seed, (2, 1)) if companion.program.targets else None
    values = evaluate(companion.program, parameters, C[:, None], targets, results=companion.program.outputs)
    arrays = [values[output.tensor] for output in companion.program.outputs]
    columns = columns_of(arrays, companion.program.outputs, 2)[:, companion.outputs :]
    if companion.forward:
        return columns.reshape(2, -1, len(seed)) @ seed
    return columns[:, -2:] if companion.program.targets else columns[:, -2:] * seed  # a single output has no seed


@given(recurrences())
@examples(200)
def test_derivatives_of_random_recurrences(recurrence: Recurrence) -> None:
    """Gradient, rows of a fit and Hessian are those of a loop over times, whatever reads what, in any order."""
    model = verify(recurrence.program())
    derived = differentiate(model)
    total_slopes = gradient(derived, POINT, C[:, None], recurrence.targets)
    assert total_slopes @ DIRECTION == pytest.approx(along(recurrence.loss, POINT, DIRECTION), rel=1e-11, abs=1e-13)
    rows, seed = jacobian(model), np.linspace(0.5, -0.8, recurrence.targets.shape[1])
    by_rows = row_of(rows, POINT, seed) @ DIRECTION
    assert by_rows == pytest.approx(along(recurrence.outputs, POINT, DIRECTION) @ seed, rel=1e-11, abs=1e-13)
    product = gradient(hessian(model).program, np.append(POINT, OTHER), C[:, None], recurrence.targets) @ DIRECTION
    slopes = [along(recurrence.loss, POINT + side * OTHER, DIRECTION) for side in (1e-5, -1e-5)]
    assert product == pytest.approx((slopes[0] - slopes[1]) / 2e-5, rel=1e-7, abs=1e-8)


@given(recurrences())
@examples(40)
def test_derivatives_by_inputs_of_random_recurrences(recurrence: Recurrence) -> None:
    """The derivative of the last value by an input is that of a loop, in the program and in its certificate."""
    model = replace(recurrence, last=True).program()
    by_input = Step(Element("slope", ("n",)), Derivative(Element("out", ("n",)), Element("c", ("n",))))
    model = replace(model, steps=(*model.steps, by_input))
    expected = along(lambda at: replace(recurrence, last=True).outputs(POINT, at)[:, 0], C, np.ones(2))
    evaluated = evaluate(tangent(model), POINT, C[:, None], results=[by_input.target])["slope"]
    assert evaluated == pytest.approx(expected, rel=1e-11, abs=1e-13)
    certified = without_derivatives(model)
    with mpmath.workdps(150):
        values = exact.run(certified, exact.bind(certified, POINT, C[:, None], np.zeros((2, 1))))["slope"]
    assert values.astype(float) == pytest.approx(expected, rel=1e-11, abs=1e-13)
