"""The last steps after a graph has been read: outputs, united indices, final names; unread parts are removed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from sympy import Expr, exp

from nncodegen.compiler.describe.initial_values import initial_values
from nncodegen.compiler.describe.loss_steps import Output
from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Step, Tensor, elements, needed
from nncodegen.compiler.ir.functions import sigmoid
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES
from nncodegen.formats.onnx.reading.builder import Builder
from nncodegen.formats.onnx.reading.values import Value

Rename = Mapping[str, tuple[str, ...]]
"""By the name of an index: the indices that replace it, perhaps none."""


class Finished(NamedTuple):
    """The parts of a ``Graph``."""

    inputs: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    extents: tuple[tuple[str, int], ...]
    """The sizes of indices that occur in equations, recurrences or added axes, which follow from no tensor."""


def finished(
    builder: Builder,
    values: Sequence[tuple[str, Value]],
    in_file: Sequence[str],
    fixed: Container[str],
    frozen: Sequence[str],
) -> Finished:
    """Return the steps that the outputs need, their inputs and parameters, in the indices of the whole program."""
    outputs = [output for name, value in values for output in _outputs(builder, name, value)]
    read_by_outputs = [element for output in outputs for element in (output.element, *elements(output.formula))]
    steps = needed(tuple(builder.steps), read_by_outputs)
    united = {index: (builder.axes.find(index),) for index in builder.axes.sizes}
    steps, outputs = _renamed(steps, outputs, united)
    inputs = {name: _indices(indices, united) for name, indices in builder.inputs}
    read = {element.tensor for step in steps for element in step.operands}
    pieces = {
        piece: _indices(indices, united)
        for parameter in builder.parameters.values()
        for piece, indices, _ in parameter.pieces
        if piece in read
    }
    steps = _with_columns(builder, steps, pieces)
    shapes = [*inputs.values(), *pieces.values(), *(step.indices for step in steps)]
    fused = _fused([*inputs.values(), *pieces.values()], steps)
    sizes = {index: builder.axes.sizes[index] for shape in shapes for index in shape if index != SAMPLE}
    sizes |= {group[0]: math.prod(sizes[index] for index in group) for group in fused}
    names = _letters(index for shape in shapes for index in shape if index != SAMPLE)
    rename: dict[str, tuple[str, ...]] = {index: (names[index],) for index in names}
    for group in fused:
        rename |= dict.fromkeys(group[1:], ())
    steps, outputs = _renamed(steps, outputs, rename)
    letters = {new: sizes[index] for index, (new, *_) in ((i, r) for i, r in rename.items() if r)}
    moving = [step for step in steps if step.where or step.operator in RECURRENCES or _repeats(step)]
    moved = {i: letters[i] for step in moving for i in step.indices if i != SAMPLE}
    moved |= {i: letters[i] for step in steps for equation in step.where for i in equation.indices if i != SAMPLE}
    return Finished(
        tuple(Tensor(name, (None, *(sizes[i] for i in indices if rename[i]))) for name, indices in inputs.items()),
        _parameters(builder, pieces, {i: n for i, n in sizes.items() if rename[i]}, in_file, fixed, frozen),
        steps,
        tuple(outputs),
        tuple(moved.items()),
    )


def _repeats(step: Step) -> bool:
    """Return whether the target of a step has an index that no operand has; its values are equal along this index."""
    return not set(step.target.indices) <= {index for element in step.operands for index in element.indices}


def _outputs(builder: Builder, name: str, value: Value) -> list[Output]:
    """Return the blocks of an output, in the order of its columns; each is defined by a separate step."""
    if not value.of_inputs:
        raise ModelError(f"the output {name!r} of the ONNX file does not depend on its inputs")
    axes = value.axes
    if any(sections == SAMPLES for sections in axes[1:]):
        raise ModelError(f"the output {name!r} of the ONNX file has the samples on another axis than its first")
    if builder.unfolded(value) is not value:
        raise ModelError(f"the output {name!r} of the ONNX file has several rows for each sample")
    builder.axes.merged([sections for sections in axes if sections != SAMPLES] or [((),)])  # else columns mix
    logarithms = {step.target: step for step in builder.steps if step.operator == "log_softmax"}
    probabilities = {
        step.target: step.expression
        for step in builder.steps
        if isinstance(step.expression, sigmoid) and step.operator is None
    }
    outputs = []
    for position in value.positions():
        formula = value.blocks[position]
        indices = (SAMPLE, *(index for index in value.indices(position) if index != SAMPLE))
        z = logarithms.get(formula.args[0]) if isinstance(formula, exp) else None
        if z is None:
            element = builder.step(name, indices, formula, of_file=True)
        else:
            element = builder.step(name, indices, z.expression, "softmax", z.over, of_file=True)
        # In a loss, a probability is replaced by its formula: the logarithm of 1 - sigmoid(z) is finite for all z.
        outputs.append(Output(element, formula.xreplace(probabilities)))
    return outputs


def _parameters(
    builder: Builder,
    pieces: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    in_file: Sequence[str],
    fixed: Container[str],
    frozen: Sequence[str],
) -> tuple[Tensor, ...]:
    """Return the parameters that are read: those of the file in its order, then others.

    The file itself says which are ``fixed``, the caller which are ``frozen``.
    """
    frozen = (frozen,) if isinstance(frozen, str) else frozen
    places = {name: place for place, name in enumerate(in_file)}
    there = [
        parameter
        for parameter in builder.parameters.values()
        if any(piece in pieces for piece, _, _ in parameter.pieces)
    ]
    there.sort(key=lambda parameter: places.get(parameter.name, len(places)))
    for name in frozen:
        if name not in {parameter.name for parameter in there}:
            known = ", ".join(parameter.name for parameter in there)
            raise ModelError(f"frozen names {name!r}, which is no parameter; there are: {known}")
    undecided = not any(parameter.name in builder.trained and parameter.name not in fixed for parameter in there)
    # If ``undecided``, only parameters that scale the inputs could be trained, so they are.
    tensors = []
    for parameter in there:
        prepares = parameter.name in builder.fixed and parameter.name not in builder.trained
        keeps_value = parameter.name in builder.tables or parameter.name in frozen or parameter.name in fixed
        trained = not (keeps_value or (prepares and not undecided))
        for piece, _, values in parameter.pieces:
            if piece not in pieces:
                continue
            shape = tuple(sizes[index] for index in pieces[piece] if index in sizes)
            start = initial_values(values.reshape(shape), shape, f"the initial {piece}")
            tensors.append(Tensor(piece, shape, start, penalized=len(shape) > 1, trained=trained))
    return tuple(tensors)


def _with_columns(builder: Builder, steps: Sequence[Step], pieces: dict[str, tuple[str, ...]]) -> tuple[Step, ...]:
    """Return the steps with an index of size one for matrices of one row or column in their products.

    Blocks of a product are compiled for matrices, and a layer with one unit is such a matrix as well. ``pieces`` is
    changed.
    """
    shapes = {piece: whole.array.shape for whole in builder.parameters.values() for piece, _, _ in whole.pieces}
    readers = Counter(element.tensor for step in steps for element in step.operands)
    changed: list[Step] = []
    for step in steps:
        factors = step.expression.args if step.expression.is_Mul and step.operator == "sum" else ()
        weights = [e for e in factors if isinstance(e, Element) and e.tensor in pieces and e.indices == step.over]
        samples = [e for e in factors if isinstance(e, Element) and e.indices == (SAMPLE, *step.over)]
        if len(factors) != 2 or len(step.over) != 1 or not (weights and samples) or readers[weights[0].tensor] > 1:
            changed.append(step)
            continue
        (index,), name = step.over, weights[0].tensor
        single = f"{name}:one"
        builder.axes.sizes[single] = 1
        pieces[name] = (single, index) if shapes[name][0] == 1 else (index, single)
        column = Element(builder.fresh("s"), (SAMPLE, single))
        changed.append(Step(column, Element(name, pieces[name]) * samples[0], "sum", step.over))
        changed.append(Step(step.target, column, "sum", (single,)))
    return tuple(changed)


# --- indices -----------------------------------------------------------------------------------------------------


def _indices(indices: Iterable[str], rename: Rename) -> tuple[str, ...]:
    return tuple(new for index in indices for new in rename.get(index, (index,)))


def _renamed(steps: Iterable[Step], outputs: Iterable[Output], rename: Rename) -> tuple[tuple[Step, ...], list[Output]]:
    """Return steps and outputs under other indices."""

    def at(element: Element) -> Element:
        return Element(element.tensor, _indices(element.indices, rename))

    def inside(expression: Expr) -> Expr:
        return expression.xreplace({element: at(element) for element in elements(expression)})

    def step_of(step: Step) -> Step:
        over = _indices(step.over, rename)
        where = tuple(
            equation.renamed({i: _indices([i], rename)[0] for i in equation.indices}) for equation in step.where
        )
        return Step(at(step.target), inside(step.expression), step.operator if over else None, over, where)

    return tuple(map(step_of, steps)), [Output(at(output.element), inside(output.formula)) for output in outputs]


def _fused(shapes: Sequence[tuple[str, ...]], steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Return groups of indices that are adjacent everywhere, in one order: each group may become one index."""
    after: dict[str, dict[str | None, None]] = {}
    before: dict[str, dict[str | None, None]] = {}
    orders = [*shapes, *(e.indices for step in steps for e in (step.target, *step.operands)), *(s.over for s in steps)]
    orders += [(index,) for step in steps for equation in step.where for index in equation.indices]
    for indices in filter(None, orders):
        for index, previous, following in zip(indices, (None, *indices), (*indices[1:], None), strict=False):
            after.setdefault(index, {})[following] = None
            before.setdefault(index, {})[previous] = None
    pairs = {}
    for index, neighbours in after.items():
        (other, *further) = neighbours
        if index != SAMPLE and other is not None and not further and len(before[other]) == 1:
            pairs[index] = other
    groups = []
    for index in pairs:
        if index not in pairs.values():
            group = [index]
            while group[-1] in pairs:
                group.append(pairs[group[-1]])
            groups.append(tuple(group))
    return groups


def _letters(indices: Iterable[str]) -> dict[str, str]:
    """Return short names for indices, in the order in which they occur; n is reserved for the samples."""
    letters = "ijklmopqrstuvwxyz"
    distinct = list(dict.fromkeys(indices))
    return {index: letters[k] if k < len(letters) else f"i{k}" for k, index in enumerate(distinct)}
