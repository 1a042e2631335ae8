"""Searches for a start do not depend on origin and unit where the formula has the same curves there."""

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

import nncodegen as nn
from nncodegen.curves.fitting.formula import module_of, read_formula
from nncodegen.runtime.python.arguments.fit_options import CheckedFitOptions
from nncodegen.runtime.python.fitting.coordinates import Coordinates
from nncodegen.runtime.python.fitting.problem import Problem
from nncodegen.runtime.python.fitting.symmetries import exponential, symmetries_of

pytestmark = pytest.mark.usefixtures("quick_compiler")

TWO = "a*exp(-((x - b)/c)**2/2) + d*exp(-((x - e)/g)**2/2) + h + k*x"

FORMULAS = {
    "a*exp(-b*x) + c": "shift scale height_shift height_scale",
    "a*x/(b + x)": "scale height_scale",
    "a*sin(w*x + c) + d": "shift scale height_shift height_scale",
    "a*x**n": "scale height_scale",
    "exp(a - b*x)": "shift scale height_scale",
    "exp(-(x - a)**2) + b": "shift height_shift",
    "log(1 + a*x) + b*x**2": "scale",
    TWO: "shift scale height_shift height_scale",
}
"""Formulas of x, and the changes under which they are closed, by hand."""


def model_of(text, precision="float64"):
    return module_of(read_formula(text, ("x",)), precision)._model


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_symmetries(text, precision):
    """Those that are found are those of the formula, in either precision."""
    symmetries = symmetries_of(model_of(text, precision))
    each = {
        "shift": symmetries.shifts[0],
        "scale": symmetries.scales[0],
        "height_shift": symmetries.height_shift,
        "height_scale": symmetries.height_scale,
    }
    assert [name for name, symmetry in each.items() if symmetry is not None] == FORMULAS[text].split()


@settings(deadline=None)
@given(st.sampled_from([text for text in FORMULAS if "shift" in FORMULAS[text].split()]), st.integers(0, 10**6))
def test_points_in_other_coordinates(text, seed):
    """A point and its image have the same values, in the units of each, and lead to each other."""
    random = np.random.default_rng(seed)
    names = read_formula(text, ("x",)).parameters
    origin = random.uniform(-10, 10)
    x = origin + np.linspace(0, random.uniform(0.5, 3), 30)
    point = random.uniform(0.5, 2, len(names))
    for name, value in (("b", origin + 1), ("e", origin + 0.5)):
        if name in names and text == TWO:
            point[names.index(name)] = value
    function = sympy.lambdify(sympy.symbols(["x", *names]), sympy.sympify(text), "numpy")
    y = function(x, *point) + random.uniform(0, 0.1, 30)
    problem = Problem(
        model_of(text), x[:, None], y[:, None], None, CheckedFitOptions.of(tolerance=1e-8, max_iterations=10)
    )
    coordinates = Coordinates(problem, None)
    assert coordinates.are_others
    there = coordinates.points_here(point[None])
    assume(np.isfinite(there).all() and np.ptp(function(x, *point)) > 1e-3)  # it has values that tell a height
    unit = x[-1] - x[0] if " scale " in FORMULAS[text] else 1
    np.testing.assert_allclose(coordinates.problem.X[:, 0], (x - x[0]) / unit)
    values, images = function(x, *point), function(coordinates.problem.X[:, 0], *there[0])
    height = np.ptp(images) / np.ptp(values)
    np.testing.assert_allclose(images - images[0], height * (values - values[0]), rtol=1e-4, atol=1e-5 * np.ptp(images))
    back = coordinates.points_there(there)[0]
    np.testing.assert_allclose(function(x, *back), values, rtol=1e-6, atol=1e-6 * np.abs(values).max())


def test_what_is_held_or_bounded_stays():
    """Coordinates hold fixed parameters and bounds, and are those of the data where these depend on others."""
    x, random = np.linspace(1500, 1700, 60), np.random.default_rng(0)
    y = random.normal(size=60)
    low, high = np.full(8, -np.inf), np.full(8, np.inf)
    low[[1, 2]], high[1] = (1520, 0.5), 1600  # b and c
    problem = Problem(
        model_of(TWO),
        x[:, None],
        y[:, None],
        None,
        CheckedFitOptions.of(bounds=(low, high), tolerance=1e-8, max_iterations=10),
    )
    here = Coordinates(problem, None).problem
    low, high = here.options.bounds
    np.testing.assert_allclose([low[1], high[1], low[2]], [0.1, 0.5, 0.0025])
    low[6] = 0  # that of the intercept, which depends on the slope
    same = Coordinates(
        Problem(
            model_of(TWO),
            x[:, None],
            y[:, None],
            None,
            CheckedFitOptions.of(bounds=(low, high), tolerance=1e-8, max_iterations=10),
        ),
        None,
    )
    assert same.problem.X.max() == 1  # a scale only
    assert same.problem.X.min() == pytest.approx(1500 / 1700)


def test_exponential():
    """It is that of SciPy, also for large shifts."""
    linalg = pytest.importorskip("scipy.linalg")
    random = np.random.default_rng(1)
    for scale in (0.1, 1, 8):
        matrix = scale * random.normal(size=(4, 4))
        np.testing.assert_allclose(exponential(matrix), linalg.expm(matrix), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(exponential(np.array([[0, 1600.0], [0, 0]])), [[1, 1600], [0, 1]])


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(k, marks=pytest.mark.thorough) for k in range(2, 12))])
def test_what_is_found_does_not_depend_on_origin_and_unit(seed):
    """Two peaks on a line are found at 1500 to 1700, in any units, as they are at 0 to 1."""
    random = np.random.default_rng(seed)
    t = np.linspace(0, 1, 121)
    true = (
        random.uniform(1, 5),
        random.uniform(0.1, 0.4),
        random.uniform(0.02, 0.05),
        random.uniform(1, 5),
        random.uniform(0.6, 0.9),
        random.uniform(0.02, 0.05),
        1.0,
        random.uniform(-1, 1),
    )
    names = read_formula(TWO, ("x",)).parameters
    function = sympy.lambdify(sympy.symbols(["x", *names]), sympy.sympify(TWO), "numpy")
    y = function(t, *true) + 0.05 * random.normal(size=len(t))
    module = module_of(read_formula(TWO, ("x",)))
    best = module.fit(t, y, p0=np.array(true))
    for origin, unit, base, height in ((0, 1, 0, 1), (1500, 200, 0, 1), (-4, 1e-6, -300, 1e4)):
        fitted = module.fit(origin + unit * t, base + height * y, p0="auto")
        assert fitted.chi2 <= height**2 * best.chi2 * (1 + 1e-5)
        centres = sorted((fitted["b"], fitted["e"]))
        np.testing.assert_allclose((np.array(centres) - origin) / unit, sorted((best["b"], best["e"])), rtol=1e-4)


def test_several_inputs():
    """Each input has an origin and a unit of its own."""
    module = nn.build(
        nn.Model("spot", "u v", "z", dict.fromkeys("abcdeg", 1.0), "a*exp(-((u - b)/c)**2 - ((v - d)/e)**2) + g")
    )
    u, v = (each.ravel() for each in np.meshgrid(np.linspace(900, 910, 15), np.linspace(-3e-6, -2e-6, 15)))
    z = 4 * np.exp(-(((u - 903) / 1.1) ** 2) - ((v + 2.4e-6) / 1.5e-7) ** 2) + 7
    fitted = module.fit(np.column_stack([u, v]), z, p0="auto")
    np.testing.assert_allclose([fitted["b"], fitted["d"]], [903, -2.4e-6], rtol=1e-6)
