"""describe -> **stabilize** -> differentiate: from formulas as people write them to formulas that hold.

A formula that overflows or cancels as written must not do so as compiled, nor may its gradient. Since the
derivative of ``1 - f`` remembers nothing of the logistic function inside, the rules run before the reverse
sweep, on whole formulas: a stage of its own, which the first design had inside ``simplify``.

Rules are applied from the leaves to the root, once; each states its algebra. A rule is a function of one node
whose operands are stable already; it returns the new node, or None where it does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import sympy
from sympy import Add, Expr, Float, Heaviside, Mul, Piecewise, Pow, S, exp, log
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.functions import (
    exponential_ratio,
    log_cosh,
    log_softplus,
    logaddexp,
    sech,
    sech2,
    sigmoid,
    softplus,
    tanh,
    xlogy,
)
from nncodegen.ir import Program

Rule = Callable[[Expr], Expr | None]


def stabilize(program: Program) -> Program:
    """The program with every formula in a form that neither overflows nor cancels needlessly."""
    memo: dict[Expr, Expr] = {}
    steps = tuple(replace(step, expression=stable_form(step.expression, memo)) for step in program.steps)
    return replace(program, steps=steps)


def stable_form(node: Expr, memo: dict[Expr, Expr] | None = None) -> Expr:
    """The stable form of one expression."""
    memo = {} if memo is None else memo
    if node.is_Atom:
        return node
    if node not in memo:
        result = node.func(*(stable_form(argument, memo) for argument in node.args))
        for rule in RULES.get(result.func, ()):
            rewritten = rule(result)
            if rewritten is not None:
                result = stable_form(rewritten, memo) if rewritten != result else result
                break
        memo[node] = result
    return memo[node]


# --- rules for powers ----------------------------------------------------------------------------------------------


def exponential(node: Expr) -> Expr | None:
    """2.71828182845905**z = exp(z), where the base is e to machine precision, and c**z = exp(z*log(c))."""
    base, exponent = node.args
    if not base.is_number or exponent.is_number:
        return None
    if isinstance(base, Float) and abs(float(base) - math.e) < 1e-14:
        return exp(exponent)
    return exp(exponent * log(base)) if base.is_positive else None


def power_of_exponentials(node: Expr) -> Expr | None:
    """1/(c + b*exp(u)) = sigmoid(log(c/b) - u)/c, and (exp(u) + exp(v))**k = exp(k*logaddexp(u, v))."""
    base, k = node.args
    terms = _exponential_terms(base)
    if terms is None or (k.is_Integer and k.is_positive):
        return None
    (c, constant), *others = terms
    if k.is_Integer and constant == 0 and len(others) == 1:
        ((b, u),) = others
        return (sigmoid(log(c / b) - u) / c) ** (-k)
    return exp(k * _log_of_sum(terms))


def reciprocal_with_any_factors(node: Expr) -> Expr | None:
    """1/(c + b*exp(u)) = exponential_ratio(u, b, c), where b or c is no positive number."""
    base, k = node.args
    if not isinstance(base, Add) or not k.is_Integer or not k.is_negative:
        return None
    with_exponential = [term for term in base.args if _exponentials(term)]
    if len(with_exponential) != 1:
        return None
    (term,) = with_exponential
    (factor,) = _exponentials(term)
    return exponential_ratio(factor.args[0], term / factor, base - term) ** (-k)


def power_of_sigmoid(node: Expr) -> Expr | None:
    """sigmoid(z)**k = exp(-k*softplus(-z)), where k is no integer: the derivative of a power would be infinite."""
    base, k = node.args
    return None if k.is_Integer or not isinstance(base, sigmoid) else exp(-k * softplus(-base.args[0]))


def reciprocal_of_cosh(node: Expr) -> Expr | None:
    """1/cosh(z)**(2*k) = sech2(z)**k, and one sech(z) more for odd powers."""
    base, k = node.args
    if not isinstance(base, sympy.cosh) or not k.is_Integer or not k.is_negative:
        return None
    (z,) = base.args
    return sech2(z) ** (-k // 2) * sech(z) ** (-k % 2)


# --- rules for logarithms ------------------------------------------------------------------------------------------


def log_of_factors(node: Expr) -> Expr | None:
    """log(c*exp(u)*sigmoid(z)*cosh(z)...) = log(c) + u - softplus(-z) + log_cosh(z) + ..., none of which overflows."""
    factors = Mul.make_args(node.args[0])
    logs = [_stable_log(factor) for factor in factors]
    return None if any(value is None for value in logs) or node.args[0].is_number else Add(*logs)


def log_of_expm1(node: Expr) -> Expr | None:
    """log(exp(z) - 1) = z + log(1 - exp(-z))."""
    (argument,) = node.args
    if not isinstance(argument, expm1) or argument.args[0].could_extract_minus_sign():
        return None
    (z,) = argument.args
    return z + log(-expm1(-z))


def log_near_one(node: Expr) -> Expr | None:
    """log(1 + x) = log1p(x), accurate near 0."""
    (argument,) = node.args
    if isinstance(argument, Add) and S.One in argument.args:
        return log1p(argument - 1)
    return None


def log_of_product(node: Expr) -> Expr | None:
    """xlogy(y, p) = y*log(p), where log(p) is finite for every argument of p."""
    y, p = node.args
    logs = [_stable_log(factor) for factor in Mul.make_args(p)]
    return None if any(value is None for value in logs) else y * Add(*logs)


# --- rules for sums ------------------------------------------------------------------------------------------------


def complement(node: Expr) -> Expr | None:
    """1 - sigmoid(z) = sigmoid(-z), and its like (see COMPLEMENTS), also with a factor: y - y*sigmoid(z)."""
    terms = set(node.args)  # asked, never iterated
    for term in node.args:
        factors = Mul.make_args(term)
        for factor in factors:
            base, power = (factor, S.One) if isinstance(factor, exp) else factor.as_base_exp()
            form = COMPLEMENTS.get((base.func, power))
            if form is None:
                continue
            rest = Mul(*(other for other in factors if other is not factor))
            for sign, c in ((S.NegativeOne, -rest), (S.One, rest)):
                value = form(*base.args, sign=sign) if c in terms else None
                if value is not None:
                    return node - term - c + c * value
    return None


def _sigmoid_complement(z: Expr, sign: Expr) -> Expr | None:
    return sigmoid(-z) if sign == -1 else None  # 1 - sigmoid(z) = sigmoid(-z)


def _sigmoid_square_complement(z: Expr, sign: Expr) -> Expr | None:
    return sigmoid(-z) * (1 + sigmoid(z)) if sign == -1 else None  # 1 - sigmoid(z)**2 = (1 - s)*(1 + s)


def _tanh_complement(z: Expr, sign: Expr) -> Expr:
    return 2 * sigmoid(2 * sign * z)  # 1 + tanh(z) = 2*sigmoid(2*z)


def _tanh_square_complement(z: Expr, sign: Expr) -> Expr | None:
    return sech2(z) if sign == -1 else None  # 1 - tanh(z)**2 = sech2(z)


def _exponential_complement(z: Expr, sign: Expr) -> Expr | None:
    return -expm1(z) if sign == -1 else None  # 1 - exp(z) = -expm1(z)


COMPLEMENTS: dict[tuple[type, Expr], Callable[..., Expr | None]] = {
    (sigmoid, S.One): _sigmoid_complement,
    (sigmoid, sympy.Integer(2)): _sigmoid_square_complement,
    (tanh, S.One): _tanh_complement,
    (tanh, sympy.Integer(2)): _tanh_square_complement,
    (exp, S.One): _exponential_complement,
}
"""What 1 + f, or 1 - f, is for a function f and a power of it."""


def sigmoid_to_tanh(node: Expr) -> Expr | None:
    """2*sigmoid(z) - 1 = tanh(z/2), which keeps its digits near 0."""
    for sign in (1, -1):
        if -sign in node.args:
            for term in node.args:
                if isinstance(sign * term / 2, sigmoid):
                    return node + sign - term + sign * tanh((sign * term / 2).args[0] / 2)
    return None


# --- rules for products --------------------------------------------------------------------------------------------


def product_of_exponentials(node: Expr) -> Expr | None:
    """exp(u)*exp(v) = exp(u + v), whose parts may overflow where the product does not."""
    exponents = [factor.args[0] for factor in node.args if isinstance(factor, exp)]
    if len(exponents) < 2:
        return None
    return Mul(exp(Add(*exponents)), *(factor for factor in node.args if not isinstance(factor, exp)))


def exponential_times_sigmoid(node: Expr) -> Expr | None:
    """exp(-k*z)*sigmoid(z)**k = sigmoid(-z)**k, and exp(u)*exponential_ratio(u, b, c) = exponential_ratio(-u, c, b)."""
    for factor in node.args:
        if not isinstance(factor, exp):
            continue
        for other in node.args:
            base, power = other.as_base_exp()
            if not isinstance(base, sigmoid | exponential_ratio) or not power.is_Integer or not power.is_positive:
                continue
            u = -base.args[0] if isinstance(base, sigmoid) else base.args[0]
            k = next((k for k in range(1, power + 1) if sympy.expand(factor.args[0] - k * u) == 0), 0)
            if k:
                flipped = sigmoid(u) if isinstance(base, sigmoid) else exponential_ratio(-u, base.args[2], base.args[1])
                rest = (f for f in node.args if f not in (factor, other))
                return Mul(base ** (power - k), flipped**k, *rest)
    return None


def exponential_over_expm1(node: Expr) -> Expr | None:
    """exp(z)/(exp(z) - 1) = -1/expm1(-z)."""
    for factor in node.args:
        if isinstance(factor, exp) and 1 / expm1(factor.args[0]) in node.args:
            rest = (f for f in node.args if f not in (factor, 1 / expm1(factor.args[0])))
            return Mul(-1 / expm1(-factor.args[0]), *rest)
    return None


def sinh_over_cosh(node: Expr) -> Expr | None:
    """sinh(z)/cosh(z) = tanh(z)."""
    for factor in node.args:
        if isinstance(factor, sympy.sinh) and sech(*factor.args) in node.args:
            return Mul(tanh(*factor.args), *(f for f in node.args if f not in (factor, sech(*factor.args))))
    return None


def tanh_from_exponentials(node: Expr) -> Expr | None:
    """(exp(u) - exp(v))/(exp(u) + exp(v)) = tanh((u - v)/2), also as (exp(z) - 1)*sigmoid(-z) = tanh(z/2)."""
    for factor in node.args:
        if isinstance(factor, sigmoid):
            u, v = S.Zero, -factor.args[0]  # the factor is 1/(1 + exp(v))
        elif isinstance(factor, exp) and isinstance(-factor.args[0], logaddexp):
            u, v = (-factor.args[0]).args
        else:
            continue
        for other in node.args:
            if not isinstance(other, Add | expm1):
                continue
            numerator = other.replace(expm1, lambda z: exp(z) - 1)
            for sign in (1, -1):
                if numerator == sign * (exp(u) - exp(v)):
                    return Mul(
                        sign * tanh(sympy.expand(u - v) / 2), *(f for f in node.args if f not in (factor, other))
                    )
    return None


# --- rules for single functions ------------------------------------------------------------------------------------


def softmax_of_formula(node: Expr) -> Expr | None:
    """exp(u - logaddexp(u, v)) = sigmoid(u - v), exp(u - logaddexp(p, w)) = exp(u - p)*sigmoid(p - w) for u in p."""
    terms = Add.make_args(sympy.expand(node.args[0]))
    for term in terms:
        total = -term
        if isinstance(total, logaddexp):
            u = sympy.expand(node.args[0] + total)
            for part, other in (total.args, reversed(total.args)):
                if sympy.expand(u - part) == 0:
                    return sigmoid(part - other)
                if isinstance(part, logaddexp) and _holds(part, u):
                    return exp(u - part) * sigmoid(part - other)
    return None


def _holds(total: Expr, u: Expr) -> bool:
    """Whether u is one of the exponents that a nested logaddexp adds up."""
    if isinstance(total, logaddexp):
        return any(_holds(part, u) for part in total.args)
    return bool(sympy.expand(total - u) == 0)


def own_tanh(node: Expr) -> Expr:
    """tanh(z) = tanh(z), with a derivative that does not cancel."""
    return tanh(*node.args)


def step_function(node: Expr) -> Expr:
    """Heaviside(z) = 0, 1/2 or 1: its derivative is 0, not a delta distribution."""
    z, at_zero = node.args
    return Piecewise((S.Zero, z < 0), (S.One, z > 0), (at_zero, True))


def sign_function(node: Expr) -> Expr:
    """sign(z) = -1, 0 or 1: its derivative is 0."""
    (z,) = node.args
    return Piecewise((S.NegativeOne, z < 0), (S.One, z > 0), (S.Zero, True))


def by_primitives(form: Callable[[Expr], Expr]) -> Rule:
    """A function that C lacks, by functions that it has."""
    return lambda node: form(node.args[0])


RULES: dict[type, tuple[Rule, ...]] = {
    Pow: (exponential, power_of_exponentials, power_of_sigmoid, reciprocal_of_cosh, reciprocal_with_any_factors),
    exp: (softmax_of_formula,),
    log: (log_of_factors, log_of_expm1, log_near_one),
    xlogy: (log_of_product,),
    Add: (sigmoid_to_tanh, complement),
    Mul: (
        product_of_exponentials,
        exponential_times_sigmoid,
        exponential_over_expm1,
        sinh_over_cosh,
        tanh_from_exponentials,
    ),
    sympy.tanh: (own_tanh,),
    Heaviside: (step_function,),
    sympy.sign: (sign_function,),
    sympy.sech: (by_primitives(sech),),
    sympy.csch: (by_primitives(lambda z: 1 / sympy.sinh(z)),),
    sympy.coth: (by_primitives(lambda z: 1 / tanh(z)),),
    sympy.sec: (by_primitives(lambda z: 1 / sympy.cos(z)),),
    sympy.csc: (by_primitives(lambda z: 1 / sympy.sin(z)),),
    sympy.cot: (by_primitives(lambda z: 1 / sympy.tan(z)),),
}


# --- sums of exponentials ------------------------------------------------------------------------------------------


def _exponentials(term: Expr) -> list[Expr]:
    """The factors of a product that are exponentials."""
    return [factor for factor in Mul.make_args(term) if isinstance(factor, exp)]


def _exponential_terms(node: Expr) -> list[tuple[Expr, Expr]] | None:
    """[(a, u), ...] for a*exp(u) + ... with positive numbers a and not all u constant, a constant term first."""
    if not isinstance(node, Add):
        return None
    terms: list[tuple[Expr, Expr]] = []
    for term in node.args:
        coefficient, factor = term.as_independent(exp, as_Add=False)
        if not coefficient.is_number or not coefficient.is_positive:
            return None
        if factor is S.One:
            terms.insert(0, (coefficient, S.Zero))
        elif isinstance(factor, exp):
            terms.append((coefficient, factor.args[0]))
        else:
            return None
    return terms if any(u != 0 for _, u in terms) else None


def _log_of_sum(terms: list[tuple[Expr, Expr]]) -> Expr:
    """log(a*exp(u) + b*exp(v) + ...), one logaddexp after the other; log(1 + exp(z)) is the softplus."""
    (a, u), *others = terms
    total = u + log(a)
    for b, v in others:
        added = v + log(b)
        total = softplus(added) if total == 0 else logaddexp(total, added)
    return total


def _stable_log(factor: Expr) -> Expr | None:
    """The logarithm of a positive factor, where it has one that neither overflows nor cancels."""
    if factor.is_number:
        return log(factor) if factor.is_positive else None
    if factor.func in LOGARITHMS:
        return LOGARITHMS[factor.func](*factor.args)
    terms = _exponential_terms(factor)
    if terms is not None:
        return _log_of_sum(terms)
    if isinstance(factor, Pow) and factor.exp.is_number:
        inner = _stable_log(factor.base)
        return None if inner is None else factor.exp * inner
    if isinstance(factor, Add) and all(term.is_positive or term.func in LOGARITHMS for term in factor.args):
        return log1p(factor - 1) if S.One in factor.args else log(factor)
    return None


LOGARITHMS: dict[type, Callable[[Expr], Expr]] = {
    exp: lambda z: z,
    sigmoid: lambda z: -softplus(-z),
    softplus: log_softplus,
    sech: lambda z: -log_cosh(z),
    sech2: lambda z: -2 * log_cosh(z),
    sympy.cosh: log_cosh,
}
"""The logarithms of positive functions."""
