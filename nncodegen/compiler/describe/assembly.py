"""Puts the parts of a network together: equal indices get one name, and no value is stored twice."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sympy import Expr

from nncodegen.compiler.describe.call import PRESENT, Copy, Indices, Part, Shape
from nncodegen.compiler.describe.loss_steps import Output
from nncodegen.compiler.ir import SAMPLE, Element, Equation, Statistic, Step, Tensor, elements, needed
from nncodegen.compiler.ir.names import take
from nncodegen.errors import ModelError


class Assembly(NamedTuple):
    """The inputs, steps and outputs of a network, under the indices of the whole program, and the sizes of these."""

    inputs: tuple[Element, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    sizes: tuple[tuple[str, int], ...]

    @property
    def extents(self) -> tuple[tuple[str, int], ...]:
        """Return the sizes that no tensor may tell: of indices in equations, and of axes that a step adds."""
        moved = [step for step in self.steps if step.where]
        indices = {
            i for step in moved for i in (*step.indices, *(i for equation in step.where for i in equation.indices))
        }
        for step in self.steps:
            indices |= set(step.target.indices).difference(*(element.indices for element in step.operands))
        return tuple((index, size) for index, size in self.sizes if index in indices)


def assembled(
    inputs: Sequence[Element],
    shapes: Sequence[Shape],
    parts: Sequence[Part],
    outputs: Sequence[Output],
    apart: bool = False,
) -> Assembly:
    """Return the steps of all parts without the copies: the sources of copies are read under their own indices.

    Where two indices of one tensor would become one, this is impossible: the values are copied by a step. So they are
    if indices of inputs are kept ``apart`` from all others.
    """
    input_indices = {index for element in inputs for index in element.indices[1:]} if apart else set[str]()
    sizes = {
        index: size
        for element, shape in zip(inputs, shapes, strict=True)
        for index, size in zip(element.indices[1:], shape, strict=True)
    }
    sizes |= {index: size for part in parts for index, size in part.sizes}
    steps, copies = [step for part in parts for step in part.steps], [copy for part in parts for copy in part.copies]
    assembly = Assembly(tuple(inputs), tuple(steps), tuple(outputs), tuple(sizes.items()))
    for number in range(len(copies)):
        copy = copies[number]
        pairs = dict(zip(copy.target.indices, copy.source.indices, strict=True))
        other_steps = tuple(step for step in assembly.steps if step.target != copy.target)
        if input_indices.isdisjoint((*pairs, *pairs.values())) and _may_unite(pairs, assembly.inputs, other_steps):
            rename = Renaming(pairs, {copy.target.tensor: copy.source.tensor})
            assembly = rename.assembly(assembly._replace(steps=other_steps))
            copies = [Copy(rename.element(entry.target), rename.element(entry.source)) for entry in copies]
    if any(part.unflattened or part.further for part in parts):  # further outputs may not all be read
        read = [e for output in assembly.outputs for e in (output.element, *elements(output.formula))]
        assembly = assembly._replace(steps=needed(assembly.steps, read))
    return _with_own_outputs(assembly)


def _with_own_outputs(assembly: Assembly) -> Assembly:
    """Define outputs that are inputs, as after a Flatten alone, by separate steps."""
    input_names = {element.tensor for element in assembly.inputs}
    taken = input_names | {element.tensor for step in assembly.steps for element in (step.target, *step.operands)}
    steps, outputs = list(assembly.steps), []
    for output in assembly.outputs:
        element = output.element
        if element.tensor in input_names:
            element = Element(take("output", taken), element.indices)
            steps.append(Step(element, output.element))
        outputs.append(Output(element, output.formula))
    return assembly._replace(steps=tuple(steps), outputs=tuple(outputs))


def statistics_of(
    name: str, parts: Sequence[Part], assembly: Assembly, present: str = PRESENT
) -> tuple[Tensor | None, tuple[Statistic, ...]]:
    """Return the sample mask (None if there are no statistics of a batch) and these statistics. Raise ModelError.

    The mask is 1 for each sample of a batch, and 0 for padding.
    """
    pairs = [pair for part in parts for pair in part.statistics]
    followed = [parameter for _, parameter in pairs]
    for parameter in followed:
        if followed.count(parameter) > 1:
            raise ModelError(
                f"{parameter} of {name} would follow the statistics of several uses of one layer: give each use "
                f"a separate BatchNormalization, or freeze it"
            )
    _check_sums(name, {value for value, _ in pairs}, assembly, present)
    targets = {step.target.tensor: step.target for step in assembly.steps}
    statistics = (Statistic(targets[value], Element(parameter, targets[value].indices)) for value, parameter in pairs)
    return (Tensor(present, (None,)) if pairs else None), tuple(statistics)


def _check_sums(name: str, followed: Container[str], assembly: Assembly, present: str) -> None:
    """Raise ModelError for a sum over samples that may count padding, or that predictions would need as well."""
    implicit = Element(present, (SAMPLE,))
    for step in assembly.steps:
        if SAMPLE in step.over and implicit not in step.operands:
            raise ModelError(f"{step.target} of {name} is a sum over samples: multiply its terms by call.present")
    unfollowed = [step for step in assembly.steps if step.target.tensor not in followed]
    read = [e for output in assembly.outputs for e in (output.element, *elements(output.formula))]
    for step in needed(unfollowed, read):
        if implicit in step.operands:
            raise ModelError(
                f"{step.target} of {name} is made of all samples of a batch, and nothing has its place at rest: a "
                f"parameter must follow it, or what is made of it (call.follow)"
            )


def with_letters(assembly: Assembly) -> Assembly:
    """Return the network under the indices i, j, k and so on, in the order in which they occur."""
    seen = [index for element in assembly.inputs for index in element.indices]
    seen += [index for step in assembly.steps for index in step.indices]
    names = Indices()
    sizes = tuple((index, size) for index, size in assembly.sizes if index in seen)  # the others may be letters, too
    assembly = assembly._replace(sizes=sizes)
    return Renaming({index: names.next() for index in dict.fromkeys(seen) if index != SAMPLE}, {}).assembly(assembly)


def _may_unite(pairs: Mapping[str, str], inputs: Sequence[Element], steps: Sequence[Step]) -> bool:
    """Return whether indices may be renamed: no tensor and no step has two that would become one."""
    if any(pairs.get(index, index) != index for index in pairs.values()):
        return False
    groups = [element.indices for element in inputs] + [step.indices for step in steps]
    return all(len({pairs.get(index, index) for index in group}) == len(group) for group in groups)


class Renaming(NamedTuple):
    """New names for indices and tensors, applied to elements, expressions, steps and whole networks."""

    indices: Mapping[str, str]
    tensors: Mapping[str, str]

    def element(self, element: Element) -> Element:
        """Return an element under its new names."""
        name = self.tensors.get(element.tensor, element.tensor)
        return Element(name, (self.indices.get(index, index) for index in element.indices))

    def expression(self, expression: Expr) -> Expr:
        """Return an expression with its elements renamed."""
        return expression.xreplace({element: self.element(element) for element in elements(expression)})

    def step(self, step: Step) -> Step:
        """Return a step with its indices and tensors renamed."""
        return Step(
            self.element(step.target),
            self.expression(step.expression),
            step.operator,
            tuple(self.indices.get(index, index) for index in step.over),
            tuple(self.equation(equation) for equation in step.where),
        )

    def equation(self, equation: Equation) -> Equation:
        """Return an equation with its indices and tensors renamed."""
        renamed, data = equation.renamed(self.indices), equation.data
        return renamed if data is None else replace(renamed, left=self.element(data))

    def assembly(self, assembly: Assembly) -> Assembly:
        """Return a network with all its indices and tensors renamed."""
        outputs = (Output(self.element(output.element), self.expression(output.formula)) for output in assembly.outputs)
        return Assembly(
            tuple(map(self.element, assembly.inputs)),
            tuple(map(self.step, assembly.steps)),
            tuple(outputs),
            tuple({self.indices.get(index, index): size for index, size in assembly.sizes}.items()),
        )
