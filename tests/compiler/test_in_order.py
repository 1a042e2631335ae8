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
from nncodegen.compiler.ir.magnitudes import divided, grouped
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


def form_of(text):
    """The form of a formula that is given as a text."""
    program = compile_model(nn.Model("typed", [*NAMES], ["target"], {"k": 1.0}, text), until="stabilize", fit=False)
    return next(step.expression for step in program["stabilize"].steps if step.target in program["stabilize"].outputs)


def at(form, **numbers):
    """The value of a form at one point, computed as C computes it."""
    points = {Element(name, ("n",)): np.array([number]) for name, number in numbers.items()}
    points[Element("k")] = np.ones(1)
    return float(values(form, points)[0])


def test_one_division():
    """A quotient of a text is one division where its rounding counts: y/(y + z) is 1 where z changes no digit."""
    form = form_of("k*x + exp(y*log(y/(z + y)))/y")
    assert at(form, x=1.57e18, y=-3.31e218, z=3.07e-212) == 1.57e18
    slope = form.diff(Element("k"))
    assert at(slope, x=1.57e18, y=2.0, z=3.0) == 1.57e18


@given(column=st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=2))
def test_divided(column):
    """divided(u, v) has the bits of u/v, and the derivatives of a quotient."""
    u, v = column
    x, y = SYMBOLS["x"], SYMBOLS["y"]
    with np.errstate(all="ignore"):
        assert at(divided(x, y), x=u, y=v) == np.float64(u) / np.float64(v)
    for element in (x, y):
        slope = values(divided(x, y).diff(element), {x: np.array([1.5]), y: np.array([0.7])})
        expected = values((x / y).diff(element), {x: np.array([1.5]), y: np.array([0.7])})
        np.testing.assert_allclose(slope, expected, rtol=1e-15)


def test_numbers_of_a_product():
    """A number stays with the part of a product in which it is written: 2*z is in range where 2*x is not."""
    assert at(grouped(SYMBOLS["x"], 2 * SYMBOLS["z"]), x=1e308, z=0.25) == 5e307


def test_the_order_of_a_text_is_kept():
    """Of two orders that keep as many digits on average, the one of the text is taken."""
    form = form_of("k*x/(y*z)")
    assert at(form, x=1e-200, y=1e-200, z=1e-100) == pytest.approx(1e100)
    assert form == divided(Element("k") * SYMBOLS["x"], grouped(SYMBOLS["y"], SYMBOLS["z"]))
