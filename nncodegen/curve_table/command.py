"""The command ``curve``: its messages, and the files that it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nncodegen.building.files import write_at_once
from nncodegen.curve.start import named
from nncodegen.curve_table.columns import columns_of, require_rows
from nncodegen.curve_table.equation import read_equation
from nncodegen.curve_table.groups import Problem, fit_groups, fit_rows
from nncodegen.curve_table.pictures import draw_fit, draw_groups
from nncodegen.curve_table.settings import Settings
from nncodegen.errors import BuildError
from nncodegen.printable import printable
from nncodegen.runtime.python.ground.frames import ERROR
from nncodegen.table.read import Table, read_table
from nncodegen.table.rows import write_csv

PICTURES = (".png", ".svg", ".pdf")
"""The suffixes of files that a fit can be drawn to."""

SHOWN = 12
"""The most parameters whose starts and median errors are printed."""


def run_curve(
    data: Path, equation: str, sigma: str | None, by: tuple[str, ...], settings: Settings, out: Path | None,
    plot: Path | None, dask: str | None,
) -> None:  # fmt: skip
    """Fit a formula to the columns of a file. Raises TableError, ModelError and BuildError."""
    console = Console(highlight=False, soft_wrap=True, stderr=True)
    for path in filter(None, (out, plot)):
        _check_new(path)
    if plot is not None and plot.suffix not in PICTURES:
        raise BuildError(f"{plot} does not end in {', '.join(PICTURES)}: the format of the picture is not known")
    if dask is not None:
        if plot is not None:
            raise BuildError("--plot draws rows that lie on the workers with --dask: leave out one of them")
        from nncodegen.curve_table.distributed import fit_distributed, names_of  # noqa: PLC0415 (dask is optional)

        problem = _understood(console, equation, names_of(data), sigma, by, settings)
        with _bar(console, "parts") as tell:
            fits = fit_distributed(data, problem, dask, tell)
        _write(console, fits, problem, out)
        return
    table = read_table(data)
    _line(console, "read", f"{data}: {len(table.frame)} rows, {len(table.columns)} columns")
    problem = _understood(console, equation, table.columns, sigma, by, settings)
    if by:
        _fit_groups(console, table, problem, out, plot)
    else:
        _fit_one(console, table, problem, out, plot)


def _understood(
    console: Console, equation: str, names: Any, sigma: str | None, by: tuple[str, ...], settings: Settings
) -> Problem:
    """Return the problem that the arguments describe, after printing it."""
    target, formula = read_equation(equation, names, named(settings.p0, settings.bounds))
    settings.check(formula)
    _line(console, "fit", f"{target} = {formula.expression}")
    deviations = f", with the standard deviations {sigma}" if sigma is not None else ""
    _line(console, "columns", f"{', '.join(formula.columns)}{deviations}")
    pairs = list(zip(formula.parameters, settings.start_of(formula), strict=True))
    more = f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    points = f", and {settings.n_starts:,} points within the bounds" if settings.n_starts is not None else ""
    _line(console, "start", f"{', '.join(f'{name} = {value:g}' for name, value in pairs[:SHOWN])}{more}{points}")
    if settings.bounds:
        _line(console, "bounds", ", ".join(_interval(name, *pair) for name, pair in settings.bounds.items()))
    if settings.loss != "linear":
        _line(console, "loss", f"{settings.loss}, for residuals beyond {settings.f_scale:g}")
    return Problem(formula, target, sigma, by, settings)


def _fit_one(console: Console, table: Table, problem: Problem, out: Path | None, plot: Path | None) -> None:
    formula = problem.formula
    columns = columns_of(table, formula.columns, problem.target, problem.sigma)
    require_rows(table, columns, problem.needed)
    _tell_left_out(console, columns.left_out)
    result = fit_rows(columns, slice(None), problem)
    click.echo(printable(str(result), lines=True))
    if out is not None:
        rows = zip(formula.parameters, result.parameters.tolist(), result.standard_errors.tolist(), strict=True)
        text = "".join(f"{name},{value!r},{error!r}\n" for name, value, error in rows)
        write_at_once(out, f"parameter,value,standard_error\n{text}".encode())
        _line(console, "written to", str(out))
    if plot is not None:
        draw_fit(result, problem, plot)
        _line(console, "drawn to", str(plot))


def _fit_groups(console: Console, table: Table, problem: Problem, out: Path | None, plot: Path | None) -> None:
    with _bar(console, "groups") as tell:
        fits, columns, groups = fit_groups(table, problem, tell)
    _tell_left_out(console, columns.left_out)
    _write(console, fits, problem, out)
    if plot is not None:
        drawn = draw_groups(fits, columns, groups, problem, plot)
        part = f", the first {drawn} of {len(groups.keys):,} groups" if drawn < len(groups.keys) else ""
        _line(console, "drawn to", f"{plot}{part}")


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows progress on a terminal: it is called with the numbers of finished and all parts."""
    with Progress(
        TextColumn(f"fitting {what}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console,
        transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("fitting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write(console: Console, fits: Any, problem: Problem, out: Path | None) -> None:
    """Write the table of fits to a file or the standard output; print how fits ended, and the errors of parameters."""
    text = write_csv(fits)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_at_once(out, text.encode())
    counts = fits["status"].value_counts()
    _line(console, "fits", ", ".join(f"{count:,} {status}" for status, count in counts.items()))
    good = fits[fits["status"] == "converged"]
    if len(good):
        names = problem.formula.parameters[:SHOWN]
        errors = [(good[f"{name}{ERROR}"] / good[name]).abs().median() for name in names]
        shown = (f"{name} {error:.2g}%" for name, error in zip(names, 100 * np.array(errors), strict=True))
        _line(console, "median errors", ", ".join(shown))
    if out is not None:
        _line(console, "written to", str(out))


def _interval(name: str, low: float, high: float) -> str:
    """Return bounds as text: 0 <= a <= 1."""
    return f"{f'{low:g} <= ' if low > -np.inf else ''}{name}{f' <= {high:g}' if high < np.inf else ''}"


def _tell_left_out(console: Console, rows: int) -> None:
    if rows:
        _line(console, "left out", f"{rows:,} row{'s' * (rows != 1)} in which a value is missing")


def _check_new(path: Path) -> None:
    if path.exists():
        raise BuildError(f"{path} exists already, and is not overwritten: name another file")


def _line(console: Console, name: str, found: str) -> None:
    console.print(printable(f"{name:<14}{found}"), markup=False)
