"""The explicit examples and test problems of ODRPACK95, with errors in x, against odrpack and its published reports.

P. T. Boggs, R. H. Byrd, J. E. Rogers, R. B. Schnabel, User's Reference Guide for ODRPACK Version 2.01, 1992; J. W.
Zwolak, P. T. Boggs, L. T. Watson, Algorithm 869: ODRPACK95, 2007. Data, starts and figures are those of the examples
and of the program that tests ODRPACK95. Its examples 2 and 4 are an implicit problem and one without errors in x.
"""

from typing import NamedTuple

import mpmath
import numpy as np
import pytest
import sympy as sp

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")

odrpack = pytest.importorskip("odrpack")
optimize = pytest.importorskip("scipy.optimize")


class Example(NamedTuple):
    """A problem: its formulas by name of input and parameter, data, start, and the weights of odrpack."""

    outputs: str
    inputs: str
    start: dict[str, float]
    X: np.ndarray
    Y: np.ndarray
    weight_x: np.ndarray | float = 1.0
    """1/variance of the inputs, (N, inputs)"""
    exact: np.ndarray | None = None
    """Which inputs are exact, (N, inputs)"""
    weight_y: np.ndarray | None = None
    """A matrix (outputs, outputs) for all samples"""
    left_out: np.ndarray | None = None
    """Which samples have the weight 0"""
    bounds: dict[str, tuple[float, float]] | None = None
    first: np.ndarray | None = None
    """The changes of the inputs at which odrpack starts"""


def columns(*rows):
    """Return an array (N, columns) from rows."""
    return np.array(rows, float)


HEAT = columns(
    (0, 1265),
    (0, 1263.6),
    (5, 1258),
    (7, 1254),
    (7.5, 1253),
    (10, 1249.8),
    (16, 1237),
    (26, 1218),
    (30, 1220.6),
    (34, 1213.8),
    (34.5, 1215.5),
    (100, 1212),
)
"""Saturation of a magnet (W. A. Fuller, Measurement Error Models, 1987, table 3.1.1)."""

BATES = columns(
    (30, 4.220, 0.136),
    (50, 4.167, 0.167),
    (70, 4.132, 0.188),
    (100, 4.038, 0.212),
    (150, 4.019, 0.236),
    (200, 3.956, 0.257),
    (300, 3.884, 0.276),
    (500, 3.784, 0.297),
    (700, 3.713, 0.309),
    (1000, 3.633, 0.311),
    (1500, 3.540, 0.314),
    (2000, 3.433, 0.311),
    (3000, 3.358, 0.305),
    (5000, 3.258, 0.289),
    (7000, 3.193, 0.277),
    (10000, 3.128, 0.255),
    (15000, 3.059, 0.240),
    (20000, 2.984, 0.218),
    (30000, 2.934, 0.202),
    (50000, 2.876, 0.182),
    (70000, 2.838, 0.168),
    (100000, 2.798, 0.153),
    (150000, 2.759, 0.139),
)
"""A dielectric (D. M. Bates, D. G. Watts, Nonlinear Regression Analysis, 1988, table A1.13)."""

HIMMELBLAU = columns(
    (0, 0, 2.93),
    (0, 1, 1.95),
    (0, 2, 0.81),
    (0, 3, 0.58),
    (1, 0, 5.90),
    (1, 1, 4.74),
    (1, 2, 4.18),
    (1, 2, 4.05),
    (2, 0, 9.03),
    (2, 1, 7.85),
    (2, 2, 7.22),
    (2.5, 2, 8.50),
    (2.9, 1.8, 9.81),
)
DRAPER = columns(
    (109, 600, 0.912),
    (65, 640, 0.382),
    (1180, 600, 0.397),
    (66, 640, 0.376),
    (1270, 600, 0.342),
    (69, 640, 0.358),
    (1230, 600, 0.348),
    (68, 640, 0.376),
)
POWELL = [26.38, 25.79, 25.29, 24.86, 24.46, 24.10, 23.78, 23.50, 23.24, 23.00, 22.78, 22.58, 22.39, 22.22]

OMEGA = "(2*pi*x*exp(-c))**d"
REAL = f"(1 + {OMEGA}*cos(pi*d/2))"
IMAGINARY = f"({OMEGA}*sin(pi*d/2))"
SIZE = f"(a - b)*({REAL}**2 + {IMAGINARY}**2)**(-e/2)"
ANGLE = f"(e*atan({IMAGINARY}/{REAL}))"
FIRST_CHANGES = np.select([BATES[:, 0] <= x for x in (150, 1e3, 1e4, 1e5)], [0, 25, 560, 9500], 144000.0)

EXAMPLES = {
    "example 1": Example(
        "a + b*(exp(c*x) - 1)**2", "x", {"a": 1500, "b": -50, "c": -0.1}, HEAT[:, :1], HEAT[:, 1:],
        exact=np.isin(HEAT[:, :1], (0, 100)),
    ),
    "example 3": Example(
        f"b + {SIZE}*cos{ANGLE}; {SIZE}*sin{ANGLE}", "x", {"a": 4, "b": 2, "c": 7, "d": 0.4, "e": 0.5}, BATES[:, :1],
        BATES[:, 1:], weight_x=1e-4 / BATES[:, :1] ** 2, exact=BATES[:, :1] < 100,
        weight_y=np.array([[559.6, -1634], [-1634, 8397]]), left_out=np.isin(BATES[:, 0], (100, 150)),
        first=FIRST_CHANGES[:, None],
    ),
    "example 5": Example(
        "a*exp(b*x)", "x", {"a": 2, "b": 0.5}, columns([0.982], [1.998], [4.978], [6.01]),
        columns([2.7], [7.4], [148.0], [403.0]), bounds={"a": (0, 10), "b": (0, 0.9)},
    ),
    "Himmelblau": Example(
        "a*x + b*exp(c*t)", "x t", {"a": 3, "b": 3, "c": -0.5}, HIMMELBLAU[:, :2], HIMMELBLAU[:, 2:]
    ),
    "Draper and Smith": Example(
        "exp(-a*x*exp(-b*(1/t - 1/620)))", "x t", {"a": 0.01155, "b": 5000}, DRAPER[:, :2], DRAPER[:, 2:]
    ),
    "Powell and Macdonald": Example(
        "a*(1 + c*x/b)**(-1/c)", "x", {"a": 25, "b": 30, "c": 6}, np.arange(1, 15.0)[:, None],
        np.array(POWELL)[:, None],
    ),
}  # fmt: skip


def formulas(example):
    """Return symbols of the inputs and parameters, and the outputs as expressions."""
    inputs, parameters = sp.symbols(example.inputs, seq=True), sp.symbols(tuple(example.start))
    names = {symbol.name: symbol for symbol in (*inputs, *parameters)}
    return inputs, parameters, [sp.sympify(text, locals=names) for text in example.outputs.split(";")]


def by_odrpack(example):
    """Return odrpack's result, with exact derivatives and the strictest tolerances."""
    inputs, parameters, outputs = formulas(example)
    count, samples = len(outputs), len(example.X)

    def function(expressions):
        value = sp.lambdify((inputs, parameters), expressions)
        return lambda x, p: [
            np.broadcast_to(values_of_output, samples) for values_of_output in value(np.atleast_2d(x), p)
        ]

    values = function(outputs)
    slopes = {
        name: function([sp.diff(output, symbol) for symbol in symbols for output in outputs])
        for name, symbols in (("jac_beta", parameters), ("jac_x", inputs))
    }

    def shaped(derivatives, first):
        """Return derivatives as odrpack takes them: (outputs, symbols, N)."""
        return np.swapaxes(np.array(derivatives).reshape(first, count, samples), 0, 1)

    weight_y = example.weight_y
    if weight_y is not None and example.left_out is not None:
        weight_y = weight_y[:, :, None] * np.where(example.left_out, 0, 1.0)
    weight_x = np.broadcast_to(example.weight_x, example.X.shape)
    flat = (lambda array: array[:, 0]) if len(inputs) == 1 else np.transpose
    return odrpack.odr_fit(
        lambda x, p: np.array(values(x, p)[0] if count == 1 else values(x, p)),
        flat(example.X).copy(),
        (example.Y[:, 0] if count == 1 else example.Y.T).copy(),
        np.array(list(example.start.values()), float),
        weight_x=np.ascontiguousarray(flat(weight_x)),
        weight_y=weight_y,
        fix_x=None if example.exact is None else np.ascontiguousarray(flat(example.exact)),
        bounds=example.bounds and tuple(np.array(list(zip(*example.bounds.values(), strict=True)), float)),
        delta0=None if example.first is None else np.ascontiguousarray(flat(example.first)),
        jac_beta=lambda x, p: shaped(slopes["jac_beta"](x, p), len(parameters)),
        jac_x=lambda x, p: shaped(slopes["jac_x"](x, p), len(inputs)),
        sstol=1e-16,
        partol=1e-15,
        maxit=1000,
    )


def by_us(example):
    """Return our result. Correlated outputs are made independent by the root of their weights."""
    inputs, parameters, outputs = formulas(example)
    Y = example.Y.copy()
    if example.weight_y is not None:
        root = np.linalg.cholesky(example.weight_y).T
        outputs = [
            sum(sp.Float(repr(by)) * output for by, output in zip(row, outputs, strict=True)) for row in root.tolist()
        ]
        Y = Y @ root.T
    if example.left_out is not None:
        Y[example.left_out] = np.nan
    targets = [f"y{k}" for k in range(len(outputs))]
    model = nn.Model("explicit", inputs, targets, dict(zip(parameters, example.start.values(), strict=True)), outputs)
    sigma_x = np.broadcast_to(example.weight_x, example.X.shape) ** -0.5
    if example.exact is not None:
        sigma_x = np.where(example.exact, 0, sigma_x)
    return nn.build(model).fit(example.X, Y, sigma_x=sigma_x, bounds=example.bounds)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "example 5"])
def test_an_explicit_example_is_that_of_odrpack(name):
    """Parameters have eight digits of odrpack's, errors and the covariance six, and the sum of squares is as low."""
    example = EXAMPLES[name]
    theirs, ours = by_odrpack(example), by_us(example)
    assert ours.status == "converged"
    np.testing.assert_allclose(ours.parameters, theirs.beta, rtol=3e-8)  # theirs differ from the exact ones: see below
    assert ours.chi2 == pytest.approx(theirs.sum_square, rel=1e-9)
    scale = theirs.res_var / ours.reduced_chi2  # they count the samples, not the outputs
    np.testing.assert_allclose(ours.standard_errors * scale**0.5, theirs.sd_beta, rtol=1e-6)
    np.testing.assert_allclose(ours.covariance / ours.error_scale, theirs.cov_beta, rtol=1e-6, atol=0)
    changes = np.reshape(theirs.delta, (-1, len(example.X))).T
    used = np.ones(len(example.X), bool) if example.left_out is None else ~example.left_out
    size = np.abs(changes[used]).max()
    np.testing.assert_allclose((ours.x_estimated - example.X)[used], changes[used], atol=2e-6 * size)


def test_the_example_with_bounds_is_solved():
    """At its bound, example 5 has a lower sum of squares than where odrpack ends: that of SciPy's dense solution."""
    example = EXAMPLES["example 5"]
    theirs, ours = by_odrpack(example), by_us(example)
    X, Y = example.X[:, 0], example.Y[:, 0]

    def residuals(p):
        return np.concatenate([p[0] * np.exp(p[1] * (X + p[2:])) - Y, p[2:]])

    bounds = [0, 0, *[-np.inf] * 4], [10, 0.9, *[np.inf] * 4]
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    dense = optimize.least_squares(residuals, [2, 0.5, 0, 0, 0, 0], bounds=bounds, max_nfev=1000, **tight)
    np.testing.assert_allclose(ours.parameters, dense.x[:2], rtol=1e-7)
    np.testing.assert_allclose(ours.x_estimated[:, 0] - X, dense.x[2:], atol=1e-7)
    assert ours.at_bound.tolist() == [False, True]
    assert ours.chi2 == pytest.approx(2 * dense.cost, rel=1e-9)
    assert ours.chi2 < 0.72 * theirs.sum_square
    assert theirs.sum_square == pytest.approx(0.26737150168588947)  # of the report: a = 1.63337602


def test_parameters_are_exact():
    """Parameters of example 1 are those of Newton's method with 40 digits; odrpack's have eight digits of them."""
    exact = [1264.65481050061936, -54.018386822688613, -0.0878498517620776953]
    example = EXAMPLES["example 1"]
    np.testing.assert_allclose(by_us(example).parameters, exact, rtol=1e-12)
    np.testing.assert_allclose(by_odrpack(example).beta, exact, rtol=2e-8)
    assert stationary(example, exact) < 1e-15


def stationary(example, parameters):
    """Return how far a Newton step with 40 digits would move the parameters, relative to them."""
    (x,), symbols, (output,) = formulas(example)
    y, change = sp.symbols("y change")
    unknown = [change, *symbols]
    cost = (output.subs(x, x + change) - y) ** 2 / 2 + change**2 / 2
    gradient = [sp.diff(cost, symbol) for symbol in unknown]
    both = sp.lambdify(
        (x, y, *unknown), (gradient, [[sp.diff(symbol, by) for by in unknown] for symbol in gradient]), "mpmath"
    )
    with mpmath.workdps(40):
        count, point = len(parameters), [mpmath.mpf(repr(value)) for value in parameters]
        A, b = mpmath.zeros(count), mpmath.zeros(count, 1)
        for at, value, exact in zip(example.X[:, 0], example.Y[:, 0], example.exact[:, 0], strict=True):
            moved = mpmath.mpf(0)
            for _ in range(0 if exact else 40):  # the best change for these parameters
                g, H = both(mpmath.mpf(float(at)), mpmath.mpf(float(value)), moved, *point)
                moved -= g[0] / H[0][0]
            g, H = both(mpmath.mpf(float(at)), mpmath.mpf(float(value)), moved, *point)
            for i in range(count):
                b[i] += g[i + 1]
                for j in range(count):
                    A[i, j] += H[i + 1][j + 1] - (0 if exact else H[i + 1][0] * H[0][j + 1] / H[0][0])
        step = mpmath.lu_solve(A, b)
        return float(max(abs(part / value) for part, value in zip(step, point, strict=True)))


def test_figures_of_the_reports():
    """Figures are those that ODRPACK95 prints for its examples, and keeps for the tests of its installation."""
    first = by_us(EXAMPLES["example 1"])
    np.testing.assert_allclose(first.parameters, [1264.65481, -54.0184100, -0.0878497122], rtol=2e-6)
    assert first.chi2 == pytest.approx(21.4455017, rel=3e-9)
    assert first.residuals[7, 0] == pytest.approx(1.88412530, rel=1e-5)
    third = by_us(EXAMPLES["example 3"])
    np.testing.assert_allclose(
        third.parameters, [4.37998803, 2.43330576, 8.00288459, 0.510114716, 0.517390233], rtol=1e-6
    )
    assert third.chi2 == pytest.approx(0.420538922, rel=1e-7)
    draper = by_us(EXAMPLES["Draper and Smith"])
    assert np.linalg.norm(draper.parameters) == pytest.approx(27627.33195780256808978449342964, rel=1e-8)
    assert draper.chi2 == pytest.approx(7.532639569022918943695104672512e-4, rel=1e-8)
