"""Exact results at a point: with ever more digits, until fifty of them no longer change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import bind, derivatives, run
from nncodegen.compiler.ir import Program

Array = NDArray[Any]

DIGITS = 50
"""The digits of exact results that are certain, relative to the norm of a tensor."""

LADDER = (120, 400, 800, 1600)
"""The numbers of digits of the computations, one after the other, until two agree. With the second, numbers are exact
down to the smallest of double precision: 120 digits make 1 - 1/(1 + exp(-700)) equal to 0, 400 do not."""


FLOOR = "1e-360"
"""A difference that has no effect: the smallest number of double precision, and fifty digits more."""


@dataclass(frozen=True)
class Exact:
    """Outputs (N, columns), losses (N,) and derivatives (N, P) of the loss of each row, and the digits that it took.

    With statistics of a batch, the only loss is that of the batch, and the only row of derivatives belongs to it.
    ``sizes`` are those of the parameters that the derivatives belong to. ``fields`` are the derivatives by inputs and
    the other values that a module returns for each sample; small ones are differences that take many digits.
    """

    outputs: Array
    losses: Array
    gradients: Array
    digits: int
    sizes: tuple[int, ...] = ()
    fields: tuple[Array, ...] = ()

    @property
    def finite(self) -> bool:
        """Return whether all results are finite numbers."""
        return all(mpmath.isfinite(number) for part in self.parts for number in part.flat)

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        """Return the three arrays."""
        return self.outputs, self.losses, self.gradients

    @property
    def tensors(self) -> Iterator[Array]:
        """Yield the arrays that must be certain separately: outputs, losses, fields, derivatives by each parameter."""
        yield from self.outputs
        yield from self.losses.reshape(-1, 1)
        yield from self.fields
        for row in self.gradients:
            yield from np.split(row, np.cumsum(self.sizes)[:-1])


def parts_of(program: Program, samples: int) -> list[slice]:
    """Return the rows that are evaluated separately: each row; all rows together if there are statistics of a batch."""
    return [slice(None)] if program.present else [slice(n, n + 1) for n in range(samples)]


def evaluate_rows(program: Program, parameters: Array, X: Array, Y: Array, digits: int) -> Exact:
    """Return the results for each row separately, or for a whole batch as one row, computed with ``digits``."""
    results, fields = [], list[Array]()
    with mpmath.workdps(digits):
        for rows in parts_of(program, len(X)):
            values = run(program, bind(program, parameters, X[rows], Y[rows]))
            results.append((outputs_of(program, values), losses_of(program, values), gradient_of(program, values)))
            fields += [values[element.tensor].reshape(-1) for element in program.task.fields]
            if program.loss is None:  # the outputs of a function, derivatives among them, may differ in size
                fields += [*results[-1][0].reshape(-1, 1)]
    outputs, losses, gradients = zip(*results, strict=True)
    sizes = tuple(tensor.size for tensor in program.parameters)
    parts = np.concatenate(outputs), np.asarray([*chain(*losses)], dtype=object), np.asarray(gradients, dtype=object)
    return Exact(*parts, digits, sizes, tuple(fields))


def outputs_of(program: Program, values: dict[str, Array]) -> Array:
    """Return the outputs of a program as a matrix (N, columns)."""
    samples = len(values[program.weight.name])
    parts = [values[e.tensor].reshape(samples, -1) for e in program.outputs]
    return np.concatenate(parts, axis=1) if parts else np.zeros((samples, 0))


def losses_of(program: Program, values: Mapping[str, Array]) -> list[Any]:
    """Return the loss of a program in a list; an empty one for a program without a loss."""
    return [] if program.loss is None else [values[program.loss.tensor].item()]


def gradient_of(program: Program, values: dict[str, Array]) -> Array:
    """Return the derivatives of the loss by all parameters, (P,), accumulated in reverse; none without a loss."""
    if program.loss is None:
        return np.empty(0)
    received = derivatives(program, values)
    parts = [np.asarray(received[tensor.name]).reshape(-1) for tensor in program.parameters]
    return np.concatenate(parts or [np.empty(0)])


def settled(program: Program, parameters: Array, X: Array, Y: Array) -> Exact | None:
    """Return the exact results at a point; None if a formula has none at it, or none in 1,600 digits."""
    parts = []
    for rows in parts_of(program, len(X)):
        exact = climb(partial(evaluate_rows, program, parameters, X[rows], Y[rows]))
        if exact is None:
            return None
        parts.append(exact)
    outputs, losses, gradients = (np.concatenate(each) for each in zip(*(part.parts for part in parts), strict=True))
    return Exact(outputs, losses, gradients, max(part.digits for part in parts), parts[0].sizes)


def climb(evaluate: Callable[[int], Exact]) -> Exact | None:
    """Return the results of an evaluation when they no longer change, with the digits that are enough for them."""
    below = evaluate(LADDER[0])
    for digits in LADDER[1:]:
        above = evaluate(digits)
        if above.finite and below.finite and all(map(agree, below.tensors, above.tensors)):
            return replace(above, digits=below.digits)
        if digits > LADDER[1] and not above.finite and not below.finite:
            return None  # more digits rarely help if a value is no number
        below = above
    return None


def agree(actual: Array, expected: Array) -> bool:
    """Return whether two arrays agree to fifty digits of their norm."""
    with mpmath.workdps(2 * DIGITS):
        if all(value is other or value == other for value, other in zip(actual, expected, strict=True)):
            return True
        difference = norm_of(np.asarray([mpmath.fsub(a, b, exact=True) for a, b in zip(actual, expected, strict=True)]))
        return bool(difference <= norm_of(expected) * mpmath.mpf(10) ** -DIGITS + mpmath.mpf(FLOOR))


def norm_of(array: Array) -> Any:
    """Return the root of the sum of the squares."""
    return mpmath.sqrt(mpmath.fsum((number for number in np.asarray(array).flat), squared=True))
