"""Sequences that a model continues token by token, each step at the cost of one position."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import check_parameters, to_array, to_finite
from ..arguments.scalars import COUNT, SEED, integer, number
from .windows import generate_sliding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model

NONE = 0
"""The top_k of C that stands for all tokens."""

NEVER = -1
"""The stop of C that no token is."""


def step(
    model: Model, /, parameters: ArrayLike, token: ArrayLike, state: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Return the probabilities of the next token after one more token, and the state of the sequence after that.

    token is a whole number, and state what the step before has returned, None before the first. The probabilities
    are those of ``predict`` at this position, (tokens,), to rounding; of an output that is logits, their softmax.
    For several sequences at once, token has the shape (N,), the state (N, values), and the probabilities (N,
    tokens). The state that was given does not change. It holds what later positions read of earlier ones, such as
    keys and values of attention and the states of recurrent layers; so a step takes as long as one position. Raises
    ValueError for other tokens and states, after the last position, and for models that cannot be computed step by
    step.
    """
    tokens, positions, size, count = _sizes(model, "step")
    point, token_array = check_parameters(model, parameters), _tokens(model, "token", token, tokens)
    if token_array.ndim > 1:
        raise ValueError(
            f"token has the shape {token_array.shape}; expected a whole number, or an array of the shape (N,)"
        )
    rows = token_array.reshape(-1)
    states = np.zeros((len(rows), size), model.dtype)
    if state is not None:
        states[...] = _checked(model, state, (*token_array.shape, size)).reshape(states.shape)
        _check_positions(states[:, 1], positions)
    probabilities = np.empty((len(rows), count), model.dtype)
    model.native.step(point, rows, len(rows), states, probabilities)
    return probabilities.reshape(*token_array.shape, count), states.reshape(*token_array.shape, size)


def generate(
    model: Model,
    /,
    parameters: ArrayLike,
    prompt: Any,
    steps: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    stop: int | None = None,
    seed: int = 0,
    sliding: bool = False,
) -> Any:
    """Return the tokens with which a model continues a prompt, an array of at most ``steps`` whole numbers.

    prompt is an array of at least one token, or several of them, of any lengths, for which a list of arrays is
    returned. Each token is drawn by its probability to the power of 1/temperature: a low temperature prefers
    probable tokens, at 0 the most probable one is taken, the first of equal ones. With top_k, only that number of
    tokens, the most probable ones, is drawn from. A sequence ends before the token ``stop``, if that is drawn. The
    random numbers of each sequence depend on the seed and on its place among the prompts alone. A prompt and what
    is generated have no more positions than the model, if it has positions: the last token needs none. But with
    ``sliding``, a sequence goes on: a token is drawn after as many of the last ones as the model has positions,
    each of which is computed again. Raises ValueError for other arguments, and for models that cannot be computed
    step by step.
    """
    tokens, positions, _, count = _sizes(model, "generate")
    point = check_parameters(model, parameters)
    several = _is_batch(prompt)
    prompt_tokens, lengths = _joined(
        model, prompt if several else [prompt], tokens, "prompt[{}]" if several else "prompt"
    )
    steps = integer("steps", steps, 0, COUNT)
    power = number(model, "temperature", temperature, 0.0, math.inf, excludes_low=False)
    most = NONE if top_k is None else integer("top_k", top_k, 1, count)
    last = NEVER if stop is None else integer("stop", stop, 0, count - 1)
    seed = integer("seed", seed, 0, SEED)
    if not isinstance(sliding, bool | np.bool_):
        raise ValueError(f"sliding is {sliding!r}; expected True or False")
    if sliding and positions:
        prompts = np.split(prompt_tokens, np.cumsum(lengths)[:-1]) if lengths else []
        continuations = generate_sliding(model, point, prompts, positions, steps, (power, most, last), seed)
        return continuations if several else continuations[0]
    _check_lengths(lengths, steps, positions, "prompt[{}]" if several else "prompt")
    rows = len(lengths)
    drawn, counts = np.empty((rows, steps), np.int32), np.empty(rows, np.int64)
    sizes = np.array(lengths, np.int64)
    model.native.generate(point, prompt_tokens, sizes, rows, steps, power, most, last, seed, drawn, counts)
    continuations = [row[:length] for row, length in zip(drawn.astype(np.int64), counts.tolist(), strict=True)]
    return continuations if several else continuations[0]


def _sizes(model: Model, function: str) -> tuple[int, int, int, int]:
    """Return the numbers of tokens, positions, values of a state and probabilities. Raise ValueError without steps."""
    sizes = None if model.facts.not_generated else model.native.step_sizes()
    if sizes is None:
        raise ValueError(
            f"{function} computes a sequence step by step, which {model.name} does not allow: "
            f"{model.facts.not_generated}"
        )
    return sizes


def _is_batch(prompt: Any) -> bool:
    """Return whether these are several prompts: whether the first one is an array as well."""
    if isinstance(prompt, np.ndarray):
        return prompt.ndim > 1
    return (
        isinstance(prompt, list | tuple) and len(prompt) > 0 and type(prompt[0]) is not int and np.ndim(prompt[0]) > 0
    )


def _joined(model: Model, prompts: Any, tokens: int, name: str) -> tuple[Array, list[int]]:
    """Return prompts one after the other, as C takes them, and their lengths; ``name`` is that of one of them."""
    sequences = [_prompt(model, name.format(row), prompt, tokens) for row, prompt in enumerate(prompts)]
    lengths = [len(prompt) for prompt in sequences]
    return sequences[0] if len(sequences) == 1 else np.concatenate(
        [np.empty(0, np.int32), *sequences], dtype=np.int32
    ), lengths


def _prompt(model: Model, name: str, prompt: Any, tokens: int) -> Array:
    """Return a prompt as C takes it."""
    if isinstance(prompt, str | bytes):
        raise ValueError(f"{name} is a text; expected whole numbers from 0 to {tokens - 1}, one for each token")
    if type(prompt) is list and prompt and all(type(token) is int and 0 <= token < tokens for token in prompt):
        return np.array(prompt, np.int32)  # the usual case, and fast
    converted = _tokens(model, name, prompt, tokens)
    if converted.ndim != 1:
        raise ValueError(f"{name} has the shape {converted.shape}; expected tokens one after the other, (length,)")
    if not len(converted):
        raise ValueError(f"{name} is empty; expected at least one token, such as that with which sequences begin")
    return converted


def _tokens(model: Model, name: str, values: Any, tokens: int) -> Array:
    """Return tokens as C takes them. Raise ValueError with the first value that is none."""
    expected = f"expected whole numbers from 0 to {tokens - 1}"
    array = to_array(model, name, values, expected)
    wrong = np.argwhere(~((array >= 0) & (array < tokens) & (array == np.floor(array))))
    if len(wrong):
        place = f"[{', '.join(map(str, wrong[0].tolist()))}]" if array.ndim else ""
        raise ValueError(f"{name}{place} is {array[tuple(wrong[0])]}; {expected}")
    return np.ascontiguousarray(array, np.int32) if array.ndim else np.array(array, np.int32)


def _checked(model: Model, state: Any, shape: tuple[int, ...]) -> Array:
    """Return a state. Raise ValueError for what no step has returned."""
    expected = f"expected what a step has returned, of the shape {shape}; None before the first step"
    array = to_array(model, "state", state, expected)
    if array.shape != shape:
        raise ValueError(f"state has the shape {array.shape}; {expected}")
    return to_finite(model, "state", array, expected)


def _check_positions(places: Array, positions: int) -> None:
    """Raise ValueError for states whose position is none, or that are after the last one."""
    wrong = (places < 0) | (places != np.floor(places))
    if wrong.any():
        raise ValueError("state is not what a step has returned: its second value is the number of its steps")
    if positions and (places >= positions).any():
        raise ValueError(f"the model has {positions} positions, all of which the steps before have taken")


def _check_lengths(lengths: Sequence[int], steps: int, positions: int, name: str) -> None:
    """Raise ValueError for a prompt and steps that need more positions than there are."""
    for row, length in enumerate(lengths if positions else ()):
        if length + max(0, steps - 1) <= positions:
            continue
        raise ValueError(
            f"{name.format(row)} has {length} tokens, and with {steps} steps needs {length + max(0, steps - 1)} "
            f"positions, of which the model has {positions}: steps may be up to {max(0, positions - length + 1)}, or "
            f"sliding=True draws each further token after the last {positions} alone"
        )
