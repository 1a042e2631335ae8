"""Lets networks for one-hot columns, whose number varies a little, share a module that has room for more columns.

Which module is used depends on the modules that were built before. That must not change a bit of any result. It does
not if two modules compute the same sums in the same order: inputs that are 0 then add zeros after the others. This
holds where

- both have whole blocks of inputs (``BLOCK``), so that the same inputs meet in the same lanes and blocks,
- neither cuts sums over its inputs into parts (``WHOLE``), which would end elsewhere,
- the schedules of both have the same tiles, the same innermost indices, and the same sums (``order``),
- nothing sums over all parameters, as L-BFGS and the clipping of norms do: for these, the number of inputs depends on
  the data alone (see nncodegen/estimators/base.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.compiler.pipeline import compile_model
from nncodegen.compiler.schedule import Kernel
from nncodegen.compiler.schedule.tree import Call, Fill, Group, Loop, Tree
from nncodegen.compiler.schedule.tree_walks import rewritten, walk
from nncodegen.estimators.network.description import Description
from nncodegen.estimators.network.modules import built_inputs
from nncodegen.estimators.network.padding import FEW_INPUTS, shared_inputs
from nncodegen.runtime.python.arguments.sparse import is_sparse

BLOCK = {"float64": 16, "float32": 32}
"""Inputs that fill the longest vectors in pairs, as in blocks of products: a single vector sums differently."""

WHOLE = 256
"""The number of inputs up to which a sum over them has one part: PANEL in nncodegen/runtime/c/nncodegen/vectors.h."""

LEAST_ROOM, SHARE_OF_ROOM = 2, 16
"""The number of additional inputs: at least LEAST_ROOM, and one for every SHARE_OF_ROOM inputs.

Of 2,000 simulated cross-validations over one-hot columns whose number varies (5 or 10 folds, 1 to 8 columns with 2 to
60 categories each, 100 to 5,000 rows), 19% had counts on both sides of a size without any of this, and 16% have with
additional inputs alone. Where folds also use modules that were built before, 0.5% lack room, and 4 to 6% are where the
schedule changes.
"""

OF_TWO_VALUES = 8
"""Columns count as one-hot where at least one in OF_TWO_VALUES of them has two values."""


def varies(X: Any) -> bool:
    """Return whether X (N, inputs) has columns whose number may vary: it is sparse, or one-hot, scaled or not."""
    if is_sparse(X):
        return True
    if len(X) < 2:
        return False
    low, high = X.min(axis=0), X.max(axis=0)
    two = (low < high) & ((low == X) | (high == X)).all(axis=0)
    return bool(OF_TWO_VALUES * np.count_nonzero(two) >= X.shape[1])


def roomy_inputs(network: Description) -> int:
    """Return the number of inputs that a network is built with where its columns vary: with room for some more."""
    inputs, block = network.inputs, BLOCK[network.precision]
    if inputs <= FEW_INPUTS:
        return inputs
    wanted = inputs + max(LEAST_ROOM, inputs // SHARE_OF_ROOM)
    steps = (size for size in (8, 16) if wanted <= size < block)
    return next(steps, shared_inputs(-(-wanted // block) * block))


def module_inputs(network: Description) -> int:
    """Return the number of inputs of the module for a network whose columns vary.

    It is that of a module of this process with the same bits as one of ``roomy_inputs``; if none exists, it is
    ``roomy_inputs``.
    """
    size = roomy_inputs(network)
    most = roomy_inputs(replace(network, inputs=size))
    others = (k for k in built_inputs(network) if network.inputs <= k <= most)
    return next((k for k in others if k == size or same_bits(network, k, size)), size)


def same_bits(network: Description, first: int, second: int) -> bool:
    """Return whether a network has the same results, bit by bit, with modules of two numbers of inputs."""
    block = BLOCK[network.precision]
    if any(size % block or size > WHOLE or size < network.inputs for size in (first, second)):
        return False
    first_order, other = (order(replace(network, inputs=size)) for size in (first, second))
    return first_order == other


@lru_cache(maxsize=64)
def order(network: Description) -> tuple[Any, ...]:
    """Return everything that determines the order of the sums of a module, except the number of its inputs."""
    schedule = compile_model(network.model, network.precision, until="schedule")["schedule"]
    single, layout = schedule.single_sample, schedule.layout
    kernels = tuple(_sums(kernel) for kernel in schedule.sharing)
    straight = schedule.unrolled is not None
    return (layout.tile, layout.features, layout.blas, straight, single.samples if single else 0, kernels)


def _sums(kernel: Kernel) -> tuple[Any, ...]:
    """Return the sums of a kernel in their order, with all their loops, but without the ends of these."""
    groups = (group for _, tree in kernel.trees.functions for group in walk(tree) if isinstance(group, Group))
    sums = [group for group in groups if any(step.over for step in group.steps)]
    return kernel.name, kernel.direct, rewritten(tuple(sums), {Loop: _endless, Call: _endless, Fill: _endless})


def _endless(statement: Loop | Call | Fill) -> Tree:
    """Return a statement without the ends of its loops."""
    if isinstance(statement, Loop):
        return (replace(statement, end=0, begin=0 if isinstance(statement.begin, int) else statement.begin),)
    return (replace(statement, ends=()),)
