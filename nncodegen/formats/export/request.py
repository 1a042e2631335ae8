"""The input and the output of an exporter: the only types that destinations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nncodegen.compiler.ir.program import DEFAULT, OFF, PORTABLE
from nncodegen.formats.export.options import ExportOptions
from nncodegen.formats.export.subject import Exportable


@dataclass(frozen=True)
class Request:
    """A model to export, and the options of the export.

    subject  the model, its precision, its trained parameters, its bits, and the meaning of its inputs and outputs
    name     the name in the files: an identifier of C and of Python
    options  what was asked for, as it was given; the subject, the name and ``digits`` hold what follows from it
    """

    subject: Exportable
    name: str
    options: ExportOptions = field(default_factory=lambda: ExportOptions({}))

    @property
    def digits(self) -> str:
        """Return how much a form of a formula may cost that keeps more digits: "off", "fast" or "best"."""
        usual = OFF if self.subject.bits == PORTABLE else DEFAULT
        return usual if self.options.digits is None else self.options.digits

    @property
    def precision(self) -> str:
        """Return the floating-point type of all values: "float64" or "float32"."""
        return self.subject.precision

    @property
    def parameters(self) -> Any:
        """Return the trained parameters (P,) in the precision, or None."""
        return self.subject.parameters


@dataclass(frozen=True, repr=False)
class Exported:
    """The result of an exporter: the files by their names, which may include folders, and a few lines about them.

    ``folder`` is where they have been written.
    """

    files: dict[str, bytes]
    report: str = ""
    folder: Path = field(default_factory=Path)

    def __repr__(self) -> str:
        """Return where the files are and the lines about them, not the bytes of the files."""
        where = ", ".join(map(str, self.paths))
        return f"{where}\n{self.report}" if self.report else where

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths of the written files."""
        return tuple(self.folder / name for name in self.files)


Exporter = Callable[[Request], Exported]
"""The type of an exporter: a function from a request to files. It writes nothing itself."""
