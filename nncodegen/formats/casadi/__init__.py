"""CasADi: a C file with the functions that ``casadi.external`` and acados look for, and derivatives by the inputs."""

from __future__ import annotations

from nncodegen.formats.casadi.entries import CasadiModel
from nncodegen.formats.casadi.header import header, makefile
from nncodegen.formats.casadi.source import source
from nncodegen.formats.export.request import Exported, Request


def files(request: Request) -> Exported:
    """Return the files of a model for CasADi."""
    model = CasadiModel(request)
    texts = {f"{model.name}.c": source(model), f"{model.name}.h": header(model), "Makefile": makefile(model)}
    report = f"make gives {model.name}.so, for casadi.external({model.name!r}, './{model.name}.so')"
    if request.precision == "float32":
        report += "; it computes in float64, as CasADi does, with the parameters of a model in float32"
    return Exported({name: text.encode() for name, text in texts.items()}, report)
