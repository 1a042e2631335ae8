"""Reads networks from files of the format ONNX, and writes them as steps in index notation."""

from nncodegen.imports.onnx.network import from_onnx

__all__ = ["from_onnx"]
