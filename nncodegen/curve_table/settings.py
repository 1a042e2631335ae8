"""The options of a fit of the command ``curve``, in addition to the equation and the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncodegen.curve.formula import Formula
from nncodegen.curve.start import Bounds, check_names, read_bounds, read_start
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class Settings:
    """Starts and bounds by name, the number of starting points, the loss and its scale, the seed and the threads."""

    p0: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    n_starts: int | None = None
    loss: str = "linear"
    f_scale: float = 1.0
    seed: int = 0
    threads: int = 1

    def check(self, formula: Formula) -> None:
        """Raise ModelError for names that are no parameters of a formula, and for options that contradict others."""
        check_names(formula.parameters, self.p0, "--p0")
        check_names(formula.parameters, self.bounds, "--bounds")
        for name, value in self.p0.items():
            low, high = self.bounds.get(name, (-np.inf, np.inf))
            if not low <= value <= high:
                raise ModelError(f"--p0 {name}={value:g} is outside of --bounds {name}={low:g}:{high:g}")
        unbounded = [name for name in formula.parameters if not np.isfinite(self.bounds.get(name, np.inf)).all()]
        if self.n_starts is not None and unbounded:
            raise ModelError(
                f"--n-starts spreads starting points within bounds, and {unbounded[0]} has none on both sides: give "
                f"them with --bounds {unbounded[0]}=LOW:HIGH"
            )
        if self.loss == "linear" and self.f_scale != 1:
            raise ModelError("--f-scale has no effect on --loss linear: give a robust loss, or leave it out")

    def start_of(self, formula: Formula) -> Any:
        """Return the start, (P,): what is not given is 1, or a point within the bounds (``read_start``)."""
        return read_start(formula, self.p0, self.bounds_of(formula), "--p0")

    def bounds_of(self, formula: Formula) -> Bounds | None:
        """Return the lower and the upper bounds, each (P,); None without any."""
        return read_bounds(formula.parameters, self.bounds or None)

    @property
    def one_by_one(self) -> bool:
        """Return whether an option is set that fits side by side do not support."""
        return self.n_starts is not None or self.loss != "linear"
