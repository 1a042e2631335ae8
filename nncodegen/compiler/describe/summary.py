"""Networks as tables of their layers, with the columns that Keras prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from nncodegen.compiler.describe.call import Part, Shape, layer_name
from nncodegen.compiler.describe.layer import Layer, Node
from nncodegen.compiler.describe.layer_uses import Uses, in_order, input_titles
from nncodegen.compiler.ir import SAMPLE, Program
from nncodegen.runtime.python.evaluation.summary import predictions_text, print_summary, shape_text

HEAD = ("Layer (type)", "Output Shape", "Param #", "Connected to")
TENSORS = ("Name", "Role", "Shape", "Param #")


def print_layers(
    name: str, program: Program, rows: Sequence[Sequence[str]], print_fn: Callable[[str], Any] | None
) -> None:
    """Print the rows of layers, the numbers of all parameters, and the shape of predictions where it is another."""
    sizes = program.sizes
    shapes = [[sizes[i] or 0 for i in output.indices if i != SAMPLE] for output in program.outputs]
    print_summary(name, HEAD[: len(rows[0])], rows, _counts(program), print_fn, (0, 1, 3), predictions_text(shapes))


def print_tensors(program: Program, print_fn: Callable[[str], Any] | None) -> None:
    """Print the inputs, targets, parameters and outputs of a model that does not consist of layers."""
    roles = (
        ("input", program.inputs),
        ("target", program.targets),
        ("parameter", program.parameters),
        ("output", program.output_tensors),
    )
    rows = [
        (
            tensor.name,
            role,
            shape_text((None, 1) if tensor.shape == (None,) else tensor.shape),
            f"{tensor.size:,}" if role == "parameter" else "0",
        )
        for role, tensors in roles
        for tensor in tensors
    ]
    print_summary(program.name, TENSORS, rows, _counts(program), print_fn, (0, 1, 2))


def _layer_row(layer: Layer, number: int, part: Part) -> tuple[str, str, str]:
    """Make the row of a layer: its name and kind, the shape of its output, the number of its parameters."""
    count = sum(tensor.size for tensor in part.parameters)
    return f"{_title(layer, number)} ({type(layer).__name__})", _shape(part.shape), f"{count:,}"


def graph_rows(uses: Uses, inputs: Sequence[Node], outputs: Sequence[Node]) -> list[tuple[str, ...]]:
    """Make the rows of inputs and layers, each with the names of its inputs."""
    names = {id(node): name for node, name in zip(inputs, input_titles(inputs), strict=True)}
    rows: list[tuple[str, ...]] = [(f"{names[id(node)]} (Input)", _shape(node.shape), "0", "-") for node in inputs]
    titles: dict[int, str] = {}
    numbered: dict[int, tuple[Layer, int, Part]] = {}
    called: dict[int, list[str]] = {}
    for node in in_order(outputs):
        if node.layer is not None:
            key = id(node.layer)
            if key not in numbered:
                numbered[key] = node.layer, len(numbered) + 1, uses.part(node)
                titles[key] = _title(node.layer, len(numbered))
            names[id(node)] = titles[key]
            called.setdefault(key, []).extend(names[id(source)] for source in node.inputs)
        elif node.place:
            names[id(node)] = f"{names[id(node.inputs[0])]}[{node.place}]"
    return rows + [(*_layer_row(*of_layer), ", ".join(called[key])) for key, of_layer in numbered.items()]


def _title(layer: Layer, number: int) -> str:
    """Return the name of a layer, or its kind and its number."""
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
    return layer_name(layer) or f"{kind}_{number}"


def _shape(shape: Shape) -> str:
    return shape_text((None, *shape))


def _counts(program: Program) -> tuple[int, int]:
    """Count all parameters, and those that are trained."""
    trained = sum(tensor.size for tensor in program.parameters if tensor.trained and tensor.momentum is None)
    return program.parameter_count, trained
