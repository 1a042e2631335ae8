"""Many fits of recurrences and of differential equations side by side: each is that of a single fit, in every lane."""

import warnings

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building.build import load
from tests.support import dosing
from tests.support.built import built, stage
from tests.support.motion import VALUES, lotka_volterra_model
from tests.support.solutions import EXAMPLES

pytestmark = pytest.mark.usefixtures("quick_compiler")

PREY = EXAMPLES["prey"]
FITS = 19
"""A number that fills no vectors."""

NAMES = ("parameters", "standard_errors", "covariance", "chi2", "data", "iterations", "status")

MODELS = {
    "chosen": PREY.model(9, name="prey_many"),
    "stiff": PREY.model(9, method="rodas5p", name="prey_stiff"),
    "both": PREY.model(9, method="auto", name="prey_auto"),
    "rk4": lotka_volterra_model("rk4", 8, 9, "prey_rk4"),
    "tsit5": lotka_volterra_model("tsit5", 3, 9, "prey_steps"),
}
ALIKE = ("both", "tsit5")
"""What takes no other steps here: of equations that are not stiff, and of another table of counted ones."""
TRUTH = np.array([*VALUES.values()])
TIMES = np.linspace(0, 8, 9)


def data(module, X, seed=0, fits=FITS):
    """Outputs with errors of 1 % for parameters up to 4 % off, and starts."""
    rng = np.random.default_rng(seed)
    truth = TRUTH * (1 + 0.04 * rng.uniform(-1, 1, (fits, 6)))
    Y = np.array([module.predict(p, X) for p in truth])
    return Y * (1 + 0.01 * rng.normal(size=Y.shape)), TRUTH * (1 + 0.02 * rng.uniform(-1, 1, truth.shape))


def bits(fits, chosen=slice(None)):
    """All that was found, of some fits."""
    return [getattr(fits, name)[chosen].tobytes() for name in NAMES]


def check(many, singles):
    """Fits have the results of single fits: parameters and errors to a small part of the errors."""
    assert many.success.all()
    for m, single in enumerate(singles):
        errors = np.maximum(single.standard_errors, 1e-12)
        assert (abs(many.parameters[m] - single.parameters) <= 1e-3 * errors).all()
        np.testing.assert_allclose(many.standard_errors[m], single.standard_errors, rtol=1e-4)
        np.testing.assert_allclose(many.chi2[m], single.chi2, rtol=1e-6)
        assert many.data[m] == single.used


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.thorough) if kind in ALIKE else kind for kind in MODELS]
)
def test_each_fit_is_that_of_a_single_one(kind):
    """With missing values, a sigma for each, bounds and a fixed parameter; covariances as well."""
    module = built(MODELS[kind])
    X = TIMES[None]
    Y, starts = data(module, X)
    rng = np.random.default_rng(1)
    Y[rng.uniform(size=Y.shape) < 0.1] = np.nan
    sigma = rng.uniform(0.5, 2, Y.shape)
    options = {"bounds": {"a": (0.98, 1.01)}, "fixed": ["d"]}
    starts[:, 0] = starts[:, 0].clip(0.985, 1.005)
    many = module.fit_many(X, Y, p0=starts, sigma=sigma, covariance=True, **options)
    check(many, [module.fit(X, Y[m], p0=starts[m], sigma=sigma[m], **options) for m in range(FITS)])
    assert ((many.parameters[:, 0] >= 0.98) & (many.parameters[:, 0] <= 1.01)).all()
    assert np.array_equal(many.parameters[:, 3], starts[:, 3])


@pytest.mark.parametrize("samples", [1, 3])
def test_each_value_has_a_likelihood(samples):
    """With a negative log-likelihood as the loss, errors are those of all values, also of a single trajectory."""
    model = nn.Dynamics(
        "u' = -k*u",
        {"u": "u0"},
        {"k": 0.5, "u0": 30.0},
        times=12,
        rtol=1e-9,
        name="counted",
        loss=lambda rate, count: rate - count * sympy.log(rate),
    )
    module = built(model)
    X = np.tile(np.linspace(0, 5, 12), (samples, 1))
    Y = np.random.default_rng(6).poisson(40 * np.exp(-0.3 * X)).astype(float)
    result = module.fit(X, Y)
    k, u0 = result.parameters
    rates = u0 * np.exp(-k * X)
    derivatives = np.stack([-X * rates, rates / u0], axis=-1)
    np.testing.assert_allclose(np.einsum("ntp,nt->p", derivatives, 1 - Y / rates), 0, atol=1e-3)
    information = np.einsum("ntp,nt,ntq->pq", derivatives, Y / rates**2, derivatives)
    np.testing.assert_allclose(result.covariance, np.linalg.inv(information), rtol=1e-5)
    losses = rates - Y * np.log(rates)
    np.testing.assert_allclose([result.cost, result.aic], [losses.sum(), 2 * losses.sum() + 4], rtol=1e-8)
    assert (result.status, result.used) == ("converged", 12 * samples)
    low, high = result.confidence_intervals(0.6827, "profile").T
    np.testing.assert_allclose((high - low) / 2, result.standard_errors, rtol=0.1)
    many = module.fit_many(X, np.array([Y, Y[::-1]]), covariance=True)
    np.testing.assert_allclose(many.covariance[0], result.covariance, rtol=1e-6)
    assert many.status.tolist() == ["converged"] * 2


def test_long_series_of_counts():
    """2,000 counts are fitted with little memory, as the generalized linear model that they are of."""
    model = nn.Dynamics(
        "u' = -k*u",
        {"u": "u0"},
        {"k": 0.5, "u0": 9.0},
        times=2000,
        steps=1,
        start=0,
        observed={"h": "log(u)"},
        loss=lambda h, count: sympy.exp(h) - count * h,
        name="long_series",
    )
    assert "#define NN_FIT_BLOCK 1\n" in stage(model, "emit").files["long_series_fitting.c"]
    times = np.linspace(0, 5, 2000)
    Y = np.random.default_rng(7).poisson(12 * np.exp(-0.3 * times)).astype(float)
    result = built(model).fit(times[None], Y[None])
    design, line = np.column_stack([-times, np.ones(2000)]), np.array([0.3, np.log(12)])
    for _ in range(20):
        rates = np.exp(design @ line)
        information = design.T @ (design * rates[:, None])
        line += np.linalg.solve(information, design.T @ (Y - rates))
    by_logarithm = np.diag([1, np.exp(line[1])])
    np.testing.assert_allclose(result.parameters, [line[0], np.exp(line[1])], rtol=1e-7)
    expected = by_logarithm @ np.linalg.inv(information) @ by_logarithm
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
def test_r2_has_a_mean_over_all_times_for_each_output(samples):
    """Also one trajectory has an r2: that of its outputs, each with its weighted mean over the times that are seen."""
    module = built(MODELS["chosen"])
    rng = np.random.default_rng(5)
    X = np.tile(TIMES, (samples, 1))
    Y = module.predict(TRUTH, X) * (1 + 0.05 * rng.normal(size=(samples, 18)))
    Y[0, [4, 11]] = np.nan
    sigma = rng.uniform(0.5, 2, Y.shape)
    result = module.fit(X, Y, p0=TRUTH, sigma=sigma)
    total = 0
    for output in (slice(9), slice(9, None)):
        seen = ~np.isnan(Y[:, output])
        values, weights = Y[:, output][seen], sigma[:, output][seen] ** -2.0
        total += weights @ (values - np.average(values, weights=weights)) ** 2
    np.testing.assert_allclose(result.r2, 1 - result.chi2 / total, rtol=1e-12)
    assert 0.5 < result.r2 < 1


def test_r2_of_a_solution_that_ends_early():
    """A fit whose outputs are not finite at some times has no r2: that of the other times alone was stated."""
    module = built(nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=3, name="growing"))
    with pytest.warns(RuntimeWarning, match="not finite at the start"):
        result = module.fit([[0, 0.5, 1.5]], [[1, 2, 3]])
    assert np.isnan([result.chi2, result.r2]).all()
    assert np.isnan(module.fit([[0, 0.5, 0.9]], [[1, np.nan, np.nan]]).r2)
    assert module.fit([[0, 0.5, 0.9]], [[1, np.nan, 9.9]]).r2 > 0.99


@pytest.mark.parametrize("samples", [1, 3])
def test_fits_are_drawn_over_the_times(samples, pyplot):
    """Each output has points at the times of all samples, and a line for each sample through its outputs."""
    module = built(MODELS["chosen"])
    X = np.tile(TIMES, (samples, 1)) + np.linspace(0, 0.5, samples)[:, None]
    Y = module.predict(TRUTH, X) * (1 + 0.05 * np.random.default_rng(5).normal(size=(samples, 18)))
    Y[0, [4, 11]] = np.nan
    result = module.fit(X, Y, p0=TRUTH)
    for interval in (None, "confidence"):
        upper, lower = result.plot(interval=interval).axes
        assert (lower.get_xlabel(), upper.get_ylabel()) == ("t", "u, v")
        outputs = module.predict(result.parameters, X)
        for place, (points, line) in enumerate(zip(upper.lines[::2], upper.lines[1::2], strict=True)):
            columns = slice(9 * place, 9 * place + 9)
            np.testing.assert_array_equal(points.get_xdata(), X.ravel())
            np.testing.assert_array_equal(points.get_ydata(), Y[:, columns].ravel())
            np.testing.assert_array_equal(line.get_ydata().reshape(samples, 10)[:, :9], outputs[:, columns])
            assert np.isnan(line.get_ydata()[9::10]).all()
        words = [entry.get_text() for entry in upper.get_legend().get_texts()]
        assert {"u, data", "u, fit", "v, data", "v, fit"} <= {*words}
        assert len(words) == (4 if interval is None else 6)
    with pytest.raises(ValueError, match="drawn on two axes"):
        result.plot(X, Y)


def test_prediction_intervals_of_fits_are_drawn(pyplot):
    """They have the sigma that the data have at these times; between the data of a formula, there is none."""
    module = built(MODELS["chosen"])
    X, sigma = np.tile(TIMES, (2, 1)), 0.01 * np.arange(1.0, 37).reshape(2, 18)
    result = module.fit(X, module.predict(TRUTH, X), p0=TRUTH, sigma=sigma, absolute_sigma=True)
    upper, _ = result.plot(interval="prediction").axes
    band = upper.collections[1].get_paths()[0].vertices[:, 1]  # after the bars of the first output
    assert np.ptp(band) > 0
    _, low, high = result.predict(X, interval="prediction", sigma=sigma)
    assert {*high[0, :9].round(9)} <= {*band.round(9)}
    assert {*low[0, :9].round(9)} <= {*band.round(9)}
    line = built(nn.Model("line_with_sigma", "x", "y", {"a": 1, "b": 1}, "a*x + b"))
    fitted = line.fit(TIMES, TIMES + np.cos(TIMES), sigma=np.ones(9))
    with pytest.raises(ValueError, match="draw interval='confidence'"):
        fitted.plot(interval="prediction")


def test_fits_of_series_are_drawn_over_their_times(pyplot):
    """Equations that do not read the times have their number as the abscissa."""
    rows = np.random.default_rng(0).normal(size=(1, 30))
    ar = nn.Dynamics("x1 = p*before(x)", {"x": 0}, {"p": 0}, columns="x", times=30, name="series")
    upper, lower = built(ar).fit(rows, rows).plot(interval=None).axes
    assert (lower.get_xlabel(), upper.get_ylabel()) == ("time", "x1")
    np.testing.assert_array_equal(upper.lines[0].get_xdata(), np.arange(30))


@pytest.mark.parametrize("method", [pytest.param("tsit5", marks=pytest.mark.thorough), "auto"])
def test_fits_with_jumps_and_columns(method):
    """Each fit has times, doses and infusions of its own, and times without an observation."""
    module = built(dosing.dosing(method, name=f"dosing_{method}_many"))
    rng = np.random.default_rng(8)
    X = np.array([dosing.samples(2, rng) for _ in range(FITS)])
    truth = dosing.START * (1 + 0.04 * rng.uniform(-1, 1, (FITS, 4)))
    Y = np.array([module.predict(p, rows) for p, rows in zip(truth, X, strict=True)])
    Y *= 1 + 0.01 * rng.normal(size=Y.shape)
    Y[rng.uniform(size=Y.shape) < 0.1] = np.nan
    options = {"bounds": {"share": (0.4, 0.69)}, "fixed": ["volume"], "p0": [1.1, 0.19, 20, 0.65]}
    many = module.fit_many(X, Y, covariance=True, **options)
    check(many, [module.fit(rows, y, **options) for rows, y in zip(X, Y, strict=True)])


@pytest.mark.parametrize("kind", ["chosen", "rk4"])
def test_fits_of_several_samples(kind):
    """Each fit has one to three trajectories, with times of its own."""
    module = built(MODELS[kind])
    rng = np.random.default_rng(2)
    X = TIMES * rng.uniform(0.6, 1.1, (FITS, 3, 1))
    lengths = rng.integers(1, 4, FITS)
    _, starts = data(module, X[0])
    Y = np.array([module.predict(TRUTH, rows) for rows in X]) * (1 + 0.01 * rng.normal(size=(FITS, 3, 18)))
    many = module.fit_many(X, Y, p0=starts, lengths=lengths)
    check(many, [module.fit(X[m, :n], Y[m, :n], p0=starts[m]) for m, n in enumerate(lengths)])


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("chosen", "float64"),
        ("stiff", "float64"),
        ("rk4", "float64"),
        ("rk4", "float32"),
        pytest.param("both", "float64", marks=pytest.mark.thorough),
        pytest.param("tsit5", "float32", marks=pytest.mark.thorough),
    ],
)
def test_bits_do_not_depend_on_other_fits(kind, precision):
    """Alone, in another order and lane, among fits of other lengths, and on two threads, a fit has the same bits."""
    model = MODELS[kind]
    module = built(model, precision)
    X = TIMES[None].astype(precision)
    Y, starts = (each.astype(precision) for each in data(module, X))
    many = module.fit_many(X, Y, p0=starts, covariance=True)
    order = np.random.default_rng(3).permutation(FITS)
    again = module.fit_many(X, Y[order], p0=starts[order], covariance=True, threads=2)
    assert bits(again) == bits(many, order)
    for m in (0, 9, FITS - 1):
        alone = module.fit_many(X, Y[m : m + 1], p0=starts[m], covariance=True)
        assert bits(alone) == bits(many, slice(m, m + 1))


def test_a_fit_that_fails_leaves_the_others_alone():
    """One begins where its solution blows up, one has no data, one too few: the others have the bits that they had."""
    module = built(MODELS["chosen"])
    X = TIMES[None]
    Y, starts = data(module, X)
    before = module.fit_many(X, Y, p0=starts, covariance=True)
    starts[2] *= [1, -1000, 1, 1, 1, 1]
    Y[5] = np.nan
    Y[7, 0, 3:] = np.nan
    with pytest.warns(RuntimeWarning, match="3 of 19 fits did not converge"):
        many = module.fit_many(X, Y, p0=starts, covariance=True)
    assert [many.status[m] for m in (2, 5, 7)] == ["not_finite", "no_data", "too_few_data"]
    others = np.delete(np.arange(FITS), [2, 5, 7])
    assert bits(many, others) == bits(before, others)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert many.status[2] == module.fit(X, Y[2], p0=starts[2]).status
    assert np.array_equal(many.parameters[2], starts[2])


def test_autoregressions():
    """AR(2), fitted to many series, gives the regressions of NumPy on earlier values."""
    rng = np.random.default_rng(4)
    series = rng.normal(size=(FITS, 60))
    for k in range(2, 60):
        series[:, k] += 0.2 + 0.5 * series[:, k - 1] - 0.3 * series[:, k - 2]
    model = nn.Dynamics(
        "ahead = c + p*before(x) + q*before(x, 2)",
        {"x": 0},
        {"c": 0, "p": 0, "q": 0},
        times=60,
        columns="x",
        name="ar_many",
    )
    many = built(model).fit_many(series[:, None], series[:, None])
    assert many.success.all()
    for parameter, y in zip(many.parameters, series, strict=True):
        before = np.column_stack([np.ones(60), np.r_[0, y[:-1]], np.r_[0, 0, y[:-2]]])
        np.testing.assert_allclose(parameter, np.linalg.lstsq(before, y, rcond=None)[0], rtol=1e-7, atol=1e-9)


def test_a_whole_module_has_the_same_bits():
    """Whether the part of many fits is linked or loaded; a single fit does not compile it."""
    module, whole = built(MODELS["rk4"]), load(nn.compile_model(MODELS["rk4"]).built)
    X = TIMES[None]
    Y, starts = data(module, X)
    assert bits(module.fit_many(X, Y, p0=starts, covariance=True)) == bits(
        whole.fit_many(X, Y, p0=starts, covariance=True)
    )


def test_files_of_many_fits():
    """Rows of sweeps have a file of their own; those of a formula lie beside the rows of a single fit."""
    files = stage(MODELS["rk4"], "emit").files
    assert "group_rows" in files["prey_rk4_fits.c"]
    assert "jacobian_tile" not in files["prey_rk4_fits.c"]
    assert "group_rows" not in files["prey_rk4_fitting.c"]
    formula = stage(nn.Model("line", "x", "y", {"a": 1}, "a*x"), "emit").files
    assert "line_fits.c" not in formula
    assert "group_rows" in formula["line_fitting.c"]


def test_very_long_recurrences_are_fitted_one_after_the_other(monkeypatch):
    """Those whose values take more memory than a group may have no rows side by side, and the fits of single ones."""
    monkeypatch.setattr("nncodegen.compiler.schedule.side_by_side.BYTES", 1000)
    model = lotka_volterra_model("rk4", 2, 9, "prey_long")
    assert "prey_long_fits.c" not in stage(model, "emit").files
    module = nn.build(model)
    Y, starts = data(module, TIMES[None], fits=2)
    many = module.fit_many(TIMES[None], Y, p0=starts)
    for m in range(2):
        assert np.array_equal(many.parameters[m], module.fit(TIMES[None], Y[m], p0=starts[m]).parameters)


@pytest.mark.parametrize(("times", "observed"), [(1, "u"), pytest.param(2, ["u", "v"], marks=pytest.mark.thorough)])
def test_fewer_outputs_than_parameters(times, observed):
    """Of trajectories seen once or twice each: Jacobians are differences, and fits those of single ones."""
    model = nn.Dynamics(
        PREY.equations,
        {"u": 10, "v": 5},
        {"a": 1, "b": 0.1, "c": 1.5, "d": 0.075},
        times=times,
        start=0,
        observed=observed,
        rtol=1e-9,
        atol=1e-10,
        name=f"prey_seen_{times}",
    )
    module = built(model)
    truth = TRUTH[:4]
    X = np.sort(np.random.default_rng(5).uniform(0.5, 8, (20, times)))
    steps = 1e-4 * np.diag(truth)
    differences = [(module.predict(truth + h, X) - module.predict(truth - h, X)) / (2 * h.sum()) for h in steps]
    slopes = module.jacobian(truth, X)
    np.testing.assert_allclose(slopes, np.moveaxis(differences, 0, -1), atol=1e-5 * abs(slopes).max())
    Y = np.array([module.predict(truth * (1 + 0.02 * k / FITS), X) for k in range(FITS)])
    Y += 0.01 * np.random.default_rng(6).normal(size=Y.shape)
    check(module.fit_many(X, Y), [module.fit(X, outputs) for outputs in Y])


def test_errors_in_x_are_refused():
    """They are for formulas: the message does not advise to build the model again."""
    module = built(MODELS["rk4"])
    with pytest.raises(ValueError, match=r"for formulas \(nn.Model\), and prey_rk4 is none: leave them out"):
        module.fit(TIMES[None], module.predict(TRUTH, TIMES[None]), sigma_x=0.1)
