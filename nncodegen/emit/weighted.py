"""Systems of differential equations with networks in C: their rates, and the calls that solve and reverse them.

Rates are loops over the units of layers: kernels of one sample, which the schedule has (see ``schedule.rates``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from nncodegen.emit.calls import CallsOfSample
from nncodegen.emit.dialects import Dialect
from nncodegen.emit.elements import ElementsOfSample
from nncodegen.emit.lines import Lines, wrapped
from nncodegen.emit.loops import LoopPrinter
from nncodegen.emit.plain import PlainCalls, PlainElements
from nncodegen.emit.printer import Printer
from nncodegen.emit.systems import ARGUMENTS, GIVEN, ON_TILE, OUT, SAMPLES, PlainSystemEmitter, SystemEmitter
from nncodegen.ir import Element
from nncodegen.ir.program import PORTABLE
from nncodegen.ir.systems import System, systems_of
from nncodegen.schedule import Schedule
from nncodegen.schedule.layout import room_of_sample
from nncodegen.schedule.plain import OneSample, plan_place
from nncodegen.schedule.rates import OfPlace, Rates, rates_program

PLAIN = "const real *given, const real *fixed"

STATES = "const real *restrict path, size_t path_time, size_t path_state, size_t path_sample,\n    "
"""The states at all times, which the derivatives of jumps read."""


def emit_weighted(schedule: Schedule, lines: Lines) -> None:
    """Write the functions of all systems with networks that a program solves."""
    program = schedule.program
    systems, printer = systems_of(program.steps), partial(Printer, program.precision, fuses=program.bits == PORTABLE)
    for rates in schedule.rates:
        name = f"equations_{systems.index(rates.system) + 1}"
        _WeightedEmitter(rates, name, printer, lines).emit()


class _WeightedEmitter(SystemEmitter):
    """Writer of the functions of one system with networks, whose rates are kernels (see ``solve_reverse.h``)."""

    _arguments = ("after", "factors", "sums")

    def __init__(
        self, rates: Rates, name: str, printer: Callable[[Callable[[Element], str]], Printer], lines: Lines
    ) -> None:
        super().__init__(rates.system, name, printer, lines)
        self._rates = rates

    def emit(self) -> None:
        """Write the initial values, the rates, and the functions that solve the system, and reverse its paths."""
        system, lines, name, rates = self._system, self._lines, self._name, self._rates
        self._emit_starts()
        lines.add("/* Their rates of change. */")
        self._emit_kernel("rates", rates.rates)
        if rates.transposed:
            lines.add("/* The derivatives of the sum of all rates, each times its factor. */")
            self._emit_kernel("transposed", rates.transposed)
        if system.jumps.values:
            self._emit_jumps()
            lines.add("")
        turned = bool(system.transposed and system.jumps.values)
        if turned:
            self._emit_turned()
        weights, count = "const real *restrict weights", system.offsets[-1]
        solver = f"own, &{system.control.table.name}"
        row, given = f"(weight_row) {{weights, {count}}}", f"count, padded, times, {GIVEN}"
        sizes = f"(record_sizes) {{{rates.levels}, {rates.length}, {rates.record}}}"
        lines.add("/* Solves these equations for the samples of a tile. */")
        with lines.function(
            f"static HOT void solve_{name}({SAMPLES},\n    {weights}, {self._course_arguments}{OUT},\n"
            "    real *restrict work, int keeps)"
        ):
            self._emit_equations()
            lines.add(*wrapped(f"solve_weighted({solver}, {sizes}, keeps, {row}, {ON_TILE});"))
        lines.add("")
        if not rates.transposed:
            return
        lines.add("/* The derivatives of weighted sums of their solutions, for the samples of a tile. */")
        with lines.function(
            f"static HOT void reverse_{name}({SAMPLES},\n"
            f"    {weights}, {self._course_arguments}{STATES if turned else ''}"
            "const real *restrict adjoint, size_t adjoint_time, size_t adjoint_state,\n"
            "    size_t adjoint_sample, real *restrict out, size_t out_place, size_t out_sample, real *restrict work)"
        ):
            self._emit_equations()
            numbers = [str(system.given.index(one)) if one in system.given else "NOT_GIVEN" for one in system.starts]
            lines.add(*wrapped(f"static const size_t starts[] = {{{', '.join(numbers)}}};"))
            places = "adjoint, adjoint_time, adjoint_state, adjoint_sample, out, out_place, out_sample, work"
            back = f"(reverse_functions) {{{name}_transposed, {f'{name}_turned' if turned else 'NULL'}}}"
            states = "path, path_time, path_state, path_sample" if turned else "NULL, 0, 0, 0"
            call = f"reverse_weighted({solver}, {back}, starts, {sizes}, {row}, {given}, {states}, {places});"
            lines.add(*wrapped(call))
        lines.add("")

    def _emit_turned(self) -> None:
        """Write the function of the derivatives of the weighted sum of the states after a jump."""
        assert self._system.transposed
        jumps = self._system.transposed.jumps
        self._lines.add("/* The derivatives of the sum of the states after a jump, each times its factor. */")
        arguments = f"{self._state},\n    const real *restrict factors, real *restrict sums"
        with self._lines.function(f"INLINE void {self._name}_turned({arguments})"):
            self._write(jumps, [f"sums[{number}]" for number in range(len(jumps.values))], ["factors"])
        self._lines.add("")

    def _emit_kernel(self, what: str, one: OfPlace) -> None:
        """Write the function of rates, or of the derivatives of their weighted sum."""
        system, lines = self._system, self._lines
        at = ElementsOfSample(one.program, one.layout, one.kernel)
        factors = system.transposed.factors if system.transposed and what == "transposed" else ()
        others = ", const real *restrict factors" * bool(factors)
        with lines.function(
            f"static HOT void {self._name}_{what}(real now, const real *restrict states,\n"
            f"    {ARGUMENTS}{others}, real *restrict outputs)"
        ):
            lines.add(f"const real *const restrict parameters = given + {len(system.given)};")
            lines.add(*_inputs(system, factors))
            if one.kernel.memory.arrays:
                lines.add(f"real work[{one.kernel.memory.arrays}] ALIGNED;")
            loops = LoopPrinter(at, CallsOfSample(at), lines)
            tree = one.kernel.trees.tile
            lines.add(*at.declarations(tree))
            loops.print(tree)
        lines.add("")


def _inputs(system: System, factors: Sequence[Element] = ()) -> list[str]:
    """Return the declaration of the inputs of a kernel of rates: the time, the states, and both rows; then factors."""
    fixed = (*system.fixed, *system.course)
    rows = (("states", system.states), ("given", system.given), ("fixed", fixed), ("factors", factors))
    values = [f"{array}[{number}]" for array, names in rows for number in range(len(names))]
    return wrapped(f"const real inputs[] = {{{', '.join(['now', *values])}}};")


def emit_plain_weighted(
    systems: Sequence[System], precision: str, dialect: Dialect, used: dict[str, None], lines: Lines
) -> None:
    """Write the functions of systems with networks that plain C solves, one sample at a time.

    ``used`` collects what they call.
    """
    printer = partial(Printer, precision, dialect=dialect, used=used)
    for number, system in enumerate(systems, 1):
        if system.weights:
            kernel = plan_place(replace(rates_program(system), precision=precision))
            elements = PlainElements(kernel, used)
            loops = LoopPrinter(elements, PlainCalls(elements, ()), lines, dialect=dialect, used=used, breaks="[-+]")
            _PlainWeightedEmitter(kernel, elements, loops, system, f"equations_{number}", printer, lines).emit()


class _PlainWeightedEmitter(PlainSystemEmitter):
    """Writer of the functions of one system with networks in plain C, whose rates are a plain kernel."""

    def __init__(
        self,
        kernel: OneSample,
        elements: PlainElements,
        loops: LoopPrinter,
        system: System,
        name: str,
        printer: Callable[[Callable[[Element], str]], Printer],
        lines: Lines,
    ) -> None:
        super().__init__(system, name, printer, lines)
        self._kernel, self._elements, self._loops = kernel, elements, loops

    def _emit_rates(self) -> None:
        """Write the function of the rates, whose weights follow what is given."""
        system, lines = self._system, self._lines
        lines.add("/* Their rates of change. The weights follow what is given. */")
        with lines.function(f"static void {self._name}_rates(real now, const real *states, {PLAIN}, real *outputs)"):
            lines.add(f"const real *const parameters = given + {len(system.given)};")
            lines.add(*_inputs(system))
            if self._kernel.work:
                lines.add(f"real work[{self._kernel.work}];")
            lines.add(*self._elements.declarations(self._kernel.tree))
            self._loops.print(self._kernel.tree)
            lines.add(*([] if system.fixed or system.course else ["(void) fixed;"]))

    def _emit_given(self) -> str:
        """Write a copy of what is given, with the weights after it, and return its name."""
        system, lines = self._system, self._lines
        given = len(system.given)
        lines.add(f"real *const known = work + {room_of_sample(system) - given - system.offsets[-1]};")
        lines.add(f"copy_values({given}, given, known);")
        lines.add(f"copy_values({system.offsets[-1]}, weights, known + {given});")
        return "known"
