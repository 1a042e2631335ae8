"""The loss of a transformer, written once for the peers that derive it: what differs between them is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nncodegen.bench.attending import EPSILON, Tokens


@dataclass(frozen=True)
class Library:
    """The functions of a library that a transformer needs.

    attend   the causal attention of queries, keys and values (samples, heads, steps, size)
    swap     exchanges the axes of steps and heads of an array (samples, steps, heads, size)
    """

    attend: Callable[[Any, Any, Any], Any]
    swap: Callable[[Any], Any]
    relu: Callable[[Any], Any]
    root: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]


def loss_of(stack: Tokens, library: Library) -> Callable[[Sequence[Any], Any, Any], Any]:
    """Return the loss of a transformer as a function of its parameters, tokens and the next tokens."""

    def normal(h: Any) -> Any:
        return h / library.root((h * h).mean(-1)[..., None] + EPSILON)

    def block(h: Any, arrays: Iterator[Any]) -> Any:
        (*outer, width), x = h.shape, normal(h)
        queries, keys, values = (
            library.swap((x @ next(arrays).reshape(width, width).T).reshape(*outer, stack.heads, -1)) for _ in range(3)
        )
        attended = library.swap(library.attend(queries, keys, values)).reshape(*outer, width)
        h = h + attended @ next(arrays).reshape(width, width).T
        return h + library.relu(normal(h) @ next(arrays).T) @ next(arrays).T

    def loss(parameters: Sequence[Any], tokens: Any, following: Any) -> Any:
        arrays = iter(parameters)
        h = normal(next(arrays)[tokens] + next(arrays))
        for _ in range(stack.blocks):
            h = block(h, arrays)
        return library.loss(h @ next(arrays).T, following)

    return loss
