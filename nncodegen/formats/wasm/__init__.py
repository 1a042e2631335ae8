"""WebAssembly: a model for web pages and Node, as a .wasm, an ES module with types, and a page that trains it."""

from __future__ import annotations

from nncodegen.formats.export.request import Exported, Request
from nncodegen.formats.wasm.compiler import compile_to_wasm
from nncodegen.formats.wasm.declarations import declarations
from nncodegen.formats.wasm.javascript import es_module, package
from nncodegen.formats.wasm.model import WasmModel
from nncodegen.formats.wasm.page import page


def files(request: Request) -> Exported:
    """Return the files of a model for the web."""
    model = WasmModel(request)
    wasm, compiler = compile_to_wasm(model.sources(), model.exports, bool(model.step))
    script = es_module(model)
    contents = {
        f"{model.name}.wasm": wasm,
        f"{model.name}.js": script.encode(),
        f"{model.name}.d.ts": declarations(model).encode(),
        "package.json": package(model).encode(),
    }
    if model.apart:
        contents[f"{model.name}.bin"] = model.parameter_bytes
    if model.train:
        contents[f"{model.name}.html"] = page(model, script, wasm).encode()
    return Exported(contents, f'compiled by {compiler}; import {{ load }} from "./{model.name}.js"')
