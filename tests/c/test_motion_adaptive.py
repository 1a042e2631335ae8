"""Compiled differential equations whose steps are chosen by an estimate of their error, against SciPy and NumPy."""

import os
import pickle
import re
import sys
from subprocess import run

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import nncodegen as nn
from nncodegen.compiler.building import parts
from nncodegen.compiler.motion import Dynamics
from nncodegen.compiler.pipeline import evaluated_module
from nncodegen.compiler.schedule import layout
from tests.support.built import built, stage
from tests.support.models import differences, gradient_of
from tests.support.solutions import EXAMPLES

pytestmark = pytest.mark.usefixtures("vector_compiler")
RTOL, ATOL = 1e-7, 1e-9
RNG = np.random.default_rng(4)
PREY = EXAMPLES["prey"]
WITHOUT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""The environment of a process that cannot import nncodegen."""
ALIKE = ("growth", "prey", "oscillator", "weather", "epidemic", "enzyme")
"""Equations with nothing in their rates that others do not have: products, functions, quotients, powers, the time."""


PRECISE = {"rtol": 1e-12, "atol": 1e-13}
SLOPES = {name: EXAMPLES[name].model(21, **PRECISE, name=name) for name in ("prey", "driven", "pendulum", "enzyme")}
"""Models at tolerances for differences, with a fit."""


@pytest.fixture(scope="module")
def prey():
    """Lotka and Volterra's equations."""
    return built(SLOPES["prey"])


def parameters_of(example):
    return np.array([*example.parameters.values()], float)


def near(p, share=0.05):
    return p * (1 + share * RNG.uniform(-1, 1, p.shape))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in ALIKE else name for name in EXAMPLES]
)
def test_solutions(name):
    """The global error is within 100 times the tolerance, and NumPy takes the same steps: results agree to 1e-12."""
    example = EXAMPLES[name]
    model = example.model(rtol=RTOL, atol=ATOL, name=f"{name}_solved")
    module, times, p = nn.build(model, fit=False), example.times(), parameters_of(example)
    solution = module.predict(p, times[None]).reshape(len(example.initial), -1)
    exact = example.solution(p, times)
    size = abs(exact).max(axis=1, keepdims=True)
    assert (abs(solution - exact) <= 100 * (ATOL + RTOL * size)).all()
    program = stage(model, fit=False)
    values = nn.evaluate(program, p, times[None], results=program.outputs)
    same = [values[output.tensor][0] for output in program.outputs]
    assert (abs(solution - same) <= 1e-12 * np.maximum(size, 1)).all()


@pytest.mark.parametrize(
    "name", ["prey", "driven", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("pendulum", "enzyme"))]
)
def test_jacobian_against_differences(name):
    """At tolerances of 1e-12, each column is that of central differences of SciPy's solutions, to 1e-6 of its norm."""
    example = EXAMPLES[name]
    module = built(SLOPES[name])
    times, p = example.times(21), parameters_of(example)
    jacobian = module.jacobian(p, times[None])[0]
    for number, column in enumerate(jacobian.T):
        h = 1e-4 * np.eye(len(p))[number] * abs(p[number])
        sides = [example.solution(p + side * h, times).ravel() for side in (1, -1)]
        expected = (sides[0] - sides[1]) / (2 * h[number])
        assert np.linalg.norm(column - expected) <= 1e-6 * np.linalg.norm(expected)


def test_gradient(prey):
    """It is the Jacobian times the residuals, and that of the mean over samples with weights."""
    X = PREY.end * np.sort(RNG.uniform(0, 1, (5, 21)), axis=1)
    Y, p = RNG.normal(10, 3, (5, 42)), parameters_of(PREY)
    weight = np.array([1, 2, 0, 0.5, 1])
    residuals = prey.predict(p, X) - Y
    expected = 2 * np.einsum("n,nk,nkp->p", weight / weight.sum(), residuals, prey.jacobian(p, X)) / 42
    loss, gradient = prey.loss_and_gradient(p, X, Y, sample_weight=weight)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13 * abs(expected).max())
    np.testing.assert_allclose(loss, weight @ (residuals**2).mean(axis=1) / weight.sum(), rtol=1e-12)
    np.testing.assert_allclose(prey.loss(p, X, Y, sample_weight=weight), loss, rtol=1e-14)


def test_samples_do_not_depend_on_each_other(prey):
    """A prediction and a row of the Jacobian have the same bits alone, among others, and next to one that fails."""
    X = PREY.end * np.sort(RNG.uniform(0, 1, (70, 21)), axis=1)
    p = parameters_of(PREY)
    together, slopes = prey.predict(p, X), prey.jacobian(p, X)
    for n in (0, 7, 31, 32, 69):
        assert (prey.predict(p, X[n : n + 1])[0] == together[n]).all()
        assert (prey.jacobian(p, X[n : n + 1])[0] == slopes[n]).all()
    module = built(nn.Dynamics("u' = w*u**2", {"u": "u0"}, {"u0": 1}, inputs="w", times=3, name="burst"))
    predicted = module.predict([1], [[0, 1, 2, 0.1], [0, 1, 2, 3], [0, 1, 2, 0.2]])
    assert np.isnan(predicted).tolist() == [[False] * 3, [False, True, True], [False] * 3]
    np.testing.assert_allclose(predicted[[0, 2]], [[1, 1 / 0.9, 1 / 0.8], [1, 1 / 0.8, 1 / 0.6]], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("prey", "float64"),
        ("chemistry", "float32"),
        pytest.param("pendulum", "float32", marks=pytest.mark.thorough),
        pytest.param("orbit", "float64", marks=pytest.mark.thorough),
        pytest.param("enzyme", "float64", marks=pytest.mark.thorough),
    ],
)
def test_samples_have_the_same_bits_in_every_lane(name, precision, monkeypatch):
    """With sums of products, functions and powers, a sample is the same alone, among few, and in another lane."""
    monkeypatch.delenv("CC", raising=False)  # with the options that people get
    example, rtol = EXAMPLES[name], 1e-6 if precision == "float64" else 1e-4
    model = example.model(9, rtol=rtol, atol=rtol / 100, name=f"{name}_in_lanes")
    module, p = nn.build(model, precision), parameters_of(example)
    X = example.end * np.sort(RNG.uniform(0, 1, (37, 9)), axis=1)
    together, slopes, order = module.predict(p, X), module.jacobian(p, X), RNG.permutation(37)
    assert (module.predict(p, X[order]) == together[order]).all()
    assert (module.jacobian(p, X[order]) == slopes[order]).all()
    assert (module.predict(p, X[:3]) == together[:3]).all()
    for n in (0, 5, 36):
        assert (module.predict(p, X[n : n + 1])[0] == together[n]).all()
        assert (module.jacobian(p, X[n : n + 1])[0] == slopes[n]).all()


def test_lanes_end_and_fail_by_themselves():
    """Each of many samples takes its steps: those that end early, late, at once or never leave the others alone."""
    model = nn.Dynamics(
        "u' = w*u**2", {"u": "u0"}, {"u0": 1}, inputs="w", times=5, start=0, max_steps=1000, name="bursts"
    )
    module = built(model)
    w = RNG.uniform(-3, 1.5, 100)
    times = np.sort(RNG.uniform(0, 1, (100, 5)), axis=1)
    times[3], times[4], times[50] = 0, [-1, 0, 0.1, 0.2, 0.3], [0, 0, 0, 0, 1e-9]
    predicted = module.predict([1], np.column_stack([times, w]))
    early = times[:, :1] < 0
    expected = np.where(early | (w[:, None] * times >= 1), np.nan, 1 / (1 - w[:, None] * times))
    assert np.isnan(expected).any(axis=1).sum() > 5
    np.testing.assert_allclose(predicted, expected, rtol=1e-3)


def test_derivatives_fail_with_their_states():
    """Steps whose states are NaN are rejected, also where their derivatives, a block of their own, are finite."""
    model = nn.Dynamics("u' = asin(t/2) + g", {"u": 1}, {"g": 1}, times=3, name="ending")
    module, times = built(model), [[0, 1, 4]]
    assert model.outcomes([1], times) == ("steps too short",)
    assert np.isnan(module.predict([1], times)[0]).tolist() == [False, False, True]
    slopes = module.jacobian([1], times)[0, :, 0]
    np.testing.assert_allclose(slopes[:2], [0, 1], rtol=1e-9)
    assert np.isnan(slopes[2])


def test_systems_too_large_for_lanes(monkeypatch, prey):
    """Where states and derivatives would not stay on the stack in lanes, samples are solved one after the other."""
    monkeypatch.setattr(layout, "MOST_IN_LANES", 1)
    module = nn.build(PREY.model(21, **PRECISE, name="prey_one_by_one"))
    X = PREY.end * np.sort(RNG.uniform(0, 1, (9, 21)), axis=1)
    p = parameters_of(PREY)
    np.testing.assert_allclose(module.predict(p, X), prey.predict(p, X), rtol=1e-9)
    np.testing.assert_allclose(module.jacobian(p, X), prey.jacobian(p, X), rtol=1e-7, atol=1e-7)


def test_fit(prey):
    """Parameters and their errors are those of SciPy's least squares of exact solutions."""
    times, truth = PREY.times(21), parameters_of(PREY)
    Y = PREY.solution(truth, times).ravel() * (1 + 0.02 * RNG.normal(size=42))
    Y[5] = np.nan
    seen = ~np.isnan(Y)
    start = near(truth)
    fitted = prey.fit(times[None], Y[None], p0=start)
    reference = least_squares(
        lambda p: (PREY.solution(p, times).ravel() - Y)[seen], start, xtol=1e-12, ftol=1e-12, x_scale="jac"
    )
    assert fitted.converged
    np.testing.assert_allclose(fitted.parameters, reference.x, rtol=1e-4)
    covariance = np.linalg.inv(reference.jac.T @ reference.jac) * 2 * reference.cost / (seen.sum() - 6)
    np.testing.assert_allclose(fitted.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-2)


@pytest.mark.parametrize(
    ("rtol", "tolerance"), [pytest.param(1e-6, 1e-7, marks=pytest.mark.thorough), (1e-4, 1e-5), (1e-9, 1e-8)]
)
def test_fits_end_where_steps_tell_nothing(rtol, tolerance):
    """The default tolerance is a tenth of that of the steps, but not below the usual one; a given one counts."""
    example = EXAMPLES["decay"]
    module, times, p = built(example.model(9, rtol=rtol, name="tolerated")), example.times(9), parameters_of(example)
    Y = module.predict(p, times[None]) * (1 + 0.05 * np.random.default_rng(2).normal(size=(1, 9)))
    ends = {option: module.fit(times[None], Y, p0=1.4 * p, tolerance=option) for option in (None, tolerance, 1e-13)}
    assert (ends[None].parameters == ends[tolerance].parameters).all()
    assert ends[None].iterations == ends[tolerance].iterations < ends[1e-13].iterations
    many = [module.fit_many(times[None, None], Y[None], p0=1.4 * p, tolerance=option) for option in (None, tolerance)]
    assert (many[0].parameters == many[1].parameters).all()


def test_errors_of_solutions_hide_the_rest_of_a_fall():
    """A fit is at its minimum where steps promise no more than what the error of solutions changes the cost by."""
    model = nn.Dynamics(
        ["T' = -b*T*V", "I' = b*T*V - d*I", "V' = p*I - c*V"],
        {"T": 1, "I": 0, "V": "v0"},
        {"b": 2, "d": 1, "p": 5, "c": 3, "v0": 0.01},
        times=21,
        observed={"virus": "1000*V"},
        rtol=1e-3,
        name="virus",
    )
    module, times = built(model), np.linspace(0, 12, 21)

    def rates(t, state, b, d, p, c):
        cells, infected, virus = state
        return [-b * cells * virus, b * cells * virus - d * infected, p * infected - c * virus]

    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth = np.array([2, 1, 5, 3, 0.01]) * rng.uniform(0.8, 1.25, 5)
        exact = solve_ivp(rates, (0, 12), [1, 0, truth[4]], "LSODA", times, args=truth[:4], rtol=1e-10, atol=1e-13)
        result = module.fit(times[None], 1000 * exact.y[None, 2], p0=truth * rng.uniform(0.9, 1.1, 5))
        assert result.converged, (seed, str(result))
        assert abs(result.residuals).max() < 0.01 * 1000 * exact.y[2].max()


def test_errors_of_solutions_hide_what_is_not_determined():
    """Combinations of parameters that change outputs by less than their error promise nothing where a fit ends."""
    model = nn.Dynamics(
        ["a' = -k*a", "b' = r*s*a - e*b/(1 + b)"],
        {"a": "a0", "b": "b0"},
        {"k": 25, "r": 3, "s": 2, "e": 1, "a0": 2, "b0": 1},
        start=0,
        times=25,
        observed={"o": "b"},
        rtol=1e-7,
        name="transient",
    )
    module, times, truth = built(model), np.linspace(0.6, 4, 25), np.array([25, 3, 2, 1, 2, 1.0])
    y = module.predict(truth, times[None])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        Y, start = y * (1 + 0.03 * rng.normal(size=y.shape)), truth * np.exp(0.3 * rng.normal(size=6))
        result = module.fit(times[None], Y, p0=start, bounds=(truth / 1000, truth * 1000))
        assert result.status == "singular", (seed, str(result))
        assert {"r", "s"} <= {*result.undetermined}
        assert result.chi2 < ((Y - y) ** 2).sum()


def test_many_fits(prey):
    """They are those of single fits; one whose solution blows up has a status, and leaves the others alone."""
    times, p = PREY.times(21), parameters_of(PREY)
    Y = np.array([PREY.solution(near(p, 0.02), times).ravel() for _ in range(3)])
    starts = np.array([p, p, p * [1, -1000, 1, 1, 1, 1]])
    X = np.repeat(times[None], 3, 0)
    with pytest.warns(RuntimeWarning, match="1 not_finite"):
        many = prey.fit_many(X[:, None], Y[:, None], p0=starts)
    assert [*many.status] == ["converged", "converged", "not_finite"]
    for number in range(2):
        alone = prey.fit(X[:1], Y[number : number + 1], p0=p)
        np.testing.assert_allclose(many.parameters[number], alone.parameters, rtol=1e-6)


def test_a_start_without_a_solution(prey):
    """The message of a fit says what may be wrong, with the limits of the steps."""
    start = parameters_of(PREY) * [1, -1000, 1, 1, 1, 1]
    with pytest.warns(
        RuntimeWarning, match=r"leaves the range of numbers .* at most 100,000 steps.* method=\"rodas5p\" if"
    ):
        result = prey.fit(PREY.times(21)[None], np.ones((1, 42)), p0=start)
    assert result.status == "not_finite"


GROUPS = {"groups": ["a", "b", "b"], "own": ["k"]}
WITHIN = {"bounds": {"k": (0.9, 2), "c": (0.1, 0.2)}}


@pytest.fixture(scope="module")
def growing():
    """A function that builds an equation whose solution leaves the range of numbers before the last time."""

    def build(loss="mse"):
        return nn.build(
            nn.Dynamics("u' = k*u**2 - c*u", {"u": 1}, {"k": 1, "c": 0.1}, times=4, loss=loss, name=f"growing_{loss}")
        )

    return build


@pytest.mark.parametrize("loss", ["mse", "log_cosh"])
def test_a_start_without_a_solution_is_said_at_once(growing, loss, monkeypatch):
    """Predictions tell that outputs are not finite, before a fit is compiled; the result is that of compiled fits.

    So it is for fits in groups, with starts that are looked for, and where both meet.
    """
    X = np.tile([0, 0.5, 0.7, 2], (3, 1))
    Y = np.array([[1, 2, np.nan, 3.0], [1, 1, 1, 1], [1, 3, 2, np.nan]])
    doors = [{}, {"fixed": ["c"]}, {"loss": "cauchy"}]
    doors += [{"p0": "auto", **WITHIN}, {"n_starts": 2, **WITHIN}]
    doors += [GROUPS, GROUPS | {"fixed": ["c"]}, GROUPS | {"n_starts": 2} | WITHIN]
    doors += [{**GROUPS, "own": ["k", "c"], "p0": {"k": [0.01, 1]}}]
    if loss != "mse":  # fits of other losses have neither groups, nor starts in the data
        doors = [{}, {"fixed": ["c"]}]
    module = growing(loss)
    monkeypatch.setattr(parts, "compile_part", lambda *_: pytest.fail("a part was compiled"))
    at_once = [_not_finite(module, X, Y, door) for door in doors]
    monkeypatch.undo()
    assert module.fit(X, Y, p0={"k": 0.01}).cost < np.inf  # compiles the part
    for door, result in zip(doors, at_once, strict=True):
        compiled = _not_finite(module, X, Y, door)
        assert str(result) == str(compiled), door  # also where one group could begin alone
        if loss == "mse":
            np.testing.assert_array_equal(result.residuals, compiled.residuals)
        if "groups" in door:
            np.testing.assert_array_equal(result.group_used, compiled.group_used)
            np.testing.assert_allclose(result.group_chi2, compiled.group_chi2)


def _not_finite(module, X, Y, options):
    """Return the result of a fit that cannot begin."""
    with pytest.warns(RuntimeWarning, match="not finite at the start"):
        result = module.fit(X, Y, **options)
    assert result.status == "not_finite"
    return result


def test_starts_without_solutions_are_said_at_once(growing, monkeypatch):
    """Where no fit of many can begin, predictions tell so before a part is compiled; the results are those of parts."""
    module, X = growing(), np.array([[0, 0.5, 0.7, 2]])
    Y, starts = np.array([[[1, 2, 2.5, 3.0]], [[1, np.nan, 2.5, 3]]]), np.array([[1, 0.1], [2, 0.1]])

    def fits():
        results = []
        for options in ({"p0": starts}, {"p0": "auto", **WITHIN}):
            with pytest.warns(RuntimeWarning, match="2 of 2 fits did not converge: 2 not_finite"):
                results.append(module.fit_many(X, Y, **options))
        return results

    monkeypatch.setattr(parts, "compile_part", lambda *_: pytest.fail("a part was compiled"))
    at_once = fits()
    monkeypatch.undo()
    with pytest.warns(RuntimeWarning, match="1 not_finite"):  # where one can begin, all are fitted, by a part
        assert (module.fit_many(X, Y, [[1, 0.1], [0.1, 0.1]]).status == "not_finite").tolist() == [True, False]
    for immediate, compiled in zip(at_once, fits(), strict=True):
        for name in ("parameters", "chi2", "status", "iterations", "standard_errors"):
            np.testing.assert_array_equal(getattr(immediate, name), getattr(compiled, name), name)


def test_training(prey):
    """A training lowers the loss, and that by Levenberg and Marquardt ends where the fit does."""
    times, p = PREY.times(21), parameters_of(PREY)
    X, Y = times[None], PREY.solution(near(p, 0.02), times).reshape(1, -1)
    trained = prey.train(X, Y, parameters=p, epochs=50, optimizer="adam", learning_rate=1e-4)
    assert trained.loss < 0.9 * prey.loss(p, X, Y)
    best = prey.train(X, Y, parameters=p, optimizer="lm")
    np.testing.assert_allclose(best.parameters, prey.fit(X, Y, p0=p).parameters, rtol=1e-8)


def test_inputs_starts_and_observables():
    """Inputs are constants of a sample; an initial value is a formula of them at an earlier time."""
    model = nn.Dynamics(
        "u' = -k*u*w",
        {"u": "dose*share"},
        {"k": 0.3, "share": 0.5},
        inputs="dose, w",
        times=4,
        start=-1,
        observed={"log_u": "log(u)", "rate": "k*w*u"},
        name="absorbed",
    )
    module = built(model, fit=True)
    X = np.array([[0, 1, 2, 3.5, 10, 0.7], [0, 0.5, 0.5, 4, 3, 1.2]])
    times, dose, w = X[:, :4], X[:, 4:5], X[:, 5:]
    exact = dose * 0.5 * np.exp(-0.3 * w * (times + 1))
    predicted = module.predict([0.3, 0.5], X)
    np.testing.assert_allclose(predicted, np.hstack([np.log(exact), 0.3 * w * exact]), rtol=1e-5)
    slopes = module.jacobian([0.3, 0.5], X)
    np.testing.assert_allclose(slopes[:, :4, 0], -w * (times + 1), rtol=1e-5)
    np.testing.assert_allclose(slopes[:, :4, 1], 2 + 0 * times, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "observed", "precision"),
    [
        ("tsit5", "u", "float64"),
        ("tsit5", "1 - 2*u", "float32"),
        ("rodas5p", "u", "float64"),
        pytest.param("auto", "u", "float32", marks=pytest.mark.thorough),
    ],
)
def test_outcomes_of_a_module(method, observed, precision, monkeypatch):
    """They are those of the steps that NumPy takes, which it does not take for them."""
    model = nn.Dynamics(
        "u' = w*u**2 + v*sin(v*t)",
        {"u": "u0"},
        {"u0": 1},
        inputs="w, v",
        times=3,
        start=0,
        max_steps=250,
        rtol=1e-3,
        atol=1e-5,
        method=method,
        observed={"seen": observed},
        name=f"told_{method}",
    )
    X = [[0, 0.5, 0.9, 1, 0], [0.1, 0.5, 1.5, 1, 0], [-1, 0, 0.5, 1, 0], [0, 0, 9, -1, 0], [0, 10, 1e4, 0, 1]]
    expected, module = model.outcomes([1.0], X), nn.build(model, precision, fit=False)
    monkeypatch.setattr(Dynamics, "_outcomes", None)
    assert model.outcomes([1.0], X, module) == expected
    assert module.outcomes([1.0], X) == expected
    assert expected[0] == expected[3] == "solved"
    assert expected[1] == "steps too short"
    assert expected[4].startswith("too many steps")
    with pytest.raises(nn.ModelError, match=r"the module told_.* computes another model than falling"):
        FALLING.outcomes([1.0], [[0, 1, 2]], module)


FALLING = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, name="falling")


def test_outcomes_of_values_without_a_reason():
    """An observed function may be NaN by itself: then NumPy takes the steps, and says how they ended."""
    model = nn.Dynamics(
        "u' = -k*u", {"u": "u0"}, {"k": 1}, inputs="u0", observed={"seen": "log(u)"}, times=3, name="logarithm"
    )
    module, X = nn.build(model, fit=False), np.array([[0, 1, 2, 1], [0, 1, 2, -1.0]])
    assert np.isnan(module.predict([1], X)).any(axis=1).tolist() == [False, True]
    assert model.outcomes([1], X, module) == ("solved", "solved")
    assert module.outcomes([1], X) == ("solved", "not a number")


def test_pickled_outcomes(tmp_path):
    """A process that can import the module reads the outcomes that another one has pickled, without nncodegen."""
    nn.build(nn.Dynamics("u' = u**2", {"u": 1}, {}, times=3, name="told_again"), fit=False, out=tmp_path)
    compute = "import pickle, told_again; found = told_again.outcomes([], [[0, 0.5, 0.9], [0, 0.5, 1.5]])"
    write = f"{compute}; pickle.dump(found, open('told.pkl', 'wb'))"
    read = "import pickle; found = pickle.load(open('told.pkl', 'rb')); print(found, *found.status)"
    run([sys.executable, "-c", write], cwd=tmp_path, env=WITHOUT, check=True)
    done = run([sys.executable, "-c", read], cwd=tmp_path, env=WITHOUT, check=True, capture_output=True, text=True)
    assert done.stdout == "('solved', 'steps too short') solved short_steps\n"


def test_outcomes_of_a_model_are_pickled():
    """They need no module."""
    outcomes = nn.Dynamics("u' = u**2", {"u": 1}, {}, times=2, name="told").outcomes([], [[0, 0.5], [0, 1.5]])
    again = pickle.loads(pickle.dumps(outcomes))
    assert again == outcomes
    assert again.status.tolist() == ["solved", "short_steps"]


def test_no_outcomes_of_other_modules():
    """A module whose steps are not chosen says so."""
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, steps=2, name="counted")
    with pytest.raises(ValueError, match=r"^counted chooses no steps: outcomes are of .* without steps=\.\.\.$"):
        nn.build(model, fit=False).outcomes([1], [[0, 1, 2]])


def test_single_precision():
    """Tolerances that it can meet are met."""
    model = nn.Dynamics("u'' = -k*u", {"u": 1, "u'": 0}, {"k": 4}, times=9, rtol=1e-4, atol=1e-5, name="swing")
    times = np.linspace(0, 3, 9)
    predicted = nn.build(model, "float32", fit=False).predict([4], times[None])[0]
    assert abs(predicted - np.cos(2 * times)).max() < 1e-3


def test_without_a_compiler(prey):
    """NumPy evaluates the same steps."""
    model = SLOPES["prey"]
    with pytest.warns(RuntimeWarning, match="for a test of chosen steps"):  # told once in a process for each reason
        slow = evaluated_module(model, reason="for a test of chosen steps")
    X, p = PREY.times(21)[None], parameters_of(PREY)
    np.testing.assert_allclose(slow.predict(p, X), prey.predict(p, X), rtol=1e-11)


def test_what_has_fixed_steps_alone(tmp_path):
    """Exports of graphs are refused in words."""
    model = SLOPES["prey"]
    for target in ("onnx", "casadi"):
        with pytest.raises(nn.ModelError, match=r"chosen by an estimate of their error, as those of prey"):
            nn.export(model, target, out=tmp_path / target)


def test_c_with_vectors(tmp_path):
    """It holds the solver: its own test passes."""
    nn.export(PREY.model(5, name="prey_c"), "c", out=tmp_path, vectors=True)

    run(["make", "-C", tmp_path, "test"], check=True, capture_output=True)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_calls_ask_after_each_tile(precision):
    """A tile has few samples, and counts as enough operations to ask whether a call should end (poll.h)."""
    compiled = nn.compile_model(FALLING, precision, until="emit")
    (count,) = re.findall(r"#define NN_OPERATIONS (\d+)", compiled["emit"].files["falling.c"])
    tile = compiled["schedule"].tile
    assert tile <= 64
    assert tile * int(count) >= 1e6


def order(steps):
    """A reaction whose order is a parameter, its true parameters, and five times with the solution there."""
    model = nn.Dynamics("u' = -k*u**n", {"u": "u0"}, {"k": 1, "n": 1.5, "u0": 2}, times=5, steps=steps, name="order")
    times = np.linspace(0, 3, 5)
    return model, np.array([1, 1.5, 2]), times, (2**-0.5 + 0.5 * times) ** -2


def test_rates_of_a_fitted_order():
    """A power of a state whose exponent is a parameter has derivatives by both (kinetics of order n)."""
    model, truth, times, exact = order(None)
    module = built(model)
    np.testing.assert_allclose(module.predict(truth, times[None])[0], exact, rtol=1e-5)
    Y = module.predict([0.7, 1.3, 1.9], times[None])
    result = module.fit(times[None], Y)
    np.testing.assert_allclose(result.parameters, [0.7, 1.3, 1.9], rtol=1e-5)


def test_rates_of_a_fitted_order_in_fixed_steps():
    """So it has where steps are counted: predictions are right, and gradients are those of differences."""
    model, truth, times, exact = order(3)
    program, X = stage(model, fit=False), times[None]
    values = nn.evaluate(program, truth, X, np.zeros((1, 5)))
    np.testing.assert_allclose(values[program.outputs[0].tensor][0], exact, rtol=1e-5)
    gradient = gradient_of(program, truth, X, np.ones((1, 5)))
    np.testing.assert_allclose(gradient, differences(program, truth, X, np.ones((1, 5))), rtol=1e-6)


def test_a_fit_that_ends_where_equations_are_stiff_says_so():
    """Where a fit without convergence ends at solutions of very many explicit steps, it names the other method."""
    fast = nn.Dynamics("u' = -k*(u - c)", {"u": 1}, {"k": 1, "c": 1}, times=4, name="fast")
    module, times = nn.build(fast), np.array([[0, 1, 2, 3.0], [0, 1, 2, 4.0]])
    for options in ({}, {"groups": ["a", "b"], "own": ["c"]}):
        for k, stiff in ((1e4, True), (1.0, False)):
            with pytest.warns(RuntimeWarning, match="did not converge") as warned:
                result = module.fit(times, np.zeros((2, 4)), p0=[k, 2], max_iterations=0, **options)
            assert result.status == "max_iterations"
            assert ("more than 1,040 steps of tsit5, as where equations are stiff" in str(warned[0].message)) == stiff
            assert ('method="auto" takes few' in result.message) == stiff
    with pytest.warns(RuntimeWarning, match="2 of 2 fits did not converge: 2 max_iterations") as warned:
        many = module.fit_many(times[:, None], np.zeros((2, 1, 4)), p0=[[1e4, 2], [1, 2]], max_iterations=0)
    assert "at the ends of 1 of them: there, a solution takes more than 1,040 steps of tsit5" in str(warned[0].message)
    assert ['method="auto" takes few' in many[m].message for m in range(2)] == [True, False]
