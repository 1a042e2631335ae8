"""Compiled networks in equations whose steps are chosen: solutions, and gradients by the reverse of the steps taken."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.compiler.ir.integrate import integrate
from nncodegen.compiler.motion.methods.tsit5 import TSIT5
from nncodegen.compiler.schedule import rates
from tests.support.built import built, stage
from tests.support.motion import weights_of

pytestmark = pytest.mark.usefixtures("quick_compiler")
TABLE = TSIT5.table
RNG = np.random.default_rng(7)
TIMES = np.sort(RNG.uniform(0, 4, (11, 9)), axis=1)
TIMES[1, 3] = TIMES[1, 4]
TIMES[2, 5:] = TIMES[2, 5]
X = np.hstack([TIMES, RNG.normal(size=(11, 1))])
Y = RNG.normal(size=(11, 18))


def driven(name, **options):
    """An oscillator with two layers in its equation, which reads the time; one initial value is a parameter."""
    network = nn.Sequential([nn.Dense(7, "tanh"), nn.Dense(1)], inputs=2)
    return nn.Dynamics(
        ["u' = v", "v' = -c*u + b*force(u, v) + sin(t)"],
        {"u": "2*b", "v": "v0"},
        {"c": 1.5, "v0": 0.5},
        inputs="b",
        times=9,
        networks={"force": network},
        name=name,
        **options,
    )


LOOSE = driven("driven_loose", rtol=1e-2, atol=1e-3)
TIGHT = driven("driven_tight", rtol=1e-12, atol=1e-12)
PARAMETERS = np.r_[1.5, 0.5, RNG.normal(size=29)]


def rate_of(weights, b):
    """The rates of the oscillator in NumPy, also for complex weights."""

    def rate(t, y):
        hidden = np.tanh(weights["force_W1"] @ y + weights["force_b1"])
        force = (weights["force_W2"] @ hidden + weights["force_b2"])[0]
        return np.array([y[1], -weights["c"] * y[0] + b * force + np.sin(t)])

    return rate


def followed(parameters, row, taken):
    """The states at all times after steps that begin and end at given times, also for complex parameters."""
    times, b = row[:9], row[9]
    weights = weights_of(LOOSE, parameters)
    rate, states = rate_of(weights, b), []
    u = np.array([2 * b, weights["v0"]])
    states += [u for t in times if t <= times[0]]
    for step in taken:
        stages = []
        for part, weights_before in zip(TABLE.times, TABLE.rows, strict=True):
            moved = sum((a * k for a, k in zip(weights_before, stages, strict=True)), 0 * u)
            after = u + step.h * moved
            stages.append(rate(step.now + part * step.h, after))
        for t in times[(times > step.now) & (times <= step.end)]:
            x = (t - step.now) / step.h
            weight = [sum(c * x ** (k + 1) for k, c in enumerate(row)) for row in TABLE.interpolant]
            inside = u + step.h * sum(w * k for w, k in zip(weight, stages, strict=True))
            states.append(after if t == step.end else inside)
        u = after
    return np.array(states).T.ravel()


def steps_of(model, parameters, row):
    """The steps that are taken for one sample, found by a loop in NumPy."""
    (system,) = (step.expression.system for step in model.describe().steps if step.operator == "integrate")
    taken, weights = [], weights_of(model, parameters)
    starts = np.array([2 * row[9], weights["v0"]])
    integrate(system, row[:9], starts, rate_of(weights, row[9]), taken=taken)
    return taken


def test_gradients_are_those_of_the_steps_taken():
    """With few steps, they are derivatives of these, with the same lengths, along complex directions."""
    taken = [steps_of(LOOSE, PARAMETERS, row) for row in X]
    assert max(map(len, taken)) < 20

    def states(parameters):
        return np.array([followed(parameters, row, steps) for row, steps in zip(X, taken, strict=True)])

    module = built(LOOSE)
    np.testing.assert_allclose(
        module.predict(PARAMETERS, X), states(PARAMETERS), rtol=1e-9, atol=1e-9
    )  # lengths are rounded
    loss, gradient = module.loss_and_gradient(PARAMETERS, X, Y)
    assert loss == pytest.approx(np.mean((states(PARAMETERS) - Y) ** 2), rel=1e-9)
    for p in range(len(PARAMETERS)):
        moved = PARAMETERS.astype(complex)
        moved[p] += 1e-30j
        slope = np.mean((states(moved) - Y) ** 2).imag / 1e-30
        assert gradient[p] == pytest.approx(slope, rel=1e-8, abs=1e-9 * abs(gradient).max())


def test_gradients_against_differences():
    """At tolerances of 1e-12, they are central differences of SciPy's solutions, to 1e-6 of the gradient's norm."""

    def loss(parameters):
        weights, total = weights_of(TIGHT, parameters), 0
        for row, y in zip(X, Y, strict=True):
            begin = [2 * row[9], weights["v0"]]
            options = {"method": "DOP853", "t_eval": np.unique(row[:9]), "rtol": 1e-13, "atol": 1e-13}
            path = solve_ivp(rate_of(weights, row[9]), (row[0], row[8]), begin, **options)
            states = path.y[:, np.searchsorted(path.t, row[:9])]
            total += np.mean((states.ravel() - y) ** 2) / len(X)
        return total

    value, gradient = built(TIGHT).loss_and_gradient(PARAMETERS, X, Y)
    assert value == pytest.approx(loss(PARAMETERS), rel=1e-9)
    for p in (0, 1, 2, 8, 17, 23, 30):
        h = 1e-4 * np.eye(len(PARAMETERS))[p]
        slope = (loss(PARAMETERS + h) - loss(PARAMETERS - h)) / 2e-4
        assert abs(gradient[p] - slope) < 1e-6 * np.linalg.norm(gradient)


def test_solutions_are_within_the_tolerance():
    """The global error is within 100 times the tolerance."""
    model = driven("driven_usual", rtol=1e-7, atol=1e-9)
    predicted, exact = (built(described).predict(PARAMETERS, X) for described in (model, TIGHT))
    assert (abs(predicted - exact) <= 100 * (1e-9 + 1e-7 * abs(exact).max(axis=1, keepdims=True))).all()


def test_numpy_takes_the_same_steps():
    """The program, carried out with NumPy, has the same states and gradients."""
    values = nn.evaluate(stage(LOOSE), PARAMETERS, X, Y)
    module = built(LOOSE)
    evaluated = np.hstack([values["u"], values["v"]])
    np.testing.assert_allclose(module.predict(PARAMETERS, X), evaluated, rtol=1e-9, atol=1e-9)
    gradient = np.concatenate([values[element.tensor].ravel() for element in stage(LOOSE).gradient])
    np.testing.assert_allclose(
        module.loss_and_gradient(PARAMETERS, X, Y)[1], gradient, rtol=1e-8, atol=1e-9 * abs(gradient).max()
    )


@pytest.mark.parametrize(("room", "levels"), [(1, 6), pytest.param(2500, 2, marks=pytest.mark.thorough)])
def test_gradients_do_not_depend_on_how_many_steps_are_kept(room, levels, monkeypatch):
    """Steps that are taken again have the same bits, on two levels or many."""
    module, module_of = built(TIGHT), driven(f"driven_{levels}", rtol=1e-12, atol=1e-12, max_steps=4000)
    monkeypatch.setattr(rates, "MOST_OF_STEPS", room)
    other = nn.build(module_of)
    (chosen,) = nn.compile_model(module_of, until="schedule")["schedule"].rates
    assert chosen.levels == levels
    assert len(steps_of(TIGHT, PARAMETERS, X[0])) > 3 * chosen.length
    for result, expected in zip(
        other.loss_and_gradient(PARAMETERS, X, Y), module.loss_and_gradient(PARAMETERS, X, Y), strict=True
    ):
        np.testing.assert_array_equal(result, expected)


def test_samples_have_the_same_bits_alone_and_among_others():
    """Predictions of a sample, and its gradient where all others weigh nothing, are those of the sample alone."""
    module = built(LOOSE)
    together = module.predict(PARAMETERS, X)
    for n in range(len(X)):
        np.testing.assert_array_equal(module.predict(PARAMETERS, X[n : n + 1])[0], together[n])
    alone = module.loss_and_gradient(PARAMETERS, X[4:5], Y[4:5])
    weights = np.eye(len(X))[4]
    for result, expected in zip(module.loss_and_gradient(PARAMETERS, X, Y, sample_weight=weights), alone, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_single_precision():
    """Solutions differ by at most 100 times the tolerance, gradients by 0.5 % of their largest value."""
    model = driven("driven_single", rtol=1e-5, atol=1e-5)
    single, double = built(model, "float32"), built(TIGHT)
    np.testing.assert_allclose(single.predict(PARAMETERS, X), double.predict(PARAMETERS, X), rtol=1e-3, atol=1e-3)
    gradients = [module.loss_and_gradient(PARAMETERS, X, Y)[1] for module in (single, double)]
    np.testing.assert_allclose(*gradients, atol=5e-3 * abs(gradients[1]).max())


def test_a_sample_that_fails_leaves_the_others_alone():
    """Its states are NaN from there on, and a training that meets it says so; outcomes tell why."""
    network = nn.Sequential([nn.Dense(3, "relu"), nn.Dense(1)], inputs=1)
    growing = nn.Dynamics(
        "u' = k*u**2 + f(u)", {"u": 1}, {"k": 1}, times=3, networks={"f": network}, name="growing", max_steps=200
    )
    module, times = built(growing), np.array([[0, 0.5, 0.9], [0, 0.5, 1.5], [0, 0.1, 0.2]])
    parameters = np.r_[1.0, RNG.normal(size=6), np.zeros(4)]  # the network is 0
    predicted = module.predict(parameters, times)
    assert np.isnan(predicted).tolist() == [[False] * 3, [False, False, True], [False] * 3]
    np.testing.assert_allclose(predicted[[0, 2]], 1 / (1 - times[[0, 2]]), rtol=1e-4)
    assert growing.outcomes(parameters, times)[::2] == ("solved", "solved")
    assert growing.outcomes(parameters, times)[1].startswith(("steps too short", "too many steps"))
    assert growing.outcomes(parameters, times, module) == growing.outcomes(parameters, times)
    targets = np.ones((3, 3))
    alone = module.loss_and_gradient(parameters, times[::2], targets[::2])[1]
    assert np.isfinite(alone).all()
    assert np.isnan(module.loss_and_gradient(parameters, times, targets)[1][0])
    with pytest.warns(RuntimeWarning):
        assert module.train(times, targets, epochs=2, parameters=parameters).status == "diverged"


def several(name, **options):
    """Two networks of several layers, one of which reads the other and is observed as well."""
    first = nn.Sequential([nn.Dense(4, "gelu"), nn.LayerNormalization(), nn.Dense(3, "softmax")], inputs=2)
    x = nn.Input(1)
    second = nn.Network(x, nn.Dense(1, "sigmoid")(nn.Concatenate()(nn.Dense(3, "softplus")(x), x)))
    return nn.Dynamics(
        ["r = p(u, t)*q(c*v)", "u' = s(u, v) - r", "v' = w(u, v) - v"],
        {"u": 1, "v": "v0"},
        {"c": 0.7, "v0": 0.3},
        times=9,
        observed={"u": "u", "r": "p(u, t)*v"},
        networks={("p", "s", "w"): first, "q": second},
        name=name,
        start=-0.5,
        **options,
    )


def test_layers_of_all_kinds():
    """Losses are those of NumPy, from the program as it was described; gradients are their differences."""
    model = several("several_networks", rtol=1e-10, atol=1e-12)
    module, program = built(model), model.describe()
    parameters = RNG.normal(size=sum(parameter.size for parameter in program.parameters))
    rows, targets = X[:1, :9], RNG.normal(size=(1, 18))
    value, gradient = module.loss_and_gradient(parameters, rows, targets)
    assert value == pytest.approx(float(nn.evaluate(program, parameters, rows, targets)["loss"]), rel=1e-8)
    assert np.count_nonzero(abs(gradient) > 1e-12) > 0.8 * len(gradient)
    for p in range(len(parameters)):
        h = 1e-4 * np.eye(len(parameters))[p]
        sides = [module.loss(parameters + side * h, rows, targets) for side in (1, -1)]
        slope = (sides[0] - sides[1]) / 2e-4
        assert gradient[p] == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(gradient).max())


def test_a_pendulum_is_learnt():
    """A network learns the force from swings, and predicts others."""
    times = np.linspace(0, 3, 16)
    swing = nn.Dynamics("a'' = -sin(a)", {"a": "released", "a'": 0}, inputs="released", times=16, name="swings")
    network = nn.Sequential([nn.Dense(6, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics(
        "a'' = force(a)",
        {"a": "released", "a'": 0},
        inputs="released",
        times=16,
        networks={"force": network},
        rtol=1e-5,
        atol=1e-6,
        name="learnt",
    )
    truth, module = nn.build(swing, fit=False), built(model)

    def data(angles):
        rows = np.hstack([np.tile(times, (len(angles), 1)), np.array(angles)[:, None]])
        return rows, truth.predict([], rows)

    seen, unseen = data(np.linspace(-2, 2, 9)), data([-1.7, -0.3, 0.9])
    trained = module.train(*seen, epochs=500, optimizer="adam", learning_rate=0.02)
    error = module.predict(trained.parameters, unseen[0]) - unseen[1]
    assert np.sqrt(np.mean(error**2)) < 0.05


def test_second_derivatives_take_a_number_of_steps():
    """Chosen steps have none, and the error says what has."""
    with pytest.raises(ValueError, match=r"solved by tsit5.*; a fixed number of steps has second derivatives$"):
        built(LOOSE).hessian(PARAMETERS, X, Y)


@pytest.mark.parametrize(
    ("target", "advice"), [("onnx", "give it a number of steps .*; or export"), ("casadi", "export")]
)
def test_destinations_without_chosen_steps(target, advice, tmp_path):
    """They are sent only to what takes such a model: CasADi has no equations of motion."""
    pytest.importorskip(target)
    with pytest.raises(nn.ModelError, match=f"as those of driven_loose are: {advice} a wheel, C or WebAssembly$"):
        nn.export(LOOSE, target, tmp_path)
