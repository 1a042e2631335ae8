"""Properties of functions near infinity and at their poles, for ``passes.infinities``."""

from __future__ import annotations

from enum import Flag, auto


class Trait(Flag):
    """Properties of functions; most have several.

    BOUNDED     its values are finite, whatever its arguments
    GROWING     its values are infinite only where an argument is
    CARRYING    it is infinite or NaN at an infinite argument
    ABRUPT      it hides an infinite argument, and reaches its limit faster than any power
    STEEP       it is finite where its derivative is infinite
    SLOW_POLE   it has a pole of first order, or one like that of a logarithm
    TOTAL       it is finite, and has finite derivatives, for all finite arguments
    """

    BOUNDED = auto()
    GROWING = auto()
    CARRYING = auto()
    ABRUPT = auto()
    STEEP = auto()
    SLOW_POLE = auto()
    TOTAL = auto()


NO_TRAITS = Trait(0)
