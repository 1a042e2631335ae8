"""Algebra for statements that are bound by latency: it shortens the longest sequence of dependent operations.

Where every statement waits for the one before it, the time from the first input to the last result counts, not the
number of operations: a core has idle units while it waits. So these rules may add operations, and are not for loops
over samples or models, which keep a core busy; loops over models take only ``unbranched``. Every rule keeps the
precision; a form that could overflow where the original does not is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from sympy import Abs, Add, Eq, Expr, Function, Max, Min, Mul, Piecewise, Pow, S, cos, exp, sin
from sympy.codegen.cfunctions import log1p
from sympy.core.relational import GreaterThan, LessThan

from nncodegen.compiler.ir import Element, Step, needed
from nncodegen.compiler.ir.functions import decay, half_expm1, tanh_of
from nncodegen.compiler.ir.names import take

LATENCY = {"sum": 4, "product": 4, "quotient": 14, "function": 25}
"""Cycles until a result is ready, roughly; they differ little between current CPUs."""


class odds(Function):  # noqa: N801 (named as in C)
    """exp(-t), limited so that products with it do not overflow: a primitive of the runtime in C.

    Quotients by 1 + odds(t) are right nevertheless, because 1/(1 + odds(t)) is close to 0 at the limit.
    """

    nargs = 1


class odds_plus_1(Function):  # noqa: N801 (named as in C)
    """1 + odds(t): a primitive of the runtime in C, ready as soon as odds(t) itself."""

    nargs = 1


class exp_plus_1(Function):  # noqa: N801 (named as in C)
    """1 + exp(x): a primitive of the runtime in C, ready as soon as exp(x) itself."""

    nargs = 1


class half_expm1_plus_1(Function):  # noqa: N801 (named as in C)
    """1 + half_expm1(z): a primitive of the runtime in C, ready as soon as half_expm1(z) itself."""

    nargs = 1


MEANINGS: dict[type[Function], Callable[[Expr], Expr]] = {
    odds: lambda t: exp(-t),
    odds_plus_1: lambda t: 1 + exp(-t),
    exp_plus_1: lambda x: 1 + exp(x),
    half_expm1_plus_1: lambda z: 1 + half_expm1(z),
}
"""The definitions of the functions of this file, in terms of their arguments."""


@lru_cache(maxsize=1000)
def written_out(expression: Expr) -> Expr:
    """Return an expression without the functions of this file, in exponentials."""
    for function, meaning in MEANINGS.items():
        expression = expression.replace(function, meaning)
    return expression


def shorten(steps: tuple[Step, ...], results: tuple[Element, ...], parameters: tuple[Element, ...]) -> tuple[Step, ...]:
    """Return the steps on which the results depend, with fewer operations that wait for each other."""
    for rule in (rename, join, one_sign, rename, add_one, divide, share, postpone, factor):
        steps = needed(rule(steps, results, parameters), results)
    return steps


def ready(node: Expr, known: Mapping[Element, int]) -> int:
    """Return the cycles until the value of an expression is ready; unknown elements are ready at once."""
    if isinstance(node, Element):
        return known.get(node, 0)
    times = sorted(ready(part, known) for part in node.args)
    if isinstance(node, Pow):
        return times[-1] + LATENCY["quotient"]
    if not isinstance(node, Add | Mul):
        return max(times, default=0) + (LATENCY["function"] if node.args else 0)
    time = times[0]
    for other in times[1:]:
        time = max(time, other) + LATENCY["sum" if isinstance(node, Add) else "product"]
    return time


def unbranched(steps: tuple[Step, ...], results: tuple[Element, ...]) -> tuple[Step, ...]:
    """Return steps with sigmoids as in ``one_sign``, but in operations that loops over vectors have.

    In such loops these have no extra cost, and save operations.
    """
    known: dict[tuple[Expr, ...], Element] = {}
    plain = []
    for step in one_sign(steps, results, ()):
        value = step.expression
        if isinstance(value, odds):
            known[value.args] = step.target
        plain.append(Step(step.target, known[value.args] + 1) if isinstance(value, odds_plus_1) else step)
    return tuple(rename(tuple(plain), results, ()))


def rename(steps: tuple[Step, ...], results: tuple[Element, ...], _: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with definitions that only rename a value, or change its sign, written out."""
    renamed: dict[Element, Expr] = {}
    named_results = frozenset(results)
    for step in steps:
        value = step.expression.xreplace(renamed)
        if step.target not in named_results and not step.over and (value.is_Atom or (-value).is_Atom):
            renamed[step.target] = value
        yield replace(step, expression=value)


def join(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with the sum y - (b + w*h), where y comes from outside, as y - b - w*h.

    So the operands that are ready early are added first. Numbers keep their place, and so do differences of computed
    values: their digits may depend on the order.
    """
    sums: dict[Element, Expr] = {}
    defined = {step.target for step in steps}
    for step in steps:
        value = step.expression
        if isinstance(value, Add) and not step.over:
            inner = [term for term in value.args if sums.keys() & {term, -term}]
            outer_terms = [term for term in value.args if term not in inner]
            if len(inner) == 1 and not any(other.is_Number or defined & other.atoms(Element) for other in outer_terms):
                (term,) = inner
                joined = sums[term].args if term in sums else [-part for part in sums[-term].args]
                value = Add(*outer_terms, *joined)
            if not any(term.is_Number for term in value.args):
                sums[step.target] = value
        yield replace(step, expression=value)


class _Fresh:
    """Makes elements with names that no step has yet."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._taken = {element.tensor for step in steps for element in (step.target, *step.operands)}

    def element(self, name: str, like: Element) -> Element:
        """Return an element of this name, with underscores appended while it is taken, and the indices of ``like``."""
        return Element(take(name, self._taken), like.indices)


def one_sign(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with the branches of sigmoids as 1/(1 + exp(-t)), without a choice.

    The branches are 1/(1 + e) where t >= 0, else e/(1 + e), with e = exp(-|t|). Branches with t <= 0 are the
    complement, exp(-t)/(1 + exp(-t)). If a step tests whether a product with a branch is 0, because another factor may
    be infinite, the branches stay: odds(t) is not 0, however large t is.
    """
    if _may_meet_infinity(steps):
        yield from steps
        return
    definitions: dict[Element, Expr] = {}
    written: dict[Expr, tuple[Element, Element]] = {}
    names = _Fresh(steps)
    for step in steps:
        definitions[step.target] = step.expression
        logit = _logit(step.expression, definitions)
        if logit is None:
            yield step
            continue
        t, complement = logit
        if t not in written:
            parts = tuple(names.element(f"{name}_{t.tensor}", t) for name in ("odds", "total", "sigmoid"))
            values = odds(t), odds_plus_1(t), 1 / parts[1]
            yield from (Step(part, value) for part, value in zip(parts, values, strict=True))
            written[t] = parts[0], parts[2]
        yield Step(step.target, Mul(*written[t]) if complement else written[t][1])


def _may_meet_infinity(steps: tuple[Step, ...]) -> bool:
    """Return whether a step tests if a product with such a branch as a factor is 0."""
    definitions: dict[Element, Expr] = {}
    products: set[Expr] = set()
    for step in steps:
        value = definitions[step.target] = step.expression
        if any(equation.lhs in products for equation in value.atoms(Eq)):
            return True
        if _logit(value, definitions) or (isinstance(value, Mul) and products.intersection(value.args)):
            products.add(step.target)
    return False


def _logit(value: Expr, definitions: dict[Element, Expr]) -> tuple[Element, bool] | None:
    """Return the argument of a sigmoid that is written in branches, and whether it is the complement; else None."""
    if not isinstance(value, Piecewise) or len(value.args) != 2:
        return None
    (share, condition), (rest, _) = value.args
    if not isinstance(condition, GreaterThan | LessThan) or condition.args[1] != 0:
        return None
    total = 1 / definitions.get(share, share)
    e = definitions.get(total, total) - 1
    t = condition.args[0]
    absolute = definitions.get(e, e)
    known = isinstance(t, Element) and decay(Abs(t)) in (absolute, absolute.xreplace(definitions))
    if not known or definitions.get(rest, rest) != e * share:
        return None
    return t, isinstance(condition, LessThan)


def add_one(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with 1 + e, where e = exp(x) or half_expm1(x), in a form without an addition after e."""
    definitions = {step.target: step.expression for step in steps}
    for step in steps:
        rest = step.expression - 1
        value = definitions.get(rest) if isinstance(rest, Element) else None
        exponent = None if value is None else _exponent(value)
        if isinstance(value, half_expm1):
            yield Step(step.target, half_expm1_plus_1(*value.args))
        elif exponent is not None:
            yield Step(step.target, exp_plus_1(exponent))
        else:
            yield step


def _exponent(value: Expr) -> Expr | None:
    if isinstance(value, decay):
        return -value.args[0]
    return value.args[0] if isinstance(value, exp) else None


def divide(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with branches a*r and b*r, where r = 1/u, as a/u and b/u: no product waits for a division."""
    quotients: dict[Element, Expr] = {}
    for step in steps:
        value = step.expression
        if isinstance(value, Pow) and value.exp == -1:
            quotients[step.target] = value
        elif isinstance(value, Mul) and sum(factor in quotients for factor in value.args) == 1:
            quotients[step.target] = value.xreplace(quotients)
        yield Step(step.target, value.xreplace(quotients) if isinstance(value, Piecewise) else value)


def share(steps: tuple[Step, ...], _: tuple[Element, ...], __: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with a*s + b*o*s, where s = 1/(1 + o) and o = odds(t), as (a + b*o)/(1 + o).

    So no sum waits for the division.
    """
    definitions: dict[Element, Expr] = {}
    for step in steps:
        value = step.expression
        if isinstance(value, Add):
            value = _over_total(value, definitions)
        definitions[step.target] = step.expression
        yield Step(step.target, value)


def _over_total(value: Expr, definitions: dict[Element, Expr]) -> Expr:
    complements = {e: v for e, v in definitions.items() if _is_complement(v, definitions)}
    terms = [Mul.make_args(term.xreplace(complements)) for term in value.args]
    for part in terms[0]:
        total = _total(part, definitions)
        if total is not None and all(factors.count(part) == 1 for factors in terms):
            rest = Add(*(Mul(*(factor for factor in factors if factor != part)) for factors in terms))
            return Mul(rest, 1 / total, evaluate=False)
    return value


def _total(part: Expr, definitions: dict[Element, Expr]) -> Element | None:
    """Return 1 + odds(t), if a part is its reciprocal, else None."""
    value = definitions.get(part, part)
    if not isinstance(value, Pow) or value.exp != -1:
        return None
    return value.base if isinstance(definitions.get(value.base), odds_plus_1) else None


def _is_complement(value: Expr, definitions: dict[Element, Expr]) -> bool:
    """Return whether a value is odds(t)/(1 + odds(t))."""
    if not isinstance(value, Mul) or len(value.args) != 2:
        return False
    for first, second in (value.args, value.args[::-1]):
        total = _total(second, definitions)
        if total is not None and definitions.get(first) == odds(*definitions[total].args):
            return True
    return False


def postpone(steps: tuple[Step, ...], _: tuple[Element, ...], parameters: tuple[Element, ...]) -> Iterable[Step]:
    """Yield the steps with (d*w)*a*b, where w is a parameter, as d*(w*a*b): the latest factor is multiplied last."""
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


def factor(steps: tuple[Step, ...], results: tuple[Element, ...], parameters: tuple[Element, ...]) -> Iterable[Step]:
    """Return the steps with a*d, b*(a*d), c*d + b*(a*d), ... as a*d, (b*a)*d, (c + b*a)*d, ...

    d is the value that most results wait for. All but one product of each result is then done before d is known. Only
    values that are bounded, or polynomials of parameters and data, are taken out of the order of the reverse sweep.
    """
    tame = _tame(steps, parameters)
    best: tuple[int, set[Element]] = 0, set()
    for number, step in enumerate(steps):
        multiples = _multiples(steps[number + 1 :], step.target, tame)
        scaled = steps[best[0]].target in step.operands and len(step.operands) == 1 and best[1]
        least = len(best[1].intersection(results)) + bool(scaled and isinstance(step.expression, Mul))
        if multiples and len(multiples.intersection(results)) >= least:
            best = number, multiples  # of equally good ones the last, unless it is another one times a number
    number, multiples = best
    names = _Fresh(steps)
    return (*steps[: number + 1], *_factored(steps[number + 1 :], steps[number].target, multiples, names))


def _multiples(steps: Iterable[Step], late: Element, tame: set[Element]) -> set[Element]:
    """Return the values that are sums of multiples of ``late``, or of each other, by tame factors."""
    multiples = {late}
    for step in steps:
        if multiples.isdisjoint(step.operands):
            continue
        if all(_is_multiple(term, multiples, tame) for term in Add.make_args(step.expression)):
            multiples.add(step.target)
    return multiples - {late}


def _is_multiple(term: Expr, multiples: set[Element], tame: set[Element]) -> bool:
    """Return whether a term is a product of one of some values and tame factors."""
    factors = Mul.make_args(term)
    other_factors = [part for part in factors if part not in multiples]
    return len(other_factors) == len(factors) - 1 and all(part.is_Number or part in tame for part in other_factors)


def _factored(steps: Iterable[Step], late: Element, multiples: set[Element], names: _Fresh) -> Iterable[Step]:
    factors: dict[Element, Expr] = {late: S.One}
    for step in steps:
        if step.target in multiples:
            value = step.expression.xreplace(factors)
            if not value.is_Atom:
                named = names.element(f"{step.target.tensor}_per_{late.tensor}", step.target)
                yield Step(named, value)
                value = named
            factors[step.target] = value
            yield Step(step.target, Mul(value, late))
        else:
            yield step


def _tame(steps: tuple[Step, ...], parameters: tuple[Element, ...]) -> set[Element]:
    """Return the values that are bounded, or polynomials of parameters and data.

    Products of a few of them do not overflow.
    """
    definitions = {step.target: step.expression for step in steps}
    tame = {element for step in steps for element in step.operands if element not in definitions} | {*parameters}
    for step in steps:
        if _is_tame(step.expression, tame, definitions):
            tame.add(step.target)
    return tame


def _is_tame(value: Expr, tame: set[Element], definitions: dict[Element, Expr]) -> bool:
    if value.is_Number or value in tame or isinstance(value, decay | tanh_of | sin | cos):
        return True
    if _total(value, definitions) is not None or _is_complement(value, definitions):
        return True
    if isinstance(value, Pow):
        base, exponent = value.args
        total = definitions.get(base, base)
        grown = isinstance(definitions.get(total - 1, total - 1), decay | half_expm1)
        below_1 = exponent == -1 and (grown or isinstance(total, half_expm1_plus_1))  # it is in [0, 1]
        return below_1 or (exponent in (2, 3) and _is_tame(base, tame, definitions))
    if isinstance(value, Add | Mul | Max | Min | Abs | log1p):
        return all(_is_tame(part, tame, definitions) for part in value.args)
    return isinstance(value, Piecewise) and all(_is_tame(part, tame, definitions) for part, _ in value.args)
