"""What a fit of the command ``curve`` is told, besides the equation and the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncodegen.curve.formula import Formula
from nncodegen.curve_table.options import check_known


@dataclass(frozen=True)
class Settings:
    """Starts and bounds by name, the starting points, a robust loss or None, the seed and the threads."""

    start: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    starts: int | None = None
    robust: str | None = None
    seed: int = 0
    threads: int = 1

    def check(self, formula: Formula) -> None:
        """Raises ModelError for names that are no parameters of a formula."""
        check_known(self.start, formula.parameters, "--start")
        check_known(self.bounds, formula.parameters, "--bounds")

    def start_of(self, formula: Formula) -> Any:
        """Where to start, (P,): 1 where nothing is said, or the nearest point within the bounds."""
        low, high = self.bounds_of(formula) or (-np.inf, np.inf)
        usual = np.clip(np.ones(len(formula.parameters)), low, high)
        return np.array([self.start.get(name, value) for name, value in zip(formula.parameters, usual, strict=True)])

    def bounds_of(self, formula: Formula) -> tuple[Any, Any] | None:
        """The lower and the upper bounds, each (P,); None without any."""
        if not self.bounds:
            return None
        pairs = np.array([self.bounds.get(name, (-np.inf, np.inf)) for name in formula.parameters])
        return pairs[:, 0], pairs[:, 1]

    @property
    def one_by_one(self) -> bool:
        """Whether something is asked for that fits side by side do not do."""
        return self.starts is not None or self.robust is not None
