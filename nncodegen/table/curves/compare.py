"""Compares formulas on each group of a table: by Akaike's criterion, and by likelihood ratios where they are nested.

The criterion is corrected for few data: AICc = n*log(chi2/n) + 2*K + 2*K*(K + 1)/(n - K - 1), where K counts the free
parameters and the variance of the data (C. M. Hurvich, C.-L. Tsai, 1989).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.curves.fitting.formula import Formula
from nncodegen.curves.fitting.nested import Containment, containment
from nncodegen.runtime.python import FitResult
from nncodegen.runtime.python.ground.missing import needed
from nncodegen.table.curves.columns import Columns, Groups, columns_of, groups_of, require_rows
from nncodegen.table.curves.groups import ColumnFit, fit_rows
from nncodegen.table.curves.settings import FitSettings
from nncodegen.table.read import Table

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Comparison:
    """The comparison of formulas, by their texts, on a target column; and which of them contain others.

    ``nested`` maps the texts of a larger and a smaller formula to how the larger becomes the smaller one.
    """

    formulas: Mapping[str, Formula]
    target: str
    sigma: str | None
    by: tuple[str, ...]
    settings: FitSettings
    nested: Mapping[tuple[str, str], Containment]

    def problem(self, text: str) -> ColumnFit:
        """Return the fit of one of the formulas."""
        formula = self.formulas[text]
        return ColumnFit(formula, self.target, self.sigma, self.by, self.settings.of(formula))


def comparison(
    formulas: Mapping[str, Formula], target: str, sigma: str | None, by: tuple[str, ...], settings: FitSettings
) -> Comparison:
    """Return the comparison of formulas, after a look at which of them contain others."""
    pairs = {
        (large, small): found
        for large in formulas for small in formulas
        if large != small and (found := containment(formulas[large], formulas[small])) is not None
    }  # fmt: skip
    return Comparison(formulas, target, sigma, by, settings, pairs)


def compare_groups(
    table: Table, given: Comparison, tell: Callable[[int, int], None] = lambda done, groups: None
) -> tuple[pd.DataFrame, Columns]:
    """Return a row for each group and formula: its key, AICc, how far that is above the best, weight, and so on.

    The probabilities of likelihood ratios are in columns "p: SMALL in LARGE", in the rows of the larger formula. A
    formula that did not converge, or has too few data, has no AICc. Raises TableError.
    """
    inputs = tuple(dict.fromkeys(name for formula in given.formulas.values() for name in formula.columns))
    columns = columns_of(table, inputs, given.target, given.sigma)
    require_rows(table, columns, [*inputs, given.target])
    whole = Groups([()], [np.arange(len(columns.y))])
    groups = groups_of(table, given.by, columns.rows) if given.by else whole
    rows = []
    for number, (key, members) in enumerate(zip(groups.keys, groups.members, strict=True), start=1):
        rows += [{**dict(zip(given.by, key, strict=True)), **row} for row in _compared(columns, inputs, members, given)]
        tell(number, len(groups.keys))
    return pd.DataFrame(rows), columns


def _compared(
    columns: Columns, inputs: tuple[str, ...], members: Array, given: Comparison
) -> Iterator[dict[str, object]]:
    """Yield the row of each formula, in their order, for one group."""
    results: dict[str, FitResult] = {}
    for text, formula in given.formulas.items():
        own = replace(columns, X=columns.X[:, [inputs.index(name) for name in formula.columns]])
        if len(members):
            with warnings.catch_warnings():  # warnings of fits that did not converge, whose status the table shows
                warnings.simplefilter("ignore", RuntimeWarning)
                results[text] = fit_rows(own, members, given.problem(text))
    found = {text: one.aicc if one.success else math.nan for text, one in results.items()}
    least = min((value for value in found.values() if not math.isnan(value)), default=math.nan)
    relative = {text: math.exp(-(value - least) / 2) if value > least else float(value == least)
                for text, value in found.items()}  # fmt: skip
    total = sum(relative.values()) or math.nan
    for text, formula in given.formulas.items():
        one, value = results.get(text), found.get(text, math.nan)
        yield {
            "model": text, "parameters": len(formula.parameters), "rows": one.used if one else 0,
            "chi2": one.chi2 if one else math.nan, "aicc": value, "above_best": value - least,
            "weight": relative.get(text, math.nan) / total, "best": value == least,
            "status": one.status if one else "no_data",
            **{
                f"p: {small} in {large}": _probability(results, large, small) if text == large else math.nan
                for large, small in given.nested
            },
        }  # fmt: skip


def _probability(results: Mapping[str, FitResult], large: str, small: str) -> float:
    """Return the probability of a likelihood ratio as large as this if the smaller formula is right.

    The ratio is n*log(chi2 of the smaller/chi2 of the larger), which has the distribution of chi-square with as many
    degrees of freedom as there are more parameters, for many data (S. S. Wilks, 1938). NaN if a fit failed.
    """
    with needed("a likelihood ratio", "SciPy", "scipy"):
        from scipy.special import chdtrc  # noqa: PLC0415 (optional)
    if large not in results or not (results[large].success and results[small].success):
        return math.nan
    one, other = results[large], results[small]
    if one.chi2 <= 0:
        return math.nan if other.chi2 <= 0 else 0.0
    ratio = one.used * math.log(max(other.chi2 / one.chi2, 1.0))
    return float(chdtrc(one.free_count - other.free_count, ratio))
