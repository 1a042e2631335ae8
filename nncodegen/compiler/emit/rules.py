"""The update rules of optimizers in C: the one printer of their steps, for modules and for exports.

Values that are the same for all parameters are computed once in an update, in double; these are numbers, which the
steps of each parameter take as reals. The code around the steps, and the names of the given values, are data: a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nncodegen.compiler.emit.dialects import IN_MODULES, Dialect
from nncodegen.compiler.emit.lines import wrapped
from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.emit.printer import Printer
from nncodegen.compiler.ir import LEARNING_RATE, Element, Step, Update
from nncodegen.compiler.ir.equations import affine

COUNT = "t"
"""The name of the number of the update in a rule, from 1."""

GIVEN = ("parameter", "gradient", LEARNING_RATE, COUNT)
"""The values that every rule may read, in addition to its state and other hyperparameters; they keep their names in
C."""


@dataclass(frozen=True)
class Frame:
    """The C around the steps of a rule.

    precision   the precision of the steps
    reals       how the steps are printed; ``doubles`` is for the numbers of an update
    taken       names that its variables must not have
    parameter   the name of the parameter, and ``gradient`` that of its derivative
    count       the name of t among the numbers
    held        where the steps find a number, with {} for its name; if empty, in a second variable next to the double
    first       the place of the first variable of the state, and ``stride`` the distance to that of the next
    stored      where the next parameter is stored; if empty, it is returned
    """

    precision: str = "float64"
    reals: Dialect = IN_MODULES
    doubles: Dialect = IN_MODULES
    taken: tuple[str, ...] = (COUNT,)
    parameter: str = "parameter"
    gradient: str = "gradient"
    count: str = COUNT
    held: str = "numbers.{}"
    first: str = ""
    stride: str = "stride"
    stored: str = ""


class RulePrinter:
    """Printer of the steps of a rule in a frame. ``used`` collects the helpers that they need.

    ``hyperparameters`` are those that the steps read, without the learning rate, ``counts`` is whether they read t, and
    ``numbers`` has the names of the numbers that the steps of a parameter take.
    """

    def __init__(self, update: Update, frame: Frame, used: dict[str, None] | None = None) -> None:
        self._update, self._frame, self._names = update, frame, Names(frame.taken)
        self._uniform, self._steps = _divided(update)
        everything, read = _read(update.steps), _read(self._steps) | {result.tensor for result in update.results}
        known = [hyper for hyper in update.hyperparameters if hyper.name in everything]
        self.hyperparameters = tuple(hyper for hyper in known if hyper.name != LEARNING_RATE)
        self.takes_rate = len(known) > len(self.hyperparameters)
        self.counts = COUNT in everything
        uniform = (step.target.tensor for step in self._uniform)
        self.numbers = tuple(n for n in (*(h.name for h in self.hyperparameters), *uniform, COUNT) if n in read)
        self._state = [(number, name) for number, name in enumerate(update.state) if name in read]
        self._doubles = Printer("float64", self._double, frame.doubles, used)
        self._reals = Printer(frame.precision, self._real, frame.reals, used)

    def name(self, name: str) -> str:
        """Return the name in C of a variable, by its name in the rule."""
        return name if name in GIVEN else self._names[name]

    def held(self, name: str) -> str:
        """Return a number, as the steps read it."""
        return self._frame.held.format(self.name(name)) if self._frame.held else self._names.current(self.name(name))

    def uniform(self) -> Iterator[str]:
        """Yield the statements of the values that are the same for all parameters."""
        for step in self._uniform:
            value = self._doubles.print(step.expression)
            yield from wrapped(f"const double {self.name(step.target.tensor)} = {value};", "[-+]")

    def steps(self) -> Iterator[str]:
        """Yield the steps of one parameter, and the stores of the values that they change."""
        yield from (f"const real {self.name(name)} = state[{self._place(number)}];" for number, name in self._state)
        following, *next_states = self._update.results
        direct = self._frame.stored and not next_states and [step.target for step in self._steps[-1:]] == [following]
        for step in self._steps[:-1] if direct else self._steps:
            yield from self._assigned(f"const real {self.name(step.target.tensor)}", step)
        if direct:
            yield from self._assigned(self._frame.stored, self._steps[-1])
            return
        changes = [f"state[{self._place(number)}] = {self._real(result)};" for number, result in enumerate(next_states)]
        value = self._real(following)
        end = f"{self._frame.stored} = {value};" if self._frame.stored else f"return {value};"
        needed = any(result.tensor == "parameter" for result in next_states)  # as it is before the update
        yield from [*changes, end] if needed or not self._frame.stored else [end, *changes]

    def _assigned(self, target: str, step: Step) -> list[str]:
        return wrapped(f"{target} = {self._reals.print(step.expression)};", "[-+]")

    def _place(self, number: int) -> str:
        """Return the place of a state variable: variables of one kind have the same distance for all parameters."""
        first = [(self._frame.first, 1)] if self._frame.first else []
        return affine([*([(self._frame.stride, number)] if number else []), *first], 0)

    def _double(self, element: Element) -> str:
        """Return a number of the update, in double."""
        return self._frame.count if element.tensor == COUNT else self.name(element.tensor)

    def _real(self, element: Element) -> str:
        """Return a value of one parameter, or a number that it takes."""
        variables = {"parameter": self._frame.parameter, "gradient": self._frame.gradient}
        name = element.tensor
        return variables.get(name) or (self.held(name) if name in self.numbers else self.name(name))


def _divided(update: Update) -> tuple[list[Step], list[Step]]:
    """Return the steps common to all parameters, and the other steps; a learning rate may differ between models."""
    varying = {LEARNING_RATE}
    for step in update.steps:
        if step.target.indices or any(operand.tensor in varying for operand in step.operands):
            varying.add(step.target.tensor)
    uniform = [step for step in update.steps if step.target.tensor not in varying]
    return uniform, [step for step in update.steps if step.target.tensor in varying]


def _read(steps: Sequence[Step]) -> set[str]:
    return {operand.tensor for step in steps for operand in step.operands}
