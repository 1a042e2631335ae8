"""Without a C compiler: modules that NumPy evaluates predict and have derivatives, and say that they cannot train."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sympy
from sympy import Function, symbols

import nncodegen as nn
from nncodegen.compiler.pipeline import evaluated_module
from nncodegen.compiler.slow import native
from nncodegen.perceptron import X, model
from tests.support import ROOT
from tests.support.built import stage
from tests.support.reference import trained

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning"),
]

RNG = np.random.default_rng(0)
ROWS, LABELS, WEIGHTS = RNG.normal(size=(61, 4)), RNG.integers(0, 3, 61), RNG.uniform(size=61)
LAYERS = [nn.Dense(6, "tanh"), nn.Dropout(0.3), nn.Dense(5, "relu"), nn.GaussianNoise(0.1), nn.Dense(3, "softmax")]
NETWORK = nn.Sequential(LAYERS, inputs=4, loss="categorical_crossentropy", name="network")

c, r, V, K = symbols("c r V K")
ENZYME = nn.Model("enzyme", inputs=c, targets=r, parameters={V: 100, K: 1}, output=V * c / (K + c))
CONCENTRATION = [0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10]
RATE = [76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200]


def both(network, precision="float64", **options):
    return nn.build(network, precision, **options), evaluated_module(network, precision, reason="for a test", **options)


@pytest.fixture(scope="module")
def networks():
    """A network with noise and a Hessian, compiled and not."""
    return both(NETWORK, fit=True)


@pytest.fixture(scope="module")
def singles():
    """The same in single precision."""
    return both(NETWORK, "float32")


@pytest.fixture(scope="module")
def enzymes():
    """A formula that can be fitted, compiled and not."""
    return both(ENZYME)


def same(first, second, rtol=1e-11, atol=1e-12):
    np.testing.assert_allclose(second, first, rtol=rtol, atol=atol)


def test_jacobian_of_outputs_with_a_likelihood():
    """Its seeds are found before the numbers that say which targets are known."""
    logs = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(3)], 4, lambda u, y: sympy.exp(u) - y * u, name="logs")
    compiled, evaluated = both(logs, fit=True)
    parameters = RNG.normal(size=compiled.parameter_count)
    expected = compiled.jacobian(parameters, ROWS)
    assert np.abs(expected).max() > 0.1
    same(expected, evaluated.jacobian(parameters, ROWS))


def test_it_says_what_it_is(networks):
    """A module that is not compiled is named slow, and has all attributes and functions of one that is."""
    fast, slow = networks
    assert (slow.variant, slow.variants) == ("numpy", ("numpy",))
    assert "slow" in repr(slow)
    assert "it cannot be trained" in slow.__doc__
    assert slow.__all__ == fast.__all__
    for name in ("input_names", "output_names", "parameter_shapes", "optimizers", "operations", "dtype"):
        assert getattr(slow, name) == getattr(fast, name)
    same(fast.initial_parameters(3), slow.initial_parameters(3), rtol=0)


def test_losses_and_derivatives(networks, singles, enzymes):
    """Outputs, losses, gradients and second derivatives are those of the compiled module to rounding."""
    for (fast, slow), rtol, atol in ((networks, 1e-12, 1e-14), (singles, 1e-5, 1e-6)):
        point = fast.initial_parameters(1)
        assert slow.predict(point, ROWS).dtype == fast.dtype
        same(fast.predict(point, ROWS), slow.predict(point, ROWS), rtol, atol)
        same(fast.loss(point, ROWS, LABELS), slow.loss(point, ROWS, LABELS), rtol)
        pairs = zip(*(m.loss_and_gradient(point, ROWS, LABELS, WEIGHTS) for m in (fast, slow)), strict=True)
        for compiled, evaluated in pairs:
            same(compiled, evaluated, rtol, atol)
    fast, slow = networks
    same(fast.hessian(point, ROWS, LABELS), slow.hessian(point, ROWS, LABELS))
    fast, slow = enzymes
    same(fast.jacobian([200, 0.06], CONCENTRATION), slow.jacobian([200, 0.06], CONCENTRATION))


def test_chunks(networks, monkeypatch):
    """Samples may be computed in parts: the sums are the same to rounding."""
    _, slow = networks
    point = slow.initial_parameters(1)
    whole = slow.loss_and_gradient(point, ROWS, LABELS), slow.predict(point, ROWS)
    monkeypatch.setattr(native, "VALUES", 300)
    parts = slow.loss_and_gradient(point, ROWS, LABELS), slow.predict(point, ROWS)
    for whole_value, sum_of_parts in zip((*whole[0], *whole[1:]), (*parts[0], *parts[1:]), strict=True):
        same(whole_value, sum_of_parts)


def test_fields():
    """Derivatives by inputs, and residuals, are those of the compiled module."""
    x, u = symbols("x"), Function("u")
    terms = nn.Sequential(
        [nn.Dense(3, "tanh"), nn.Dense(1)], inputs=x, outputs=u(x), losses={"all": u(x).diff(x) - 1}, name="terms"
    )
    fast, slow = both(terms)
    point, points = fast.initial_parameters(2), np.linspace(0, 1, 7)[:, None]
    for compiled, evaluated in zip(*(m.derivatives(point, points).values() for m in (fast, slow)), strict=True):
        same(compiled, evaluated)


@pytest.mark.parametrize(
    "call", ["train", "train_many", "fit", "fit_many", "lm", "groups", "errors", "errors in groups", "many errors"]
)
def test_training_takes_a_compiler(enzymes, call):
    """What trains or fits says that it takes a compiler, why the module is not compiled, and what to do."""
    calls = {
        "train": lambda m: m.train(CONCENTRATION, RATE),
        "fit": lambda m: m.fit(CONCENTRATION, RATE),
        "train_many": lambda m: m.train_many(CONCENTRATION, RATE, models=2),
        "fit_many": lambda m: m.fit_many(CONCENTRATION, [RATE, RATE]),
        "lm": lambda m: m.train(CONCENTRATION, RATE, optimizer="lm"),
        "groups": lambda m: m.fit(CONCENTRATION, RATE, groups=[0, 1] * 6, own="V"),
        "errors": lambda m: m.fit(CONCENTRATION, RATE, sigma_x=0.1),
        "errors in groups": lambda m: m.fit(CONCENTRATION, RATE, groups=[0, 1] * 6, own="V", sigma_x=0.1),
        "many errors": lambda m: m.fit_many(CONCENTRATION, [RATE, RATE], sigma_x=0.1),
    }
    what = "trained" if call.startswith("train") else "fitted"
    if "errors" in call:  # of a model that this process has never compiled
        parameters = {V: 100, K: 1, symbols("B"): 0}
        module = evaluated_module(
            nn.Model("apart", c, r, parameters, V * c / (K + c) + symbols("B")), reason="for a test"
        )
    else:
        module = enzymes[1]
    message = (
        rf"(enzyme|apart) is not compiled \(for a test\), and cannot be {what}: build the model again with a C compiler"
    )
    with pytest.raises(nn.BuildError, match=message):
        calls[call](module)


def test_minimize(enzymes):
    """SciPy's minimizers work on it."""
    compiled, evaluated = (module.minimize(CONCENTRATION, RATE) for module in enzymes)
    assert compiled.status == evaluated.status
    same(compiled.parameters, evaluated.parameters, rtol=1e-5)


def test_results_are_read(enzymes, tmp_path):
    """A Result of a compiled module is loaded and unpickled, and predicts."""
    fast, slow = enzymes
    result = fast.train(CONCENTRATION, RATE, epochs=3, optimizer="adam")
    result.save(tmp_path / "result.npz")
    again = slow.load(tmp_path / "result.npz")
    same(again.parameters, result.parameters, rtol=0)
    same(fast.predict(result.parameters, CONCENTRATION), slow.predict(again.parameters, CONCENTRATION))
    same(pickle.loads(pickle.dumps(result)).parameters, result.parameters, rtol=0)


def test_the_perceptron():
    """The perceptron predicts 0.649864 before it is trained."""
    slow = evaluated_module(model, reason="for a test")
    assert slow.predict(slow.initial_parameters(), X)[0, 0] == pytest.approx(0.649864, abs=1e-6)


CHANGES = {"l1": 1e-3, "l2": 1e-3, "weight_decay": 1e-3, "clipnorm": 0.5, "clipvalue": 0.2}


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_compiled_training(networks, update):
    """Each optimizer in C goes the way of a training that is written plainly: order, noise, weights, penalties."""
    fast, program = networks[0], stage(NETWORK, fit=True)
    start = fast.initial_parameters(1)
    for optimizer in fast.optimizers if update == "simultaneous" else ("sgd", "adam"):
        rprop = optimizer == "rprop"
        epochs = 3 if update == "simultaneous" else 1
        options = {
            "epochs": epochs,
            "sample_weight": WEIGHTS,
            "seed": 5,
            "update": update,
            "batch_size": None if rprop else 16,
            **({} if rprop else {"learning_rate": 0.01}),
        }
        allowed = {name: value for name, value in CHANGES.items() if name != "weight_decay" or optimizer == "sgd"}
        options |= {} if rprop else allowed
        training = fast.train(ROWS, LABELS, start, optimizer, **options)
        expected = trained(program, start, ROWS, LABELS, optimizer, **options)
        same(expected, training.parameters, 1e-9, 1e-11)


def test_without_a_compiler(tmp_path):
    """Where there is none, ``build`` says so once, and estimators say what to do; a module cannot be written."""
    program = """
        import warnings
        import numpy as np
        import nncodegen as nn
        from nncodegen.estimators import NNClassifier
        from nncodegen.perceptron import model
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            first, second = nn.build(model), nn.build(model, "float32")
        texts = [str(one.message) for one in caught if one.category is RuntimeWarning]
        assert texts == ["no C compiler was found (looked for $CC = /nonexistent); unset CC, or let it name a compiler "
                         "that is installed: NumPy evaluates the model, which is slow; training and fits take a C "
                         "compiler"], texts
        assert first.variant == second.variant == "numpy"
        X = np.linspace(-1, 1, 40)[:, None]
        try:
            NNClassifier((), max_iter=200).fit(X, X[:, 0] > 0)
        except nn.BuildError as error:
            assert "unset CC, or let it name a compiler that is installed), and cannot be trained" in str(error), error
        try:
            nn.build(model, out="folder")
        except nn.BuildError as error:
            print(str(error).splitlines()[0])
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": "/nonexistent", "NNCODEGEN_CACHE": str(tmp_path / "c")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no C compiler was found (looked for $CC = /nonexistent)\n"
    assert not (tmp_path / "folder").exists()


def test_the_command_that_brings_a_compiler(tmp_path):
    """Where there is no compiler, the first warning, and each error, names the one command that brings one."""
    program = """
        import shlex
        import sys
        import warnings
        sys.modules["ziglang"] = None
        import nncodegen as nn
        model = nn.Model("line", "x", "y", {"a": 0, "b": 1}, "a + b*x")
        command = f"{shlex.quote(sys.executable)} -m pip install 'nncodegen[compiler]'"
        told = f"(looked for gcc, clang, cc, ziglang); {command}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            line = nn.build(model)
        assert f"{told} brings one: NumPy evaluates" in str(caught[0].message), caught[0].message
        for call in (lambda: line.fit([[0.0], [1]], [1, 2]), lambda: line.train([[0.0], [1]], [1, 2], epochs=2)):
            try:
                call()
            except nn.CompilerNotFoundError as error:
                assert f"{told} brings one), and cannot be" in str(error), error
            else:
                raise AssertionError
        try:
            nn.build(model, out="folder")
        except nn.CompilerNotFoundError as error:
            print(str(error).splitlines()[2].strip() == command)
        """
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    environment |= {"PYTHONPATH": str(ROOT), "PATH": str(tmp_path), "NNCODEGEN_CACHE": str(tmp_path / "c")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
