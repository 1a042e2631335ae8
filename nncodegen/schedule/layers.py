"""Many models of a network side by side, one in each lane of a vector, in loops over samples and units.

Every value of a tile, and every parameter, is a vector then, with a lane for each model. So vectors are full whatever
the widths of the layers are, and sums over samples stay in their lanes. The vectors of a single network hold samples or
units instead, and may be partly empty. But the parameters of a group take as many times the memory of one model, and
must stay in the first-level cache or close to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nncodegen.ir import Element, Program, Step
from nncodegen.schedule.kernel import LAYERS, Kernel
from nncodegen.schedule.layout import LONGEST, Layout
from nncodegen.schedule.loops import make_kernel
from nncodegen.schedule.lowering import lower
from nncodegen.schedule.nest import Nest, Place, Shape, Storage, only
from nncodegen.schedule.plans import SideBySide

SAMPLES = 8
"""Samples of each model in a tile: a block of a product then uses what it loads four times."""

PARAMETERS = 512
"""Parameters up to which those of a group are close enough: 32 kB in vectors of 64 bytes. With their gradients they
leave the first-level cache then, but come from the second as fast as they are used."""


def choose_layers(program: Program, layout: Layout, gradient: Kernel) -> SideBySide | None:
    """The kernel of a group of models, given that of one.

    There is none for a formula, for a network with random numbers or products left to BLAS, and for a large one.
    """
    models = LONGEST[program.precision]
    close = program.parameter_count <= PARAMETERS
    blocks = gradient.shapes - {Shape.LOOPS}
    if not program.layered or not blocks or not close or program.moves or program.noise or layout.blas or program.batch:
        return None
    layout = Layout(SAMPLES, models, (), ())
    kernel = make_kernel(program, layout, "gradient", (), (program.loss, *program.gradient))
    kernel = _in_order(_without_copies(replace(kernel, plan=LAYERS)), program)
    return SideBySide(layout, lower(kernel, program, layout))


def _without_copies(kernel: Kernel) -> Kernel:
    """The kernel without copies of inputs and targets: for a group these are copied before, and used where they are."""

    def copies(step: Step) -> bool:
        source = step.expression
        rows = isinstance(source, Element) and kernel.place(source) in (Place.INPUT, Place.TARGET)
        return rows and not step.over and source.indices == step.target.indices

    copied = {s.target.tensor: s.expression.tensor for nest in kernel.tile for s in nest.steps if copies(s)}
    storage = kernel.storage | {copy: kernel.storage[source] for copy, source in copied.items()}
    before, tile = (
        only(nests, lambda step: step.target.tensor not in copied) for nests in (kernel.before, kernel.tile)
    )
    return replace(kernel, before=before, tile=tile, storage=storage, sources=copied)


def _in_order(kernel: Kernel, program: Program) -> Kernel:
    """The kernel with sums where the gradient has them: the loss is the first, and the derivatives follow it.

    Sums that are derivatives lie in the order of the gradient, other sums behind them. A scalar that several nests use
    has a place in work memory.
    """
    storage, behind, arrays = dict(kernel.storage), 1 + program.parameter_count, kernel.arrays
    taken: set[str] = set()
    for step in _steps(kernel.after):
        source, target = step.expression, storage[step.target.tensor]
        copied = isinstance(source, Element) and storage[source.tensor].place is Place.SUM
        alike = copied and source.indices == step.target.indices and source.tensor not in taken
        if alike and target.place is Place.GRADIENT:
            taken.add(source.tensor)
            storage[source.tensor] = Storage(Place.SUM, 1 + target.offset, target.strides)
    for step in _steps(kernel.nests):
        name, place = step.target.tensor, storage[step.target.tensor].place
        if name == program.loss.tensor:
            storage[name] = Storage(Place.SUM)
        elif place is Place.SUM and name not in taken:
            storage[name] = replace(storage[name], offset=behind)
            behind += program.count(step.target.indices)
        elif place is Place.LOCAL and not step.target.indices:
            storage[name] = Storage(Place.ARRAY, arrays)
            arrays += 1

    def in_place(step: Step) -> bool:
        source, target = step.expression, storage[step.target.tensor]
        there = Storage(Place.SUM, 1 + target.offset, target.strides)
        return isinstance(source, Element) and target.place is Place.GRADIENT and storage[source.tensor] == there

    after = only(kernel.after, lambda step: not in_place(step))
    return replace(kernel, after=after, storage=storage, sums=behind, arrays=arrays)


def _steps(nests: Iterable[Nest]) -> Iterator[Step]:
    return (step for nest in nests for step in nest.steps)
