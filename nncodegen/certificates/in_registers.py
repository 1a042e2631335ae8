"""Training in registers, carried out: the statements of one update, number by number, compared with the program.

The intermediate statements differ from those of the program, since they are simplified. So the loss, the outputs and
the next parameters are compared: if all change at once, and if one changes after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.memory import CLOSE
from nncodegen.compiler.ir import Element, evaluate
from nncodegen.compiler.ir.element import elements
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.passes.latency import written_out
from nncodegen.compiler.schedule import Place, Registers
from nncodegen.compiler.schedule.tree import Let, Load, Store, Tree
from nncodegen.runtime.python.ground.certificate import Fault

Array = NDArray[Any]


def carried_out_in_registers(registers: Registers, parameters: Array, x: Array, y: Array) -> Fault | None:
    """Return the first result of a sample in which the statements differ from the program, or None."""
    run = _Run(registers, np.array(parameters, float), x, y)
    return next((fault for fault in (*run.together(), *run.in_turn()) if fault), None)


@dataclass
class _Run:
    """The execution of registers on a sample."""

    registers: Registers
    point: Array
    x: Array
    y: Array
    values: dict[Element, float] = field(default_factory=dict)

    def together(self) -> Iterator[Fault | None]:
        """Yield the faults if all parameters change at once."""
        program, numbers = self.registers.program, self.registers.numbers
        self._carry_out(self.registers.together)
        whole = self._program()
        yield from self._results(whole, "all at once")
        nexts = [element for element, (place, _) in numbers.items() if place is Place.NEXT]
        for number, (element, gradient) in enumerate(zip(nexts, program.gradient, strict=True)):
            yield self._fault(element, self._moved(number, whole[gradient.tensor]), gradient, "all at once")

    def in_turn(self) -> Iterator[Fault | None]:
        """Yield the faults if one parameter changes after the other."""
        self.values = {}
        self._carry_out(self.registers.before)
        whole = self._program()
        turns = zip(self.registers.sequential, self.registers.program.gradient, strict=False)
        for number, (turn, gradient) in enumerate(turns):
            self._carry_out(turn.tree)
            self.point[number] = self._moved(number, self._program()[gradient.tensor])
            yield self._fault(turn.parameter, self.point[number], gradient, "one after the other")
            if number == 0:  # the loss and the outputs are those before the first parameter changes
                yield from self._results(whole, "one after the other")

    def _results(self, whole: Mapping[str, Array], how: str) -> Iterator[Fault | None]:
        """Yield the faults of the loss and of the outputs, given the values of the program."""
        loss, outputs = self.registers.program.required_loss, self.registers.program.in_training.outputs
        yield self._fault(loss, whole[loss.tensor], loss, how)
        for element, (place, number) in self.registers.numbers.items():
            if place is Place.OUTPUT:
                yield self._fault(element, whole[outputs[number].tensor], outputs[number], how)

    def _program(self) -> Mapping[str, Array]:
        """Return the values of the program at the current point, for the weight 1."""
        x, y = (each[None] if len(each) else None for each in (self.x, self.y))
        return evaluate(self.registers.program, self.point, x, y, [1.0])

    @property
    def _options(self) -> Mapping[str, float]:
        """Return some value of each hyperparameter."""
        return {option.name: (k + 1) / 8 for k, option in enumerate(self.registers.update.hyperparameters)}

    def _moved(self, number: int, gradient: Array) -> float:
        """Return the next value of a parameter, by the rule of the optimizer."""
        known = {**self._options, "parameter": self.point[number], "gradient": float(np.ravel(gradient)[0])}
        value = self.registers.update.steps[0].expression
        return float(interpret(value, {element: known[element.tensor] for element in elements(value)}, exact=False))

    def _carry_out(self, tree: Tree) -> None:
        inputs_by_place: Mapping[Place, Any] = {
            Place.OPTION: list(self._options.values()),
            Place.PARAMETER: self.point,
            Place.INPUT: self.x,
            Place.TARGET: self.y,
        }
        for statement in tree:
            match statement:
                case Load(element):
                    place, number = self.registers.numbers[element]
                    self.values[element] = float(inputs_by_place[place][number])
                case Let(target, value) | Store(target, value):
                    (term,) = value.terms
                    read = {element: np.float64(self.values[element]) for element in elements(term)}
                    self.values[target] = float(interpret(written_out(term), read, exact=False))
                case _:
                    raise TypeError(f"no statement of registers: {statement}")

    def _fault(self, element: Element, value: Any, step: Element, how: str) -> Fault | None:
        number, expected = self.values[element], float(np.ravel(value)[0])
        if abs(number - expected) <= CLOSE * max(1.0, abs(expected)) or not np.isfinite(expected):
            return None
        text = next(str(each) for each in self.registers.program.steps if each.target == step)
        message = f"the statements in registers, {how}, give another value: {number!r} for {expected!r}"
        return Fault("schedule", text, "ordinary", 0.0, message)
