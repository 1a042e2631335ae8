"""Many models of a formula may take a step of gradient descent in the loops that compute the gradient.

The derivatives of one sample are stored, or subtracted from the parameters at once. The choice is a constant where
these loops are compiled, so that they are written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nncodegen.compiler.ir import LEARNING_RATE, PARAMETER, Element, Program, Update
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.storage import Place, Storage
from nncodegen.compiler.schedule.tree import (
    CallerFlag,
    Combine,
    If,
    Let,
    Load,
    Loop,
    Statement,
    Store,
    Tree,
    Value,
    Way,
)
from nncodegen.compiler.schedule.tree_walks import elements, rewritten, walk


def descend(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose derivatives update the parameters, if the sums over one sample are the gradient."""
    update = next((each for each in program.updates if each.is_descent), None)
    if update is None or kernel.trees.after:
        return kernel
    parameters = {kernel.storage[tensor.name].offset: Element(tensor.name) for tensor in program.parameters}
    following = {offset: Element(unused(f"next {e.tensor}", program.shapes)) for offset, e in parameters.items()}
    rule = _Descend(kernel, update, Element(unused(LEARNING_RATE, program.shapes)), parameters, following)
    places = {e.tensor: Storage(Place.NEXT, offset) for offset, e in following.items()}
    storage = {**kernel.storage, **places, rule.rate.tensor: Storage(Place.OPTION)}
    trees = kernel.trees.of_tile(lambda tree: rewritten(tree, {Loop: rule}))
    return replace(kernel, trees=trees, storage=storage)


@dataclass(frozen=True)
class _Descend:
    """Changes the loops over models; ``rate`` is the learning rate of each."""

    kernel: Kernel
    update: Update
    rate: Element
    parameters: Mapping[int, Element]
    following: Mapping[int, Element]

    def __call__(self, loop: Loop) -> Tree:
        stores = [each for each in loop.body if isinstance(each, Store) and loop.way is Way.LANES]
        sums = [store for store in stores if self._is_derivative(store)]
        if not sums:
            return (loop,)
        values: dict[Statement, Tree] = {each: (Let(each.target, each.value),) for each in sums}
        changed = If(CallerFlag.DESCENT, tuple(map(self._next, sums)), tuple(map(_stored, sums)))
        body = (*(value for each in loop.body for value in values.get(each, (each,))), changed)
        loaded = {statement.element for statement in walk(body) if isinstance(statement, Load)}
        read = {element for element in elements(body) if element in self.parameters.values()} - loaded
        return (replace(loop, body=(*map(Load, sorted(read, key=str)), *body)),)

    def _is_derivative(self, store: Store) -> bool:
        """Return whether a sum is a derivative, not the loss."""
        return store.combine is Combine.ADD_OR_SET and self._offset(store) in self.parameters

    def _offset(self, store: Store) -> int:
        """Return the number of a derivative in the gradient; the loss comes before the first, at -1."""
        return self.kernel.storage[store.target.tensor].offset - 1

    def _next(self, store: Store) -> Store:
        """Return the statement that stores the next value of a parameter."""
        elements = {"parameter": self.parameters[self._offset(store)], "gradient": store.target}
        known = {Element(name, (PARAMETER,)): element for name, element in elements.items()}
        value = self.update.steps[0].expression.xreplace({**known, Element(LEARNING_RATE): self.rate})
        return Store(self.following[self._offset(store)], Value((value,)))


def _stored(store: Store) -> Store:
    """Return the statement that stores the derivative, which has a local value."""
    return replace(store, value=Value((store.target,)))
