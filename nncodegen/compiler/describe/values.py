"""Functions given as formulas: values of some arguments, without a loss, targets or parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sympy import Basic, Derivative, Dummy, Expr, Integral, Piecewise, Product, S, Subs, Sum, Symbol
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.describe.checks import bounded, check_expression, check_large, check_piece
from nncodegen.compiler.describe.pieces import cut
from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor
from nncodegen.compiler.ir.graphs import contains, graph_of
from nncodegen.compiler.ir.names import take, unused
from nncodegen.errors import ModelError

UNEVALUATED = (Derivative, Integral, Subs, Sum, Product)
"""Expressions that SymPy evaluates when it is asked to."""


@dataclass(frozen=True)
class Values:
    """Formulas of arguments: symbols, functions of other symbols, their derivatives, elements of matrices and arrays.

    ``arguments`` and ``outputs`` are flat; an output may be a condition, whose value is 1 or 0. ``further`` are the
    names of inputs that no formula has, such as the direction of a derivative; they follow the arguments. A derivative
    of an argument is no function of it: it has to be an argument itself.
    """

    name: str
    arguments: tuple[Basic, ...]
    outputs: tuple[Basic, ...]
    further: tuple[str, ...] = ()

    @property
    def optimizers(self) -> Sequence[object]:
        """Return no optimizers: nothing is trained."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of each input in the program: different ones, whatever the symbols are called."""
        taken: set[str] = set()
        return tuple(take(text, taken) for text in (*map(name_of, self.arguments), *self.further))

    @bounded("the expression")
    def describe(self) -> Program:
        """Return the program. Raises ModelError for what cannot be compiled, naming it."""
        try:
            return self._described()
        except ModelError as error:
            raise ModelError(str(error).replace(f"[{SAMPLE}]", "")) from error

    def formulas(self, known: Mapping[Basic, Element]) -> tuple[Expr, ...] | None:
        """Return the outputs as they were given, with the elements of a program; None if they are large together."""
        formulas = tuple(map(_formula, self._replaced(known)))
        return None if graph_of(formulas).is_large else formulas

    def _described(self) -> Program:
        known = {argument: Element(name, (SAMPLE,)) for argument, name in zip(self.arguments, self.names, strict=False)}
        several = len(self.outputs) > 1
        outputs = tuple(
            Element(unused(f"output{k + 1}" if several else "output", self.names), (SAMPLE,))
            for k in range(len(self.outputs))
        )
        formulas = tuple(map(_formula, self._replaced(known)))
        graph = graph_of(formulas)
        for node in graph.nodes:
            if isinstance(node, (AppliedUndef, *UNEVALUATED)):
                raise ModelError(_unknown(node, self.arguments))
            if isinstance(node, Symbol) and not isinstance(node, Element | Dummy):
                raise ModelError(_missing(node, self.arguments))
        if graph.is_large:
            check_large(graph, known.values(), "the expression")
            steps = cut(graph, {element: element for element in known.values()}, outputs, self.names)
            for step in steps:
                check_piece(step.expression, (*known.values(), *step.operands), "the expression")
        else:
            elements = tuple(known.values())
            steps = [
                Step(output, check_expression(formula, elements, "the expression"))
                for output, formula in zip(outputs, formulas, strict=True)
            ]
        weight = unused("weight", (*self.names, *(step.target.tensor for step in steps)))
        return Program(
            name=self.name,
            inputs=tuple(Tensor(name, (None,)) for name in self.names),
            steps=tuple(steps),
            outputs=outputs,
            weight=Tensor(weight, (None,)),
        )

    def _replaced(self, known: Mapping[Basic, Element]) -> Iterator[Basic]:
        """Yield the outputs with the elements of the program. An argument is replaced as a whole, from the outside."""
        graph = graph_of(self.outputs)
        changed: list[Basic] = []
        for node, operands in zip(graph.nodes, graph.operands, strict=True):
            new = [changed[operand] for operand in operands]
            same = all(part is graph.nodes[operand] for part, operand in zip(new, operands, strict=True))
            if node in known:
                changed.append(known[node])
            elif same:
                changed.append(node)
            elif isinstance(node, Derivative) and contains(node.expr, AppliedUndef):
                raise ModelError(_unknown(node, self.arguments))
            else:
                changed.append(node.func(*new))
        yield from (changed[root] for root in graph.roots)


def _formula(formula: Basic) -> Expr:
    """Return an output as a number. Raises ModelError for what SymPy does not evaluate."""
    if contains(formula, *UNEVALUATED):
        formula = formula.doit()
    if isinstance(formula, Boolean) and not isinstance(formula, Expr):
        return Piecewise((S.One, formula), (S.Zero, True))
    return formula


def name_of(argument: Basic) -> str:
    """Return the name of an argument: of a symbol, of a function without its arguments, of an element or derivative."""
    if isinstance(argument, AppliedUndef):
        return str(argument.func)
    return str(getattr(argument, "name", argument))


def _missing(symbol: Basic, arguments: Sequence[Basic]) -> str:
    names = ", ".join(map(str, arguments)) or "none"
    if any(str(symbol) == str(argument) for argument in arguments):
        return (
            f"the expression contains a second symbol named {symbol}, with other assumptions than the argument: create "
            f"the symbol once and use it everywhere"
        )
    return (
        f"the expression contains {symbol}, which is no argument (there are: {names}): add it to args, or replace it "
        f"with its value"
    )


def _unknown(node: Basic, arguments: Sequence[Basic]) -> str:
    names = ", ".join(map(str, arguments)) or "none"
    if isinstance(node, Derivative):
        return f"the expression contains {node}, which is no argument (there are: {names}): add it to args"
    if isinstance(node, AppliedUndef):
        return (
            f"the expression contains the undefined function {node}, which is no argument (there are: {names}): add it "
            f'to args, or give its formula, as in modules={{"{node.func}": lambda x: x**2}}'
        )
    return f"the expression contains {node}, which SymPy does not evaluate: replace it with its value"
