"""The command ``curve``: its messages, and the files that it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nncodegen.compiler.building.files import write_at_once
from nncodegen.compiler.escape import printable
from nncodegen.curves.fitting.formula import Formula
from nncodegen.curves.fitting.start import check_names, named
from nncodegen.errors import BuildError, ModelError
from nncodegen.runtime.python import FitResult
from nncodegen.runtime.python.ground.frames import ERROR
from nncodegen.runtime.python.ground.markup import aligned
from nncodegen.table.curves.columns import columns_of, require_rows
from nncodegen.table.curves.compare import Comparison, compare_groups, comparison
from nncodegen.table.curves.equation import BY_NAME, EXAMPLE, read_equation, read_models
from nncodegen.table.curves.groups import ColumnFit, fit_groups, fit_rows, value_and_error
from nncodegen.table.curves.motion import draw_motion, fit_motion, is_motion, read_motion
from nncodegen.table.curves.pictures import draw_fit, draw_groups
from nncodegen.table.curves.settings import FitSettings
from nncodegen.table.read import Table, read_table
from nncodegen.table.rows import write_csv

PICTURES = (".png", ".svg", ".pdf")
"""The suffixes of files that a fit can be drawn to."""

SHOWN = 12
"""The most parameters whose starts and median errors are printed."""


def run_curve(
    data: Path,
    equation: str | None,
    sigma: str | None,
    by: tuple[str, ...],
    settings: FitSettings,
    out: Path | None,
    plot: Path | None,
    dask: str | None,
    models: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    profiles: bool = False,
) -> None:
    """Fit a formula to the columns of a file, or compare several. Raises TableError, ModelError and BuildError."""
    console = Console(highlight=False, soft_wrap=True, stderr=True)
    read = partial(read_table, data, encoding, sheet)
    if dask is not None and (encoding or sheet):
        raise BuildError("--encoding and --sheet are for single files, and --dask reads Parquet files: leave them out")
    for option, value in (("--models", models), ("--by", by), ("--dask", dask)):
        if profiles and value:
            raise BuildError(f"--profiles is for the fit of one formula to all rows: leave it out with {option}")
    if models is not None:
        _compare(console, data, read, equation, models, sigma, by, settings, out, plot, dask)
        return
    if equation is None:
        raise ModelError(f"there is no equation: write it like {EXAMPLE} or {BY_NAME}, or compare formulas by --models")
    drawn = _file_of_profiles(plot) if profiles and plot is not None else None
    for path in filter(None, (out, plot, drawn)):
        _check_new(path)
    if plot is not None and plot.suffix not in PICTURES:
        raise BuildError(f"{plot} does not end in {', '.join(PICTURES)}: the format of the picture is not known")
    if dask is not None:
        if is_motion(equation):
            raise BuildError("--dask is for fits of formulas: leave it out with differential equations")
        if plot is not None:
            raise BuildError("--plot draws rows that lie on the workers with --dask: leave out one of them")
        from nncodegen.table.curves.distributed import fit_distributed, names_of  # noqa: PLC0415 (dask is optional)

        problem = _understood(console, equation, names_of(data), sigma, by, settings)
        if settings.shared:
            _line(console, "dask", "one worker fits all groups, since they share parameters")
        with _bar(console, "parts") as tell:
            fits = fit_distributed(data, problem, dask, tell)
        _write(console, fits, problem, out)
        return
    table = read()
    _line(console, "read", f"{data}: {len(table.frame)} rows, {len(table.columns)} columns")
    if is_motion(equation):
        _fit_motion(console, table, equation, sigma, by, settings, out, plot, profiles)
        return
    problem = _understood(console, equation, table.columns, sigma, by, settings)
    if by:
        _fit_groups(console, table, problem, out, plot)
    else:
        _fit_one(console, table, problem, out, plot, profiles)


def _understood(
    console: Console, equation: str, names: Any, sigma: str | None, by: tuple[str, ...], settings: FitSettings
) -> ColumnFit:
    """Return the problem that the arguments describe, after printing it."""
    if settings.shared and not by:
        raise BuildError("--shared names parameters that groups have in common: name the columns of these with --by")
    target, formula = read_equation(
        equation,
        names,
        named(settings.p0, settings.bounds),
        settings.ties,
        settings.derived,
        (*by, *([sigma] if sigma is not None else []), *settings.sigma_x.values()),
    )
    settings.check(formula)
    _line(console, "fit", f"{target} = {formula.expression}")
    deviations = f", with the standard deviations {sigma}" if sigma is not None else ""
    _line(console, "columns", f"{', '.join(formula.columns) or 'none'}{deviations}")
    if settings.shared:
        own_names = ", ".join(settings.own_of(formula))
        _line(console, "shared", f"{', '.join(settings.shared)} by all groups; each has its own {own_names}")
    for name, column in settings.sigma_x_of(formula).items():
        _line(console, "errors in x", f"{name}, with the standard deviations {column}")
    for name, tie in formula.ties:
        _line(console, "tie", f"{name} = {tie}")
    for name, quantity in formula.derived:
        _line(console, "derived", f"{name} = {quantity}")
    _line(console, "start", "from the data" if settings.needs_data(formula) else _start(settings, formula))
    limits = settings.limits_of(formula)
    if limits is not None:
        of_each = zip(formula.parameters, *limits, strict=True)
        intervals = [_interval(*quantity) for quantity in of_each if np.isfinite(quantity[1:]).any()]
        _line(console, "bounds", ", ".join(intervals))
    options = settings.checked_options
    if options.loss != "linear":
        _line(console, "loss", f"{options.loss}, for residuals beyond {options.f_scale:g}")
    return ColumnFit(formula, target, sigma, by, settings)


def _start(settings: FitSettings, formula: Formula) -> str:
    """Return the start of a fit that does not follow from the data, as text."""
    pairs = list(zip(formula.parameters, settings.start_of(formula), strict=True))
    more = f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    points = f", and {settings.n_starts:,} points within the bounds" if settings.n_starts is not None else ""
    return ", ".join(f"{name} = {value:g}" for name, value in pairs[:SHOWN]) + more + points


def _fit_motion(
    console: Console,
    table: Table,
    equation: str,
    sigma: str | None,
    by: tuple[str, ...],
    settings: FitSettings,
    out: Path | None,
    plot: Path | None,
    profiles: bool,
) -> None:
    """Fit differential equations to a table, whose rows are the times of one trajectory."""
    for option, value in (
        ("--by", by),
        ("--tie", settings.ties),
        ("--derived", settings.derived),
        ("--shared", settings.shared),
        ("--sigma-x", settings.sigma_x),
        ("--p0 auto", isinstance(settings.p0, str)),
    ):
        if value:
            raise BuildError(f"{option} is for fits of formulas: leave it out with differential equations")
    problem = read_motion(equation, table.columns, [sigma] if sigma is not None else [])
    _line(
        console,
        "fit",
        "; ".join(f"{each_equation.left} = {str(each_equation.right).strip()}" for each_equation in problem.equations),
    )
    others = f", with {', '.join(problem.columns)} between rows on straight lines" if problem.columns else ""
    _line(console, "columns", f"{', '.join(problem.observed)} over {problem.time}{others}")
    _line(console, "parameters", ", ".join(problem.names))
    result, steps, checked, times, fitted, Y = fit_motion(table, problem, sigma, settings)
    _line(console, "method", f"tsit5, {steps} steps from each row to the next")
    if not checked:
        text = f"whether {steps} steps are enough; the fit ended as {result.status}, only converged ones are checked"
        _line(console, "not checked", text)
    _write_result(console, result, problem.names, out)
    if plot is not None:
        draw_motion(problem, times, Y, fitted, plot)
        _line(console, "drawn to", str(plot))
    if profiles:
        _write_profiles(console, result, plot)


def _compare(
    console: Console,
    data: Path,
    read: Callable[[], Table],
    equation: str | None,
    models: str,
    sigma: str | None,
    by: tuple[str, ...],
    settings: FitSettings,
    out: Path | None,
    plot: Path | None,
    dask: str | None,
) -> None:
    """Compare formulas on the columns of a file, and print or write the table."""
    for option, value in (
        ("--plot", plot),
        ("--dask", dask),
        ("--tie", settings.ties),
        ("--derived", settings.derived),
        ("--shared", settings.shared),
        ("--sigma-x", settings.sigma_x),
    ):
        if value:
            raise BuildError(f"{option} is for the fit of one formula: leave it out with --models")
    if out is not None:
        _check_new(out)
    table = read()
    _line(console, "read", f"{data}: {len(table.frame)} rows, {len(table.columns)} columns")
    others = (*by, *([sigma] if sigma is not None else []))
    target, formulas = read_models(equation, models, table.columns, named(settings.p0, settings.bounds), others)
    every = tuple(dict.fromkeys(name for formula in formulas.values() for name in formula.parameters))
    check_names(every, settings.starts, "--p0")
    check_names(every, settings.bounds, "--bounds")
    for text, formula in formulas.items():
        settings.of(formula).check(formula)
        _line(console, "model", f"{text}: {target} = {formula.expression}")
    compared = comparison(formulas, target, sigma, by, settings)
    for (large, small), how in compared.nested.items():
        values = ", ".join(f"{name} = {value}" for name, value in how.values.items())
        rough = "" if how.regular else "; a value at a bound, or without effect: its probability is rough"
        _line(console, "contains", f"{large} is {small} for {values}{rough}")
    with _bar(console, "groups") as tell:
        rows, columns = compare_groups(table, compared, tell)
    _tell_left_out(console, columns.left_out)
    if out is not None:
        write_at_once(out, write_csv(rows).encode())
    elif by:
        click.echo(write_csv(rows), nl=False)
    if not by:
        click.echo(printable("\n".join(_lines_of_comparison(rows, compared)), lines=True))
    best = rows.loc[rows["best"], "model"].value_counts()
    _line(console, "best", ", ".join(f"{text} ({count:,})" if by else text for text, count in best.items()) or "none")
    if out is not None:
        _line(console, "written to", str(out))


def _lines_of_comparison(table: Any, compared: Comparison) -> list[str]:
    """Return the lines of a comparison without groups: a table, the best first, and the likelihood ratios."""
    head = ("model", "parameters", "chi2", "AICc", "above the best", "weight", "ended")
    rows = [
        (
            row.model,
            f"{row.parameters}",
            f"{row.chi2:.6g}",
            f"{row.aicc:.2f}",
            f"{row.above_best:.2f}",
            f"{row.weight:.3f}",
            row.status,
        )
        for row in table.sort_values("aicc", kind="stable").itertuples()
    ]
    lines = aligned(head, rows, (0, 6))
    for large, small in compared.nested:
        p = float(table.loc[table["model"] == large, f"p: {small} in {large}"].iloc[0])
        lines += [f"likelihood ratio of {large} and {small}: p = {p:.3g}, {_verdict(p, large, small)}"]
    return lines if not compared.nested else [*lines[: 1 + len(rows)], "", *lines[1 + len(rows) :]]


def _verdict(p: float, large: str, small: str) -> str:
    """Return what a likelihood ratio says at the usual level."""
    if np.isnan(p):
        return "which is not known, since a fit did not converge"
    return f"so {large} is better" if p < 0.05 else f"so {small} is enough"


def _fit_one(
    console: Console, table: Table, problem: ColumnFit, out: Path | None, plot: Path | None, profiles: bool
) -> None:
    formula = problem.formula
    columns = columns_of(table, formula.columns, problem.target, problem.sigma, problem.sigma_x)
    require_rows(table, columns, problem.needed)
    _tell_left_out(console, columns.left_out)
    result = fit_rows(columns, slice(None), problem)
    _write_result(console, result, formula.results, out)
    if plot is not None:
        draw_fit(result, problem, plot)
        _line(console, "drawn to", str(plot))
    if profiles:
        _write_profiles(console, result, plot)


def _write_profiles(console: Console, result: FitResult, plot: Path | None) -> None:
    """Print what the data say of each parameter; draw it beside the picture of the fit, if there is one."""
    try:
        profiles = result.profiles()
    except ValueError as error:
        _line(console, "profiles", f"none: {error}")
        return
    click.echo(printable(f"\n{profiles}", lines=True))
    if plot is not None:
        drawn = _file_of_profiles(plot)
        profiles.plot().savefig(drawn, dpi=150)
        _line(console, "drawn to", str(drawn))


def _file_of_profiles(plot: Path) -> Path:
    """Return the file of the picture of profiles, beside that of the fit."""
    return plot.with_name(f"{plot.stem}-profiles{plot.suffix}")


def _fit_groups(console: Console, table: Table, problem: ColumnFit, out: Path | None, plot: Path | None) -> None:
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
        TextColumn(f"fitting {what}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("fitting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write_result(console: Console, result: FitResult, names: Iterable[str], out: Path | None) -> None:
    """Print the table of one fit; write its parameters and their errors to a file, if one is named."""
    click.echo(printable(str(result), lines=True))
    if out is None:
        return
    rows = ((name, *value_and_error(result, name)) for name in names)
    text = "".join(f"{name},{value!r},{error!r}\n" for name, value, error in rows)
    write_at_once(out, f"parameter,value,standard_error\n{text}".encode())
    _line(console, "written to", str(out))


def _write(console: Console, fits: Any, problem: ColumnFit, out: Path | None) -> None:
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
        names = problem.formula.results[:SHOWN]
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


def _line(console: Console, name: str, text: str) -> None:
    console.print(printable(f"{name:<14}{text}"), markup=False)
