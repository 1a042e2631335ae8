"""The input and the output of an exporter: the only types that destinations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nncodegen.compiler.ir.program import DEFAULT
from nncodegen.formats.export.subject import Exportable


@dataclass(frozen=True)
class Request:
    """A model to export, and the options of the export.

    subject     the model, its precision, its trained parameters, and the meaning of its inputs and outputs
    name        the name in the files: an identifier of C and of Python
    train       whether what is written can train, not only predict
    optimizers  the update rules that come with it, by name
    libm        whether C may call the library of mathematics; without it, nncodegen's functions are used
    vectors     whether C is the fast one, for the vectors of a CPU, instead of the small one
    cross       the CPU and system for which binaries are made, such as "aarch64-linux-gnu"; None: this machine
    generate    whether what is written can also continue sequences step by step
    digits      how much a form of a formula may cost that keeps more digits: "off", "fast" or "best"
    opset       the version of the operators of ONNX; None for the lowest that is written
    """

    subject: Exportable
    name: str
    train: bool = False
    optimizers: tuple[str, ...] = ("sgd",)
    libm: bool = True
    vectors: bool = False
    cross: str | None = None
    digits: str = DEFAULT
    generate: bool = False
    opset: int | None = None

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
