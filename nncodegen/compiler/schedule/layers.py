"""Many models of a network side by side, one in each lane of a vector, in loops over samples and units.

Every value of a tile, and every parameter, is then a vector with a lane for each model. So vectors are full whatever
the widths of the layers are, and sums over samples stay in their lanes. The vectors of a single network hold samples or
units instead, and may be partly empty. But the parameters of a group take the memory of one model times the number of
models, and must stay in the first-level cache or close to it.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Element, Program, Step
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import LONGEST, Layout
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plans import LAYERS
from nncodegen.compiler.schedule.side_by_side import SideBySide
from nncodegen.compiler.schedule.storage import Place, Storage
from nncodegen.compiler.schedule.tree import Tree
from nncodegen.compiler.schedule.tree_walks import Site, computed, only, steps_in

SAMPLES = 8
"""Samples of each model in a tile: a block of a product then uses each value that it loads four times."""

PARAMETERS = 512
"""Number of parameters up to which those of a group are close enough: 32 kB in vectors of 64 bytes. With their
gradients they then leave the first-level cache, but come from the second as fast as they are used."""


def choose_layers(program: Program, layout: Layout, gradient: Kernel) -> SideBySide | None:
    """Return the kernel of a group of models, given that of one model.

    Return None for a formula, for a network with recurrences or windows, random numbers, statistics of a batch or
    products left to BLAS, and for a large one.
    """
    models = LONGEST[program.precision]
    close = program.parameter_count <= PARAMETERS
    if (
        not program.layered
        or not gradient.shapes
        or not close
        or program.moves
        or program.noise
        or layout.blas
        or program.batch
    ):
        return None
    layout = Layout(SAMPLES, models, (), ())
    kernel = make_kernel(program, layout, "gradient", (), (program.required_loss, *program.gradient))
    kernel = in_order(without_copies(replace(kernel, plan=LAYERS)), program)
    return SideBySide(layout, lower(kernel, program, layout))


def without_copies(kernel: Kernel) -> Kernel:
    """Return the kernel without copies of inputs and targets: a group copies these before, and reads them in place."""

    def copies(step: Step) -> bool:
        source = step.expression
        rows = isinstance(source, Element) and kernel.place(source) in (Place.INPUT, Place.TARGET)
        return rows and not step.over and source.indices == step.target.indices

    copied = {step.target.tensor: step.expression.tensor for step in steps_in(kernel.trees.tile) if copies(step)}

    def given(site: Site) -> Tree:
        read = {e: Element(copied[e.tensor], e.indices) for e in site.compute.read if e.tensor in copied}
        return (replace(site.compute, steps=tuple(step.xreplace(read) for step in site.compute.steps)),)

    def without(tree: Tree) -> Tree:
        return computed(only(tree, lambda step: step.target.tensor not in copied), given)

    storage = {name: known for name, known in kernel.storage.items() if name not in copied}
    return replace(kernel, trees=kernel.trees.each(without), storage=storage)


def in_order(kernel: Kernel, program: Program) -> Kernel:
    """Return the kernel with sums in the order of the gradient: first the loss, then the derivatives.

    A sum that is a derivative gets its place in the gradient; other sums follow after all derivatives. A scalar that
    several loops use has a place in work memory.
    """
    storage, total, trees = dict(kernel.storage), 1 + program.parameter_count, kernel.trees
    arrays = kernel.memory.arrays
    taken: set[str] = set()
    for step in steps_in(trees.after):
        source, target = step.expression, storage[step.target.tensor]
        copied = isinstance(source, Element) and storage[source.tensor].place is Place.SUM
        alike = copied and source.indices == step.target.indices and source.tensor not in taken
        if alike and target.place is Place.GRADIENT:
            taken.add(source.tensor)
            storage[source.tensor] = Storage(Place.SUM, 1 + target.offset, target.strides)
    for step in (step for tree in trees.without_metrics for step in steps_in(tree)):
        name, place = step.target.tensor, storage[step.target.tensor].place
        if name == program.required_loss.tensor:
            storage[name] = Storage(Place.SUM)
        elif place is Place.SUM and name not in taken:
            storage[name] = replace(storage[name], offset=total)
            total += program.count(step.target.indices)
        elif place is Place.LOCAL and not step.target.indices:
            storage[name] = Storage(Place.ARRAY, arrays)
            arrays += 1

    def in_place(step: Step) -> bool:
        source, target = step.expression, storage[step.target.tensor]
        there = Storage(Place.SUM, 1 + target.offset, target.strides)
        return isinstance(source, Element) and target.place is Place.GRADIENT and storage[source.tensor] == there

    trees = replace(trees, finish=(only(trees.after, lambda step: not in_place(step)),))
    return replace(kernel, trees=trees, storage=storage, memory=replace(kernel.memory, sums=total, arrays=arrays))
