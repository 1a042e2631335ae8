"""Declarations of options: each has its type, check, default, description, members in C, and the help of its flag.

``options.py`` declares the options of trainings in this way, ``fit_options.py`` those of fits, and
``nncodegen/formats/export/options.py`` those of exports. ``calls.py`` makes signatures, documentation and the handling
of arguments from them, ``nncodegen/cli/flags.py`` the flags of commands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, cast

from .scalars import flag, integer, number

if TYPE_CHECKING:
    from ..native.model import Model

T = TypeVar("T")
Record = TypeVar("Record", bound="Options")


class Range(NamedTuple):
    """Numbers from low, or above it, to below high; of whole numbers, high is one of them."""

    low: Any
    high: Any
    excludes_low: bool = False
    whole: bool = False


class Kind(NamedTuple):
    """The type of an option in a signature, and a check that returns its value."""

    type: str
    check: Callable[[Model, str, Any], Any]
    checks_later: bool = False
    """True if the check is made where the option is used, because it depends on other arguments."""
    range: Range | None = None
    """The numbers that the check allows, if it allows just these."""
    choices: tuple[str, ...] = ()
    """The texts that the check allows, if it allows just these."""
    required: Callable[[Model, str, Any], Any] | None = None
    """The check of values other than None, if None is allowed."""

    def check_of(self, default: Any) -> Callable[[Model, str, Any], Any] | None:
        """Return the check of a value that is not the default; None if it is made where the option is used."""
        if self.checks_later:
            return None
        return self.required if self.required and default is None else self.check


class Member(NamedTuple):
    """A member of the structure in C that depends on an option; ``value`` computes it from the settings."""

    type: str
    name: str
    meaning: str
    value: Callable[[Any], float]


class Option(NamedTuple):
    """The declaration of an option. ``meaning`` is its description; ``section`` starts a paragraph in documentation."""

    kind: Kind
    default: Any
    meaning: str
    members: tuple[Member, ...]
    section: bool
    help: str
    """The help of its flag, if that is not the meaning, but shorter, or about a command line."""
    metavar: str
    """The word for its value in the help of its flag, if the type of the value does not say enough."""

    def flag(self, name: str) -> str:
        """Return its flag in commands, by its name; the flag turns off what is on by default."""
        return f"--{'no-' if self.default is True else ''}{name.replace('_', '-')}"


def option(
    kind: Kind, default: T, meaning: str, *members: Member, section: bool = False, help: str = "", metavar: str = ""
) -> T:
    """Return a declaration, typed as the value that the settings will hold under its name."""
    return cast(T, Option(kind, default, meaning, members, section, help, metavar))


class Options:
    """The values of options: those that were given, and the defaults of all others.

    A record takes the dictionary that it is given as its own.
    """

    declared: ClassVar[dict[str, Option]]
    """The declarations by name, in their order."""

    def __init_subclass__(cls) -> None:
        """Take the declarations of a class, whose attributes are the defaults from then on."""
        cls.declared = {name: value for name, value in vars(cls).items() if isinstance(value, Option)}
        for name, declaration in cls.declared.items():
            setattr(cls, name, declaration.default)

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ = values

    def changed(self: Record, **values: Any) -> Record:
        """Return a copy of these options with other values."""
        return type(self)({**self.__dict__, **values})


# --- kinds of values ---------------------------------------------------------------------------------------------


def real(low: float, high: float = math.inf, excludes_low: bool = False) -> Kind:
    """Return the kind of numbers from low, or above it, to below high."""

    def check(model: Model, name: str, value: Any) -> float:
        if type(value) is float and low < value < high and value > model.tiny:
            return value  # at once: a call takes as long as a tenth of a small fit
        return number(model, name, value, low, high, excludes_low)

    return Kind("float", check, range=Range(low, high, excludes_low))


def whole(low: int, high: int) -> Kind:
    """Return the kind of integers from low to high, both included."""

    def check(model: Model, name: str, value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        return integer(name, value, low, high)

    return Kind("int", check, range=Range(low, high, whole=True))


def optional(kind: Kind) -> Kind:
    """Return the kind of values of another one, or None."""
    required = kind.check

    def check(model: Model, name: str, value: Any) -> Any:
        return None if value is None else required(model, name, value)

    return kind._replace(type=f"{kind.type} | None", check=check, required=required)


def unchecked(type: str) -> Kind:
    """Return the kind of an option that is checked where it is used."""
    return Kind(type, lambda model, name, value: value, checks_later=True)


def check_callback(model: Model, name: str, value: Any) -> Any:
    """Return one or several functions as a tuple, None for none. Raises ValueError."""
    functions = tuple(value) if isinstance(value, Sequence) and not callable(value) else (value,)
    if not all(map(callable, functions)):
        raise ValueError(f"{name} must be a function of one argument, or several in a list, not {value!r}")
    return functions or None


FLAG = Kind("bool", lambda model, name, value: flag(name, value))
ARRAY = unchecked("ArrayLike | None")
