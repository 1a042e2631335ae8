"""Every step of a program as the machine computes it, compared with the exact step from the same operands.

A module returns only its results. So its steps are compiled once more, by the same stages and with the same options, as
a module whose outputs are all values of a sample; its arguments are inputs, targets and the weight of the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.conditions import near
from nncodegen.certificates.exact import lengths_of, many
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.expressions import formula
from nncodegen.certificates.one_step import compute
from nncodegen.certificates.precision import norm_of
from nncodegen.certificates.products import zeros
from nncodegen.certificates.ulps import LARGEST, Precision, bound, distance
from nncodegen.compiler.building.build import build, build_plainly, load
from nncodegen.compiler.building.values import Kernels, build_function, key_of
from nncodegen.compiler.emit import Sources, emit
from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Program, Step, Tensor, slices_of
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.steps import ALL, part_of
from nncodegen.compiler.schedule import NO_CHOICES, Schedule, schedule
from nncodegen.compiler.schedule.values import schedule_values
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import HOLDS, OUT_OF_RANGE, WRONG, StepFigure

Array = NDArray[Any]

PAIRS = 2
"""Pairs of operands a unit in the last place away, which show the condition of a step."""

DIGITS = 60
"""The digits of a step, whose operands are numbers of the machine. If terms cancel, its condition shows it."""

MOST = 4_000
"""Number of values of all steps of a sample up to which all are compared; with more, some of each step are drawn."""

DRAWN = 12
"""The number of values of each step that are drawn."""

MANY_TIMES = 8
"""The factor by which more values are drawn to find some that are not 0."""

LARGEST_WATCH = 1_000_000
"""Number of values of all steps of a sample up to which these are compiled once more."""


@dataclass(frozen=True)
class Watch:
    """A module whose outputs are steps, and the columns of each; and whether values are drawn."""

    program: Program
    module: Module | Kernels
    columns: Mapping[str, slice]
    drawn: bool = False


def watched(simplified: Program) -> Program:
    """Return a program whose outputs are all steps of a sample; values that depend on parameters alone are copied."""
    weight = simplified.weight.name
    taken = {tensor.name for tensor in simplified.declared} | {step.target.tensor for step in simplified.steps}
    steps, outputs = list(simplified.steps), []
    summed: set[str] = set()
    for step in simplified.steps:
        target = step.target
        if SAMPLE in step.over or summed & {e.tensor for e in step.operands}:
            summed.add(target.tensor)  # a sum over the samples is not a value of one sample
            continue
        if SAMPLE in target.indices:
            outputs.append(target)
        else:
            copy = Element(take(f"{target.tensor} of each sample", taken), (SAMPLE, *target.indices))
            steps.append(Step(copy, target))
            outputs.append(copy)
    weight_tensor = Tensor(take(weight, taken), (None,))
    return replace(
        simplified,
        name=f"{simplified.name}_steps",
        steps=tuple(steps),
        outputs=tuple(outputs),
        inputs=(*simplified.inputs, *simplified.targets, Tensor(weight, (None,))),
        targets=(),
        weight=weight_tensor,
        task=replace(simplified.task, labels=False, identity=""),
    )


def watch(simplified: Program, march: str, plainly: bool = False) -> Watch | None:
    """Return the module of the steps of a program; None if these have very many values.

    ``plainly`` compiles it without any optimization.
    """
    program = watched(simplified)
    size = program.width(program.outputs)
    if not program.outputs or size > LARGEST_WATCH:
        return None
    scheduled = schedule(program) if program.loss is not None else schedule_values(program, NO_CHOICES)
    sources = emit(scheduled)
    if plainly:
        module: Module | Kernels = plain_kernels(scheduled, sources)
    elif scheduled.point:
        module = Kernels(build_function(sources, key_of([*sources.files.values()], march), march), program)
    else:
        module = load(build(sources, False, march))
    return Watch(simplified, module, columns_of(program), size > MOST)


def plain_kernels(scheduled: Schedule, sources: Sources) -> Module | Kernels:
    """Return what was scheduled, compiled without any optimization."""
    if not scheduled.point:
        return load(build_plainly(sources))
    key = key_of(["without optimization", *sources.files.values()], "portable")
    return Kernels(build_function(sources, key, "portable", plainly=True), scheduled.program)


def columns_of(program: Program) -> dict[str, slice]:
    """Return the columns of each step among the outputs of a program of steps."""
    columns = slices_of(program.output_tensors)
    return {tensor.name.removesuffix(" of each sample"): column_range for tensor, column_range in columns}


def compare_steps(watched_values: Watch, point: Point, precision: Precision) -> Iterator[tuple[Step, StepFigure]]:
    """Yield the error of each step at a point, from the operands that the machine has, in units in the last place.

    Of large programs, some drawn values of each step are compared.
    """
    program = watched_values.program
    values = _values(watched_values, point)
    lengths = lengths_of(program, len(point.X))
    random = np.random.default_rng(len(program.steps))
    with mpmath.workdps(DIGITS):
        for step in program.steps:
            if step.target.tensor in values and all(e.tensor in values for e in step.operands):
                operands = {e.tensor: values[e.tensor] for e in step.operands}
                if all(mpmath.isfinite(number) for array in operands.values() for number in array.flat):
                    machine_value = values[step.target.tensor]
                    parts = _draw(step, machine_value, lengths, random) if watched_values.drawn else [ALL]
                    yield step, _figure(_Part(step, parts, lengths), operands, machine_value, precision)


def _draw(
    step: Step, values: Array, lengths: Mapping[str, int], random: np.random.Generator
) -> Sequence[Mapping[str, int]]:
    """Return some values of the indices of a step, or all values; indices that a step normalizes stay whole.

    Half of them are where the values are not 0, as far as such are found.
    """
    free = [index for index in step.target.indices if index not in step.over]
    if step.operator in RECURRENCES or prod(lengths[index] for index in free) <= DRAWN:
        return [ALL]
    drawn = [{index: int(random.integers(lengths[index])) for index in free} for _ in range(MANY_TIMES * DRAWN)]
    half = DRAWN // 2
    others = sorted(drawn[half:], key=lambda at: bool(np.all(part_of(values, step.target, at) == 0)))
    return [*drawn[:half], *others[:half]]


@dataclass(frozen=True)
class _Part:
    """A step at some values of its indices."""

    step: Step
    places: Sequence[Mapping[str, int]]
    lengths: Mapping[str, int]

    def computed(self, operands: Mapping[str, Array]) -> Array:
        """Return the results of the step at its places, from its operands."""
        return _flat(compute(self.step, operands, self.lengths, at) for at in self.places)

    def of(self, whole: Array) -> Array:
        """Return the values at its places, out of all values of the step."""
        return _flat(part_of(whole, self.step.target, at) for at in self.places)


def _flat(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.asarray(part, dtype=object).reshape(-1) for part in parts])


def _values(watched_values: Watch, point: Point) -> dict[str, Array]:
    """Return all tensors at a point, from outside and as the machine computes them."""
    program, module = watched_values.program, watched_values.module
    count = len(point.X)
    sample_weights = np.full((count, 1), np.asarray(1 / count, module.dtype))
    rows = np.hstack([point.X, point.Y, sample_weights]).astype(module.dtype)
    outputs = module.predict(point.parameters.astype(module.dtype), rows)
    values = {program.weight.name: many(rows[:, -1])}
    if program.present:
        values[program.present.name] = many(np.ones(count))
    for tensor, value_range in slices_of((*program.inputs, *program.targets)):
        values[tensor.name] = many(rows[:, value_range]).reshape([count, *(size or 1 for size in tensor.shape[1:])])
    for tensor, value_range in slices_of(program.parameters):
        part = point.parameters[value_range].astype(module.dtype)
        values[tensor.name] = many(part).reshape([size or 1 for size in tensor.shape])
    for noise in program.noise:
        values[noise.tensor.name] = zeros([count, *(size or 1 for size in noise.tensor.shape[1:])])
    for step in program.steps:
        name, indices = step.target.tensor, step.target.indices
        if name in watched_values.columns:
            columns = many(outputs[:, watched_values.columns[name]])
            sizes = [program.sizes[index] or 1 for index in indices if index != SAMPLE]
            whole = columns.reshape([count, *sizes])
            values[name] = _in_order(whole, indices) if SAMPLE in indices else np.asarray(whole[0], dtype=object)
    return values


def _in_order(whole: Array, indices: tuple[str, ...]) -> Array:
    """Return a tensor, given with its samples first, with the axis of samples at its place among the indices."""
    return np.moveaxis(whole, 0, indices.index(SAMPLE))


def _figure(part: _Part, operands: Mapping[str, Array], actual: Array, precision: Precision) -> StepFigure:
    exact, step = part.computed(operands), part.step
    text = str(step)
    if not all(mpmath.isfinite(number) and abs(number) <= precision.huge for number in exact.flat):
        return StepFigure(text, 0.0, 0.0, LARGEST, OUT_OF_RANGE)
    unit = precision.ulp(norm_of(exact))
    error = distance(part.of(actual), exact, unit)
    condition = 0.0
    random = np.random.default_rng(0)
    numbers = {equation.data.tensor for equation in step.where if equation.data is not None}
    for _ in range(PAIRS if formula(step.expression).operands and step.operator != "first" else 0):
        for moved in near(operands, random, precision, numbers):
            condition = max(condition, distance(part.computed(moved), exact, unit))
    return StepFigure(text, error, condition, bound(condition), HOLDS if error <= bound(condition) else WRONG)
