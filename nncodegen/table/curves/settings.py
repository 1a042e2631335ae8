"""The options of a fit of the command ``curve``, in addition to the equation and the data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nncodegen.curves.fitting.formula import Formula, module_of
from nncodegen.curves.fitting.start import Bounds, check_names, limits_of, read_start, start_and_search
from nncodegen.errors import ModelError
from nncodegen.runtime.python.arguments.bounds import check_bounds
from nncodegen.runtime.python.arguments.calls import FIT, FIT_MANY
from nncodegen.runtime.python.arguments.fit_options import CheckedFitOptions
from nncodegen.runtime.python.fitting.fit import AUTO


@dataclass(frozen=True)
class FitSettings:
    """Starts and bounds by name, the number of starting points, and other options of a fit by their names.

    p0 is "auto" where a start is looked for. Ties and derived quantities are formulas by name.
    """

    p0: dict[str, float] | str = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    n_starts: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Options of ``fit`` that mean the same for every formula and table (``cli/flags.py``)."""
    ties: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    """The parameters that all groups have in common."""
    sigma_x: dict[str, str] = field(default_factory=dict)
    """Columns of standard deviations by the columns of x; "" stands for the only one."""

    @property
    def starts(self) -> dict[str, float]:
        """Return the starts by name that were given."""
        return {} if isinstance(self.p0, str) else self.p0

    def of(self, formula: Formula) -> FitSettings:
        """Return the settings with the starts and bounds of the parameters of a formula alone."""
        p0 = self.p0 if isinstance(self.p0, str) else {k: v for k, v in self.p0.items() if k in formula.parameters}
        return replace(self, p0=p0, bounds={k: v for k, v in self.bounds.items() if k in formula.parameters})

    def check(self, formula: Formula) -> None:
        """Raise ModelError for names that are no parameters of a formula, and for options that contradict others."""
        check_names(formula.parameters, self.starts, "--p0")
        check_names(formula.parameters, self.bounds, "--bounds")
        check_names(formula.parameters, dict.fromkeys(self.shared), "--shared")
        if self.shared and not self.own_of(formula):
            raise ModelError("--shared names all parameters, so that groups have none of their own: leave out one")
        if self.shared and self.n_starts is not None:
            raise ModelError("--n-starts is for fits without --shared: give --p0, or --p0 auto")
        for name, value in self.starts.items():
            low, high = self.bounds.get(name, (-np.inf, np.inf))
            if not low <= value <= high:
                raise ModelError(f"--p0 {name}={value:g} is outside of --bounds {name}={low:g}:{high:g}")
        unbounded = [name for name in formula.parameters if not np.isfinite(self.bounds.get(name, np.inf)).all()]
        if self.n_starts is not None and unbounded:
            raise ModelError(
                f"--n-starts spreads starting points within bounds, and {unbounded[0]} has none on both sides: give "
                f"them with --bounds {unbounded[0]}=LOW:HIGH"
            )
        options = self.checked_options
        if options.loss == "linear" and options.f_scale != 1:
            raise ModelError("--f-scale has no effect on --loss linear: give a robust loss, or leave it out")

    @property
    def checked_options(self) -> CheckedFitOptions:
        """Return the options with the defaults of all others."""
        return CheckedFitOptions.of(**self.options)

    @property
    def options_of_many(self) -> dict[str, Any]:
        """Return the options that ``fit_many`` takes, too."""
        return {name: value for name, value in self.options.items() if name in FIT_MANY.options}

    def sigma_x_of(self, formula: Formula) -> dict[str, str]:
        """Return the columns of the standard deviations of x by those of x. Raises ModelError."""
        if "" in self.sigma_x:
            if len(formula.columns) != 1:
                raise ModelError(
                    f"--sigma-x does not tell whose standard deviations these are: write it like "
                    f"{next(iter(formula.columns), 'x')}={self.sigma_x['']}"
                )
            return {formula.columns[0]: self.sigma_x[""]}
        check_names(formula.columns, self.sigma_x, "--sigma-x")
        return self.sigma_x

    def own_of(self, formula: Formula) -> tuple[str, ...]:
        """Return the parameters that each group has for itself, beside shared ones."""
        return tuple(name for name in formula.parameters if name not in self.shared)

    def start_of(self, formula: Formula) -> Any:
        """Return the start, (P,), if the data do not tell it: what is not given is 1, or a point within the bounds."""
        return read_start(formula, self.starts, self.bounds_of(formula), "--p0")

    def start_and_search(self, formula: Formula) -> tuple[Any, Any]:
        """Return the start and n_starts as ``fit`` takes them (``start_and_search``)."""
        return start_and_search(formula, self.p0 or None, self.n_starts, self.bounds_of(formula), "--p0")

    def bounds_of(self, formula: Formula) -> Any:
        """Return the bounds as ``fit`` takes them; None without any."""
        return limits_of(formula, self.bounds or None)

    def limits_of(self, formula: Formula) -> Bounds | None:
        """Return the lower and the upper bounds, each (P,), with those of a curve; None without any."""
        module: Any = module_of(formula)
        return check_bounds(module._model, self.bounds_of(formula))

    def needs_data(self, formula: Formula) -> bool:
        """Return whether the start of a formula is computed from the data."""
        return self.p0 == AUTO or formula.curve is not None

    def one_by_one(self, formula: Formula) -> bool:
        """Return whether there is something that fits side by side do not support."""
        special = {name for name, value in self.options.items() if value != FIT.defaults[name]} - {"seed"}
        return bool(self.n_starts) or not special <= FIT_MANY.options.keys() or self.needs_data(formula)
