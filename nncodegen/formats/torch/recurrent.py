"""RNN, LSTM and GRU of PyTorch as stacks of layers, each perhaps in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nncodegen.compiler.describe import GRU, LSTM, Bidirectional, Dropout, Node, SimpleRNN
from nncodegen.compiler.describe.recurrent import Recurrent
from nncodegen.errors import ModelError
from nncodegen.formats.torch.modules import weights_of
from nncodegen.formats.torch.windows import only


@dataclass(frozen=True)
class States:
    """The states that PyTorch has in one tensor, (layers*directions, samples, units), as a node for each."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Stack:
    """A recurrent module: its layers, with Dropout between them, and their weights by the names of parameters."""

    layers: tuple[Recurrent | Bidirectional, ...]
    dropout: Dropout | None
    weights: dict[str, Any]
    states: int
    """The number of states of one layer in one direction."""

    def __call__(self, x: Node, initial: Sequence[States]) -> tuple[Node, tuple[States, ...]]:
        """Return the outputs of all steps, and the final states, h, and c of an LSTM."""
        final: list[list[Node]] = [[] for _ in range(self.states)]
        for level, layer in enumerate(self.layers):
            sides = 2 if isinstance(layer, Bidirectional) else 1
            chosen = [kind.nodes[level * sides : (level + 1) * sides] for kind in initial]
            begun = [kind[side] for side in range(sides) for kind in chosen]
            if level and self.dropout:
                x = self.dropout(x)
            x, *ends = layer(x, initial_state=begun)
            for place, end in enumerate(ends):
                final[place % self.states].append(end)
        return x, tuple(States(tuple(nodes)) for nodes in final)


def check_recurrent(module: Any) -> None:
    """Raise ModelError for a recurrent module with options that layers do not support."""
    if not module.batch_first:
        raise ModelError(
            f"the module {module} has steps before samples: set its batch_first = True, which changes no weight, and "
            f"let forward have the samples first"
        )
    only(module, proj_size=0)


def stack_of(module: Any, name: str) -> Stack:
    """Return the layers for a recurrent module with this name."""
    layers: list[Recurrent | Bidirectional] = []
    weights: dict[str, Any] = {}
    for level in range(int(module.num_layers)):
        layer_name = f"{name}_l{level}" if module.num_layers > 1 else name
        layer = _layer(module, "" if module.bidirectional else layer_name)
        layers.append(Bidirectional(layer, name=layer_name) if module.bidirectional else layer)
        weights |= {
            f"{letters}_{layer_name}": values for letters, values in weights_of(layers[-1], module, level).items()
        }
    dropout = Dropout(float(module.dropout)) if module.dropout else None
    return Stack(tuple(layers), dropout, weights, layer.states)


def _layer(module: Any, name: str) -> Recurrent:
    """Return one layer in one direction."""
    kind, units = type(module).__name__, int(module.hidden_size)
    options: dict[str, Any] = {
        "use_bias": bool(module.bias),
        "return_sequences": True,
        "return_state": True,
        "name": name,
    }
    if kind == "RNN":
        return SimpleRNN(units, str(module.nonlinearity), **options)
    return LSTM(units, **options) if kind == "LSTM" else GRU(units, **options)
