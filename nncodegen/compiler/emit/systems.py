"""Systems of differential equations in C: their methods, rates and initial values, and the calls that solve them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from sympy import Expr

from nncodegen.compiler.emit.dialects import Dialect
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.emit.printer import Printer
from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.ir.systems import Formulas, LinearlyImplicit, System, Table, path, swept, systems_of
from nncodegen.compiler.schedule.kernel import Role
from nncodegen.compiler.schedule.layout import in_lanes, room_in_lane, room_of
from nncodegen.compiler.schedule.rates import room_of_states
from nncodegen.compiler.schedule.tree import Call
from nncodegen.compiler.schedule.tree_walks import steps_in
from nncodegen.compiler.schedule.vectors import has_library
from nncodegen.errors import ProgramError

ARGUMENTS = "const real *restrict given, const real *restrict fixed"

SAMPLES = """size_t count, size_t padded, size_t times,
    const real *time, size_t time_next, size_t time_sample, const real *given, size_t given_next,
    size_t given_sample, const real *fixed, size_t fixed_next, size_t fixed_sample"""

GIVEN = ", ".join(f"(places) {{{row}, {row}_next, {row}_sample}}" for row in ("time", "given", "fixed"))
"""The times and the rows of samples, as the runtime takes them."""

ON_TILE = f"count, padded, times, {GIVEN}, out, out_time, out_state, out_sample, work"
"""The samples of a tile, where their states are written, and memory, as the runtime takes them."""

OUT = "real *restrict out, size_t out_time, size_t out_state, size_t out_sample"

LIMIT = "size_t limit"
"""The largest number of steps, where a call has one below that of the model; else 0."""

OF_CALL = "(size_t) work[ARRAYS]"

LIMITS = {"predict": OF_CALL, "jacobian": OF_CALL, "rows": "(size_t) values[NN_FITS_VALUES*FITS]"}
"""Where the kernels of outputs and of rows have this limit: after their arrays."""


def emit_systems(program: Program, lines: Lines) -> None:
    """Write the tables of the methods of all systems that a program solves, and the functions of those of formulas."""
    systems = systems_of(program.steps)
    _emit_tables(systems, program.precision, lines)
    printer = partial(Printer, program.precision, fuses=program.bits == PORTABLE)
    for number, system in enumerate(systems, 1):
        if not system.weights:
            emitter = _LanesEmitter if in_lanes(system) else SystemEmitter
            emitter(system, f"equations_{number}", printer, lines).emit()


def emit_plain_systems(
    systems: Sequence[System], precision: str, dialect: Dialect, used: dict[str, None], lines: Lines
) -> None:
    """Write the functions of systems of formulas that plain C solves, one sample at a time, and the tables of all.

    ``used`` collects what they call.
    """
    _emit_tables(systems, precision, lines)
    printer = partial(Printer, precision, dialect=dialect, used=used)
    for number, system in enumerate(systems, 1):
        if not system.weights:
            PlainSystemEmitter(system, f"equations_{number}", printer, lines).emit()


def path_call(call: Call, at: Elements) -> tuple[str, ...]:
    """Return the call that solves a system for the samples of a tile, or goes back through the steps of its path.

    Where fits lie side by side, it solves one sample of each.
    """
    (step,) = call.steps
    read = step.expression
    number = systems_of(at.program.steps).index(read.system) + 1
    index, course = read.time.indices[1], read.course
    call_arguments = [_places(read.time, index, at), *(_places(row, row.indices[1], at) for row in read.rows)]
    call_arguments += ["NULL, 0, 0"] * (2 - len(read.rows)) + ([_weights(read, at)] if read.weights else [])
    call_arguments += [_array(course, (index, course.indices[-1]), at)] if course is not None else []
    count, padded = ("count", call.end(SAMPLE)) if at.kernel.plan.models is Role.ABSENT else (at.group, at.group)
    head = f"{count}, {padded}, {at.size(index)}"
    reads_swept = any(isinstance(each_step.expression, swept) for each_step in steps_in(at.kernel.trees.tile))
    work = [f"work + {at.kernel.memory.arrays}"] if read.weights else []
    if isinstance(read, swept):
        state = read.adjoint.indices[-1]
        out = [_array(read.states, (index, state), at)] if read.system.jumps.values else []
        out += [_array(read.adjoint, (index, state), at), _array(step.target, step.target.indices[1:], at)]
        return tuple(wrapped(f"reverse_equations_{number}({', '.join([head, *call_arguments, *out, *work])});"))
    states = step.target.indices[2:]
    strides = [at.kernel.stride(step.target, each) for each in states]
    if any(
        stride != inner * at.size(each) for stride, inner, each in zip(strides, strides[1:], states[1:], strict=False)
    ):
        raise ProgramError(f"the states of {step.target} do not follow each other in memory")
    work += [str(int(reads_swept))] * len(work)
    work.append(LIMITS.get(at.kernel.name, "0"))
    if read.weights:
        room, end = room_of_states(at.kernel, at.program, at.layout), at.kernel.memory.arrays + at.kernel.memory.paths
        work += [f"work + {end - room}", "work[ARRAYS + 1] > 0"] if room else ["NULL", "0"]
    arguments = ", ".join([head, *call_arguments, _array(step.target, (index, states[-1]), at), *work])
    return tuple(wrapped(f"solve_equations_{number}({arguments});"))


def _array(element: Element, indices: Iterable[str], at: Elements) -> str:
    """Return an array of samples as arguments: its begin, and the distance between values of each index."""
    return ", ".join([at.begin(element), *(at.distance(element, each) for each in (*indices, SAMPLE))])


def _weights(read: path, at: Elements) -> str:
    """Return where the weights of a path lie, one after the other, among the parameters."""
    begins = [at.kernel.storage[weight.tensor].offset for weight in read.weights]
    if begins != [begins[0] + offset for offset in read.system.offsets[:-1]]:
        raise ProgramError(f"the weights of {read.system.name} do not follow each other among the parameters")
    return f"parameters + {begins[0]}"


def _places(element: Element, index: str, at: Elements) -> str:
    """Return the values of samples as arguments: their begin, the distance between places, and between samples."""
    return f"{at.begin(element)}, {at.distance(element, index)}, {at.distance(element, SAMPLE)}"


def _emit_tables(systems: Iterable[System], precision: str, lines: Lines) -> None:
    """Write the coefficients of all methods, each once."""
    for table in dict.fromkeys(table for system in systems for table in _tables(system.control.table)):
        _emit_table(table, precision, lines)


def _tables(table: Table) -> tuple[Table, ...]:
    """Return a method alone; with the explicit one before it that takes some of its steps."""
    if isinstance(table, LinearlyImplicit) and table.explicit:
        return table.explicit, replace(table, explicit=None, together="")
    return (table,)


def _emit_table(table: Table, precision: str, lines: Lines) -> None:
    """Write the coefficients of a method."""
    suffix = "F" if precision == "float32" else ""

    def row(values: Iterable[float]) -> str:
        return f"{{{', '.join(f'{value!r}{suffix}' for value in values)}}}"

    def rows(several: Iterable[Sequence[float]]) -> str:
        return f"{{{', '.join('{0}' if not coefficients else row(coefficients) for coefficients in several)}}}"

    sizes = f"{len(table.rows)}, {len(table.interpolant[0])}, {table.exponent},"
    common = (row(table.times), rows(table.rows), row(table.errors), rows(table.interpolant))
    implicit = isinstance(table, LinearlyImplicit)
    lines.add(f"/* The coefficients of the method {table.name}. */")
    lines.add(f"static const {'rosenbrock_method' if implicit else 'method'} {table.name} = {{")
    margin = " " * (8 if implicit else 4)
    lines.add(*["    {"] * implicit, f"{margin}{sizes}")
    for text in common:
        lines.add(*(f"{margin}{line}" for line in wrapped(f"{text},")))
    if isinstance(table, LinearlyImplicit):
        lines.add("    },", f"    {table.gamma!r}{suffix},")
        for text in (rows(table.couplings), row(table.drifts), row(table.weights)):
            lines.add(*(f"    {line}" for line in wrapped(f"{text},")))
    lines.add("};", "")


class SystemEmitter:
    """Writer of the functions of one system of formulas.

    Its samples are solved one after the other: see ``solve.h``, and ``rosenbrock.h`` for stiff equations. ``printer``
    returns what writes expressions, given the names of elements.
    """

    _arguments: tuple[str, ...] = ("jacobian", "drift", "direction", "change")
    """Names of arguments of some functions, which values may not have either."""
    _alone = ""
    """The end of the name of the function that has the rates of one sample."""
    _lane = ""
    """The text after the place of a value in its array, in functions of the samples in all lanes."""

    def __init__(
        self, system: System, name: str, printer: Callable[[Callable[[Element], str]], Printer], lines: Lines
    ) -> None:
        self._system, self._name, self._lines = system, name, lines
        self._functions = name
        self._names = Names(("given", "fixed", "rates", "u", *self._arguments))
        self._printer = printer(lambda element: self._names[element.tensor])

    def emit(self) -> None:
        """Write the initial values, the rates, and the function that solves the system."""
        system, lines = self._system, self._lines
        self._emit_starts()
        self._emit_rates()
        if system.linear:
            self._emit_linear()
        if system.jumps.values:
            lines.add("")
            self._emit_jumps()
        self._emit_solver()
        lines.add("")

    def _emit_jumps(self) -> None:
        """Write the function of the states after a jump."""
        jumps = self._system.jumps
        self._lines.add("/* The states that follow after each time of a sample. */")
        with self._lines.function(f"INLINE void {self._name}_jumps({self._state},\n    real *restrict after)"):
            self._write(jumps, [f"after[{number}]" for number in range(len(jumps.values))], lane="")

    def _emit_turned(self) -> None:
        """Write the function of the derivatives of the weighted sum of the states after a jump."""
        assert self._system.transposed
        jumps = self._system.transposed.jumps
        self._lines.add("/* The derivatives of the sum of the states after a jump, each times its factor. */")
        arguments = f"{self._state},\n    const real *restrict factors, real *restrict sums"
        with self._lines.function(f"INLINE void {self._name}_turned({arguments})"):
            self._write(jumps, [f"sums[{number}]" for number in range(len(jumps.values))], ["factors"])
        self._lines.add("")

    @property
    def _course_arguments(self) -> str:
        """Return the arguments with the numbers of times, if there are any."""
        course = "const real *course, size_t course_next, size_t course_item, size_t course_sample,\n    "
        return course if self._system.course else ""

    def _emit_solver(self) -> None:
        """Write the function that solves the system for the samples of a tile."""
        course = self._course_arguments
        self._lines.add("", "/* Solves these equations for the samples of a tile. */")
        with self._lines.function(f"static HOT void solve_{self._name}({SAMPLES},\n    {course}{OUT}, {LIMIT})"):
            self._emit_call()

    def _emit_starts(self) -> None:
        """Write the function of the initial values."""
        system, lines = self._system, self._lines
        what = "states" if not system.first else "states and their derivatives"
        lines.add(f"/* The initial values of {len(system.states)} {what}. */")
        with lines.function(f"INLINE void {self._name}_starts({ARGUMENTS}, real *restrict u)"):
            used = self._load(system.starts)
            for number, start in enumerate(system.starts):
                lines.add(f"u[{number}] = {self._printer.print(start)};")
            self._unused({"given", "fixed"} - used)
        lines.add("")

    @property
    def _state(self) -> str:
        """Return the arguments of functions of the time and the states."""
        return f"real {self._names[self._system.time.tensor]}, const real *restrict u, {ARGUMENTS}"

    @contextmanager
    def _function(self, ending: str, arguments: str, timed: bool) -> Iterator[None]:
        """Write a function of the time and the states around its body; ``timed`` says that it reads the time."""
        with self._lines.function(f"INLINE void {self._name}_{ending}({self._state},\n    {arguments})"):
            yield

    def _emit_rates(self) -> None:
        """Write the function of the rates."""
        self._lines.add("/* Their rates of change. */")
        self._write_rates()

    def _write_rates(self) -> None:
        """Write the function of the rates without a comment."""
        system = self._system
        formulas = Formulas(system.rates, system.steps)
        with self._function("rates", "real *restrict rates", self._reads_time(formulas)):
            self._write(formulas, [f"rates[{number}{self._lane}]" for number in range(len(system.rates))])

    def _reads_time(self, formulas: Formulas) -> bool:
        """Return whether formulas read the time."""
        return any(formula.has(self._system.time) for formula in formulas.all)

    def _emit_linear(self) -> None:
        """Write the derivatives of the rates that an implicit method reads."""
        system, lines, lane = self._system, self._lines, self._lane
        assert system.linear
        size, slopes, bend = system.block**2, system.linear.slopes, system.linear.bend
        lines.add("", "/* The derivatives of rates by the states, where they may differ from zero, and by the time. */")
        places = [f"jacobian[{number}{lane}]" for number in range(size)]
        places += [f"drift[{number}{lane}]" for number in range(len(slopes.values) - size)]
        with self._function("slopes", "real *restrict jacobian, real *restrict drift", self._reads_time(slopes)):
            self._write(slopes, places, ["jacobian", "drift"], zeros=size)
        if system.linear.direction:
            lines.add("", "/* The changes of the rates of sensitivities with the states. */")
            with self._function(
                "bend", "const real *restrict direction, real *restrict change", self._reads_time(bend)
            ):
                self._write(bend, [f"change[{k}{lane}]" for k in range(len(bend.values))], ["direction"])

    def _write(
        self,
        formulas: Formulas,
        places: Sequence[str],
        others: Sequence[str] = (),
        zeros: int = 0,
        lane: str | None = None,
    ) -> None:
        """Write the body of a function of states: values to places; without the first ``zeros`` where they are zero.

        ``others`` are the arguments that not each such function has; ``lane`` is the usual addition to places.
        """
        used = self._load(formulas.all, self._lane if lane is None else lane)
        for step in formulas.steps:
            self._lines.add(f"const real {self._names[step.target.tensor]} = {self._printer.print(step.expression)};")
        for number, (place, value) in enumerate(zip(places, formulas.values, strict=True)):
            if number >= zeros or value != 0:
                self._lines.add(f"{place} = {self._printer.print(value)};")
                used.add(place.split("[")[0])
        self._unused({self._names[self._system.time.tensor], "u", "given", "fixed", *others} - used)

    def _unused(self, arguments: set[str]) -> None:
        """Note the arguments that a function does not use, where compilers ask for that."""

    def _emit_equations(self, limited: bool = False) -> None:
        """Write the description of the equations that a solver takes; ``limited`` says that a call may limit steps."""
        system, control, lines, name = self._system, self._system.control, self._lines, self._functions
        lines.add("const equations own = {")
        changing = len(system.course)
        sizes = (len(system.states), system.first, system.block, len(system.given), len(system.fixed) + changing)
        start = "(double) NAN" if control.start is None else repr(control.start)
        most = f"fewer_steps({control.most}, limit)" if limited else str(control.most)
        lines.add(f"    {', '.join(map(str, sizes))}, {control.rtol!r}, {control.atol!r}, {start}, {most},")
        jumps = f"{name}_jumps" if system.jumps.values else "NULL"
        course = self._course if changing else "NULL, 0, 0, 0"
        events = f"{{{jumps}, {int(system.steered)}, {changing}, {course}}}" if system.stops else "NO_EVENTS"
        lines.add(f"    {name}_rates{self._alone}, {name}_starts, {events}", "};")

    @property
    def _course(self) -> str:
        """Return the begin of the numbers of times, and the distances between times, numbers and samples."""
        return "course, course_next, course_item, course_sample"

    def _emit_parts(self, kind: str = "linear_parts") -> str:
        """Write what an implicit method takes besides, and return the name of the explicit one, or NULL."""
        system, table, name = self._system, self._system.control.table, self._name
        assert isinstance(table, LinearlyImplicit)
        bend = f"{name}_bend" if system.first else "NULL"
        self._lines.add(f"const {kind} local = {{{name}_slopes, {bend}, {int(system.driven)}}};")
        return f"&{table.explicit.name}" if table.explicit else "NULL"

    @property
    def _rows(self) -> int:
        """Return the number of values in both rows of a sample."""
        return len(self._system.given) + len(self._system.fixed) + len(self._system.course)

    def _emit_call(self) -> None:
        """Write the body of the function that solves the system."""
        table, lines = self._system.control.table, self._lines
        self._emit_equations(limited=True)
        begin = f"solve_samples(own, &{table.name}"
        if isinstance(table, LinearlyImplicit):
            begin = f"solve_stiff_samples(own, local, &{table.name}, {self._emit_parts()}"
        lines.add(f"real work[{room_of(self._system) + self._rows}];")
        lines.add(*wrapped(f"{begin}, {ON_TILE});"))

    def _load(self, formulas: Iterable[Expr], lane: str = "") -> set[str]:
        """Write local values of what formulas read of the states and of both rows; return the arguments with these."""
        system = self._system
        direction = system.linear.direction if system.linear else ()
        factors = system.transposed.factors if system.transposed else ()
        read = {element for formula in formulas for element in formula.atoms(Element)}
        used = {self._names[system.time.tensor]} if system.time in read else set()
        for array, names in (
            ("u", system.states),
            ("given", system.given),
            ("fixed", (*system.fixed, *system.course)),
            ("direction", direction),
            ("factors", factors),
        ):
            for number, element in enumerate(names):
                if element in read:
                    self._lines.add(f"const real {self._names[element.tensor]} = {array}[{number}{lane}];")
                    used.add(array)
        return used


class _LanesEmitter(SystemEmitter):
    """Writer of the functions of one system whose samples are solved in the lanes of vectors.

    See ``solve.h``, and ``rosenbrock.h`` for stiff equations.
    """

    _arguments = (*SystemEmitter._arguments, "times", "lane", "lanes")
    _alone = "_alone"
    _lane = "*lanes + lane"

    @contextmanager
    def _function(self, ending: str, arguments: str, timed: bool) -> Iterator[None]:
        """Write a function of the times and the states in all lanes around its body, which is that of one lane."""
        lines = self._lines
        with lines.function(
            f"INLINE void {self._name}_{ending}(size_t lanes, const real *restrict times, const real *restrict u,\n"
            f"    {ARGUMENTS}, {arguments})"
        ):
            lines.add("LANES_LOOP")
            with lines.block("for (size_t lane = 0; lane < lanes; lane++)"):
                if timed:
                    lines.add(f"const real {self._names[self._system.time.tensor]} = times[lane];")
                yield

    def _emit_rates(self) -> None:
        """Write the functions of the rates of several samples, one in each lane, and of those of one sample."""
        system, lines = self._system, self._lines
        lines.add("/* Their rates of change, for the sample in each lane. */")
        self._write_rates()
        lines.add("", "/* The same for one sample. */")
        with lines.function(f"static void {self._name}_rates_alone({self._state},\n    real *restrict rates)"):
            lines.add(f"{self._name}_rates(1, &{self._names[system.time.tensor]}, u, given, fixed, rates);")

    def _emit_call(self) -> None:
        """Write the body of the function that solves the system."""
        system, lines = self._system, self._lines
        table, states = system.control.table, len(system.states)
        self._emit_equations(limited=True)
        formulas = [*system.formulas]
        begin = f"solve_in_lanes(own, {self._name}_rates, &{table.name}"
        if isinstance(table, LinearlyImplicit):
            assert system.linear
            formulas += [*system.linear.slopes.all, *system.linear.bend.all]
            other = self._emit_parts("linear_lanes")
            begin = f"solve_stiff_in_lanes(own, {self._name}_rates, local, &{table.name}, {other}"
        # a function of the C library may have other bits in shorter vectors: then one sample takes the longest too
        narrow = int(not any(map(has_library, formulas)))
        alone = self._rows + states * (2 if system.stops else 1)
        lines.add(f"real work[{room_in_lane(system)}*LANES + {alone}] ALIGNED;")
        lines.add(*wrapped(f"{begin}, {narrow}, {ON_TILE});"))


class PlainSystemEmitter(SystemEmitter):
    """Writer of the functions of one system in plain C, which solves it for one sample, in memory of the caller."""

    def _unused(self, arguments: set[str]) -> None:
        """Note the arguments that a function does not use."""
        self._lines.add(*(f"(void) {name};" for name in sorted(arguments)))

    def _emit_solver(self) -> None:
        """Write the function that solves the system for one sample."""
        system, lines, name, table = self._system, self._lines, self._name, self._system.control.table
        lines.add("", "/* Solves these equations for one sample. */")
        rows = ["given", "fixed", *(["course"] if system.course else [])]
        row_names = " ".join(f"const real *{row}," for row in rows)
        weights = "const real *weights, " if system.weights else ""
        with lines.function(
            f"static void solve_{name}(size_t times, const real *time, {row_names}\n    {weights}real *out, real *work)"
        ):
            self._emit_equations()
            row, known = self._emit_row(), self._emit_given()
            states = len(system.states) - system.first
            lines.add(f"const observations seen = {{times, 0, 1, time, out, {states}, 1}};")
            arguments = f"seen, {known}, {row}, work"
            if isinstance(table, LinearlyImplicit):
                begin = f"solve_stiff(&own, &local, &{table.name}, {self._emit_parts()}, "
                lines.add(*wrapped(f"{begin}{arguments});"))
            else:
                lines.add(f"solve(&own, &{table.name}, {arguments});")

    def _emit_row(self) -> str:
        """Write a copy of the row fixed, to which the solver adds the numbers of an interval, and return its name."""
        system, lines = self._system, self._lines
        if not system.fixed and not system.course:
            self._unused({"fixed"})
            return "NULL"
        lines.add(f"real *const row = work + {room_of(system)};")
        if system.fixed:
            with lines.block(f"for (size_t k = 0; k < {len(system.fixed)}; k++)"):
                lines.add("row[k] = fixed[k];")
        else:
            self._unused({"fixed"})
        return "row"

    def _emit_given(self) -> str:
        """Write what rates need in the row given besides, and return its name."""
        return "given"

    @property
    def _course(self) -> str:
        """Return the begin of the numbers of times, and the distances between times, numbers and samples."""
        return f"course, {len(self._system.course)}, 1, 0"
