"""Attention of PyTorch as layers: MultiheadAttention, and the blocks of Transformer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from nncodegen.compiler.describe import Activation, MultiHeadAttention, Node
from nncodegen.compiler.describe.attention import SCORES
from nncodegen.errors import ModelError
from nncodegen.formats.torch.layers import Mean
from nncodegen.formats.torch.masks import Layers, Sight, sight
from nncodegen.formats.torch.modules import ACTIVATION_OF, FUNCTIONS, activation_with, values_of
from nncodegen.formats.torch.trace import Turned, refused

TRANSFORMERS = (
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerDecoder",
    "Transformer",
)
"""Modules of PyTorch that contain attention."""

SEQUENCES = ("query", "key", "value", "src", "tgt", "memory")
"""The arguments of these modules that are sequences; all others are masks and options."""


def check_attention(module: Any) -> None:
    """Raise ModelError for a module with attention whose options layers do not support."""
    kind = type(module).__name__
    if kind == "MultiheadAttention" and (module.bias_k is not None or module.bias_v is not None):
        raise ModelError(
            f"the module {module} has add_bias_kv=True, a key and a value that belong to no place of the sequence, "
            f"which attention here does not have: append them to the sequence, or leave them out"
        )
    if kind == "MultiheadAttention" and module.add_zero_attn:
        raise ModelError(
            f"the module {module} has add_zero_attn=True, a key and a value of zeros that belong to no place of the "
            f"sequence, which attention here does not have: append zeros to the sequence, or leave it out"
        )


def batch_comes_first(module: Any) -> bool:
    """Return whether a module with attention takes samples as the first axis of sequences."""
    inner = [part for part in module.modules() if type(part).__name__ == "MultiheadAttention"]
    return all(bool(part.batch_first) for part in inner)


class Transformers:
    """Writes modules with attention as nodes, for one call in the graph of a module."""

    def __init__(self, at: Layers, node: Any, module: Any, name: str) -> None:
        self._at, self._node, self._target, self._module, self._name = at, node, str(node.target), module, name
        signature = inspect.signature(type(module).forward)
        bound = signature.bind(None, *node.args, **node.kwargs)
        bound.apply_defaults()
        self._first = batch_comes_first(module)
        self._given, self._sizes = {}, {}
        for key, argument in bound.arguments.items():
            value = at.values(argument)
            if key in SEQUENCES:
                self._sizes[key] = self._steps(argument)
                value = self._sequence(value)
            self._given[key] = value

    def result(self) -> Any:
        """Return the result of the call, with samples where PyTorch has them."""
        arguments, sizes, kind = self._given, self._sizes, type(self._module).__name__
        if kind == "MultiheadAttention":
            return self._multihead()
        if kind == "Transformer":
            encoder, decoder = self._module.encoder, self._module.decoder
            memory = self._stack(
                encoder, f"{self._target}.encoder", arguments["src"], [self._masks("src_", sizes["src"])]
            )
            masks = [self._masks("tgt_", sizes["tgt"]), self._masks("memory_", sizes["tgt"], sizes["src"], "src")]
            result = self._stack(decoder, f"{self._target}.decoder", arguments["tgt"], masks, memory)
        elif "Encoder" in kind:
            of_source = self._masks("src_" if kind == "TransformerEncoderLayer" else "", sizes["src"], padding="src")
            result = self._stack(self._module, self._target, arguments["src"], [of_source])
        else:
            masks = [self._masks("tgt_", sizes["tgt"]), self._masks("memory_", sizes["tgt"], sizes["memory"])]
            result = self._stack(self._module, self._target, arguments["tgt"], masks, arguments["memory"])
        return result if self._first else Turned(result)

    # --- what is given -------------------------------------------------------------------------------------------

    def _steps(self, argument: Any) -> int:
        size = argument.meta["size"] if hasattr(argument, "meta") else None
        if size is None or len(size) != 3:
            raise refused(self._node, "its sequences have the axes samples, steps and features")
        return int(size[1 if self._first else 0])

    def _sequence(self, value: Any) -> Node:
        if isinstance(value, Turned) and not self._first:
            return value.node
        if isinstance(value, Node) and not self._first:
            raise ModelError(
                f"the module {self._target}, {type(self._module).__name__}, has steps before samples: set its "
                f"batch_first = True, which changes no weight, or give it x.transpose(0, 1)"
            )
        if not isinstance(value, Node):
            raise refused(self._node, "its input is no sequence whose first axis is that of the samples")
        return value

    def _masks(self, prefix: str, steps: int, places: int = 0, padding: str = "") -> Callable[[Node], Sight]:
        """Return the function from a query to its sight, by the masks of the call whose names begin with a prefix."""
        padding = f"{padding}_" if padding else prefix
        if prefix == "memory_":
            padding = "memory_"
        masks = [(self._given.get(f"{prefix}mask"), True), (self._given.get(f"{padding}key_padding_mask"), True)]
        sizes = (steps, places or steps)

        def of(query: Node) -> Sight:
            return sight(self._at, self._node, query, sizes, masks, heads=self._count_of_heads())

        return of

    def _count_of_heads(self) -> int:
        inner = [part for part in self._module.modules() if type(part).__name__ == "MultiheadAttention"]
        return int(inner[0].num_heads)

    # --- attention -----------------------------------------------------------------------------------------------

    def _multihead(self) -> tuple[Any, Any]:
        """Return the answers, and the weights where they are read."""
        arguments, sizes = self._given, (self._sizes["query"], self._sizes["key"])
        masks = [(arguments["attn_mask"], True), (arguments["key_padding_mask"], True)]
        seen = sight(self._at, self._node, arguments["query"], sizes, masks, heads=int(self._module.num_heads))
        is_read = arguments["need_weights"] and any(
            not (user.args[1:] == (0,) or (user.args[1:] == (1,) and not user.users)) for user in self._node.users
        )
        query, key, value = (arguments[name] for name in ("query", "key", "value"))
        results = self._attention(self._target, self._module, query, key, value, seen, is_read)
        answer, weights = results if is_read else (results, None)
        if weights is not None and arguments["average_attn_weights"]:
            weights = Mean((1,))(weights)
        return (answer if self._first else Turned(answer)), weights

    def _attention(
        self, target: str, module: Any, query: Node, key: Node, value: Node, seen: Sight, scores: bool = False
    ) -> Any:
        """Return the answers of a MultiheadAttention, with the weights on request."""
        layer = self._at.module_layer(target, module)
        assert isinstance(layer, MultiHeadAttention)
        keys = {} if key is value else {"key": key}
        inputs = {"query": query, "value": value, **keys, **seen.inputs}
        return layer.called(inputs, (*seen.options, *([SCORES] if scores else [])))

    # --- blocks --------------------------------------------------------------------------------------------------

    def _stack(
        self, module: Any, target: str, x: Node, masks: Sequence[Callable[[Node], Sight]], memory: Node | None = None
    ) -> Node:
        """Return the result of one block, or of a stack of blocks and perhaps a normalization."""
        if not hasattr(module, "layers"):
            return self._block(module, target, x, masks, memory)
        for number, block in enumerate(module.layers):
            if type(block).__name__ not in TRANSFORMERS:
                raise refused(self._node, f"its layers are blocks of PyTorch, not {type(block).__name__}")
            x = self._block(block, f"{target}.layers.{number}", x, masks, memory)
        return x if module.norm is None else self._call(f"{target}.norm", module.norm, x)

    def _block(
        self, module: Any, target: str, x: Node, masks: Sequence[Callable[[Node], Sight]], memory: Node | None
    ) -> Node:
        """Return the result of one layer of an encoder, or of a decoder if there is a memory to look at."""

        def looks_at_itself(h: Node) -> Node:
            answer = self._attention(f"{target}.self_attn", module.self_attn, h, h, h, masks[0](h))
            return self._call(f"{target}.dropout1", module.dropout1, answer)

        def looks_at_memory(h: Node) -> Node:
            assert memory is not None
            place, attention = f"{target}.multihead_attn", module.multihead_attn
            return self._call(
                f"{target}.dropout2", module.dropout2, self._attention(place, attention, h, memory, memory, masks[1](h))
            )

        last = "dropout2" if memory is None else "dropout3"

        def is_fed_forward(h: Node) -> Node:
            h = self._activated(module.activation, self._call(f"{target}.linear1", module.linear1, h))
            h = self._call(f"{target}.dropout", module.dropout, h)
            h = self._call(f"{target}.linear2", module.linear2, h)
            return self._call(f"{target}.{last}", getattr(module, last), h)

        parts = [looks_at_itself, *([looks_at_memory] if memory is not None else []), is_fed_forward]
        for number, part in enumerate(parts, start=1):
            place = f"norm{number}"
            norm = getattr(module, place)
            if module.norm_first:
                x = x + part(self._call(f"{target}.{place}", norm, x))
            else:
                x = self._call(f"{target}.{place}", norm, x + part(x))
        return x

    def _call(self, target: str, module: Any, x: Node) -> Node:
        """Return the result of a module within a block; one that changes nothing is left out."""
        if type(module).__name__ == "Identity" or (type(module).__name__ == "Dropout" and not module.p):
            return x
        return self._at.module_layer(target, module)(x)

    def _activated(self, activation: Any, x: Node) -> Node:
        """Return the values of the activation of a block, which PyTorch has as a function or a module."""
        if not isinstance(activation, sys.modules["torch"].nn.Module):
            name = getattr(activation, "__name__", "")
            if name not in FUNCTIONS:
                raise refused(self._node, f"its activation {activation} has no name here")
            activation = getattr(sys.modules["torch"].nn, FUNCTIONS[name])()
        if type(activation).__name__ not in ACTIVATION_OF:
            raise refused(self._node, f"its activation {activation} has no name here")
        return Activation(activation_with("linear", activation, False))(x)


def attention_layer(module: Any, name: str) -> MultiHeadAttention:
    """Return the layer for a MultiheadAttention."""
    heads = int(module.num_heads)
    return MultiHeadAttention(
        heads,
        int(module.embed_dim) // heads,
        dropout=float(module.dropout),
        use_bias=module.in_proj_bias is not None,
        name=name,
    )


def attention_weights(module: Any) -> dict[str, Any]:
    """Return the weights of a MultiheadAttention by the letters of the parameters here, in row-major order."""
    role = f"a weight of the module {module}"
    size = int(module.embed_dim)
    weights = {"Wo": values_of(module.out_proj.weight, role)}
    if module.in_proj_weight is None:
        weights |= {f"W{letter}": values_of(getattr(module, f"{letter}_proj_weight"), role) for letter in "qkv"}
    else:
        whole = values_of(module.in_proj_weight, role)
        weights |= {f"W{letter}": whole[k * size : (k + 1) * size] for k, letter in enumerate("qkv")}
    if module.in_proj_bias is not None:
        whole = values_of(module.in_proj_bias, role)
        weights |= {f"b{letter}": whole[k * size : (k + 1) * size] for k, letter in enumerate("qkv")}
        weights["bo"] = values_of(module.out_proj.bias, role)
    return weights
