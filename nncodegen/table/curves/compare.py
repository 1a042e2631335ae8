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
        (large, small): contained
        for large in formulas
        for small in formulas
        if large != small and (contained := containment(formulas[large], formulas[small])) is not None
    }
    return Comparison(formulas, target, sigma, by, settings, pairs)


def compare_groups(
    table: Table, compared: Comparison, tell: Callable[[int, int], None] = lambda done, groups: None
) -> tuple[pd.DataFrame, Columns]:
    """Return a row for each group and formula: its key, AICc, how far that is above the best, weight, and so on.

    The probabilities of likelihood ratios are in columns "p: SMALL in LARGE", in the rows of the larger formula. A
    formula that did not converge, or has too few data, has no AICc. Raises TableError.
    """
    inputs = tuple(dict.fromkeys(name for formula in compared.formulas.values() for name in formula.columns))
    columns = columns_of(table, inputs, compared.target, compared.sigma)
    require_rows(table, columns, [*inputs, compared.target])
    whole = Groups([()], [np.arange(len(columns.y))])
    groups = groups_of(table, compared.by, columns.rows) if compared.by else whole
    rows = []
    for number, (key, members) in enumerate(zip(groups.keys, groups.members, strict=True), start=1):
        rows += [
            {**dict(zip(compared.by, key, strict=True)), **row} for row in _compared(columns, inputs, members, compared)
        ]
        tell(number, len(groups.keys))
    return pd.DataFrame(rows), columns


def _compared(
    columns: Columns, inputs: tuple[str, ...], members: Array, compared: Comparison
) -> Iterator[dict[str, object]]:
    """Yield the row of each formula, in their order, for one group."""
    results: dict[str, FitResult] = {}
    for text, formula in compared.formulas.items():
        formula_columns = replace(columns, X=columns.X[:, [inputs.index(name) for name in formula.columns]])
        if len(members):
            with warnings.catch_warnings():  # warnings of fits that did not converge, whose status the table shows
                warnings.simplefilter("ignore", RuntimeWarning)
                results[text] = fit_rows(formula_columns, members, compared.problem(text))
    criteria = {text: result.aicc if result.success else math.nan for text, result in results.items()}
    least = min((value for value in criteria.values() if not math.isnan(value)), default=math.nan)
    relative = {
        text: math.exp(-(value - least) / 2) if value > least else float(value == least)
        for text, value in criteria.items()
    }
    total = sum(relative.values()) or math.nan
    for text, formula in compared.formulas.items():
        result, value = results.get(text), criteria.get(text, math.nan)
        yield {
            "model": text,
            "parameters": len(formula.parameters),
            "rows": result.used if result else 0,
            "chi2": result.chi2 if result else math.nan,
            "aicc": value,
            "above_best": value - least,
            "weight": relative.get(text, math.nan) / total,
            "best": value == least,
            "status": result.status if result else "no_data",
            **{
                f"p: {small} in {large}": _probability(results, large, small) if text == large else math.nan
                for large, small in compared.nested
            },
        }


def _probability(results: Mapping[str, FitResult], large: str, small: str) -> float:
    """Return the probability of a likelihood ratio as large as this if the smaller formula is right.

    The ratio is n*log(chi2 of the smaller/chi2 of the larger), which has the distribution of chi-square with as many
    degrees of freedom as there are more parameters, for many data (S. S. Wilks, 1938). NaN if a fit failed.
    """
    with needed("a likelihood ratio", "SciPy", "scipy"):
        from scipy.special import chdtrc  # noqa: PLC0415 (optional)
    if large not in results or not (results[large].success and results[small].success):
        return math.nan
    large_fit, other = results[large], results[small]
    if large_fit.chi2 <= 0:
        return math.nan if other.chi2 <= 0 else 0.0
    ratio = large_fit.used * math.log(max(other.chi2 / large_fit.chi2, 1.0))
    return float(chdtrc(large_fit.free_count - other.free_count, ratio))
