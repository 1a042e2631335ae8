"""Plain loops for one sample, small instead of fast: code for a microcontroller.

This form has no tiles, vectors or blocks, and separate loops one after the other, as in other plans, would keep too
much in memory. So loops are nested: a step joins the last loop over its first index that comes late enough for what it
reads, and a value that is read in that loop alone is a local variable. A layer becomes one loop over its units, with
the sum over its inputs inside of it, and only its outputs take memory. An index whose value an equation gives has no
loop, but a test that it has such a value. Steps of a recurrence are in one loop over time (see
``schedule.joined_loops``), and keep the values that a later iteration reads. Where pairs of queries and keys take much
memory, the steps of a query share a loop over the queries, which keeps one row of pairs; sums over queries are added up
in memory (see ``pairs``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from sympy import S

from nncodegen.compiler.ir import (
    EARLIER,
    LATER,
    RECURRENCES,
    Companion,
    Element,
    Program,
    Step,
    Stepwise,
    Tensor,
    needed,
    slices_of,
)
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.systems import INTEGRATE, path, swept
from nncodegen.compiler.schedule.extents import ROWS, Extent
from nncodegen.compiler.schedule.joined_loops import Clear, Compute, OpenLoop, tree
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.pair_families import keys_last, of_samples
from nncodegen.compiler.schedule.pairs import in_rows
from nncodegen.compiler.schedule.plain_lowering import PlainLowering
from nncodegen.compiler.schedule.plans import PLAIN
from nncodegen.compiler.schedule.rates import room_of_call
from nncodegen.compiler.schedule.recurrences import in_place, settled
from nncodegen.compiler.schedule.single_sample import without_samples
from nncodegen.compiler.schedule.statements import numbered, single_values
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.tree import Tree, Trees
from nncodegen.compiler.schedule.verify import verify_trees


@dataclass(frozen=True)
class OneSample:
    """A program without samples, and its kernel.

    In a place in memory, an index of loops around everything that reads a tensor has the stride 0: its next value
    overwrites the last.
    """

    program: Program
    kernel: Kernel

    @property
    def tree(self) -> Tree:
        """Return the loop tree."""
        return self.kernel.trees.tile

    @property
    def work(self) -> int:
        """Return the length of the work memory, in values."""
        return self.kernel.memory.arrays


NOTHING: Mapping[str, Storage] = {}
NO_ENDS: Mapping[str, Extent] = {}

NAMES = {Place.OUTPUT: "predict", Place.LOCAL: "loss", Place.GRADIENT: "gradient"}
"""The names of kernels by the place of their results."""

Position = tuple[int, tuple[int, ...]]
"""The position of a result among all: its first value, and the stride of each of its indices but that of the
samples."""


def plan_outputs(program: Program) -> OneSample:
    """Return the loops that compute the outputs of a simplified program, one after the other."""
    return _plan(_of_one(program), Place.OUTPUT, program.outputs, samples=of_samples(program.steps))


def plan_place(program: Program) -> OneSample:
    """Return the loops that compute the outputs of a program that has no samples: rates at one time of one sample."""
    return _plan(keys_last(settled(program)), Place.OUTPUT, program.outputs)


def plan_matrix(program: Program, positions: Sequence[Position], identities: Iterable[str], size: int) -> OneSample:
    """Return the loops that compute the outputs of a simplified program, each at its position among ``size`` values.

    Identities are parameters of the program that are in no memory: 1 where their two indices are equal, else 0.
    """
    known = {name: Storage(Place.IDENTITY) for name in identities}
    return _plan(_of_one(program), Place.OUTPUT, program.outputs, positions, known, size)


def plan_step(companion: Companion) -> OneSample:
    """Return the loops of one step of a sequence; those over earlier positions run over the rows that there are."""
    sample_program, stepwise = _of_one(companion.program), companion.stepwise
    assert stepwise
    steps = tuple(_over_rows(step, stepwise) for step in sample_program.steps)
    return _plan(replace(sample_program, steps=steps), Place.OUTPUT, sample_program.outputs, ends={EARLIER: ROWS})


def _over_rows(step: Step, stepwise: Stepwise) -> Step:
    """Return a step without the equation that its rows are before the current position: no others are run over."""
    where = tuple(equation for equation in step.where if not stepwise.bounds(equation))
    over = tuple(index for index in step.over if index != LATER)
    return replace(step, operator=step.operator if over else None, over=over, where=where)


def plan_loss(program: Program) -> OneSample:
    """Return the loops that compute the loss of one sample, without its weight, in a local variable."""
    sample_program = _of_one(program)
    weight = {Element(sample_program.weight.name): S.One}
    steps = tuple(replace(step, expression=step.expression.xreplace(weight)) for step in sample_program.steps)
    return _plan(
        replace(sample_program, steps=steps),
        Place.LOCAL,
        (sample_program.required_loss,),
        samples=of_samples(program.steps),
    )


def plan_gradient(program: Program) -> OneSample:
    """Return the loops that compute the weighted loss of a sample, and add its derivatives to the gradient."""
    return _plan(_of_one(program), Place.GRADIENT, program.gradient, samples=of_samples(program.steps))


def solver_of(path: Element) -> str:
    """Return the name of the array that the solver of a path needs while it runs."""
    return f"{path.tensor} of the solver"


def _of_one(program: Program) -> Program:
    """Return the program of one sample."""
    return without_samples(keys_last(settled(program)))


def _plan(
    sample_program: Program,
    place: Place,
    results: Iterable[Element],
    positions: Sequence[Position] = (),
    known: Mapping[str, Storage] = NOTHING,
    size: int = 0,
    ends: Mapping[str, Extent] = NO_ENDS,
    samples: Collection[str] = (),
) -> OneSample:
    """Return the loops of a program without samples, given the tensors that it has for each sample."""
    results_in_memory = [
        Element(e.tensor, [index for index in e.indices if sample_program.sizes.get(index)]) for e in results
    ]
    loss = [] if place is Place.OUTPUT else [sample_program.required_loss]
    read = list(
        needed(
            _in_parameters(
                map(partial(_numbered, sample_program=sample_program), in_place(sample_program.steps)), sample_program
            ),
            [*results_in_memory, *loss],
        )
    )
    steps, storage = _with_results(read, sample_program, place, results_in_memory, positions)
    root = tree(in_rows(steps, sample_program, storage, samples), sample_program)
    storage |= _outside(sample_program)
    storage |= {element.tensor: Storage(Place.LOCAL) for element in loss}
    arrays, work = _arrays(root, sample_program, storage)
    storage |= arrays
    storage |= known
    trees = Trees(parts=((0, PlainLowering(sample_program, storage, ends)(root)),))
    kernel = Kernel(NAMES[place], PLAIN, trees, storage, Memory(work, outputs=size))
    verify_trees(kernel, sample_program, Layout(1, 1, (), ()))
    return OneSample(sample_program, kernel)


def _numbered(step: Step, sample_program: Program) -> Step:
    """Return the step with numbers in place of the indices that have only one value, as that of a gate."""
    known = single_values(step, sample_program) if step.operator == "sum" else {}
    others = (equation for equation in step.where if equation.left not in known)
    if not known or any(index in known for equation in others for index in equation.indices):
        return step
    return numbered(step, known)


def _in_parameters(steps: Iterable[Step], sample_program: Program) -> Iterator[Step]:
    """Yield the steps; where they read a part of a parameter, they read it directly from the parameter."""
    names, parts = {tensor.name for tensor in sample_program.parameters}, dict[str, Step]()
    for step in steps:
        known = {}
        for operand in (operand for operand in step.operands if operand.tensor in parts):
            part = parts[operand.tensor]
            indices = dict(zip(part.target.indices, operand.indices, strict=True))
            known[operand] = part.operands[0].renamed(indices)
        value = step.expression
        if step.operator is None and not step.where and isinstance(value, Element) and value.tensor in names:
            parts[step.target.tensor] = step
        yield step.xreplace(known) if known else step


def _with_results(
    steps: list[Step], sample_program: Program, place: Place, results: Sequence[Element], positions: Sequence[Position]
) -> tuple[list[Step], dict[str, Storage]]:
    """Return the steps and the places of their results; a result that is also read, or needed twice, is a copy."""
    if place is Place.LOCAL:
        return steps, {}
    defined = {step.target: step for step in steps}
    read = {operand.tensor for step in steps for operand in step.operands}
    read |= {sample_program.required_loss.tensor} if place is Place.GRADIENT else set()
    read |= {name for name, times in Counter(element.tensor for element in results).items() if times > 1}
    storage: dict[str, Storage] = {}
    offset = 0
    for number, element in enumerate(results):
        target = element
        if element not in defined or defined[element].over or element.tensor in read:
            target = Element(unused(f"{place.value} {number}", sample_program.shapes), element.indices)
            steps.append(Step(target, element))
        sizes = tuple(sample_program.sizes[index] for index in element.indices)
        storage[target.tensor] = Storage(place, *(positions[number] if positions else (offset, _strides(sizes))))
        offset += sample_program.count(element.indices)
    return steps, storage


def _outside(sample_program: Program) -> dict[str, Storage]:
    """Return the places of the caller's tensors."""
    storage = {sample_program.weight.name: Storage(Place.WEIGHT)}
    noise = [source.tensor for source in sample_program.noise]
    storage |= {t.name: Storage(Place.NOISE, number, _strides(t.shape)) for number, t in enumerate(noise)}
    roles: tuple[tuple[Place, tuple[Tensor, ...]], ...] = (
        (Place.PARAMETER, sample_program.parameters),
        (Place.INPUT, sample_program.inputs),
        (Place.TARGET, sample_program.targets),
    )
    for place, tensors in roles:
        for tensor, values in slices_of(tensors):
            storage[tensor.name] = Storage(place, values.start, _strides(tensor.shape))
    return storage


def _strides(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(prod(size or 1 for size in shape[k + 1 :]) for k in range(len(shape)))


# --- work memory -------------------------------------------------------------------------------------------------


def _walk(node: OpenLoop, chain: tuple[OpenLoop, ...] = ()) -> Iterator[tuple[Clear | Compute, tuple[OpenLoop, ...]]]:
    """Yield the steps in a node, each with the loops around it; sums in memory also where they become 0."""
    for item in node.body:
        if isinstance(item, OpenLoop):
            yield from _walk(item, (*chain, item))
        elif isinstance(item, Clear | Compute):
            yield item, chain


def _arrays(root: OpenLoop, sample_program: Program, known: Mapping[str, Storage]) -> tuple[dict[str, Storage], int]:
    """Return the places of all tensors that have none yet, and the length of work memory.

    A tensor that is read only inside of the loops in which it is computed is a local variable. Any other tensor has an
    array, whose memory is free again after the last of the outermost loops that reads it. If a tensor is read only in
    the next iteration of the outermost loop and after its last iteration, there is an array for one iteration.
    """
    uses = [(n, *each) for n, item in enumerate(root.body) for each in _walk(OpenLoop(body=[item]))]
    targets = {item.step.target.tensor: item.step.target for _, item, _ in uses}
    around = {item.step.target.tensor: chain[: len(item.step.target.indices)] for _, item, chain in uses}
    around |= {item.step.target.tensor: () for _, item, _ in uses if isinstance(item, Clear)}
    first = {item.step.target.tensor: number for number, item, _ in reversed(uses)}
    last = {item.step.target.tensor: number for number, item, _ in uses}
    lasting: set[str] = set()
    steps = [(number, item.step, chain) for number, item, chain in uses if isinstance(item, Compute)]
    for number, step, chain in steps:
        for operand in (operand for operand in step.operands if operand.tensor in targets):
            name = operand.tensor
            last[name] = max(last[name], number)
            if step.operator in RECURRENCES:
                lasting.add(name)
                chain = chain[:1]
            elif number > first[name] and around[name] and _is_final(operand, step, around[name], sample_program):
                lasting.add(name)
                chain = around[name][:1]
            shared = zip(around[name], chain, strict=False)
            around[name] = around[name][: sum(1 for loop, other in shared if loop is other)]
    storage: dict[str, Storage] = {}
    taken: list[tuple[int, int, int]] = []  # the begin and the end of an array, and the last item that reads it
    work = 0

    def place_of(size: int, begun: int, until: int) -> int:
        """Return the offset of an array, which other arrays that are in use meanwhile do not overlap."""
        nonlocal work
        offset = 0
        for begin, end, used in sorted(taken):
            if used >= begun and begin < offset + size and offset < end:
                offset = end
        taken.append((offset, offset + size, until))
        work = max(work, offset + size)
        return offset

    solved: dict[str, path] = {
        step.target.tensor: step.expression for _, step, _ in steps if step.operator == INTEGRATE
    }
    reversed_by = {read.states.tensor: name for name, read in solved.items() if isinstance(read, swept)}
    for name, target in targets.items():
        if name in known:
            continue
        if name in solved:  # its reverse reads the memory of a path
            until = first[reversed_by.get(name, name)]
            offset = place_of(room_of_call(solved[name], sample_program.precision), first[name], until)
            storage[solver_of(target)] = Storage(Place.ARRAY, offset, (1,))
        shared_indices = {node.index for node in around[name]}
        inside = [index for index in target.indices if index not in shared_indices]
        if not inside and name not in lasting:
            storage[name] = Storage(Place.LOCAL)
            continue
        offset = place_of(sample_program.count(inside), first[name], last[name])
        strides = dict(zip(inside, _strides(tuple(sample_program.sizes[index] for index in inside)), strict=True))
        storage[name] = Storage(Place.ARRAY, offset, tuple(strides.get(index, 0) for index in target.indices))
    return storage, work


def _is_final(operand: Element, step: Step, around: Sequence[OpenLoop], sample_program: Program) -> bool:
    """Return whether a step after the outermost loop around an operand reads the value of its last iteration."""
    loop = around[0]
    read = operand.indices[loop.tensors[operand.tensor].indices.index(loop.index)]
    numbers = [str(equal.offset) for equal in step.where if equal.left == read and not equal.terms]
    size = sample_program.sizes[loop.index] or 1
    return (numbers or [read])[0] == str(0 if loop.forward is False else size - 1)
