"""Initial values of weights by name: each is one entry, from (fan_in, fan_out) to a distribution.

Names and variances are those of Keras; its normal distributions are truncated at two standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.ir import Initial
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.algebra import IN_FIXED_ORDER

DECIMALS = 12
"""The number of decimals of the values of an orthogonal matrix."""

TAIL = 3.6541528853610088
"""Normal numbers beyond this, one of 4,000, are made by NumPy with a logarithm of the C library (Marsaglia and Tsang,
2000), whose last digits are not the same everywhere."""

DECIMALS_OF_TAIL = 10
"""The number of decimals that is kept of such a number."""

TRUNCATION = 0.87962566103423978
"""The standard deviation of a standard normal variable that is truncated at -2 and 2."""


def _uniform(variance: float) -> Initial:
    return Initial("uniform", math.sqrt(3 * variance))


def _normal(variance: float) -> Initial:
    return Initial("truncated_normal", math.sqrt(variance) / TRUNCATION)


@lru_cache(maxsize=8)
def orthogonal(rows: int, columns: int) -> NDArray[np.float64]:
    """Return a matrix with orthogonal rows of length 1, or columns, whichever are fewer.

    Every call returns equal values, on all machines: these are the Q of a QR decomposition of normal numbers (Saxe et
    al., 2014), by Householder's reflections. LAPACK adds in an order that depends on the CPU, so that of the values of
    64 units, a few were rounded to other decimals.
    """
    R = np.random.default_rng(0).standard_normal((max(rows, columns), min(rows, columns)))
    rare = abs(R) > TAIL
    R[rare] = np.round(R[rare], DECIMALS_OF_TAIL)
    Q, reflections = np.eye(*R.shape), []
    for j in range(R.shape[1]):
        normal, head = R[j:, j].copy(), R[j, j]
        length = math.copysign(IN_FIXED_ORDER.lengths(normal, 0), head)
        normal[0] += length  # the sign of the length avoids cancellation
        reflections.append((normal, length * normal[0], -math.copysign(1.0, head)))
        _reflect(R[j:, j + 1 :], *reflections[-1][:2])
    for j, (normal, square, sign) in reversed([*enumerate(reflections)]):
        _reflect(Q[j:, j:], normal, square)
        Q[:, j] *= sign  # as if R had a diagonal above 0
    Q = np.round(Q, DECIMALS)
    return Q if rows >= columns else Q.T


def _reflect(values: NDArray[np.float64], normal: NDArray[np.float64], square: float) -> None:
    """Reflect columns, (M, N), in the plane whose normal is given, (M,); ``square`` is half of its squared length."""
    along = IN_FIXED_ORDER.total(normal[:, None] * values, 0) / square
    values -= normal[:, None] * along


INITIALIZERS: dict[str, Callable[[int, int], Initial]] = {
    "glorot_uniform": lambda fan_in, fan_out: _uniform(2 / (fan_in + fan_out)),
    "glorot_normal": lambda fan_in, fan_out: _normal(2 / (fan_in + fan_out)),
    "he_uniform": lambda fan_in, fan_out: _uniform(2 / fan_in),
    "he_normal": lambda fan_in, fan_out: _normal(2 / fan_in),
    "lecun_uniform": lambda fan_in, fan_out: _uniform(1 / fan_in),
    "lecun_normal": lambda fan_in, fan_out: _normal(1 / fan_in),
    "random_uniform": lambda fan_in, fan_out: Initial("uniform", 0.05),
    "random_normal": lambda fan_in, fan_out: Initial("normal", 0.05),
    "orthogonal": lambda fan_in, fan_out: Initial("given", 0.0, orthogonal(fan_out, fan_in).astype("<f8").tobytes()),
    "zeros": lambda fan_in, fan_out: Initial("constant", 0.0),
    "ones": lambda fan_in, fan_out: Initial("constant", 1.0),
}


def initial(initializer: str | float | Initial, fan_in: int, fan_out: int) -> Initial:
    """Return the distribution for an initializer: a name, a number for constant values, or the distribution itself."""
    if isinstance(initializer, Initial):
        return initializer
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            raise ModelError(f"there is no initializer {initializer!r}; there are: {', '.join(INITIALIZERS)}")
        return INITIALIZERS[initializer](fan_in, fan_out)
    if not is_finite(initializer):
        raise ModelError(f"an initializer is a name or a finite number, not {initializer!r}")
    return Initial("constant", float(initializer))
