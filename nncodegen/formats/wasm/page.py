"""NAME.html: a page that trains a model while the user watches. It is a single file, and works without a server."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from importlib.resources import files

import numpy as np

from nncodegen.compiler.check import random_data
from nncodegen.compiler.emit.names import MARK
from nncodegen.compiler.ir import Tensor
from nncodegen.formats.wasm.model import WasmModel

ROWS = 8
"""The number of example rows in the page."""


def page(model: WasmModel, script: str, wasm: bytes) -> str:
    """Return the text of NAME.html, with the ES module and the WebAssembly in it."""
    sizes = model.sizes
    count, kilobytes = _count(sizes, "PARAMETERS"), f"{len(wasm) / 1000:.1f} kB"
    about = f"{count} in {kilobytes} of WebAssembly, trained in this page: nothing that you enter leaves it."
    inputs = list(model.request.subject.inputs) or _names(model.program.inputs)
    targets = _names(model.program.targets)
    parameters = f'decoded("{_base64(model.parameter_bytes)}")' if model.apart else "PARAMETERS"
    values = {
        "MARK": MARK,
        "ABOUT": about,
        "COLUMNS": html.escape(_columns(model, inputs, targets)),
        "DATA": html.escape(_example(model, [*inputs, *targets])),
        "PARAMETERS": parameters,
        "MODULE": script.replace("export async function", "async function"),
        "WASM": _base64(wasm),
        "NAME": model.name,
        "OPTIMIZERS": json.dumps([rule.name for rule in model.rules]),
        "RATE": "0.01" if model.rules[0].state else "0.1",
    }
    text = (files("nncodegen.formats.wasm") / "page.html").read_text()
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def _columns(model: WasmModel, inputs: list[str], targets: list[str]) -> str:
    """Return a sentence that says what a line of the data holds."""
    few = f" ({', '.join(inputs)})" if 0 < len(inputs) <= 6 else ""
    names = f" ({', '.join(targets)})" if len(targets) <= 6 and not model.program.task.labels else ""
    classes = ", or the number of a class, from 0" if model.program.task.labels else ""
    count, wanted = _count(model.sizes, "INPUTS"), _count(model.sizes, "TARGETS")
    return f"Each line: {count}{few}, then {wanted}{names}{classes}. Random numbers stand here until you put your own."


def _count(sizes: dict[str, int], kind: str) -> str:
    """Return the number of values of a kind with its noun, such as: 1 input."""
    noun = kind.lower()
    return f"{sizes[kind]:,} {noun if sizes[kind] != 1 else noun.removesuffix('s')}"


def _names(tensors: Iterable[Tensor]) -> list[str]:
    """Return a name for each column."""
    names = []
    for tensor in tensors:
        name = tensor.name.replace(",", "_")
        names += [name] if tensor.size == 1 else [f"{name}{k}" for k in range(tensor.size)]
    return names


def _example(model: WasmModel, names: list[str]) -> str:
    """Return a line with the names of the columns, and lines of random inputs and targets."""
    X, Y = random_data(model.program, ROWS)
    empty = np.empty((ROWS, 0))
    X, Y = (empty if data is None else np.asarray(data) for data in (X, Y))
    if model.program.task.labels:  # class indices
        Y, names = Y.argmax(axis=1)[:, None], [*names[: X.shape[1]], "class"]
    rows = [", ".join(f"{value:.3g}" for value in row) for row in np.hstack([X, Y])]
    return "\n".join([", ".join(" ".join(name.split()) for name in names), *rows])


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
