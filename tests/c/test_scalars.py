"""Networks written out as formulas: the same numbers, and used where that is faster."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.schedule.unrolled import PARAMETERS, written_out
from nncodegen.perceptron import model as perceptron_model
from tests.support.models import gradient_of, random_data

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)


def network(*units, inputs=3, last="linear", loss="mse"):
    layers = [*(nn.Dense(n, "tanh") for n in units[:-1]), nn.Dense(units[-1], last)]
    return nn.Sequential(layers, inputs, loss, name="small")


def labelled(*units):
    return network(*units, last="softmax", loss="categorical_crossentropy")


def scalars_of(model, **choices):
    return nn.compile_model(model, until="schedule", choices=choices)["schedule"].unrolled


@pytest.mark.parametrize(
    "model",
    [
        network(4, 2),
        network(1),
        labelled(3, 2),
        network(2, 3, 2, last="sigmoid", loss="binary_crossentropy"),
        network(5, 2, last="softplus", loss="poisson"),
    ],
    ids=["mse", "line", "softmax", "sigmoid", "poisson"],
)
def test_values(model):
    """Loss, outputs and gradient of what is written out are those of the network, by the evaluator."""
    program = nn.compile_model(model, until="simplify")["simplify"]
    scalar = written_out(program)
    assert all(tensor.shape in ((), (None,)) for tensor in scalar.declared)
    parameters, X, Y = random_data(program, samples=7)
    values, expected = nn.evaluate(scalar, parameters, X, Y), nn.evaluate(program, parameters, X, Y)
    assert float(values["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-13)
    outputs = np.stack([values[element.tensor] for element in scalar.outputs], axis=1)
    assert outputs == pytest.approx(expected[program.outputs[0].tensor], rel=1e-13)
    gradient = gradient_of(scalar, parameters, X, Y)
    assert gradient == pytest.approx(gradient_of(program, parameters, X, Y), rel=1e-12, abs=1e-15)


def test_where_it_is_faster():
    """Up to a number of parameters, without noise, and not where the schedule was chosen otherwise."""
    most = network(13, 1)  # 4*13 + 14
    assert nn.compile_model(most, until="describe")["describe"].parameter_count == PARAMETERS + 2
    assert scalars_of(most) is None
    assert scalars_of(network(12, 1))
    noisy = nn.Sequential([nn.Dense(3, "tanh"), nn.Dropout(0.5), nn.Dense(1)], 3, name="noisy")
    assert scalars_of(noisy) is None
    assert scalars_of(network(4, 2), blas=True) is None
    assert scalars_of(perceptron_model)


@pytest.mark.parametrize("classes", [False, True])
def test_what_is_measured_of_single_samples(classes):
    """Metrics, and those of validation data, are as for updates outside of registers.

    A penalty too small to count keeps a training out of them.
    """
    module = nn.build(labelled(4, 3) if classes else network(4, 3))
    X, Y = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40) if classes else RNG.normal(size=(40, 3))
    options = {
        "epochs": 4,
        "batch_size": 1,
        "learning_rate": 0.05,
        "seed": 3,
        "validation_data": (X[:9], Y[:9]),
        "metrics": ["accuracy", "mae"] if classes else ["r2", "mae"],
    }
    fast, slow = (module.train(X, Y, l2=l2, **options) for l2 in (0.0, 1e-300))
    assert fast.parameters == pytest.approx(slow.parameters, rel=1e-12)
    assert fast.history == pytest.approx(slow.history, rel=1e-12)
    assert len(fast.metrics) > 3
    assert fast.metrics.keys() == slow.metrics.keys()
    for name, values in fast.metrics.items():
        assert values == pytest.approx(slow.metrics[name], rel=1e-10), name
