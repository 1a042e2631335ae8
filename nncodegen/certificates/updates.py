"""Updates of optimizers compared with exact ones, which follow from exact gradients, by the formulas of the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.conditions import shaken
from nncodegen.certificates.definitions.optimizers import FIRST
from nncodegen.certificates.exact import bind, many, run
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.neighbouring_values import Beside, arguments
from nncodegen.certificates.one_step import compute
from nncodegen.certificates.precision import Exact, evaluate_rows
from nncodegen.certificates.products import Array, zeros
from nncodegen.certificates.results import TRAINING, Found
from nncodegen.certificates.ulps import distance
from nncodegen.compiler.ir import PARAMETER, Update, slices_of
from nncodegen.runtime.module import Module

MODELS = 9
"""Models side by side: a whole vector of most CPUs, and one more."""

RATE = 1.0
"""The learning rate of the examined updates: large enough for the step to be visible next to the parameters."""


WAYS = 4
"""The number of ways in which the steps of a program are rounded."""


class Updates(Beside):
    """The parameters after updates of optimizers at a point."""

    def everything(self, module: Any, rules: Mapping[str, Update]) -> Iterator[Found]:
        """Yield one update of each optimizer, of a single sample, and of several models side by side.

        A model without parameters has none.
        """
        point, count = self.examined.point, len(self.examined.point.X)
        if not len(point.parameters):
            return
        for name in module.optimizers:
            if name in rules:
                trained = _train(module, point, count, name)
                yield from self._update(f"update of {name}", [trained], module, rules[name], count)
        if "sgd" not in rules:
            return
        if self.examined.programs.part != TRAINING:
            trained = _train(module, point, 1, "sgd")
            yield from self._update("update of one sample", [trained], module, rules["sgd"], 1)
            yield from self._sequence(module, rules["sgd"])
        if module._model.facts.side_by_side:
            parameters, x, y = arguments(module, point, count)
            many_of_them = np.tile(parameters, (MODELS, 1))
            result = module.train_many(
                x, y, many_of_them, "sgd", RATE, epochs=1, batch_size=count, shuffle=False, history=False
            )
            models = list(result.parameters)
            yield from self._update("updates of models side by side", models, module, rules["sgd"], count)

    def _update(self, name: str, updated: list[Array], module: Module, rule: Update, count: int) -> Iterator[Found]:
        """Yield the parameters after an update, compared with exact ones by gradients at the point and next to it."""
        examined = self.examined
        trained = np.concatenate([np.full(t.size, t.trained) for t in examined.programs.described.parameters])
        numbers = {**module.optimizers[rule.name], "learning_rate": RATE}

        def after_it(exact: Exact, point: Point = examined.point) -> Array:
            before, gradients = many(point.parameters), exact.gradients[:count]
            after = defined_update(rule, before, np.sum(gradients, axis=0) / len(gradients), numbers)
            return np.where(trained, after, before)

        def lost(unit: Any, error: float) -> float | None:
            if examined.shaken[1]:
                return None
            first, *others = map(after_it, examined.more_shaken)
            return max(distance(other, first, unit) for other in others)

        beside = zip((examined.exact, *examined.moved[:2]), self.points, strict=True)  # which are at these points
        exact = [self._followed(after_it(*both), k) for k, both in enumerate(beside)]
        yield from self.found(name, updated, exact, lost=lost)

    def _sequence(self, module: Module, rule: Update) -> Iterator[Found]:
        """Yield updates of single samples, one after the other: each begins with the parameters of the previous one."""
        examined, program = self.examined, self.examined.programs.given
        trained = np.concatenate([np.full(t.size, t.trained) for t in program.parameters])
        digits, numbers = examined.exact.digits, {"learning_rate": RATE}

        def through(point: Point, gradient: Callable[[Point], Array]) -> Array:
            parameters = many(point.parameters)
            for n in range(len(point.X)):
                sample_point = Point(point.kind, parameters, point.X[n : n + 1], point.Y[n : n + 1])
                parameters = np.where(trained, updated(rule, parameters, gradient(sample_point), numbers), parameters)
            return parameters

        def exact_gradient(sample_point: Point) -> Array:
            gradient: Array = evaluate_rows(
                program, sample_point.parameters, sample_point.X, sample_point.Y, digits
            ).gradients[0]
            return gradient

        beyond: list[str] = []

        def rounded_gradient(way: int, sample_point: Point) -> Array:
            ways, step = shaken(examined.programs.simplified, sample_point, digits, examined.precision, examined.seed)
            beyond.append(step)
            gradient: Array = ways[way].gradients[0]
            return gradient

        def lost(unit: Any, error: float) -> float | None:
            first, *others = (through(examined.point, partial(rounded_gradient, way)) for way in range(WAYS))
            return None if any(beyond) else max(distance(other, first, unit) for other in others)

        after_updates = _train(module, examined.point, len(examined.point.X), rule.name, 1)
        exact = [through(point, exact_gradient) for point in self.points]
        yield from self.found("updates one after the other", [after_updates], exact, lost=lost)

    def _followed(self, after: Array, number: int) -> Array:
        """Return parameters after an update, where some follow the statistics of the batch at a neighbouring point."""
        program = self.examined.programs.given
        if not program.statistics:
            return after
        point = self.points[number]
        values = run(program, bind(program, point.parameters, point.X, point.Y))
        statistics = {s.parameter.tensor: values[s.value.tensor] for s in program.statistics}
        for tensor, value_range in slices_of(program.parameters):
            if tensor.momentum is not None:
                momentum = mpmath.mpf(tensor.momentum)
                after[value_range] = momentum * after[value_range] + (1 - momentum) * statistics[tensor.name].reshape(
                    -1
                )
        return after


def _train(module: Module, point: Point, count: int, optimizer: str, batch: int | None = None) -> Array:
    """Return the parameters after one update, or after one for each batch."""
    parameters, x, y = arguments(module, point, count)
    result = module.train(
        x,
        y,
        parameters,
        optimizer,
        RATE,
        epochs=1,
        batch_size=batch or count,
        shuffle=False,
        restore_best_weights=False,
    )
    return np.asarray(result.parameters)


def defined_update(rule: Update, parameters: Array, gradient: Array, numbers: Mapping[str, float]) -> Array:
    """Return the parameters after the first update of an optimizer by its definition, or by a user's own rule."""
    first = FIRST.get(rule.name)
    if first is None:
        return updated(rule, parameters, gradient, numbers)
    known = {name: mpmath.mpf(number) for name, number in numbers.items()}
    pairs = zip(parameters, gradient, strict=True)
    return np.array([first(parameter, slope, known) for parameter, slope in pairs], dtype=object)


def updated(rule: Update, parameters: Array, gradient: Array, numbers: Mapping[str, float]) -> Array:
    """Return the parameters after the first update of a rule, in many digits."""
    count = len(parameters)
    values = {name: np.asarray(mpmath.mpf(number), dtype=object) for name, number in numbers.items()}
    initial = rule.initial or (0.0,) * len(rule.state)
    for name, start in zip(rule.state, initial, strict=True):
        number = values[start].item() if isinstance(start, str) else mpmath.mpf(start)
        values[name] = zeros([count]) + number
    values |= {"parameter": parameters, "gradient": gradient, "t": np.asarray(mpmath.mpf(1), dtype=object)}
    for step in rule.steps:
        values[step.target.tensor] = compute(step, values, {PARAMETER: count})
    return values[rule.results[0].tensor]
