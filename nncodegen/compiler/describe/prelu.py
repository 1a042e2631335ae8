"""The layer PReLU, whose slope left of zero is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Standard
from nncodegen.compiler.describe.normalization import axes_of
from nncodegen.compiler.ir.functions import leaky_relu


@dataclass(frozen=True)
class PReLU(Standard):
    """x where it is positive, alpha*x elsewhere, with a slope alpha for each value of a sample, which is trained.

    (He et al., 2015.) Slopes are shared along shared_axes, given by number, where axis 0 is that of the samples: alpha
    has the shape of the other axes. The derivative at 0 is alpha.
    """

    alpha_initializer: str | float = "zeros"
    shared_axes: int | Sequence[int] | None = None

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"alpha": ("alpha", "weight")}

    def describe(self, call: Call) -> Part:
        """Write the step h = x where x > 0, else alpha*x."""
        slope_indices = self.of_slopes(call)
        alpha = call.parameter("alpha", slope_indices, self.alpha_initializer, (1, 1), penalized=False)
        return call.output(leaky_relu(call.x, alpha))

    def of_slopes(self, call: Call) -> tuple[str, ...]:
        """Return the indices of the slopes."""
        shared = () if self.shared_axes in (None, (), []) else axes_of(call, self.shared_axes)
        return tuple(index for index in call.x.indices[1:] if index not in shared)
