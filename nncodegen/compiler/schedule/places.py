"""The place of each tensor of a kernel: a local variable, an array of one tile, a sum, or memory of the caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor, slices_of
from nncodegen.compiler.schedule.arrays import Arrays
from nncodegen.compiler.schedule.extents import SEGMENTS
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.recurrences import in_one_row, in_same_row
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.tree import Limits, Move, Trees
from nncodegen.compiler.schedule.tree_walks import Site, computes, sites, steps_in

BLOCKS = (Shape.ACCUMULATE, Shape.LANE_SUMS, Shape.ADD_UP, Shape.BLAS, Shape.MATRICES)


def declared(program: Program, layout: Layout) -> dict[str, Storage]:
    """Return the places of the caller's tensors: parameters follow one another, inputs and targets are columns."""
    storage = {program.weight.name: Storage(Place.WEIGHT)}
    storage |= {program.present.name: Storage(Place.PRESENT)} if program.present else {}
    storage |= {source.tensor.name: Storage(Place.NOISE, number) for number, source in enumerate(program.noise)}
    for origin, tensors in (
        (Place.PARAMETER, program.parameters),
        (Place.INPUT, program.inputs),
        (Place.TARGET, program.targets),
    ):
        for tensor, values in slices_of(tensors):
            storage[tensor.name] = Storage(origin, values.start, transposed_strides(tensor.name, tensor, layout))
    return storage


def transposed_strides(name: str, parameter: Tensor, layout: Layout) -> tuple[int, ...]:
    """Return the strides of a tensor with the shape of a parameter, if it lies transposed.

    Otherwise return ``()``: these strides are filled in later.
    """
    return (1, parameter.shape[0] or 1) if name in layout.transposed else ()


def place(
    trees: Trees,
    program: Program,
    layout: Layout,
    storage: Mapping[str, Storage],
    loss: tuple[Element, ...] = (),
    kept: Collection[str] = (),
    rows: Iterable[Element] = (),
    whole: Container[str] = (),
) -> tuple[dict[str, Storage], Memory]:
    """Return the places of all tensors, given those of the caller's tensors, and the memory that they take.

    Tensors in ``kept`` are read after the loops of a tile. ``rows`` have one row for each segment; tensors in ``whole``
    have all steps, while other arrays in loops over segments have the steps of one segment.
    """
    storage = dict(storage)
    places = [site for tree in trees.in_turn for site in sites(tree)]
    blocks = [each for each in computes(trees.tile) if each.shape in BLOCKS and SAMPLE in each.steps[0].over]
    columns = [(each.steps[0].target, each.innermost) for each in blocks if each.innermost != SAMPLE]
    gradient_sums, in_place = _place_gradient_sums(program, layout, columns, [*steps_in(trees.after)], storage)
    sums = 0
    for block in blocks:
        if block.innermost == SAMPLE:
            (step,) = block.steps
            strides, size = strides_of(program, layout, step.target, block.innermost)
            storage[step.target.tensor] = Storage(Place.SUM, sums, strides)
            sums += size
    lane_sums = sums
    for element in loss:
        storage[element.tensor] = Storage(Place.SUM, sums)
        sums += 1
    reads: dict[str, set[tuple[int, int]]] = {}
    for home, step in _homes(places):
        for operand in step.operands:
            reads.setdefault(operand.tensor, set()).add(home)
    before, tile = (
        len([*computes(tree)])
        for tree in ([each for trees_before in trees.before for each in trees_before], trees.tile)
    )
    crossing = set[str]()
    parts = {step.target.tensor: step.operands[0].tensor for site in places for step in site.carried}
    single = in_one_row(places, {*parts.values(), *kept})
    # rows of matrices are moved by their own loops
    renewed = frozenset[str]() if layout.one_by_one else in_same_row(places, kept)
    of_segment = _of_one_segment(places, whole)
    # arrays are aligned to tiles, so that every array is aligned
    aligned = layout.padding if layout.one_by_one else layout.tile
    arrays = Arrays(places, range(before, before + tile), kept, aligned, single, parts, of_segment)
    for element, (limits, last) in _rows_of_segments(places, rows).items():
        strides, size = _strides_in_time(program, layout, element, SAMPLE, limits.index, limits.count)
        storage[element.tensor] = Storage(Place.ARRAY, arrays.of_rows(element.tensor, size, last), strides)
    for home, step in _homes(places):
        name, site = step.target.tensor, places[home[0]]
        compute = site.compute
        strides, size = strides_of(program, layout, step.target, compute.innermost)
        reduced = any(index in (*compute.reduced, SAMPLE) for index in step.over)
        local = compute.shape is Shape.LOOPS and not reduced and reads.get(name, set()) <= {home}
        local = local or (compute.shape is Shape.CONTRACT and step is not compute.steps[-1])  # only the last is stored
        if name in storage:
            continue
        if SAMPLE in step.over:
            storage[name] = Storage(Place.SUM, sums, strides)
            sums += size
        elif name not in kept and ((not step.target.indices and not reduced) or (local and name not in parts.values())):
            storage[name] = Storage(Place.LOCAL)
        else:
            storage |= _in_array(step, site, home[0], arrays, program, layout, single, renewed, of_segment)
            within = name not in kept and name not in parts.values()
            if compute.cuts and within and {number for number, _ in reads.get(name, ())} == {home[0]}:
                crossing.add(name)
    storage = with_strides(storage, [step for site in places for step in site.compute.steps], program)
    # vectors of a product may reach beyond the last row of an array, without an effect on results
    beyond = layout.padding if layout.one_by_one else 0
    return storage, Memory(
        arrays.size + beyond, sums, gradient_sums, lane_sums, in_place=in_place, crossing=frozenset(crossing)
    )


def _in_array(
    step: Step,
    site: Site,
    number: int,
    arrays: Arrays,
    program: Program,
    layout: Layout,
    single: Container[str],
    renewed: Container[str],
    of_segment: Container[str],
) -> dict[str, Storage]:
    """Return the place of a step's result in an array, and the places of the recurrences that share the array."""
    name, time, limits, innermost = step.target.tensor, site.time, site.limits, site.compute.innermost
    strides, size = strides_of(program, layout, step.target, innermost)
    within = limits.index if limits and name in of_segment else ""
    index = time.index if time and time.index in step.target.indices else within
    values = limits.length if limits and within else program.sizes[index] or 1 if index else 1
    if index:
        rows = 0 if name in single or name in renewed else values
        strides, size = _strides_in_time(program, layout, step.target, innermost, index, rows)
    recurrences = [each.target.tensor for each in site.carried if each.operands[0].tensor == name]
    row = size // values if recurrences and name not in renewed else 0  # of zeros
    offset = arrays.place(step, site, number, strides, size + row)
    position, others = (row, 0) if time and not time.backward else (0, row)
    place = Storage(Place.ARRAY, offset, strides, position, within)
    return {name: place, **dict.fromkeys(recurrences, replace(place, shift=others))}


def _strides_in_time(
    program: Program, layout: Layout, target: Element, innermost: str, index: str, values: int
) -> tuple[tuple[int, ...], int]:
    """Return the strides of a tensor with a number of values of an index of time, and the size of its array.

    The values of one time are contiguous, in order of time. With 0 values, one row serves every time.
    """
    if layout.one_by_one:  # rows of one matrix, whatever lies around it
        sizes = [values if other == index else program.sizes[other] or 1 for other in target.indices]
        of_sample = [1 if other == SAMPLE else size for other, size in zip(target.indices, sizes, strict=True)]
        strides = tuple(0 if k == SAMPLE else prod(of_sample[at + 1 :]) for at, k in enumerate(target.indices))
        return strides, prod(of_sample)
    row_element = Element(target.tensor, [other for other in target.indices if other != index])
    strides, size = strides_of(program, layout, row_element, innermost)
    known = {**dict(zip(row_element.indices, strides, strict=True)), index: size if values else 0}
    return tuple(known[other] for other in target.indices), size * (values or 1)


def _of_one_segment(places: Iterable[Site], whole: Container[str]) -> frozenset[str]:
    """Return the tensors whose arrays have the steps of one segment at a time."""
    inside = ((site.limits, step.target) for site in places for step in site.compute.steps)
    return frozenset(e.tensor for limits, e in inside if limits and limits.index in e.indices and e.tensor not in whole)


def _rows_of_segments(places: Sequence[Site], rows: Iterable[Element]) -> dict[Element, tuple[Limits, int]]:
    """Return, for elements with one row per segment, their segments and the last place in a loop that reads them."""
    named, segments = {element.tensor: element for element in rows}, dict[Element, tuple[Limits, int]]()
    for number, site in enumerate(places):
        moves = (each for each in (site.segments.body if site.segments else ()) if isinstance(each, Move))
        for element in (e for move in moves for e in (move.target, move.source) if e and SEGMENTS in e.indices):
            if site.limits:
                segments[named[element.tensor]] = site.limits, number
    return segments


def with_strides(storage: Mapping[str, Storage], steps: Iterable[Step], program: Program) -> dict[str, Storage]:
    """Return the places with the strides still missing: those of rows that follow one another without gaps."""
    completed = dict(storage)
    for step in steps:
        for element in (step.target, *step.operands):
            known = completed[element.tensor]
            if not known.strides and element.indices and known.place is not Place.LOCAL:
                completed[element.tensor] = replace(known, strides=row_major(program, element))
    return completed


def _place_gradient_sums(
    program: Program,
    layout: Layout,
    sums: Iterable[tuple[Element, str]],
    after: Sequence[Step],
    storage: dict[str, Storage],
) -> tuple[int, frozenset[str]]:
    """Add the places of sums, each with its innermost index: where the gradient copies them to, or after all of it.

    Returns the values up to the last of them, and the sums that lie in place.
    """
    copies = {
        step.expression.tensor: storage[step.target.tensor]
        for step in after
        if isinstance(step.expression, Element) and step.expression.indices == step.target.indices
    }
    read = Counter(operand.tensor for step in after for operand in step.operands)
    copies = {name: copy for name, copy in copies.items() if read[name] == 1}
    end, in_place = 0, set()
    free = layout.padded(program.parameter_count)
    for target, innermost in sums:
        copy = copies.get(target.tensor)
        strides, size = strides_of(program, layout, target, innermost, padded=False)
        if copy and strides == (copy.strides or row_major(program, target)):
            storage[target.tensor] = Storage(Place.GRADIENT_SUM, copy.offset, strides)
            in_place.add(target.tensor)
            end = max(end, copy.offset + size)
        else:
            strides, size = strides_of(program, layout, target, innermost)
            storage[target.tensor] = Storage(Place.GRADIENT_SUM, free, strides)
            free += size
            end = free
    return end, frozenset(in_place)


def _homes(places: Sequence[Site]) -> Iterator[tuple[tuple[int, int], Step]]:
    """Yield each step, with the number of its place and of its part of this place."""
    for number, site in enumerate(places):
        for k, part in enumerate(site.compute.parts):
            yield from (((number, k), step) for step in part)


def strides_of(
    program: Program, layout: Layout, element: Element, innermost: str, padded: bool = True
) -> tuple[tuple[int, ...], int]:
    """Return the strides of a tensor with an index innermost, in rows that may be padded, and the size of its array."""
    rest = tuple(index for index in element.indices if index != innermost)
    if layout.one_by_one:
        return row_major(program, element), program.count(element.indices)
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
    """Return the strides of a row or matrix without gaps; 0 for the samples, whose stride is known elsewhere."""
    strides: list[int] = []
    for k, index in enumerate(element.indices):
        inner = tuple(i for i in element.indices[k + 1 :] if i != SAMPLE)
        strides.append(0 if index == SAMPLE else program.count(inner))
    return tuple(strides)
