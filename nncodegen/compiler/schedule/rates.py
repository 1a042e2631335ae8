"""The kernels of the rates of differential equations with networks, and the memory that solutions of these take.

A solution and its reverse ask for rates at one time of one sample, over and over. There, as for a single sequence,
vectors run along the units of layers. So these kernels are those of programs without samples, whose inputs are the
time, the states, and the rows of a sample; the derivatives of the weighted sum of rates have the factors in addition.

The reverse keeps the begins of steps on several levels (see ``solve_reverse.h``): each level multiplies the number of
steps that are known, up to the largest one that the model allows, and adds at most the time of one more solution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.ir.places import program_of
from nncodegen.compiler.ir.systems import INTEGRATE, Formulas, System, Transposed, path, swept, systems_of
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout, choose_layout, room_of_sample
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.single_sequence import outputs_of_one
from nncodegen.compiler.schedule.tree_walks import steps_in
from nncodegen.errors import ModelError

MOST_OF_STEPS = 4_000
"""Values that the record of a sample may take, 32,000 bytes: it stays in the first-level cache. A gradient of a network
2-50-2 took 49 us with 4,000, and 63 with 12,000."""

MOST_ON_STACK = 10_000
"""Values of the arrays of a kernel of rates, which lie on the stack of a thread: 80,000 bytes."""

BEGIN = 4
"""The doubles of the begin of a step, in addition to its states and rates; the end of a path takes as many."""

ALIGNED = 16
"""Values to whose multiples a record is filled, so that the next one begins at a vector."""


@dataclass(frozen=True)
class OfPlace:
    """A kernel of values at one time of one sample, and its program."""

    program: Program
    layout: Layout
    kernel: Kernel


@dataclass(frozen=True)
class Rates:
    """The kernels of the rates of a system and of the derivatives of their weighted sum.

    Begins of steps are kept on ``levels`` levels, ``length`` of them on each.
    """

    system: System
    rates: OfPlace
    transposed: OfPlace | None
    levels: int
    length: int

    @property
    def record(self) -> int:
        """Return the values that the record of a sample takes, in whole vectors."""
        return values_of_steps(self.system, self.rates.program.precision, self.levels, self.length)

    def room(self, records: int) -> int:
        """Return the values of work memory that solutions take, with some records, and their reverse if there are."""
        system = self.system
        states, stages, others = len(system.states), len(system.control.table.rows), system.offsets[-1]
        rows = len(system.given) + others + len(system.fixed) + len(system.course)
        if not records:
            return rows + (stages + 3) * states
        return records * self.record + rows + (2 * stages + 6) * states + 2 * (len(system.given) + others)

    def show(self) -> str:
        """Return the loops, as text."""
        kernels = [each_kernel.kernel for each_kernel in (self.rates, self.transposed) if each_kernel]
        head = f"{self.system.name}: the begins of steps on {self.levels} levels of {self.length}\n"
        return "\n".join([head, *(kernel.show() for kernel in kernels)])


def choose_rates(program: Program) -> tuple[Rates, ...]:
    """Return the kernels of the rates of all systems with networks, in the order of the systems."""
    return tuple(_rates(system, program) for system in systems_of(program.steps) if system.weights)


def room_of_states(kernel: Kernel, program: Program, layout: Layout) -> int:
    """Return the values of the states at all times that rows keep for the seeds of the next output, or 0.

    They are solved once for all seeds: their steps are kept, and the memory of the path has other values by then.
    """
    called = [step for step in steps_in(kernel.trees.tile) if step.operator == INTEGRATE]
    computed_steps = [step for step in called if not isinstance(step.expression, swept)]
    if kernel.name != "jacobian" or len(computed_steps) != 1 or len(called) < 2:
        return 0
    return layout.tile * prod(program.sizes[index] or 0 for index in computed_steps[0].target.indices[1:])


def with_room(kernel: Kernel, program: Program, rates: tuple[Rates, ...], layout: Layout) -> Kernel:
    """Return a kernel with memory for the solutions that it calls."""
    if not rates or Shape.PATH not in kernel.shapes:
        return kernel
    known = {rate.system: rate for rate in rates}
    called = [step.expression for step in steps_in(kernel.trees.tile) if step.operator == INTEGRATE]
    records = layout.tile if any(isinstance(rate, swept) for rate in called) else 0
    room = max((known[rate.system].room(records) for rate in called if rate.system in known), default=0)
    room += room_of_states(kernel, program, layout)
    aligned = -kernel.memory.arrays % layout.padding
    return replace(kernel, memory=replace(kernel.memory, arrays=kernel.memory.arrays + aligned, paths=room))


def levels_of(system: System, precision: str) -> tuple[int, int]:
    """Return the smallest number of levels whose begins of steps take little memory, and the number of these on each.

    All of them together reach the largest number of steps.
    """
    for levels in range(1, 64):
        length = _root(system.control.most, levels)
        if values_of_steps(system, precision, levels, length) <= MOST_OF_STEPS or length <= 4:
            return levels, length
    raise AssertionError(f"{system.control.most} steps")


def values_of_steps(system: System, precision: str, levels: int, length: int) -> int:
    """Return the values of a record: the begins of steps on all levels, the stages on the first one, and the end."""
    states, stages = len(system.states), len(system.control.table.rows)
    begin = BEGIN * 64 // int(precision[-2:])
    values = length * (levels * (2 * states + begin) + stages * states) + begin
    return values + -values % ALIGNED


def room_of_call(read: path, precision: str) -> int:
    """Return the values of memory that a path, or the reverse of one, takes in plain C, which has one sample.

    After what a solution takes, a path whose steps are reversed has their record. The reverse goes on in this memory,
    and has the factors of the rates of all stages, and derivatives by states and all else, in its own.
    """
    system = read.system
    if isinstance(read, swept):
        states, stages = len(system.states), len(system.control.table.rows)
        return (stages + 3) * states + len(system.given) + system.offsets[-1]
    record = values_of_steps(system, precision, *levels_of(system, precision)) if system.transposed else 0
    return room_of_sample(system) + record


def _root(number: int, degree: int) -> int:
    """Return the smallest whole number above 1 whose power is at least a number."""
    root = max(2, int(number ** (1 / degree)) - 1)
    while root**degree < number:
        root += 1
    return root


def rates_program(system: System) -> Program:
    """Return the program of the rates of a system, at one time of one sample."""
    return program_of(system, Formulas(system.rates, system.steps), _inputs(system), system.weights)


def sums_program(system: System, transposed: Transposed) -> Program:
    """Return the program of the derivatives of the weighted sum of the rates of a system, likewise."""
    return program_of(system, transposed.sums, (*_inputs(system), *transposed.factors), system.weights)


def _inputs(system: System) -> tuple[Element, ...]:
    """Return what rates read besides weights."""
    return (system.time, *system.states, *system.given, *system.fixed, *system.course)


def _rates(system: System, program: Program) -> Rates:
    """Return the kernels of one system."""
    rates = _of_place(system, rates_program(system), program)
    transposed = system.transposed
    sums = _of_place(system, sums_program(system, transposed), program) if transposed else None
    return Rates(system, rates, sums, *levels_of(system, program.precision))


def _of_place(system: System, formulas: Program, program: Program) -> OfPlace:
    """Return the kernel of a program of some formulas of a system."""
    options = replace(formulas.options, precision=program.precision, bits=program.bits)
    formulas = replace(formulas, options=options)
    layout = choose_layout(formulas, {})
    kernel = outputs_of_one(formulas, layout, formulas)
    advice = "give it a number of steps, such as steps=10"
    if kernel is None:
        raise ModelError(f"{system.name} has windows in its networks, which chosen steps do not take: {advice}")
    if kernel.memory.arrays > MOST_ON_STACK:
        raise ModelError(
            f"the networks of {system.name} have {kernel.memory.arrays:,} values of units at once, more than the "
            f"{MOST_ON_STACK:,} that chosen steps take: {advice}"
        )
    return OfPlace(formulas, layout, kernel)
