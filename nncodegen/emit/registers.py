"""Training in registers: the gradient of one sample as straight-line scalar text (see ``schedule.registers``).

There is no loop to print, so that this plan has a printer of its own: the parameters are local variables, sums and
products are printed in the order in which their parts are ready, and exponentials are those for one argument. By the
loops for tiles, an update of the perceptron takes more than twice as long.
"""

from __future__ import annotations

from collections import Counter

from nncodegen.emit.dialects import in_registers
from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import Element
from nncodegen.schedule.registers import OPTION, StraightLine

ARGUMENTS = """const point *now, const real *inputs, const real *targets,
    const double *options, point *next, real *outputs, real *not_finite"""


class RegistersEmitter:
    """Writes the gradient of one sample, the updates by the optimizers without a state, and their loop."""

    def __init__(self, line: StraightLine, lines: Lines) -> None:
        self._program, self._line, self._lines = line.program, line, lines
        self._precision = line.program.precision
        self._names = Names()
        self._parameters = [self._names[tensor.name] for tensor in line.program.parameters]

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
        return bool(self._line.sequential)

    def _emit_point(self) -> None:
        lines = self._lines
        lines.add("/* One value for each parameter, in their order. */")
        with lines.structure("__attribute__((may_alias)) point"):
            lines.add(*(f"real {name};" for name in self._parameters))

    def _emit_next(self) -> None:
        """All parameters at once: what follows the derivative that comes last is one product and one sum each."""
        lines = self._lines
        printer = Printer(self._precision, self._name, in_registers(self._line.ready))
        lines.add(
            f"/* The loss and the outputs of one sample, and one update by {self._line.update.name}.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.function(f"INLINE real next_point({ARGUMENTS})"):
            self._emit_data("const real", "now->")
            for step in self._line.steps:
                name = self._names[step.target.tensor]
                lines.add(f"const real {name} = {printer.print(step.expression)};")
            self._emit_outputs()
            for value, name in zip(self._line.next, self._parameters, strict=True):
                lines.add(f"next->{name} = {printer.print(value)};")
            lines.add("real check = 0;", *(f"check += next->{name}*0;" for name in self._parameters))
            lines.add("*not_finite = check;")
            lines.add(f"return {self._names[self._program.loss.tensor]};")
        lines.add("")

    def _emit_data(self, kind: str, point: str) -> None:
        """Local variables for parameters, hyperparameters, and the inputs and targets that are read."""
        lines, names, program = self._lines, self._names, self._program
        used = {element for value in self._line.next for element in value.atoms(Element)}
        used |= {element for step in self._line.steps for element in step.operands}
        read = {element.tensor for element in used if element.indices != OPTION}
        for number, hyperparameter in enumerate(self._line.update.hyperparameters):
            if Element(hyperparameter.name, OPTION) in used:  # not where every derivative is 0
                lines.add(f"const real {hyperparameter.name} = (real) options[{number}];")
        for name in self._parameters:
            lines.add(f"{kind} {name} = {point}{name};")
        for array, tensors in (("inputs", program.inputs), ("targets", program.targets)):
            for column, tensor in enumerate(tensors):
                if tensor.name in read:
                    lines.add(f"const real {names[tensor.name]} = {array}[{column}];")

    def _emit_outputs(self) -> None:
        for number, element in enumerate(self._line.outputs):
            self._lines.add(f"outputs[{number}] = {self._names[element.tensor]};")

    def _name(self, element: Element) -> str:
        return element.tensor if element.indices == OPTION else self._names[element.tensor]

    def _emit_largest(self) -> None:
        lines = self._lines
        lines.add("/* The largest change of a parameter. */")
        with lines.function("INLINE double largest_change(const point *now, const point *next)"):
            lines.add("double largest = 0;")
            for name in self._parameters:
                lines.add(f"largest = larger(largest, fabs((double) (next->{name} - now->{name})));")
            lines.add("return largest;")
        lines.add("")

    def _emit_store(self) -> None:
        lines = self._lines
        lines.add("/* Copies a point to memory, one value after the other: as a vector it would be one all along. */")
        with lines.function("INLINE void store_point(const point *now, volatile real *parameters)"):
            lines.add(*(f"parameters[{number}] = now->{name};" for number, name in enumerate(self._parameters)))
        lines.add("")

    def _emit_sequential(self) -> None:
        """One parameter after the other; of the values, those that the last one has changed, in an order for it."""
        lines, names, program = self._lines, self._names, self._program
        lines.add(
            f"/* One update by {self._line.update.name} of one parameter after the other, each by the gradient at the",
            "   values that those before it have by then. Loss and outputs are those before the first changes.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.function(f"static inline UNUSED real update_sequentially({ARGUMENTS})"):
            self._emit_data("real", "now->")
            lines.add("real check = 0;")
            self._emit_updates()
            lines.add(*(f"next->{name} = {name};" for name in self._parameters), "*not_finite = check;")
            lines.add(f"return {names[program.loss.tensor]};")
        lines.add("")

    def _emit_updates(self) -> None:
        lines, names = self._lines, self._names
        assigned = Counter(step.target for update in self._line.sequential for step in update.steps)
        declared: set[Element] = set()
        for number, update in enumerate(self._line.sequential):
            name = self._parameters[number]
            printer = Printer(self._precision, self._name, in_registers(update.ready))
            lines.add("", f"/* {name} */")
            for step in update.steps:
                kind = "" if step.target in declared else "real " if assigned[step.target] > 1 else "const real "
                lines.add(f"{kind}{names[step.target.tensor]} = {printer.print(step.expression)};")
                declared.add(step.target)
            if number == 0:
                self._emit_outputs()
            if update.changes:
                lines.add(f"{name} = {printer.print(update.next)};")
            lines.add(f"check += {name}*0;")
        lines.add("")
