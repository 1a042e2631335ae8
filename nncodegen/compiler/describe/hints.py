"""Messages on the text of a formula: what is wrong with it, where, and what to write instead.

People write formulas as they do in other languages: x^2, np.exp(x), 2x, 0 < x < 1. The grammar itself is in
``grammar``. Nothing in this module is ever evaluated.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches

from nncodegen.runtime.python.ground.markup import listed

SYNONYMS = {
    "absolute": "abs(...)", "arccos": "acos(...)", "arccosh": "acosh(...)", "arcsin": "asin(...)",
    "arcsinh": "asinh(...)", "arctan": "atan(...)", "arctan2": "atan2(...)", "arctanh": "atanh(...)",
    "e": "exp(1)", "expit": "sigmoid(...)", "fabs": "abs(...)", "heaviside": "Heaviside(...)",
    "if": "Piecewise((a, condition), (b, True))", "ln": "log(...)", "logistic": "sigmoid(...)", "maximum": "max(...)",
    "minimum": "min(...)", "pi": "\N{GREEK SMALL LETTER PI}", "pow": "x**y", "power": "x**y", "reciprocal": "1/x",
    "sgn": "sign(...)", "square": "x**2", "where": "Piecewise((a, condition), (b, True))",
}  # fmt: skip
"""Names of functions and numbers in other languages -> what formulas have instead."""

BEFORE = (
    "equations that lead from each time to the next are for nncodegen.Dynamics, in Python: "
    'Dynamics("u = a*before(u)", initial={"u": 1}, parameters={"a": 1}, times=...)'
)
"""The message on ``before`` in a formula that is none of motion."""

NOT_FINITE = ("inf", "infinity", "nan", "oo", "zoo")
"""Names of numbers that are not finite, in small letters."""

CHARACTERS = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MULTIPLICATION SIGN}": "*",
    "\N{MIDDLE DOT}": "*", "\N{DOT OPERATOR}": "*", "\N{BULLET OPERATOR}": "*", "\N{ASTERISK OPERATOR}": "*",
    "\N{DIVISION SIGN}": "/", "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/", "\N{SUPERSCRIPT TWO}": "**2",
    "\N{SUPERSCRIPT THREE}": "**3", "\N{SQUARE ROOT}": "sqrt(...)", "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{NOT EQUAL TO}": "!=", "\N{INFINITY}": "a finite number",
    "\N{NO-BREAK SPACE}": "a space", "\N{ZERO WIDTH SPACE}": "nothing",
}  # fmt: skip
"""Characters that are not allowed in a formula -> what is written in their place."""

_ALIKE = dict(
    zip("АВЕЅІЈКМНОРСТУХаеѕіјорсухԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABESIJKMHOPCTYXaesijopcyxdhqwABEZHIKMNOPTYXo", strict=True)
)
"""Letters of the Cyrillic and the Greek alphabet that look like Latin ones -> the Latin letters."""

PRIME, APOSTROPHES = "\N{MODIFIER LETTER PRIME}", "'\N{PRIME}\N{RIGHT SINGLE QUOTATION MARK}"
"""The letter that stands for the apostrophe of a derivative in names, and the characters that may be written for it."""

_MODULES = ("cmath", "jnp", "math", "np", "numpy", "scipy", "sp", "sympy", "tf", "torch")

_WIDTH = 72
"""The largest number of characters of a line that are shown around a place."""


def shown(text: str) -> str:
    """Return a text, or the beginning of a long one, as messages quote it."""
    return repr(cut(text))


def cut(text: str, most: int = 200) -> str:
    """Return a text, or the beginning of one that is longer than ``most`` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


def pointed(text: str, line: int, column: int) -> str:
    """Return two lines: the line of a text with a place, cut if it is long, and a caret below the place.

    ``line`` counts from 1, ``column`` from 0.
    """
    lines = text.split("\n")
    there = "".join(c if c.isprintable() else " " for c in lines[min(line, len(lines)) - 1])
    column = min(max(column, 0), len(there))
    begin = max(0, column - _WIDTH // 2) if len(there) > _WIDTH else 0
    end = begin + _WIDTH
    left, right = "..." * (begin > 0), "..." * (end < len(there))
    return f"    {left}{there[begin:end]}{right}\n    {' ' * (len(left) + column - begin)}^"


def about_syntax(text: str, error: SyntaxError) -> str:
    """Return what is wrong with a text that Python's parser refuses, and two lines that show the place."""
    message, line, column = error.msg or "invalid syntax", error.lineno or 1, (error.offset or 1) - 1
    instead = next((CHARACTERS[each] for each in CHARACTERS if f"U+{ord(each):04X}" in message), None)
    if instead is not None:
        message = f"{message}: write {instead}"
    elif word := _WORDS.search(text):
        message, (line, column) = about_word(word[0]), _place(text, word.start())
    elif moving := re.match(r"\s*\w+\s*'+\s*=", text):
        message = "it is an equation of motion, which nncodegen.Dynamics and the command curve take"
        line, column = _place(text, moving.end() - 1)
    elif equals := re.search(r"(?<![<>=!:])=(?!=)", text):
        message = "it is an equation: give its right side alone (or compare with ==)"
        line, column = _place(text, equals.start())
    elif re.search(r"\b(if|else)\b", text):
        message = f"write {SYNONYMS['if']}"
    elif "literal" in message or "forgot a comma" in message:
        message = "invalid syntax: a product needs its *, as in 2*x"
    elif not text:
        message = "it is empty"
    return f"{message}\n{pointed(text, line, column)}"


_WORDS = re.compile(
    rf"\b({'|'.join(sorted({*keyword.kwlist} - {'True', 'False', 'None', 'and', 'or', 'not', 'if', 'else'}))})\b"
)


def _place(text: str, position: int) -> tuple[int, int]:
    """Return the line, from 1, and the column, from 0, of a position in a text."""
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1)


def at_node(text: str, node: ast.expr) -> str:
    """Return two lines that show where a piece of syntax is in a text: its beginning, or the ^ that is no power."""
    line, column = node.lineno, node.col_offset
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        line, column = node.left.end_lineno or line, node.left.end_col_offset or column
    there = text.split("\n")[line - 1]
    column = len(there.encode()[:column].decode())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        column = max(column, there.find("^", column))
    return pointed(text, line, column)


def about_word(word: str) -> str:
    """Return the message that a word of Python cannot be a name."""
    return f"{word} is a word of Python and cannot be a name here: call it {word}_, for example"


def about_node(node: ast.AST, functions: Collection[str]) -> str:
    """Return what is wrong with a piece of syntax that formulas do not have, and what to write."""
    match node:
        case ast.BinOp(op=ast.BitXor()):
            return "^ is no power here: write **, as in x**2"
        case ast.BinOp(op=ast.FloorDiv() | ast.Mod()):
            return "// and % have no derivative to train with"
        case ast.BoolOp():
            return "conditions are joined by & and |, each in parentheses: (x > 0) & (x < 1)"
        case ast.UnaryOp(op=ast.Not()):
            return "a condition is negated by ~, in parentheses: ~(x > 0)"
        case ast.Compare():
            return "one comparison at a time: (0 < x) & (x < 1)"
        case ast.IfExp():
            return f"write {SYNONYMS['if']}"
        case ast.Lambda():
            return about_word("lambda") + "; and a formula defines no function: it is not allowed here"
        case ast.Call(func=ast.Attribute(attr=name) as func) | (ast.Attribute(attr=name) as func) if _module(func):
            written = name if name in functions else SYNONYMS.get(name)
            if written:
                return f"names stand alone, without a module: write {written}, not {ast.unparse(func)}"
            if name.lower() in NOT_FINITE:
                return about_infinity(name)
            return f"there is no function {ast.unparse(func)}"
        case ast.Call(func=ast.Name(id=name)):
            return f"{name} takes no arguments by name"
    return f"{cut(ast.unparse(node), 60)!r} is not allowed here"


def _module(node: ast.Attribute) -> bool:
    """Return whether an attribute belongs to a module of mathematics, under the name that people give it."""
    base = node.value
    while isinstance(base, ast.Attribute):
        base = base.value
    return isinstance(base, ast.Name) and base.id in _MODULES


def about_call(name: str, symbols: Collection[str], functions: Collection[str]) -> str:
    """Return what to write for a function that does not exist."""
    if name in SYNONYMS:
        return f"there is no function {name}: write {SYNONYMS[name]}"
    if name in symbols:
        return f"there is no function {name}, which is a symbol: for a product, write {name}*(...)"
    if name == "before":
        return f"there is no function before here: {BEFORE}"
    near = get_close_matches(name, functions, 1)
    return f"there is no function {name}{f'; did you mean {near[0]}?' if near else ''}"


def about_name(name: str, symbols: Collection[str], functions: Collection[str]) -> str:
    """Return what is wrong with a name that is not known."""
    if name.lower() in NOT_FINITE:
        return about_infinity(name)
    message = f"{name} is none of {listed(tuple(symbols)) or 'nothing (no name is known here)'}"
    if name in functions:
        return f"{message}; {name} is a function: write {name}(...)"
    if name in SYNONYMS:
        return f"{message}: write {SYNONYMS[name]}"
    if name == "I":
        return f"{message}; nncodegen computes with real numbers, without an imaginary unit"
    if letters := foreign(name):
        alike = plain(name)
        return f"{message}: it has {letters}" + (f"; did you mean {alike}?" if alike in symbols else "")
    near = get_close_matches(name, symbols, 1)
    return f"{message}{f'; did you mean {near[0]}?' if near else ''}"


def about_infinity(name: str) -> str:
    """Return the message that a number is not finite."""
    what = "no number to compute with" if name.lower() == "nan" else "infinite"
    return f"{name} is {what}: a formula consists of finite numbers (a parameter or a column needs another name)"


def plain(name: str) -> str:
    """Return a name with Latin letters in place of Cyrillic and Greek ones that look like these."""
    return "".join(_ALIKE.get(letter, letter) for letter in name)


def foreign(name: str) -> str:
    """Return the letters of a name that are not Latin, each with its Unicode name, for a message."""
    letters = dict.fromkeys(letter for letter in name if not letter.isascii() and letter != PRIME)
    return ", ".join(f"{letter} ({unicodedata.name(letter, f'U+{ord(letter):04X}')})" for letter in letters)
