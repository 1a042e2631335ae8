"""Tries a module that has just been compiled: each derivative that it computes, against differences of its own values.

A derivative in a random direction follows from values at a few points along it. Where these are smooth, they also say
how far off it may be: by what halving the distance changes, by what differs between both sides of the point (at a
corner of a function there is no derivative), and by rounding. Only what is further off counts as wrong, and only if
it is so in several directions and at several distances: rounding never is.

    gradient      along a direction, against the loss of training at points along it
    Jacobian      of the outputs times random weights, against these outputs
    Hessian       its product with a direction, times another one, against gradients; that of a function, against second
                  differences

The gradient of a small model is also compared with its description at 50 digits, in which no stage has had a part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.check import exact_slopes, random_data, trained
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.passes.by_inputs import ByInputs
from nncodegen.errors import CheckError
from nncodegen.runtime.module import Module

Array = NDArray[Any]

Slope = Callable[[Array], tuple[float, float]]
"""The change of a value with a small change of the parameters, and the sum of the sizes of all terms in it."""

Predict = Callable[[Any, Array], Array]
"""A function that returns the outputs of points (N, inputs), (N, outputs), given parameters."""

SAMPLES = 4

SECONDS = 0.006
"""A model whose gradient for the samples takes longer is not tried: all else takes some six times as long."""

MOST_OPERATIONS = 1_000_000
"""Nor is one with more operations for a sample: a core does some 1e9 in a second."""

MOST_PARAMETERS = 300_000
"""Nor is one with more parameters: to draw, move and multiply 1e5 of them takes some milliseconds."""

EXACT_OPERATIONS = 200
"""Up to this many operations for a sample, as they are described, 50 digits take some milliseconds."""

MOST_ENTRIES = 100_000
"""Jacobians with more entries for the samples are not tried."""

MOST_STEPS = 500
"""Nor are differential equations that take more steps from the first time of a sample to the last."""

NUDGE = 0.1
"""The point is near the initial one: each parameter is moved by up to this part, as equal ones may be at a corner."""

DIRECTIONS = 2

SECONDS_OF_CALL = 0.001
"""A function whose call takes longer is not tried: some thirty calls are made, and their numbers are copied."""

FACTORS = (1, -1, 10, 0.1)
"""The factors of arguments between 0 and 1, one of which may lead to where a function is defined."""


@dataclass(frozen=True)
class Accuracy:
    """The distances of points, as parts of the parameters, and what is wrong, as a part of the sum of all terms."""

    distances: tuple[float, ...]
    wrong: float


ACCURACY = {"float64": Accuracy((1e-4, 1e-6, 1e-8), 1e-5), "float32": Accuracy((1e-2, 2e-3, 4e-4), 2e-2)}
"""By precision. The first distance is the best for most models, the others are for those that change fast."""

ALIKE = 0.1
"""The largest part by which differences at a distance and at half of it may differ: else these points tell nothing."""

OF_CHOSEN_STEPS = Accuracy((1e-2, 3e-2, 3e-3), 3e-2)
"""Where an estimate of the error chooses steps in time: values err by as much, and derivatives hold steps fixed."""


def check_built(module: Module, described: Program, part: str = "") -> None:
    """Try the derivatives that a compiled module has, or those of one of its parts that has been compiled later.

    ``part`` is "fitting", "hessian", or "" for the gradient; in other parts nothing is tried. Nothing is said of a
    model that is large (see the bounds above), or whose loss is not finite at the point. Raises CheckError, which
    names the model, if a derivative is wrong.
    """
    small = module.operations["simplified"] <= MOST_OPERATIONS and module.parameter_count <= MOST_PARAMETERS
    if part not in TRIALS or not small or not trained(described).any():
        return
    trial = _Trial(module, described)
    if trial.may_begin() and (wrong := TRIALS[part](trial)):
        raise CheckError(
            f"{wrong} of {module.name} is wrong: differences of its own values say something else, so it is not used; "
            "this is a fault of nncodegen: please report this model"
        )


class _AtPoint:
    """Values and their derivatives at a point, which moves by numbers of the sizes of ``_sizes``."""

    def __init__(self, point: Array, accuracy: Accuracy, generator: np.random.Generator) -> None:
        self._point, self._accuracy, self._generator = point, accuracy, generator
        self._epsilon = float(np.finfo(point.dtype).eps)

    def _sizes(self) -> Array:
        """Return the sizes of changes of the point."""
        sizes: Array = np.maximum(abs(self._point.astype(float)), 1e-3)
        return sizes

    def weights(self, values: Array) -> Array:
        """Return random weights, with which no two values cancel."""
        weights: Array = abs(self._generator.standard_normal(values.shape)) * np.where(values < 0, -1.0, 1.0)
        return weights

    def contradicts(self, value: Callable[[Array], float], slope: Slope) -> bool:
        """Return whether a derivative is not that of a value, in any direction and at any distance."""
        here = value(self._point)
        return all(
            self._is_off(value, slope, here, distance)
            for _, distance in product(range(DIRECTIONS), self._accuracy.distances)
        )

    def _is_off(self, value: Callable[[Array], float], slope: Slope, here: float, distance: float) -> bool:
        """Return whether a derivative in a random direction is not that of a value, whatever may be uncertain."""
        change = distance * self._generator.standard_normal(len(self._point)) * self._sizes()
        ends = [(self._point + side * change).astype(self._point.dtype) for side in (1, -1, 0.5, -0.5)]
        upper, lower, above, below = values = [value(end) for end in ends]
        expected, terms = slope(ends[0].astype(float) - ends[1].astype(float))
        if not np.isfinite([*values, here, expected, terms]).all() or upper == above == here == below == lower:
            return False
        whole, half = upper - lower, 2 * (above - below)
        if abs(half - whole) > ALIKE * max(abs(half), abs(whole)):
            return False
        best = (4 * half - whole) / 3
        corner = 4 * (above + below - 2 * here) - (upper + lower - 2 * here)  # of fourth order where there is none
        rounding = 64 * self._epsilon * max(map(abs, values))
        unsure = max(20 * abs(half - whole), 2 * abs(corner), rounding, self._accuracy.wrong * max(terms, abs(best)))
        return abs(best - expected) > unsure


class _Trial(_AtPoint):
    """A module at a point, with random data."""

    def __init__(self, module: Module, described: Program) -> None:
        self.module, self._described, self._native = module, described, module._model.native  # type: ignore[attr-defined]
        self._chosen = bool(systems_of(described.steps))
        generator = np.random.default_rng(0)
        self._X, self._Y = random_data(described, SAMPLES)
        start = np.asarray(module.initial_parameters(seed=1), float)
        self._trained = trained(described)
        moved = generator.uniform(-NUDGE, NUDGE, len(start)) * self._trained
        point = (start + moved * np.where(start == 0, 1, start)).astype(module.dtype)
        super().__init__(point, OF_CHOSEN_STEPS if self._chosen else ACCURACY[described.precision], generator)
        self._gradient = self._point

    def may_begin(self) -> bool:
        """Return whether the gradient at the point is finite, and takes little time."""
        if self._chosen and not self._ends_soon():
            return False
        begin = time.thread_time()  # whatever else the machine does
        loss, gradient = self.module.loss_and_gradient(self._point, self._X, self._Y)
        seconds, self._gradient = time.thread_time() - begin, gradient.astype(float) * self._trained
        return bool(seconds < SECONDS and np.isfinite(loss) and np.isfinite(self._gradient).all())

    def _ends_soon(self) -> bool:
        """Return whether few chosen steps lead to the last times."""
        outputs = np.empty((SAMPLES, self.module.output_count), self.module.dtype)
        X = None if self._X is None else self._X.astype(self.module.dtype)
        self._native.predict(self._point, X, SAMPLES, outputs, MOST_STEPS)
        return bool(np.isfinite(outputs).all())

    def gradient(self) -> str:
        """Return "the gradient" if it is wrong, or nothing."""

        def slope(change: Array) -> tuple[float, float]:
            return _summed(self._gradient * change)

        return "the gradient" if self.contradicts(self._loss, slope) or self._is_not_exact() else ""

    def jacobian(self) -> str:
        """Return "the Jacobian" of the outputs if it is wrong, or nothing."""
        facts, shape = self.module._model.facts, (SAMPLES, self.module.output_count)  # type: ignore[attr-defined]
        if (
            facts.fitting.not_fitted
            or not facts.fitting.fits_outputs
            or SAMPLES * shape[1] * len(self._point) > MOST_ENTRIES
        ):
            return ""
        weights = self.weights(self.module.predict(self._point, self._X))
        derivatives = self.module.jacobian(self._point, self._X).astype(float) * self._trained

        def value(point: Array) -> float:
            return float((self.module.predict(point, self._X).astype(float) * weights).sum())

        def slope(change: Array) -> tuple[float, float]:
            return _summed(weights[..., None] * derivatives * change)

        return "the Jacobian" if self.contradicts(value, slope) else ""

    def hessian(self) -> str:
        """Return "the Hessian" of the loss if it is wrong, or nothing."""
        if not self._native.has_hessian:
            return ""
        weights = self.weights(self._gradient) * self._sizes()

        def value(point: Array) -> float:
            return float((self.module.loss_and_gradient(point, self._X, self._Y)[1].astype(float) * weights).sum())

        def slope(change: Array) -> tuple[float, float]:
            length = float(np.linalg.norm(change)) or 1.0  # as a direction, which may be too small in float32
            moved = self.module.hessian_product(self._point, change / length, self._X, self._Y).astype(float) * length
            return _summed(moved * weights)

        return "the Hessian" if self.contradicts(value, slope) else ""

    def _loss(self, point: Array) -> float:
        """Return the loss of training."""
        if self._described.statistics:
            return self.module.loss_and_gradient(point, self._X, self._Y)[0]
        return self.module.loss(point, self._X, self._Y)

    def _sizes(self) -> Array:
        """Return the sizes of changes of the parameters, 0 for those that are not trained."""
        return super()._sizes() * self._trained

    def _is_not_exact(self) -> bool:
        """Return whether the gradient of a small model is not that of its description, at one sample."""
        if self._chosen or self.module.operations.get("written_out", EXACT_OPERATIONS) >= EXACT_OPERATIONS:
            return False
        X, Y = (None if data is None else data[:1] for data in (self._X, self._Y))
        gradient = self.module.loss_and_gradient(self._point, X, Y)[1].astype(float) * self._trained
        change = self._generator.standard_normal(len(self._point)) * self._sizes()
        point = self._point.astype(float)
        sides = exact_slopes(self._described, point, X, Y, change)
        expected, terms = _summed(gradient * change)
        error, scale = abs(sum(sides) / 2 - expected), max(terms, *map(abs, sides))
        if not np.isfinite(scale) or error <= max(1e-3 * scale, abs(sides[0] - sides[1])):
            return False
        beside = exact_slopes(self._described, point * (1 + self._epsilon), X, Y, change)  # as rounding may have it
        return error > 100 * abs(sum(beside) - sum(sides))


def check_function(predict: Predict, described: Program, asked: ByInputs) -> None:
    """Try the derivatives of a function that has just been compiled, at a point where its values are finite.

    ``predict`` takes parameters, of which there are none, and points, and returns their outputs, as a module does.
    Nothing is said of a function whose call takes long, or that has no such point among a few. Raises CheckError, which
    names the derivatives, if one is wrong.
    """
    names = [tensor.name for tensor in described.inputs]
    columns = np.array([names.index(name) for name in asked.names], int)
    if not len(columns):
        return
    X, _ = random_data(described, 1)
    assert X is not None
    for factor in FACTORS:
        trial = _TrialOfFunction(predict, described, asked, (X[0] * factor).astype(described.precision), columns)
        if trial.may_begin():
            break
    else:
        return
    for kind, is_wrong in trial.kinds():
        if is_wrong():
            raise CheckError(
                f"the {kind} of the function is wrong: differences of its own values say something else, so it is not "
                "used; this is a fault of nncodegen: please report this expression"
            )


class _TrialOfFunction(_AtPoint):
    """A function at a point, whose arguments with derivatives move; the others stay."""

    def __init__(
        self, predict: Predict, described: Program, asked: ByInputs, arguments: Array, columns: NDArray[np.int_]
    ) -> None:
        super().__init__(arguments[columns], ACCURACY[described.precision], np.random.default_rng(0))
        self._predict, self._asked, self._arguments, self._columns = predict, asked, arguments, columns
        names = [tensor.name for tensor in described.inputs]
        self._direction = [names.index(name) for name in asked.directions]
        self._factors = [names.index(name) for name in asked.factors]
        self._count = len(described.outputs)
        self._here = self._parts = np.empty(0)

    def may_begin(self) -> bool:
        """Return whether all values at the point are finite, and take little time."""
        begin = time.thread_time()
        outputs = self._outputs(self._point)
        seconds = time.thread_time() - begin
        self._here, self._parts = outputs[: self._count], self.weights(outputs[: self._count])
        return bool(seconds < SECONDS_OF_CALL and np.isfinite(outputs).all())

    def kinds(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Yield the derivatives that the function has, and for each whether it is wrong."""
        count, size = self._count, len(self._point)
        begin = count
        if self._asked.jacobian:
            yield "Jacobian", partial(self.contradicts, self._value, partial(self._along_rows, begin))
            begin += count * size
        if self._asked.hessian:
            yield "Hessian", partial(self._contradicts_twice, begin)
            begin += size * size
        if self._direction:
            yield "derivative along a direction", partial(self.contradicts, self._value, partial(self._along, begin))
            begin += count
        if self._factors:
            yield "weighted sum of derivatives", partial(self.contradicts, self._value, partial(self._sums, begin))

    def _outputs(self, point: Array, change: Array | None = None) -> Array:
        """Return all outputs at a point, along a direction where there is one, and with the weights as factors."""
        arguments = self._arguments.copy()
        arguments[self._columns] = point
        if change is not None and self._direction:
            arguments[self._direction] = change
        if self._factors and len(self._parts):
            arguments[self._factors] = self._parts
        outputs: Array = self._predict(None, arguments[None])[0].astype(float)
        return outputs

    def _value(self, point: Array) -> float:
        """Return the values times random weights."""
        return float((self._outputs(point)[: self._count] * self._parts).sum())

    def _along_rows(self, begin: int, change: Array) -> tuple[float, float]:
        rows = self._outputs(self._point)[begin:][: self._count * len(change)].reshape(self._count, -1)
        return _summed(self._parts[:, None] * rows * change)

    def _along(self, begin: int, change: Array) -> tuple[float, float]:
        length = float(np.linalg.norm(change)) or 1.0  # as a direction, which may be too small in float32
        moved = self._outputs(self._point, change / length)[begin:][: self._count] * length
        return _summed(moved * self._parts)

    def _sums(self, begin: int, change: Array) -> tuple[float, float]:
        return _summed(self._outputs(self._point)[begin:][: len(change)] * change)

    def _contradicts_twice(self, begin: int) -> bool:
        """Return whether the Hessian is not that of second differences of the value, in any direction."""
        size = len(self._point)
        hessian = self._outputs(self._point)[begin:][: size * size].reshape(size, size)
        return all(
            self._is_off_twice(hessian, root)
            for _, root in product(range(DIRECTIONS), np.sqrt(self._accuracy.distances))
        )

    def _is_off_twice(self, hessian: Array, distance: float) -> bool:
        """Return whether a second derivative in a random direction is not that of the value, as ``_is_off`` does."""
        change = distance * self._generator.standard_normal(len(self._point)) * self._sizes()
        change = (self._point + change).astype(self._point.dtype).astype(float) - self._point
        ends = [(self._point + side * change).astype(self._point.dtype) for side in (1, -1, 0.5, -0.5)]
        upper, lower, above, below = values = [float(self._outputs(end)[0]) for end in ends]
        here = float(self._here[0])
        expected, terms = _summed(hessian * change[:, None] * change)
        whole, half = upper + lower - 2 * here, 4 * (above + below - 2 * here)
        rounding = 256 * self._epsilon * max(map(abs, (*values, here)))
        if not np.isfinite([whole, half, expected, terms]).all() or abs(half - whole) > ALIKE * max(
            abs(half), abs(whole)
        ):
            return False
        best = (4 * half - whole) / 3
        unsure = max(20 * abs(half - whole), rounding, self._accuracy.wrong * max(terms, abs(best)))
        return abs(best - expected) > unsure


def _summed(terms: Array) -> tuple[float, float]:
    """Return the sum of terms, and that of their sizes: without BLAS, which may wait for its threads."""
    return float(terms.sum()), float(abs(terms).sum())


TRIALS: dict[str, Callable[[_Trial], str]] = {
    "": _Trial.gradient,
    "fitting": _Trial.jacobian,
    "hessian": _Trial.hessian,
}
"""The derivatives of a module and of its parts that are tried."""
