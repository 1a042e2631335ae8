"""What is to be predicted: classes, or a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.errors import TableError
from nncodegen.table.columns import MOSTLY, checked_numbers, moments
from nncodegen.table.read import Table

TASKS = ("classification", "regression")

MOST_INTEGERS = 10
"""A column of whole numbers with as many different values, or fewer, holds classes."""


@dataclass(frozen=True)
class Target:
    """The column that is predicted: its classes, or the mean and the deviation by which its numbers are scaled."""

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def task(self) -> str:
        """What is done about it."""
        return "classification" if self.classes else "regression"

    @property
    def outputs(self) -> int:
        """The outputs of its network: one for two classes, or for a number."""
        return len(self.classes) if len(self.classes) > 2 else 1

    def encode(self, table: Table) -> Any:
        """The targets of the network for the rows of a table, (N, outputs): one-hot, or 0 and 1, or a scaled number."""
        if not self.classes:
            return (table.numbers(self.name)[0].reshape(-1, 1) - self.mean) / self.deviation
        texts = table.texts(self.name)
        members = np.array([texts == value for value in self.classes], float).T
        return members if self.outputs > 1 else members[:, 1:]

    def decide(self, outputs: Any) -> Any:
        """What the outputs (N, outputs) of the network say: the numbers of the classes, or the numbers; (N,)."""
        if not self.classes:
            return outputs[:, 0] * self.deviation + self.mean
        return (outputs[:, 0] > 0.5).astype(int) if self.outputs == 1 else outputs.argmax(axis=1)

    def probabilities(self, outputs: Any) -> Any:
        """The probability of each class, (N, classes)."""
        return outputs if self.outputs > 1 else np.hstack([1 - outputs, outputs])

    def show(self) -> str:
        """What was understood, for people."""
        if not self.classes:
            return f"regression: {self.name} is a number, mean {self.mean:.4g}, deviation {self.deviation:.4g}"
        shown = ", ".join(self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
        return f"classification: {self.name} is one of {len(self.classes)} classes: {shown}"


def understand_target(table: Table, name: str, task: str | None) -> Target:
    """What the target is; its column has no missing values. Raises TableError where nothing can be learned."""
    values, others = table.numbers(name)
    texts = table.texts(name)
    if task is None:
        numeric = others.sum() <= (1 - MOSTLY) * len(values)
        classes = numeric and not others.any() and (values == np.floor(values)).all()
        few = len(set(texts)) <= MOST_INTEGERS
        task = "regression" if numeric and not (classes and few) else "classification"
    if task == "regression":
        values = checked_numbers(table, name, "that is to be predicted as a number (--task regression)")
        if values.min() == values.max():
            raise TableError(f"{table.path}, column {name}: it is always {values[0]:g}, there is nothing to learn")
        return Target(name, (), *moments(table, name, values))
    different = sorted(set(texts), key=_order)
    if len(different) < 2:
        raise TableError(f"{table.path}, column {name}: there is one class only, {different[0]!r}: nothing to learn")
    if len(different) > max(2, len(texts) / 2):
        raise TableError(
            f"{table.path}, column {name}: it holds {len(different)} different values in {len(texts)} rows, too many "
            f"for classes; choose another target, or --task regression for numbers"
        )
    return Target(name, tuple(different))


def _order(text: str) -> tuple[bool, float, str]:
    """Numbers by value, before other texts."""
    try:
        return (False, float(text), text)
    except ValueError:
        return (True, 0.0, text)
