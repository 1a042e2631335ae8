"""Texts about the inputs of a table's networks, for computing them without nncodegen; and about the outputs."""

from __future__ import annotations

from itertools import pairwise

from nncodegen.compiler.escape import printable
from nncodegen.table.kinds import WEEKDAYS, Column, Date, Number
from nncodegen.table.target import Target


def meanings(column: Column) -> tuple[str, ...]:
    """Return a text for each input that encodes a column, in their order, without those of its pieces."""
    name = printable(column.name)
    if isinstance(column, Number):
        number = f"{name}, as {_scaled(name, column.mean, column.deviation)}; a missing one is {column.median!r}"
        return (number, *_missing(name, column.has_missing), *(_is(name, text) for text in column.texts))
    if isinstance(column, Date):
        return _date(column, name)
    others = (f"{name} is none of these: 1, else 0",) if column.other else ()
    return (*(_is(name, value) for value in column.values), *others)


def pieces_meanings(column: Column) -> tuple[str, ...]:
    """Return a text for each input of the pieces of a column of numbers, or of the n-grams of texts."""
    name, count = printable(column.name), column.pieces
    if not isinstance(column, Number):
        return tuple(
            f"number {k + 1} of {count} that the n-grams of {name} give (see model.json and parameters.npz)"
            for k in range(count)
        )
    return tuple(
        f"2*({name} {'-' if low >= 0 else '+'} {abs(low)!r})/{high - low!r} - 1, at least -1 and at most 1; a missing "
        f"one is {column.median!r}"
        for low, high in pairwise(column.knots)
    )


def output_meanings(target: Target) -> tuple[str, ...]:
    """Return texts about the outputs: probabilities, or the predicted number in the units of the table."""
    if not target.classes:
        return (printable(target.name),)
    if target.outputs > 1:
        return tuple(f"probability that {printable(target.name)} is {printable(value)}" for value in target.classes)
    no, yes = map(printable, target.classes)
    return (f"probability that {printable(target.name)} is {yes}, else {no}",)


def _date(column: Date, name: str) -> tuple[str, ...]:
    """Return texts about the inputs of a date. Where it is missing, the inputs computed from it are 0."""
    meanings = [f"{name}, as {_scaled('days', column.mean, column.deviation)} with its days since 1970-01-01 (UTC)"]
    if column.year:
        meanings.append(f"the first day of the year of {name}, in the same way")
    if column.month:
        meanings += [f"{wave}(2*pi*(month - 1)/12) of the month of {name}" for wave in ("sin", "cos")]
    meanings += [f"{name} is a {WEEKDAYS[day]}: 1, else 0" for day in column.weekdays]
    if column.hour:
        meanings += [f"{wave}(2*pi*hour/24) of the time of {name}" for wave in ("sin", "cos")]
    return (*meanings, *_missing(name, column.has_missing), *(_is(name, text) for text in column.texts))


def _scaled(value: str, mean: float, deviation: float) -> str:
    return f"({value} {'-' if mean >= 0 else '+'} {abs(mean)!r})/{deviation!r}"


def _missing(name: str, has_missing: bool) -> tuple[str, ...]:
    return (f"{name} is missing: 1, else 0",) * has_missing


def _is(name: str, text: str) -> str:
    return f"{name} is {printable(text)}: 1, else 0" if text else f"{name} is missing: 1, else 0"
