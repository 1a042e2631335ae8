"""Numbers and activations of other libraries, by the records of ``describe.activations``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sympy import Expr, Float, Integer, Rational

from nncodegen.compiler.describe.activations import RECORDS, Form, Named


def number(value: float) -> Expr:
    """Return a number as an exact expression: as an integer or a simple fraction where it is one."""
    numerator, denominator = float(value).as_integer_ratio()
    if denominator == 1 and abs(numerator) < 2**53:
        return Integer(numerator)
    return Rational(numerator, denominator) if denominator <= 64 else Float(float(value))


def by_names(library: str) -> dict[str, tuple[Named, ...]]:
    """Return the records for each name in "torch" or "onnx", those first that take an attribute with a text."""
    names: dict[str, tuple[Named, ...]] = {}
    for record in sorted(RECORDS, key=lambda record: not form_of(record, library).texts):
        if name := form_of(record, library).name:
            names[name] = (*names.get(name, ()), record)
    return names


def form_of(record: Named, library: str) -> Form:
    """Return an activation in "torch" or "onnx"; a form without a name where there is none."""
    form: Form | None = getattr(record, library)
    return form or Form("")


def with_texts(records: Sequence[Named], library: str, text: Callable[[str], str]) -> Named:
    """Return the record among those of a name whose attributes have the right texts; ``text`` gives that of a name."""
    fits = (record for record in records if all(text(name) == v for name, v in form_of(record, library).texts.items()))
    return next(fits)


def with_parameters(record: Named, values: Iterable[float]) -> Callable[[Any], Expr]:
    """Return the function of an activation with values for its parameters, such as alpha, in their order."""
    numbers = [*map(number, values)]
    return lambda z: record.formula(z, *numbers)
