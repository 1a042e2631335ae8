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
from sympy import Add, E, Expr, Float, Heaviside, Mul, Piecewise, Pow, S, exp, log
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.functions import log_cosh, sech2, sigmoid, softplus, tanh, xlogy
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


# --- the rules ---------------------------------------------------------------------------------------------------


def exponential(node: Expr) -> Expr | None:
    """2.71828182845905**z = exp(z), where the base is e to machine precision."""
    base, exponent = node.args
    if isinstance(base, Float) and abs(float(base) - math.e) < 1e-14:
        return exp(exponent)
    return None


def reciprocal_of_exponentials(node: Expr) -> Expr | None:
    """1/(a*exp(u) + b*exp(v)) = exp(-u)/a*sigmoid(u - v + log(a/b)), with u = 0 where it occurs."""
    base, exponent = node.args
    terms = _exponential_terms(base)
    if terms is None or not exponent.is_Integer or not exponent.is_negative:
        return None
    (a, u), *others = terms
    if len(others) == 1:
        ((b, v),) = others
        return (exp(-u) / a * sigmoid(u - v + log(a / b))) ** (-exponent)
    return exp(exponent * _log_of_sum(terms))


def log_of_exponentials(node: Expr) -> Expr | None:
    """log(1 + exp(z)) = softplus(z), and log(exp(u) + exp(v)) = u + softplus(v - u)."""
    terms = _exponential_terms(node.args[0])
    return None if terms is None else _log_of_sum(terms)


def log_of_sigmoid(node: Expr) -> Expr | None:
    """log(c*exp(u)*sigmoid(z)/...) = log(c) + u - softplus(-z) ...: a logarithm of factors that have a stable one."""
    factors = Mul.make_args(node.args[0])
    if len(factors) == 1 and not isinstance(factors[0], sigmoid | sech2 | Pow):
        return None
    logs = [_stable_log(factor) for factor in factors]
    return None if any(value is None for value in logs) else Add(*logs)


def log_of_cosh(node: Expr) -> Expr | None:
    """log(cosh(z)) = log_cosh(z), which does not overflow."""
    (argument,) = node.args
    return log_cosh(*argument.args) if isinstance(argument, sympy.cosh) else None


def log_near_one(node: Expr) -> Expr | None:
    """log(1 + x) = log1p(x), accurate near 0."""
    (argument,) = node.args
    if isinstance(argument, Add) and S.One in argument.args:
        return log1p(argument - 1)
    return None


def log_of_product(node: Expr) -> Expr | None:
    """xlogy(y, p) = y*log(p), where log(p) is finite for every argument of p."""
    y, p = node.args
    logarithm = _stable_log(p)
    return None if logarithm is None else y * logarithm


def sigmoid_complement(node: Expr) -> Expr | None:
    """1 - sigmoid(z) = sigmoid(-z), which keeps its digits where sigmoid(z) is close to 1."""
    if S.One not in node.args:
        return None
    for term in node.args:
        if isinstance(-term, sigmoid):
            return node - 1 - term + sigmoid(-(-term).args[0])
    return None


def tanh_complement(node: Expr) -> Expr | None:
    """1 - tanh(z)**2 = sech2(z), which keeps its digits where tanh(z) is close to 1."""
    if S.One not in node.args:
        return None
    for term in node.args:
        if isinstance(-term, Pow) and (-term).exp == 2 and isinstance((-term).base, tanh):
            return node - 1 - term + sech2((-term).base.args[0])
    return None


def sigmoid_to_tanh(node: Expr) -> Expr | None:
    """2*sigmoid(z) - 1 = tanh(z/2), which keeps its digits near 0."""
    for sign in (1, -1):
        if -sign in node.args:
            for term in node.args:
                if isinstance(sign * term / 2, sigmoid):
                    return node + sign - term + sign * tanh((sign * term / 2).args[0] / 2)
    return None


def exponential_minus_one(node: Expr) -> Expr | None:
    """exp(x) - 1 = expm1(x), accurate near 0."""
    if S.NegativeOne not in node.args:
        return None
    for term in node.args:
        if isinstance(term, exp):
            return node + 1 - term + expm1(term.args[0])
    return None


def product_of_exponentials(node: Expr) -> Expr | None:
    """exp(u)*exp(v) = exp(u + v), whose parts may overflow where the product does not."""
    exponents = [factor.args[0] for factor in node.args if isinstance(factor, exp)]
    if len(exponents) < 2:
        return None
    return Mul(exp(Add(*exponents)), *(factor for factor in node.args if not isinstance(factor, exp)))


def sigmoid_times_exponential(node: Expr) -> Expr | None:
    """exp(u)*sigmoid(z) = exp(u + z)*sigmoid(-z), where that cancels the exponential: u = -z."""
    for factor in node.args:
        if not isinstance(factor, exp):
            continue
        for other in node.args:
            base, power = other.as_base_exp()
            if isinstance(base, sigmoid) and power.is_Integer and power.is_positive:
                z = base.args[0]
                multiple = -factor.args[0] / z
                if multiple.is_Integer and 0 < multiple <= power:
                    rest = Mul(*(f for f in node.args if f not in (factor, other)))
                    return rest * sigmoid(z) ** (power - multiple) * sigmoid(-z) ** multiple
    return None


def tanh_from_exponentials(node: Expr) -> Expr | None:
    """(exp(u) - exp(-u))/(exp(u) + exp(-u)) = tanh(u), however it is scaled: (exp(2*u) - 1)*sigmoid(-2*u), ..."""
    for factor in node.args:
        if not isinstance(factor, sigmoid):
            continue
        z = factor.args[0]
        scale = [f for f in node.args if isinstance(f, exp)]
        for other in node.args:
            if other is factor or other in scale:
                continue
            # factor = 1/(1 + exp(-z)): tanh(z/2) has 1 - exp(-z) over the same denominator
            numerator = exp(other.args[0]) - 1 if isinstance(other, expm1) else other
            numerator = sympy.expand(numerator * Mul(*scale))
            for sign in (1, -1):
                if numerator == sympy.expand(sign * (1 - exp(-z))):
                    rest = (f for f in node.args if f not in (factor, other, *scale))
                    return Mul(sign * tanh(z / 2), *rest)
    return None


def own_tanh(node: Expr) -> Expr:
    """Tanh with a derivative that does not cancel."""
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
    Pow: (exponential, reciprocal_of_exponentials),
    log: (log_of_cosh, log_of_exponentials, log_of_sigmoid, log_near_one),
    xlogy: (log_of_product,),
    Add: (sigmoid_complement, sigmoid_to_tanh, tanh_complement, exponential_minus_one),
    Mul: (product_of_exponentials, sigmoid_times_exponential, tanh_from_exponentials),
    sympy.tanh: (own_tanh,),
    Heaviside: (step_function,),
    sympy.sign: (sign_function,),
    sympy.sech: (by_primitives(lambda z: 2 * exp(-sympy.Abs(z)) / (1 + exp(-2 * sympy.Abs(z)))),),
    sympy.csch: (by_primitives(lambda z: 1 / sympy.sinh(z)),),
    sympy.coth: (by_primitives(lambda z: 1 / tanh(z)),),
    sympy.sec: (by_primitives(lambda z: 1 / sympy.cos(z)),),
    sympy.csc: (by_primitives(lambda z: 1 / sympy.sin(z)),),
    sympy.cot: (by_primitives(lambda z: 1 / sympy.tan(z)),),
}


# --- sums of exponentials ----------------------------------------------------------------------------------------


def _exponential_terms(node: Expr) -> list[tuple[Expr, Expr]] | None:
    """[(a, u), ...] for a*exp(u) + ... with positive numbers a and not all u constant, a constant term first."""
    if not isinstance(node, Add):
        return None
    terms: list[tuple[Expr, Expr]] = []
    for term in node.args:
        coefficient, factor = term.as_coeff_Mul()
        if factor is S.One:
            terms.insert(0, (coefficient, S.Zero))
        elif isinstance(factor, exp):
            terms.append((coefficient, factor.args[0]))
        elif factor is E:
            terms.append((coefficient, S.One))
        else:
            return None
        if not coefficient.is_positive:
            return None
    return terms


def _log_of_sum(terms: list[tuple[Expr, Expr]]) -> Expr:
    """log(a*exp(u) + b*exp(v) + ...) = L + softplus(v + log(b) - L), with L the logarithm of the terms so far."""
    (a, u), *others = terms
    total = u + log(a)
    for b, v in others:
        total = total + softplus(v + log(b) - total)
    return total


def _stable_log(factor: Expr) -> Expr | None:
    """The logarithm of a positive factor, where it has one that neither overflows nor cancels."""
    if isinstance(factor, exp):
        return factor.args[0]
    if isinstance(factor, sigmoid):
        return -softplus(-factor.args[0])
    if isinstance(factor, sech2):
        return -2 * log_cosh(factor.args[0])
    if factor.is_number and factor.is_positive:
        return log(factor)
    if isinstance(factor, Pow) and isinstance(factor.base, sigmoid | sech2 | exp) and factor.exp.is_Rational:
        return factor.exp * _stable_log(factor.base)
    return None
