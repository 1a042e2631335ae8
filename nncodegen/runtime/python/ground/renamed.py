"""Old names of arguments and attributes, which are accepted for one minor version with a DeprecationWarning.

A name is changed with ``@renamed("0.3.0", old="new")`` on the function or class that has it; the version is the one in
which the old name goes, and the decorator with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Signature, signature
from typing import Any, TypeVar

from .warn import warn

Named = TypeVar("Named", bound=Callable[..., Any])


def renamed(version: str, **names: str) -> Callable[[Named], Named]:
    """Return a decorator for a function or a class that accepts old names of keyword arguments: {old: new}.

    The attributes of a class that have the names of its arguments can be read and set by the old names, too, and
    ``set_params`` of an estimator takes them.
    """

    def decorated(target: Named) -> Named:
        function: Any = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
        old = frozenset(names)

        @wraps(function)
        def accepting(*positional: Any, **named: Any) -> Any:
            if not old.isdisjoint(named):
                named = current(version, names, named)
            return function(*positional, **named)

        if not isinstance(target, type):
            return accepting  # type: ignore[return-value]
        target.__init__ = accepting  # type: ignore[misc]
        if hasattr(target, "set_params"):  # an estimator of scikit-learn, whose searches set parameters by name
            target.set_params = _with_old_names(target.set_params, signature(function), version, names)
        return renamed_attributes(version, **names)(target)

    return decorated


def known_as(**names: str) -> Callable[[Named], Named]:
    """Return a decorator for a function that takes keyword arguments by further names, too, for good: {name: own}."""

    def decorated(function: Named) -> Named:
        @wraps(function)
        def accepting(*positional: Any, **named: Any) -> Any:
            if not named.keys().isdisjoint(names):
                named = current("", names, named, warns=False)
            return function(*positional, **named)

        return accepting  # type: ignore[return-value]

    return decorated


def _with_old_names(function: Any, parameters: Signature, version: str, names: Mapping[str, str]) -> Any:
    """Return the ``set_params`` of an estimator with the ``parameters`` of its signature, for old names as well."""

    @wraps(function)
    def set_params(estimator: Any, **params: Any) -> Any:
        left = [new for old, new in names.items() if old in params and params[old] is None]
        defaults = {new: parameters.parameters[new].default for new in left}
        return function(estimator, **{**defaults, **current(version, names, params)})

    return set_params


def renamed_attributes(version: str, **names: str) -> Callable[[Named], Named]:
    """Return a decorator for a class whose attributes can be read and set by old names: {old: new}."""

    def decorated(target: Named) -> Named:
        for old, new in names.items():
            if old not in vars(target):
                setattr(target, old, _Alias(target.__name__, version, old, new))
        return target

    return decorated


def current(version: str, names: Mapping[str, str], named: Mapping[str, Any], warns: bool = True) -> dict[str, Any]:
    """Return keyword arguments by their present names, after a DeprecationWarning for each old one.

    None under an old name is left out: it stood for the default. Without ``warns``, there is no warning. Raises
    TypeError where a value is given by both names.
    """
    present = {name: value for name, value in named.items() if name not in names}
    for old, new in names.items():
        if old not in named:
            continue
        if new in present:
            raise TypeError(f"{old} and {new} are the same argument, which is named {new} here: leave {old} out")
        if warns:
            _warn(f"the argument {old}", new, version)
        if named[old] is not None:
            present[new] = named[old]
    return present


class _Alias:
    """An attribute that stands for another one: reading or setting it warns."""

    def __init__(self, owner: str, version: str, old: str, new: str) -> None:
        self._what, self._version, self._new = f"the attribute {old} of {owner}", version, new

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            raise AttributeError(self._what)
        _warn(self._what, self._new, self._version)
        return getattr(instance, self._new)

    def __set__(self, instance: Any, value: Any) -> None:
        _warn(self._what, self._new, self._version)
        setattr(instance, self._new, value)


def _warn(what: str, new: str, version: str) -> None:
    """Warn of an old name."""
    warn(f"{what} is named {new} now: the old name goes in version {version}", DeprecationWarning)
