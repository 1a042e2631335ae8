"""Derivatives by inputs, written out: from ``u_xx[n] = Derivative(u[n], (x[n], 2))`` to steps without derivatives.

Derivatives run forward, in the direction of the steps. The step of a value determines which derivatives of its operands
are needed for a derivative of the value:

    v = f(u)           v_x = f'(u)*u_x         v_xx = f''(u)*u_x**2 + f'(u)*u_xx         (Faa di Bruno, any order)
    v = sum(i) W*u     v_x = sum(i) W*u_x      v_xx = sum(i) W*u_xx

So a layer takes one more product for each derivative, with the same weights, a window one more window, a recurrence one
more recurrence. Only the requested derivatives, and those that they need, are computed. The derivatives of a first
layer are its weights, or 0, and need no step.

A softmax is the exponential p = exp(z - L), where L depends on all z. As the derivatives of all p add up to 0,

    p_xx = p*(g - sum(k) p*g)    with g = z_xx + (z_x - L_x)**2    and L_xx = sum(k) p*g    (the same in any order)

A Laplacian, or another sum of second derivatives with constant factors, is carried as one value: with L for the sum,

    v = f(u)           L v = f''(u)*(u_x**2 + u_y**2) + f'(u)*L u

which in d dimensions takes d + 1 products a layer, not 2*d ("forward Laplacian"; Li et al., 2023). The result is an
ordinary program, through which the reverse sweep runs as through any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from sympy import Add, Derivative, Expr, Mul, S

from nncodegen.compiler.ir import (
    NORMALIZATIONS,
    RECURRENCES,
    SAMPLE,
    Companion,
    Element,
    Program,
    Step,
    dependent,
    elements,
    needed,
    renamed,
)
from nncodegen.compiler.ir.functions import defined, plain_conditions
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.compiler.passes.higher_derivatives import Z, is_smooth, successive
from nncodegen.compiler.passes.orders import Order, Sum, collected, label, structures
from nncodegen.errors import ModelError

NAME = "fields"
"""The name of the program of derivatives and residuals."""

ABOUT = "the outputs, their derivatives by inputs that the loss holds, and its terms before they are squared"


def tangent(program: Program) -> Program:
    """Return the program without derivatives by inputs. Raise ModelError where a step has none."""
    if not any(step.expression.has(Derivative) for step in program.steps):
        return program
    steps = _Tangents(program)
    for step in program.steps:
        steps.add(step)
    return replace(program, steps=tuple(steps.steps))


def with_field_steps(program: Program) -> Program:
    """Return the program without derivatives by inputs, with the additional steps that only its fields need."""
    return tangent(
        replace(program, steps=(*program.steps, *program.task.field_steps), task=replace(program.task, field_steps=()))
    )


def fields(program: Program) -> Companion:
    """Return the program of the values that a module returns for every sample in addition to the outputs."""
    outputs = program.task.fields
    derived = replace(
        program, steps=needed(program.steps, outputs), outputs=outputs, loss=None, task=program.task.of_derived
    )
    return Companion(NAME, ABOUT, derived)


class _Tangents:
    """The growing steps of a program, and the derivatives that they hold."""

    def __init__(self, program: Program) -> None:
        self.steps: list[Step] = []
        self._inputs = [tensor.name for tensor in program.inputs]
        self._varying = dependent(program.steps, self._inputs)
        self._taken = {*program.shapes}
        self._defined: dict[str, Step] = {}
        self._derivatives: dict[tuple[str, Order | Sum], Expr] = {}
        self._partials: dict[tuple[Expr, tuple[Element, ...]], Expr] = {}
        self._shares: dict[tuple[str, Order | Sum], tuple[Expr, Expr]] = {}
        self._normalized: dict[tuple[str, str], Element] = {}
        self._waiting: list[tuple[int, Element, Order | Sum]] = []  # recurrences, by number, and their operands

    def add(self, step: Step) -> None:
        """Add a step of the program, after the steps of the derivatives in it."""
        if step.expression.has(Derivative):
            value = Add(*(factor * self.of(u, order) for factor, u, order in self._requests(step)))
            self._complete()
            step = replace(step, expression=value)
        self.steps.append(step)
        self._defined[step.target.tensor] = step

    def _requests(self, step: Step) -> Iterator[tuple[Expr, Element, Order | Sum]]:
        """Yield (factor, element, order) for each derivative in a sum of derivatives, or for the sum as a whole."""
        requests = []
        for term in Add.make_args(step.expression):
            factor, node = term.as_coeff_Mul()
            if not isinstance(node, Derivative) or not isinstance(node.expr, Element):
                raise ModelError(f"a step is a sum of derivatives, or has none, but there is: {step}")
            order = [str(variable.tensor) for variable in node.variables]
            requests.append((factor, node.expr, tuple(sorted(order, key=self._inputs.index))))
        factors = tuple((order[0], factor) for factor, _, order in requests if len(order) == 2 and order[0] == order[1])
        if len(factors) == len(requests) > 1 and len({u for _, u, _ in requests}) == 1:
            yield S.One, requests[0][1], factors
        else:
            yield from requests

    def of(self, element: Element, order: Order | Sum) -> Expr:
        """Return a derivative of an element: a number, or a number times an element."""
        if element.tensor not in self._varying:
            return S.Zero
        if element.tensor in self._inputs:
            return S.One if order == (element.tensor,) else S.Zero
        step = self._defined[element.tensor]
        key = element.tensor, order
        if key not in self._derivatives:
            self._derivatives[key] = self._derived(step, order)
        if step.target.indices == element.indices:
            return self._derivatives[key]
        return renamed(self._derivatives[key], dict(zip(step.target.indices, element.indices, strict=True)))

    def _derived(self, step: Step, order: Order | Sum) -> Expr:
        """Return the derivative of the target of a step."""
        name = f"{step.target.tensor}_{label(order)}"
        if step.operator in RECURRENCES:
            return self._recurrence(step, order, name)
        self._check_selected(step)
        if step.operator in NORMALIZATIONS:
            return self._normalization(step, order)
        self._check(step)
        varying = tuple(operand for operand in elements(step.expression) if operand.tensor in self._varying)
        terms = []
        for factor, blocks in structures(order):
            for arguments in product(varying, repeat=len(blocks)):
                inner = [self.of(u, block) for u, block in zip(arguments, blocks, strict=True)]
                if all(value != 0 for value in inner):
                    terms.append(factor * self._partial(step, arguments) * Mul(*inner))
        return self._held(step, collected(Add(*terms), order), name)

    def _check_selected(self, step: Step) -> None:
        """Raise ModelError where an input selects the terms of a step."""
        if any(equation.data and equation.data.tensor in self._varying for equation in step.where):
            raise ModelError(f"there are no derivatives by inputs of what an input selects, in: {step}")

    def _check(self, step: Step) -> None:
        """Raise ModelError where a step has no derivatives."""
        if step.operator == "max":
            raise ModelError(
                f"a maximum has no continuous derivative, which an equation needs, in: {step}: use a mean instead"
            )
        if step.operator not in (None, "sum") or SAMPLE in step.over:
            raise ModelError(f"there are no derivatives by inputs of {step.operator}, in: {step}")

    def _recurrence(self, step: Step, order: Order | Sum, name: str) -> Element:
        """Return the derivative of a recurrence: a recurrence of the derivative of its operand, which depends on it."""
        target = Element(take(name, self._taken), step.target.indices)
        self.steps.append(Step(target, target, step.operator, step.over))
        self._waiting.append((len(self.steps) - 1, step.operands[0], order))
        return target

    def _complete(self) -> None:
        """Complete the derivatives of recurrences with the elements that they read."""
        while self._waiting:
            number, operand, order = self._waiting.pop()
            value, target = self.of(operand, order), self.steps[number].target
            if not isinstance(value, Element) or value.indices != target.indices:
                held = Element(take(f"{operand.tensor}_{label(order)}", self._taken), target.indices)
                self.steps.append(Step(held, value))
                value = held
            self.steps[number] = replace(self.steps[number], expression=value)

    def _normalization(self, step: Step, order: Order | Sum) -> Expr:
        """Return the derivative of a softmax, of 1 minus it, or of its logarithm."""
        logarithm, factor = self._share(step, order)
        if step.operator == "log_softmax":
            return logarithm
        p = self._other(step, "softmax") * (1 if step.operator == "softmax" else -1)
        return self._held(_plain(step), p * factor, f"{step.target.tensor}_{label(order)}")

    def _share(self, step: Step, order: Order | Sum) -> tuple[Expr, Expr]:
        """Return, for p = softmax(z) = exp(z - L), the derivative of z - L, and the factor of p in that of p."""
        key = step.target.tensor, order
        if key not in self._shares:
            name, plain = f"{step.target.tensor}_{label(order)}", _plain(step)
            p, q, z = (self._other(step, operator) for operator in ("softmax", "softmax_complement", ""))
            products = (
                factor * Mul(*(self._share(step, block)[0] for block in blocks))
                for factor, blocks in structures(order)
                if len(blocks) > 1
            )
            sum_of_products = self._held(plain, Add(*products), f"{name}_products")
            g = self._held(plain, self.of(z, order) + sum_of_products, f"{name}_g")
            factor: Expr = S.Zero
            if g != 0:  # subtracting the mean changes nothing, but keeps digits where a p is close to 1
                mean, sums = f"{name}_mean", replace(step, operator="sum")
                apart = self._held(plain, g - self._define(sums, p * g, mean), f"{name}_apart")
                correction = self._define(sums, p * apart, mean) - p * apart
                factor = self._held(plain, q * apart - correction, f"{name}_factor")
            self._shares[key] = self._held(plain, factor - sum_of_products, f"{name}_log"), factor
        return self._shares[key]

    def _other(self, step: Step, operator: str) -> Element:
        """Return the operand that a step normalizes, or its normalization by another operator."""
        if operator == step.operator:
            return step.target
        if not operator and isinstance(step.expression, Element):
            return step.expression
        key = step.target.tensor, operator
        if key not in self._normalized:
            target = Element(take(f"{step.target.tensor}_{operator or 'z'}", self._taken), step.target.indices)
            other = (
                replace(step, target=target, operator=operator) if operator else replace(_plain(step), target=target)
            )
            self._varying.add(target.tensor)
            self._defined[target.tensor] = other
            self._normalized[key] = target
            self.steps.append(other)
        return self._normalized[key]

    def _partial(self, step: Step, arguments: tuple[Element, ...]) -> Expr:
        """Return the derivative of the expression of a step by some of its elements, one after the other."""
        key = step.expression, tuple(sorted(arguments, key=str))
        if key not in self._partials:
            value = self._function(step, key[1]) if len({*step.operands}) == 1 else None
            if value is None:
                value = step.expression
                for argument in key[1]:
                    value = defined(plain_conditions(derivative(value, argument, hidden=False)))
            self._partials[key] = self._held(_plain(step), value, f"{step.target.tensor}_d{len(arguments)}")
        return self._partials[key]

    def _function(self, step: Step, arguments: tuple[Element, ...]) -> Expr:
        """Return the derivative of a function of one element."""
        (argument,) = step.operands
        function, order = step.expression.xreplace({argument: Z}), len(arguments)
        if argument.tensor not in self._inputs and not is_smooth(function, order):
            raise ModelError(
                f"{step.target} = {step.expression} has no continuous derivative of order {order}, which an equation "
                f"needs: use a smooth function, such as tanh"
            )
        return successive(function, order).xreplace({Z: argument})

    def _held(self, step: Step, value: Expr, name: str) -> Expr:
        """Return a value, held by an element under the indices of a step if it is not simple; sums term by term."""
        if not (step.over or step.where):
            _, rest = value.as_coeff_Mul()
            return value if rest.is_Atom else self._define(step, value, name)
        terms = [term for term in Add.make_args(value.expand()) if term != 0]
        if len(terms) == 1:
            return self._define(step, terms[0], name)
        parts = [self._define(step, term, f"{name}{k}") for k, term in enumerate(terms, start=1)]
        return self._define(_plain(step), Add(*parts), name) if parts else S.Zero

    def _define(self, step: Step, value: Expr, name: str) -> Element:
        """Return the element of a new step, with those of the step's indices that its value has."""
        used = {index for element in elements(value) for index in element.indices}
        used |= {index for equation in step.where for index in equation.indices}
        target = Element(take(name, self._taken), (i for i in step.indices if i in used and i not in step.over))
        self.steps.append(replace(step, target=target, expression=value))
        return target


def _plain(step: Step) -> Step:
    """Return a step without its sum: each of its terms."""
    whole = step.target if step.operator in NORMALIZATIONS else Element(step.target.tensor, step.indices)
    return replace(step, target=whole, operator=None, over=(), where=())
