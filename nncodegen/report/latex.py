"""The same formulas in LaTeX, to be copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy import Expr
from sympy.printing.latex import LatexPrinter

from nncodegen.ir import Step
from nncodegen.report.notation import GREEK, Name, Notation
from nncodegen.report.written import as_written

_ESCAPED = str.maketrans({**{c: f"\\{c}" for c in "{}$&#_%"}, "\\": "∖", "^": "ˆ", "~": "∼"})
_COMMANDS = {letter: f"\\{name}" for name, letter in GREEK.items() if name != "lamda"}
_COMMANDS |= {"ℒ": "\\mathcal{L}", "ℓ": "\\ell"}
_PARTIAL = "\\partial"
_OPERATORS = {"sum": "\\sum", "max": "\\max"}


class Latex(LatexPrinter):
    """Prints expressions over elements as LaTeX."""

    def __init__(self, notation: Notation) -> None:
        super().__init__()
        self.notation = notation

    def expression(self, expression: Expr) -> str:
        """An expression."""
        return str(self.doprint(as_written(expression)))

    def step(self, step: Step, equals: str = "=") -> str:
        """A step as an equation."""
        return f"{self.doprint(step.target)} {equals} {self.right(step)}"

    def derivative(self, step: Step, by: Name) -> str:
        """A step as the derivative of the loss by a parameter."""
        parameter = self.named(by, step.target.indices)
        return f"\\frac{{\\partial \\mathcal{{L}}}}{{\\partial {parameter}}} = {self.right(step)}"

    def right(self, step: Step) -> str:
        """The right-hand side of a step."""
        over, expression, where = step.written
        expression = as_written(expression)
        text = self._reduced(step.operator, over, expression)
        equations = []
        for equation in where:
            left = equation.left if isinstance(equation.left, str) else self.doprint(equation.left)
            equations.append(f"{left} = {_index(equation.right)}")
        return f"{text}\\quad \\text{{where }} " + ",\\ ".join(equations) if equations else text

    def _reduced(self, operator: str | None, over: tuple[str, ...], expression: Expr) -> str:
        """An expression under an operator."""
        body = self.doprint(expression)
        if operator is None or not over:
            return str(body)
        below = f"_{{{_joined(over)}}}"
        if operator not in _OPERATORS:
            return f"\\operatorname{{{operator.translate(_ESCAPED)}}}{below}\\left({body}\\right)"
        signed = expression.is_Add or expression.could_extract_minus_sign()
        return f"{_OPERATORS[operator]}{below} " + (f"\\left({body}\\right)" if signed else str(body))

    def aligned(self, steps: Iterable[Step]) -> str:
        """Equations below each other."""
        lines = " \\\\\n".join(self.step(step, "&=") for step in steps)
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"

    def named(self, name: Name, indices: tuple[str, ...]) -> str:
        """A name with its indices."""
        base = _letters(name.base, name.plain)
        below = _letters(name.below, False) if name.below and not name.below.isdigit() else name.below
        above = f"^{{{name.above}}}" if name.above else ""
        joined = _joined(indices)
        for _ in range(name.bars):
            base = f"\\{'bar' if len(name.base) == 1 else 'overline'}{{{base}}}"
        parts = ", ".join(part for part in (below, joined) if part)
        return f"{base}{f'_{{{parts}}}' if parts else ''}{above}"

    def _print_Element(self, element: Any) -> str:  # noqa: N802 (named after the class)
        return self.named(self.notation.name(element.tensor), self.notation.indices(element))

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:  # noqa: N802
        return self.named(self.notation.name(expr.name), ())

    def _print_Derivative(self, expr: Any) -> str:  # noqa: N802
        order = sum(int(count) for _, count in expr.variable_count)
        below = " ".join(_power(f"\\partial {self.doprint(by)}", int(count)) for by, count in expr.variable_count)
        above = f"{_power(_PARTIAL, order)} {self.doprint(expr.expr)}"
        return f"\\frac{{{above}}}{{{below}}}"

    def _hprint_Function(self, func: str) -> str:  # noqa: N802 (SymPy's hook for the names of functions)
        escaped = f"\\operatorname{{{func.translate(_ESCAPED)}}}"
        return escaped if "_" in func else str(super()._hprint_Function(func))


def _joined(indices: Iterable[str]) -> str:
    """Indices side by side; with commas, where one of them is more than a letter."""
    indices = tuple(indices)
    return (" " if all(len(index) == 1 for index in indices) else ", ").join(map(_index, indices))


def _index(index: str) -> str:
    """An index, or a sum of multiples of some, such as 2*i + r - 1."""
    return index.replace("*", " ").replace("_", "\\_")


def _power(text: str, exponent: int) -> str:
    """A text with an exponent, unless that is 1."""
    return text if exponent == 1 else f"{text}^{{{exponent}}}"


def _letters(text: str, plain: bool) -> str:
    """A letter in italics, a word upright, anything else as a text."""
    if plain:
        return f"\\text{{{text.translate(_ESCAPED)}}}"
    if text in _COMMANDS:
        return _COMMANDS[text]
    return text if len(text) == 1 else "\\mathrm{" + text.replace(" ", "\\ ") + "}"
