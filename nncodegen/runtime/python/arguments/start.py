"""The parameters at which a training or a fit begins, and the check of their seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .arguments import check_parameters
from .initial import initial_parameters
from .parameters_by_name import put
from .scalars import SEED, integer

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def start_of(model: Model, parameters: Any, seed: int = 0, role: str = "parameters") -> Array:
    """Return the parameters, (P,), from an array, or from a mapping of names or symbols to values, or None.

    None, and parameters that a mapping leaves out, mean the initial parameters of the seed. An array that C can use as
    it is is not copied. ``role`` is the name of the argument in errors. Raises ValueError.
    """
    if parameters is None:
        return initial_parameters(model, seed)
    if isinstance(parameters, Mapping):
        return put(model, role, parameters, initial_parameters(model, seed))
    return check_parameters(model, parameters, role)


def check_seed(model: Model, seed: Any, parameters: Any, hint: str = "", role: str = "parameters") -> int:
    """Return the seed of the initial parameters. Raises ValueError if a seed is given, but nothing is drawn.

    ``hint`` ends the error message: it names what else could be drawn.
    """
    chosen = integer("seed", seed, 0, SEED)
    if chosen and model.constants is not None:
        raise ValueError(f"seed has no effect: the initial parameters of {model.name} are not drawn{hint}")
    if chosen and parameters is not None and not isinstance(parameters, Mapping):
        raise ValueError(f"seed has no effect beside {role}: leave one of them out{hint}")
    return chosen
