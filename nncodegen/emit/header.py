"""The C header of a model: its types, and the entry points of its kernel, which carry its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from nncodegen.emit.blas import calls_blas
from nncodegen.emit.lines import keep
from nncodegen.emit.names import identifier, named
from nncodegen.emit.printer import REAL_TYPES
from nncodegen.schedule import Schedule

HERE = Path(__file__).parent

FUNCTION = r"^(?!typedef)(\w[\w ]*?[ *]+){name}_(\w+)\(([^()]*)\);$"
"""The declaration of a function: its result, the end of its name, and its parameters."""

COMMENT = r"/\*(?:(?!\*/).)*\*/\n"
"""A comment, also over several lines."""


class EntryPoint(NamedTuple):
    """A function that a header declares: its result and parameters as text, the names of the latter."""

    result: str
    name: str
    parameters: str

    @property
    def arguments(self) -> str:
        """The names of the parameters, as in a call."""
        found = re.findall(r"(\w+)(?=,|$)", self.parameters)
        return ", ".join(name for name in found if name != "void")


def emit_header(schedule: Schedule) -> str:
    """The C header of a scheduled program."""
    name, real = identifier(schedule.program.name), REAL_TYPES[schedule.program.precision][0]
    return whole_header(name, real, schedule.many, calls_blas(schedule))


def whole_header(name: str, real: str, many: bool = True, blas: bool = True) -> str:
    """A header with every entry point, or without those for many models and for BLAS."""
    return named(keep(keep((HERE / "header.h").read_text(), "MANY", many), "BLAS", blas), name, real)


def entry_points(header: str, name: str) -> list[EntryPoint]:
    """The functions that the header of the model of this name declares."""
    found = re.findall(FUNCTION.replace("{name}", name), header, flags=re.MULTILINE)
    return [EntryPoint(result, end, " ".join(parameters.split())) for result, end, parameters in found]


def types(header: str, name: str) -> str:
    """What the header declares besides: its types and constants."""
    function = rf"(?:{COMMENT})?{FUNCTION.replace('{name}', name)}\n\n?"
    rest = re.sub(function, "", header, flags=re.MULTILINE | re.DOTALL)
    return rest[rest.index("#include") : rest.rindex("#endif")].rstrip()
