"""DynamicsRegressor: equations of motion as an estimator, whose samples are trajectories.

scikit-learn's checks of every estimator make up data with widths of their own, whereas the width of a trajectory is
that of its model. So the checks that fit are left out here, and what they hold is tested with data of the model.
"""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")
optimize = pytest.importorskip("scipy.optimize")

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import nncodegen as nn
from nncodegen.errors import ModelError
from nncodegen.estimators import DynamicsRegressor
from nncodegen.estimators.dynamics import module_of

pytestmark = pytest.mark.usefixtures("quick_compiler")

TIMES = 6


def absorption(**options):
    """A substance that is absorbed from a depot and eliminated, by dose: Bateman's function."""
    parameters = {"ka": 1.0, "ke": 0.2, "volume": 20} | options
    return nn.Dynamics(
        ["depot' = -ka*depot", "blood' = ka*depot/volume - ke*blood"],
        initial={"depot": "dose", "blood": 0},
        parameters=parameters,
        inputs="dose",
        observed="blood",
        times=TIMES,
        name="absorption",
    )


def bateman(X, ka, ke, volume):
    """The solution of its equations, which begin at the first time of each sample."""
    t, dose = X[:, :TIMES] - X[:, :1], X[:, TIMES:]
    return dose * ka / volume / (ka - ke) * (np.exp(-ke * t) - np.exp(-ka * t))


def series(times=5):
    """Two outputs that follow from columns without a derivative."""
    return nn.Dynamics(
        "u = a*before(u) + b*w",
        {"u": 0},
        {"a": 0.1, "b": 1},
        columns="w",
        times=times,
        observed={"u": "u", "large": "100*u*u"},
        name="series",
    )


random = np.random.default_rng(5)
MODEL = absorption()
X = np.column_stack([np.cumsum(random.uniform(0.3, 1.5, (12, TIMES)), axis=1), random.uniform(80, 200, 12)])
TRUTH = [1.4, 0.25, 18]
Y = bateman(X, *TRUTH) + 0.05 * random.normal(size=(12, TIMES))
GAPS = np.where(random.random(Y.shape) < 0.2, np.nan, Y)
GAPS[4] = np.nan


def values(estimator):
    return np.array(list(estimator.parameters_.values()))


# --- fits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [Y, GAPS], ids=["all", "gaps"])
def test_the_fit_of_the_module(data):
    """It finds what the module's fit finds, to the bit, and tells it by name."""
    fitted, expected = DynamicsRegressor(MODEL).fit(X, data), nn.build(MODEL).fit(X, data)
    assert list(fitted.parameters_) == list(fitted.standard_errors_) == ["ka", "ke", "volume"]
    np.testing.assert_array_equal(values(fitted), expected.parameters)
    np.testing.assert_array_equal(list(fitted.standard_errors_.values()), expected.standard_errors)
    np.testing.assert_array_equal(fitted.covariance_, expected.covariance)
    assert fitted.n_iter_ == fitted.result_.iterations == expected.iterations > 0
    assert fitted.n_features_in_ == TIMES + 1
    np.testing.assert_array_equal(fitted.predict(X), nn.build(MODEL).predict(expected.parameters, X))


def test_scipy_with_the_exact_solution():
    """Parameters and errors are those of SciPy for the solution as a formula, over observations that exist."""
    weight = random.uniform(0.5, 3, 12)
    seen = ~np.isnan(GAPS)
    sigma = np.broadcast_to(1 / np.sqrt(weight)[:, None], Y.shape)[seen]
    popt, pcov = optimize.curve_fit(
        lambda _, *p: bateman(X, *p)[seen], None, GAPS[seen], p0=TRUTH, sigma=sigma, xtol=1e-12, ftol=1e-12
    )
    fitted = DynamicsRegressor(MODEL).fit(X, GAPS, weight)
    np.testing.assert_allclose(values(fitted), popt, rtol=1e-4)
    np.testing.assert_allclose(list(fitted.standard_errors_.values()), np.sqrt(np.diag(pcov)), rtol=1e-2)


def test_weights_are_repetitions():
    """A weight of 2 or 3 finds what two or three copies of a trajectory do, 0 what none do, and the score agrees."""
    counts = random.integers(0, 4, 12)
    rows = np.repeat(np.arange(12), counts)
    fitted, other = DynamicsRegressor(MODEL).fit(X, GAPS, counts), DynamicsRegressor(MODEL).fit(X[rows], GAPS[rows])
    np.testing.assert_allclose(values(fitted), values(other), rtol=1e-6)
    assert fitted.score(X, GAPS, counts) == pytest.approx(fitted.score(X[rows], GAPS[rows]), rel=1e-12)
    sigma = 1 / np.sqrt(counts[counts > 0])
    expected = nn.build(MODEL).fit(X[counts > 0], GAPS[counts > 0], sigma=sigma, absolute_sigma=True)
    absolute = DynamicsRegressor(MODEL, absolute_sigma=True).fit(X, GAPS, counts)
    np.testing.assert_array_equal(absolute.covariance_, expected.covariance)


def test_arguments_of_the_fit():
    """Starts, bounds, fixed values and robust losses reach the fit; the model's own start counts without p0."""
    held = DynamicsRegressor(MODEL, fixed={"ke": 0.3}, bounds={"volume": (None, 15)}).fit(X, Y)
    assert held.parameters_["ke"] == 0.3
    assert held.parameters_["volume"] == 15
    assert held.standard_errors_["ke"] == 0
    assert DynamicsRegressor(MODEL, p0={"ka": 3}).fit(X, Y).result_.p0.tolist() == [3, 0.2, 20]
    assert DynamicsRegressor(absorption(ka=2)).fit(X, Y).result_.p0.tolist() == [2, 0.2, 20]
    spoilt = np.where(np.arange(TIMES) == 2, Y + 5 * (np.arange(12) == 3)[:, None], Y)
    robust = DynamicsRegressor(MODEL, loss="cauchy", f_scale=0.05).fit(X, spoilt)
    np.testing.assert_allclose(values(robust), TRUTH, rtol=0.05)
    bounds = {"ka": (0.1, 9), "ke": (0.01, 2), "volume": (1, 90)}
    drawn = DynamicsRegressor(MODEL, bounds=bounds, n_starts=4, random_state=0).fit(X, Y)
    np.testing.assert_allclose(values(drawn), values(DynamicsRegressor(MODEL).fit(X, Y)), rtol=1e-5)


@pytest.mark.thorough
def test_a_start_that_is_looked_for():
    """Without a start, the search finds what a fit from a good one does; it solves the equations many times."""
    fitted = DynamicsRegressor(MODEL, p0="auto").fit(X, Y)
    np.testing.assert_allclose(values(fitted), values(DynamicsRegressor(MODEL).fit(X, Y)), rtol=1e-5)


def test_single_precision():
    """A model in float32 predicts in it, near the parameters of the other."""
    fitted = DynamicsRegressor(MODEL, precision="float32").fit(X, Y)
    assert fitted.predict(X).dtype == np.float32
    np.testing.assert_allclose(values(fitted), values(DynamicsRegressor(MODEL).fit(X, Y)), rtol=1e-2)


def test_weights_of_a_network_are_drawn():
    """Networks in the equations, with a number of steps, begin at weights that random_state draws."""
    network = nn.Sequential([nn.Dense(1, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics("u' = f(u)", {"u": 1}, networks={"f": network}, times=4, steps=2, name="learnt")
    times = np.array([[0, 1, 2, 3]])
    starts = []
    for seed in 0, 0, 1:
        estimator = DynamicsRegressor(model, random_state=seed, max_iter=1)
        with pytest.warns(ConvergenceWarning):
            starts.append(estimator.fit(times, np.exp(-times)).result_.p0.tolist())
    assert starts[0] == starts[1] != starts[2]
    assert list(estimator.parameters_) == ["f_W1[0,0]", "f_b1[0]", "f_W2[0,0]", "f_b2[0]"]


# --- scores, searches, copies ------------------------------------------------------------------------------------


def test_a_score():
    """It is the mean over outputs of r2_score, over the observations that exist; also for a single trajectory."""
    model = series()
    W = random.normal(size=(8, 5))
    U = np.zeros((8, 5))
    for k in range(5):
        U[:, k] = (0.6 * U[:, k - 1] if k else 0) + 2 * W[:, k]
    target = np.hstack([U, 100 * U**2]) + random.normal(size=(8, 10))
    target[random.random(target.shape) < 0.3] = np.nan
    fitted = DynamicsRegressor(model).fit(W, target)
    np.testing.assert_allclose(values(fitted), [0.6, 2], rtol=0.01)
    weight = random.uniform(0.5, 2, 8)
    for rows in slice(None), slice(2, 3):
        expected = []
        for place in slice(5), slice(5, None):
            y, predicted = target[rows, place], fitted.predict(W[rows])[:, place]
            seen = ~np.isnan(y)
            weights = np.broadcast_to(weight[rows, None], y.shape)
            expected.append(r2_score(y[seen], predicted[seen], sample_weight=weights[seen]))
        assert fitted.score(W[rows], target[rows], weight[rows]) == pytest.approx(np.mean(expected), rel=1e-12)
    seen = ~np.isnan(target[:, :5])
    expected = r2_score(target[:, :5][seen], fitted.predict(W)[:, :5][seen])
    target[:, 5:] = np.nan  # an output that is never observed does not count
    assert fitted.score(W, target) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="every observation in y is missing"):
        fitted.score(W, np.full((8, 10), np.nan))


def test_cross_validations():
    """Trajectories are left out as a whole; missing observations are no obstacle, and neither is a fold of one."""
    complete = np.delete(np.arange(12), 4)
    for cv in 4, LeaveOneOut():
        scores = cross_val_score(DynamicsRegressor(MODEL), X[complete], GAPS[complete], cv=cv, error_score="raise")
        assert scores.min() > 0.98
    hours = make_pipeline(FunctionTransformer(lambda X: X * ([60] * TIMES + [1])), DynamicsRegressor(MODEL))
    minutes = X / ([60] * TIMES + [1])
    assert cross_val_score(hours, minutes, Y, cv=3, error_score="raise").min() > 0.98


def test_searches():
    """Models are compared like other parameters."""
    decay = nn.Dynamics(
        "blood' = -ke*blood",
        {"blood": "dose/volume"},
        {"ke": 0.2, "volume": 20},
        inputs="dose",
        times=TIMES,
        name="decay",
    )
    search = GridSearchCV(DynamicsRegressor(decay), {"dynamics": [decay, MODEL]}, cv=3, error_score="raise").fit(X, Y)
    assert search.best_params_["dynamics"].name == "absorption"
    assert search.best_estimator_.dynamics_.name == "absorption"


def test_copies_of_a_model_share_its_module():
    """So each fit of a search does not look for one on disk; a model with another start has one of its own."""
    copy = clone(DynamicsRegressor(MODEL)).dynamics
    assert copy is not MODEL
    assert module_of(copy, "float64", "native") is module_of(MODEL, "float64", "native")
    assert module_of(absorption(ka=2), "float64", "native") is not module_of(MODEL, "float64", "native")


def test_a_model_that_is_replaced():
    """A fitted estimator predicts with the model that was fitted, until it is fitted again."""
    fitted = DynamicsRegressor(MODEL).fit(X, Y)
    expected = fitted.predict(X)
    fitted.set_params(dynamics=series())
    np.testing.assert_array_equal(fitted.predict(X), expected)


def test_a_pickle_in_another_process(tmp_path):
    """A fitted estimator predicts the same bits where its module has to be built or found, without result_."""
    fitted = DynamicsRegressor(MODEL).fit(X, GAPS)
    file = tmp_path / "estimator"
    file.write_bytes(pickle.dumps(fitted))
    row = X[:1].tolist()
    program = f"""if True:
        import pickle, pathlib
        found = pickle.loads(pathlib.Path({str(file)!r}).read_bytes())
        print(found.predict({row})[0, 3].hex(), found.standard_errors_["ka"], hasattr(found, "result_"))
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fitted.predict(row)[0, 3].hex(), str(fitted.standard_errors_["ka"]), "False"]


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_scikit_learn(check):
    """The checks of scikit-learn that fit nothing pass, unmodified."""
    getattr(estimator_checks, check)("DynamicsRegressor", DynamicsRegressor(MODEL))


# --- names -------------------------------------------------------------------------------------------------------


def test_columns_by_name():
    """Columns of a DataFrame with names of the model may have any order, and stand among others."""
    names = [*(f"t[{k}]" for k in range(TIMES)), "dose"]
    expected = DynamicsRegressor(MODEL).fit(X, Y)
    frame = pandas.DataFrame(X, columns=names)[names[::-1]].assign(weight=70.0)
    fitted = DynamicsRegressor(MODEL).fit(frame, Y)
    assert [*fitted.feature_names_in_] == [*names[::-1], "weight"]
    assert fitted.n_features_in_ == len(names) + 1
    np.testing.assert_array_equal(values(fitted), values(expected))
    np.testing.assert_array_equal(fitted.predict(frame), expected.predict(X))
    assert fitted.score(frame, Y) == expected.score(X, Y)
    assert fitted.exportable().inputs == (*names,)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(frame), expected.predict(X))


def test_missing_columns():
    """If columns have names of the model, those without one are named, though there are enough columns."""
    names = [*(f"t[{k}]" for k in range(TIMES)), "dose"]
    frame = pandas.DataFrame(X, columns=names).rename(columns={"dose": "amount", "t[2]": "third"})
    message = r"^X has no column t\[2\], dose; it has t\[0\], .*; expected one for each of t\[0\], t\[1\], t\[2\], .*"
    with pytest.raises(ValueError, match=message):
        DynamicsRegressor(MODEL).fit(frame, Y)


# --- exports -----------------------------------------------------------------------------------------------------


def test_an_export(tmp_path):
    """A fitted estimator is exported as its model with its parameters; features of a DataFrame name the inputs."""
    frame = pandas.DataFrame(X, columns=[*(f"hour {k}" for k in range(TIMES)), "dose in mg"])
    fitted = DynamicsRegressor(MODEL).fit(frame, Y)
    assert fitted.exportable().inputs == (*frame,) == (*fitted.feature_names_in_,)
    np.testing.assert_array_equal(fitted.exportable().parameters, values(fitted))
    again = nn.build(fitted.exportable().model).predict(fitted.exportable().parameters, X)
    np.testing.assert_array_equal(again, fitted.predict(frame))
    source = nn.export(fitted, "c", tmp_path).files["absorption.c"].decode()
    assert all(f"{value:.17g}"[:12] in source for value in values(fitted))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[[*frame][::-1]])


# --- bad input ---------------------------------------------------------------------------------------------------

NETWORK = nn.Dynamics(
    "u' = f(u)",
    {"u": 1},
    networks={"f": nn.Sequential([nn.Dense(2000), nn.Dense(1)], inputs=1)},
    times=3,
    name="learnt",
)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("u' = -k*u", ModelError, r"takes a model of motion, nncodegen\.Dynamics\(.*not \"u' = -k\*u\""),
        (nn.Sequential([nn.Dense(1)], inputs=7), ModelError, "takes a model of motion"),
        (nn.Dynamics("u = k*before(u)", {"u": 1}, {"k": 2}, times=3), ModelError, "X would be empty"),
        (NETWORK, ModelError, r"learnt has no fit: it has 6,001 parameters.*\.train\(X, Y\) trains it"),
    ],
)
def test_models_that_cannot_be_meant(model, error, message):
    """Each is refused in words, before anything is compiled."""
    with pytest.raises(error, match=message):
        DynamicsRegressor(model).fit(X, Y)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X[:, :5], Y), r"X has 5 features; absorption takes 7 for each trajectory, in a row: t\[0\], .*t\[5\], dose"),
        ((X, Y[:, :5]), r"y has the shape \(12, 5\); absorption has blood at 6 times .* expected \(12, 6\)"),
        ((X, Y[:, 0]), r"y has the shape \(12,\); absorption has blood at 6 times"),
        ((X, Y[:3]), r"inconsistent numbers of samples: \[12, 3\]"),
        ((X, None), "requires y"),
        ((X, np.full_like(Y, np.nan)), "every observation in y is missing"),
        ((X, np.where(np.isnan(GAPS), np.inf, Y)), "infinity"),
        ((np.where(X > 180, np.nan, X), Y), "X contains NaN"),
        ((X[:, [1, 0, *range(2, TIMES + 1)]], Y), "times, which do not go back"),
        ((X, Y, np.zeros(12)), "0 for every sample|at least one non-zero"),
        ((X, Y, -np.ones(12)), "[Nn]egative"),
    ],
)
def test_data_that_cannot_be_meant(data, message):
    """Each is refused in words, and leaves the estimator without a fit."""
    estimator = DynamicsRegressor(MODEL)
    with pytest.raises(ValueError, match=message):
        estimator.fit(*data)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p0": "somewhere"}, "p0 is 'somewhere'"),
        ({"p0": {"speed": 1}}, "speed"),
        ({"p0": {"ka": 1}, "fixed": {"ka": 2}}, "different values of ka"),
        ({"loss": "mae"}, "loss is 'mae'"),
        ({"n_starts": 3}, "bounds"),
        ({"n_starts": 3, "p0": "auto"}, "leave out n_starts"),
    ],
)
def test_arguments_that_cannot_be_meant(options, message):
    """Each has its own message."""
    with pytest.raises(ValueError, match=message):
        DynamicsRegressor(MODEL, **options).fit(X, Y)


def test_a_wrong_width_after_the_fit():
    """What is predicted has the width of what was fitted."""
    fitted = DynamicsRegressor(MODEL).fit(X, Y)
    with pytest.raises(ValueError, match=r"5 features.*expecting 7"):
        fitted.predict(X[:, :5])
    with pytest.raises(ValueError, match=r"y has the shape \(12, 3\)"):
        fitted.score(X, Y[:, :3])


def test_one_value_of_a_row():
    """With one output at one time, y may be (N,), and predictions have a column."""
    model = nn.Dynamics("u = a*w", {}, {"a": 1}, columns="w", times=1, name="single")
    w = np.arange(1.0, 7)[:, None]
    fitted = DynamicsRegressor(model).fit(w, 3 * w[:, 0])
    assert fitted.parameters_["a"] == pytest.approx(3, rel=1e-9)
    assert fitted.predict(w).shape == (6, 1)
    assert fitted.score(w, 3 * w[:, 0]) == pytest.approx(1)


def test_solutions_that_fail():
    """A trajectory that leaves the range of numbers is NaN from there on; its score is NaN, and a warning names it."""
    model = nn.Dynamics("u' = k*u**2", {"u": "w"}, {"k": 1}, inputs="w", times=3, name="growing")
    rows = np.array([[0, 0.2, 0.4, 1.0], [0, 0.5, 0.9, 1.0]])
    fitted = DynamicsRegressor(model).fit(rows, 1 / (1 - rows[:, :3]))
    late = np.array([[0, 0.2, 0.4, 1.0], [0, 0.5, 1.5, 1.0]])
    assert np.isnan(fitted.predict(late)).tolist() == [[False] * 3, [False, False, True]]
    with pytest.warns(RuntimeWarning, match="trajectory 1 of X is not finite"):
        assert np.isnan(fitted.score(late, np.ones((2, 3))))
    assert fitted.score(late, [[1, 1.25, 1 / 0.6], [1, 2, np.nan]]) > 0.999


def test_without_convergence():
    """What did not converge warns as scikit-learn does."""
    with pytest.warns(ConvergenceWarning, match="raise max_iter$"):
        DynamicsRegressor(MODEL, max_iter=1).fit(X, Y)
