"""Fits of targets whose noise is a formula, against SciPy on the whole likelihood, in every kind of fit."""

import pickle

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built

optimize = pytest.importorskip("scipy.optimize")

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(4)
X = np.linspace(0, 5, 60)
START = {"A": 1.5, "k": 0.9, "a": 0.2, "b": 0.05}
TRUE = np.array([2, 0.7, 0.03, 0.08])
KINDS = ("normal", "laplace", "log_normal", "log_laplace")


def decay(kind, own=()):
    """The decay with the noise of a kind, which is a formula of the output."""
    noise = getattr(nn.noise, kind)("a + b*output")
    return nn.Model("decay", "x", "y", START, "A*exp(-k*x)", noise=noise, own=own)


DECAYS = {kind: decay(kind) for kind in KINDS}
IN_GROUPS = {kind: decay(kind, own="A") for kind in ("normal", "laplace")}
PLAIN = nn.Model("plain", "x", "y", {"A": 1.5, "k": 0.9}, "A*exp(-k*x)")


def parts(p, x=X):
    """The output and its scale; parameters may be complex."""
    output = p[0] * np.exp(-p[1] * x)
    return output, p[2] + p[3] * output


def losses(kind, output, scale, y):
    """The negative logarithms of the densities of targets, for outputs that may be complex."""
    distance, rest = (np.log(output) - np.log(y), np.log(y)) if kind.startswith("log_") else (output - y, 0 * y)
    if kind.endswith("laplace"):
        return np.abs(distance) / scale + np.log(2 * scale) + rest
    return distance**2 / (2 * scale**2) + np.log(scale) + np.log(2 * np.pi) / 2 + rest


def noisy(kind, rng=RNG, p=TRUE, x=X):
    output, scale = parts(p, x)
    drawn = rng.laplace(size=len(x)) if kind.endswith("laplace") else rng.normal(size=len(x))
    return output * np.exp(scale * drawn) if kind.startswith("log_") else output + scale * drawn


def slopes(function, p):
    """The derivatives of values by parameters, exact to rounding, by complex steps; one column for each parameter."""
    return np.stack([np.imag(function(p + 1e-30j * unit)) / 1e-30 for unit in np.eye(len(p))], axis=-1)


def minimum(total, start):
    """SciPy's minimum of a function: with derivatives by complex steps, and without these where it has kinks."""
    found = optimize.minimize(total, start, method="Nelder-Mead", options={"maxiter": 4000, "maxfev": 4000})
    try:
        return optimize.minimize(
            lambda p: np.real(total(p)), found.x, jac=lambda p: slopes(total, p), method="BFGS", options={"gtol": 1e-9}
        )
    except TypeError:
        return found


def information(kind, p, functions=parts):
    """Fisher's information of a likelihood: J'J/scale**2 + n*(d log scale)'(d log scale), n 2 or 1."""
    _, scale = functions(p)
    located = slopes(lambda q: np.log(functions(q)[0]) if kind.startswith("log_") else functions(q)[0], p)
    widths = slopes(lambda q: np.log(functions(q)[1]), p)
    J = located / scale[:, None]
    return J.T @ J + (1 if kind.endswith("laplace") else 2) * widths.T @ widths


@pytest.mark.parametrize("kind", KINDS)
def test_formula(kind):
    """The fit ends where SciPy's does on the whole likelihood; errors come from Fisher's information."""
    y = noisy(kind)
    y[5] = np.nan
    seen = ~np.isnan(y)

    def total(p):
        output, scale = parts(p)
        if (np.real(scale) <= 0).any() or (np.real(output) <= 0).any():
            return np.inf
        return losses(kind, output[seen], scale[seen], y[seen]).sum()

    result = built(DECAYS[kind]).fit(X[:, None], y)
    other = minimum(total, result.parameters * 1.02)
    assert result.success
    assert result.used == 59
    assert np.isclose(result.cost, total(result.parameters), rtol=1e-12)
    assert result.cost <= other.fun + 1e-6
    if kind.endswith("normal"):
        assert np.allclose(result.parameters, other.x, atol=1e-6 * result.standard_errors)
    expected = np.linalg.inv(information(kind, result.parameters, lambda p: [part[seen] for part in parts(p)]))
    assert np.allclose(result.covariance, expected, rtol=1e-7)
    output, scale = parts(result.parameters)
    distance = np.log(output / y) if kind.startswith("log_") else output - y
    assert np.allclose(result.noise[seen, 0], scale[seen], rtol=1e-9)
    assert np.isnan(result.noise[5, 0])
    assert np.allclose(result.residuals[seen, 0], (distance / scale)[seen], rtol=1e-7, atol=1e-9)
    assert np.allclose([result.log_likelihood, result.aic], [-result.cost, 2 * result.cost + 8])
    assert np.isclose(result.bic, 2 * result.cost + 4 * np.log(59))
    assert "log-likelihood" in str(result)


@pytest.mark.parametrize("kind", ["laplace", "log_laplace"])
def test_fits_arrive_at_kinks(kind):
    """Fits of Laplace's noise converge from starts that are far away: to outputs that some targets lie on."""
    module, bounds = built(DECAYS[kind]), {"a": (1e-4, np.inf), "b": (0, np.inf)}
    for _ in range(5):
        y, start = noisy(kind), TRUE * np.exp(RNG.uniform(-0.7, 0.7, 4))
        result = module.fit(X[:, None], y, p0=start, bounds=bounds)
        assert result.success
        assert (np.abs(result.residuals) < 1e-5).sum() >= 2


def test_noise_at_other_inputs():
    """A module gives the scale of the noise anywhere; intervals of new observations consist of both errors."""
    module = built(DECAYS["normal"])
    result = module.fit(X[:, None], noisy("normal"))
    there = np.array([[0.5], [7.0]])
    output, scale = parts(result.parameters, there)
    assert np.allclose(module.noise(result.parameters, there), scale, rtol=1e-12)
    inner, outer = (result.predict(there, interval=interval) for interval in ("confidence", "prediction"))
    error = (inner.upper - inner.lower) / 2
    assert np.allclose(outer.upper - output, np.hypot(error, 1.959963984540054 * scale), rtol=1e-9)
    logarithms = built(DECAYS["log_laplace"])
    result = logarithms.fit(X[:, None], noisy("log_laplace"))
    low, high = result.predict(there, interval="prediction")[1:]
    output, scale = parts(result.parameters, there)
    assert np.allclose(low * high, output**2, rtol=1e-9)
    assert (np.log(high / output) > -np.log(0.05) * scale).all()


def test_profile_is_that_of_the_likelihood():
    """An interval ends where the likelihood, the other parameters fitted, has fallen to that of the level."""
    module, y = built(DECAYS["normal"]), noisy("normal")
    result = module.fit(X[:, None], y)
    low, high = result.profiles(parameters=["b"])["b"].interval
    rises = [2 * (module.fit(X[:, None], y, fixed={"b": end}).cost - result.cost) for end in (low, high)]
    assert np.allclose(rises, 3.841458820694124, rtol=1e-3)


@pytest.mark.parametrize("kind", IN_GROUPS)
def test_groups(kind):
    """Groups with parameters of their own share a noise: cost, minimum and errors are those of the likelihood."""
    labels = np.repeat(np.arange(3), 20)
    x, amplitudes = np.tile(np.linspace(0, 4, 20), 3), np.array([1, 2, 3])
    scale = 0.03 + 0.08 * amplitudes[labels] * np.exp(-0.7 * x)
    drawn = RNG.normal(size=60) if kind == "normal" else RNG.laplace(size=60)
    y = amplitudes[labels] * np.exp(-0.7 * x) + scale * drawn
    y[25] = np.nan
    seen = ~np.isnan(y)

    def of_groups(p):
        k, a, b, *each = p
        output = np.array(each)[labels] * np.exp(-k * x)
        return output[seen], (a + b * output)[seen]

    def total(p):
        output, scale = of_groups(p)
        return losses(kind, output, scale, y[seen]).sum() if (np.real(scale) > 0).all() else np.inf

    result = built(IN_GROUPS[kind]).fit(x[:, None], y, groups=labels)
    assert result.success
    assert result.names[:3] == ("k", "a", "b")
    assert np.isclose(result.cost, total(result.parameters), rtol=1e-12)
    assert result.cost <= minimum(total, result.parameters * 1.02).fun + 1e-6
    expected = np.linalg.inv(information(kind, result.parameters, of_groups))
    assert np.allclose(result.covariance, expected, rtol=1e-6)
    assert np.allclose(result.noise[seen, 0], of_groups(result.parameters)[1], rtol=1e-9)
    low, _ = result.profiles(parameters=["A[1]"])["A[1]"].interval
    assert low < result.parameters[4]


def test_many():
    """Each of many fits is that of ``fit``; one whose noise vanishes says so, and the others are as they are."""
    module = built(DECAYS["normal"])
    exact = parts([2, 0.7, 0, 0])[0]
    with pytest.warns(RuntimeWarning, match="1 no_noise"):
        many = module.fit_many(X[:, None], np.stack([noisy("normal"), exact, noisy("normal")]))
    assert many.status.tolist() == ["converged", "no_noise", "converged"]
    alone = module.fit(X[:, None], many[2]._Y)
    assert np.array_equal(many.parameters[2], alone.parameters)
    assert np.array_equal(many.standard_errors[2], alone.standard_errors)


@pytest.fixture(scope="module")
def two_outputs():
    """Equations of motion of which two outputs are observed, each with a noise of its own."""
    return nn.Dynamics(
        ["u' = -k*u", "v' = k*u - q*v"],
        {"u": "u0", "v": 0},
        {"k": 0.6, "q": 0.3, "u0": 1.5, "s": 0.1, "b": 0.1},
        times=12,
        observed={"u": "u", "w": "2*v"},
        noise={"u": "s", "w": nn.noise.laplace("0.01 + b*w")},
    )


def test_motion(two_outputs):
    """Outputs over times have a noise each, of which missing values leave out their own alone."""
    module = built(two_outputs)
    X = np.tile(np.linspace(0.1, 6, 12), (3, 1))
    true = np.array([0.8, 0.5, 2, 0.05, 0.12])
    outputs, scales = module.predict(true, X), module.noise(true, X)
    assert np.allclose(scales[:, :12], 0.05)
    assert np.allclose(scales[:, 12:], 0.01 + 0.12 * outputs[:, 12:], rtol=1e-12)
    Y = outputs + scales * RNG.normal(size=outputs.shape)
    Y[1, 3], Y[2, 12:15] = np.nan, np.nan

    def total(p):
        found, width = module.predict(p, X), module.noise(p, X)
        if not (width > 0).all():
            return np.inf
        each = [losses(kind, *(part[:, place] for part in (found, width, Y)))
                for kind, place in (("normal", np.s_[:12]), ("laplace", np.s_[12:]))]  # fmt: skip
        return np.nansum(each)

    result = module.fit(X, Y)
    assert result.success
    assert result.used == 68
    assert np.isclose(result.cost, total(result.parameters), rtol=1e-10)
    start = result.parameters * 1.01
    other = optimize.minimize(total, start, method="Nelder-Mead", options={"maxiter": 3000, "maxfev": 3000})
    assert result.cost <= other.fun + 1e-6


def test_other_minimizers():
    """The mean loss that trainings and ``minimize`` have is that of the likelihood, with the same minimum."""
    module, y = built(DECAYS["normal"]), noisy("normal")
    result = module.fit(X[:, None], y)
    assert np.isclose(module.loss(result.parameters, X[:, None], y) * 60, result.cost)
    assert np.allclose(module.minimize(X[:, None], y, result.p0).parameters, result.parameters, rtol=1e-5)


def test_saved(tmp_path):
    """A result that was saved, or pickled, has its noise; a group of one, too."""
    module, y = built(DECAYS["log_normal"]), noisy("log_normal")
    result = module.fit(X[:, None], y)
    result.save(tmp_path / "result.npz")
    for again in (module.load(tmp_path / "result.npz"), pickle.loads(pickle.dumps(result))):
        assert np.array_equal(again.noise, result.noise)
        assert again.log_likelihood == result.log_likelihood
    module, labels = built(IN_GROUPS["normal"]), np.repeat([0, 1], 30)
    grouped = module.fit(X[:, None], noisy("normal"), groups=labels)
    grouped.save(tmp_path / "groups.npz")
    again = module.load(tmp_path / "groups.npz")
    assert np.allclose(again.noise, grouped.noise, rtol=1e-12)
    assert np.allclose(again.group(1).noise, grouped.noise[30:], rtol=1e-12)


def test_noise_that_is_constant_is_that_of_least_squares():
    """With one constant noise, parameters are those of least squares, and the noise is the mean square."""
    y = noisy("normal")
    constant = nn.Model("constant", "x", "y", {"A": 1.5, "k": 0.9, "s": 0.3}, "A*exp(-k*x)", noise="s")
    result, squares = built(constant).fit(X[:, None], y), built(PLAIN).fit(X[:, None], y)
    assert np.allclose(result.parameters[:2], squares.parameters, rtol=1e-7)
    assert np.isclose(result["s"], np.sqrt(squares.chi2 / 60), rtol=1e-7)


@pytest.mark.parametrize(
    ("noise", "options", "words"),
    [
        ("a + b*z", {}, "z is none of x, y, A, k"),
        ("a + b*y", {}, "depends on the target y"),
        (["a", "b"], {}, "has 2 formulas for 1 outputs"),
        ({"w": "a + b"}, {}, "names 'w', which is no output"),
        ("a + b", {"loss": "(y - A*exp(-k*x))**2"}, "has a loss: leave that out"),
        ("a + b", {"output": None, "loss": "(y - A*exp(-k*x))**2 + a + b"}, "has no output"),
    ],
)
def test_wrong_formulas(noise, options, words):
    """A noise that has no meaning is refused in words."""
    with pytest.raises(nn.ModelError, match=words.replace("(", r"\(")):
        nn.Model("decay", "x", "y", START, **{"output": "A*exp(-k*x)", "noise": noise, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": 0.1}, "sigma has no meaning beside the noise"),
        ({"loss": "huber"}, "loss has no meaning beside the noise"),
        ({"sigma_x": 0.1}, "decay has a formula of its noise"),
        ({"p0": [2, 0.7, -1, 0]}, r"not above 0 at the start, for Y\[0, 0\]"),
        ({"p0": [2, 0.7, 0.3, -0.5], "groups": np.repeat([0, 1], 30), "own": "A"}, r"at the start, for Y\[0, 0\]"),
    ],
)
def test_wrong_options(options, words):
    """Options that the noise stands for are refused, and so is a start at which it is negative."""
    with pytest.raises(ValueError, match=words):
        built(DECAYS["normal"]).fit(X[:, None], noisy("normal"), **options)


def test_wrong_data():
    """Data without scatter, and targets below 0 that have logarithms, are refused in words."""
    exact = parts([2, 0.7, 0, 0])[0]
    with pytest.raises(ValueError, match="the noise reaches 0, where the likelihood has no bound"):
        built(DECAYS["normal"]).fit(X[:, None], exact)
    with pytest.raises(ValueError, match="the noise reaches 0"):
        built(DECAYS["normal"]).fit(X[:, None], exact, groups=np.repeat([0, 1], 30), own="A")
    with pytest.raises(ValueError, match=r"Y\[3, 0\] is -1: it must be above 0"):
        built(DECAYS["log_normal"]).fit(X[:, None], np.where(np.arange(60) == 3, -1, exact))
    with pytest.raises(ValueError, match="plain has no formula of its noise"):
        built(PLAIN).noise([1, 1], X[:, None])
    result = built(DECAYS["normal"]).fit(X[:, None], noisy("normal"))
    with pytest.raises(ValueError, match="leave out sigma"):
        result.predict(X[:, None], interval="prediction", sigma=1)


def test_variance_that_follows_the_data():
    """A noise may be a state: GARCH(1, 1) by maximum likelihood, as SciPy has it."""
    count = 80
    model = nn.Dynamics(
        "h = w + a*before(r)**2 + b*before(h)",
        {"h": 0.3, "r": 0},
        {"w": 0.1, "a": 0.2, "b": 0.5},
        times=count,
        columns="r",
        observed={"y": "0*h"},
        noise="sqrt(h)",
    )

    def variances(p, returns):
        h, last = [], (0.3, 0)
        for each in returns:
            h.append(p[0] + p[1] * last[1] ** 2 + p[2] * last[0])
            last = h[-1], each
        return np.array(h)

    draws, returns = RNG.normal(size=count), np.zeros(count)
    for t in range(count):
        returns[t] = np.sqrt(variances([0.1, 0.3, 0.5], returns)[t]) * draws[t]

    def total(p):
        h = variances(p, returns)
        return (returns**2 / (2 * h) + np.log(h) / 2).sum() if (np.real(h) > 0).all() else np.inf

    result = built(model).fit(returns[None], returns[None], bounds={"a": (0, 1), "b": (0, 1)})
    other = optimize.minimize(
        total, result.parameters * 1.1, jac=lambda p: slopes(total, p), method="L-BFGS-B",
        bounds=[(0.01, None), (0, 1), (0, 1)], options={"ftol": 1e-14, "gtol": 1e-9},
    )  # fmt: skip
    assert result.success
    assert np.isclose(result.cost - count * np.log(2 * np.pi) / 2, other.fun, rtol=1e-9)
    assert np.allclose(result.parameters, other.x, atol=1e-4 * result.standard_errors.max())
