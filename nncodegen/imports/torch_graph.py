"""Turns modules of PyTorch with their own ``forward`` into graphs of layers, with torch.fx, which traces their code.

Every value of the traced graph becomes a node here, with the samples as its first axis. A value of PyTorch that is one
number for each sample, without another axis, has an axis of size 1 here.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nncodegen.describe import Activation, Flatten, Input, Network, Node, Permute, Reshape, concatenate
from nncodegen.describe.layer import Layer
from nncodegen.errors import ModelError
from nncodegen.imports.activations import number
from nncodegen.imports.torch_layers import Mean, Taken
from nncodegen.imports.torch_modules import RECURRENT, activation_with, in_shape, is_of_torch, layer_of, weights_of
from nncodegen.imports.torch_recurrent import Stack, States, check_recurrent, stack_of
from nncodegen.imports.torch_trace import refused, shape_of, shapes_of_inputs, traced_module

MODULES = {
    name.lower(): name
    for name in (
        "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Mish", "ReLU",
        "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
        "Dropout",
    )
} | {
    "leaky_relu": "LeakyReLU", "max_pool1d": "MaxPool1d", "max_pool2d": "MaxPool2d", "avg_pool1d": "AvgPool1d",
    "avg_pool2d": "AvgPool2d", "adaptive_avg_pool1d": "AdaptiveAvgPool1d", "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "adaptive_max_pool1d": "AdaptiveMaxPool1d", "adaptive_max_pool2d": "AdaptiveMaxPool2d",
}  # fmt: skip
"""Functions and methods that compute the same as modules, with equal arguments after the first."""

SAME = ("contiguous", "clone", "to", "float", "double")
"""Methods that change no value."""

SHAPED = ("view", "reshape", "flatten", "squeeze", "unsqueeze")
"""Functions that rearrange the axes of a sample and keep its values in row-major order."""

SUMS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "iadd": operator.add, "imul": operator.mul}
"""Operators on two values."""


class _Zeros(NamedTuple):
    """A tensor of zeros, which may be the initial state of a layer."""


def network_of(module: Any, name: str, inputs: Any) -> tuple[Network, str]:
    """Return the network of a module, with its weights, and its last activation: "softmax", "sigmoid", or ""."""
    torch = sys.modules["torch"]
    if is_of_torch(module) and not is_of_torch(module, "Sequential"):
        module = torch.nn.Sequential(module)
    shapes = shapes_of_inputs(inputs, module)
    for one in module.modules():
        if is_of_torch(one) and type(one).__name__ in RECURRENT:
            check_recurrent(one)
    graph = traced_module(module, shapes)
    reader = _Reader(module, graph, shapes)
    (given,) = (node.args[0] for node in graph.graph.nodes if node.op == "output")
    outputs = _flat(reader.values(given), states=True)
    if not outputs or not all(isinstance(one, Node) for one in outputs):
        raise ModelError(f"{type(module).__name__} returns {given}, which are no values of layers")
    network = Network(reader.inputs, outputs, name=name)
    parameters = {tensor.name: tensor.shape for tensor in network.describe().parameters}
    network.initial = {key: in_shape(reader.weights[key], shape) for key, shape in parameters.items()}
    return network, reader.heads.get(id(outputs[0]), "")


class _Reader:
    """Goes through the graph of a module, and makes nodes of its values."""

    def __init__(self, module: Any, traced: Any, shapes: Sequence[tuple[int, ...]]) -> None:
        self._own = module
        self._values: dict[str, Any] = {}
        self._layers: dict[str, Layer | Stack] = {}
        self.weights: dict[str, Any] = {}
        self.heads: dict[int, str] = {}
        self.inputs: list[Node] = []
        given = iter(shapes)
        for node in traced.graph.nodes:
            if node.op == "placeholder" and (shape := next(given, None)) is not None:
                self.inputs.append(Input(shape, str(node.target) if len(shapes) > 1 else ""))
                self._values[node.name] = self.inputs[-1]
            elif node.op != "output":
                self._values[node.name] = self._value(node)

    def values(self, given: Any) -> Any:
        """Return the nodes of values of the graph, in tuples for lists, tuples and dictionaries."""
        if isinstance(given, list | tuple):
            return tuple(self.values(one) for one in given)
        if isinstance(given, dict):
            return tuple(self.values(one) for one in given.values())
        return self._values.get(given.name) if hasattr(given, "op") else given

    def _value(self, node: Any) -> Any:
        given = self.values(node.args)
        if node.op == "call_module":
            return self._module(node, given)
        name = str(getattr(node.target, "__name__", node.target)).strip("_").lower()
        if name == "getitem":
            return self._item(node, *given)
        if name.startswith("zeros"):
            return _Zeros()
        if name in SAME:
            return given[0]
        shape = shape_of(node)
        if node.meta["size"] is None or not any(isinstance(one, Node | States | tuple) for one in given):
            return None  # a size, or a value computed from sizes
        if shape is None:
            raise refused(node, "the first axis of what it gives is not that of the samples")
        return self._function(node, name, given, shape)

    # --- modules -------------------------------------------------------------------------------------------------

    def _module(self, node: Any, given: Sequence[Any]) -> Any:
        """Return the result of a module. A module that is called several times is one layer."""
        module, name = self._own.get_submodule(node.target), _name(str(node.target))
        kind = type(module).__name__
        if is_of_torch(module) and kind in RECURRENT:
            stack = self._layers.get(node.target) or stack_of(module, name)
            assert isinstance(stack, Stack)
            self._layers[node.target] = stack
            self.weights |= stack.weights
            if not isinstance(given[0], Node):
                raise refused(node, "its input is no sequence")
            output, states = stack(given[0], _initial(node, [*given[1:], *self.values(node.kwargs)]))
            return output, (states if len(states) > 1 else states[0])
        if len(given) != 1 or not isinstance(given[0], Node):
            raise refused(node, "it takes one value of a layer")
        if node.target not in self._layers:
            self._layers[node.target] = self._layer(node, module, name)
        return self._called(self._layers[node.target], given[0])

    def _layer(self, node: Any, module: Any, name: str) -> Layer:
        """Return the layer for a module. A layer with weights has the name of the module."""
        if is_of_torch(module, "Identity"):
            return Activation("linear")
        layer = layer_of(module)
        if layer is None:
            shape = shape_of(node) or ()
            return Activation(activation_with("linear", module, len(shape) == 1))
        weights = weights_of(layer, module)
        self.weights |= {f"{letters}_{name}": values for letters, values in weights.items()}
        return replace(layer, name=name) if weights else layer  # type: ignore[type-var]

    def _called(self, layer: Any, *values: Node) -> Node:
        result: Node = layer(*values)
        activation = getattr(layer, "activation", "")
        self.heads[id(result)] = activation if isinstance(activation, str) else ""
        return result

    # --- functions and methods -----------------------------------------------------------------------------------

    def _function(self, node: Any, name: str, given: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Return the result of a function or a method."""
        x = given[0].nodes[0] if isinstance(given[0], States) else given[0]
        if isinstance(given[0], States) and len(given[0].nodes) > 1:
            raise refused(node, "states are taken one by one, as h[-1]")
        if name in MODULES:
            module = _made(MODULES[name], node)
            return self._called(layer_of(module) or Activation(activation_with("linear", module, len(shape) == 1)), x)
        if name in SHAPED and isinstance(x, Node):
            if isinstance(given[0], States):
                return x  # one layer in one direction: the axis of layers is removed
            result = self._called(Flatten() if len(shape) == 1 else Reshape(shape), x)
            self.heads[id(result)] = self.heads.get(id(x), "")
            return result
        if name in ("cat", "concat", "concatenate") and isinstance(x, tuple):
            axis = node.kwargs.get("dim", given[1] if len(given) > 1 else 0)
            rank = len(shape) + 1
            if axis % rank == 0 or not all(isinstance(one, Node) for one in x):
                raise refused(node, "it joins samples, or what are no values of layers")
            return concatenate(x, axis % rank)
        if name in ("transpose", "permute", "swapaxes"):
            return Permute(_order(node, name, given, len(shape) + 1))(x)
        if name == "mean":
            axes = node.kwargs.get("dim", given[1] if len(given) > 1 else 0)
            rank = len(shape_of(node.args[0]) or ()) + 1
            found = tuple(axis % rank for axis in (axes if isinstance(axes, list | tuple) else [axes]))
            if 0 in found:
                raise refused(node, "it is over the samples")
            return Mean(found, bool(node.kwargs.get("keepdim", given[2] if len(given) > 2 else False)))(x)
        return self._arithmetic(node, name, given)

    def _arithmetic(self, node: Any, name: str, given: Sequence[Any]) -> Node:
        """Return a sum or product of two values, or of a value and a number."""
        if name == "neg":
            return Activation(lambda z: -z)(given[0])
        numbers = [one for one in given if isinstance(one, int | float)]
        if len(given) != 2 or name not in (*SUMS, "truediv", "div", "rsub") or node.kwargs:
            raise refused(node, "from_torch does not know it")
        first, second = given
        if all(isinstance(one, Node) for one in given) and name in SUMS:
            found: Node = SUMS[name](first, second)
            return found
        if len(numbers) != 1 or not any(isinstance(one, Node) for one in given):
            raise refused(node, "it is for values of layers, and numbers")
        value = number(float(numbers[0]))
        if name in ("truediv", "div") and isinstance(first, Node):
            return Activation(lambda z: z / value)(first)
        if name in SUMS:
            apply = SUMS[name]
            if isinstance(first, Node):
                return Activation(lambda z: apply(z, value))(first)
            return Activation(lambda z: apply(value, z))(second)
        raise refused(node, "from_torch does not know it")

    def _item(self, node: Any, value: Any, at: Any) -> Any:
        """Return an item of a value: one of several values, or places of an axis."""
        if isinstance(value, States):
            first, *rest = at if isinstance(at, tuple) else (at,)
            if not isinstance(first, int) or any(one not in (slice(None), Ellipsis) for one in rest):
                raise refused(node, "states are taken one by one")
            return value.nodes[first]
        if isinstance(value, tuple):
            return value[at]
        if not isinstance(value, Node):
            return None
        before = shape_of(node.args[0]) or ()
        places = list(at) if isinstance(at, tuple) else [at]
        if Ellipsis in places:
            here, rank = places.index(Ellipsis), len(before) + 1
            places[here : here + 1] = [slice(None)] * (rank - len(places) + 1)
        if places[0] != slice(None) or not all(isinstance(one, int | slice) for one in places):
            raise refused(node, "samples stay together, and places are numbers or slices")
        rest = places[1:] + [slice(None)] * (len(before) - len(places) + 1)
        taken = (
            range(size)[one] if isinstance(one, slice) else one % size for one, size in zip(rest, before, strict=True)
        )
        return Taken(tuple(taken))(value)


def _name(target: str) -> str:
    """Return the name of a layer by its place in a module: "encoder.0" is encoder_0."""
    name = target.replace(".", "_")
    return name if name.isidentifier() else f"layer{name}"


def _initial(node: Any, given: Sequence[Any]) -> tuple[States, ...]:
    """Return the initial states that a recurrent module is given; none where they are 0."""
    found = [one for one in _flat(given) if one is not None]
    if all(isinstance(one, _Zeros) for one in found):
        return ()
    if not all(isinstance(one, States) for one in found):
        raise refused(node, "its initial states are zeros, or the final ones of another recurrent module")
    return tuple(found)


def _flat(values: Any, states: bool = False) -> list[Any]:
    """Return all values of nested tuples; with states, the nodes of these."""
    if states and isinstance(values, States):
        return list(values.nodes)
    if isinstance(values, _Zeros) or not isinstance(values, list | tuple):
        return [values]
    return [inner for one in values for inner in _flat(one, states)]


def _made(kind: str, node: Any) -> Any:
    """Return the module that computes the same as a function, with the arguments of its call."""
    module = getattr(sys.modules["torch"].nn, kind)
    known = inspect.signature(module).parameters
    named = {key: value for key, value in node.kwargs.items() if key in known}
    return module(*node.args[1:], **named)


def _order(node: Any, name: str, given: Sequence[Any], rank: int) -> tuple[int, ...]:
    """Return the axes of a transposed value, without that of the samples, which stays the first."""
    if name == "permute":
        axes = [axis % rank for axis in (given[1] if isinstance(given[1], list | tuple) else given[1:])]
    else:
        axes = list(range(rank))
        first, second = (axis % rank for axis in given[1:3])
        axes[first], axes[second] = axes[second], axes[first]
    if axes[0] != 0:
        raise refused(node, "samples are the first axis of every value")
    return tuple(axes[1:])
