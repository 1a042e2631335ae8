"""The facts about a model that its module of Python must know.

The facts are Python in ASCII, which the wrapper executes when the module is imported. They are literals, so that no
name of a user can be more than a text.
"""

from __future__ import annotations

import re
from typing import Any

from nncodegen.ir import Element, Program, Tensor
from nncodegen.schedule import Schedule

PIECE = 100
"""Characters of the facts in a string of C, at most."""


def facts_in_pieces(schedule: Schedule) -> list[str]:
    """The facts as strings of C."""
    return _pieces(_facts(schedule))


def _facts(schedule: Schedule) -> str:
    """What the interface knows of a model: names, shapes and numbers."""
    program, precision = schedule.program, schedule.program.precision
    written_out, simplified = program.operations or (0, 0)
    facts: dict[str, Any] = {
        "name": program.name,
        "precision": precision,
        "input_names": _columns(program.inputs),
        "target_names": _columns(program.targets),
        "output_names": tuple(text for element in program.outputs for text in _output_names(program, element)),
        "parameter_names": tuple(tensor.name for tensor in program.parameters),
        "parameter_shapes": {tensor.name: tensor.shape for tensor in program.parameters},
        "parameter_count": program.parameter_count,
        "accepts_labels": program.labels,
        "operations": {"written_out": written_out, "simplified": simplified},
    }
    facts["output_count"] = len(facts["output_names"])
    inputs, outputs = len(facts["input_names"]), facts["output_count"]
    facts["__doc__"] = (
        f"{program.name}: {inputs} inputs, {outputs} outputs, {facts['parameter_count']} parameters, {precision}. "
        f"Compiled by nncodegen; needs NumPy alone."
    )
    facts |= {
        "_INITIAL": tuple((t.shape, t.initial.distribution, t.initial.scale) for t in program.parameters),
        "_IDENTITY": program.identity,
        "_PENALIZED": tuple(tensor.penalized for tensor in program.parameters),
        "_LANES": schedule.many,
    }
    if schedule.calls_blas:
        facts["_BLAS_ASKED"] = schedule.layout.blas_asked
    return "".join(f"{key} = {value!a}\n" for key, value in facts.items()) + _optimizers(program)


def _optimizers(program: Program) -> str:
    """The tables of the optimizers."""
    rows = []
    for number, update in enumerate(program.updates):
        known = ", ".join(
            f"{hyper.name!a}: ({hyper.default!r}, {_literal(hyper.low)}, {_literal(hyper.high)}, {hyper.excludes_low})"
            for hyper in update.hyperparameters
        )
        state = dict(zip(update.state, update.initial, strict=True))
        rated = any(operand.tensor == "learning_rate" for step in update.steps for operand in step.operands)
        rows.append(f"    {update.name!a}: ({number}, {{{known}}}, {state!a}, {rated}),")
    defaults = "{key: value for key, (value, *_) in known.items()}"
    names = f"optimizers = {{name: {defaults} for name, (_, known, *_) in _OPTIMIZERS.items()}}"
    return "\n".join(["_OPTIMIZERS = {", *rows, "}", names, ""])


def _literal(number: float) -> str:
    return f"float({str(number)!r})" if abs(number) == float("inf") else repr(number)


def _columns(tensors: tuple[Tensor, ...]) -> tuple[str, ...]:
    """One name for each column of X or Y."""
    return tuple(text for tensor in tensors for text in _numbered(tensor.name, tensor.size))


def _output_names(program: Program, element: Element) -> tuple[str, ...]:
    return _numbered(element.tensor, program.count(element.indices))


def _numbered(name: str, size: int) -> tuple[str, ...]:
    return (name,) if size == 1 else tuple(f"{name}[{k}]" for k in range(size))


def _pieces(text: str) -> list[str]:
    """A text in ASCII as strings of C, which the compilers need not take at any length."""
    escapes = {"\\": r"\\", '"': r"\"", "?": r"\?", "\n": r"\n"}  # ??/ would be a backslash
    lines = text.splitlines(keepends=True)
    cut = [piece for line in lines for piece in re.findall(rf".{{1,{PIECE}}}[ \n]|.{{1,{PIECE}}}", line)]
    return ['"' + "".join(escapes.get(letter, letter) for letter in piece) + '"' for piece in cut]
