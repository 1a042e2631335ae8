"""A training or a fit for the report: its own tables and pictures, and the parameters before and after."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nncodegen.compiler.ir import Program
from nncodegen.compiler.pipeline import Compiled, evaluated
from nncodegen.errors import ModelError
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.reports.arguments import parameters_in
from nncodegen.reports.plots import ACCENT, INK, QUIET, SECOND, Plot, picture
from nncodegen.runtime.python.ground.markup import table
from nncodegen.runtime.python.results.profiles.plot import draw_profile
from nncodegen.runtime.python.results.saved import holds_result
from nncodegen.runtime.python.results.training_plot import panels_of

Array = NDArray[np.float64]

PROFILES = 12
"""The most profiles that are drawn."""

ROWS = 100
"""The most intervals of parameters that are shown, as many as a fit's own table has rows."""


@dataclass(frozen=True)
class Outcome:
    """The contents of a result: its kind, the parameters before and after, its tables, and its pictures."""

    kind: str
    before: Array
    after: Array
    tables: list[Markup] = field(default_factory=list)
    history: list[Plot] = field(default_factory=list)
    """The pictures of a training: loss, metrics and learning rate over the epochs."""
    fit: Any = None
    """The FitResult, where there is one."""
    profiles: Any = None
    """Its profiles, where they are known."""
    about: str = ""
    """A description in words, where the kind is not enough."""
    drawn: bool = False
    """True if the parameters before are those of the seed 0, as the result does not say where it began."""


def outcome_of(result: Any, compiled: Compiled) -> Outcome | None:
    """Return the outcome of a Result, a FitResult, profiles, the file of one, or parameters; None without.

    Raises ModelError.
    """
    if result is None:
        return None
    program: Program = compiled["describe"]
    path, profiles = result if isinstance(result, str | PathLike) else None, None
    if path is not None:
        result = _saved(Path(path), compiled)
    if hasattr(result, "verdicts"):
        profiles, path = result, None
        result = profiles.result
    after = parameters_in(result if path is None else path, program)
    assert after is not None
    if hasattr(result, "standard_errors"):
        tables = [*tables_of_fit(result), *([] if profiles is None else [Markup(profiles._repr_html_())])]
        return Outcome("fit", np.asarray(result.p0, float), after, tables, fit=result, profiles=profiles)
    before, drawn = before_of(program)
    if not hasattr(result, "metrics"):
        return Outcome("parameters", before, after, drawn=drawn)
    return Outcome("training", before, after, [Markup(result._repr_html_())], _history(result), drawn=drawn)


def before_of(program: Program) -> tuple[Array, bool]:
    """Return the parameters with which a training begins, and whether they are random, drawn from the seed 0."""
    drawn = any(tensor.initial.distribution not in ("constant", "given") for tensor in program.parameters)
    return np.asarray(start_of(program), float), drawn


def tables_of_fit(result: Any) -> list[Markup]:
    """Return the table of a fit, and the intervals of its parameters; without SciPy the first alone."""
    try:
        pairs = list(zip(result.names, result.confidence_intervals(), strict=True))
    except ImportError:
        pairs = []
    rows = [(name, f"{low:.5g}", f"{high:.5g}") for name, (low, high) in pairs[:ROWS]]
    intervals = [table(("95 % interval", "from", "to"), rows)] if rows else []
    return [Markup(each) for each in (result._repr_html_(), *intervals)]  # their texts are escaped


def fit_plot(result: Any) -> Plot | None:
    """Return the picture of a fit, its data above its residuals; None where no residuals are known."""
    if result.residuals is None or np.isnan(result.residuals).all():
        return None
    low, high = np.nanmin(result.residuals), np.nanmax(result.residuals)

    def draw(axes: Any) -> None:
        try:
            result.plot(axes)
        except (ImportError, ValueError):  # without SciPy, or a jacobian
            for each in axes:
                each.clear()
            result.plot(axes, interval=None)

    about = f"{result.used:,} values; below, the residuals of the outputs, from {low:.4g} to {high:.4g}."
    return picture("fit", "The fit, and its residuals", about, draw, (3.0, 1.2), color=(INK, ACCENT, SECOND, QUIET))


def profile_plots(profiles: Any) -> list[Plot]:
    """Return a picture of each of the first profiles, with what the data say of the parameter."""
    if profiles is None:
        return []
    errors = dict(zip(profiles.names, profiles.standard_errors.tolist(), strict=True))
    plots = []
    for number, name in enumerate(profiles.names[:PROFILES]):
        profile = profiles[name]

        def draw(axes: Any, profile: Any = profile) -> None:
            draw_profile(axes[0], profile, errors[profile.name], profiles.level)

        key, about = f"profile-{number}", f"{profile.verdict.text}: the rise of the cost, with all others fitted."
        plots.append(picture(key, f"The profile of {name}", about, draw, (2.4,), color=(ACCENT, SECOND, QUIET)))
    return plots


def _history(result: Any) -> list[Plot]:
    """Return the picture of the history of a training; an empty list without one."""
    if not len(result.history) or not np.isfinite(result.history).any():
        return []
    panels = panels_of(result.metrics, result.learning_rate)
    ends = []
    for name, lines in panels.items():
        for line, values in lines.items():
            known = values[np.isfinite(values)]
            if len(known):
                of = f", {line}," if len(lines) > 1 else ""
                ends.append(f"The {name}{of} goes from {known[0]:.4g} to {known[-1]:.4g}.")
    heights = (2.6, *(1.4 for _ in range(len(panels) - 1)))
    return [
        picture(
            "history",
            "Over the epochs",
            " ".join(ends),
            lambda axes: result.plot(axes=axes, kind="history"),
            heights,
            color=(ACCENT, SECOND, QUIET),
            linestyle=("-", "--", ":"),
        )
    ]


def _saved(path: Path, compiled: Compiled) -> Any:
    """Return the result in a file; None if it holds parameters alone. Raises ModelError if it is of another model."""
    with path.open("rb") as file:
        if not holds_result(file):
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the module is not compiled: nothing here takes long
        module = evaluated(compiled, "A report reads a result")
    try:
        return module.load(path)
    except ValueError as error:
        raise ModelError(str(error)) from error
