"""Curves that are fitted: formulas as text, and the functions that nncodegen and its peers need of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

from nncodegen.compiler.describe import Model
from nncodegen.compiler.describe.grammar import parse


@dataclass(frozen=True)
class Curve:
    """One output as a formula of inputs and parameters, all by name. It is fitted by least squares."""

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    formula: str

    @property
    def symbols(self) -> dict[str, sympy.Symbol]:
        """Return the symbols of the inputs and of the parameters, in this order."""
        return {name: sympy.Symbol(name) for name in (*self.inputs, *self.parameters)}

    @property
    def expression(self) -> sympy.Expr:
        """Return the formula as an expression of SymPy."""
        return parse(self.formula, self.symbols, f"the formula of {self.name}")

    @property
    def derivatives(self) -> list[sympy.Expr]:
        """Return the derivative by each parameter."""
        return [sympy.diff(self.expression, self.symbols[name]) for name in self.parameters]

    @property
    def model(self) -> Model:
        """Return the model for nncodegen; the start of a fit is an argument of the fit."""
        symbols, y = self.symbols, sympy.Symbol("y")
        inputs = tuple(symbols[name] for name in self.inputs)
        parameters = dict.fromkeys((symbols[name] for name in self.parameters), 1.0)
        return Model(self.name, inputs, (y,), parameters, self.expression)

    def function(self, modules: str) -> Callable[..., Any]:
        """Return the formula as a function of the inputs and the parameters, for the arrays of a library."""
        return sympy.lambdify([*self.symbols.values()], self.expression, modules, cse=True)  # type: ignore[no-any-return]

    def jacobian(self, modules: str) -> Callable[..., Any]:
        """Return the derivatives by the parameters as a function of the same arguments, which returns a list."""
        return sympy.lambdify([*self.symbols.values()], self.derivatives, modules, cse=True)  # type: ignore[no-any-return]


GAUSSIAN = Curve(
    "gaussian",
    ("x",),
    ("height", "center", "width", "level"),
    "height*exp(-((x - center)/width)**2/2) + level",
)
"""A Gaussian peak on a constant level."""

LOGISTIC = Curve(
    "logistic",
    ("x",),
    ("bottom", "top", "middle", "slope"),
    "bottom + (top - bottom)/(1 + (x/middle)**(-slope))",
)
"""The four-parameter logistic curve of a response to a dose x: half of it is reached at ``middle``."""

SPOT = Curve(
    "spot",
    ("x", "z"),
    ("height", "x0", "z0", "width", "level"),
    "height*exp(-((x - x0)**2 + (z - z0)**2)/(2*width**2)) + level",
)
"""A round Gaussian in the plane on a level: the image of a single molecule."""
