"""Compiled networks in equations of motion: solutions and derivatives against NumPy, and a pendulum that is learnt."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from tests.support.built import built
from tests.support.motion import trajectory, weights_of
from tests.support.plain import loaded

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(4)
X = np.hstack([np.sort(RNG.uniform(0, 1.5, (3, 30)), axis=1), RNG.normal(size=(3, 2))])
Y = RNG.normal(size=(3, 60))


def driven(units=50, method="rk4", steps=1):
    """An oscillator with two layers in its equation."""
    network = nn.Sequential([nn.Dense(units, "tanh"), nn.Dense(1)], inputs=2)
    return nn.Dynamics(
        ["u' = v", "v' = -c*u + force(u, v)"],
        {"u": "a", "v": "b"},
        {"c": 1.5},
        inputs=["a", "b"],
        times=30,
        method=method,
        steps=steps,
        networks={"force": network},
        name=f"driven_{units}",
    )


def solution(model, parameters):
    """The states of all samples in a loop over steps, also for complex parameters."""
    weights = weights_of(model, parameters)

    def rate(t, y):
        hidden = np.tanh(weights["force_W1"] @ np.array(y) + weights["force_b1"])
        return [y[1], -weights["c"] * y[0] + weights["force_W2"][0] @ hidden + weights["force_b2"][0]]

    return np.array(
        [np.array(trajectory(rate, row[30:], row[:30], model.method, model.steps)).T.reshape(-1) for row in X]
    )


def drawn(model):
    """Parameters of which none is 0."""
    return RNG.normal(size=sum(parameter.size for parameter in model.describe().parameters)) / 2


@pytest.mark.parametrize(("method", "steps"), [("rk4", 1), ("tsit5", 2)])
def test_gradients_are_those_of_the_steps(method, steps):
    """They are derivatives of the loss of a loop in NumPy, along complex directions, which lose no digits."""
    model = driven(method=method, steps=steps)
    module, parameters = built(model, fit=False), drawn(model)
    exact = solution(model, parameters)
    np.testing.assert_allclose(module.predict(parameters, X), exact, rtol=1e-12, atol=1e-12)
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(np.mean((exact - Y) ** 2), rel=1e-12)
    for p in RNG.choice(len(parameters), 12, replace=False):
        moved = parameters.astype(complex)
        moved[p] += 1e-30j
        slope = np.mean((solution(model, moved) - Y) ** 2).imag / 1e-30
        assert gradient[p] == pytest.approx(slope, rel=1e-11, abs=1e-13)


def test_single_precision():
    """Solutions and gradients have the digits of float32."""
    model = driven()
    parameters = drawn(model)
    single, double = built(model, "float32", fit=False), built(model, fit=False)
    np.testing.assert_allclose(single.predict(parameters, X), double.predict(parameters, X), rtol=1e-5, atol=1e-5)
    (loss, gradient), (exact, slopes) = (module.loss_and_gradient(parameters, X, Y) for module in (single, double))
    assert loss == pytest.approx(exact, rel=1e-5)
    np.testing.assert_allclose(gradient, slopes, atol=1e-5 * abs(slopes).max())


def test_plain_c_does_not_grow_with_the_layers(tmp_path):
    """The source of a network of many units is as long as that of a few, but for their number."""
    models = {f"units{units}": (driven(units), {}) for units in (20, 200)}
    loaded_model = loaded(tmp_path, models)
    for (name, module), (model, _) in zip(loaded_model.items(), models.values(), strict=True):
        parameters = drawn(model)
        for row, expected in zip(X, solution(model, parameters), strict=True):
            np.testing.assert_allclose(module.predict(parameters, row[None])[0], expected, rtol=1e-11, atol=1e-12)
        assert name in loaded_model
    few, many = (len((tmp_path / name / f"{name}.c").read_text()) for name in loaded_model)
    assert abs(many - few) < 1000


def test_the_pendulum_is_learnt():
    """A network learns the force from swings, and predicts others; a fit gets closer than a training."""
    times = np.linspace(0, 3, 16)

    def swings(angles):
        rows = np.hstack([np.tile(times, (len(angles), 1)), np.array(angles)[:, None]])
        paths = [
            solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 3), [angle, 0], t_eval=times, rtol=1e-9, atol=1e-9)
            for angle in angles
        ]
        return rows, np.array([path.y[0] for path in paths])

    network = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics(
        "angle'' = force(angle)",
        {"angle": "released", "angle'": 0},
        times=16,
        steps=2,
        method="rk4",
        inputs="released",
        networks={"force": network},
        name="pendulum",
    )
    module = built(model)
    seen, unseen = swings(np.linspace(-2, 2, 9)), swings([-1.7, -0.3, 0.9])
    trained = module.train(*seen, epochs=600, optimizer="adam", learning_rate=0.02)

    def error(parameters):
        return np.sqrt(np.mean((module.predict(parameters, unseen[0]) - unseen[1]) ** 2))

    assert error(trained.parameters) < 0.05
    with pytest.warns(RuntimeWarning, match="the iterations that were allowed are used up"):
        fitted = module.fit(*seen, p0=trained.parameters, max_iterations=30)
    assert error(fitted.parameters) < 0.3 * error(trained.parameters)
