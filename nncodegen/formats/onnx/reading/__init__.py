"""Reads networks from files of the format ONNX, and writes them as steps in index notation."""

from nncodegen.formats.onnx.reading.network import from_onnx

__all__ = ["from_onnx"]
