"""Checks which expressions the compiler accepts: real scalars, made of functions with a C form and a derivative."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from numbers import Real
from typing import Any

import sympy
from sympy import Expr, Symbol
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import And, BooleanAtom, Not, Or

from nncodegen.compiler.describe.constants import check_numbers
from nncodegen.compiler.ir import Program, elementary
from nncodegen.compiler.ir.functions import Primitive, StableFunction, plain_conditions
from nncodegen.compiler.ir.graphs import ExpressionGraph, graph_of, objects_of, tree_size
from nncodegen.compiler.ir.systems import formulas_of
from nncodegen.errors import ModelError


def accepted() -> tuple[Any, ...]:
    """Return the functions that have a C form, and whose derivatives have one."""
    functions = (record.function for record in elementary.FUNCTIONS.values() if record.is_written_by_users)
    return (*functions, sympy.Piecewise, StableFunction)


STRUCTURE = (
    sympy.Add, sympy.Mul, sympy.Pow, sympy.Number, sympy.NumberSymbol, Symbol,
    ExprCondPair, Relational, And, Or, Not, BooleanAtom,
)  # fmt: skip
"""The other classes of nodes that an expression may contain."""

INFINITE = (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan)

MOST_ASKED = 200
"""The largest number of nodes, as a tree, of an expression whose sign SymPy is asked for as it is."""

SIGNS = "extended_positive", "extended_negative", "extended_nonnegative", "extended_nonpositive"
"""The properties of SymPy that say something about the sign of an expression."""

NO_DERIVATIVE = (sympy.floor, sympy.ceiling, sympy.frac, sympy.Mod, sympy.DiracDelta)


@contextmanager
def bounded(role: str) -> Iterator[None]:
    """Turn Python's errors for nesting too deep, or values too large, into a ModelError that names ``role``.

    It can also be used as a decorator.
    """
    try:
        yield
    except (RecursionError, MemoryError, OverflowError) as error:
        raise ModelError(
            f"{role} cannot be compiled: it is nested too deeply, or too large ({type(error).__name__}: {error})"
        ) from error


def is_finite(value: Any) -> bool:
    """Return whether a value is a real number that a double can hold. True and False do not count as numbers."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def check_name(name: Any, role: str) -> str:
    """Return the name. Raise ModelError unless it is a text that can be written to a file."""
    if not isinstance(name, str) or not name:
        raise ModelError(f"{role} is a text, not {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ModelError(
            f"{role} has a character that cannot be written to a file: {name!r}; choose another name"
        ) from error
    return name


def check_expression(expression: Any, symbols: Iterable[Symbol], role: str) -> Expr:
    """Return the expression, with its conditions written with And, Or and Not.

    Raise ModelError, naming the culprit, unless it is real, scalar and can be compiled.
    """
    if not isinstance(expression, Expr) or isinstance(expression, sympy.MatrixExpr):
        raise ModelError(f"{role} is not a scalar expression: {expression!r}; write it as one number for each sample")
    check_size(expression, role)
    return check_piece(expression, tuple(symbols), role)


def check_piece(expression: Expr, symbols: Collection[Symbol], role: str) -> Expr:
    """Check an expression as ``check_expression`` does, but not its size: a formula, or a step cut from a large one."""
    expression = plain_conditions(expression)
    _check_nodes([expression], role)
    check_numbers([expression], role)
    _check_symbols(graph_of([expression]), symbols, role)
    return expression


def check_size(expression: Expr, role: str) -> None:
    """Raise ModelError for a formula that is too large for functions that walk trees."""
    graph = graph_of([expression])
    if graph.is_large:
        size = f"{graph.size:,}" if graph.size < 10**12 else f"about 10^{len(str(graph.size)) - 1}"
        raise ModelError(
            f"{role} has {graph.depth:,} levels, and {size} nodes with shared parts written out: only the output and "
            f"the loss of an nncodegen.Model may be so large"
        )


def check_large(graph: ExpressionGraph, symbols: Iterable[Symbol], role: str) -> None:
    """Raise ModelError, naming the culprit, for a large formula that contains something without a C form.

    The formula will be cut into pieces, in which symbols are real; these are checked separately.
    """
    functions = accepted()
    for node in graph.nodes:
        _check_kind(node, role, functions)
    _check_symbols(graph, tuple(symbols), role)


def check_program(program: Program) -> None:
    """Raise ModelError if a stage has made a formula that cannot be compiled, such as a complex derivative."""
    for step in program.steps:
        formulas = formulas_of(step)
        if not _can_be_compiled(formulas, program.precision):
            _check_formulas(formulas, program.precision, f"{step.target} of {program.name}")


@lru_cache(maxsize=100_000)
def _can_be_compiled(formulas: tuple[Expr, ...], precision: str) -> bool:
    """Return whether the formulas of a step can be compiled. Stages and companions share most of them."""
    try:
        _check_formulas(formulas, precision, "a formula")
    except ModelError:
        return False
    return True


def _check_formulas(formulas: Collection[Expr], precision: str, role: str) -> None:
    """Raise ModelError, naming the culprit, for a formula of a program that cannot be compiled."""
    _check_nodes(formulas, role, (Primitive, sympy.Derivative, sympy.Tuple))
    check_numbers(formulas, role, precision)


def _check_nodes(expressions: Iterable[Expr], role: str, further_kinds: tuple[Any, ...] = ()) -> None:
    functions = (*accepted(), *further_kinds)
    for node in objects_of(*expressions):
        _check_kind(node, role, functions)
        if _is_complex(node):
            raise ModelError(f"{role} is complex: it contains {node}; nncodegen computes with real numbers")


def _check_kind(node: Any, role: str, functions: tuple[type, ...]) -> None:
    """Raise ModelError for a node that is no real number, or has no C form."""
    if node is sympy.I:
        raise ModelError(f"{role} is complex: it contains I; nncodegen computes with real numbers")
    if any(node is infinite for infinite in INFINITE):
        raise ModelError(f"{role} contains {node}, which is not a number to compute with")
    if isinstance(node, functions + STRUCTURE):
        return
    name = node.func.__name__
    if isinstance(node, AppliedUndef):
        raise ModelError(f"{role} contains the undefined function {name}: replace it with its formula")
    if isinstance(node, NO_DERIVATIVE):
        raise ModelError(f"{role} contains {name}, which has no derivative to train with")
    raise ModelError(f"{role} contains {name}, which has no C form (or its derivative has none)")


def _is_complex(node: Any) -> bool:
    """Return whether a node is the root or the logarithm of an expression that is negative for all real arguments."""
    if isinstance(node, sympy.Pow):
        return not node.exp.is_integer and bool(_asked(node.base).is_extended_negative)
    return isinstance(node, sympy.log) and bool(_asked(node.args[0]).is_extended_negative)


@lru_cache(maxsize=10_000)
def _asked(node: Expr) -> Expr:
    """Return an expression whose sign SymPy tells without a walk over a large tree.

    The parts of a large one are symbols with the signs of these.
    """
    if tree_size(node) <= MOST_ASKED:
        return node
    return node.func(*(part if tree_size(part) <= MOST_ASKED else _of_sign(part) for part in node.args))


@lru_cache(maxsize=10_000)
def _of_sign(node: Any) -> Any:
    """Return a symbol in place of a part of an expression, with the sign of this, as far as it is known."""
    if not isinstance(node, Expr):
        return node  # a condition
    asked = _asked(node)
    known = {sign: True for sign in SIGNS if getattr(asked, f"is_{sign}")}
    return sympy.Dummy(extended_real=True, **known)


def _check_symbols(graph: ExpressionGraph, symbols: Collection[Symbol], role: str) -> None:
    for symbol in sorted(set(graph.symbols) - set(symbols), key=str):
        if any(symbol.name == other.name for other in symbols):
            raise ModelError(
                f"{role} contains a second symbol named {symbol.name}, with other assumptions than the declared one: "
                f"create the symbol once and use it everywhere"
            )
        known = ", ".join(other.name for other in symbols) or "none"
        raise ModelError(
            f"{role} contains {symbol.name}, which is neither an input, a target nor a parameter (declared: {known}); "
            f"declare it, or replace it with its value"
        )
