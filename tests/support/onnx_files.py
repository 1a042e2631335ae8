"""Models as ONNX files, and what runtimes make of them."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator

from nncodegen.compiler.describe import describe
from nncodegen.compiler.ir import evaluate
from nncodegen.formats.export.options import ExportOptions
from nncodegen.formats.export.request import Request
from nncodegen.formats.export.subject import exportable
from nncodegen.formats.onnx.writing import files

TOLERANCES = {"float32": 1e-6, "float64": 1e-13}
"""How far a prediction of another runtime may be from ours, relative to its size where that is above 1."""


def exported(model, precision="float64", parameters=None, name="model", opset=None):
    """What the exporter gives."""
    return files(Request(exportable(model, precision, parameters), name, ExportOptions({"opset": opset})))


def loaded(export):
    """The model in what the exporter gave."""
    (content,) = export.files.values()
    return onnx.load_from_string(content)


def predictions(model, X):
    """What onnx.reference and onnxruntime predict for X."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (declared,) = model.graph.input
    feeds = {declared.name: X.astype(helper.tensor_dtype_to_np_dtype(declared.type.tensor_type.elem_type))}
    with np.errstate(all="ignore"):  # the branches of a Where are all computed
        return ReferenceEvaluator(model).run(None, feeds)[0], session.run(None, feeds)[0]


def evaluated(model, parameters, X):
    """The predictions (N, outputs) by the NumPy evaluator, in float64."""
    program = describe(model)
    Y = np.zeros((len(X), sum(tensor.size for tensor in program.targets)))
    values = evaluate(program, parameters, X, Y)
    return np.concatenate([values[element.tensor].reshape(len(X), -1) for element in program.outputs], axis=1)


def distance(computed, expected):
    """The largest difference, relative to the expected value where that is above 1. What is not finite must agree."""
    assert computed.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(computed[~finite], expected[~finite])
    differences = np.abs(computed - expected)[finite] / np.maximum(1, np.abs(expected[finite]))
    return differences.max(initial=0)


def agree(model, X, parameters=None, precision="float64", expected=None, opset=None):
    """Asserts that both runtimes predict what we do; returns the ONNX model.

    Parameters and inputs are rounded to the precision first, so that all compute with the same numbers.
    """
    X = np.asarray(X, precision)
    loaded_model = loaded(exported(model, precision, parameters, opset=opset))
    if expected is None:
        if parameters is None:
            parameters = [tensor.initial.scale for tensor in describe(model).parameters]
        expected = evaluated(model, np.asarray(parameters, precision).astype(float), X.astype(float))
    for predicted in predictions(loaded_model, X):
        assert predicted.dtype == precision
        assert distance(predicted, expected) <= TOLERANCES[precision]
    return loaded_model
