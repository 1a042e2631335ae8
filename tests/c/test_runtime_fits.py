"""Many fits in C, side by side, against SciPy; and each as if it were alone."""

import numpy as np
import pytest

from tests.support.fits import (
    CONVERGED,
    GRADIENT,
    MAX_ITERATIONS,
    NO_DATA,
    NOT_FINITE,
    PENDING,
    SINGULAR,
    TOO_FEW_DATA,
    fit_many,
    option,
    problems,
    solution,
)

FITS = 40  # some groups of lanes, and a part of one


def accurate(library):
    """By which part of its standard error a parameter may be off, a sum of squares and a standard error of their size:
    cost and step are known to the tolerances."""
    return (1e-3, 1e-8, 1e-3) if library.bits == 64 else (2e-2, 1e-5, 2e-2)


def check(library, fits_made, name, x, y, starts, fits=range(FITS), sigma=None, **options):
    """Parameters, sums of squares and covariances are those that SciPy finds."""
    tolerance, of_squares, of_errors = accurate(library)
    for m in fits:
        inputs = x[m] if x.ndim > 2 else x
        expected, chi2, covariance = solution(
            name, inputs, y[m], starts[m], 1.0 if sigma is None else sigma[m], **options
        )
        free = np.count_nonzero(~np.isnan(y[m])) - len(expected)
        errors = np.sqrt(np.diag(covariance) * chi2 / free)
        assert fits_made.status[m] in CONVERGED
        assert fits_made.data[m] == np.count_nonzero(~np.isnan(y[m]))
        assert (abs(fits_made.parameters[m] - expected) <= tolerance * errors).all()
        assert fits_made.chi2[m] == pytest.approx(chi2, rel=of_squares)
        assert np.sqrt(np.diag(fits_made.covariance[m])) == pytest.approx(errors, rel=of_errors)
        scales = errors[:, None] * errors
        assert fits_made.covariance[m] / scales == pytest.approx(covariance * chi2 / free / scales, abs=of_errors)


@pytest.mark.parametrize("name", ["decay", "gaussian", "logistic", "spiral", "polynomial"])
def test_against_scipy(runtime, name):
    """Fits end where SciPy's end, with the same covariances: of one input and two, of one output and two, of three
    parameters and six."""
    library = runtime("fits", option(name))
    x, y, starts = problems(library, name, FITS)
    check(library, fit_many(library, x, y, starts, outputs=y.ndim - 1), name, x, y, starts)


@pytest.mark.parametrize("name", ["decay", "spiral"])
def test_missing_data_and_sigma(runtime, name):
    """What is NaN counts as if it were not there, as do samples beyond the length of a fit, whatever stands there;
    residuals count in units of sigma."""
    library = runtime("fits", option(name))
    x, y, starts = problems(library, name, FITS)
    rng = np.random.default_rng(1)
    lengths = rng.integers(len(x) * 2 // 3, len(x) + 1, size=FITS)
    sigma = library.array(rng.uniform(0.5, 2, size=y.shape)).astype(float)
    y[rng.uniform(size=y.shape) < 0.1] = np.nan
    beyond, x_of_each = y.copy(), np.repeat(x[None], FITS, 0)
    for m, length in enumerate(lengths):
        y[m, length:] = np.nan
        beyond[m, length:], x_of_each[m, length:] = (np.inf, np.nan) if m % 2 else (np.nan, -1e30)
    fits = fit_many(library, x_of_each, beyond, starts, outputs=y.ndim - 1, sigma=sigma, lengths=lengths)
    check(library, fits, name, x, y, starts, sigma=sigma)
    for shared in (x, x_of_each):
        again = fit_many(library, shared, y, starts, outputs=y.ndim - 1, sigma=sigma)
        assert_same(fits, again)


def assert_same(first, second, chosen=slice(None)):
    """Results of some fits are the same to the last bit."""
    for name in ("parameters", "chi2", "covariance", "data", "iterations", "status"):
        assert getattr(first, name)[chosen].tobytes() == getattr(second, name).tobytes(), name


def test_absolute_sigma(runtime):
    """Covariances are scaled by the reduced sum of squares, unless sigma is in the units of the targets."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", FITS)
    scaled, absolute = (fit_many(library, x, y, starts, absolute_sigma=each) for each in (False, True))
    reduced = scaled.chi2 / (y.shape[1] - starts.shape[1])
    assert scaled.covariance == pytest.approx(absolute.covariance * reduced[:, None, None], rel=4 * library.eps)


def test_standard_errors(runtime):
    """They are the roots of the variances, whether these are wanted or not, and change nothing else."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", FITS)
    fixed = np.array([0, 1, 0])
    y[3, 2:] = np.nan
    y[4, 1:] = np.nan
    with_both = fit_many(library, x, y, starts, fixed=fixed, errors=True)
    without = fit_many(library, x, y, starts, fixed=fixed, covariance=False, errors=True)
    assert_same(with_both, fit_many(library, x, y, starts, fixed=fixed))
    assert without.standard_errors.tobytes() == with_both.standard_errors.tobytes()
    assert without.parameters.tobytes() == with_both.parameters.tobytes()
    assert with_both.standard_errors == pytest.approx(np.sqrt(np.diagonal(with_both.covariance, 0, 1, 2)), rel=1e-6)
    assert (with_both.standard_errors[:, 1] == 0).all()
    assert np.isinf(with_both.standard_errors[3:5, [0, 2]]).all()
    assert np.isfinite(with_both.standard_errors[5:]).all()


@pytest.mark.parametrize("name", ["decay", "gaussian", "logistic"])
def test_bounds(runtime, name):
    """Fits within bounds end at the constrained optimum, often on bounds, and never beyond."""
    library = runtime("fits", option(name))
    x, y, starts = problems(library, name, FITS)
    lower, upper = (
        library.array(each).astype(float) for each in (np.quantile(starts, 0.3, 0), np.quantile(starts, 0.9, 0))
    )
    upper[0] = np.inf
    starts = np.clip(starts, lower, upper)
    fits = fit_many(library, x, y, starts, bounds=(lower, upper))
    assert (fits.parameters >= lower).all()
    assert (fits.parameters <= upper).all()
    on_bounds = (fits.parameters == lower) | (fits.parameters == upper)
    assert on_bounds.any(1).sum() > FITS / 2
    assert not on_bounds.all()
    for m in range(FITS):
        _, chi2, _ = solution(name, x, y[m], np.clip(starts[m], lower + 1e-9, upper - 1e-9), bounds=(lower, upper))
        assert fits.status[m] in CONVERGED
        assert fits.chi2[m] == pytest.approx(chi2, rel=1e-7 if library.bits == 64 else 1e-5)


def test_bounds_without_effect(runtime):
    """Bounds that are far away change no bit."""
    library = runtime("fits", option("gaussian"))
    x, y, starts = problems(library, "gaussian", FITS)
    assert_same(fit_many(library, x, y, starts), fit_many(library, x, y, starts, bounds=(-1e6, np.inf)))


def test_fixed(runtime):
    """A parameter that is fixed stays as it is, the others are fitted as if it were a constant, and it has no
    covariance."""
    library = runtime("fits", option("polynomial"))
    x, y, starts = problems(library, "polynomial", FITS)
    fixed = np.array([0, 1, 0, 0, 1, 0], bool)
    fits = fit_many(library, x, y, starts, fixed=fixed)
    powers = x ** np.arange(6)
    free = powers[:, ~fixed]
    inverse = np.linalg.inv(free.T @ free)
    tolerance, of_squares, of_errors = accurate(library)
    for m in range(FITS):
        expected = inverse @ free.T @ (y[m] - powers[:, fixed] @ starts[m, fixed])
        chi2 = ((y[m] - powers[:, fixed] @ starts[m, fixed] - free @ expected) ** 2).sum()
        covariance = inverse * chi2 / (len(x) - 4)
        errors = np.sqrt(np.diag(covariance))
        assert fits.status[m] in CONVERGED
        assert (fits.parameters[m, fixed] == starts[m, fixed]).all()
        assert (abs(fits.parameters[m, ~fixed] - expected) <= tolerance * errors).all()
        assert fits.chi2[m] == pytest.approx(chi2, rel=of_squares)
        assert (fits.covariance[m, fixed] == 0).all()
        assert (fits.covariance[m, :, fixed] == 0).all()
        within = fits.covariance[m][~fixed][:, ~fixed] / errors / errors[:, None]
        assert within == pytest.approx(covariance / errors / errors[:, None], abs=of_errors)


@pytest.mark.parametrize("options", [{}, {"bounds": (0.3, 3)}, {"covariance": False}], ids=["free", "bounded", "short"])
def test_a_fit_is_alone(runtime, options):
    """The bits of a fit depend neither on how many there are, nor on its place, nor on its neighbours, nor on the
    ranges into which calls are split."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", 3 * FITS)
    if "bounds" in options:
        starts = np.clip(starts, *options["bounds"])
    names = ["parameters", "chi2", "iterations", "status"] + ["covariance"] * options.get("covariance", True)

    def bits(some_fits, chosen=slice(None)):
        return [getattr(some_fits, name)[chosen].tobytes() for name in names]

    def fit(order, **more):
        return fit_many(library, x, y[order], starts[order], **options, **more)

    everything = np.arange(len(y))
    whole = fit(everything)
    order = np.random.default_rng(0).permutation(len(y))
    assert bits(fit(order)) == bits(whole, order)
    for m in (0, 7, 50):
        assert bits(fit(np.array([m]))) == bits(whole, [m])
    for first, last in ((0, 33), (33, 40), (40, 120)):
        part = slice(first, last)
        assert bits(fit(everything, first=first, last=last), part) == bits(whole, part)
    ill_x, ill_y, ill_starts = np.repeat(x[None], len(y), 0), y.copy(), starts.copy()
    ill_y[1::3, 3] = np.nan
    ill_starts[2::9, 0] = np.nan
    ill_y[5::9, :] = np.nan
    ill_x[8::9, 2] = np.inf
    fits = fit_many(library, ill_x, ill_y, ill_starts, **options)
    assert bits(fits, slice(0, None, 3)) == bits(whole, slice(0, None, 3))


def test_long_data(runtime):
    """Of many samples, the sums keep their digits also in single precision."""
    library = runtime("fits", option("decay"))
    rng = np.random.default_rng(0)
    x = library.array(np.linspace(0, 4, 5000)[:, None]).astype(float)
    true = np.array([3.0, 0.7, 100.0])
    y = library.array([true[0] * np.exp(-true[1] * x[:, 0]) + true[2] + 0.1 * rng.normal(size=len(x))] * 3).astype(
        float
    )
    starts = np.array([[2.0, 1, 90], [4, 0.5, 110], [3, 0.7, 100]])
    fits = fit_many(library, x, y, starts, tolerances=(1e-8, 1e-8, 1e-8))
    for m in range(3):
        expected, chi2, covariance = solution("decay", x, y[m], true)
        errors = np.sqrt(np.diag(covariance) * chi2 / (len(x) - 3))
        assert (abs(fits.parameters[m] - expected) <= (1e-3 if library.bits == 64 else 0.05) * errors).all()
        assert fits.chi2[m] == pytest.approx(chi2, rel=1e-9 if library.bits == 64 else 1e-4)


def test_several_starts(runtime):
    """Data that all fits share are fitted from the starts of each."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", FITS)
    several = fit_many(library, x, y[3], starts)
    assert_same(several, fit_many(library, x, np.repeat(y[3:4], FITS, 0), starts))
    shared = fit_many(library, x, y, starts[3])
    assert_same(shared, fit_many(library, x, y, np.repeat(starts[3:4], FITS, 0)))


def test_not_determined(runtime):
    """Where parameters are not determined, fits end all the same, and say so; covariances are infinite."""
    library = runtime("fits", option("product"))
    x = np.linspace(1, 2, 10)[:, None]
    y = 6 * x[:, 0] + 1 + 0.1 * np.cos(9 * x[:, 0])
    fits = fit_many(library, x, y, np.array([[2.0, 2, 0], [1, 1, 1], [0, 0, 0]]))
    line = np.polyfit(x[:, 0], y, 1)
    assert fits.status.tolist() == [SINGULAR] * 3
    assert fits.parameters[:2, 0] * fits.parameters[:2, 1] == pytest.approx(line[0], rel=1e-3)
    assert fits.parameters[2, :2].tolist() == [0, 0]
    assert np.isinf(fits.covariance).all()


def test_few_data(runtime):
    """Fewer data than parameters are fitted, without covariances; as many, with none but of absolute sigma; and of
    none, parameters are those at the start."""
    library = runtime("fits", option("polynomial"))
    x, y, starts = problems(library, "polynomial", 1)
    x, y, starts = x[::12], np.repeat(y[:, ::12], 4, 0), np.repeat(starts, 4, 0)
    for m, count in enumerate((7, 6, 5, 0)):
        y[m, count:] = np.nan
    for absolute in (False, True):
        fits = fit_many(library, x, y, starts, absolute_sigma=absolute)
        assert fits.status[0] in CONVERGED
        assert fits.status[1] in CONVERGED
        assert fits.status[2:].tolist() == [TOO_FEW_DATA, NO_DATA]
        assert fits.data.tolist() == [7, 6, 5, 0]
        assert np.isfinite(fits.covariance).all((1, 2)).tolist() == [True, absolute, False, False]
    assert fits.chi2[1:] == pytest.approx(0, abs=1e-7 * (y[0, 0] ** 2))
    assert (fits.parameters[3] == library.array(starts[3])).all()


def test_not_finite(runtime):
    """Where outputs are not finite at the start, a fit ends there; where they are only at a point that is tried, it
    goes on from the one before."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", 6)
    starts[0, 1] = np.nan
    starts[1, 1] = -1e6
    y[2, 5] = np.inf
    starts[3] = 1e-3, -20, 0  # a step from here leads far away
    fits = fit_many(library, x, y, starts)
    assert fits.status[:3].tolist() == [NOT_FINITE] * 3
    assert fits.parameters[:3] == pytest.approx(library.array(starts[:3]), nan_ok=True)
    assert np.isnan(fits.chi2[:3]).all()
    assert np.isfinite(fits.parameters[3:]).all()
    assert (fits.status[4:] < MAX_ITERATIONS).all()


def test_at_the_solution(runtime):
    """A fit that begins where all residuals are zero ends there, by the gradient."""
    library = runtime("fits", option("polynomial"))
    x = library.array(np.arange(8.0)[:, None] / 8)
    starts = np.array([1.0, 0, -0.5, 2, 0, 1])
    y = library.array([np.polyval(starts[::-1], x[:, 0].astype(float))])
    fits = fit_many(library, x, y, starts)
    assert fits.parameters[0] == pytest.approx(starts, abs=1e-3 if library.bits == 32 else 1e-9)
    zero = fit_many(library, x, 0 * y, 0 * starts)
    assert zero.status.tolist() == [GRADIENT]
    assert zero.iterations.tolist() == [0]


def test_iterations(runtime):
    """After the given number of steps a fit ends where it is; each was the next step of a shorter one."""
    library = runtime("fits", option("gaussian"))
    x, y, starts = problems(library, "gaussian", 3)
    costs = []
    for count in range(3):
        fits = fit_many(library, x, y, starts, max_iterations=count)
        assert fits.status.tolist() == [MAX_ITERATIONS] * 3
        assert fits.iterations.tolist() == [count] * 3
        costs.append(fits.chi2)
    assert (costs[1] < costs[0]).all()
    assert (costs[2] < costs[1]).all()
    assert (fit_many(library, x, y, starts, max_iterations=0).parameters == library.array(starts)).all()


def test_stopped(runtime):
    """A call that is stopped says so; fits that have ended until then have their results, and no other has any."""
    library = runtime("fits", option("decay"))
    x, y, starts = problems(library, "decay", FITS)
    whole = fit_many(library, x, y, starts)
    fits = fit_many(library, x, y, starts, questions=6)
    assert fits.stopped == 1
    ended = fits.status != PENDING
    assert 0 < ended.sum() < FITS
    assert fits.parameters[ended].tobytes() == whole.parameters[ended].tobytes()
    assert fits.covariance[ended].tobytes() == whole.covariance[ended].tobytes()
    assert np.isnan(fits.parameters[~ended]).all()
    assert whole.stopped == 0
