"""The parameters that estimators share because they are options of a module's ``fit``: each is declared there, once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, TypeVar

from nncodegen.compiler.emit.fit_parameters import DEFAULTS, PARAMETERS, TYPES
from nncodegen.runtime.python.arguments.calls import FIT, rows_of

Estimator = TypeVar("Estimator", bound=type)

WIDTH = 16
"""The columns of the names in the documentation of an estimator."""

MEANINGS = {
    "random_state": 'the seed for drawing these starting points; "auto" draws the same ones without it',
    "tol": "the stopping rule of a fit: ``tolerance`` of the compiled module's ``fit``; None for the default",
    "max_iter": "the most steps of a fit: ``max_iterations`` of the compiled module's ``fit``; None for the default",
    "bounds": "(lower, upper), each a number or (P,), or a mapping from names to pairs; None for none",
    "fixed": "names of parameters that keep their starting values; or {name: value}, the values that they keep",
    "absolute_sigma": "whether 1/sample_weight are the variances of y; else they are known up to a common factor",
    "f_scale": "the residual, times the root of its weight, beyond which a robust loss grows slower than its square",
    "n_starts": "the number of additional starting points, which are drawn within the bounds; each free parameter\n"
    'needs bounds then. "auto": points are drawn from the scales of the data, without bounds',
    "threads": "the number of threads that share the starting points",
}
"""The parameters whose descriptions differ from those of the options, since estimators have weights, not sigma."""


def with_fit_parameters(**meanings: str) -> Callable[[Estimator], Estimator]:
    """Return a decorator for an estimator: its signature and documentation tell the options of a fit, too.

    Its ``__init__`` takes them as further keyword arguments, and its docstring holds "{options}" in their place.
    ``meanings`` are descriptions of its own.
    """

    def completed(estimator: Estimator) -> Estimator:
        function: Any = estimator.__init__  # type: ignore[misc]
        signature = inspect.signature(function)
        declared = [
            argument for argument in signature.parameters.values() if argument.kind is not Parameter.VAR_KEYWORD
        ]
        by_place = [argument for argument in declared if argument.kind is not Parameter.KEYWORD_ONLY]
        options = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=DEFAULTS[name],
                annotation=TYPES.get(name, FIT.options[option].kind.type),
            )
            for name, option in PARAMETERS.items()
        ]
        function.__signature__ = signature.replace(parameters=[*by_place, *options, *declared[len(by_place) :]])
        if estimator.__doc__:  # with python -OO, there are no docstrings
            estimator.__doc__ = estimator.__doc__.replace("{options}", _documentation({**MEANINGS, **meanings}))
        return estimator

    return completed


def _documentation(meanings: Mapping[str, str]) -> str:
    """Return the descriptions of the parameters, indented as in the docstring of a class."""
    lines = []
    for name, option in PARAMETERS.items():
        lines += rows_of(name, meanings.get(name, FIT.options[option].meaning), 4, WIDTH)
    return "\n".join(lines).lstrip()


def take_parameters(estimator: Any, arguments: Mapping[str, Any]) -> None:
    """Set the parameters of an estimator. Raises TypeError, as Python does, for one that it does not have."""
    for name in arguments:
        if name not in PARAMETERS:
            kind = type(estimator).__name__
            raise TypeError(f"{kind}.__init__() got an unexpected keyword argument {name!r}")
    for name, default in DEFAULTS.items():
        setattr(estimator, name, arguments.get(name, default))


def options_of(estimator: Any) -> dict[str, Any]:
    """Return the options of ``fit`` that the parameters of an estimator are.

    One that was pickled before there was a parameter has its default.
    """
    return {option: getattr(estimator, name, DEFAULTS[name]) for name, option in PARAMETERS.items()}
