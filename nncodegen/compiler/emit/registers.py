"""Training in registers: the gradient of one sample as straight-line scalar text (see ``schedule.registers``).

The parameters are local variables, sums and products are printed in the order in which their parts are ready, and
exponentials are those for one argument. With the loops for tiles, an update of the perceptron takes more than twice as
long.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from nncodegen.compiler.emit.dialects import in_registers
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.ir import Element
from nncodegen.compiler.schedule import Place, Registers
from nncodegen.compiler.schedule.registers import OPTION
from nncodegen.compiler.schedule.tree import Tree

ARGUMENTS = """const point *now, const real *inputs, const real *targets,
    const double *options, point *next, real *outputs, real *not_finite"""


class ElementsInRegisters(Elements):
    """The elements of one sample in registers: each has a variable."""

    sums_are_double = False

    def __init__(self, registers: Registers) -> None:
        self.program, self._numbers, self.names = registers.program, registers.numbers, Names()
        self.parameters = [self.names[tensor.name] for tensor in registers.program.parameters]

    def place(self, element: Element) -> Place:
        """Return the kind of place."""
        return self._numbers[element][0] if element in self._numbers else Place.LOCAL

    def name(self, element: Element) -> str:
        """Return the variable of an element."""
        return element.tensor if element.indices == OPTION else self.names[element.tensor]

    def value(self, element: Element, local: Container[str]) -> str:
        """Return the value of an element."""
        return self.name(element)

    def stored(self, element: Element) -> str:
        """Return the text of an element outside of the registers."""
        place, number = self._numbers[element]
        match place:
            case Place.OPTION:
                return f"(real) options[{number}]"
            case Place.PARAMETER:
                return f"now->{self.parameters[number]}"
            case Place.NEXT:
                return f"next->{self.parameters[number]}"
        return f"{place.value}[{number}]"


class RegistersEmitter:
    """Writer of the gradient of one sample, the updates by the optimizers without a state, and their loop."""

    def __init__(self, registers: Registers, lines: Lines) -> None:
        self._registers, self._lines, self._at = registers, lines, ElementsInRegisters(registers)
        self._parameters = self._at.parameters
        self._loss = registers.program.required_loss

    def emit(self) -> None:
        """Write the functions of a sample."""
        self._emit_point()
        self._emit_next()
        self._emit_largest()
        if self.sequential:
            self._emit_sequential()
        self._emit_store()

    @property
    def sequential(self) -> bool:
        """Return whether sequential updates are written out, too."""
        return bool(self._registers.sequential)

    def _emit_point(self) -> None:
        lines = self._lines
        lines.add("/* One value for each parameter, in their order. */")
        with lines.structure("__attribute__((may_alias)) point"):
            lines.add(*(f"real {name};" for name in self._parameters))

    def _emit_next(self) -> None:
        """Write an update of all parameters at once: after the last derivative, each needs one product and one sum."""
        lines = self._lines
        lines.add(
            f"/* The loss and the outputs of one sample, and one update by {self._registers.update.name}.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.function(f"INLINE real next_point({ARGUMENTS})"):
            self._print(self._registers.together, self._registers.ready)
            lines.add("real check = 0;", *(f"check += next->{name}*0;" for name in self._parameters))
            lines.add("*not_finite = check;")
            lines.add(f"return {self._at.name(self._loss)};")
        lines.add("")

    def _print(self, tree: Tree, ready: Mapping[Element, int]) -> None:
        LoopPrinter(self._at, None, self._lines, dialect=in_registers(ready)).print(tree)

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
        lines.add("/* Copies a point value by value: a copy of vectors would keep it in one long register. */")
        with lines.function("INLINE void store_point(const point *now, volatile real *parameters)"):
            lines.add(*(f"parameters[{number}] = now->{name};" for number, name in enumerate(self._parameters)))
        lines.add("")

    def _emit_sequential(self) -> None:
        """Write an update of one parameter after the other; each recomputes only values that the last one changed."""
        lines, name = self._lines, self._registers.update.name
        lines.add(
            f"/* One update by {name} of one parameter after the other, each by the gradient at the",
            "   values that those before it have by then. Loss and outputs are those before the first changes.",
            "   *not_finite is 0 unless a new parameter is not finite. */",
        )
        with lines.function(f"static inline UNUSED real update_sequentially({ARGUMENTS})"):
            self._print(self._registers.before, {})
            lines.add("real check = 0;")
            for update in self._registers.sequential:
                parameter = self._at.name(update.parameter)
                lines.add("", f"/* {parameter} */")
                self._print(update.tree, update.ready)
                lines.add(f"check += {parameter}*0;")
            lines.add("")
            lines.add(*(f"next->{name} = {name};" for name in self._parameters), "*not_finite = check;")
            lines.add(f"return {self._at.name(self._loss)};")
        lines.add("")
