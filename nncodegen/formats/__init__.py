"""Formats: models and weights from elsewhere (ONNX, PyTorch, scikit-learn, safetensors), and models for elsewhere.

Each name is imported when it is first used: an export as plain C waits for no reader of graphs.
"""

from nncodegen.compiler.lazy_imports import homes_of, imported_on_use

_NAMES = {
    "export": "Exportable Exported export",
    "onnx.reading": "from_onnx",
    "sklearn": "from_sklearn",
    "tensors": "load_safetensors save_safetensors",
    "torch.from_torch": "from_torch",
    "weights": "with_weights",
}
"""The names that each module gives."""

_HOMES = homes_of(_NAMES)

__getattr__, __dir__ = imported_on_use(__name__, _HOMES, tuple(_HOMES))
