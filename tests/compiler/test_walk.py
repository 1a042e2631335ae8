"""One walk over expressions: all arithmetics mean the same, do a node once, and know no depth that is too large."""

import sys

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from nncodegen.certificates.expressions import CompiledExpression
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.arithmetics import Arrays
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import sigmoid, softplus
from nncodegen.compiler.ir.walk import walk
from nncodegen.errors import ProgramError
from tests.support.search import examples

X, Y = Element("x", ("n",)), Element("y", ("n",))

leaves = st.sampled_from([X, Y, sympy.Integer(2), sympy.Rational(1, 3), sympy.Float(0.7), sympy.pi])
UNARY = (sympy.exp, sympy.sin, sympy.atan, sympy.Abs, sympy.tanh, sigmoid, softplus, lambda z: 1 / (1 + z**2))
BINARY = (
    lambda u, v: u + v,
    lambda u, v: u * v,
    lambda u, v: (1 + u**2) ** v,
    lambda u, v: sympy.Max(u + X, v - Y),
    lambda u, v: sympy.atan2(u + X, v - Y),
    lambda u, v: sympy.Piecewise((u, u < v + X), (sympy.cos(v), sympy.Or(v > Y, u > 2 * Y)), (v, True)),
)
"""Those that compare have elements on both sides: SymPy does not know which of two written numbers is larger."""
formulas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda f, u: f(u), st.sampled_from(UNARY), inner),
        st.builds(lambda f, u, v: f(u, v), st.sampled_from(BINARY), inner, inner),
    ),
    max_leaves=10,
)
numbers = st.floats(-1.5, 1.5).map(lambda number: round(number, 3))


@examples(100)
@given(formula=formulas, x=numbers, y=numbers)
def test_all_arithmetics_mean_the_same(formula, x, y):
    """Arrays, numbers of mpmath and the tape of a certificate give the same value."""
    arrays = {X: np.array([x, 0.25]), Y: np.array([y, -1.0])}
    with np.errstate(all="ignore"):
        computed = np.broadcast_to(interpret(formula, arrays, exact=False), 2)
        sides = (interpret(side, arrays, exact=False) for angle in formula.atoms(sympy.atan2) for side in angle.args)
        assume(all(np.all(side != 0) for side in sides))  # zeros of mpmath have no sign
    tape = CompiledExpression(sympy.sympify(formula))
    for k in range(2):
        with mpmath.workdps(50):
            exact = {element: mpmath.mpf(array[k]) for element, array in arrays.items()}
            value = interpret(formula, exact, exact=True)
            assert tape.value([exact[element] for element in tape.operands]) == value
            assert float(computed[k]) == pytest.approx(float(value), rel=1e-9, abs=1e-9)


@examples(50)
@given(formula=formulas, x=numbers, y=numbers)
def test_the_chain_rule(formula, x, y):
    """The derivatives of a tape are those that differences of many digits give."""
    tape = CompiledExpression(sympy.sympify(formula))
    with mpmath.workdps(60):
        point = [mpmath.mpf({X: x, Y: y}[element]) + mpmath.mpf(10) ** -7 / 3 for element in tape.operands]
        partials = tape.partials(point)
        for k, partial in enumerate(partials):
            h = mpmath.mpf(10) ** -20
            beside = [tape.value([z + side * h * (j == k) for j, z in enumerate(point)]) for side in (1, -1)]
            slope = (beside[0] - beside[1]) / (2 * h)
            assert abs(partial - slope) <= 1e-15 * (1 + abs(slope))


class Counted(Arrays):
    """Arrays that remember how many sums there were."""

    sums = 0

    def add(self, values):
        self.sums += 1
        return super().add(values)


def test_each_node_is_done_once():
    """What an expression has a million times, as parts of parts, is computed once."""
    expression = X + 1
    for _ in range(20):
        expression = sympy.sin(expression) + sympy.cos(expression)
    counted = Counted({X: np.array([0.5])})
    walk(expression, counted)
    assert counted.sums == 21


def test_depth():
    """An expression may have more levels than Python has for calls."""
    levels = sys.getrecursionlimit()
    expression, expected = X, np.array([0.5])
    for _ in range(levels):
        expression, expected = sympy.sin(expression, evaluate=False), np.sin(expected)
    assert interpret(expression, {X: np.array([0.5])}, exact=False) == expected
    assert float(interpret(expression, {X: mpmath.mpf(0.5)}, exact=True)) == pytest.approx(expected.item(), rel=1e-12)


def test_what_does_not_apply_is_not_computed():
    """With mpmath, a branch may have no value where it does not apply."""
    expression = sympy.Piecewise((1 / sympy.log(X), X > 1), (X, True))
    for value in (mpmath.mpf(1), mpmath.mpf(-3)):
        assert interpret(expression, {X: value}, exact=True) == value
        assert CompiledExpression(expression).value((value,)) == value
        assert CompiledExpression(expression).partials((value,)) == (1,)


@pytest.mark.parametrize(
    "interpreter",
    [
        lambda e: interpret(e, {X: 1.0}, exact=False),
        lambda e: interpret(e, {X: mpmath.mpf(1)}, exact=True),
        CompiledExpression,
    ],
)
def test_unknown_functions(interpreter):
    """A function that there is not is named."""
    with pytest.raises(ProgramError, match=r"zeta.*zeta\(x\[n\]\)"):
        interpreter(1 + sympy.zeta(X))
