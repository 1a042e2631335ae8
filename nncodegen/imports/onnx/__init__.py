"""Networks in files of the format ONNX: what the files say, and how it becomes steps in index notation."""

from nncodegen.imports.onnx.network import from_onnx

__all__ = ["from_onnx"]
