"""Models and weights from elsewhere: fitted networks of scikit-learn and PyTorch, safetensors."""

from nncodegen.imports.onnx import from_onnx
from nncodegen.imports.sklearn import from_sklearn
from nncodegen.imports.tensors import load_safetensors, save_safetensors
from nncodegen.imports.torch import from_torch
from nncodegen.imports.weights import with_weights

__all__ = ["from_onnx", "from_sklearn", "from_torch", "load_safetensors", "save_safetensors", "with_weights"]
