"""Compiled stiff equations, solved by a linearly implicit method, against published solutions and SciPy's Radau."""

import functools
import subprocess

import numpy as np
import pytest
from scipy.optimize import least_squares

import nncodegen as nn
from nncodegen.compiler.building.targets import get_include
from nncodegen.compiler.schedule import layout
from tests.support.built import built, stage
from tests.support.compilers import WARNINGS
from tests.support.stiff import STIFF

pytestmark = pytest.mark.usefixtures("quick_compiler")
RTOL = 1e-7
RNG = np.random.default_rng(5)
ROBERTSON = STIFF["robertson"]
SCALES = {"robertson": 1e-6, "pulled": 1}
"""The smallest state that counts, by which atol is chosen."""


def named(name, ending):
    return f"{name.replace(' ', '_')}_{ending}"


def scale_of(u):
    return abs(u).max(axis=-1, keepdims=True)


FITTING = {
    "equations": ROBERTSON.equations,
    "initial": {"a": "a0", "b": 0, "c": 0},
    "parameters": {**ROBERTSON.parameters, "a0": 1},
    "times": 9,
    "observed": ["a", "b", "c"],
    "method": "rodas5p",
    "rtol": 1e-12,
    "atol": 1e-16,
}
FITTED = nn.Dynamics(**FITTING, name="robertson_fitted")
"""Robertson's kinetics with an initial value that is given, at a tolerance for differences."""
PULLED = STIFF["pulled"].model(rtol=1e-11, atol=1e-15, name="pulled_slopes")
"""A system with time in its equations, the same."""
HIRES = STIFF["HIRES"].model(rtol=1e-12, atol=1e-16, name="hires_slopes")
SLOPES = {"robertson": (FITTED, 1), "pulled": (PULLED,), "HIRES": (HIRES,)}
"""The models whose derivatives are compared, and the values that follow those of the parameters."""


@pytest.fixture(scope="module")
def robertson():
    """The compiled kinetics."""
    return built(FITTED)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough) if name in ("van der Pol", "Oregonator") else name
        for name in STIFF
        if STIFF[name].published
    ],
)
@pytest.mark.parametrize("rtol", [pytest.param(1e-4, marks=pytest.mark.thorough), 1e-7])
def test_published_solutions(name, rtol):
    """The global error at the last time is within 100 times the tolerance, and few steps lead there."""
    example = STIFF[name]
    model = example.model(2, rtol=rtol, atol=rtol * 1e-12, max_steps=10_000, name=named(name, "published"))
    predicted = nn.build(model, fit=False).predict(example.values, [[0, example.end]])[0].reshape(-1, 2)[:, 1]
    assert (abs(predicted - example.published) <= 100 * rtol * abs(np.array(example.published))).all()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("robertson", "auto"),
        ("pulled", "rodas5p"),
        pytest.param("robertson", "rodas5p", marks=pytest.mark.thorough),
        pytest.param("pulled", "auto", marks=pytest.mark.thorough),
    ],
)
def test_solutions(name, method):
    """At all times, errors are within 100 times the tolerance; NumPy takes the same steps."""
    example = STIFF[name]
    model = example.model(method=method, rtol=RTOL, atol=RTOL * 1e-6, name=named(name, f"solved_{method}"))
    times = example.times()
    predicted = nn.build(model, fit=False).predict(example.values, times[None])[0].reshape(len(example.initial), -1)
    exact = example.solution(example.values, times)
    assert (abs(predicted - exact) <= 100 * RTOL * scale_of(exact)).all()
    program = stage(model, fit=False)
    values = nn.evaluate(program, example.values, times[None], results=program.outputs)
    same = np.array([values[output.tensor][0] for output in program.outputs])
    assert (abs(predicted - same) <= 1e-9 * scale_of(exact)).all()


@pytest.mark.parametrize("name", ["robertson", "pulled", pytest.param("HIRES", marks=pytest.mark.thorough)])
def test_jacobian_against_differences(name):
    """At small tolerances, columns are those of central differences of solutions, to 1e-6 of their norms."""
    model, *others = SLOPES[name]
    module, times = built(model), STIFF[name].times()[None]
    p = np.array([*STIFF[name].values, *others])
    jacobian = module.jacobian(p, times)[0]
    for number, column in enumerate(jacobian.T):
        h = 1e-3 * np.eye(len(p))[number] * p[number]
        wide, near = (
            (module.predict(p + part, times)[0] - module.predict(p - part, times)[0]) / (2 * part.sum())
            for part in (h, h / 2)
        )
        expected = (4 * near - wide) / 3
        assert np.linalg.norm(column - expected) <= 1e-6 * np.linalg.norm(expected)


FORCED = {"equations": "u' = -k*(u - cos(w*t)) - w*sin(w*t)", "initial": {"u": 1}, "parameters": {"w": 1.1}}
"""A solution that is cos(w*t) for each k, which is the rate at which all others approach it."""
WITHIN = {
    method: nn.Dynamics(**FORCED, inputs="k", times=401, method=method, name=f"within_{method}")
    for method in ("rodas5p", "auto")
}


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
@pytest.mark.parametrize("k", [1e2, *(pytest.param(k, marks=pytest.mark.thorough) for k in (1e4, 1e6, 1e8)), 1e10])
def test_times_within_steps(k, method):
    """Errors at 401 times, most of which lie within steps, are small for each rate; NumPy takes the same steps.

    Where steps end at times, NumPy's may reach the next time or not, as lengths differ by rounding: then solutions
    agree to the tolerance, and their errors are alike.
    """
    times = np.linspace(0, 10, 401)
    model = WITHIN[method]
    X = np.r_[times, k][None]
    predicted = built(model).predict([1], X)[0]
    assert abs(predicted - np.cos(times)).max() <= 1e-5
    same = nn.evaluate(stage(model), [1], X, results=stage(model).outputs)["u"][0]
    assert abs(predicted - same).max() <= (1e-8 if k == 1e2 else 2e-6)
    assert abs(predicted - np.cos(times)).max() <= 2 * abs(same - np.cos(times)).max()
    slopes = built(model).jacobian([1], X)[0, :, 0]
    assert abs(slopes + times * np.sin(times)).max() <= 1e-4


@pytest.mark.parametrize("k", [1e3, 1e8])
def test_fit_of_times_within_steps(k):
    """A fit to data with errors, within steps, finds the frequency that SciPy finds for the exact solution.

    Without errors in the data, all that is left of the cost are those of solutions, which change with lengths of steps:
    no fit can tell then that it has converged.
    """
    times = np.linspace(0, 10, 401)
    Y = np.cos(times) + 1e-2 * np.random.default_rng(8).normal(size=401)
    module = built(WITHIN["rodas5p"])
    result = module.fit(np.r_[times, k][None], Y[None])
    exact = least_squares(lambda w: np.cos(w[0] * times) - Y, [1.1], xtol=1e-14)
    assert result.converged
    assert abs(result.parameters[0] - exact.x[0]) <= 1e-7


def test_messages_of_failed_solutions():
    """Trainings and minimizers of equations without a solution at the start name the method for stiff ones."""
    example = STIFF["robertson"]
    module = built(example.model(4, method="tsit5", max_steps=500, name="robertson_failed"))
    X, Y = [[0, 1, 100, 1e4]], np.full((1, 12), 0.3)
    for call, options in ((module.train, {"epochs": 2}), (module.minimize, {})):
        with pytest.warns(RuntimeWarning, match=r'the loss is not finite.*take method="rodas5p"'):
            result = call(X, Y, example.values, **options)
        assert 'take method="rodas5p"' in result.message


@pytest.mark.thorough
def test_automatic_steps():
    """Solutions and derivatives of a method that chooses agree with those of rodas5p to the tolerance."""
    example = STIFF["HIRES"]
    auto, implicit = (
        built(example.model(method=method, rtol=1e-9, atol=1e-13, name=f"hires_{method}"))
        for method in ("auto", "rodas5p")
    )
    times, p = example.times()[None], example.values
    size = np.repeat(scale_of(implicit.predict(p, times)[0].reshape(8, -1)), 9)
    assert (abs(auto.predict(p, times) - implicit.predict(p, times)) <= 1e-7 * size).all()
    slopes, expected = auto.jacobian(p, times)[0, :, 0], implicit.jacobian(p, times)[0, :, 0]
    assert (abs(slopes - expected) <= 1e-6 * abs(expected).max()).all()


def test_derivatives_of_the_same_steps():
    """At a large tolerance, sensitivities are those of the steps taken: for a linear system, of its approximation.

    u' = -k*u + g has solutions that are linear in g and in u0, and so are its steps, whatever their lengths.
    """
    model = nn.Dynamics(
        "u' = -k*u + g",
        {"u": "u0"},
        {"g": 300, "u0": 2},
        inputs="k",
        times=4,
        method="rodas5p",
        rtol=1e-2,
        atol=1e-3,
        name="linear",
    )
    module, X = built(model), np.array([[0, 0.001, 0.5, 10, 1e3], [0, 0.1, 1, 2, 1e5]])
    slopes, exact = module.jacobian([300, 2], X), np.exp(-X[:, 4:] * X[:, :4])
    assert abs(slopes[..., 1] - exact).max() < 1e-2
    np.testing.assert_allclose(slopes[:, -1, 0], 1 / X[:, 4], rtol=1e-2)


def test_gradient(robertson):
    """It is the Jacobian times the residuals, and that of the mean over samples with weights."""
    p = [*ROBERTSON.values, 1]
    X = np.vstack([ROBERTSON.times(), ROBERTSON.times() / 3])
    Y, weight = RNG.normal(0.5, 0.3, (2, 27)), np.array([1, 2.5])
    residuals = robertson.predict(p, X) - Y
    expected = 2 * np.einsum("n,nk,nkp->p", weight / weight.sum(), residuals, robertson.jacobian(p, X)) / 27
    loss, gradient = robertson.loss_and_gradient(p, X, Y, sample_weight=weight)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)
    np.testing.assert_allclose(loss, weight @ (residuals**2).mean(axis=1) / weight.sum(), rtol=1e-12)


def test_samples_beside_one_that_fails():
    """A sample whose solution leaves the range of numbers leaves those beside it alone."""
    model = nn.Dynamics("u' = w*u**2", {"u": "u0"}, {"u0": 1}, inputs="w", times=3, method="rodas5p", name="bursting")
    predicted = nn.build(model, fit=False).predict([1], [[0, 1, 2, 0.1], [0, 1, 2, 3], [0, 1, 2, 0.2]])
    assert np.isnan(predicted).tolist() == [[False] * 3, [False, True, True], [False] * 3]
    np.testing.assert_allclose(predicted[[0, 2]], [[1, 1 / 0.9, 1 / 0.8], [1, 1 / 0.8, 1 / 0.6]], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "method", "precision"),
    [
        ("pulled", "auto", "float64"),
        pytest.param("pulled", "rodas5p", "float32", marks=pytest.mark.thorough),
        pytest.param("HIRES", "rodas5p", "float64", marks=pytest.mark.thorough),
        pytest.param("robertson", "auto", "float64", marks=pytest.mark.thorough),
    ],
)
def test_samples_have_the_same_bits_in_every_lane(name, method, precision, monkeypatch):
    """A sample is the same alone, among few, and in another lane, also where others take steps of the other method."""
    monkeypatch.delenv("CC", raising=False)  # with the options that people get
    example, rtol = STIFF[name], 1e-6 if precision == "float64" else 1e-4
    model = example.model(method=method, rtol=rtol, atol=rtol * SCALES.get(name, 1e-3), name=named(name, "in_lanes"))
    module, p = nn.build(model, precision), example.values
    X = (example.times() * RNG.uniform(1e-3, 1, (37, 1))).astype(precision)
    together, slopes, order = module.predict(p, X), module.jacobian(p, X), RNG.permutation(37)
    assert np.isfinite(together).all()
    assert (module.predict(p, X[order]) == together[order]).all()
    assert (module.jacobian(p, X[order]) == slopes[order]).all()
    assert (module.predict(p, X[:3]) == together[:3]).all()
    for n in (0, 5, 20, 36):
        assert (module.predict(p, X[n : n + 1])[0] == together[n]).all()
        assert (module.jacobian(p, X[n : n + 1])[0] == slopes[n]).all()


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_steps_that_end_at_times_in_some_lanes(method):
    """Samples whose interpolants are exact enough, and those that end steps at times, lie side by side."""
    times, k = np.linspace(0, 10, 401), np.geomspace(1, 1e10, 30)
    X = np.column_stack([np.tile(times, (30, 1)), RNG.permutation(k)])
    module = built(WITHIN[method])
    predicted, slopes = module.predict([1], X), module.jacobian([1], X)
    assert abs(predicted - np.cos(times)).max() <= 1e-5
    assert abs(slopes[..., 0] + times * np.sin(times)).max() <= 1e-4
    for n in (0, 11, 29):
        assert (module.predict([1], X[n : n + 1])[0] == predicted[n]).all()


def test_fit(robertson):
    """Parameters and their errors are those of SciPy's least squares of solutions by Radau."""
    times, truth = ROBERTSON.times(), np.array([*ROBERTSON.values, 1])

    def solved(p):
        u = STIFF["robertson"]._replace(initial={"a": p[3], "b": 0, "c": 0}).solution(p[:3], times, 1e-8)
        return u.ravel()

    sigma = np.repeat(abs(solved(truth)).reshape(3, 9).max(axis=1), 9) * 0.01
    Y = solved(truth) + sigma * RNG.normal(size=27)
    start = truth * [1.2, 0.8, 1.15, 1.05]
    fitted = robertson.fit(times[None], Y[None], sigma=sigma[None], p0=start)
    assert fitted.converged
    found = fitted.parameters / truth  # a start that is not the minimum would be left
    reference = least_squares(lambda q: (solved(q * truth) - Y) / sigma, found, xtol=1e-8, diff_step=1e-4)
    np.testing.assert_allclose(fitted.parameters, reference.x * truth, rtol=1e-4)
    covariance = np.linalg.inv(reference.jac.T @ reference.jac) * 2 * reference.cost / (27 - 4)
    np.testing.assert_allclose(fitted.standard_errors / truth, np.sqrt(np.diag(covariance)), rtol=2e-2)


def test_many_fits(robertson):
    """They are those of single fits."""
    times, p = ROBERTSON.times(), np.array([*ROBERTSON.values, 1])
    truths = p * (1 + 0.1 * RNG.uniform(-1, 1, (3, 4)))
    Y = np.array([robertson.predict(truth, times[None])[0] for truth in truths])
    sigma = np.tile(np.repeat(scale_of(Y[0].reshape(3, 9))[:, 0], 9), (3, 1, 1))
    many = robertson.fit_many(np.tile(times, (3, 1, 1)), Y[:, None], p0=np.tile(p, (3, 1)), sigma=sigma)
    assert [*many.status] == ["converged"] * 3
    np.testing.assert_allclose(many.parameters, truths, rtol=1e-5)


def test_training(robertson):
    """A training by Levenberg and Marquardt ends where the fit does."""
    times, truth = ROBERTSON.times()[None], np.array([*ROBERTSON.values, 1])
    Y, start = robertson.predict(truth, times), truth * [1.05, 0.97, 1.02, 1.01]
    best = robertson.train(times, Y, parameters=start, optimizer="lm")
    assert best.loss < 1e-4 * robertson.loss(start, times, Y)


@pytest.mark.parametrize("name", ["robertson", pytest.param("pulled", marks=pytest.mark.thorough)])
def test_single_precision(name):
    """Tolerances that it can meet are met, for states and their derivatives."""
    example = STIFF[name]
    model = example.model(rtol=1e-4, atol=1e-4 * SCALES[name], name=named(name, "single"))
    single, (double, *others) = built(model, "float32"), SLOPES[name]
    times, p = example.times()[None], example.values
    exact = example.solution(p, times[0], 1e-8)
    predicted = single.predict(p, times)[0].reshape(exact.shape)
    assert (abs(predicted - exact) <= 1e-2 * scale_of(exact)).all()
    slopes, expected = single.jacobian(p, times)[0], built(double).jacobian([*p, *others], times)[0, :, : len(p)]
    assert (abs(slopes - expected) <= 2e-2 * abs(expected).max(axis=0)).all()


@functools.cache
def chain(states):
    """A chain of reactions with rates over six orders of magnitude, and these rates."""
    names, rates = [f"u{i}" for i in range(states)], np.geomspace(1e-3, 1e3, states)
    equations = [
        f"u{i}' = {f'{float(rates[i - 1])!r}*u{i - 1} - ' if i else '-'}{float(rates[i])!r}*s*u{i}"
        for i in range(states)
    ]
    model = nn.Dynamics(
        equations,
        {name: int(name == "u0") for name in names},
        {"s": 1},
        times=4,
        method="rodas5p",
        rtol=1e-8,
        atol=1e-12,
        name=f"chain_{states}",
    )
    return model, rates


def test_chains_of_reactions():
    """Thirteen states, rates over six orders of magnitude: the factors of a matrix need exchanges of rows or none."""
    model, rates = chain(13)
    times = np.array([0, 1, 100, 2000.0])
    A = np.diag(-rates) + np.diag(rates[:-1], -1)
    values, vectors = np.linalg.eig(A)
    first = np.linalg.solve(vectors, np.eye(13)[0])
    exact = np.array([vectors @ (np.exp(values * t) * first) for t in times]).T
    predicted = nn.build(model, fit=False).predict([1], times[None])[0].reshape(13, 4)
    assert abs(predicted - exact).max() < 1e-6


@pytest.mark.parametrize("states", [12, 13])
def test_large_matrices_lie_along_vectors(states):
    """Samples of more than 12 stiff equations are solved one after the other, which is as fast for one alone."""
    sources = nn.compile_model(chain(states)[0], until="emit", fit=False).sources.files
    assert any("solve_stiff_in_lanes(" in text for text in sources.values()) == (states == 12)
    assert any("solve_stiff_samples(" in text for text in sources.values()) == (states == 13)


def test_rows_are_exchanged_in_some_lanes():
    """Equations whose Jacobian has a large element off its diagonal lose no digits, for one sample or in a lane.

    Each sample has the order of pivots that its own matrices ask for, and is as exact as one alone.
    """
    rates = RNG.permutation(np.geomspace(1e-2, 1e6, 37))
    model = nn.Dynamics(
        "u' = k*v - u; v' = -k*u - v; w' = u - w",
        {"u": "u0", "v": 0, "w": 0},
        {"u0": 1},
        inputs="k",
        times=3,
        observed=["u", "v"],
        method="rodas5p",
        rtol=1e-9,
        atol=1e-12,
        name="turning_in_lanes",
    )
    module, times = built(model), np.array([0, 1, 10]) / rates[:, None]
    X = np.column_stack([times, rates])
    predicted = module.predict([1], X)
    exact = np.exp(-times) * np.array([np.cos([0, 1, 10]), -np.sin([0, 1, 10])])[:, None]
    exact = exact.transpose(1, 0, 2).reshape(37, 6)
    np.testing.assert_allclose(predicted, exact, atol=1e-6)
    np.testing.assert_allclose(module.jacobian([1], X)[..., 0], exact, atol=1e-6)  # they are linear in u0
    for n in range(0, 37, 9):
        assert (module.predict([1], X[n : n + 1])[0] == predicted[n]).all()


def test_systems_too_large_for_lanes(monkeypatch, robertson):
    """Where lanes would not stay on the stack, samples are solved one after the other, with the same solutions."""
    monkeypatch.setattr(layout, "MOST_IN_LANES", 1)
    model = nn.Dynamics(**FITTING, name="robertson_one_by_one")
    module, p = nn.build(model), [*ROBERTSON.values, 1]
    X = ROBERTSON.times() * RNG.uniform(0.2, 2, (11, 1))
    np.testing.assert_allclose(module.predict(p, X), robertson.predict(p, X), rtol=1e-7)
    slopes = robertson.jacobian(p, X)
    assert (abs(module.jacobian(p, X) - slopes) <= 1e-7 * abs(slopes).max(axis=(0, 1))).all()


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_lanes_without_finite_derivatives(method):
    """Where the Jacobian is infinite, as that of sqrt(u) at 0, implicit steps fail; a method that chooses goes on.

    A lane where this happens fails by itself, and so does a sample alone.
    """
    X = np.array([[0, 0.5, 1, float(n % 3 == 0)] for n in range(20)])
    model = nn.Dynamics(
        "u' = k + sqrt(u)", {"u": "w"}, {"k": 1}, inputs="w", times=3, method=method, name=f"roots_{method}"
    )
    module = nn.build(model, fit=False)
    predicted = module.predict([1], X)
    assert np.array_equal(module.predict([1], X[1:2]), predicted[1:2], equal_nan=True)
    fails = np.isnan(predicted)
    assert fails[:, 0].sum() == 0
    assert fails[:, 1:].all(axis=1).tolist() == [method == "rodas5p" and n % 3 != 0 for n in range(20)]
    fails = fails.any(axis=1)
    good, s = predicted[~fails], np.sqrt(predicted[~fails])
    passed = 2 * (s - s[:, :1]) - 2 * np.log((1 + s) / (1 + s[:, :1]))
    np.testing.assert_allclose(passed, X[~fails, :3], atol=1e-5)
    assert (good[:, 0] == X[~fails, 3]).all()


@pytest.mark.parametrize("lanes", [True, False])
def test_reasons_where_derivatives_are_infinite(lanes, monkeypatch):
    """Samples without a step that leads on are told from those with too many, with the last step that may be tried."""
    monkeypatch.setattr(layout, "MOST_IN_LANES", layout.MOST_IN_LANES if lanes else 1)
    model = nn.Dynamics(
        "u' = k + sqrt(u)",
        {"u": "w"},
        {"k": 1},
        inputs="w",
        times=3,
        method="rodas5p",
        max_steps=1,
        name=f"stuck_{lanes}".lower(),
    )
    X = [[0, 0.5, 1, float(n % 3 == 0)] for n in range(20)]
    outcomes = model.outcomes([1], X, nn.build(model, fit=False))
    assert outcomes == model.outcomes([1], X)
    assert [*dict.fromkeys(outcomes)] == ["too many steps (raise max_steps or rtol)", "steps too short"]


def test_sources_without_the_library(tmp_path):
    """Fits compile together with all of the runtime, as they do for other machines, which have no library of it."""
    model = STIFF["robertson"].model(3, name="robertson_whole")
    sources = nn.compile_model(model, until="emit").sources.files
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    (fits,) = (name for name in sources if name.endswith("_fitting.c"))
    options = ("-fsyntax-only", "-std=gnu11", *WARNINGS, "-I", get_include())
    done = subprocess.run(["cc", *options, fits], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
