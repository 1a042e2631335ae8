"""Points that are drawn evenly in a box, and can be drawn again during a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.same_bits import power
from .scalars import integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array


class Points:
    """Points in a box, used in place of an array X of samples.

    low, high   the corners: a number, or one for each input. Where both are equal, all points have that coordinate: use
                this for points on a boundary
    count       the number of points
    every       draw all points again after this number of epochs of a training; never by default
    seed        the same seed gives the same points
    method      "quasirandom": a sequence that leaves no gaps (additive recurrence with a random shift); or "uniform"

    Raises ValueError for an invalid argument.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        count: int,
        every: int | None = None,
        seed: int = 0,
        method: str = "quasirandom",
    ) -> None:
        self.low, self.high = _corner("low", low), _corner("high", high)
        if self.low.shape != self.high.shape:
            raise ValueError(f"low has {self.low.size} coordinates, high {self.high.size}: the numbers must be equal")
        if not (self.low <= self.high).all():
            raise ValueError(f"low is {self.low.tolist()}, which is not below high, {self.high.tolist()}")
        self.count = integer("count", count, 1, 2**40)
        self.every = None if every is None else integer("every", every, 1, 2**53)
        self.seed = integer("seed", seed, 0, 2**64 - 1)
        if method not in ("quasirandom", "uniform"):
            raise ValueError(f"there is no method {method!r}; there are: quasirandom, uniform")
        self.method = method

    def draw(self, number: int = 0) -> Array:
        """Return the points of draw ``number``, an array (count, inputs)."""
        random = np.random.default_rng([self.seed, number])
        free = np.flatnonzero(self.low < self.high)
        if self.method == "uniform":
            shares = random.random((self.count, free.size))
        else:
            shares = (random.random(free.size) + np.arange(self.count)[:, None] * _steps(free.size)) % 1.0
        points: Array = np.tile(self.low, (self.count, 1))
        points[:, free] += (self.high - self.low)[free] * shares
        return points

    def __repr__(self) -> str:
        return f"Points({self.low.tolist()}, {self.high.tolist()}, {self.count}, every={self.every}, seed={self.seed})"


def _corner(name: str, coordinates: Any) -> Array:
    """Check a corner of a box and return it as an array of doubles."""
    try:
        corner = np.atleast_1d(np.asarray(coordinates, float))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, or one for each input, not {coordinates!r}") from error
    if corner.ndim != 1 or not corner.size or not np.isfinite(corner).all():
        raise ValueError(f"{name} must be a finite number, or one for each input, not {coordinates!r}")
    return corner


def _steps(inputs: int) -> Array:
    """Return the irrational steps of the recurrence: powers of the root of x**(inputs + 1) = x + 1 (Roberts, 2018)."""
    root = 2.0
    for _ in range(60):
        root = power(1 + root, 1 / (inputs + 1))
    return np.array([power(root, -place) for place in range(1, inputs + 1)])
