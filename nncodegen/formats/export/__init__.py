"""Exports of a model: plain C, WebAssembly, ONNX, CasADi, a wheel. One exporter for each destination."""

from nncodegen.formats.export.command import export
from nncodegen.formats.export.request import Exported, Request
from nncodegen.formats.export.subject import Exportable

__all__ = ["Exportable", "Exported", "Request", "export"]
