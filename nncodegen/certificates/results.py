"""The results of a module compared with exact ones: outputs, loss and derivatives, of samples and of batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.conditions import moved, shaken
from nncodegen.certificates.exact import many
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.precision import Exact, norm_of, parts_of
from nncodegen.certificates.ulps import LARGEST, Precision, bound, distance
from nncodegen.compiler.building.values import Kernels
from nncodegen.compiler.ir import Companion, Program, Update, slices_of
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import DIGITS_LOST, HOLDS, OUT_OF_RANGE, WRONG, Figure

Array = NDArray[Any]

LONG = 600
"""Samples of a long batch, which loops over whole tiles process: the samples of a point, repeated."""

MORE = 12
"""Pairs of further neighbours of a point, used if the usual ones do not explain an error."""

REST, TRAINING = "at rest", "in training"
"""The parts of a model that trains with statistics of a batch."""

HESSIAN, AT_BRANCHES = "hessian", "at branches"

SEVERITY = (HOLDS, OUT_OF_RANGE, DIGITS_LOST, WRONG)
"""The verdicts, the worst last."""


@dataclass(frozen=True)
class Programs:
    """A model as the user gave it, as it is described, and as the machine computes it; and the rules of optimizers."""

    given: Program
    described: Program
    simplified: Program
    updates: tuple[Update, ...] = ()
    part: str = ""
    """The part of a model, if it trains with statistics of a batch."""
    companions: tuple[Companion, ...] = ()
    """The companions of the model as the machine computes them."""


@dataclass(frozen=True)
class Examined:
    """A point with its exact results, and further facts about it, computed when they are asked for."""

    programs: Programs
    point: Point
    exact: Exact
    precision: Precision
    seed: int
    pairs: int

    @cached_property
    def moved(self) -> list[Exact]:
        """Return the exact results at points that are a unit in the last place away."""
        return moved(self.programs.given, self.point, self.exact.digits, self.precision, self.seed, self.pairs)

    @cached_property
    def more(self) -> list[Exact]:
        """Return the exact results at many more such points, for errors that the usual ones do not explain."""
        args = (self.programs.given, self.point, self.exact.digits, self.precision)
        return [*self.moved, *moved(*args, self.seed + MORE, MORE)]

    @cached_property
    def shaken(self) -> tuple[list[Exact], str]:
        """Return the results with each step rounded up and down; and the first step that the precision cannot hold."""
        return shaken(self.programs.simplified, self.point, self.exact.digits, self.precision, self.seed)

    @cached_property
    def more_shaken(self) -> list[Exact]:
        """Return many more such results: if nearly all digits are lost, a few may agree by chance."""
        args = (self.programs.simplified, self.point, self.exact.digits, self.precision)
        return [*self.shaken[0], *(result for k in range(1, 4) for result in shaken(*args, self.seed + k)[0])]


@dataclass(frozen=True)
class Found:
    """The error of a quantity at a point as a figure of a certificate, and that point."""

    figure: Figure
    examined: Examined


Part = Callable[[Exact], Array]
"""A function that selects the numbers of a quantity from all results."""


@dataclass(frozen=True)
class _OfOutputs:
    rows: slice
    columns: slice

    def __call__(self, exact: Exact) -> Array:
        return exact.outputs[self.rows][:, self.columns]


@dataclass(frozen=True)
class _OfLosses:
    rows: slice

    def __call__(self, exact: Exact) -> Array:
        return _mean(exact.losses[self.rows])


@dataclass(frozen=True)
class _OfGradients:
    rows: slice
    places: slice

    def __call__(self, exact: Exact) -> Array:
        return _mean(exact.gradients[self.rows][:, self.places])


def compare(module: Module | Kernels, examined: Examined) -> Iterator[Found]:
    """Yield all quantities of a module at a point: for each sample separately, and for all together."""
    described, part = examined.programs.described, examined.programs.part
    count = len(examined.point.X)
    views = parts_of(described, count) + ([slice(None)] if count > 1 and part != TRAINING else [])
    with mpmath.workdps(examined.exact.digits):
        for rows in views:
            outputs, losses, gradients = machine(module, examined.point, rows, part)
            for tensor, columns in slices_of(described.output_tensors) if outputs else ():
                quantity = quantity_of(tensor.name)
                if not (quantity == HESSIAN and examined.point.kind == AT_BRANCHES):
                    parts = [matrix[:, columns] for matrix in outputs]
                    yield _found(quantity, parts, _OfOutputs(rows, columns), examined)
            if described.loss is None:
                continue
            yield _found(f"loss {part}".strip(), losses, _OfLosses(rows), examined)
            for tensor, places in slices_of(described.parameters) if gradients else ():
                parts = [vector[places] for vector in gradients]
                yield _found(f"d_{tensor.name}", parts, _OfGradients(rows, places), examined)


def quantity_of(name: str) -> str:
    """Return the quantity of an output: a derivative by an input, of which there are many, is one of a Jacobian."""
    return name.partition(" ")[0]


def figures(all_figures: Sequence[Figure], kinds: Sequence[str]) -> tuple[Figure, ...]:
    """Return, for each quantity and kind of points, the figure with the worst verdict, and of these the worst error."""
    table = []
    for quantity in dict.fromkeys(figure.quantity for figure in all_figures):
        for kind in kinds:
            those = [figure for figure in all_figures if figure.quantity == quantity and figure.kind == kind]
            if those:
                table.append(max(those, key=lambda figure: (SEVERITY.index(figure.verdict), figure.error)))
    return tuple(table)


# --- the machine -------------------------------------------------------------------------------------------------


def machine(
    module: Module | Kernels, point: Point, rows: slice, part: str
) -> tuple[list[Array], list[Array], list[Array]]:
    """Return the outputs, losses and gradients that a module computes of some rows, each in all available ways.

    At rest there is no gradient, and in training there are no outputs; a function has outputs alone. A long batch
    repeats several rows again and again, which does not change the mean.
    """
    parameters, X, Y = (_typed(part, module) for part in (point.parameters, point.X[rows], point.Y[rows]))
    count = len(point.X[rows])
    outputs, losses, gradients = [], [], []
    for times in (1,) if count == 1 else (1, -(-LONG // count)):
        x, y = (None if not part.size else np.tile(part, (times, 1)) for part in (X, Y))
        if part != REST and not isinstance(module, Kernels):
            loss, gradient = module.loss_and_gradient(parameters, x, y)
            losses.append(many(np.asarray([loss])))
            gradients.append(many(gradient))
        if part == TRAINING:
            continue
        predicted = module.predict(parameters, x)
        ends = (0, len(predicted) // count // 2 * count, len(predicted) - count) if len(predicted) > count else (0,)
        outputs += [many(np.resize(predicted[k : k + count], (count, predicted.shape[1]))) for k in ends]
        if not isinstance(module, Kernels):
            losses.append(many(np.asarray([module.loss(parameters, x, y)])))
    return outputs, losses, gradients


def _typed(array: Array, module: Module | Kernels) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(module.dtype)


def _mean(rows: Array) -> Array:
    return np.atleast_1d(rows[0] if len(rows) == 1 else np.sum(rows, axis=0) / len(rows))


def _found(name: str, machine: Sequence[Array], part: Part, examined: Examined) -> Found:
    """Return the worst of several results of the machine."""
    exact = part(examined.exact)
    unit = examined.precision.ulp(norm_of(exact))
    error = max(distance(result, exact, unit) for result in machine)
    condition = max((distance(part(other), exact, unit) for other in examined.moved), default=0.0)
    if error > bound(condition):
        condition = max(distance(part(other), exact, unit) for other in examined.more)
    allowed, verdict = bound(condition), HOLDS
    if error > allowed:
        beyond = examined.shaken[1]
        lost = _lost(part, examined.shaken[0], unit)
        if error > lost:
            lost = _lost(part, examined.more_shaken, unit)
        verdict = OUT_OF_RANGE if beyond else DIGITS_LOST if error <= lost else WRONG
        allowed = {OUT_OF_RANGE: LARGEST, DIGITS_LOST: lost}.get(verdict, allowed)
    return Found(Figure(name, examined.point.kind, error, condition, allowed, verdict), examined)


def _lost(part: Part, shaken_results: Sequence[Exact], unit: Any) -> float:
    """Return the error that rounding the steps explains; a sum over samples is rounded for each sample."""
    first, *others = shaken_results
    spread = max(distance(part(other), part(first), unit) for other in others)
    return bound(spread * math.sqrt(LONG))
