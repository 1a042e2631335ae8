"""The result of a fit as a table, in plain text and in HTML."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..ground.markup import aligned, listed, paragraph, table
from ..ground.poles import told

if TYPE_CHECKING:
    from .fitted import Fitted
    from .quantities import Quantities

HEAD = ("parameter", "value", "standard error", "error in %", "t", "start")
ROWS = 100
"""The most parameters that a table shows: a network has many, and nobody reads them."""
STRONG = 0.9
"""Above this correlation, one parameter can nearly replace another."""
CORRELATIONS = 10
"""The most correlations that a table lists, the strongest first."""


def text_table(result: Fitted, message: str, derived: Quantities) -> str:
    """Return the table of a fit, with the message of its end, as text, in lines of at most about 80 characters."""
    lines = [_title(result), "", *aligned(HEAD, [*_rows(result), *_others(derived)])]
    notes = _notes(result, message)
    label = max(len(name) for name, _ in notes)
    return "\n".join([*lines, "", *(f"{name:<{label}}   {text}" for name, text in notes)])


def html_table(result: Fitted, message: str, derived: Quantities) -> str:
    """Return the table of a fit, with the message of its end, in HTML."""
    parts = (
        paragraph(_title(result), "b"),
        table(HEAD, [*_rows(result), *_others(derived)]),
        table((), _notes(result, message)),
    )
    return f"<div>{''.join(parts)}</div>"


def _title(result: Fitted) -> str:
    parameters = f"{len(result.parameters)} parameter{'s' * (len(result.parameters) != 1)}"
    return f"{result._model.name}: {parameters}, fitted to {result.used} values"


def _rows(result: Fitted) -> list[tuple[str, ...]]:
    """Return a row for each parameter: name, value, standard error, relative error in per cent, t, start."""
    rows: list[tuple[str, ...]] = []
    shown = list(zip(result.names, result.parameters, result.standard_errors, result.p0, result.free, strict=True))
    for name, value, error, start, free in shown[:ROWS]:
        rows.append(
            (
                name,
                f"{value:.8g}",
                *(_errors(float(value), float(error)) if free else ("fixed", "", "")),
                f"{start:.6g}",
            )
        )
    if len(shown) > ROWS:
        rows.append((f"... {len(shown) - ROWS} more", "", "", "", "", ""))
    return rows


def _others(derived: Quantities) -> list[tuple[str, ...]]:
    """Return a row for each tied parameter and derived quantity, which have no start."""
    rows = zip(derived.names, derived.values.tolist(), derived.standard_errors.tolist(), derived.tied, strict=True)
    return [
        (name, f"{value:.8g}", *_errors(value, error), "tied" if tied else "derived")
        for name, value, error, tied in rows
    ]


def _errors(value: float, error: float) -> tuple[str, str, str]:
    """Return the standard error, the relative error in per cent, and t; empty texts if the error is unknown."""
    if not math.isfinite(error):
        return f"{error:g}", "", ""
    relative = f"{100 * error / abs(value):.3g}" if value else ""
    return f"{error:.4g}", relative, f"{value / error:.4g}" if error else ""


def _notes(result: Fitted, message: str) -> list[tuple[str, str]]:
    """Return the notes below the parameters: pairs of a label and a text."""
    facts = result._model.facts
    curved = facts.fitting.curved
    unit = "samples" if curved and facts.fitting.mean_over == 1 and not facts.fitting.noise else "values"
    notes = (
        [("log-likelihood", f"{result.log_likelihood:.6g}"), ("R2", f"{result.r2:.6g}")]
        if facts.fitting.noise
        else [("sum of losses", f"{result.cost:.6g}")]
        if curved
        else [
            ("chi2", f"{result.chi2:.6g}"),
            ("reduced chi2", f"{result.reduced_chi2:.6g}"),
            ("R2", f"{result.r2:.6g}"),
        ]
    )
    notes += [
        ("AIC, BIC", f"{result.aic:.6g}, {result.bic:.6g}"),
        ("degrees of freedom", _degrees(result, unit)),
        ("ended", f"{result.status} after {result.iterations} iterations, {result.evaluations} evaluations"),
        ("", message),
    ]
    notes += result.notes
    if result.robust is not None:
        notes.append(("robust loss", f"{result.robust}, beyond residuals of {result.f_scale:g}"))
    notes += [("correlation" if first else "", text) for first, text in _numbered(_correlations(result))]
    notes += _warnings(result)
    return notes


def _degrees(result: Fitted, unit: str) -> str:
    """Return the degrees of freedom, and from what they are counted if that is this fit alone."""
    counted = f" = {result.used} {unit} - {result.free_count} free parameters"
    is_of_this_fit = result.degrees_of_freedom == result.used - result.free_count
    return f"{result.degrees_of_freedom}{counted if is_of_this_fit else ''}"


def _warnings(result: Fitted) -> list[tuple[str, str]]:
    """Return the warnings about standard errors: undetermined parameters, parameters at bounds, fixed ones."""
    notes = [("a pole", told(result.poles))] if result.poles else []
    if result.undetermined:
        text = f"{listed(result.undetermined)}: the data determine {result.rank} of {result.free_count} combinations"
        notes.append(("not determined", text))
    if result.degrees_of_freedom <= 0 and result.free_count and not result.absolute_sigma:
        notes.append(("no errors", "there are no more values than free parameters, so their errors cannot be told"))
    held = [name for name, at in zip(result.names, result.at_bound, strict=True) if at]
    if held:
        notes.append(("at a bound", f"{listed(held)}: standard errors are those without the bound"))
    fixed = [name for name, free in zip(result.names, result.free, strict=True) if not free]
    if fixed:
        notes.append(("fixed", listed(fixed)))
    return notes


def _correlations(result: Fitted) -> list[str]:
    """Return the pairs of strongly correlated parameters, the strongest first."""
    if not result.shows_correlations:
        return []
    sizes = np.abs(np.triu(result.correlation, 1))
    pairs = [(int(i), int(j)) for i, j in np.argwhere(sizes > STRONG)]
    pairs.sort(key=lambda pair: (-float(sizes[pair]), pair))
    lines = [f"{result.correlation[i, j]:+.4f} of {result.names[i]} and {result.names[j]}" for i, j in pairs]
    return lines if len(lines) <= CORRELATIONS else [*lines[:CORRELATIONS], f"{len(lines) - CORRELATIONS} more"]


def _numbered(lines: list[str]) -> list[tuple[bool, str]]:
    """Return each line together with whether it is the first."""
    return [(not position, line) for position, line in enumerate(lines)]
