"""Traces modules of PyTorch as graphs of calls, with torch.fx, which runs ``forward`` without numbers."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import inspect
import operator
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nncodegen.compiler.describe import Node
from nncodegen.errors import ModelError
from nncodegen.formats.torch.modules import is_of_torch

SAMPLES = 13
"""The number of samples with which shapes are found."""

OTHERS = 11
"""Another number of samples: what is the same for both does not depend on it."""


class Unknown:
    """A number or tensor that depends on the number of samples, such as this number."""


MAKERS = ("zeros", "ones", "full", "empty", "eye", "arange")
"""Functions of PyTorch that make tensors of given sizes."""

_ONE_AT_A_TIME = threading.Lock()
"""Held while a module is traced, since settings and functions of PyTorch belong to the whole process."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """A tensor that is known: weights, and what is computed from them and from shapes alone."""

    value: Any


@dataclass(frozen=True, eq=False)
class Turned:
    """A sequence whose samples are the second axis in PyTorch, after the steps; they are the first axis of the node."""

    node: Node


def alone(module: Any, count: int) -> Any:
    """Return a module of PyTorch that calls another one with as many inputs, as the part with the name 0.

    A MultiheadAttention looks at its last input; a module with attention takes samples first there.
    """
    fx, nn = importlib.import_module("torch.fx"), sys.modules["torch"].nn
    root, kind, module = nn.Module(), type(module).__name__, copy.deepcopy(module)
    for part in module.modules():
        if type(part).__name__ == "MultiheadAttention":
            part.batch_first = True
    root.add_module("0", module)
    graph = fx.Graph()
    names = [name for name in inspect.signature(type(module).forward).parameters if name != "self"][:count]
    inputs = [graph.placeholder(name) for name in names]
    if kind == "MultiheadAttention":
        inputs = [*inputs, *[inputs[-1]] * (3 - len(inputs))]
    result = graph.call_module("0", tuple(inputs))
    graph.output(graph.call_function(operator.getitem, (result, 0)) if kind == "MultiheadAttention" else result)
    return fx.GraphModule(root, graph)


def shapes_of_inputs(inputs: Any, module: Any) -> list[tuple[int, ...]]:
    """Return the shapes of samples, one for each argument. Raise ModelError where none are given."""
    if inputs is None:
        raise ModelError(
            f"give inputs, the shape of a sample of {type(module).__name__}, such as inputs=(20, 3) for sequences of "
            f"20 steps; for several arguments, a list of shapes"
        )
    several = isinstance(inputs, list | tuple) and any(isinstance(shape, list | tuple) for shape in inputs)
    return [
        tuple(shape) if isinstance(shape, list | tuple) else (shape,) for shape in (inputs if several else [inputs])
    ]


def traced_module(module: Any, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Return the graph of a module, with the shape of every value. A copy is traced; the module is unchanged.

    It is in float64, also where code makes tensors of the type of PyTorch's settings. One module is traced at a time;
    other threads see float64 as the default type of PyTorch meanwhile.
    """
    torch = sys.modules["torch"]
    with _ONE_AT_A_TIME, torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        default_dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return _traced(module, shapes)
        finally:
            torch.set_default_dtype(default_dtype)


def _traced(module: Any, shapes: Sequence[tuple[int, ...]]) -> Any:
    fx = importlib.import_module("torch.fx")
    kind, copied = type(module).__name__, copy.deepcopy(module).double()
    arguments = list(inspect.signature(copied.forward).parameters.values())
    left = {item.name: item.default for item in arguments[len(shapes) :] if item.default is not inspect.Parameter.empty}
    known = list[tuple[Any, int]]()

    def create_arg(self: Any, argument: Any) -> Any:
        if isinstance(argument, sys.modules["torch"].Tensor):
            known.append((argument, argument._version))
        return fx.Tracer.create_arg(self, argument)

    tracer = type("Tracer", (fx.Tracer,), {"proxy_buffer_attributes": True, "create_arg": create_arg})()
    try:
        with _followed_sizes(fx):
            graph = tracer.trace(copied, concrete_args=left or None)
        traced = fx.GraphModule(tracer.root, graph, kind)
    except Exception as error:  # any error of the code of a module that is given no numbers
        raise ModelError(
            f"the forward of {kind} cannot be followed by torch.fx, which runs it without numbers: {error}; export it "
            f"to ONNX, and use nncodegen.from_onnx"
        ) from error
    if copied.training:
        _check_branches(copy.deepcopy(module).double().eval(), kind, graph, left)
    if any(item._version != version for item, version in known):
        raise ModelError(f"the forward of {kind} changes a tensor in place that it read before: make a new one")
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if len(inputs) - len(left) != len(shapes):
        raise ModelError(f"{kind} takes {len(inputs)} arguments, but inputs has {len(shapes)} shapes")
    shared_tensors = (*traced.parameters(), *(item for item in traced.buffers() if item.requires_grad))
    # each run has constants of its own, since it may change them in place
    again, compared = (copy.deepcopy(traced, {id(item): item for item in shared_tensors}) for _ in range(2))
    values = [
        _values(traced, module, inputs, shapes, left, samples, kind)
        for module, samples in ((traced, SAMPLES), (again, OTHERS))
    ]
    tensor = sys.modules["torch"].Tensor
    for node, value in values[0].items():
        node.meta["size"] = tuple(value.shape) if isinstance(value, tensor) else None
        node.meta["value"], node.meta["same"] = value, _are_same(value, values[1][node])
    _check_trace(copy.deepcopy(module).double(), compared, inputs, shapes, left)
    return traced


def _check_branches(module: Any, kind: str, graph: Any, left: Any) -> None:
    """Raise ModelError where a module outside of training makes other calls than those of a graph, except dropout."""
    fx = importlib.import_module("torch.fx")
    tracer = type("Tracer", (fx.Tracer,), {"proxy_buffer_attributes": True})()
    try:
        with _followed_sizes(fx):
            other = tracer.trace(module, concrete_args=left or None)
    except Exception:  # a branch that cannot be followed is another one
        other = fx.Graph()
    if _calls(graph, module) != _calls(other, module):
        raise ModelError(
            f"the forward of {kind}, which is in training, takes another branch outside of training (self.training), "
            f"and a network has one for both: call eval() of the module first, for that of predictions"
        )


def _calls(graph: Any, module: Any) -> list[str]:
    """Return the calls of a graph that its output needs as texts, in which dropout stands for its argument.

    The probability of dropout in attention is not among the arguments of its call.
    """
    map_arg = importlib.import_module("torch.fx.node").map_arg
    numbers, calls, needed = dict[Any, int](), list[str](), _needed(graph, module)
    for node in graph.nodes:
        if node not in needed:
            continue
        target = type(module.get_submodule(node.target)) if node.op == "call_module" else node.target
        name = str(getattr(target, "__name__", target))
        if "dropout" in name.lower() and node.all_input_nodes:
            numbers[node] = numbers[node.all_input_nodes[0]]
            continue
        numbers[node] = len(calls)
        args, kwargs = node.args, {key: value for key, value in node.kwargs.items() if key != "dropout_p"}
        if name == "scaled_dot_product_attention":
            args = (*args[:4], *args[5:])
        calls.append(repr((node.op, node.target, map_arg((args, kwargs), numbers.get))))
    return calls


def _needed(graph: Any, module: Any) -> set[Any]:
    """Return the nodes of a graph that its output needs, its arguments, and calls that may change a tensor in place."""
    needed = set[Any]()
    for node in reversed(graph.nodes):
        if node.op in ("output", "placeholder") or node in needed or _may_change(node, module):
            needed.update((node, *node.all_input_nodes))
    return needed


def _may_change(node: Any, module: Any) -> bool:
    """Return whether a call may change a tensor in place, by its name and its arguments."""
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(node.target), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    changes = name == "setitem" or (name.endswith("_") and not name.endswith("__"))
    # relu(x, True) is in place
    in_place = any(argument is True for argument in (node.kwargs.get("inplace"), *node.args))
    return changes or in_place or "out" in node.kwargs


def _check_trace(module: Any, traced: Any, inputs: Sequence[Any], shapes: Sequence[tuple[int, ...]], left: Any) -> None:
    """Raise ModelError where a graph gives other numbers than the module that it was made of.

    torch.fx takes ``x += 1`` for ``x = x + 1``, which leaves other names of the same tensor as they were. Both are in
    training if the module is, with the same random numbers, since the graph has its branches of ``self.training``.
    """
    torch, kind = sys.modules["torch"], type(module).__name__
    pairs = list(zip(inputs, shapes, strict=False))
    again = copy.deepcopy(module)
    try:
        examples = [_drawn(node, shape, traced) for node, shape in pairs]
        first = _results(module, examples, (), left)
    except Exception:  # any error of code that wants other numbers, such as whole ones
        examples = [_example(node, shape, traced, SAMPLES) for node, shape in pairs]
        first = _results(again, examples, (), left)
    second = _results(traced, examples, tuple(left.values()), {})
    if len(first) == len(second) and all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-9, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    ):
        return
    raise ModelError(
        f"the forward of {kind} gives other numbers where torch.fx follows it: it may change a tensor in place "
        "that has another name too, as x += 1 does after y = x; write x = x + 1"
    )


def _results(module: Any, examples: Sequence[Any], further: tuple[Any, ...], named: Any) -> list[Any]:
    """Return the tensors that a module gives for copies of examples, with the same random numbers at each call."""
    torch = sys.modules["torch"]
    with torch.no_grad():
        torch.manual_seed(0)
        return _tensors(module(*(example.clone() for example in examples), *further, **named))


def _drawn(node: Any, shape: tuple[int, ...], traced: Any) -> Any:
    """Return random samples of an input, the same at each call. The first place of a mask is true."""
    torch = sys.modules["torch"]
    example, generator = _example(node, shape, traced, SAMPLES), torch.Generator().manual_seed(0)
    if example.dtype == torch.bool:
        drawn = torch.rand(example.shape, generator=generator) < 0.5
        drawn[..., 0] = True
        return drawn
    if example.dtype == torch.long:
        return example  # the tokens 0, which every table has
    return torch.randn(example.shape, generator=generator, dtype=example.dtype)


def _tensors(result: Any) -> list[Any]:
    """Return all tensors of the result of a module, those in tuples, lists and dictionaries too."""
    if isinstance(result, sys.modules["torch"].Tensor):
        return [result]
    if isinstance(result, dict):
        result = tuple(result.values())
    return [tensor for item in result for tensor in _tensors(item)] if isinstance(result, list | tuple) else []


@contextlib.contextmanager
def _followed_sizes(fx: Any) -> Iterator[None]:
    """Let functions that make tensors take sizes that are followed, as torch.ones(steps, steps); fx lets them take one.

    fx replaces functions of PyTorch in the same way while it traces.
    """
    torch = sys.modules["torch"]
    makers = {name: getattr(torch, name) for name in MAKERS}

    def following(maker: Any) -> Any:
        @functools.wraps(maker)
        def call(*arguments: Any, **options: Any) -> Any:
            flat = [argument for each in arguments for argument in (each if isinstance(each, list | tuple) else [each])]
            proxies = [argument for argument in flat if isinstance(argument, fx.Proxy)]
            if not proxies:
                return maker(*arguments, **options)
            return proxies[0].tracer.create_proxy("call_function", maker, arguments, options)

        return call

    try:
        for name, function in makers.items():
            setattr(torch, name, following(function))
        yield
    finally:
        for name, function in makers.items():
            setattr(torch, name, function)


def _values(
    traced: Any,
    module: Any,
    inputs: Sequence[Any],
    shapes: Sequence[tuple[int, ...]],
    left: dict[str, Any],
    samples: int,
    kind: str,
) -> dict[Any, Any]:
    """Return all values of a graph for some samples of zeros, as they are at its end, with the tensors of a module.

    The meta "changed" of a node says whether it changes its first argument in place.
    """

    def run_node(self: Any, node: Any) -> Any:
        first = self.env.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
        version = first._version if isinstance(first, torch.Tensor) else 0
        value = fx.Interpreter.run_node(self, node)
        node.meta["changed"] = isinstance(first, torch.Tensor) and first._version != version
        return value

    torch, fx = sys.modules["torch"], importlib.import_module("torch.fx")
    examples = [_example(node, shape, traced, samples) for node, shape in zip(inputs, shapes, strict=False)]
    noting = type("Noting", (fx.Interpreter,), {"run_node": run_node})
    interpreter = noting(module.eval(), garbage_collect_values=False, graph=traced.graph)
    try:
        interpreter.run(*examples, *left.values())
    except Exception as error:  # any error of PyTorch for a shape that does not fit
        why = str(error).splitlines()[0]
        raise ModelError(f"{kind} does not take samples of the shapes {shapes}: {why}") from error
    return dict(interpreter.env)


def _are_same(first: Any, second: Any) -> bool:
    """Return whether a value is a number, or a tensor, perhaps of all samples, that does not depend on their number."""
    torch = sys.modules["torch"]
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.ndim != second.ndim:
            return False
        for axis, sizes in enumerate(zip(first.shape, second.shape, strict=True)):
            of_samples = sizes[0] != sizes[1] and sizes[0] * OTHERS == sizes[1] * SAMPLES
            first = first.narrow(axis, 0, sizes[1]) if of_samples else first
        return first.shape == second.shape and bool(torch.equal(first, second))
    return isinstance(first, int | float) and first == second


def _example(node: Any, shape: tuple[int, ...], traced: Any, samples: int) -> Any:
    """Return samples of zeros: integers for an Embedding, booleans for a mask, else of the type of the weights."""
    torch = sys.modules["torch"]
    readers = [traced.get_submodule(user.target) for user in node.users if user.op == "call_module"]
    if any(is_of_torch(reader, "Embedding") for reader in readers):
        return torch.zeros((samples, *shape), dtype=torch.long)
    return torch.zeros((samples, *shape), dtype=torch.bool if is_mask(node) else None)


def is_mask(node: Any) -> bool:
    """Return whether a value is read as a mask, true or false."""
    for user in node.users:
        name = str(getattr(user.target, "__name__", user.target)).strip("_").lower()
        masks = [
            user.kwargs.get(key)
            for key in (
                "attn_mask",
                "key_padding_mask",
                "src_key_padding_mask",
                "tgt_key_padding_mask",
                "memory_key_padding_mask",
                "mask",
            )
        ]
        if name in ("masked_fill", "scaled_dot_product_attention"):
            masks += user.args[1:2] if name == "masked_fill" else user.args[3:4]
        if user.op == "call_module":
            module = node.graph.owning_module.get_submodule(user.target)
            names = [*inspect.signature(type(module).forward).parameters][1:]
            masks += [argument for name, argument in zip(names, user.args, strict=False) if name.endswith("mask")]
        if name in ("invert", "logical_not") or any(mask is node for mask in masks):
            return True
        of_same_type = name == "to" and not any(
            isinstance(argument, sys.modules["torch"].dtype) for argument in (*user.args, *user.kwargs.values())
        )
        keeps = of_same_type or name in ("getitem", "unsqueeze", "view", "reshape", "clone", "contiguous")
        if keeps and is_mask(user):
            return True
    return False


def overlap(first: Any, second: Any) -> bool:
    """Return whether two values of PyTorch, perhaps tuples, have an element in memory in common."""
    torch = sys.modules["torch"]
    for whole, other in ((first, second), (second, first)):
        if isinstance(whole, tuple | list):
            return any(overlap(tensor, other) for tensor in whole)
    if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
        return False
    if first is second:
        return True
    memory = first.untyped_storage()
    if memory.data_ptr() != second.untyped_storage().data_ptr() or not memory.nbytes():
        return False
    places = torch.arange(memory.nbytes())
    mine, others = (
        places.as_strided(
            tensor.shape,
            [step * tensor.element_size() for step in tensor.stride()],
            tensor.storage_offset() * tensor.element_size(),
        )
        for tensor in (first, second)
    )
    return bool(torch.isin(mine, others).any())


def shape_of(node: Any) -> tuple[int, ...] | None:
    """Return the shape of a sample of a value, at least one axis; None for a value that is no tensor of samples."""
    size = node.meta["size"]
    return None if not size or size[0] != SAMPLES else tuple(map(int, size[1:])) or (1,)


def refused(node: Any, why: str) -> ModelError:
    """Return the error for a call of the graph."""
    what = f"self.{node.target}" if node.op == "call_module" else getattr(node.target, "__name__", node.target)
    return ModelError(f"from_torch cannot take {node.name} = {what}{node.args}: {why}; nncodegen.from_onnx may")
