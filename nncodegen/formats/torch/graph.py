"""Turns modules of PyTorch with their own ``forward`` into graphs of layers, with torch.fx, which traces their code.

Every value of the traced graph becomes a node here, with the samples as its first axis. A value of PyTorch that is one
number for each sample, without another axis, has an axis of size 1 here.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nncodegen.compiler.describe import (
    Activation,
    Flatten,
    Input,
    LayerNormalization,
    Network,
    Node,
    Permute,
    PositionEmbedding,
    Reshape,
    RMSNormalization,
    concatenate,
)
from nncodegen.compiler.describe.layer import Layer
from nncodegen.errors import ModelError
from nncodegen.formats import masks
from nncodegen.formats.activations import number
from nncodegen.formats.torch.attention import (
    TRANSFORMERS,
    Transformers,
    attention_layer,
    attention_weights,
    check_attention,
)
from nncodegen.formats.torch.layers import (
    MatrixProduct,
    Mean,
    OfAllSamples,
    Taken,
    WithWeights,
)
from nncodegen.formats.torch.masks import Masked, alike, compared, converted, dot_product, masked, masked_softmax
from nncodegen.formats.torch.modules import (
    FUNCTIONS,
    RECURRENT,
    activation_with,
    epsilon_of,
    in_shape,
    is_of_torch,
    layer_of,
    values_of,
    weights_of,
)
from nncodegen.formats.torch.recurrent import Stack, States, check_recurrent, stack_of
from nncodegen.formats.torch.trace import (
    Fixed,
    Turned,
    Unknown,
    alone,
    overlap,
    refused,
    shape_of,
    shapes_of_inputs,
    traced_module,
)

MODULES = FUNCTIONS | {
    "softmax": "Softmax",
    "dropout": "Dropout",
    "max_pool1d": "MaxPool1d",
    "max_pool2d": "MaxPool2d",
    "avg_pool1d": "AvgPool1d",
    "avg_pool2d": "AvgPool2d",
    "adaptive_avg_pool1d": "AdaptiveAvgPool1d",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "adaptive_max_pool1d": "AdaptiveMaxPool1d",
    "adaptive_max_pool2d": "AdaptiveMaxPool2d",
}
"""Functions and methods that compute the same as modules, with equal arguments after the first."""

ATTRIBUTES = ("shape", "ndim", "dtype", "device", "is_cuda", "requires_grad")
"""Attributes of tensors that do not depend on their values."""

SAME = ("contiguous", "clone", "to", "float", "double", "bool", "type_as")
"""Methods and attributes that change no value, unless they make numbers true or false."""

SIZES = ("size", "dim", "numel", "len", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
"""Functions of values of samples whose result depends on shapes alone."""

SHAPED = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze")
"""Functions that rearrange the axes of a sample and keep its values in row-major order."""

SUMS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "iadd": operator.add, "imul": operator.mul}
"""Operators on two values."""


POINTWISE = ("Linear", "LayerNorm", "RMSNorm", "Dropout", "Identity", "PReLU", *MODULES.values())
"""Modules that compute the same for each step of a sequence, wherever its samples are."""


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of an Embedding for the places of a sequence, which are added to it."""

    layer: PositionEmbedding


def network_of(module: Any, name: str, inputs: Any) -> tuple[Network, str]:
    """Return the network of a module, with its weights, and its last activation: "softmax", "sigmoid", or ""."""
    torch = sys.modules["torch"]
    shapes = shapes_of_inputs(inputs, module)
    for part in module.modules():
        if is_of_torch(part) and type(part).__name__ in RECURRENT:
            check_recurrent(part)
        if is_of_torch(part) and type(part).__name__ in TRANSFORMERS:
            check_attention(part)
    if is_of_torch(module) and type(module).__name__ in TRANSFORMERS:
        module = alone(module, len(shapes))
    elif is_of_torch(module) and not is_of_torch(module, "Sequential"):
        module = torch.nn.Sequential(module)
    graph = traced_module(module, shapes)
    reader = _Reader(module, graph, shapes)
    (result,) = (node.args[0] for node in graph.graph.nodes if node.op == "output")
    outputs = _flat(reader.values(result), states=True)
    if not outputs or not all(isinstance(part, Node) for part in outputs):
        raise ModelError(f"{type(module).__name__} returns {result}, which are no values of layers")
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
        self._tables: dict[tuple[str, tuple[int, ...], bytes], Node] = {}
        self._boolean: dict[int, Node] = {}
        self._weights = dict(
            (*module.named_buffers(remove_duplicate=False), *module.named_parameters(remove_duplicate=False))
        )
        self._stored = {
            tensor.untyped_storage().data_ptr(): name
            for name, tensor in (*traced.named_buffers(), *traced.named_parameters())
            if name in self._weights  # others are constants of the code
        }
        self.weights: dict[str, Any] = {}
        self.heads: dict[int, str] = {}
        self.inputs: list[Node] = []
        remaining = iter(shapes)
        for node in traced.graph.nodes:
            if node.op == "placeholder" and (shape := next(remaining, None)) is not None:
                self.inputs.append(Input(shape, str(node.target) if len(shapes) > 1 else ""))
                self._values[node.name] = self.inputs[-1]
                if node.meta["value"].dtype == sys.modules["torch"].bool:
                    self.set_boolean(self.inputs[-1])
            elif node.op != "output":
                self._values[node.name] = self._value(node)
                if node.meta["changed"] or self._is_in_place(node):
                    self._change(node, traced.graph.nodes)

    def values(self, argument: Any) -> Any:
        """Return the nodes of values of the graph, in tuples for lists, tuples and dictionaries."""
        if isinstance(argument, list | tuple):
            return tuple(self.values(item) for item in argument)
        if isinstance(argument, dict):
            return tuple(self.values(item) for item in argument.values())
        if isinstance(argument, slice):
            return slice(*(self.values(item) for item in (argument.start, argument.stop, argument.step)))
        return self._values.get(argument.name) if hasattr(argument, "op") else argument

    def _value(self, node: Any) -> Any:
        operands = self.values(node.args)
        if node.op == "call_module":
            return self._module(node, operands)
        name = str(getattr(node.target, "__name__", node.target)).strip("_").lower()
        if name == "getattr":
            name, operands = self._attribute(node, operands[0])
        if name == "getitem":
            return self._item(node, *operands)
        options = {key: self.values(operand) for key, operand in node.kwargs.items()}
        if name in SIZES or not any(map(_follows, [*operands, *options.values()])):
            return _known(node)
        if name in SAME:
            return converted(self, node, operands[0])
        if name in ("chunk", "split", "unbind"):
            return self._pieces(node, operands[0])
        if any(isinstance(operand, Turned) for operand in operands):
            return self._turned(node, name, operands)
        if name in ("transpose", "permute", "swapaxes") and isinstance(operands[0], Node):
            axes = _axes(node, name, operands)
            if axes[:2] == (1, 0) and axes[2:] == tuple(range(2, len(axes))):
                return Turned(operands[0])
        shape = shape_of(node)
        if shape is None:
            raise refused(node, "the first axis of what it gives is not that of the samples")
        return self._function(node, name, operands, shape)

    def _attribute(self, node: Any, x: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the name and the arguments of the method that gives the same as an attribute."""
        name = node.args[1]
        if name in ATTRIBUTES:
            return "size", (x,)
        if name == "mT":
            return "transpose", (x, -2, -1)
        if name == "T" and len(node.meta["size"] or ()) > 1:
            return "permute", (x, *reversed(range(len(node.meta["size"] or ()))))
        if name == "data" and _follows(x) and node.args[0].meta["value"].requires_grad:
            raise refused(node, "it has no gradient in PyTorch, and every value has one here: leave .data out")
        if name not in ("data", "real", "T") and _follows(x):
            raise refused(node, f"from_torch does not know the attribute {name}")
        return "clone", (x,)

    def _is_in_place(self, node: Any) -> bool:
        """Return whether a call changes its argument at least in training, as Dropout(inplace=True) does."""
        module = self._own.get_submodule(node.target) if node.op == "call_module" else None
        return bool(node.kwargs.get("inplace") or (is_of_torch(module) and getattr(module, "inplace", False)))

    def _change(self, node: Any, nodes: Any) -> None:
        """Let what an operation changes in place have its result from now on."""
        changed, result = node.args[0], self._values[node.name]
        before, name = self._values[changed.name], str(getattr(node.target, "__name__", node.target))
        if name.strip("_") in (*SHAPED, "transpose", "swapaxes", "swapdims", "t") and _follows(result):
            raise refused(node, f"it changes the axes of {changed} in place: write {name.strip('_')}")
        if _follows(result) and not _follows(before):
            raise refused(node, f"it changes {changed}, which is no value of samples, in place: assign its result")
        stored = changed.meta["value"].untyped_storage().data_ptr() in self._stored
        for other in nodes:
            value = self._values.get(other.name)
            if not overlap(other.meta["value"], changed.meta["value"]):
                continue
            if not _follows(before):  # only values at the end of the graph are known, and those that the module keeps
                readers = [user for user in other.users if user is not node]
                if any(stored or _follows(self._values.get(user.name)) for user in readers):
                    raise refused(node, f"it changes {other} in place, which is read elsewhere: make a new tensor")
            elif other is node or value is None:
                continue
            elif value is before:
                self._values[other.name] = result
            elif any(user.name not in self._values for user in other.users):
                raise refused(
                    node,
                    f"it changes {changed} in place, and {other}, which is read later, has the same memory: "
                    f"assign its result, as in x = x.relu()",
                )

    # --- modules -------------------------------------------------------------------------------------------------

    def _module(self, node: Any, operands: Sequence[Any]) -> Any:
        """Return the result of a module. A module that is called several times is one layer."""
        module, name = self._own.get_submodule(node.target), _name(str(node.target))
        kind = type(module).__name__
        if is_of_torch(module) and kind in RECURRENT:
            stack = self._layers.get(node.target) or stack_of(module, name)
            assert isinstance(stack, Stack)
            self._layers[node.target] = stack
            self.weights |= stack.weights
            if not isinstance(operands[0], Node):
                raise refused(node, "its input is no sequence")
            output, states = stack(operands[0], _initial(node, [*operands[1:], *self.values(node.kwargs)]))
            return output, (states if len(states) > 1 else states[0])
        if is_of_torch(module) and kind in TRANSFORMERS:
            return Transformers(self, node, module, name).result()
        if len(operands) == 1 and isinstance(operands[0], Fixed) and kind == "Embedding":
            return self._positions(node, module, operands[0])
        if len(operands) == 1 and isinstance(operands[0], Turned) and is_of_torch(module) and kind in POINTWISE:
            return Turned(self.module_layer(node.target, module)(operands[0].node))
        if len(operands) != 1 or not isinstance(operands[0], Node):
            raise refused(node, "it takes one value of a layer")
        return self._called(self.module_layer(node.target, module, shape_of(node)), operands[0])

    def module_layer(self, target: str, module: Any, shape: tuple[int, ...] | None = None) -> Any:
        """Return the layer for a module at a place; the same for each of its calls."""
        if target not in self._layers:
            self._layers[target] = self._layer(module, _name(str(target)), shape or ())
        return self._layers[target]

    def _layer(self, module: Any, name: str, shape: tuple[int, ...]) -> Layer:
        """Return the layer for a module. A layer with weights has the name of the module."""
        if is_of_torch(module, "Identity"):
            return Activation("linear")
        if is_of_torch(module, "MultiheadAttention"):
            self.weights |= {f"{letters}_{name}": values for letters, values in attention_weights(module).items()}
            return attention_layer(module, name)
        layer = layer_of(module)
        if layer is None:
            return Activation(activation_with("linear", module, len(shape) == 1))
        weights = weights_of(layer, module)
        self.weights |= {f"{letters}_{name}": values for letters, values in weights.items()}
        return replace(layer, name=name) if weights else layer  # type: ignore[type-var]

    def _positions(self, node: Any, module: Any, places: Fixed) -> Table:
        """Return the rows of an Embedding for the numbers 0, 1, 2, ..., which are places of a sequence."""
        rows = places.value.reshape(-1, places.value.shape[-1])
        if not bool((rows == sys.modules["torch"].arange(rows.shape[1])).all()):
            raise refused(node, "the numbers that it is given are no places of a sequence, from 0 on")
        if node.target not in self._layers:
            name = _name(str(node.target))
            self._layers[node.target] = PositionEmbedding(int(module.num_embeddings), name=name)
            self.weights[f"P_{name}"] = values_of(module.weight, f"the weight of the module {module}")
        layer = self._layers[node.target]
        if not isinstance(layer, PositionEmbedding):
            raise refused(node, "it is called with places, and with other numbers")
        return Table(layer)

    def is_boolean(self, node: Node) -> bool:
        """Return whether a value is true or false, as inputs are that are used as masks."""
        return id(node) in self._boolean

    def set_boolean(self, node: Node) -> None:
        """Note that a value is true or false."""
        self._boolean[id(node)] = node

    def table(self, values: Any, letters: str, of: Node) -> Node:
        """Return numbers that no training changes, with the samples of a node; equal numbers are one layer."""
        key = letters, values.shape, values.tobytes()
        if key not in self._tables:
            number = 1 + sum(known[0] == letters for known in self._tables)
            name = letters if number == 1 else f"{letters}_{number}"
            self.weights[f"M_{name}"] = values
            self._tables[key] = OfAllSamples(values.shape, name=name)(of)
        return self._tables[key]

    def _called(self, layer: Any, *values: Node) -> Node:
        result: Node = layer(*values)
        activation = getattr(layer, "activation", "")
        self.heads[id(result)] = activation if isinstance(activation, str) else ""
        return result

    # --- functions and methods -----------------------------------------------------------------------------------

    def _function(self, node: Any, name: str, operands: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Return the result of a function or a method."""
        x = operands[0].nodes[0] if isinstance(operands[0], States) else operands[0]
        if isinstance(operands[0], States) and len(operands[0].nodes) > 1:
            raise refused(node, "states are taken one by one, as h[-1]")
        if isinstance(x, Table) and name in SHAPED:
            return x
        if name == "scaled_dot_product_attention":
            return dot_product(self, node, operands)
        if name in ("matmul", "bmm") and all(isinstance(operand, Node) for operand in operands):
            return MatrixProduct()(*operands)
        if name == "masked_fill" and isinstance(x, Node | Masked):
            return masked(self, node, x, operands[1:])
        if name == "softmax" and isinstance(x, Masked):
            return masked_softmax(self, node, x, shape)
        if name in ("layer_norm", "rms_norm"):
            return self._normalized(node, name, x)
        if name in ("eq", "ne", "invert", "logical_not", "not"):
            return compared(self, node, name, operands)
        if name in MODULES:
            module = _made(MODULES[name], node)
            return self._called(layer_of(module) or Activation(activation_with("linear", module, len(shape) == 1)), x)
        if name in SHAPED and isinstance(x, Node):
            if isinstance(operands[0], States):
                return x  # one layer in one direction: the axis of layers is removed
            result = self._called(Flatten() if len(shape) == 1 else Reshape(shape), x)
            self.heads[id(result)] = self.heads.get(id(x), "")
            return alike(self, result, x)
        if name in ("cat", "concat", "concatenate") and isinstance(x, tuple):
            axis = node.kwargs.get("dim", operands[1] if len(operands) > 1 else 0)
            rank = len(shape) + 1
            if axis % rank == 0 or not all(isinstance(operand, Node) for operand in x):
                raise refused(node, "it joins samples, or what are no values of layers")
            return concatenate(x, axis % rank)
        if name in ("transpose", "permute", "swapaxes"):
            return Permute(_order(node, name, operands))(x)
        if name == "mean":
            axes = node.kwargs.get("dim", operands[1] if len(operands) > 1 else 0)
            rank = len(shape_of(node.args[0]) or ()) + 1
            reduced = tuple(axis % rank for axis in (axes if isinstance(axes, list | tuple) else [axes]))
            if 0 in reduced:
                raise refused(node, "it is over the samples")
            return Mean(reduced, bool(node.kwargs.get("keepdim", operands[2] if len(operands) > 2 else False)))(x)
        return self._arithmetic(node, name, operands)

    def _arithmetic(self, node: Any, name: str, operands: Sequence[Any]) -> Any:
        """Return a sum or product of two values, or of a value and a number."""
        if name == "neg":
            return Activation(lambda z: -z)(operands[0])
        if len(operands) == 2 and name in SUMS and any(isinstance(operand, Fixed | Table) for operand in operands):
            return self._with_weights(node, name, operands)
        numbers = [operand for operand in operands if isinstance(operand, int | float)]
        if len(operands) != 2 or name not in (*SUMS, "truediv", "div", "rsub") or node.kwargs:
            raise refused(node, "from_torch does not know it")
        first, second = operands
        if all(isinstance(operand, Node) for operand in operands) and name in SUMS:
            result: Node = SUMS[name](first, second)
            return result
        if len(numbers) != 1 or not any(isinstance(operand, Node) for operand in operands):
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

    def _with_weights(self, node: Any, name: str, operands: Sequence[Any]) -> Any:
        """Return a sum, difference or product of a value and of weights, or of numbers that are known."""
        turned = isinstance(operands[0], Fixed | Table)
        weights, x = operands if turned else operands[::-1]
        operation = name.removeprefix("i")
        if not isinstance(x, Node):
            raise refused(node, "it is for a value of samples, and weights")
        if isinstance(weights, Table):
            if operation != "add":
                raise refused(node, "rows for places are added to a sequence")
            added: Node = x + weights.layer(x)
            return added
        shape, value = shape_of(node.args[1 if turned else 0]) or (), weights.value
        if value.ndim == len(shape) + 1:
            value = value[0] if len(value) == 1 or bool((value == value[:1]).all()) else value
        tensor = value.detach()
        if operation == "add" and masks.hides(tensor.cpu().double().numpy()):
            return Masked(x, ((Fixed(tensor), True),))
        fits = value.ndim <= len(shape) and all(
            width in (1, size) for width, size in zip(value.shape[::-1], shape[::-1], strict=False)
        )
        if not fits:
            raise refused(node, f"weights of the shape {tuple(value.shape)} do not belong to its axes")
        layer = self._of_weights(node, value, operation, turned and operation == "sub")
        return self._called(layer, x)

    def _of_weights(self, node: Any, value: Any, operation: str, turned: bool = False) -> Any:
        """Return the layer that adds or multiplies weights; the same one for each of its uses."""
        name, values, is_trained = self._stored_values(node, value)
        layer = WithWeights(operation, tuple(map(int, value.shape)), is_trained, turned, name=name)
        self.weights.setdefault(f"P_{name}", values)
        first_layer = self._layers.setdefault(f"weights {name}", layer)
        if first_layer != layer:
            raise refused(node, f"the weights {name} are used in two ways, as {first_layer!r} and as {layer!r}")
        return first_layer

    def _stored_values(self, node: Any, value: Any) -> tuple[str, Any, bool]:
        """Return the name, the values and whether they are trained, of weights or of a part of them."""
        torch = sys.modules["torch"]
        target = self._stored.get(value.untyped_storage().data_ptr())
        if target is None:
            if value.requires_grad:
                raise refused(node, "what it adds or multiplies is computed from weights: it takes these as they are")
            known = sum(name.startswith("P_constant") for name in self.weights)
            return f"constant_{known + 1}", values_of(value, f"a number of {node.name}"), False
        if any(step == 0 and size > 1 for size, step in zip(value.shape, value.stride(), strict=True)):
            raise refused(node, "its weights are expanded: they may be broadcast instead")
        whole = self._weights[target]
        part = torch.as_strided(whole.detach(), value.shape, value.stride(), value.storage_offset())
        name = _name(target)
        if value.numel() < whole.numel():
            name = f"{name}_from_{value.storage_offset()}"
        return name, values_of(part, f"the weights {target}"), bool(whole.requires_grad)

    def _turned(self, node: Any, name: str, operands: Sequence[Any]) -> Any:
        """Return the result of a function of sequences whose samples are the second axis."""
        x = operands[0] if isinstance(operands[0], Turned) else operands[1]
        if name in ("transpose", "permute", "swapaxes"):
            axes = _axes(node, name, operands)
            if axes[:2] == (1, 0) and axes[2:] == tuple(range(2, len(axes))):
                return x.node
        if name in SUMS and all(isinstance(operand, Turned | int | float) for operand in operands):
            return Turned(
                self._arithmetic(
                    node, name, [operand.node if isinstance(operand, Turned) else operand for operand in operands]
                )
            )
        if MODULES.get(name) in POINTWISE:
            module = _made(MODULES[name], node)
            return Turned((layer_of(module) or Activation(activation_with("linear", module, False)))(x.node))
        if name == "mean" and node.kwargs.get("dim", operands[1] if len(operands) > 1 else None) in (0, [0], (0,)):
            return Mean((1,), bool(node.kwargs.get("keepdim", False)))(x.node)
        raise refused(node, "samples are its second axis: turn it with transpose(0, 1) first")

    def _normalized(self, node: Any, name: str, x: Any) -> Any:
        """Return the result of layer_norm or rms_norm, whose weights are those of the module."""
        bias = ("bias",) if name == "layer_norm" else ()
        names = ("input", "normalized_shape", "weight", *bias, "eps")
        named = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        axes = tuple(range(-len(tuple(named["normalized_shape"])), 0))
        if name == "layer_norm":
            layer: Layer = LayerNormalization(axes, float(named.get("eps", 1e-5)), center=False, scale=False)
        else:
            layer = RMSNormalization(axes, epsilon_of(named.get("eps"), None), scale=False)
        result: Any = layer(x)
        for key, operation in (("weight", "mul"), ("bias", "add")):
            weights = self.values(named.get(key))
            if isinstance(weights, Fixed):
                result = self._of_weights(node, weights.value, operation)(result)
        return result

    def _pieces(self, node: Any, x: Any) -> tuple[Any, ...]:
        """Return the pieces of a value along an axis."""
        before, name = shape_of(node.args[0]), str(getattr(node.target, "__name__", node.target))
        axis = node.kwargs.get(
            "dim", node.args[2 if name != "unbind" else 1] if len(node.args) > (2 if name != "unbind" else 1) else 0
        )
        pieces = node.meta["value"]
        if not isinstance(x, Node) or before is None or axis % (len(before) + 1) == 0:
            raise refused(node, "it takes a value of samples apart, and not the samples")
        axis, parts, start = axis % (len(before) + 1) - 1, [], 0
        for piece in pieces:
            size = 1 if name == "unbind" else int(piece.shape[axis + 1])
            place: int | range = start if name == "unbind" else range(start, start + size)
            parts.append(Taken(tuple(place if k == axis else range(width) for k, width in enumerate(before)))(x))
            start += size
        return tuple(parts)

    def _item(self, node: Any, value: Any, at: Any) -> Any:
        """Return an item of a value: one of several values, or places of an axis."""
        if isinstance(value, States):
            first, *rest = at if isinstance(at, tuple) else (at,)
            if not isinstance(first, int) or any(place not in (slice(None), Ellipsis) for place in rest):
                raise refused(node, "states are taken one by one")
            return value.nodes[first]
        if isinstance(value, tuple):
            return value[at]
        if isinstance(value, Turned):
            size = node.args[0].meta["size"]
            if isinstance(at, int):
                return Taken((at % size[0], *(range(place) for place in size[2:])))(value.node)
            raise refused(node, "samples are its second axis: turn it with transpose(0, 1) first")
        if not isinstance(value, Node):
            return _known(node)
        before = shape_of(node.args[0]) or ()
        places = list(at) if isinstance(at, tuple) else [at]
        if None in places:
            if places[0] is None or any(place not in (None, slice(None), Ellipsis) for place in places):
                raise refused(node, "new axes come after that of the samples, and without other places")
            return alike(self, Reshape(shape_of(node) or ())(value), value)
        if Ellipsis in places:
            here, rank = places.index(Ellipsis), len(before) + 1
            places[here : here + 1] = [slice(None)] * (rank - len(places) + 1)
        if places[0] != slice(None) or not all(isinstance(place, int | slice) for place in places):
            raise refused(node, "samples stay together, and places are numbers or slices")
        rest = places[1:] + [slice(None)] * (len(before) - len(places) + 1)
        taken = (
            range(size)[place] if isinstance(place, slice) else place % size
            for place, size in zip(rest, before, strict=True)
        )
        return Taken(tuple(taken))(value)


def _name(target: str) -> str:
    """Return the name of a layer by its place in a module: "encoder.0" is encoder_0."""
    name = target.replace(".", "_")
    return name if name.isidentifier() else f"layer{name}"


def _initial(node: Any, operands: Sequence[Any]) -> tuple[States, ...]:
    """Return the initial states that a recurrent module is given; none where they are 0."""
    states = [state for state in _flat(operands) if state is not None]
    if all(isinstance(state, Fixed) and not bool(state.value.any()) for state in states):
        return ()
    if not all(isinstance(state, States) for state in states):
        raise refused(node, "its initial states are zeros, or the final ones of another recurrent module")
    return tuple(states)


def _flat(values: Any, states: bool = False) -> list[Any]:
    """Return all values of nested tuples; with states, the nodes of these."""
    if states and isinstance(values, States):
        return list(values.nodes)
    if isinstance(values, Fixed) or not isinstance(values, list | tuple):
        return [values]
    return [inner for item in values for inner in _flat(item, states)]


def _made(kind: str, node: Any) -> Any:
    """Return the module that computes the same as a function, with the arguments of its call."""
    module = getattr(sys.modules["torch"].nn, kind)
    known = inspect.signature(module).parameters
    named = {key: value for key, value in node.kwargs.items() if key in known}
    return module(*node.args[1:], **named)


def _axes(node: Any, name: str, operands: Sequence[Any]) -> tuple[int, ...]:
    """Return the axes of a transposed value in their order, that of the samples among them."""
    rank = len(node.meta["size"])
    if name == "permute":
        return tuple(axis % rank for axis in (operands[1] if isinstance(operands[1], list | tuple) else operands[1:]))
    axes = list(range(rank))
    first, second = (axis % rank for axis in operands[1:3])
    axes[first], axes[second] = axes[second], axes[first]
    return tuple(axes)


def _order(node: Any, name: str, operands: Sequence[Any]) -> tuple[int, ...]:
    """Return the axes of a transposed value, without that of the samples, which stays the first."""
    axes = _axes(node, name, operands)
    if axes[0] != 0:
        raise refused(node, "samples are the first axis of every value")
    return axes[1:]


def _follows(value: Any) -> bool:
    """Return whether a value depends on the values of samples."""
    if isinstance(value, Fixed):
        return False
    if isinstance(value, Node | States | Turned | Masked | Table):
        return True
    return isinstance(value, list | tuple) and any(map(_follows, value))


def _known(node: Any) -> Any:
    """Return a tensor or a number that does not depend on samples, or that it depends on how many there are."""
    value = node.meta["value"]
    if not node.meta["same"]:
        return Unknown()
    return value if isinstance(value, int | float) else Fixed(value)
