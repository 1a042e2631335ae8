"""A network beside the definitions of its layers and losses: a fault of the stage ``describe`` is found, and named.

The described program is evaluated in many digits elsewhere; here, its outputs and its loss are compared with what the
definitions give at the same points. Where they differ, each layer is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from nncodegen.certify.definitions import Made, Values, as_written, described_alone, is_defined, values_of
from nncodegen.certify.exact import bind, many, run
from nncodegen.certify.precision import Exact, climb, norm_of, outputs_of
from nncodegen.certify.products import Array, zeros
from nncodegen.certify.results import TRAINING, Examined, Found
from nncodegen.certify.ulps import distance, precision_of
from nncodegen.describe import Describable, Network, Sequential
from nncodegen.describe.describable import Named
from nncodegen.ir import Program
from nncodegen.runtime.python.certificate import DEFINITIONS, HOLDS, WRONG, Fault, Figure

AGREED = 1e-3
"""Units in the last place up to which a program agrees with definitions. Both are computed with many digits: what
remains is rounding in the last of these, and constants that are written with as many digits as they have."""


@dataclass(frozen=True)
class Defined:
    """A network whose layers have definitions, and its described program.

    ``whole`` says whether the loss has a definition as well. Where it is made of equations, the layers alone are
    examined, as a network of their own with the same parameters one after the other.
    """

    model: Sequential | Network
    program: Program
    whole: bool = True

    @property
    def as_written(self) -> tuple[str, ...]:
        """What has no definition but the user's own, in words."""
        layers = [(number, layer) for number, (_, layer) in enumerate(self.model.numbered, start=1)]
        found = [f"layer {number} ({type(layer).__name__})" for number, layer in layers if not is_defined(layer)]
        found += [f"the activation of layer {k}" for k, layer in layers if callable(getattr(layer, "activation", ""))]
        losses = self.model.loss if isinstance(self.model, Network) else [self.model.loss]
        return (
            *found,
            *([] if self.whole else ["the equations"]),
            *(["the loss"] if any(map(callable, losses)) else []),
        )

    def compare(self, examined: Examined) -> Iterator[Found]:
        """The error of outputs and loss of the program at a point, beside their definitions."""
        found = self._both(examined)
        if found is not None:
            program, values = found
            error = max(_errors(program, values, examined))
            verdict = HOLDS if error <= AGREED else WRONG
            yield Found(Figure(DEFINITIONS, examined.point.kind, error, 0.0, AGREED, verdict), examined)

    def fault(self, examined: Examined) -> Fault:
        """The first layer that differs from its definition at a point where the program does; or else the loss."""
        found = self._both(examined)
        assert found is not None
        program, values = found
        with mpmath.workdps(values.digits):
            for made in values.values.made:
                if not is_defined(made.layer):
                    continue
                pairs = zip(as_written(made.layer, made.use, made.inputs), made.results, strict=True)
                for described, expected in pairs:
                    if described.shape != expected.shape or _error(described, expected, examined) > AGREED:
                        return self._named(examined, self._step_of(made), made.title, described, expected)
        of_outputs, of_loss = _errors(program, values, examined)
        if of_outputs <= AGREED < of_loss:
            step = str(self.program.steps[-2])
            return self._named(examined, step, "the loss", program.losses, values.exact.losses)
        what = "what the layers give together"
        step = self._text(self.program.outputs[0].tensor) or self.program.name
        return self._named(examined, step, what, program.outputs, values.exact.outputs)

    def _both(self, examined: Examined) -> tuple[Exact, _Computed] | None:
        """The results of the program and of the definitions; None where the latter have none."""
        program = examined.exact if self.whole else self._of_layers(examined)
        values = self._computed(examined, program.digits)
        if not values.exact.finite or max(_errors(program, values, examined)) > AGREED:  # for want of digits, perhaps
            certain = climb(lambda digits: self._computed(examined, digits).exact)
            if certain is None:
                return None
            values = self._computed(examined, certain.digits)
        return program, values

    def _computed(self, examined: Examined, digits: int) -> _Computed:
        """What the definitions give, computed with so many digits."""
        point, training = examined.point, examined.programs.part == TRAINING
        with mpmath.workdps(digits), np.errstate(all="ignore"):
            X, Y = self._samples(examined)
            parameters = bind(self.program, self._parameters(point.parameters), X, Y)
            values = values_of(self.model, parameters, X, Y, training)
            losses = values.losses if self.whole else zeros([len(X)])
            if training:
                losses = np.asarray([losses.sum() / len(losses)], dtype=object)
            return _Computed(values, Exact(values.outputs, losses, zeros([0, 0]), digits), digits)

    def _parameters(self, parameters: Array) -> Array:
        return parameters[: self.program.parameter_count]

    def _samples(self, examined: Examined) -> tuple[Array, Array]:
        """Inputs and targets as numbers of mpmath; targets of 0 where the loss is made of equations."""
        X = many(examined.point.X)
        if self.whole:
            return X, many(examined.point.Y)
        return X, zeros([len(X), sum(tensor.size for tensor in self.program.targets)])

    def _of_layers(self, examined: Examined) -> Exact:
        """The outputs of the layers as they are described, where the model has a loss of its own."""
        digits = examined.exact.digits
        with mpmath.workdps(digits):
            X, Y = self._samples(examined)
            values = run(self.program, bind(self.program, self._parameters(examined.point.parameters), X, Y))
            return Exact(outputs_of(self.program, values), zeros([len(X)]), zeros([0, 0]), digits)

    def _named(self, examined: Examined, step: str, what: str, found: Array, expected: Array) -> Fault:
        kind = examined.point.kind
        if found.shape != expected.shape:
            shapes = f"its values have the shape {found.shape[1:]}, those of its definition {expected.shape[1:]}"
            return Fault("describe", step, kind, 0.0, f"{kind}: {what} differs from its definition: {shapes}")
        error = _error(found, expected, examined)
        place = max(range(found.size), key=lambda k: abs(found.flat[k] - expected.flat[k]))
        given, other = (mpmath.nstr(array.flat[place], 17) for array in (found, expected))
        told = f"{kind}: {what} differs from its definition: it gives {given}, and not {other}"
        return Fault("describe", step, kind, error, told)

    def _step_of(self, made: Made) -> str:
        """The step of the program that defines the output of a layer; if renamed there, that of the layer itself."""
        part, _, _ = described_alone(made.layer, made.use, made.inputs)
        own = next((str(step) for step in part.steps if step.target == part.output), made.title)
        return self._text(part.output.tensor) or own

    def _text(self, tensor: str) -> str:
        return next((str(step) for step in self.program.steps if step.target.tensor == tensor), "")


@dataclass(frozen=True)
class _Computed:
    """What the definitions give, as values with those of all layers, and as results."""

    values: Values
    exact: Exact
    digits: int


def _errors(program: Exact, values: _Computed, examined: Examined) -> tuple[float, float]:
    """The errors of the outputs and of the loss."""
    pairs = ((program.outputs, values.exact.outputs), (program.losses, values.exact.losses))
    of_outputs, of_loss = (_error(found, expected, examined) for found, expected in pairs)
    return of_outputs, of_loss


def _error(found: Array, expected: Array, examined: Examined) -> float:
    """The largest error of a sample, in units in the last place of the norm of its values."""
    rows = zip(found.reshape(len(found), -1), expected.reshape(len(expected), -1), strict=True)
    precision = precision_of(examined.programs.described.precision)
    return max(distance(one, other, precision.ulp(norm_of(other))) for one, other in rows)


def defined(model: Any, described: Program) -> Defined | None:
    """A model with the definitions of its layers; None where it is no network, or one that describes itself anew."""
    if type(model) is Network:
        return Defined(model, described)
    if type(model) is not Sequential:
        return None
    if model.physics is None:
        return Defined(model, described)
    layers = Sequential(model.layers, len(model.physics.inputs), name=model.name)
    return Defined(layers, layers.describe(), whole=False)


def unwrapped(model: Describable) -> Describable:
    """A model without the other names that it was given."""
    while isinstance(model, Named):
        model = model.model
    return model
