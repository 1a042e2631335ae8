"""Equations between indices: what they mean, how they are solved and shown, and their derivatives."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nncodegen.compiler.ir import Element, Equation, Program, Step, Tensor, evaluate, solve, verify
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.errors import ProgramError
from tests.support.windows import (
    OPERATIONS,
    PROGRAMS,
    chain,
    data,
    gathered_rows,
    gradient,
    joined,
    pool,
    program,
    window,
)

NUMBERS = (st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
CHAINS = st.lists(st.tuples(st.sampled_from(OPERATIONS), *NUMBERS), min_size=2, max_size=4)


@given(CHAINS)
@settings(max_examples=25)
def test_gradients_of_random_programs(operations: list[tuple[str, int, int, int]]) -> None:
    """Windows, their transposes, pools, mirrored cuts, functions and recurrences have their gradients in any order."""
    check_gradient(chain(operations))


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_those_of_differences(name: str) -> None:
    """What the reverse sweep makes of windows, pools, joined arrays, gathered rows and recurrences is the gradient."""
    check_gradient(PROGRAMS[name])


def check_gradient(model: Program) -> None:
    """The gradient of every stage is that of differences, and of 30 digits."""
    verify(model)
    parameters, X, Y = data(model)
    derived = verify(differentiate(stabilize(model)))
    simplified = verify(simplify(derived))
    exact = gradient(simplified, parameters, X, Y, digits=30)
    for stage in (derived, simplified):
        np.testing.assert_allclose(gradient(stage, parameters, X, Y), exact, atol=1e-12 * np.linalg.norm(exact))
    step = 1e-5
    moved = [np.eye(len(parameters))[k] * step for k in range(len(parameters))]
    losses = [[float(evaluate(model, parameters + s * move, X, Y)["loss"]) for s in (1, -1)] for move in moved]
    numeric = np.array([(high - low) / (2 * step) for high, low in losses])
    np.testing.assert_allclose(exact, numeric, atol=1e-7 * np.linalg.norm(exact))


@given(
    st.integers(1, 3), st.integers(-3, 2), st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(1, 4)
)
@settings(max_examples=60)
def test_windows_are_sums_of_the_terms_that_exist(
    stride: int, offset: int, dilation: int, places: int, size: int, taps: int
) -> None:
    """A window over padding is the sum over those of its places that lie in the array, written as loops."""
    model = window(stride, offset, dilation, places, size, taps)
    parameters, X, _ = data(model, seed=stride + 7 * places)
    W, x = parameters[: 3 * 2 * taps].reshape(3, 2, taps), X.reshape(-1, 2, size)
    expected = np.zeros((len(x), 3, places))
    for o, c, i, r in product(range(3), range(2), range(places), range(taps)):
        u = stride * i + dilation * r + offset
        if 0 <= u < size:
            expected[:, o, i] += W[o, c, r] * x[:, c, u]
    values = evaluate(model, parameters, X, np.zeros((len(X), 1)))["s"]
    np.testing.assert_allclose(values, expected, atol=1e-13)


def test_a_pool_gives_all_to_the_first_of_the_largest() -> None:
    """Where several values of a window are the largest, the derivative is that of the first of them."""
    model = pool(2, 2, 3)
    parameters, _, _ = data(model)
    parameters[:14] = 0  # so that all values are equal
    X, Y = np.ones((1, 14)), np.zeros((1, 1))
    derived = differentiate(stabilize(model))
    values = evaluate(derived, parameters, X, Y + 1)["d_W"]
    assert np.all(values[:, [0, 2, 4]] != 0)
    assert np.all(values[:, [1, 3, 5, 6]] == 0)


def test_rows_that_there_are_not_are_zeros() -> None:
    """What names no row, as a number that is too large, not whole or NaN, gathers zeros."""
    model = gathered_rows()
    parameters, _, Y = data(model, samples=1)
    for wrong in (4.0, -1.0, 1.5, np.nan, np.inf):
        values = evaluate(model, parameters, np.array([[1.0, wrong, 2.0]]), Y)["e"]
        assert np.all(values[0, 1] == 0)
        assert np.all(values[0, [0, 2]] == parameters[:8].reshape(4, 2)[[1, 2]])


def test_an_equation_is_solved_for_the_longest_loop() -> None:
    """The index with most values needs no loop; in the transposed window that is the place of the window."""
    equation, sizes = Equation("u", (("i", 2), ("r", 1)), -1), {"u": 9, "i": 5, "r": 3}
    assert str(solve([equation], ("r", "u"), sizes).solutions[0]) == "2*i + r - 1"
    transposed = solve([equation], ("i", "r"), sizes)
    assert (str(transposed.solutions[0]), transposed.free) == ("(u + 1 - r)/2", ("r",))


def test_steps_show_affine_indices() -> None:
    """A window is shown as people write it, and its transpose with the equation beside it."""
    simplified = simplify(differentiate(stabilize(window(2, -1, 1, 5)))).show()
    assert "sum(c, r) W[o, c, r]*x[n, c, 2*i + r - 1]" in simplified
    transposed = Step(
        Element("d", ("n", "u")),
        Element("s", ("n", "i")),
        "sum",
        ("i", "r"),
        (Equation("u", (("i", 2), ("r", 1)), -1),),
    )
    assert str(transposed) == "d[n, u] = sum(i, r) s[n, i] where u = 2*i + r - 1"


def test_equations_that_do_not_fit_are_refused() -> None:
    """An index of an equation is on the left or reduced, and has a size."""
    x, out = Element("x", ("n", "u")), Element("out", ("n",))
    for equation, reason in (
        (Equation("u", (("i", 1),)), "the size of the index i is not known"),
        (Equation("k", (("u", 1),)), "the size of the index k is not known"),
    ):
        with pytest.raises(ProgramError, match=reason):
            program([Step(out, x, "sum", ("u",), (equation,))], out, [Tensor("x", (None, 3))], [])
    model = joined()
    normal = Step(Element("p", ("n", "k")), Element("both", ("n", "k")), "log_softmax", ("k",), (Equation("k"),))
    wrong = replace(model, steps=(*model.steps, normal))
    with pytest.raises(ProgramError, match="cannot have equations"):
        verify(wrong)
