"""Reads sums of curves by their names, as the command ``curve`` takes them: ``gaussian("a_") + line``."""

from __future__ import annotations

import ast
import copyreg
from typing import Any

from nncodegen.compiler.describe.hints import shown
from nncodegen.curves.curve import Curve, Record
from nncodegen.curves.shapes import polynomial
from nncodegen.curves.table import RECORDS
from nncodegen.errors import ModelError

EXAMPLE = 'gaussian("a_") + gaussian("b_") + line'


def read(text: str, variable: str = "x") -> Curve:
    """Return the curve that a text names: a sum of names, with prefixes in parentheses. No text is ever evaluated.

    A term is ``gaussian``, ``gaussian("a_")`` with a prefix, or ``gaussian("a_", x=time)`` with the name of its
    variable, which is ``variable`` where it is not given; the first argument of ``polynomial`` is its degree. Raises
    ModelError for anything else, and for a name that is no curve.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ModelError(f"{shown(text)} is no sum of curves: write it like {EXAMPLE}") from error
    terms: list[ast.expr] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        terms.append(tree.right)
        tree = tree.left
    curves = [_term(term, text, variable) for term in (tree, *reversed(terms))]
    return Curve(tuple(term for curve in curves for term in curve.terms))


def _term(node: ast.expr, text: str, variable: str) -> Curve:
    match node:
        case ast.Name(id=name):
            return _record(name)(x=variable)
        case ast.Call(func=ast.Name(id=name), args=given, keywords=named):
            arguments = {"x": variable, **{str(word.arg): _argument(word.value, text) for word in named}}
            values = [_argument(word, text) for word in given]
            if name == "polynomial" and values:
                return _called(name, polynomial, values, arguments)
            return _called(name, _record(name), values, arguments)
    raise ModelError(f"{shown(text)} is no sum of curves: write it like {EXAMPLE}")


def _called(name: str, curve: Any, values: list[Any], arguments: dict[str, Any]) -> Curve:
    try:
        called: Curve = curve(*values, **arguments)
    except TypeError as error:
        raise ModelError(f"{name} takes a prefix and x, the name of its variable: write it like {EXAMPLE}") from error
    return called


def _argument(node: ast.expr, text: str) -> Any:
    """Return a text or a number as it is, and a name as a text."""
    match node:
        case ast.Constant(value=str() | int() as value):
            return value
        case ast.Name(id=name):
            return name
    raise ModelError(f"{shown(text)} is no sum of curves: write it like {EXAMPLE}")


def _record(name: str) -> Record:
    if name not in RECORDS:
        raise ModelError(f"there is no curve {name}; there are: {', '.join([*RECORDS, 'polynomial(degree)'])}")
    return RECORDS[name]


copyreg.pickle(Curve, lambda curve: (read, (str(curve),)))  # functions of records have no names that pickle knows
copyreg.pickle(Record, lambda record: (_record, (record.name,)))
