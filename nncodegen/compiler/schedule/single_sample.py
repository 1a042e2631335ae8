"""A single sample: the program without the index of the samples, whose vectors run along the units of a layer.

A single sample would leave the vectors and blocks of a tile nearly empty. Without the samples, the product of a layer
is that of a matrix and a vector, and the gradient of a weight is a single term, not a sum: it is stored, or, in plain
gradient descent, subtracted from the parameter at once. That comes last, when the parameters are no longer read. Inputs
and targets that loops over units read are copied first, so that all these loops run over whole vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor, needed, slices_of
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.arrays import Arrays
from nncodegen.compiler.schedule.forms import Form
from nncodegen.compiler.schedule.fuse import fuse
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout, factors_of
from nncodegen.compiler.schedule.loops import in_parts, without_noise
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.places import declared, strides_of, transposed_strides, with_strides
from nncodegen.compiler.schedule.plans import SINGLE_SAMPLE
from nncodegen.compiler.schedule.rewrites.gather_loss_only import gather_loss_only
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.side_by_side import SingleSample
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.tree import Compute, Trees
from nncodegen.compiler.schedule.tree_walks import Site, computes
from nncodegen.compiler.schedule.verify import verify_order

SAMPLES = 4
"""The largest batch whose gradient is faster sample by sample, if a tile has samples innermost. If it has features
innermost, two samples are already faster together."""

STATEMENTS = 300
"""Number of steps of a gradient up to which single samples have one: with thirty layers or more, which are rarely
trained in this way, compilers would take half as long again."""


def choose_single_sample(program: Program, layout: Layout, kernels: tuple[Kernel, ...]) -> SingleSample | None:
    """Return the kernels of one sample, given those of a tile; None if these are plain loops over samples."""
    if not any(kernel.shapes for kernel in kernels):
        return None
    if program.batch or program.loss is None:
        sample_program = without_samples(without_batch(program))
        return SingleSample(sample_program, _predict(sample_program, replace(layout, transposed=())), None, 1)
    sample_program, gradient = without_samples(program), kernels[-1]
    samples = 1 if layout.features or gradient.descends else SAMPLES  # the second must not see what the first changes
    return SingleSample(
        sample_program,
        _predict(sample_program, replace(layout, transposed=())),
        _gradient(sample_program, layout, gradient),
        samples,
    )


def without_batch(program: Program) -> Program:
    """Return the program outside of training: a single sample has no statistics of a batch."""
    return replace(
        program, steps=needed(program.steps, program.outputs_and_loss), gradient=(), batch=None, present=None
    )


def without_samples(program: Program) -> Program:
    """Return the program of one sample, in which no tensor has the index of the samples."""
    return replace(
        program,
        inputs=tuple(map(_of_one_sample, program.inputs)),
        targets=tuple(map(_of_one_sample, program.targets)),
        weight=_of_one_sample(program.weight),
        noise=tuple(replace(source, tensor=_of_one_sample(source.tensor)) for source in program.noise),
        steps=tuple(map(_without_sum, program.steps)),
        outputs=tuple(map(_without_sample, program.outputs)),
    )


def _of_one_sample(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=tuple(size for size in tensor.shape if size is not None))


def _without_sample(element: Element) -> Element:
    return Element(element.tensor, [index for index in element.indices if index != SAMPLE])


def _without_sum(step: Step) -> Step:
    """Return the step of one sample: a sum over the samples becomes its only term."""
    expression = step.expression.xreplace({operand: _without_sample(operand) for operand in step.operands})
    over = tuple(index for index in step.over if index != SAMPLE)
    where = tuple(
        equation if equation.data is None else replace(equation, left=_without_sample(equation.data))
        for equation in step.where
    )
    return Step(_without_sample(step.target), expression, step.operator if over else None, over, where)


def with_outputs(sample_program: Program, storage: dict[str, Storage]) -> tuple[list[Step], tuple[Element, ...]]:
    """Return the steps that predict, and the outputs in columns, whose places are added to the storage."""
    steps, results = copied(
        sample_program.outputs,
        sample_program.outputs,
        "output column {}",
        list(without_noise(sample_program)),
        sample_program,
    )
    for element, (_, column_range) in zip(results, slices_of(sample_program.output_tensors), strict=True):
        storage[element.tensor] = Storage(Place.OUTPUT, column_range.start)
    return steps, results


def _predict(sample_program: Program, layout: Layout) -> Kernel:
    storage = declared(sample_program, layout)
    steps, results = with_outputs(sample_program, storage)
    tree = tuple(_fused(needed(_split(steps, sample_program), results), sample_program, storage))
    places, arrays = _places(sample_program, layout, tree, storage, ())
    kernel = Kernel("predict", SINGLE_SAMPLE, Trees(parts=((0, tree),)), places, Memory(arrays))
    return lower(kernel, sample_program, layout)


def _gradient(sample_program: Program, layout: Layout, of_tile: Kernel) -> Kernel | None:
    """Return the kernel of the gradient.

    Return None if it is long, if it reads parameters that it may change, or if the loss is a sum over a matrix.
    """
    defined = {step.target: step for step in sample_program.steps}
    outputs = sample_program.outputs if of_tile.outputs else ()
    steps, outputs = copied(
        outputs, [e for e in outputs if e not in defined], "measured {}", list(sample_program.steps), sample_program
    )
    read = {operand for step in steps for operand in step.operands} | {*outputs}
    shared = [element for element, times in Counter(sample_program.gradient).items() if times > 1]
    sums = [element for element in sample_program.gradient if element not in defined or defined[element].over]
    steps, ends = copied(sample_program.gradient, {*read, *shared, *sums}, "gradient {}", steps, sample_program)
    steps = _with_copies(_split(steps, sample_program), sample_program, ends)
    needed_steps = needed(steps, [sample_program.required_loss, *ends])
    besides = [step for step in needed(steps, outputs) if step not in needed_steps]
    first, last = [s for s in needed_steps if s.target not in ends], [s for s in needed_steps if s.target in ends]
    changed = {operand.tensor for step in last for operand in step.operands}
    reads = any(parameter.name in changed for parameter in sample_program.parameters)
    if len(needed_steps) > STATEMENTS or reads or len(defined[sample_program.required_loss].over) > 1:
        return None
    storage = declared(sample_program, layout) | _places_of_gradient(ends, sample_program, layout)
    storage[sample_program.required_loss.tensor] = of_tile.storage[sample_program.required_loss.tensor]
    tile, measured, after = (tuple(_fused(part, sample_program, storage)) for part in (first, besides, last))
    targets = {tensor.name for tensor in sample_program.targets}
    compared = {step.target.tensor for step in first if targets & {operand.tensor for operand in step.operands}}
    kept = compared | {element.tensor for element in outputs} if outputs else frozenset()
    others = {step.target.tensor for step in needed(steps, [*ends, *outputs])}
    of_loss = frozenset(step.target.tensor for step in first if step.target.tensor not in others)
    trees = gather_loss_only(Trees((), ((0, tile),), (measured,), (after,)), of_loss)
    verify_order(trees, storage, gather_loss_only.__name__)
    places, arrays = _places(sample_program, layout, [*computes([*trees.tile, *measured, *after])], storage, kept)
    memory = Memory(arrays, of_tile.memory.sums)
    kernel = Kernel("gradient", SINGLE_SAMPLE, trees, places, memory, outputs=outputs, of_loss=of_loss)
    return lower(kernel, sample_program, layout)


def copied(
    elements: Sequence[Element], which: Container[Element], name: str, steps: list[Step], sample_program: Program
) -> tuple[list[Step], tuple[Element, ...]]:
    """Return the steps with copies of some elements appended, and the elements, replaced by their copies."""
    results = list(elements)
    for number, element in enumerate(elements):
        if element in which:
            results[number] = Element(unused(name.format(number), sample_program.shapes), element.indices)
            steps = [*steps, Step(results[number], element)]
    return steps, tuple(results)


def _places_of_gradient(ends: Sequence[Element], sample_program: Program, layout: Layout) -> dict[str, Storage]:
    """Return the places of the derivatives, in the order of the parameters and with their strides."""
    return {
        end.tensor: Storage(Place.GRADIENT, values.start, transposed_strides(element.tensor, parameter, layout))
        for end, element, (parameter, values) in zip(
            ends, sample_program.gradient, slices_of(sample_program.parameters), strict=False
        )
    }


def _split(steps: Iterable[Step], sample_program: Program) -> Iterator[Step]:
    """Yield the steps; the computed terms of a sum or maximum get a separate step."""
    for step in in_parts(steps, sample_program):
        if len(step.over) != 1 or step.target.indices or isinstance(step.expression, Element):
            yield step
            continue
        terms = Element(unused(f"terms of {step.target.tensor}", sample_program.shapes), step.over)
        yield Step(terms, step.expression)
        yield replace(step, expression=terms)


def _with_copies(steps: Iterable[Step], sample_program: Program, ends: Container[Element]) -> list[Step]:
    """Return the steps after copies of rows from outside that they read, and of random numbers, which are drawn once.

    Products, and the steps that define ``ends``, read inputs and targets in place.
    """
    noise = {source.tensor.name for source in sample_program.noise}
    rows = {tensor.name for tensor in (*sample_program.inputs, *sample_program.targets)}
    copies: dict[str, Step] = {}
    other_steps: list[Step] = []
    for step in steps:
        outside = noise if is_product(step) or step.target in ends else noise | rows
        read = [element for element in step.operands if element.tensor in outside and element.indices]
        for element in read:
            copy = Element(unused(f"{element.tensor} row", sample_program.shapes), element.indices)
            copies.setdefault(element.tensor, Step(copy, element))
        copied = {element: Element(copies[element.tensor].target.tensor, element.indices) for element in read}
        other_steps.append(replace(step, expression=step.expression.xreplace(copied)))
    return [*copies.values(), *other_steps]


def is_product(step: Step) -> bool:
    """Return whether a step is the product of a matrix and a vector."""
    return sorted(len(factor.indices) for factor in factors_of(step)) == [1, 2]


def _fused(steps: Iterable[Step], sample_program: Program, storage: dict[str, Storage]) -> Iterator[Compute]:
    """Yield the loops of steps: one for each product, copy from outside or result; other steps share loops."""
    steps = list(steps)
    forms = {step.target.tensor: _form(step, storage) for step in steps}
    outside = {name for name, known in storage.items() if known.place is not Place.PARAMETER}
    copies = (step for step in steps if isinstance(step.expression, Element) and step.expression.tensor in outside)
    return fuse(steps, sample_program, forms, {*outside, *(step.target.tensor for step in copies)}, ())


def _form(step: Step, storage: dict[str, Storage]) -> Form:
    """Return the form of a step; along its vectors runs the index whose values are contiguous."""
    indices = step.target.indices
    if is_product(step):
        return Form(Shape.CONTRACT, indices[0])
    strides = storage[step.target.tensor].strides if step.target.tensor in storage else ()
    side_by_side = [index for index, stride in zip(indices, strides, strict=False) if stride == 1]
    return Form(Shape.LOOPS, (*indices, *side_by_side)[-1] if indices and not step.over else SAMPLE)


def _places(
    sample_program: Program, layout: Layout, tree: Sequence[Compute], storage: dict[str, Storage], kept: Container[str]
) -> tuple[dict[str, Storage], int]:
    """Return the places of all tensors, with rows padded to whole vectors, and the length of work memory."""
    storage, sites = dict(storage), [*map(Site, tree)]
    arrays = Arrays(sites, range(len(sites)), kept, layout.padding)
    readers: dict[str, set[int]] = {}
    for number, compute in enumerate(tree):
        for name in (operand.tensor for operand in compute.read):
            readers.setdefault(name, set()).add(number)
    for number, site in enumerate(sites):
        for step in site.compute.steps:
            name = step.target.tensor
            if name in storage:
                continue
            if not step.over and name not in kept and readers.get(name, set()) <= {number}:
                storage[name] = Storage(Place.LOCAL)
            elif not step.target.indices:
                storage[name] = Storage(Place.VARIABLE)
            else:
                strides, size = strides_of(sample_program, layout, step.target, step.target.indices[-1])
                storage[name] = Storage(Place.ARRAY, arrays.place(step, site, number, strides, size), strides)
    return with_strides(storage, [step for compute in tree for step in compute.steps], sample_program), arrays.size
