"""Compiled networks in equations whose Jacobian is read: layers as formulas of all weights."""

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built
from tests.support.plain import COMPILERS, loaded

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(38)
X = np.hstack([np.sort(RNG.uniform(0, 3, (4, 5)), axis=1), RNG.normal(size=(4, 6))])
Y = RNG.normal(size=(4, 10))


def forced(method):
    """A state that follows a network of another one, at a rate that may be large; the other one jumps."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=2)
    return nn.Dynamics(
        ["u' = -k*(u - f(v, t))", "v' = u - v*b"],
        {"u": "v0", "v": 0},
        {"k": 2, "v0": 0.5},
        inputs="b",
        columns="w",
        jumps={"v": "v + w*v0"},
        times=5,
        networks={"f": network},
        method=method,
        rtol=1e-9,
        atol=1e-10,
        name=f"forced_{method}",
    )


TSIT5, AUTO, RODAS = (forced(method) for method in ("tsit5", "auto", "rodas5p"))
PARAMETERS = np.r_[2.0, 0.5, RNG.normal(size=13)]


@pytest.mark.parametrize("model", [AUTO, RODAS], ids=["auto", "rodas5p"])
def test_solutions_and_gradients_are_those_of_layers(model):
    """Those of Tsit5, whose layers are loops and whose gradient is the reverse of its steps, agree to the tolerance."""
    loops, formulas = built(TSIT5), built(model)
    np.testing.assert_allclose(formulas.predict(PARAMETERS, X), loops.predict(PARAMETERS, X), rtol=1e-6, atol=1e-7)
    for result, expected in zip(
        formulas.loss_and_gradient(PARAMETERS, X, Y), loops.loss_and_gradient(PARAMETERS, X, Y), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-7 * np.max(np.abs(expected)))


def test_jacobians_against_differences():
    """A column is the central difference of predictions, for each weight."""
    module = built(RODAS)
    slopes = module.jacobian(PARAMETERS, X)
    for p, h in enumerate(1e-5 * np.eye(len(PARAMETERS))):
        sides = [module.predict(PARAMETERS + side * h, X) for side in (1, -1)]
        expected = (sides[0] - sides[1]) / 2e-5
        assert np.linalg.norm(slopes[:, :, p] - expected) < 1e-5 * np.linalg.norm(expected) + 1e-9


def test_a_fit_of_stiff_equations():
    """From other weights, a fit finds the trajectories that a network made, where a rate is very large."""
    module = built(RODAS)
    truth = np.r_[1e4, 0.5, RNG.normal(size=13)]
    rows = np.hstack(
        [np.sort(RNG.uniform(0, 3, (12, 5)), axis=1), RNG.uniform(0.5, 1, (12, 1)), RNG.normal(size=(12, 5))]
    )
    seen = module.predict(truth, rows)
    start = np.r_[truth[:2], truth[2:] + 0.1 * RNG.normal(size=13)]
    fitted = module.fit(rows, seen, p0=start, fixed={"k": 1e4})
    assert abs(module.predict(fitted.parameters, rows) - seen).max() < 1e-4


def test_plain_c_predicts_and_trains(tmp_path):
    """There, rates are formulas as well, with the derivatives by all weights."""
    functions = loaded(tmp_path, {"forced": (AUTO, {"train": True})}, COMPILERS[0], ("-Og",))["forced"]
    np.testing.assert_allclose(functions.predict(PARAMETERS, X), built(AUTO).predict(PARAMETERS, X), rtol=1e-7)
    gradient = built(AUTO).loss_and_gradient(PARAMETERS, X, Y)[1]
    loss_and_slope = functions.loss_and_gradient(PARAMETERS, X, Y)[1]
    np.testing.assert_allclose(loss_and_slope, gradient, rtol=1e-6, atol=1e-8 * abs(gradient).max())
