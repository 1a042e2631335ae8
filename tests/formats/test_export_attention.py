"""Attention, taken elsewhere: plain C, and ONNX."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from tests.support.attention import everything, samples
from tests.support.models import gradient_of
from tests.support.plain import COMPILERS, loaded

EVERYTHING = everything(dropout=0.0)
X, Y = samples(5)


@pytest.fixture(scope="module")
def expected():
    """Parameters, outputs, loss and gradient of the program."""
    program = nn.compile_model(EVERYTHING, until="differentiate")["differentiate"]
    parameters = np.random.default_rng(3).normal(size=program.parameter_count)
    values = evaluate(program, parameters, X, Y)
    outputs = values[program.outputs[0].tensor].reshape(5, -1)
    return parameters, outputs, float(values["loss"]), gradient_of(program, parameters, X, Y)


def test_plain_c(expected, tmp_path):
    """Plain C predicts and trains attention."""
    c = loaded(tmp_path, {"everything": (EVERYTHING, {"train": True, "libm": True})}, COMPILERS[0])["everything"]
    parameters, outputs, loss, gradient = expected
    np.testing.assert_allclose(c.predict(parameters, X), outputs, atol=1e-13)
    loss_and_slope = c.loss_and_gradient(parameters, X, Y)
    assert loss_and_slope[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(loss_and_slope[1], gradient, atol=1e-13 * np.linalg.norm(gradient))


def test_onnx(expected, tmp_path):
    """ONNX has a softmax over the terms that exist; the others are left out of sums by factors of 0."""
    onnxruntime = pytest.importorskip("onnxruntime")
    parameters, outputs, _, _ = expected
    nn.export(EVERYTHING, "onnx", tmp_path, parameters=parameters)
    session = onnxruntime.InferenceSession(str(tmp_path / "everything.onnx"))
    arrays = {"x": X[:, :12], "y": X[:, 12:18], "steps": X[:, 18:19], "mask": X[:, 19:]}
    shapes = {"x": (5, 4, 3), "y": (5, 3, 2), "steps": (5, 1), "mask": (5, 4, 3)}
    names = {value_info.name: value_info for value_info in session.get_inputs()}
    whole = {"X": X} if "X" in names else {name: arrays[name].reshape(shapes[name]) for name in names}
    (outcome,) = session.run(None, whole)
    np.testing.assert_allclose(outcome.reshape(5, -1), outputs, atol=1e-12)
