"""A described program as plain data, and back: the form in which a certificate holds the model.

Expressions are trees of names and numbers; reading them runs nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Basic, Derivative, Float, Integer, Rational
from sympy.functions.elementary.piecewise import ExprCondPair

import nncodegen.compiler.ir.quotients  # noqa: F401 (its classes are functions, too)
from nncodegen.compiler.describe.optimizers import OPTIMIZERS
from nncodegen.compiler.ir import (
    PARAMETER,
    Element,
    Equation,
    Hyperparameter,
    Initial,
    Noise,
    Program,
    Statistic,
    Step,
    Tensor,
    Update,
)
from nncodegen.compiler.ir.elementary import FUNCTIONS
from nncodegen.compiler.ir.functions import NAN, Primitive, StableFunction
from nncodegen.compiler.ir.program import OFF, Options, Task
from nncodegen.compiler.ir.systems import Control, Formulas, Named, System, path
from nncodegen.compiler.motion.methods import METHODS
from nncodegen.compiler.passes.linearize import linearized
from nncodegen.errors import ProgramError

CONSTANTS: dict[str, Any] = {
    "pi": sympy.pi, "E": sympy.E, "EulerGamma": sympy.EulerGamma, "GoldenRatio": sympy.GoldenRatio,
    "Catalan": sympy.Catalan, "true": sympy.true, "false": sympy.false, "NAN": NAN,
}  # fmt: skip

OPERATIONS: dict[str, Any] = {
    name: getattr(sympy, name)
    for name in """Add Mul Pow Piecewise And Or Not Xor ITE Equality Unequality StrictLessThan LessThan
        StrictGreaterThan GreaterThan""".split()
} | {"ExprCondPair": ExprCondPair}
"""Nodes of expressions that are no functions."""


def _known(name: str) -> Any:
    """Return the object that SymPy has under a name, or None."""
    record = FUNCTIONS.get(name)
    return OPERATIONS.get(name) if record is None else record.function


def _own() -> dict[str, Any]:
    """Return nncodegen's own functions, by their names."""
    functions, waiting = {}, [StableFunction, Primitive]
    while waiting:
        for subclass in waiting.pop().__subclasses__():
            if subclass.__module__.startswith("nncodegen."):
                functions[f"nncodegen.{subclass.__name__}"] = subclass
            waiting.append(subclass)
    return functions


def to_data(program: Program) -> dict[str, Any]:
    """Return the program as dictionaries, lists, texts and numbers."""
    return {
        "name": program.name,
        "inputs": [_tensor(tensor) for tensor in program.inputs],
        "targets": [_tensor(tensor) for tensor in program.targets],
        "parameters": [_tensor(tensor) for tensor in program.parameters],
        "weight": _tensor(program.weight),
        "noise": [[_tensor(source.tensor), source.distribution, source.scale] for source in program.noise],
        "steps": [_step(step) for step in program.steps],
        "outputs": [[e.tensor, list(e.indices)] for e in program.outputs],
        "loss": program.loss and program.loss.tensor,
        "extents": [list(extent) for extent in program.extents],
        "present": program.present and _tensor(program.present),
        "statistics": [_statistic(statistic) for statistic in program.statistics],
        "labels": program.task.labels,
        "rising": list(program.task.sorted_inputs),
        "precision": program.precision,
        "digits": program.options.digits,
        "updates": [_update(update) for update in program.updates if update.name not in OPTIMIZERS],
    }


def from_data(data: Mapping[str, Any]) -> Program:
    """Return the program in such data. Raises ProgramError if it holds none."""
    try:
        functions = _own()
        return Program(
            name=data["name"],
            inputs=tuple(map(_to_tensor, data["inputs"])),
            targets=tuple(map(_to_tensor, data["targets"])),
            parameters=tuple(map(_to_tensor, data["parameters"])),
            weight=_to_tensor(data["weight"]),
            noise=tuple(Noise(_to_tensor(tensor), kind, scale) for tensor, kind, scale in data["noise"]),
            steps=tuple(_to_step(row, functions) for row in data["steps"]),
            outputs=tuple(Element(name, indices) for name, indices in data["outputs"]),
            loss=data["loss"] and Element(data["loss"]),
            extents=tuple((str(index), int(size)) for index, size in data["extents"]),
            present=data["present"] and _to_tensor(data["present"]),
            statistics=tuple(
                Statistic(Element(value, indices), Element(parameter, indices))
                for value, indices, parameter in data["statistics"]
            ),
            task=Task(
                labels=bool(data["labels"]),
                sorted_inputs=tuple(map(str, data.get("rising", ()))),
                updates=tuple(_to_update(row, functions) for row in data["updates"]),
            ),
            options=Options(precision=data["precision"], digits=data.get("digits", OFF)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ProgramError(f"the description of the model in the certificate cannot be read: {error!r}") from error


def _step(step: Step) -> list[Any]:
    equations = [_equation(equation) for equation in step.where]
    target = step.target
    return [target.tensor, list(target.indices), step.operator, list(step.over), _tree(step.expression), equations]


def _to_step(row: Any, functions: Mapping[str, Any]) -> Step:
    name, indices, operator, over, tree, where = row
    equations = tuple(map(_to_equation, where))
    return Step(Element(name, indices), _to_expression(tree, functions), operator, tuple(over), equations)


def _update(update: Update) -> list[Any]:
    """Return a user's optimizer as data; infinity, for which JSON has no number, is a text."""
    hyperparameters = [[h.name, h.default, str(h.low), str(h.high), h.excludes_low] for h in update.hyperparameters]
    results = [result.tensor for result in update.results]
    return [
        update.name,
        list(update.state),
        hyperparameters,
        [_step(step) for step in update.steps],
        results,
        list(update.initial),
    ]


def _to_hyperparameter(row: Any) -> Hyperparameter:
    name, default, low, high, excludes_low = row
    return Hyperparameter(str(name), float(default), float(low), float(high), bool(excludes_low))


def _to_update(row: Any, functions: Mapping[str, Any]) -> Update:
    name, state, hyperparameters, steps, results, initial = row
    return Update(
        str(name),
        tuple(map(str, state)),
        tuple(map(_to_hyperparameter, hyperparameters)),
        tuple(_to_step(step, functions) for step in steps),
        tuple(Element(result, (PARAMETER,)) for result in results),
        tuple(start if isinstance(start, str) else float(start) for start in initial),
    )


def _tensor(tensor: Tensor) -> list[Any]:
    initial = tensor.initial
    values = base64.b64encode(initial.values).decode("ascii")
    return [
        tensor.name,
        list(tensor.shape),
        initial.distribution,
        initial.scale,
        values,
        tensor.penalized,
        tensor.trained,
        tensor.momentum,
    ]


def _statistic(statistic: Statistic) -> list[Any]:
    value = statistic.value
    return [value.tensor, list(value.indices), statistic.parameter.tensor]


def _to_tensor(row: Any) -> Tensor:
    name, shape, distribution, scale, values, penalized, trained, momentum = row
    start = Initial(str(distribution), float(scale), base64.b64decode(values))
    return Tensor(str(name), tuple(shape), start, bool(penalized), bool(trained), momentum)


def _system(system: System) -> dict[str, Any]:
    """Return differential equations as data, without what follows from them."""
    control = system.control
    return {
        "name": system.name,
        "control": [control.table.chosen, control.rtol, control.atol, control.most, control.start],
        **{role: [_tree(part) for part in getattr(system, role)] for role in _ROLES},
        "time": _tree(system.time),
        "jumps": [_tree(part) for part in system.jumps.values],
        "weights": [_tree(part) for part in system.weights],
        "steps": [_step(part) for part in system.steps],
        "sizes": [list(pair) for pair in system.sizes],
    }


_ROLES = ("states", "given", "fixed", "starts", "rates", "course")
"""The rows of differential equations."""


def _to_system(data: Any, functions: Mapping[str, Any]) -> System:
    name, rtol, atol, most, start = data["control"]
    rows = {role: tuple(_to_expression(part, functions) for part in data[role]) for role in _ROLES}
    system = System(
        name=str(data["name"]),
        control=Control(METHODS[name].table, float(rtol), float(atol), int(most), start),
        time=_to_expression(data["time"], functions),
        states=rows["states"],
        given=rows["given"],
        fixed=rows["fixed"],
        starts=rows["starts"],
        motion=Formulas(rows["rates"], tuple(_to_step(row, functions) for row in data.get("steps", ()))),
        block=len(rows["states"]),
        course=rows["course"],
        jumps=Formulas(tuple(_to_expression(part, functions) for part in data["jumps"])),
        weights=tuple(_to_expression(part, functions) for part in data.get("weights", ())),
        sizes=tuple((str(index), int(size)) for index, size in data.get("sizes", ())),
    )
    return linearized(system) if system.implicit else system


def _equation(equation: Equation) -> list[Any]:
    left = equation.left if isinstance(equation.left, str) else [equation.left.tensor, *equation.left.indices]
    return [left, [list(term) for term in equation.terms], equation.offset]


def _to_equation(row: Any) -> Equation:
    left, terms, offset = row
    side = left if isinstance(left, str) else Element(left[0], left[1:])
    return Equation(side, tuple((str(index), int(factor)) for index, factor in terms), int(offset))


def _tree(node: Any) -> Any:
    """Return an expression as nested lists."""
    if isinstance(node, Named):
        return ["system", _system(node.system)]
    if isinstance(node, Element):
        return ["element", node.tensor, *node.indices]
    if isinstance(node, Derivative):
        return ["derivative", _tree(node.expr), *([_tree(by), int(order)] for by, order in node.variable_count)]
    if isinstance(node, Integer):
        return int(node) if abs(int(node)) < 2**53 else ["integer", str(node)]
    if isinstance(node, Rational):
        return ["rational", str(node.p), str(node.q)]
    if isinstance(node, Float):
        sign, mantissa, exponent, bits = node._mpf_
        return ["float", int(sign), str(mantissa), int(exponent), int(bits), int(node._prec)]
    if node.is_Atom:
        for name, constant in CONSTANTS.items():
            if node == constant:
                return ["constant", name]
    if isinstance(node, path):
        return ["path", *map(_tree, node.args)]
    name = f"nncodegen.{type(node).__name__}" if isinstance(node, StableFunction | Primitive) else type(node).__name__
    if _known(name) is None and name not in _own():
        raise ProgramError(f"{name} cannot be written to a certificate, in: {node}")
    return [name, *map(_tree, node.args)]


def _to_expression(tree: Any, functions: Mapping[str, Any]) -> Any:
    if isinstance(tree, int):
        return Integer(tree)
    head, *rest = tree
    if head == "element":
        return Element(rest[0], rest[1:])
    if head == "system":
        return Named(_to_system(rest[0], functions))
    if head == "path":
        return path(*(_to_expression(part, functions) for part in rest))
    if head == "derivative":
        value, *by = rest
        return Derivative(_to_expression(value, functions), *((_to_expression(x, functions), order) for x, order in by))
    if head in ("integer", "rational"):
        return Rational(*map(int, rest))
    if head == "float":
        sign, mantissa, exponent, bits, precision = rest
        return Float._new((sign, sympy.external.gmpy.MPZ(int(mantissa)), exponent, bits), precision)
    if head == "constant":
        return CONSTANTS[rest[0]]
    arguments = [_to_expression(part, functions) for part in rest]
    if head == "ExprCondPair":
        return tuple(arguments)
    expression: Basic = (functions.get(head) or _known(head))(*arguments, evaluate=False)
    return expression


def same(program: Program, described: Program) -> bool:
    """Return whether a program that was read is the one that was described."""
    return program.without_updates.show() == described.without_updates.show()
