"""The facts about a model that its Python module must know: names, shapes and numbers.

They are a dictionary of literals in ASCII: a name that a user chose is never more than a string in it.
"""

from __future__ import annotations

import base64
import re

import numpy as np

from nncodegen.compiler.ir import Program, Tensor, Update, ranges_of
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.schedule import Schedule
from nncodegen.runtime.python.ground.facts import DEFAULTS, Parameter
from nncodegen.runtime.python.ground.rules import RULES

WIDTH = 100
"""Approximate length of a line of the facts; most characters of a C string."""


def facts(schedule: Schedule) -> str:
    """Return the facts of a scheduled program, as ``runtime/python/ground/facts.py`` reads them."""
    program, findings = schedule.program, schedule.findings
    fitting = findings.fitting
    outputs = tuple((element.tensor, program.count(element.indices)) for element in program.outputs)
    entries = {
        "name": _literal(program.name),
        "precision": _literal(program.precision),
        "inputs": _rows([(tensor.name, tensor.size) for tensor in program.inputs]),
        "targets": _rows([(tensor.name, tensor.size) for tensor in program.targets]),
        "outputs": _rows(outputs),
        "parameters": _rows([_parameter(tensor, program.precision) for tensor in program.parameters]),
        "labels": _literal(program.task.labels),
        "identity": _literal(program.task.identity),
        "operations": _literal(schedule.operations or (0, 0)),
        "side_by_side": _literal(schedule.many),
        "blas": _literal(schedule.layout.blas_asked if schedule.calls_blas else None),
        "not_fitted": _literal(findings.not_fitted),
        "curved": _literal(bool(fitting and fitting.curved)),
        "fits_outputs": _literal(fitting is None or fitting.of_outputs),
        "rules": "{" + "".join(f"\n{_rule(update)}" for update in _own(program)) + "}",
    }
    members = {"shapes": _shapes(program), "ranges": ranges_of(program), "following": schedule.following}
    members |= {"guards": fitting.guards, "linear": fitting.linear} if fitting else {}
    task, fits = program.task, program.task.fits
    members |= {"quantities": fits.quantities, "label_targets": task.label_targets, "threshold": task.threshold}
    members |= {"frozen": program.frozen, "not_generated": findings.not_generated, "bits": program.bits}
    members |= {"rising": task.sorted_inputs, "over_times": task.output_is_series, "own": fits.own}
    members |= {"curves": fits.curves, "starts_from_data": fits.starts_from_data}
    members["mean_over"] = task.losses_per_sample if fitting and fitting.curved else 1
    members |= {"apart": fitting.apart or 1, "noise": fitting.noise} if fitting else {}
    solvers = [each.control for each in systems_of(program.steps)]
    members["solver"] = "; ".join(map(str, solvers[:1]))
    members["rtol"] = max((each.rtol for each in solvers), default=0.0)
    members["max_steps"] = max((each.most for each in solvers), default=0)
    members["lanes"] = schedule.side_by_side.models if schedule.side_by_side and solvers else 0
    entries |= {name: _literal(value) for name, value in members.items() if value != DEFAULTS[name]}
    if task.terms:
        entries |= {"terms": _literal(task.terms), "fields": _literal(tuple(e.tensor for e in task.fields))}
    return "{\n" + "".join(f"{key!r}: {text},\n" for key, text in entries.items()) + "}\n"


def _shapes(program: Program) -> dict[str, object]:
    """Return the shapes of inputs, targets and outputs with several axes."""
    names = [*(tensor.name for tensor in (*program.inputs, *program.targets)), *(e.tensor for e in program.outputs)]
    shapes = {name: tuple(size for size in program.shapes[name] if size is not None) for name in names}
    return {name: shape for name, shape in shapes.items() if len(shape) > 1}


def _own(program: Program) -> tuple[Update, ...]:
    """Return the update rules that not every module has."""
    return tuple(update for update in program.updates if update.name not in RULES)


def parameter_of(tensor: Tensor, precision: str) -> Parameter:
    """Return a parameter as a module knows it."""
    return Parameter(*_parameter(tensor, precision))  # type: ignore[arg-type]


def _parameter(tensor: Tensor, precision: str) -> tuple[object, ...]:
    initial = tensor.initial
    values = (_encoded(initial.values, precision),) if initial.values else ()
    return tensor.name, tensor.shape, initial.distribution, initial.scale, tensor.penalized, *values


def _encoded(values: bytes, precision: str) -> str:
    """Return given values as text: in single precision if that is exact, or if the model keeps no more of them."""
    doubles = np.frombuffer(values, "<f8")
    with np.errstate(over="ignore"):
        floats = doubles.astype("<f4")
    short = precision == "float32" or np.array_equal(floats, doubles)
    return base64.b64encode((floats if short else doubles).tobytes()).decode("ascii")


def _rule(update: Update) -> str:
    """Return an update rule of the user: hyperparameters, state, and whether its steps read the learning rate."""
    hypers = _literal(tuple(tuple(hyper) for hyper in update.hyperparameters))
    state = dict(zip(update.state, update.initial, strict=True))
    scheduled = any(operand.tensor == "learning_rate" for step in update.steps for operand in step.operands)
    return f"{_literal(update.name)}: ({hypers}, {_literal(state)}, {scheduled}),"


def _rows(rows: list[tuple[object, ...]] | tuple[tuple[object, ...], ...]) -> str:
    """Return a tuple of tuples as text, with lines as full as fit."""
    lines = [""]
    for row in rows:
        text = f"{_literal(row)}, "
        if len(lines[-1]) + len(text) > WIDTH:
            lines.append("")
        lines[-1] += text
    return "(" + "\n".join(line.rstrip() for line in lines) + ")"


def _literal(value: object) -> str:
    """Return a value as Python in ASCII, with infinity as a number that is too large."""
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "1e999" if value > 0 else "-1e999"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(entry)}" for key, entry in value.items()) + "}"
    return ascii(value)


def pieces(text: str) -> list[str]:
    """Return a text in ASCII as several C strings, as compilers need not accept very long ones."""
    escapes = {"\\": r"\\", '"': r"\"", "?": r"\?", "\n": r"\n"}  # ??/ would be a backslash
    lines = text.splitlines(keepends=True)
    cut = [piece for line in lines for piece in re.findall(rf".{{1,{WIDTH}}}[ \n]|.{{1,{WIDTH}}}", line)]
    return ['"' + "".join(escapes.get(letter, letter) for letter in piece) + '"' for piece in cut]
