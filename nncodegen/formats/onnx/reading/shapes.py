"""The operators of ai.onnx that compute nothing: they name, order, cut and join axes, and read shapes.

Operators that read shapes, for example before a Reshape to (-1, 12), return integers. The operators here accept these
as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import SAMPLE, Equation, elements
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES, UNIT, Sections
from nncodegen.formats.onnx.reading.call import MOST_WHOLE, SAMPLES_SIZE, Clock, OnnxCall, Operand
from nncodegen.formats.onnx.reading.types import is_exact
from nncodegen.formats.onnx.reading.values import Value, Weights

LAST = 2**30
"""The end of a Slice from which on it means the end of the axis."""


def identity(call: OnnxCall) -> Operand:
    """Return the operand."""
    return call.inputs[0]


def constant(call: OnnxCall) -> Operand:
    """Return the value of a Constant; each kind of value has a separate attribute."""
    attributes = call.attributes
    if isinstance(attributes.get("value"), np.ndarray):
        return as_operand(call.node.outputs[0], attributes["value"])
    for name in ("value_float", "value_floats"):
        if name in attributes:
            values = attributes[name]
            array = np.array(values, dtype=np.float64)
            return Weights(call.node.outputs[0], array)
    if "value_int" in attributes:
        return np.array(call.whole("value_int", 0), dtype=np.int64)
    return np.array(call.wholes("value_ints"), dtype=np.int64)


def as_operand(name: str, array: NDArray[Any]) -> Operand:
    """Return an array of the file as an operand: real numbers, or integers."""
    return Weights(name, array) if array.dtype == np.float64 else array


def constant_of_shape(call: OnnxCall) -> Operand:
    """Return a tensor of one number, such as the zero initial states of recurrent layers."""
    sizes = call.integers(0, "sizes")
    number = call.attributes.get("value", np.zeros(1))
    if not isinstance(number, np.ndarray) or number.size != 1:
        raise ModelError(f"{call.node} has a value that is no single number")
    return _filled(call, number.ravel()[0], sizes)


def expand(call: OnnxCall) -> Operand:
    """Broadcast a tensor to a shape."""
    sizes, operand = call.integers(1, "a shape"), call.inputs[0]
    fits = all(0 < n <= MOST_WHOLE for n in sizes) and math.prod(sizes) <= MOST_WHOLE
    if isinstance(operand, np.ndarray) and fits:
        return _array(call, lambda array: np.broadcast_to(array, np.broadcast_shapes(array.shape, sizes)))
    value = call.value(0)
    if value.is_number:
        (block,) = value.blocks.values()
        return _filled(call, np.int64(block) if is_exact(call.type(0)) else float(block), sizes)
    shape = tuple(None if n == SAMPLES_SIZE else n for n in sizes)
    if call.builder.exported is not None:
        sizes_before = (0,) * (len(sizes) - len(value.axes)) + call.builder.shape(value)
        fixed = (m is None and n == call.builder.exported for m, n in zip(sizes_before, shape, strict=False))
        shape = tuple(None if is_samples else n for is_samples, n in zip(fixed, shape, strict=False))
    if any(n is not None and not 0 < n <= MOST_WHOLE for n in shape):
        raise ModelError(f"{call.node} makes a tensor of the shape {sizes}")
    return call.builder.expanded(value, shape, call.node.outputs[0])


def _filled(call: OnnxCall, number: Any, sizes: Sequence[int]) -> Operand:
    """Return a tensor of one number; an integer gives an array of integers, as shapes are."""
    if SAMPLES_SIZE not in sizes:
        if any(not 0 < size <= MOST_WHOLE for size in sizes) or math.prod(sizes) > MOST_WHOLE:
            raise ModelError(f"{call.node} makes a tensor of the shape {tuple(sizes)}")
        return as_operand(call.node.outputs[0], np.full(sizes, number))
    shape = tuple(None if n == SAMPLES_SIZE else n for n in sizes)
    return call.builder.filled(call.node.outputs[0], float(number), shape)


def range_of(call: OnnxCall) -> Operand:
    """Return the numbers from a start to a limit, such as the places of a sequence."""
    arrays = [operand.array if isinstance(operand, Weights) else operand for operand in call.inputs[:3]]
    ends = [array.ravel()[0] for array in arrays if isinstance(array, np.ndarray) and array.size == 1]
    if len(ends) != 3:
        raise ModelError(f"{call.node} has a start, a limit or a step that is no number in the file")
    start, limit, step = ends
    if min(ends) <= SAMPLES_SIZE:
        raise ModelError(f"{call.node} counts the samples of a batch: a model computes row by row")
    if not step or not np.isfinite(ends).all() or not 0 < (limit - start) / step <= MOST_WHOLE:
        raise ModelError(f"{call.node} counts from {start} to {limit} in steps of {step}")
    numbers = start + np.arange(math.ceil((limit - start) / step)) * step
    return numbers if is_exact(call.type(0)) else Weights(call.node.outputs[0], numbers, fixed=True)


def shape_of(call: OnnxCall) -> NDArray[Any]:
    """Return the sizes of axes as integers; the number of samples has a stand-in."""
    operand = call.first
    if isinstance(operand, Value):
        axes = zip(operand.axes, call.builder.shape(operand), strict=True)
        sizes = [_of_samples(call, sections) if n is None else n for sections, n in axes]
    else:
        sizes = list((operand.array if isinstance(operand, Weights) else np.asarray(operand)).shape)
    start, end = call.whole("start", 0), call.whole("end", len(sizes))
    return np.array(sizes[start:end], dtype=np.int64)


def _of_samples(call: OnnxCall, sections: Sections) -> int:
    """Return what stands for the size of an axis of samples, into which other axes may be folded."""
    (section,) = sections
    return SAMPLES_SIZE * call.builder.axes.size(tuple(index for index in section if index != SAMPLE))


def reshape(call: OnnxCall) -> Operand:
    """Return the values, in row-major order, in another shape."""
    wanted = call.integers(1, "a shape") if call.opset >= 5 else call.wholes("shape")
    if isinstance(call.first, np.ndarray):
        return _array(call, lambda array: array.reshape(wanted))
    value = call.builder.unfolded(call.value(0, as_parameter=True))
    wanted = _without_multiple(call, _without_exported(call, wanted, value), value)
    folded = _with_rows(call, wanted, value)
    if folded is not None:
        return folded
    return call.builder.reshaped(value, call.shape_to_reshape(wanted, value, bool(call.whole("allowzero", 0))))


def _without_exported(call: OnnxCall, wanted: tuple[int, ...], value: Value) -> tuple[int, ...]:
    """Return a shape of a file whose number of samples is fixed, with -1 for the axis that the samples are in."""
    old, samples = call.builder.shape(value), call.builder.exported or 1
    if samples == 1 or None not in old or min(wanted, default=0) <= SAMPLES_SIZE:
        return wanted
    sizes = list(wanted)
    for k, size in enumerate(old[: len(sizes)]):
        if sizes[k] == 0 and not call.whole("allowzero", 0):
            sizes[k] = samples if size is None else size
    total, known = samples * math.prod(n or 1 for n in old), math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known and total % known == 0:
        sizes[sizes.index(-1)] = total // known
    before = math.prod(n or 1 for n in old[: old.index(None)])
    for k, size in enumerate(sizes):
        outer = math.prod(sizes[:k])
        if math.prod(sizes) == total and before % outer == 0 and (outer * size) % (before * samples) == 0:
            return (*sizes[:k], -1, *sizes[k + 1 :])
    return wanted


def _without_multiple(call: OnnxCall, wanted: tuple[int, ...], value: Value) -> tuple[int, ...]:
    """Return a shape with -1 for an axis of several rows of each sample, such as its heads, if it holds all values.

    The -1 of the shape, and axes that it keeps with 0, become the sizes for which they stand.
    """
    if not any(n < SAMPLES_SIZE for n in wanted):
        return wanted
    old, keeps_zero = call.builder.shape(value), bool(call.whole("allowzero", 0))
    sizes = list(wanted)
    for k, size in enumerate(old[: len(sizes)]):
        if sizes[k] == 0 and not keeps_zero:
            sizes[k] = SAMPLES_SIZE if size is None else size
    total, known = SAMPLES_SIZE * math.prod(n or 1 for n in old), math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known and total % known == 0:
        sizes[sizes.index(-1)] = total // known
    if math.prod(sizes) != total or sum(n < SAMPLES_SIZE for n in sizes) != 1:
        raise ModelError(f"{call.node} mixes the rows of a batch with their values: a model computes row by row")
    return tuple(-1 if n < SAMPLES_SIZE else n for n in sizes)


def _with_rows(call: OnnxCall, wanted: Sequence[int], value: Value) -> Value | None:
    """Return the value with some axes folded into the samples, where a Reshape asks for that; else None.

    So a Dense layer of Keras on several axes is a product of matrices, and PyTorch puts heads beside the samples.
    """
    old = call.builder.shape(value)
    if None not in old or wanted.count(-1) != 1 or any(n < 1 for n in wanted if n != -1):
        return None
    at, total, known = wanted.index(-1), math.prod(n or 1 for n in old), -math.prod(wanted)
    if total == known or total % known:
        return None  # the samples alone, or values that are not whole rows
    return call.builder.folded(value, wanted[:at], wanted[at + 1 :])


def flatten(call: OnnxCall) -> Value:
    """Return a matrix: the axes before one are merged, and those from it on."""
    value = call.value(0, as_parameter=True)
    rank = len(value.axes)
    axis = call.whole("axis", 1)
    if not -rank <= axis <= rank:
        raise ModelError(f"{call.node} names axis {axis} of a tensor of {rank} axes")
    axis = axis + rank if axis < 0 else axis
    shape = call.builder.shape(value)
    before, after = (int(np.prod([n or 1 for n in part], dtype=object)) for part in (shape[:axis], shape[axis:]))
    if None not in shape:
        return call.builder.reshaped(value, (before, after))
    if None in shape[axis:] or before != 1:
        raise ModelError(f"{call.node} mixes the rows of a batch with their values: a model computes row by row")
    return call.builder.reshaped(value, (None, after))


def transpose(call: OnnxCall) -> Operand:
    """Return the tensor with its axes in another order."""
    if isinstance(call.first, np.ndarray):
        return _array(call, lambda array: array.transpose(call.wholes("perm", tuple(range(array.ndim))[::-1])))
    value = call.value(0, as_parameter=True)
    rank = len(value.axes)
    order = call.wholes("perm", tuple(range(rank))[::-1])
    if sorted(order) != list(range(rank)):
        raise ModelError(f"{call.node} has the permutation {order} for a tensor of {rank} axes")
    return call.builder.transposed(value, order)


def _axes_of(call: OnnxCall, rank: int) -> list[int] | None:
    """Return the axes of a Squeeze or Unsqueeze; None where it names none."""
    if call.opset >= 13:
        axes = call.integers(1, "axes") if call.given(1) else None
    else:
        axes = call.wholes("axes", ()) if "axes" in call.attributes else None
    if axes is None:
        return None
    if len(axes) > 8:
        raise ModelError(f"{call.node} names {len(axes)} axes; there may be 8 at most")
    return sorted({call.axis(axis, rank) for axis in axes})


def squeeze(call: OnnxCall) -> Operand:
    """Return the tensor without axes of size one."""
    operand = call.first
    if isinstance(operand, np.ndarray):
        axes = _axes_of(call, operand.ndim)
        return _array(call, lambda array: array.squeeze(None if axes is None else tuple(axes)))
    value = call.value(0, as_parameter=True)
    shape = call.builder.shape(value)
    axes = _axes_of(call, len(shape))
    for axis in reversed([k for k, n in enumerate(shape) if n == 1] if axes is None else axes):
        value = call.builder.without(value, axis)
    return value


def unsqueeze(call: OnnxCall) -> Operand:
    """Return the tensor with further axes of size one."""
    operand = call.first
    numbers = call.integers(1, "axes") if call.opset >= 13 else call.wholes("axes")
    if isinstance(operand, np.ndarray):
        axes = _axes_of(call, operand.ndim + len(numbers)) or []
        return _array(call, lambda array: np.expand_dims(array, tuple(axes)))
    value = call.value(0, as_parameter=True)
    if len(value.axes) + len(numbers) > 8:
        raise ModelError(f"{call.node} makes a tensor of more than 8 axes")
    for axis in _axes_of(call, len(value.axes) + len(numbers)) or []:
        value = call.builder.inserted(value, axis)
    return value


def concat(call: OnnxCall) -> Operand:
    """Return tensors joined along an axis."""
    if any(isinstance(operand, np.ndarray) for operand in call.inputs) and not any(
        isinstance(o, Value) for o in call.inputs
    ):
        arrays = [np.atleast_1d(operand) for operand in call.inputs if isinstance(operand, np.ndarray)]
        if len(arrays) < len(call.inputs) or sum(array.size for array in arrays) > MOST_WHOLE:
            raise ModelError(f"{call.node} joins whole numbers with others, or more than {MOST_WHOLE:,} of them")
        axis = call.axis(call.whole("axis", 1), arrays[0].ndim) if arrays[0].ndim > 1 else 0
        return _array(call, lambda _: np.concatenate(arrays, axis))
    values = [call.value(k, as_parameter=True) for k in range(len(call.inputs))]
    ranks = {len(value.axes) for value in values}
    if len(ranks) != 1 or ranks == {0}:
        raise ModelError(f"{call.node} joins tensors of different numbers of axes")
    return call.builder.concatenated(values, call.axis(call.whole("axis", 1), ranks.pop()))


def slice_of(call: OnnxCall) -> Operand:
    """Return ranges of places along axes."""
    operand = call.first
    array = operand if isinstance(operand, np.ndarray) else None
    value = None if array is not None else call.value(0, as_parameter=True)
    shape: Sequence[int | None] = np.asarray(array).shape if value is None else call.builder.shape(value)
    if call.opset >= 10:
        starts, ends = call.integers(1, "starts"), call.integers(2, "ends")
        axes = call.integers(3, "axes") if call.given(3) else tuple(range(len(starts)))
        steps = call.integers(4, "steps") if call.given(4) else (1,) * len(starts)
    else:
        starts, ends = call.wholes("starts"), call.wholes("ends")
        axes, steps = call.wholes("axes", tuple(range(len(starts)))), (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"{call.node} has starts, ends, axes and steps that do not fit together")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = call.axis(axis, len(shape))
        size = shape[axis]
        if size is None:
            if start or end < LAST or step != 1:
                raise ModelError(f"{call.node} takes rows out of a batch: a model computes row by row")
            continue
        chosen = range(size)[slice(start, end, step)]
        if step < 0 and end < -size:
            chosen = range(size)[slice(start, None, step)]
        if array is not None:
            array = np.take(array, list(chosen), axis=axis)
        else:
            assert value is not None
            value = call.builder.gathered(value, axis, chosen)
    return value if array is None else array


def gather(call: OnnxCall) -> Operand:
    """Return the values at positions along an axis, which are in the file or an input."""
    indices = call.inputs[1] if call.given(1) else None
    if isinstance(indices, Value):
        return _rows(call, indices)
    if isinstance(indices, Clock):
        if call.axis(call.whole("axis", 0), 9):
            raise ModelError(f"{call.node} takes the rounds of a Loop along another axis than the first")
        rows: Value = call.builder.rounds.at(call.value(0), indices.values)
        return rows
    if not isinstance(indices, np.ndarray):
        raise ModelError(f"{call.node} takes positions that are real numbers")
    if isinstance(call.first, np.ndarray):
        return _array(call, lambda array: np.take(array, indices, axis=call.whole("axis", 0)))
    return _taken(call, call.value(0, as_parameter=True), call.whole("axis", 0), indices)


def _rows(call: OnnxCall, positions: Value) -> Value:
    """Take rows of a matrix by index, which is an input: h[n, t, k] = sum(v) E[v, k] where v = x[n, t]."""
    builder, table = call.builder, call.value(0, as_parameter=True)
    axis = call.axis(call.whole("axis", 0), len(table.axes))
    if any(sections == SAMPLES for sections in table.axes):
        raise ModelError(f"{call.node} takes rows out of a batch: a model computes row by row")
    positions = _as_input(call, positions, builder.shape(table)[axis] or 1)
    table = builder.held(builder.whole(table, axis, f"rows:{call.node.name or call.node.outputs[0]}"), "rows")
    if table.axes[axis] == UNIT:
        raise ModelError(f"{call.node} takes positions along an axis of size one")
    axes = (*table.axes[:axis], *positions.axes, *table.axes[axis + 1 :])
    ((row,),) = table.axes[axis]
    builder.trained |= table.undecided
    trained = table.trained or bool(table.undecided)
    result = Value(axes, {}, of_inputs=True, trained=trained)
    blocks = {}
    for place in result.positions():
        end = axis + len(positions.axes)
        at = positions.blocks[place[axis:end]]
        entry = table.blocks[(*place[:axis], 0, *place[end:])]
        (number,) = elements(at)
        indices_of_entry = {builder.axes.find(index) for element in elements(entry) for index in element.indices}
        if indices_of_entry & {builder.axes.find(index) for index in number.indices}:
            raise ModelError(f"{call.node} takes positions along an axis that its table has as well")
        where = (Equation(number, ((row, 1),)),)
        blocks[place] = builder.step("h", result.indices(place), entry, "sum", (row,), where=where)
    return builder.held(replace(result, blocks=blocks), "h")


def _as_input(call: OnnxCall, positions: Value, rows: int) -> Value:
    """Return positions as the input that they equal for all rows, also where the file counts some from the end."""
    builder = call.builder
    if builder.is_input(positions):
        return positions
    formulas = {step.target: step.expression for step in builder.steps if step.operator is None and not step.where}
    blocks = {}
    for place, block in positions.blocks.items():
        formula = block
        while known := {e: formulas[e] for e in elements(formula) if e in formulas}:
            formula = formula.xreplace(known)
        sources = elements(formula)
        numbers = np.arange(min(rows, MOST_WHOLE), dtype=float)
        if len(sources) == 1:
            with np.errstate(all="ignore"):
                computed = interpret(formula, {sources[0]: numbers}, exact=False)
        if len(sources) != 1 or not np.array_equal(np.broadcast_to(computed, numbers.shape), numbers):
            raise ModelError(f"{call.node} takes positions that are computed; nncodegen knows those that are an input")
        blocks[place] = sources[0]
    return replace(positions, blocks=blocks)


def tile(call: OnnxCall) -> Value:
    """Repeat whole axes."""
    value, counts = call.value(0, as_parameter=True), call.integers(1, "repeats")
    if len(counts) != len(value.axes) or any(not 0 < count <= MOST_WHOLE for count in counts):
        raise ModelError(f"{call.node} repeats {len(value.axes)} axes {tuple(counts)} times")
    for axis, (size, count) in enumerate(zip(call.builder.shape(value), counts, strict=True)):
        if count > 1 and size is None:
            raise ModelError(f"{call.node} repeats the samples of a batch: a model computes row by row")
        if count > 1:
            value = _repeated(call, value, axis, count, axis)
    return value


def _repeated(call: OnnxCall, value: Value, axis: int, count: int, place: int) -> Value:
    """Repeat an axis: insert a new axis before or after it, broadcast along that one, and merge both."""
    wide = call.builder.inserted(value, place)
    shape = call.builder.shape(wide)
    wide = call.builder.expanded(wide, (*shape[:place], count, *shape[place + 1 :]), f"{call.node.outputs[0]}:{axis}")
    return call.builder.merged(wide, axis)


def resize(call: OnnxCall) -> Value:
    """Repeat each value, or take the nearest values to places between them."""
    builder, value = call.builder, call.value(0)
    mode, where = call.text("mode", "nearest"), call.text("coordinate_transformation_mode", "half_pixel")
    if call.node.operator == "Upsample" or call.opset < 11:
        where = "asymmetric"
    shape = builder.shape(value)
    scales, sizes = _scales(call, len(shape))
    for axis, size in enumerate(shape):
        scale = 1.0 if scales is None else scales[axis]
        wanted = math.floor((size or 1) * scale) if sizes is None else sizes[axis]
        if size is None or wanted == size:
            if size is None and (scale != 1 if sizes is None else wanted not in (1, SAMPLES_SIZE)):
                raise ModelError(f"{call.node} resizes the samples of a batch: a model computes row by row")
            continue
        if mode != "nearest":
            raise ModelError(f"{call.node} interpolates by {mode!r}; nncodegen knows 'nearest'")
        if not 0 < wanted <= MOST_WHOLE:
            raise ModelError(f"{call.node} gives an axis of size {wanted}")
        factor = wanted / size if sizes is not None else scale
        rule = call.text("nearest_mode", "round_prefer_floor") if call.opset >= 11 else "floor"
        places = [_nearest(k, size, wanted, factor, where, rule) for k in range(wanted)]
        if places == [k * size // wanted for k in range(wanted)] and wanted % size == 0:
            value = _repeated(call, value, axis, wanted // size, axis + 1)
        else:
            value = builder.gathered(value, axis, places)
    return value


def _scales(call: OnnxCall, rank: int) -> tuple[list[float] | None, list[int] | None]:
    """Return the factors of all axes, or their sizes. Raise ModelError."""
    at = 1 if call.node.operator == "Upsample" or call.opset < 11 else 2
    axes = [call.axis(axis, rank) for axis in call.wholes("axes", tuple(range(rank)))]
    if at == 2 and call.given(3):
        wanted = call.integers(3, "sizes")
        sizes = [n or SAMPLES_SIZE for n in call.builder.shape(call.value(0))]
        for axis, size in zip(axes, wanted, strict=False):
            sizes[axis] = size
        if len(wanted) == len(axes) and call.text("keep_aspect_ratio_policy", "stretch") == "stretch":
            return None, sizes
    elif call.given(at) or "scales" in call.attributes:
        factors = call.as_real(at) if call.given(at) else Weights("scales", call.reals("scales"))
        fits = isinstance(factors, Weights) and factors.array.shape == (len(axes),)
        if isinstance(factors, Weights) and fits and ((factors.array > 0) & np.isfinite(factors.array)).all():
            scales = [1.0] * rank
            for axis, scale in zip(axes, factors.array, strict=True):
                scales[axis] = float(scale)
            return scales, None
    raise ModelError(f"{call.node} has no scales or sizes that are in the file, one for each axis")


def _nearest(k: int, size: int, wanted: int, scale: float, where: str, rule: str) -> int:
    """Return the place from which place k of a resized axis is taken, as ONNX defines it."""
    at = {
        "asymmetric": k / scale,
        "half_pixel": (k + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (k + 0.5) / scale - 0.5 if wanted > 1 else 0.0,
        "align_corners": k * (size - 1) / (wanted - 1) if wanted > 1 else 0.0,
    }.get(where)
    if at is None:
        raise ModelError(f"a Resize has the coordinate_transformation_mode {where!r}, which nncodegen does not know")
    near = {
        "floor": math.floor(at),
        "ceil": math.ceil(at),
        "round_prefer_floor": math.ceil(at - 0.5),
        "round_prefer_ceil": math.floor(at + 0.5),
    }.get(rule)
    if near is None:
        raise ModelError(f"a Resize has the nearest_mode {rule!r}, which nncodegen does not know")
    return min(max(near, 0), size - 1)


def _taken(call: OnnxCall, value: Value, axis: int, indices: NDArray[Any]) -> Value:
    """Return the values at positions along an axis, counted also from the end; a single position removes the axis."""
    axis = call.axis(axis, len(value.axes))
    size = call.builder.shape(value)[axis] or 0
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise ModelError(f"{call.node} takes positions beyond an axis of size {size}")
    single = len(value.axes[axis]) == len(value.axes[axis][0]) == 1 and not call.builder.is_input(value)
    if single and not indices.ndim and (call.builder.time or call.builder.ours):
        return call.builder.at(value, axis, int(indices) % size)  # a gate: the weights of all gates stay together
    result = call.builder.gathered(value, axis, [int(place) % size for place in indices.ravel()])
    if indices.ndim > 1:
        shape = call.builder.shape(result)
        return call.builder.reshaped(result, (*shape[:axis], *indices.shape, *shape[axis + 1 :]))
    return result if indices.ndim else call.builder.without(result, axis)


def reverse_sequence(call: OnnxCall) -> Value:
    """Reverse an axis, for sequences that all have its length. Raise ModelError for others."""
    value, lengths = call.value(0), call.value(1)
    axis, size = call.axis(call.whole("time_axis", 0), len(value.axes)), 0
    size = call.builder.shape(value)[axis] or 0
    if any(block != size for block in lengths.blocks.values()):
        raise ModelError(f"{call.node} has lengths of its sequences, which nncodegen does not know")
    return call.builder.gathered(value, axis, range(size)[::-1])


def split(call: OnnxCall) -> list[Value]:
    """Return the parts of a tensor along an axis."""
    value = call.value(0, as_parameter=True)
    axis = call.axis(call.whole("axis", 0), len(value.axes))
    size, count = call.builder.shape(value)[axis], len(call.node.outputs)
    if size is None:
        raise ModelError(f"{call.node} takes rows out of a batch: a model computes row by row")
    if call.opset >= 13 and call.given(1):
        sizes = call.integers(1, "sizes")
    else:
        part = -(-size // count)
        sizes = call.wholes("split", (part,) * (count - 1) + (size - part * (count - 1),))
    if sum(sizes) != size or len(sizes) != count or any(length < 1 for length in sizes):
        raise ModelError(f"{call.node} splits an axis of size {size} into {count} parts of the sizes {sizes}")
    ends = [sum(sizes[: k + 1]) for k in range(count)]
    return [call.builder.gathered(value, axis, range(e - n, e)) for e, n in zip(ends, sizes, strict=True)]


def _array(call: OnnxCall, function: Callable[[NDArray[Any]], Any]) -> NDArray[Any]:
    """Return a function of integers of the file."""
    try:
        return np.asarray(function(np.asarray(call.first)))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise ModelError(f"{call.node} cannot be computed: {error}") from error


def array_feature_extractor(call: OnnxCall) -> Value:
    """Return some columns of a matrix, whose indices are in the file (an operator of ai.onnx.ml)."""
    indices = np.array(call.integers(1, "columns"), dtype=np.int64)
    value = call.value(0)
    return _taken(call, value, len(value.axes) - 1, indices)
