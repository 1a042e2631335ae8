"""The options of a fit as flags of the command ``curve``, made from their declarations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nncodegen.compiler.emit.fit_parameters import OF_CALLS, OF_DATA
from nncodegen.runtime.python.arguments.calls import FIT
from nncodegen.runtime.python.arguments.declarations import FLAG, Option

Function = TypeVar("Function", bound=Callable[..., Any])

MEANINGS = {
    "loss": "How residuals count; all but the first bear outliers.",
    "f_scale": "The residual, divided by sigma, from which on that counts less.",
    "seed": "Of starting points.",
    "threads": "Threads that share the groups, or the starting points.",
    "absolute_sigma": "The column of --sigma is in the units of the data; else it is right up to a factor.",
    "tolerance": "The fit ends if a step changes cost or parameters by less than this fraction.  [default: 1e-8]",
    "max_iterations": "The most steps that are tried.  [default: 1,000 plus 100 for each parameter]",
}
"""The help of flags that is not what the option of ``fit`` means, but shorter, or about the columns of a table."""


class Finite(click.FloatRange):
    """A number in a range: not NaN, and not infinite."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number; fail with a message if it is not finite or out of range."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


FLAGS = {
    name: option
    for name, option in FIT.options.items()
    if name not in (*OF_DATA, *OF_CALLS) and (option.kind is FLAG or option.kind.choices or option.kind.range)
}
"""The options of ``fit`` whose values are numbers in a range, names of a list, or yes and no."""


def with_fit_flags(function: Function) -> Function:
    """Return a function of a command with the options of ``FLAGS``, which it takes under their names."""
    for name, option in reversed(FLAGS.items()):
        function = _flag(name, option)(function)
    return function


def _flag(name: str, option: Option) -> Callable[[Function], Function]:
    """Return the decorator that adds an option of a fit to a command."""
    kind = option.kind
    text = MEANINGS.get(name) or f"{option.meaning[0].upper()}{option.meaning[1:]}.".replace("\n", " ")
    flag = f"--{name.replace('_', '-')}"
    if kind is FLAG:
        return click.option(flag, is_flag=True, default=option.default, help=text)
    if kind.choices:
        values: click.ParamType[Any] = click.Choice(kind.choices)
    elif kind.range is not None and kind.range.whole:
        values = click.IntRange(kind.range.low, kind.range.high)
    else:
        assert kind.range is not None
        high = None if math.isinf(kind.range.high) else kind.range.high
        values = Finite(kind.range.low, high, min_open=kind.range.excludes_low, max_open=True)
    return click.option(flag, type=values, default=option.default, show_default=option.default is not None, help=text)
