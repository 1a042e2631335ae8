"""The alternatives that the search of ``digits`` tries, for each class of nodes.

Unlike the rules of ``RULES``, they do not help everywhere: each is taken only where it keeps more bits at drawn points.
An alternative is a function of one node, whose docstring begins with its algebra. It returns the new node, or several
of them, or None if it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import sympy
from sympy import Add, Expr, Mul, Pow, acos, cos, log
from sympy.codegen.cfunctions import Cbrt

from nncodegen.compiler.ir import Element, elements
from nncodegen.compiler.ir.functions import plain_conditions
from nncodegen.compiler.ir.limits import power_near_one
from nncodegen.compiler.ir.quotients import BY_C, over
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.rules import differences, ranges, series, trigonometric
from nncodegen.compiler.passes.rules.forms import stable_form

Alternative = Callable[[Expr], Expr | Iterator[Expr] | None]
Table = Mapping[type, tuple[Alternative, ...]]

DIFFERENCES: Table = {
    Add: (
        differences.difference_of_roots,
        differences.difference_with_root,
        differences.difference_of_cube_roots,
        differences.difference_of_logarithms,
        differences.difference_of_arctangents,
        differences.complement_of_arctangent,
        differences.difference_of_powers,
        differences.power_less_one,
        trigonometric.difference_of_sines,
        trigonometric.sine_of_small_step,
        trigonometric.difference_of_cosines,
        trigonometric.cosine_of_small_step,
        trigonometric.difference_of_tangents,
        trigonometric.tangent_of_small_step,
        trigonometric.tangent_as_quotient,
        trigonometric.double_angle,
        trigonometric.hyperbolic_from_exponentials,
        trigonometric.expm1_of_both_signs,
        differences.factored,
        differences.multiplied_out,
        differences.one_fraction,
        differences.powers_of_roots,
        differences.factor_out,
        differences.branch_of_logarithms,
    ),
    Mul: (
        differences.quotient_with_root,
        differences.quotient_of_expm1,
        differences.sum_of_expm1_quotients,
        trigonometric.half_angle_tangent,
        trigonometric.sine_over_one_and_cosine,
    ),
    power_near_one: (differences.power_of_one_and_little,),
    log: (
        differences.logarithm_of_odd_quotient,
        differences.logarithm_of_close_numbers,
        differences.logarithm_of_quotient_apart,
        differences.inverse_hyperbolic,
    ),
    acos: (trigonometric.arccosine_near_one,),
    cos: (trigonometric.cosine_of_arctangent,),
}
"""The alternatives of what cancels, for each class of nodes, in the order in which they are tried."""

SERIES: Table = {Add: (series.series_near_zero,), Mul: (series.series_near_zero,)}
"""The alternatives for holes that no algebra fills."""

RANGES: Table = {
    Mul: (
        ranges.conjugate_quotient,
        ranges.side_over_length,
        ranges.sum_over_squares,
        ranges.product_over_sum,
        ranges.square_of_quotient,
        ranges.powers_together,
        ranges.powers_in_steps,
        ranges.balanced_product,
        ranges.alternating_product,
        ranges.other_orders,
        ranges.choice_of_range,
    ),
    Pow: (
        ranges.root_of_squares,
        ranges.root_of_difference_of_squares,
        ranges.root_of_discriminant,
        ranges.root_of_square,
        ranges.root_of_product,
        ranges.squares_of_products,
        ranges.sum_by_its_largest,
    ),
    Cbrt: (ranges.cube_root_of_cube,),
    share: (ranges.share_of_powers, ranges.share_by_quotient),
    log: (differences.logarithm_of_power, differences.logarithm_of_product),
    **{over(function): (ranges.quotient_apart,) for function in BY_C},
}
"""The alternatives of what leaves the range of numbers."""


def alternatives(node: Expr, table: Table) -> Iterator[tuple[Alternative, Expr]]:
    """Yield the forms that the alternatives of a table give for a node, and for parts of a sum or a product."""
    for alternative in table.get(node.func, ()):
        for form in _forms(alternative, node):
            yield alternative, form


def parts(node: Expr) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Yield a node, and the parts of a sum or a product that read other elements than the rest, each with this rest.

    In ``p + 1/(x + 1) - 1/x`` and ``k*(x - sin(x))/(x - tan(x))``, p and k have no part in what cancels. A number goes
    with the first part.
    """
    yield node, ()
    groups: list[tuple[set[Element], list[Expr]]] = []  # sets used for membership only
    numbers = []
    for term in node.args if isinstance(node, Add | Mul) else ():
        read, terms = {*elements(term)}, [term]
        if not read:
            numbers.append(term)
            continue
        for group in [group for group in groups if group[0] & read]:
            groups.remove(group)
            read, terms = read | group[0], [*group[1], *terms]
        groups.append((read, terms))
    for k, (_, terms) in enumerate(groups if len(groups) > 1 else ()):
        terms += numbers if k == 0 else []
        if len(terms) > 1:
            yield node.func(*terms), tuple(term for term in node.args if term not in terms)


def _forms(alternative: Alternative, node: Expr) -> Iterator[Expr]:
    """Yield the other forms that an alternative gives for a node, for its parts one by one, and for all of them."""
    rewritten: dict[Expr, Expr] = {}
    for part, rest in parts(node):
        replacement = alternative(part)
        for form in () if replacement is None else (replacement,) if isinstance(replacement, Expr) else replacement:
            if form != part:
                yield part.func(form, *rest) if rest else form
                if rest:
                    rewritten.setdefault(part, form)
    if len(rewritten) > 1:
        terms = [term for part in rewritten for term in part.args]
        yield node.func(*rewritten.values(), *(term for term in node.args if term not in terms))


def neighbours(node: Expr, table: Table) -> tuple[tuple[str, Expr], ...]:
    """Return the forms that the alternatives of a table give for a node, in stable form, with the names of the rules.

    The derivatives of a formula have many nodes that it has as well: each is rewritten once.
    """
    return _neighbours(node, _TABLES.index(table))


_TABLES = (DIFFERENCES, SERIES, RANGES)


FAULTS = (RecursionError, ValueError, TypeError, ZeroDivisionError, NotImplementedError, sympy.PolynomialError)
"""The errors that SymPy may raise where it cannot rewrite a form: then there is no such alternative."""


@lru_cache(maxsize=2_000)
def _neighbours(node: Expr, table: int) -> tuple[tuple[str, Expr], ...]:
    rewritings = []
    for rule in _TABLES[table].get(node.func, ()):
        try:
            forms = [plain_conditions(stable_form(new, node)) for new in _forms(rule, node)]
        except FAULTS:
            continue
        rewritings += [(rule.__name__, new) for new in forms if new != node]
    return tuple(rewritings)
