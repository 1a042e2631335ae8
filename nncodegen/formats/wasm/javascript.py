"""NAME.js: an ES module that loads a model's WebAssembly, predicts and trains; and package.json, which declares it.

Its first lines depend on the model; the rest is ``model.js``, without the parts that a model does not need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from textwrap import wrap

from nncodegen.compiler.emit.names import MARK
from nncodegen.compiler.ir import ranges_of
from nncodegen.formats.export.first_line import EXPORTED
from nncodegen.formats.wasm.model import WasmModel

ARRAYS = {"float64": "Float64Array", "float32": "Float32Array"}
"""The type of arrays in JavaScript for each precision."""

PART = re.compile(r"^ *// begin of (\w+)\n(.*?)^ *// end of \1\n", re.MULTILINE | re.DOTALL)
"""A part of ``model.js`` that only some models need, with its marks: for training, or for checks of ranges."""

WIDTH = 110
"""The length of a line."""

HERE = files("nncodegen.formats.wasm")


def es_module(model: WasmModel) -> str:
    """Return the text of NAME.js."""
    shared = (HERE / "model.js").read_text().replace("@NAME@", model.name)
    needed = {"training": model.train, "ranges": bool(ranges_of(model.program)), "steps": bool(model.step)}
    shared = PART.sub(lambda part: part[2] if needed[part[1]] else "", shared)
    return "\n".join([*_head(model), "", shared])


def package(model: WasmModel) -> str:
    """Return the text of package.json: Node and bundlers see an ES module with types."""
    name = model.name
    content = {
        "name": name.lower(),
        "version": "1.0.0",
        "description": f"{MARK}",
        "private": True,
        "type": "module",
        "exports": {".": {"types": f"./{name}.d.ts", "default": f"./{name}.js"}, "./*": "./*"},
    }
    return json.dumps(content, indent=2) + "\n"


def _head(model: WasmModel) -> Iterator[str]:
    """Yield the lines that depend on the model."""
    sizes = {name.lower(): size for name, size in model.sizes.items() if not name.endswith("WORK")}
    if model.train:
        sizes["classes"] = sizes["targets"] if model.program.task.labels else 0
    array, counts = ARRAYS[model.request.precision], ", ".join(f"{name}: {size}" for name, size in sizes.items())
    yield f"// {EXPORTED}"
    yield ""
    yield f"const Real = {array}, SIZES = {{ {counts} }};"
    yield from _parameters(model)
    if ranges_of(model.program):
        yield from wrap(f"const RANGES = [{', '.join(_ranges(model))}];", WIDTH, subsequent_indent="  ")
    if model.train:
        words = ", ".join(f"{word}: {-1 - number}" for number, word in enumerate(model.training.words))
        yield from wrap(f'const WORDS = {{ "": -Infinity, {words} }};', WIDTH, subsequent_indent="  ")
        yield from wrap(f"const OPTIONS = `{' '.join(model.training.options)}`.split(/\\s/);", WIDTH)


def _ranges(model: WasmModel) -> Iterator[str]:
    """Yield the columns of inputs that are whole numbers in a range, such as row indices of an embedding."""
    first, ranges = 0, ranges_of(model.program)
    for tensor in model.program.inputs:
        end = first + tensor.size
        if tensor.name in ranges:
            least, limit = ranges[tensor.name]
            yield f"{{ first: {first}, end: {end}, least: {least}, most: {limit - 1} }}"
        first = end


def _parameters(model: WasmModel) -> Iterator[str]:
    """Yield the definition of the parameters: their values, the URL of a file, or undefined if the caller has them."""
    if model.start is None:
        yield "const PARAMETERS = undefined;"
    elif model.apart:
        yield f'const PARAMETERS = new URL("./{model.name}.bin", import.meta.url);'
    else:
        text = f"const PARAMETERS = [{', '.join(str(value) for value in model.start)}];"
        yield from wrap(text, WIDTH, subsequent_indent="  ")
