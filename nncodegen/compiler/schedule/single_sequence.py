"""Predictions of a single sequence, whose vectors run along the units of a layer.

In a tile, a single sample of a recurrence leaves the vectors nearly empty. Here the program has no index of the samples
(see ``single_sample``), and the steps of a group share a loop over time, as they do in a tile (see ``recurrences``). A
product of weights with a state is that of a matrix and a vector: the gates and their units are the rows of one matrix,
whose values lie side by side, as do the results. A sum of few terms, as over the features of a scalar series, is
written out in the loops over units that use it. Every other step is a loop.

Where windows are summed up with weights, as in a convolution, there is no such kernel: its vectors would have to run
along positions, which would then have to be contiguous in all arrays. In inputs, channels usually are contiguous
instead.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from math import prod

from sympy import Add

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Program, Step, needed
from nncodegen.compiler.schedule.forms import MOST_UNROLLED, Form
from nncodegen.compiler.schedule.fuse import fuse
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.loops import in_parts
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.pair_families import of_samples, scores_of
from nncodegen.compiler.schedule.pairs import in_blocks, take_much
from nncodegen.compiler.schedule.places import declared, place
from nncodegen.compiler.schedule.plans import SINGLE_SAMPLE
from nncodegen.compiler.schedule.recurrences import in_groups, in_place
from nncodegen.compiler.schedule.segments import Segmented, in_segments
from nncodegen.compiler.schedule.shapes import Shape, matrix_and_row
from nncodegen.compiler.schedule.side_by_side import SingleSample
from nncodegen.compiler.schedule.single_sample import with_outputs, without_batch, without_samples
from nncodegen.compiler.schedule.statements import numbered, single_values, terms
from nncodegen.compiler.schedule.storage import Storage
from nncodegen.compiler.schedule.tree import Compute, Tree, Trees


def choose_single_sequence(program: Program, layout: Layout) -> SingleSample | None:
    """Return the kernel that predicts one sample of a program with recurrences; None if windows have weights."""
    if not any(step.operator in RECURRENCES for step in program.steps):
        return None
    sample_program = without_samples(without_batch(program) if program.batch else program)
    kernel = outputs_of_one(sample_program, layout, program)
    return SingleSample(sample_program, kernel, None, 1) if kernel else None


def outputs_of_one(sample_program: Program, layout: Layout, program: Program) -> Kernel | None:
    """Return the kernel of the outputs of a program without samples; None if windows have weights.

    ``program`` is that of all samples.
    """
    # rows follow each other without padding, so that all gates are the rows of one matrix; arrays begin at vectors
    layout = replace(layout, tile=layout.padding, padding=1, transposed=())
    storage = _with_strides(declared(sample_program, layout), sample_program)
    steps, results = with_outputs(sample_program, storage)
    needed_steps = needed(in_parts(in_place(steps, layout.segmented), sample_program), results)
    whole = {score.tensor for score in scores_of(program)} if take_much(program) else set()
    steps = [
        step if step.target.tensor in whole else _written_out(step, sample_program, layout.segmented)
        for step in needed_steps
    ]
    if any(_is_window(step) for step in steps):
        return None
    repeated = frozenset(index for step in steps if step.operator in RECURRENCES for index in step.over)
    forms = {step.target.tensor: _form(step, repeated) for step in steps}
    outputs_tree = _tree(steps, sample_program, layout, forms, storage, program)
    trees = Trees(parts=tuple(enumerate(outputs_tree.parts)))
    places, memory = place(trees, sample_program, layout, storage, rows=outputs_tree.rows, whole=outputs_tree.whole)
    kernel = Kernel("predict", SINGLE_SAMPLE, trees, places, memory)
    return lower(kernel, sample_program, layout)


def _tree(
    steps: list[Step],
    sample_program: Program,
    layout: Layout,
    forms: dict[str, Form],
    storage: dict[str, Storage],
    program: Program,
) -> Segmented:
    """Return the tree, in segments of time or blocks of queries if there are any.

    Tensors in ``storage`` lie outside, with all steps. ``program`` is that of all samples.
    """

    def fused(own_steps: list[Step], index: str) -> Iterator[Compute]:
        return fuse(own_steps, sample_program, forms, (), (), index)

    if layout.segmented:
        return in_segments(steps, sample_program, layout, forms, fused, steps, storage)

    def in_time(own_steps: list[Step]) -> Tree:
        return in_groups(own_steps, sample_program, forms, fused)

    def of_block(own_steps: list[Step], index: str) -> Iterator[Compute]:
        return fused(own_steps, "")

    blocks = in_blocks([steps], sample_program, layout, forms, in_time, of_block, storage, of_samples(program.steps))
    return blocks if blocks.parts else Segmented((in_time(steps),))


def _with_strides(storage: dict[str, Storage], sample_program: Program) -> dict[str, Storage]:
    """Return the places of the caller's tensors, whose rows follow one another."""
    shapes = {tensor.name: [size or 1 for size in tensor.shape] for tensor in sample_program.declared}
    strides = {name: tuple(prod(shape[k + 1 :]) for k in range(len(shape))) for name, shape in shapes.items()}
    return {name: replace(known, strides=strides[name]) for name, known in storage.items()}


def _written_out(step: Step, sample_program: Program, times: Container[str]) -> Step:
    """Return the step with numbers instead of indices that have one value, and with all terms of a short sum.

    Indices in ``times`` stay, as no array has all values of them.
    """
    known = {index: value for index, value in single_values(step, sample_program).items() if index not in times}
    step = numbered(step, known) if known else step
    if (
        step.operator == "sum"
        and not step.where
        and step.target.indices
        and sample_program.count(step.over) <= MOST_UNROLLED
    ):
        return Step(step.target, Add(*(term.expression for term in terms(step, sample_program))))
    return step


def _is_window(step: Step) -> bool:
    """Return whether a step sums products whose indices move against each other."""
    return step.operator == "sum" and bool(step.where) and len(step.expression.atoms(Element)) > 1


def _form(step: Step, repeated: Container[str]) -> Form:
    """Return the form of a step; along its vectors runs the last index of its target, or the summed index."""
    if _is_product(step, repeated):
        return Form(Shape.MATRIX_BY_ROW, step.over[0])
    return Form(Shape.LOOPS, step.target.indices[-1] if step.target.indices and not step.over else SAMPLE)


def _is_product(step: Step, repeated: Container[str]) -> bool:
    """Return whether a step multiplies a matrix with vectors: both factors end with the summed index.

    The result ends with the rows of the matrix, none of which is a time.
    """
    factors = step.expression.args
    if step.operator != "sum" or step.where or len(step.over) != 1 or not step.target.indices:
        return False
    if not step.expression.is_Mul or len(factors) != 2 or not all(isinstance(each, Element) for each in factors):
        return False
    matrix, row = matrix_and_row(step)
    rows, others = matrix.indices[:-1], row.indices[:-1]
    ends = matrix.indices[-1:] == row.indices[-1:] == step.over and step.target.indices[-len(rows) :] == rows != ()
    return ends and not any(index in repeated or index in others for index in rows)
