"""Fits with errors in x: orthogonal distances, against odrpack and dense problems in which true inputs are unknowns."""

import pickle

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy import linalg, optimize

import nncodegen as nn
from nncodegen.compiler.building import parts
from nncodegen.runtime.python.fitting.fit_watch import FitWatch
from nncodegen.runtime.python.ground import share, watch
from nncodegen.runtime.python.native.parts import with_errors
from nncodegen.runtime.python.results.many_fits import ManyFits

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = np.array([0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
SIGMA_X = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]) ** -0.5
SIGMA_Y = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]) ** -0.5
"""Pearson's data with York's weights (D. York, Least-squares fitting of a straight line, 1966)."""


@pytest.fixture(scope="module")
def line(quick_compiler):
    """A straight line, with a derived quantity."""
    return nn.build(nn.Model("line", "x", "y", {"a": 5, "b": -0.5}, "a + b*x", derived={"zero": "-a/b"}))


@pytest.fixture(scope="module")
def surface(quick_compiler):
    """Two outputs of two inputs."""
    return nn.build(nn.Model("surface", "x t", "u v", {"a": 1, "k": 0.5}, ("a*exp(-k*t) + x", "a*x*t")))


def dense(residuals, start, **options):
    """The solution of a dense problem, and its covariance but for a scale."""
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    optimum = optimize.least_squares(residuals, start, jac="3-point", x_scale="jac", **tight, **options)
    inverse = linalg.inv(optimum.jac.T @ optimum.jac)
    return optimum, inverse


def test_a_start_that_is_not_finite_is_said_at_once(quick_compiler, monkeypatch):
    """Predictions tell so, before a second module is made; the results are those that compiled fits have then."""
    formula = nn.Model("logarithm", "x", "y", {"a": 1, "b": -3}, "a*log(x + b)")
    module, x, y = nn.build(formula), np.linspace(1, 2, 8), np.ones(8)
    doors = {"groups": np.arange(8) % 2, "own": ["a"]}, {}

    def fits():
        results = []
        for door in doors:
            with pytest.warns(RuntimeWarning, match="not finite at the start"):
                results.append(module.fit(x, y, sigma_x=0.1, **door))
        with pytest.warns(RuntimeWarning, match="1 not_finite"):
            return results, module.fit_many(x, y[None], sigma_x=0.1)

    for name in ("compile_part", "module_with_errors"):
        monkeypatch.setattr(parts, name, lambda *_: pytest.fail("a module was compiled"))
    singles, many = fits()
    monkeypatch.undo()
    for door in doors:  # which makes the second module, and compiles what fits
        with pytest.warns(RuntimeWarning, match="iterations that were allowed"):
            module.fit(x, y, {"b": 1}, sigma_x=0.1, max_iterations=0, **door)
    compiled, others = fits()
    for result, other in zip(singles, compiled, strict=True):
        assert (result.status, str(result)) == ("not_finite", str(other))
        np.testing.assert_array_equal(result.x_estimated, other.x_estimated)
    np.testing.assert_array_equal(many.status, others.status)
    np.testing.assert_array_equal(many.chi2, others.chi2)


def test_york(line):
    """Intercept and slope of York's problem are those of the literature (B. C. Reed, 1992)."""
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X)
    assert result.status == "converged"
    assert result["a"] == pytest.approx(5.47991022403, rel=1e-10)
    assert result["b"] == pytest.approx(-0.48053340745, rel=1e-9)
    assert result.chi2 == pytest.approx(11.8663531941, rel=1e-9)
    assert result.degrees_of_freedom == 8
    assert result["zero"] == pytest.approx(-result["a"] / result["b"])


def test_errors_are_those_of_odrpack(line):
    """Parameters, estimated inputs and errors agree with odrpack, whose derivatives are exact."""
    odrpack = pytest.importorskip("odrpack")
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X)
    odr_fit = odrpack.odr_fit(
        lambda x, p: p[0] + p[1] * x,
        X,
        Y,
        [5, -0.5],
        weight_x=SIGMA_X**-2,
        weight_y=SIGMA_Y**-2,
        jac_beta=lambda x, p: np.stack([np.ones_like(x), x]),
        jac_x=lambda x, p: p[1] * np.ones_like(x),
        sstol=1e-16,
        partol=1e-15,
    )
    np.testing.assert_allclose(result.parameters, odr_fit.beta, rtol=1e-8)
    np.testing.assert_allclose(result.standard_errors, odr_fit.sd_beta, rtol=1e-6)
    np.testing.assert_allclose(result.covariance, odr_fit.cov_beta * result.error_scale, rtol=1e-6)
    np.testing.assert_allclose(result.x_estimated[:, 0], odr_fit.xplusd, atol=1e-7)


def test_a_nonlinear_problem_is_that_of_odrpack(quick_compiler):
    """A decay with errors in time has odrpack's parameters and errors, and under a bound those of a dense problem."""
    odrpack = pytest.importorskip("odrpack")
    random = np.random.default_rng(3)
    true = np.linspace(0, 4, 60)
    x, y = true + 0.05 * random.normal(size=60), 2 * np.exp(-true) + 0.3 + 0.02 * random.normal(size=60)
    module = nn.build(nn.Model("decay", "x", "y", {"a": 1, "k": 1, "c": 0.1}, "a*exp(-k*x) + c"))

    def jacobian(x, p):
        e = np.exp(-p[1] * x)
        return np.stack([e, -p[0] * x * e, np.ones_like(x)])

    odr_fit = odrpack.odr_fit(
        lambda x, p: p[0] * np.exp(-p[1] * x) + p[2],
        x,
        y,
        [1, 0.8, 0.1],
        weight_x=0.05**-2,
        weight_y=0.02**-2,
        jac_beta=jacobian,
        jac_x=lambda x, p: -p[0] * p[1] * np.exp(-p[1] * x),
        sstol=1e-16,
        partol=1e-15,
    )
    result = module.fit(x, y, p0=[1, 0.8, 0.1], sigma=0.02, sigma_x=0.05)
    np.testing.assert_allclose(result.parameters, odr_fit.beta, rtol=1e-8)
    np.testing.assert_allclose(result.standard_errors, odr_fit.sd_beta, rtol=1e-6)
    assert result.chi2 == pytest.approx(odr_fit.sum_square, rel=1e-9)

    def residuals(p):
        return np.concatenate([(p[0] * np.exp(-p[1] * (x + p[3:])) + p[2] - y) / 0.02, p[3:] / 0.05])

    bounds = np.full(63, -np.inf), np.r_[np.inf, 0.9, np.full(61, np.inf)]
    held, _ = dense(residuals, np.r_[1, 0.8, 0.1, np.zeros(60)], bounds=bounds)
    result = module.fit(x, y, p0=[1, 0.8, 0.1], sigma=0.02, sigma_x=0.05, bounds={"k": (None, 0.9)})
    np.testing.assert_allclose(result.parameters, held.x[:3], rtol=1e-7)
    assert result.at_bound.tolist() == [False, True, False]


def test_several_inputs_and_outputs_and_exact_inputs(surface):
    """With two outputs and one exact input, the solution and all errors are those of a dense problem."""
    random = np.random.default_rng(5)
    x, t = random.uniform(1, 2, 20), random.uniform(0, 2, 20)
    sigma_t = np.where(np.arange(20) % 5, 0.1, 0)
    u, v = 1.5 * np.exp(-0.7 * t) + x, 1.5 * x * t
    seen = np.stack([x, t + sigma_t * random.normal(size=20)], axis=1)
    Y = np.stack([u, v], axis=1) + 0.05 * random.normal(size=(20, 2))
    Y[3, 0] = np.nan
    sigma = random.uniform(0.04, 0.06, (20, 2))
    result = surface.fit(seen, Y, sigma=sigma, sigma_x={"t": sigma_t}, absolute_sigma=True)
    moved = np.flatnonzero(sigma_t)

    def residuals(p):
        t = seen[:, 1].copy()
        t[moved] += p[2:]
        outputs = np.stack([p[0] * np.exp(-p[1] * t) + x, p[0] * x * t], axis=1)
        return np.concatenate([((outputs - Y) / sigma)[~np.isnan(Y)], p[2:] / sigma_t[moved]])

    optimum, inverse = dense(residuals, np.r_[1, 0.5, np.zeros(len(moved))])
    np.testing.assert_allclose(result.parameters, optimum.x[:2], rtol=1e-7)
    np.testing.assert_allclose(result.covariance, inverse[:2, :2], rtol=1e-5)
    np.testing.assert_allclose(result.x_estimated[moved, 1] - seen[moved, 1], optimum.x[2:], atol=1e-7)
    np.testing.assert_allclose(result.x_standard_errors[moved, 1], np.sqrt(np.diag(inverse))[2:], rtol=1e-5)
    assert (result.x_standard_errors[:, 0] == 0).all()
    assert (result.x_estimated[::5] == seen[::5]).all()
    assert result.used == 39
    assert np.isnan(result.residuals[3, 0])


def test_small_errors_in_x_are_none(line):
    """As sigma_x goes to zero, the fit becomes that without it."""
    without = line.fit(X, Y, sigma=SIGMA_Y)
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=1e-9)
    np.testing.assert_allclose(result.parameters, without.parameters, rtol=1e-7)
    np.testing.assert_allclose(result.standard_errors, without.standard_errors, rtol=1e-6)


def test_fixed_robust_and_profiles(line):
    """Fixed parameters stay, robust losses count outliers less, and a profile is that of the whole problem."""
    fixed = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X, fixed={"b": -0.5})
    assert fixed["b"] == -0.5
    assert fixed.standard_errors[1] == 0
    best = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X, absolute_sigma=True)
    low, high = best.confidence_intervals(0.95, "profile")[1]
    for end in (low, high):
        held = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X, fixed={"b": end})
        assert held.chi2 - best.chi2 == pytest.approx(1.959964**2, rel=1e-5)
    spoilt = Y.copy()
    spoilt[4] += 3
    robust = line.fit(X, spoilt, sigma=SIGMA_Y, sigma_x=SIGMA_X, loss="cauchy")
    plain = line.fit(X, spoilt, sigma=SIGMA_Y, sigma_x=SIGMA_X)
    assert abs(robust["b"] - best["b"]) < abs(plain["b"] - best["b"]) / 2


def test_curve_fit_takes_errors_in_x():
    """``curve_fit`` hands sigma_x on, and finds York's line."""
    popt, pcov = nn.curve_fit("a + b*x", X, Y, p0=[5, -0.5], sigma=SIGMA_Y, sigma_x=SIGMA_X)
    np.testing.assert_allclose(popt, [5.47991022, -0.48053341], rtol=1e-8)
    assert np.sqrt(pcov[0, 0]) == pytest.approx(0.35924652, rel=1e-6)


def test_what_a_result_shows(line):
    """The table says what chi2 contains; the result is predicted, drawn and pickled."""
    pytest.importorskip("matplotlib").use("agg")
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X)
    assert "errors in x" in str(result)
    assert result.predict([1.0])[0, 0] == pytest.approx(result["a"] + result["b"])
    assert len(result.plot().axes) == 2
    again = pickle.loads(pickle.dumps(result))
    assert again.x_estimated.tobytes() == result.x_estimated.tobytes()


def test_errors_name_what_is_wrong(line):
    """Each wrong argument raises an error that says what it is."""
    wrong = [
        ({"sigma_x": 0}, "0 everywhere"),
        ({"sigma_x": -1}, "below 0"),
        ({"sigma_x": {"z": 1}}, "names 'z', which is no input"),
        ({"sigma_x": np.ones(3)}, "sigma_x has the shape"),
        ({"sigma_x": np.ones(3), "groups": np.arange(10), "own": "a"}, "sigma_x has the shape"),
    ]
    for options, text in wrong:
        with pytest.raises(ValueError, match=text):
            line.fit(X, Y, **options)


def test_a_result_is_saved_and_loaded(line, tmp_path):
    """A file holds the errors in x: all of the result is the same after it is read, and profiles repeat the fit."""
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X, absolute_sigma=True)
    result.save(tmp_path / "york.npz")
    again = line.load(tmp_path / "york.npz")
    assert type(again) is type(result)
    for name in ("parameters", "covariance", "x_estimated", "x_standard_errors", "sigma_x", "residuals"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    assert str(again) == str(result)
    profiles = [saved.confidence_intervals(0.9, "profile") for saved in (again, result)]
    np.testing.assert_array_equal(*profiles)


def test_robust_errors_of_estimated_inputs(line):
    """Under a robust loss, covariances are those of the weighted rows of a dense problem."""
    spoilt = Y.copy()
    spoilt[4] += 3
    result = line.fit(X, spoilt, sigma=SIGMA_Y, sigma_x=SIGMA_X, loss="soft_l1", absolute_sigma=True)

    def residuals(p):
        return np.concatenate([(p[0] + p[1] * (X + p[2:]) - spoilt) / SIGMA_Y, p[2:] / SIGMA_X])

    optimum, _ = dense(residuals, np.r_[5.4, -0.4, np.zeros(10)], loss="soft_l1")
    np.testing.assert_allclose(result.parameters, optimum.x[:2], rtol=5e-6)
    assert result.cost == pytest.approx(optimum.cost, rel=1e-10)
    inverse = linalg.inv(optimum.jac.T @ optimum.jac)
    np.testing.assert_allclose(result.covariance, inverse[:2, :2], rtol=1e-4)
    np.testing.assert_allclose(result.x_standard_errors[:, 0], np.sqrt(np.diag(inverse))[2:], rtol=1e-4)


def test_all_parameters_may_be_fixed(line):
    """With all parameters fixed, the inputs alone are estimated: the nearest points of the line."""
    result = line.fit(X, Y, sigma=SIGMA_Y, sigma_x=SIGMA_X, fixed={"a": 5.5, "b": -0.5})
    distance = (5.5 - 0.5 * X - Y) / (SIGMA_Y**2 + 0.25 * SIGMA_X**2)
    np.testing.assert_allclose(result.x_estimated[:, 0] - X, 0.5 * SIGMA_X**2 * distance, rtol=1e-9)


def test_a_watched_fit_shows_parameters_alone(line):
    """A callback sees the parameters of the model and falling costs; a time limit and a callback end the fit."""
    seen = []
    result = line.fit(X, Y, p0=[1, 1], sigma=SIGMA_Y, sigma_x=SIGMA_X, callback=lambda at: seen.append(at) and False)
    assert {len(at.parameters) for at in seen} == {2}
    assert [at.cost for at in seen] == sorted((at.cost for at in seen), reverse=True)
    assert len(seen) == result.iterations
    assert line.fit(X, Y, p0=[1, 1], sigma=SIGMA_Y, sigma_x=SIGMA_X, callback=lambda at: True).status == "stopped"


@pytest.fixture(scope="module")
def decay(quick_compiler):
    """A decay with a level."""
    return nn.build(nn.Model("decay", "x", "y", {"a": 1, "k": 1, "c": 0.1}, "a*exp(-k*x) + c"))


def many_decays(count, samples, seed=3):
    """Inputs and targets with errors, (count, samples) each."""
    random = np.random.default_rng(seed)
    true = np.linspace(0, 4, samples)
    seen = true + 0.05 * random.normal(size=(count, samples))
    return seen, 2 * np.exp(-true) + 0.3 + 0.02 * random.normal(size=(count, samples))


def test_many_fits_are_single_ones(decay):
    """Fits side by side have the parameters, errors and chi2 of single ones, whatever their number and threads."""
    seen, Y = many_decays(21, 40)
    Y[3, 5:9] = np.nan
    sigma_x = np.random.default_rng(1).uniform(0.03, 0.07, (21, 40))
    options = {"sigma": 0.02, "bounds": {"k": (0, 3)}, "covariance": True}
    fits = decay.fit_many(seen, Y, sigma_x=sigma_x, **options)
    assert fits.success.all()
    for m in (0, 3, 20):
        fitted = decay.fit(seen[m], Y[m], sigma=0.02, sigma_x=sigma_x[m], bounds={"k": (0, 3)})
        np.testing.assert_allclose(fits.parameters[m], fitted.parameters, rtol=3e-6)
        np.testing.assert_allclose(fits.covariance[m], fitted.covariance, rtol=1e-4)
        assert fits.chi2[m] == pytest.approx(fitted.chi2, rel=1e-8)
        assert fits.data[m] == fitted.used
        again = fits[m]
        np.testing.assert_array_equal(again.parameters, fits.parameters[m])
        np.testing.assert_allclose(again.x_estimated, fitted.x_estimated, atol=1e-6)
        np.testing.assert_allclose(again.standard_errors, fits.standard_errors[m], rtol=1e-5)
    alone = decay.fit_many(seen[3:4], Y[3:4], sigma_x=sigma_x[3:4], **options)
    shared = decay.fit_many(seen, Y, sigma_x=sigma_x, threads=2, **options)
    assert alone.parameters.tobytes() == fits.parameters[3:4].tobytes()
    assert shared.parameters.tobytes() == fits.parameters.tobytes()


def test_many_fits_are_those_of_odrpack(decay):
    """Parameters and errors of each are those of odrpack."""
    odrpack = pytest.importorskip("odrpack")
    seen, Y = many_decays(3, 30, seed=8)
    fits = decay.fit_many(seen, Y, sigma=0.02, sigma_x=0.05, tolerance=1e-14)
    for m in range(3):
        other = odrpack.odr_fit(
            lambda x, p: p[0] * np.exp(-p[1] * x) + p[2],
            seen[m],
            Y[m],
            [1, 1, 0.1],
            weight_x=0.05**-2,
            weight_y=0.02**-2,
            jac_x=lambda x, p: -p[0] * p[1] * np.exp(-p[1] * x),
            sstol=1e-16,
            partol=1e-15,
            jac_beta=lambda x, p: np.stack([np.exp(-p[1] * x), -p[0] * x * np.exp(-p[1] * x), np.ones_like(x)]),
        )
        np.testing.assert_allclose(fits.parameters[m], other.beta, rtol=1e-7)
        np.testing.assert_allclose(fits.standard_errors[m], other.sd_beta, rtol=1e-6)


def test_many_fits_of_unequal_lengths(decay):
    """Lists of unequal lengths, and lengths of arrays, count the same samples; sigma_x may be such a list."""
    seen, Y = many_decays(5, 40)
    lengths = [40, 30, 0, 2, 25]
    sigma_x = np.linspace(0.03, 0.07, 40)
    with pytest.warns(RuntimeWarning, match="2 of 5 fits did not converge"):
        fits = decay.fit_many(seen, Y, sigma=0.02, sigma_x=sigma_x, lengths=lengths)
    lists = [[array[m, :length] for m, length in enumerate(lengths)] for array in (seen, Y, np.tile(sigma_x, (5, 1)))]
    with pytest.warns(RuntimeWarning, match="2 of 5 fits did not converge"):
        ragged = decay.fit_many(*lists[:2], sigma=0.02, sigma_x=lists[2])
    assert fits.status.tolist() == ["converged", "converged", "no_data", "too_few_data", "converged"]
    np.testing.assert_array_equal(fits.parameters[[0, 1, 4]], ragged.parameters[[0, 1, 4]])
    fitted = decay.fit(seen[4, :25], Y[4, :25], sigma=0.02, sigma_x=sigma_x[:25])
    np.testing.assert_allclose(fits.parameters[4], fitted.parameters, rtol=1e-5)


def test_many_fits_with_several_outputs_or_in_single_precision(surface):
    """Fits with several outputs are made one by one; in float32 they are side by side, with fewer digits."""
    random = np.random.default_rng(5)
    x, t = random.uniform(1, 2, (3, 20)), random.uniform(0, 2, (3, 20))
    Y = np.stack([1.5 * np.exp(-0.7 * t) + x, 1.5 * x * t], axis=2) + 0.05 * random.normal(size=(3, 20, 2))
    seen = np.stack([x, t + 0.1 * random.normal(size=(3, 20))], axis=2)
    fits = surface.fit_many(seen, Y, sigma=0.05, sigma_x={"t": 0.1})
    assert fits.success.all()
    fitted = surface.fit(seen[1], Y[1], sigma=0.05, sigma_x={"t": 0.1})
    np.testing.assert_array_equal(fits.parameters[1], fitted.parameters)
    single = nn.build(nn.Model("single", "x", "y", {"a": 1, "k": 1, "c": 0.1}, "a*exp(-k*x) + c"), precision="float32")
    seen, Y = many_decays(20, 100)
    fits = single.fit_many(seen, Y, sigma=0.02, sigma_x=0.05)
    assert fits.success.all()
    fitted = single.fit(seen[2], Y[2], sigma=0.02, sigma_x=0.05)
    np.testing.assert_allclose(fits.parameters[2], fitted.parameters, rtol=2e-3)


def test_hard_fits_are_made_again(quick_compiler):
    """A fit that takes too many steps in a lane is made again by itself, with changes that are damped."""
    module = nn.build(nn.Model("steep", "x", "y", {"a": 2, "b": 0.5}, "a*exp(b*x)"))
    seen, Y = np.array([[0.982, 1.998, 4.978, 6.01]] * 2), np.array([[2.7, 7.4, 148.0, 403.0]] * 2)
    seen[1] += [0.01, 0, -0.01, 0]
    fits = module.fit_many(seen, Y, sigma_x=1.0, bounds={"a": (0, 10), "b": (0, 0.9)})
    assert fits.success.all()
    for m in range(2):
        fitted = module.fit(seen[m], Y[m], sigma_x=1.0, bounds={"a": (0, 10), "b": (0, 0.9)})
        assert fits.chi2[m] == pytest.approx(fitted.chi2, rel=1e-6)


def test_a_time_limit_leaves_fits_at_their_starts(decay):
    """Fits side by side that had not ended within the time are at their starts, and know no errors."""
    seen, Y = many_decays(20_000, 40)
    options = {"sigma": 0.02, "sigma_x": 0.05, "p0": [1, 1, 0.1]}
    with pytest.warns(RuntimeWarning, match="time_limit"):
        fits = decay.fit_many(seen, Y, time_limit=1e-3, **options)
    late = fits.status == "time_limit"
    assert late.any()
    assert set(fits.status[~late].tolist()) <= {"converged"}
    np.testing.assert_array_equal(fits.parameters[late], np.tile([1, 1, 0.1], (late.sum(), 1)))
    assert np.isinf(fits.standard_errors[late]).all()
    assert np.isnan(fits.chi2[late]).all()


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
def test_fits_that_had_ended_are_kept_where_others_are_stopped(decay):
    """A call that is stopped after some fits keeps these, and tells their number while it runs."""
    seen, Y = many_decays(60_000, 40)

    def stop():
        return made[0].done.any()

    made, put = [], ManyFits.__init__

    def kept(self, model, fits, *values):
        put(self, model, fits, *values)
        made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ManyFits, "__init__", kept)
        patch.setattr(share.calls, "hook", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            decay.fit_many(seen, Y, sigma=0.02, sigma_x=0.05)
    fits_made = made[0]
    ended = np.flatnonzero(fits_made.done)
    assert 0 < len(ended) < 60_000
    whole = decay.fit_many(seen[ended[:20]], Y[ended[:20]], sigma=0.02, sigma_x=0.05)
    np.testing.assert_array_equal(fits_made.parameters[ended[:20]], whole.parameters)
    np.testing.assert_array_equal(fits_made.standard_errors[ended[:20]], whole.standard_errors)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
def test_residuals_of_a_fit_that_is_stopped_at_once(line):
    """A fit that ends within its first evaluation has the residuals that it knows; the others, and chi2, are NaN."""
    x = np.random.default_rng(4).uniform(0, 1, 300_000)
    fitted = line.fit(x, x, sigma=0.1, sigma_x=0.1, time_limit=1e-9)
    assert fitted.status == "time_limit"
    assert fitted.parameters.tolist() == [5, -0.5]
    assert np.isnan(fitted.chi2)
    known = ~np.isnan(fitted.residuals[:, 0])
    assert not known.all()
    np.testing.assert_allclose(fitted.residuals[known, 0], (5 - 1.5 * x[known]) / 0.1)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
@pytest.mark.parametrize(
    ("samples", "every"),
    [(6_000, 3), *(pytest.param(samples, 1, marks=pytest.mark.thorough) for samples in (6_000, 8_000))],
)
def test_errors_of_a_fit_that_is_stopped_have_no_dampings(quick_compiler, monkeypatch, samples, every):
    """Wherever a fit is stopped whose changes of x are damped, its errors are those of the point without dampings.

    It asks some forty times whether to stop, and is stopped at each third of these; at each one in thorough tests.
    """
    module = nn.build(nn.Model("steep", "x", "y", {"a": 2, "b": 0.5}, "a*exp(b*x)"))
    x = np.tile([0.982, 1.998, 4.978, 6.01], samples // 4) + 0.05 * np.random.default_rng(0).normal(size=samples)
    y = np.tile([2.7, 7.4, 148.0, 403.0], samples // 4)
    options = {"sigma": 1, "sigma_x": 1, "bounds": {"a": (0, 10), "b": (0, 0.9)}, "p0": [2, 0.5], "time_limit": 1e9}
    asked, last = 0, 0

    def stops(self):
        nonlocal asked
        asked += 1
        self.reason = "time_limit" if asked == last else ""
        return asked == last

    monkeypatch.setattr(watch, "INTERVAL", 0)
    monkeypatch.setattr(FitWatch, "stops", stops)
    assert module.fit(x, y, **options).converged
    times, begun, placing = asked, 0, 0
    for number in range(times, 0, -every):
        asked, last = 0, number
        fitted = module.fit(x, y, absolute_sigma=True, **options)
        assert fitted.status == "time_limit"
        placing += fitted.evaluations == fitted.iterations + 1  # before the trial of the next step is evaluated
        if fitted.iterations == 0:  # it may have been stopped before it knew any rows
            continue
        begun += 1
        (a, b), at = fitted.parameters, fitted.x_estimated[:, 0]
        e = np.exp(b * at)
        J = np.stack([e, a * at * e])
        expected = np.sqrt(np.diag(linalg.inv((J / (1 + (a * b * e) ** 2)) @ J.T)))
        np.testing.assert_allclose(fitted.standard_errors, expected, rtol=1e-6)
    assert begun > 5
    assert placing > 2


def test_single_precision_adds_the_cost_in_parts(quick_compiler):
    """In float32, chi2 of a long fit side by side has the digits of its parts, as without errors in x."""
    module = nn.build(nn.Model("level", "x", "y", {"a": 1, "b": 0.5}, "a + b*x"), precision="float32")
    random = np.random.default_rng(7)
    X = random.uniform(0, 1, (3, 40_000))
    Y = 1 + 0.5 * X + random.normal(size=X.shape)
    fits = module.fit_many(X[:, :, None], Y, sigma=1.0, sigma_x=0.1)
    assert fits.success.all()
    for m in range(3):
        a, b = fits.parameters[m].astype(float)
        expected = (((a + b * X[m].astype("f4") - Y[m].astype("f4")) ** 2) / (1 + (0.1 * b) ** 2)).sum()
        assert fits.chi2[m] == pytest.approx(expected, rel=2e-6)


def test_memory_that_no_machine_has(decay):
    """Sizes of memory do not wrap around: too many samples are a MemoryError, not a small block."""
    native = decay._model.native
    for samples in (2**54, 2**58, 2**60, 2**62, 2**64 - 1):
        with pytest.raises(MemoryError):
            native.errors_memory(samples, 1)
    assert len(native.errors_memory(1000, 10)) > len(native.errors_memory(1000, 1)) > 8 * 8 * 1000


def test_memory_of_fits_side_by_side_that_no_machine_has(decay):
    """Nor do those of fits side by side, with errors in x or without."""
    strides = np.zeros(5, np.uintp)
    for native in (decay._model.native, with_errors(decay._model).native):
        for samples in (2**54, 2**56, 2**58, 2**60, 2**61, 2**62, 2**64 - 1):
            with pytest.raises(MemoryError):
                native.fit_many((None,) * 6, strides, samples, (None,) * 3, 1e-8, 10, False, 0, 0, (None,) * 8)


def test_errors_of_many_name_what_is_wrong(decay):
    """Each wrong argument of fit_many raises an error that says what it is."""
    seen, Y = many_decays(2, 10)
    wrong = [
        ({"sigma_x": np.ones(3)}, "sigma_x has the shape"),
        ({"sigma_x": -1}, "below 0"),
        ({"sigma_x": 0}, "0 everywhere"),
        ({"sigma_x": {"z": 1}}, "names 'z', which is no input"),
        ({"sigma_x": np.ones((3, 10))}, "sigma_x"),
        ({"sigma_x": np.nan}, "sigma_x"),
    ]
    for options, text in wrong:
        with pytest.raises(ValueError, match=text):
            decay.fit_many(seen, Y, **options)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
@pytest.mark.parametrize("start", [(0.01, 6.0), (5.0, 0.01)])
def test_short_fits_beside_long_ones(start, quick_compiler):
    """A fit has the bits that it has alone, also if longer fits begin beside it while it runs."""
    module = nn.build(nn.Model("beside", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x)"))
    random, fits = np.random.default_rng(0), np.arange(160)
    lengths = np.where((fits >= 100) & (fits % 16 == 15), 200, 20)
    X = np.sort(random.uniform(0, 3, (160, 200)), axis=1)
    Y = 2 * np.exp(-1.5 * X) + random.normal(0, 0.3, X.shape)
    options = {"sigma": 0.3, "sigma_x": 0.3, "max_iterations": 60, "p0": np.array(start)}
    many_fits = module.fit_many(X[:, :, None], Y, lengths=lengths, **options)
    for m in fits[100:]:
        alone = module.fit_many(X[m : m + 1, :, None], Y[m : m + 1], lengths=lengths[m : m + 1], **options)
        np.testing.assert_array_equal(many_fits.parameters[m], alone.parameters[0])
        assert (many_fits.status[m], many_fits.iterations[m]) == (alone.status[0], alone.iterations[0])


def test_many_outputs():
    """Rows of more outputs than a tile has samples: the solution is that of all unknowns together."""
    outputs = tuple(f"a*exp(-b*x*{k}/30)" for k in range(90))
    model = nn.Model("series", "x", [f"y{k}" for k in range(90)], {"a": 1, "b": 1}, outputs)
    random, X = np.random.default_rng(6), np.linspace(0.2, 2, 8)
    k = np.arange(90) / 30
    Y = 2 * np.exp(-0.7 * (X + random.normal(0, 0.1, 8))[:, None] * k) + random.normal(0, 0.05, (8, 90))
    fitted = nn.build(model).fit(X, Y, sigma=0.05, sigma_x=0.1)

    def residuals(unknown):
        u = unknown[2:]
        return np.concatenate([((unknown[0] * np.exp(-unknown[1] * (X + u)[:, None] * k) - Y) / 0.05).ravel(), u / 0.1])

    expected = optimize.least_squares(residuals, np.r_[1.0, 1.0, np.zeros(8)], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(fitted.parameters, expected.x[:2], rtol=1e-7)
    assert fitted.chi2 == pytest.approx(2 * expected.cost, rel=1e-9)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
def test_a_start_without_a_finite_value():
    """Nothing is known of a fit whose first values are not finite, neither its errors nor its rank."""
    module = nn.build(nn.Model("logarithm", "x", "y", {"a": 1, "b": 1}, "log(a*x) + b"))
    X = np.linspace(1, 2, 10)
    for _ in range(3):
        fitted = module.fit(X, X, p0=[-1.0, 1.0], sigma_x=0.1, absolute_sigma=True)
        assert (fitted.status, fitted.rank) == ("not_finite", 0)
        assert not np.isfinite(fitted.standard_errors).any()
