"""The arguments of a function: symbols in any nesting, and what is given for them in a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Basic, Derivative, Expr, Indexed, MatrixBase, MatrixSymbol, NDimArray, Symbol, symbols
from sympy.core.function import AppliedUndef
from sympy.matrices.expressions.matexpr import MatrixElement

from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.types import Array

LEAVES = (Symbol, AppliedUndef, Derivative, Indexed, MatrixElement)
"""The classes of what stands for a number in an expression, and may be an argument."""

Form = None | tuple[Any, ...]
"""The nesting of an argument: None for a number, a tuple for a sequence."""


@dataclass(frozen=True)
class Argument:
    """An argument: its name, by which it can be given, its nesting, and its symbols one after the other.

    A matrix that is one column may be given without its second axis, as ``column`` says.
    """

    name: str
    form: Form
    leaves: tuple[Basic, ...]
    column: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Arguments:
    """The arguments of a function, in their order."""

    arguments: tuple[Argument, ...]

    @cached_property
    def leaves(self) -> tuple[Basic, ...]:
        """Return the symbols of all arguments."""
        return tuple(leaf for argument in self.arguments for leaf in argument.leaves)

    @property
    def form(self) -> tuple[Form, ...]:
        """Return the nesting of all arguments."""
        return tuple(argument.form for argument in self.arguments)

    @property
    def signature(self) -> str:
        """Return the arguments as a call has them."""
        return ", ".join(map(str, self.arguments))

    def bound(self, given: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """Return the values of all arguments of a call. Raises TypeError for one that is missing, or not known."""
        names = [argument.name for argument in self.arguments]
        if len(given) > len(names):
            raise TypeError(f"{len(given)} arguments are given, and there are {len(names)}: {self.signature}")
        values = dict(zip(names, given, strict=False))
        for name, value in named.items():
            if name not in names:
                raise TypeError(f"there is no argument {name}; there are: {self.signature}")
            if name in values:
                raise TypeError(f"the argument {name} is given twice")
            values[name] = value
        missing = [name for name in names if name not in values]
        if missing:
            raise TypeError(f"the argument {missing[0]} is missing; there are: {self.signature}")
        return [values[name] for name in names]

    def arrays(self, values: Sequence[Any], dtype: str) -> list[Array]:
        """Return an array for each symbol. Raises TypeError or ValueError, naming the argument."""
        return [
            array
            for argument, value in zip(self.arguments, values, strict=True)
            for array in _unpacked(argument, value, dtype)
        ]


def read_arguments(args: Any) -> Arguments:
    """Return the arguments that a user gave as SymPy's lambdify takes them. Raises ModelError."""
    if isinstance(args, str):
        args = symbols(args)
    several = isinstance(args, tuple | list | MatrixBase | NDimArray) or type(args).__name__ == "Tuple"
    arguments, taken = [], set[str]()
    for number, item in enumerate(args if several else (args,), start=1):
        argument = _argument(item, number)
        if argument.name in taken:
            argument = Argument(f"argument{number}", argument.form, argument.leaves, argument.column)
        taken.add(argument.name)
        arguments.append(argument)
    read = Arguments(tuple(arguments))
    seen = set[Basic]()
    for leaf in read.leaves:
        if leaf in seen:
            raise ModelError(f"the argument {leaf} is given twice in args")
        seen.add(leaf)
    return read


def _argument(item: Any, number: int) -> Argument:
    form, leaves = _read(item)
    name = f"argument{number}"
    if isinstance(item, Symbol | MatrixSymbol):
        name = item.name
    elif isinstance(item, str):
        name = item
    elif isinstance(item, AppliedUndef):
        name = str(item.func)
    column = isinstance(item, MatrixSymbol) and item.shape[1] == 1
    return Argument(name, form, leaves, column)


def _read(item: Any) -> tuple[Form, tuple[Basic, ...]]:
    """Return the nesting of an argument and its symbols; those of a matrix of one row or column are a sequence."""
    if isinstance(item, str):
        parsed = symbols(item)
        return _read(parsed)
    if isinstance(item, LEAVES):
        return None, (item,)
    if isinstance(item, MatrixSymbol):
        rows, columns = item.shape
        if not (rows.is_Integer and columns.is_Integer):
            raise ModelError(f"the argument {item} has the shape {item.shape}: give it a shape in numbers")
        return _sequence([[item[row, column] for column in range(columns)] for row in range(rows)])
    if isinstance(item, MatrixBase):
        return _sequence([*item] if 1 in item.shape else item.tolist())
    if isinstance(item, NDimArray):
        return _sequence(item.tolist())
    if isinstance(item, np.ndarray):
        return _sequence([*item])
    if isinstance(item, tuple | list) or type(item).__name__ == "Tuple":
        return _sequence(item)
    raise ModelError(
        f"args contains {item!r}, which is no symbol: it takes symbols, functions such as q(t), their derivatives, "
        f"MatrixSymbol, Indexed, and nested lists of them"
    )


def _sequence(items: Any) -> tuple[Form, tuple[Basic, ...]]:
    parts = [_read(item) for item in items]
    return tuple(form for form, _ in parts), tuple(leaf for _, leaves in parts for leaf in leaves)


def _unpacked(argument: Argument, value: Any, dtype: str) -> Iterator[Array]:
    form = argument.form
    if argument.column and np.ndim(value) == 1 and form is not None and len(value) == len(form):
        form = (None,) * len(form)
    yield from _parts(argument.name, form, value, dtype)


def _parts(name: str, form: Form, value: Any, dtype: str) -> Iterator[Array]:
    """Yield an array for each number of a form."""
    if form is None:
        yield real(name, value, dtype)
        return
    if not isinstance(value, tuple | list):
        value = real(name, value, dtype)
        if not value.ndim:
            raise TypeError(f"the argument {name} is a sequence of {len(form)}, and a number is given")
    if len(value) != len(form):
        raise ValueError(f"the argument {name} has {len(form)} parts, and {len(value)} are given")
    for number, (part, of_part) in enumerate(zip(value, form, strict=True)):
        yield from _parts(f"{name}[{number}]", of_part, part, dtype)


def real(name: str, value: Any, dtype: str) -> Array:
    """Return a value of an argument as an array, without a copy if it is one. Raises TypeError unless it is real."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"the argument {name} is a masked array: give its data, or x.filled(...)")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TypeError(f"the argument {name} is no array of real numbers: {error}") from error
    if array.dtype.kind in "fiub":
        return array.astype(dtype, copy=False)
    if array.dtype.kind == "c":
        raise TypeError(f"the argument {name} is complex: {value!r}; the function is real")
    numbers = array.dtype.kind == "O" and all(
        (hasattr(each, "__float__") and not isinstance(each, Expr | str)) or getattr(each, "is_real", False)
        for each in array.flat
    )
    if not numbers:
        raise TypeError(f"the argument {name} is no real number, and no array of them: {value!r}")
    return array.astype(dtype)
