"""nncodegen compiles neural networks: from a formula or a stack of layers to a module that trains natively.

Each name is imported when it is first used, so that a program waits only for what it uses.
"""

from typing import TYPE_CHECKING

from nncodegen.compiler.lazy_imports import homes_of, imported_on_use
from nncodegen.compiler.moved import install as _know_old_names

if TYPE_CHECKING:
    from nncodegen.certificates import certify, verify
    from nncodegen.compiler.building.targets import get_include
    from nncodegen.compiler.describe import (
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
        GroupQueryAttention,
        Input,
        Layer,
        LayerNormalization,
        Maximum,
        MaxPooling1D,
        MaxPooling2D,
        Mean,
        Minimum,
        Model,
        MultiHeadAttention,
        Multiply,
        Network,
        Node,
        Optimizer,
        Part,
        Permute,
        Polynomial,
        PositionEmbedding,
        PReLU,
        Reshape,
        RMSNormalization,
        RotaryEmbedding,
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
    from nncodegen.compiler.ir import Hyperparameter, Program, evaluate
    from nncodegen.compiler.ir.functions import (
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
    from nncodegen.compiler.motion import Dynamics, before
    from nncodegen.compiler.pipeline import build_module as build
    from nncodegen.compiler.pipeline import compile_model
    from nncodegen.curves.fitting import curve_fit
    from nncodegen.errors import (
        BenchError,
        BuildError,
        CertificateError,
        CheckError,
        CompilerNotFoundError,
        MissingDependencyError,
        ModelError,
        NncodegenError,
        ProgramError,
        TableError,
        UserFileError,
    )
    from nncodegen.formats.export import Exportable, Exported, export
    from nncodegen.formats.onnx.reading import from_onnx
    from nncodegen.formats.sklearn import from_sklearn
    from nncodegen.formats.tensors import load_safetensors, save_safetensors
    from nncodegen.formats.torch.from_torch import from_torch
    from nncodegen.formats.weights import with_weights
    from nncodegen.functions import lambdify
    from nncodegen.reports import Report, report
    from nncodegen.runtime.module import Module
    from nncodegen.runtime.python import (
        FitProgress,
        FitResult,
        FitWithErrors,
        GroupedFit,
        ManyFits,
        ManyResult,
        Outcomes,
        Points,
        Progress,
        Result,
    )
    from nncodegen.runtime.python.ground.certificate import Certificate
    from nncodegen.structural import Identifiability, identifiability

__version__ = "0.2.0"

__all__ = [
    "GRU", "LSTM", "RBF", "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D", "BatchNormalization",
    "BenchError", "Bidirectional", "BuildError", "Call", "Certificate", "CertificateError", "CheckError",
    "CompilerNotFoundError", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense",
    "Dropout", "Dynamics", "Embedding", "Exportable", "Exported", "FitProgress", "FitResult", "FitWithErrors",
    "Flatten", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "Graph", "GroupQueryAttention", "GroupedFit", "Hyperparameter", "Identifiability", "Input",
    "Layer", "LayerNormalization", "ManyFits", "ManyResult", "MaxPooling1D", "MaxPooling2D", "Maximum", "Mean",
    "Minimum", "MissingDependencyError", "Model", "ModelError", "Module", "MultiHeadAttention", "Multiply", "Network",
    "NncodegenError", "Node", "Optimizer", "Outcomes", "PReLU", "Part", "Permute", "Points", "Polynomial",
    "PositionEmbedding", "Program", "ProgramError", "Progress", "RMSNormalization", "Report", "Reshape", "Result",
    "RotaryEmbedding", "Sequential", "SimpleRNN", "Subtract", "TableError", "UserFileError", "WideAndDeep", "add",
    "average", "before", "build", "certify", "compile_model", "concatenate", "curve_fit", "elu", "evaluate", "export",
    "from_onnx", "from_sklearn", "from_torch", "gelu", "get_include", "identifiability", "lambdify", "leaky_relu",
    "load_safetensors", "log_cosh", "maximum", "minimum", "multiply", "relu", "report", "save_safetensors", "selu",
    "sigmoid", "silu", "softplus", "softsign", "subtract", "tanh", "verify", "with_weights", "xlogy",
]  # fmt: skip

_NAMES = {
    "compiler.building.targets": "get_include",
    "certificates": "certify verify",
    "curves.fitting": "curve_fit",
    "errors": "BenchError BuildError CertificateError CheckError CompilerNotFoundError MissingDependencyError "
    "ModelError NncodegenError ProgramError TableError UserFileError",
    "formats.export": "Exportable Exported export",
    "formats.onnx.reading": "from_onnx",
    "formats.sklearn": "from_sklearn",
    "formats.tensors": "load_safetensors save_safetensors",
    "formats.torch.from_torch": "from_torch",
    "formats.weights": "with_weights",
    "compiler.ir": "Hyperparameter Program evaluate",
    "compiler.ir.functions": "elu gelu leaky_relu log_cosh relu selu sigmoid silu softplus softsign tanh xlogy",
    "runtime.module": "Module",
    "compiler.motion": "Dynamics before",
    "compiler.pipeline": "build compile_model",
    "functions": "lambdify",
    "reports": "Report report",
    "runtime.python": "FitProgress FitResult FitWithErrors GroupedFit ManyFits ManyResult Outcomes Points Progress "
    "Result",
    "runtime.python.ground.certificate": "Certificate",
    "structural": "Identifiability identifiability",
}
"""The names that each module gives; those that are in no list come from ``compiler.describe``."""

_HOMES = dict.fromkeys(__all__, "compiler.describe") | homes_of(_NAMES)

__getattr__, __dir__ = imported_on_use(__name__, _HOMES, __all__, called={"build": "build_module"})

_know_old_names()
