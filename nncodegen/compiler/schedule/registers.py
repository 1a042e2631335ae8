"""Training in registers: the update by one sample as statements without a loop.

A formula, or a small network written out as one, that is trained on single samples is bound by latency: each update
waits for the one before it. So the parameters stay in local variables, and nothing goes through memory from one update
to the next. The sums over the samples are the values of the one sample, whose weight is 1.

All parameters may change at once, or one after the other, each by the gradient at the values that the earlier ones have
by then. In the latter case, only values that the last change has made out of date are computed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Expr, S

from nncodegen.compiler.ir import PARAMETER, SAMPLE, Element, Program, Step, Update, needed
from nncodegen.compiler.passes.latency import ready, shorten
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.plans import UNROLLED
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import Let, Load, Statement, Store, Tree, Value
from nncodegen.compiler.schedule.tree_walks import steps_in

OPTION = ("option",)
"""The index of an element that stands for a hyperparameter, so that a parameter may have the same name."""

OUTSIDE = ("next",)
"""The index of elements that leave the registers: outputs, and the next parameters."""

SEQUENTIAL = 1000
"""Number of statements up to which updates of one parameter after the other are written out, with a gradient for
each."""


@dataclass(frozen=True)
class InTurn:
    """The update of one parameter, and the cycles until each value that its statements read is known."""

    parameter: Element
    tree: Tree
    ready: Mapping[Element, int]


@dataclass(frozen=True)
class Registers:
    """The loss, the outputs and the next parameters of one sample, by an optimizer without a state.

    program     has no index but that of the samples
    numbers     the place of each outside tensor, and its number in this place
    together    all parameters at once; ``ready`` has the cycles until a value is known, counted from when the first
                parameter is
    sequential  one parameter after the other, in variables that are loaded ``before``; empty if it would have too many
                statements
    """

    program: Program
    update: Update
    numbers: Mapping[Element, tuple[Place, int]]
    together: Tree
    ready: Mapping[Element, int]
    before: Tree = ()
    sequential: tuple[InTurn, ...] = ()

    def show(self) -> str:
        """Return the statements as text, with the cycles until each is ready."""
        lines = [f"single samples in registers, by {self.update.name}", f"  {UNROLLED.show()}"]
        for statement in self.together:
            known = f"  (ready after {self.ready[statement.target]})" if isinstance(statement, Let) else ""
            lines.append(f"    {show([statement])}{known}")
        if self.sequential:
            lines.append("  one parameter after the other")
            for each in self.sequential:
                named = (s.target.tensor for s in each.tree if isinstance(s, Let) and s.target != each.parameter)
                lines.append(f"    {each.parameter} after {', '.join(named) or 'no statement'}")
        return "\n".join(lines) + "\n"


def in_registers(program: Program, kernel: Kernel) -> Registers:
    """Return the statements of a program whose only index is that of the samples, given the kernel of its gradient."""
    update = next(update for update in program.updates if not update.state)  # gradient descent
    parameters = tuple(Element(tensor.name) for tensor in program.parameters)
    steps, derivatives = _steps(program, kernel, parameters)
    definitions = {step.target: step.expression for step in steps}
    following = tuple(
        _next(update, parameter, definitions[derivative])
        for parameter, derivative in zip(parameters, derivatives, strict=True)
    )
    statements = tuple(step for step in steps if step.target not in derivatives)
    numbers = _numbers(program, update, kernel.outputs)
    read = {element for value in following for element in value.atoms(Element)}
    read |= {element for step in statements for element in step.operands}
    outputs = tuple(Store(_output(k), Value((element,))) for k, element in enumerate(kernel.outputs))
    lets = tuple(Let(step.target, Value((step.expression,))) for step in statements)
    values = zip(parameters, following, strict=True)
    stores = tuple(Store(_after(parameter), Value((value,))) for parameter, value in values)
    together: Tree = (*_loads(numbers, read), *lets, *outputs, *stores)
    known = _ready_times(steps, derivatives, parameters)
    if len(steps) * len(parameters) > SEQUENTIAL:
        return Registers(program, update, numbers, together, known)
    firsts = (program.required_loss, *kernel.outputs)
    sequential = tuple(_in_turn(_one_by_one(steps, derivatives, parameters, following, firsts), outputs))
    return Registers(program, update, numbers, together, known, _loads(numbers, read, varies=True), sequential)


def _numbers(program: Program, update: Update, outputs: tuple[Element, ...]) -> dict[Element, tuple[Place, int]]:
    """Return the places of all elements that are loaded from outside or stored outside, in the order of reading."""
    places = {Element(option.name, OPTION): (Place.OPTION, k) for k, option in enumerate(update.hyperparameters)}
    for place, tensors in (
        (Place.PARAMETER, program.parameters),
        (Place.INPUT, program.inputs),
        (Place.TARGET, program.targets),
    ):
        places |= {Element(tensor.name, [SAMPLE] * len(tensor.shape)): (place, k) for k, tensor in enumerate(tensors)}
    places |= {_output(k): (Place.OUTPUT, k) for k in range(len(outputs))}
    return places | {_after(Element(tensor.name)): (Place.NEXT, k) for k, tensor in enumerate(program.parameters)}


def _output(number: int) -> Element:
    return Element(f"output {number}", OUTSIDE)


def _after(parameter: Element) -> Element:
    """Return the element of the next value of a parameter."""
    return Element(parameter.tensor, OUTSIDE)


def _loads(
    numbers: Mapping[Element, tuple[Place, int]], read: Container[Element], varies: bool = False
) -> tuple[Load, ...]:
    """Return the loads of all parameters, which may vary, and of the other elements that are read."""
    loads = []
    for element, (place, _) in numbers.items():
        if place is Place.PARAMETER:
            loads.append(Load(element, varies))
        elif place in (Place.OPTION, Place.INPUT, Place.TARGET) and element in read:
            loads.append(Load(element))
    return tuple(loads)


def _steps(
    program: Program, kernel: Kernel, parameters: tuple[Element, ...]
) -> tuple[tuple[Step, ...], tuple[Element, ...]]:
    """Return the simplified steps for one sample of weight 1, and the derivative by each parameter."""
    steps: list[Step] = []
    derivatives: dict[int, Element] = {}
    for step in (step for tree in kernel.trees.in_order for step in steps_in(tree)):
        weights = {e: S.One for e in step.operands if kernel.storage[e.tensor].place is Place.WEIGHT}
        steps.append(Step(step.target, step.expression.xreplace(weights)))
        storage = kernel.storage[step.target.tensor]
        if storage.place is Place.GRADIENT:
            derivatives[storage.offset] = step.target
    results = (program.required_loss, *kernel.outputs, *derivatives.values())
    return shorten(tuple(steps), results, parameters), tuple(derivatives[k] for k in range(len(parameters)))


def _next(update: Update, parameter: Element, derivative: Expr) -> Expr:
    """Return the next value of a parameter, with its derivative written out."""
    places = {Element("parameter", (PARAMETER,)): parameter, Element("gradient", (PARAMETER,)): derivative}
    places |= {Element(option.name): Element(option.name, OPTION) for option in update.hyperparameters}
    return update.steps[0].expression.xreplace(places)


def _ready_times(
    steps: tuple[Step, ...], derivatives: tuple[Element, ...], parameters: tuple[Element, ...]
) -> dict[Element, int]:
    """Return the cycles until each value is ready; a parameter is ready when its derivative of the last update is."""
    known: dict[Element, int] = {}
    for _ in range(2):
        for step in steps:
            known[step.target] = ready(step.expression, known)
        first = min(known[derivative] for derivative in derivatives)
        for parameter, derivative in zip(parameters, derivatives, strict=True):
            known[parameter] = known[derivative] - first
    return known


@dataclass(frozen=True)
class _Update:
    """The update of one parameter in a sequence: the statements before it, its next value, and when these are ready."""

    parameter: Element
    steps: tuple[Step, ...]
    next: Expr
    ready: Mapping[Element, int]


def _in_turn(updates: Sequence[_Update], outputs: Tree) -> Iterator[InTurn]:
    """Yield the trees of updates one after the other; the first of them stores the outputs."""
    times = Counter(step.target for update in updates for step in update.steps)
    known: set[Element] = set()
    for number, update in enumerate(updates):
        tree: list[Statement] = []
        for step in update.steps:
            varies, again = times[step.target] > 1, step.target in known
            tree.append(Let(step.target, Value((step.expression,)), varies, again))
            known.add(step.target)
        tree += () if number else outputs
        if update.next != update.parameter:  # the loss may not depend on it
            tree.append(Let(update.parameter, Value((update.next,)), again=True))
        yield InTurn(update.parameter, tuple(tree), update.ready)


def _one_by_one(
    steps: tuple[Step, ...],
    derivatives: tuple[Element, ...],
    parameters: tuple[Element, ...],
    following: tuple[Expr, ...],
    firsts: tuple[Element, ...],
) -> list[_Update]:
    """Return for each parameter the statements that its derivative needs and that earlier updates made out of date.

    The first also computes the loss and the outputs.
    """
    updates = []
    known: dict[Element, int] = {}
    stale = {step.target for step in steps}
    for number, (parameter, derivative, value) in enumerate(zip(parameters, derivatives, following, strict=True)):
        wanted = needed(steps, [derivative, *firsts] if number == 0 else [derivative])
        needed_steps = tuple(step for step in wanted if step.target in stale and step.target != derivative)
        stale -= {step.target for step in needed_steps}
        for step in needed_steps:
            known[step.target] = ready(step.expression, known)
        updates.append(_Update(parameter, needed_steps, value, dict(known)))
        known[parameter] = ready(value, known)
        changed = {parameter}
        for step in steps:
            if changed.intersection(step.operands):
                changed.add(step.target)
        stale |= changed
    return updates
