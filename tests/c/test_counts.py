"""Compiled windows and recurrences for any number of samples, after a tile that has left no numbers in memory."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from tests.support.built import built, stage

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(4)


def mixed():
    """A layer before windows and pools, of which a loop over time in both directions makes a state."""
    windows = [nn.Conv1D(3, 3, activation="tanh", padding="same"), nn.MaxPooling1D(2)]
    layers = [nn.Dense(2, "tanh"), *windows, nn.Bidirectional(nn.GRU(2)), nn.Dense(2)]
    return nn.Sequential(layers, (6, 2), name="mixed")


MODEL = mixed()
KINDS = {
    "float64": ("float64", {}, 1e-12),
    "float32": ("float32", {}, 2e-5),
    "segments": ("float64", {"segment_length": 2}, 1e-12),
}


@pytest.mark.parametrize(
    ("name", "every"),
    [("float64", False), *(pytest.param(name, True, marks=pytest.mark.thorough) for name in KINDS)],
    ids=["some", *KINDS],
)
def test_any_number_of_samples(name, every):
    """Outputs, loss and gradient are those of the evaluator for 1 to 2 tiles and one more sample."""
    precision, choices, close = KINDS[name]
    program, tile = stage(MODEL), stage(MODEL, "schedule", precision, False, **choices).tile
    module = built(MODEL, precision, False, **choices)
    parameters, X = RNG.normal(0, 0.5, program.parameter_count), RNG.uniform(-1, 1, (2 * tile + 1, 12))
    Y = RNG.normal(size=(len(X), 2))
    arrays = [each.astype(module.dtype) for each in (parameters, X, Y)]
    extreme = np.full((tile, 12), np.finfo(module.dtype).max, module.dtype)
    some = (1, 2, 3, 5, tile // 2 + 1, tile - 3, tile, tile + 1, tile + 5, 2 * tile + 1)
    for count in range(1, len(X) + 1) if every else some:
        left, _ = module.loss_and_gradient(arrays[0], extreme, extreme[:, :2])
        assert not np.isfinite(left)
        rows = [each[:count] for each in arrays[1:]]
        values = evaluate(program, *(each.astype(float) for each in (arrays[0], *rows)))
        outputs = values[program.outputs[0].tensor]
        np.testing.assert_allclose(module.predict(arrays[0], rows[0]), outputs, atol=close)
        assert module.loss(arrays[0], *rows) == pytest.approx(float(values["loss"]), rel=10 * close)
        loss, gradient = module.loss_and_gradient(arrays[0], *rows)
        expected = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
        assert loss == pytest.approx(float(values["loss"]), rel=10 * close)
        np.testing.assert_allclose(gradient, expected, atol=close * np.linalg.norm(expected))
