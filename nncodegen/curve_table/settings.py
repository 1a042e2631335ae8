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
    """Starts and bounds by name, the starting points, a robust loss or None, its scale, the seed and the threads."""

    start: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    starts: int | None = None
    robust: str | None = None
    robust_scale: float = 1.0
    seed: int = 0
    threads: int = 1

    def check(self, formula: Formula) -> None:
        """Raise ModelError for names that are no parameters of a formula, and for options that contradict others."""
        check_names(formula.parameters, self.start, "--start")
        check_names(formula.parameters, self.bounds, "--bounds")
        for name, value in self.start.items():
            low, high = self.bounds.get(name, (-np.inf, np.inf))
            if not low <= value <= high:
                raise ModelError(f"--start {name}={value:g} is outside of --bounds {name}={low:g}:{high:g}")
        unbounded = [name for name in formula.parameters if not np.isfinite(self.bounds.get(name, np.inf)).all()]
        if self.starts is not None and unbounded:
            raise ModelError(
                f"--starts spreads starting points within bounds, and {unbounded[0]} has none on both sides: give them "
                f"with --bounds {unbounded[0]}=LOW:HIGH"
            )
        if self.robust is None and self.robust_scale != 1:
            raise ModelError("--robust-scale has no effect without a robust loss: give --robust, or leave it out")

    def start_of(self, formula: Formula) -> Any:
        """Return the start, (P,): what is not given is 1, or a point within the bounds (``read_start``)."""
        return read_start(formula, self.start, self.bounds_of(formula), "--start")

    def bounds_of(self, formula: Formula) -> Bounds | None:
        """Return the lower and the upper bounds, each (P,); None without any."""
        return read_bounds(formula.parameters, self.bounds or None)

    @property
    def one_by_one(self) -> bool:
        """Return whether an option is set that fits side by side do not support."""
        return self.starts is not None or self.robust is not None
