"""Positions as rotations: pairs of features are turned by angles that grow with the place in a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Rational, S, cos, exp, log, sin

from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.describe.layer import Standard
from nncodegen.compiler.describe.normalization import axes_of
from nncodegen.compiler.ir import Element, Equation
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class RotaryEmbedding(Standard):
    """A sequence whose features are rotated by its places, so that products of two depend on their distance alone.

    (Su et al., 2021.) Of d features, feature k and feature k + d/2 are turned, as the two coordinates of a point, by
    the angle place/scaling_factor * max_wavelength**(-2*k/d). The axes are numbers; axis 0 is that of the samples.
    """

    max_wavelength: float = 10000
    scaling_factor: float = 1.0
    sequence_axis: int = 1
    feature_axis: int = -1

    def describe(self, call: Call) -> Part:
        """Write the step h = x*cos(angle) + (the other features of the pairs)*sin(angle)."""
        ((t,), (k,)) = (axes_of(call, axis) for axis in (self.sequence_axis, self.feature_axis))
        if t == k:
            raise call.refuse("a sequence_axis and a feature_axis that are different")
        return call.part(Rotation(call, self, t, k).of(call.x, "h"))


class Rotation:
    """The rotation of tensors with the same indices of places and of features, by one table of angles."""

    def __init__(self, call: Call, layer: RotaryEmbedding, t: str, k: str, suffix: str = "") -> None:
        """Write the steps of the angles; ``suffix`` follows the letters of all tensors. Raise ModelError."""
        for name, value in (("max_wavelength", layer.max_wavelength), ("scaling_factor", layer.scaling_factor)):
            if not is_finite(value) or not value > 0:
                raise ModelError(f"the {name} of {call.role} is a number above 0, not {value!r}")
        if call.size(k) % 2:
            raise ModelError(f"{call.role} rotates pairs of features, of which there cannot be {call.size(k)}")
        self._call, self._k, self._half, self._suffix = call, k, call.size(k) // 2, suffix
        place = self._number("place", t)
        second = call.index(self._half)
        later = (Equation(second, ((k, 1),), -self._half),)
        upper = self._step("upper", (k,), S.One, (second,), later)
        pair = self._number("feature", k) - self._half * upper
        rate = exp(-pair * log(Rational(float(layer.max_wavelength))) / self._half)
        rate = call.step(f"rate{self._between}", (k,), rate / Rational(float(layer.scaling_factor)))
        angle = call.step(f"angle{self._between}", (t, k), place * rate)
        self._cos = call.step(f"cos{self._between}", (t, k), cos(angle))
        self._sin = call.step(f"sin{self._between}", (t, k), sin(angle))

    def of(self, x: Element, letters: str) -> Element:
        """Return a rotated tensor."""
        call, k = self._call, self._k
        other = call.index(call.size(k))
        read = Element(x.tensor, [other if index == k else index for index in x.indices])
        first, second = (
            self._of_other(f"{name}_{letters}_", x, read, other, side)
            for name, side in (("before", -self._half), ("after", self._half))
        )
        return call.step(letters, x.indices, x * self._cos + (first - second) * self._sin)

    def _of_other(self, letters: str, x: Element, read: Element, other: str, distance: int) -> Element:
        """Return the features at a distance; 0 where there are none."""
        return self._call.step(letters, x.indices, read, "sum", (other,), (Equation(other, ((self._k, 1),), distance),))

    def _number(self, letters: str, index: str) -> Expr:
        """Return the number of each value of an index, from 0 on: of those at or before it, one less."""
        earlier, after = (self._call.index(self._call.size(index)) for _ in range(2))
        until = (Equation(after, ((index, 1), (earlier, -1))),)
        return self._step(letters, (index,), S.One, (earlier, after), until) - 1

    def _step(
        self, letters: str, indices: tuple[str, ...], value: Expr, over: tuple[str, ...], where: tuple[Equation, ...]
    ) -> Element:
        return self._call.step(f"{letters}{self._between}", indices, value, "sum", over, where)

    @property
    def _between(self) -> str:
        return f"_{self._suffix}_" if self._suffix else ""
