"""Systems of differential equations with networks in C: their rates, and the calls that solve and reverse them.

Rates are loops over the units of layers: kernels of one sample, which the schedule has (see ``schedule.rates``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from nncodegen.compiler.emit.calls import CallsOfSample
from nncodegen.compiler.emit.dialects import Dialect
from nncodegen.compiler.emit.elements import ElementsOfSample
from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.emit.plain import PlainCalls, PlainElements
from nncodegen.compiler.emit.printer import Printer
from nncodegen.compiler.emit.systems import (
    ARGUMENTS,
    GIVEN,
    LIMIT,
    ON_TILE,
    OUT,
    SAMPLES,
    PlainSystemEmitter,
    SystemEmitter,
)
from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.ir.systems import System, systems_of
from nncodegen.compiler.schedule import Schedule
from nncodegen.compiler.schedule.layout import room_of, room_of_sample
from nncodegen.compiler.schedule.plain import OneSample, plan_place
from nncodegen.compiler.schedule.rates import OfPlace, Rates, levels_of, rates_program, sums_program, values_of_steps

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
        row, size_names = f"(weight_row) {{weights, {count}}}", f"count, padded, times, {GIVEN}"
        sizes = f"(record_sizes) {{{rates.levels}, {rates.length}, {rates.record}}}"
        lines.add("/* Solves these equations for the samples of a tile. */")
        with lines.function(
            f"static HOT void solve_{name}({SAMPLES},\n    {weights}, {self._course_arguments}{OUT},\n"
            f"    real *restrict work, int keeps, {LIMIT}, real *restrict saved, int solved)"
        ):
            self._emit_equations(limited=True)
            lines.add(*wrapped(f"solve_weighted({solver}, {sizes}, keeps, {row}, {ON_TILE}, saved, solved);"))
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
            lines.add(*starts_of(system))
            places = "adjoint, adjoint_time, adjoint_state, adjoint_sample, out, out_place, out_sample, work"
            back = f"(reverse_functions) {{{name}_transposed, {f'{name}_turned' if turned else 'NULL'}}}"
            states = "path, path_time, path_state, path_sample" if turned else "NULL, 0, 0, 0"
            call = f"reverse_weighted({solver}, {back}, starts, {sizes}, {row}, {size_names}, {states}, {places});"
            lines.add(*wrapped(call))
        lines.add("")

    def _emit_kernel(self, what: str, place_kernel: OfPlace) -> None:
        """Write the function of rates, or of the derivatives of their weighted sum."""
        system, lines = self._system, self._lines
        at = ElementsOfSample(place_kernel.program, place_kernel.layout, place_kernel.kernel)
        factors = system.transposed.factors if system.transposed and what == "transposed" else ()
        factors_argument = ", const real *restrict factors" * bool(factors)
        with lines.function(
            f"static HOT void {self._name}_{what}(real now, const real *restrict states,\n"
            f"    {ARGUMENTS}{factors_argument}, real *restrict outputs)"
        ):
            lines.add(f"const real *const restrict parameters = given + {len(system.given)};")
            lines.add(*_inputs(system, factors))
            if place_kernel.kernel.memory.arrays:
                lines.add(f"real work[{place_kernel.kernel.memory.arrays}] ALIGNED;")
            loops = LoopPrinter(at, CallsOfSample(at), lines)
            tree = place_kernel.kernel.trees.tile
            lines.add(*at.declarations(tree))
            loops.print(tree)
        lines.add("")


def starts_of(system: System) -> list[str]:
    """Return the declaration of the number of the given value that is the initial value of each state."""
    numbers = [str(system.given.index(start)) if start in system.given else "NOT_GIVEN" for start in system.starts]
    return wrapped(f"static const size_t starts[] = {{{', '.join(numbers)}}};")


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

    ``used`` collects what they call. A system that differs from an earlier one only in that its paths are reversed has
    the functions of that one.
    """
    printer = partial(Printer, precision, dialect=dialect, used=used)

    def kernel(program: Program) -> PlainKernel:
        planned = plan_place(replace(program, options=replace(program.options, precision=precision)))
        elements = PlainElements(planned, used)
        calls = PlainCalls(elements, ())
        return PlainKernel(
            planned, elements, LoopPrinter(elements, calls, lines, dialect=dialect, used=used, breaks="[-+]")
        )

    known: dict[System, str] = {}
    for number, system in enumerate(systems, 1):
        if system.weights:
            name, transposed = f"equations_{number}", system.transposed
            emitter = _PlainWeightedEmitter(system, name, printer, lines, known.get(replace(system, transposed=None)))
            emitter.emit_with(
                kernel(rates_program(system)),
                kernel(sums_program(system, transposed)) if transposed else None,
                precision,
            )
            known.setdefault(replace(system, transposed=None), name)


class PlainKernel(NamedTuple):
    """A plain kernel of values at one time of one sample, and what prints it."""

    one: OneSample
    elements: PlainElements
    loops: LoopPrinter


class _PlainWeightedEmitter(PlainSystemEmitter):
    """Writer of the functions of one system with networks in plain C, whose rates are a plain kernel.

    ``like`` is the name of a system with the same rates, initial values and jumps, if there is one already.
    """

    _arguments = (*PlainSystemEmitter._arguments, "after", "factors", "sums")

    def __init__(
        self,
        system: System,
        name: str,
        printer: Callable[[Callable[[Element], str]], Printer],
        lines: Lines,
        like: str | None,
    ) -> None:
        super().__init__(system, name, printer, lines)
        self._functions = like or name

    def emit_with(self, rates: PlainKernel, sums: PlainKernel | None, precision: str) -> None:
        """Write the functions, given the kernels of rates and of the derivatives of their weighted sum."""
        system, lines = self._system, self._lines
        if self._functions == self._name:
            self._emit_starts()
            lines.add("/* Their rates of change. The weights follow what is given. */")
            self._emit_kernel("rates", rates)
            if system.jumps.values:
                lines.add("")
                self._emit_jumps()
            lines.add("")
        if not sums:
            self._emit_solver()
            lines.add("")
            return
        lines.add("/* The derivatives of the sum of all rates, each times its factor. */")
        self._emit_kernel("transposed", sums)
        lines.add("")
        if system.jumps.values:
            self._emit_turned()
        levels, length = levels_of(system, precision)
        self._record = f"(record_sizes) {{{levels}, {length}, {values_of_steps(system, precision, levels, length)}}}"
        self._emit_kept(levels)
        self._emit_reverse()

    def _emit_kernel(self, what: str, kernel: PlainKernel) -> None:
        """Write the function of rates, or of the derivatives of their weighted sum."""
        system, lines = self._system, self._lines
        factors = system.transposed.factors if system.transposed and what == "transposed" else ()
        factors_argument = ", const real *factors" * bool(factors)
        head = (
            f"static void {self._name}_{what}(real now, const real *states, {PLAIN}{factors_argument}, real *outputs)"
        )
        lines.add(*wrapped(head, "[,(]")[:-1])
        with lines.function(wrapped(head, "[,(]")[-1]):
            lines.add(f"const real *const parameters = given + {len(system.given)};")
            lines.add(*_inputs(system, factors))
            if kernel.one.work:
                lines.add(f"real work[{kernel.one.work}];")
            lines.add(*kernel.elements.declarations(kernel.one.tree))
            kernel.loops.print(kernel.one.tree)
            lines.add(*([] if system.fixed or system.course else ["(void) fixed;"]))

    def _emit_given(self) -> str:
        """Write a copy of what is given, with the weights after it, and return its name."""
        system, lines = self._system, self._lines
        given_count = len(system.given)
        lines.add(self._known)
        lines.add(f"copy_values({given_count}, given, known);")
        lines.add(f"copy_values({system.offsets[-1]}, weights, known + {given_count});")
        return "known"

    @property
    def _known(self) -> str:
        """Return the declaration of the row with what is given, and the weights after it."""
        system = self._system
        return f"real *const known = work + {room_of_sample(system) - len(system.given) - system.offsets[-1]};"

    @property
    def _steps(self) -> list[str]:
        """Return the declarations of the arrays of a step, and of the record of steps, in the memory of a path."""
        system = self._system
        states = len(system.states)
        row = "row" if system.fixed or system.course else "NULL"
        return [
            f"const lane_arrays step = arrays_alone(&own, known, {row}, work);",
            f"const step_record kept = record_of({self._record}, {states}, work + {room_of_sample(system)});",
        ]

    def _emit_kept(self, levels: int) -> None:
        """Write the function that solves the system for one sample, and keeps its steps."""
        system, lines = self._system, self._lines
        course = "const real *course, " if system.course else ""
        lines.add("/* Solves these equations for one sample, and keeps the steps. */")
        with lines.function(
            f"static void solve_{self._name}(size_t times, const real *time, {PLAIN},\n"
            f"    {course}const real *weights, real *out, real *work)"
        ):
            self._emit_equations()
            self._emit_row(), self._emit_given()
            lines.add(f"const observations seen = {{times, 0, 1, time, out, {len(system.states)}, 1}};")
            lines.add(*(line for text in self._steps for line in wrapped(text)))
            call = f"solve_kept(&own, &{system.control.table.name}, &kept, {levels}, seen, &step);"
            lines.add(*wrapped(call))
        lines.add("")

    def _emit_reverse(self) -> None:
        """Write the function that goes back through the steps of a path."""
        system, lines = self._system, self._lines
        states, stages = len(system.states), len(system.control.table.rows)
        course = "const real *course, " if system.course else ""
        path = "const real *path, " if system.jumps.values else ""
        lines.add(
            "/* The derivatives of the weighted sum of the states of one sample, by what is given and by the weights.",
            "   work is the memory in which it was solved, with all that was given; more is further memory. */",
        )
        with lines.function(
            f"static void reverse_{self._name}(size_t times, const real *time, {course}{path}const real *adjoint,\n"
            "    real *out, real *work, real *more)"
        ):
            self._emit_equations()
            if system.fixed or system.course:
                lines.add(f"real *const row = work + {room_of(system)};")
            lines.add(self._known, *(line for text in self._steps for line in wrapped(text)))
            places = [stages * states + k * states for k in range(3)]
            lines.add(
                f"const reverse_arrays a = {{step, more, {', '.join(f'more + {place}' for place in places)}, out}};"
            )
            lines.add(*starts_of(system))
            values = "course" if system.course else "NULL"
            whole = f"path, {states}, 1" if path else "NULL, 0, 0"
            lines.add(
                *wrapped(f"const path_operands operands = {{times, 1, time, {values}, {whole}, adjoint, {states}, 1}};")
            )
            others = len(system.given) + system.offsets[-1]
            back = f"(reverse_functions) {{{self._name}_transposed, {f'{self._name}_turned' if path else 'NULL'}}}"
            begin = f"reverse_path(&own, &{system.control.table.name}, {back}, {others}, starts, &kept"
            call = f"{begin}, &operands, &a);"
            with lines.block("if (end_of(&kept).solved)"):
                lines.add(*wrapped(call))
            with lines.block("else"), lines.block(f"for (size_t p = 0; p < {others}; p++)"):
                lines.add("out[p] = (real) NAN;")
        lines.add("")
