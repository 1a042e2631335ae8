"""Printer of formulas in LaTeX.

A report converts it to MathML by a library that knows a part of LaTeX. The printer writes only this part: a text holds
no escaped characters, which stand between texts instead, and long sums are arrays, not ``aligned``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sympy import Add, Expr
from sympy.printing.latex import LatexPrinter, accepted_latex_functions

from nncodegen.compiler.ir import REDUCTIONS, Element, Step
from nncodegen.compiler.typeset.notation import GREEK, LOSS, Name, Notation
from nncodegen.compiler.typeset.written import WIDTH, as_written, in_lines, width_of

_COMMANDS = {letter: f"\\{name}" for name, letter in GREEK.items() if name != "lamda"}
_COMMANDS |= {"ℒ": "\\mathcal{L}", "ℓ": "\\ell"}

_SPECIAL = {**{character: f"\\{character}" for character in "{}$&#_% "}, "\\": "\\backslash", "~": "{\\sim}"}
"""The LaTeX of characters that would be commands in a text."""

_EXP, _PARTIAL = "\\exp", "\\partial"


class Latex(LatexPrinter):
    """Prints expressions over elements."""

    def __init__(self, notation: Notation) -> None:
        super().__init__({"mul_symbol": r" \, "})  # words in a product do not run together
        self.notation = notation

    def expression(self, expression: Expr) -> str:
        """Return an expression."""
        return str(self.doprint(as_written(expression)))

    def step(self, step: Step, equals: str = "=") -> str:
        """Return a step as an equation."""
        return f"{self.doprint(step.target)} {equals} {self.right(step)}"

    def aligned(self, steps: Iterable[Step]) -> str:
        """Return equations, one below the other."""
        lines = " \\\\\n".join(self.step(step, "&=") for step in steps)
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"

    def derivative(self, step: Step, by: Name) -> str:
        """Return a step as the derivative of the loss by a parameter."""
        return f"{_fraction(self.named(LOSS), self.named(by, step.target.indices))} = {self.right(step)}"

    def partial(self, value: Element, by: Element) -> str:
        """Return the derivative of an element by another one."""
        return _fraction(self.doprint(value), self.doprint(by))

    def bar(self, element: Element) -> str:
        """Return the derivative of the loss by an element: with a bar."""
        name = self.notation.name(element.tensor)
        return self.named(replace(name, bars=name.bars + 1), self.notation.indices(element))

    def right(self, step: Step) -> str:
        """Return the right-hand side of a step."""
        over, expression, where = step.written
        text = self._reduced(step.operator, over, as_written(expression))
        equations = []
        for equation in where:
            left = _index(equation.left) if isinstance(equation.left, str) else self.doprint(equation.left)
            equations.append(f"{left} = {_index(equation.right)}")
        return f"{text}\\quad \\text{{where}}\\ " + ",\\ ".join(equations) if equations else text

    def named(self, name: Name, indices: tuple[str, ...] = ()) -> str:
        """Return a name with its indices."""
        base = _letters(name.base, name.plain)
        if name.accent:
            base = f"\\{name.accent}{{{base}}}"
        for _ in range(name.bars):
            base = f"\\{'bar' if len(name.base) == 1 else 'overline'}{{{base}}}"
        below = name.below if name.below.isdigit() else _letters(name.below)
        parts = ", ".join(part for part in (below, _joined(indices)) if part)
        above = f"^{{{name.above}}}" if name.above else ""
        return f"{base}{f'_{{{parts}}}' if parts else ''}{above}"

    def _reduced(self, operator: str | None, over: tuple[str, ...], expression: Expr) -> str:
        """Return an expression under an operator."""
        body = str(self.doprint(expression))
        if operator is None or not over:
            return body
        below = f"_{{{_joined(over)}}}"
        symbol = REDUCTIONS[operator].latex if operator in REDUCTIONS else ""
        if not symbol:
            return f"{_function(operator)}{below}\\left({body}\\right)"
        signed = expression.is_Add or expression.could_extract_minus_sign()
        return f"{symbol}{below} " + (f"\\left({body}\\right)" if signed else body)

    # --- what SymPy prints otherwise ---

    def _print_Element(self, element: Any) -> str:  # noqa: N802 (named after the class)
        return self.named(self.notation.name(element.tensor), self.notation.indices(element))

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:  # noqa: N802
        return self.named(self.notation.name(expr.name))

    def _print_Add(self, expr: Any, order: Any = None) -> str:  # noqa: N802
        """Print a sum; a long one in lines below each other."""
        lines = in_lines(self._as_ordered_terms(expr, order=order)) if width_of(expr) > WIDTH else []
        if len(lines) < 2:
            return str(super()._print_Add(expr, order))
        rows: list[str] = []
        for terms in lines:
            whole = Add(*terms, evaluate=False)
            text = super()._print_Add(whole, order) if terms[1:] else self._print(terms[0])
            sign = "{} " if text.startswith("-") else "{} + "  # {}: it is a sign between terms
            rows.append(f"{{\\displaystyle {sign * bool(rows)}{text}}}")  # fractions are as large as on one line
        return " ".join(("\\begin{array}{l}", " \\\\ ".join(rows), "\\end{array}"))

    def _print_ExpBase(self, expr: Any, exp: Any = None) -> str:  # noqa: N802
        """Print a power of e; as a function where the exponent is a formula of several lines."""
        if width_of(expr.args[0]) <= WIDTH:
            return str(super()._print_ExpBase(expr, exp))
        return f"{_power(_EXP, exp or 1)}{{\\left({self._print(expr.args[0])} \\right)}}"

    def _print_Derivative(self, expr: Any) -> str:  # noqa: N802
        order = sum(int(count) for _, count in expr.variable_count)
        below = " ".join(_power(f"\\partial {self.doprint(by)}", int(count)) for by, count in expr.variable_count)
        return f"\\frac{{{_power(_PARTIAL, order)} {self.doprint(expr.expr)}}}{{{below}}}"

    def _hprint_Function(self, func: str) -> str:  # noqa: N802 (SymPy's hook for the names of functions)
        return _function(func)


def _function(name: str) -> str:
    """Return the name of a function."""
    if name in accepted_latex_functions:
        return f"\\{name}"
    return f"\\operatorname{{{name}}}" if name.isascii() and name.isalpha() else _text(name)


def _fraction(above: str, below: str) -> str:
    """Return a partial derivative."""
    return f"\\frac{{{_PARTIAL} {above}}}{{{_PARTIAL} {below}}}"


def _joined(indices: Iterable[str]) -> str:
    """Return indices side by side; with commas, where one of them is more than a letter."""
    indices = tuple(indices)
    return (" " if all(len(index) == 1 for index in indices) else ", ").join(map(_index, indices))


def _index(index: str) -> str:
    """Return an index, or a sum of multiples of some, such as 2*i + r - 1."""
    return re.sub(r"[A-Za-z]\w*", lambda match: _letters(match[0]), index.replace("*", " "))


def _power(text: str, exponent: int | str) -> str:
    """Return a text with an exponent, unless that is 1."""
    return text if exponent == 1 else f"{text}^{{{exponent}}}"


def _letters(text: str, plain: bool = False) -> str:
    """Return a letter in italics, anything longer as a text; so also a letter if it is ``plain``."""
    if plain or (len(text) > 1 and text not in _COMMANDS):
        return _text(text)
    return _COMMANDS.get(text, text)


def _text(text: str) -> str:
    """Return any text upright, so that nothing in it is a command."""
    parts = re.findall(r"[{}$&#_% \\~]|[^{}$&#_% \\~]+", text.replace("^", "ˆ"))
    written = "".join(_SPECIAL.get(part, f"\\text{{{part}}}") for part in parts)
    return written if len(parts) == 1 and parts[0] not in _SPECIAL else f"{{{written}}}"
