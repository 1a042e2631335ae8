"""Reads formulas given as text, and other objects that stand for an expression. No text is ever evaluated.

The grammar is a subset of Python's expressions, and nothing in it can run code. SymPy evaluates expressions while it
constructs them, so those that would take too long, or too much memory, are refused before they reach it.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import CO_GENERATOR
from typing import Any

import mpmath
import sympy
from sympy import Add, Basic, Expr, Mul, Pow, Symbol

from nncodegen.compiler.describe import hints, order_as_typed
from nncodegen.compiler.describe.checks import accepted
from nncodegen.compiler.describe.hints import APOSTROPHES, PRIME
from nncodegen.compiler.ir import elementary, functions
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.graphs import contains, nodes_of
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.warn import warn

_OWN = ("sigmoid", "softplus", "tanh", "relu", "leaky_relu", "elu", "selu", "softsign", "silu", "gelu", "log_cosh",
        "xlogy")  # fmt: skip

NAMES: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in accepted() if function is not functions.StableFunction},
    **{
        name: value
        for name, value in vars(functions).items()
        if isinstance(value, type) and issubclass(value, functions.StableFunction | sympy.Function)
        if value.__module__ in (elementary.__name__, functions.__name__)
        if value not in (functions.StableFunction, functions.erfcx_derivative, functions.faddeeva_derivative)
    },
    **{name: getattr(functions, name) for name in _OWN},
    "abs": sympy.Abs,
    "sqrt": lambda z: z ** sympy.Rational(1, 2),
    "max": lambda *values: _extreme(sympy.Max, values),
    "min": lambda *values: _extreme(sympy.Min, values),
    "Max": lambda *values: _extreme(sympy.Max, values),
    "Min": lambda *values: _extreme(sympy.Min, values),
    "And": sympy.And,
    "Or": sympy.Or,
    "Not": sympy.Not,
    "ITE": sympy.ITE,
    "Xor": sympy.Xor,
    "Eq": lambda a, b: _compare(sympy.Eq, a, b),
    "Ne": lambda a, b: _compare(sympy.Ne, a, b),
}
"""Every function that a formula may call."""

_LOGIC = ("And", "Or", "Not", "ITE", "Xor")

CONSTANTS = {"pi": sympy.pi, "\N{GREEK SMALL LETTER PI}": sympy.pi, "E": sympy.E}
"""Numbers that have a name, unless a symbol has this name."""

EULER = "Euler's number, 2.718"
"""The description of E in messages."""

AMBIGUOUS = {
    "E": (EULER, "exp(1)"),
    "pi": ("the number 3.14159", "\N{GREEK SMALL LETTER PI}"),
}
"""Numbers whose names could be those of parameters: their description in messages, and an unambiguous way to write
them.
"""

MOST_CHARACTERS = 100_000
"""The largest number of characters of a text."""

MOST_NODES = 20_000
"""The largest number of nodes of a formula, with shared parts counted each time.

A sum of a thousand products has about four thousand.
"""

MOST_DIGITS = 1000
"""The largest number of digits of an exact number."""

_LARGE = 10**MOST_DIGITS

_TINIEST = math.ulp(0.0)

MOST_CALLS = 6_000_000
"""The largest number of calls and returns of Python functions while a text is read, about three seconds.

A formula of one line takes thousands.
"""

LEVELS = 30
"""The number of levels of a text that are read by recursion; Python has a stack of a thousand calls."""


class _UnreadableError(Exception):
    """A formula contains something that is not allowed; the message says what, ``node`` where."""

    node: ast.AST | None = None


class _TooMuchWorkError(BaseException):
    """SymPy takes too long. Not an Exception, so that no ``except Exception`` inside SymPy catches it."""


def as_expression(value: Any, symbols: Mapping[str, Expr], role: str) -> Any:
    """Return the expression for a formula that a user gave: an expression, a number of any library, or a text.

    ``symbols`` are the symbols of a text, by name. A text is never evaluated. Raise ModelError for an object that
    cannot be an expression. Objects of SymPy that are not scalar expressions (a matrix, a condition) pass here;
    ``check_expression`` refuses them.
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # NumPy's scalars, and arrays of one
        value = value.item()
    if isinstance(value, str):
        expression = parse(value, symbols, role)
        for name, (meaning, plainly) in AMBIGUOUS.items():
            if name not in symbols and re.search(rf"(?<![\w.]){name}(?!\w)", value):
                warn(
                    f"{role} has {name}, which is {meaning}, here: write {plainly} for it; a parameter {name} has to "
                    f"be given",
                    UserWarning,
                )
        return expression
    if isinstance(value, Iterable) and not isinstance(value, Basic):  # SymPy would evaluate the texts in it
        return value
    try:
        return sympy.sympify(value, strict=True)
    except (sympy.SympifyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{role} is not an expression: {value!r}") from error


@dataclass(frozen=True)
class Read:
    """An expression that was read from a text, and the same with its products in the order of the text (or None)."""

    expression: Expr
    in_order: Expr | None

    def _sympy_(self) -> Expr:
        return self.expression


def names_in(text: str, role: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the symbols of a formula, in the order in which they occur: no functions, no constants.

    ``known`` are names that were given to columns or parameters: other names may be those of parameters as well. Raise
    ModelError where the text is not an expression, or a name could be something else: E, which is a number where it is
    not known, inf, or one that looks like another name and is written with other letters.
    """
    try:
        tree = _tree(text)
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}  # np of np.exp
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called | inside]
        names.sort(key=lambda node: (node.lineno, node.col_offset))
        first_uses: dict[str, ast.Name] = {}
        for node in names:
            if node.id in known or node.id not in CONSTANTS or node.id == "E":
                first_uses.setdefault(node.id, node)
        for name, node in first_uses.items():
            if name not in known:
                _check_name(node, {*known, *first_uses})
    except Exception as error:
        raise _refused(text, role, error) from error
    return tuple(first_uses)


def _check_name(node: ast.Name, known_names: Collection[str]) -> None:
    """Raise _UnreadableError for a name that is no column and no given parameter, and could mean something else."""
    name, message = node.id, ""
    alike = hints.plain(name)
    if name == "E":
        message = f"E is {EULER}: write exp(1) for it; give a parameter another name, or a start or bounds by its name"
    elif name.lower() in hints.NOT_FINITE:
        message = hints.about_infinity(name)
    elif alike != name and alike in known_names:
        message = f"{name} looks like {alike}, but has {hints.foreign(name)}: write them alike"
    if message:
        error = _UnreadableError(message)
        error.node = node
        raise error


def primed(text: str) -> str:
    """Return a text in which u' and u'' are names, with a letter of Unicode in place of each apostrophe.

    Every character keeps its place, so that messages point at the text as the user wrote it.
    """
    return text.translate(dict.fromkeys(map(ord, APOSTROPHES), PRIME))


def parse(
    text: str, symbols: Mapping[str, Expr], role: str, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Expr:
    """Return the formula in a text, which may use the given symbols by name.

    It consists of numbers, + - * / **, comparisons, the functions in NAMES, and further ``functions`` by name. Raise
    ModelError, which names ``role`` and the part that could not be read, or is too large.
    """
    try:
        with _bounded_work():
            value = _Reader(symbols, functions).read_all(_tree(text).body)
    except (Exception, _TooMuchWorkError) as error:
        raise _refused(text, role, error) from error
    if not isinstance(value, Expr):
        comma = isinstance(value, tuple) and "; numbers are written with a point, as in 0.5"
        raise ModelError(f"{role} is not a formula: {hints.shown(text)} is not a number for each sample{comma or ''}")
    return value


def read_in_order(text: str, symbols: Mapping[str, Expr]) -> Expr | None:
    """Return the formula in a text that ``parse`` has read, with its products in the order in which the text has them.

    None where it cannot be read so, since SymPy makes less of its parts than of those that ``parse`` has read.
    """
    try:
        with _bounded_work():
            value = _Reader(symbols, _FUNCTIONS_IN_ORDER, {**_BINARY, **_IN_ORDER}).read_all(_tree(text).body)
    # ``parse`` has read the same tree, so that names, calls and syntax are right. But a product that is kept apart is
    # larger and deeper than what SymPy makes of it: x/x/x... is no 1/x**98 here. So there may be too many nodes, a
    # constant that does not cancel may be too large (_UnreadableError), SymPy may take too long, or recurse too deeply.
    except (_UnreadableError, _TooMuchWorkError, RecursionError):
        return None
    return value if isinstance(value, Expr) else None


def _refused(text: str, role: str, error: BaseException) -> ModelError:
    """Return the error for a text that cannot be read, with the place where that is known."""
    text = text.strip()
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return ModelError(f"{role} is not a formula: {hints.about_syntax(text, error)}")
    if isinstance(error, _UnreadableError) and isinstance(error.node, ast.expr):
        return ModelError(f"{role} is not a formula: {error}\n{hints.at_node(text, error.node)}")
    if isinstance(error, _TooMuchWorkError):
        why = "it takes too long to read: write it more simply"
    elif isinstance(error, RecursionError | MemoryError | OverflowError):
        why = "it is nested too deeply, or too large"
    elif isinstance(error, _UnreadableError | SyntaxError):
        why = str(error)
    else:  # any error of SymPy
        why = f"{type(error).__name__}: {hints.cut(str(error))}"
    return ModelError(f"{role} is not a formula: {hints.shown(text)} ({why})")


def _tree(text: str) -> ast.Expression:
    """Return the syntax tree of a text. Raise _UnreadableError where it is too long; Python's errors pass through."""
    if len(text) > MOST_CHARACTERS:
        raise _UnreadableError(f"it has more than {MOST_CHARACTERS:,} characters")
    return ast.parse(text.strip(), mode="eval")


@contextmanager
def _bounded_work() -> Iterator[None]:
    """Raise _TooMuchWorkError after MOST_CALLS function calls, so at the same place on every machine.

    The work is not bounded while a profiler runs: Python lets only one function watch the calls.
    """
    if sys.getprofile() is not None:
        yield
        return
    left = MOST_CALLS

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        # not inside a generator, nor where one ends: Python may be deleting it, and then ignores errors
        if left < 0 and event == "call" and not frame.f_code.co_flags & CO_GENERATOR:
            raise _TooMuchWorkError

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
    if left < 0:
        raise _TooMuchWorkError


class _Reader:
    """Turns nodes of Python's syntax tree into expressions, and checks the size of each."""

    def __init__(
        self,
        symbols: Mapping[str, Expr],
        functions: Mapping[str, Callable[..., Any]] | None = None,
        operators: Mapping[type[ast.operator], Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        self.symbols = symbols
        self.operators = _BINARY if operators is None else operators
        self.functions = NAMES if functions is None else {**NAMES, **functions}
        self.known = {**CONSTANTS, **symbols}
        self.sizes: dict[Any, int] = {}
        self._values: dict[ast.AST, Any] = {}

    def read_all(self, node: ast.AST) -> Any:
        """Return the value of a text of any depth: deep nodes are read first, so recursion stays shallow."""
        for deep in reversed(_every(LEVELS, node)):
            self._values[deep] = self.read(deep)
        return self.read(node)

    def read(self, node: ast.AST) -> Any:
        """Return the value of a node: an expression, a condition, or a tuple of these. Errors name the inner node."""
        if node in self._values:
            return self._values[node]
        try:
            value = self._value(node)
            if isinstance(value, Basic):
                if self._size(value) > MOST_NODES:
                    raise _UnreadableError("it is too long when shared parts are written out")
                for factor in Mul.make_args(value) if isinstance(value, Expr) else ():
                    _check_number(factor)
        except _UnreadableError as error:
            error.node = error.node or node
            raise
        return value

    def _value(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() as value):
                return sympy.true if value else sympy.false
            case ast.Constant(value=int() as value):
                _check_digits(value)
                return sympy.Integer(value)
            case ast.Constant(value=float() as value):
                return sympy.Float(value)
            case ast.Name(id=name):
                if name not in self.known:
                    raise _UnreadableError(hints.about_name(name, self.symbols, self.functions))
                return self.known[name]
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self._sum(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in self.operators:
                return self.operators[type(op)](self.read(left), self.read(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self.read(operand))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return _compare(_COMPARISONS[type(op)], self.read(left), self.read(right))
            case ast.Tuple(elts=parts):  # (value, condition) of a Piecewise
                return tuple(self.read(part) for part in parts)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                if name not in self.functions:
                    raise _UnreadableError(hints.about_call(name, self.symbols, self.functions))
                values = [self.read(argument) for argument in arguments]
                wanted = sympy.logic.boolalg.Boolean if name in _LOGIC else tuple if name == "Piecewise" else Expr
                if not all(isinstance(value, wanted) for value in values):
                    kinds = {Expr: "numbers", tuple: "pairs (value, condition)"}
                    raise _UnreadableError(f"{name} takes {kinds.get(wanted, 'conditions')}")
                for value in values:  # SymPy writes most functions with exponentials
                    _check_power(_TWO if name == "exp2" else sympy.E, value)
                return self.functions[name](*values)
        raise _UnreadableError(hints.about_node(node, NAMES))

    def _sum(self, node: ast.AST) -> Any:
        """Return the sum of a chain of additions and subtractions, of any length."""
        terms = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            term = self.read(node.right)
            terms.append(-term if isinstance(node.op, ast.Sub) else term)
            node = node.left
        first = self.read(node)
        for term in terms:
            if not isinstance(term, Expr) or not isinstance(first, Expr):
                raise _UnreadableError("only numbers can be added")
        return Add(first, *reversed(terms))

    def _size(self, value: Any) -> int:
        """Return the number of nodes of an expression, as it will be written out."""
        if value not in self.sizes:
            sizes = [self._size(part) for part in value.args]
            total = 1 + sum(sizes)
            if isinstance(value, sympy.Xor):  # SymPy writes it out, and repeats every part at each step
                total *= 2 ** len(sizes)
            if isinstance(value, sympy.ITE):
                total += sizes[0]
            self.sizes[value] = total
        return self.sizes[value]


def _every(levels: int, root: ast.AST) -> list[ast.AST]:
    """Return the operations at every ``levels``-th level below a node, the highest first. A sum is one level."""
    operations: list[ast.AST] = []
    nodes, level = [root], 0
    while nodes:
        if level and level % levels == 0:
            operations += [node for node in nodes if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call | ast.Compare)]
        below: list[ast.AST] = []
        for node in nodes:
            terms = [node]
            while isinstance(terms[-1], ast.BinOp) and isinstance(terms[-1].op, ast.Add | ast.Sub):
                below.append(terms[-1].right)
                terms.append(terms[-1].left)
            below += ast.iter_child_nodes(terms[-1]) if len(terms) == 1 else terms[-1:]
        nodes, level = below, level + 1
    return operations


# --- numbers -----------------------------------------------------------------------------------------------------


def _check_digits(*integers: int) -> None:
    if max(map(abs, integers)) >= _LARGE:
        raise _UnreadableError("a number has more than a thousand digits")


def _check_number(value: Expr) -> None:
    """Raise _UnreadableError for a constant that is not real, too large for a double, or not to be told from 0."""
    if isinstance(value, sympy.Rational):
        _check_digits(value.p, value.q)
    if contains(value, Symbol):
        if isinstance(value, Pow) and isinstance(value.exp, sympy.Rational):
            _check_number(value.exp)
        return
    number = _number(value)
    if isinstance(value, Add) and abs(number) < 1e-13 * sum(abs(_number(term)) for term in value.args):
        raise _UnreadableError(f"{value} cannot be told from 0: leave it out")  # SymPy would try for a long time


def _number(value: Expr) -> Any:
    """Return the value of a constant, to the precision of a double. Raise _UnreadableError if that cannot hold it."""
    if value is sympy.I:
        raise _UnreadableError("it is complex: it takes a root or a logarithm of a negative number")
    try:
        number = interpret(value, {}, exact=True)
        finite = bool(mpmath.isfinite(number)) and (number == 0 or _TINIEST <= abs(number) <= sys.float_info.max)
    except Exception as error:
        raise _UnreadableError(f"{value} is not a number") from error
    if isinstance(number, mpmath.mpc):
        raise _UnreadableError(f"{value} is complex")
    if not finite:
        raise _UnreadableError("a number is beyond what a double holds")
    return number


def _power(base: Any, exponent: Any) -> Any:
    """Return a power. Raise _UnreadableError for one with too many digits: a mistake or an attack."""
    _check_power(base, exponent)
    return base**exponent


def _check_power(base: Any, exponent: Any) -> None:
    """Raise _UnreadableError for a power that SymPy would compute exactly, with more than MOST_DIGITS digits.

    SymPy raises exact factors of the base to an exact power at once, and turns exp(n*log(2)) into 2**n.
    """
    terms = Add.make_args(exponent) if isinstance(exponent, Expr) else ()
    for term in terms:
        bases = [base]
        if contains(term, sympy.log):
            factors = term.as_coeff_Mul()[1].as_ordered_factors()
            others = (factor for factor in factors if not contains(factor, sympy.log))
            if not any(contains(factor, Symbol) for factor in others):
                bases += [node.args[0] for node in nodes_of(term) if isinstance(node, sympy.log)]
        if max(map(_digits, bases)) * _coefficient(term) > MOST_DIGITS:
            raise _UnreadableError("a power has more than a thousand digits")


def _compare(relation: Any, a: Any, b: Any) -> Any:
    """Return a comparison. Constants are compared in double precision: exactly, SymPy might take very long."""
    if not (isinstance(a, Expr) and isinstance(b, Expr)) or any(contains(value, Symbol) for value in (a, b)) or a == b:
        return relation(a, b)
    first, second = _number(a), _number(b)
    if abs(first - second) <= 1e-13 * max(abs(first), abs(second)):
        raise _UnreadableError(f"{a} and {b} cannot be told apart")
    return sympy.sympify(bool(_OPERATORS[relation](first, second)))


def _extreme(function: Any, values: tuple[Any, ...]) -> Any:
    """Return a maximum or minimum; constants are compared in double precision."""
    constants = [value for value in values if not contains(value, Symbol)]
    relation = sympy.Gt if function is sympy.Max else sympy.Lt
    if len(constants) < 2:
        return function(*values)
    best = constants[0]
    for other in constants[1:]:
        best = other if _compare(relation, other, best) == sympy.true else best
    return function(best, *(value for value in values if contains(value, Symbol)))


def _coefficient(term: Expr) -> Any:
    """Return the absolute value of the exact factor of a term."""
    coefficient = term.as_coeff_Mul()[0]
    return abs(coefficient) if isinstance(coefficient, sympy.Rational) else 1


def _digits(value: Any) -> int:
    """Return the number of digits of the exact factors of an expression."""
    if isinstance(value, sympy.Rational):
        if value in (0, 1, -1):
            return 0
        return max(1, math.ceil(0.302 * (int(value.p).bit_length() + int(value.q).bit_length() - 1)))
    if isinstance(value, Pow):
        return _digits(value.base)
    return sum(map(_digits, value.args)) if isinstance(value, _FACTORED) else 0


_TWO = sympy.Integer(2)

_FACTORED = (Mul, sympy.Abs, sympy.Piecewise, sympy.Tuple)
"""Expressions that SymPy raises to a power part by part; the pairs of a Piecewise are Tuples."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: _power,
    ast.BitAnd: sympy.And,
    ast.BitOr: sympy.Or,
}
_IN_ORDER: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Mult: order_as_typed.product,
    ast.Div: order_as_typed.quotient,
    ast.Pow: lambda a, b: _power(order_as_typed.base_of(a, b), b),
}
"""The operators of a text whose products keep their order."""
_FUNCTIONS_IN_ORDER = {"cos": order_as_typed.cosine, "sin": order_as_typed.sine, "sqrt": order_as_typed.root}
"""The functions that stay functions of such a product."""
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: lambda a: a,
    ast.USub: lambda a: -a,
    ast.Invert: sympy.Not,
}
_OPERATORS: dict[Any, Callable[[Any, Any], bool]] = {
    sympy.Lt: operator.lt,
    sympy.Le: operator.le,
    sympy.Gt: operator.gt,
    sympy.Ge: operator.ge,
    sympy.Eq: operator.eq,
    sympy.Ne: operator.ne,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: sympy.Lt,
    ast.LtE: sympy.Le,
    ast.Gt: sympy.Gt,
    ast.GtE: sympy.Ge,
    ast.Eq: sympy.Eq,
    ast.NotEq: sympy.Ne,
}
