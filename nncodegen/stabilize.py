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
from sympy import Abs, Add, Dummy, Eq, Expr, Float, Heaviside, Mul, Piecewise, Pow, S, exp, log
from sympy.codegen.cfunctions import Sqrt, expm1, log1p
from sympy.logic.boolalg import ITE, Boolean

from nncodegen.functions import (
    UNDEFINED,
    StableFunction,
    bose_einstein,
    defined,
    exponential_ratio,
    log_cosh,
    log_one_minus_exp,
    log_softplus,
    logaddexp,
    plain_conditions,
    sech,
    sech2,
    sigmoid,
    softplus,
    tanh,
    xlogy,
)
from nncodegen.infinities import is_total
from nncodegen.ir import Element, Program
from nncodegen.quotients import QUOTIENTS, langevin

Rule = Callable[[Expr], Expr | None]


def stabilize(program: Program) -> Program:
    """The program with every formula in a form that neither overflows nor cancels needlessly."""
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    forms = Forms(tuple(forms.recognized))
    steps = tuple(replace(step, expression=forms.of(step.expression)) for step in program.steps)
    return replace(program, steps=steps)


def stable_form(node: Expr) -> Expr:
    """The stable form of one expression."""
    forms = Forms()
    forms.of(node)
    return Forms(tuple(forms.recognized)).of(node)


class Forms:
    """The stable forms of expressions, each found once.

    ``recognized`` are the sums, products and powers that a rule has rewritten. A value that occurs in several places
    has to be recognized in all of them, or the places differ by what the rule saves: in ``sin(T)/T`` for a quotient
    T = p/q, SymPy keeps the second T as a q and a 1/p among other factors. So the formulas are gone through twice;
    the second time, ``parts`` are what was recognized, and sums and products that contain one of them are taken apart.
    """

    def __init__(self, parts: tuple[Expr, ...] = ()) -> None:
        self.recognized: dict[Expr, None] = {}
        self._parts = tuple(sorted(parts, key=lambda part: -part.count_ops()))  # the largest first
        self._begun: set[Expr] = set()
        self._memo: dict[Expr, Expr] = {}

    def of(self, node: Expr) -> Expr:
        """The stable form of an expression."""
        if node.is_Atom:
            return node
        if node not in self._memo:
            self._memo[node] = self._found(node)
        return self._memo[node]

    def _found(self, node: Expr) -> Expr:
        result = self._taken_apart(node) or node.func(*(self.of(argument) for argument in node.args))
        for rule in RULES.get(result.func, ()):
            rewritten = rule(result)
            if rewritten is not None and rewritten != result:
                if isinstance(node, Add | Mul | Pow):
                    self.recognized[node] = None
                self._memo.setdefault(result, result)  # where it is a part of what it becomes
                return self.of(rewritten)
        return result

    def _taken_apart(self, node: Expr) -> Expr | None:
        """A product or a sum with one of the parts in it: rest*part**k, or rest + k*part, in stable forms."""
        if not isinstance(node, Add | Mul) or node in self._parts:
            return None
        for part in self._parts:
            if part in self._begun or isinstance(node, Add) != isinstance(part, Add):
                continue
            k, rest = (_without_terms if isinstance(node, Add) else _without_factors)(node, part)
            if k and not rest.is_number:  # else it is the part itself, but for a number
                self._begun.add(part)  # what it becomes may contain it again
                found = self.of(part)
                self._begun.remove(part)
                return self.of(rest) + k * found if isinstance(node, Add) else self.of(rest) * found**k
        return None


def _without_terms(node: Expr, part: Expr) -> tuple[Expr, Expr]:
    """(k, rest) with node = rest + k*part, where rest has none of the terms of part; k is 0 if it cannot be so."""
    coefficients, wanted = node.as_coefficients_dict(), part.as_coefficients_dict()
    ratios = {coefficients.get(term, S.Zero) / number for term, number in wanted.items()}
    k = ratios.pop() if len(ratios) == 1 else S.Zero
    return k, node - k * part


def _without_factors(node: Expr, part: Expr) -> tuple[Expr, Expr]:
    """(k, rest) with node = rest*part**k for a whole k, as far from 0 as can be; k is 0 if there is none."""
    if isinstance(part, exp):
        powers = [factor.args[0] / part.args[0] for factor in Mul.make_args(node) if isinstance(factor, exp)]
        k = next((power for power in powers if power.is_Integer), S.Zero)
        return k, node / part**k
    found, wanted = _powers(node), _powers(part)
    ratios = {found.get(base, S.Zero) / number for base, number in wanted.items()}
    k = min(ratios, key=abs) if ratios and len({ratio > 0 for ratio in ratios}) == 1 else S.Zero
    return (k, node / part**k) if k.is_Integer else (S.Zero, node)


def _powers(node: Expr) -> dict[Expr, Expr]:
    """The integer powers in a product, by their bases, without its number and its exponentials, which SymPy merges."""
    powers = {factor: S.One for factor in Mul.make_args(node) if not isinstance(factor, exp | Pow)}
    powers |= dict(factor.args for factor in Mul.make_args(node) if isinstance(factor, Pow))
    return {base: k for base, k in powers.items() if k.is_Integer and not base.is_number}


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


def reciprocal_of_expm1(node: Expr) -> Expr | None:
    """1/(exp(z) - 1)**k = bose_einstein(z)**k."""
    base, k = node.args
    return bose_einstein(*base.args) ** (-k) if isinstance(base, expm1) and k.is_Integer and k.is_negative else None


def reciprocal_of_sum_with_quotients(node: Expr) -> Expr | None:
    """1/(c + b/x)**k = (x/(c*x + b))**k, which has a value and a derivative at x = 0."""
    base, k = node.args
    if not isinstance(base, Add) or not k.is_Integer or not k.is_negative:
        return None
    for term in base.args:
        for factor in Mul.make_args(term):
            if isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, Element):
                x = factor.base
                multiplied = Add(*(term * x for term in base.args))
                if not multiplied.has(factor) and all(term.has(factor) or not term.has(x) for term in base.args):
                    return (x / multiplied) ** (-k)
    return None


def reciprocal_of_cosh(node: Expr) -> Expr | None:
    """1/cosh(z)**(2*k) = sech2(z)**k, and one sech(z) more for odd powers."""
    base, k = node.args
    if not isinstance(base, sympy.cosh) or not k.is_Integer or not k.is_negative:
        return None
    (z,) = base.args
    return sech2(z) ** (-k // 2) * sech(z) ** (-k % 2)


# --- rules for logarithms ------------------------------------------------------------------------------------------


def log_of_factors(node: Expr) -> Expr | None:
    """log(c*exp(u)*sigmoid(z)*x...) = log(c) + u - softplus(-z) + log(x) + ..., none of which overflows needlessly."""
    if node.args[0].is_number:
        return None
    logs, rest = [], []
    for factor in Mul.make_args(node.args[0]):
        value = _stable_log(factor)
        if value is None:
            rest.append(factor)
        else:
            logs.append(value)
    if rest and all(value.is_number for value in logs):
        return None  # nothing is won
    return Add(*logs) + (log(Mul(*rest)) if rest else 0)


def log_of_expm1(node: Expr) -> Expr | None:
    """log(exp(z) - 1) = z + log_one_minus_exp(z), log(1 - exp(-z)) = log_one_minus_exp(z)."""
    (argument,) = node.args
    if isinstance(argument, expm1):
        (z,) = argument.args
        return z + log_one_minus_exp(z)
    if isinstance(-argument, expm1):
        return log_one_minus_exp(-(-argument).args[0])
    return None


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


def _bose_einstein_complement(z: Expr, sign: Expr) -> Expr | None:
    return -bose_einstein(-z) if sign == 1 else None  # 1 + bose_einstein(z) = -bose_einstein(-z)


def _cosine_complement(z: Expr, sign: Expr) -> Expr:
    half = sympy.sin(z / 2) if sign == -1 else sympy.cos(z / 2)
    return 2 * half**2  # 1 - cos(z) = 2*sin(z/2)**2


def _hyperbolic_cosine_complement(z: Expr, sign: Expr) -> Expr | None:
    return -2 * sympy.sinh(z / 2) ** 2 if sign == -1 else None  # 1 - cosh(z) = -2*sinh(z/2)**2


def _exponential_complement(z: Expr, sign: Expr) -> Expr | None:
    return -expm1(z) if sign == -1 else None  # 1 - exp(z) = -expm1(z)


COMPLEMENTS: dict[tuple[type, Expr], Callable[..., Expr | None]] = {
    (sigmoid, S.One): _sigmoid_complement,
    (sigmoid, sympy.Integer(2)): _sigmoid_square_complement,
    (tanh, S.One): _tanh_complement,
    (tanh, sympy.Integer(2)): _tanh_square_complement,
    (exp, S.One): _exponential_complement,
    (bose_einstein, S.One): _bose_einstein_complement,
    (sympy.cos, S.One): _cosine_complement,
    (sympy.cosh, S.One): _hyperbolic_cosine_complement,
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


def difference_of_poles(node: Expr) -> Expr | None:
    """1/tanh(z) - 1/z = langevin(z)."""
    for term in node.args:
        for factor in Mul.make_args(term):
            if isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, tanh):
                (z,) = factor.base.args
                if -term * factor.base / z in node.args:
                    return node - term + term * factor.base * (1 / z + langevin(z))
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


def product_with_choice(node: Expr) -> Expr | None:
    """Piecewise((0, c), (v, True))*log(x) = Piecewise((0, c), (v*log(x), True)): 0 also where log(x) is no number."""
    for factor in node.args:
        if isinstance(factor, Piecewise) and any(value == 0 for value, _ in factor.args):
            rest = Mul(*(other for other in node.args if other is not factor))
            if not is_total(rest):
                return Piecewise(*((value * rest, condition) for value, condition in factor.args))
    return None


def exponential_times_bose_einstein(node: Expr) -> Expr | None:
    """exp(z)/(exp(z) - 1) = -bose_einstein(-z)."""
    for factor in node.args:
        if isinstance(factor, exp) and bose_einstein(factor.args[0]) in node.args:
            rest = (f for f in node.args if f not in (factor, bose_einstein(factor.args[0])))
            return Mul(-bose_einstein(-factor.args[0]), *rest)
    return None


def function_over_argument(node: Expr) -> Expr | None:
    """sin(c*u)/u = c*sin_quotient(c*u), and u/sin(c*u) = 1/(c*sin_quotient(c*u)), also of powers; see QUOTIENTS."""
    for factor in node.args:
        base, k = _as_power(factor)
        quotient = QUOTIENTS.get(base.func)
        if quotient is None or not k.is_Integer:
            continue
        (argument,) = base.args
        c, u = argument.as_coeff_Mul()
        others = Mul(*(Pow(*_as_power(other)) for other in node.args if other is not factor))
        m, rest = _without_factors(others, u)
        if not m:  # of the argument, a part may be there alone: sin(b*x)/x
            for part in Mul.make_args(u):
                m, rest = _without_factors(others, part)
                if m:
                    c, u = argument / part, part
                    break
        if k * m < 0:
            count = min(abs(k), abs(m)) * sympy.sign(k)
            return Mul((c * quotient(argument)) ** count, base ** (k - count), u ** (m + count), rest)
    return None


def _as_power(factor: Expr) -> tuple[Expr, Expr]:
    """The base and the exponent of a factor; bose_einstein(z) is 1/(exp(z) - 1)."""
    base, k = (factor, S.One) if isinstance(factor, exp) else factor.as_base_exp()
    return (expm1(*base.args), -k) if isinstance(base, bose_einstein) else (base, k)


def removable_singularity(node: Expr) -> Expr | None:
    """f(u)/u**k = Piecewise((c + d*u, u == 0), (f(u)/u**k, True)) for f(u) = c*u**k + d*u**(k + 1) + ..."""
    for u, m in map(_as_power, node.args):
        if not m.is_Integer or m > 0 or u.is_number:
            continue
        t = Dummy("t", real=True)
        derivative = (node * u**-m).xreplace({u: t})
        if not derivative.has(t) or derivative.has(*u.free_symbols, *NOT_SMOOTH):
            continue
        coefficients = []
        for k in range(2 - int(m)):
            value = _plain(derivative.xreplace({t: S.Zero}))
            if value.has(sympy.Derivative, *UNDEFINED) or (k < -m and value != 0):
                break
            coefficients.append(value / sympy.factorial(k))
            derivative = sympy.diff(derivative, t)
        else:
            c, d = coefficients[-2:]
            return Piecewise((c + d * u, Eq(u, 0)), (node, True))
    return None


NOT_SMOOTH = (Abs, sympy.sign, Heaviside, Piecewise, sympy.Max, sympy.Min)
"""Functions that have no Taylor series where they bend."""


def _plain(value: Expr) -> Expr:
    """An expression with nncodegen's own functions of numbers written out, and so evaluated."""
    return value.replace(
        lambda part: isinstance(part, StableFunction) and part.is_number, lambda part: part.definition(*part.args)
    )


def vanishing_times_log(node: Expr) -> Expr | None:
    """x*log(x*y) = xlogy(x, x*y), which is 0 where x is."""
    for factor in node.args:
        if isinstance(factor, log):
            powers = {
                part
                for base, k in map(_as_power, Mul.make_args(factor.args[0]))
                if k.is_positive
                for part in Mul.make_args(base.args[0] if isinstance(base, Abs) else base)
            }
            rest = Mul(*(other for other in node.args if other is not factor))
            for base, k in map(_as_power, Mul.make_args(rest)):
                if base in powers and k.is_positive:
                    return rest / base**k * xlogy(base**k, factor.args[0])
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


def square_root(node: Expr) -> Expr:
    """Sqrt(z) = sqrt(z)."""
    return sympy.sqrt(*node.args)


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


def defined_branches(node: Piecewise) -> Expr:
    """Piecewise((1/0, c), (v, d)) = Piecewise((NAN, c), (v, d), (NAN, True))."""
    return defined(node)


def by_and_or(node: Boolean) -> Boolean:
    """ITE(c, p, q) = (c and p) or (not c and q): how SymPy compares a Piecewise."""
    return plain_conditions(node)


def by_primitives(form: Callable[[Expr], Expr]) -> Rule:
    """A function that C lacks, by functions that it has."""
    return lambda node: form(node.args[0])


RULES: dict[type, tuple[Rule, ...]] = {
    Pow: (
        exponential,
        power_of_exponentials,
        power_of_sigmoid,
        reciprocal_of_cosh,
        reciprocal_of_expm1,
        reciprocal_with_any_factors,
        reciprocal_of_sum_with_quotients,
    ),
    exp: (softmax_of_formula,),
    log: (log_of_factors, log_of_expm1, log_near_one),
    xlogy: (log_of_product,),
    Add: (sigmoid_to_tanh, complement, difference_of_poles),
    Mul: (
        product_of_exponentials,
        exponential_times_sigmoid,
        exponential_times_bose_einstein,
        sinh_over_cosh,
        tanh_from_exponentials,
        function_over_argument,
        vanishing_times_log,
        product_with_choice,
        removable_singularity,
    ),
    sympy.tanh: (own_tanh,),
    Sqrt: (square_root,),
    Piecewise: (defined_branches,),
    ITE: (by_and_or,),
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
    if isinstance(factor, Pow):
        inner = _stable_log(factor.base)
        if inner is None and isinstance(factor.base, Abs):
            inner = log(factor.base)
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
