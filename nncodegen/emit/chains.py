"""Algebra for scalar text that is bound by latency: chains of dependent operations become shorter.

It costs operations, which a core has to spare while it waits, so it is not for loops over samples. Every rule keeps
the precision; what could overflow where the original does not is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sympy import Expr, Function, Mul, Piecewise, Pow, exp

from nncodegen.functions import decay
from nncodegen.ir import Element, Step, needed


class exp_plus_1(Function):  # noqa: N801 (named as in C)
    """1 + exp(x): a primitive that the emitter has in C, ready as soon as exp(x) itself."""

    nargs = 1


def shorten(steps: tuple[Step, ...], results: tuple[Element, ...], parameters: tuple[Element, ...]) -> tuple[Step, ...]:
    """The steps on which the results depend, in shorter chains."""
    for rule in (rename, add_one, divide, postpone):
        steps = needed(rule(steps, results, parameters), results)
    return steps


def rename(steps: tuple[Step, ...], results: tuple[Element, ...], _: tuple[Element, ...]) -> Iterable[Step]:
    """What only renames a value, but for its sign, is written out."""
    renamed: dict[Element, Expr] = {}
    for step in steps:
        value = step.expression.xreplace(renamed)
        if step.target not in results and (value.is_Atom or (-value).is_Atom):
            renamed[step.target] = value
        yield Step(step.target, value)


def add_one(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """1 + e, where e = exp(x), takes no addition after e."""
    arguments = {step.target: _exponent(step.expression) for step in steps}
    for step in steps:
        rest = step.expression - 1
        argument = arguments.get(rest) if isinstance(rest, Element) else None
        yield step if argument is None else Step(step.target, exp_plus_1(argument))


def _exponent(value: Expr) -> Expr | None:
    if isinstance(value, decay):
        return -value.args[0]
    return value.args[0] if isinstance(value, exp) else None


def divide(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Branches a*r and b*r, where r = 1/u, are the quotients a/u and b/u: no product waits for a division."""
    quotients: dict[Element, Expr] = {}
    for step in steps:
        value = step.expression
        if isinstance(value, Pow) and value.exp == -1:
            quotients[step.target] = value
        elif isinstance(value, Mul) and sum(factor in quotients for factor in value.args) == 1:
            quotients[step.target] = value.xreplace(quotients)
        yield Step(step.target, value.xreplace(quotients) if isinstance(value, Piecewise) else value)


def postpone(steps: tuple[Step, ...], _: tuple[Element, ...], parameters: tuple[Element, ...]) -> Iterable[Step]:
    """(d*w)*a*b, where w is a parameter, is d*(w*a*b), as what comes late is multiplied last."""
    uses = Counter(element for step in steps for element in step.operands)
    products: dict[Element, Expr] = {}
    for step in steps:
        value = step.expression
        if isinstance(value, Mul):
            value = value.xreplace(products)
            factors = [factor for factor in value.args if isinstance(factor, Element)]
            if uses[step.target] == 1 and len(factors) == len(value.args) == 2 and set(factors) & set(parameters):
                products[step.target] = value
        yield Step(step.target, value)
