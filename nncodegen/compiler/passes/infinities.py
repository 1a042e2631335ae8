"""Finds values and derivatives that may be infinite although the loss is finite.

A reverse sweep multiplies derivatives, and zero times infinity is NaN, even where the derivative exists: that of
``Min(exp(z), 1)`` at z = 1000 is 0, not 0*exp(1000). This file finds the places where that may happen, first for single
functions, whose traits are in their records, then for the steps of a program.

* A function *carries* an infinity if its value is infinite or NaN whenever its argument is infinite. Then the loss is
  not finite either, and no derivative needs to be saved. Otherwise it *hides* the infinity: 1/z, tanh(z), a branch that
  is not taken.
* A function hides an infinity *weakly* if it tends to its limit only as fast as a power: 1/z, atan(z). Its derivative
  vanishes, and its product with an infinite one may be any number: for 1/(1 + 1/z) at 0 it is 1. So it must not be set
  to 0. Exponentials, and choices among branches, vanish faster than any power grows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from functools import lru_cache
from itertools import islice
from types import MappingProxyType

import sympy
from sympy import Add, Dummy, Expr, Integer, Mul, Piecewise, Pow, Symbol
from sympy.codegen.cfunctions import exp2, expm1
from sympy.core.relational import Relational
from sympy.functions.elementary.miscellaneous import Max, Min
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.ir import RECURRENCES, REDUCTIONS, SAMPLE, Element, Step, elements, functions
from nncodegen.compiler.ir.elementary import FUNCTIONS
from nncodegen.compiler.ir.graphs import objects_of
from nncodegen.compiler.ir.limits import power_near_one, product_unless_zero, product_unless_zeros
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.ir.traits import NO_TRAITS, Trait

GUARDED = (product_unless_zero, product_unless_zeros)
"""Products that choose 0 like a branch."""

STRUCTURE: Mapping[type, Trait] = {
    Add: Trait.GROWING | Trait.CARRYING | Trait.TOTAL,
    Mul: Trait.GROWING | Trait.CARRYING | Trait.TOTAL,
    Piecewise: Trait.GROWING | Trait.ABRUPT,
}
"""The traits of nodes that are not functions. Those of roots and powers depend on the exponent."""


def has_trait(node: Expr, trait: Trait) -> bool:
    """Return whether the outermost function of an expression has a trait."""
    if isinstance(node, functions.StableFunction):
        return bool(node.traits & trait)
    record = FUNCTIONS.get(node.func.__name__)
    traits = STRUCTURE.get(node.func, NO_TRAITS) if record is None else record.traits
    return bool(traits & trait)


NO_SIGNS: Mapping[Expr, Symbol] = MappingProxyType({})

MOST_KNOWN = 100_000
"""The largest number of answers that each of the questions here remembers, since formulas share most of their parts."""


@lru_cache(maxsize=MOST_KNOWN)
def is_total(node: Expr) -> bool:
    """Return whether an expression and its derivatives are finite for all finite values of its elements."""
    if node.is_Atom:
        return True
    power = isinstance(node, Pow) and node.exp.is_Integer and node.exp > 1
    return (power or has_trait(node, Trait.TOTAL)) and all(is_total(part) for part in node.args)


@lru_cache(maxsize=MOST_KNOWN)
def is_steep(node: Expr, operand: Expr) -> bool:
    """Return whether the derivative by an operand may be infinite where the value is finite."""
    if node == operand or not _has(node, operand):
        return False
    if isinstance(node, power_near_one) and node.args[2:] == (0, 0):
        w, b, _, _ = node.args
        return is_steep(Pow(1 + w, b), operand)
    if isinstance(node, Pow):
        root = not node.exp.is_number or 0 < node.exp < 1
        within = _has(node.base, operand) or (_has(node.exp, operand) and _is_sampled(operand))
        if root and within and not signed(node.base, NO_SIGNS).is_positive:
            return True
    return has_trait(node, Trait.STEEP) or any(is_steep(argument, operand) for argument in node.args)


@lru_cache(maxsize=MOST_KNOWN)
def _has(node: Expr, operand: Expr) -> bool:
    """Return whether an expression has another one as a part."""
    return bool(node == operand) or any(_has(argument, operand) for argument in node.args)


def steep_elements(node: Expr, signs: Mapping[Expr, Symbol] = NO_SIGNS) -> set[Element]:
    """Return all elements of an expression for which ``is_steep`` is true.

    The result is for membership only: a set has no fixed order.
    """
    if node.is_Atom:
        return set()
    if has_trait(node, Trait.STEEP):
        return {*elements(node)}
    steep = {element for argument in node.args for element in steep_elements(argument, signs)}
    is_root = isinstance(node, Pow) and (not node.exp.is_number or 0 < node.exp < 1)
    if is_root and not signed(node.base, signs).is_positive:
        steep.update(elements(node.base), filter(_is_sampled, elements(node.exp)))
    return steep


def may_be_infinite(
    node: Expr, loose: Collection[Symbol] = (), signs: Mapping[Expr, Symbol] = NO_SIGNS, by_parameters: bool = False
) -> bool:
    """Return whether an expression may be infinite while all its symbols, except those in ``loose``, are finite.

    Sums, products and integer powers of finite numbers count as finite. So do quotients by parameters only, unless
    ``by_parameters`` is true: where such a divisor is 0, the formula has no value anyway. ``signs`` holds what is known
    about the signs of symbols.
    """
    if not loose and not signs:
        return _is_infinite_alone(node, by_parameters)
    return _may_be_infinite(node, loose, signs, by_parameters)


@lru_cache(maxsize=MOST_KNOWN)
def _is_infinite_alone(node: Expr, by_parameters: bool) -> bool:
    """Return ``may_be_infinite`` where nothing is known about symbols."""
    return _may_be_infinite(node, (), NO_SIGNS, by_parameters)


def _may_be_infinite(node: Expr, loose: Collection[Symbol], signs: Mapping[Expr, Symbol], by_parameters: bool) -> bool:
    """Return ``may_be_infinite`` from that of the arguments."""
    if node.is_Symbol:
        return node in loose
    if node.is_number or has_trait(node, Trait.BOUNDED):
        return False
    if isinstance(node, sympy.exp | expm1 | exp2 | functions.decay) and signed(-node.args[0], signs).is_nonnegative:
        return False
    if isinstance(node, Pow):
        if may_be_infinite(node.base, loose, signs, by_parameters) or not node.exp.is_number:
            return True
        return bool(
            node.exp < 0 and not signed(node.base, signs).is_positive and (by_parameters or _is_sampled(node.base))
        )
    if isinstance(node, Piecewise):
        return any(
            may_be_infinite(value, loose, {**signs, **_implied(where)}, by_parameters) for value, where in node.args
        )
    if isinstance(node, share):
        return may_be_infinite(node.definition(*node.args), loose, signs, by_parameters)
    if has_trait(node, Trait.GROWING):
        return any(may_be_infinite(argument, loose, signs, by_parameters) for argument in node.args)
    return True


MOST_SIGNED = 10
"""The largest number of operations of an expression whose sign SymPy is asked for; for more it may take long."""


def signed(node: Expr, signs: Mapping[Expr, Symbol]) -> Expr:
    """Return an expression in which each symbol is replaced by one that knows its sign."""
    return (
        node.xreplace({symbol: signs[symbol] for symbol in node.free_symbols & signs.keys()})
        if _is_small(node)
        else Dummy()
    )


def _is_small(node: Expr) -> bool:
    """Return whether SymPy is asked for the sign of an expression, without a walk over all of a large one.

    An operation has at most two nodes that are not atoms, as a quotient; so far more of them are too many operations.
    """
    most = 4 * MOST_SIGNED
    inner = (part for part in objects_of(node) if part.args)
    few = len(node.args) <= MOST_SIGNED + 1 and sum(1 for _ in islice(inner, most + 1)) <= most
    return few and bool(node.count_ops() <= MOST_SIGNED)


@lru_cache(maxsize=MOST_KNOWN)
def has_slow_pole(node: Expr) -> bool:
    """Return whether an expression has a pole of first order, or a logarithm.

    Its derivative may then grow as fast as that of a function that hides it weakly vanishes.
    """
    if isinstance(node, Pow) and node.exp.is_number and -1 <= node.exp < 0:
        return True
    return has_trait(node, Trait.SLOW_POLE) or any(has_slow_pole(argument) for argument in node.args)


def _has_pole(node: Expr) -> bool:
    """Return whether an expression has a pole of any order, or a logarithm.

    A division by parameters only does not count, because the expression has no value at this pole; nor do powers with a
    variable exponent.
    """
    pole = isinstance(node, Pow) and node.exp.is_number and node.exp < 0 and _is_sampled(node.base)
    return bool(pole) or has_trait(node, Trait.SLOW_POLE) or any(_has_pole(argument) for argument in node.args)


def _implied(condition: Boolean) -> dict[Expr, Symbol]:
    """Return, for a condition such as x > 0, a mapping from x to a symbol that knows this sign."""
    if isinstance(condition, Relational) and condition.lhs.is_Symbol and condition.rhs.is_number:
        if isinstance(condition, sympy.Lt | sympy.Le) and condition.rhs <= 0:
            return {condition.lhs: Dummy(nonpositive=True)}
        if isinstance(condition, sympy.Gt | sympy.Ge) and condition.rhs >= 0:
            strict = isinstance(condition, sympy.Gt) or condition.rhs > 0
            return {condition.lhs: Dummy(nonnegative=True, positive=strict or None)}
    return {}


def _is_sampled(node: Expr) -> bool:
    """Return whether an expression may differ between samples, which is assumed for a Dummy."""
    symbols = (part for part in objects_of(node) if isinstance(part, Symbol))
    return any(SAMPLE in getattr(symbol, "indices", (SAMPLE,)) for symbol in symbols)


def carries(node: Expr) -> bool:
    """Return whether a function is infinite or NaN at an infinite argument."""
    if isinstance(node, Pow):
        return bool(node.exp.is_number and node.exp > 0)
    return has_trait(node, Trait.CARRYING)


class Infinities:
    """Finds where the reverse sweep through some steps may multiply zero by infinity.

    It finds out for each element whether an infinite value would show in the loss, and whether it is hidden weakly or
    by a choice among branches. Together with signs, this gives the elements that may be infinite although the loss is
    finite, and those whose adjoints may be. The elements in ``swift`` grow so fast that their reciprocals vanish faster
    than any derivative grows. ``present`` is the name of the sample mask, or "" without one.
    """

    def __init__(self, steps: tuple[Step, ...], results: Iterable[Element], present: str = "") -> None:
        self._seen = {*results}  # elements that are infinite only where the loss is not finite
        self._weak: set[Element] = set()  # elements that some later function hides weakly
        self._chosen: set[Element] = set()  # elements that a branch or a maximum may leave out
        self._signs: dict[Expr, Symbol] = {Element(present, (SAMPLE,)): Dummy(positive=True)} if present else {}
        self._loose: set[Symbol] = set()  # elements that may be infinite although the loss is finite
        self.swift: set[Symbol] = set()  # those of them that grow like an exponential, not like a pole
        self._steep_of: dict[Element, set[Element]] = {}  # steep operands, by the target of a step
        self._steep: set[Element] = set()  # elements whose adjoints may be infinite although the loss is finite
        self._recurs = any(step.operator in RECURRENCES for step in steps)
        self._find_hidden(steps)
        self._find_loose(steps)
        self._find_steep(steps)

    def _passes(self, *collected: Sized) -> Iterator[None]:
        """Yield for each pass over the steps, until one changes no size of what was found: once without recurrences."""
        known = [-1]
        while known != (known := [len(each) for each in collected]):
            yield
            if not self._recurs:
                return

    def _find_hidden(self, steps: tuple[Step, ...]) -> None:
        for _ in self._passes(self._chosen, self._seen, self._weak):
            for step in reversed(steps):  # reversed: every use of a tensor is visited before its definition
                if step.operator not in (None, "sum", *RECURRENCES):
                    continue
                if step.target in self._chosen or step.expression.has(Piecewise, Max, Min, *GUARDED):
                    self._chosen.update(step.operands)
                if step.target in self._seen and step.operator not in RECURRENCES:  # these leave out an end
                    self._seen.update(_carried(step.expression))
                shown, hidden = _weakly(step.expression)
                self._weak.update(hidden, shown if step.target in self._weak else ())

    def _find_loose(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.operator in (None, *REDUCTIONS):
                value = signed(step.expression, self._signs)
                if value.is_nonnegative:
                    self._signs[step.target] = Dummy(nonnegative=True, positive=value.is_positive or None)
                self._add_loose(step)
        for _ in self._passes(self._loose) if self._recurs else ():  # what recurrences read is defined later
            for step in steps:
                if not self._loose.isdisjoint(step.operands) and step.operator in (None, *REDUCTIONS, *RECURRENCES):
                    self._add_loose(step)
        self.swift.update(self._loose)
        of_loose = [step for step in steps if step.target in self._loose]
        for _ in self._passes(self.swift):
            for step in of_loose:
                if _has_pole(step.expression) or not self._loose.intersection(step.operands) <= self.swift:
                    self.swift.discard(step.target)

    def _add_loose(self, step: Step) -> None:
        """Add the target of a step if it may be infinite although the loss is finite."""
        if self.hides(step.target) and self._may_be_infinite(step, step.expression):
            self._loose.add(step.target)

    def _find_steep(self, steps: tuple[Step, ...]) -> None:
        for _ in self._passes(self._steep):
            for step in reversed(steps):
                if step.target in self._steep or self._slow(step):
                    self._steep.update(step.operands)
                else:
                    self._steep.update(self._steep_operands(step))

    def is_loose(self, target: Element) -> bool:
        """Return whether an element may be infinite although the loss is finite."""
        return target in self._loose

    def hides(self, target: Element) -> bool:
        """Return whether the loss may be finite where an element is not."""
        return target not in self._seen

    def adjoint_grows(self, step: Step) -> bool:
        """Return whether the adjoint of a step may be infinite or NaN although the loss is finite."""
        return step.operator is None and step.target in self._steep

    def derivative_grows(self, step: Step, operand: Element, derivative: Expr) -> bool:
        """Return whether a derivative may be infinite while the loss is finite: times an adjoint of 0, it gives 0."""
        if step.operator or self._slow(step) or not self._may_be_infinite(step, derivative):
            return False
        return self.hides(step.target) or self._is_steep(step, operand)

    def kinds(self, step: Step, operand: Element, derivative: Expr) -> tuple[bool, bool]:
        """Return whether a derivative may be infinite while the loss is finite, and whether this may be at a slow pole.

        At a pole that a later function hides weakly, zero times the derivative may be any number, else it is 0.
        """
        if step.operator and not step.expression.has(*GUARDED):
            return False, False
        slow = self._slow(step)
        infinite = slow or self.hides(step.target) or self._is_steep(step, operand)
        infinite = infinite and self._may_be_infinite(step, derivative)
        return infinite, slow and may_be_infinite(derivative, self._loose, self._signs)

    def split(self, step: Step, derivative: Expr) -> tuple[Expr, Expr]:
        """Return a derivative as a product of two factors: one that is always finite, and one that may not be."""
        if self.adjoint_grows(step):
            return Integer(1), derivative
        factors = Mul.make_args(derivative)
        growing = [factor for factor in factors if self._may_be_infinite(step, factor)]
        return Mul(*(factor for factor in factors if factor not in growing)), Mul(*growing)

    def _may_be_infinite(self, step: Step, expression: Expr) -> bool:
        return may_be_infinite(expression, self._loose, self._signs, by_parameters=step.target in self._chosen)

    def _is_steep(self, step: Step, operand: Element) -> bool:
        return operand in self._steep_operands(step)

    def _steep_operands(self, step: Step) -> set[Element]:
        """Return the operands by which the derivative may be infinite where the value is finite."""
        if step.target not in self._steep_of:
            self._steep_of[step.target] = steep_elements(step.expression, self._signs)
        return self._steep_of[step.target]

    def _slow(self, step: Step) -> bool:
        """Return whether the derivative of a step may grow as fast as its adjoint vanishes."""
        return self.hides(step.target) and step.target in self._weak and has_slow_pole(step.expression)


def _carried(node: Expr) -> set[Element]:
    """Return the elements whose infinities an expression carries (for membership only, like the sets below)."""
    if isinstance(node, Element):
        return {node}
    carrying = node.args[:1] if isinstance(node, share) else node.args if carries(node) else ()
    return {element for argument in carrying for element in _carried(argument)}


def _weakly(node: Expr) -> tuple[set[Element], set[Element]]:
    """Return two sets of elements of an expression: those whose infinities it carries, and those that it hides weakly.

    A later step may hide the carried ones weakly.
    """
    if isinstance(node, Element):
        return {node}, set()
    if node.is_Atom or has_trait(node, Trait.ABRUPT):
        return set(), set()
    if not carries(node):
        return set(), {*elements(node)}
    parts = [_weakly(argument) for argument in node.args]
    return {e for shown, _ in parts for e in shown}, {e for _, hidden in parts for e in hidden}
