"""Blocks of second derivatives: which outputs of a sample a loss sees together.

A loss that is a sum over times has no second derivatives between two times: they are blocks, one for each time. Then
one product with a seed of 1 in every block gives a column of all blocks at once. The blocks are found in the steps from
the seeds to the products: an index of a seed separates if no step on the way reduces it, moves it, or loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from nncodegen.compiler.ir import RECURRENCES, Element, Program, Step

Places = tuple[int | None, ...]
"""For each index of a given tensor, such as a seed, its place among those of an element; None if it is lost."""


def block_of(steps: Sequence[Step], seeds: Sequence[Element], products: Sequence[Element], program: Program) -> int:
    """Return the number of outputs in each block of second derivatives. Blocks consist of successive outputs.

    ``steps`` are those from seeds to products, which have the shapes of these. All outputs are one block if a loss does
    not separate, or if its blocks have several sizes.
    """
    count = sum(program.count(seed.indices) for seed in seeds)
    if any(step.operator in RECURRENCES for step in steps):
        return count
    dependences = dependence(steps, {seed.tensor: len(seed.indices) for seed in seeds})
    sizes = set()
    for seed, product in zip(seeds, products, strict=True):
        read = dependences.get(product.tensor, {})
        if not read.keys() <= {seed.tensor}:
            return count
        places = read.get(seed.tensor, tuple(range(len(seed.indices))))
        alike = takewhile(lambda pair: pair[0] == pair[1], enumerate(places))
        sizes.add(program.count(seed.indices[sum(1 for _ in alike) :]))
    return sizes.pop() if len(sizes) == 1 else count


def dependence(steps: Iterable[Step], index_counts: Mapping[str, int]) -> dict[str, dict[str, Places]]:
    """Return on which of some tensors each tensor depends, with the places of their indices.

    ``index_counts`` has the number of indices of each by its name.
    """
    dependences: dict[str, dict[str, Places]] = {
        name: {name: tuple(range(count))} for name, count in index_counts.items()
    }
    for step in steps:
        of_target: dict[str, Places] = {}
        for operand in step.operands:
            for seed, places in _moved(dependences.get(operand.tensor, {}), operand, step).items():
                others = of_target.get(seed, places)
                of_target[seed] = tuple(a if a == b else None for a, b in zip(others, places, strict=True))
        if of_target:
            dependences[step.target.tensor] = of_target
    return dependences


def _moved(known: Mapping[str, Places], operand: Element, step: Step) -> dict[str, Places]:
    """Return the places in the target of a step that correspond to places in an operand."""
    lost = {*step.over, *(index for equation in step.where for index in equation.indices)}
    target = step.target.indices

    def place_of(place: int | None) -> int | None:
        index = None if place is None else operand.indices[place]
        once = operand.indices.count(index) == 1 == target.count(index)
        return target.index(index) if index is not None and once and index not in lost else None

    return {seed: tuple(map(place_of, places)) for seed, places in known.items()}
