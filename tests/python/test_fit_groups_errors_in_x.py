"""Fits in groups with errors in x: the true inputs of each sample are eliminated inside its group."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy import linalg, optimize

import nncodegen as nn
from nncodegen.runtime.python.fitting import fit_in_groups, grouped_with_errors

pytestmark = pytest.mark.usefixtures("quick_compiler")

DECAY = {"a": 1, "k": 1, "c": 0.1}
FORMULA = "a*exp(-k*x) + c"


@pytest.fixture(scope="module")
def decay(quick_compiler):
    """A decay with a level."""
    return nn.build(nn.Model("decay_in_groups", "x", "y", DECAY, FORMULA, derived={"half_life": "log(2)/k"}))


@pytest.fixture(scope="module")
def surface(quick_compiler):
    """Two outputs of two inputs."""
    return nn.build(nn.Model("surface_in_groups", "x t", "u v", {"a": 1, "k": 0.5}, ("a*exp(-k*t) + x", "a*x*t")))


def decays(groups, seed, least=12, most=30):
    """Decays of unequal numbers of samples in random order, with errors in both variables: x, y, labels."""
    random = np.random.default_rng(seed)
    counts = random.integers(least, most, groups)
    label = np.repeat(np.arange(groups), counts)
    true, a = random.uniform(0, 4, len(label)), random.uniform(1, 3, groups)
    x = true + 0.05 * random.normal(size=len(label))
    y = a[label] * np.exp(-true) + 0.3 + 0.02 * random.normal(size=len(label))
    order = random.permutation(len(label))
    return x[order], y[order], label[order]


def dense(x, y, label, labels, start, sigma, sigma_x, **options):
    """SciPy's solution with shared parameters, own ones and all changes of x in one array, and its covariance."""
    number, groups = np.array([labels.index(name) for name in label.tolist()]), len(labels)

    def residuals(p):
        (k, c), a, u = p[:2], p[2 : 2 + groups], p[2 + groups :]
        return np.concatenate([(a[number] * np.exp(-k * (x + u)) + c - y) / sigma, u / sigma_x])

    def jacobian(p):
        (k, _), a, u = p[:2], p[2 : 2 + groups], p[2 + groups :]
        e, rows = np.exp(-k * (x + u)), np.arange(len(x))
        slopes = np.zeros((2 * len(x), len(p)))
        slopes[rows, 0], slopes[rows, 1] = -a[number] * (x + u) * e / sigma, 1 / sigma
        slopes[rows, 2 + number], slopes[rows, 2 + groups + rows] = e / sigma, -a[number] * k * e / sigma
        slopes[len(x) + rows, 2 + groups + rows] = 1 / sigma_x
        return slopes

    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac"}
    optimum = optimize.least_squares(residuals, np.concatenate([start, np.zeros(len(x))]), jacobian, **tight, **options)
    for _ in range(5 if not options else 0):  # the last digits, by full steps
        optimum.x = optimum.x - linalg.lstsq(jacobian(optimum.x), residuals(optimum.x))[0]
    J = optimum.jac if options else jacobian(optimum.x)
    return optimum, linalg.inv(J.T @ J)


@pytest.mark.parametrize("seed", range(8))
def test_solutions_and_errors_are_those_of_a_dense_problem(decay, seed):
    """Parameters, covariances and estimated inputs agree with SciPy's for one dense problem with all unknowns."""
    groups = int(np.random.default_rng(seed).integers(2, 8))
    x, y, label = decays(groups, seed)
    sigma = np.random.default_rng(seed).uniform(0.01, 0.03, len(x))
    sigma_x = np.random.default_rng(seed).uniform(0.03, 0.07, len(x))
    result = decay.fit(x, y, groups=label, own="a", sigma=sigma, sigma_x=sigma_x)
    assert result.status == "converged"
    optimum, inverse = dense(x, y, label, result.labels, np.r_[1, 0.1, np.ones(groups)], sigma, sigma_x)
    inverse *= result.error_scale
    count = 2 + groups
    np.testing.assert_allclose(result.parameters, optimum.x[:count], rtol=1e-9)
    assert result.chi2 == pytest.approx(2 * optimum.cost, rel=1e-9)
    assert result.group_chi2.sum() == pytest.approx(result.chi2)
    errors = np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(result.standard_errors, errors[:count], rtol=1e-8)
    scaled = inverse[:count, :count] / errors[:count] / errors[:count, None]
    np.testing.assert_allclose(result.covariance / errors[:count] / errors[:count, None], scaled, atol=1e-8)
    np.testing.assert_allclose(result.x_estimated[:, 0] - x, optimum.x[count:], atol=1e-9)
    np.testing.assert_allclose(result.x_standard_errors[:, 0], errors[count:], rtol=1e-8)
    assert result.degrees_of_freedom == len(x) - count


def test_robust_losses_and_bounds_are_those_of_a_dense_problem(decay):
    """With outliers, and a bound that holds some own parameters, the solution is SciPy's."""
    x, y, label = decays(4, 3)
    y[::11] += 0.3
    labels = list(dict.fromkeys(label.tolist()))
    options = {"loss": "soft_l1", "f_scale": 1.5}
    high = np.full(6 + len(x), np.inf)
    high[2:6] = 1.8
    start = np.r_[1, 0.1, np.ones(4)]
    optimum, _ = dense(x, y, label, labels, start, 0.02, 0.05, bounds=(-np.inf, high), max_nfev=2000, **options)
    result = decay.fit(x, y, groups=label, own="a", sigma=0.02, sigma_x=0.05, bounds={"a": (None, 1.8)}, **options)
    assert result.cost == pytest.approx(optimum.cost, rel=1e-7)
    np.testing.assert_allclose(result.parameters, optimum.x[:6], rtol=1e-3)
    assert result.at_bound[2:].tolist() == (result["a"] == 1.8).tolist()
    assert result.at_bound.any()


@pytest.mark.parametrize("loss", ["linear", "huber", "soft_l1", "cauchy"])
def test_groups_of_one_are_single_fits(decay, loss):
    """Without shared parameters, each group has the solution, errors and estimated inputs of a separate fit."""
    x, y, label = decays(3, 5)
    y[3] += 1
    options = {"absolute_sigma": True, "sigma": 0.02, "sigma_x": 0.05, "loss": loss, "tolerance": 1e-12}
    result = decay.fit(x, y, groups=label, own=("a", "k", "c"), **options)
    for name in result.labels:
        rows = label == name
        alone, group = decay.fit(x[rows], y[rows], **options), result.group(name)
        np.testing.assert_allclose(group.parameters, alone.parameters, rtol=1e-6)
        np.testing.assert_allclose(group.covariance, alone.covariance, rtol=1e-5)
        np.testing.assert_allclose(group.x_estimated, alone.x_estimated, atol=1e-6)
        np.testing.assert_allclose(group.x_standard_errors, alone.x_standard_errors, rtol=1e-5)
        np.testing.assert_allclose(result.x_standard_errors[rows], group.x_standard_errors)
        np.testing.assert_allclose(result.residuals[rows], alone.residuals, atol=1e-4)
        assert group.chi2 == pytest.approx(alone.chi2, rel=1e-6)
        assert "errors in x" in str(group)


def test_several_inputs_and_outputs_fixed_and_missing(surface):
    """Two outputs, an exact input, a missing target and fixed values in groups: the solution of a dense problem."""
    random = np.random.default_rng(5)
    x, t = random.uniform(1, 2, 24), random.uniform(0, 2, 24)
    label = np.repeat(["west", "east", "north"], 8)
    true = np.repeat([1.5, 2.0, 1.0], 8)
    seen = np.stack([x, t + 0.1 * random.normal(size=24)], axis=1)
    Y = np.stack([true * np.exp(-0.7 * t) + x, true * x * t], axis=1) + 0.05 * random.normal(size=(24, 2))
    Y[3, 0] = np.nan
    options = {"groups": label, "own": "a", "sigma": 0.05, "sigma_x": {"t": 0.1}, "absolute_sigma": True}
    result = surface.fit(seen, Y, **options)
    number = np.repeat([0, 1, 2], 8)

    def residuals(p):
        t, a = seen[:, 1] + p[4:], p[1:4][number]
        outputs = np.stack([a * np.exp(-p[0] * t) + x, a * x * t], axis=1)
        return np.concatenate([((outputs - Y) / 0.05)[~np.isnan(Y)], p[4:] / 0.1])

    start = np.r_[0.5, 1, 1, 1, np.zeros(24)]
    optimum = optimize.least_squares(residuals, start, jac="3-point", xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac")
    inverse = linalg.inv(optimum.jac.T @ optimum.jac)
    np.testing.assert_allclose(result.parameters, optimum.x[:4], rtol=1e-7)
    np.testing.assert_allclose(result.covariance, inverse[:4, :4], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(result.x_standard_errors[:, 1], np.sqrt(np.diag(inverse))[4:], rtol=1e-5)
    assert (result.x_standard_errors[:, 0] == 0).all()
    assert (result.x_estimated[:, 0] == x).all()
    assert result.used == 47
    assert np.isnan(result.residuals[3, 0])
    values = dict(zip(["west", "east", "north"], result["a"].tolist(), strict=True))
    held = surface.fit(seen, Y, fixed={"a": values}, **options)
    assert held["k"] == pytest.approx(result["k"], rel=1e-7)
    assert held["a"].tolist() == list(values.values())


def test_small_errors_in_x_are_none(decay):
    """As sigma_x goes to zero, the fit becomes that without it."""
    x, y, label = decays(3, 2)
    without = decay.fit(x, y, groups=label, own="a", sigma=0.02)
    result = decay.fit(x, y, groups=label, own="a", sigma=0.02, sigma_x=1e-9)
    np.testing.assert_allclose(result.parameters, without.parameters, rtol=1e-7)
    np.testing.assert_allclose(result.standard_errors, without.standard_errors, rtol=1e-6)


def test_bits_do_not_depend_on_threads(decay):
    """One thread and three find the same bits."""
    x, y, label = decays(200, 8, most=16)
    single, three = (decay.fit(x, y, groups=label, own="a", sigma_x=0.05, threads=n) for n in (1, 3))
    assert single.parameters.tobytes() == three.parameters.tobytes()
    assert single.x_estimated.tobytes() == three.x_estimated.tobytes()


def test_groups_without_data_leave_the_others_as_they_are(decay):
    """A group whose targets are missing has that status, and the inputs that were given."""
    x, y, label = decays(4, 6)
    y[label == 2] = np.nan
    result = decay.fit(x, y, groups=label, own="a", sigma=0.02, sigma_x=0.05)
    assert result.group_status[result.labels.index(2)] == "no_data"
    known = label != 2
    less = decay.fit(x[known], y[known], groups=label[known], own="a", sigma=0.02, sigma_x=0.05)
    np.testing.assert_allclose([less["k"], less["c"]], [result["k"], result["c"]], rtol=1e-7)
    np.testing.assert_array_equal(result.x_estimated[~known, 0], x[~known])


def test_steep_curves_need_dampings_of_changes(quick_compiler):
    """Changes that are damped on the way, for inputs as uncertain as they are apart, end where a single fit does."""
    module = nn.build(nn.Model("steep_in_groups", "x", "y", {"a": 2, "b": 0.5}, "a*exp(b*x)"))
    x, y = np.array([0.982, 1.998, 4.978, 6.01]), np.array([2.7, 7.4, 148.0, 403.0])
    options = {"sigma_x": 1.0, "bounds": {"a": (0, 10), "b": (0, 0.9)}, "p0": [2, 0.5]}
    alone = module.fit(x, y, **options)
    result = module.fit(np.tile(x, 2), np.tile(y, 2), groups=np.repeat([0, 1], 4), own=("a", "b"), **options)
    assert result.converged
    np.testing.assert_allclose(result.group_chi2, alone.chi2, rtol=1e-6)
    np.testing.assert_allclose(result.group_parameters, np.tile(alone.parameters, (2, 1)), rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.thorough)])
def test_errors_of_groups_that_are_stopped_have_no_dampings(quick_compiler, monkeypatch, every):
    """Wherever a step is stopped that has changed dampings of changes, errors are those of the point without them.

    Of some two hundred steps, each seventh is stopped; each one in thorough tests.
    """
    module = nn.build(nn.Model("steep_in_groups", "x", "y", {"a": 2, "b": 0.5}, "a*exp(b*x)"))
    x, y = np.array([0.982, 1.998, 4.978, 6.01]), np.array([2.7, 7.4, 148.0, 403.0])
    options = {"sigma": 1, "sigma_x": 1, "bounds": {"a": (0, 10), "b": (0, 0.9)}, "absolute_sigma": True}
    trials, steps, last = grouped_with_errors._TrialsWithErrors, 0, 0

    class Stopped(trials):
        def go(self, *values, **named):
            nonlocal steps
            at_end, steps = super().go(*values, **named), steps + 1
            if steps == last:
                watches[-1].reason = "time_limit"
                raise KeyboardInterrupt
            return at_end

    def solve(self, start, watch, of_class=fit_in_groups.GroupedProblemWithErrors.solve):
        watches.append(watch)
        return of_class(self, start, watch)

    watches = []
    monkeypatch.setattr(grouped_with_errors, "_TrialsWithErrors", Stopped)
    monkeypatch.setattr(fit_in_groups.GroupedProblemWithErrors, "solve", solve)
    monkeypatch.setattr(fit_in_groups, "_start_without_errors", lambda grouped, start, watch: start)
    data = {"groups": [0] * 4, "own": ("a", "b"), "p0": [2, 0.5], "time_limit": 1e9, **options}
    assert module.fit(x, y, **data).converged
    times = steps
    assert times > 5
    for number in range(times, 1, -every):
        steps, last = 0, number
        fitted = module.fit(x, y, **data)
        assert fitted.status == "time_limit"
        (a, b), at = fitted.group_parameters[0], fitted.x_estimated[:, 0]
        e = np.exp(b * at)
        J = np.stack([e, a * at * e])
        inverse = linalg.inv((J / (1 + (a * b * e) ** 2)) @ J.T)
        np.testing.assert_allclose(fitted.standard_errors, np.sqrt(np.diag(inverse)), rtol=1e-5)


def test_starts_that_are_far(quick_compiler):
    """Peaks whose residuals are a hundred times their errors at the start end where single fits of each group do."""
    module = nn.build(
        nn.Model("far_peaks", "x", "y", {"h": 1, "c": 5, "b": 0, "w": 2, "s": 0}, "h*exp(-((x - c)/w)**2) + s*x + b")
    )
    random, groups = np.random.default_rng(1), 20
    x, label = np.tile(np.linspace(0, 10, 50), groups), np.repeat(np.arange(groups), 50)
    h, c, b = random.uniform(1, 3, groups), random.uniform(4.5, 5.5, groups), random.uniform(0, 1, groups)
    y = h[label] * np.exp(-(((x - c[label]) / 1.2) ** 2)) + 0.05 * x + b[label] + 0.02 * random.normal(size=len(x))
    x = x + 0.05 * random.normal(size=len(x))
    result = module.fit(x, y, groups=label, own=("h", "c", "b"), sigma=0.02, sigma_x=0.05)
    assert result.converged
    alone = sum(
        module.fit(x[rows], y[rows], sigma=0.02, sigma_x=0.05, fixed={"w": result["w"], "s": result["s"]}).chi2
        for rows in (label == number for number in range(groups))
    )
    assert result.chi2 == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "b"), [("a/x + b", 0.5), ("a/(x*(b + x))", 0.5), ("a/(x**2 - 1) + b", 0.5), ("a/(x - b)", 0.5)]
)
def test_guards_of_inputs_alone(text, b, quick_compiler):
    """Many groups of a formula with poles that only errors in x know have the solutions of single fits."""
    module = nn.build(nn.Model("poles_in_groups", "x", "y", {"a": 1, "b": b}, text))
    random, groups, each = np.random.default_rng(7), 400, 6
    label = np.repeat(np.arange(groups), each)
    true, a = random.uniform(1.5, 4, len(label)), random.uniform(1, 2, groups)
    y = np.concatenate([module.predict([a[g], b], true[label == g, None])[:, 0] for g in range(groups)])
    x, y = true + 0.01 * random.normal(size=len(label)), y + 0.01 * random.normal(size=len(label))
    options = {"sigma": 0.01, "sigma_x": 0.01, "absolute_sigma": True}
    result = module.fit(x, y, groups=label, own=("a", "b"), **options)
    assert result.converged
    assert result.poles == ()
    for number in range(0, groups, 20):
        alone = module.fit(x[label == number], y[label == number], **options)
        np.testing.assert_allclose(result.group(number).parameters, alone.parameters, rtol=1e-5)
        np.testing.assert_allclose(result.group(number).standard_errors, alone.standard_errors, rtol=1e-5)
        assert result.group_chi2[number] == pytest.approx(alone.chi2, rel=1e-5)
    shared = module.fit(x, y, groups=label, own="a", **options)
    assert shared["b"] == pytest.approx(b, abs=10 * shared.standard_errors[0])
    assert shared.poles == ()


def test_profiles_follow_the_whole_fit(decay):
    """An end of a profile interval is where chi2, minimized over all other unknowns, has risen by t**2."""
    x, y, label = decays(2, 1)
    options = {"groups": label, "own": "a", "sigma": 0.02, "sigma_x": 0.05, "absolute_sigma": True}
    result = decay.fit(x, y, **options)
    place = result.names.index("k")
    for end in result.confidence_intervals(0.95, "profile")[place]:
        held = decay.fit(x, y, fixed={"k": end}, **options)
        assert held.chi2 - result.chi2 == pytest.approx(1.959964**2, rel=1e-5)


def test_watched_fits(decay):
    """A callback sees falling costs, and ends the fit."""
    x, y, label = decays(3, 4)
    costs = []
    options = {"groups": label, "own": "a", "sigma": 0.02, "sigma_x": 0.05, "p0": [0.5, 3, 0]}
    decay.fit(x, y, callback=lambda at: costs.append(at.cost), **options)
    assert len(costs) > 1
    assert costs == sorted(costs, reverse=True)
    assert decay.fit(x, y, callback=lambda at: True, **options).status == "stopped"


def test_single_precision(quick_compiler):
    """In float32, groups with errors in x have the solution with fewer digits."""
    x, y, label = decays(3, 4)
    double, single = (
        nn.build(nn.Model(f"decay_{precision}", "x", "y", DECAY, FORMULA), precision=precision).fit(
            x, y, groups=label, own="a", sigma=0.02, sigma_x=0.05
        )
        for precision in ("float64", "float32")
    )
    assert single.converged
    np.testing.assert_allclose(single.parameters, double.parameters, rtol=1e-3)


def test_what_a_result_shows(decay):
    """The table says what chi2 contains; derived quantities, predictions and pictures are those of groups."""
    pytest.importorskip("matplotlib").use("agg")
    x, y, label = decays(3, 4)
    result = decay.fit(x, y, groups=label, own="a", sigma=0.02, sigma_x=0.05)
    assert "errors in x" in str(result)
    assert "3 share k, c" in str(result)
    assert isinstance(result, nn.GroupedFit)
    assert result["half_life"] == pytest.approx(np.log(2) / result["k"])
    assert isinstance(result.group(1), nn.FitWithErrors)
    assert result.predict([1.0], 1).shape == (1, 1)
    assert len(result.plot().axes) >= 3


SCRIPT = """
import pickle, sys
import numpy as np
import nncodegen as nn
module, saved, pickled, errors = sys.argv[1:5]
sys.path.insert(0, module)
import decay_apart
for result in (decay_apart.load(saved), pickle.load(open(pickled, "rb"))):
    assert (result.x_standard_errors == np.load(errors)).all()
    try:
        result.confidence_intervals(0.9, "profile")
    except ValueError as error:
        assert "call nncodegen.build for the same model" in str(error), error
    else:
        raise AssertionError("there was no error")
nn.build(nn.Model("decay_apart", "x", "y", {"a": 1, "k": 1, "c": 0.1}, "a*exp(-k*x) + c"))
print(decay_apart.load(saved).confidence_intervals(0.9, "profile").tolist())
"""


@pytest.mark.parametrize("options", [{}, {"own": "a"}])
def test_results_elsewhere(options, tmp_path):
    """Another process reads all of a result of a module in a folder, and fits again once it has built the model."""
    nn.build(nn.Model("decay_apart", "x", "y", DECAY, FORMULA), out=tmp_path)
    sys.path.insert(0, str(tmp_path))
    try:
        import decay_apart
    finally:
        sys.path.remove(str(tmp_path))
    x, y, label = decays(2, 4)
    groups = {"groups": label} if options else {}
    result = decay_apart.fit(x, y, sigma=0.02, sigma_x=0.05, **groups, **options)
    result.save(tmp_path / "fit.npz")
    (tmp_path / "fit.pickle").write_bytes(pickle.dumps(result))
    np.save(tmp_path / "errors.npy", result.x_standard_errors)
    again = decay_apart.load(tmp_path / "fit.npz")
    for name in ("parameters", "covariance", "x_estimated", "x_standard_errors", "sigma_x", "residuals"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    assert str(again) == str(result)
    paths = [str(tmp_path / name) for name in ("", "fit.npz", "fit.pickle", "errors.npy")]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(eval(done.stdout), result.confidence_intervals(0.9, "profile"), rtol=1e-9)
