"""Models given as formulas: outputs, loss and parameters as SymPy expressions and symbols."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sympy import Expr, Symbol

from nncodegen.describe.checks import bounded, check_expression, check_name
from nncodegen.describe.grammar import as_expression
from nncodegen.describe.optimizers import Optimizer, check_optimizers
from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Element, Initial, Program, Step, Tensor


class Model:
    """Any formula: ``output`` and ``loss`` as expressions of inputs, targets and parameters.

    inputs and targets are symbols, one for each column of X and of Y. parameters maps symbols to their initial
    values. output is an expression, or a tuple of them; without one, the loss is the output. The loss is that
    of one sample: training minimizes its mean over the samples. A formula without inputs and targets is minimized
    as it stands. optimizers are additional update rules. Raises ModelError, which names the symbol or the
    expression that is wrong.
    """

    @bounded("the model")
    def __init__(
        self,
        name: str,
        inputs: Sequence[Symbol] | Symbol = (),
        targets: Sequence[Symbol] | Symbol = (),
        parameters: Mapping[Symbol, float] | None = None,
        output: Expr | Sequence[Expr] | None = None,
        loss: Expr | None = None,
        optimizers: Sequence[Optimizer] = (),
    ) -> None:
        self.name = check_name(name, "the name of a model")
        self.inputs = _symbols(inputs, "inputs")
        self.targets = _symbols(targets, "targets")
        self.parameters = _parameters(parameters, name)
        self._check_names()
        if loss is None:
            raise ModelError(f"{name} has no loss: give the expression that training minimizes")
        symbols = (*self.inputs, *self.targets, *self.parameters)
        self.loss = _expression(loss, symbols, f"the loss of {name}")
        outputs = [self.loss] if output is None else output if isinstance(output, tuple | list) else [output]
        if not outputs:
            raise ModelError(f"{name} has an empty tuple of outputs: give at least one expression, or none at all")
        self.outputs = tuple(_expression(value, symbols, f"the output of {name}") for value in outputs)
        for value in self.outputs if output is not None else ():
            for symbol in self.targets:
                if symbol in value.free_symbols:
                    raise ModelError(
                        f"the output of {name} depends on the target {symbol.name}, which is not known when predicting"
                    )
        self.optimizers = check_optimizers(optimizers, name)
        self._program = self._describe()

    def describe(self) -> Program:
        """The formula as a Program: steps for the outputs, the loss of one sample, and its mean."""
        return replace(self._program, name=self.name)

    def _describe(self) -> Program:
        names = [symbol.name for symbol in (*self.inputs, *self.targets, *self.parameters)]
        real: dict[Symbol, Element] = {symbol: Element(symbol.name) for symbol in self.parameters}
        real |= {symbol: Element(symbol.name, (SAMPLE,)) for symbol in (*self.inputs, *self.targets)}
        several = len(self.outputs) > 1
        outputs = tuple(
            Element(_free(f"output{k + 1}" if several else "output", names), (SAMPLE,))
            for k in range(len(self.outputs))
        )
        one = Element(_free("loss_n", names), (SAMPLE,))
        weight = Element(_free("weight", names), (SAMPLE,))
        loss = Element(_free("loss", names))
        formulas = [value.xreplace(real) for value in (*self.outputs, self.loss)]
        for formula in formulas:  # again, now that all symbols are known to be real
            check_expression(formula, [*real.values()], f"{self.name}")
        return Program(
            name=self.name,
            inputs=tuple(Tensor(symbol.name, (None,)) for symbol in self.inputs),
            targets=tuple(Tensor(symbol.name, (None,)) for symbol in self.targets),
            parameters=tuple(
                Tensor(symbol.name, (), Initial("constant", value)) for symbol, value in self.parameters.items()
            ),
            weight=Tensor(weight.tensor, (None,)),
            steps=(
                *(Step(element, formula) for element, formula in zip((*outputs, one), formulas, strict=True)),
                Step(loss, one * weight, "sum", (SAMPLE,)),
            ),
            outputs=outputs,
            loss=loss,
        )

    def _check_names(self) -> None:
        roles: dict[str, str] = {}
        for role in ("inputs", "targets", "parameters"):
            for symbol in getattr(self, role):
                if symbol.name in roles:
                    raise ModelError(
                        f"the name {symbol.name} is given twice, in {roles[symbol.name]} and in {role}: rename one"
                    )
                roles[symbol.name] = role


def _symbols(given: Any, role: str) -> tuple[Symbol, ...]:
    if not isinstance(given, Symbol | Iterable):
        raise ModelError(f"{role} must be symbols, such as sympy.Symbol('x'), not {given!r}")
    symbols = (given,) if isinstance(given, Symbol) else tuple(given)
    for symbol in symbols:
        if not isinstance(symbol, Symbol):
            raise ModelError(f"{role} must be symbols, such as sympy.Symbol('x'), not {symbol!r}")
        check_name(symbol.name, f"a name of the {role}")
    return symbols


def _parameters(given: Mapping[Symbol, float] | None, name: str) -> dict[Symbol, float]:
    if not given:
        raise ModelError(f"{name} has no parameters: give parameters={{symbol: initial value, ...}}")
    if not isinstance(given, Mapping):
        raise ModelError(f"parameters must map symbols to initial values, not be a {type(given).__name__}")
    values = {}
    for symbol, value in zip(_symbols(given, "parameters"), given.values(), strict=True):
        try:
            values[symbol] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"the initial value of {symbol.name} must be a number, not {value!r}") from error
        if not math.isfinite(values[symbol]):
            raise ModelError(f"the initial value of {symbol.name} must be finite, not {value!r}")
    return values


def _expression(value: Any, symbols: Sequence[Symbol], role: str) -> Expr:
    return check_expression(as_expression(value, {symbol.name: symbol for symbol in symbols}, role), symbols, role)


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, with underscores appended until it differs from all names of the user."""
    while name in taken:
        name += "_"
    return name
