"""The training in the page: the WebAssembly of the export and its JavaScript, with a small part of the data."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from nncodegen.compiler.describe import Describable
from nncodegen.compiler.emit import identifier
from nncodegen.compiler.ir import Program
from nncodegen.errors import NncodegenError
from nncodegen.formats.export.options import ExportOptions
from nncodegen.formats.export.request import Request
from nncodegen.formats.export.subject import Exportable
from nncodegen.formats.wasm import files
from nncodegen.formats.wasm.compiler import compilers
from nncodegen.reports.arguments import GivenData

MOST_PARAMETERS, MOST_VALUES = 5_000, 20_000
"""The most parameters, and the most numbers of the data, with which a model is trained in a page."""


@dataclass(frozen=True)
class InPage:
    """A model that the page trains: the data of the script, as JSON, and the first settings of the training."""

    json: str
    optimizers: tuple[str, ...]
    chosen: str
    rate: float
    epochs: int
    sequential: bool
    samples: int
    bytes: int


def in_page(
    model: Describable, program: Program, data: GivenData | None, training: dict[str, Any] | None = None
) -> tuple[InPage | None, str]:
    """Return the training of a model in the page; or None, and the reason why it has none."""
    if data is None or not data.samples or (program.targets and data.Y is None):
        return None, "There are no data to train on in the page: give the report some."
    values = data.X.size + (0 if data.Y is None else data.Y.size)
    if program.parameter_count > MOST_PARAMETERS or values > MOST_VALUES:
        return None, (
            f"With {program.parameter_count:,} parameters and {values:,} numbers of data, it is not trained in the "
            f"page, which takes up to {MOST_PARAMETERS:,} and {MOST_VALUES:,}."
        )
    if next(compilers(), None) is None:
        return None, "There was no compiler for WebAssembly, Clang with its linker or Zig, where this report was made."
    name, chosen = identifier(program.name), training or {}
    optimizers = ("sgd", "adam")
    try:
        options = ExportOptions({"train": True, "optimizers": optimizers})
        made = files(Request(Exportable(model, program.precision), name, options)).files
    except NncodegenError as error:
        return None, f"It could not be compiled to WebAssembly: {str(error).splitlines()[0]}."
    start = made.get(f"{name}.bin")
    rows = {"X": data.X.tolist(), "Y": None if data.Y is None else data.Y.tolist()}
    content = {
        "wasm": b64encode(made[f"{name}.wasm"]).decode(),
        "script": made[f"{name}.js"].decode().replace("import.meta.url", "document.baseURI"),
        "start": None if start is None else b64encode(start).decode(),
        **rows,
    }
    text = json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    sequential = chosen.get("update") == "sequential"
    page_training = InPage(
        text,
        optimizers,
        chosen.get("optimizer", "adam"),
        float(chosen.get("learning_rate", 0.01)),
        int(chosen.get("epochs", 500)),
        sequential,
        data.samples,
        len(made[f"{name}.wasm"]),
    )
    return page_training, ""
