"""Products in blocks take over a step that only multiplies their result with an array.

The chain rule leads to such a step for each layer: a product with its weights, times the derivative of an activation.
The multiplication then happens before the result leaves the registers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from sympy import Mul

from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Tree, Trees
from nncodegen.compiler.schedule.tree_walks import Site, computed, only, sites


def take_factors(trees: Trees, steps: Iterable[Step]) -> Trees:
    """Return trees in which products of a tile multiply their results; ``steps`` are all steps of the kernel."""
    places = list(sites(trees.tile))
    read = Counter(tensor for step in steps for tensor in {operand.tensor for operand in step.operands})
    homes = {step.target.tensor: number for number, site in enumerate(places) for step in site.compute.steps}
    taken: dict[int, Step] = {}
    for site in places:
        for step in site.compute.steps:
            factors = Mul.make_args(step.expression)
            loops = site.compute.shape is Shape.LOOPS
            if not loops or len(factors) != 2 or not all(isinstance(f, Element) for f in factors):
                continue
            factor, product = sorted(factors, key=lambda f: homes.get(f.tensor, -1))
            home = homes.get(product.tensor, -1)
            block = home >= 0 and _is_block(places[home], site)
            alike = factor.indices == product.indices == step.target.indices
            if block and alike and read[product.tensor] == 1 and homes.get(factor.tensor, home) < home:
                taken[home] = step
    multiplied = {places[home].compute.steps[-1]: step for home, step in taken.items()}

    def rule(site: Site) -> Tree:
        step = multiplied.get(site.compute.steps[-1])
        return (replace(site.compute, steps=(*site.compute.steps, step)) if step else site.compute,)

    def change(tree: Tree) -> Tree:
        return computed(only(tree, lambda step: step not in taken.values()), rule)

    return trees.of_tile(change)


def _is_block(product: Site, site: Site) -> bool:
    """Return whether a product is computed in blocks, along the same index and in the same loop over time as a site."""
    alike = (product.compute.shape, product.compute.innermost) == (Shape.CONTRACT, site.compute.innermost)
    return alike and product.time is site.time
