"""nncodegen compiles neural networks: from a formula or a stack of layers to a module that trains natively."""

from nncodegen.curve import curve_fit
from nncodegen.describe import (
    Activation,
    Add,
    Average,
    Call,
    Dense,
    Dropout,
    GaussianNoise,
    Graph,
    Input,
    Layer,
    Maximum,
    Minimum,
    Model,
    Multiply,
    Network,
    Node,
    Optimizer,
    Part,
    Sequential,
    Subtract,
    WideAndDeep,
    add,
    average,
    maximum,
    minimum,
    multiply,
    subtract,
)
from nncodegen.errors import BuildError, ModelError, NncodegenError, ProgramError, TableError
from nncodegen.export import Exportable, Exported, export
from nncodegen.imports import from_onnx, from_sklearn, from_torch, load_safetensors, save_safetensors
from nncodegen.ir import Hyperparameter, Program, evaluate
from nncodegen.ir.functions import (
    elu,
    gelu,
    leaky_relu,
    log_cosh,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
    xlogy,
)
from nncodegen.module import Module
from nncodegen.pipeline import build_module as build
from nncodegen.pipeline import compile_model
from nncodegen.runtime.python import FitResult, ManyFits, ManyResult, Progress, Result
from nncodegen.targets import get_include

__version__ = "0.1.0"

__all__ = [
    "Activation", "Add", "Average", "BuildError", "Call", "Dense", "Dropout", "Exportable", "Exported", "FitResult",
    "GaussianNoise", "Graph", "Hyperparameter", "Input", "Layer", "ManyFits", "ManyResult", "Maximum", "Minimum",
    "Model", "ModelError", "Module", "Multiply", "Network", "NncodegenError", "Node", "Optimizer", "Part", "Program",
    "ProgramError", "Progress", "Result", "Sequential", "Subtract", "TableError", "WideAndDeep", "add", "average",
    "build", "compile_model", "curve_fit", "elu", "evaluate", "export", "from_onnx", "from_sklearn", "from_torch",
    "gelu", "get_include", "leaky_relu", "load_safetensors", "log_cosh", "maximum", "minimum", "multiply", "relu",
    "save_safetensors", "selu", "sigmoid", "silu", "softplus", "softsign", "subtract", "tanh", "xlogy",
]  # fmt: skip
