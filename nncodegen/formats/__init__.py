"""Models and weights from elsewhere: fitted networks of scikit-learn and PyTorch, safetensors."""

from nncodegen.formats.onnx.reading import from_onnx
from nncodegen.formats.sklearn import from_sklearn
from nncodegen.formats.tensors import load_safetensors, save_safetensors
from nncodegen.formats.torch.from_torch import from_torch
from nncodegen.formats.weights import with_weights

__all__ = ["from_onnx", "from_sklearn", "from_torch", "load_safetensors", "save_safetensors", "with_weights"]
