"""Reads networks of PyTorch. PyTorch is never imported here: it is loaded already if such a network exists."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nncodegen.compiler.describe import Activation as ActivationLayer
from nncodegen.compiler.describe import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Network,
    Optimizer,
    Sequential,
)
from nncodegen.compiler.describe.layer import Layer
from nncodegen.compiler.describe.losses import LossFunction
from nncodegen.errors import ModelError
from nncodegen.formats.torch.attention import TRANSFORMERS
from nncodegen.formats.torch.graph import network_of
from nncodegen.formats.torch.modules import (
    ACTIVATION_OF,
    RECURRENT,
    activation_with,
    check_type,
    in_shape,
    is_of_torch,
    layer_of,
    weights_of,
)
from nncodegen.formats.torch.windows import WINDOWS

ACTIVATED = (Dense, Conv1D, Conv2D, Conv1DTranspose, Conv2DTranspose)
"""Layers that include the activation that follows them."""

FLAT = ("BatchNorm1d", "Dropout", "LayerNorm", "Linear", "PReLU", "RMSNorm")
"""Modules after which samples with one axis still have one axis."""

HEADS = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}
"""The usual loss for an activation of the last layer; "mse" for all others."""


def from_torch(
    module: Any,
    loss: str | LossFunction | None = None,
    name: str = "network",
    optimizers: Sequence[Optimizer] = (),
    inputs: int | Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> Sequential | Network:
    """Return a module of PyTorch as a network that starts with its weights.

    A torch.nn.Sequential of Linear, convolutions, pools, normalizations, Embedding, activations, PReLU and Dropout
    becomes a Sequential. Stacks may stand within stacks, and Identity anywhere. inputs is the shape of a sample,
    (channels, rows, columns) for a Conv2d; it need not be given where the first of the layers is a Linear, before which
    a Flatten may come. The weights W1, b1 and so on are numbered by the modules that are no activations of a Linear or
    a convolution.

    Any other module becomes a Network: torch.fx traces its ``forward``, which must do the same for all inputs. It may
    contain RNN, LSTM and GRU, with batch_first=True, and attention: MultiheadAttention, the blocks of Transformer, and
    scaled_dot_product_attention. inputs is the shape of a sample, (steps, features), or a list with
    one for each argument. Weights have the names of the layers in the module: W_head and b_head for ``self.head``,
    W_lstm, U_lstm and b_lstm for ``self.lstm``, with _l0, _l1 and so on appended where it has several layers.

    By default the loss is "categorical_crossentropy" where a Softmax is last, "binary_crossentropy" where a Sigmoid is,
    else "mse". Softplus has no threshold here, from which PyTorch takes it for linear; that differs by 2e-9/beta at
    most. BatchNorm keeps its running statistics. Raise ModelError, which names the part that is not supported.
    """
    if _is_followed(module):
        for parameter, tensor in module.named_parameters():
            check_type(tensor, f"the parameter {parameter} of {type(module).__name__}")
        network, ending = network_of(module, name, inputs)
        chosen = HEADS.get(ending, "mse") if loss is None else loss
        return Network(network.inputs, network.outputs, chosen, None, name, optimizers, network.initial)
    if not is_of_torch(module, "Sequential"):
        raise ModelError(f"from_torch takes a torch.nn.Sequential or another module, not a {type(module).__name__}")
    modules = list(_flat(module))
    layers, initial = _layers(modules, inputs is None)
    shape: Any = _features(modules) if inputs is None else inputs
    last = layers[-1]
    head = getattr(last, "activation", "")
    usual = HEADS.get(head, "mse") if isinstance(head, str) else "mse"
    shapes = {tensor.name: tensor.shape for tensor in Sequential(layers, shape).describe().parameters}
    values = {key: in_shape(values, shapes[key]) for key, values in initial.items()}
    return Sequential(layers, shape, usual if loss is None else loss, name, optimizers, values)


def _is_followed(module: Any) -> bool:
    """Return whether the code of a module must be traced: it is not a stack of modules with one result each."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(module, torch.nn.Module):
        return False
    if not is_of_torch(module, "Sequential"):
        return True
    traced = (*RECURRENT, *TRANSFORMERS)
    return any(not is_of_torch(part) or type(part).__name__ in traced for part in _flat(module))


def _features(modules: Sequence[Any]) -> int:
    """Return the number of inputs of the first Linear. Raise ModelError where another layer comes before it."""
    for module in modules:
        if is_of_torch(module, "Linear"):
            return int(module.in_features)
        if type(module).__name__ in (*WINDOWS, "Embedding", "BatchNorm2d"):
            raise ModelError(
                f"the first layer is {module}: give inputs, the shape of a sample, such as inputs=(1, 28, 28)"
            )
    raise ModelError("the torch.nn.Sequential has no Linear: there is nothing to train")


def _layers(modules: Sequence[Any], flat: bool) -> tuple[list[Layer], dict[str, Any]]:
    """Return the layers for some modules, and initial values. flat says whether a sample has one axis."""
    layers: list[Layer] = []
    initial: dict[str, Any] = {}
    for module in modules:
        kind = type(module).__name__ if is_of_torch(module) else ""
        if kind == "Identity" or (kind == "Flatten" and flat and not layers and module.start_dim == 1):
            continue
        layer = layer_of(module)
        if layer is not None:
            layers.append(layer)
            initial |= {f"{key}{len(layers)}": values for key, values in weights_of(layer, module).items()}
            flat = kind == "Flatten" or kind.startswith("Adaptive") or (flat and kind in FLAT)
        elif layers and isinstance(last := layers[-1], ACTIVATED):
            layers[-1] = replace(last, activation=activation_with(last.activation, module, flat))
        elif layers and (kind in ACTIVATION_OF or kind == "Softmax"):
            layers.append(ActivationLayer(activation_with("linear", module, flat)))
        else:
            raise ModelError(
                f"the module {module} has no layer here, as nothing stands before it that is one: "
                f"export the network to ONNX, and use nncodegen.from_onnx"
            )
    if not layers:
        raise ModelError("the torch.nn.Sequential has no Linear: there is nothing to train")
    return layers, initial


def _flat(module: Any) -> Iterator[Any]:
    """Yield the modules of a stack, and of the stacks within it, in their order."""
    for child in module:
        if is_of_torch(child, "Sequential"):
            yield from _flat(child)
        else:
            yield child
