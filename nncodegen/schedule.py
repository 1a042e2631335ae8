"""simplify -> **schedule** -> emit: chooses the loops that run the steps, and where each tensor lives.

Samples are worked through in tiles. Inside a tile the sample index runs innermost and contiguously
(``h1[j][n]``), so every step is a loop that a compiler can vectorize, whatever the model. Steps over the same
indices share one loop nest; a value that only its own nest reads is a local variable, the others are arrays of
one tile. For a formula all steps carry the sample index alone: the whole program is a single loop over samples
without an array.

The products of a layer, ``s[n, j] = sum(i) W[j, i]*x[n, i]`` and the like, and the gradients of its weights,
``d_W[j, i] = sum(n) d[n, j]*x[n, i]``, are left to two kernels that hold blocks of the result in registers. For
gradients each lane of a vector has a partial sum of its own, which costs a vector of memory for each weight;
beyond so many weights that these vectors would leave the cache, the lanes are added up in every tile.

Each entry point of the module has a kernel of its own. A kernel is cut in three by the samples: what depends on
parameters alone comes ``before``, then what runs over the samples of a ``tile``, then what needs the finished
sums over all samples, ``after``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from sympy import Expr, Mul, S

from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Program, Step, needed

TILE = {"float64": 64, "float32": 128}
"""Samples in a tile, half a kilobyte: the tile of a layer of some hundred units stays in the second-level cache."""

PARTIALS = 4096
"""Weights up to which every lane keeps partial sums: 256 kB with the longest vectors."""


class Shape(Enum):
    """How the loops of a nest are run."""

    LOOPS = "loops"
    CONTRACT = "blocks of outputs in registers"
    ACCUMULATE = "blocks of weights in registers"
    ADD_UP = "vectors"


class Place(Enum):
    """Where a tensor lives."""

    PARAMETER = "parameters"
    INPUT = "inputs"
    TARGET = "targets"
    WEIGHT = "weights"
    NOISE = "random numbers"
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


_LOCAL = Storage(Place.LOCAL)


@dataclass(frozen=True)
class Nest:
    """Steps that share one nest of loops: over ``outer``, then ``reduced``, then (``samples``) over a tile."""

    outer: tuple[str, ...]
    reduced: tuple[str, ...]
    samples: bool
    steps: tuple[Step, ...]
    shape: Shape = Shape.LOOPS

    def show(self) -> str:
        """The loops and the steps in them, as text."""
        loops = [*self.outer, *self.reduced, *([SAMPLE] if self.samples else [])]
        blocks = "" if self.shape is Shape.LOOPS else f" in {self.shape.value}"
        head = f"for {', '.join(loops)}{blocks}:" if loops else "once:"
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
    blocked: int
    """The sums that come from blocks; they lie first."""

    @property
    def direct(self) -> bool:
        """Whether the lanes of a block are added up in every tile."""
        return self.blocked > PARTIALS


@dataclass(frozen=True)
class Schedule:
    """A program and the kernels that compute its outputs, its loss, and its loss with the gradient."""

    program: Program
    tile: int
    kernels: tuple[Kernel, ...]

    @property
    def blocks(self) -> bool:
        """Whether any nest is run in blocks or vectors, for which tiles are padded."""
        return any(nest.shape is not Shape.LOOPS for kernel in self.kernels for nest in kernel.tile)

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
    return Schedule(program, TILE[program.precision], kernels)


# --- one kernel --------------------------------------------------------------------------------------------------


def _kernel(program: Program, name: str, outputs: tuple[Element, ...], sums: tuple[Element, ...]) -> Kernel:
    """The loops that compute some results of a program: outputs for each sample, or the loss and its gradient."""
    storage = _declared(program)
    packed = list(_pack(program))
    renamed = {step.expression: step.target for step in packed}
    own = program.steps if name == "gradient" else _without_noise(program)
    steps = [*packed, *(replace(s, expression=s.expression.xreplace(renamed)) for s in own)]
    column = offset = 0
    for k, element in enumerate(outputs):
        element = renamed.get(element, element)
        indices = element.indices if SAMPLE in element.indices else (SAMPLE, *element.indices)
        copy = Element(_free(f"output column {k}", program), indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.OUTPUT, column)
        column += program.count(indices)
    for parameter, element in zip(program.parameters, sums[1:], strict=bool(sums[1:])):
        copy = Element(_free(f"gradient of {parameter.name}", program), element.indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.GRADIENT, offset)
        offset += parameter.size
    copies = [s.target for s in steps if s.target.tensor in storage]
    before, tile, after = _phases(needed(steps, [*copies, *sums]), storage)
    # an output is written for the samples of a tile alone, an array also for those that pad it
    apart = {s.target.tensor for s in steps if storage.get(s.target.tensor, _LOCAL).place is Place.OUTPUT and packed}
    phases = tuple(tuple(_nests(phase, apart)) for phase in (before, tile, after))
    blocks = [step for nest in phases[1] if nest.shape in (Shape.ACCUMULATE, Shape.ADD_UP) for step in nest.steps]
    blocked = 0
    for step in blocks:
        storage[step.target.tensor] = Storage(Place.SUM, blocked)
        blocked += program.count(step.target.indices)
    for element in sums[:1]:  # the loss
        storage[element.tensor] = Storage(Place.SUM, blocked)
    arrays, count = _place(program, phases, storage, blocked + len(sums[:1]))
    return Kernel(name, phases[0], phases[1], phases[2], storage, arrays, count, blocked)


def _declared(program: Program) -> dict[str, Storage]:
    """The places of what comes from outside: parameters lie one after the other, inputs and targets in columns."""
    storage = {program.weight.name: Storage(Place.WEIGHT)}
    storage |= {source.tensor.name: Storage(Place.NOISE, number) for number, source in enumerate(program.noise)}
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


def _without_noise(program: Program) -> Iterator[Step]:
    """The steps where all noise is 0, as it is outside of training."""
    names = {source.tensor.name for source in program.noise}
    known: dict[Element, Expr] = {}
    for step in program.steps:
        if names:
            known |= {operand: S.Zero for operand in step.operands if operand.tensor in names}
            step = replace(step, expression=step.expression.xreplace(known))
            value = step.expression
            copied = isinstance(value, Element) and value.indices == step.target.indices
            if step.operator is None and (value.is_number or copied) and step.target not in program.results:
                known[step.target] = value
        yield step


def _pack(program: Program) -> Iterator[Step]:
    """Steps that copy the rows of a tile to where samples lie side by side, for inputs with an index of their own.

    Noise is computed there, once.
    """
    used = {element.tensor: element for step in program.steps for element in step.operands}
    used |= {element.tensor: element for element in program.outputs}
    for tensor in (*program.inputs, *program.targets, *(source.tensor for source in program.noise)):
        if tensor.name in used and len(tensor.shape) > 1:
            element = used[tensor.name]
            yield Step(Element(_free(f"{tensor.name} tile", program), element.indices), element)


def _free(name: str, program: Program) -> str:
    """The name, with underscores behind it where a tensor of the program has it."""
    while name in program.shapes:
        name += "_"
    return name


def _phases(steps: tuple[Step, ...], storage: dict[str, Storage]) -> tuple[list[Step], list[Step], list[Step]]:
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
        elif waits or storage.get(step.target.tensor, _LOCAL).place is Place.GRADIENT:
            after.append(step)
            finished.add(step.target.tensor)
        else:
            before.append(step)
    return before, tile, after


def _nests(steps: Iterable[Step], apart: Container[str] = ()) -> Iterator[Nest]:
    """Steps in nests: each joins the first nest over the same indices that comes late enough for its operands.

    The steps that define the tensors ``apart`` get nests of their own.
    """
    nests: list[tuple[Loops, Shape, list[Step]]] = []
    homes: dict[str, tuple[int, bool]] = {}  # the nest that defines a tensor, and whether it must be left first
    for step in steps:
        outer = tuple(index for index in step.target.indices if index != SAMPLE)
        reduced = tuple(index for index in step.over if index != SAMPLE)
        loops = (outer, reduced, SAMPLE in step.indices)
        shape = _shape(step, loops)
        first = 0
        for operand in step.operands:
            if operand.tensor in homes:
                position, complete_first = homes[operand.tensor]
                same = nests[position][0] == loops and not complete_first
                first = max(first, position if same else position + 1)
        alone = reduced or shape is not Shape.LOOPS or step.target.tensor in apart
        candidates = range(first, len(nests)) if not alone else ()
        position = next((k for k in candidates if nests[k][:2] == (loops, Shape.LOOPS)), len(nests))
        if position == len(nests):
            nests.append((loops, shape, []))
        nests[position][2].append(step)
        homes[step.target.tensor] = (position, bool(step.over))
    return (Nest(*loops, tuple(members), shape) for loops, shape, members in nests)


def _shape(step: Step, loops: Loops) -> Shape:
    """Blocks for the product of a matrix of parameters and an array, and for that of two arrays; loops for others.

    The sums of an array over samples are vectors of the same kind as those of the blocks.
    """
    outer, reduced, samples = loops
    if (
        step.over == (SAMPLE,)
        and isinstance(step.expression, Element)
        and len(step.expression.indices) == 2 == len(outer) + 1
    ):
        return Shape.ADD_UP
    factors = Mul.make_args(step.expression)
    if step.operator != "sum" or len(factors) != 2 or not samples or not all(isinstance(f, Element) for f in factors):
        return Shape.LOOPS
    of_samples = [factor for factor in factors if SAMPLE in factor.indices]
    ranks = [len(factor.indices) for factor in factors]
    if ranks == [2, 2] and len(of_samples) == len(outer) == len(reduced) == 1:
        return Shape.CONTRACT
    if ranks == [2, 2] and len(of_samples) == len(outer) == 2 and step.over == (SAMPLE,):
        return Shape.ACCUMULATE
    return Shape.LOOPS


def _place(
    program: Program, phases: tuple[tuple[Nest, ...], ...], storage: dict[str, Storage], sums: int
) -> tuple[int, int]:
    """Gives every tensor its place that has none; returns the values of work memory and the number of sums."""
    home = {step.target.tensor: nest for phase in phases for nest in phase for step in nest.steps}
    reads: dict[str, list[Nest]] = {}
    for phase in phases:
        for nest in phase:
            for step in nest.steps:
                for operand in step.operands:
                    reads.setdefault(operand.tensor, []).append(nest)
    tile = TILE[program.precision]
    arrays = 0
    for phase in phases:
        for nest in phase:
            for step in nest.steps:
                name = step.target.tensor
                if name in storage:
                    continue
                size = program.count(step.target.indices)
                if SAMPLE in step.over:
                    storage[name] = Storage(Place.SUM, sums)
                    sums += size
                elif (
                    nest.shape is Shape.LOOPS
                    and not step.over
                    and all(reader is home[name] for reader in reads.get(name, ()))
                ):
                    storage[name] = Storage(Place.LOCAL)
                elif step.target.indices:
                    storage[name] = Storage(Place.ARRAY, arrays)
                    arrays += size * tile if SAMPLE in step.target.indices else -(-size // tile) * tile  # aligned
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
