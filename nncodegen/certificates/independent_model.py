"""The user's model as a separate program, without use of the stage ``describe``: formulas as they are written.

A model of another kind describes itself: then its program is the given one. That of a network is also compared with the
definitions of its layers (see ``layer_definitions``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Expr

from nncodegen.certificates.layer_definitions import Defined
from nncodegen.compiler.describe import Describable, Model
from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor
from nncodegen.compiler.ir.functions import plain_conditions
from nncodegen.compiler.ir.graphs import ExpressionGraph, graph_of
from nncodegen.compiler.ir.program import Options

FORMULAS, PROGRAM = "the formulas of the model", "the program of the model"
"""Names of the sources from which the exact values are computed."""

LAYERS = f"{PROGRAM}, which is compared with the definitions of its layers"


def given(model: Describable, described: Program, defined: Defined | None) -> tuple[Program, str]:
    """Return the model as the user gave it, with the tensors of its described program; and the name of its source."""
    if type(model) is not Model:
        return described, LAYERS if defined else PROGRAM
    formulas = _formulas(model, described)
    shapes, other = ([(t.name, t.shape) for t in program.parameters] for program in (formulas, described))
    return (formulas, FORMULAS) if shapes == other else (described, PROGRAM)


def _formulas(model: Model, described: Program) -> Program:
    of_samples = (*model.inputs, *model.targets)
    real: dict[Any, Any] = {symbol: Element(symbol.name, (SAMPLE,)) for symbol in of_samples}
    real |= {symbol: Element(symbol.name) for symbol in model.parameters}
    names = [step.target for step in described.steps]
    if len(names) != len(model.outputs) + 2:
        names = [Element(f"given{k}", (SAMPLE,)) for k in range(len(model.outputs) + 1)]
    formulas = (*model.outputs, model.loss)
    graph = graph_of(formulas)
    if graph.is_large:
        steps = _node_by_node(graph, real, names)
    else:
        steps = [Step(name, formula.xreplace(real)) for name, formula in zip(names, formulas, strict=False)]
    loss, weight = described.required_loss, Element(described.weight.name, (SAMPLE,))
    return Program(
        described.name,
        tuple(Tensor(symbol.name, (None,)) for symbol in model.inputs),
        (*steps, Step(loss, steps[-1].target * weight, "sum", (SAMPLE,))),
        tuple(names[: len(model.outputs)]),
        tuple(Tensor(symbol.name) for symbol in model.parameters),
        tuple(Tensor(symbol.name, (None,)) for symbol in model.targets),
        described.weight,
        loss,
        options=Options(precision=described.precision),
    )


def _node_by_node(graph: ExpressionGraph, real: Mapping[Any, Any], names: Sequence[Element]) -> list[Step]:
    """Return a step for each node of formulas that are too large to be processed as a whole."""
    steps: list[Step] = []
    node_steps: list[Any] = []
    for number, (node, operands) in enumerate(zip(graph.nodes, graph.operands, strict=True)):
        value = plain_conditions(node.func(*(node_steps[k] for k in operands))) if operands else real.get(node, node)
        if operands and isinstance(value, Expr) and not value.is_number:
            steps.append(Step(Element(f"node {number}", (SAMPLE,)), value))
            value = steps[-1].target
        node_steps.append(value)
    return [*steps, *(Step(name, node_steps[root]) for name, root in zip(names, graph.roots, strict=False))]
