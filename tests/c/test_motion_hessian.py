"""Compiled second derivatives of equations of motion whose steps are chosen: Hessians, and products with them."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.pipeline import evaluated_module
from tests.support.built import built, compiled_until

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(21)
X = np.hstack([np.sort(RNG.uniform(0, 2, (5, 5)), axis=1), RNG.uniform(0.5, 1, (5, 1)), RNG.normal(size=(5, 5)) / 3])
Y = RNG.normal(size=(5, 10))
STEERED = nn.Dynamics(
    ["u' = (a - b*v)*u + w", "v' = (d*u - c)*v"],
    {"u": "u0", "v": "v0*s"},
    {"a": 1, "b": 0.5, "c": 0.8, "d": 0.3, "u0": 1.0, "v0": 0.7},
    inputs="s",
    columns="w",
    jumps={"u": "u*(1 + a*w/4)"},
    times=5,
    rtol=1e-12,
    atol=1e-12,
    name="steered_prey",
)


def test_the_hessian_of_a_decay():
    """It is that of the formula of the solution, which SymPy differentiates."""
    k, u0, t, y = sympy.symbols("k u0 t y")
    term = (u0 * sympy.exp(-k * t) - y) ** 2
    exact = sympy.lambdify((k, u0, t, y), sympy.hessian(term, (k, u0)))
    module = built(nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 1.5, "u0": 2}, times=6, rtol=1e-11, name="falling_fast"))
    times, seen = np.sort(RNG.uniform(0, 3, (3, 6)), axis=1), RNG.normal(size=(3, 6))
    times -= times[:, :1]
    expected = np.mean([exact(1.5, 2, *pair) for pair in zip(times.flat, seen.flat, strict=True)], axis=0)
    np.testing.assert_allclose(module.hessian([1.5, 2], times, seen), expected, rtol=1e-8, atol=1e-8)


def test_hessians_against_differences():
    """With columns and jumps, a row is the extrapolated central difference of gradients, at a tolerance of 1e-12."""
    module = built(STEERED)
    parameters = module.initial_parameters()
    hessian = module.hessian(parameters, X, Y)

    def gradient(at):
        return module.loss_and_gradient(at, X, Y)[1]

    for row, h in zip(hessian, 1e-3 * np.eye(len(parameters)), strict=True):
        near, far = ((gradient(parameters + k * h) - gradient(parameters - k * h)) / (2e-3 * k) for k in (1, 2))
        np.testing.assert_allclose(row, (4 * near - far) / 3, atol=1e-8 * abs(hessian).max())
    direction = RNG.normal(size=len(parameters))
    product = module.hessian_product(parameters, direction, X, Y)
    np.testing.assert_allclose(product, hessian @ direction, atol=1e-9 * abs(hessian).max())


def test_numpy_takes_the_same_steps():
    """A module without a compiler has the same products, from the formulas that NumPy evaluates."""
    with pytest.warns(RuntimeWarning, match="for a test of second derivatives"):
        slow = evaluated_module(STEERED, reason="for a test of second derivatives")
    module, direction = built(STEERED), RNG.normal(size=6)
    arguments = module.initial_parameters(), direction, X[:1], Y[:1]
    expected = module.hessian_product(*arguments)
    np.testing.assert_allclose(slow.hessian_product(*arguments), expected, atol=1e-9 * abs(expected).max())


def test_a_sample_that_fails():
    """Its second derivatives are NaN, as its loss is."""
    growing = built(nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=2, name="growing_to_a_pole"))
    assert np.isnan(growing.hessian([1.0], [[0, 1.5]], [[0, 0]])).all()
    assert np.isfinite(growing.hessian([1.0], [[0, 0.9]], [[0, 0]])).all()


def test_minimize_reads_them():
    """trust-exact, which asks for Hessians, finds the parameters that made the data."""
    module = built(STEERED)
    truth = module.initial_parameters()
    minimized = module.minimize(X, module.predict(truth, X), truth * 1.05, method="trust-exact")
    np.testing.assert_allclose(minimized.parameters, truth, rtol=1e-3)


@pytest.mark.parametrize("method", ["trust-exact", "trust-ncg", "trust-krylov"])
def test_minimize_rejects_steps_without_a_loss(method):
    """A trust region shrinks where a solution reaches a pole: the minimum is that of a method without derivatives."""
    module = built(nn.Dynamics("u' = -k*u**2", {"u": 1}, {"k": 1}, times=3, name="falling_or_growing"))
    samples = [[0, 0.5, 0.9]], [[1, 2, 3]]
    assert np.isnan(module.loss([-1.2], *samples))
    minimized = module.minimize(*samples, [1.0], method=method)
    assert minimized.status == "converged"
    expected = module.minimize(*samples, [1.0], method="Nelder-Mead", tol=1e-10)
    np.testing.assert_allclose(minimized.parameters, expected.parameters, rtol=1e-5)


def test_built_without_a_fit():
    """Then there are no second derivatives either, and the error says why, though the method has some."""
    module = built(STEERED, fit=False)
    with pytest.raises(ValueError, match=r"it was built without fit=True$"):
        module.hessian(module.initial_parameters(), X, Y)


def test_what_has_none():
    """Stiff methods, and equations of very many states with their derivatives, have none, which is no fault of fits."""
    stiff = built(nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=2, method="rodas5p", name="stiff_decay"))
    with pytest.raises(ValueError, match="a fixed number of steps has second derivatives"):
        stiff.hessian([1.0], [[0, 1]], [[0, 0]])
    names = [f"u{k}" for k in range(24)]
    wide = nn.Dynamics(
        [f"{name}' = -r{name}*{name}" for name in names],
        dict.fromkeys(names, 1),
        dict.fromkeys((f"r{name}" for name in names), 1),
        times=2,
        name="wide_decay",
    )
    for model, expected in ((wide, ["fitting"]), (STEERED, ["fitting", "hessian"])):
        companions = compiled_until(model, "differentiate").findings.companions.derived
        assert [companion.name for companion in companions] == expected
