"""Options as flags of commands, made from their declarations: those of ``curve``, ``export`` and ``fit``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from nncodegen.compiler.emit.fit_parameters import OF_CALLS, OF_DATA
from nncodegen.compiler.limits import MOST_LAYERS, MOST_UNITS
from nncodegen.runtime.python.arguments.calls import FIT
from nncodegen.runtime.python.arguments.declarations import FLAG, Kind, Option

Function = TypeVar("Function", bound=Callable[..., Any])


class Finite(click.FloatRange):
    """A number in a range: not NaN, and not infinite."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number; fail with a message if it is not finite or out of range."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names in a text such as sgd,adam."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Return the names; a default has them already."""
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(name.strip() for name in parts if name.strip())


class Layers(click.ParamType):  # type: ignore[type-arg]
    """The units of hidden layers: a text such as 32,16."""

    name = "integers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the units, each from 1 to MOST_UNITS; fail with a message for anything else."""
        parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if not all(isinstance(part, int) or (part.isdecimal() and len(part) < 20) for part in parts):
            self.fail(f"{value!r} is not a list of units, such as 32,16", param, ctx)
        layers = tuple(map(int, parts))
        if len(layers) > MOST_LAYERS or any(not 0 < units <= MOST_UNITS for units in layers):
            self.fail(
                f"{value!r} must be a list of at most {MOST_LAYERS} numbers from 1 to {MOST_UNITS}, such as 32,16",
                param,
                ctx,
            )
        return layers


FIT_FLAGS = {
    name: option
    for name, option in FIT.options.items()
    if name not in (*OF_DATA, *OF_CALLS) and (option.kind is FLAG or option.kind.choices or option.kind.range)
}
"""The options of ``fit`` whose values are numbers in a range, names of a list, or yes and no."""

TYPES: dict[str, click.ParamType[Any]] = {
    "Sequence[str]": Names(),
    "Sequence[int] | None": Layers(),
    "int | None": click.INT,
    "str | None": click.STRING,
}
"""The values of flags by the types of options that have neither a range nor a list of values."""


def with_flags(options: Mapping[str, Option]) -> Callable[[Function], Function]:
    """Return a decorator for the function of a command: it takes these options under their names."""

    def completed(function: Function) -> Function:
        for name, option in reversed(list(options.items())):
            function = _flag(name, option)(function)
        return function

    return completed


def _flag(name: str, option: Option) -> Callable[[Function], Function]:
    """Return the decorator that adds an option to a command."""
    text = option.help or f"{option.meaning[0].upper()}{option.meaning[1:]}.".replace("\n", " ")
    flag, default, kind = option.flag(name), option.default, option.kind
    if kind is FLAG:
        return click.option(
            flag, name, is_flag=True, default=False, callback=lambda ctx, param, value: value != default, help=text
        )
    return click.option(
        flag,
        name,
        type=_type_of(kind),
        default=default,
        show_default=default is not None,
        help=text,
        metavar=option.metavar or None,
    )


def _type_of(kind: Kind) -> click.ParamType[Any]:
    """Return the type of the values of a flag."""
    if kind.choices:
        return click.Choice(kind.choices)
    if kind.range is None:
        return TYPES[kind.type]
    if kind.range.whole:
        return click.IntRange(kind.range.low, kind.range.high)
    high = None if math.isinf(kind.range.high) else kind.range.high
    return Finite(kind.range.low, high, min_open=kind.range.excludes_low, max_open=True)
