"""Systems of differential equations in C: their methods, rates and initial values, and the calls that solve them."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Expr

from nncodegen.emit.elements import Elements
from nncodegen.emit.lines import Lines, wrapped
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Program
from nncodegen.ir.systems import System, Table, systems_of
from nncodegen.schedule.tree import Call

ARGUMENTS = "const real *restrict given, const real *restrict fixed"


def emit_systems(program: Program, lines: Lines) -> None:
    """Write the functions of all systems that a program solves, and before them the tables of their methods."""
    systems = systems_of(program.steps)
    for table in dict.fromkeys(system.control.table for system in systems):
        _emit_table(table, program.precision, lines)
    for number, system in enumerate(systems, 1):
        _SystemEmitter(system, f"equations_{number}", program.precision, lines).emit()


def path_call(call: Call, at: Elements) -> tuple[str, ...]:
    """Return the call that solves a system for the samples of a tile."""
    (step,) = call.steps
    path = step.expression
    number = systems_of(at.program.steps).index(path.system) + 1
    time, *rows = path.args[1:]
    index, *states = step.target.indices[1:]
    strides = [at.kernel.stride(step.target, each) for each in states]
    if any(
        stride != inner * at.size(each) for stride, inner, each in zip(strides, strides[1:], states[1:], strict=False)
    ):
        raise ProgramError(f"the states of {step.target} do not follow each other in memory")
    given = [_places(row, row.indices[1], at) for row in rows]
    texts = [_places(time, index, at), *given, *["NULL, 0, 0"] * (2 - len(rows))]
    out = [at.begin(step.target), *(at.stride(step.target, each) for each in (index, states[-1], SAMPLE))]
    arguments = ", ".join([f"count, {call.end(SAMPLE)}, {at.size(index)}", *texts, *out])
    return tuple(wrapped(f"solve_equations_{number}({arguments});"))


def _places(element: Element, index: str, at: Elements) -> str:
    """Return the values of samples as arguments: their begin, the distance between places, and between samples."""
    return f"{at.begin(element)}, {at.stride(element, index)}, {at.stride(element, SAMPLE)}"


def _emit_table(table: Table, precision: str, lines: Lines) -> None:
    """Write the coefficients of a method."""
    suffix = "F" if precision == "float32" else ""

    def row(values: Iterable[float]) -> str:
        return f"{{{', '.join(f'{value!r}{suffix}' for value in values)}}}"

    rows = ["{0}" if not own else row(own) for own in table.rows]
    lines.add(f"/* The coefficients of the method {table.name}. */")
    lines.add(f"static const method {table.name} = {{")
    lines.add(f"    {len(table.rows)}, {len(table.interpolant[0])}, {table.exponent},")
    for text in (row(table.times), f"{{{', '.join(rows)}}}", row(table.errors)):
        lines.add(*(f"    {line}" for line in wrapped(f"{text},")))
    lines.add(*(f"    {line}" for line in wrapped(f"{{{', '.join(map(row, table.interpolant))}}},")))
    lines.add("};", "")


class _SystemEmitter:
    """Writer of the functions of one system."""

    def __init__(self, system: System, name: str, precision: str, lines: Lines) -> None:
        self._system, self._name, self._lines = system, name, lines
        self._names = Names(("given", "fixed", "rates", "u"))
        self._printer = Printer(precision, lambda element: self._names[element.tensor])

    def emit(self) -> None:
        """Write the initial values, the rates, and the function that solves the system for the samples of a tile."""
        system, lines, name = self._system, self._lines, self._name
        what = "states" if not system.first else "states and their derivatives"
        lines.add(f"/* The initial values of {len(system.states)} {what}. */")
        with lines.function(f"INLINE void {name}_starts({ARGUMENTS}, real *restrict u)"):
            self._load(system.starts)
            for number, start in enumerate(system.starts):
                lines.add(f"u[{number}] = {self._printer.print(start)};")
        lines.add("", "/* Their rates of change. */")
        time = self._names[system.time.tensor]
        with lines.function(
            f"INLINE void {name}_rates(real {time}, const real *restrict u, {ARGUMENTS},\n    real *restrict rates)"
        ):
            self._load(system.formulas)
            for step in system.steps:
                lines.add(f"const real {self._names[step.target.tensor]} = {self._printer.print(step.expression)};")
            for number, rate in enumerate(system.rates):
                lines.add(f"rates[{number}] = {self._printer.print(rate)};")
        lines.add("", "/* Solves these equations for the samples of a tile. */")
        with lines.function(
            f"static HOT void solve_{name}(size_t count, size_t padded, size_t times,\n"
            "    const real *time, size_t time_next, size_t time_sample, const real *given, size_t given_next,\n"
            "    size_t given_sample, const real *fixed, size_t fixed_next, size_t fixed_sample,\n"
            "    real *restrict out, size_t out_time, size_t out_state, size_t out_sample)"
        ):
            self._emit_call()
        lines.add("")

    def _emit_call(self) -> None:
        """Write the body of the function that solves the system."""
        system, control, lines, name = self._system, self._system.control, self._lines, self._name
        size = (len(control.table.rows) + 3) * len(system.states) + len(system.given) + len(system.fixed)
        lines.add("const equations own = {")
        sizes = (len(system.states), system.first, system.block, len(system.given), len(system.fixed))
        start = "(double) NAN" if control.start is None else repr(control.start)
        lines.add(f"    {', '.join(map(str, sizes))}, {control.rtol!r}, {control.atol!r}, {start}, {control.most},")
        lines.add(f"    {name}_rates, {name}_starts", "};")
        lines.add(f"real work[{size}];")
        given = ", ".join(f"(places) {{{row}, {row}_next, {row}_sample}}" for row in ("time", "given", "fixed"))
        places = "out, out_time, out_state, out_sample, work"
        call = f"solve_samples(own, &{control.table.name}, count, padded, times, {given}, {places});"
        lines.add(*wrapped(call))

    def _load(self, formulas: Iterable[Expr]) -> None:
        """Write local values of what formulas read of the states and of both rows."""
        system = self._system
        read = {element for formula in formulas for element in formula.atoms(Element)}
        for array, names in (("u", system.states), ("given", system.given), ("fixed", system.fixed)):
            for number, element in enumerate(names):
                if element in read:
                    self._lines.add(f"const real {self._names[element.tensor]} = {array}[{number}];")
