"""The directive ``formula-functions``: every function that a formula may call, from the grammar's own table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sympy.printing.str import StrPrinter

from nncodegen.compiler.describe.grammar import CONSTANTS, NAMES
from nncodegen.compiler.ir import functions
from nncodegen.compiler.ir.elementary import RECORDS
from nncodegen.compiler.typeset.written import as_written

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MEANINGS = {record.name: record.about for record in RECORDS if record.about} | {
    "Piecewise": "pairs (value, condition): the value of the first condition that holds",
    "And": "whether all conditions hold; also written with &",
    "Or": "whether one of the conditions holds; also written with |",
    "Not": "whether the condition does not hold; also written with ~",
    "Xor": "whether an odd number of conditions holds",
    "ITE": "the second condition where the first holds, else the third",
    "Eq": "whether both are equal; also written with ==",
    "Ne": "whether they differ; also written with !=",
    "exponential_ratio": "1/(c + b*exp(u)) with b and c of any sign, as in the curve of logistic growth",
    "relu": "max(0, z); its derivative at 0 is 0",
    "selu": "elu with the constants of self-normalizing networks (Klambauer et al., 2017)",
    "gelu": "z times the normal distribution function of z",
}
"""The meanings of functions that have no docstring to say it, and of those that have records."""

SAME = {"abs": "Abs", "sqrt": "Sqrt", "max": "Max", "min": "Min"}
"""Second names, as people write them."""

ARGUMENTS = {record.name: record.arguments for record in RECORDS if record.about} | {
    "logaddexp": "u, v", "xlogy": "x, y", "faddeeva_real": "x, y", "faddeeva_imag": "x, y",
    "exponential_ratio": "u, b, c", "Piecewise": "(x, x > 0), ..., (0, True)",
    "And": "p, q, ...", "Or": "p, q, ...", "Xor": "p, q, ...", "ITE": "p, q, r", "Not": "p", "Eq": "x, y",
    "Ne": "x, y", "leaky_relu": "z, slope", "elu": "z, alpha",
}  # fmt: skip
"""The arguments of functions, where they are not z."""

WITHOUT = ("Piecewise", "And", "Or", "Not", "Xor", "ITE", "Eq", "Ne", "Max", "Min")
"""Functions that consist of other values, or of conditions, and have no derivative of their own to show."""

CHOICES = "Piecewise max Max min Min And Or Not Xor ITE Eq Ne".split()

KINDS = {
    "Elementary functions": [
        name
        for record in RECORDS
        if record.about and record.name not in CHOICES
        for name in (*(second for second, first in SAME.items() if first == record.name), record.name)
    ],
    "Choices": CHOICES,
}
"""The groups of the table; everything else is a function of networks."""


def meaning(name: str) -> str:
    """Return the description of a function, in one line."""
    known = MEANINGS.get(SAME.get(name, name))
    if known:
        return known
    text = (getattr(NAMES[name], "__doc__", "") or "").partition("\n")[0].rstrip(".").replace("``", "")
    return text[:1].lower() + text[1:] if text[1:2] != "e" else text


def arguments(name: str) -> str:
    """Return the arguments of a function."""
    return ARGUMENTS.get(SAME.get(name, name), "z")


def derivative(name: str) -> str:
    """Return the derivative by the first argument as text, or an empty text."""
    if SAME.get(name, name) in WITHOUT:
        return ""
    symbols = [sympy.Symbol(symbol, real=True) for symbol in arguments(name).split(", ")]
    slope = as_written(NAMES[name](*symbols).diff(symbols[0]).replace(sympy.DiracDelta, lambda *_: sympy.S.Zero))
    slope = slope.xreplace({number: sympy.Float(number, 7) for number in slope.atoms(sympy.Float)})
    return str(StrPrinter({"order": "none"}).doprint(slope))


def rows(names: list[str]) -> list[tuple[str, str, str]]:
    """Yield a row for each function: its call, its description, its derivative."""
    return [(f"{name}({arguments(name)})", meaning(name), derivative(name)) for name in names]


def is_primitive(name: str) -> bool:
    """Return whether a function is what others are made of in C, and refused in a formula."""
    return isinstance(NAMES[name], type) and issubclass(NAMES[name], functions.Primitive)


def groups() -> dict[str, list[str]]:
    """Return all functions, in groups."""
    listed = [name for names in KINDS.values() for name in names]
    others = [name for name in NAMES if name not in listed and not is_primitive(name)]
    return {**KINDS, "Functions of networks and their losses": others}


def table(header: tuple[str, ...], body: list[tuple[str, ...]], code: tuple[int, ...]) -> nodes.table:
    """Return a table, some of whose columns are code."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in header), cols=len(header))
    for kind, lines in ((nodes.thead, [header]), (nodes.tbody, body)):
        part = kind("")
        for line in lines:
            row = nodes.row("")
            for k, text in enumerate(line):
                inline = nodes.literal(text, text) if k in code and kind is nodes.tbody and text else nodes.Text(text)
                row += nodes.entry("", nodes.paragraph("", "", inline))
            part += row
        group += part
    return nodes.table("", group)


class FormulaFunctions(SphinxDirective):
    """A section for each group of functions, with a table."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        result: list[nodes.Node] = []
        for title, names in groups().items():
            section = nodes.section("", nodes.title(title, title), ids=[nodes.make_id(title)])
            section += table(("function", "what it is", "derivative by the first argument"), rows(names), (0, 2))
            result.append(section)
        title = "Constants"
        section = nodes.section("", nodes.title(title, title), ids=[nodes.make_id(title)])
        section += table(("constant", "value"), [(name, f"{float(v):.15g}") for name, v in CONSTANTS.items()], (0,))
        return [*result, section]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("formula-functions", FormulaFunctions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
