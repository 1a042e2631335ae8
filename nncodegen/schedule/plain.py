"""Plain loops for one sample, small instead of fast: what a microcontroller runs.

There are no tiles, vectors or blocks here, and the flat nests of the other plans would keep too much in memory. So
loops are a tree: a step joins the last loop over its first index that comes late enough for what it reads, and what is
read in that loop alone is a local variable. A layer becomes one loop over its units, with the sum over its inputs
inside of it, and only its outputs take memory. An index whose value an equation gives has no loop, but a test that
there is such a value.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod

from sympy import S

from nncodegen.ir import SAMPLE, Element, Equation, Program, Solution, Step, Tensor, needed, solve
from nncodegen.schedule.forms import free
from nncodegen.schedule.nest import Place, Storage
from nncodegen.schedule.single_sample import without_samples


@dataclass(frozen=True)
class Loop:
    """A loop over an index, and what is in it."""

    index: str
    size: int
    body: tuple[Item, ...]


@dataclass(frozen=True)
class Test:
    """What is in it happens where an equation holds: an index has then the value that it is solved for."""

    equation: Solution | Equation
    size: int
    """The size of that index."""
    body: tuple[Item, ...]


@dataclass(frozen=True)
class Start:
    """Before the loops of a reduction: the variable in which it is computed."""

    step: Step


@dataclass(frozen=True)
class Compute:
    """A step, or one term of its reduction."""

    step: Step


@dataclass(frozen=True)
class Finish:
    """Behind the loops of a reduction, whose value is then known."""

    step: Step


Item = Loop | Test | Start | Compute | Finish


@dataclass(frozen=True)
class PlainKernel:
    """A function for one sample: its loops, where its tensors lie, and the length of its work memory.

    In a place in memory, an index of loops around everything that reads a tensor has the stride 0: its next value takes
    the place of the last.
    """

    program: Program
    body: tuple[Item, ...]
    storage: Mapping[str, Storage]
    work: int


Position = tuple[int, tuple[int, ...]]
"""Where a result lies among all: its first value, and the stride of each of its indices but that of the samples."""


def plan_outputs(program: Program) -> PlainKernel:
    """The loops that compute the outputs of a simplified program, one behind the other."""
    return _plan(without_samples(program), Place.OUTPUT, program.outputs)


def plan_matrix(program: Program, positions: Sequence[Position], identities: Iterable[str]) -> PlainKernel:
    """The loops that compute the outputs of a simplified program, each at a position of its own.

    Identities are parameters of the program that are in no memory: 1 where their two indices are equal, else 0.
    """
    kernel = _plan(without_samples(program), Place.OUTPUT, program.outputs, positions)
    places = {name: Storage(Place.IDENTITY) for name in identities}
    return replace(kernel, storage={**kernel.storage, **places})


def plan_loss(program: Program) -> PlainKernel:
    """The loops that compute the loss of one sample, without its weight: a local variable."""
    one = without_samples(program)
    weight = {Element(one.weight.name): S.One}
    steps = tuple(replace(step, expression=step.expression.xreplace(weight)) for step in one.steps)
    return _plan(replace(one, steps=steps), Place.LOCAL, (one.loss,))


def plan_gradient(program: Program) -> PlainKernel:
    """The loops that compute the loss, times the weight of the sample, and add its derivatives to what is there."""
    return _plan(without_samples(program), Place.GRADIENT, program.gradient)


def _plan(one: Program, place: Place, results: Iterable[Element], positions: Sequence[Position] = ()) -> PlainKernel:
    own = [Element(e.tensor, [index for index in e.indices if one.sizes.get(index)]) for e in results]
    loss = [] if place is Place.OUTPUT else [one.loss]
    steps, storage = _with_results(list(needed(one.steps, [*own, *loss])), one, place, own, positions)
    root = _tree(steps, one)
    storage |= _outside(one)
    storage |= {element.tensor: Storage(Place.LOCAL) for element in loss}
    arrays, work = _arrays(root, one, storage)
    return PlainKernel(one, _frozen(root, one), storage | arrays, work)


def _with_results(
    steps: list[Step], one: Program, place: Place, results: Sequence[Element], positions: Sequence[Position]
) -> tuple[list[Step], dict[str, Storage]]:
    """The steps, and the places of their results, of which some are copies: what is also read, or needed twice."""
    if place is Place.LOCAL:
        return steps, {}
    defined = {step.target: step for step in steps}
    read = {operand.tensor for step in steps for operand in step.operands}
    read |= {one.loss.tensor} if place is Place.GRADIENT else set()
    read |= {name for name, times in Counter(element.tensor for element in results).items() if times > 1}
    storage: dict[str, Storage] = {}
    offset = 0
    for number, element in enumerate(results):
        target = element
        if element not in defined or defined[element].over or element.tensor in read:
            target = Element(free(f"{place.value} {number}", one), element.indices)
            steps.append(Step(target, element))
        sizes = tuple(one.sizes[index] for index in element.indices)
        storage[target.tensor] = Storage(place, *(positions[number] if positions else (offset, _strides(sizes))))
        offset += one.count(element.indices)
    return steps, storage


def _outside(one: Program) -> dict[str, Storage]:
    """The places of what comes from outside."""
    storage = {one.weight.name: Storage(Place.WEIGHT)}
    noise = [source.tensor for source in one.noise]
    storage |= {t.name: Storage(Place.NOISE, number, _strides(t.shape)) for number, t in enumerate(noise)}
    roles: tuple[tuple[Place, tuple[Tensor, ...]], ...] = (
        (Place.PARAMETER, one.parameters), (Place.INPUT, one.inputs), (Place.TARGET, one.targets),
    )  # fmt: skip
    for place, tensors in roles:
        offsets = accumulate((tensor.size for tensor in tensors), initial=0)
        for tensor, offset in zip(tensors, offsets, strict=False):
            storage[tensor.name] = Storage(place, offset, _strides(tensor.shape))
    return storage


def _strides(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(prod(size or 1 for size in shape[k + 1 :]) for k in range(len(shape)))


# --- the tree of loops -------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Node:
    """A loop, or a test, that is being filled, and the tensors that are computed in it; the outermost has no index."""

    index: str = ""
    equation: Solution | Equation | None = None
    body: list[_Node | Start | Compute | Finish] = field(default_factory=list)
    tensors: dict[str, Element] = field(default_factory=dict)


def _tree(steps: list[Step], one: Program) -> _Node:
    """The steps in loops: as many as can be in one loop, before another one begins."""
    root, defined = _Node(), {step.target.tensor for step in steps}
    missing = [{operand.tensor for operand in step.operands} & defined for step in steps]
    readers: dict[str, list[int]] = {name: [] for name in defined}
    for number, names in enumerate(missing):
        for name in names:
            readers[name].append(number)
    ready: dict[str, list[int]] = {}  # the steps that could be next, in their order, by their first index
    for number, step in enumerate(steps):
        if not missing[number]:
            ready.setdefault(_first_index(step), []).append(number)
    while any(ready.values()):
        number = _next(root, steps, ready)
        _insert(steps[number], root, one)
        for reader in readers[steps[number].target.tensor]:
            missing[reader].remove(steps[number].target.tensor)
            if not missing[reader]:
                insort(ready.setdefault(_first_index(steps[reader]), []), reader)
    return root


def _first_index(step: Step) -> str:
    """The index of the outermost loop around a step; an empty text where there is none."""
    return step.indices[0] if step.indices else ""


def _next(root: _Node, steps: list[Step], ready: dict[str, list[int]]) -> int:
    """Takes one of the steps that are ready: one that joins the last loop, else one without loops, else the first."""
    last = root.body[-1] if root.body else None
    if isinstance(last, _Node):
        for place, number in enumerate(ready.get(last.index, [])):
            if _may_join(last, steps[number]):
                return ready[last.index].pop(place)
    index = "" if ready.get("") else min((numbers[0], index) for index, numbers in ready.items() if numbers)[1]
    return ready[index].pop(0)


def _insert(step: Step, root: _Node, one: Program) -> None:
    """Adds a step to the loops over its indices."""
    chain = [root]
    around = (*step.target.indices, *_reduced(step, one))
    for number, level in enumerate(around):
        loop = _loop(chain[-1], level, step) if isinstance(level, str) else _Node("", level)
        if loop.equation:
            chain[-1].body.append(loop)
        if number == len(step.target.indices):  # the first of those that are reduced
            at = chain[-1].body.index(loop)
            chain[-1].body[at : at + 1] = [Start(step), loop, Finish(step)]
        chain.append(loop)
    chain[-1].body.append(Compute(step))
    for node in chain:
        node.tensors[step.target.tensor] = step.target


def _reduced(step: Step, one: Program) -> tuple[str | Solution | Equation, ...]:
    """The loops and tests of a reduction: each test as soon as what it compares is known."""
    if not step.where or not step.over:
        return step.over
    solved = solve(step.where, step.over, one.sizes)
    moving = {index for equation in step.where for index in equation.indices}
    in_order = step.operator == "first"  # which numbers the terms
    waiting = list(solved.free) if in_order else sorted(solved.free, key=lambda index: index not in moving)
    tests: list[Solution | Equation] = [*solved.solutions, *solved.conditions]
    found: list[str | Solution | Equation] = []
    known = {*step.target.indices}
    while tests or waiting:
        able = [test for test in tests if _read(test) <= known]
        found += able or waiting[:1]
        known |= {test.index for test in able if isinstance(test, Solution)} | {*([] if able else waiting[:1])}
        tests = [test for test in tests if test not in able]
        waiting = waiting if able else waiting[1:]
    return tuple(found)


def _read(test: Solution | Equation) -> set[str]:
    """The indices that a test reads."""
    if isinstance(test, Equation):
        return {*test.indices}
    named = [(name,) if isinstance(name, str) else name.indices for name, _ in test.terms]
    return {index for indices in named for index in indices}


def _loop(node: _Node, index: str, step: Step) -> _Node:
    """The last loop over an index in a node that a step may join, or a new one."""
    for item in reversed(node.body):
        if isinstance(item, _Node) and item.index == index and _may_join(item, step):
            return item
        computed = item.tensors if isinstance(item, _Node) else (item.step.target.tensor,)
        if any(operand.tensor in computed for operand in step.operands):
            break
    node.body.append(_Node(index))
    return node.body[-1]  # type: ignore[return-value]


def _may_join(loop: _Node, step: Step) -> bool:
    """Whether all that a step reads of what a loop computes is known in the same iteration."""
    for operand in step.operands:
        target = loop.tensors.get(operand.tensor)
        if target and (loop.index, loop.index) not in zip(target.indices, operand.indices, strict=True):
            return False  # a reduction that is not finished, or the value of another iteration
    return True


def _frozen(node: _Node, one: Program) -> tuple[Item, ...]:
    return tuple(_item(item, one) if isinstance(item, _Node) else item for item in node.body)


def _item(node: _Node, one: Program) -> Item:
    body = _frozen(node, one)
    if node.equation:
        return Test(node.equation, one.sizes[getattr(node.equation, "index", SAMPLE)] or 1, body)
    return Loop(node.index, one.sizes[node.index] or 1, body)


# --- work memory -------------------------------------------------------------------------------------------------


def _walk(node: _Node, chain: tuple[_Node, ...] = ()) -> Iterator[tuple[Step, tuple[_Node, ...]]]:
    """The steps in a node, each with the loops around it."""
    for item in node.body:
        if isinstance(item, _Node):
            yield from _walk(item, (*chain, item))
        elif isinstance(item, Compute):
            yield item.step, chain


def _arrays(root: _Node, one: Program, known: Mapping[str, Storage]) -> tuple[dict[str, Storage], int]:
    """The places of all tensors that have none yet, and the length of work memory.

    A tensor that is read only inside of the loops in which it is computed is a local variable; any other has an array,
    whose memory is free again behind the last of the outermost loops that reads it.
    """
    around: dict[str, tuple[_Node, ...]] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    targets: dict[str, Element] = {}
    for number, item in enumerate(root.body):
        for step, chain in _walk(_Node(body=[item])):
            name = step.target.tensor
            targets[name], first[name], last[name] = step.target, number, number
            around[name] = chain[: len(step.target.indices)]
            for operand in (operand.tensor for operand in step.operands if operand.tensor in targets):
                last[operand] = number
                shared = zip(around[operand], chain, strict=False)
                around[operand] = around[operand][: sum(1 for own, other in shared if own is other)]
    storage: dict[str, Storage] = {}
    taken: list[tuple[int, int, int]] = []  # the begin and the end of an array, and the last item that reads it
    work = 0
    for name, target in targets.items():
        if name in known:
            continue
        inside = target.indices[len(around[name]) :]
        if not inside:
            storage[name] = Storage(Place.LOCAL)
            continue
        size, offset = one.count(inside), 0
        for begin, end, until in sorted(taken):
            if until >= first[name] and begin < offset + size and offset < end:
                offset = end
        taken.append((offset, offset + size, last[name]))
        work = max(work, offset + size)
        strides = _strides(tuple(one.sizes[index] for index in inside))
        storage[name] = Storage(Place.ARRAY, offset, (0,) * len(around[name]) + strides)
    return storage, work
