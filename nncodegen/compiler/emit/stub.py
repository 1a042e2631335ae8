"""The types of a compiled module for editors and type checkers: a file NAME.pyi, and a protocol of all modules.

Both are written from the functions of ``runtime/python/interface.py``: their signatures and their documentation.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from nncodegen.compiler.emit.fit_parameters import emit_fit_parameters
from nncodegen.compiler.emit.names import MARK
from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule import Schedule
from nncodegen.runtime.python.interface import ATTRIBUTES, FUNCTIONS

WIDTH, INDENT = 120, 4

Fill = Callable[[str, list[str], str], list[str]]

IMPORTS = """\
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import {typing}

import numpy as np
from numpy.typing import ArrayLike
"""

ARRAY = "Array = np.ndarray[Any, np.dtype[Any]]"

PROTOCOL = '''\
"""The result of ``nncodegen.build``. "pytest --update-golden" renews this file from nncodegen/runtime/python."""

from __future__ import annotations

{imports}
from nncodegen.runtime.python import FitProgress, FitResult, ManyFits, ManyResult, Outcomes, Progress, Result
from nncodegen.runtime.python.ground.certificate import Certificate

{array}


class Module(Protocol):
    """A compiled model: a module of Python, which can be imported without nncodegen as well.

    Its functions take and return arrays of NumPy. N is the number of samples, P that of parameters.
    """

{body}
'''

STUB = '''\
# {mark}. Do not edit: change the model and build it again.
"""{summary}"""

{imports}
from nncodegen import FitProgress, FitResult, ManyFits, ManyResult  # type: ignore[import-not-found, unused-ignore]
from nncodegen import Certificate, Outcomes, Progress, Result  # type: ignore[import-not-found, unused-ignore]

{array}

{attributes}

{functions}
'''


def emit_protocol() -> str:
    """Return the text of ``runtime/module.py``: attributes and functions of every module, with their docstrings."""
    parts = [f'{name}: {type}\n"""{meaning}"""' for name, (type, meaning) in ATTRIBUTES.items()]
    parts += [
        "\n" + _declaration(function, "self", inspect.getdoc(function) or "", _one_by_one) for function in FUNCTIONS
    ]
    body = textwrap.indent("\n".join(parts), "    ")
    protocol = PROTOCOL.format(imports=IMPORTS.format(typing="Any, Protocol, TypedDict"), array=ARRAY, body=body)
    return f"{protocol}\n{emit_fit_parameters()}"


def emit_stub(schedule: Schedule) -> str:
    """Return the text of NAME.pyi for a scheduled program."""
    attributes = [f"{name}: {type}" for name, (type, _) in ATTRIBUTES.items()]
    attributes += ["blas: str"] if schedule.calls_blas else []
    summaries = ((function, (inspect.getdoc(function) or "").split("\n")[0]) for function in FUNCTIONS)
    functions = (_declaration(function, "", summary, _filled) for function, summary in summaries)
    return STUB.format(
        mark=MARK,
        summary=_names(schedule.program),
        imports=IMPORTS.format(typing="Any"),
        array=ARRAY,
        attributes="\n".join(attributes),
        functions="\n".join(functions),
    )


def _names(program: Program) -> str:
    """Return the name of the model, and its inputs, targets and parameters with their shapes, for a docstring."""
    groups = (("Inputs", program.inputs), ("Targets", program.targets), ("Parameters", program.parameters))
    lines = [f"{program.name} in {program.precision}. help(train) tells all options, and so on.", ""]
    for title, tensors in groups:
        if tensors:
            shapes = ((tensor.name, tuple(size for size in tensor.shape if size is not None)) for tensor in tensors)
            names = ", ".join(f"{name} {shape}" if shape else name for name, shape in shapes)
            lines.append(textwrap.fill(f"{title}: {names}.", WIDTH, subsequent_indent="    ", break_long_words=False))
    text = "\n".join([*lines, ""])
    return text.encode("unicode_escape").decode().replace("\\n", "\n").replace('"', '\\"')


def _declaration(function: Callable[..., Any], receiver: str, documentation: str, fill: Fill) -> str:
    """Return the declaration of a function; ``receiver`` stands for its model, and ``fill`` breaks long lines."""
    signature = inspect.signature(function)
    _, *parameters = signature.parameters.values()  # the first is the model
    texts = [*([receiver] if receiver else []), *map(_parameter, parameters)]
    head, end = f"def {function.__name__}(", f") -> {signature.return_annotation}:"
    if len(head + ", ".join(texts) + end) > WIDTH - INDENT:
        head = "\n".join(fill(head, texts, end))
    else:
        head += ", ".join(texts) + end
    lines = documentation.split("\n")
    lines = [f'"""{lines[0]}"""'] if len(lines) == 1 else [f'"""{lines[0]}', *lines[1:], '"""']
    return head + "\n" + textwrap.indent("\n".join(lines), " " * INDENT)


def _one_by_one(head: str, texts: list[str], end: str) -> list[str]:
    """Return parameters in one line, or else each on a separate line, as ruff formats them."""
    line = " " * INDENT + ", ".join(texts)
    if len(line) <= WIDTH - INDENT and not texts[-1].startswith("**"):
        return [head, line, end]
    return [head, *(f"{' ' * INDENT}{text}," for text in texts), end]


def _filled(head: str, texts: list[str], end: str) -> list[str]:
    """Return parameters in filled lines, below the first parameter."""
    first, *others = [*(f"{text}," for text in texts[:-1]), texts[-1] + end]
    lines = [head + first]
    for text in others:
        if len(lines[-1]) + 1 + len(text) <= WIDTH:
            lines[-1] += f" {text}"
        else:
            lines.append(" " * len(head) + text)
    return lines


def _parameter(parameter: Parameter) -> str:
    star = "**" if parameter.kind is Parameter.VAR_KEYWORD else ""
    default = "" if parameter.default is Parameter.empty else f" = {_default(parameter.default)}"
    return f"{star}{parameter.name}: {parameter.annotation}{default}"


def _default(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
