"""One use of a layer: its parameters, by their letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nncodegen.certificates.products import Array


@dataclass(frozen=True)
class Use:
    """The parameters of one use of a layer: ``use("W")`` is its parameter W.

    ``parameters`` are those of the model by their names, which end in the number of a layer or in the name that the
    user gave it. ``training`` says whether statistics are those of the samples, rather than moving ones. ``arguments``
    are the names of the arguments of the call, where the layer has names.
    """

    parameters: Mapping[str, Array]
    number: str
    name: str = ""
    training: bool = False
    arguments: tuple[str, ...] = ()

    def __call__(self, letters: str) -> Array:
        """Return the values of a parameter."""
        return self.parameters[f"{letters}_{self.name}" if self.name else f"{letters}{self.number}"]

    def inner(self, place: int, name: str) -> Use:
        """Return the use of a layer inside of this one, at a place from 1 on."""
        return Use(self.parameters, f"{self.number}_{place}", name, self.training)
