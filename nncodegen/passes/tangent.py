"""Derivatives by inputs, written out: from ``u_xx[n] = Derivative(u[n], (x[n], 2))`` to steps without derivatives.

Derivatives run forward, in the direction of the steps. What an order of a value needs of the values that it depends on
follows from its step,

    v = f(u)           v_x = f'(u)*u_x         v_xx = f''(u)*u_x**2 + f'(u)*u_xx         (Faa di Bruno, any order)
    v = sum(i) W*u     v_x = sum(i) W*u_x      v_xx = sum(i) W*u_xx

so that a layer is passed by one more product for each derivative, with the same weights. Only what is asked for is
computed, and what it needs. Of a first layer the derivatives are its weights, or 0, and need no step.

A Laplacian, or another sum of second derivatives with constant factors, is carried as one value: with L for the sum,

    v = f(u)           L v = f''(u)*(u_x**2 + u_y**2) + f'(u)*L u

which in d dimensions takes d + 1 products a layer, not 2*d ("forward Laplacian"; Li et al., 2023). What comes out is an
ordinary program, through which the reverse sweep runs as through any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

from sympy import Add, Derivative, Expr, Mul, S

from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Companion, Element, Program, Step, elements, needed, renamed
from nncodegen.ir.functions import defined, plain_conditions
from nncodegen.passes.derivatives import derivative
from nncodegen.passes.successive import Z, is_smooth, successive

NAME = "fields"
"""What the program of derivatives and residuals is called."""

ABOUT = "the outputs, their derivatives by inputs that the loss holds, and its terms before they are squared"

Order = tuple[str, ...]
"""The inputs that something is differentiated by, one after the other, in the order of the program's inputs."""

Sum = tuple[tuple[str, Expr], ...]
"""A sum of second derivatives: (input, factor) for each."""


def tangent(program: Program) -> Program:
    """The program without derivatives by inputs. Raises ModelError where a step has none."""
    if not any(step.expression.has(Derivative) for step in program.steps):
        return program
    steps = _Tangents(program)
    for step in program.steps:
        steps.add(step)
    return replace(program, steps=tuple(steps.steps))


def fields(program: Program) -> Companion:
    """The program of what a module tells of every sample besides the outputs."""
    weight = Element(program.weight.name, (SAMPLE,))
    unread = Step(program.loss, weight, "sum", (SAMPLE,))  # what takes the place of the loss
    steps = (*needed(program.steps, program.fields), unread)
    derived = replace(program, steps=steps, outputs=program.fields, updates=(), labels=False)
    return Companion(NAME, ABOUT, derived)


class _Tangents:
    """The growing steps of a program, and the derivatives that they hold."""

    def __init__(self, program: Program) -> None:
        self.steps: list[Step] = []
        self._inputs = [tensor.name for tensor in program.inputs]
        self._varying = {*self._inputs}
        self._taken = {*program.shapes}
        self._defined: dict[str, Step] = {}
        self._derivatives: dict[tuple[str, Order | Sum], Expr] = {}
        self._partials: dict[tuple[Expr, tuple[Element, ...]], Expr] = {}

    def add(self, step: Step) -> None:
        """Adds a step of the program, after the steps of the derivatives in it."""
        if step.expression.has(Derivative):
            value = Add(*(factor * self.of(u, order) for factor, u, order in self._requests(step)))
            step = replace(step, expression=value)
        self.steps.append(step)
        self._defined[step.target.tensor] = step
        if any(operand.tensor in self._varying for operand in step.operands):
            self._varying.add(step.target.tensor)

    def _requests(self, step: Step) -> Iterator[tuple[Expr, Element, Order | Sum]]:
        """(factor, what is differentiated, by what) for each derivative in a sum of them, or for the sum as a whole."""
        found = []
        for term in Add.make_args(step.expression):
            factor, node = term.as_coeff_Mul()
            if not isinstance(node, Derivative) or not isinstance(node.expr, Element):
                raise ModelError(f"a step is a sum of derivatives, or has none, but there is: {step}")
            order = [str(variable.tensor) for variable in node.variables]
            found.append((factor, node.expr, tuple(sorted(order, key=self._inputs.index))))
        factors = tuple((order[0], factor) for factor, _, order in found if len(order) == 2 and order[0] == order[1])
        if len(factors) == len(found) > 1 and len({u for _, u, _ in found}) == 1:
            yield S.One, found[0][1], factors
        else:
            yield from found

    def of(self, element: Element, order: Order | Sum) -> Expr:
        """A derivative of what an element holds: a number, or a number times an element."""
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
        """The derivative of what a step defines."""
        if step.operator not in (None, "sum") or SAMPLE in step.over or step.where:
            what = "windows and selected values" if step.where else step.operator
            raise ModelError(f"there are no derivatives by inputs of {what}, in: {step}")
        varying = tuple(operand for operand in step.operands if operand.tensor in self._varying)
        terms = []
        for factor, blocks in _structures(order):
            for arguments in product(varying, repeat=len(blocks)):
                inner = [self.of(u, block) for u, block in zip(arguments, blocks, strict=True)]
                if all(one != 0 for one in inner):
                    terms.append(factor * self._partial(step, arguments) * Mul(*inner))
        value = Add(*terms)
        return self._held(step, _collected(value, order), f"{step.target.tensor}_{_label(order)}")

    def _partial(self, step: Step, arguments: tuple[Element, ...]) -> Expr:
        """The derivative of the expression of a step by some of its elements, one after the other."""
        key = step.expression, tuple(sorted(arguments, key=str))
        if key not in self._partials:
            value = self._function(step, key[1]) if len({*step.operands}) == 1 else None
            if value is None:
                value = step.expression
                for argument in key[1]:
                    value = defined(plain_conditions(derivative(value, argument, hidden=False)))
            whole = Element(step.target.tensor, step.indices)  # each term of a sum has a derivative of its own
            plain = replace(step, target=whole, operator=None, over=())
            self._partials[key] = self._held(plain, value, f"{step.target.tensor}_d{len(arguments)}")
        return self._partials[key]

    def _function(self, step: Step, arguments: tuple[Element, ...]) -> Expr:
        """The derivative of a function of one element."""
        (argument,) = step.operands
        function, order = step.expression.xreplace({argument: Z}), len(arguments)
        if argument.tensor not in self._inputs and not is_smooth(function, order):
            raise ModelError(
                f"{step.target} = {step.expression} has no continuous derivative of order {order}, which an equation "
                f"needs: use a smooth function, such as tanh"
            )
        return successive(function, order).xreplace({Z: argument})

    def _held(self, step: Step, value: Expr, name: str) -> Expr:
        """A value, held by an element under the indices of a step if it is not simple; of a sum, term by term."""
        if not step.over:
            _, rest = value.as_coeff_Mul()
            return value if rest.is_Atom else self._define(step, value, name)
        terms = [term for term in Add.make_args(value.expand()) if term != 0]
        if len(terms) == 1:
            return self._define(step, terms[0], name)
        parts = [self._define(step, term, f"{name}{k}") for k, term in enumerate(terms, start=1)]
        return self._define(replace(step, operator=None, over=()), Add(*parts), name) if parts else S.Zero

    def _define(self, step: Step, value: Expr, name: str) -> Element:
        """The element of a new step, with those of the indices that its value has."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        used = {index for element in elements(value) for index in element.indices}
        target = Element(name, (index for index in step.indices if index in used and index not in step.over))
        self.steps.append(Step(target, value, step.operator, step.over))
        return target


def _structures(order: Order | Sum) -> Iterator[tuple[Expr, tuple[Order | Sum, ...]]]:
    """(factor, blocks): the derivatives of f(u) are sums of its derivatives times one of u for each block."""
    if order and isinstance(order[0], tuple):
        yield S.One, (order,)
        for name, factor in order:
            yield S(factor), ((name,), (name,))
        return
    counts = Counter(tuple(sorted(blocks)) for blocks in _partitions(tuple(map(str, order))))
    yield from ((S(count), blocks) for blocks, count in counts.items())


def _partitions(order: Order) -> Iterator[list[Order]]:
    """All ways to divide a sequence into blocks."""
    if not order:
        yield []
        return
    first, rest = order[0], order[1:]
    for blocks in _partitions(rest):
        yield [(first,), *blocks]
        for k, block in enumerate(blocks):
            yield [*blocks[:k], (first, *block), *blocks[k + 1 :]]


def _collected(value: Expr, order: Order | Sum) -> Expr:
    """A sum of second derivatives with the factors f''(u) of squares taken out."""
    terms = Add.make_args(value)
    if not order or not isinstance(order[0], tuple) or len(terms) < 2:
        return value
    groups: dict[Expr, list[Expr]] = {}
    for term in terms:
        squares = [f for f in Mul.make_args(term) if f.is_Pow and f.exp == 2] or [S.One]
        groups.setdefault(term / prod(squares), []).append(prod(squares))
    return Add(*(common * Add(*parts) for common, parts in groups.items()))


def _label(order: Order | Sum) -> str:
    """How a derivative is called, behind the name of what it is of."""
    names = [name if isinstance(name, str) else name[0] for name in order]
    if order and isinstance(order[0], tuple):
        return "sum_" + _label(tuple(name for name in names for _ in range(2)))
    return ("" if all(len(name) == 1 for name in names) else "_").join(names)
