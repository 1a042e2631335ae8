"""Weights that lie transposed while they are trained: nobody sees it."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building.build import load
from nncodegen.compiler.describe.optimizers import OPTIMIZERS
from tests.support.models import gradient_of

pytestmark = pytest.mark.usefixtures("quick_compiler")

UNITS = {"float64": 16, "float32": 32}  # two of the longest vectors
BOUNDS = {"float64": 1e-13, "float32": 1e-5}
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(150, 7)), RNG.integers(0, 3, 150)


def network(units, inputs=7, name="transposed"):
    layers = [nn.Dense(units, "tanh"), nn.Dense(units, "relu"), nn.Dense(3, "softmax")]
    return nn.Sequential(layers, inputs, "categorical_crossentropy", name=name)


def layout(model, precision="float64", **choices):
    return nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"].layout


@pytest.fixture(scope="module", params=["float64", "float32"])
def modules(request, quick_compiler):
    """A network whose first weights are transposed in training, and the same where they are not."""
    options = {"model": network(UNITS[request.param]), "precision": request.param}
    return [nn.build(**options, choices={"transposed": transposed}) for transposed in (True, False)]


@pytest.mark.parametrize(
    ("precision", "inputs", "features"),
    [
        (("float64", "float32")[(number + other) % 2], inputs, features)
        for number, inputs in enumerate([1, 3, 4, 7, 33])
        for other, features in enumerate([["j"], ["j", "i"]])
    ],
)
def test_gradient(precision, inputs, features):
    """The loss and its gradient are those of the evaluator, in the order of the parameters that people know.

    For every number of inputs with either layout, and both with either precision.
    """
    model, choices = network(UNITS[precision], inputs), {"transposed": True, "features": features}
    compiled = nn.compile_model(model, precision, choices=choices)
    assert compiled["schedule"].layout.transposed == ("W1", "d_W1")
    module, program = load(compiled.built), compiled["simplify"]
    rng = np.random.default_rng(0)
    parameters = (0.3 * rng.normal(size=module.parameter_count)).astype(precision).astype(float)
    for samples in (1, 2, 65, 129):
        rows, classes = rng.normal(size=(samples, inputs)).astype(precision), np.eye(3)[rng.integers(0, 3, samples)]
        expected = module.unpack(gradient_of(program, parameters, rows, classes))
        loss, gradient = module.loss_and_gradient(parameters, rows, classes)
        right = float(nn.evaluate(program, parameters, rows, classes)["loss"])
        assert loss == pytest.approx(right, rel=BOUNDS[precision])
        for name, part in module.unpack(gradient).items():
            assert np.linalg.norm(part - expected[name]) <= BOUNDS[precision] * np.linalg.norm(expected[name])


def same(modules, **options):
    """The results of a training, which agree: they differ by the order of sums at most."""
    results = [module.train(X, LABELS, **{"epochs": 3, "batch_size": 40} | options) for module in modules]
    bound = 1e-11 if modules[0].precision == "float64" else 2e-4
    transposed, straight = results
    assert transposed.parameters == pytest.approx(straight.parameters, rel=bound, abs=bound)
    assert transposed.loss == pytest.approx(straight.loss, rel=bound)
    assert transposed.epochs == straight.epochs
    for name, figures in straight.metrics.items():
        assert transposed.metrics[name] == pytest.approx(figures, rel=bound, abs=bound, nan_ok=True)
    return results


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "sgd with a momentum"])
def test_optimizers(modules, optimizer):
    """Every optimizer ends at the same parameters, with the same state, and goes on from it."""
    options = {"optimizer": optimizer, "learning_rate": 0.01}
    if optimizer == "sgd with a momentum":
        options = {"momentum": 0.9, "learning_rate": 0.01}
    results = same(modules, **options, epochs=2)
    bound = 1e-11 if modules[0].precision == "float64" else 2e-4
    transposed, straight = (result._state["state"] for result in results)
    assert transposed == pytest.approx(straight, rel=bound, abs=bound)
    module = modules[0]
    resumed = module.train(X, LABELS, **options, batch_size=40, epochs=5, resume=results[0])
    assert np.array_equal(resumed.parameters, module.train(X, LABELS, **options, batch_size=40, epochs=5).parameters)


@pytest.mark.parametrize(
    "options",
    [
        {"update": "sequential", "epochs": 1, "batch_size": None},
        {"l1": 0.01, "l2": 0.1, "clipvalue": 0.05},
        {"clipnorm": 0.1, "weight_decay": 0.01},
        {"shuffle": True, "seed": 7, "schedule": "cosine"},
        {"validation_data": (X[:31], LABELS[:31]), "metrics": ("accuracy", "r2", "mae")},
        {"validation_split": 0.2, "monitor": "val_loss", "patience": 2, "learning_rate": 2.0, "epochs": 9},
        {"monitor": "loss", "learning_rate": 3.0, "epochs": 6},
        {"tolerance": 1e-4, "epochs": 50, "batch_size": None},
        {"callback": lambda progress: progress.epochs == 2},
        {"history": False, "sample_weight": np.linspace(0, 1, len(X))},
    ],
    ids="-".join,
)
def test_training(modules, options):
    """So does everything that a training can be told."""
    same(modules, **options)


def test_threads(modules):
    """The bits do not depend on the threads."""
    many, labels = np.tile(X, (40, 1)), np.tile(LABELS, 40)
    results = [modules[0].train(many, labels, epochs=2, optimizer="adam", threads=n).parameters for n in (1, 2, 3, 8)]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_what_a_callback_sees(modules):
    """Parameters are in their usual order after an epoch, and within one."""
    for interval in ("epoch", 1):
        seen = []

        def look(progress, seen=seen):
            seen.append((progress.updates, progress.parameters))
            return len(seen) == 3

        options = {"batch_size": len(X), "learning_rate": 0.05, "callback_interval": interval}
        ended = modules[0].train(X, LABELS, epochs=10**6, callback=look, **options)
        assert np.array_equal(ended.parameters, seen[-1][1])
        for updates, parameters in seen:
            again = modules[0].train(X, LABELS, epochs=max(updates, 1), batch_size=len(X), learning_rate=0.05)
            expected = again.parameters if updates else modules[0].initial_parameters()
            assert np.array_equal(parameters, expected)


def test_what_is_transposed():
    """The weights of a first layer of whole vectors, which stay in the cache, where its units run innermost."""
    assert layout(network(16)).transposed == ("W1", "d_W1")
    assert layout(network(32), "float32").transposed == ("W1", "d_W1")
    assert layout(network(17)).transposed == ()
    assert layout(network(16), features=["i"]).transposed == ()
    assert layout(network(64, 100)).transposed == ()
    assert "W1: as people see it, for its 6,400 weights" in layout(network(64, 100)).show()
    assert layout(network(64, 100), transposed=True).transposed == ("W1", "d_W1")
    assert layout(network(64, 100), transposed=["W1"]).transposed == ("W1", "d_W1")
    assert layout(network(16), transposed=False).transposed == ()
    assert layout(network(16), transposed=True, blas=True).transposed == ()
    assert layout(nn.Sequential([nn.Dense(16), nn.Dense(16), nn.Dense(1)], 16)).transposed == ("W1", "d_W1")


def test_choices_that_cannot_be_meant():
    """A choice that does not exist is an error that says what does."""
    for transposed, message in ((["W2"], "'W2' cannot lie transposed; what can: W1"), ("W1", "True, False or a list")):
        with pytest.raises(nn.ModelError, match=message):
            layout(network(16), transposed=transposed)
