"""Names that people know from other libraries: what works, and what is meant where it does not."""

import pickle
import re
import warnings

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.runtime.python.ground import names_elsewhere

pytestmark = pytest.mark.usefixtures("quick_compiler")

X1, A, B, C, Y1 = sympy.symbols("x a b c y")
X = np.linspace(0, 2, 20)
Y = 3 * np.exp(-X) + 1 + 0.01 * np.sin(9 * X)
TEXT = "a*exp(-b*x) + c"


def curve(x, a, b, c):
    return a * np.exp(-b * x) + c


@pytest.fixture(scope="module")
def decay(quick_compiler):
    return nn.build(nn.Model("decay", [X1], [Y1], {A: 1.0, B: 1.0, C: 0.0}, A * sympy.exp(-B * X1) + C))


@pytest.fixture(scope="module")
def network(quick_compiler):
    return nn.build(nn.Sequential([nn.Dense(2, "Tanh"), nn.Dense(1)], inputs=1, loss="MSE", name="tiny"))


# --- curve_fit ---------------------------------------------------------------------------------------------------

CALLS = [
    {},
    {"method": "lm"},
    {"method": "trf", "max_nfev": 500},
    {"maxfev": 500},
    {"check_finite": True},
    {"nan_policy": "raise"},
    {"nan_policy": "omit", "sigma": np.linspace(0.1, 0.2, 20), "absolute_sigma": True},
]


@pytest.mark.parametrize("options", CALLS)
def test_curve_fit_as_scipy(options):
    """A call by SciPy's names gives SciPy's parameters and covariance, with a text in the place of its function."""
    optimize = pytest.importorskip("scipy.optimize")
    Z = Y.copy()
    if options.get("nan_policy") == "omit":
        Z[[3, 7]] = np.nan
    expected = optimize.curve_fit(f=curve, xdata=X, ydata=Z, **options)
    fitted = nn.curve_fit(f=TEXT, xdata=X, ydata=Z, **options)
    np.testing.assert_allclose(fitted[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(fitted[1], expected[1], rtol=1e-4)


def test_data_that_are_omitted():
    """With nan_policy="omit", a fit is that of the data without the rows that are NaN in a column or in y."""
    random = np.random.default_rng(1)
    data = {"u": random.normal(size=12), "v": random.normal(size=12), "w": np.full(12, np.nan)}
    target = 2 * data["u"] + 3 * data["v"] ** 2 + 0.1 * random.normal(size=12)
    kept = np.ones(12, bool)
    kept[[2, 5]] = False
    expected = nn.curve_fit("a*u + b*v**2", {name: values[kept] for name, values in data.items()}, target[kept])
    data["u"][2], target[5] = np.nan, np.nan
    fitted = nn.curve_fit("a*u + b*v**2", data, target, nan_policy="omit")  # w, which is not used, does not count
    for value, expected_value in zip(fitted, expected, strict=True):
        np.testing.assert_array_equal(value, expected_value)


REFUSED = [
    ({"check_finite": True}, ValueError, r"y\[3\] is nan, which check_finite refuses"),
    ({"nan_policy": "raise"}, ValueError, r"y\[3\] is nan, which nan_policy refuses; nan_policy='omit' leaves NaN out"),
    ({"nan_policy": "propagate"}, ValueError, "nan_policy is 'propagate'; there are: 'raise', 'omit'"),
    ({"method": "newton"}, ValueError, "method is 'newton'; there are: 'lm', 'trf', 'dogbox'"),
    ({"jac": curve}, TypeError, "'jac': derivatives are exact, and need no options"),
    ({"ftol": 1e-9}, TypeError, "'ftol': give tolerance, one number for all tests of convergence"),
    ({"maxfev": 9, "max_iterations": 9}, TypeError, "maxfev and max_iterations are the same argument"),
    ({"xdata": X}, TypeError, "xdata and x are the same argument|multiple values for argument 'x'"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_curve_fit_refuses(options, error, message):
    """What SciPy refuses is refused, and what has no meaning here is told."""
    Z = Y.copy()
    Z[3] = np.nan
    with pytest.raises(error, match=message):
        nn.curve_fit(TEXT, X, Z, **options)


def test_few_evaluations():
    """Where maxfev is used up, the fit fails, as SciPy's does."""
    with pytest.raises(RuntimeError, match="raise max_iterations"):
        nn.curve_fit(TEXT, X, Y, p0=[30, 5, -9], maxfev=2)


# --- arguments ---------------------------------------------------------------------------------------------------


def test_other_spellings(network):
    """Names of optimizers, activations and losses are known in other spellings, as those of classes of PyTorch."""
    assert nn.Dense(3, "LeakyReLU") == nn.Dense(3, "leaky_relu")
    assert repr(nn.LSTM(2, "Tanh", recurrent_activation="Sigmoid")) == repr(nn.LSTM(2))
    assert nn.Sequential([nn.Dense(1)], 1, loss="Binary_CrossEntropy").loss == "binary_crossentropy"
    for name, usual in (("Adam", "adam"), ("SGD", "sgd"), ("RMSprop", "rmsprop")):
        trained = network.train(X, Y, optimizer=name, epochs=3)
        np.testing.assert_array_equal(trained.parameters, network.train(X, Y, optimizer=usual, epochs=3).parameters)
    with pytest.raises(ValueError, match="there is no optimizer 'Adamant'; there are: sgd, "):
        network.train(X, Y, optimizer="Adamant")


@pytest.mark.parametrize("name", names_elsewhere.ARGUMENTS["train"])
def test_arguments_of_train(name, network):
    """An argument that train does not have, but others do, is refused with what to give."""
    with pytest.raises(TypeError, match=re.escape(names_elsewhere.ARGUMENTS["train"][name])):
        network.train(X, Y, **{name: 1})


@pytest.mark.parametrize("name", names_elsewhere.ARGUMENTS["fit"])
def test_arguments_of_fit(name, decay):
    """The same for fit, without a warning that names another argument before it."""
    with pytest.raises(TypeError, match=re.escape(names_elsewhere.ARGUMENTS["fit"][name])):
        decay.fit(X, Y, **{name: 1})


def test_every_advice_can_be_followed(decay, network):
    """What is meant is there: arguments that are advised are those of the functions, attributes those of results."""
    results = [decay.fit(X, Y), network.train(X, Y, epochs=2)]
    for name, meant in names_elsewhere.RESULTS.items():
        attribute = re.match(r"\w+", meant).group()
        assert any(hasattr(result, attribute) for result in results), name
    for function, advice in names_elsewhere.ARGUMENTS.items():
        for text in advice.values():
            match = re.match(r"give (?:the start as )?(\w+)", text)
            if match and function != "minimize":
                assert match.group(1) in getattr(nn.Module, function).__doc__ + repr(network.optimizers), text


# --- attributes --------------------------------------------------------------------------------------------------


def test_attributes_of_others(decay, network):
    """An attribute that others have says what is meant; any other is missing as usual."""
    result, training = decay.fit(X, Y), network.train(X, Y, epochs=2)
    for subject, name, message in (
        (result, "params", "a FitResult has no attribute 'params': see parameters"),
        (result, "popt", "a FitResult has no attribute 'popt': see parameters"),
        (training, "params", "a Result has no attribute 'params': see parameters"),
        (result, "nothing", "'FitResult' object has no attribute 'nothing'"),
        (decay, "compile", "the module of decay has no attribute 'compile': it is compiled already"),
        (nn.Sequential([nn.Dense(1)], 1), "compile", r"the model network has no .*: nncodegen.build\(model\) compiles"),
        (nn.Sequential([nn.Dense(1)], 1), "fit", "build it first, .* module.train"),
    ):
        with pytest.raises(AttributeError, match=message):
            getattr(subject, name)


def test_history_by_name(network):
    """The history of a training is an array, from which metrics are read by name as from that of Keras."""
    result = network.train(X, Y, epochs=4, validation_split=0.2, metrics="mae")
    history = result.history
    np.testing.assert_array_equal(history["loss"], result.metrics["loss"])
    np.testing.assert_array_equal(history["val_mae"], result.metrics["val_mae"])
    with pytest.raises(KeyError, match="acc: the metrics of this training are loss, mae, val_loss, val_mae"):
        history["acc"]
    plain = result.metrics["loss"]
    for plain_values in (
        history + 1,
        history[1:],
        history[-1],
        history.min(),
        np.diff(history),
        np.concatenate([history]),
    ):
        assert type(plain_values) in (np.ndarray, np.float64)
    assert (history.tolist(), repr(history), float(history.sum())) == (plain.tolist(), repr(plain), float(plain.sum()))
    assert type(pickle.loads(pickle.dumps(history))) is np.ndarray


# --- what is warned of -------------------------------------------------------------------------------------------


def test_fewer_data_than_parameters(decay):
    """A fit with fewer data than parameters warns with both numbers, as one that did not converge does."""
    few = "there are fewer data, 2, than free parameters, 3"
    with pytest.warns(RuntimeWarning, match=f"the fit of decay has too few data: .*{few}"):
        fitted = decay.fit(X[:2], Y[:2])
    assert (fitted.status, fitted.success) == ("too_few_data", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decay.fit(X[:2], Y[:2], fixed="c").success
    with pytest.warns(RuntimeWarning, match="is infinite: 2 data for 3 parameters do not determine a, b, c"):
        nn.curve_fit(TEXT, X[:2], Y[:2])


MESSAGES = [
    (
        {"times": [0, 1, 2]},
        r"times of dynamics is the number of times of each sample: give times=3, and the 3 times themselves as columns "
        r"of X, t\[0\] to t\[2\]",
    ),
    ({"times": np.linspace(0, 1, 5)}, "give times=5, and the 5 times themselves"),
    (
        {"parameters": {"k": 1.0, "z": 2.0}},
        "dynamics does not use its parameter z, .*: leave z out, or write it into one of these",
    ),
    ({"inputs": "dose"}, "dynamics does not use its input dose"),
]


@pytest.mark.parametrize(("changes", "message"), MESSAGES)
def test_equations_of_motion(changes, message):
    """Times in the place of their number, and names that nothing uses, are refused with what to do."""
    arguments = {"initial": {"u": 1.0}, "parameters": {"k": 1.0}, "times": 3, **changes}
    with pytest.raises(nn.errors.ModelError, match=message):
        nn.Dynamics("u' = -k*u", **arguments)


def test_a_parameter_that_nothing_uses():
    """A formula names what is in it where a parameter is not."""
    with pytest.raises(nn.errors.ModelError, match=r"'b' occurs neither .*: leave it out, .*; their names are: a, x$"):
        nn.Model("line", "x", "y", {"a": 1, "b": 2}, "a*sin(x) + exp(2.e1)")
