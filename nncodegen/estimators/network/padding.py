"""Lets networks whose numbers of inputs differ a little share one module, which has a few more inputs that are 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nncodegen.compiler.emit.facts import parameter_of
from nncodegen.compiler.ir import slices_of
from nncodegen.estimators.network.description import Description
from nncodegen.runtime.python.arguments.sparse import is_sparse
from nncodegen.runtime.python.ground.draw import draw

FEW_INPUTS = 4
"""Networks with at most this number of inputs are built unchanged: a training with eight would take up to 1.4 times as
long.
"""

VALUES_AT_ONCE, ROWS_AT_ONCE = 2**22, 4096
"""The most values that are copied at once to predict, in a multiple of this number of rows."""


def shared_inputs(inputs: int) -> int:
    """Return the number of inputs that a network is built with, so that others share its module.

    Up to 4 it is that of the network. Above, it is the next multiple of 8, above 32 of 16, above 256 of an eighth of
    the power of two below. It depends on this number alone; see ``sharing`` for columns whose number varies. A training
    takes up to 1.2 times as long as without it: 33-100-3, which is built with 48 inputs, in double precision.
    """
    if inputs <= FEW_INPUTS:
        return inputs
    step = 8 if inputs <= 32 else max(16, 2 ** (inputs - 1).bit_length() // 16)
    return -(-inputs // step) * step


@dataclass(frozen=True)
class Padding:
    """A network, and the one with more inputs that is built in its place.

    The additional inputs are 0, and so are their weights: these get no gradient, and no penalty changes them. All
    results are those of the network itself, to rounding.
    """

    network: Description
    inputs: int

    @cached_property
    def built(self) -> Description:
        """Return the network that is built."""
        return self.network if self.inputs == self.network.inputs else replace(self.network, inputs=self.inputs)

    @cached_property
    def _places(self) -> Any:
        """Return the places of the parameters of the network among those of the built one, (P,)."""
        places = list[Any]()
        numbers: Any = np.arange(self.built.program.parameter_count)
        built = slices_of(self.built.program.parameters)
        for value_range, (tensor, values) in zip(self.network.program.parameters, built, strict=True):
            places.append(numbers[values].reshape(tensor.shape)[tuple(map(slice, value_range.shape))].ravel())
        return np.concatenate(places)

    def rows(self, X: Any) -> Any:
        """Return X (N, inputs), an array or sparse, for the built network."""
        if self.inputs == self.network.inputs:
            return X
        if X.ndim != 2 or X.shape[1] != self.network.inputs:
            raise ValueError(f"X has the shape {X.shape}; expected (samples, {self.network.inputs})")
        if is_sparse(X):
            matrix = X.tocsr()
            shape = (matrix.shape[0], self.inputs)
            return type(matrix)((matrix.data, matrix.indices, matrix.indptr), shape=shape, copy=False)
        padded = np.zeros((len(X), self.inputs), X.dtype)
        padded[:, : self.network.inputs] = X
        return padded

    def parts(self, X: Any) -> Iterator[Any]:
        """Yield X as ``rows`` returns it, in parts if rows must be copied."""
        if self.inputs == self.network.inputs or is_sparse(X):
            yield self.rows(X)
            return
        step = max(1, VALUES_AT_ONCE // (self.inputs * ROWS_AT_ONCE)) * ROWS_AT_ONCE
        for first in range(0, max(1, len(X)), step):
            yield self.rows(X[first : first + step])

    def wide(self, parameters: Any) -> Any:
        """Return parameters (..., P) for the built network."""
        if self.inputs == self.network.inputs:
            return parameters
        wide = np.zeros((*parameters.shape[:-1], self.built.parameter_count), parameters.dtype)
        wide[..., self._places] = parameters
        return wide

    def own(self, parameters: Any) -> Any:
        """Return the parameters of the network, from those of the built one."""
        return parameters if self.inputs == self.network.inputs else parameters[..., self._places]


def initial_parameters(network: Description, seed: int) -> Any:
    """Return the result of ``initial_parameters`` of the module of a network, without building it."""
    drawn = (parameter_of(tensor, network.precision) for tensor in network.program.parameters)
    return draw(drawn, seed).astype(network.precision)
