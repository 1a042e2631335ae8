"""Missing targets of a loss that is no sum of squares: each leaves out the terms of its block, and no others.

A loss that is a sum over times or outputs has terms for each block of these (see ``blocks``). A missing target, NaN,
would make the whole sum NaN. So a term counts only where the targets of its block are known:

    loss_n[n] = sum(k) Piecewise((exp(h[n, k]) - h[n, k]*y[n, k], known[n, k] > 0), (0, True))

``known`` is one more target of the rows of a fit, which the runtime sets. The derivatives of the loss stay as they are:
each of them belongs to one block, and the runtime leaves out those of blocks with missing targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympy import Add, Expr, Piecewise, S

from nncodegen.compiler.ir import RECURRENCES, Element, Program, Step, elements
from nncodegen.compiler.passes.fitting.blocks import dependence
from nncodegen.compiler.passes.numbering import Numbering


def with_known(
    loss: Element,
    steps: Sequence[Step],
    outputs: Sequence[Element],
    block: int,
    program: Program,
    numbering: Numbering,
    scales: Sequence[Element] = (),
) -> tuple[Element, tuple[Element, ...]]:
    """Return the loss of a sample without the terms of missing targets, and an element ``known`` for each output.

    ``steps`` are those from ``outputs`` to the loss; ``block`` is the number of outputs in each block. ``scales`` are
    further numbers that the loss depends on, one for each output.
    Return the loss as it is, and no elements, if all outputs are one block, or if targets and outputs, or terms and
    blocks, do not belong to each other one by one.
    """
    recurs = any(step.operator in RECURRENCES for step in steps)
    if (block == program.width(outputs) and not scales) or len(program.targets) != len(outputs) or recurs:
        return loss, ()
    leading = [_leading(output, block, program) for output in outputs]
    blocks = [program.count(indices) for indices in leading]
    shapes = [tuple(program.sizes[index] for index in indices) for indices in leading]
    pairs = [*zip(program.targets, shapes, strict=True)]
    lengths = {tensor.size // count for tensor, count in zip(program.targets, blocks, strict=True)}
    if any(tensor.shape[: len(shape)] != shape for tensor, shape in pairs) or len(lengths) > 1:
        return loss, ()
    known = tuple(Element(numbering.fresh("known"), indices) for indices in leading)
    of_targets = {tensor.name: element for tensor, element in zip(program.targets, known, strict=True)}
    of_outputs = {output.tensor: element for output, element in zip(outputs, known, strict=True)}
    of_outputs |= {scale.tensor: element for scale, element in zip(scales, known, strict=False)}
    try:
        return _Terms(steps, of_targets | of_outputs, numbering).where_known(loss), known
    except _NotApartError:
        return loss, ()


def _leading(output: Element, block: int, program: Program) -> tuple[str, ...]:
    """Return the indices of an output that number its blocks."""
    indices = output.indices
    while program.count(output.indices) < block * program.count(indices):
        indices = indices[:-1]
    return indices


class _NotApartError(Exception):
    """A term of a loss depends on several blocks, or on parts of them."""


class _Terms:
    """The terms of a loss. ``known`` has, by the name of each output and target, the element of its blocks."""

    def __init__(self, steps: Sequence[Step], known: Mapping[str, Element], numbering: Numbering) -> None:
        self._known, self._numbering = known, numbering
        self._steps = {step.target: step for step in steps}
        self._found = dependence(steps, {name: len(element.indices) for name, element in known.items()})

    def where_known(self, value: Element) -> Element:
        """Return a sum without terms whose targets are missing."""
        step = self._steps.get(value)
        if step is None or step.operator not in (None, "sum") or step.where:
            raise _NotApartError
        parts: dict[Element | None, list[Expr]] = {}
        whole: list[Expr] = []
        for term in Add.make_args(step.expression):
            blocks = self._blocks(term)
            number, rest = term.as_coeff_Mul()
            if len(blocks) < 2 and None not in blocks:
                parts.setdefault(next(iter(blocks), None), []).append(term)
            elif isinstance(rest, Element):
                whole.append(number * self.where_known(rest))
            else:
                raise _NotApartError
        constant = parts.pop(None, [])  # it belongs to the block of the other terms
        if constant and (len(parts) != 1 or whole):
            raise _NotApartError
        chosen = [
            Piecewise((Add(*terms, *constant), block > 0), (S.Zero, True))
            for block, terms in parts.items()
            if block is not None
        ]
        return self._numbering.define(Add(*whole, *chosen), value.tensor, value.indices, step.operator, step.over)

    def _blocks(self, term: Expr) -> dict[Element | None, None]:
        """Return the blocks on which a term depends, as their elements ``known``; None stands for several of them."""
        blocks: dict[Element | None, None] = {}
        for element in elements(term):
            for name, places in self._found.get(element.tensor, {}).items():
                block = self._known[name]
                indices = [None if place is None else element.indices[place] for place in places[: len(block.indices)]]
                alone = None not in indices and len({*indices}) == len(indices)
                blocks[Element(block.tensor, (index for index in indices if index)) if alone else None] = None
        return blocks
