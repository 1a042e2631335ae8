"""Diagnosis of a fault: the stage that made it, and the step in which it begins.

The stages that rewrite formulas are compared with each other (``algebra``, and for updates, Jacobian and Hessian
``origins``), and the loops of the schedule are carried out (``scheduled``). If all are right, the fault is in the C, or
in its compilation: the same C, compiled without any optimization, is then either wrong as well, or right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nncodegen.certificates.algebra import Algebra, first_fault
from nncodegen.certificates.layer_definitions import Defined
from nncodegen.certificates.origins import Companions, origin_of
from nncodegen.certificates.results import TRAINING, Examined, Found
from nncodegen.certificates.scheduled import carried_out
from nncodegen.certificates.steps import DRAWN, Watch, compare_steps, plain_kernels, watch
from nncodegen.certificates.updates_and_hessians import compare_all
from nncodegen.compiler.emit import Sources
from nncodegen.compiler.schedule import Schedule
from nncodegen.runtime.python.ground.certificate import DEFINITIONS, HOLDS, OUT_OF_RANGE, WRONG, Fault, StepFigure

VERDICTS = (HOLDS, OUT_OF_RANGE, WRONG)


@dataclass
class Diagnosis:
    """The findings about the stages of a model while its module is examined."""

    algebra: Algebra
    schedule: Schedule
    sources: Sources
    march: str
    watch: Watch | None
    defined: Defined | None = None
    companions: Companions = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    steps: dict[str, tuple[StepFigure, Examined]] = field(default_factory=dict)
    scheduled: bool = False

    def at(self, examined: Examined) -> None:
        """Examine the stages, and the steps of the machine, at a point."""
        if not self.faults:
            fault = first_fault(self.algebra, examined)
            if fault is None and not self.scheduled:
                self.scheduled = True
                point = examined.point
                fault = carried_out(self.schedule, point.parameters, point.X, point.Y)
            self.faults += [fault] if fault else []
        if self.watch:
            for step, figure in compare_steps(self.watch, examined.point, examined.precision):
                known = self.steps.get(str(step))
                if known is None or _badness(figure) > _badness(known[0]):
                    self.steps[str(step)] = figure, examined

    def conclude(self, results: Iterable[Found]) -> tuple[Fault, ...]:
        """Return the first fault, in the order of the stages; an empty tuple if nothing is wrong."""
        wrong = [result for result in results if result.figure.verdict == WRONG]
        undefined = next((result for result in wrong if result.figure.quantity == DEFINITIONS), None)
        if undefined and self.defined:
            self.faults.insert(0, self.defined.fault(undefined.examined))
        steps = [figure for figure, _ in self.figures if figure.verdict == WRONG]
        if not self.faults:
            origins = (origin_of(result, self.companions) for result in wrong)
            self.faults += [fault for fault in origins if fault][:1]
        if not self.faults and (wrong or steps):
            self.faults.append(self._of_the_machine(wrong))
        return tuple(self.faults)

    @property
    def compared(self) -> str:
        """Return which steps were compared, and how, in words."""
        machine = "each step of a sample was computed again from its operands"
        if self.watch is None:
            machine = "the steps were not compared one by one, as they have very many values"
        elif self.watch.drawn:
            machine = f"{DRAWN} drawn values of each step of a sample were computed again from their operands"
        if self.schedule.program.batch:
            machine += ", but for what needs the statistics of a batch"
        return f"{machine}; the loops of the schedule were carried out"

    @property
    def figures(self) -> list[tuple[StepFigure, Examined]]:
        """Return the worst figure of each step, in the order of the program, and where it was found."""
        order = self.watch.program.steps if self.watch else ()
        return [self.steps[str(step)] for step in order if str(step) in self.steps]

    def _of_the_machine(self, wrong: Sequence[Found]) -> Fault:
        """Return a fault of the C or of its build; its step is the first wrong one, or the one of a wrong result."""
        begins = next(((figure, examined) for figure, examined in self.figures if figure.verdict == WRONG), None)
        stage = "emit" if self._is_wrong_plainly(wrong, begins) else "build"
        if begins:
            figure, examined = begins
            return Fault(stage, figure.step, examined.point.kind, figure.error, _message_of_stage(stage, figure.error))
        first = min(wrong, key=lambda examined_step: self._number(examined_step.figure.quantity))
        number, steps = self._number(first.figure.quantity), self.schedule.program.steps
        text = str(steps[number]) if number < len(steps) else first.figure.quantity
        return Fault(stage, text, first.figure.kind, first.figure.error, _message_of_stage(stage, first.figure.error))

    def _is_wrong_plainly(self, wrong: Sequence[Found], begins: tuple[StepFigure, Examined] | None) -> bool:
        """Return whether the same C is wrong if it is compiled without any optimization."""
        if wrong:
            plain = plain_kernels(self.schedule, self.sources)
            points = {id(result.examined): result.examined for result in wrong}.values()
            return any(result.figure.verdict == WRONG for examined in points for result in compare_all(plain, examined))
        plainly = watch(self.schedule.program, self.march, plainly=True)
        if plainly is None or begins is None:
            return True
        examined = begins[1]
        figures = (figure for _, figure in compare_steps(plainly, examined.point, examined.precision))
        return any(figure.verdict == WRONG for figure in figures)

    def _number(self, quantity: str) -> int:
        """Return the number of the step that defines a result."""
        program = self.schedule.program
        names = {}
        if program.loss is not None:
            names = {"loss": program.loss.tensor, f"loss {TRAINING}": program.in_training.loss.tensor}
        names |= {f"d_{t.name}": e.tensor for t, e in zip(program.parameters, program.gradient, strict=False)}
        names |= {e.tensor: f.tensor for e, f in zip(self.algebra.described.outputs, program.outputs, strict=False)}
        targets = [step.target.tensor for step in program.steps]
        name = names.get(quantity, quantity)
        return targets.index(name) if name in targets else len(targets)


def _badness(figure: StepFigure) -> tuple[int, float]:
    return VERDICTS.index(figure.verdict), figure.error / figure.bound


def _message_of_stage(stage: str, error: float) -> str:
    """Return the known facts about a fault of the machine."""
    if stage == "build":
        return f"it is {error:.3g} ulp off, and right where the same C is compiled without optimization"
    return f"it is {error:.3g} ulp off, also where the C is compiled without optimization; its loops are right"
