"""Compiled differential equations of many states and parameters, whose derivatives come from the reverse of steps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.compiler.motion import adaptive
from tests.support.built import built
from tests.support.dosing import START, dosing, samples

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(9)


def ring(states, zones, observed, times, name):
    """States in a ring that exchange what they have with both neighbors, and lose it; rates depend on the zone."""
    zone = [i * zones // states for i in range(states)]
    equations = [
        f"u{i}' = k{z}*(u{i - 1 if i else states - 1} - 2*u{i} + u{(i + 1) % states}) - r{z}*u{i}**2 + {1 + i % 3}"
        for i, z in enumerate(zone)
    ]
    parameters = {f"k{z}": 0.3 + 0.02 * z for z in range(zones)} | {f"r{z}": 0.2 + 0.01 * z for z in range(zones)}
    return nn.Dynamics(
        equations,
        {f"u{i}": (i % 5) / 5 for i in range(states)},
        parameters,
        times=times,
        observed=[f"u{i}" for i in observed],
        name=name,
    )


def ring_solution(parameters, states, zones, observed, times):
    """The observed states at all times by SciPy, (observed, times)."""
    exchange, loss = (parameters.reshape(2, zones)[k, np.arange(states) * zones // states] for k in range(2))

    def rates(t, u):
        neighbors = np.roll(u, 1) - 2 * u + np.roll(u, -1)
        return exchange * neighbors - loss * u**2 + 1 + np.arange(states) % 3

    start = np.arange(states) % 5 / 5
    return solve_ivp(rates, (times[0], times[-1]), start, "DOP853", times, rtol=1e-10, atol=1e-12).y[list(observed)]


def changes(function, parameters, step=1e-5):
    """The derivatives of a function by each parameter, by central differences."""
    moves = step * np.eye(len(parameters))
    return np.array([(function(parameters + move) - function(parameters - move)) / (2 * step) for move in moves])


def test_jumps_by_the_reverse(monkeypatch):
    """Parameters in rates, jumps and initial values have the derivatives, and the fit, of solutions side by side."""
    with_sensitivities = built(dosing(name="dosing_sensitivities"))
    monkeypatch.setattr(adaptive, "MOST_PARTS", 0)
    by_reverse = built(dosing(name="dosing_reverse"))
    X = samples(4, RNG)
    Y = with_sensitivities.predict(START * [1.1, 0.9, 1.05, 0.95], X)
    gradients = [module.loss_and_gradient(START, X, Y)[1] for module in (with_sensitivities, by_reverse)]
    np.testing.assert_allclose(*gradients, rtol=1e-3)
    fits = [module.fit(X, Y, p0=START) for module in (with_sensitivities, by_reverse)]
    assert all(fit.converged for fit in fits)
    np.testing.assert_allclose(fits[1].parameters, START * [1.1, 0.9, 1.05, 0.95], rtol=1e-4)
    np.testing.assert_allclose(fits[1].parameters, fits[0].parameters, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(("states", "zones"), [(200, 6), (520, 12)])
def test_many_states_are_predicted_and_fitted(states, zones):
    """Hundreds of states with dozens of parameters: predictions are SciPy's, gradients differences, and fits end there.

    GCC has made wrong vectors of such rates, which stand without a loop: see permutations.py.
    """
    observed, times = range(0, states, states // 40), np.linspace(0, 2, 6)
    module = built(ring(states, zones, observed, 6, f"ring_{states}"))
    true = np.array(module.initial_parameters())
    exact = ring_solution(true, states, zones, observed, times)
    np.testing.assert_allclose(module.predict(true, times[None]).reshape(exact.shape), exact, rtol=1e-5)
    Y = module.predict(true, times[None]) + RNG.normal(size=(1, exact.size)) * 1e-3
    start = true * 1.3
    differences = changes(lambda p: module.loss(p, times[None], Y), start)
    np.testing.assert_allclose(module.loss_and_gradient(start, times[None], Y)[1], differences, rtol=1e-3)
    result = module.fit(times[None], Y, p0=start)
    assert result.converged
    assert (abs(result.parameters - true) < 5 * result.standard_errors).all()
    slopes = changes(lambda p: module.predict(p, times[None])[0], result.parameters)
    np.testing.assert_allclose(
        np.linalg.inv(result.covariance),
        slopes @ slopes.T / result.reduced_chi2,
        rtol=1e-3,
        atol=1e-3 * np.linalg.inv(result.covariance).max(),
    )
