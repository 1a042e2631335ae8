"""Families of pairs: the tensors with a value for each pair of a query and a key, as steps relate them.

A sum of products of two arrays of samples, ``z[n, t, s] = sum(k) q[n, t, k]*k[n, s, k]``, has a value for each pair of
two positions. So has each step that computes something of it for each pair: probabilities, dropout, their derivatives.
All tensors of pairs that a step reads or gives are of one family.

The steps of a family may name queries and keys differently. Arrays have the keys last: where a softmax goes over an
index that is not last, ``keys_last`` exchanges both in all arrays of the family.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step


@dataclass(frozen=True)
class Names:
    """The names that the queries and the keys of pairs have in a step."""

    row: str
    column: str


def of_samples(steps: Iterable[Step]) -> frozenset[str]:
    """Return the tensors that have a value for each sample."""
    elements = (element for step in steps for element in (step.target, *step.operands))
    return frozenset(element.tensor for element in elements if SAMPLE in element.indices)


def scores_of(program: Program) -> Iterator[Element]:
    """Yield the scores of the queries of a program by its keys."""
    samples = of_samples(program.steps)
    return (step.target for step in program.steps if _scores(step, program, samples))


def _scores(step: Step, program: Program, samples: Container[str]) -> Names | None:
    """Return the names of queries and keys, if a step is a sum of products of two arrays of samples.

    Keys are the last index, which one factor has; queries are an index that only the other has, the longest.
    """
    target, factors = step.target.indices, step.factors
    if not factors or not target or not all(each.tensor in samples for each in (step.target, *factors)):
        return None
    a, b = sorted(factors, key=lambda factor: target[-1] in factor.indices)
    rows = [index for index in target if index in a.indices and index not in b.indices and index != SAMPLE]
    if target[-1] in a.indices or target[-1] not in b.indices or not rows:
        return None
    return Names(max(rows, key=lambda index: program.sizes[index] or 1), target[-1])


class Families:
    """The tensors of pairs, in families.

    samples    the tensors that have a value for each sample
    defined    the targets of all steps, by their tensors
    axes       the places of queries and keys among the indices of each tensor of pairs
    names      the names of both in each step that reads or gives pairs
    clashing   the steps, by their targets, in which queries and keys have several names, or one for both
    """

    def __init__(self, steps: Sequence[Step], program: Program, samples: Container[str]) -> None:
        self._steps, self._program, self.samples = steps, program, samples
        self.defined = {step.target.tensor: step.target for step in steps}
        self.axes: dict[str, tuple[int, int]] = {}
        self.names: dict[str, Names] = {}
        self.clashing: set[str] = set()
        self._family: dict[str, str] = {}
        while self._spread():
            pass

    def family(self, tensor: str) -> str:
        """Return the name of the family of a step that reads or gives pairs; an empty text for other steps."""
        if tensor not in self._family:
            return ""
        while self._family[tensor] != tensor:
            tensor = self._family[tensor]
        return tensor

    def _spread(self) -> bool:
        """Go through all steps; return whether further tensors turned out to be pairs."""
        known = len(self.axes)
        for step in self._steps:
            tensors = dict.fromkeys(self._names_in(step))
            if not tensors and (scores := _scores(step, self._program, self.samples)):
                tensors = {scores: None}
            if not tensors:
                continue
            names = next(iter(tensors))
            self.names[step.target.tensor] = names
            elements = [e for e in (step.target, *step.operands) if e.tensor in self.axes]
            if self._has_both(step.target, names):
                inside = (e for e in step.operands if e.tensor in self.defined and self._has_both(e, names))
                elements += [step.target, *inside]
            for element in elements:
                if element.tensor not in self.axes:
                    self.axes[element.tensor] = (element.indices.index(names.row), element.indices.index(names.column))
                self._join(step.target.tensor, element.tensor)
            if len(tensors) > 1 or names.row == names.column:
                self.clashing.add(step.target.tensor)
        return len(self.axes) > known

    def _names_in(self, step: Step) -> Iterator[Names]:
        for element in (step.target, *step.operands):
            if element.tensor in self.axes:
                row, column = self.axes[element.tensor]
                yield Names(element.indices[row], element.indices[column])

    def _has_both(self, element: Element, names: Names) -> bool:
        return element.tensor in self.samples and {names.row, names.column} <= {*element.indices}

    def _join(self, name: str, other: str) -> None:
        for tensor in (name, other):
            self._family.setdefault(tensor, tensor)
        self._family[self.family(other)] = self.family(name)


def keys_last(program: Program) -> Program:
    """Return the program with the keys of pairs last in memory, where only softmaxes over another index tell them."""
    if not any(scores_of(program)):
        return program
    families = Families(program.steps, program, of_samples(program.steps))
    turned, others = set[str](), set[str]()
    for step in program.steps:
        names = families.names.get(step.target.tensor)
        if names and step.over and step.operator != "sum":
            (turned if names.row in step.over else others).add(families.family(step.target.tensor))
    results = {element.tensor for element in program.results}
    able = {
        tensor: axes
        for tensor, axes in families.axes.items()
        if families.family(tensor) in turned - others and tensor in families.defined and tensor not in results
    }
    if not able:
        return program

    def swapped(element: Element) -> Element:
        if element.tensor not in able:
            return element
        indices, (row, column) = [*element.indices], able[element.tensor]
        indices[row], indices[column] = indices[column], indices[row]
        return Element(element.tensor, indices)

    def stored(step: Step) -> Step:
        known = {element: swapped(element) for element in step.operands if element.tensor in able}
        return replace(step.xreplace(known) if known else step, target=swapped(step.target))

    return replace(program, steps=tuple(map(stored, program.steps)))
