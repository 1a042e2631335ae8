"""Traces modules of PyTorch as graphs of calls, with torch.fx, which runs ``forward`` without numbers."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from collections.abc import Sequence
from typing import Any

from nncodegen.errors import ModelError
from nncodegen.imports.torch_modules import is_of_torch

SAMPLES = 13
"""The number of samples with which shapes are found."""


def shapes_of_inputs(inputs: Any, module: Any) -> list[tuple[int, ...]]:
    """Return the shapes of samples, one for each argument. Raise ModelError where none are given."""
    if inputs is None:
        raise ModelError(
            f"give inputs, the shape of a sample of {type(module).__name__}, such as inputs=(20, 3) for sequences of "
            f"20 steps; for several arguments, a list of shapes"
        )
    several = isinstance(inputs, list | tuple) and any(isinstance(one, list | tuple) for one in inputs)
    return [tuple(one) if isinstance(one, list | tuple) else (one,) for one in (inputs if several else [inputs])]


def traced_module(module: Any, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Return the graph of a module, with the shape of every value. A copy is traced; the module is unchanged."""
    fx = importlib.import_module("torch.fx")
    kind, own = type(module).__name__, copy.deepcopy(module).float()
    arguments = list(inspect.signature(own.forward).parameters.values())
    left = {one.name: one.default for one in arguments[len(shapes) :] if one.default is not inspect.Parameter.empty}
    try:
        traced = fx.symbolic_trace(own, concrete_args=left or None)
    except Exception as error:  # any error of the code of a module that is given no numbers
        raise ModelError(
            f"the forward of {kind} cannot be followed by torch.fx, which runs it without numbers: {error}; export it "
            f"to ONNX, and use nncodegen.from_onnx"
        ) from error
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if len(inputs) - len(left) != len(shapes):
        raise ModelError(f"{kind} takes {len(inputs)} arguments, but inputs has {len(shapes)} shapes")
    examples = [_example(node, shape, traced) for node, shape in zip(inputs, shapes, strict=False)]
    interpreter = fx.Interpreter(traced.eval(), garbage_collect_values=False)
    try:
        interpreter.run(*examples, *left.values())
    except Exception as error:  # any error of PyTorch for a shape that does not fit
        why = str(error).splitlines()[0]
        raise ModelError(f"{kind} does not take samples of the shapes {shapes}: {why}") from error
    for node, value in interpreter.env.items():
        node.meta["size"] = tuple(value.shape) if isinstance(value, sys.modules["torch"].Tensor) else None
    return traced


def _example(node: Any, shape: tuple[int, ...], traced: Any) -> Any:
    """Return samples of zeros: integers for an Embedding, else of the type of the weights."""
    torch = sys.modules["torch"]
    readers = [traced.get_submodule(user.target) for user in node.users if user.op == "call_module"]
    if any(is_of_torch(one, "Embedding") for one in readers):
        return torch.zeros((SAMPLES, *shape), dtype=torch.long)
    return torch.zeros((SAMPLES, *shape))


def shape_of(node: Any) -> tuple[int, ...] | None:
    """Return the shape of a sample of a value, at least one axis; None for a value that is no tensor of samples."""
    found = node.meta["size"]
    return None if not found or found[0] != SAMPLES else tuple(map(int, found[1:])) or (1,)


def refused(node: Any, why: str) -> ModelError:
    """Return the error for a call of the graph."""
    what = f"self.{node.target}" if node.op == "call_module" else getattr(node.target, "__name__", node.target)
    return ModelError(f"from_torch cannot take {node.name} = {what}{node.args}: {why}; nncodegen.from_onnx may")
