"""Steps of sequences and their generation with NumPy, as ``generate.h`` of the runtime does them in C."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Companion, columns_of, evaluate
from nncodegen.runtime.python.evaluation.windows import MASK, STEP, mixed

Array = NDArray[Any]


class Steps:
    """The steps of a model, given the companion that computes one; all numbers are float64."""

    def __init__(self, companion: Companion) -> None:
        facts = companion.stepwise
        assert facts
        self._program, self._facts = companion.program, facts
        self._carried = sum(tensor.size for tensor in facts.carried)
        probabilities = self._program.count(self._program.outputs[0].indices)
        self.sizes = facts.tokens, facts.positions, facts.state, probabilities

    def step(self, parameters: Array, tokens: Array, states: Array) -> Array:
        """Do one step in each of some sequences; change the states, and return the probabilities."""
        program, (_, positions, _, count) = self._program, self.sizes
        states[:, 0] = tokens
        values = evaluate(program, parameters, states, results=program.outputs)
        results = columns_of([values[e.tensor] for e in program.outputs], program.outputs, len(states))
        first, end = 2 + self._carried, count + self._carried
        states[:, 2:first] = results[:, count:end]
        for size in self._facts.rows:
            for state, result in zip(states, results, strict=True):
                at = first + int(state[1]) * size
                state[at : at + size] = result[end : end + size]
            first, end = first + positions * size, end + size
        states[:, 1] += 1
        return results[:, :count]

    def go_on(self, parameters: Array, prompt: Array, draw: Drawing, stop: int, tokens: Array) -> int:
        """Write the tokens that are drawn after a prompt, and return their number, which ``stop`` ends."""
        state = np.zeros((1, self.sizes[2]))
        for token in prompt:
            probabilities = self.step(parameters, np.array([token]), state)
        for number in range(len(tokens)):
            token = draw(probabilities[0])
            if token == stop:
                return number
            tokens[number] = token
            if number + 1 < len(tokens):
                probabilities = self.step(parameters, np.array([token]), state)
        return len(tokens)


class Drawing:
    """Tokens that are drawn by their probabilities, with the random numbers of C: those of SplitMix64."""

    def __init__(self, temperature: float, top_k: int, seed: int, row: int, precision: str) -> None:
        self._temperature, self._top_k, self._precision = temperature, top_k, precision
        self._random = (mixed(seed) + row) & MASK

    def __call__(self, probabilities: Array) -> int:
        """Return a token."""
        order = np.argsort(-probabilities, kind="stable")
        if self._temperature == 0 or self._top_k == 1:
            return int(order[0])
        left = probabilities / probabilities[order[0]]
        if self._top_k:
            left[order[self._top_k :]] = 0
        with np.errstate(divide="ignore"):
            shares = np.cumsum(np.exp(np.log(left) / self._temperature))
        return int(np.searchsorted(shares, self._fraction() * shares[-1], side="right"))

    def _fraction(self) -> float:
        """Return a random number from 0 to below 1."""
        self._random = (self._random + STEP) & MASK
        bits = 53 if self._precision == "float64" else 24
        return float((mixed(self._random) >> (64 - bits)) * 2.0**-bits)
