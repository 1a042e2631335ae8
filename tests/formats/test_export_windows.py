"""Convolutions and pools, taken elsewhere: ONNX, plain C, and a module that NumPy evaluates."""

import subprocess
from collections import Counter

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.check import random_data
from tests.support.compilers import QUICK
from tests.support.windows import GROUPED, STEPS

MODELS = pytest.mark.parametrize("model", [GROUPED, STEPS], ids=lambda model: model.name)


def drawn(model):
    program = model.describe()
    X, Y = random_data(program, 4)
    parameters = np.random.default_rng(0).normal(size=program.parameter_count)
    return parameters, X, nn.evaluate(program, parameters, X, Y)[program.outputs[0].tensor]


@MODELS
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_onnx(model, precision, tmp_path):
    """onnxruntime gives our outputs; in single precision, by the operators that there are for windows."""
    onnxruntime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    parameters, X, expected = drawn(model)
    nn.export(model, "onnx", tmp_path, parameters=parameters, precision=precision)
    file = tmp_path / f"{model.name}.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (outcome,) = session.run(None, {session.get_inputs()[0].name: X.astype(precision)})
    assert outcome == pytest.approx(expected, rel=1e-12, abs=1e-13 if precision == "float64" else 2e-5)
    counts = Counter(node.op_type for node in onnx.load(file).graph.node)
    by_name = {name: counts[name] for name in ("Conv", "ConvTranspose", "MaxPool", "AveragePool")}
    assert by_name == dict.fromkeys(by_name, int(precision == "float32"))


@MODELS
def test_plain_c(model, tmp_path):
    """Plain C passes its own test, which compares outputs and gradient with those of the steps."""
    nn.export(model, "c", tmp_path, parameters=drawn(model)[0], train=True)
    sources = sorted(map(str, tmp_path.glob("*.c")))
    subprocess.run([*QUICK.split(), "-o", tmp_path / "test", *sources, "-lm"], check=True, cwd=tmp_path)
    assert "right" in subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=True).stdout
