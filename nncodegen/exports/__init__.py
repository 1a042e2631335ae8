"""Exports of a model: plain C, WebAssembly, ONNX, CasADi, a wheel. One exporter for each destination."""

from nncodegen.exports.command import export
from nncodegen.exports.request import Exported, Request
from nncodegen.exports.subject import Exportable

__all__ = ["Exportable", "Exported", "Request", "export"]
