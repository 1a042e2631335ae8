"""Outputs, losses, gradients and metrics of a model over samples, in chunks that fit into the cache of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import Element, Program, Step, solve
from nncodegen.runtime.python.measures import METRICS
from nncodegen.runtime.python.sparse import Sparse
from nncodegen.slow.plan import Plan, Samples, columns_of

Array = NDArray[Any]

VALUES = 2**20
"""The values of all tensors together that are computed at once, roughly: 8 MB."""


@dataclass(frozen=True)
class Sums:
    """What is summed over samples: the loss, the gradient (P,) if it was asked for, and what metrics are made of."""

    loss: float
    gradient: Array
    measures: Array


class Batches:
    """What a simplified program computes, given float64 arrays."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.outputs = Plan(program, program.outputs)
        self.loss = Plan(program, [program.loss])
        self.output_count = sum(program.count(element.indices) for element in program.outputs)
        targets = sum(tensor.size for tensor in program.targets)
        self.measured = targets > 0 and self.output_count == targets
        width = sum(_terms(program, step) for step in program.steps)
        self.rows = int(max(1, VALUES // max(1, width)))
        """The samples of a chunk."""
        self._gradient = lru_cache(maxsize=64)(self._derive)

    def _derive(self, first: int, last: int) -> tuple[Plan, tuple[slice, ...]]:
        """The plan of the loss, the outputs and the parts of the gradient with some parameters; where these lie."""
        found: list[Element] = []
        places, start = [], 0
        for tensor, element in zip(self.program.parameters, self.program.gradient, strict=True):
            if start < last and first < start + tensor.size:
                found.append(element)
                places.append(slice(start, start + tensor.size))
            start += tensor.size
        training = self.program.in_training
        return Plan(self.program, [training.loss, *training.outputs, *found]), tuple(places)

    def predict(self, parameters: Array, X: Array | None, samples: int) -> Array:
        """The outputs (N, outputs)."""
        found = np.empty((samples, self.output_count))
        for rows, part in self._chunks(Samples(X, None, np.full(samples, 1 / samples))):
            found[rows] = columns_of(self.outputs(parameters, part), self.program.outputs, len(part.weight))
        return found

    def mean_loss(self, parameters: Array, samples: Samples) -> float:
        """The loss, summed with the weights of the samples."""
        return float(sum(self.loss(parameters, part)[0] for _, part in self._chunks(samples)))

    def sums(
        self, parameters: Array, samples: Samples, first: int, last: int, metrics: int, counts: Array | None
    ) -> Sums:
        """Loss, measures, and the gradient by the parameters first <= p < last; that by others may be 0.

        Where the program has statistics of a batch, all samples are computed at once.
        """
        plan, places = self._gradient(first, last)
        outputs = len(self.program.outputs)
        gradient, loss, measures = np.zeros(len(parameters)), 0.0, self.no_measures()
        for rows, part in self._chunks(samples, whole=self.program.batch is not None):
            one, *found = plan(parameters, part)
            loss += float(one)
            for place, slope in zip(places, found[outputs:], strict=True):
                gradient[place] += slope.ravel()
            if metrics and part.Y is not None:
                values = columns_of(found[:outputs], self.program.outputs, len(part.weight))
                self._measure(metrics, values, part.Y, None if counts is None else counts[rows], measures)
        return Sums(loss, gradient, measures)

    def measures(self, parameters: Array, samples: Samples, metrics: int, counts: Array | None) -> Array:
        """What metrics are made of, for samples that are not trained on."""
        found = self.no_measures()
        for rows, part in self._chunks(samples):
            if part.Y is not None:
                values = columns_of(self.outputs(parameters, part), self.program.outputs, len(part.weight))
                self._measure(metrics, values, part.Y, None if counts is None else counts[rows], found)
        return found

    def no_measures(self) -> Array:
        """The sums that metrics are made of, at first: targets met, absolute errors, squares of each output."""
        return np.zeros(2 + self.output_count if self.measured else 0)

    def _measure(self, metrics: int, outputs: Array, targets: Array, counts: Array | None, sums: Array) -> None:
        """Adds the samples of a chunk to the sums that metrics are made of; metrics has a bit for each of these."""
        each = np.ones(len(outputs)) if counts is None else counts
        if _wants(metrics, "accuracy"):
            if self.program.labels:
                met = outputs.argmax(axis=1) == targets.argmax(axis=1)
            else:
                met = ((outputs > self.program.threshold) == (targets > 0.5)).sum(axis=1)
            sums[0] += each @ met
        if _wants(metrics, "mae"):
            sums[1] += each @ abs(outputs - targets).sum(axis=1)
        if _wants(metrics, "r2"):
            sums[2:] += each @ (outputs - targets) ** 2

    def figures(self, metrics: int, sums: Array, total: float, spread: Array | None) -> list[float]:
        """The metrics, in their order, from their sums; total is the sum of the counts of all samples."""
        outputs = self.output_count
        accuracy = sums[0] / (1 if self.program.labels else outputs) / total
        explained = 0.0
        if _wants(metrics, "r2") and spread is not None:
            for squares, around in zip(sums[2:], spread, strict=True):
                explained += 1 - squares / around if around > 0 else float(squares == 0)
        return [float(accuracy), float(sums[1] / outputs / total), float(explained / outputs)]

    def _chunks(self, samples: Samples, whole: bool = False) -> Iterator[tuple[slice, Samples]]:
        """The samples in parts, or as a ``whole``, each with its rows."""
        count = len(samples.weight)
        step = max(1, count) if whole else self.rows
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            noise = None if samples.noise is None else {name: part[rows] for name, part in samples.noise.items()}
            X, Y = samples.X, None if samples.Y is None else samples.Y[rows]
            if isinstance(X, Sparse):
                X = X.whole(rows.start, rows.stop)
            elif X is not None:
                X = X[rows]
            yield rows, Samples(X, Y, samples.weight[rows], noise)


def _terms(program: Program, step: Step) -> int:
    """The number of terms of a step for one sample: an index that an equation gives has one value in each."""
    given = {solution.index for solution in solve(step.where, step.over, program.sizes).solutions}
    return program.count(index for index in step.indices if index not in given)


def _wants(metrics: int, name: str) -> bool:
    return bool(metrics >> METRICS.index(name) & 1)
