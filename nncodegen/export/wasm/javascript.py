"""NAME.js: an ES module that loads a model's WebAssembly, predicts and trains; and package.json, which calls it one.

All but its first lines is the same for every model: ``model.js`` and, where it trains, ``training.js``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from textwrap import wrap
from typing import Any

from nncodegen.emit.lines import WIDTH
from nncodegen.emit.names import MARK
from nncodegen.export.c.rules import RuleWriter
from nncodegen.export.wasm.model import WasmModel
from nncodegen.ir import LEARNING_RATE, Update

ARRAYS = {"float64": "Float64Array", "float32": "Float32Array"}
"""The type of arrays in JavaScript for each precision."""

HERE = files("nncodegen.export.wasm")


def es_module(model: WasmModel) -> str:
    """The text of NAME.js."""
    parts = ["model.js", *(["training.js"] if model.train else [])]
    shared = "".join((HERE / part).read_text() for part in parts).replace("@NAME@", model.name)
    return "\n".join([*_head(model), "", shared])


def package(model: WasmModel) -> str:
    """The text of package.json: Node and bundlers see an ES module with types."""
    name = model.name
    content = {
        "name": name.lower(), "version": "1.0.0", "description": f"{MARK}", "private": True, "type": "module",
        "exports": {".": {"types": f"./{name}.d.ts", "default": f"./{name}.js"}, "./*": "./*"},
    }  # fmt: skip
    return json.dumps(content, indent=2) + "\n"


def camel_case(name: str) -> str:
    """The name of an option in JavaScript: learning_rate becomes learningRate."""
    return re.sub(r"_+(\w)", lambda found: found[1].upper(), name)


def default_options(rule: Update) -> dict[str, float]:
    """The hyperparameters of a rule but the learning rate, and what they are by default."""
    return {camel_case(h.name): h.default for h in rule.hyperparameters if h.name != LEARNING_RATE}


def _head(model: WasmModel) -> Iterator[str]:
    """What differs from model to model."""
    sizes = ", ".join(f"{camel_case(name.lower())}: {size}" for name, size in model.sizes.items())
    yield f"// {MARK}. Do not edit: change the model and export it again."
    yield ""
    yield f"const Real = {ARRAYS[model.request.precision]};"
    yield f"const SIZES = {{ {sizes} }};"
    yield from _parameters(model)
    if model.train:
        yield f"const CLASSES = {json.dumps(bool(model.program.labels))};"
        yield "const RULES = {"
        for rule in model.rules:
            state, arguments, options, descent = (f"{k}: {_literal(v)}" for k, v in _facts(model, rule).items())
            yield f"  {rule.name}: {{ {state}, {arguments},"
            yield f"    {options}, {descent} }},"
        yield "};"


def _parameters(model: WasmModel) -> Iterator[str]:
    """Where the parameters are: here, in a file, or with the caller."""
    if model.start is None:
        yield "const PARAMETERS = undefined;"
    elif model.apart:
        yield f'const PARAMETERS = new URL("./{model.name}.bin", import.meta.url);'
    else:
        text = f"const PARAMETERS = [{', '.join(str(value) for value in model.start)}];"
        yield from wrap(text, WIDTH, subsequent_indent="  ")


def _facts(model: WasmModel, rule: Update) -> dict[str, Any]:
    """What JavaScript must know of an update rule: its state at first, what it is given, its hyperparameters."""
    writer = RuleWriter(rule, model.name, model.request.precision, False, {})
    return {
        "state": [camel_case(value) if isinstance(value, str) else value for value in rule.initial],
        "arguments": [camel_case(name) for name in writer.arguments],
        "options": default_options(rule),
        "descent": rule.is_plain_descent,
    }


def _literal(value: Any) -> str:
    """A value as JavaScript: JSON, where names need no quotes."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name}: {number!r}' for name, number in value.items())} }}" if value else "{}"
    return json.dumps(value)
