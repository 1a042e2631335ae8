"""Results of fits on disk."""

import warnings

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.formats.export.subject import parameters_of
from tests.support.built import built

pytest.importorskip("scipy")

pytestmark = pytest.mark.usefixtures("quick_compiler")

TIMES = np.linspace(0, 4, 25)
NOISE = np.random.default_rng(5).normal(size=25)
VALUES = 3 * np.exp(-TIMES) + 0.4 + 0.02 * NOISE
SIGMA = 0.02 + 0.01 * TIMES


@pytest.fixture(scope="module")
def decay():
    """a*exp(-b*t) + c."""
    a, b, c, t, y = sympy.symbols("a b c t y")
    return built(nn.Model("decay", t, y, {a: 3, b: 1, c: 0.5}, a * sympy.exp(-b * t) + c))


def facts_of(result):
    """All that a result tells, as texts: NaN is equal to NaN there."""
    return {name: repr(value) for name, value in result.as_dict().items()}


FITS = {
    "plain": {},
    "sigma": {"sigma": 0.02, "absolute_sigma": True},
    "sigmas": {"sigma": SIGMA},
    "a sigma of each": {"sigma": SIGMA[:, None]},
    "bounds": {"bounds": {"b": (1.2, None), "c": (None, 1)}},
    "fixed": {"fixed": ["c"]},
    "robust": {"loss": "cauchy", "f_scale": 0.05},
    "missing": {"Y": np.where(TIMES > 3, np.nan, VALUES)},
    "too few iterations": {"max_iterations": 2, "p0": [1, 1, 1]},
    "options": {"tolerance": 1e-5, "max_iterations": 50},
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_is_the_same_after_a_file(decay, name, tmp_path):
    """All that a result tells, computes or fits again from its data is the same after it was saved and loaded."""
    options = {"Y": VALUES, **FITS[name]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that does not converge
        result = decay.fit(TIMES, **options)
    result.save(tmp_path / "fit.npz")
    again = decay.load(tmp_path / "fit.npz")
    assert isinstance(again, nn.FitResult)
    assert facts_of(again) == facts_of(result)
    assert str(again) == str(result)
    np.testing.assert_array_equal(again.residuals, result.residuals)
    for method in ("t", "profile") if result.converged else ("t",):
        intervals = again.confidence_intervals(method=method)
        np.testing.assert_array_equal(intervals, result.confidence_intervals(method=method))
    np.testing.assert_array_equal(
        again.predict([0.5], "prediction", sigma=1), result.predict([0.5], "prediction", sigma=1)
    )


def test_a_file_of_a_fit_holds_parameters_for_exports(decay, tmp_path):
    """What takes the file of a training takes that of a fit."""
    result = decay.fit(TIMES, VALUES)
    result.save(tmp_path / "fit.npz")
    a, b, c, t, y = sympy.symbols("a b c t y")
    program = nn.Model("decay", t, y, {a: 3, b: 1, c: 0.5}, a * sympy.exp(-b * t) + c).describe()
    np.testing.assert_array_equal(parameters_of(tmp_path / "fit.npz", program), result.parameters)


def test_losses_that_are_no_squares_and_models_without_inputs(tmp_path):
    """A fit without residuals, or without inputs, is saved as well."""
    w, x, y = sympy.symbols("w x y")
    poisson = built(nn.Model("poisson", x, y, {w: 0.1}, sympy.exp(w * x), sympy.exp(w * x) - y * w * x))
    mean = built(nn.Model("mean", (), y, {w: 0.1}, w))
    for result, module in ((poisson.fit([0.0, 1, 2, 3], [1.0, 2, 3, 5]), poisson), (mean.fit(Y=[1.0, 2, 4]), mean)):
        result.save(tmp_path / "fit.npz")
        assert facts_of(module.load(tmp_path / "fit.npz")) == facts_of(result)
    with pytest.raises(ValueError, match="belongs to another model: it was saved for mean in float64, this is poisson"):
        poisson.load(tmp_path / "fit.npz")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"triangle": np.eye(2)}, "its parts do not fit together"),
        ({"residuals": np.zeros((3, 1))}, "its parts do not fit together"),
        ({"residuals": None}, "its parts do not fit together"),
        ({"X": np.zeros((4, 1))}, "its parts do not fit together"),
        ({"X": None}, "its parts do not fit together"),
        ({"sigmas": np.ones(4)}, "its parts do not fit together"),
        ({"texts": np.array(["well", ""])}, "its parts do not fit together"),
        ({"texts": np.array(["cost", "tukey"])}, "loss is 'tukey'"),
        ({"upper": None}, "it lacks 'upper'"),
        ({"free": np.ones(3)}, "free has the shape"),
        ({"counts": None}, "it lacks 'counts'"),
        ({"state.last": np.zeros(3)}, "which no result has"),
    ],
    ids=str,
)
def test_files_whose_parts_do_not_fit(decay, changed, message, tmp_path):
    """A file that was changed is refused with what is wrong."""
    path = tmp_path / "fit.npz"
    decay.fit(TIMES, VALUES, bounds=(0, 10)).save(path)
    with np.load(path) as archive:
        arrays = dict(archive) | changed
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        decay.load(path)


def test_a_fit_as_a_table(decay):
    """A DataFrame has a row for each parameter, by its name."""
    pytest.importorskip("pandas")
    result = decay.fit(TIMES, VALUES, bounds={"b": (1.2, None)}, fixed=["c"])
    frame = result.to_frame()
    assert list(frame.index) == ["a", "b", "c"]
    np.testing.assert_array_equal(frame["value"], result.parameters)
    np.testing.assert_array_equal(frame["standard_error"], result.standard_errors)
    assert list(frame["at_bound"]) == [False, True, False]
    assert list(frame["free"]) == [True, True, False]
    assert list(frame["p0"]) == [3, 1.2, 0.5]
