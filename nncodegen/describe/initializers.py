"""Initial values of weights by name: each is one entry, from (fan_in, fan_out) to a distribution.

Names and variances are those of Keras; its normal distributions are truncated at two standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nncodegen.describe.checks import is_finite
from nncodegen.errors import ModelError
from nncodegen.ir import Initial

TRUNCATION = 0.87962566103423978
"""The standard deviation of a standard normal variable that is truncated at -2 and 2."""


def _uniform(variance: float) -> Initial:
    return Initial("uniform", math.sqrt(3 * variance))


def _normal(variance: float) -> Initial:
    return Initial("truncated_normal", math.sqrt(variance) / TRUNCATION)


INITIALIZERS: dict[str, Callable[[int, int], Initial]] = {
    "glorot_uniform": lambda fan_in, fan_out: _uniform(2 / (fan_in + fan_out)),
    "glorot_normal": lambda fan_in, fan_out: _normal(2 / (fan_in + fan_out)),
    "he_uniform": lambda fan_in, fan_out: _uniform(2 / fan_in),
    "he_normal": lambda fan_in, fan_out: _normal(2 / fan_in),
    "lecun_uniform": lambda fan_in, fan_out: _uniform(1 / fan_in),
    "lecun_normal": lambda fan_in, fan_out: _normal(1 / fan_in),
    "random_uniform": lambda fan_in, fan_out: Initial("uniform", 0.05),
    "random_normal": lambda fan_in, fan_out: Initial("normal", 0.05),
    "zeros": lambda fan_in, fan_out: Initial("constant", 0.0),
    "ones": lambda fan_in, fan_out: Initial("constant", 1.0),
}


def initial(initializer: str | float | Initial, fan_in: int, fan_out: int) -> Initial:
    """The distribution for an initializer, which is a name, a number for constant values, or the distribution."""
    if isinstance(initializer, Initial):
        return initializer
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            raise ModelError(f"there is no initializer {initializer!r}; there are: {', '.join(INITIALIZERS)}")
        return INITIALIZERS[initializer](fan_in, fan_out)
    if not is_finite(initializer):
        raise ModelError(f"an initializer is a name or a finite number, not {initializer!r}")
    return Initial("constant", float(initializer))
