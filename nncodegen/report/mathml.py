"""Formulas as MathML, which browsers set by themselves.

SymPy prints expressions; names, sums and cases are printed here. Every text is escaped where the tree is written out:
a name may hold anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from xml.dom.minidom import Node

from markupsafe import Markup
from sympy import Add, Expr
from sympy.printing.mathml import MathMLPresentationPrinter

from nncodegen.ir import Step
from nncodegen.typeset.notation import LOSS, Name, Notation
from nncodegen.typeset.written import WIDTH, as_written, in_lines, width_of

OPERATORS = {"sum": "∑", "max": "max"}
"""How reductions are written; all other operators by their names."""


class MathML(MathMLPresentationPrinter):
    """Prints expressions over elements as trees of MathML."""

    def __init__(self, notation: Notation) -> None:
        super().__init__()
        self.notation = notation

    def expression(self, expression: Expr) -> Markup:
        """An expression, without the element ``math`` around it."""
        return Markup(_written(self._print(as_written(expression))))

    def step(self, step: Step) -> Markup:
        """A step as an equation."""
        return Markup(_written(self.row(self._print(step.target), self.sign("="), *self.right(step))))

    def derivative(self, step: Step, by: Name) -> Markup:
        """A step as the derivative of the loss by a parameter."""
        loss, parameter = self.named(LOSS, ()), self.named(by, step.target.indices)
        fraction = self.node("mfrac")
        for part in ((self.sign("∂"), loss), (self.sign("∂"), parameter)):
            fraction.appendChild(self.row(*part))
        return Markup(_written(self.row(fraction, self.sign("="), *self.right(step))))

    def partial(self, value: Any, by: Any) -> Markup:
        """The derivative of an element by another one, as it is written."""
        fraction = self.node("mfrac")
        for element in (value, by):
            fraction.appendChild(self.row(self.sign("∂"), self._print(element)))
        return Markup(_written(fraction))

    def bar(self, element: Any) -> Markup:
        """The derivative of the loss by an element, as it is written: with a bar."""
        name = self.notation.name(element.tensor)
        barred = replace(name, bars=name.bars + 1)
        return Markup(_written(self.named(barred, self.notation.indices(element))))

    def symbol(self, name: Name) -> Markup:
        """A name by itself."""
        return Markup(_written(self.named(name, ())))

    def right(self, step: Step) -> list[Any]:
        """The right-hand side of a step, as nodes."""
        over, expression, where = step.written
        nodes = self._reduced(step.operator, over, as_written(expression))
        for number, equation in enumerate(where):
            words = self.node("mtext", ",\u00a0" if number else "\u00a0\u00a0where\u00a0")
            left = self._index(equation.left) if isinstance(equation.left, str) else self._print(equation.left)
            nodes += [words, left, self.sign("="), self._index(equation.right)]
        return nodes

    def _reduced(self, operator: str | None, over: tuple[str, ...], expression: Expr) -> list[Any]:
        """An expression under an operator, as nodes."""
        body = self._print(expression)
        if operator is None or not over:
            return [body]
        below = self.node("munder" if operator in OPERATORS else "msub")
        symbol = OPERATORS.get(operator, operator)
        below.appendChild(self.sign(symbol) if operator in OPERATORS else self.node("mi", symbol))
        below.appendChild(self.listed(over))
        if operator not in OPERATORS or expression.is_Add or expression.could_extract_minus_sign():
            return [below, self.row(self.sign("("), body, self.sign(")"))]
        return [below, body]

    # --- nodes ---

    def node(self, tag: str, text: str | None = None) -> Any:
        """A node, with a text that is kept as it is."""
        node = self.dom.createElement(tag)
        if text is not None:
            node.appendChild(self.dom.createTextNode(text.replace("&", "&amp;")))
        return node

    def sign(self, text: str) -> Any:
        """An operator."""
        return self.node("mo", text)

    def row(self, *nodes: Any) -> Any:
        """Nodes side by side."""
        row = self.dom.createElement("mrow")
        for node in nodes:
            row.appendChild(node)
        return row

    def listed(self, indices: Iterable[str]) -> Any:
        """Indices, side by side."""
        indices = tuple(indices)
        if all(len(index) == 1 for index in indices):
            return self.row(*map(self._index, indices))
        nodes = [node for index in indices for node in (self.sign(","), self._index(index))]
        return self.row(*nodes[1:])

    def _index(self, index: str) -> Any:
        """An index, or a sum of multiples of some, such as 2*i + r - 1."""
        kinds = {"+": "mo", "-": "mo"}
        parts = re.findall(r"[A-Za-z]\w*|\d+|[+-]", index)
        nodes = [self.node(kinds.get(part, "mn" if part.isdigit() else "mi"), part.replace("-", "−")) for part in parts]
        return nodes[0] if len(nodes) == 1 else self.row(*nodes)

    def named(self, name: Name, indices: tuple[str, ...]) -> Any:
        """A name with its indices."""
        base = self.node("mtext" if name.plain else "mi", name.base)
        below = [*([self.node("mn" if name.below.isdigit() else "mi", name.below)] if name.below else [])]
        for mark in [*([_ACCENTS[name.accent]] if name.accent else []), *["‾"] * name.bars]:
            over = self.node("mover")
            over.setAttribute("accent", "true")
            over.appendChild(base)
            over.appendChild(self.sign(mark))
            base = over
        between = [self.sign(",")] if below and indices else []
        return self._scripts(base, [*below, *between, *([self.listed(indices)] if indices else [])], name.above)

    def _scripts(self, base: Any, below: list[Any], above: str) -> Any:
        """A node with others below and a text above at its right."""
        if not below and not above:
            return base
        node = self.node("msubsup" if below and above else "msub" if below else "msup")
        node.appendChild(base)
        if below:
            node.appendChild(self.row(*below))
        if above:
            node.appendChild(self.node("mtext", above))
        return node

    # --- what SymPy prints otherwise ---

    def _print_Element(self, element: Any) -> Any:  # noqa: N802 (named after the class)
        return self.named(self.notation.name(element.tensor), self.notation.indices(element))

    def _print_Symbol(self, symbol: Any, style: str = "plain") -> Any:  # noqa: N802
        return self.named(self.notation.name(symbol.name), ())

    def _print_Dummy(self, symbol: Any) -> Any:  # noqa: N802
        return self._print_Symbol(symbol)

    def _print_Add(self, expr: Any, order: Any = None) -> Any:  # noqa: N802
        """A sum; a long one in lines below each other."""
        if width_of(expr) <= WIDTH:
            return super()._print_Add(expr, order)
        lines = in_lines(self._as_ordered_terms(expr, order=order))
        if len(lines) == 1:
            return super()._print_Add(expr, order)
        table = self.node("mtable")
        table.setAttribute("displaystyle", "true")  # fractions stay as large as on a line of their own
        for number, terms in enumerate(lines):
            cell = self.node("mtd")
            cell.setAttribute("style", "text-align: left")
            if number and not terms[0].could_extract_minus_sign():
                sign = self.sign("+")
                sign.setAttribute("form", "infix")
                cell.appendChild(sign)
            cell.appendChild(
                super()._print_Add(Add(*terms, evaluate=False), order) if terms[1:] else self._print(terms[0])
            )
            row = self.node("mtr")
            row.appendChild(cell)
            table.appendChild(row)
        return table

    def _print_Derivative(self, expr: Any) -> Any:  # noqa: N802
        fraction, order = self.node("mfrac"), sum(count for _, count in expr.variable_count)
        fraction.appendChild(self.row(self._power(self.sign("∂"), order), self._print(expr.expr)))
        below = [
            node for by, n in expr.variable_count for node in (self.sign("∂"), self._power(self._print(by), int(n)))
        ]
        fraction.appendChild(self.row(*below))
        return fraction

    def _power(self, node: Any, exponent: int) -> Any:
        """A node with an exponent, unless that is 1."""
        if exponent == 1:
            return node
        power = self.node("msup")
        power.appendChild(node)
        power.appendChild(self.node("mn", str(exponent)))
        return power

    def _print_Piecewise(self, expression: Any) -> Any:  # noqa: N802
        table = self.node("mtable")
        for value, condition in expression.args:
            row = self.node("mtr")
            always = condition in (True, 1)
            words = self.row(self.node("mtext", "otherwise")) if always else self.row(
                self.node("mtext", "if\u00a0"), self._print(condition)
            )  # fmt: skip
            for part in (self._print(value), words):
                cell = self.node("mtd")
                cell.setAttribute("style", "text-align: left")
                cell.appendChild(part)
                row.appendChild(cell)
            table.appendChild(row)
        return self.row(self.sign("{"), table)

    def _print_Abs(self, expression: Any) -> Any:  # noqa: N802
        bars = self.sign("|"), self.sign("|")
        for bar, form in zip(bars, ("prefix", "postfix"), strict=True):
            bar.setAttribute("form", form)
        return self.row(bars[0], self._print(expression.args[0]), bars[1])

    def _print_ExprCondPair(self, pair: Any) -> Any:  # noqa: N802
        return self.row(self._print(pair.expr), self.node("mtext", "\u00a0if\u00a0"), self._print(pair.cond))


def math(content: Markup, block: bool = False) -> Markup:
    """A formula as an element, on a line of its own or in the text. Fractions and sums are as large in both."""
    return Markup("<math{}>{}</math>").format(
        Markup(' display="block"') if block else Markup(' displaystyle="true"'), content
    )


_ACCENTS = {"hat": "^", "tilde": "~", "dot": "˙", "ddot": "¨", "vec": "→"}
_SIGNS = {"-": "−", "ⅇ": "e", "ⅈ": "i"}
_TIMES = "\u2062"
"""The invisible sign of a product. It gets a little space, so that words in a product do not run together."""


def _written(node: Any) -> str:
    """A tree of MathML as text. SymPy puts entities into its texts, and does not escape what it writes."""
    if node.nodeType == Node.TEXT_NODE:
        text = html.unescape(node.data)
        text = re.sub(r"^-(?=\d)", "−", _SIGNS.get(text, text))  # of a number
        return html.escape(text, quote=False)
    inner = [_written(child) for child in node.childNodes]
    if node.tagName == "mfenced":  # of older versions of SymPy; browsers do not know it
        opened, closed = node.getAttribute("open") or "(", node.getAttribute("close") or ")"
        body = "<mo>,</mo>".join(inner)
        return f"<mrow><mo>{html.escape(opened)}</mo>{body}<mo>{html.escape(closed)}</mo></mrow>"
    if inner == [_TIMES]:
        return f'<mo lspace="0" rspace=".16em">{_TIMES}</mo>'
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in sorted(node.attributes.items()))
    return f"<{node.tagName}{attributes}>{''.join(inner)}</{node.tagName}>"
