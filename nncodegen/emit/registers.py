"""Training in registers: the gradient of one sample as straight-line scalar text.

A formula, or a small network written out as one, that is trained on single samples is bound by latency: each update
waits for the one before it. So the parameters stay in local variables, and nothing goes through memory on the way from
one update to the next. The sums over the samples are the values of the one sample, whose weight is 1. In sums and
products, what is ready early comes first: ``(2*w0 + w35*h1) + w45*h2`` where h2 is the last to be known.
"""

from __future__ import annotations

from collections import Counter

from sympy import Expr, S

from nncodegen.emit.chains import shorten
from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.ordered import OrderedPrinter, ready
from nncodegen.ir import PARAMETER, Element, Program, Step, needed
from nncodegen.schedule import Kernel, Place

ARGUMENTS = """const point *w, const real *inputs, const real *targets,
    const double *options, point *next, real *outputs, real *not_finite"""

OPTION = ("option",)
"""The index of what stands for a hyperparameter."""

SEQUENTIAL = 1000
"""Statements up to which sequential updates are written out, with a gradient for each parameter."""


class RegistersEmitter:
    """Writes the gradient of one sample, the updates by the optimizers without a state, and their loop."""

    def __init__(self, program: Program, kernel: Kernel, precision: str, lines: Lines) -> None:
        self._program, self._kernel, self._precision, self._lines = program, kernel, precision, lines
        self._update = next(update for update in program.updates if not update.state)  # gradient descent
        self._names = Names(("not_finite", "outputs", *(option.name for option in self._update.hyperparameters)))
        self._parameters = [self._names[tensor.name] for tensor in program.parameters]
        self._steps = self._shortened()

    def emit(self) -> None:
        """The functions of a sample."""
        self._emit_point()
        self._emit_next()
        self._emit_largest()
        if self.sequential:
            self._emit_sequential()
        self._emit_store()

    @property
    def sequential(self) -> bool:
        """Whether sequential updates are written out, too."""
        return len(self._steps) * len(self._parameters) <= SEQUENTIAL

    def _shortened(self) -> tuple[Step, ...]:
        """The steps of the gradient for one sample of weight 1, in short chains."""
        kernel, loss = self._kernel, self._program.loss
        steps, results = [], [loss, *kernel.outputs]
        for nest in kernel.nests_with_metrics:
            for step in nest.steps:
                weights = {e: S.One for e in step.operands if kernel.storage[e.tensor].place is Place.WEIGHT}
                steps.append(Step(step.target, step.expression.xreplace(weights)))
                if self._parameter(step.target):
                    results.append(step.target)
        parameters = tuple(Element(tensor.name) for tensor in self._program.parameters)
        return shorten(tuple(steps), tuple(results), parameters)

    def _parameter(self, target: Element) -> str:
        """The parameter by which a step is the derivative; nothing if it is another value."""
        storage = self._kernel.storage.get(target.tensor)
        return self._parameters[storage.offset] if storage and storage.place is Place.GRADIENT else ""

    def _ready_times(self) -> dict[Element, int]:
        """Cycles until each value is ready, where a parameter is ready when its derivative in the last update is."""
        known: dict[Element, int] = {}
        for _ in range(2):
            for step in self._steps:
                known[step.target] = ready(step.expression, known)
            derivatives = {self._parameter(step.target): known[step.target] for step in self._steps}
            first = min(derivatives[name] for name in self._parameters)
            for tensor, name in zip(self._program.parameters, self._parameters, strict=True):
                known[Element(tensor.name)] = derivatives[name] - first
        return known

    def _emit_point(self) -> None:
        lines = self._lines
        lines.add("/* One value for each parameter, in their order. */")
        with lines.block("typedef struct"):
            lines.add(*(f"real {name};" for name in self._parameters))
        lines.extend_last(" __attribute__((may_alias)) point;")
        lines.add("")

    def _emit_next(self) -> None:
        """All parameters at once: what follows the derivative that comes last is one product and one sum each."""
        lines = self._lines
        printer = OrderedPrinter(self._precision, self._name, self._ready_times())
        lines.add(
            f"/* The loss and the outputs of one sample, and one update by {self._update.name}.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.block(f"INLINE real next_point({ARGUMENTS})"):
            with lines.unused("inputs", "targets", "outputs"):
                self._emit_data("const real", "w->")
                for step in self._steps:
                    if not self._parameter(step.target):
                        name = self._names[step.target.tensor]
                        lines.add(f"const real {name} = {printer.print(step.expression)};")
                self._emit_outputs()
            for tensor, name in zip(self._program.parameters, self._parameters, strict=True):
                lines.add(f"next->{name} = {printer.print(self._next(tensor.name))};")
            lines.add("real check = 0;", *(f"check += next->{name}*0;" for name in self._parameters))
            lines.add("*not_finite = check;")
            lines.add(f"return {self._names[self._program.loss.tensor]};")
        lines.add("")

    def _emit_data(self, kind: str, point: str) -> None:
        """Local variables for parameters, hyperparameters, and the inputs and targets that are read."""
        lines, names, program = self._lines, self._names, self._program
        read = {element.tensor for step in self._steps for element in step.operands}
        used = {element for tensor in program.parameters for element in self._next(tensor.name).atoms(Element)}
        for number, hyperparameter in enumerate(self._update.hyperparameters):
            if Element(hyperparameter.name, OPTION) in used:  # not where every derivative is 0
                lines.add(f"const real {hyperparameter.name} = (real) options[{number}];")
        for name in self._parameters:
            lines.add(f"{kind} {name} = {point}{name};")
        for array, tensors in (("inputs", program.inputs), ("targets", program.targets)):
            for column, tensor in enumerate(tensors):
                if tensor.name in read:
                    lines.add(f"const real {names[tensor.name]} = {array}[{column}];")

    def _emit_outputs(self) -> None:
        for number, element in enumerate(self._kernel.outputs):
            self._lines.add(f"outputs[{number}] = {self._names[element.tensor]};")

    def _name(self, element: Element) -> str:
        return element.tensor if element.indices == OPTION else self._names[element.tensor]

    def _next(self, parameter: str) -> Expr:
        """The next value of a parameter, with its derivative written out."""
        (update,) = self._update.steps
        (derivative,) = (s.expression for s in self._steps if self._parameter(s.target) == self._names[parameter])
        places = {Element("parameter", (PARAMETER,)): Element(parameter), Element("gradient", (PARAMETER,)): derivative}
        for option in self._update.hyperparameters:  # which a parameter may be called, too
            places[Element(option.name)] = Element(option.name, OPTION)
        return update.expression.xreplace(places)

    def _emit_largest(self) -> None:
        lines = self._lines
        lines.add("/* The largest change of a parameter. */")
        with lines.block("static inline double largest_change(const point *w, const point *next)"):
            lines.add("double largest = 0;")
            for name in self._parameters:
                lines.add(f"largest = larger(largest, fabs((double) (next->{name} - w->{name})));")
            lines.add("return largest;")
        lines.add("")

    def _emit_store(self) -> None:
        lines = self._lines
        lines.add("/* Copies a point to memory, one value after the other: as a vector it would be one all along. */")
        with lines.block("INLINE void store_point(const point *w, volatile real *parameters)"):
            lines.add(*(f"parameters[{number}] = w->{name};" for number, name in enumerate(self._parameters)))
        lines.add("")

    def _emit_sequential(self) -> None:
        """One parameter after the other; of the values, those that the last one has changed, in an order for it."""
        lines, names, program = self._lines, self._names, self._program
        lines.add(
            f"/* One update by {self._update.name} of one parameter after the other, each with the gradient at what",
            "   those before it have become. Loss and outputs are those of the first.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.block(f"static inline real update_in_turn({ARGUMENTS})"):
            with lines.unused("inputs", "targets", "outputs"):
                self._emit_data("real", "w->")
                lines.add("real check = 0;")
                self._emit_turns()
            lines.add(*(f"next->{name} = {name};" for name in self._parameters), "*not_finite = check;")
            lines.add(f"return {names[program.loss.tensor]};")
        lines.add("")

    def _emit_turns(self) -> None:
        lines, names = self._lines, self._names
        known: dict[Element, int] = {}
        printer = OrderedPrinter(self._precision, self._name, known)
        turns = self._turns()
        assigned = Counter(step.target for turn in turns for step in turn)
        declared: set[Element] = set()
        for tensor, turn in zip(self._program.parameters, turns, strict=True):
            lines.add("", f"/* {names[tensor.name]} */")
            for step in turn:
                kind = "" if step.target in declared else "real " if assigned[step.target] > 1 else "const real "
                lines.add(f"{kind}{names[step.target.tensor]} = {printer.print(step.expression)};")
                declared.add(step.target)
                known[step.target] = ready(step.expression, known)
            if tensor is self._program.parameters[0]:
                self._emit_outputs()
            value = self._next(tensor.name)
            if value != Element(tensor.name):  # the loss may not depend on it
                lines.add(f"{names[tensor.name]} = {printer.print(value)};")
            lines.add(f"check += {names[tensor.name]}*0;")
            known[Element(tensor.name)] = ready(value, known)
        lines.add("")

    def _turns(self) -> list[tuple[Step, ...]]:
        """For each parameter, the steps that its derivative needs, without those that nothing has changed since."""
        turns = []
        firsts = (self._program.loss, *self._kernel.outputs)
        stale = {step.target for step in self._steps}
        for number, tensor in enumerate(self._program.parameters):
            results = [s.target for s in self._steps if self._parameter(s.target) == self._names[tensor.name]]
            wanted = needed(self._steps, [*results, *firsts] if number == 0 else results)
            turn = tuple(step for step in wanted if step.target in stale and step.target not in results)
            stale -= {step.target for step in turn}
            turns.append(turn)
            changed = {Element(tensor.name)}
            for step in self._steps:
                if changed.intersection(step.operands):
                    changed.add(step.target)
            stale |= changed
        return turns
