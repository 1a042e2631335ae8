"""Seeds: targets of a derived program that select the output whose derivatives are computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from sympy import Add, Expr

from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.passes.numbering import Numbering

NAME = "fitting"
"""The name of the program of the rows of a fit."""


def seeds_of(outputs: Sequence[Element], program: Program, numbering: Numbering) -> list[Element]:
    """Return one seed for each output; none if the outputs are a single number."""
    if sum(program.count(index for index in output.indices) for output in outputs) == 1:
        return []
    several = len(outputs) > 1
    return [
        Element(numbering.fresh(f"seed{number}" if several else "seed"), dict.fromkeys((SAMPLE, *output.indices)))
        for number, output in enumerate(outputs, start=1)
    ]


def summed(outputs: Sequence[Element], seeds: Sequence[Element], numbering: Numbering) -> Element:
    """Return the sum of outputs times their seeds over the samples: each over its own indices, and over no others."""
    alike: dict[frozenset[str], list[Expr]] = {}
    for output, seed in zip_longest(outputs, seeds):
        indices = frozenset((SAMPLE, *output.indices, *(seed.indices if seeds else ())))
        alike.setdefault(indices, []).append(output * seed if seeds else output)
    order = tuple(dict.fromkeys((SAMPLE, *(index for output in (*outputs, *seeds) for index in output.indices))))
    sums = [(Add(*terms), tuple(index for index in order if index in indices)) for indices, terms in alike.items()]
    if len(sums) == 1:
        ((terms, over),) = sums
        return numbering.define(terms, "total", (), "sum", over)
    return numbering.define(Add(*(numbering.define(terms, None, (), "sum", over) for terms, over in sums)), "total", ())


def shape_of(element: Element, program: Program) -> tuple[int | None, ...]:
    """Return the shape of a tensor with the indices of an element."""
    return tuple(program.sizes[index] for index in element.indices)


def laid_out(element: Element, indices: tuple[str, ...], numbering: Numbering) -> Element:
    """Return an element with all given indices, whose values lie in their order: a copy if necessary."""
    present = tuple(index for index in indices if index in element.indices)
    missing = [index for index in indices if index not in (SAMPLE, *present)]
    return element if element.indices == present and not missing else numbering.define(element, None, indices)
