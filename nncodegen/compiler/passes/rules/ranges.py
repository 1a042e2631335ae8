"""Rules for values that are in range while parts of them are not: hypotenuses, products, roots and quotients.

They are alternatives: the search of ``digits`` takes them where they keep more bits at points that it draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import zip_longest

import sympy
from sympy import Abs, Add, And, Expr, Mul, Piecewise, Pow, Rational, S, log, sqrt

from nncodegen.compiler.ir import SAMPLE, elements
from nncodegen.compiler.ir.functions import StableFunction, sigmoid
from nncodegen.compiler.ir.magnitudes import balanced, balanced_four, discriminant_root, divided, grouped, leg, length
from nncodegen.compiler.ir.quotients import Over, apart
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.rules.factors import others

MOST_FACTORS = 8
"""The number of factors, with those of powers, up to which a product is ordered."""


LEAST, MOST = sympy.Float(2.0**-1021), sympy.Float(2.0**1023)
"""The sizes between which a part of a product has all its digits; in float32, the first is 0, the second infinite."""


def _side(term: Expr) -> Expr | None:
    """Return u for a term u**2 that is not negative; None for others."""
    if term.is_number:
        return sqrt(term) if term.is_nonnegative else None
    k, rest = term.as_coeff_Mul()
    if k.is_negative:
        return None
    roots = []
    for factor in Mul.make_args(rest):
        base, e = factor.as_base_exp()
        if not (e.is_Integer and e % 2 == 0):
            return None
        roots.append(base ** (e // 2))
    return sqrt(k) * Mul(*roots)


def root_of_squares(node: Pow) -> Expr | None:
    """sqrt(u**2 + v**2) = length(u, v), whose squares do not overflow; also its powers, and those of three squares."""
    base, e = node.args
    if not isinstance(base, Add) or e not in (S.Half, -S.Half, Rational(3, 2), -Rational(3, 2), -1):
        return None
    sides = [_side(term) for term in base.args]
    if any(side is None for side in sides) or len(sides) > 3:
        return None
    return reduce(length, sides) ** (2 * e)


def root_of_difference_of_squares(node: Pow) -> Expr | None:
    """sqrt(u**2 - v**2) = leg(u, v) = sqrt(|u| - |v|)*sqrt(|u| + |v|)."""
    base, e = node.args
    if not isinstance(base, Add) or len(base.args) != 2 or e not in (S.Half, -S.Half):
        return None
    for u, v in (base.args, reversed(base.args)):
        first_side, second_side = _side(u), _side(-v)
        if first_side is not None and second_side is not None:
            return leg(first_side, second_side) ** (2 * e)
    return None


def root_of_discriminant(node: Pow) -> Expr | None:
    """sqrt(b**2 - p*q) = discriminant_root(b, p, q), whose square and product do not overflow."""
    base, e = node.args
    if not isinstance(base, Add) or len(base.args) != 2 or e not in (S.Half, -S.Half):
        return None
    for square, product in (base.args, reversed(base.args)):
        b = _side(square)
        if b is None or product.is_number:
            continue
        k, factors = product.as_coeff_mul()
        p, q = (factors[0], Mul(*factors[1:])) if len(factors) > 1 else (S.One, factors[0])
        return discriminant_root(b, sqrt(Abs(k)) * p, -sympy.sign(k) * sqrt(Abs(k)) * q) ** (2 * e)
    return None


def root_of_product(node: Pow) -> Expr | None:
    """sqrt(u*v) = sqrt(|u|)*sqrt(|v|), and the like of quotients and other roots: u*v may overflow."""
    base, e = node.args
    if not isinstance(base, Mul) or e.is_Integer or not e.is_number:
        return None
    k, factors = base.as_coeff_mul()
    if k.is_negative or len(factors) < 2:
        return None
    sizes = [Pow(Abs(f.as_base_exp()[0]), e * f.as_base_exp()[1]) for f in factors]
    return k**e * Mul(*sizes)


def root_of_square(node: Pow) -> Expr | None:
    """(u**2)**(1/2) = |u| and (u**3)**(1/3) = u, as the root of a power of one number."""
    base, e = node.args
    if isinstance(base, Pow) and base.exp * e == 1 and base.exp.is_Integer:
        return Abs(base.base) if base.exp % 2 == 0 else base.base
    return None


def cube_root_of_cube(node: Expr) -> Expr | None:
    """Cbrt(u**3) = u."""
    base, e = node.args[0].as_base_exp()
    return base if e == 3 else None


def conjugate_quotient(node: Mul) -> Expr | None:
    """u/(x**2 + y**2) = (u/r)/r with r = length(x, y), none of which overflows needlessly."""
    for factor in node.args:
        if isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, Add):
            sides = [_side(term) for term in factor.base.args]
            if len(sides) == 2 and all(side is not None for side in sides):
                r = length(*sides)
                above = others(node, factor)
                if isinstance(above, Add):
                    return Add(*(grouped(term / r, 1 / r) for term in above.args))
                return grouped(above / r, 1 / r)
    return None


def sum_over_squares(node: Mul) -> Expr | None:
    """(a*c + b*d)/(c**2 + d**2) = (a*(c/r) + b*(d/r))/r with r = length(c, d): Smith's division."""
    for factor in node.args:
        if not (isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, Add)):
            continue
        sides = [_side(term) for term in factor.base.args]
        above = others(node, factor)
        if len(sides) == 2 and all(side is not None for side in sides) and isinstance(above, Add):
            r = length(*sides)
            terms = []
            for term in above.args:
                side = next((s for s in sides if s in Mul.make_args(term)), None)
                if side is None:
                    return None
                terms.append(grouped(term / side, side / r))
            return grouped(Add(*terms), 1 / r)
    return None


def side_over_length(node: Mul) -> Expr | None:
    """u*z/sqrt(c + z**2) = u*(z/sqrt(c + z**2)), whose quotient, such as sin(atan(z)), is at most 1."""
    for factor in node.args:
        if not (isinstance(factor, Pow) and factor.exp == -S.Half and isinstance(factor.base, Add)):
            continue
        sides = [side for side in map(_side, factor.base.args) if side is not None]
        if len(sides) != 2 or len(factor.base.args) != 2:
            continue
        for c, z in (sides, reversed(sides)):
            if c.is_number and isinstance(z, Mul):
                rest = _divided(others(node, factor), z)
                if rest is not None:
                    return grouped(z / length(c, z), rest)
    return None


def _divided(product: Expr, part: Expr) -> Expr | None:
    """Return a product without a part of it; None where it has not all factors of that part."""
    rest = product / part
    whole, left, taken = (dict(f.as_base_exp() for f in Mul.make_args(each)) for each in (product, rest, part))
    for base, e in taken.items():
        if not base.is_number and abs(whole.get(base, S.Zero)) != abs(left.get(base, S.Zero)) + abs(e):
            return None
    return rest


def factors_of(node: Mul) -> list[Expr] | None:
    """Return the factors of a product one by one, those of powers repeated; the number with the first of them."""
    k, rest = node.as_coeff_mul()
    factors: list[Expr] = []
    for factor in rest:
        base, e = factor.as_base_exp()
        if e.is_Integer and abs(e) > 1:
            factors += [base ** sympy.sign(e)] * int(abs(e))
        elif isinstance(factor, Pow) and e.is_Rational and e.q == 2 and abs(e) > 1:
            factors += [base ** (sympy.sign(e) / 2)] * int(abs(e.p))
        else:
            factors.append(factor)
    shared = [f for f in factors if not any(SAMPLE in element.indices for element in elements(f))]
    if len(shared) < len(factors):  # what is the same for all samples is of an ordinary size
        rest = [f for f in factors if f not in shared]
        factors = [reduce(grouped, [*shared, rest[0]]), *rest[1:]]
    if not 2 <= len(factors) <= MOST_FACTORS:
        return None
    return factors if k == 1 else [k * factors[0], *factors[1:]]


def balanced_product(node: Mul) -> Expr | None:
    """x*y*z = (x*z)*y where x and y are both large or both small: no part is out of range unless the product is."""
    factors = factors_of(node)
    if factors is None or len(factors) < 3:
        return None
    return _balanced(factors)


def _balanced(factors: list[Expr]) -> Expr:
    """Return a product of factors whose order is chosen by their sizes, four at a time."""
    if len(factors) <= 2:
        return grouped(*factors) if len(factors) == 2 else factors[0]
    if len(factors) == 3:
        return balanced(*factors)
    if len(factors) == 4:
        return balanced_four(*factors)
    above = [f for f in factors if not _is_reciprocal(f)]
    below = [f for f in factors if _is_reciprocal(f)]
    while len(above) + len(below) > 4:
        first = above.pop() if above else below.pop()
        second = below.pop() if below else above.pop()
        above.insert(0, grouped(first, second))
    return balanced_four(*above, *below)


def _is_reciprocal(factor: Expr) -> bool:
    return bool(factor.as_base_exp()[1].could_extract_minus_sign())


def alternating_product(node: Mul) -> Expr | None:
    """x*y/(z*w) = ((x/z)*y)/w: each factor above is divided before the next one multiplies."""
    factors = factors_of(node)
    if factors is None or len(factors) < 3:
        return None
    return reduce(grouped, _alternating(factors))


def _alternating(factors: list[Expr]) -> Iterator[Expr]:
    large = [f for f in factors if not _is_reciprocal(f)]
    small = [f for f in factors if _is_reciprocal(f)]
    while large or small:
        if large:
            yield large.pop(0)
        if small:
            yield small.pop(0)


def powers_in_steps(node: Mul) -> Iterator[Expr]:
    """u*x**2*v = ((u*x)*x)*v = ((u*v)*x)*x, in range where u and u*x**2 are: x**2 alone need not be."""
    number, *factors = node.args if node.args[0].is_number else (S.One, *node.args)
    sequences = [_repeated(factor) for factor in factors]
    if len(sequences) < 2 or all(len(steps) == 1 for steps in sequences) or sum(map(len, sequences)) > MOST_FACTORS:
        return
    first, second, *later = sequences
    mixed = [step for pair in zip_longest(second, first) for step in pair if step is not None]
    steps = [*(mixed if len(first) > 1 else (*first, *second)), *(step for each in later for step in each)]
    yield reduce(grouped, [number * steps[0], *steps[1:]])
    alone = [steps[0] for steps in sequences if len(steps) == 1]
    if alone:
        repeated = [step for steps in sequences if len(steps) > 1 for step in steps]
        yield reduce(grouped, [number * Mul(*alone), *_alternating(repeated)])


def _repeated(factor: Expr) -> list[Expr]:
    """Return a factor as a list, an integer power as its base so often, or the reciprocal of that."""
    base, e = factor.as_base_exp()
    return [base ** sympy.sign(e)] * abs(int(e)) if e.is_Integer else [factor]


def other_orders(node: Mul) -> Iterator[Expr]:
    """x*y*z = (x*z)*y = (y*z)*x: an order in which the factors of a product are multiplied."""
    factors = factors_of(node)
    if factors is None or not 3 <= len(factors) <= 4:
        return
    for last in range(len(factors)):
        rest = [f for k, f in enumerate(factors) if k != last]
        yield grouped(reduce(grouped, rest), factors[last])


def one_division(node: Expr) -> Expr | None:
    """x*y*(1/z) = (x*y)/z by one division, which is rounded once and needs no reciprocal in range."""
    if isinstance(node, grouped):
        above, below = node.args
        return divided(above, below.base) if isinstance(below, Pow) and below.exp == -1 else None
    below = [factor for factor in node.args if isinstance(factor, Pow) and factor.exp == -1]
    if len(below) != 1:
        return None
    sign, above = (-1, node.args[1:]) if node.args[0] == -1 else (1, node.args)
    rest = [factor for factor in above if factor != below[0]]
    return sign * divided(Mul(*rest), below[0].base) if rest else None


def with_divisions(form: Expr) -> Expr:
    """Return a form each of whose quotients is one division."""
    return form.replace(lambda node: isinstance(node, Mul | grouped), lambda node: one_division(node) or node)


def product_over_sum(node: Mul) -> Expr | None:
    """x*y/(x + y) = x*(y/(x + y)): the quotient is between the sizes of both."""
    for factor in node.args:
        if isinstance(factor, Pow) and factor.exp == -1 and isinstance(factor.base, Add):
            parts = [other for other in node.args if other is not factor and not other.is_number]
            if len(parts) >= 2:
                return grouped(Mul(*parts[:-1]) * node.as_coeff_Mul()[0], parts[-1] * factor)
    return None


def sum_by_its_largest(node: Pow) -> Expr | None:
    """1/(x + x**2/y) = 1/(x*(1 + x/y)): the sum divided by a factor that its terms share."""
    base, e = node.args
    if not isinstance(base, Add) or not (e.is_Integer and e.is_negative):
        return None
    product = sympy.factor_terms(base)
    return product**e if isinstance(product, Mul) else None


def square_of_quotient(node: Mul) -> Expr | None:
    """x**2/y**2 = (x/y)**2, and the like for higher powers."""
    for k, bases in _bases_by_exponent(node).items():
        if len(bases) > 1:
            return Mul(*_without_powers(node, bases, k), _power(_balanced(bases), k))
    return None


def powers_together(node: Mul) -> Iterator[Expr]:
    """u**3*v**3/w**6 = (u*v/w**2)**3, whose base may be in range where these powers are not; SymPy spreads them."""
    for k, bases in _bases_by_exponent(node).items():
        if len(bases) > 1:
            rest = _without_powers(node, bases, k)
            number, *others = rest if rest and rest[0].is_number else [S.One, *rest]
            power = _power(reduce(grouped, _alternating(bases)), k)
            yield number * reduce(grouped, _alternating([power, *others]))


def _bases_by_exponent(node: Mul) -> dict[int, list[Expr]]:
    """Return the bases of the integer powers in a product, by the size of an exponent, and those of its multiples.

    The base of y**-2 is 1/y for the exponent 2, that of y**-6 is y**-2 for 3. Most bases come first.
    """
    powers = [factor.as_base_exp() for factor in node.args]
    powers = [(base, e) for base, e in powers if e.is_Integer and abs(e) > 1]
    bases = {
        k: [base ** (e // k) for base, e in powers if e % k == 0] for k in dict.fromkeys(abs(int(e)) for _, e in powers)
    }
    return dict(sorted(bases.items(), key=lambda item: -len(item[1])))


def _power(product: Expr, k: int) -> Expr:
    """Return a power of a product, computed as other powers are: (x + y)**5 - x**5 is 0 where y is nothing beside x."""
    return product**k if isinstance(product, StableFunction) else reduce(grouped, [product] * k)


def _without_powers(node: Mul, bases: list[Expr], k: int) -> list[Expr]:
    """Return the factors of a product that are not one of some bases to the power of k."""
    powers = [base**k for base in bases]
    return [factor for factor in node.args if factor not in powers]


def squares_of_products(node: Pow) -> Expr | None:
    """(x*y)**2 = (x*y)*(x*y), a product that is computed before it is squared."""
    base, e = node.args
    if e.is_Integer and 2 <= e <= 4 and isinstance(base, Mul):
        return reduce(grouped, [reduce(grouped, base.args)] * int(e))
    return None


def choice_of_range(node: Mul) -> Expr | None:
    """u*v*w as it is where u*v is in range, and (u*w)*v elsewhere: then u and v are both large, or both small."""
    factors = factors_of(node)
    if factors is None or len(factors) < 3:
        return None
    while len(factors) > 3:
        *factors, left, right = _alternating(factors)
        factors.append(grouped(left, right))
    u, v, w = sorted(factors, key=_is_reciprocal)
    part = grouped(u, v)
    usual = And(Abs(part) < MOST, Abs(part) > LEAST)
    return Piecewise((grouped(part, w), usual), (grouped(grouped(u, w), v), True))


def share_of_powers(node: share) -> Iterator[Expr]:
    """u**p/(u**p + v**p) = 1/(1 + (v/u)**p) = sigmoid(p*log(u/v)), neither of which is infinity over infinity."""
    (u, p), (v, q) = (part.as_base_exp() for part in node.args)
    if p == q != 1:
        yield 1 / (1 + (v / u) ** p)
        yield sigmoid(p * log(u / v))


def share_by_quotient(node: share) -> Expr:
    """u/(u + v) = 1/(1 + v/u), whose sum does not overflow."""
    u, v = node.args
    return 1 / (1 + v / u)


def quotient_apart(node: Over) -> Expr | None:
    """f(c*u)/u, whose f(c*u) is divided by u: c may overflow although c*u and f(c*u) do not."""
    c, u = node.args
    return apart(node.numerator)(c, u) if node.order == 0 and not c.is_Atom else None
