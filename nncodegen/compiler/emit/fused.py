"""The functions of the runtime with products fused with sums by the text, so that no compiler decides about that.

``functions64.h`` and ``functions32.h`` leave it to the compiler, which plain C has to do as well. Where the bits of
results must not depend on the CPU and the compiler, kernels include ``fused64.h`` and ``fused32.h`` instead, which are
printed from them once (held by a test): of every sum with a product, ``c + a*b`` becomes ``fma(a, b, c)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nncodegen.compiler.emit.lines import wrapped

FUNCTIONS = Path(__file__).parents[2] / "runtime" / "c" / "nncodegen" / "math"

_TOKEN = re.compile(r"\s*(0x[0-9a-f.]+p[+-]?\d+F?|[\d.]+F?|\w+(?:\.\w+)*|[<>=!]=|&&|\|\||<<|>>|[-+*/()<>?:,&|!])")

_LEVELS = (("?",), ("||",), ("&&",), ("|",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"),
           ("*", "/"))  # fmt: skip
"""Operators of C, those that bind least first."""


class SyntaxNode(NamedTuple):
    """An expression: an operator with its parts, a call, whose first part is the function, or a text without parts."""

    operator: str
    parts: tuple[SyntaxNode, ...] = ()

    def __str__(self) -> str:
        return self.text(0)

    def text(self, level: int) -> str:
        """Return the expression in C, in parentheses if it binds less than a level of operators."""
        match self.operator, self.parts:
            case _, ():
                return self.operator
            case "call", (called, *arguments):
                return f"{called}({', '.join(map(str, arguments))})"
            case "cast", (kind, value):
                return f"({kind}) {value.text(len(_LEVELS))}"
            case "-" | "!", (value,):
                return f"{self.operator}{value.text(len(_LEVELS))}"
            case "?", (condition, first, second):
                written, binding = f"{condition.text(1)} ? {first.text(0)} : {second.text(0)}", 0
            case operator, (left, right):
                binding = next(place for place, written in enumerate(_LEVELS) if operator in written)
                space = "" if operator in "*/" else " "
                written = f"{left.text(binding)}{space}{operator}{space}{right.text(binding + 1)}"
        return f"({written})" if binding < level else written


class _Parser:
    """Reads an expression of C."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))

    def read(self) -> SyntaxNode:
        """Return the expression. Raises SyntaxError if the text is none."""
        node = self._binary(0)
        if self._tokens:
            raise SyntaxError(self._tokens[0])
        return node

    def _next(self, *wanted: str) -> str:
        if self._tokens and (not wanted or self._tokens[0] in wanted):
            return self._tokens.pop(0)
        if wanted:
            return ""
        raise SyntaxError("the text ends")

    def _binary(self, level: int) -> SyntaxNode:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while operator := self._next(*_LEVELS[level]):
            if operator == "?":
                first = self._binary(0)
                if not self._next(":"):
                    raise SyntaxError("a choice has no second value")
                return SyntaxNode("?", (left, first, self._binary(0)))
            left = SyntaxNode(operator, (left, self._binary(level + 1)))
        return left

    def _unary(self) -> SyntaxNode:
        if operator := self._next("-", "!"):
            return SyntaxNode(operator, (self._unary(),))
        if self._next("("):
            inner = self._binary(0)
            if not self._next(")"):
                raise SyntaxError("a parenthesis is open")
            return SyntaxNode("cast", (inner, self._unary())) if str(inner) in ("double", "float") else inner
        token = self._next()
        if not re.match(r"[\w.]", token):
            raise SyntaxError(token)
        if not self._next("("):
            return SyntaxNode(token)
        arguments = [self._binary(0)]
        while self._next(","):
            arguments.append(self._binary(0))
        if not self._next(")"):
            raise SyntaxError("a call is open")
        return SyntaxNode("call", (SyntaxNode(token), *arguments))


def _tokens(text: str) -> Iterator[str]:
    place, text = 0, text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match:
            raise SyntaxError(text[place:])
        yield match[1]
        place = match.end()


def fuse(node: SyntaxNode) -> SyntaxNode:
    """Return an expression with every product that is a term of a sum fused with it; of two, the second."""
    operator, parts = node.operator, tuple(map(fuse, node.parts))
    if operator in ("+", "-") and len(parts) == 2:
        left, right = parts
        if right.operator == "*":
            first, second = right.parts
            return _fused(_negated(first) if operator == "-" else first, second, left)
        if left.operator == "*":
            first, second = left.parts
            return _fused(first, second, _negated(right) if operator == "-" else right)
    return SyntaxNode(operator, parts)


def _fused(first: SyntaxNode, second: SyntaxNode, rest: SyntaxNode) -> SyntaxNode:
    return SyntaxNode("call", (SyntaxNode("fma"), first, second, rest))


def _negated(node: SyntaxNode) -> SyntaxNode:
    return node.parts[0] if node.operator == "-" and len(node.parts) == 1 else SyntaxNode("-", (node,))


def fused_text(text: str, bits: str) -> str:
    """Return the text of a header of functions with fused products and sums; ``bits`` is "64" or "32"."""
    text = re.sub(r"#ifdef FP_FAST_FMAF?\n(.*?)#else\n.*?#endif\n", r"\1", text, flags=re.DOTALL)  # products are fused
    text = text.replace(f"NNCODEGEN_FUNCTIONS{bits}_H", f"NNCODEGEN_FUSED{bits}_H")
    printed = (
        f"Printed from functions{bits}.h by nncodegen/compiler/emit/fused.py: products are fused with sums as written."
    )
    text = text.replace("at a time. */", f"at a time.\n\n   {printed} */", 1)
    places = re.split(r"(/\*.*?\*/|^#.*?$|[;{}])", text, flags=re.DOTALL | re.MULTILINE)
    definitions = "".join(map(_statement, places))
    return "\n".join(_broken(definitions if bits == "64" else re.sub(r"\bfma\(", "fmaf(", definitions)))


def _statement(text: str) -> str:
    """Return a statement, or a part of one, with its expressions fused."""
    if "*" not in text or not re.search(r" [-+] ", text) or text.startswith(("/*", "#")):
        return text
    begin, equals, rest = text.partition(" = ")
    if not equals:
        begin, equals, rest = text.partition("return ")
    if not equals:
        begin, rest = "", text
    values = re.split(r"(, \w+ = )", re.sub(r"\s*\n\s*", " ", rest))
    try:
        values[::2] = [str(fuse(_Parser(value).read())) for value in values[::2]]
    except SyntaxError:
        return text
    return f"{begin}{equals}{''.join(values)}"


def _broken(text: str) -> Iterator[str]:
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        yield from (indent + part for part in wrapped(line.strip())) if len(line) > 120 else [line]
    yield ""


def print_fused(bits: str) -> str:
    """Return the text of ``fused64.h`` or ``fused32.h``."""
    return fused_text((FUNCTIONS / f"functions{bits}.h").read_text(), bits)


if __name__ == "__main__":
    for width in ("64", "32"):
        (FUNCTIONS / f"fused{width}.h").write_text(print_fused(width))
