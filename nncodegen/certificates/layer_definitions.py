"""A network compared with the definitions of its layers and losses, to find faults of the stage ``describe``.

The described program is evaluated in many digits elsewhere. Here, its outputs and its loss are compared with those of
the definitions at the same points. If they differ, each layer is examined separately.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions import Made, as_written, described_alone, is_defined, values_of
from nncodegen.certificates.exact import bind, many, run
from nncodegen.certificates.precision import Exact, climb, norm_of, outputs_of
from nncodegen.certificates.products import Array, zeros
from nncodegen.certificates.results import TRAINING, Examined, Found
from nncodegen.certificates.ulps import LARGEST, distance, precision_of
from nncodegen.compiler.describe import Describable, Network, Sequential
from nncodegen.compiler.describe.describable import Named
from nncodegen.compiler.ir import Program
from nncodegen.runtime.python.ground.certificate import DEFINITIONS, HOLDS, WRONG, Fault, Figure

AGREED = 1e-3
"""Units in the last place up to which a program agrees with definitions. Both are computed with many digits: the rest
is rounding in the last of these, and constants that are written with a limited number of digits."""

MISFITS = (ValueError, IndexError, KeyError)
"""Exceptions that definitions raise for parameters and inputs of unexpected shapes."""


@dataclass(frozen=True)
class Defined:
    """A network whose layers have definitions, and its described program.

    ``whole`` says whether the loss has a definition as well. If it consists of equations, the layers alone are
    examined, as a separate network with the same parameters one after the other.
    """

    model: Network
    program: Program
    whole: bool = True

    @property
    def as_written(self) -> tuple[str, ...]:
        """Return the parts that only the user's own code defines, in words."""
        layers = [(number, layer) for number, (_, layer) in enumerate(self.model.numbered, start=1)]
        parts = [f"layer {number} ({type(layer).__name__})" for number, layer in layers if not is_defined(layer)]
        parts += [f"the activation of layer {k}" for k, layer in layers if callable(getattr(layer, "activation", ""))]
        return (
            *parts,
            *([] if self.whole else ["the equations"]),
            *(["the loss"] if any(map(callable, self.model.loss)) else []),
        )

    def compare(self, examined: Examined) -> Iterator[Found]:
        """Compare outputs and loss of the program at a point with their definitions."""
        try:
            both = self._both(examined)
            error = both[1] if both else None
        except MISFITS:  # the program has other shapes, or other parameters
            error = LARGEST
        if error is not None:
            verdict = HOLDS if error <= AGREED else WRONG
            yield Found(Figure(DEFINITIONS, examined.point.kind, error, 0.0, AGREED, verdict), examined)

    def fault(self, examined: Examined) -> Fault:
        """Name the first layer that differs from its definition at a point where the program does; or else the loss."""
        made: list[Made] = []
        values, misfit = None, ""
        try:
            both = self._both(examined)
            values = both[0] if both else None
        except MISFITS as error:
            misfit = repr(error)
        digits = values.digits if values else examined.exact.digits
        with suppress(*MISFITS):
            self._values(examined, digits, made)
        with mpmath.workdps(digits):
            for part in filter(lambda layer_use: is_defined(layer_use.layer), made):
                for described, expected in zip(
                    as_written(part.layer, part.use, part.inputs), part.results, strict=True
                ):
                    if described.shape != expected.shape or _error(described, expected, examined) > AGREED:
                        return _named(examined, self._step_of(part), part.title, described, expected)
        step = self._text(self.program.outputs[0].tensor)
        if values is None:
            what = f"the definitions of the layers do not fit its parameters and shapes: {misfit}"
            return Fault("describe", step, examined.point.kind, LARGEST, what)
        program = self._of_program(examined)
        if _error(program.outputs, values.outputs, examined) > AGREED:
            return _named(examined, step, "what the layers give together", program.outputs, values.outputs)
        return _named(examined, str(self.program.steps[-2]), "the loss", program.losses, values.losses)

    def _both(self, examined: Examined) -> tuple[Exact, float] | None:
        """Return the values of the definitions, and the program's error; None if the definitions give no numbers."""
        program = self._of_program(examined)
        values = self._values(examined, program.digits)
        error = _largest_error(program, values, examined)
        if not values.finite or error > AGREED:  # perhaps it had too few digits
            certain = climb(lambda digits: self._values(examined, digits))
            if certain is None:
                return None
            values, error = certain, _largest_error(program, certain, examined)
        return values, error

    def _values(self, examined: Examined, digits: int, made: list[Made] | None = None) -> Exact:
        """Return the values of the definitions in many digits; the results of each layer are added to ``made``."""
        point, training = examined.point, examined.programs.part == TRAINING
        with mpmath.workdps(digits), np.errstate(all="ignore"):
            X, Y = self._samples(examined)
            parameters = bind(self.program, self._parameters(point.parameters), X, Y)
            outputs, losses = values_of(self.model, parameters, X, Y, training, made)
            losses = losses if self.whole else zeros([len(X)])
            if training:
                losses = np.asarray([losses.sum() / len(losses)], dtype=object)
            return Exact(outputs, losses, zeros([0, 0]), digits)

    def _of_program(self, examined: Examined) -> Exact:
        """Return the values of the described program; of its layers alone if the loss consists of equations."""
        if self.whole:
            return examined.exact
        digits = examined.exact.digits
        with mpmath.workdps(digits):
            X, Y = self._samples(examined)
            values = run(self.program, bind(self.program, self._parameters(examined.point.parameters), X, Y))
            return Exact(outputs_of(self.program, values), zeros([len(X)]), zeros([0, 0]), digits)

    def _parameters(self, parameters: Array) -> Array:
        return parameters[: self.program.parameter_count]

    def _samples(self, examined: Examined) -> tuple[Array, Array]:
        """Return inputs and targets as numbers of mpmath; targets of 0 if the loss consists of equations."""
        X = many(examined.point.X)
        if self.whole:
            return X, many(examined.point.Y)
        return X, zeros([len(X), sum(tensor.size for tensor in self.program.targets)])

    def _step_of(self, made: Made) -> str:
        """Return the step that defines the output of a layer: of the program or, if renamed there, of the layer."""
        part, _, _ = described_alone(made.layer, made.use, made.inputs)
        step_text = next((str(step) for step in part.steps if step.target == part.output), made.title)
        return self._text(part.output.tensor) or step_text

    def _text(self, tensor: str) -> str:
        return next((str(step) for step in self.program.steps if step.target.tensor == tensor), "")


def _named(examined: Examined, step: str, what: str, values: Array, expected: Array) -> Fault:
    """Return the fault for values that differ from their definition."""
    kind = examined.point.kind
    if values.shape != expected.shape:
        shapes = f"its values have the shape {values.shape[1:]}, and not {expected.shape[1:]}"
        return Fault("describe", step, kind, LARGEST, f"{kind}: {what} differs from its definition: {shapes}")
    place = max(range(values.size), key=lambda k: abs(values.flat[k] - expected.flat[k]))
    value_text, other = (mpmath.nstr(array.flat[place], 17) for array in (values, expected))
    message = f"{kind}: {what} differs from its definition: it gives {value_text}, and not {other}"
    return Fault("describe", step, kind, _error(values, expected, examined), message)


def _largest_error(program: Exact, values: Exact, examined: Examined) -> float:
    """Return the error of outputs and loss."""
    pairs = ((program.outputs, values.outputs), (program.losses, values.losses))
    return max(_error(actual, expected, examined) for actual, expected in pairs)


def _error(values: Array, expected: Array, examined: Examined) -> float:
    """Return the largest error of a sample, in units in the last place of the norm of its values."""
    rows = zip(values.reshape(len(values), -1), expected.reshape(len(expected), -1), strict=True)
    precision = precision_of(examined.programs.described.precision)
    return max(distance(row, other, precision.ulp(norm_of(other))) for row, other in rows)


def defined(model: Any, described: Program) -> Defined | None:
    """Return a network with the definitions of its layers; None for other models, and for classes of the user's."""
    if type(model) not in (Network, Sequential):
        return None
    network: Network = model.network if isinstance(model, Sequential) else model
    if network.physics is None:
        return Defined(network, described)
    layers = network.without_equations
    return Defined(layers, layers.describe(), whole=False)


def unwrapped(model: Describable) -> Describable:
    """Return a model without the other names that it was given."""
    while isinstance(model, Named):
        model = model.model
    return model
