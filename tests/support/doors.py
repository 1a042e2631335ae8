"""The ways to the fitter, each called alike: the fits of a module, ``curve_fit``, the estimator, and the command.

A door takes a formula, data and the options that it has; it returns an Outcome, and raises ValueError where it refuses.
All of them fit the same compiled module, which a process builds once, and finds in the cache otherwise.
"""

import csv
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.curves.fitting.formula import module_of, names_of_columns, read_formula

PLACE, SCALES = 3, (0.5, 2.0, 1.5, 1.0, 3.0)
"""Of many fits, this one is that of the given targets; the others have multiples of them."""


@dataclass
class Outcome:
    """What a door gives: ``told`` is all that it says, ``None`` stands for what it does not tell."""

    parameters: Any = None
    errors: Any = None
    covariance: Any = None
    chi2: float | None = None
    status: str | None = None
    told: str = ""


@dataclass
class Door:
    """A way to the fitter.

    ``start`` is the name of its argument for the start. ``takes`` are the options that it has besides start, bounds and
    sigma by name, and more: "array" stands for arguments in Python's other forms, "none" for data without an input,
    "sigma" for standard deviations that are checked as such, "y" for targets that must be finite or missing.
    """

    name: str
    start: str
    takes: frozenset[str]
    call: Any

    def __call__(self, formula, x, y, **options):
        """The outcome of a fit of a formula to x, (N,), (N, columns) or None, and y, (N,)."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = self.call(formula, x, y, **options)
        outcome.told += "\n".join(str(each.message) for each in caught)
        return outcome

    def __str__(self):
        return self.name


def module(formula, x, precision="float64"):
    """The module of a formula whose columns are x, or x1, x2, ..., as ``curve_fit`` names them."""
    names = () if x is None else names_of_columns(formula, 1 if np.ndim(x) == 1 else np.shape(x)[1])
    return module_of(read_formula(formula, names), precision)


def by_fit(formula, x, y, precision="float64", **options):
    fitted = module(formula, x, precision).fit(x, y, **options)
    return Outcome(
        fitted.parameters, fitted.standard_errors, fitted.covariance, fitted.chi2, fitted.status, str(fitted)
    )


def by_fit_many(formula, x, y, precision="float64", **options):
    values = np.asarray(y)
    targets = [scale * values for scale in SCALES] if values.dtype.kind in "fi" else [y] * len(SCALES)
    many = module(formula, x, precision).fit_many(x, targets, covariance=True, **options)
    figures = {name: getattr(many, name)[PLACE] for name in ("parameters", "standard_errors", "covariance", "chi2")}
    return Outcome(*figures.values(), many.status[PLACE], f"{many.status[PLACE]}\n{many[PLACE]}\n")


def by_curve_fit(formula, x, y, **options):
    columns = x if x is None or np.ndim(x) == 1 else np.transpose(x)
    try:
        fitted = nn.curve_fit(formula, columns, y, full_output=True, **options)
    except RuntimeError as error:
        return Outcome(told=str(error))
    parameters, covariance, info, _, _ = fitted
    return Outcome(parameters, np.sqrt(np.diag(covariance)), covariance, np.nansum(info["fvec"] ** 2), "converged")


ESTIMATORS = {"tolerance": "tol", "max_iterations": "max_iter"}
"""The options of ``fit`` that have scikit-learn's names in estimators."""


def by_estimator(formula, x, y, sigma=None, **options):
    """A standard deviation is a weight there, and what is missing has the weight 0."""
    from nncodegen.estimators import FormulaRegressor

    missing, weight = np.zeros(len(y), bool), None
    if np.asarray(y).dtype.kind == "f":
        missing = np.isnan(y)
        y = np.where(missing, 1e6, y)
    if sigma is not None or missing.any():
        weight = np.where(missing, 0, np.ones(len(y)) if sigma is None else np.ones(len(y)) / np.square(sigma))
    X = np.asarray(x)
    options = {ESTIMATORS.get(name, name): value for name, value in options.items()}
    estimator = FormulaRegressor(formula, **options).fit(X[:, None] if X.ndim == 1 else X, y, weight)
    result = estimator.result_
    return Outcome(
        np.array([*estimator.parameters_.values()]),
        np.array([*estimator.standard_errors_.values()]),
        estimator.covariance_,
        result.chi2,
        result.status,
        str(result),
    )


def by_command(formula, x, y, sigma=None, groups=False, **options):
    """The command ``curve``, in this process: for all rows, or for groups of them, of which one is looked at."""
    import pandas
    from click.testing import CliRunner

    from nncodegen.cli.commands import command

    X = np.asarray(x)
    columns = {"x": X} if X.ndim == 1 else {f"x{k}": column for k, column in enumerate(X.T, 1)}
    frame = pandas.DataFrame({**columns, "y": y, **({} if sigma is None else {"s": sigma})})
    if groups:
        frames = [frame.assign(g=k, y=scale * frame["y"]) for k, scale in enumerate(SCALES)]
        frame = pandas.concat(frames, ignore_index=True)
    arguments = [*(["--by", "g"] if groups else []), *([] if sigma is None else ["--sigma", "s"])]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", written(name, value)]
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.csv", Path(folder) / "out.csv"
        frame.to_csv(data, index=False)
        arguments = ["curve", str(data), f"y = {formula}", *arguments, "--out", str(out)]
        done = CliRunner().invoke(command, arguments)
        if done.exit_code:
            raise ValueError(done.output if isinstance(done.exception, SystemExit) else str(done.exception))
        rows = list(csv.DictReader(out.read_text().splitlines()))
    if not groups:
        parameters, errors = (np.array([float(row[name]) for row in rows]) for name in ("value", "standard_error"))
        status = next(line.split()[1] for line in done.output.splitlines() if line.startswith("ended "))
        return Outcome(parameters, errors, status=status, told=done.output)
    row = next(row for row in rows if row["g"] == str(PLACE))
    names = [name.removesuffix("_error") for name in row if name.endswith("_error")]
    parameters, errors = (np.array([float(row[f"{name}{end}"]) for name in names]) for end in ("", "_error"))
    return Outcome(parameters, errors, status=row["status"], told=f"{row['status']}\n")


def written(name, value):
    """An option as the command takes it: a=1,b=2 or a=0:1,b=2:."""
    if name == "bounds":
        pairs = {key: ":".join("" if end is None else repr(float(end)) for end in pair) for key, pair in value.items()}
        return ",".join(f"{key}={pair}" for key, pair in pairs.items())
    return ",".join(f"{key}={float(end)!r}" for key, end in value.items()) if isinstance(value, dict) else str(value)


MODULE = {"array", "absolute_sigma", "fixed", "tolerance", "max_iterations"}
OTHERS = {"loss", "f_scale", "n_starts"}
DOORS = tuple(
    Door(name, start, frozenset(takes), call)
    for name, start, takes, call in (
        ("fit", "p0", MODULE | OTHERS | {"none", "sigma", "y", "precision", "callback"}, by_fit),
        ("fit_many", "p0", MODULE | {"none", "sigma", "precision"}, by_fit_many),
        ("curve_fit", "p0", MODULE | OTHERS | {"none", "sigma", "y", "callback"}, by_curve_fit),
        ("estimator", "p0", MODULE | OTHERS | {"y", "precision"}, by_estimator),
        ("command", "--p0", OTHERS | {"sigma", "y"}, by_command),
        ("command for groups", "--p0", OTHERS | {"sigma", "y"}, partial(by_command, groups=True)),
    )
)
"""All of them; the names of their options are those of ``fit``, but for the start."""


def doors_with(*options):
    """The doors that have these options, as parameters of a test."""
    return [pytest.param(door, id=door.name) for door in DOORS if door.takes.issuperset(options)]


def through_each_door(cases):
    """Pairs of a door and of each case, (options that it takes, ...), as parameters of a test."""
    return [
        pytest.param(door, *case, id=f"{name}, {door}")
        for name, (options, *case) in cases.items()
        for door in DOORS
        if door.takes.issuperset(options)
    ]
