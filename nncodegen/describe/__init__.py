"""**describe** -> stabilize: writes a model, its loss and the optimizers as symbolic steps.

Layers are imported when they are first used: a formula needs none of them.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from nncodegen.describe.checks import bounded, check_name, check_program
from nncodegen.describe.describable import Describable
from nncodegen.describe.given import check_precision
from nncodegen.describe.model import Model
from nncodegen.describe.optimizers import OPTIMIZERS, Optimizer, describe_update
from nncodegen.errors import ModelError
from nncodegen.ir import Program
from nncodegen.ir.program import BITS, DEFAULT, DIGITS, NATIVE, OFF, PORTABLE
from nncodegen.on_use import homes_of, imported_on_use

if TYPE_CHECKING:
    from nncodegen.describe.attention import GroupQueryAttention, MultiHeadAttention
    from nncodegen.describe.bidirectional import Bidirectional
    from nncodegen.describe.call import Call, Part
    from nncodegen.describe.convolution import Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose
    from nncodegen.describe.embedding import Embedding, PositionEmbedding
    from nncodegen.describe.formulas import RBF, Polynomial
    from nncodegen.describe.graph import Graph
    from nncodegen.describe.layer import Add, Input, Layer, Multiply, Node, Subtract
    from nncodegen.describe.layers import Activation, Dense, Dropout, GaussianNoise, WideAndDeep
    from nncodegen.describe.merging import (
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
    from nncodegen.describe.network import Network
    from nncodegen.describe.normalization import BatchNormalization, LayerNormalization, RMSNormalization
    from nncodegen.describe.physics import Mean
    from nncodegen.describe.pooling import (
        AveragePooling1D,
        AveragePooling2D,
        GlobalAveragePooling1D,
        GlobalAveragePooling2D,
        GlobalMaxPooling1D,
        GlobalMaxPooling2D,
        MaxPooling1D,
        MaxPooling2D,
    )
    from nncodegen.describe.prelu import PReLU
    from nncodegen.describe.recurrent import GRU, LSTM, SimpleRNN
    from nncodegen.describe.rotary import RotaryEmbedding
    from nncodegen.describe.sequential import Sequential
    from nncodegen.describe.shapes import Concatenate, Flatten, Permute, Reshape

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
    own = tuple(optimizer.update for optimizer in model.optimizers)
    updates = (*(describe_update(name) for name in OPTIMIZERS), *own)
    program = replace(model.describe(), updates=updates, precision=precision, digits=digits, bits=bits)
    check_precision(program.parameters, precision)
    return replace(program, identity=identity_of(program))


def identity_of(program: Program) -> str:
    """Return a hash of what a model computes and of its precision; its name and its optimizers do not count."""
    text = f"{replace(program, updates=()).show()}{program.precision}"
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
