"""Derivatives of the outputs of a program by some of its inputs, as further outputs.

A Jacobian comes from as many forward sweeps as there are inputs, or reverse sweeps as there are outputs, whichever are
fewer; the Hessian of one output from the forward sweeps of its gradient. All share their steps with the values. Along a
direction, or for a weighted sum of the outputs, one sweep does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sympy import Add, S

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor, gathered, needed
from nncodegen.compiler.passes.forward import forward_sweep
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep


@dataclass(frozen=True)
class ByInputs:
    """The derivatives that are asked for, by the inputs ``names``.

    ``directions`` and ``factors`` are the names of further inputs: a direction, with a component for each of the names,
    and a factor of each output in a weighted sum. Results follow the outputs: the Jacobian row by row, the Hessian, the
    derivatives of the outputs along the direction, the derivatives of the weighted sum by the names.
    """

    names: tuple[str, ...] = ()
    jacobian: bool = False
    hessian: bool = False
    directions: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()


NOTHING_ASKED = ByInputs()


def differentiate_by_inputs(program: Program, asked: ByInputs) -> Program:
    """Return the program with derivatives of its outputs by inputs, which are asked for, as further outputs."""
    if not (asked.jacobian or asked.hessian or asked.directions or asked.factors):
        return program
    sweeps = _Sweeps(program, asked)
    derived = tuple(sweeps.derived())
    outputs = (*sweeps.outputs, *derived)
    return replace(program, steps=gathered(needed(sweeps.numbering.steps, outputs)), outputs=outputs)


class _Sweeps:
    """The sweeps over the steps of a program, which share their values."""

    def __init__(self, program: Program, asked: ByInputs) -> None:
        self._program, self._asked = program, asked
        self.numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
        known = split(program.steps, self.numbering)
        self.outputs = tuple(known[output] for output in program.outputs)
        self._gradients: dict[Element, tuple[Element, ...]] = {}

    def derived(self) -> Iterator[Element]:
        """Yield the derivatives, in the order that ``ByInputs`` documents."""
        asked, numbering = self._asked, self.numbering
        if asked.jacobian:
            yield from self._jacobian()
        if asked.hessian:
            yield from self._hessian()
        if asked.directions:
            along = dict(zip(asked.names, asked.directions, strict=True))
            yield from forward_sweep(self._of(asked.names), self._steps(self.outputs), along, self.outputs, numbering)
        if asked.factors:
            terms = (Element(name, (SAMPLE,)) * value for name, value in zip(asked.factors, self.outputs, strict=True))
            total = numbering.define(Add(*terms), "weighted", (SAMPLE,))
            yield from self._gradient(total)

    def _of(self, names: Sequence[str]) -> Program:
        """Return the program whose inputs of some names are parameters, by which sweeps take derivatives."""
        other_inputs = tuple(tensor for tensor in self._program.inputs if tensor.name not in names)
        return replace(self._program, inputs=other_inputs, parameters=tuple(Tensor(name, (None,)) for name in names))

    def _steps(self, results: Sequence[Element]) -> tuple[Step, ...]:
        return needed(self.numbering.steps, results)

    def _jacobian(self) -> Iterator[Element]:
        """Yield the derivatives of the first output by all names, of the second, and so on."""
        names = self._asked.names
        if len(names) > len(self.outputs):
            for output in self.outputs:
                yield from self._gradient(output)
            return
        steps = self._steps(self.outputs)
        columns = [
            forward_sweep(self._of([name]), steps, {name: S.One}, self.outputs, self.numbering) for name in names
        ]
        for row in zip(*columns, strict=True):
            yield from row

    def _gradient(self, output: Element) -> tuple[Element, ...]:
        """Return the derivatives of a value by all names."""
        if output not in self._gradients:  # that of the only output serves the Jacobian and the Hessian
            program = self._of(self._asked.names)
            gradient = reverse_sweep(program, self._steps([output]), output, self.numbering, each_sample=True)
            self._gradients[output] = gradient
        return self._gradients[output]

    def _hessian(self) -> Iterator[Element]:
        """Yield the second derivatives of the only output, row by row; one of two that are equal is derived."""
        names = self._asked.names
        (output,) = self.outputs
        gradient = self._gradient(output)
        steps = self._steps(gradient)
        second: dict[tuple[int, int], Element] = {}
        for row, name in enumerate(names):
            from_diagonal = gradient[row:]
            derived = forward_sweep(self._of([name]), steps, {name: S.One}, from_diagonal, self.numbering)
            second |= {(row, row + k): value for k, value in enumerate(derived)}
        for row in range(len(names)):
            yield from (second[min(row, column), max(row, column)] for column in range(len(names)))
