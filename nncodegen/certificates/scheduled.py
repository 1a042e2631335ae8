"""Every kernel of a schedule, carried out at a point: its loop trees compared with its program.

``emit`` prints these very trees. If a statement has another value than the program, or reads a value where another one
lies, the fault is in the schedule. Tiles are carried out full and not full, after another one and alone, and every
kernel under each condition on which it depends: for one sample and for many, with and without the loss, as if a BLAS
were available, with loops cut, added to a gradient, or with parameters that change at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.carry_out import HOLDS, Conditions, Run
from nncodegen.certificates.in_registers import carried_out_in_registers
from nncodegen.certificates.memory import Memory, OtherValueError
from nncodegen.certificates.tiles import Batch, make_batch, of_one_sample
from nncodegen.compiler.ir import Program, Stepwise
from nncodegen.compiler.schedule import Kernel, Role, Schedule, When
from nncodegen.compiler.schedule.tree import CallerFlag, Cut, If
from nncodegen.compiler.schedule.tree_walks import walk
from nncodegen.runtime.python.ground.certificate import Fault

Array = NDArray[Any]

OTHERWISE: Mapping[str, Conditions] = {
    "where the loss is not requested": {When.LOSS: False},
    "with a BLAS": {When.BLAS: True, When.NO_BLAS: False},
    "where loops are cut": {Cut: True},
    "where the gradient is added to what is there": {When.ADDED: True, CallerFlag.NEW: False},
    "where parameters change at once": {CallerFlag.DESCENT: True},
}
"""Other conditions, in words, and which of them hold then."""

PARTIAL = "in a tile that is not full"

AGAIN = "where earlier phases run again"

IN_PLACE = "where parameters change in place"

NOT_FULL = 3
"""The number of samples by which such a tile is shorter than whole vectors."""


def carried_out(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Fault | None:
    """Return the first step in which the trees of a schedule differ from its program at a point, or None.

    Its companions, single samples, and models and fits side by side are carried out as well.
    """
    with np.errstate(all="ignore"):
        faults = map(_fault, _kernels(schedule, parameters, X, Y))
        fault_text = next((fault for fault in faults if fault), None)
        if fault_text is None and schedule.unrolled:
            fault_text = carried_out_in_registers(schedule.unrolled, parameters, X[0], Y[0])
        return fault_text


@dataclass(frozen=True)
class _Point:
    """A kernel and its program, with the samples and the values of all tensors at a point.

    ``what`` describes it, in words, ``holds`` has the conditions under which it runs; where it ``descends``,
    parameters change in place; if there are several phases, those before may run ``again``.
    """

    what: str
    kernel: Kernel
    program: Program
    batch: Batch
    holds: Conditions = field(default_factory=lambda: HOLDS)
    descends: bool = False
    again: bool = False

    def otherwise(self) -> Iterator[_Point]:
        """Yield the point under each of the other conditions on which its trees depend."""
        asked = _asked(self.kernel)
        for what, holds in OTHERWISE.items():
            if asked & holds.keys():
                yield replace(self, what=f"{self.what}, {what}", holds={**self.holds, **holds})

    def descending(self) -> _Point:
        """Return the point where parameters change in place."""
        holds = {**self.holds, When.ADDED: True, When.LOSS: False}
        return replace(self, what=f"{self.what}, {IN_PLACE}", holds=holds, descends=True)


def _asked(kernel: Kernel) -> frozenset[Any]:
    """Return the conditions on which the trees of a kernel depend."""
    statements = (each for _, tree in kernel.trees.functions for each in walk(tree))
    return frozenset(
        each.condition if isinstance(each, If) else Cut for each in statements if isinstance(each, If | Cut)
    )


def _rest(kernel: Kernel, tile: int, vector: int) -> int:
    """Return the samples of a tile that is not full: several vectors, if a tile has more, and a part of one."""
    return vector if kernel.whole_vectors else max(1, min(tile, 2 * vector) - NOT_FULL)


def _counts(kernel: Kernel, tile: int, vector: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the numbers of samples of the tiles for which a kernel is carried out, in words and as such.

    A tile that is not full comes after a full one, whose values its arrays still have, and adds to its sums. The arrays
    of a single sample have held nothing before. Where a single sample takes another way than many, it comes after a
    tile as well: the copies that only many samples read are there then.
    """
    yield "", (tile, _rest(kernel, tile, vector))
    if not kernel.whole_vectors:
        yield ", for one sample", (1,)
    if _asked(kernel) & {When.SINGLE, When.FEW, When.MANY}:
        yield ", for one sample after a tile", (tile, 1)


def _kernels(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Iterator[_Point]:
    """Yield every kernel at a point, except where a value is infinite or undefined, which cannot be compared."""
    program, tile, vector = schedule.program, schedule.tile, schedule.layout.padding
    more = program.parameter_count - len(parameters)  # directions, of products with a Hessian
    outside_values = (
        np.concatenate([parameters, np.random.default_rng(0).normal(size=more)]) if more > 0 else parameters
    )

    @cache
    def batch(*counts: int, rows: int = 1, vector: int = 1) -> Batch | None:
        return make_batch(program, outside_values, X, Y, counts, rows, vector, alike=vector == 1)

    for kernel in schedule.kernels:
        name = f"the kernel {kernel.name}"
        for what, counts in _counts(kernel, tile, vector):
            if a_batch := batch(*counts, rows=tile, vector=vector):
                yield (point := _Point(f"{name}{what}", kernel, program, a_batch))
                if kernel.trees.phases > 1:
                    yield replace(point, what=f"{point.what}, {AGAIN}", again=True)
        if a_batch := batch(_rest(kernel, tile, vector), rows=tile, vector=vector):
            point = _Point(f"{name}, {PARTIAL}", kernel, program, a_batch)
            yield from point.otherwise()
            if kernel.descends and schedule.descent:
                yield point.descending()
    if (single := schedule.single_sample) and (a_batch := batch(1)):
        for known in (single.predict, single.gradient):
            if known:
                what = f"a single sample, for the kernel {known.name}"
                point = _Point(what, known, single.program, of_one_sample(a_batch, program))
                yield from (point, *point.otherwise())
                if known is single.gradient and schedule.descent:
                    yield point.descending()
    if schedule.point and (a_batch := batch(1)):
        sample_batch = of_one_sample(a_batch, program)
        yield _Point("a single point", schedule.point.kernel, schedule.point.program, sample_batch)
    for group, named in ((schedule.side_by_side, "models"), (schedule.fits, "fits")):
        if not group:
            continue
        rows = 1 if group.kernel.plan.samples is Role.ABSENT else group.samples
        what = f"{named} side by side, for the kernel {group.kernel.name}"
        counts = (rows, -(-rows // 2)) if group.kernel.name == "gradient" else (rows,)
        if a_batch := batch(*counts, rows=rows):
            yield _Point(what, group.kernel, program, a_batch)
        if a_batch := batch(rows, rows=rows):
            yield from _Point(what, group.kernel, program, a_batch).otherwise()
    for companion in schedule.companions:
        if companion.companion and companion.companion.stepwise:
            yield from _steps(companion, companion.companion.stepwise, parameters, X)
            continue
        for point in _kernels(companion, parameters, X, Y):
            about = companion.companion.name if companion.companion else ""
            yield replace(point, what=f"{point.what} of {about}")


def _steps(schedule: Schedule, stepwise: Stepwise, parameters: Array, X: Array) -> Iterator[_Point]:
    """Yield the kernel of one step of a sequence, for a token after some steps: with drawn values in its state."""
    (kernel,), companion = schedule.kernels, schedule.companion
    assert companion
    drawn = np.random.default_rng(0).uniform(-1, 1, stepwise.state - 2)
    for position in sorted({1, max(1, (stepwise.positions or 3) - 1)}):
        state = np.concatenate([[X[0, 0], position], drawn])[None]
        if a_batch := make_batch(companion.program, parameters, state, np.zeros((1, 0)), (1,), alike=True):
            sample_batch = of_one_sample(a_batch, companion.program)
            yield _Point(f"a step after {position} others", kernel, schedule.program, sample_batch)


def _fault(point: _Point) -> Fault | None:
    """Return the first step in which an executed kernel differs from the program."""
    start = 0.0 if point.holds[When.ADDED] else np.nan
    memory = Memory(point.kernel, point.program, point.batch, start, point.descends, point.again)
    run = Run(point.kernel, point.program, memory, point.holds)
    try:
        run.everything()
        run.look_at_results()
    except OtherValueError as difference:
        return Fault("schedule", difference.step, "ordinary", 0.0, f"the loops of {point.what} say: it {difference}")
    except (IndexError, KeyError, ValueError) as difference:
        message = f"the loops of {point.what} do not fit: {difference!r}"
        return Fault("schedule", run.current, "ordinary", 0.0, message)
    return None
