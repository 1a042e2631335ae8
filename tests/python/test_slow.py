"""Without a C compiler: modules that NumPy evaluates have the interface of compiled ones, and their results."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.sparse import csr_array
from sympy import exp, log, symbols

import nncodegen as nn
from nncodegen.perceptron import EPOCHS, LEARNING_RATE, X, Y, model
from nncodegen.pipeline import evaluated_module
from nncodegen.slow import batches
from tests.support import ROOT

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning"),
]

RNG = np.random.default_rng(0)
ROWS, LABELS, WEIGHTS = RNG.normal(size=(61, 4)), RNG.integers(0, 3, 61), RNG.uniform(size=61)
LAYERS = [nn.Dense(6, "tanh"), nn.Dropout(0.3), nn.Dense(5, "relu"), nn.GaussianNoise(0.1), nn.Dense(3, "softmax")]
OWN = nn.Optimizer("half", lambda parameter, gradient, learning_rate: parameter - learning_rate * gradient / 2)

c, r, V, K, a, b, x, y = symbols("c r V K a b x y")
ENZYME = nn.Model("enzyme", inputs=c, targets=r, parameters={V: 100, K: 1}, output=V * c / (K + c))
CONCENTRATION = [0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10]
RATE = [76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200]


def network(loss="categorical_crossentropy", **options):
    return nn.Sequential(LAYERS, inputs=4, loss=loss, name="network", **options)


def both(given, precision="float64", **options):
    return nn.build(given, precision, **options), evaluated_module(given, precision, reason="for a test", **options)


@pytest.fixture(scope="module")
def networks():
    """A network with noise and a Hessian, compiled and not."""
    return both(network(), fit=True)


@pytest.fixture(scope="module")
def singles():
    """The same in single precision."""
    return both(network(), "float32")


@pytest.fixture(scope="module")
def enzymes():
    """A formula that is fitted, compiled and not."""
    return both(ENZYME)


def same(first, second, rtol=1e-11, atol=1e-12):
    np.testing.assert_allclose(second, first, rtol=rtol, atol=atol)


def test_it_says_what_it_is(networks):
    """A module that is not compiled is named slow, and has all attributes and functions of one that is."""
    fast, slow = networks
    assert (slow.variant, slow.variants) == ("numpy", ("numpy",))
    assert "slow" in repr(slow)
    assert "slow" in slow.__doc__
    assert slow.__all__ == fast.__all__
    for name in ("input_names", "output_names", "parameter_shapes", "optimizers", "operations", "dtype"):
        assert getattr(slow, name) == getattr(fast, name)
    same(fast.initial_parameters(3), slow.initial_parameters(3), rtol=0)


def test_losses_and_derivatives(networks, singles):
    """Outputs, losses, gradients and second derivatives are those of the compiled module to rounding."""
    for (fast, slow), rtol, atol in ((networks, 1e-12, 1e-14), (singles, 1e-5, 1e-6)):
        point = fast.initial_parameters(1)
        assert slow.predict(point, ROWS).dtype == fast.dtype
        same(fast.predict(point, ROWS), slow.predict(point, ROWS), rtol, atol)
        same(fast.loss(point, ROWS, LABELS), slow.loss(point, ROWS, LABELS), rtol)
        pairs = zip(*(m.loss_and_gradient(point, ROWS, LABELS, WEIGHTS) for m in (fast, slow)), strict=True)
        for one, other in pairs:
            same(one, other, rtol, atol)
    fast, slow = networks
    same(fast.hessian(point, ROWS, LABELS), slow.hessian(point, ROWS, LABELS))


def test_chunks(networks, monkeypatch):
    """Samples may be computed in parts: the sums are the same to rounding."""
    _, slow = networks
    monkeypatch.setattr(batches, "VALUES", 300)
    parts = evaluated_module(network(), fit=False, reason="for a test")
    point = slow.initial_parameters(1)
    assert parts._model.native._batches.rows < 10
    for one, other in zip(*(m.loss_and_gradient(point, ROWS, LABELS, WEIGHTS) for m in (slow, parts)), strict=True):
        same(one, other)
    same(slow.predict(point, ROWS), parts.predict(point, ROWS), rtol=1e-14)


OPTIONS = {
    "batch_size": 16, "epochs": 5, "metrics": ("accuracy", "mae", "r2"), "validation_fraction": 0.2, "patience": 3,
    "sample_weight": WEIGHTS, "l1": 1e-3, "l2": 1e-3, "class_weight": "balanced",
}  # fmt: skip


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_training(networks, singles, precision):
    """Each optimizer goes the way of the compiled one: the same order of samples, the same noise, the same ends."""
    fast, slow = networks if precision == "float64" else singles
    rtol, atol = (1e-9, 1e-11) if precision == "float64" else (2e-3, 1e-5)
    for optimizer in fast.optimizers if precision == "float64" else ("sgd", "adam"):
        schedule = "constant" if optimizer == "rprop" else "cosine"
        decay = 1e-3 if optimizer == "sgd" else None
        more = {"optimizer": optimizer, "schedule": schedule, "weight_decay": decay, "learning_rate": 0.01}
        clips = {} if optimizer == "rprop" else {"clip_norm": 0.5, "clip_value": 0.2}
        one, other = (m.train(ROWS, LABELS, **more, **clips, **OPTIONS) for m in (fast, slow))
        assert (one.epochs, one.status, one.best_epoch) == (other.epochs, other.status, other.best_epoch), optimizer
        same(one.parameters, other.parameters, rtol, atol)
        assert (one.learning_rate is None) == (optimizer == "rprop")
        assert np.array_equal(one.learning_rate, other.learning_rate)
        for name, figures in one.metrics.items():
            same(figures, other.metrics[name], rtol, atol)


def test_sparse_inputs(networks):
    """Sparse inputs train as the dense ones do, with the same bits."""
    _, slow = networks
    few = ROWS * (abs(ROWS) > 0.8)
    options = {"batch_size": 9, "epochs": 3, "validation_fraction": 0.2, "metrics": "accuracy", "optimizer": "adam"}
    dense, sparse = (slow.train(given, LABELS, **options) for given in (few, csr_array(few)))
    np.testing.assert_array_equal(sparse.parameters, dense.parameters)
    np.testing.assert_array_equal(sparse.metrics["val_loss"], dense.metrics["val_loss"])
    same(slow.loss(dense.parameters, few, LABELS), slow.loss(dense.parameters, csr_array(few), LABELS))


def test_rules_of_ones_own():
    """An update rule that a user wrote is evaluated from its steps; a tolerance and schedules end or scale as in C."""
    given = nn.Sequential([nn.Dense(2)], inputs=4, loss="mse", name="linear", optimizers=[OWN])
    fast, slow = both(given)
    options = {"optimizer": "half", "learning_rate": 0.1, "epochs": 40, "tolerance": 2e-2, "schedule": "step"}
    one, other = (m.train(ROWS, ROWS[:, :2], **options) for m in (fast, slow))
    assert one.status == other.status == "converged"
    assert one.epochs == other.epochs
    same(one.parameters, other.parameters)


def test_the_perceptron():
    """The perceptron trains from 0.649864 to 0.999453 by sequential updates."""
    slow = evaluated_module(model, reason="for a test")
    assert slow.predict(slow.initial_parameters(), X)[0, 0] == pytest.approx(0.649864, abs=1e-6)
    result = slow.train(X, Y, learning_rate=LEARNING_RATE, epochs=EPOCHS, update="sequential")
    assert slow.predict(result.parameters, X)[0, 0] == pytest.approx(0.999453185534, abs=1e-11)


class InterruptionError(Exception):
    """What a callback raises."""


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_an_interrupt_leaves_a_whole_update(networks, update):
    """A training that was interrupted anywhere goes on from its Result with the same bits as one that was not."""
    slow = networks[1] if update == "simultaneous" else evaluated_module(ENZYME, reason="for a test")
    data = (ROWS, LABELS) if update == "simultaneous" else ([[one] for one in CONCENTRATION], RATE)
    options = {"epochs": 6, "batch_size": 5, "optimizer": "adam", "seed": 4, "update": update}
    whole = slow.train(*data, **options)
    calls = iter(range(1000))

    def stops(progress):
        if next(calls) == 7:
            raise InterruptionError

    with pytest.raises(InterruptionError) as caught:
        slow.train(*data, **options, callback=stops, callback_interval=1e-6)
    part = caught.value.result
    assert 0 < part.epochs < 6 or part._state["counters"][3]
    rest = slow.train(*data, **options, resume=part)
    np.testing.assert_array_equal(rest.parameters, whole.parameters)
    assert slow.train(*data, **{**options, "epochs": 10**6}, time_limit=0.1).status == "time_limit"


def test_divergence():
    """A training that diverges says so, and keeps the parameters of its last update."""
    results = []
    for module in both(nn.Model("line", x, y, {a: 1.0}, a * x)):
        with pytest.warns(RuntimeWarning, match="diverged"):
            results.append(module.train(ROWS[:, 0], ROWS[:, 1], learning_rate=1e10, epochs=100))
    one, other = results
    assert one.status == other.status == "diverged"
    assert one.epochs == other.epochs
    same(one.parameters, other.parameters)


FITS = {
    "usual": {}, "huber": {"robust": "huber", "robust_scale": 5.0}, "cauchy": {"robust": "cauchy", "robust_scale": 5.0},
    "soft_l1": {"robust": "soft_l1"}, "bound": {"bounds": {"V": (0, 200)}},
    "two bounds": {"bounds": {"V": (220, 300), "K": (0, 0.05)}}, "fixed": {"fixed": ["K"], "parameters": [100, 0.06]},
    "sigma": {"sigma": np.array(RATE) / 10, "absolute_sigma": True}, "none": {"fixed": ["V", "K"]},
    "few steps": {"max_iterations": 3}, "missing": {"missing": [3, 5]}, "all missing": {"missing": range(12)},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:the fit of enzyme did not converge:RuntimeWarning")
@pytest.mark.parametrize("name", FITS)
def test_fits(enzymes, name):
    """Fits end where compiled ones do, and tell the same of it."""
    options, rate = dict(FITS[name]), np.array(RATE, float)
    rate[list(options.pop("missing", ()))] = np.nan
    one, other = (module.fit(CONCENTRATION, rate, **options) for module in enzymes)
    same(one.parameters, other.parameters, rtol=1e-9)
    same(one.standard_errors, other.standard_errors, rtol=1e-7)
    for attribute in ("status", "message", "used", "rank"):
        assert getattr(one, attribute) == getattr(other, attribute), attribute
    same(one.cost, other.cost)


def test_other_fits(enzymes):
    """Jacobians, fits of many data sets, trainings by "lm" and many models are those of the compiled module."""
    fast, slow = enzymes
    same(fast.jacobian([200, 0.06], CONCENTRATION), slow.jacobian([200, 0.06], CONCENTRATION))
    many = np.array([RATE, RATE[::-1]], float)
    one, other = (module.fit_many(CONCENTRATION, many, parameters=[100, 0.1]) for module in enzymes)
    same(one.parameters, other.parameters, rtol=1e-4)
    one, other = (module.train(CONCENTRATION, RATE, optimizer="lm", epochs=7) for module in enzymes)
    same(one.history, other.history, rtol=1e-9)
    one, other = (m.train_many(CONCENTRATION, RATE, models=2, learning_rate=[0.1, 0.2]) for m in enzymes)
    same(one.parameters, other.parameters)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")  # it has kinks
def test_curved_fits(networks):
    """A loss that is no sum of squares is fitted by generalized Gauss-Newton, with several outputs and with one."""
    start = networks[0].initial_parameters(1)
    one, other = (m.fit(ROWS, LABELS, parameters=start) for m in networks)
    assert (one.status, one.iterations) == (other.status, other.iterations)
    same(one.cost, other.cost, rtol=1e-8)
    f = 1 / (1 + exp(-(a * x + b)))
    logistic = both(nn.Model("logistic", x, y, {a: 0, b: 0}, f, -y * log(f) - (1 - y) * log(1 - f)))
    one, other = (m.fit(ROWS[:, 0], LABELS > 0) for m in logistic)
    same(one.parameters, other.parameters, rtol=1e-8)
    same(one.covariance, other.covariance, rtol=1e-6)


def test_a_loss_that_is_not_convex():
    """The sample at which a loss is not convex is named."""
    given = nn.Model("wave", x, y, {a: 1.0}, a * x, 1 - exp(-((a * x - y) ** 2)))
    for module in both(given):
        with pytest.raises(ValueError, match="not convex in the outputs at row 1"):
            module.fit([[1.0], [5.0]], [[1.0], [0.0]])


def test_minimize(enzymes):
    """SciPy's minimizers work on it."""
    one, other = (module.minimize(CONCENTRATION, RATE) for module in enzymes)
    assert one.status == other.status
    same(one.parameters, other.parameters, rtol=1e-5)


def test_results_are_kept(enzymes, tmp_path):
    """A Result is saved, loaded by the other kind of module, and pickled."""
    fast, slow = enzymes
    result = slow.train(CONCENTRATION, RATE, epochs=3, optimizer="adam")
    result.save(tmp_path / "result.npz")
    same(fast.load(tmp_path / "result.npz").parameters, result.parameters, rtol=0)
    again = pickle.loads(pickle.dumps(result))
    same(slow.train(CONCENTRATION, RATE, epochs=5, optimizer="adam", resume=again).parameters,
         fast.train(CONCENTRATION, RATE, epochs=5, optimizer="adam").parameters)  # fmt: skip


def test_without_a_compiler(tmp_path):
    """Where there is none, ``build`` says so once, and estimators learn; a module cannot be written."""
    program = """
        import warnings
        import numpy as np
        import nncodegen as nn
        from nncodegen.estimators import NNClassifier
        from nncodegen.perceptron import model
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            first, second = nn.build(model), nn.build(model, "float32")
            X = np.linspace(-1, 1, 40)[:, None]
            learned = NNClassifier((), max_iter=200, learning_rate_init=0.1, random_state=0).fit(X, X[:, 0] > 0)
        texts = [str(one.message) for one in caught if one.category is RuntimeWarning]
        assert texts == ["no C compiler was found (looked for $CC = /nonexistent); install one, or pip install "
                         "'nncodegen[compiler]': NumPy evaluates the model, which is slow"], texts
        assert first.variant == second.variant == "numpy"
        assert learned.score(X, X[:, 0] > 0) == 1
        try:
            nn.build(model, out="folder")
        except nn.BuildError as error:
            print(str(error).splitlines()[0])
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": "/nonexistent", "NNCODEGEN_CACHE": str(tmp_path / "c")}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True,
                          text=True, check=False, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no C compiler was found (looked for $CC = /nonexistent)\n"
    assert not (tmp_path / "folder").exists()
