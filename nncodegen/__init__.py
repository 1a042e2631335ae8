"""nncodegen compiles neural networks: from a formula or a stack of layers to a module that trains natively."""

from nncodegen.building.targets import get_include
from nncodegen.certificates import certify, verify
from nncodegen.curve import curve_fit
from nncodegen.describe import (
    GRU,
    LSTM,
    RBF,
    Activation,
    Add,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Call,
    Concatenate,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    Graph,
    Input,
    Layer,
    LayerNormalization,
    Maximum,
    MaxPooling1D,
    MaxPooling2D,
    Mean,
    Minimum,
    Model,
    Multiply,
    Network,
    Node,
    Optimizer,
    Part,
    Permute,
    Polynomial,
    PReLU,
    Reshape,
    Sequential,
    SimpleRNN,
    Subtract,
    WideAndDeep,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from nncodegen.errors import BuildError, CertificateError, ModelError, NncodegenError, ProgramError, TableError
from nncodegen.exports import Exportable, Exported, export
from nncodegen.imports import (
    from_onnx,
    from_sklearn,
    from_torch,
    load_safetensors,
    save_safetensors,
    with_weights,
)
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
from nncodegen.reports import Report, report
from nncodegen.runtime.python import FitProgress, FitResult, ManyFits, ManyResult, Points, Progress, Result
from nncodegen.runtime.python.ground.certificate import Certificate

__version__ = "0.1.0"

__all__ = [
    "GRU", "LSTM", "RBF", "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D",
    "BatchNormalization", "Bidirectional", "BuildError", "Call", "Certificate", "CertificateError", "Concatenate",
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense", "Dropout", "Embedding", "Exportable",
    "Exported", "FitProgress", "FitResult", "Flatten", "GaussianNoise", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Graph", "Hyperparameter", "Input",
    "Layer", "LayerNormalization", "ManyFits", "ManyResult", "MaxPooling1D", "MaxPooling2D", "Maximum", "Mean",
    "Minimum", "Model", "ModelError", "Module", "Multiply", "Network", "NncodegenError", "Node", "Optimizer",
    "PReLU", "Part", "Permute", "Points", "Polynomial", "Program", "ProgramError", "Progress", "Report", "Reshape",
    "Result", "Sequential", "SimpleRNN", "Subtract", "TableError", "WideAndDeep", "add", "average", "build",
    "certify", "compile_model", "concatenate",
    "curve_fit", "elu", "evaluate", "export", "from_onnx", "from_sklearn", "from_torch", "gelu", "get_include",
    "leaky_relu", "load_safetensors", "log_cosh", "maximum", "minimum", "multiply", "relu", "report",
    "save_safetensors", "selu", "sigmoid", "silu", "softplus", "softsign", "subtract", "tanh", "verify",
    "with_weights", "xlogy",
]  # fmt: skip
