"""The column to predict: classes, or a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nncodegen.compiler.escape import printable
from nncodegen.compiler.ir.names import unused
from nncodegen.errors import TableError
from nncodegen.table.columns import MOSTLY, checked_numbers, moments
from nncodegen.table.kinds import check_numbers, check_texts
from nncodegen.table.numbers import PLAIN, check_format, show_format
from nncodegen.table.read import Table

TASKS = ("classification", "regression")

MOST_INTEGERS = 10
"""A column of integers with at most this many different values holds classes."""


@dataclass(frozen=True)
class Target:
    """The column that is predicted: its classes, or the mean and the deviation by which its numbers are scaled.

    ``format`` is the format of the numbers, ``assumed`` whether no cell decided it: see ``read_numbers``.
    """

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    format: str = PLAIN
    assumed: bool = False

    def __post_init__(self) -> None:
        check_texts("name", (self.name,))
        check_texts("classes", self.classes)
        check_numbers(mean=self.mean, deviation=self.deviation)
        check_format(self.format)
        if len(self.classes) == 1:
            raise ValueError("there is one class only")

    @property
    def task(self) -> str:
        """Return the task: "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @property
    def outputs(self) -> int:
        """Return the number of outputs of its network: one for two classes or a number, else one for each class."""
        return len(self.classes) if len(self.classes) > 2 else 1

    def encode(self, table: Table) -> Any:
        """Return the network's targets for rows of a table, (N, outputs): one-hot, or 0 and 1, or a scaled number."""
        if not self.classes:
            return (table.numbers(self.name, self.format)[0].reshape(-1, 1) - self.mean) / self.deviation
        texts = table.texts(self.name)
        members = np.array([texts == value for value in self.classes], float).T
        return members if self.outputs > 1 else members[:, 1:]

    def decide(self, outputs: Any) -> Any:
        """Return the predictions of the network's outputs (N, outputs), (N,): indices of classes, or numbers."""
        if not self.classes:
            return outputs[:, 0] * self.deviation + self.mean
        return decided(outputs)

    def probabilities(self, outputs: Any) -> Any:
        """Return the probability of each class, (N, classes)."""
        return outputs if self.outputs > 1 else np.hstack([1 - outputs, outputs])

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the names of the columns of a prediction: the target, and the probability of each class.

        All are different: the name of a probability gets a mark appended if another column has it already.
        """
        names = [self.name]
        for value in self.classes:
            names.append(unused(f"probability of {value}", names, "'"))
        return tuple(names)

    def show(self) -> str:
        """Return what was inferred, as a text for the user."""
        if not self.classes:
            written = show_format(self.format, self.assumed)
            return (
                f"regression: {self.name} is a number{f', {written}' if written else ''}, mean {self.mean:.4g}, "
                f"deviation {self.deviation:.4g}"
            )
        shown = ", ".join(self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
        return f"classification: {self.name} is one of {len(self.classes)} classes: {shown}"


def decided(outputs: Any) -> Any:
    """Return the most probable class for outputs (N, outputs), (N,): one output is the probability of the second."""
    return (outputs[:, 0] > 0.5).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def target_from_dict(fields: Mapping[str, Any]) -> Target:
    """Return a target from its fields in JSON. Raises KeyError, TypeError or ValueError for anything else."""
    return Target(**{**fields, "classes": tuple(fields["classes"])})


def understand_target(table: Table, name: str, task: str | None) -> Target:
    """Infer the target from its column, which has no missing values. Raises TableError if nothing can be learned."""
    if task is not None and task not in TASKS:
        raise TableError(f"there is no task {task!r}; there are: {', '.join(TASKS)}")
    values, others = table.numbers(name)
    texts, where = table.texts(name), f"{table.path}, column {printable(name)}"
    if task is None:
        numeric = others.sum() <= (1 - MOSTLY) * len(values)
        classes = numeric and not others.any() and (values == np.floor(values)).all()
        few = len(set(texts)) <= MOST_INTEGERS
        task = "regression" if numeric and not (classes and few) else "classification"
    if task == "regression":
        *_, written, assumed = table.written_numbers(name)
        values = checked_numbers(table, name, "that is to be predicted as a number (--task regression)", written)
        if values.min() == values.max():
            raise TableError(f"{where}: it is always {values[0]:g}, there is nothing to learn")
        return Target(name, (), *moments(table, name, values), written, assumed)
    different = sorted(set(texts), key=_order)
    if len(different) < 2:
        raise TableError(f"{where}: there is one class only, {different[0]!r}: nothing to learn")
    if len(different) > max(2, len(texts) / 2):
        raise TableError(
            f"{where}: it holds {len(different)} different values in {len(texts)} rows, too many "
            f"for classes; choose another target, {_instead(table, name)}"
        )
    return Target(name, tuple(different))


def scaled_by(table: Table, target: Target) -> Target:
    """Return a numeric target, scaled by the mean and the deviation of the rows of a table. Raises TableError."""
    values = checked_numbers(table, target.name, "that is to be predicted as a number", target.format)
    mean, deviation = moments(table, target.name, values)
    return replace(target, mean=mean, deviation=deviation)


def _instead(table: Table, name: str) -> str:
    """Return the advice in the error about too many classes."""
    if table.dates(name)[1].mean() <= 1 - MOSTLY:
        return "or turn these dates into numbers, such as days from one of them"
    return "or --task regression for numbers"


def _order(text: str) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by value, before other texts."""
    try:
        return (False, float(text), text)
    except ValueError:
        return (True, 0.0, text)
