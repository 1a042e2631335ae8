"""The stages that only rewrite formulas, each compared with the previous one, in many digits.

Tensors of the same name have the same value after ``describe`` and after ``stabilize``. Those that ``differentiate``
adds are the derivatives of the loss by other tensors, ``d_NAME``; and ``simplify`` reports where it holds each tensor.
So the first tensor that differs names the stage and the step in which a fault begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import bind, derivatives, run
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.precision import norm_of, outputs_of
from nncodegen.certificates.results import AT_BRANCHES, HESSIAN, Examined, quantity_of
from nncodegen.certificates.ulps import Precision, bound, distance
from nncodegen.compiler.ir import Element, Program, needed
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.runtime.python.ground.certificate import Fault

Array = NDArray[Any]

CERTAIN = 25
"""The digits to which tensors of two stages agree; a larger difference means another formula, or an approximate one."""

NOISE = 30
"""This number of last digits is noise where terms cancel, as in the derivative of a softmax that is next to 1."""


@dataclass(frozen=True)
class Algebra:
    """A model after each of the stages that rewrite formulas; ``watched`` is simplified with all tensors as outputs."""

    given: Program
    described: Program
    stabilized: Program
    differentiated: Program
    watched: Program

    @cached_property
    def places(self) -> dict[str, Element]:
        """Return, for each tensor of the differentiated program, the element that holds it after ``simplify``."""
        targets = (step.target.tensor for step in self.differentiated.steps)
        return dict(zip(targets, self.watched.outputs, strict=False))


def algebra_of(reference: Program, described: Program, stabilized: Program, differentiated: Program) -> Algebra:
    """Return the stages of a model, without the parts for fits and optimizers."""
    differentiated = differentiated.without_updates
    targets = tuple(step.target for step in differentiated.steps)
    watched = simplify(replace(differentiated, outputs=targets, gradient=()))
    return Algebra(reference, described, stabilized, differentiated, watched)


@dataclass(frozen=True)
class Pair:
    """A claim: a tensor, the expression that it should be, the step that defines it, and its name elsewhere."""

    stage: str
    step: str
    found: Array
    expected: Array


def first_fault(algebra: Algebra, examined: Examined) -> Fault | None:
    """Return the first stage, and the step in it, that has another value than the previous stage at a point."""
    digits = examined.exact.digits
    with mpmath.workdps(digits):
        for pair in _pairs(algebra, examined):
            fault = _fault(pair, examined)
            if fault:
                return fault
    return None


def _pairs(algebra: Algebra, examined: Examined) -> Iterator[Pair]:
    """Yield all tensors that can be compared, in the order of the stages and of their steps."""
    point = examined.point
    programs = (algebra.given, algebra.described, algebra.stabilized, algebra.differentiated, algebra.watched)
    values = [run(program, bind(program, point.parameters, point.X, point.Y)) for program in programs]
    reference, described, stabilized, differentiated, watched = values
    if algebra.given is not algebra.described:
        yield from _same_names("describe", algebra.described, described, algebra.given, reference)
        yield from _results("describe", algebra.described, described, algebra.given, reference)
    yield from _same_names("stabilize", algebra.stabilized, stabilized, algebra.described, described)
    yield from _derivatives(algebra.stabilized, stabilized, algebra.given, reference)
    yield from _differentiated(algebra, differentiated, stabilized, point)
    if algebra.given.loss is None:
        yield from _by_inputs(algebra, differentiated, reference, point)
    else:
        yield from _reverse(algebra, differentiated, reference)
    for step in algebra.differentiated.steps:
        held, name = algebra.places[step.target.tensor], step.target.tensor
        machine_value = watched[held.tensor]
        if held.indices == step.target.indices:
            yield Pair("simplify", str(step), machine_value, differentiated[name])


def _same_names(
    stage: str, after: Program, values: Mapping[str, Array], before: Program, expected: Mapping[str, Array]
) -> Iterator[Pair]:
    """Yield the tensors that two programs both define, of the same shape."""
    known = {step.target.tensor for step in before.steps}
    for step in after.steps:
        name = step.target.tensor
        if name in known and values[name].shape == expected[name].shape:
            yield Pair(stage, str(step), values[name], expected[name])


def _differentiated(
    algebra: Algebra, values: Mapping[str, Array], stabilized: Mapping[str, Array], point: Point
) -> Iterator[Pair]:
    """Yield the tensors that the differentiated program shares with the stabilized one.

    With statistics of a batch, it has them twice: under their own names at rest, with an underscore in training.
    """
    after, before = algebra.differentiated, algebra.stabilized
    if not before.statistics:
        yield from _same_names("differentiate", after, values, before, stabilized)
        return
    at_rest = before.at_rest
    resting = run(at_rest, bind(at_rest, point.parameters, point.X, point.Y))
    rest = {step.target.tensor for step in needed(after.steps, after.outputs_and_loss)}
    for step in after.steps:
        name = step.target.tensor
        expected = resting.get(name) if name in rest else stabilized.get(name, stabilized.get(name.removesuffix("_")))
        if expected is not None and expected.shape == values[name].shape:
            yield Pair("differentiate", str(step), values[name], expected)


def _results(
    stage: str, after: Program, values: Mapping[str, Array], before: Program, expected: Mapping[str, Array]
) -> Iterator[Pair]:
    """Yield outputs and loss, whatever their names are."""
    last = {step.target.tensor: str(step) for step in after.steps}
    actual, outputs = outputs_of(after, dict(values)), outputs_of(before, dict(expected))
    yield Pair(stage, last[after.outputs[0].tensor], actual, outputs[:, : actual.shape[1]])  # derivatives come later
    if after.loss is not None and before.loss is not None:
        yield Pair(stage, last[after.loss.tensor], values[after.loss.tensor], expected[before.loss.tensor])


def _derivatives(
    after: Program, values: Mapping[str, Array], before: Program, expected: Mapping[str, Array]
) -> Iterator[Pair]:
    """Yield the derivatives of the loss by parameters, which are equal for formulas with the same value."""
    if after.loss is None:
        return
    of_after, of_before = derivatives(after, values), derivatives(before, expected)
    last = {step.target.tensor: str(step) for step in after.steps}[after.required_loss.tensor]
    for tensor in after.parameters:
        yield Pair("stabilize", last, of_after[tensor.name], of_before[tensor.name])


def _by_inputs(
    algebra: Algebra, values: Mapping[str, Array], expected: Mapping[str, Array], point: Point
) -> Iterator[Pair]:
    """Yield the outputs of a function, the derivatives by inputs among them; second ones may jump at branches."""
    program = algebra.differentiated
    last = {step.target.tensor: str(step) for step in program.steps}
    for output, reference in zip(program.outputs, algebra.given.outputs, strict=True):
        if not (quantity_of(reference.tensor) == HESSIAN and point.kind == AT_BRANCHES):
            step = last.get(output.tensor, output.tensor)
            yield Pair("differentiate", step, values[output.tensor], expected[reference.tensor])


def _reverse(algebra: Algebra, values: Mapping[str, Array], bound: Mapping[str, Array]) -> Iterator[Pair]:
    """Yield the derivatives by tensors, as ``differentiate`` names them, with those of another reverse sweep."""
    program = algebra.differentiated
    seed = np.asarray(mpmath.mpf(1), dtype=object)
    derived, exact = (
        derivatives(program, values, {program.in_training.loss.tensor: seed}),
        derivatives(algebra.given, bound),
    )
    exact |= {s.parameter.tensor: bound[s.value.tensor] for s in algebra.given.statistics}
    gradient = {e.tensor: t.name for e, t in zip(program.gradient, program.parameters, strict=True)}
    targets = {step.target.tensor: step.target.indices for step in program.steps}
    for step in program.steps:
        name = step.target.tensor
        if name in gradient:
            yield Pair("differentiate", str(step), values[name], exact[gradient[name]])
        elif name.startswith("d_") and name[2:] in derived:
            indices = targets.get(name[2:], step.target.indices)
            expected = _in_order(derived[name[2:]], indices, step.target.indices)
            if expected is not None and expected.shape == values[name].shape:
                yield Pair("differentiate", str(step), values[name], expected)


def _in_order(array: Array, indices: Sequence[str], wanted: Sequence[str]) -> Array | None:
    """Return an array with its axes in the order of the ``wanted`` indices; None if the indices differ."""
    if sorted(indices) != sorted(wanted):
        return None
    return np.transpose(array, [indices.index(index) for index in wanted])


def _fault(pair: Pair, examined: Examined) -> Fault | None:
    """Return a fault if two values differ by more than the rounding of the program's steps explains."""
    actual, expected = (np.asarray(part, dtype=object) for part in (pair.found, pair.expected))
    if not all(mpmath.isfinite(number) for number in expected.flat):
        return None  # the previous form has no value here
    precision = examined.precision
    norm = norm_of(expected)
    unit = precision.ulp(norm)
    finite = all(mpmath.isfinite(number) for number in actual.flat)
    noise = mpmath.mpf(10) ** (NOISE - mpmath.mp.dps) + precision.tiny
    if finite and norm_of(actual - expected) <= norm * mpmath.mpf(10) ** -CERTAIN + noise:
        return None
    error = distance(actual, expected, unit) if finite else float("inf")
    if finite and pair.stage == "simplify" and error <= _approximation(examined, precision):
        return None
    message = f"{examined.point.kind}: it gives {_shown(actual)}, the stage before it {_shown(expected)}"
    return Fault(pair.stage, pair.step, examined.point.kind, min(error, 1e300), message)


def _approximation(examined: Examined, precision: Precision) -> float:
    """Return the units in the last place that stable forms may be off, which approximate to the digits of float64.

    They are then within the effect of rounding the following steps.
    """
    with mpmath.workdps(examined.exact.digits):
        (first, *others), _ = examined.shaken
        results = [each.losses if each.losses.size else each.outputs.reshape(-1) for each in (first, *others)]
        unit = precision.ulp(norm_of(results[0]))
        return bound(max(distance(other, results[0], unit) for other in results[1:]))


def _shown(array: Any) -> str:
    """Return the largest number of an array, in short."""
    largest = max(array.flat, key=lambda number: abs(number) if mpmath.isfinite(number) else mpmath.inf)
    return str(mpmath.nstr(largest, 17))
