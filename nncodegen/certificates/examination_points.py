"""The points at which a module is examined: of five kinds, drawn from a seed.

Ordinary points lie near the initial parameters, with inputs between 0 and 1. Saturated ones have many times larger
parameters, or inputs where there are none. Huge and tiny ones have inputs or parameters of other orders of magnitude.
Those at branches have a value of 0, or next to it, for the argument of a condition, an absolute value, a maximum or the
like. Index-valued inputs, such as the rows of an embedding, are whole numbers in their range at all points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Abs, Expr, Max, Min, sign
from sympy.core.relational import Relational

from nncodegen.certificates.exact import bind, run
from nncodegen.certificates.expressions import formula
from nncodegen.compiler.ir import SAMPLE, Element, Initial, Program, Step, needed, ranges_of, slices_of

Array = NDArray[Any]

KINDS = ("ordinary", "saturated", "huge", "tiny", "at branches")


@dataclass(frozen=True)
class Point:
    """Parameters (P,), inputs (N, columns) and targets (N, columns), all exact in the module's precision."""

    kind: str
    parameters: Array
    X: Array
    Y: Array


class Points:
    """Draws points for a program; ``simplified`` is the form that the machine computes, with its branches."""

    def __init__(self, described: Program, simplified: Program, rows: int, seed: int) -> None:
        self._program, self._rows = described, rows
        self._random = np.random.default_rng(seed)
        self._inputs, self._targets = (
            sum(tensor.size for tensor in tensors) for tensors in (described.inputs, described.targets)
        )
        self._ranges = ranges_of(described)
        self._simplified = simplified
        self._switches = tuple(switches(simplified))

    def of(self, kind: str) -> Point | None:
        """Return a point of a kind; None if none exists, as for branches of a formula without any."""
        drawn = self._branch() if kind == "at branches" else self._drawn(kind)
        if drawn is None:
            return None
        with np.errstate(over="ignore", under="ignore"):
            parameters, X, Y = (part.astype(self._program.precision).astype(float) for part in drawn)
        return Point(kind, parameters, X, Y) if np.isfinite([*parameters, *X.flat, *Y.flat]).all() else None

    def _drawn(self, kind: str) -> tuple[Array, Array, Array]:
        random = self._random
        parameters = np.concatenate(
            [self._initial(t.initial, t.size) for t in self._program.parameters] or [np.empty(0)]
        )
        X = random.uniform(0.1, 0.9, (self._rows, self._inputs))
        Y = random.uniform(0.1, 0.9, (self._rows, self._targets))
        if self._program.task.labels:
            Y = np.eye(self._targets)[random.integers(0, self._targets, self._rows)]
        if random.random() < 0.5:  # else they are positive, as for a logarithm or a root
            X *= random.choice([-1.0, 1.0], X.shape)
        scale = {
            "saturated": random.uniform(5, 50),
            "huge": 10 ** random.uniform(2, 5),
            "tiny": 10 ** -random.uniform(3, 12),
        }.get(kind, 1.0)
        if len(parameters) and (kind == "saturated" or (kind in ("huge", "tiny") and random.random() < 0.5)):
            parameters = parameters * scale
        else:
            X = X * scale
        for tensor, column_range in slices_of(self._program.inputs):
            if tensor.name in self._ranges:
                X[:, column_range] = random.integers(*self._ranges[tensor.name], size=(self._rows, tensor.size))
            if tensor.name in self._program.task.sorted_inputs:
                X[:, column_range].sort(axis=1)
        return parameters, X, Y

    def _initial(self, initial: Initial, size: int) -> Array:
        """Return values near the initial ones of a parameter."""
        if initial.distribution == "given":
            start = np.frombuffer(initial.values, "<f8").copy()
        elif initial.distribution == "constant":
            start = np.full(size, float(initial.scale))
        else:
            start = self._random.normal(0, 1, size) * initial.scale
        moved = start * (1 + 0.2 * self._random.normal(0, 1, size))
        return np.where(start == 0, 0.3 * self._random.normal(0, 1, size), moved)

    # Branches.

    def _branch(self) -> tuple[Array, Array, Array] | None:
        """Return a point at which a switch of one row is 0, or next to it, by moving one argument."""
        if not self._switches:
            return None
        for _ in range(8):
            parameters, X, Y = self._drawn("ordinary")
            step = self._switches[self._random.integers(len(self._switches))]
            values = [*parameters, *X[0]]
            free = np.flatnonzero([*np.ones(len(parameters), bool), *~numbering(self._program)])
            for place in self._random.permutation(free)[:6]:
                root = self._root(step, values, int(place), Y[:1])
                if root is not None:
                    values[int(place)] = root
                    return np.asarray(values[: len(parameters)]), np.vstack([values[len(parameters) :], X[1:]]), Y
        return None

    def _root(self, step: Step, values: list[float], place: int, Y: Array) -> float | None:
        """Return the value of an argument where a switch is 0, by the secant method; None if that finds none."""
        program, count = self._simplified, self._program.parameter_count
        operands = {e.tensor for e in step.operands}
        before = needed(program.steps, [e for s in program.steps for e in [s.target] if e.tensor in operands])
        position: list[tuple[int, ...]] = []

        def switch(value: Any) -> Any:
            numbers = np.empty(len(values), dtype=object)
            numbers[:] = [mpmath.mpf(float(number)) for number in values]
            numbers[place] = value
            bound = bind(program, numbers[:count], numbers[count:].reshape(1, -1), Y)
            array = run(only(program, (*before, step)), bound)[step.target.tensor]
            if not position:
                position.append(tuple(int(self._random.integers(n)) for n in array.shape))
            return array[position[0]]

        with mpmath.workdps(40):
            a = mpmath.mpf(float(values[place]))
            b = a * mpmath.mpf("1.25") + mpmath.mpf("0.125")
            at_a, at_b = switch(a), switch(b)
            for _ in range(12):
                if not (mpmath.isfinite(at_a) and mpmath.isfinite(at_b)) or at_a == at_b:
                    return None
                a, b, at_a = b, b - at_b * (b - a) / (at_b - at_a), at_b
                if not mpmath.isfinite(b) or abs(b) > 1e6:
                    return None
                at_b = switch(b)
                if abs(b - a) <= abs(b) * mpmath.mpf(10) ** -25:
                    return float(b)
        return None


def numbering(program: Program) -> NDArray[np.bool_]:
    """Return, for each column of the inputs, whether its values are indices, or times, which no other value may be."""
    ranges = ranges_of(program)
    return np.array(
        [
            tensor.name in (*ranges, *program.task.sorted_inputs)
            for tensor in program.inputs
            for _ in range(tensor.size)
        ],
        bool,
    )


def only(program: Program, steps: tuple[Step, ...]) -> Program:
    """Return a program that has these steps, with the known sizes."""
    part = object.__new__(Program)
    part.__dict__.update(program.__dict__)
    part.__dict__["steps"] = steps
    part.__dict__["_checked"] = (program.shapes, program.sizes)
    return part


def switches(program: Program) -> Iterator[Step]:
    """Yield a step for each expression whose sign decides a branch of a sample."""
    seen: set[Expr] = set()
    for step in program.steps:
        if SAMPLE not in step.indices or program.weight.name in {e.tensor for e in step.operands}:
            continue
        for value in _deciding(step.expression):
            if value not in seen and not value.is_number and formula(value).operands:
                seen.add(value)
                indices = tuple(i for i in step.indices if any(i in e.indices for e in formula(value).operands))
                yield Step(Element("switch of a branch", indices), value)


def _deciding(expression: Expr) -> Iterator[Expr]:
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, Relational):
            yield node.lhs - node.rhs
        elif isinstance(node, Abs | sign):
            yield node.args[0]
        elif isinstance(node, Max | Min):
            first, *others = node.args
            yield from (first - other for other in others)
