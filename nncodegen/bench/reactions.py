"""Robertson's reactions, which are stiff: what the workload stiff measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.bench.moving import SOLVE, Motion
from nncodegen.compiler.motion import Dynamics

Array = NDArray[Any]

NAMES = ("k1", "k2", "k3")
VALUES = (0.04, 3e7, 1e4)
"""The parameters: a becomes b at the rate k1*a, b becomes c at k2*b**2, and b becomes a at k3*b*c."""

STIFF_RTOL, STIFF_ATOL = 1e-4, 1e-8


@dataclass(frozen=True)
class Reactions(Motion):
    """The concentrations a, b and c at some times, from 1, 0 and 0 at the first one: (3*times,).

    Tolerances of steps are STIFF_RTOL and STIFF_ATOL.
    """

    @property
    def model(self) -> Dynamics:
        """Return the model for nncodegen."""
        return Dynamics(
            "a' = k3*b*c - k1*a; b' = k1*a - k3*b*c - k2*b**2; c' = k2*b**2",
            {"a": 1, "b": 0, "c": 0},
            dict(zip(NAMES, VALUES, strict=True)),
            times=len(self.times),
            observed=["a", "b", "c"],
            method="rodas5p",
            rtol=STIFF_RTOL,
            atol=STIFF_ATOL,
            name="reactions",
        )


def reactions(precision: str) -> Reactions:
    """Return the task: the solution at nine times from 0 to 1e5."""
    times = np.array([0, *np.geomspace(1e-2, 1e5, 8)])
    arrays = (times, np.array(VALUES), np.zeros(3 * len(times)))
    return Reactions(SOLVE, *(array.astype(precision) for array in arrays))
