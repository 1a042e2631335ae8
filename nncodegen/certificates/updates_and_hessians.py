"""Further results of a module compared with exact values: updates of optimizers, second derivatives.

Second derivatives are differences of exact gradients, at a distance of 10**-60, with the number of digits that this
takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.conditions import shaken
from nncodegen.certificates.exact import DISTANCE, MORE_DIGITS, bind, derivatives, many, run
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.neighbouring_values import Beside, Lost, arguments
from nncodegen.certificates.precision import Exact, evaluate_rows, norm_of
from nncodegen.certificates.products import Array, zeros
from nncodegen.certificates.results import REST, TRAINING, Examined, Found, Programs, compare
from nncodegen.certificates.ulps import LARGEST, bound, distance
from nncodegen.certificates.updates import Updates
from nncodegen.compiler.building.values import Kernels
from nncodegen.compiler.ir import Program, slices_of
from nncodegen.compiler.passes.tangent import NAME as FIELDS
from nncodegen.runtime.module import Module

WHOLE = 200
"""Number of parameters up to which the whole Hessian is examined; with more, this number of drawn rows."""

SHAKEN = 4
"""The number of times that the steps of a companion are rounded in other ways, in order to explain an error."""

OF_MODEL = ""
"""The stand-in for the program of the model itself, in place of the name of a companion."""

LARGEST_HESSIAN = 2_000
"""Number of parameters up to which the Hessian is examined, and not only its product with a vector."""


def compare_all(module: Module | Kernels, examined: Examined) -> Iterator[Found]:
    """Yield outputs, loss and derivatives of a module at a point, and all its further results."""
    yield from compare(module, examined)
    if isinstance(module, Kernels):
        return
    others, programs = _Others(examined), examined.programs
    with mpmath.workdps(examined.exact.digits), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trainings that diverge in their only update
        if examined.point.kind == "ordinary" and not programs.described.noise and programs.part != REST:
            yield from Updates(examined).everything(module, {update.name: update for update in programs.updates})
        if programs.part == TRAINING:
            return
        yield from others.fields(module)
        yield from others.jacobian(module)
        if examined.point.kind == "ordinary":
            yield from others.steps(module)
        if examined.point.kind != "at branches":  # where the gradient may jump
            yield from others.hessian(module)


class _Others(Beside):
    """The derivatives other than the gradient, at a point."""

    def fields(self, module: Any) -> Iterator[Found]:
        """Yield the derivatives by inputs that the loss contains."""
        if not module._model.facts.samples.terms:
            return
        program = self.examined.programs.given
        values = [run(program, bind(program, point.parameters, point.X, point.Y)) for point in self.points]
        parameters, x, _ = arguments(module, self.examined.point, len(self.examined.point.X))
        for name, derivative in module.derivatives(parameters, x).items():
            if name in values[0]:
                exact = [value[name].reshape(-1) for value in values]
                lost = self._lost(FIELDS, self.examined.point.parameters, name)
                yield from self.found(f"derivatives: {name}", [derivative], exact, lost=lost)

    def steps(self, module: Any) -> Iterator[Found]:
        """Yield the probabilities of the next token, step by step, if the module can generate sequences."""
        if module._model.facts.not_generated:
            return
        parameters, x, _ = arguments(module, self.examined.point, 1)
        assert x is not None
        step_rows, state = [], None
        for token in x[0]:
            probabilities, state = module.step(parameters, int(token), state)
            step_rows.append(probabilities)
        program = self.examined.programs.given
        exact = [_probabilities(program, point) for point in self.points]
        lost = self._lost(OF_MODEL, self.examined.point.parameters)
        yield from self.found("steps", [np.array(step_rows)], exact, lost=lost)

    def jacobian(self, module: Module) -> Iterator[Found]:
        """Yield the rows that a fit needs."""
        parameters, x, _ = arguments(module, self.examined.point, len(self.examined.point.X))
        try:
            rows = module.jacobian(parameters, x)
        except ValueError:  # the module has none
            return
        exact = [exact_jacobian(self.examined, point, len(rows)) for point in self.points]
        yield from self.found("jacobian", [rows], exact, lost=self._lost("fitting", self.examined.point.parameters))

    def hessian(self, module: Module) -> Iterator[Found]:
        """Yield the Hessian of the mean loss times a vector, as such and by the whole matrix."""
        point = self.examined.point
        parameters, x, y = arguments(module, point, len(point.X))
        if not len(parameters):
            return
        vector = direction_of(self.examined)
        typed = vector.astype(module.dtype)
        try:
            product = module.hessian_product(parameters, typed, x, y)
        except ValueError:  # the module has none
            return
        exact = [exact_hessian_product(self.examined, each_point) for each_point in self.points]
        lost = self._lost("hessian", np.concatenate([point.parameters, vector]))
        yield from self.found("hessian times a vector", [product], exact, lost=lost)
        if len(parameters) > LARGEST_HESSIAN:
            return
        rows = np.arange(len(parameters))
        if len(rows) > WHOLE:
            rows = np.sort(np.random.default_rng(self.examined.seed).choice(rows, WHOLE, replace=False))
        matrix = many(module.hessian(parameters, x, y)[rows])
        exact = [each[rows] for each in exact]
        finite = all(mpmath.isfinite(number) for number in matrix.flat)
        unit = self.examined.precision.ulp(norm_of(matrix)) if finite else None
        yield from self.found("hessian", [np.sum(matrix * many(vector), axis=1)], exact, unit, lost)

    def _lost(self, name: str, parameters: Array, output: str = "") -> Lost:
        """Return a function that tells how far a companion's results are apart if its steps are rounded another way.

        These are all of its results, or those of one ``output``.
        """

        def spread(unit: Any, error: float) -> float | None:
            examined, simplified = self.examined, self.examined.programs.simplified
            program = replace(simplified, gradient=()) if name == OF_MODEL else _companion(examined.programs, name)
            if program is None:
                return LARGEST
            at = Point(examined.point.kind, parameters, examined.point.X, _targets_of(program, examined.point.Y))
            columns = next(
                (column_range for each, column_range in slices_of(program.output_tensors) if each.name == output),
                slice(None),
            )
            parts: list[Array] = []
            for more in range(SHAKEN):
                results, beyond = shaken(program, at, examined.exact.digits, examined.precision, examined.seed + more)
                if beyond or not results[0].finite:
                    return None
                parts += [result.gradients if program.gradient else result.outputs[:, columns] for result in results]
                apart = max(distance(part, parts[0], unit) for part in parts)
                if error <= bound(apart):  # otherwise a few may agree by chance
                    break
            return apart

        return spread


def _targets_of(program: Program, Y: Array) -> Array:
    """Return the targets of a companion: those of the model, then 1 for seeds, and for what says which are known."""
    more = sum(tensor.size for tensor in program.targets) - Y.shape[1]
    return Y if more <= 0 else np.hstack([Y, many(np.ones((len(Y), more)))])


def _companion(programs: Programs, name: str) -> Program | None:
    return next((companion.program for companion in programs.companions if companion.name == name), None)


def _probabilities(program: Program, point: Point) -> Array:
    """Return the outputs for the first sample, (steps, tokens): as they are, or of logits their softmax."""
    values = run(program, bind(program, point.parameters, point.X[:1], point.Y[:1]))
    rows = values[program.outputs[0].tensor][0]
    sums = np.sum(rows, axis=1)
    if all(abs(total - 1) < mpmath.mpf(10) ** -20 for total in sums):
        return np.asarray(rows)
    powers = np.frompyfunc(mpmath.exp, 1, 1)(rows - np.max(rows, axis=1, keepdims=True))
    return np.asarray(powers / np.sum(powers, axis=1, keepdims=True))


def direction_of(examined: Examined) -> Array:
    """Return the vector that the Hessian is multiplied with (P,): 1 or -1, and 0 for what is not trained."""
    parameters = examined.programs.described.parameters
    vector = np.random.default_rng(examined.seed).choice([-1.0, 1.0], sum(tensor.size for tensor in parameters))
    trained: Array = vector * np.concatenate([np.full(tensor.size, tensor.trained) for tensor in parameters])
    return trained


def exact_jacobian(examined: Examined, point: Point | None = None, samples: int = 1) -> Array:
    """Return the derivatives of all outputs by all parameters, (N, outputs, P), one reverse sweep for each output.

    They are those of the first ``samples``, at the point or at one beside it: without inputs, all are alike, and a
    module has those of one.
    """
    program, rows = examined.programs.given, []
    point = point or examined.point
    for n in range(samples):
        values = run(program, bind(program, point.parameters, point.X[n : n + 1], point.Y[n : n + 1]))
        for element in program.outputs:
            shape = values[element.tensor].shape
            for k in range(values[element.tensor].size):
                seed = zeros([values[element.tensor].size])
                seed[k] = mpmath.mpf(1)
                received = derivatives(program, values, {element.tensor: seed.reshape(shape)})
                rows.append(np.concatenate([np.asarray(received[t.name]).reshape(-1) for t in program.parameters]))
    return np.asarray(rows, dtype=object).reshape(samples, -1, program.parameter_count)


def exact_hessian_product(examined: Examined, point: Point | None = None) -> Array:
    """Return the derivative of the gradient of the mean loss along ``direction_of``, at the point or beside it."""
    point, program, vector = point or examined.point, examined.programs.given, direction_of(examined)
    digits = examined.exact.digits + MORE_DIGITS
    with mpmath.workdps(digits):
        h = mpmath.mpf(DISTANCE)
        ends: list[Exact] = [
            evaluate_rows(
                program, many(point.parameters) + side * h * many(vector), many(point.X), many(point.Y), digits
            )
            for side in (1, -1)
        ]
        difference = np.sum(ends[0].gradients - ends[1].gradients, axis=0)
        return np.asarray(difference / (2 * h * len(point.X)), dtype=object)
