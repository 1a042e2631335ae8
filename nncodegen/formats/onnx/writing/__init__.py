"""``--target onnx``: a model as an ONNX file, with its parameters, for prediction."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from nncodegen.compiler.describe import check_program, describe
from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, needed, slices_of, verify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.schedule.loops import without_noise
from nncodegen.compiler.schedule.recurrences import settled
from nncodegen.errors import ModelError
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.programs import check_steps
from nncodegen.formats.export.request import Exported, Request
from nncodegen.formats.onnx.writing.graph import PRODUCER, TYPES, OnnxGraph, Value
from nncodegen.formats.onnx.writing.masks import masked
from nncodegen.formats.onnx.writing.operators import Operator, operators_of
from nncodegen.formats.onnx.writing.recurrences import ROWS
from nncodegen.formats.onnx.writing.steps import Steps
from nncodegen.formats.onnx.writing.windows import rows_of

VERSIONS = {13: 7, 23: 11}
"""The versions of the operators (opset), and of the file format that came with each.

13 is the lowest that has all used operators in the form in which they are written. 23 is the lowest with operators for
attention.
"""

OPSET = min(VERSIONS)
"""The version of the operators unless another one is chosen."""

RANDOM = ("uniform", "normal", "truncated_normal")
"""The distributions of initial parameters that have no definite value before a training."""


@bounded("the model")
def files(request: Request) -> Exported:
    """Return NAME.onnx, checked. Raises ModelError for a model that cannot be written."""
    opset = _opset(request)
    program = verify(stabilize(describe(request.subject.model, request.precision, request.digits).at_rest))
    check_program(program)
    check_steps(program, "ONNX")
    if not program.inputs:
        raise ModelError(
            f"{program.name} has no inputs, so there is nothing to predict: ONNX needs a model with inputs"
        )
    parameters = _parameters(request, program)
    program = settled(program)
    quiet = replace(program, steps=tuple(without_noise(program)))
    operators = operators_of(quiet, opset)
    program, constants = masked(program, operators)
    model, graph = _model(request, verify(program), {**parameters, **constants}, operators, opset)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    return Exported({f"{request.name}.onnx": content}, _report(request, program, model, graph, len(content)))


def _opset(request: Request) -> int:
    """Return the chosen version of the operators. Raises ModelError for one that is not written."""
    opset, newest = OPSET if request.options.opset is None else request.options.opset, onnx.defs.onnx_opset_version()
    if type(opset) is not int or opset not in VERSIONS:
        raise ModelError(f"opset must be one of {', '.join(map(str, VERSIONS))}, not {opset!r}")
    if opset > newest:
        raise ModelError(
            f"the installed onnx {onnx.__version__} knows the opsets up to {newest}: install onnx 1.18 or newer for "
            f"opset {opset}, or leave opset out"
        )
    return opset


def _parameters(request: Request, program: Program) -> Mapping[str, Any]:
    """Return the arrays of the parameters: the given ones, or values that the model defines. Raises ModelError."""
    values = request.parameters
    if values is None:
        drawn = [tensor.name for tensor in program.parameters if tensor.initial.distribution in RANDOM]
        if drawn:
            raise ModelError(
                f"{program.name} has not been trained: its parameters {', '.join(drawn[:5])} start with random "
                f"numbers; give trained ones (parameters=result, or --parameters FILE.npz)"
            )
        values = start_of(program)
    array = np.asarray(values, program.precision)
    return {
        tensor.name: array[part].reshape([size or 0 for size in tensor.shape])
        for tensor, part in slices_of(program.parameters)
    }


def _model(
    request: Request, program: Program, parameters: Mapping[str, Any], operators: Mapping[str, Operator], opset: int
) -> tuple[ModelProto, OnnxGraph]:
    """Return the model, and the graph from which it was made."""
    graph = OnnxGraph(program.precision, _order(program), opset)
    rows = graph.free(program.inputs[0].name if len(program.inputs) == 1 else "X")
    result = graph.free("output")
    trained = [tensor.name for tensor in program.parameters if tensor.trained]
    numbers = _row_numbers(program)
    columns, whole = _columns(program, graph, rows, numbers)
    steps = Steps(program, graph, columns, rows, parameters, trained, operators, whole)
    graph.output(_joined(program, graph, [(element, steps.read(element)) for element in program.outputs]), result)
    kind = TYPES[program.precision]
    width = sum(tensor.size for tensor in program.inputs)
    outputs = program.width(program.outputs)
    kind_of_input = TensorProto.INT64 if numbers else kind
    input_info = helper.make_tensor_value_info(rows, kind_of_input, [ROWS, width], _text(_inputs(request, program)))
    output_info = helper.make_tensor_value_info(result, kind, [ROWS, outputs], _text(_outputs(request, program)))
    graph_proto = helper.make_graph(
        graph.nodes,
        request.name,
        [input_info],
        [output_info],
        graph.initializers,
        doc_string=_about(input_info, output_info),
    )
    model = helper.make_model(
        graph_proto,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=VERSIONS[opset],
        producer_name=PRODUCER,
        producer_version=_version(),
        doc_string=f"{request.subject.model.name}: {_about(input_info, output_info)}",
    )
    return model, graph


def _order(program: Program) -> list[str]:
    """Return all indices, ordered as in the steps, so that few tensors need to be transposed."""
    places = {index: [0] for index in program.sizes}
    for step in program.steps:
        for place, index in enumerate(step.target.indices):
            places[index].append(place)
    reduced = len(places)  # indices that only sums run over come last
    return sorted(places, key=lambda index: max(places[index]) if len(places[index]) > 1 else reduced)


def _row_numbers(program: Program) -> frozenset[str]:
    """Return the names of the inputs if all are numbers of rows of a matrix, as those of an Embedding; else nothing."""
    numbers = [rows[1].tensor for step in program.steps if (rows := rows_of(step))]
    inputs = frozenset(tensor.name for tensor in program.inputs)
    return inputs if inputs <= {*numbers} else frozenset()


def _columns(
    program: Program, graph: OnnxGraph, rows: str, numbers: Container[str]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the inputs of a program by name, as real numbers and, for ``numbers`` of rows, as whole ones.

    They are the input of the graph, or some of its columns.
    """
    inputs = _as_given(program, graph, rows)
    whole = {name: value for name, value in inputs.items() if name in numbers}
    computed = {e.tensor for step in needed(program.steps, program.outputs) for e in _computed_with(step)}
    real = {}
    for name, value in inputs.items():
        if name not in whole:
            real[name] = value
        elif name in computed:
            real[name] = replace(value, name=graph.node("Cast", [value.name], to=TYPES[graph.precision]))
    return real, whole


def _computed_with(step: Step) -> tuple[Element, ...]:
    """Return the elements that a step computes with: all that it reads but the numbers of rows of a matrix."""
    rows = rows_of(step)
    return step.operands if rows is None else (rows[0],)


def _as_given(program: Program, graph: OnnxGraph, rows: str) -> dict[str, Value]:
    """Return the inputs of a program by name, of the type of the graph's input."""
    if len(program.inputs) == 1 and len(program.inputs[0].shape) == 2:
        return {program.inputs[0].name: Value(graph, rows)}
    columns = {}
    for tensor, place in slices_of(program.inputs):
        read = {e.indices for step in program.steps for e in step.operands if e.tensor == tensor.name}
        indices = min(read, default=(SAMPLE, *map(str, tensor.shape[1:])))
        if len(tensor.shape) == 1:
            name = graph.node("Gather", [rows, graph.constant(np.array(place.start))], axis=1)
        else:
            ends = [graph.constant(np.array([k])) for k in (place.start, place.stop, 1)]
            name = graph.node("Slice", [rows, *ends])
        if len(tensor.shape) > 2:
            shape = [0, *(size or 0 for size in tensor.shape[1:])]  # 0 keeps the number of rows
            name = graph.node("Reshape", [name, graph.constant(np.array(shape))])
        columns[tensor.name] = graph.named(Value(graph, name, indices), tensor.name)
    return columns


def _joined(program: Program, graph: OnnxGraph, outputs: Sequence[tuple[Element, Value]]) -> Value:
    """Return the outputs of a program side by side: (N, outputs)."""
    columns = []
    for element, value in outputs:
        if SAMPLE not in value.indices:
            raise ModelError(f"the outputs of {program.name} are not rows of numbers, one for each sample")
        order = (SAMPLE, *(index for index in element.indices if index != SAMPLE))
        name = graph.transposed(value, order).name
        if len(order) == 1:
            name = graph.node("Unsqueeze", [name, graph.constant(np.array([1]))])
        if len(order) > 2:
            name = graph.node("Reshape", [name, graph.constant(np.array([0, program.count(order)]))])
        columns.append(name)
    return Value(graph, graph.node("Concat", columns, axis=1) if len(columns) > 1 else columns[0])


# --- texts -------------------------------------------------------------------------------------------------------


def _inputs(request: Request, program: Program) -> tuple[str, ...]:
    """Return the meaning of each column of the input; nothing where it is not known."""
    if request.subject.inputs or program.inputs[0].shape != (None,):
        return request.subject.inputs
    return tuple(tensor.name for tensor in program.inputs)


def _outputs(request: Request, program: Program) -> tuple[str, ...]:
    """Return the meaning of each column of the output; nothing where it is not known."""
    if request.subject.outputs or len(program.outputs) == 1:
        return request.subject.outputs
    return tuple(element.tensor for element in program.outputs)


def _text(columns: tuple[str, ...]) -> str:
    """Return the meaning of columns as text, one in a line."""
    return "\n".join(f"column {place}: {column}" for place, column in enumerate(columns))


def _about(input_info: ValueInfoProto, output_info: ValueInfoProto) -> str:
    return f"{_shape(input_info)} -> {_shape(output_info)}"


def _shape(value: ValueInfoProto) -> str:
    sizes = (dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
    return f"{value.name} ({', '.join(sizes)})"


def _report(request: Request, program: Program, model: ModelProto, graph: OnnxGraph, size: int) -> str:
    operators = ", ".join(f"{count} {name}" for name, count in graph.operators.items())
    lines = [
        f"ONNX, opset {graph.opset}, IR version {model.ir_version}, {program.precision}, {size:,} bytes",
        f"input       {_shape(model.graph.input[0])}{', whole numbers (int64)' * bool(_row_numbers(program))}",
        f"output      {_shape(model.graph.output[0])}",
        f"operators   {operators}",
    ]
    if request.parameters is None:
        lines.append("parameters  the values that the model starts with: none were given")
    return "\n".join(lines)


def _version() -> str:
    try:
        return version("nncodegen")
    except PackageNotFoundError:  # run from a clone
        return ""
