"""schedule -> **emit**: the Cython wrapper, which is the interface of the compiled module.

What differs from model to model are the names, shapes and numbers at its head. They are written as Python
literals in ASCII, so that no name of a user can be more than a text. The rest is copied: the native part from
``module.pyx``, and the part that checks arguments from the files in INTERFACE. The latter stays Python inside of
the module, behind the tables of the optimizers, since Cython would make 33,000 lines of C of it, which take longer to
compile than everything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nncodegen.emit.blas import emit_module_part
from nncodegen.emit.lines import keep
from nncodegen.emit.many import lanes_are_models
from nncodegen.emit.names import MARK, identifier
from nncodegen.emit.printer import REAL_TYPES
from nncodegen.ir import Element, Program, Tensor
from nncodegen.schedule import Schedule
from nncodegen.targets import VARIANT_NAMES

HERE = Path(__file__).parent

INTERFACE = (
    "interface.py", "results.py", "samples.py", "schedules.py", "display.py", "run.py", "short.py", "training.py",
    "minimizing.py",
)  # fmt: skip
"""The files of the Python part of a module, in the order in which they become one text."""


def emit_pyx(schedule: Schedule) -> str:
    """The Cython source of the module of a scheduled program."""
    program, precision = schedule.program, schedule.program.precision
    written_out, simplified = program.operations or (0, 0)
    name = identifier(program.name)
    constants: dict[str, Any] = {
        "name": program.name,
        "precision": precision,
        "input_names": _columns(program.inputs),
        "target_names": _columns(program.targets),
        "output_names": tuple(text for element in program.outputs for text in _output_names(program, element)),
        "parameter_names": tuple(tensor.name for tensor in program.parameters),
        "parameter_shapes": {tensor.name: tensor.shape for tensor in program.parameters},
        "parameter_count": sum(tensor.size for tensor in program.parameters),
        "accepts_labels": program.labels,
        "operations": {"written_out": written_out, "simplified": simplified},
    }
    constants["output_count"] = len(constants["output_names"])
    inputs, outputs = len(constants["input_names"]), constants["output_count"]
    text = (
        f"{program.name}: {inputs} inputs, {outputs} outputs, {constants['parameter_count']} parameters, {precision}. "
        f"Compiled by nncodegen; needs NumPy alone."
    )
    head = [
        f"# {MARK}. Do not edit: change the model and build it again.",
        "# cython: language_level=3, binding=False, auto_pickle=False",
        "",
        ascii(text),
        "",
        *(f"{key} = {value!a}" for key, value in constants.items()),
        "",
        f"_VARIANTS = {VARIANT_NAMES!a}",
        f"_INITIAL = {tuple((t.shape, t.initial.distribution, t.initial.scale) for t in program.parameters)!a}",
        f"_IDENTITY = {program.identity!a}",
        f"_PENALIZED = {tuple(t.penalized for t in program.parameters)!a}",
        *([f"_BLAS_ASKED = {schedule.layout.blas_asked!a}"] if schedule.layout.blas else []),
        "",
        "",
    ]
    body = emit_module_part((HERE / "module.pyx").read_text(), schedule)
    body = body.replace("@SHORT@", (HERE / "short.pyx").read_text().rstrip())
    body = body.replace("@name@", name).replace("@real@", REAL_TYPES[precision][0])
    body = body.replace("@code@", {"float64": "d", "float32": "f"}[precision])  # of the buffer protocol
    body = keep(body, "MANY", lanes_are_models(schedule))
    interface = "\n\n".join([_optimizers(program), *((HERE / file).read_text() for file in INTERFACE)])
    for mark, text in (("@INTERFACE@", interface), ("@MANY_INTERFACE@", (HERE / "interface_many.py").read_text())):
        body = body.replace(mark, f"r'''{text}'''")
    return "\n".join(head) + body


def _optimizers(program: Program) -> str:
    """The tables of the optimizers, as Python: Cython would write a thousand lines of C for each."""
    rows = []
    for number, update in enumerate(program.updates):
        known = ", ".join(
            f"{hyper.name!r}: ({hyper.default!r}, {_literal(hyper.low)}, {_literal(hyper.high)}, {hyper.excludes_low})"
            for hyper in update.hyperparameters
        )
        state = dict(zip(update.state, update.initial, strict=True))
        rated = any(operand.tensor == "learning_rate" for step in update.steps for operand in step.operands)
        rows.append(f"    {update.name!r}: ({number}, {{{known}}}, {state!a}, {rated}),")
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
