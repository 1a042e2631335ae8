"""Reads a file of the format ONNX as a network: ``from_onnx``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, exp

from nncodegen.compiler.describe import Graph, Optimizer, check_program
from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.describe.loss_steps import Output
from nncodegen.compiler.describe.losses import LossFunction
from nncodegen.compiler.ir import Step, verify
from nncodegen.compiler.ir.functions import sigmoid
from nncodegen.errors import ModelError, ProgramError
from nncodegen.formats.onnx.reading.axes import Cuts, RefinedError
from nncodegen.formats.onnx.reading.builder import Builder
from nncodegen.formats.onnx.reading.call import MOST_WHOLE, Clock, OnnxCall, Operand, type_of_operand
from nncodegen.formats.onnx.reading.file import FLOATS, SHORT, Declared, File, OnnxNode, read
from nncodegen.formats.onnx.reading.finish import Finished, finished
from nncodegen.formats.onnx.reading.operators import OPERATORS
from nncodegen.formats.onnx.reading.scan import counted
from nncodegen.formats.onnx.reading.shapes import as_operand
from nncodegen.formats.onnx.reading.types import BOOL, is_exact, types_of_results
from nncodegen.formats.onnx.reading.values import MOST_SIZE, Shape, Value, Weights

MOST_READINGS = 20_000
"""The largest number of times that nodes are read; a graph is read again where its axes have to be refined."""

_TYPES: Mapping[str, type] = {**dict.fromkeys(FLOATS, np.float64), BOOL: np.bool_}
"""The types of arrays for constants that are no whole numbers, by the type of the input."""

KNOWN = {name: operator.read for name, operator in OPERATORS.items() if operator.read is not None}
"""Every operator that nncodegen reads."""


def from_onnx(
    source: Any,
    loss: str | LossFunction | None = None,
    name: str = "network",
    optimizers: Sequence[Optimizer] = (),
    frozen: Sequence[str] = (),
    outputs: Sequence[str] | None = None,
    batch: bool | None = None,
    constants: Mapping[str, ArrayLike] | None = None,
) -> Graph:
    """Return the network in a file of the format ONNX (its path), in its bytes, or in an onnx.ModelProto.

    Parameters are the weights of the file, with the names and in the order of the file, and start with its values, so
    that the network predicts what the file does. Operations on the inputs before the first layer, such as scaling, are
    kept, and so are the parameters named in ``frozen``: they are not trained. Inputs are the columns of X, one tensor
    after the other; outputs those of the graph that are real numbers, or the tensors named in ``outputs``; labels are
    left out.

    The loss is by default "categorical_crossentropy" for a softmax and for probabilities of two classes, "nll" for a
    log-softmax, "binary_crossentropy" for a sigmoid, else "mse". Where the first axis of the inputs has a size above
    one, ``batch`` says whether it is that of the samples (True) or belongs to each of them (False). ``constants`` are
    the values of inputs that are constants, by name, such as the mean of a Normalization in a file of tf2onnx.

    Raise ModelError for a file that is damaged or cannot be compiled, with all its unknown operators;
    MissingDependencyError without the package onnx, OSError.
    """
    with bounded("the ONNX file"):
        network = translated(source, outputs, frozen, batch, constants)
        usual = loss if loss is not None else _usual_loss(network.outputs, network.steps)
        try:
            parts = network.inputs, network.parameters, network.steps, network.outputs
            graph = Graph(*parts, usual, name, optimizers, extents=network.extents)
            check_program(verify(graph.describe()))
        except ProgramError as error:
            raise ModelError(f"the ONNX file cannot be written in index notation: {error}") from error
    return graph


def translated(
    source: Any,
    outputs: Sequence[str] | None = None,
    frozen: Sequence[str] = (),
    batch: bool | None = None,
    constants: Mapping[str, ArrayLike] | None = None,
) -> Finished:
    """Return the inputs, parameters, steps and outputs of a file; ``from_onnx`` documents the arguments."""
    file = read(source)
    file = _with_constants(file, constants) if constants else file
    wanted = _wanted(file, outputs)
    nodes = _needed(file, wanted)
    _check_operators(nodes)

    def read_as(shapes: dict[str, Shape]) -> Finished:
        cuts: Cuts = {}
        while len(cuts) * len(nodes) < MOST_READINGS:
            with suppress(RefinedError):  # there are more cuts
                builder, values = _traced(file, nodes, shapes, cuts, wanted)
                return finished(builder, values, tuple(file.constants), file.fixed, frozen)
        raise ModelError("the ONNX file cuts and merges axes in too many ways to be written in index notation")

    try:
        return read_as(_input_shapes(file, batch))
    except ModelError:
        if batch is not None or {declared.shape[0] for declared in file.inputs if declared.shape} != {1}:
            raise
        # The graph of a single sample may have shapes that count on its size, such as that of its heads. It is the
        # same network where this axis belongs to each sample.
        with suppress(ModelError):
            return read_as(_input_shapes(file, False))
        raise


def _with_constants(file: File, values: Mapping[str, ArrayLike]) -> File:
    """Return the file with the values of some inputs. Raise ModelError for others, and for shapes that do not fit."""
    inputs = {declared.name: declared for declared in file.inputs}
    arrays = dict(file.constants)
    for name, value in values.items():
        if name not in inputs:
            raise ModelError(f"constants has {name!r}, which is no input of the ONNX file; there: {', '.join(inputs)}")
        try:
            array: NDArray[Any] = np.array(value, _TYPES.get(inputs[name].type, np.int64))
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"the constant {name!r} must be an array of numbers: {error}") from error
        shape = inputs[name].shape
        fits = shape is None or (
            len(shape) == array.ndim
            and all(not isinstance(n, int) or n == m for n, m in zip(shape, array.shape, strict=True))
        )
        if not fits or not np.isfinite(array).all():
            raise ModelError(f"the constant {name!r} must be finite, and have the shape {shape}, not {array.shape}")
        arrays[name] = array
    return replace(
        file, constants=arrays, inputs=tuple(declared for declared in file.inputs if declared.name not in values)
    )


# --- the parts of the graph that are read ------------------------------------------------------------------------


def _wanted(file: File, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the tensors that are the outputs."""
    if outputs is not None:
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        for name in names:
            if name not in file.producers:
                there = ", ".join(output.name for output in file.outputs)
                raise ModelError(f"no node of the ONNX file gives {name!r}; its outputs are: {there}")
    else:
        names = tuple(
            output.name for output in file.outputs if output.name in file.producers and _is_real(file, output)
        )
    if not names or len(set(names)) < len(names):
        there = ", ".join(f"{output.name} ({output.type or 'no tensor'})" for output in file.outputs)
        raise ModelError(f"the ONNX file has no outputs that are real numbers, or one twice; there are: {there}")
    return names


def _is_real(file: File, output: Declared) -> bool:
    """Return whether an output is real numbers: those of a ZipMap are, in the form of dictionaries."""
    return output.type in FLOATS or file.producers[output.name].kind == "ai.onnx.ml.ZipMap"


def _needed(file: File, wanted: Sequence[str]) -> tuple[OnnxNode, ...]:
    """Return the nodes that the outputs depend on, in their order."""
    needed, names = [], set(wanted)
    for node in reversed(file.nodes):
        if names & set(node.outputs):
            needed.append(node)
            names |= set(node.reads)
    return tuple(reversed(needed))


def _check_operators(nodes: Sequence[OnnxNode]) -> None:
    """Raise ModelError with all operators that are not known."""
    every = [*nodes, *(inner for node in nodes if node.body for inner in node.body.nodes)]
    unknown = sorted({node.kind for node in every if node.kind not in KNOWN})
    if unknown:
        raise ModelError(
            f"the ONNX file has operators that nncodegen does not know: {', '.join(unknown)}; "
            f"it knows those that docs/guide/onnx.md lists"
        )


def _input_shapes(file: File, batch: bool | None) -> dict[str, Shape]:
    """Return the shape of each input; None stands for the samples."""
    shapes: dict[str, Shape] = {}
    for declared in file.inputs:
        if declared.type == "bfloat16":
            raise ModelError(f"the input {declared.name!r} of the ONNX file is in {SHORT}")
        if declared.type in ("", "str", "?") or declared.shape is None:
            raise ModelError(f"the input {declared.name!r} of the ONNX file is no tensor of numbers, or has no shape")
        first, *rest = declared.shape or (1,)
        for size in rest:
            if not isinstance(size, int) or size < 1:
                raise ModelError(
                    f"the input {declared.name!r} of the ONNX file has the shape {declared.shape}: every size but that "
                    f"of the first axis must be a number"
                )
        if isinstance(first, int) and first < 1:
            raise ModelError(
                f"the input {declared.name!r} of the ONNX file has the shape {declared.shape}, without any values"
            )
        if isinstance(first, int) and first > 1 and batch is None:
            raise ModelError(
                f"the first axis of the input {declared.name!r} of the ONNX file has size {first}: give batch=True if "
                f"it is the axis of the samples, or batch=False if it belongs to each sample"
            )
        samples = not isinstance(first, int) or batch is True
        if samples and batch is False:
            raise ModelError(f"the first axis of the input {declared.name!r} of the ONNX file has no fixed size")
        sizes = tuple(n for n in rest if isinstance(n, int))
        fixed = (first,) if isinstance(first, int) and not samples else (None,)
        shapes[declared.name] = (*fixed, *sizes) if declared.shape else ()
    return shapes


# --- the graph as steps ------------------------------------------------------------------------------------------


def _traced(
    file: File, nodes: Sequence[OnnxNode], shapes: dict[str, Shape], cuts: Cuts, wanted: Sequence[str]
) -> tuple[Builder, list[tuple[str, Value]]]:
    """Return the steps of the nodes, and the outputs. Raise RefinedError where more cuts are needed."""
    builder = Builder(cuts, (*file.constants, *shapes, *wanted), file.ours)
    builder.trained |= file.trained
    builder.known |= file.trained
    declared = {
        input_of_file.shape[0]
        for input_of_file in file.inputs
        if input_of_file.shape and shapes[input_of_file.name][:1] == (None,)
    }
    builder.exported = next((n for n in declared if isinstance(n, int)), None) if len(declared) == 1 else None
    known: dict[str, Operand] = {name: as_operand(name, array) for name, array in file.constants.items()}
    types = {input_of_file.name: input_of_file.type for input_of_file in file.inputs}
    known |= {name: builder.input(name, shape, types[name]) for name, shape in shapes.items()}
    batch = any(shape[:1] == (None,) for shape in shapes.values())
    results: dict[str, Value] = {}

    def evaluate(nodes: Sequence[OnnxNode], ends: Sequence[str], known: dict[str, Operand]) -> None:
        readers = Counter([*ends, *(name for node in nodes for name in node.reads)])
        for node in nodes:
            operands = [known.get(name) if name else None for name in node.inputs]
            call = OnnxCall(node, operands, builder, file.opset, batch, known, evaluate)
            types = types_of_results(node, [*map(type_of_operand, operands)], file.opset)
            for name, result, kind in zip(node.outputs, _results(call), types, strict=False):
                result = _typed(result, kind)
                if isinstance(result, Value):
                    results[name] = result
                    result = builder.held(result, "t") if readers[name] > 1 else result
                known[name] = result

    evaluate(nodes, (), known)
    values = []
    for name in wanted:
        if name not in results:
            raise ModelError(f"the output {name!r} of the ONNX file is not computed from its inputs")
        values.append((name, results[name]))
    return builder, values


def _results(call: OnnxCall) -> Sequence[Operand]:
    """Compute the results of a node. Raise ModelError, which names the node."""
    node = call.node
    try:
        counts = any(isinstance(operand, Clock) for operand in call.inputs) and node.kind not in ("Gather", "Loop")
        computed = counted(call) if counts else KNOWN[node.kind](call)
    except ModelError as error:
        message = str(error) if str(error).startswith("the node ") else f"{node}: {error}"
        raise ModelError(message) from error
    results = computed if isinstance(computed, list) else [computed]
    for result in results:
        if isinstance(result, np.ndarray) and result.size > (MOST_SIZE if result.dtype == np.bool_ else MOST_WHOLE):
            raise ModelError(f"{node} gives {result.size:,} whole numbers; {MOST_WHOLE:,} at most")
    return results


def _typed(result: Operand, kind: str) -> Operand:
    """Return a result of a node as elements of a type; as it is where that is not known."""
    if isinstance(result, Value):
        return replace(result, type=kind) if kind else result
    if isinstance(result, Weights) and is_exact(kind):
        result = result.array
    if isinstance(result, np.ndarray) and is_exact(kind):
        return np.asarray(result != 0) if kind == BOOL else np.asarray(np.trunc(result)).astype(np.int64)
    return result


def _usual_loss(outputs: Sequence[Output], steps: Sequence[Step]) -> str:
    """Return the usual loss for the last operation of the network."""
    formulas = [output.formula for output in outputs]
    logarithms = {step.target for step in steps if step.operator == "log_softmax"}
    heads = {_head(formula, logarithms) for formula in formulas}
    if len(formulas) == 2 and _is_one(sum(formulas)):
        return "categorical_crossentropy"
    losses = {"softmax": "categorical_crossentropy", "log_softmax": "nll", "sigmoid": "binary_crossentropy"}
    return losses.get(heads.pop(), "mse") if len(heads) == 1 else "mse"


def _head(formula: Expr, logarithms: set[Any]) -> str:
    if formula in logarithms:
        return "log_softmax"
    if isinstance(formula, exp) and formula.args[0] in logarithms:
        return "softmax"
    return "sigmoid" if isinstance(formula, sigmoid) else ""


def _is_one(total: Any) -> bool:
    return bool(total == 1) or (isinstance(total, Expr) and bool(np.all(total.expand() == 1)))
