"""Fits in groups: parameters that all groups share, and others that each has for itself."""

import pickle
import time
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy import linalg, optimize
from scipy.stats import t as student
from sympy import exp, symbols

import nncodegen as nn
from nncodegen.runtime.python.fitting import grouped, strays
from nncodegen.runtime.python.fitting.grouped import GroupedProblem
from nncodegen.runtime.python.ground import share
from nncodegen.runtime.python.ground.algebra import BY_LAPACK, IN_FIXED_ORDER
from nncodegen.runtime.python.ground.clock import clock
from nncodegen.runtime.python.results import bordered
from nncodegen.runtime.python.results.bordered import eliminate, solve

pytestmark = pytest.mark.usefixtures("quick_compiler")

OWN, SHARED = ("a", "c"), ("w", "b")
LEAST = 1e-12


@pytest.fixture(scope="module")
def peaks(quick_compiler):
    """A Gaussian on a constant."""
    formula = "a*exp(-((x - c)/w)**2) + b"
    return nn.build(nn.Model("peaks", "x", "y", {"a": 1, "c": 0.5, "w": 0.2, "b": 0.1}, formula))


@pytest.fixture(scope="module")
def decays(quick_compiler):
    """Two outputs of two inputs, with a derived quantity."""
    x, t, first, second, a, k, s = symbols("x t u v a k s")
    outputs = (a * exp(-k * t) + s * x, a * (1 - exp(-k * t)))
    start = {a: 1, k: 1, s: 0.1}
    return nn.build(nn.Model("decays", (x, t), (first, second), start, outputs, derived={"half_life": "log(2)/k"}))


def data(groups, seed, least=15, most=40):
    """Peaks of unequal numbers of samples, in random order: x, y, labels, sigma."""
    random = np.random.default_rng(seed)
    counts = random.integers(least, most, groups)
    label = np.repeat(np.arange(groups), counts)
    x = random.uniform(0, 1, len(label))
    a, c = random.uniform(1, 3, groups), random.uniform(0.4, 0.6, groups)
    sigma = random.uniform(0.02, 0.08, len(label))
    y = a[label] * np.exp(-(((x - c[label]) / 0.15) ** 2)) + 0.3 + sigma * random.normal(size=len(label))
    order = random.permutation(len(label))
    return x[order], y[order], label[order], sigma[order]


def dense(x, y, number, groups, sigma, start, **options):
    """SciPy's solution with all parameters in one array, shared ones first, and its covariance but for a scale."""

    def parts(p):
        own_values = p[2:].reshape(groups, 2)[number]
        e = np.exp(-(((x - own_values[:, 1]) / p[0]) ** 2))
        return own_values[:, 0], (x - own_values[:, 1]) / p[0], e

    def residuals(p):
        a, _, e = parts(p)
        return (a * e + p[1] - y) / sigma

    def jacobian(p):
        a, z, e = parts(p)
        slopes = np.zeros((len(x), len(p)))
        rows = np.arange(len(x))
        slopes[:, 0] = a * e * 2 * z**2 / p[0]
        slopes[:, 1] = 1
        slopes[rows, 2 + 2 * number] = e
        slopes[rows, 3 + 2 * number] = a * e * 2 * z / p[0]
        return slopes / np.reshape(sigma, (-1, 1))

    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 500}
    optimum = optimize.least_squares(residuals, start, jac=jacobian, x_scale="jac", **tight, **options)
    for _ in range(10 if not options else 0):  # the last digits, by full steps
        optimum.x = optimum.x - linalg.lstsq(jacobian(optimum.x), residuals(optimum.x))[0]
    R = linalg.qr(jacobian(optimum.x), mode="economic")[1]
    inverse = linalg.solve_triangular(R, np.eye(len(R)))
    return optimum, inverse @ inverse.T


def numbers_of(label):
    """The number of the group of each sample, in the order in which groups first occur."""
    order = list(dict.fromkeys(label.tolist()))
    return np.array([order.index(name) for name in label.tolist()]), order


@pytest.mark.parametrize("seed", range(20))
def test_solutions_and_covariances_are_those_of_a_dense_problem(peaks, seed):
    """Parameters and covariances agree with SciPy's for one dense problem with all parameters, to nine digits."""
    groups = int(np.random.default_rng(seed).integers(2, 31))
    x, y, label, sigma = data(groups, seed)
    number, order = numbers_of(label)
    result = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma)
    assert result.status == "converged"
    assert result.labels == order
    start = np.concatenate([[0.15, 0.3], np.tile([2, 0.5], groups)])
    optimum, inverse = dense(x, y, number, groups, sigma, start)
    assert result.chi2 == pytest.approx(2 * optimum.cost, rel=1e-9)
    np.testing.assert_allclose(result.parameters, optimum.x, rtol=1e-9)
    scale = result.chi2 / (len(x) - len(optimum.x))
    errors = np.sqrt(np.diag(inverse) * scale)
    np.testing.assert_allclose(
        result.covariance / errors / errors[:, None], inverse * scale / errors / errors[:, None], atol=1e-9
    )
    np.testing.assert_allclose(result.standard_errors, errors, rtol=1e-9)
    assert result.degrees_of_freedom == len(x) - len(optimum.x)
    assert result.rank == result.free_count == len(optimum.x)


def test_robust_losses_and_bounds_are_those_of_a_dense_problem(peaks):
    """With outliers and a bound that holds some own parameters, the solution is SciPy's."""
    x, y, label, sigma = data(6, 3)
    y[::17] += 1
    number, order = numbers_of(label)
    start = np.concatenate([[0.2, 0.1], np.tile([1, 0.5], 6)])
    low, high = np.full(14, -np.inf), np.full(14, np.inf)
    high[2::2] = 2.0
    optimum, _ = dense(x, y, number, 6, sigma, start, loss="soft_l1", f_scale=1.5, bounds=(low, high))
    result = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, loss="soft_l1", f_scale=1.5, bounds={"a": (None, 2)})
    assert result.cost == pytest.approx(optimum.cost, rel=1e-7)
    np.testing.assert_allclose(result.parameters, optimum.x, rtol=2e-4)
    assert result.at_bound.any()
    assert (result["a"] <= 2).all()
    assert result.at_bound.tolist() == (result.parameters == np.where(np.arange(14) % 2, np.inf, 2.0)).tolist()
    assert [result["a"][order.index(name)] for name in order] == result["a"].tolist()


def test_groups_of_one_are_single_fits(peaks):
    """A problem without shared parameters has the solutions, errors and intervals of separate fits."""
    x, y, label, sigma = data(3, 5)
    result = peaks.fit(x, y, groups=label, own=("a", "c", "w", "b"), sigma=sigma, absolute_sigma=True)
    for name in result.labels:
        rows = label == name
        alone = peaks.fit(x[rows], y[rows], sigma=sigma[rows], absolute_sigma=True)
        group = result.group(name)
        np.testing.assert_allclose(group.parameters, alone.parameters, rtol=1e-7)
        np.testing.assert_allclose(group.covariance, alone.covariance, rtol=1e-6)
        np.testing.assert_allclose(
            group.predict([0.4, 0.6], "confidence"), alone.predict([0.4, 0.6], "confidence"), rtol=1e-6
        )
        assert group.chi2 == pytest.approx(alone.chi2)


@pytest.mark.parametrize("sigma_x", [None, 0.01])
@pytest.mark.parametrize(("own", "fixed"), [("acwb", {}), ("ac", {"w": 0.15, "b": 0.3})])
def test_errors_without_shared_free_parameters(peaks, own, fixed, sigma_x):
    """If no parameter is both shared and free, the covariance of all has those of single fits, and 0 between groups."""
    x, y, label, sigma = data(3, 5)
    options = {"absolute_sigma": True, "fixed": fixed}
    errors_in_x = {} if sigma_x is None else {"sigma_x": sigma_x}
    result = peaks.fit(x, y, groups=label, own=tuple(own), sigma=sigma, **options, **errors_in_x)
    assert "correlation" in str(result) or "standard error" in str(result)
    expected = np.zeros(result.covariance.shape)
    for label_of_group in result.labels:
        rows = label == label_of_group
        alone = peaks.fit(x[rows], y[rows], sigma=sigma[rows], **options, **errors_in_x)
        places = [result.names.index(f"{name}[{label_of_group}]" if name in own else name) for name in alone.names]
        expected[np.ix_(places, places)] = alone.covariance
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-5, atol=1e-12)
    errors = np.where(result.free, np.sqrt(np.diag(expected)), np.nan)
    np.testing.assert_allclose(result.correlation, expected / errors / errors[:, None], atol=1e-5)


def test_bits_do_not_depend_on_threads(peaks):
    """One thread and three find the same bits."""
    x, y, label, sigma = data(300, 8, most=20)
    single, three = (peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, threads=n) for n in (1, 3))
    assert single.parameters.tobytes() == three.parameters.tobytes()
    assert single.standard_errors.tobytes() == three.standard_errors.tobytes()


def test_memory_is_linear_in_groups(peaks):
    """A fit of 800 groups takes less memory than one dense Jacobian of it would: 800 groups are 1602 columns."""
    x, y, label, sigma = data(800, 9, most=20)
    tracemalloc.start()
    result = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma)
    result.standard_errors  # noqa: B018
    str(result)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.converged
    assert most < 0.2 * 8 * len(x) * 1602


def test_fixed_and_missing(peaks):
    """Fixed values of each group, missing targets and a group without any data leave the others as they are."""
    x, y, label, _ = data(4, 2)
    y[label == 2] = np.nan
    y[np.flatnonzero(label == 1)[0]] = np.nan
    centres = {0: 0.45, 1: 0.55, 2: 0.5, 3: 0.6}
    result = peaks.fit(x, y, groups=label, own=OWN, fixed={"c": centres})
    assert result["c"].tolist() == [centres[group] for group in result.labels]
    assert result.group_status[result.labels.index(2)] == "no_data"
    assert result.group_errors[result.labels.index(2)][0] == np.inf
    known = ~np.isnan(y)
    less = peaks.fit(x[known], y[known], groups=label[known], own=OWN, fixed={"c": {k: centres[k] for k in (0, 1, 3)}})
    np.testing.assert_allclose(less["w"], result["w"], rtol=1e-9)
    np.testing.assert_allclose(less.standard_errors[:2], result.standard_errors[:2], rtol=1e-7)
    assert result.used == known.sum()
    assert np.isnan(result.residuals[~known]).all()


def test_a_group_with_too_few_data_has_its_status(peaks):
    """A group of one point with two own parameters is told, and does not change what the others say."""
    x, y, label, _ = data(4, 6)
    more = peaks.fit(np.append(x, 0.5), np.append(y, 1.0), groups=np.append(label, 9), own=OWN)
    without = peaks.fit(x, y, groups=label, own=OWN)
    assert more.group_status.tolist() == ["converged"] * 4 + ["too_few_data"]
    assert more.status == "singular"
    assert "c[9]" in more.undetermined
    assert set(more.undetermined) <= {"a[9]", "c[9]"}
    np.testing.assert_allclose(more.parameters[:10], without.parameters, rtol=1e-7)
    assert np.isinf(more.standard_errors[-1])
    np.testing.assert_allclose(more.standard_errors[:10], without.standard_errors, rtol=1e-6)


def test_several_outputs_and_inputs_with_derived_quantities(decays):
    """A model of two outputs and two inputs shares its rate, whose half-life has the error of propagation."""
    random = np.random.default_rng(4)
    label = np.repeat(["north", "south", "west"], 30)
    X = np.stack([random.uniform(-1, 1, 90), np.tile(np.linspace(0, 3, 30), 3)], axis=1)
    a = np.repeat([1.0, 2.0, 3.0], 30)
    e = np.exp(-0.7 * X[:, 1])
    Y = np.stack([a * e + 0.2 * X[:, 0], a * (1 - e)], axis=1) + 0.01 * random.normal(size=(90, 2))
    result = decays.fit(X, Y, groups=label, own="a", sigma=[0.01, 0.01] * np.ones((90, 2)))
    assert result["k"] == pytest.approx(0.7, abs=0.02)
    np.testing.assert_allclose(result["a"], [1, 2, 3], atol=0.03)
    np.testing.assert_allclose(result["half_life"], np.log(2) / result["k"])
    error = result.standard_errors[0] * np.log(2) / result["k"] ** 2
    np.testing.assert_allclose(result.derived.standard_errors, error)
    assert result.residuals.shape == (90, 2)
    np.testing.assert_allclose(result.predict(X, label), Y + 0.01 * result.residuals, atol=1e-9)


def test_predictions_and_intervals(peaks):
    """Predictions of mixed groups have the half-widths of the delta method with the joint covariance."""
    x, y, label, _ = data(3, 7)
    result = peaks.fit(x, y, groups=label, own=OWN)
    at, which = np.array([0.4, 0.5, 0.6, 0.45]), np.array([2, 0, 2, 1])
    outputs, low, high = result.predict(at, which, interval="confidence")
    for row, (x_value, group) in enumerate(zip(at, which, strict=True)):
        place = result.labels.index(group)
        p = result.group_parameters[place]
        g = peaks.jacobian(p, [[x_value]])[0, 0]
        error = np.sqrt(g @ result.group_covariances[place] @ g)
        reach = student.ppf(0.975, result.degrees_of_freedom) * error
        np.testing.assert_allclose(
            (outputs[row, 0], high[row, 0] - outputs[row, 0], outputs[row, 0] - low[row, 0]),
            (peaks.predict(p, [[x_value]])[0, 0], reach, reach),
            rtol=1e-8,
        )
    np.testing.assert_allclose(result.predict(at, which), outputs)
    assert result.predict(at, 2).shape == (4, 1)


def test_profiles_follow_the_whole_fit(peaks):
    """An end of a profile interval is where chi2, minimized over all others, has risen by t**2 times the scale."""
    x, y, label, sigma = data(2, 1)
    result = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, absolute_sigma=True)
    low, high = result.confidence_intervals(0.95, "profile")[2]
    for end in (low, high):
        held = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, fixed=["w"], p0={"w": result["w"]})
        assert held.converged
        value = {result.labels[0]: end, result.labels[1]: result["a"][1]}
        other = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, p0={"a": value})
        assert other.chi2 == pytest.approx(result.chi2, rel=1e-9)
        cost, _ = result._refit({2: end}, result.parameters)
        assert 2 * (cost - result.cost) == pytest.approx(1.959964**2, rel=1e-5)


def test_labels_of_any_kind(peaks):
    """Texts, tuples, booleans and dates are labels, in the order in which they first occur."""
    x, y, label, _ = data(2, 1)
    kinds = [
        ("b", "a"),
        (("p", 1), ("p", 2)),
        (True, False),
        (np.datetime64("2024-02-01"), np.datetime64("2024-01-01")),
    ]
    first = peaks.fit(x, y, groups=label, own=OWN)
    order = first.labels
    for kind in kinds:
        values = [kind[order.index(number)] for number in label.tolist()]
        groups = values if isinstance(kind[0], tuple) else np.array(values)
        result = peaks.fit(x, y, groups=groups, own=OWN)
        assert result.parameters.tobytes() == first.parameters.tobytes()
        assert len(result.labels) == 2
        assert result.predict([0.5], [result.labels[1]])[0, 0] == first.predict([0.5], [order[1]])[0, 0]
    assert peaks.fit(x, y, groups=[("p", number) for number in label.tolist()], own=OWN).names[2].startswith("a[p, ")


def test_starts_of_groups(peaks):
    """Starts are shared, one for each group in an array or by labels, or found in the data."""
    x, y, label, _ = data(3, 12)
    best = peaks.fit(x, y, groups=label, own=OWN)
    labels = best.labels
    by_label = {"c": dict(zip(labels, best["c"], strict=True))}
    for p0 in ([1, 0.5, 0.2, 0.1], {"c": best["c"]}, by_label, "auto", best.group_parameters):
        result = peaks.fit(x, y, groups=label, own=OWN, p0=p0)
        np.testing.assert_allclose(result.parameters, best.parameters, rtol=1e-6)
    assert peaks.fit(x, y, groups=label, own=OWN, p0=by_label).p0[3::2].tolist() == best["c"].tolist()
    held = peaks.fit(x, y, groups=label, own=OWN, p0="auto", fixed=("c",), max_iterations=2000)
    assert set(held["c"].tolist()) == {peaks.initial_parameters()[peaks.parameter_names.index("c")]}


def test_errors_name_what_is_wrong(peaks):
    """Each wrong argument raises an error that says what it is and where."""
    x, y, label, _ = data(2, 1)
    texts = label.astype(str).tolist()
    missing = [*texts[:5], None, *texts[6:]]
    wrong = [
        ({"groups": label}, "groups needs own"),
        ({"own": OWN}, "own has no effect without groups"),
        ({"groups": label[:-1], "own": OWN}, "expected a label for each"),
        ({"groups": missing, "own": OWN}, r"groups\[5\] is missing"),
        ({"groups": np.where(np.arange(len(x)) == 3, np.nan, label), "own": OWN}, r"groups\[3\] is missing"),
        ({"groups": np.stack([label, label], axis=1), "own": OWN}, "Groups within groups"),
        ({"groups": label, "own": {"a": "plate", "c": "well"}}, "groups within groups"),
        ({"groups": label, "own": "z"}, "own names 'z'"),
        ({"groups": label, "own": OWN, "n_starts": 4}, "n_starts needs finite bounds"),
        ({"groups": label, "own": OWN, "n_starts": 0, "bounds": (0, 9)}, "n_starts"),
        ({"groups": label, "own": OWN, "p0": {"w": [0.1, 0.2]}}, "which all groups share"),
        ({"groups": label, "own": OWN, "p0": {"a": {"none": 1}}}, "names the group 'none'"),
        ({"groups": label, "own": OWN, "p0": {"a": [1, 2, 3]}}, "one for each of the 2 groups"),
    ]
    for options, text in wrong:
        with pytest.raises(ValueError, match=text):
            peaks.fit(x, y, **options)
    result = peaks.fit(x, y, groups=label, own=OWN)
    with pytest.raises(ValueError, match=r"groups\[1\] is 7, which the fit had not"):
        result.predict([0.1, 0.2], [0, 7])
    with pytest.raises(KeyError, match="there is no group 7"):
        result.group(7)


def test_what_a_result_shows(peaks, tmp_path):
    """The table, the frame, the picture, the dictionary and the pickle hold all groups."""
    pytest.importorskip("matplotlib").use("agg")
    x, y, label, _ = data(3, 7)
    result = peaks.fit(x, y, groups=[f"plate {name}" for name in label], own=OWN)
    assert "groups" in str(result)
    assert "3 share w, b; each has its own a, c" in str(result)
    assert "a[plate 1]" in str(result)
    assert "errors" in str(result.group("plate 1"))
    frame = result.to_frame()
    assert frame.loc["w", "value"] == result["w"]
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes[:3]] == [str(name) for name in result.labels]
    again = pickle.loads(pickle.dumps(result))
    assert again.parameters.tobytes() == result.parameters.tobytes()
    assert again.group("plate 2").chi2 == result.group("plate 2").chi2
    assert again.standard_errors.tobytes() == result.standard_errors.tobytes()
    result.save(tmp_path / "groups.npz")
    loaded = peaks.load(tmp_path / "groups.npz")
    assert loaded.labels == result.labels
    assert loaded.standard_errors.tobytes() == result.standard_errors.tobytes()
    assert loaded.residuals.tobytes() == result.residuals.tobytes()
    assert str(loaded) == str(result)
    with pytest.raises(ValueError, match="pickle the result"):
        peaks.fit(x, y, groups=[(name,) for name in label.tolist()], own=OWN).save(tmp_path / "tuples.npz")
    assert result.as_dict()["parameters"]["a[plate 2]"] == result["a[plate 2]"]
    assert result.chi2 == pytest.approx(result.group_chi2.sum())
    assert result.loss == pytest.approx(np.mean(result.residuals**2) / 2, rel=1e-6) or result.loss > 0


def test_a_callback_ends_the_fit_with_the_best_so_far(peaks):
    """A callback sees the parameters of all groups, and ends the fit."""
    x, y, label, _ = data(3, 7)
    seen = []

    def end(progress):
        seen.append(progress.parameters.shape)
        return progress.iterations == 2

    result = peaks.fit(x, y, groups=label, own=OWN, callback=end)
    assert result.status == "stopped"
    assert seen == [(3, 4), (3, 4)]


@pytest.mark.parametrize("algebra", [BY_LAPACK, IN_FIXED_ORDER], ids=["LAPACK", "fixed order"])
@pytest.mark.parametrize("damped", [False, True])
def test_elimination_is_that_of_one_dense_matrix(damped, algebra, monkeypatch):
    """Blocks with dependent own columns give the shortest solution of the dense problem, with and without damping."""
    monkeypatch.setattr(bordered, "TOGETHER", 16)  # so that a few groups are combined in parts
    random = np.random.default_rng(2)
    groups, own_count, shared = 60, 3, 2
    blocks = np.triu(random.normal(size=(groups, own_count + shared, own_count + shared + 1)))
    blocks[:, range(5), range(5)] += 2
    if not damped:
        blocks[5, :, 1] = 2 * blocks[5, :, 0]
        blocks[7, :, 2] = 0
    damping = random.uniform(0.1, 1, groups) if damped else None
    eliminated = eliminate(algebra, blocks, own_count, LEAST, damping, 0.3 if damped else 0.0)
    z = solve(algebra, eliminated.triangle, LEAST)
    total = groups * own_count + shared
    dense = np.zeros((groups, own_count + shared, total))
    for g in range(groups):
        dense[g, :, g * own_count : (g + 1) * own_count] = blocks[g, :, :own_count]
    dense[:, :, groups * own_count :] = blocks[:, :, own_count:-1]
    A, b = dense.reshape(-1, total), blocks[:, :, -1].reshape(-1)
    if damped:
        extra = np.sqrt(np.concatenate([np.repeat(damping, own_count), [0.3] * shared]))
        normal = A.T @ A + np.diag(extra**2)
        expected = -np.linalg.solve(normal, A.T @ b)
    else:
        keep = np.setdiff1d(np.arange(total), [5 * own_count + 1, 7 * own_count + 2])
        expected = np.zeros(total)
        expected[keep] = -np.linalg.lstsq(A[:, keep], b, rcond=None)[0]
        first = expected[5 * own_count]  # the shortest of the solutions: x + 2y is determined
        expected[5 * own_count], expected[5 * own_count + 1] = first / 5, 2 * first / 5
    np.testing.assert_allclose(z, expected[-shared:], rtol=1e-8)
    values = (eliminated.own[:, :, :shared] @ z + eliminated.own[:, :, shared]).reshape(-1)
    np.testing.assert_allclose(values, expected[:-shared], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("own", "fixed"), [("acwb", {}), ("ac", {"w": 0.15, "b": 0.3})])
def test_blocks_without_shared_unknowns_are_independent(peaks, own, fixed):
    """If no parameter is both shared and free, own parameters of different groups have no covariance."""
    x, y, label, sigma = data(3, 5)
    errors = peaks.fit(x, y, groups=label, own=tuple(own), sigma=sigma, fixed=fixed)._errors
    np.testing.assert_array_equal(errors.between(2.0), np.zeros((3 * len(own), 3 * len(own))))


def test_starts_of_groups_are_drawn_within_bounds(peaks):
    """With a number of starting points, each group finds its peak from a start where it has no effect."""
    x, y, label, sigma = data(4, 7)
    bounds = {"a": (0, 5), "c": (0, 1), "w": (0.02, 1), "b": (-1, 1)}
    start = {"c": 0, "w": 0.02}
    fitted = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, p0=start, bounds=bounds, n_starts=16)
    best = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, bounds=bounds, p0={"a": 2, "c": 0.5, "w": 0.15})
    assert fitted.status == "converged"
    np.testing.assert_allclose(fitted["c"], best["c"], rtol=1e-6)
    assert fitted.chi2 == pytest.approx(best.chi2, rel=1e-9)
    held = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma, p0=start, bounds=bounds, n_starts=16, fixed={"b": 0.3})
    assert held["b"] == 0.3


def test_a_model_names_its_own_parameters(quick_compiler):
    """Groups have the own parameters that the model names, unless a fit names others; a wrong name is refused."""
    formula = "a*exp(-((x - c)/w)**2) + b"
    start = {"a": 1, "c": 0.5, "w": 0.2, "b": 0.1}
    module = nn.build(nn.Model("named", "x", "y", start, formula, own=("c", "a")))
    x, y, label, sigma = data(3, 5)
    fitted = module.fit(x, y, groups=label, own=OWN, sigma=sigma)
    named = module.fit(x, y, groups=label, sigma=sigma)
    np.testing.assert_array_equal(named.parameters, fitted.parameters)
    assert module.fit(x, y, groups=label, own="a", sigma=sigma)["a"].shape == (3,)
    assert module.fit(x, y, sigma=sigma).parameters.shape == (4,)
    with pytest.raises(nn.ModelError, match="own of wrong names 'z', which is no parameter"):
        nn.Model("wrong", "x", "y", start, formula, own="z")


def test_other_losses_have_no_groups(quick_compiler):
    """Groups are refused, in words, for losses that are no sum of squares."""
    count = nn.build(nn.Model("count", "x", "y", {"a": 1, "k": 0.1}, output="a + k*x", loss="a + k*x - y*log(a + k*x)"))
    x, label = np.arange(1.0, 9), np.arange(8) % 2
    with pytest.raises(ValueError, match="groups are for least squares"):
        count.fit(x, x, groups=label, own="a")


ASTRAY = {
    "peak": (
        "h*exp(-((x - c)/w)**2) + b",
        {"h": (1, 3, 1.5), "c": (3, 7, 5), "b": (0, 1, 0.5)},
        {"w": (1.2, 2.6)},
        20,
    ),
    "wave": (
        "a*sin(f*x + p) + b",
        {"a": (1, 2, 1), "f": (1, 1.6, 1.3), "p": (-1, 1, 0)},
        {"b": (0.3, 0)},
        20,
    ),
    "two peaks": (
        "h*exp(-((x - c)/w)**2) + g/(1 + ((x - d)/w)**2) + b",
        {"h": (1, 3, 1), "c": (2, 4, 3), "g": (1, 3, 1), "d": (6, 8, 7)},
        {"w": (0.7, 1.8), "b": (0.2, 0)},
        40,
    ),
}
"""Formulas, the range and the common start of own parameters, the value and the start of shared ones, and samples."""


@pytest.fixture(scope="module", params=ASTRAY)
def astray(request, quick_compiler):
    """A module whose groups go astray from common starts, its record, and the standard deviation of targets."""
    formula, own, shared, samples = ASTRAY[request.param]
    start = {name: values[-1] for name, values in (own | shared).items()}
    return nn.build(nn.Model("astray_ones", "x", "y", start, formula)), own, shared, 2 * samples


def astray_data(astray, seed, groups=60):
    """The data of groups, their labels, and the parameters (G, P) that made them."""
    module, own, shared, samples = astray
    random = np.random.default_rng(seed)
    true = [random.uniform(*values[:2], groups) for values in own.values()]
    true = np.stack([*true, *(np.full(groups, value) for value, _ in shared.values())], axis=1)
    x = np.tile(np.linspace(0.1, 10, samples), groups)
    label = np.repeat(np.arange(groups), samples)
    clean = [module.predict(row, x[:samples, None])[:, 0] for row in true]
    return x, np.concatenate(clean) + 0.03 * random.normal(size=len(x)), label, true


@pytest.mark.parametrize("seed", range(4))
def test_groups_that_begin_alike_reach_the_minima_of_the_true_parameters(astray, seed):
    """From a common start of their own parameters, all groups end where a fit from the true ones ends."""
    module, own, _, _ = astray
    x, y, label, true = astray_data(astray, seed)
    result = module.fit(x, y, groups=label, own=tuple(own))
    best = module.fit(x, y, groups=label, own=tuple(own), p0=true)
    assert result.status == "converged"
    np.testing.assert_allclose(result.group_chi2, best.group_chi2, rtol=1e-5)
    assert len(result._costs) == result.iterations
    assert (np.diff(result._costs) <= 0).all()


def test_groups_that_begin_again_have_the_same_bits_on_any_threads(astray):
    """One thread and three bring the same groups back to the same bits."""
    module, own, _, _ = astray
    x, y, label, _ = astray_data(astray, 1)
    fits = [module.fit(x, y, groups=label, own=tuple(own), threads=threads) for threads in (1, 3)]
    assert fits[0].parameters.tobytes() == fits[1].parameters.tobytes()
    assert fits[0].evaluations == fits[1].evaluations


@pytest.fixture(scope="module")
def far_ones(peaks):
    """The arguments of a fit of 30 peaks, three of which begin so far away that steps of all groups do not help."""
    random, groups = np.random.default_rng(0), 30
    label, x = np.repeat(np.arange(groups), 20), np.tile(np.linspace(0.0, 1, 20), groups)
    true = np.stack(
        [
            random.uniform(1, 3, groups),
            random.uniform(0.3, 0.7, groups),
            np.full(groups, 0.12),
            random.uniform(0, 1, groups),
        ],
        axis=1,
    )
    a, c, w, b = true[label].T
    y = a * np.exp(-(((x - c) / w) ** 2)) + b + 0.03 * random.normal(size=len(x))
    start = true.copy()
    start[[4, 9, 17], 1] = -4, 6, 5
    return x, y, {"groups": label, "own": ("a", "c", "b"), "p0": start}, true


@pytest.mark.parametrize("question", [1, 2, 3])
def test_groups_that_begin_again_ask_whether_to_stop(peaks, far_ones, monkeypatch, question):
    """A time limit that is over before any of the groups that begin again ends the fit, which keeps its point."""
    x, y, options, _ = far_ones
    late, asked, points = [0.0], [], []
    begin_again = strays.Strays.begin_again

    def begins(self, point, *arguments):
        points.append(point.copy())
        return begin_again(self, point, *arguments)

    def ends():
        asked.append(len(points))
        late[0] = 1e6 if len(asked) == question else 0.0
        return share.is_ended()

    monkeypatch.setattr(clock, "_timer", lambda: time.perf_counter() + late[0])
    monkeypatch.setattr(strays.Strays, "begin_again", begins)
    monkeypatch.setattr(strays, "is_ended", ends)
    with pytest.warns(RuntimeWarning, match="the time limit was reached"):
        result = peaks.fit(x, y, **options, time_limit=1e5, threads=1)
    assert result.status == "time_limit"
    assert asked == [1] * question
    np.testing.assert_array_equal(result.group_parameters, points[0])


def test_examples_keep_own_parameters_that_are_fixed(peaks, far_ones, monkeypatch):
    """Groups that begin again try free own parameters of others alone: fixed ones have their own values throughout."""
    x, y, options, true = far_ones
    tried = []
    costs = GroupedProblem.costs

    def noted(self, parameters):
        tried.append(parameters[:, 3].copy())
        return costs(self, parameters)

    monkeypatch.setattr(GroupedProblem, "costs", noted)
    result = peaks.fit(x, y, **options, fixed={"b": true[:, 3]})
    assert result.status == "converged"
    assert tried
    for values in tried:
        np.testing.assert_array_equal(values, true[[4, 9, 17], 3])


@pytest.mark.parametrize("most", [1, 2])
def test_steps_follow_groups_that_began_again(peaks, far_ones, monkeypatch, most):
    """After groups begin again, all parameters take steps, also where no more descents are left than one."""
    x, y, options, _ = far_ones
    events = []

    def noted(name):
        function = getattr(grouped._Descent, name)

        def call(self):
            events.append(name)
            return function(self)

        monkeypatch.setattr(grouped._Descent, name, call)

    noted("_steps")
    noted("_bring_back")
    monkeypatch.setattr(strays.Strays, "are_left", lambda *arguments: False)
    monkeypatch.setattr(grouped, "MOST_DESCENTS", most)
    peaks.fit(x, y, **options)
    assert events == ["_steps", "_bring_back", "_steps"][: 2 * most - 1]


def test_rounding_makes_no_strays(peaks, far_ones, monkeypatch):
    """Where the data are exact, a group whose residuals are larger, but still rounding, does not begin again."""
    x, _, options, true = far_ones
    y = np.concatenate([peaks.predict(row, x[:20, None])[:, 0] for row in true])
    noises, alone = [], []
    original, begin_again = GroupedProblem.alone, strays.Strays.begin_again

    def begins(self, point, costs, noise):
        noises.append(noise)
        return begin_again(self, point, costs, noise)

    with monkeypatch.context() as patch:
        patch.setattr(strays.Strays, "begin_again", begins)
        result = peaks.fit(x, y, **(options | {"p0": true * 1.01}))
    monkeypatch.setattr(GroupedProblem, "alone", lambda self, number: alone.append(number) or original(self, number))
    problem, point = result._problem, result.group_parameters
    costs = problem.costs(point)
    for cost, tried in ((noises[-1] / len(costs), []), (1e-10, [0])):
        assert cost > 100 * np.median(costs)
        costs[3] = cost
        strays.Strays(problem, point).begin_again(point, costs, noises[-1])
        assert alone == tried


def test_noisy_groups_are_no_strays(peaks):
    """A group of much noise ends where a fit of it begins by itself, and is told to have converged."""
    x, y, label, sigma = data(20, 4)
    noisy = label == 7
    y[noisy] += 0.5 * np.random.default_rng(0).normal(size=noisy.sum())
    result = peaks.fit(x, y, groups=label, own=OWN, sigma=sigma)
    shared = {name: result[name] for name in SHARED}
    alone = peaks.fit(x[noisy], y[noisy], sigma=sigma[noisy], p0=result.group(7).parameters, fixed=shared)
    assert result.status == "converged"
    assert result.group(7).chi2 == pytest.approx(alone.chi2, rel=1e-6)


def test_groups_that_were_led_astray_are_fitted_again(quick_compiler):
    """Of 1,000 curves whose own parameters begin alike, none ends in another minimum than a fit of it alone."""
    formula = "h*exp(-((x - c)/w)**2) + s*x + b"
    module = nn.build(nn.Model("astray", "x", "y", {"h": 2, "c": 5, "b": 0.5, "w": 1.3, "s": 0}, formula))
    random, groups = np.random.default_rng(1), 1000
    x, label = np.tile(np.linspace(0, 10, 50), groups), np.repeat(np.arange(groups), 50)
    h, c, b = random.uniform(1, 3, groups), random.uniform(3.5, 6.5, groups), random.uniform(0, 1, groups)
    y = h[label] * np.exp(-(((x - c[label]) / 1.2) ** 2)) + 0.05 * x + b[label] + 0.02 * random.normal(size=len(x))
    result = module.fit(x, y, groups=label, own=("h", "c", "b"))
    assert result.status == "converged"
    np.testing.assert_allclose(result["c"], c, atol=0.15)
    assert result.group_chi2.max() < 50 * 0.02**2 * 2.5
    assert len(result._costs) == result.iterations


@pytest.mark.parametrize("loss", ["huber", "cauchy", "soft_l1"])
def test_robust_fits_in_groups_end_where_no_fit_goes_on(loss):
    """With outliers, a fit in groups converges: from where it ended, neither it nor SciPy finds a lower cost."""
    model = nn.build(nn.Model("decay_in_groups", "x", "y", {"a": 1, "k": 1, "c": 0}, "a*exp(-k*x) + c", own="k"))
    options = {"loss": loss, "f_scale": 0.075}
    for seed in range(8):
        random = np.random.default_rng(seed)
        label = np.repeat(np.arange(20), 20)
        x = np.tile(np.linspace(0, 5, 20), 20)
        y = 4 * np.exp(-random.uniform(0.3, 2, 20)[label] * x) + 0.5 + random.normal(0, 0.05, len(x))
        y += np.where(random.random(len(x)) < 0.04, 0.6, 0)
        fitted = model.fit(x, y, groups=label, **options)
        assert fitted.success, (seed, fitted.message)

        def residuals(p, x=x, y=y, label=label):
            return p[0] * np.exp(-p[2:][label] * x) + p[1] - y

        there = np.concatenate([[fitted["a"], fitted["c"]], fitted["k"]])
        again = model.fit(x, y, groups=label, p0={name: fitted[name] for name in "akc"}, **options)
        other = optimize.least_squares(residuals, there, **options)
        assert min(again.cost, other.cost) > fitted.cost * (1 - 1e-9), seed


@pytest.mark.parametrize("seed", [2, 10])
def test_a_valley_ends_as_in_one_plain_fit(seed):
    """Noise alone, fitted by two exponentials: groups and one plain fit say alike that steps lead nowhere."""
    formula = "a*exp(-k*x) + b*exp(-l*x)"
    start = {"k": 1, "b": 1, "l": 0.5}
    groups = nn.build(nn.Model("exponentials", "x", "y", {"a": 1} | start, formula))
    amplitudes = [f"a{g}" for g in range(3)]
    amplitude = " + ".join(f"g{g}*{name}" for g, name in enumerate(amplitudes))
    whole = nn.Model(
        "written_out",
        ["x", "g0", "g1", "g2"],
        "y",
        dict.fromkeys(amplitudes, 1) | start,
        formula.replace("a*", f"({amplitude})*", 1),
    )
    plain = nn.build(whole)
    labels, x = np.repeat(np.arange(3), 8), np.tile(np.linspace(0.2, 4, 8), 3)
    noise = np.random.default_rng(seed).normal(size=24)
    with pytest.warns(RuntimeWarning, match="no step lowers the cost"):
        in_groups = groups.fit(x, noise, groups=labels, own=["a"])
    with pytest.warns(RuntimeWarning, match="no step lowers the cost"):
        together = plain.fit(np.column_stack([x, np.eye(3)[labels]]), noise)
    assert (in_groups.status, together.status) == ("stalled", "stalled")
    np.testing.assert_allclose(in_groups.cost, together.cost, rtol=1e-4)
