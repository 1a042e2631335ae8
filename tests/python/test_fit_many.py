"""Many fits of a formula in one call: what fit_many takes, what it gives, what it refuses."""

import pickle
import re
import warnings

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.runtime.python.results.many_fits import ManyFits
from tests.support.built import built
from tests.support.search import examples

optimize = pytest.importorskip("scipy.optimize")

pytestmark = pytest.mark.usefixtures("quick_compiler")

FITS, SAMPLES = 37, 20
TIMES = np.linspace(0, 4, SAMPLES)


def decay_at(p, t):
    return p[0] * np.exp(-p[1] * t) + p[2]


def spiral_at(p, t):
    return p[0] * np.exp(-p[1] * t)[:, None] * np.stack([np.cos(2 * t), np.sin(2 * t)], -1)


@pytest.fixture(scope="module")
def decay():
    """a*exp(-b*t) + c."""
    a, b, c, t, y = sympy.symbols("a b c t y")
    return built(nn.Model("decay", t, y, {a: 3, b: 1, c: 0.5}, a * sympy.exp(-b * t) + c))


@pytest.fixture(scope="module")
def spiral():
    """Two outputs, in float32."""
    a, b, t, u, v = sympy.symbols("a b t u v")
    size = a * sympy.exp(-b * t)
    outputs = (size * sympy.cos(2 * t), size * sympy.sin(2 * t))
    return built(nn.Model("spiral", t, (u, v), {a: 1, b: 0.5}, outputs), "float32")


@pytest.fixture(scope="module")
def problem():
    """Noisy targets (M, N), standard deviations like them, and starts (M, P)."""
    rng = np.random.default_rng(0)
    true = rng.uniform([2, 0.7, 0.2], [5, 1.5, 1], size=(FITS, 3))
    sigma = rng.uniform(0.02, 0.1, size=(FITS, SAMPLES))
    y = np.array([decay_at(p, TIMES) for p in true]) + sigma * rng.normal(size=sigma.shape)
    return y, sigma, true * rng.uniform(0.8, 1.2, size=true.shape)


def curve_fit(t, y, start, sigma):
    """SciPy's parameters and covariance, without what is missing."""
    there = ~np.isnan(y)
    return optimize.curve_fit(
        lambda t, *p: decay_at(p, t), t[there], y[there], start, sigma[there], ftol=1e-14, xtol=1e-14, gtol=1e-14
    )


def bits(fits, chosen=slice(None)):
    """All that was found, of some fits."""
    names = ("parameters", "standard_errors", "covariance", "chi2", "data", "iterations", "status")
    return [getattr(fits, name)[chosen].tobytes() for name in names if getattr(fits, name) is not None]


# --- results -----------------------------------------------------------------------------------------------------


def test_each_fit_is_that_of_curve_fit(decay, problem):
    """With a sigma and missing values of its own: parameters, covariances, and all that follows from them."""
    y, sigma, starts = (each.copy() for each in problem)
    y[::3, 4] = y[5, 10:] = np.nan
    sigma[::3, 4] = 0  # of a target that is missing
    fits = decay.fit_many(TIMES, y, starts, sigma, covariance=True)
    assert isinstance(fits, nn.ManyFits)
    assert fits.success.all()
    for m in range(FITS):
        parameters, covariance = curve_fit(TIMES, y[m], starts[m], sigma[m])
        errors, residuals = np.sqrt(np.diag(covariance)), (decay_at(parameters, TIMES) - y[m]) / sigma[m]
        chi2 = np.nansum(np.where(np.isnan(y[m]), 0, residuals) ** 2)
        assert (abs(fits.parameters[m] - parameters) <= 1e-3 * errors).all()
        assert fits.covariance[m] / np.outer(errors, errors) == pytest.approx(
            covariance / np.outer(errors, errors), abs=1e-3
        )
        assert fits.chi2[m] == pytest.approx(chi2, rel=1e-8)
        assert fits.data[m] == np.count_nonzero(~np.isnan(y[m]))
        assert fits.reduced_chi2[m] == pytest.approx(chi2 / (fits.data[m] - 3), rel=1e-8)
    assert fits.standard_errors == pytest.approx(np.sqrt(np.diagonal(fits.covariance, 0, 1, 2)), rel=1e-14)
    assert (fits.degrees_of_freedom == fits.data - 3).all()
    without = decay.fit_many(TIMES, y, starts, sigma)
    assert without.covariance is None
    assert without.standard_errors.tobytes() == fits.standard_errors.tobytes()


def test_several_targets_in_single_precision(spiral):
    """Two targets of each sample, of which some are missing, against least_squares."""
    rng = np.random.default_rng(0)
    true = rng.uniform([1, 0.2], [2, 0.6], size=(FITS, 2))
    y = np.array([spiral_at(p, TIMES) for p in true]) + 0.02 * rng.normal(size=(FITS, SAMPLES, 2))
    y[rng.uniform(size=y.shape) < 0.1] = np.nan
    fits = spiral.fit_many(TIMES, y)
    assert fits.parameters.dtype == fits.standard_errors.dtype == np.float32
    assert fits.success.all()
    for m in range(FITS):
        there = ~np.isnan(y[m])
        expected = optimize.least_squares(lambda p, m=m, w=there: (spiral_at(p, TIMES) - y[m])[w], [1, 0.5], xtol=1e-12)
        variances = np.linalg.inv(expected.jac.T @ expected.jac) * 2 * expected.cost / (there.sum() - 2)
        errors = np.sqrt(np.diag(variances))
        assert (abs(fits.parameters[m] - expected.x) <= 0.02 * errors).all()
        assert fits.standard_errors[m] == pytest.approx(errors, rel=0.02)
        assert fits.chi2[m] == pytest.approx(2 * expected.cost, rel=1e-4)


def test_statuses(decay, problem):
    """Each fit that fails says how, and a warning says how many did; the others are as they would be alone."""
    y, _, starts = (each.copy() for each in problem)
    whole = decay.fit_many(TIMES, y, starts)
    y[0], y[1, 2:], y[2, 3] = np.nan, np.nan, np.inf
    starts[3, 1] = -1e6
    y[4], starts[4] = 0, (0, 1, 0)
    with pytest.warns(
        RuntimeWarning,
        match=r"^5 of 37 fits did not converge: 1 singular, 1 too_few_data, 1 no_data, "
        r"2 not_finite; the attribute status of the result tells which",
    ) as warned:
        fits = decay.fit_many(TIMES, y, starts)
    assert warned[0].filename == __file__
    assert fits.status[:5].tolist() == ["no_data", "too_few_data", "not_finite", "not_finite", "singular"]
    assert fits.data[:2].tolist() == [0, 2]
    assert fits.counts == {"converged": 32, "singular": 1, "too_few_data": 1, "no_data": 1, "not_finite": 2}
    assert (fits.success == (fits.status == "converged")).all()
    assert (fits.parameters[[0, 2, 3]] == starts[[0, 2, 3]]).all()
    assert np.isinf(fits.standard_errors[:4]).all()
    assert np.isinf(fits.standard_errors[4]).tolist() == [False, True, False]  # a and c are exact
    assert np.isnan(fits.chi2[2:4]).all()
    assert np.isnan(fits.reduced_chi2[:4]).all()
    assert bits(fits, slice(5, None)) == bits(whole, slice(5, None))
    with pytest.warns(RuntimeWarning, match="37 of 37 fits did not converge: 37 max_iterations"):
        fits = decay.fit_many(TIMES, problem[0], problem[2], max_iterations=1)
    assert (fits.iterations == 1).all()


def test_tolerance(spiral, decay, problem):
    """It says when a fit ends; one that rounding would hide is as large as rounding."""
    y, _, starts = problem
    coarse, usual = (decay.fit_many(TIMES, y, starts, tolerance=each) for each in (0.1, None))
    assert coarse.iterations.sum() < usual.iterations.sum()
    assert bits(usual) == bits(decay.fit_many(TIMES, y, starts, tolerance=1e-8))
    rng = np.random.default_rng(0)
    y = np.array([spiral_at((1.5, 0.3), TIMES)] * 5) + 0.02 * rng.normal(size=(5, SAMPLES, 2))
    least = spiral.fit_many(TIMES, y, tolerance=8 * 2.0**-23)
    assert bits(spiral.fit_many(TIMES, y, tolerance=0)) == bits(least)
    assert bits(spiral.fit_many(TIMES, y)) == bits(spiral.fit_many(TIMES, y, tolerance=1e-5))


def test_the_result_shows_itself(decay, problem):
    """It tells how many fits ended how, prints a table of what they found, and can be pickled."""
    y, _, starts = problem
    fits = decay.fit_many(TIMES, y, starts, fixed="c", covariance=True)
    assert len(fits) == FITS
    assert fits.names == ("a", "b", "c")
    assert repr(fits) == "<ManyFits: 37 fits of 2 parameters, 37 converged>"
    lines = str(fits).splitlines()
    assert lines[0] == "decay: 37 fits of 2 parameters, 37 converged"
    a = next(line for line in lines if line.startswith("a "))
    assert f"{np.sort(fits.parameters[:, 0])[18]:.6g}" in a
    assert len({len(line) for line in lines[2:]}) == 1
    assert f'<td style="text-align: right">{np.sort(fits.reduced_chi2)[18]:.6g}</td>' in fits._repr_html_()
    again = pickle.loads(pickle.dumps(fits))
    assert bits(again) == bits(fits)
    assert (repr(again), str(again)) == (repr(fits), str(fits))
    with pytest.warns(RuntimeWarning, match="did not converge"):
        nothing = decay.fit_many(TIMES, np.full((1, SAMPLES), np.nan))
    assert str(nothing) == "decay: 1 fit of 3 parameters, 1 no_data"


# --- shapes ------------------------------------------------------------------------------------------------------


def test_no_copy_of_targets(decay, problem, monkeypatch):
    """C reads a C-contiguous array of the right type where it lies, of any length."""
    y, _, starts = problem
    received, original = [], decay._model.native.fit_many

    class Native:
        fits_lanes, first_not_finite = decay._model.native.fits_lanes, decay._model.native.first_not_finite
        has = decay._model.native.has

        def fit_many(self, data, *others):
            received.extend(data[:4])
            original(data, *others)

    monkeypatch.setattr(decay._model, "native", Native())
    decay.fit_many(TIMES, y, starts, sigma=y)
    assert [received[1] is y, received[2] is y, received[3] is starts, np.shares_memory(received[0], TIMES)] == [
        True
    ] * 4


@examples(25)
@given(data=st.data())
def test_what_fits_share(decay, problem, data):
    """Inputs, targets, sigma and starts that all fits share are as if each had them, and bits depend on nothing else:
    not on the other fits, their order or threads, nor on how arrays lie in memory."""
    y, sigma, starts = problem
    count = data.draw(st.integers(1, FITS), "fits")
    order = np.array(data.draw(st.permutations(range(FITS)), "order")[:count])
    shares = data.draw(st.fixed_dictionaries({name: st.booleans() for name in ("X", "Y", "sigma", "p0")}))
    lengths = data.draw(st.none() | st.lists(st.integers(4, SAMPLES), min_size=count, max_size=count), "lengths")
    layout = data.draw(st.sampled_from([np.array, np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2], list]))
    of_each = {"X": np.repeat(TIMES[None], count, 0), "Y": y[order], "sigma": sigma[order], "p0": starts[order]}
    alone, each = dict(of_each), dict(of_each)
    for name, shared in shares.items():
        if shared:
            alone[name], each[name] = of_each[name][0], np.repeat(of_each[name][:1], count, 0)
    threads = data.draw(st.integers(1, 4), "threads")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of fits that four samples do not determine
        arguments = {name: layout(value) for name, value in alone.items()}
        many_fits = decay.fit_many(**arguments, lengths=lengths, threads=threads, covariance=True)
        fits = 1 if all(shares.values()) and lengths is None else count
        assert len(many_fits) == fits
        for m in {0, fits // 2, fits - 1}:
            cut = SAMPLES if lengths is None else lengths[m]
            single = decay.fit_many(
                each["X"][m, :cut, None], each["Y"][m, :cut], each["p0"][m], each["sigma"][m, :cut], covariance=True
            )
            assert len(single) == 1
            assert bits(single) == bits(many_fits, [m])


def test_shapes_of_several_targets(spiral):
    """Arrays of one fit need no axis for it; a single input needs no axis either."""
    rng = np.random.default_rng(0)
    y = spiral_at((1.5, 0.3), TIMES) + 0.02 * rng.normal(size=(3, SAMPLES, 2))
    fits = spiral.fit_many(TIMES, y, sigma=0.1)
    assert bits(spiral.fit_many(np.repeat(TIMES[None, :, None], 3, 0), y, sigma=np.full_like(y, 0.1))) == bits(fits)
    assert bits(spiral.fit_many(TIMES[:, None], y[1], sigma=np.full((SAMPLES, 2), 0.1))) == bits(fits, [1])


def test_without_inputs():
    """A formula of its parameters alone takes no X."""
    m, y = sympy.symbols("m y")
    mean = built(nn.Model("mean", (), y, {m: 1}, m))
    values = np.ones((4, 9))
    with pytest.raises(ValueError, match="X was given, but the model has no inputs"):
        mean.fit_many(values, values)


# --- what is refused ---------------------------------------------------------------------------------------------

Y = np.ones((3, SAMPLES))
REFUSED = {
    "Y is missing: expected (M, N), a row for each fit, or (N,), shared by all": {"Y": None},
    "Y has the shape (2, 2, 2); expected (M, N)": {"Y": np.ones((2, 2, 2))},
    "Y is empty; expected at least one fit": {"Y": np.ones((0, SAMPLES))},
    "Y[1, 2] is None, which is no real number": {"Y": [[1, 2, 3], [1, 2, None]]},
    "X is missing: expected (N, 1), shared by all fits, or (M, N, 1), or (N,), or (M, N), with N = 20": {"X": None},
    "X has the shape (19,); expected (N, 1)": {"X": TIMES[1:]},
    "X has the shape (20, 2); expected (N, 1)": {"X": np.ones((SAMPLES, 2))},
    "Y is for 3 fits, but X for 2: the numbers must be equal": {"X": np.ones((2, SAMPLES, 1))},
    "p0 is for 2 fits, but lengths for 3": {"Y": Y[0], "p0": np.ones((2, 3)), "lengths": [1, 2, 3]},
    "p0[1, 2] is nan": {"p0": [[1, 1, 1], [1, 1, np.nan], [1, 1, 1]]},
    "sigma[2, 4] is -1.0; expected a number above 0": {"sigma": np.where(np.arange(60).reshape(3, -1) == 44, -1, 1)},
    "Y is for 3 fits, but sigma for 2": {"sigma": np.ones((2, SAMPLES))},
    "covariance must be True or False": {"covariance": None},
    "the start of fit 2 is outside of the bounds: a is -4, below its lower bound 0": {
        "bounds": (0, None),
        "p0": [[1, 1, 1], [1, 1, 1], [-4, 1, 1]],
    },
    "lengths[1] is 21; expected (M,) integers from 0 to 20": {"lengths": [20, 21, 3]},
    "lengths[0] is 1.5; expected (M,) integers": {"lengths": [1.5, 2, 3]},
    "lengths has the shape (); expected (M,)": {"lengths": 3},
    "Y is for 3 fits, but lengths for 2": {"lengths": [1, 2]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(decay, message):
    """What cannot be meant is refused, with what was wrong, where, and what was expected."""
    arguments = {"X": TIMES, "Y": Y, **REFUSED[message]}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        decay.fit_many(**arguments)


# --- one of many, tables, lists ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ragged():
    """Lists of times and targets of four fits: 20, 9 and 14 samples, and none."""
    rng = np.random.default_rng(3)
    times = [np.sort(rng.uniform(0, 4, count)) for count in (20, 9, 14, 0)]
    return times, [decay_at((3, 1, 0.4), t) + 0.02 * rng.normal(size=len(t)) for t in times]


def test_lists_of_unequal_lengths(decay, ragged):
    """Lists with an array for each fit are what arrays with lengths are, bit for bit; one X may be shared."""
    times, targets = ragged
    lengths = [len(each) for each in times]
    X, Y = (np.array([np.pad(each, (0, 20 - len(each))) for each in arrays]) for arrays in (times, targets))
    sigma = [0.02 * np.ones(length) for length in lengths]
    with pytest.warns(RuntimeWarning, match="1 no_data"):
        expected = decay.fit_many(X, Y, lengths=lengths, covariance=True, sigma=0.02 * np.ones((4, 20)))
    for lists in ((times, targets, sigma), ([t[:, None] for t in times], [list(y) for y in targets], 0.02)):
        with pytest.warns(RuntimeWarning, match="1 no_data"):
            fits = decay.fit_many(lists[0], lists[1], sigma=lists[2], covariance=True)
        assert bits(fits) == bits(expected)
    shared = decay.fit_many(times[0], [decay_at((3, 1, 0.4), times[0])[:count] for count in (20, 11)])
    np.testing.assert_allclose(shared.parameters, [[3, 1, 0.4]] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X": [TIMES, TIMES[:5]]}, "fit 1 has 7 samples in Y, but 5 in X: both must be equal"),
        ({"sigma": [TIMES + 1, TIMES[:3] + 1]}, "fit 1 has 7 samples in Y, but 3 in sigma"),
        ({"lengths": [20, 7]}, "lengths are for arrays"),
        ({"Y": [TIMES, 3.0]}, "Y[1] is no array"),
        ({"Y": np.zeros((2, 20))}, "X or sigma is a list of arrays of unequal lengths, but Y is not"),
    ],
    ids=str,
)
def test_lists_that_do_not_fit(decay, changed, message):
    """A list that has other lengths than the targets is refused, with the fit."""
    arguments = {"X": [TIMES, TIMES[:7]], "Y": [TIMES, TIMES[:7]], **changed}
    with pytest.raises(ValueError, match=re.escape(message)):
        decay.fit_many(**arguments)


def test_one_of_many(decay, problem):
    """Each fit is a FitResult with all that a single fit tells of its data, at the very parameters that were found."""
    y, sigma, starts = problem
    many = decay.fit_many(TIMES, y, starts, sigma, fixed=["c"], bounds=(0, np.inf), covariance=True)
    assert many.free_count == 2
    assert (many.degrees_of_freedom == SAMPLES - 2).all()
    assert not many.standard_errors[:, 2].any()
    for m, fit in enumerate(many):
        assert isinstance(fit, nn.FitResult)
        assert fit.parameters.tobytes() == many.parameters[m].tobytes()
        assert fit.status == many.status[m]
        assert (fit.iterations, fit.used, fit.free_count) == (many.iterations[m], SAMPLES, 2)
        assert fit.chi2 == pytest.approx(many.chi2[m], rel=1e-12)
        np.testing.assert_allclose(fit.covariance, many.covariance[m], rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(fit.residuals[:, 0], (decay_at(fit.parameters, TIMES) - y[m]) / sigma[m], atol=1e-9)
        assert fit["c"] == starts[m, 2]
    assert m == FITS - 1
    alone = decay.fit(TIMES, y[4], starts[4], sigma[4], fixed=["c"], bounds=(0, np.inf), tolerance=1e-12)
    again = pickle.loads(pickle.dumps(many))[4 - FITS]
    expected = alone.confidence_intervals(method="profile")
    np.testing.assert_allclose(again.confidence_intervals(method="profile"), expected, rtol=1e-6)
    for place in (FITS, -FITS - 1):
        with pytest.raises(IndexError, match=rf"there is no fit {place}: there are {FITS}, from 0"):
            many[place]
    with pytest.raises(TypeError):
        many["a"]


def test_one_of_many_that_failed(decay, ragged):
    """What has no data or no finite start says so, as a single fit does; singular ones tell what is not determined."""
    times, targets = ragged
    with pytest.warns(RuntimeWarning):
        many = decay.fit_many(times, targets)
    assert many[3].status == "no_data"
    with pytest.warns(RuntimeWarning):
        many = decay.fit_many(TIMES, [np.full(20, 0.5), np.ones(20)], [[0, 1, 0.5], [1, -900, 0]])
    assert list(many.status) == ["singular", "not_finite"]
    assert (many[0].status, many[0].undetermined) == ("singular", ("b",))
    assert many[1].status == "not_finite"
    with pytest.warns(RuntimeWarning, match="1 not_finite") as warned:
        of_infinite = decay.fit_many(TIMES, np.where(np.arange(len(TIMES)) == 3, np.inf, 1)[None])[0]
    assert (of_infinite.status, len(warned)) == ("not_finite", 1)
    assert "not_finite" in str(of_infinite)  # and NumPy warns of nothing: warnings are errors here


def test_many_as_a_table(decay, ragged):
    """A DataFrame has a row for each fit; what is not known is NaN."""
    pytest.importorskip("pandas")
    with pytest.warns(RuntimeWarning):
        many = decay.fit_many(*ragged)
    frame = many.to_frame()
    assert list(frame.columns) == [
        "a",
        "a_error",
        "b",
        "b_error",
        "c",
        "c_error",
        "data",
        "chi2",
        "reduced_chi2",
        "iterations",
        "status",
    ]
    np.testing.assert_array_equal(frame[["a", "b", "c"]].to_numpy()[:3], many.parameters[:3])
    np.testing.assert_array_equal(frame["b_error"].to_numpy()[:3], many.standard_errors[:3, 1])
    assert frame.loc[3, ["a", "c_error"]].isna().all()
    assert list(frame["status"]) == list(many.status)
    assert list(frame["data"]) == [20, 9, 14, 0]


def test_models_that_are_not_fitted_side_by_side():
    """Networks, and losses that are no sums of squares, are fitted one after the other, each as by fit."""
    network = nn.build(nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], 1, name="net"), fit=True)
    starts = np.stack([network.initial_parameters(seed) for seed in range(len(Y))])
    lengths = [len(TIMES) - k for k in range(len(Y))]
    with pytest.warns(RuntimeWarning, match="fits did not converge"):
        many = network.fit_many(TIMES, Y, starts, lengths=lengths, covariance=True, max_iterations=2000)
    for m, length in enumerate(lengths):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = network.fit(TIMES[:length], Y[m][:length], starts[m], max_iterations=2000)
        assert np.array_equal(many.parameters[m], fitted.parameters)
        assert np.array_equal(many.standard_errors[m], fitted.standard_errors)
        assert np.array_equal(many.covariance[m], fitted.covariance)
        assert (many.chi2[m], many.data[m], many.iterations[m]) == (fitted.chi2, fitted.used, fitted.iterations)
        assert np.array_equal(many[m].covariance, fitted.covariance)
    with pytest.raises(ValueError, match="it was built without fit=True"):
        built(nn.Sequential([nn.Dense(1)], 1, name="net")).fit_many(TIMES, Y)
    w, x, y = sympy.symbols("w x y")
    poisson = built(nn.Model("poisson", x, y, {w: 0.1}, sympy.exp(w * x), sympy.exp(w * x) - y * w * x))
    counts = np.array([[1.0, 2, 3, 5], [2.0, 1, 0, 1]])
    many = poisson.fit_many([0.0, 1, 2, 3], counts)
    assert list(many.status) == ["converged"] * 2
    for m, targets in enumerate(counts):
        assert many.parameters[m] == poisson.fit([0.0, 1, 2, 3], targets).parameters


KINDS = ("zeros", "a constant", "one x", "collinear", "nothing", "a gap", "exact", "noise", "bounded noise")


def degenerate(kind, seed):
    """Few data of one kind that may not determine a plane or a hyperbola: X (N, 2), y (N,) and options."""
    random = np.random.default_rng(seed)
    samples = int(random.integers(1, 12))
    X, y = random.uniform(0, 2, (samples, 2)), random.normal(size=samples)
    if kind == "zeros":
        y[:] = 0
    elif kind == "a constant":
        y[:] = random.choice([1.0, 3.0, -2.0])
    elif kind == "one x":
        X[:] = random.choice([0.0, 1.0])
    elif kind == "collinear":
        X[:, 1] = 2 * X[:, 0]
    elif kind == "nothing":
        y[:] = np.nan
    elif kind == "a gap":
        y[random.integers(samples)] = np.nan
    elif kind == "exact":
        y = 2 * X[:, 0] / (0.7 + X[:, 0]) + 0.4 * X[:, 1]
    return X, y, {"bounds": (-10, 10)} if kind == "bounded noise" else {}


@pytest.fixture(scope="module")
def hyperbola(quick_compiler):
    """V*u/(K + u) + c*v: with data of no signal, K has no effect, or goes to infinity."""
    return nn.build(nn.Model("hyperbola", ("u", "v"), "y", {"V": 1, "K": 1, "c": 0}, "V*u/(K + u) + c*v"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@examples(120)
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_one_verdict(hyperbola, kind, seed):
    """Of degenerate data, fit_many says what fit says."""
    X, y, options = degenerate(kind, seed)
    alone = hyperbola.fit(X, y, **options)
    assert hyperbola.fit_many(X, y[None], **options).status.tolist() == [alone.status]


def test_steps_across_several_bounds(hyperbola, monkeypatch):
    """Where steps cross several bounds at once, fits side by side still end, without a second fit by itself."""
    monkeypatch.setattr(ManyFits, "doubtful", lambda *_: np.arange(0))
    for seed in range(60):
        X, y, options = degenerate("bounded noise", seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            fits = hyperbola.fit_many(X, y[None], **options)
        assert fits.status[0] != "max_iterations", seed
        assert (abs(fits.parameters) <= 10).all()
