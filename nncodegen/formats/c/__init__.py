"""Plain C: one .c and one .h for any compiler and any machine, with a test program."""

from __future__ import annotations

from nncodegen.formats.c.cross_compiled import binaries
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.plain import header, source
from nncodegen.formats.c.projects import cmake_lists, makefile
from nncodegen.formats.c.self_test import self_test
from nncodegen.formats.c.sizes import report
from nncodegen.formats.c.vectors import vector_files
from nncodegen.formats.export.request import Exported, Request


def files(request: Request) -> Exported:
    """Return the files of a model as C."""
    model = PlainModel(request)
    texts = vector_files(model) if request.options.vectors else _plain_files(model)
    message = "" if request.options.vectors else report(model, texts)
    files_of_model = {name: text.encode() for name, text in texts.items()}
    if request.options.cross is not None:
        files_of_model |= binaries(model.name, texts, request.options.cross)
        message += f"\n{model.name}.o and {model.name}_test are for {request.options.cross}"
    return Exported(files_of_model, message.lstrip("\n"))


def _plain_files(model: PlainModel) -> dict[str, str]:
    """Return the small C, its test program, and its build files."""
    return {
        f"{model.name}.c": source(model),
        f"{model.name}.h": header(model),
        f"{model.name}_test.c": self_test(model),
        "Makefile": makefile(model),
        "CMakeLists.txt": cmake_lists(model),
    }
