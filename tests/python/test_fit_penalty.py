"""Penalties on parameters, in every kind of fit, against SciPy with explicit rows of residuals."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.runtime.python.results.penalty import Penalty
from tests.support.built import built

optimize = pytest.importorskip("scipy.optimize")

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(11)
DECAY = nn.Model("decay", "x", "y", {"a": 1, "b": 1, "c": 0}, "a*exp(-b*x) + c")
X = np.linspace(0, 4, 15)
NORMAL = Penalty(np.array([[2.0, 0, 0], [0, 5.0, -1]]), np.array([-3.0, -4]))
"""Of a, and of a combination of b and c."""


def decay(p, x=X):
    return p[0] * np.exp(-p[1] * x) + p[2]


def noisy(p=(2.5, 1.3, 0.5), noise=0.1):
    return decay(p) + noise * RNG.normal(size=len(X))


def least(residuals, start, **options):
    """The point and half the sum of squares at SciPy's solution."""
    found = optimize.least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14, **options)
    return found.x, found.cost


@pytest.mark.parametrize("kind", ["alone", "bounds", "robust", "fixed"])
def test_formula(kind):
    """A penalty is as much as rows of residuals that no loss changes, also beside bounds and fixed parameters."""
    y = noisy()
    options, scipy_options = {}, {}
    if kind == "bounds":
        options = {"bounds": {"b": (0, 1.1)}}
        scipy_options = {"bounds": ([-np.inf, 0, -np.inf], [np.inf, 1.1, np.inf])}
    if kind == "robust":
        y[3] += 3
        options = {"loss": "soft_l1", "f_scale": 0.2}
    result = built(DECAY).fit(X, y, p0=[2, 1, 0.4], **options)
    fixed = {2: 0.4} if kind == "fixed" else {}
    cost, point = result._refit(fixed, np.array([2, 1, 0.4]), NORMAL)

    def residuals(p):
        p = np.append(p[:2], 0.4) if fixed else p
        rows = decay(p) - y
        if kind == "robust":
            rows = np.sqrt(2 * 0.2**2 * (np.sqrt(1 + (rows / 0.2) ** 2) - 1)) * np.sign(rows)
        return np.append(rows, NORMAL.values(p))

    expected, total = least(residuals, [2, 1, 0.4][: 2 if fixed else 3], **scipy_options)
    np.testing.assert_allclose(point[: len(expected)], expected, rtol=1e-6)
    np.testing.assert_allclose(cost + NORMAL.cost(point), total, rtol=1e-9)


def test_errors_in_x():
    """The same where the true inputs are unknowns, too."""
    y, sigma, sigma_x = noisy(), 0.1, 0.08
    result = built(DECAY).fit(X, y, p0=[2, 1, 0.4], sigma=sigma, sigma_x=sigma_x)
    cost, point = result._refit({}, result.parameters, NORMAL)

    def residuals(u):
        p, changes = u[:3], u[3:]
        return np.concatenate([(decay(p, X + changes) - y) / sigma, changes / sigma_x, NORMAL.values(p)])

    expected, total = least(residuals, np.append([2, 1, 0.4], np.zeros(len(X))))
    np.testing.assert_allclose(point, expected[:3], rtol=1e-6)
    np.testing.assert_allclose(cost + NORMAL.cost(point), total, rtol=1e-9)


@pytest.mark.parametrize("with_errors", [False, True])
def test_groups(with_errors):
    """The same in groups, for own parameters of each and for shared ones."""
    rates, count = [1.1, 1.6, 0.8], 3
    x, groups = np.tile(X, count), np.repeat(np.arange(count), len(X))
    y = np.concatenate([noisy((2.5, rate, 0.5), 0.05) for rate in rates])
    errors = {"sigma": 0.1, "sigma_x": 0.08} if with_errors else {}
    result = built(DECAY).fit(x, y, groups=groups, own=["b"], p0=[2, 1, 0.4], **errors)
    slopes = np.zeros((4, 2 + count))
    slopes[range(3), [2, 3, 4]] = 30  # (own - 1)*30
    slopes[3, 0], slopes[1, 1] = 4, 7
    penalty = Penalty(slopes, np.array([-30.0, -30, -30, -9]))
    cost, point = result._refit({}, result.parameters, penalty)

    def residuals(u):
        p, changes = u[:5], u[5:]
        at = x + changes if with_errors else x
        rows = p[0] * np.exp(-p[2:][groups] * at) + p[1] - y
        parts = [rows / 0.1, changes / 0.08] if with_errors else [rows]
        return np.concatenate([*parts, penalty.values(p)])

    expected, total = least(residuals, np.append([2, 0.4, 1, 1, 1], np.zeros(len(x) if with_errors else 0)))
    np.testing.assert_allclose(point, expected[:5], rtol=1e-6)
    np.testing.assert_allclose(cost + penalty.cost(point), total, rtol=1e-9)


def test_convex_loss():
    """The same beside a loss that is no sum of squares, over all targets."""
    layers = [nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, inputs=2, loss="categorical_crossentropy", name="penalized")
    x, labels = RNG.normal(size=(40, 2)), RNG.integers(0, 3, 40)
    y = np.eye(3)[labels]
    module = built(model, fit=True)
    result = module.fit(x, y, seed=0)
    count = len(result.parameters)
    penalty = Penalty(0.7 * np.eye(count), np.full(count, -0.1))
    cost, point = result._refit({}, result.parameters, penalty)

    def total(p):
        loss, gradient = module.loss_and_gradient(p, x, y)
        return 40 * loss + penalty.cost(p), 40 * gradient + penalty.slopes.T @ penalty.values(p)

    found = optimize.minimize(total, result.parameters, jac=True, tol=1e-12)
    np.testing.assert_allclose(point, found.x, atol=1e-6)
    np.testing.assert_allclose(cost, 40 * module.loss(point, x, y), rtol=1e-9)


def test_motion():
    """The same for equations of motion."""
    model = nn.Dynamics("u' = -k*u + g", {"u": "u0"}, {"k": 1, "g": 0.5, "u0": 2}, times=8, name="penalized_motion")
    times = np.linspace(0, 3, 8)[None]
    module = built(model)
    y = module.predict([1.2, 0.4, 2.2], times) + 0.05 * RNG.normal(size=(1, 8))
    result = module.fit(times, y)
    penalty = Penalty(np.array([[20.0, 0, 0], [0, 3, 3]]), np.array([-25.0, -8]))
    cost, point = result._refit({}, result.parameters, penalty)
    expected, total = least(
        lambda p: np.append((module.predict(p, times) - y).ravel(), penalty.values(p)), result.parameters
    )
    np.testing.assert_allclose(point, expected, rtol=1e-5)
    np.testing.assert_allclose(cost + penalty.cost(point), total, rtol=1e-7)
