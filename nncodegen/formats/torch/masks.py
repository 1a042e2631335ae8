"""Masks of PyTorch as inputs of attention and as equations, and attention that a module writes with functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from sympy import Eq, Piecewise, S

from nncodegen.compiler.describe import Activation, Node, Reshape, multiply
from nncodegen.compiler.describe.attention import BIAS, CAUSAL
from nncodegen.compiler.describe.layer import Layer
from nncodegen.formats import masks
from nncodegen.formats.torch.layers import DotProductAttention, MaskedSoftmax, Same
from nncodegen.formats.torch.trace import SAMPLES, Fixed, refused, shape_of

DOT_PRODUCT = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
"""The arguments of scaled_dot_product_attention."""


@dataclass(frozen=True, eq=False)
class Masked:
    """Scores of which some count as nothing in the softmax that follows, with the masks that say which."""

    node: Node
    masks: tuple[tuple[Any, bool], ...]


class Layers(Protocol):
    """The methods of the reader of a graph that these modules call."""

    weights: dict[str, Any]

    def values(self, argument: Any) -> Any:
        """Return the nodes of values of the graph."""

    def module_layer(self, target: str, module: Any) -> Layer:
        """Return the layer for a module at a place; the same for each of its calls."""

    def is_boolean(self, node: Node) -> bool:
        """Return whether a value is true or false."""

    def set_boolean(self, node: Node) -> None:
        """Note that a value is true or false."""

    def table(self, values: Any, letters: str, of: Node) -> Node:
        """Return numbers that no training changes, with the samples of a node; equal numbers are one layer."""


@dataclass(frozen=True)
class Sight:
    """The places that each query may look at, as inputs of attention by name, and as options of the call."""

    inputs: dict[str, Node] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def sight(
    at: Layers,
    node: Any,
    query: Node,
    sizes: tuple[int, int],
    masks_given: Sequence[tuple[Any, bool]],
    causal: bool = False,
    heads: int = 1,
) -> Sight:
    """Return what masks mean, given with whether True hides a place; sizes are the steps of the query and the places.

    A causal mask becomes an equation. Other numbers that are known become tables; masks that depend on samples must be
    true or false. What is added to scores is finite, or hides a place (``imports.masks``). Raise ModelError.
    """
    allowed, bias, nodes = np.ones(sizes, bool), np.zeros(sizes), list[Node]()
    lower = np.tri(*sizes, dtype=bool)
    for mask, hides in masks_given:
        if isinstance(mask, Fixed):
            array = _of_one_sample(node, np.asarray(mask.value.detach().cpu().numpy()), sizes, heads)
            if array.dtype == bool:
                allowed = allowed & (~array if hides else array)
            else:
                finite, visible = masks.apart(array)
                allowed, bias = allowed & visible, bias + finite
        elif isinstance(mask, Node):
            if not at.is_boolean(mask):
                raise refused(node, "a mask that depends on the samples has to be true or false")
            nodes.append(Activation(lambda z: 1 - z)(mask) if hides else mask)
        elif mask is not None:
            raise refused(node, "its mask is neither known nor a value of each sample")
    allowed = allowed & lower if causal else allowed
    if allowed.ndim > 2 and not np.all(allowed == allowed[0]):
        raise refused(node, "its mask hides other places in each head: give one mask for all of them")
    allowed = allowed.reshape(-1, *sizes)[0]
    options = (CAUSAL,) if np.array_equal(allowed, lower) and not allowed.all() else ()
    if not options and not allowed.all():
        nodes.append(at.table(allowed.astype(float), "mask", query))
    inputs = {"attention_mask": _all(nodes, sizes)} if nodes else {}
    if np.any(bias != 0):
        inputs[BIAS] = at.table(bias, "bias", query)
    return Sight(inputs, options)


def _all(nodes: Sequence[Node], sizes: tuple[int, int]) -> Node:
    """Return where all masks allow to look; each is for (steps, places), (1, places) or (places,)."""
    if len(nodes) == 1:
        return nodes[0]
    return multiply([Reshape((-1, sizes[1]))(mask) for mask in nodes])


def _of_one_sample(node: Any, mask: Any, sizes: tuple[int, int], heads: int) -> Any:
    """Return a known mask for (steps, places), or (heads, steps, places). Raise ModelError where samples differ."""
    if mask.shape == (SAMPLES, sizes[1]) and sizes[0] != SAMPLES:
        mask = mask[:, None]
    if mask.ndim == 3 and len(mask) == SAMPLES * heads:
        mask = mask.reshape(SAMPLES, heads, *mask.shape[1:])
    while mask.ndim > 2 and (len(mask) == 1 or (len(mask) == SAMPLES and np.all(mask == mask[0]))):
        mask = mask[0]
    try:
        return np.broadcast_to(mask, (*((heads,) if mask.ndim > 2 else ()), *sizes))
    except ValueError:
        raise refused(node, f"its mask has the shape {mask.shape}, for queries and places {sizes}") from None


def converted(at: Layers, node: Any, x: Any) -> Any:
    """Return a value in another type: 0 or 1 in the type bool, and else as it is."""
    dtype, boolean = node.meta["value"].dtype, sys.modules["torch"].bool
    is_boolean, is_input = isinstance(x, Node) and at.is_boolean(x), isinstance(x, Node) and x.is_input
    is_whole = not (dtype.is_floating_point or dtype.is_complex or dtype == boolean)
    if is_whole and not is_boolean and not is_input and node.args[0].meta["value"].is_floating_point():
        raise refused(node, f"numbers that are computed would be cut off in the type {dtype}")
    if (dtype == boolean) == is_boolean:
        return x
    if not isinstance(x, Node):
        raise refused(node, "only a value of samples becomes true or false")
    if is_boolean:
        return Activation("linear")(x)  # numbers, which are added to scores where they are a mask
    result = Activation(lambda z: Piecewise((S.Zero, Eq(z, 0)), (S.One, True)))(x)
    at.set_boolean(result)
    return result


def dot_product(at: Layers, node: Any, operands: Sequence[Any]) -> Node:
    """Return the result of scaled_dot_product_attention."""
    named = dict(zip(DOT_PRODUCT, operands, strict=False)) | {
        k: at.values(argument) for k, argument in node.kwargs.items()
    }
    written = dict(zip(DOT_PRODUCT, node.args, strict=False)) | dict(node.kwargs)
    inputs = {name: named[name] for name in DOT_PRODUCT[:3]}
    if not all(isinstance(argument, Node) for argument in inputs.values()):
        raise refused(node, "query, key and value are values of layers")
    query, key = (shape_of(written[name]) or () for name in ("query", "key"))
    sizes, heads = (query[-2], key[-2]), query[0] if len(query) > 2 else 1
    mask = _of_heads(at, named.get("attn_mask"), written.get("attn_mask"))
    seen = sight(at, node, inputs["query"], sizes, [(mask, False)], bool(named.get("is_causal")), heads)
    grouped = bool(named.get("enable_gqa")) and key[0] != heads
    if grouped:
        inputs["query"] = Reshape((key[0], heads // key[0], *query[1:]))(inputs["query"])
        if BIAS in seen.inputs and len(np.shape(seen.inputs[BIAS])) > 2:
            raise refused(node, "heads in groups have one mask")
    scale = named.get("scale")
    scale = query[-1] ** -0.5 if scale is None else float(scale)
    layer = DotProductAttention(scale, float(named.get("dropout_p") or 0.0))
    result = _with_names(layer, {**inputs, **seen.inputs}, seen.options)
    return Reshape(shape_of(node) or ())(result) if grouped else result


def _of_heads(at: Layers, mask: Any, written: Any) -> Any:
    """Return a mask of samples without axes of size 1 before those of queries and places."""
    if not isinstance(mask, Node):
        return mask
    shape = shape_of(written) or ()
    shorter = list(shape)
    while len(shorter) > 1 and shorter[0] == 1:
        shorter.pop(0)
    return mask if tuple(shorter) == shape else alike(at, Reshape(shorter)(mask), mask)


def masked(at: Layers, node: Any, x: Any, operands: Sequence[Any]) -> Masked:
    """Return scores of which some are minus infinity, so that they count as nothing in a softmax."""
    mask, value = operands
    if not (isinstance(value, int | float) and value <= masks.LOWEST):
        raise refused(node, f"scores that a mask hides are -inf, not {value}")
    mask = _of_heads(at, mask, node.args[1])
    before = x.masks if isinstance(x, Masked) else ()
    return Masked(x.node if isinstance(x, Masked) else x, (*before, (mask, True)))


def masked_softmax(at: Layers, node: Any, x: Masked, shape: tuple[int, ...]) -> Node:
    """Return the softmax over the places that are not hidden."""
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    if axis not in (-1, len(shape)):
        raise refused(node, "scores that a mask hides go into a softmax over the last axis")
    seen = sight(at, node, x.node, (shape[-2], shape[-1]), x.masks, heads=shape[0] if len(shape) > 2 else 1)
    scores = x.node
    if BIAS in seen.inputs:
        raise refused(node, "a mask that is added to scores has the numbers 0 and -inf")
    return _with_names(MaskedSoftmax(), {"query": scores, **seen.inputs}, seen.options)


def compared(at: Layers, node: Any, name: str, operands: Sequence[Any]) -> Node:
    """Return where a value is a number, or where a mask is false."""
    x = operands[0]
    if name in ("eq", "ne"):
        number = operands[1] if len(operands) > 1 else None
        if not (isinstance(x, Node) and isinstance(number, int | float) and float(number).is_integer()):
            raise refused(node, "it compares a value of samples and a whole number")
        result: Node = Same(int(number))(x)
    elif not (isinstance(x, Node) and at.is_boolean(x)):
        raise refused(node, "it is for what is true or false")
    if name != "eq":
        result = Activation(lambda z: 1 - z)(result if name == "ne" else x)
    at.set_boolean(result)
    return result


def alike(at: Layers, result: Node, x: Node) -> Node:
    """Return a node, which is true or false if the one that it was made of is."""
    if at.is_boolean(x):
        at.set_boolean(result)
    return result


def _with_names(layer: Layer, inputs: dict[str, Node], options: Sequence[str]) -> Node:
    """Return the result of a layer whose inputs have names."""
    node = Node.of(layer, tuple(inputs.values()))
    node.arguments = (*inputs, *options)
    return node
