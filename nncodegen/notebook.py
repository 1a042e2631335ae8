"""How models and programs look in a notebook: their formulas in LaTeX, their tensors in a table of HTML."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from sympy.printing.latex import LatexPrinter

from nncodegen.runtime.python.markup import paragraph, table

if TYPE_CHECKING:
    from nncodegen.ir.program import Program, Step, Tensor

OPERATIONS = 300
"""A formula with more operations is not typeset: nobody reads it, and to typeset it takes a browser seconds."""

ROWS, LINES = 40, 200
"""The tensors of a table, and the lines of a program, that are shown."""

_SAMPLE = "n"
"""The index that numbers the samples, ``ir.SAMPLE``; the representation imports this file, not the other way."""

_SIMPLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ESCAPED = str.maketrans({**{c: f"\\{c}" for c in "{}$&#_%"}, "\\": "∖", "^": "ˆ", "~": "∼"})
_OPERATORS = {"sum": "\\sum", "max": "\\max"}


def model_latex(program: Program) -> str | None:
    """The formulas of a model for one sample, in the order of their steps; None where they are long."""
    steps = [step for step in program.steps if _SAMPLE not in step.over]  # without the mean over the samples
    return _aligned(steps, _Printer(samples=False))


def program_latex(program: Program) -> str | None:
    """The steps of a program with all their indices; None where they are long."""
    return _aligned(program.steps, _Printer(samples=True))


def model_html(program: Program, kind: str) -> str:
    """A model with its formulas and a table of its parameters."""
    count = program.parameter_count
    title = f"{program.name}: {kind} with {count} parameter{'s' * (count != 1)}"
    formulas = model_latex(program)
    parts = [paragraph(title, "b"), escape(formulas) if formulas else "", _tensors(program)]
    return f"<div>{''.join(parts)}</div>"


def program_html(program: Program) -> str:
    """A program as the text that ``show`` gives."""
    lines = program.show().splitlines()
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"... {len(lines) - LINES} more lines"]
    text = "\n".join(lines)
    return f"<div>{paragraph(program.name, 'b')}{paragraph(text, 'pre')}</div>"


def _tensors(program: Program) -> str:
    """A table of inputs, targets and parameters: what each is, its shape, how a parameter starts."""
    rows = [
        *((tensor.name, "input", _shape(tensor), "") for tensor in program.inputs),
        *((tensor.name, "target", _shape(tensor), "") for tensor in program.targets),
        *((tensor.name, "parameter", _shape(tensor), _initial(tensor)) for tensor in program.parameters),
    ]
    if len(rows) > ROWS:
        rows = [*rows[:ROWS], (f"... {len(rows) - ROWS} more", "", "", "")]
    return table(("name", "role", "shape", "start"), rows)


def _shape(tensor: Tensor) -> str:
    """The sizes of a tensor, for one sample; nothing for a number."""
    return " × ".join(str(size) for size in tensor.shape if size is not None)


def _initial(tensor: Tensor) -> str:
    initial = tensor.initial
    if initial.distribution == "given":
        return "given"
    return f"{initial.scale:g}" if initial.distribution == "constant" else f"{initial.distribution} {initial.scale:.4g}"


def _aligned(steps: Any, printer: _Printer) -> str | None:
    """The steps, aligned at their equals signs, as displayed mathematics."""
    if not steps or sum(int(step.expression.count_ops()) + 1 for step in steps) > OPERATIONS:
        return None
    lines = " \\\\ ".join(printer.step(step) for step in steps)
    return f"$$\\begin{{aligned}} {lines} \\end{{aligned}}$$"


class _Printer(LatexPrinter):
    """Prints expressions over elements; indices are subscripts, that of the samples only on request."""

    def __init__(self, samples: bool) -> None:
        super().__init__()
        self.samples = samples

    def step(self, step: Step) -> str:
        """A step as an equation."""
        over, expression, where = step.written
        body = self.doprint(expression)
        if step.operator in _OPERATORS and over:
            signed = expression.is_Add or expression.could_extract_minus_sign()
            summand = f"\\left( {body} \\right)" if signed else body
            body = f"{_OPERATORS[step.operator]}_{{{', '.join(over)}}} {summand}"
        elif step.operator and over:
            body = f"{self._function(step.operator)}_{{{', '.join(over)}}}\\left( {body} \\right)"
        conditions = ",\\ ".join(self._equation(equation) for equation in where)
        return f"{self.doprint(step.target)} &= {body}" + (f"\\quad \\text{{where }} {conditions}" if where else "")

    def _equation(self, equation: Any) -> str:
        left = equation.left if isinstance(equation.left, str) else self.doprint(equation.left)
        return f"{left} = {equation.right.replace('*', ' ')}"

    def _print_Element(self, element: Any) -> str:  # noqa: N802 (named after the class)
        indices = [index for index in element.indices if self.samples or index != _SAMPLE]
        if not indices:
            return self._name(element.tensor)
        tensor = element.tensor
        name = tensor if len(tensor) == 1 and tensor.isalpha() else f"\\mathrm{{{tensor.translate(_ESCAPED)}}}"
        return f"{{{name}}}_{{{', '.join(indices)}}}"

    def _name(self, name: str) -> str:
        """A name as SymPy typesets symbols (alpha, w13); any that may be more than letters and digits as plain text."""
        if _SIMPLE.fullmatch(name):
            base, mark, below = str(self._deal_with_super_sub(name)).partition("_")
            if len(base) > 1 and base.isalpha():  # a word, which would look like a product
                base = f"\\mathrm{{{base}}}"
            return base + mark + below
        return f"\\text{{{name.translate(_ESCAPED)}}}"

    def _function(self, name: str) -> str:
        return f"\\operatorname{{{name.translate(_ESCAPED)}}}"

    def _hprint_Function(self, func: str) -> str:  # noqa: N802 (SymPy's hook for the names of functions)
        return self._function(func) if "_" in func else str(super()._hprint_Function(func))
