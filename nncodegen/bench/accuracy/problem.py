"""A formula with a domain; its points, drawn over all floating-point numbers, and its exact values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import NDArray
from sympy.codegen.cfunctions import Cbrt, expm1, hypot, log1p

Array = NDArray[np.float64]

FUNCTIONS = (
    "sqrt", "cbrt", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "expm1", "log1p", "hypot", "atan2", "minimum", "maximum",
)  # fmt: skip

NUMPY: dict[str, Any] = {
    **{name: getattr(np, name) for name in FUNCTIONS if hasattr(np, name)},
    **{name: getattr(np, name.replace("a", "arc", 1)) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    "atan2": np.arctan2,
    "abs": np.abs,
    "pi": np.pi,
}

SYMPY: dict[str, Any] = {
    **{name: getattr(sympy, name) for name in FUNCTIONS if hasattr(sympy, name)},
    "cbrt": Cbrt,
    "expm1": expm1,
    "log1p": log1p,
    "hypot": hypot,
    "abs": sympy.Abs,
    "minimum": sympy.Min,
    "maximum": sympy.Max,
    "pi": sympy.pi,
}

PRECISIONS = (2400, 5000, 12000)
"""The bits with which an exact value is computed, until two of them agree."""


def _real_root(z: Any) -> Any:
    return -mpmath.cbrt(-z) if z < 0 else mpmath.cbrt(z)


def _limited(function: Callable[[Any], Any], above: float, below: float) -> Callable[[Any], Any]:
    """Return an exponential that is infinite, or at its limit, far out of range: exact values would take long."""
    return lambda z: function(z) if abs(z) < 2.0**24 else mpmath.mpf(above if z > 0 else below)


MPMATH: dict[str, Any] = {
    **{name: getattr(mpmath, name) for name in FUNCTIONS if hasattr(mpmath, name)},
    "cbrt": _real_root,
    "minimum": min,
    "maximum": max,
    "abs": abs,
    "exp": _limited(mpmath.exp, np.inf, 0),
    "sinh": _limited(mpmath.sinh, np.inf, -np.inf),
    "cosh": _limited(mpmath.cosh, np.inf, np.inf),
    "expm1": _limited(mpmath.expm1, np.inf, -1),
    "tanh": _limited(mpmath.tanh, 1, -1),
}


@dataclass(frozen=True)
class AccuracyProblem:
    """A formula as a text in Python, with the condition that its points meet.

    ``factor`` is the variable that a parameter multiplies, by which the formula is differentiated.
    """

    name: str
    text: str
    condition: str = ""
    factor: str = "x"

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Return the names of the variables, in alphabetical order."""
        names = set(re.findall(r"(?<![\w.])[a-zA-Z_]\w*", self.text))
        return tuple(sorted(names - {*FUNCTIONS, "abs", "pi"}))

    def as_written(self, functions: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """Return the value of the formula as it is written, by the functions of a library."""
        return eval(self.text, {"__builtins__": {}}, {**functions, **values})

    def meets(self, values: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Return which points meet the condition."""
        if not self.condition:
            return np.ones(len(next(iter(values.values()))), bool)
        holds = eval(self.condition, {"__builtins__": {}}, {**NUMPY, **values})
        return np.asarray(holds, bool)

    def formula(self, symbols: Mapping[str, Any]) -> Any:
        """Return the formula in SymPy, with expressions for its variables."""
        return self.as_written(SYMPY, symbols)


@dataclass(frozen=True)
class Sample:
    """The points of a problem, by variable, with the exact values there, rounded to float64."""

    points: dict[str, Array]
    exact: Array
    slopes: Array


def draw(problem: AccuracyProblem, count: int, seed: int) -> Sample:
    """Return points with random bits, at which the condition holds and the value is a finite real number.

    ``slopes`` are the derivatives by a factor of the variable ``problem.factor``, at 1; NaN where there is none.
    """
    generator = np.random.default_rng([seed, *problem.name.encode()])
    points: list[tuple[list[float], float, float]] = []
    for _ in range(400):
        bits = generator.integers(0, 2**64, (20_000, len(problem.variables)), np.uint64, endpoint=False)
        rows = bits.view(np.float64)
        with np.errstate(all="ignore"):
            rows = rows[np.isfinite(rows).all(axis=1)]
            rows = rows[problem.meets(dict(zip(problem.variables, rows.T, strict=True)))]
        for row in rows[: 4 * count]:
            value, slope = _exact(problem, row)
            if np.isfinite(value):
                points.append((row.tolist(), value, slope))
            if len(points) == count:
                columns = np.array([point for point, _, _ in points]).T
                values, slopes = (np.array([each[k] for each in points]) for k in (1, 2))
                return Sample(dict(zip(problem.variables, columns, strict=True)), values, slopes)
    raise ValueError(f"{problem.name} has too few points")


def _exact(problem: AccuracyProblem, row: Array) -> tuple[float, float]:
    """Return the value and the derivative at a point, rounded to float64; NaN where it is not real."""
    value = rounded(lambda: _value(problem, row))
    if not np.isfinite(value) or problem.factor not in problem.variables:
        return value, np.nan
    return value, rounded(lambda: _slope(problem, row))


def _value(problem: AccuracyProblem, row: Array) -> Any:
    return problem.as_written(MPMATH, {"pi": +mpmath.pi, **_numbers(problem, row)})


def _numbers(problem: AccuracyProblem, row: Array) -> dict[str, Any]:
    return {name: mpmath.mpf(number) for name, number in zip(problem.variables, row.tolist(), strict=True)}


def _slope(problem: AccuracyProblem, row: Array) -> Any:
    """Return the derivative by a factor, as a central difference that needs a third of the digits."""
    values, bits = {"pi": +mpmath.pi, **_numbers(problem, row)}, mpmath.mp.prec
    x, step = values[problem.factor], mpmath.mpf(2) ** (-bits // 3)
    above, below = (problem.as_written(MPMATH, {**values, problem.factor: x * (1 + s)}) for s in (step, -step))
    return (above - below) / (2 * step)


def rounded(compute: Callable[[], Any]) -> float:
    """Return a number, rounded to float64, once two precisions agree on it; NaN if it is not real or none agree."""
    last = None
    for bits in PRECISIONS:
        with mpmath.workprec(bits):
            try:
                value = compute()
                number = float(value) if isinstance(value, mpmath.mpf) else float("nan")
            except (ValueError, ZeroDivisionError, OverflowError, mpmath.libmp.NoConvergence, TypeError):
                return float("nan")
        if number != number or (number == last and number != 0):  # noqa: PLR0124 (NaN alone differs from itself)
            return number
        last = number
    return number if number == last else float("nan")
