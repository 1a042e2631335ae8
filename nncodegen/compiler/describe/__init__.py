"""**describe** -> stabilize: writes a model, its loss and the optimizers as symbolic steps.

Layers are imported when they are first used: a formula needs none of them.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from nncodegen.compiler.describe.checks import bounded, check_name, check_program
from nncodegen.compiler.describe.describable import Describable
from nncodegen.compiler.describe.initial_values import check_precision
from nncodegen.compiler.describe.model import Model
from nncodegen.compiler.describe.optimizers import OPTIMIZERS, Optimizer, describe_update
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.program import BITS, DEFAULT, DIGITS, NATIVE, OFF, PORTABLE, Options
from nncodegen.compiler.lazy_imports import homes_of, imported_on_use
from nncodegen.errors import ModelError

if TYPE_CHECKING:
    from nncodegen.compiler.describe.attention import GroupQueryAttention, MultiHeadAttention
    from nncodegen.compiler.describe.bidirectional import Bidirectional
    from nncodegen.compiler.describe.call import Call, Part
    from nncodegen.compiler.describe.convolution import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose
    from nncodegen.compiler.describe.embedding import Embedding, PositionEmbedding
    from nncodegen.compiler.describe.formulas import RBF, Polynomial
    from nncodegen.compiler.describe.graph import Graph
    from nncodegen.compiler.describe.layer import Add, Input, Layer, Multiply, Node, Subtract
    from nncodegen.compiler.describe.layers import Activation, Dense, Dropout, GaussianNoise, WideAndDeep
    from nncodegen.compiler.describe.merging import (
        Average,
        Maximum,
        Minimum,
        add,
        average,
        concatenate,
        maximum,
        minimum,
        multiply,
        subtract,
    )
    from nncodegen.compiler.describe.network import Network
    from nncodegen.compiler.describe.normalization import BatchNormalization, LayerNormalization, RMSNormalization
    from nncodegen.compiler.describe.physics import Mean
    from nncodegen.compiler.describe.pooling import (
        AveragePooling1D,
        AveragePooling2D,
        GlobalAveragePooling1D,
        GlobalAveragePooling2D,
        GlobalMaxPooling1D,
        GlobalMaxPooling2D,
        MaxPooling1D,
        MaxPooling2D,
    )
    from nncodegen.compiler.describe.prelu import PReLU
    from nncodegen.compiler.describe.recurrent import GRU, LSTM, SimpleRNN
    from nncodegen.compiler.describe.rotary import RotaryEmbedding
    from nncodegen.compiler.describe.sequential import Sequential
    from nncodegen.compiler.describe.shapes import Concatenate, Flatten, Permute, Reshape

PRECISIONS = ("float64", "float32")


def check_bits(bits: str | None) -> str | None:
    """Return the option bits, None if it was not given. Raises ModelError for another value."""
    if bits is not None and bits not in BITS:
        raise ModelError(f"bits must be one of {', '.join(map(repr, BITS))}, not {bits!r}")
    return bits


def check_digits(digits: str, bits: str) -> None:
    """Raise ModelError for a value of digits or bits that does not exist, and for two that exclude each other."""
    if digits not in DIGITS:
        raise ModelError(f"digits must be one of {', '.join(map(repr, DIGITS))}, not {digits!r}")
    check_bits(bits)
    if bits == PORTABLE and digits != OFF:
        raise ModelError(f'bits="portable" goes without digits={digits!r}: the search for forms measures on this CPU')


@bounded("the model")
def describe(model: Describable, precision: str = "float64", digits: str = DEFAULT, bits: str = NATIVE) -> Program:
    """Return the model as a Program, with the updates of all optimizers.

    ``digits`` is how much a form of a formula may cost that keeps more digits; with ``bits`` "portable", results do not
    depend on the CPU and the compiler. Raises ModelError.
    """
    if not isinstance(model, Describable):
        raise ModelError(f"{model!r} is not a model: use nncodegen.Model or nncodegen.Sequential")
    if precision not in PRECISIONS:
        raise ModelError(f"there is no precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    check_digits(digits, bits)
    check_name(model.name, "the name of a model")  # which may have been changed
    own_updates = tuple(optimizer.update for optimizer in model.optimizers)
    options = Options(precision=precision, digits=digits, bits=bits)
    program = replace(model.describe(), options=options)
    trains = program.loss is not None
    updates = (*(describe_update(name) for name in OPTIMIZERS), *own_updates) if trains else ()
    check_precision(program.parameters, precision)
    return replace(program, task=replace(program.task, updates=updates, identity=identity_of(program)))


def identity_of(program: Program) -> str:
    """Return a hash of what a model computes and of its precision; its name and its optimizers do not count."""
    text = f"{program.without_updates.show()}{program.precision}"
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = [
    "GRU", "LSTM", "PRECISIONS", "RBF", "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D",
    "BatchNormalization", "Bidirectional", "Call", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D",
    "Conv2DTranspose", "Dense", "Describable", "Dropout", "Embedding", "Flatten", "GaussianNoise",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Graph",
    "GroupQueryAttention", "Input", "Layer", "LayerNormalization", "MaxPooling1D", "MaxPooling2D", "Maximum", "Mean",
    "Minimum", "Model", "MultiHeadAttention", "Multiply", "Network", "Node", "Optimizer", "PReLU", "Part", "Permute",
    "Polynomial", "PositionEmbedding", "RMSNormalization", "Reshape", "RotaryEmbedding", "Sequential", "SimpleRNN",
    "Subtract", "WideAndDeep", "add", "average", "check_program", "concatenate", "describe", "identity_of", "maximum",
    "minimum", "multiply", "subtract",
]  # fmt: skip

_NAMES = {
    "attention": "GroupQueryAttention MultiHeadAttention",
    "bidirectional": "Bidirectional",
    "call": "Call Part",
    "convolution": "Conv1D Conv1DTranspose Conv2D Conv2DTranspose",
    "embedding": "Embedding PositionEmbedding",
    "formulas": "RBF Polynomial",
    "graph": "Graph",
    "layer": "Add Input Layer Multiply Node Subtract",
    "layers": "Activation Dense Dropout GaussianNoise WideAndDeep",
    "merging": "Average Maximum Minimum add average concatenate maximum minimum multiply subtract",
    "network": "Network",
    "normalization": "BatchNormalization LayerNormalization RMSNormalization",
    "physics": "Mean",
    "pooling": "AveragePooling1D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D "
    "GlobalMaxPooling2D MaxPooling1D MaxPooling2D",
    "prelu": "PReLU",
    "recurrent": "GRU LSTM SimpleRNN",
    "rotary": "RotaryEmbedding",
    "sequential": "Sequential",
    "shapes": "Concatenate Flatten Permute Reshape",
}
"""The names that each module gives which is imported when one of them is first used."""

_HOMES = homes_of(_NAMES)

__getattr__, __dir__ = imported_on_use(__name__, _HOMES, __all__)
