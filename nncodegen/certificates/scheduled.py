"""Every kernel of a schedule, carried out at a point: its loop trees compared with its program.

``emit`` prints these very trees. If a statement has another value than the program, or reads a value where another one
lies, the fault is in the schedule. Tiles are carried out full and not full, and every kernel under each condition on
which it depends: with and without the loss, as if a BLAS were available, with loops cut, added to a gradient, or with
parameters that change at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.carry_out import HOLDS, Conditions, Run
from nncodegen.certificates.in_registers import carried_out_in_registers
from nncodegen.certificates.memory import Memory, OtherValueError
from nncodegen.ir import SAMPLE, Program, Tensor, evaluate
from nncodegen.runtime.python.ground.certificate import Fault
from nncodegen.schedule import Kernel, Layout, Role, Schedule, When
from nncodegen.schedule.tree import Asked, Cut, If
from nncodegen.schedule.walks import walk

Array = NDArray[Any]

OTHERWISE: Mapping[str, Conditions] = {
    "of a tile that is not full": {When.FEW: True, When.MANY: False},
    "where the loss is not requested": {When.LOSS: False},
    "with a BLAS": {When.BLAS: True, When.NO_BLAS: False},
    "where loops are cut": {Cut: True},
    "where the gradient is added to what is there": {When.ADDED: True, Asked.NEW: False},
    "where parameters change at once": {Asked.DESCENT: True},
}
"""Other conditions, in words, and which of them hold then."""

NOT_FULL = 3
"""The number of samples by which such a tile is shorter than whole vectors."""


def carried_out(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Fault | None:
    """Return the first step in which the trees of a schedule differ from its program at a point, or None.

    Its companions, single samples, and models and fits side by side are carried out as well.
    """
    with np.errstate(all="ignore"):
        points = (each for point in _kernels(schedule, parameters, X, Y) for each in (point, *point.otherwise()))
        faults = map(_fault, points)
        found = next((fault for fault in faults if fault), None)
        if found is None and schedule.unrolled:
            found = carried_out_in_registers(schedule.unrolled, parameters, X[0], Y[0])
        return found


@dataclass(frozen=True)
class _Point:
    """A kernel and its program, with the samples and the values of all tensors at a point.

    ``what`` describes it, in words, ``holds`` has the conditions under which it runs, and ``padded`` is the number of
    samples including those that pad a tile.
    """

    what: str
    kernel: Kernel
    program: Program
    values: Mapping[str, Array]
    X: Array
    Y: Array
    holds: Conditions
    padded: int = 0

    def otherwise(self) -> Iterator[_Point]:
        """Yield the point under each of the other conditions on which its trees depend."""
        found = [each for _, tree in self.kernel.trees.functions for each in walk(tree)]
        asked = {each.condition if isinstance(each, If) else Cut for each in found if isinstance(each, If | Cut)}
        for what, holds in OTHERWISE.items():
            if asked & holds.keys() and When.FEW not in holds:
                yield replace(self, what=f"{self.what}, {what}", holds={**self.holds, **holds})


def _kernels(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Iterator[_Point]:
    """Yield every kernel at a point, except where a value is infinite or undefined, which cannot be compared."""
    program = schedule.program
    more = program.parameter_count - len(parameters)  # directions, of products with a Hessian
    given = np.concatenate([parameters, np.random.default_rng(0).normal(size=more)]) if more > 0 else parameters

    def at(samples: int, padded: int = 0) -> tuple[Mapping[str, Array], Array, Array] | None:
        padded = max(samples, padded)
        rows = np.minimum(np.arange(padded), samples - 1)
        x, y = (_wide(np.resize(each, (samples, each.shape[1])), tensors) for each, tensors in
                ((X, program.inputs), (Y, program.targets)))  # fmt: skip
        sample_weights = np.where(np.arange(padded) < samples, 1 / samples, 0.0)  # what pads a tile is its last sample
        values = evaluate(program, given, x[rows], y[rows], sample_weights)
        return (values, x, y) if all(np.isfinite(value).all() for value in values.values()) else None

    tile, one = at(schedule.tile), at(1)
    if tile is None or one is None:
        return
    for kernel in schedule.kernels:
        point = _Point(f"the kernel {kernel.name}", kernel, program, *tile, HOLDS)
        yield point
        yield from _not_full(point, schedule.layout, at)
    if single := schedule.single_sample:
        indices = {step.target.tensor: step.target.indices for step in program.steps}
        whole, x, y = one
        values = {
            name: np.take(value, 0, indices[name].index(SAMPLE)) if SAMPLE in indices.get(name, ()) else value
            for name, value in whole.items()
        }
        for known in (single.predict, single.gradient):
            if known:
                what = f"a single sample, for the kernel {known.name}"
                yield _Point(what, known, single.program, values, x, y, HOLDS)
    for group, named in ((schedule.side_by_side, "models"), (schedule.fits, "fits")):
        found = at(group.samples if group and group.kernel.plan.samples is not Role.ABSENT else 1)
        if group and found:
            what = f"{named} side by side, for the kernel {group.kernel.name}"
            yield _Point(what, group.kernel, program, *found, HOLDS)
    for companion in schedule.companions:
        for point in _kernels(companion, parameters, X, Y):
            about = companion.companion.name if companion.companion else ""
            yield replace(point, what=f"{point.what} of {about}")


def _not_full(
    point: _Point, layout: Layout, at: Callable[[int, int], tuple[Mapping[str, Array], Array, Array] | None]
) -> Iterator[_Point]:
    """Yield a kernel in a tile that is not full, whose arrays are padded.

    Yield none if samples must fill whole vectors, or indices move, or a batch has statistics, which count its samples.
    """
    kernel, program, padded = point.kernel, point.program, point.kernel.vector or layout.padding
    found = None if kernel.whole_vectors or program.moves or program.present else at(padded - NOT_FULL, padded)
    if found and padded <= layout.tile:
        ((what, holds), *_) = OTHERWISE.items()
        yield _Point(f"{point.what}, {what}", kernel, program, *found, {**HOLDS, **holds}, padded)


def _wide(rows: Array, tensors: Iterable[Tensor]) -> Array:
    """Return rows, with more columns if tensors have more: the seeds of derivatives."""
    more = sum(tensor.size for tensor in tensors) - rows.shape[1]
    return np.hstack([rows, np.random.default_rng(1).uniform(0.5, 1.5, (len(rows), more))]) if more > 0 else rows


def _fault(point: _Point) -> Fault | None:
    """Return the first step in which an executed kernel differs from the program."""
    memory = Memory(point.kernel, point.program, point.values, point.X, point.Y, point.padded)
    run = Run(point.kernel, point.program, memory, point.holds)
    try:
        run.everything()
        run.look_at_results()
    except OtherValueError as found:
        return Fault("schedule", found.step, "ordinary", 0.0, f"the loops of {point.what} say: it {found}")
    except (IndexError, KeyError, ValueError) as found:
        told = f"the loops of {point.what} do not fit: {found!r}"
        return Fault("schedule", run.current, "ordinary", 0.0, told)
    return None
