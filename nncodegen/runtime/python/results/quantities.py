"""Tied parameters and derived quantities of a fit: formulas of its parameters, with errors that follow from theirs."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import name_of
from ..ground.same_bits import PORTABLE, SAME_MATH, power
from .covariance import deviation, root
from .quantiles import quantile

if TYPE_CHECKING:
    from types import CodeType

    from ..ground.facts import Quantity
    from ..ground.types import Array
    from .fitted import Fitted

SCOPE = {"math": math, "__builtins__": {"abs": abs, "max": max, "min": min, "True": True, "False": False}}
"""The names that the texts of formulas may use; ``describe/ties.py`` writes them."""

SAME_SCOPE = {**SCOPE, "math": SAME_MATH, "power": power}
"""These names where bits must not depend on the C library, which computes powers of numbers of Python, too."""


Function = Callable[["Array"], "tuple[float, Array]"]
"""A function of the parameters of a fit, (P,), and its derivatives by them, (P,)."""


class _Powers(ast.NodeTransformer):
    """Replaces powers by calls of ``power``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Return the node, with those below it replaced."""
        self.generic_visit(node)
        if not isinstance(node.op, ast.Pow):
            return node
        return ast.Call(ast.Name("power", ast.Load()), [node.left, node.right], [])


class Quantities:
    """Tied parameters, then derived quantities, Q of them, after a fit; ``derived["b"]`` is the value of one.

    values           (Q,)
    standard_errors  (Q,), by the propagation of errors: sqrt(g'Cg), with g the derivatives by the parameters and C
                     their covariance. Infinite where the data do not determine the quantity
    names            their names, in this order
    tied             (Q,), whether each is a tied parameter
    """

    def __init__(self, result: Fitted) -> None:
        self._result = result
        quantities = result._model.facts.fitting.quantities
        self.names = tuple(quantity.name for quantity in quantities)
        self.tied = np.array([quantity.tied for quantity in quantities], bool)
        point = result.parameters.astype(float).tolist()
        evaluations = [evaluated(quantity, point, result._model.bits == PORTABLE) for quantity in quantities]
        self.values: Array = np.array([value for value, _ in evaluations], float)
        self._slopes = np.array([slopes for _, slopes in evaluations], float).reshape(len(quantities), len(point))

    def __getitem__(self, name: Any) -> float:
        """Return the value of a quantity by its name or its SymPy symbol."""
        name = name_of(name)
        if name not in self.names:
            raise KeyError(f"there is no quantity {name!r}; there are: {', '.join(self.names) or 'none'}")
        return float(self.values[self.names.index(name)])

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def standard_errors(self) -> Array:
        """Return the standard errors, (Q,)."""
        return self._errors(self._slopes)

    @cached_property
    def covariance(self) -> Array:
        """Return the covariance of the quantities, (Q, Q); rows and columns of undetermined ones are infinite."""
        return self._covariance(self._slopes)

    def confidence_intervals(self, level: float = 0.95) -> Array:
        """Return the ends of an interval for each quantity, (Q, 2): value +- t*standard error.

        t is the quantile of Student's t with the degrees of freedom of the fit, as for parameters. Needs SciPy. Raises
        ValueError for a level that is not between 0 and 1.
        """
        with np.errstate(invalid="ignore"):
            reach = quantile(self._result, level) * self.standard_errors
        reach[np.isnan(reach)] = np.inf
        return np.stack([self.values - reach, self.values + reach], axis=1)

    def with_parameters(self, names: tuple[str, ...]) -> tuple[Array, Array]:
        """Return values and covariance, (K,) and (K, K), of some parameters and quantities by their names."""
        result, slopes = self._result, np.vstack([np.eye(len(self._result.parameters)), self._slopes])
        every = (*result.names, *self.names)
        places = [every.index(name) for name in names]
        values = np.concatenate([result.parameters.astype(float), self.values])
        return values[places], self._covariance(slopes[places])

    def _errors(self, slopes: Array) -> Array:
        result = self._result
        with np.errstate(invalid="ignore"):
            known = deviation(result._decomposition, result._model.epsilon, slopes[:, result.free])
            errors: Array = known * math.sqrt(result.error_scale)
        constant = ~slopes[:, result.free].any(axis=1)
        return np.where(constant, 0.0, np.where(np.isnan(errors), np.inf, errors))

    def _covariance(self, slopes: Array) -> Array:
        """Return T C T' for derivatives T (K, P)."""
        errors = self._errors(slopes)
        algebra = self._result._algebra
        spread = algebra.product(slopes[:, self._result.free], root(self._result._decomposition))
        with np.errstate(invalid="ignore", over="ignore"):
            matrix: Array = algebra.product(spread, spread.T) * self._result.error_scale
        lost = ~np.isfinite(errors)
        matrix[lost] = matrix[:, lost] = np.inf
        matrix[errors == 0] = matrix[:, errors == 0] = 0
        return matrix

    def __repr__(self) -> str:
        pairs = zip(self.names, self.values, self.standard_errors, strict=True)
        return f"<Quantities: {', '.join(f'{name} = {value:.6g} +- {error:.2g}' for name, value, error in pairs)}>"


def as_function(quantity: Quantity) -> Function:
    """Return a quantity as a function of the parameters of a fit."""

    def function(parameters: Array) -> tuple[float, Array]:
        value, slopes = evaluated(quantity, parameters.tolist())
        return value, np.array(slopes)

    return function


def evaluated(quantity: Quantity, point: list[float], same_bits: bool = False) -> tuple[float, list[float]]:
    """Return the value of a quantity, and its derivative by each parameter; ``same_bits``: without the C library."""
    slopes = [0.0] * len(point)
    for place, text in quantity.slopes:
        slopes[place] = _number(text, point, same_bits)
    return _number(quantity.value, point, same_bits), slopes


def _number(text: str, point: list[float], same_bits: bool = False) -> float:
    """Return the value of an expression, NaN where it has none."""
    tree = ast.parse(text, "a formula of parameters", "eval")
    tree = ast.fix_missing_locations(_Powers().visit(tree)) if same_bits else tree
    code: CodeType = compile(tree, "a formula of parameters", "eval")
    try:
        # the compiler wrote it, as it wrote the C beside it
        value = eval(code, SAME_SCOPE if same_bits else SCOPE, {"p": point})
    except (ArithmeticError, ValueError):
        return math.nan
    return math.nan if isinstance(value, complex) else float(value)
