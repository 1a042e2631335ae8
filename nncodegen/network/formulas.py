"""Formulas as text, both ways: what a pickle or a JSON file holds of an activation or a loss.

The text is read by a grammar of its own (a subset of Python's expressions), never evaluated: a file that comes
from elsewhere cannot run code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import sympy
from sympy import Expr, Symbol
from sympy.printing.str import StrPrinter

from nncodegen import functions
from nncodegen.describe.checks import FUNCTIONS
from nncodegen.errors import ModelError

_OWN = ("sigmoid", "softplus", "tanh", "relu", "leaky_relu", "elu", "selu", "softsign", "silu", "gelu", "log_cosh",
        "xlogy")  # fmt: skip

NAMES: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in FUNCTIONS if function is not functions.StableFunction},
    **{
        name: value
        for name, value in vars(functions).items()
        if isinstance(value, type) and issubclass(value, functions.StableFunction | sympy.Function)
        if value.__module__ == functions.__name__ and value is not functions.StableFunction
    },
    **{name: getattr(functions, name) for name in _OWN},
    "abs": sympy.Abs,
    "sqrt": sympy.sqrt,
    "max": sympy.Max,
    "min": sympy.Min,
    "And": sympy.And,
    "Or": sympy.Or,
    "Not": sympy.Not,
    "ITE": sympy.ITE,
    "Xor": sympy.Xor,
    "Eq": sympy.Eq,
    "Ne": sympy.Ne,
}
"""Every function that a formula may call."""

_MOST_DIGITS = 1000

CONSTANTS = {"pi": sympy.pi, "E": sympy.E}


class _UnreadableError(Exception):
    """What a formula must not contain; the message says it."""


def _power(base: Any, exponent: Any) -> Any:
    """A power. Raises _UnreadableError for one of so many digits that it is a mistake, or an attack."""
    if isinstance(base, sympy.Rational) and isinstance(exponent, sympy.Rational):
        digits = len(str(base)) * abs(exponent)
        if digits > _MOST_DIGITS:
            raise _UnreadableError("a power has more than a thousand digits")
    return base**exponent


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: _power,
    ast.BitAnd: sympy.And,
    ast.BitOr: sympy.Or,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: lambda a: a,
    ast.USub: lambda a: -a,
    ast.Invert: sympy.Not,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Gt: sympy.Gt, ast.GtE: sympy.Ge, ast.Eq: sympy.Eq, ast.NotEq: sympy.Ne,
}  # fmt: skip


def parse(text: str, symbols: Mapping[str, Expr], role: str) -> Expr:
    """The formula that a text is, over symbols by name.

    Numbers, + - * / **, comparisons, and the functions of NAMES. Raises ModelError, naming ``role`` and what could
    not be read.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ModelError(f"{role} is no formula: {text!r} ({error})") from error
    try:
        value = _read(tree.body, symbols)
    except _UnreadableError as error:
        raise ModelError(f"{role} is no formula: {text!r} ({error})") from error
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{role} is no formula: {text!r} ({type(error).__name__}: {error})") from error
    if not isinstance(value, Expr):
        raise ModelError(f"{role} is no formula: {text!r} is not a number for each sample")
    return value


def _read(node: ast.AST, symbols: Mapping[str, Expr]) -> Any:
    """The value of one node of Python's syntax tree."""
    match node:
        case ast.Constant(value=bool() as value):
            return sympy.true if value else sympy.false
        case ast.Constant(value=int() as value):
            return sympy.Integer(value)
        case ast.Constant(value=float() as value):
            return sympy.Float(value)
        case ast.Name(id=name):
            known = {**CONSTANTS, **symbols}
            if name not in known:
                hint = f"; {name} is a function: write {name}(...)" if name in NAMES else ""
                raise _UnreadableError(f"{name} is none of {', '.join(symbols)}{hint}")
            return known[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_read(left, symbols), _read(right, symbols))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_read(operand, symbols))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](_read(left, symbols), _read(right, symbols))
        case ast.Tuple(elts=parts):  # (value, condition) of a Piecewise
            return tuple(_read(part, symbols) for part in parts)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in NAMES:
                raise _UnreadableError(f"there is no function {name}")
            return NAMES[name](*(_read(argument, symbols) for argument in arguments))
    raise _UnreadableError(f"{ast.unparse(node)!r} is not allowed here")


class _Printer(StrPrinter):
    """Writes numbers so that they are read again to the last bit."""

    def _print_Float(self, expression: sympy.Float) -> str:
        return repr(float(expression))


def to_text(formula: str | Expr | Callable[..., Any], symbols: Mapping[str, Symbol], role: str) -> str:
    """A formula as text that ``parse`` reads: a text as it stands, an expression, or a function of the symbols.

    Raises ModelError where it is none of these.
    """
    if isinstance(formula, str):
        parse(formula, symbols, role)
        return formula
    if callable(formula) and not isinstance(formula, Expr):
        try:
            formula = sympy.sympify(formula(*symbols.values()))
        except Exception as error:
            given = " and ".join(symbols)
            raise ModelError(
                f"{role} cannot be evaluated with the symbols {given}: {type(error).__name__}: {error}; "
                f"write it with SymPy's functions"
            ) from error
    if not isinstance(formula, Expr):
        raise ModelError(f"{role} must be a name, a formula or a function of {', '.join(symbols)}, not {formula!r}")
    named = {symbol: symbols[symbol.name] for symbol in formula.free_symbols if symbol.name in symbols}
    text = str(_Printer({"order": "lex"}).doprint(formula.xreplace(named)))
    parse(text, symbols, role)
    return text
