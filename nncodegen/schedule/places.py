"""Where each tensor of a kernel lives: a local variable, an array of one tile, a sum, or what came from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nncodegen.ir import SAMPLE, Element, Program, Step, Tensor
from nncodegen.schedule.around import Segments
from nncodegen.schedule.arrays import Arrays
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.nest import Nest, Place, Shape, Storage
from nncodegen.schedule.recurrences import in_one_row

BLOCKS = (Shape.ACCUMULATE, Shape.LANE_SUMS, Shape.ADD_UP, Shape.BLAS)


def declared(program: Program, layout: Layout) -> dict[str, Storage]:
    """The places of what comes from outside: parameters lie one after the other, inputs and targets in columns."""
    storage = {program.weight.name: Storage(Place.WEIGHT)}
    storage |= {program.present.name: Storage(Place.PRESENT)} if program.present else {}
    storage |= {source.tensor.name: Storage(Place.NOISE, number) for number, source in enumerate(program.noise)}
    for origin, tensors in (
        (Place.PARAMETER, program.parameters),
        (Place.INPUT, program.inputs),
        (Place.TARGET, program.targets),
    ):
        offset = 0
        for tensor in tensors:
            storage[tensor.name] = Storage(origin, offset, transposed_strides(tensor.name, tensor, layout))
            offset += tensor.size
    return storage


def transposed_strides(name: str, parameter: Tensor, layout: Layout) -> tuple[int, ...]:
    """The strides of a tensor with the shape of a parameter, if it lies transposed; all others come later."""
    return (1, parameter.shape[0] or 1) if name in layout.transposed else ()


def place(
    program: Program,
    layout: Layout,
    phases: tuple[tuple[Nest, ...], ...],
    storage: dict[str, Storage],
    loss: tuple[Element, ...],
    kept: Collection[str],
) -> tuple[dict[str, Storage], int, int, int, int, frozenset[str], frozenset[str]]:
    """The places of all tensors, the values of work memory, the sums, and what crosses parts of a nest: see ``Kernel``.

    What is kept is read when the loops of a tile are done.
    """
    storage = dict(storage)
    blocks = [nest for nest in phases[1] if nest.shape in BLOCKS and SAMPLE in nest.steps[0].over]
    within_lanes = [nest for nest in blocks if nest.innermost != SAMPLE]
    gradient_sums, in_place = _place_gradient_sums(program, layout, within_lanes, phases[2], storage)
    sums = 0
    for nest in blocks:
        if nest.innermost == SAMPLE:
            (step,) = nest.steps
            strides, size = strides_of(program, layout, step.target, nest.innermost)
            storage[step.target.tensor] = Storage(Place.SUM, sums, strides)
            sums += size
    lane_sums = sums
    for element in loss:
        storage[element.tensor] = Storage(Place.SUM, sums)
        sums += 1
    reads: dict[str, set[tuple[int, int]]] = {}
    for home, step in _homes(phases):
        for operand in step.operands:
            reads.setdefault(operand.tensor, set()).add(home)
    before, tile = (len(phase) for phase in phases[:2])
    nests, crossing = list(_flat(phases)), set[str]()
    parts = {s.target.tensor: s.operands[0].tensor for n in nests if n.repeat for s in n.repeat.recurrences}
    single = in_one_row(nests, {*parts.values(), *kept})
    of_segment = _of_one_segment(nests)
    # aligned to tiles, so that every array is
    arrays = Arrays(nests, range(before, before + tile), kept, layout.tile, single, parts, of_segment)
    for element, (around, last) in _rows_of_segments(nests).items():
        strides, size = _strides_in_time(program, layout, element, SAMPLE, around.index, around.count)
        storage[element.tensor] = Storage(Place.ARRAY, arrays.of_rows(element.tensor, size, last), strides)
    for home, step in _homes(phases):
        name, nest = step.target.tensor, nests[home[0]]
        strides, size = strides_of(program, layout, step.target, nest.innermost)
        reduced = any(index in (*nest.reduced, SAMPLE) for index in step.over)
        local = nest.shape is Shape.LOOPS and not reduced and reads.get(name, set()) <= {home}
        local = local or (nest.shape is Shape.CONTRACT and step is not nest.steps[-1])  # only the last is stored
        if name in storage:
            continue
        if SAMPLE in step.over:
            storage[name] = Storage(Place.SUM, sums, strides)
            sums += size
        elif name not in kept and ((not step.target.indices and not reduced) or (local and name not in parts.values())):
            storage[name] = Storage(Place.LOCAL)
        else:
            storage |= _in_array(step, nest, home[0], arrays, program, layout, single, of_segment)
            within = name not in kept and name not in parts.values()
            if nest.cuts and within and {number for number, _ in reads.get(name, ())} == {home[0]}:
                crossing.add(name)
    storage = with_strides(storage, nests, program)
    return storage, arrays.size, sums, gradient_sums, lane_sums, in_place, frozenset(crossing)


def _in_array(
    step: Step,
    nest: Nest,
    number: int,
    arrays: Arrays,
    program: Program,
    layout: Layout,
    single: Container[str],
    of_segment: Container[str],
) -> dict[str, Storage]:
    """The place of what a step of the nest of this number computes, in an array, with what recurrences have there."""
    name, repeat = step.target.tensor, nest.repeat
    strides, size = strides_of(program, layout, step.target, nest.innermost)
    within = nest.segments.index if nest.segments and name in of_segment else ""
    index = repeat.index if repeat else within
    values = nest.segments.length if nest.segments and within else program.sizes[index] or 1 if index else 1
    if index:
        rows = 0 if name in single else values
        strides, size = _strides_in_time(program, layout, step.target, nest.innermost, index, rows)
    recurrences = repeat.reading(name) if repeat else ()
    row = size // values if recurrences else 0  # of zeros
    offset = arrays.place(step, nest, number, strides, size + row)
    own, others = (row, 0) if repeat and repeat.forward else (0, row)
    place = Storage(Place.ARRAY, offset, strides, own, within)
    return {name: place, **dict.fromkeys(recurrences, replace(place, shift=others))}


def _strides_in_time(
    program: Program, layout: Layout, target: Element, innermost: str, index: str, values: int
) -> tuple[tuple[int, ...], int]:
    """The strides of what has so many values of an index of time, and the size of all.

    Those of one time lie together, in order of time. Where there are 0 values, one row is that of every time.
    """
    rest = Element(target.tensor, [other for other in target.indices if other != index])
    strides, size = strides_of(program, layout, rest, innermost)
    known = {**dict(zip(rest.indices, strides, strict=True)), index: size if values else 0}
    return tuple(known[other] for other in target.indices), size * (values or 1)


def _of_one_segment(nests: Iterable[Nest]) -> frozenset[str]:
    """The tensors whose arrays have the steps of one segment at a time."""
    inside = ((nest.segments, step.target) for nest in nests if nest.segments for step in nest.steps)
    return frozenset(e.tensor for around, e in inside if around.index in e.indices and e.tensor not in around.whole)


def _rows_of_segments(nests: Sequence[Nest]) -> dict[Element, tuple[Segments, int]]:
    """What has one row for each segment, with the last nest in whose loop it is read."""
    loops = ((number, nest.segments) for number, nest in enumerate(nests) if nest.segments)
    return {element: (around, number) for number, around in loops for element in around.kept}


def with_strides(storage: Mapping[str, Storage], nests: Iterable[Nest], program: Program) -> dict[str, Storage]:
    """The places of what nests read and compute, where rows follow each other unless it is known that they do not."""
    completed = dict(storage)
    for nest in nests:
        for step in nest.steps:
            for element in (step.target, *step.operands):
                known = completed[element.tensor]
                if not known.strides and element.indices and known.place is not Place.LOCAL:
                    completed[element.tensor] = replace(known, strides=row_major(program, element))
    return completed


def _place_gradient_sums(
    program: Program, layout: Layout, nests: list[Nest], after: tuple[Nest, ...], storage: dict[str, Storage]
) -> tuple[int, frozenset[str]]:
    """Adds the places of gradient sums: where the gradient has them if it does no more than copy them, else behind it.

    Returns the values up to the last of them, and the sums that lie in place.
    """
    copies = {
        step.expression.tensor: storage[step.target.tensor]
        for nest in after
        for step in nest.steps
        if isinstance(step.expression, Element) and step.expression.indices == step.target.indices
    }
    read = Counter(operand.tensor for nest in after for step in nest.steps for operand in step.operands)
    copies = {name: copy for name, copy in copies.items() if read[name] == 1}
    end, in_place = 0, set()
    behind = layout.padded(program.parameter_count)
    for nest in nests:
        target = nest.steps[0].target
        copy = copies.get(target.tensor)
        strides, size = strides_of(program, layout, target, nest.innermost, padded=False)
        if copy and strides == (copy.strides or row_major(program, target)):
            storage[target.tensor] = Storage(Place.GRADIENT_SUM, copy.offset, strides)
            in_place.add(target.tensor)
            end = max(end, copy.offset + size)
        else:
            strides, size = strides_of(program, layout, target, nest.innermost)
            storage[target.tensor] = Storage(Place.GRADIENT_SUM, behind, strides)
            behind += size
            end = behind
    return end, frozenset(in_place)


def _flat(phases: tuple[tuple[Nest, ...], ...]) -> Iterator[Nest]:
    for phase in phases:
        yield from phase


def _homes(phases: tuple[tuple[Nest, ...], ...]) -> Iterator[tuple[tuple[int, int], Step]]:
    """Each step, with the numbers of its nest and of the part of it."""
    for number, nest in enumerate(_flat(phases)):
        for k, part in enumerate(nest.parts):
            yield from (((number, k), step) for step in part)


def strides_of(
    program: Program, layout: Layout, element: Element, innermost: str, padded: bool = True
) -> tuple[tuple[int, ...], int]:
    """The strides of the indices of a tensor with an index innermost, in rows that may be padded, and its values."""
    rest = tuple(index for index in element.indices if index != innermost)
    if innermost not in element.indices:
        return row_major(program, element), program.count(element.indices)
    size = program.sizes[innermost] or 1
    width = layout.tile if innermost == SAMPLE else layout.padded(size) if padded else size
    sizes = {index: layout.tile if index == SAMPLE else program.sizes[index] or 1 for index in rest}
    strides = {innermost: 1}
    stride = width
    for index in reversed(rest):
        strides[index] = stride
        stride *= sizes[index]
    return tuple(strides[index] for index in element.indices), stride


def row_major(program: Program, element: Element) -> tuple[int, ...]:
    """The strides of the features of a row or matrix without gaps; 0 for the samples, whose stride is elsewhere."""
    strides: list[int] = []
    for k, index in enumerate(element.indices):
        inner = tuple(i for i in element.indices[k + 1 :] if i != SAMPLE)
        strides.append(0 if index == SAMPLE else program.count(inner))
    return tuple(strides)
