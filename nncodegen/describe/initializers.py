"""Initial values of weights by name: each is one entry, from (fan_in, fan_out) to a distribution.

Names and variances are those of Keras; its normal distributions are truncated at two standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nncodegen.describe.checks import is_finite
from nncodegen.errors import ModelError
from nncodegen.ir import Initial

DECIMALS = 12
"""The number of decimals of the values of an orthogonal matrix."""

TRUNCATION = 0.87962566103423978
"""The standard deviation of a standard normal variable that is truncated at -2 and 2."""


def _uniform(variance: float) -> Initial:
    return Initial("uniform", math.sqrt(3 * variance))


def _normal(variance: float) -> Initial:
    return Initial("truncated_normal", math.sqrt(variance) / TRUNCATION)


@lru_cache(maxsize=8)
def orthogonal(rows: int, columns: int) -> NDArray[np.float64]:
    """Return a matrix with orthogonal rows of length 1, or columns, whichever are fewer.

    Every call returns equal values, on all machines: the digits that their libraries round differently are cut off.
    (Saxe et al., 2014.)
    """
    normal = np.random.default_rng(0).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = np.round(q * np.sign(np.diag(r)), DECIMALS)
    return q if rows >= columns else q.T


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
