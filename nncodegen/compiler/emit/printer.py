"""The one printer of scalar expressions in C, through SymPy's printer; its dialects are in ``dialects``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from sympy import Add, Expr, Float, Mul, Pow, Rational, S, exp, sqrt
from sympy.codegen.ast import float32, float64, real
from sympy.printing.c import C99CodePrinter
from sympy.printing.precedence import PRECEDENCE

from nncodegen.compiler.emit.dialects import IN_MODULES, POWER, Dialect
from nncodegen.compiler.ir import Element, elementary

REAL_TYPES = {"float64": ("double", float64), "float32": ("float", float32)}

PRODUCTS = (2, 3)
"""Exponents of powers that are printed as products: exact, and without a call."""


class Printer(C99CodePrinter):
    """Prints expressions in a dialect, in a precision.

    ``element`` returns the C text of an element, and ``used`` collects the helpers that the printed text needs. With
    ``fuses``, products are fused with the sums that they are terms of, so that no compiler decides about that, and
    powers are those of the runtime.
    """

    def __init__(
        self,
        precision: str,
        element: Callable[[Element], str],
        dialect: Dialect = IN_MODULES,
        used: dict[str, None] | None = None,
        fuses: bool = False,
    ) -> None:
        aliases = {real: REAL_TYPES[precision][1]}
        library = {name: record.c for name, record in elementary.FUNCTIONS.items() if record.c and not record.is_inline}
        super().__init__({"type_aliases": aliases, "math_macros": {}, "user_functions": library})
        self._element, self._dialect, self._used = element, dialect, {} if used is None else used
        self._fuses = fuses
        if dialect.order:
            self._settings["order"] = "none"  # parts that are given in an order are printed in it

    def print(self, expression: Expr) -> str:
        """Return an expression in C. Constants are folded, so that no call with a constant argument is left."""
        return str(self._print(_folded(expression)))

    def _print(self, expr: Any, **settings: Any) -> str:
        name = type(expr).__name__
        return self._call(name, expr.args) if name in self._dialect.functions else str(super()._print(expr, **settings))

    def _call(self, name: str, arguments: Iterable[Expr]) -> str:
        """Return a function in the dialect; one of two arguments is called again for each further argument."""
        texts, called = [self._print(argument) for argument in arguments], self._dialect.functions[name]
        if name in self._dialect.helpers:
            self._used[self._dialect.helpers[name]] = None
        while len(texts) > called.count("{}") == 2:
            texts[-2:] = [called.format(*texts[-2:])]
        return called.format(*texts)

    def _print_Element(self, element: Element) -> str:
        return self._element(element)

    # Numbers.

    def _print_Integer(self, number: Any) -> str:
        return str(number) if abs(number) < 2**31 else self._print(Float(number, 20))

    def _print_Float(self, number: Any) -> str:
        text = str(super()._print_Float(number))
        return f"(real) {text}" if self._dialect.any_type else text

    def _print_Rational(self, number: Any) -> str:
        if self._dialect.any_type:
            return f"(real) {number.p}/{number.q}"
        return str(super()._print_Rational(number))

    # Sums, products and powers.

    def added(self, total: str, term: Expr) -> str:
        """Return in C the sum of a text and a term, as one operation if products are fused and it is a product."""
        factors = _fused_factors(_folded(term)) if self._fuses else ()
        if not factors:
            text = self.print(term)
            return f"{total} - {text[1:]}" if text.startswith("-") and not self._fuses else f"{total} + {text}"
        first, rest = self._print(factors[0]), self._print(Mul(*factors[1:], evaluate=False))
        return f"fused({first}, {rest}, {total})"

    def _print_Add(self, total: Any, order: Any = None) -> str:
        if not self._fuses:
            return str(super()._print_Add(total, order))
        terms = self._as_ordered_terms(total, order)
        single = [term for term in terms if not _fused_factors(term)]
        products = [term for term in terms if _fused_factors(term)]
        if not single:
            single, products = products[:1], products[1:]
        text = str(super()._print_Add(Add(*single, evaluate=False))) if len(single) > 1 else self._print(single[0])
        for product in products:
            text = self.added(text, product)
        return text

    def _as_ordered_terms(self, total: Expr, order: Any = None) -> list[Expr]:
        if self._dialect.order:
            return self._dialect.order(total.args)
        return list(super()._as_ordered_terms(total, order))

    def _print_Mul(self, product: Mul) -> str:
        below = [factor for factor in product.args if isinstance(factor, Pow) and factor.exp.is_negative]
        if len(below) == 1 and -below[0].exp in PRODUCTS:  # in parentheses, since it follows a division
            rest = Mul(*(factor for factor in product.args if factor is not below[0]))
            return f"{self.parenthesize(rest, PRECEDENCE['Mul'], strict=True)}/({self._print(1 / below[0])})"
        if self._dialect.order and not below:
            product = Mul(*self._dialect.order(product.args), evaluate=False)
        return str(super()._print_Mul(product))

    def _print_Pow(self, power: Any) -> str:
        base, exponent = power.as_base_exp()
        if exponent in PRODUCTS:
            return "*".join([self._factor(base)] * int(exponent))
        if exponent == S.Half and "sqrt" in self._dialect.functions:
            return self._call("sqrt", [base])
        if exponent == Rational(3, 2):  # without a call, too; in parentheses, since it may follow a division
            return f"({self._factor(base)}*{self._print(sqrt(base))})"
        if -exponent in (1, S.Half, Rational(3, 2)):
            numerator = "1" if self._dialect.any_type else self._print(Float(1.0))
            return f"{numerator}/{self.parenthesize(base**-exponent, PRECEDENCE['Pow'], strict=True)}"
        if "power" in self._dialect.functions and exponent == Element("t"):
            return self._call("power", [base])
        if self._fuses and exponent != S.Half:
            called = self._dialect.functions.get("same_power", f"{POWER}({{}}, {{}})")
            return called.format(self._print(base), self._print(exponent))
        return str(super()._print_Pow(power))

    def _factor(self, base: Expr) -> str:
        return str(self.parenthesize(base, PRECEDENCE["Mul"], strict=True))

    # Choices and functions.

    def _print_Piecewise(self, piecewise: Any) -> str:
        *branches, (last, condition) = piecewise.args
        text = self._print(last) if condition == True else "NAN"  # noqa: E712 (a SymPy truth value)
        if condition != True:  # noqa: E712
            branches.append((last, condition))
        for value, condition in reversed(branches):
            text = f"({self._print(condition)} ? {self._print(value)} : {text})"
        return text

    def _print_BooleanFalse(self, _: Any) -> str:  # C has no name for it without a header
        return "0"

    def _print_BooleanTrue(self, _: Any) -> str:
        return "1"

    def _print_Or(self, disjunction: Any) -> str:
        return " || ".join(f"({self._print(part)})" for part in sorted(disjunction.args, key=str))

    def _print_decay(self, function: Any) -> str:
        return self._print(exp(-function.args[0], evaluate=False))


def _fused_factors(term: Expr) -> tuple[Expr, ...]:
    """Return the factors of a product that can be fused with a sum: two or more, none of which divides; else none."""
    factors: list[Expr] = []
    for factor in Mul.make_args(term):
        base, exponent = factor.as_base_exp() if isinstance(factor, Pow) else (factor, S.One)
        if exponent.is_negative and not factor.is_Rational:
            return ()
        factors += [base] * int(exponent) if exponent in PRODUCTS else [factor]
    if factors[0] == -1 and len(factors) > 2:
        factors = [-factors[1], *factors[2:]]
    return tuple(factors) if len(factors) > 1 and factors[0] != -1 else ()


def _is_constant(node: Any) -> bool:
    compound = isinstance(node, Expr) and node.is_number and not node.is_Rational and not node.is_Float
    return bool(compound)


@lru_cache(maxsize=10_000)  # several kernels print the same step
def _folded(expression: Expr) -> Expr:
    """Return the expression with its constants as numbers."""
    return expression.replace(_is_constant, lambda constant: constant.evalf(20))
