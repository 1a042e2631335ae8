"""What a module has besides outputs, loss and gradient, beside exact values: updates of optimizers, second derivatives.

Exact updates follow from exact gradients, by the formulas of the rules. Second derivatives are differences of exact
gradients, at a distance of 10**-60, with as many digits as that takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np

from nncodegen.certify.conditions import moved_points, shaken
from nncodegen.certify.exact import bind, derivatives, many, run
from nncodegen.certify.points import Point
from nncodegen.certify.precision import Exact, evaluate_rows, norm_of
from nncodegen.certify.products import Array, zeros
from nncodegen.certify.results import REST, TRAINING, Examined, Found, compare
from nncodegen.certify.single import compute
from nncodegen.certify.ulps import LARGEST, bound, distance
from nncodegen.ir import PARAMETER, Program, Update
from nncodegen.module import Module
from nncodegen.runtime.python.certificate import DIGITS_LOST, HOLDS, WRONG, Figure

MORE_DIGITS = 200
"""What a difference of gradients takes besides the digits of a gradient."""

DISTANCE = "1e-60"

MODELS = 9
"""Models side by side: a whole vector of most CPUs, and one more."""

WHOLE = 200
"""The parameters up to which the whole Hessian is examined; beyond, so many of its rows, which are drawn."""

LARGEST_HESSIAN = 2_000
"""The parameters up to which it is examined, and not only its product with a vector."""

RATE = 1.0
"""The learning rate of the updates that are examined: so large that the step is seen beside the parameters."""


def compare_all(module: Module, examined: Examined) -> Iterator[Found]:
    """Outputs, loss and derivatives of a module at a point, and all else that it has."""
    yield from compare(module, examined)
    others, programs = _Others(examined), examined.programs
    with mpmath.workdps(examined.exact.digits), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trainings that diverge in their only update
        if examined.point.kind == "ordinary" and not programs.described.noise and programs.part != REST:
            yield from others.updates(module, {update.name: update for update in programs.updates})
        if programs.part == TRAINING:
            return
        yield from others.fields(module)
        yield from others.jacobian(module)
        if examined.point.kind != "at branches":  # where the gradient may jump
            yield from others.hessian(module)


@dataclass(frozen=True)
class _Others:
    """The exact values at a point, and at points beside it."""

    examined: Examined

    @cached_property
    def _beside(self) -> list[Point]:
        """The point itself, and two that are a unit in the last place away."""
        examined = self.examined
        beside = moved_points(examined.programs.given, examined.point, examined.precision, examined.seed, 1)
        return [examined.point, *beside]

    def _found(self, name: str, machine: Sequence[Array], exact: Sequence[Array], unit: Any = None,
               lost: Callable[[Any], float] | None = None) -> Iterator[Found]:  # fmt: skip
        """The worst of several results; ``exact`` are those at the point, and at the points beside it."""
        first, *others = exact
        if not all(mpmath.isfinite(number) for part in exact for number in part.flat):
            return
        unit = unit or self.examined.precision.ulp(norm_of(first))
        error = max(distance(many(one).reshape(first.shape), first, unit) for one in machine)
        condition = max((distance(other, first, unit) for other in others), default=0.0)
        allowed, verdict = bound(condition), HOLDS
        if error > allowed:
            spread = lost(unit) if lost else 0.0
            verdict = DIGITS_LOST if error <= bound(spread) else WRONG
            allowed = bound(spread) if verdict == DIGITS_LOST else allowed
        yield Found(Figure(name, self.examined.point.kind, error, condition, allowed, verdict), self.examined)

    # Updates.

    def updates(self, module: Any, rules: Mapping[str, Update]) -> Iterator[Found]:
        """One update of each optimizer; of a single sample; and of several models side by side."""
        point, count = self.examined.point, len(self.examined.point.X)
        for name in module.optimizers:
            if name in rules:
                found = _train(module, point, count, name)
                yield from self._update(f"update of {name}", [found], module, rules[name], count)
        if "sgd" not in rules:
            return
        if self.examined.programs.part != TRAINING:
            found = _train(module, point, 1, "sgd")
            yield from self._update("update of one sample", [found], module, rules["sgd"], 1)
        if module._model.facts.side_by_side:
            parameters, x, y = _arguments(module, point, count)
            many_of_them = np.tile(parameters, (MODELS, 1))
            result = module.train_many(
                x, y, many_of_them, "sgd", RATE, epochs=1, batch_size=count, shuffle=False, history=False
            )
            models = list(result.parameters)
            yield from self._update("updates of models side by side", models, module, rules["sgd"], count)

    def _update(self, name: str, found: list[Array], module: Module, rule: Update, count: int) -> Iterator[Found]:
        """Parameters after an update beside the exact ones, from the gradient at the point and from those beside it."""
        examined = self.examined
        trained = np.concatenate([np.full(t.size, t.trained) for t in examined.programs.described.parameters])
        before = many(examined.point.parameters)
        numbers = {**module.optimizers[rule.name], "learning_rate": RATE}

        def updated(exact: Exact) -> Array:
            gradients = exact.gradients[:count]
            after = _updated(rule, before, np.sum(gradients, axis=0) / len(gradients), numbers)
            return np.where(trained, after, before)

        def lost(unit: Any) -> float:
            first, *others = map(updated, examined.more_shaken)
            return max(distance(other, first, unit) for other in others)

        exact = [self._followed(updated(one), k) for k, one in enumerate((examined.exact, *examined.moved[:2]))]
        yield from self._found(name, found, exact, lost=lost)

    def _followed(self, after: Array, number: int) -> Array:
        """Parameters after an update, where some of them follow the statistics of the batch at a point beside."""
        program = self.examined.programs.given
        if not program.statistics:
            return after
        point, start = self._beside[number], 0
        values = run(program, bind(program, point.parameters, point.X, point.Y))
        statistics = {s.parameter.tensor: values[s.value.tensor] for s in program.statistics}
        for tensor in program.parameters:
            own = slice(start, start + tensor.size)
            if tensor.momentum is not None:
                momentum = mpmath.mpf(tensor.momentum)
                after[own] = momentum * after[own] + (1 - momentum) * statistics[tensor.name].reshape(-1)
            start += tensor.size
        return after

    # Derivatives.

    def fields(self, module: Any) -> Iterator[Found]:
        """The derivatives by inputs that the loss holds."""
        if not module._model.facts.terms:
            return
        program = self.examined.programs.given
        values = [run(program, bind(program, one.parameters, one.X, one.Y)) for one in self._beside]
        parameters, x, _ = _arguments(module, self.examined.point, len(self.examined.point.X))
        for name, found in module.derivatives(parameters, x).items():
            if name in values[0]:
                yield from self._found(f"derivatives: {name}", [found], [value[name].reshape(-1) for value in values])

    def jacobian(self, module: Module) -> Iterator[Found]:
        """The rows that a fit asks for."""
        parameters, x, _ = _arguments(module, self.examined.point, len(self.examined.point.X))
        try:
            found = module.jacobian(parameters, x)
        except ValueError:  # there is none
            return
        exact = [_jacobian(self.examined.programs.given, one) for one in self._beside]
        yield from self._found("jacobian", [found], exact, lost=self._lost("fitting", self.examined.point.parameters))

    def hessian(self, module: Module) -> Iterator[Found]:
        """The Hessian of the mean loss times a vector, as such and by the whole matrix."""
        point = self.examined.point
        parameters, x, y = _arguments(module, point, len(point.X))
        vector = np.random.default_rng(self.examined.seed).choice([-1.0, 1.0], len(parameters))
        vector *= np.concatenate([np.full(t.size, t.trained) for t in self.examined.programs.described.parameters])
        typed = vector.astype(module.dtype)
        try:
            product = module.hessian_product(parameters, typed, x, y)
        except ValueError:  # there is none
            return
        digits = self.examined.exact.digits + MORE_DIGITS
        with mpmath.workdps(digits):
            exact = [_hessian_product(self.examined.programs.given, one, vector, digits) for one in self._beside]
        lost = self._lost("hessian", np.concatenate([point.parameters, vector]))
        yield from self._found("hessian times a vector", [product], exact, lost=lost)
        if len(parameters) > LARGEST_HESSIAN:
            return
        rows = np.arange(len(parameters))
        if len(rows) > WHOLE:
            rows = np.sort(np.random.default_rng(self.examined.seed).choice(rows, WHOLE, replace=False))
        matrix = many(module.hessian(parameters, x, y)[rows])
        exact = [each[rows] for each in exact]
        unit = self.examined.precision.ulp(norm_of(matrix))
        yield from self._found("hessian", [np.sum(matrix * many(vector), axis=1)], exact, unit, lost)

    def _lost(self, name: str, parameters: Array) -> Callable[[Any], float]:
        """How far the results of a companion are apart in units, where each of its steps is rounded another way."""

        def spread(unit: Any) -> float:
            program, point = _companion(self.examined.programs.simplified, name), self.examined.point
            if program is None:
                return LARGEST
            at = Point(point.kind, parameters, point.X, point.Y)
            (first, *others), beyond = shaken(
                program, at, self.examined.exact.digits, self.examined.precision, self.examined.seed
            )
            if beyond or not first.finite:
                return LARGEST
            parts = [one.gradients if program.gradient else one.outputs for one in (first, *others)]
            return max(distance(part, parts[0], unit) for part in parts[1:])

        return spread


def _companion(program: Program, name: str) -> Program | None:
    return next((one.program for one in program.companions if one.name == name), None)


def _arguments(module: Module, point: Point, count: int) -> tuple[Array, Array | None, Array | None]:
    """Parameters, X and Y as a module takes them."""
    x, y = (part[:count].astype(module.dtype) if part.size else None for part in (point.X, point.Y))
    return point.parameters.astype(module.dtype), x, y


def _train(module: Module, point: Point, count: int, optimizer: str) -> Array:
    """The parameters after one update."""
    parameters, x, y = _arguments(module, point, count)
    result = module.train(
        x, y, parameters, optimizer, RATE, epochs=1, batch_size=count, shuffle=False, restore_best=False
    )
    return np.asarray(result.parameters)


def _updated(rule: Update, parameters: Array, gradient: Array, numbers: Mapping[str, float]) -> Array:
    """The parameters after the first update of a rule, in many digits."""
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


def _jacobian(program: Program, point: Point) -> Array:
    """The derivatives of all outputs by all parameters, (N, outputs, P), one reverse sweep for each output."""
    rows = []
    for n in range(len(point.X)):
        values = run(program, bind(program, point.parameters, point.X[n : n + 1], point.Y[n : n + 1]))
        for element in program.outputs:
            shape = values[element.tensor].shape
            for k in range(values[element.tensor].size):
                seed = zeros([values[element.tensor].size])
                seed[k] = mpmath.mpf(1)
                received = derivatives(program, values, {element.tensor: seed.reshape(shape)})
                rows.append(np.concatenate([np.asarray(received[t.name]).reshape(-1) for t in program.parameters]))
    return np.asarray(rows, dtype=object).reshape(len(point.X), -1, program.parameter_count)


def _hessian_product(program: Program, point: Point, vector: Array, digits: int) -> Array:
    """The derivative of the gradient of the mean loss along a vector."""
    h = mpmath.mpf(DISTANCE)
    ends: list[Exact] = [
        evaluate_rows(program, many(point.parameters) + side * h * many(vector), many(point.X), many(point.Y), digits)
        for side in (1, -1)
    ]
    difference = np.sum(ends[0].gradients - ends[1].gradients, axis=0)
    return np.asarray(difference / (2 * h * len(point.X)), dtype=object)
