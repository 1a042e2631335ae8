"""Solutions of differential equations in many digits, by extrapolation of an explicit or a linearly implicit method.

Of the explicit midpoint rule, which begins with a step of Euler's method,

    u[k + 1] = u[k - 1] + 2*h*f(t[k], u[k])

or, for stiff equations, of the linearly implicit Euler method, which solves

    (1/h - J)*change = f(t + h, u)        with J = df/du at the begin of the whole step

for the change of u in a step, results for shorter and shorter h = H/n are extrapolated to h = 0, column by column
(Aitken and Neville). The errors of the former are powers of h**2 where n is even, those of the latter powers of h: E.
Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I, II.9 (ODEX), and II, IV.9 (SEULEX). The
order grows with the number of results, and so is chosen with the length H. They share nothing with the methods that
modules take: no coefficients, no loop, no estimate of an error.

Several solutions, *lanes*, take the same steps, and the matrix of the first one. The others differ from it by a small
part of DISTANCE, so that their differences are derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath

State = list[Any]
"""The states of one solution."""

DIGITS = 50
"""The digits of all numbers on the way; extrapolation and differences of lanes lose half of them at most."""

DISTANCE = "1e-20"
"""The distance of lanes, relative to what is changed."""

ROWS = 18
"""The largest number of results that are extrapolated."""

FIRST_ROWS = 4
"""The least number of results from which an error is estimated."""

SAFE, GROWTH, SHRINKING = 0.9, 4.0, 0.1
"""The part of the length that an estimate proposes, and the most by which a length grows and shrinks in a step."""

SHORTEST = "1e-25"
"""A step that is shorter, as a part of the interval, leads nowhere."""


class NoSolution(Exception):  # noqa: N818 (it is an answer, caught where points are drawn)
    """The solution leaves the range of numbers, or takes more evaluations of rates than are allowed."""


@dataclass
class Extrapolation:
    """The solution of lanes from one time to the next.

    rates      the rates of a lane at a time and its states
    slopes     the Jacobian of the first lane at a time and its states, row by row; None for the explicit rule
    error      a norm of the difference of two results of all lanes, given the second, that is at most 1 for a step
    left       the number of evaluations of rates that are still allowed for a lane
    length     the length that the last step has proposed
    rows       the number of results that it has proposed
    """

    rates: Callable[[int, Any, State], State]
    slopes: Callable[[Any, State], list[State]] | None
    error: Callable[[Sequence[State], Sequence[State]], float]
    left: int
    length: Any = None
    rows: int = field(default=8)

    def solve(self, now: Any, end: Any, lanes: Sequence[State]) -> list[State]:
        """Return the states of all lanes at the end of an interval. Raise NoSolution where there are none."""
        lanes, whole = [*lanes], end - now
        if self.length is None:
            self.length = whole / 100
        while now < end:
            asked, last = self.length, now + self.length >= end
            length = end - now if last else asked
            if length < whole * mpmath.mpf(SHORTEST):
                raise NoSolution("steps become too short")
            after = self._step(now, length, lanes)
            if after is None:
                continue
            if last:  # it was shortened to end there: the next interval begins with the usual length, if that is longer
                self.length = max(self.length, asked)
            lanes, now = after, end if last else now + length
        return lanes

    def _step(self, now: Any, length: Any, lanes: Sequence[State]) -> list[State] | None:
        """Return the states after a step, or None where its error is too large; propose the length of the next one."""
        if self.slopes:
            power, attempt, begin = 1, self._implicit, self.slopes(now, lanes[0])
        else:
            power, attempt, begin = 2, self._explicit, [self.rates(lane, now, u) for lane, u in enumerate(lanes)]
        before: list[list[State]] = []
        proposals: list[tuple[float, int, Any]] = []
        for row in range(1, min(self.rows + 2, ROWS) + 1):
            results = [attempt(now, length, row, lanes, begin)]
            for k, known in enumerate(before):
                weight = 1 / ((mpmath.mpf(row) / (row - k - 1)) ** power - 1)
                results.append([
                    [new + (new - old) * weight for new, old in zip(one, other, strict=True)]
                    for one, other in zip(results[-1], known, strict=True)
                ])  # fmt: skip
            if row >= FIRST_ROWS:
                error = self.error(results[-2], results[-1])
                order = power * (row - 1)
                factor = GROWTH if error == 0 else (0.5 / error) ** (1 / (order + 1)) if error < mpmath.inf else 0.0
                factor = min(GROWTH, max(SHRINKING, SAFE * factor))
                proposals.append((self._work(row) / factor, row, length * factor))
                if error <= 1:
                    self._propose(proposals)
                    return results[-1]
            before = results
        self._propose(proposals)
        self.length = min(self.length, length / 2)
        return None

    def _propose(self, proposals: Sequence[tuple[float, int, Any]]) -> None:
        """Keep the length and the number of results that take the least work for a time; one more if it is the last."""
        _, self.rows, self.length = min(proposals, key=lambda one: one[0])
        if self.rows == proposals[-1][1] and self.rows + 2 < ROWS:
            self.length *= self._work(self.rows + 1) / self._work(self.rows)
            self.rows += 1

    def _work(self, rows: int) -> float:
        """Return the work for a number of results: the steps of the method, and the matrices, each like one of them."""
        return rows * (rows + 1) / 2 + rows if self.slopes else rows * (rows + 1)

    def _explicit(self, now: Any, length: Any, count: int, lanes: Sequence[State], begin: list[State]) -> list[State]:
        """Return the states of all lanes after pairs of steps of the midpoint rule, given the rates at their begin."""
        steps = 2 * count
        self._spend(steps)
        h, found = length / steps, []
        for lane, (before, rates) in enumerate(zip(lanes, begin, strict=True)):
            u = [one + h * rate for one, rate in zip(before, rates, strict=True)]
            for k in range(1, steps):
                rates = self.rates(lane, now + k * h, u)
                before, u = u, [one + 2 * h * rate for one, rate in zip(before, rates, strict=True)]
            found.append(u)
        return found

    def _spend(self, count: int) -> None:
        """Count evaluations of rates. Raise NoSolution where they are too many."""
        self.left -= count
        if self.left < 0:
            raise NoSolution("it takes too many steps")

    def _implicit(self, now: Any, length: Any, count: int, lanes: Sequence[State], begin: list[State]) -> list[State]:
        """Return the states of all lanes after linearly implicit steps, given the Jacobian at their begin."""
        self._spend(count)
        h = length / count
        matrix = [[-slope for slope in row] for row in begin]
        for k, row in enumerate(matrix):
            row[k] += 1 / h
        factors = _factorized(matrix)
        found = []
        for lane, u in enumerate(lanes):
            for k in range(count):
                change = _substituted(factors, self.rates(lane, now + (k + 1) * h, u))
                u = [one + other for one, other in zip(u, change, strict=True)]
            found.append(u)
        return found


Factors = tuple[list[State], list[int]]


def _factorized(a: list[State]) -> Factors:
    """Return the triangular factors of a matrix, which is overwritten, and the row of each pivot."""
    pivots = []
    for k in range(len(a)):
        best = max(range(k, len(a)), key=lambda i: abs(a[i][k]))
        a[k], a[best] = a[best], a[k]
        pivots.append(best)
        if not a[k][k]:
            raise NoSolution("a matrix is singular")
        inverse = a[k][k] = 1 / a[k][k]
        for row in a[k + 1 :]:
            if row[k]:
                row[k] *= inverse
                for j in range(k + 1, len(a)):
                    row[j] -= row[k] * a[k][j]
    return a, pivots


def _substituted(factors: Factors, b: State) -> State:
    """Return the solution of linear equations, given their right-hand side."""
    (a, pivots), b = factors, [*b]
    for k, best in enumerate(pivots):
        b[k], b[best] = b[best], b[k]
        for i in range(k + 1, len(b)):
            if a[i][k]:
                b[i] -= a[i][k] * b[k]
    for k in reversed(range(len(b))):
        for j in range(k + 1, len(b)):
            b[k] -= a[k][j] * b[j]
        b[k] *= a[k][k]
    return b
