"""Derivatives of formulas by all unknowns at once: values of all operations, and then the chain rule from the end.

Its time does not grow with the number of unknowns (A. Griewank and A. Walther, Evaluating Derivatives, 2008, chapter
3), as that of tangents does. Formulas have many unknowns and few outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sympy import Integer, Symbol

from nncodegen.structural.fields import Array, Field
from nncodegen.structural.tape import CALL, INVERSE, LEAF, NUMBER, PRODUCT, SUM, Operation, Tape


def reverse_gradients(
    tape: Tape,
    field: Field,
    values: Mapping[Symbol, Array],
    places: Sequence[int],
    columns: Mapping[Symbol, Sequence[int]],
    unknowns: int,
) -> Array:
    """Return the derivatives of formulas at some places of a tape, (points, formulas, unknowns).

    values has those of all symbols, (points,), and ``columns`` the columns of unknowns, one for each point. Raises
    SingularError and NotRationalError.
    """
    points = len(next(iter(values.values())))
    results, slopes = _evaluated(tape, field, values, points)
    gradients = field.zeros((points, len(places), unknowns))
    rows = np.arange(points)
    for number, place in enumerate(places):
        received: dict[int, Array] = {place: field.zeros((points,)) + field.number(Integer(1))}
        for at in range(place, -1, -1):
            adjoint = received.pop(at, None)
            operation = tape.operations[at]
            if adjoint is None:
                continue
            if operation.kind == LEAF and operation.of in columns:
                gradients[rows, number, columns[operation.of]] = adjoint
            for operand, factor in _factors(field, operation, at, results, slopes):
                part = adjoint if factor is None else field.clean(adjoint * factor)
                received[operand] = field.clean(received[operand] + part) if operand in received else part
    return gradients


def _evaluated(
    tape: Tape, field: Field, values: Mapping[Symbol, Array], points: int
) -> tuple[list[Array], dict[int, list[Array]]]:
    """Return the values of all operations, (points,) each, and the derivatives of functions by their arguments."""
    results: list[Array] = []
    slopes: dict[int, list[Array]] = {}
    for place, operation in enumerate(tape.operations):
        operands = [results[operand] for operand in operation.operands]
        if operation.kind == LEAF:
            result = values[operation.of]
        elif operation.kind == NUMBER:
            result = field.zeros((points,)) + field.number(operation.of)
        elif operation.kind == SUM:
            result = field.clean(sum(operands))
        elif operation.kind == PRODUCT:
            result = field.clean(operands[0] * operands[1])
        elif operation.kind == INVERSE:
            result = field.inverse(operands[0])
        else:
            result, slopes[place] = field.call(operation.of, operands)
        results.append(result)
    return results, slopes


def _factors(
    field: Field, operation: Operation, place: int, results: Sequence[Array], slopes: Mapping[int, Sequence[Array]]
) -> Iterator[tuple[int, Array | None]]:
    """Yield the operands of an operation, each with the derivative by it; None where that is 1."""
    operands = operation.operands
    if operation.kind == SUM:
        yield from ((operand, None) for operand in operands)
    elif operation.kind == PRODUCT:
        yield operands[0], results[operands[1]]
        yield operands[1], results[operands[0]]
    elif operation.kind == INVERSE:
        yield operands[0], field.clean(-field.clean(results[place] * results[place]))
    elif operation.kind == CALL:
        yield from zip(operands, slopes[place], strict=True)
