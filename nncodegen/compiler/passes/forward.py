"""The forward sweep over the steps of a program: the derivatives of all of its values in one direction.

Each parameter changes in a direction. Then a step ``v[B] = sum(C) f(..., u[A], ...)`` changes by

    v_v[B] = sum(C) df/du*v_u[A] + ...          a term for each operand that depends on a parameter

under the same equations between indices, if the step has any. The change of a recurrence is a recurrence that runs in
the same direction. The sweep adds one or a few steps for each step, and reads the values of the steps themselves. Run
over the steps of a gradient, it gives the Hessian times the direction (Pearlmutter, 1994).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympy import Add, Expr, S

from nncodegen.compiler.ir import (
    NORMALIZATIONS,
    RECURRENCES,
    SAMPLE,
    Element,
    Equation,
    Program,
    Step,
    gathered,
    renamed,
)
from nncodegen.compiler.ir.systems import DIRECTED, INTEGRATE, Named, path
from nncodegen.compiler.passes.augment import moved_along
from nncodegen.compiler.passes.derivatives import may_vanish, product
from nncodegen.compiler.passes.infinities import Infinities
from nncodegen.compiler.passes.numbering import Numbering
from nncodegen.compiler.passes.reverse import SUMS, active, chosen_terms, partial_derivatives, share_of, slopes_of


def forward_sweep(
    program: Program,
    steps: Iterable[Step],
    directions: Mapping[str, str | Expr],
    results: Iterable[Element],
    numbering: Numbering,
) -> tuple[Element, ...]:
    """Add the steps of the forward sweep to the numbering; return the elements that hold the derivatives of results.

    ``directions`` has the name of a tensor of the same shape for each parameter, or a number for one without indices.
    Each result keeps its indices.
    """
    steps, results = gathered(steps), tuple(results)
    sweep = _Sweep(program, directions, Infinities(steps, results), active(program, steps), numbering)
    for step in steps:
        sweep.add(step)
    sweep.close()
    return tuple(numbering.define(sweep.of(result), f"v_{result.tensor}", result.indices) for result in results)


class _Sweep:
    """The derivatives of the values so far. ``varying`` are the tensors that depend on trained parameters."""

    def __init__(
        self,
        program: Program,
        directions: Mapping[str, str | Expr],
        infinities: Infinities,
        varying: set[str],
        numbering: Numbering,
    ) -> None:
        self._program, self._infinities, self._varying, self._numbering = program, infinities, varying, numbering
        self._directions = {name: direction for name, direction in directions.items() if name in varying}
        self._found: dict[str, tuple[Element, Expr]] = {}  # the target of a step by its name, and its derivative
        self._recurrences: list[tuple[Element, Element]] = []
        self._infinite: set[str] = set()  # tensors whose derivative may be infinite although the loss is finite
        self._slow: set[str] = set()  # of these, those with a pole that later functions hide weakly

    def of(self, element: Element) -> Expr:
        """Return the derivative of an element: the number 0, or an element with a sign."""
        if element.tensor in self._directions:
            direction = self._directions[element.tensor]
            return Element(direction, element.indices) if isinstance(direction, str) else direction
        if element.tensor not in self._found:
            return S.Zero
        target, value = self._found[element.tensor]
        return renamed(value, dict(zip(target.indices, element.indices, strict=True)))

    def add(self, step: Step) -> None:
        """Add the derivative of the target of a step."""
        target, name = step.target, f"v_{step.target.tensor}"
        if target.tensor not in self._varying:
            return
        if step.operator in RECURRENCES:
            derivative = self._numbering.recur(step.operator, target.indices, step.over, name)
            self._recurrences.append((derivative, step.operands[0]))
            self._found[target.tensor] = target, derivative
            if self._infinities.is_loose(target):  # and so is its derivative, which is complete only at the end
                self._infinite.add(target.tensor)
            return
        value = self._derivative(step, name)
        sign = -1 if value.as_coeff_Mul()[0] == -1 else 1  # v and -v share one step
        if value != 0:
            self._found[target.tensor] = target, sign * self._numbering.define(sign * value, name, target.indices)

    def close(self) -> None:
        """Complete the derivatives of recurrences with the elements that they read."""
        for derivative, operand in self._recurrences:
            self._numbering.complete(derivative, self.of(operand))

    def _derivative(self, step: Step, name: str) -> Expr:
        """Return the derivative of the target of a step."""
        operator, where = step.operator, step.where
        if operator == INTEGRATE:
            return self._of_path(step, name)
        factors = partial_derivatives(step.expression, self._infinities.hides(step.target))
        terms = [self._term(step, operand, factor) for operand, factor in factors.items() if self.of(operand) != 0]
        if not terms or operator == "first":  # positions are integers
            return S.Zero
        if operator in NORMALIZATIONS:
            return self._normalized(step, Add(*terms))
        where = (*where, *chosen_terms(step, self._numbering, self._program))
        if operator not in SUMS and not step.where:
            terms = [share_of(step, Add(*terms), self._numbering)]
        operator = "sum" if step.over else None
        if not (operator or where):
            return Add(*terms)
        indices = step.target.indices
        together = not operator or (step.over == (SAMPLE,) and len(indices) != 2)
        parts = [Add(*terms)] if together else terms  # the sum of one product is a product of matrices
        alone = name if len(parts) == 1 else None
        return Add(*(self._numbering.define(part, alone, indices, operator, step.over, where) for part in parts))

    def _of_path(self, step: Step, name: str) -> Expr:
        """Return the derivative of a path: the sum over what is given of its derivatives by each.

        A parameter is at one place, or few, of what is given: then there are no other terms. That of the derivatives of
        a path is the path of a system with their changes, whose direction follows what is fixed.
        """
        if step.expression.system.first:
            return self._of_slopes(step, name)
        read, indices = step.expression, step.target.indices
        whole, row, parts = read.args[2].indices[-1], self.of(read.args[2]), slopes_of(step, self._numbering)
        places = self._places(row)
        terms: list[Expr] = []
        if places and len(places) <= max(1, len(read.system.given) // 2):
            for part in parts:
                for value, at in places:
                    if at in range(part.first, part.first + part.size):
                        at_place = (Equation(part.place, (), at - part.first),)
                        slopes_at_place = self._numbering.define(
                            part.values, None, indices, "sum", (part.place,), at_place
                        )
                        terms.append(value * slopes_at_place)
            return Add(*terms)
        for part in parts:
            where = () if len(parts) == 1 else (Equation(whole, ((part.place, 1),), part.first),)
            over = tuple(dict.fromkeys((part.place, whole)))
            alone = name if len(parts) == 1 else None
            terms.append(self._numbering.define(part.values * row, alone, indices, "sum", over, where))
        return Add(*terms)

    def _places(self, row: Expr) -> list[tuple[Expr, int]]:
        """Return the values in a row that are not zero, and the place of each; none if not all have one place."""
        steps = {step.target: step for step in self._numbering.steps}
        whole = steps.get(row)
        parts = [steps.get(term) for term in Add.make_args(whole.expression if whole and not whole.where else row)]
        placed = [
            (part.expression, part.where[0].offset) for part in parts if part and part.where and not part.operator
        ]
        return placed if len(placed) == len(parts) else []

    def _term(self, step: Step, operand: Element, factor: Expr) -> Expr:
        """Return the part of a derivative from one operand; 0 where one factor is, even if the other is infinite.

        But at a pole that later functions hide weakly, zero times infinity may be any number, and stays NaN.
        """
        name, infinities = step.target.tensor, self._infinities
        infinite, slow = infinities.kinds(step, operand, factor)
        if infinite or operand.tensor in self._infinite:
            self._infinite.add(name)
        if slow or operand.tensor in self._slow:
            self._slow.add(name)
        grows = operand.tensor in self._infinite and operand.tensor not in self._slow
        if_factor = grows and may_vanish(factor, infinities.swift)
        if not (infinite or if_factor):
            return factor * self.of(operand)
        finite, growing = (S.One, factor) if if_factor else infinities.split(step, factor)
        held = self._numbering.define(growing)
        return finite * product(held, self.of(operand), where_u_is_0=if_factor, where_v_is_0=infinite)

    def _normalized(self, step: Step, of_z: Expr) -> Expr:
        """Return the derivative of softmax and its relatives, with p = softmax(z) and q = 1 - p, without cancellation.

        v_p[k] = p[k]*(q[k]*v_z[k] - sum(l != k) p[l]*v_z[l]); that of log(p) lacks the first factor.
        """
        numbering, indices = self._numbering, step.target.indices
        of_z = numbering.define(of_z, None, indices)
        p = numbering.define(step.expression, None, indices, "softmax", step.over, step.where)
        q = numbering.define(step.expression, None, indices, "softmax_complement", step.over, step.where)
        total = numbering.reduced(step, p * of_z, "sum")
        value = q * of_z - (total - p * of_z)
        of_p = p * numbering.define(value, None, indices)
        return {"softmax": of_p, "softmax_complement": -of_p, "log_softmax": value}[step.operator or ""]

    def _of_slopes(self, step: Step, name: str) -> Expr:
        """Return the derivative of the derivatives of a path by what is given."""
        read, system = step.expression, step.expression.system
        given_row, *fixed = read.rows
        direction = self.of(given_row)
        if direction == 0:
            return S.Zero
        define, sample = self._numbering.define, given_row.indices[0]

        def placed(row: Expr, index: str, first: int) -> Element:
            """Return a row of values at the places from a number on of the row with the direction."""
            return define(row, None, (sample, DIRECTED), "sum", (index,), (Equation(DIRECTED, ((index, 1),), first),))

        parts = [placed(fixed_row, fixed_row.indices[-1], 0) for fixed_row in fixed]
        parts.append(placed(direction, given_row.indices[-1], len(system.fixed)))
        row = define(Add(*parts), None, (sample, DIRECTED))
        course = [] if read.course is None else [read.course]
        operands = (read.time, given_row, row, *course)
        over = dict.fromkeys(operand.indices[-1] for operand in (given_row, row, *course))
        moved = path(Named(moved_along(system)), *operands)
        return define(moved, name, step.target.indices, INTEGRATE, tuple(over))
