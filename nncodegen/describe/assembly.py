"""The parts of a network put together: one name for indices that mean the same, and every value there once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sympy import Expr

from nncodegen.describe.call import Copy, Indices, Part
from nncodegen.describe.loss_steps import Output
from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Element, Step, elements


class Assembly(NamedTuple):
    """Inputs, steps and outputs of a network, under the indices of the whole program."""

    inputs: tuple[Element, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]


def assembled(inputs: Sequence[Element], parts: Sequence[Part], outputs: Sequence[Output]) -> Assembly:
    """The steps of parts, without copies: what these have under other indices is read there under its own.

    Where that cannot be, as two indices of one tensor would become one, the values are copied by a step.
    """
    found = Assembly(tuple(inputs), tuple(step for part in parts for step in part.steps), tuple(outputs))
    copies = [copy for part in parts for copy in part.copies]
    while copies:
        copy = copies.pop(0)
        pairs = dict(zip(copy.target.indices, copy.source.indices, strict=True))
        if not _may_unite(pairs, found):
            raise ModelError(f"{copy.source} cannot be read as {copy.target}")
        rename = Renaming(pairs, {copy.target.tensor: copy.source.tensor})
        found = rename.assembly(found)
        copies = [Copy(rename.element(one.target), rename.element(one.source)) for one in copies]
    return found


def with_letters(assembly: Assembly) -> Assembly:
    """The same under the indices i, j, k and so on, in the order in which they occur."""
    seen = [index for element in assembly.inputs for index in element.indices]
    seen += [index for step in assembly.steps for index in step.indices]
    names = Indices()
    return Renaming({index: names.next() for index in dict.fromkeys(seen) if index != SAMPLE}, {}).assembly(assembly)


def _may_unite(pairs: Mapping[str, str], assembly: Assembly) -> bool:
    """Whether indices may become others: no tensor and no step has two that would become one."""
    if any(pairs.get(index, index) != index for index in pairs.values()):
        return False
    groups = [element.indices for element in assembly.inputs] + [step.indices for step in assembly.steps]
    return all(len({pairs.get(index, index) for index in group}) == len(group) for group in groups)


class Renaming(NamedTuple):
    """Other names for indices, and for tensors."""

    indices: Mapping[str, str]
    tensors: Mapping[str, str]

    def element(self, element: Element) -> Element:
        """An element under its new names."""
        name = self.tensors.get(element.tensor, element.tensor)
        return Element(name, (self.indices.get(index, index) for index in element.indices))

    def expression(self, expression: Expr) -> Expr:
        """An expression of such elements."""
        return expression.xreplace({element: self.element(element) for element in elements(expression)})

    def step(self, step: Step) -> Step:
        """A step over such indices."""
        over = tuple(self.indices.get(index, index) for index in step.over)
        return replace(step, target=self.element(step.target), expression=self.expression(step.expression), over=over)

    def assembly(self, assembly: Assembly) -> Assembly:
        """All of a network."""
        outputs = (Output(self.element(one.element), self.expression(one.formula)) for one in assembly.outputs)
        return Assembly(
            tuple(map(self.element, assembly.inputs)), tuple(map(self.step, assembly.steps)), tuple(outputs)
        )
