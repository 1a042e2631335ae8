"""Compiled networks in equations with columns and jumps whose steps are chosen: solutions and gradients."""

import subprocess
from functools import cache

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.schedule import rates
from tests.support.built import built, stage
from tests.support.compilers import WARNINGS
from tests.support.motion import weights_of
from tests.support.solutions import solved_in_parts

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(27)
TIMES = 9
COURSES = ("linear", "held")


@cache
def steered(interpolation="linear", name="steered", **options):
    """An oscillator whose force is a network of states and a control, and that is kicked at some times."""
    network = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(1)], inputs=3)
    return nn.Dynamics(
        ["u' = v", "v' = -c*u + b*force(u, v, control) + sin(t)"],
        {"u": "2*b", "v": "v0"},
        {"c": 1.5, "v0": 0.5, "share": 0.7},
        inputs="b",
        columns="control kick",
        times=TIMES,
        jumps={"v": "v*share + kick*c*t", "u": "u + 0.1*share*v*kick"},
        networks={"force": network},
        interpolation=interpolation,
        name=f"{name}_{interpolation}",
        **options,
    )


def samples(count):
    """Rows of X: times, of which two, several or the first ones may be one time, then the input and the columns."""
    times = np.sort(RNG.uniform(0, 4, (count, TIMES)), axis=1)
    times[1, 3], times[2, 5:], times[3, :2] = times[1, 4], times[2, 5], times[3, 0]
    kicks = RNG.normal(size=(count, TIMES)) * (RNG.uniform(size=(count, TIMES)) < 0.4)
    return np.hstack([times, RNG.normal(size=(count, 1)), RNG.normal(size=(count, TIMES)), kicks])


X = samples(11)
Y = RNG.normal(size=(11, 2 * TIMES))
PARAMETERS = np.r_[1.5, 0.5, 0.7, RNG.normal(size=26)]


def tight(interpolation, **options):
    return steered(interpolation, "steered_tight", rtol=1e-12, atol=1e-12, **options)


def solution(parameters, row, interpolation, start=None):
    """The states at all times of a row by SciPy, begun again at each time: u, then v."""
    weights = weights_of(steered(interpolation), parameters)
    t, b, control, kick = row[:TIMES], row[TIMES], row[TIMES + 1 : 2 * TIMES + 1], row[2 * TIMES + 1 :]
    c, share = float(weights["c"]), float(weights["share"])

    def rate(k, now, u):
        value = control[max(k - 1, 0)]
        if interpolation == "linear" and k:
            value += (now - t[k - 1]) / (t[k] - t[k - 1]) * (control[k] - control[k - 1])
        hidden = np.tanh(weights["force_W1"] @ np.array([*u, value]) + weights["force_b1"])
        return [u[1], -c * u[0] + b * (weights["force_W2"] @ hidden + weights["force_b2"])[0] + np.sin(now)]

    def jump(k, u):
        return [u[0] + 0.1 * share * u[1] * kick[k], u[1] * share + kick[k] * c * t[k]]

    return solved_in_parts(rate, [2 * b, float(weights["v0"])], t, jump, start, "DOP853").T.ravel()


def gradient_by_evaluation(program, rows, targets):
    """The gradient of a program that is carried out with NumPy."""
    values = nn.evaluate(program, PARAMETERS, rows, targets)
    return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])


@pytest.mark.parametrize("interpolation", COURSES)
def test_solutions_and_gradients_at_close_tolerances(interpolation):
    """Solutions are those of SciPy, and gradients their central differences, to 1e-6 of the gradient's norm."""
    module = built(tight(interpolation))

    def states(parameters):
        return np.array([solution(parameters, row, interpolation) for row in rows])

    rows, targets = X[:2], Y[:2]
    exact = states(PARAMETERS)
    np.testing.assert_allclose(module.predict(PARAMETERS, rows), exact, rtol=1e-9, atol=1e-9 * abs(exact).max())
    loss, gradient = module.loss_and_gradient(PARAMETERS, rows, targets)
    assert loss == pytest.approx(np.mean((exact - targets) ** 2), rel=1e-9)
    for p in (0, 1, 2, 17, 28):
        h = 1e-4 * np.eye(len(PARAMETERS))[p]
        sides = [np.mean((states(PARAMETERS + side * h) - targets) ** 2) for side in (1, -1)]
        assert abs(gradient[p] - (sides[0] - sides[1]) / 2e-4) < 1e-6 * np.linalg.norm(gradient)


@pytest.mark.parametrize("interpolation", ["linear", pytest.param("held", marks=pytest.mark.thorough)])
def test_gradients_are_those_of_many_equal_steps(interpolation):
    """Forty steps of equal length from each time to the next, carried out with NumPy, have the same gradient."""
    gradient = gradient_by_evaluation(stage(steered(interpolation, "steered_fixed", steps=40)), X[:4], Y[:4])
    loss_and_slope = built(tight(interpolation)).loss_and_gradient(PARAMETERS, X[:4], Y[:4])[1]
    np.testing.assert_allclose(loss_and_slope, gradient, rtol=1e-7, atol=1e-8 * abs(gradient).max())


@pytest.mark.parametrize("interpolation", ["linear", pytest.param("held", marks=pytest.mark.thorough)])
def test_numpy_takes_the_same_steps(interpolation):
    """With few steps, states and gradients are those of the program, carried out with NumPy."""
    model = steered(interpolation, "steered_loose", rtol=1e-2, atol=1e-3)
    program, module = stage(model), built(model)
    values = nn.evaluate(program, PARAMETERS, X[:5], Y[:5])
    evaluated = np.hstack([values["u"], values["v"]])
    np.testing.assert_allclose(module.predict(PARAMETERS, X[:5]), evaluated, rtol=1e-9, atol=1e-9)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    np.testing.assert_allclose(
        module.loss_and_gradient(PARAMETERS, X[:5], Y[:5])[1], gradient, rtol=1e-8, atol=1e-9 * abs(gradient).max()
    )


def test_steps_that_are_taken_again_cross_times_and_jumps(monkeypatch):
    """However few steps are kept, a gradient has the same bits."""
    options = {"max_steps": 4000}
    module = built(tight("linear"))
    chosen = []
    for room in (1, 1200):
        monkeypatch.setattr(rates, "MOST_OF_STEPS", room)
        model = tight("linear", **options)
        other = nn.build(model, fit=False)
        chosen.append(nn.compile_model(model, until="schedule")["schedule"].rates[0].levels)
        for result, expected in zip(
            other.loss_and_gradient(PARAMETERS, X, Y), module.loss_and_gradient(PARAMETERS, X, Y), strict=True
        ):
            np.testing.assert_array_equal(result, expected)
    assert chosen[0] > chosen[1] > 1


def test_samples_have_the_same_bits_alone_and_among_others():
    """Predictions of a sample, and its gradient where all others weigh nothing, are those of the sample alone."""
    module = built(steered("linear", "steered_loose", rtol=1e-2, atol=1e-3))
    together = module.predict(PARAMETERS, X)
    for n in range(len(X)):
        np.testing.assert_array_equal(module.predict(PARAMETERS, X[n : n + 1])[0], together[n])
        alone = module.loss_and_gradient(PARAMETERS, X[n : n + 1], Y[n : n + 1])
        among = module.loss_and_gradient(PARAMETERS, X, Y, sample_weight=np.eye(len(X))[n])
        for result, expected in zip(among, alone, strict=True):
            np.testing.assert_array_equal(result, expected)


def test_initial_values_before_the_first_time():
    """With a start, the first interval has the columns of the first time, and its jump comes after it."""
    model = steered("held", "steered_begun", rtol=1e-9, atol=1e-10, start=-0.5)
    module, rows, targets = built(model), X[:2], Y[:2]
    exact = np.array([solution(PARAMETERS, row, "held", -0.5) for row in rows])
    np.testing.assert_allclose(module.predict(PARAMETERS, rows), exact, atol=1e-7 * abs(exact).max())
    gradient = module.loss_and_gradient(PARAMETERS, rows, targets)[1]
    for p in (0, 1, 2, 17, 28):
        h = 1e-4 * np.eye(len(PARAMETERS))[p]
        sides = [[solution(PARAMETERS + side * h, row, "held", -0.5) for row in rows] for side in (1, -1)]
        slope = (np.mean((sides[0] - targets) ** 2) - np.mean((sides[1] - targets) ** 2)) / 2e-4
        assert abs(gradient[p] - slope) < 1e-6 * np.linalg.norm(gradient)


def test_single_precision():
    """Solutions and gradients have the digits of float32."""
    model = steered("linear", "steered_single", rtol=1e-5, atol=1e-5)
    single, double = built(model, "float32"), built(tight("linear"))
    exact = double.predict(PARAMETERS, X)
    np.testing.assert_allclose(single.predict(PARAMETERS, X), exact, atol=1e-3 * abs(exact).max())
    gradients = [module.loss_and_gradient(PARAMETERS, X, Y)[1] for module in (single, double)]
    np.testing.assert_allclose(*gradients, atol=1e-3 * abs(gradients[1]).max())


def test_columns_without_jumps_and_jumps_without_columns():
    """Either alone changes rates or states as well; a state that is no output jumps, too."""
    network = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(1)], inputs=2)
    options = {"parameters": {"k": 0.8}, "times": 4, "networks": {"f": network}, "rtol": 1e-11, "atol": 1e-12}
    driven = nn.Dynamics("u' = f(u, w) - k*u", {"u": 1}, columns="w", name="only_driven", **options)
    falling = nn.Dynamics(
        "u' = v; v' = f(u, v) - 1", {"u": 1, "v": 0}, jumps={"v": "-k*v"}, observed="u", name="only_jumps", **options
    )
    times = np.sort(RNG.uniform(0, 2, (3, 4)), axis=1)
    for model, rows in ((driven, np.hstack([times, RNG.normal(size=(3, 4))])), (falling, times)):
        module, targets = built(model), RNG.normal(size=(3, 4))
        parameters = np.r_[0.8, RNG.normal(size=len(module.initial_parameters()) - 1)]
        gradient = module.loss_and_gradient(parameters, rows, targets)[1]
        for p, h in enumerate(1e-4 * np.eye(len(parameters))):
            sides = [module.loss(parameters + side * h, rows, targets) for side in (1, -1)]
            slope = (sides[0] - sides[1]) / 2e-4
            assert gradient[p] == pytest.approx(slope, rel=1e-5, abs=1e-6 * np.linalg.norm(gradient))


def test_c_of_equal_steps_hides_no_index(tmp_path):
    """An initial value that is a parameter has an index of its own, beside loops over the same one after it."""
    sources = nn.compile_model(steered("linear", "steered_strict", steps=2), until="emit").sources
    for name, text in sources.files.items():
        (tmp_path / name).write_text(text)
    others = sorted(name for name in sources.files if name.endswith(".c") and not name.endswith("_module.c"))
    assert any("hessian" in name for name in others)
    options = ["-std=c11", *WARNINGS, "-fsyntax-only", f"-I{nn.get_include()}"]
    outcome = subprocess.run(["cc", *options, *others], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert not outcome.returncode, outcome.stderr


def test_a_controlled_pendulum_is_learnt():
    """A network learns a force that depends on a control, from swings with kicks, and predicts others."""
    options = {"inputs": "released", "columns": "push kick", "times": 12, "jumps": {"a'": "a' + kick"}}
    start = {"a": "released", "a'": 0}
    truth = built(nn.Dynamics("a'' = -sin(a) + push", start, name="pushed_truth", **options))
    network = nn.Sequential([nn.Dense(8, "tanh"), nn.Dense(1)], inputs=2)
    model = nn.Dynamics(
        "a'' = force(a, push)", start, networks={"force": network}, rtol=1e-4, atol=1e-5, name="pushed", **options
    )

    def data(count):
        times = np.tile(np.linspace(0, 3, 12), (count, 1))
        kicks = np.where(RNG.uniform(size=(count, 12)) < 0.15, RNG.normal(size=(count, 12)), 0)
        rows = np.hstack([times, RNG.uniform(-1, 1, (count, 1)), RNG.uniform(-1, 1, (count, 12)), kicks])
        return rows, truth.predict([], rows)

    seen, unseen, module = data(24), data(8), built(model)
    trained = module.train(*seen, epochs=400, optimizer="adam", learning_rate=0.02)
    error = module.predict(trained.parameters, unseen[0]) - unseen[1]
    assert np.sqrt(np.mean(error**2)) < 0.1
