"""Formulas given as texts: the order of their products is kept where SymPy's order would lose digits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Expr

import nncodegen as nn
from nncodegen.compiler.describe.grammar import parse, read_in_order
from nncodegen.compiler.ir import Element
from nncodegen.compiler.passes.digits.formats import bits_lost
from nncodegen.compiler.passes.digits.measure import values
from nncodegen.compiler.pipeline import compile_model

NAMES = ("x", "y", "z")
SYMBOLS = {name: Element(name, ("n",)) for name in NAMES}

TEXTS = st.recursive(
    st.sampled_from([*NAMES, "3", "7"]),
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from("*/"), parts).map(lambda part: f"({part[0]}{part[1]}{part[2]})"),
        st.tuples(parts, st.integers(-3, 4).filter(lambda k: k not in (0, 1))).map(lambda p: f"({p[0]}**({p[1]}))"),
    ),
    max_leaves=6,
)
"""Products, quotients and powers of positive numbers."""


def exact(text, points):
    """The values of a text at 50 digits, each rounded to a float64."""
    with mpmath.workdps(50):
        rows = zip(*(map(mpmath.mpf, points[name].tolist()) for name in points), strict=True)
        names = [dict(zip(points, row, strict=True)) for row in rows]
        return np.array([float(eval(text, {}, row) + mpmath.mpf(0)) for row in names])


def as_python(text, points):
    """The values of a text in float64, in the order in which it is written."""
    with np.errstate(all="ignore"):
        return np.broadcast_to(eval(text, {}, points), next(iter(points.values())).shape).astype(float)


def drawn(count, seed, names=NAMES):
    """Positive numbers of all sizes."""
    random = np.random.default_rng(seed)
    return {name: 2.0 ** random.uniform(-250, 250, count) for name in names}


@given(text=TEXTS)
def test_the_order_of_a_text(text):
    """A text read in its order loses no more digits than Python does, which computes it in that order."""
    form = read_in_order(text, SYMBOLS)
    if not isinstance(form, Expr) or not form.free_symbols:
        return
    points = drawn(20, 5)
    truth, written = exact(text, points), as_python(text, points)
    known = np.isfinite(truth) & (truth > 1e-300)
    result = np.broadcast_to(values(form, {SYMBOLS[name]: points[name] for name in NAMES}), truth.shape)
    assert np.all(bits_lost(result[known], truth[known]) <= bits_lost(written[known], truth[known]) + 4)


@given(text=TEXTS)
def test_the_value_of_a_text(text):
    """A text read in its order has the value of the formula that SymPy makes of it."""
    form, formula = read_in_order(text, SYMBOLS), parse(text, SYMBOLS, "the text")
    points = {
        name: 2.0**column for name, column in zip(NAMES, np.random.default_rng(3).uniform(-3, 3, (3, 8)), strict=True)
    }
    here = {SYMBOLS[name]: points[name] for name in NAMES}
    np.testing.assert_allclose(values(form, here), values(formula, here), rtol=1e-12)


WORSE_WHEN_SPREAD = {
    "cube of a discriminant": "k*((3*x*z - y*y)/(9*x*x))**3",
    "power of a difference": "k*((x - y)/(x*y))**4",
    "cube of a quotient": "(k*x/(y*(z*z)))**3",
}
"""Texts whose products SymPy spreads, so that powers leave the range of numbers."""


@pytest.mark.parametrize("text", WORSE_WHEN_SPREAD.values(), ids=[*WORSE_WHEN_SPREAD])
def test_no_digits_are_lost_by_spreading(text):
    """By default, a formula given as a text loses at most a bit more than the text as it is written."""
    program = compile_model(nn.Model("typed", [*NAMES], ["target"], {"k": 1.0}, text), until="stabilize", fit=False)
    program = program["stabilize"]
    form = next(step.expression for step in program.steps if step.target in program.outputs)
    points = {**drawn(400, 17), "k": np.ones(400)}
    truth, written = exact(text, points), as_python(text, points)
    known = np.isfinite(truth) & (np.abs(truth) > 1e-300)
    assert known.sum() > 20
    result = values(form, {Element(name, ("n",)) if name != "k" else Element("k"): points[name] for name in points})
    assert bits_lost(result[known], truth[known]).mean() <= bits_lost(written[known], truth[known]).mean() + 1
