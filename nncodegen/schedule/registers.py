"""Training in registers: the update by one sample as statements without a loop.

A formula, or a small network written out as one, that is trained on single samples is bound by latency: each update
waits for the one before it. So the parameters stay in local variables, and nothing goes through memory on the way from
one update to the next. The sums over the samples are the values of the one sample, whose weight is 1.

All parameters may change at once, or one after the other, each by the gradient at the values
that those before it have by then. For the latter, only what the last change has made out of date is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, S

from nncodegen.ir import PARAMETER, Element, Program, Step, Update, needed
from nncodegen.passes.latency import ready, shorten
from nncodegen.schedule.kernel import UNROLLED, Kernel
from nncodegen.schedule.nest import Place

OPTION = ("option",)
"""The index of what stands for a hyperparameter, so that a parameter may have its name."""

SEQUENTIAL = 1000
"""Statements up to which updates of one parameter after the other are written out, with a gradient for each of them."""


@dataclass(frozen=True)
class ParameterUpdate:
    """One parameter of a sequential update: its next value, the statements before it, and when these are ready.

    ``ready`` has the cycles until each value that they read is known.
    """

    parameter: Element
    steps: tuple[Step, ...]
    next: Expr
    ready: Mapping[Element, int]

    @property
    def changes(self) -> bool:
        """Whether the parameter changes at all: the loss may not depend on it."""
        return bool(self.next != self.parameter)


@dataclass(frozen=True)
class StraightLine:
    """The loss, the outputs and the next parameters of one sample, by an optimizer without a state.

    The ``program`` has no index but that of the samples. ``steps`` are the statements, ``next`` has the next value of
    each parameter, and ``ready`` the cycles until a value is known, counted from when the first parameter is.
    ``sequential`` is the update of one parameter after the other; it is empty where it would be too many statements.
    """

    program: Program
    steps: tuple[Step, ...]
    outputs: tuple[Element, ...]
    update: Update
    next: tuple[Expr, ...]
    ready: Mapping[Element, int]
    sequential: tuple[ParameterUpdate, ...]

    def show(self) -> str:
        """The statements, as text, with the cycles until each is ready."""
        lines = [f"single samples in registers, by {self.update.name}", f"  {UNROLLED.show()}"]
        lines += [f"    {step}  (ready after {self.ready[step.target]})" for step in self.steps]
        if self.sequential:
            lines.append("  one parameter after the other")
            lines += [
                f"    {each.parameter} after {', '.join(step.target.tensor for step in each.steps) or 'no statement'}"
                for each in self.sequential
            ]
        return "\n".join(lines) + "\n"


def in_registers(program: Program, kernel: Kernel) -> StraightLine:
    """The statements of a program without an index but that of the samples, given the kernel of its gradient."""
    update = next(update for update in program.updates if not update.state)  # gradient descent
    parameters = tuple(Element(tensor.name) for tensor in program.parameters)
    steps, derivatives = _steps(program, kernel, parameters)
    definitions = {step.target: step.expression for step in steps}
    following = tuple(
        _next(update, parameter, definitions[derivative])
        for parameter, derivative in zip(parameters, derivatives, strict=True)
    )
    statements = tuple(step for step in steps if step.target not in derivatives)
    firsts = (program.loss, *kernel.outputs)
    few = len(steps) * len(parameters) <= SEQUENTIAL
    sequential = _one_by_one(steps, derivatives, parameters, following, firsts) if few else ()
    known = _ready_times(steps, derivatives, parameters)
    return StraightLine(program, statements, kernel.outputs, update, following, known, sequential)


def _steps(
    program: Program, kernel: Kernel, parameters: tuple[Element, ...]
) -> tuple[tuple[Step, ...], tuple[Element, ...]]:
    """The steps for one sample of weight 1, shortened, and the derivative by each parameter."""
    steps: list[Step] = []
    derivatives: dict[int, Element] = {}
    for step in (step for nest in kernel.nests_with_metrics for step in nest.steps):
        weights = {e: S.One for e in step.operands if kernel.storage[e.tensor].place is Place.WEIGHT}
        steps.append(Step(step.target, step.expression.xreplace(weights)))
        storage = kernel.storage[step.target.tensor]
        if storage.place is Place.GRADIENT:
            derivatives[storage.offset] = step.target
    results = (program.loss, *kernel.outputs, *derivatives.values())
    return shorten(tuple(steps), results, parameters), tuple(derivatives[k] for k in range(len(parameters)))


def _next(update: Update, parameter: Element, derivative: Expr) -> Expr:
    """The next value of a parameter, with its derivative written out."""
    places = {Element("parameter", (PARAMETER,)): parameter, Element("gradient", (PARAMETER,)): derivative}
    places |= {Element(option.name): Element(option.name, OPTION) for option in update.hyperparameters}
    return update.steps[0].expression.xreplace(places)


def _ready_times(
    steps: tuple[Step, ...], derivatives: tuple[Element, ...], parameters: tuple[Element, ...]
) -> dict[Element, int]:
    """Cycles until each value is ready, where a parameter is ready when its derivative in the last update is."""
    known: dict[Element, int] = {}
    for _ in range(2):
        for step in steps:
            known[step.target] = ready(step.expression, known)
        first = min(known[derivative] for derivative in derivatives)
        for parameter, derivative in zip(parameters, derivatives, strict=True):
            known[parameter] = known[derivative] - first
    return known


def _one_by_one(
    steps: tuple[Step, ...],
    derivatives: tuple[Element, ...],
    parameters: tuple[Element, ...],
    following: tuple[Expr, ...],
    firsts: tuple[Element, ...],
) -> tuple[ParameterUpdate, ...]:
    """For each parameter, the statements that its derivative needs and that the changes before it made out of date.

    The first computes the loss and the outputs as well.
    """
    updates = []
    known: dict[Element, int] = {}
    stale = {step.target for step in steps}
    for number, (parameter, derivative, value) in enumerate(zip(parameters, derivatives, following, strict=True)):
        wanted = needed(steps, [derivative, *firsts] if number == 0 else [derivative])
        own = tuple(step for step in wanted if step.target in stale and step.target != derivative)
        stale -= {step.target for step in own}
        for step in own:
            known[step.target] = ready(step.expression, known)
        updates.append(ParameterUpdate(parameter, own, value, dict(known)))
        known[parameter] = ready(value, known)
        changed = {parameter}
        for step in steps:
            if changed.intersection(step.operands):
                changed.add(step.target)
        stale |= changed
    return tuple(updates)
