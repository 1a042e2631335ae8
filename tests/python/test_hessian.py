"""Second derivatives of compiled modules, and the minimizers of SciPy that take them."""

import numpy as np
import pytest
import sympy
from scipy import optimize

import nncodegen as nn
from nncodegen import perceptron
from tests.support.built import built
from tests.support.hessians import derived, product_by_differences

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, b, c, x, y = sympy.symbols("a b c x y")
RNG = np.random.default_rng(0)
curve = nn.Model("curve", x, y, {a: 1.5, b: 0.7, c: 0.2}, a * sympy.exp(-b * x) + c)
free = nn.Model("free", x, [], {a: 0.3, b: 1.2}, a * x, (a * x - b) ** 2 + a**2 * b**4)  # no fit: it has no targets
network = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="network")
noisy = nn.Sequential([nn.Dense(4, "tanh"), nn.Dropout(0.5), nn.Dense(1)], 4, "mse", name="noisy")
pooled = [nn.Conv1D(3, 3, activation="gelu"), nn.MaxPooling1D(2), nn.Flatten(), nn.Dense(2, "softmax")]
windows = nn.Sequential(pooled, (8, 2), "categorical_crossentropy", name="windows")
sequences = nn.Sequential([nn.LSTM(3, return_sequences=True), nn.GRU(2), nn.Dense(1)], (4, 2), "mse", name="sequences")
FITTED = {network, noisy, windows, sequences}
CASES = {
    "perceptron": (perceptron.model, perceptron.X, perceptron.Y),
    "curve": (curve, RNG.uniform(0, 3, (150, 1)), RNG.normal(size=(150, 1))),
    "free": (free, RNG.normal(size=(3, 1)), None),
    "network": (network, RNG.normal(size=(150, 4)), np.eye(3)[RNG.integers(0, 3, 150)]),
    "noisy": (noisy, RNG.normal(size=(70, 4)), RNG.normal(size=(70, 1))),
    "windows": (windows, RNG.normal(size=(70, 16)), np.eye(2)[RNG.integers(0, 2, 70)]),
    "sequences": (sequences, RNG.normal(size=(5, 8)), RNG.normal(size=(5, 1))),
}
SLOW = ("windows", "sequences")
_modules = {}


def module(model, precision="float64"):
    if (model, precision) not in _modules:
        _modules[model, precision] = nn.build(model, precision, fit=model in FITTED or None)
    return _modules[model, precision]


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "float64") for name in CASES if name not in SLOW),
        ("curve", "float32"),
        *(pytest.param(name, "float64", marks=pytest.mark.thorough) for name in SLOW),
        *(pytest.param(name, "float32", marks=pytest.mark.thorough) for name in CASES if name != "curve"),
    ],
)
def test_hessian(name, precision):
    """The Hessian is that of the gradient at 60 digits, with weights as well; it is symmetric, its products are its."""
    model, X, Y = CASES[name]
    compiled, accuracy = module(model, precision), {"float64": 1e-13, "float32": 1e-5}[precision]
    parameters = compiled.initial_parameters(1)
    weight = RNG.uniform(0.2, 1, len(X)).astype(compiled.dtype)
    direction = RNG.normal(size=len(parameters)).astype(compiled.dtype)
    differentiated, _ = derived(model)
    used = [None if data is None else np.asarray(data, compiled.dtype).astype(float) for data in (X, Y)]
    point, moved = parameters.astype(float), direction.astype(float)
    for weights in (None, weight):
        shares = None if weights is None else weights / weights.sum(dtype=float)
        expected = product_by_differences(differentiated, point, moved, *used, shares)
        hessian = compiled.hessian(parameters, X, Y, sample_weight=weights)
        product = compiled.hessian_product(parameters, direction, X, Y, sample_weight=weights)
        scale = accuracy * np.linalg.norm(hessian) * np.linalg.norm(direction)
        assert hessian.dtype == product.dtype == compiled.dtype
        assert (hessian == hessian.T).all()
        np.testing.assert_allclose(hessian @ direction, expected, rtol=0, atol=scale)
        np.testing.assert_allclose(product, expected, rtol=0, atol=scale)


def test_many_samples_have_a_mean():
    """Over many tiles of samples, and a last one that is not full, the Hessian is the mean of those of the samples."""
    model, X, Y = CASES["curve"]
    curve = module(model)
    parameters = curve.initial_parameters()
    each = [curve.hessian(parameters, X[n : n + 1], Y[n : n + 1]) for n in range(len(X))]
    np.testing.assert_allclose(curve.hessian(parameters, X, Y), np.mean(each, axis=0), rtol=1e-13)


def test_modules_without():
    """A network that was built without fit=True says so, as does a formula with fit=False."""
    plain, unfitted = built(network), nn.build(curve, fit=False)
    _, X, Y = CASES["network"]
    with pytest.raises(
        ValueError, match="hessian needs second derivatives; network has none: it was built without fit"
    ):
        plain.hessian(plain.initial_parameters(), X, Y)
    with pytest.raises(ValueError, match="hessian_product needs second derivatives; curve has none: it was built with"):
        unfitted.hessian_product(unfitted.initial_parameters(), [1, 0, 0], *CASES["curve"][1:])
    with pytest.raises(ValueError, match="the method 'trust-exact' needs second derivatives; network has none"):
        plain.minimize(X, Y, method="trust-exact")
    assert plain.minimize(X, Y, method="trust-constr", options={"maxiter": 3}).status == "max_iterations"


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([1, 2], r"vector has the shape \(2,\); expected \(3,\), a value for each parameter"),
        ([1, 2, np.nan], r"vector\[2\] is nan"),
    ],
)
def test_vectors(vector, error):
    """A vector has a finite value for each parameter."""
    curve = module(CASES["curve"][0])
    with pytest.raises(ValueError, match=error):
        curve.hessian_product(curve.initial_parameters(), vector, *CASES["curve"][1:])


METHODS = ["trust-exact", "trust-constr", "Newton-CG", "trust-ncg", "trust-krylov", "dogleg"]


@pytest.mark.parametrize("method", METHODS)
def test_what_minimizers_are_given(method, monkeypatch):
    """Each minimizer gets the Hessian of the whole objective, or products with it: penalties and weights count."""
    _, X, Y = CASES["network"]
    network = module(CASES["network"][0])
    received = {}

    def minimize(function, start, **options):
        received.update(options, function=function)
        return optimize.OptimizeResult(x=start, success=True, message="", status=0)

    penalties = {"l2": 0.3, "l1": 0.1} if method == "trust-constr" else {"l2": 0.3}
    monkeypatch.setattr(optimize, "minimize", minimize)
    network.minimize(
        X, Y, method=method, sample_weight=RNG.uniform(0.5, 1, 150), class_weight={0: 2, 1: 1, 2: 1}, **penalties
    )
    size = network.parameter_count * (2 if method == "trust-constr" else 1)
    variables, direction = RNG.uniform(0.1, 1, size), RNG.normal(size=size)
    step = 1e-5 * direction
    near = [received["function"](variables + sign * step)[1] for sign in (1, -1)]
    product = (
        (received["hess"](variables) @ direction) if "hess" in received else received["hessp"](variables, direction)
    )
    assert ("hessp" in received) == (method in ("Newton-CG", "trust-ncg", "trust-krylov"))
    np.testing.assert_allclose(product, (near[0] - near[1]) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", METHODS[:-1])
def test_minimizers(method):
    """The minimizers end where the gradient is 0, in few iterations, as near as the precision allows."""
    model, X, Y = CASES["curve"]
    Y = 2 * np.exp(-1.3 * X) + 0.5
    for precision, accuracy in (("float64", 1e-4), ("float32", 1e-2)):
        minimized = module(model, precision).minimize(X, Y, method=method, tol=1e-6 if precision == "float64" else 1e-4)
        np.testing.assert_allclose(minimized.parameters, [2, 1.3, 0.5], rtol=accuracy)
        assert len(minimized.history) < 60


def test_a_hessian_of_the_user():
    """A Hessian that is given is used."""
    model, X, Y = CASES["curve"]
    calls = []

    def hessian(variables):
        calls.append(variables)
        return np.eye(3)

    module(model).minimize(X, Y, method="trust-exact", hess=hessian, options={"maxiter": 2})
    assert calls
