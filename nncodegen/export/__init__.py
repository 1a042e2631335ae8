"""Exports of a model: plain C, WebAssembly, ONNX, CasADi, a wheel. One exporter for each destination."""

from nncodegen.export.command import export
from nncodegen.export.request import Exported, Request
from nncodegen.export.subject import Exportable

__all__ = ["Exportable", "Exported", "Request", "export"]
