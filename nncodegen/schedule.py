"""simplify -> **schedule** -> emit: chooses the loops that run the steps, and where each tensor lives.

Samples are worked through in tiles. Inside a tile the sample index runs innermost and contiguously
(``h1[j][n]``), so every step is a loop that a compiler can vectorize, whatever the model. Steps over the same
indices share one loop nest; a value that only its own nest reads is a local variable, the others are arrays of
one tile. For a formula all steps carry the sample index alone: the whole program is a single loop over samples
without an array.

Each entry point of the module has a kernel of its own. A kernel is cut in three by the samples: what depends on
parameters alone comes ``before``, then what runs over the samples of a ``tile``, then what needs the finished
sums over all samples, ``after``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from math import prod

from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Program, Step, Tensor, needed

TILE = 64
"""Samples in a tile: the tile of a layer of some hundred units stays in the second-level cache."""


class Place(Enum):
    """Where a tensor lives."""

    PARAMETER = "parameters"
    INPUT = "inputs"
    TARGET = "targets"
    WEIGHT = "weights"
    LOCAL = "a local variable"
    ARRAY = "work memory"
    SUM = "sums over samples"
    OUTPUT = "outputs"
    GRADIENT = "gradient"


@dataclass(frozen=True)
class Storage:
    """The place of a tensor, and the number of its first value (its first column) there."""

    place: Place
    offset: int = 0


Loops = tuple[tuple[str, ...], tuple[str, ...], bool]
"""The indices looped over outside, those reduced inside of them, and whether the samples are looped over."""


@dataclass(frozen=True)
class Nest:
    """Steps that share one nest of loops: over ``outer``, then ``reduced``, then (``samples``) over a tile."""

    outer: tuple[str, ...]
    reduced: tuple[str, ...]
    samples: bool
    steps: tuple[Step, ...]

    def show(self) -> str:
        """The loops and the steps in them, as text."""
        loops = [*self.outer, *self.reduced, *([SAMPLE] if self.samples else [])]
        head = f"for {', '.join(loops)}:" if loops else "once:"
        return "\n".join([head, *(f"    {step}" for step in self.steps)])


@dataclass(frozen=True)
class Kernel:
    """The loops of one entry point, and the places of its tensors."""

    name: str
    before: tuple[Nest, ...]
    tile: tuple[Nest, ...]
    after: tuple[Nest, ...]
    storage: dict[str, Storage]
    arrays: int
    sums: int


@dataclass(frozen=True)
class Schedule:
    """A program and the kernels that compute its outputs, its loss, and its loss with the gradient."""

    program: Program
    tile: int
    kernels: tuple[Kernel, ...]

    def show(self) -> str:
        """The loops of every kernel, and what lives outside of local variables, as text."""
        return "\n".join(_show_kernel(kernel) for kernel in self.kernels)


def schedule(program: Program) -> Schedule:
    """The loops for a program."""
    kernels = (
        _kernel(program, "predict", program.outputs, ()),
        _kernel(program, "loss", (), (program.loss,)),
        _kernel(program, "gradient", (), (program.loss, *program.gradient)),
    )
    return Schedule(program, TILE, kernels)


# --- one kernel --------------------------------------------------------------------------------------------------


def _kernel(program: Program, name: str, outputs: tuple[Element, ...], sums: tuple[Element, ...]) -> Kernel:
    """The loops that compute some results of a program: outputs for each sample, or the loss and its gradient."""
    storage = _declared(program)
    packed = list(_pack(program, storage))
    renamed = {step.expression: step.target for step in packed}
    steps = [*packed, *(replace(s, expression=s.expression.xreplace(renamed)) for s in program.steps)]
    column = offset = 0
    for k, element in enumerate(outputs):
        element = renamed.get(element, element)
        indices = element.indices if SAMPLE in element.indices else (SAMPLE, *element.indices)
        copy = Element(f"output column {k}", indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.OUTPUT, column)
        column += prod(program.sizes[index] or 1 for index in indices)
    for parameter, element in zip(program.parameters, sums[1:], strict=bool(sums[1:])):
        copy = Element(f"gradient of {parameter.name}", element.indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.GRADIENT, offset)
        offset += parameter.size
    copies = [s.target for s in steps if s.target.tensor in storage]
    before, tile, after = _phases(needed(steps, [*copies, *sums]), program, storage)
    phases = tuple(tuple(_nests(phase)) for phase in (before, tile, after))
    arrays, count = _place(program, phases, sums[:1], storage)
    return Kernel(name, phases[0], phases[1], phases[2], storage, arrays, count)


def _declared(program: Program) -> dict[str, Storage]:
    """The places of what comes from outside: parameters lie one after the other, inputs and targets in columns."""
    storage = {program.weight.name: Storage(Place.WEIGHT)}
    for place, tensors in (
        (Place.PARAMETER, program.parameters),
        (Place.INPUT, program.inputs),
        (Place.TARGET, program.targets),
    ):
        offset = 0
        for tensor in tensors:
            storage[tensor.name] = Storage(place, offset)
            offset += tensor.size
    return storage


def _pack(program: Program, storage: dict[str, Storage]) -> Iterator[Step]:
    """Steps that copy the rows of a tile to where samples lie side by side, for inputs with an index of their own."""
    used = {element.tensor: element for step in program.steps for element in step.operands}
    used |= {element.tensor: element for element in program.outputs}
    tensor: Tensor
    for tensor in (*program.inputs, *program.targets):
        if tensor.name in used and len(tensor.shape) > 1:
            element = used[tensor.name]
            yield Step(Element(f"{tensor.name} tile", element.indices), element)


def _phases(
    steps: tuple[Step, ...], program: Program, storage: dict[str, Storage]
) -> tuple[list[Step], list[Step], list[Step]]:
    """The steps before, over, and after the samples."""
    before: list[Step] = []
    tile: list[Step] = []
    after: list[Step] = []
    finished: set[str] = set()
    for step in steps:
        waits = any(operand.tensor in finished for operand in step.operands)
        if SAMPLE in step.indices:
            if waits:
                raise ProgramError(f"the sample index is reduced and used again, in: {step}")
            tile.append(step)
            if SAMPLE in step.over:
                finished.add(step.target.tensor)
        elif waits or storage.get(step.target.tensor, Storage(Place.LOCAL)).place is Place.GRADIENT:
            after.append(step)
            finished.add(step.target.tensor)
        else:
            before.append(step)
    return before, tile, after


def _nests(steps: Iterable[Step]) -> Iterator[Nest]:
    """Steps in nests: each joins the first nest over the same indices that comes late enough for its operands."""
    nests: list[tuple[Loops, list[Step]]] = []
    homes: dict[str, tuple[int, bool]] = {}  # the nest that defines a tensor, and whether it must be left first
    for step in steps:
        outer = tuple(index for index in step.target.indices if index != SAMPLE)
        reduced = tuple(index for index in step.over if index != SAMPLE)
        loops = (outer, reduced, SAMPLE in step.indices)
        first = 0
        for operand in step.operands:
            if operand.tensor in homes:
                position, complete_first = homes[operand.tensor]
                same = nests[position][0] == loops and not complete_first
                first = max(first, position if same else position + 1)
        candidates = range(first, len(nests)) if not reduced else ()
        position = next((k for k in candidates if nests[k][0] == loops), len(nests))
        if position == len(nests):
            nests.append((loops, []))
        nests[position][1].append(step)
        homes[step.target.tensor] = (position, bool(step.over))
    return (Nest(*loops, tuple(members)) for loops, members in nests)


def _place(
    program: Program,
    phases: tuple[tuple[Nest, ...], ...],
    loss: tuple[Element, ...],
    storage: dict[str, Storage],
) -> tuple[int, int]:
    """Gives every tensor of the nests its place; returns the values of work memory and the number of sums."""
    home = {step.target.tensor: nest for phase in phases for nest in phase for step in nest.steps}
    reads: dict[str, list[Nest]] = {}
    for phase in phases:
        for nest in phase:
            for step in nest.steps:
                for operand in step.operands:
                    reads.setdefault(operand.tensor, []).append(nest)
    arrays = 0
    sums = len(loss)
    storage.update({element.tensor: Storage(Place.SUM, 0) for element in loss})
    for phase in phases:
        for nest in phase:
            for step in nest.steps:
                name = step.target.tensor
                if name in storage:
                    continue
                size = prod(program.sizes[index] or 1 for index in step.target.indices)
                if SAMPLE in step.over:
                    storage[name] = Storage(Place.SUM, sums)
                    sums += size
                elif not step.over and all(reader is home[name] for reader in reads.get(name, ())):
                    storage[name] = Storage(Place.LOCAL)
                elif step.target.indices:
                    storage[name] = Storage(Place.ARRAY, arrays)
                    arrays += size * (TILE if SAMPLE in step.target.indices else 1)
                else:
                    storage[name] = Storage(Place.LOCAL)
    return arrays, sums


# --- as text -----------------------------------------------------------------------------------------------------


def _show_kernel(kernel: Kernel) -> str:
    lines = [f"kernel {kernel.name}"]
    for title, nests in (("before", kernel.before), ("tile", kernel.tile), ("after", kernel.after)):
        if nests:
            lines.append(f"  {title}")
            lines += ["    " + line for nest in nests for line in nest.show().splitlines()]
    lines.append(f"  work memory {kernel.arrays} values, sums {kernel.sums}")
    for name, storage in kernel.storage.items():
        if storage.place is Place.ARRAY:
            lines.append(f"    {name} at {storage.offset}")
    return "\n".join(lines) + "\n"
