"""Options of the command ``curve`` that are texts: starts, bounds, names of columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nncodegen.errors import ModelError
from nncodegen.runtime.python.fitting.fit import AUTO


def read_starts(text: str) -> dict[str, float] | str:
    """Return numbers by name, "a=1,b=0.5", or "auto". Raises ModelError."""
    if text.strip() == AUTO:
        return AUTO
    return {name: _number(value, name, "--p0") for name, value in _pairs(text, "--p0", "a=1,b=0.5")}


def read_bounds(text: str) -> dict[str, tuple[float, float]]:
    """Return bounds by name, either of which may be missing: "a=0:10,b=0:". Raises ModelError."""
    bounds = {}
    for name, value in _pairs(text, "--bounds", "a=0:10,b=0:"):
        low, colon, high = value.partition(":")
        if not colon:
            raise ModelError(f"--bounds {name}={value} is no interval: write LOW:HIGH, such as 0:10, 0: or :10")
        lower = _number(low, name, "--bounds") if low.strip() else -math.inf
        upper = _number(high, name, "--bounds") if high.strip() else math.inf
        if lower >= upper:
            raise ModelError(f"--bounds {name}={value} is empty: the first number must be below the second")
        bounds[name] = lower, upper
    return bounds


def read_formulas(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return formulas by name: ["b = 2*a"]. Raises ModelError."""
    formulas: dict[str, str] = {}
    for text in texts:
        name, equals, formula = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier() or not formula:
            raise ModelError(f'{option} {text!r} is not NAME = FORMULA; write it like "b = 2*a"')
        if name in formulas:
            raise ModelError(f"{option} names {name} twice")
        formulas[name] = formula
    return formulas


def read_names(text: str) -> tuple[str, ...]:
    """Return names of columns: "plate,well"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_sigma_x(text: str) -> dict[str, str]:
    """Return the columns of standard deviations by the columns of x: "s", whose x is "", or "x=s,t=u"."""
    if "=" not in text:
        return {"": text.strip()} if text.strip() else {}
    return dict(_pairs(text, "--sigma-x", "x=s,t=u"))


def _pairs(text: str, option: str, example: str) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(str.strip, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ModelError(f"{option} {part!r} is not NAME=VALUE; write it like {example}")
        pairs.append((name.strip(), value.strip()))
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ModelError(f"{option} names {twice} twice")
    return pairs


def _number(text: str, name: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ModelError(f"{option} {name}={text} is not a finite number")
    return number
