"""Branches that the search takes: their borders, and that no form is worse than written between the drawn points."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, Eq, Piecewise, sin, sqrt

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.program import BEST
from nncodegen.compiler.passes.digits.borders import conditions_of, near_border
from nncodegen.compiler.passes.digits.exact import Truth
from nncodegen.compiler.passes.digits.formats import bits_lost, numbers_at, places
from nncodegen.compiler.passes.digits.formed import kept
from nncodegen.compiler.passes.digits.measure import Sample, values
from nncodegen.compiler.passes.digits.points import count_of
from nncodegen.compiler.passes.rules.forms import stable_form

x, y, a, b, c = (Element(name, ("n",)) for name in "xyabc")

BRANCHED = {
    "roots of a quadratic": (-b - sqrt(b**2 - 4 * a * c)) / (2 * a),
    "root and a number": sqrt(x**2 + y) - x,
    "sine minus its argument": sin(x) - x,
    "quotient of series": (x - sin(x)) / (x - sympy.tan(x)),
    "logarithms": (x + 1) * sympy.log(x + 1) - x * sympy.log(x) - 1,
}
"""Formulas whose forms have branches, or functions that have some."""


@pytest.fixture(scope="module")
def forms():
    return {name: kept("output", written, stable_form(written), {}, BEST)[0] for name, written in BRANCHED.items()}


def test_places_are_in_order():
    """Places of numbers are in the order of these, 0 is that of 0, and numbers are found again at their places."""
    for dtype in (np.float64, np.float32):
        numbers = np.array([-np.finfo(dtype).max, -1.5, -1.0, -1e-40, 0.0, 1e-40, 1.0, np.finfo(dtype).max], dtype)
        ordered = places(numbers)
        assert np.all(np.diff(ordered) > 0)
        assert ordered[4] == 0
        assert np.array_equal(numbers_at(ordered, dtype), numbers)
        assert numbers_at([int(ordered[-1]) + 5], dtype)[0] == numbers[-1]


@pytest.mark.parametrize("condition", [x < 3, Abs(x) < sympy.Float(2.0**-30), x * y < 1, y > 2 * x], ids=str)
def test_points_near_borders(condition):
    """Of the points near the border of a condition, half are on either side, and some of both are neighbours."""
    generator = np.random.default_rng(4)
    drawn = {name: generator.choice([-1, 1], 20) * 2.0 ** generator.uniform(-60, 60, 20) for name in (x, y)}
    near = near_border(condition, drawn, 3)
    holds = Sample(near).values(condition)
    assert 0.3 < np.mean(holds) < 0.7
    first = 0
    for k in range(0, count_of(near), 14):
        moved = next(name for name in (x, y) if len(set(near[name][k : k + 14])) > 1)
        low, high = places(near[moved][[k, k + 7]])
        first += high - low == 1 and holds[k] != holds[k + 7]
    assert first == count_of(near) // 14 >= 2


def test_conditions_that_have_borders():
    """An equation has no border, and neither has a condition that holds at all points."""
    assert conditions_of(Piecewise((x, Eq(x, 0)), (y, x < y), (a, True))) == (x < y,)
    assert near_border(x < 3, {x: np.ones(3), y: np.ones(3)}, 2) is None


def test_forms_have_branches(forms):
    """The forms that are tested here have branches, or functions that choose between forms."""
    for written, form in zip(BRANCHED.values(), forms.values(), strict=True):
        assert form != stable_form(written)
        assert form.func.form.has(Piecewise, StableFunction)


def of_sizes(form):
    """Return the sizes at which a form changes, and 1."""
    numbers = {abs(float(n)) for condition in conditions_of(form) for n in condition.atoms(sympy.Number)}
    return sorted({number for number in numbers if 0 < number < np.inf} | {1.0})


@pytest.mark.parametrize("name", BRANCHED)
@settings(max_examples=12, derandomize=True, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_never_worse_than_written_between_the_points(forms, name, seed):
    """At points near the sizes at which a form changes, and at any others, it is not worse than written by a bit."""
    form, written = forms[name], BRANCHED[name]
    generator = np.random.default_rng(seed)
    read = form.func.names
    sizes = generator.choice(of_sizes(form.func.form), (len(read), 24))
    spread = generator.choice([0.01, 2.0, 30.0, 500.0], (len(read), 24))
    numbers = generator.choice([-1, 1], sizes.shape) * sizes * 2.0 ** (spread * generator.uniform(-1, 1, sizes.shape))
    points = dict(zip(read, numbers, strict=True))
    exact = Truth(written, points).everywhere()
    known = np.isfinite(exact)
    before, after = (bits_lost(values(each, points), exact)[known] for each in (written, form.func.form))
    assert np.all(after <= np.maximum(before + 1, 4))
