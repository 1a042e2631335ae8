"""The commands ``fit`` and ``predict``: their messages, and the files that they write."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from nncodegen.compiler.building.files import reason_of, write_at_once
from nncodegen.compiler.escape import printable
from nncodegen.errors import BuildError
from nncodegen.table.candidates import FOLDS
from nncodegen.table.fitting import Fitted, Understood, fit
from nncodegen.table.read import Table, is_pattern, read_table
from nncodegen.table.rows import ending_of, stem_of, write_csv
from nncodegen.table.search import FEW_ERRORS
from nncodegen.table.settings import Settings
from nncodegen.table.trained import check_out, holds_model, load_model

_MOST_COLUMNS = 30
_MOST_CANDIDATES = 10
_MOST_CLASSES = 20


def run_fit(
    data: Path,
    target: str,
    task: str | None,
    category: tuple[str, ...],
    drop: tuple[str, ...],
    keep: tuple[str, ...],
    settings: Settings,
    out: Path | None,
    quiet: bool,
    overwrite: bool = False,
    encoding: str | None = None,
    sheet: str | None = None,
) -> None:
    """Learn from a file, and write a folder. Raises TableError, ModelError and BuildError.

    A model in the folder is replaced only with ``overwrite``.
    """
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    folder = out or Path(f"{data.parent.name or 'data' if is_pattern(data) else stem_of(data)}_model")
    check_out(folder)  # before the work, not after it
    if holds_model(folder) and not overwrite:
        raise BuildError(
            f"{folder} holds a model already, which is not overwritten: name another folder with --out, or give "
            f"--overwrite"
        )
    table = read_table(data, encoding, sheet)
    commas = f", with decimal commas as in {table.decimal_comma}" if table.decimal_comma else ""
    _line(console, "read", f"{data}: {len(table.frame)} rows, {len(table.columns)} columns{commas}")
    with console.status("") as status:
        fitted = fit(
            table,
            target,
            task,
            category,
            drop,
            settings,
            lambda understood: _tell(console, table, understood),
            lambda name: status.update(f"trying: {name}"),
            keep,
        )
    _warn(console, fitted, quiet)
    _compare(console, fitted, settings)
    _judge(console, fitted)
    _line(console, "learned", f"again what was chosen, from all {fitted.rows + fitted.held_out} rows: this is written")
    fitted.save(folder)
    predict = f"python -m nncodegen predict {folder} DATA{ending_of(data)}"
    console.print(printable(f"\nwritten to    {folder}\npredict with  {predict}", lines=True), markup=False)


def run_predict(
    model: Path, data: Path, out: Path | None, unknown: str, encoding: str | None = None, sheet: str | None = None
) -> None:
    """Predict for the rows of a file, and write to another file or to the standard output.

    Raises TableError, ModelError and BuildError.
    """
    if out is not None and out.exists():
        raise BuildError(f"{out} exists already, and is not overwritten: name another file")
    loaded = load_model(model)
    text = write_csv(loaded.predict(read_table(data, encoding, sheet), unknown))
    if out is None:
        text = printable(text, lines=True) if sys.stdout.isatty() else text
        sys.stdout.write(text)
        return
    try:
        write_at_once(out, text.encode())
    except OSError as error:
        raise BuildError(f"cannot write to {out}: {reason_of(error)}; name another file") from error


def _tell(console: Console, table: Table, understood: Understood) -> None:
    """Print what was understood of a table."""
    rows = len(table.frame)
    _line(console, "task", understood.target.show())
    if understood.left_out:
        _line(console, "left out", f"{understood.left_out} of {rows} rows, which have no {understood.target.name}")
    names = [printable(column.name) for column in understood.columns[:_MOST_COLUMNS]]
    width = max(map(len, names), default=0)
    for number, (name, column) in enumerate(zip(names, understood.columns, strict=False)):
        missing = understood.missing.get(column.name)
        lacks = f"; missing in {missing} of {rows} rows" if missing else ""
        _line(console, "" if number else "columns", f"{name:<{width}}  {column.show()}{lacks}")
    if len(understood.columns) > _MOST_COLUMNS:
        _line(console, "", f"and {len(understood.columns) - _MOST_COLUMNS} more")
    for number, skipped in enumerate(understood.skipped[:_MOST_COLUMNS]):
        _line(console, "" if number else "not used", f"{skipped.name}: {skipped.reason}")
    if len(understood.skipped) > _MOST_COLUMNS:
        _line(console, "", f"and {len(understood.skipped) - _MOST_COLUMNS} more")


def _warn(console: Console, fitted: Fitted, quiet: bool) -> None:
    """Print the metrics in which the model is no better than the baseline: before all else, and also with --quiet."""
    figures = [
        f"{metric.name} {metric.network:.4g}, {metric.baseline} {metric.simple:.4g}"
        for metric in fitted.worse_than_baseline
    ]
    if not figures:
        return
    figures_text = printable("; ".join(figures))
    text = f"{'NO BETTER':<14}than without a model, on the {fitted.held_out} rows held out: {figures_text}"
    if quiet:
        print(text, file=sys.stderr)
    console.print(text, style="bold red", markup=False)


def _compare(console: Console, fitted: Fitted, settings: Settings) -> None:
    """Print the candidates with their losses, those that were chosen, and why."""
    search, choice = fitted.search, fitted.choice
    count = len(search.tried)
    candidates = f"{count} candidate{'s' if count > 1 else ''} in {fitted.seconds:.1f} s"
    _line(console, "tried", f"{candidates}; {_validation(fitted.folds)} on {fitted.rows} rows")
    if search.out_of_time:
        _line(
            console, "", f"stopped by the time limit of {settings.time_limit:g} s: more time may give a better result"
        )
    ranked = sorted(search.tried, key=lambda candidate: candidate.loss)
    shown = [
        candidate
        for k, candidate in enumerate(ranked)
        if k < _MOST_CANDIDATES or choice.weight(candidate) or not candidate.family.rates
    ]
    width = max(len(candidate.name) for candidate in shown)
    _line(console, "", f"{'candidate':<{width}}  {'epochs':>6}  {'validation loss':<19}  weight")
    for candidate in shown:
        epochs = "" if candidate.epochs is None else candidate.epochs
        weight = f"{choice.weight(candidate):.2f}" if choice.weight(candidate) else ""
        loss = f"{candidate.loss:.4f} ± {candidate.error:.4f}"
        _line(console, "", f"{candidate.name:<{width}}  {epochs:>6}  {loss:<19}  {weight}".rstrip())
    if len(shown) < len(ranked):
        _line(console, "", f"and {len(ranked) - len(shown)} more, with higher losses")
    _line(console, "chosen", _why(fitted))


def _validation(used: int) -> str:
    """Return how candidates are compared, given how many of the folds are left out in turn."""
    if used == 1:
        return f"validation on one fold of {FOLDS}"
    return f"{used}-fold cross-validation" if used >= FOLDS else f"validation on {used} folds of {FOLDS}"


def _why(fitted: Fitted) -> str:
    """Return a sentence that says what was chosen, and why."""
    choice = fitted.choice
    simplest, members = choice.simplest, choice.members
    if fitted.search.few_errors:
        return f"{simplest.name}: at most {FEW_ERRORS} validation errors, too few to prefer anything else"
    if len(fitted.search.tried) == 1:
        return f"{simplest.name}: nothing else was tried"
    gain = f"{choice.gain:.4f} ± {choice.error:.4f}"
    if choice.prefers_simplest and not simplest.family.rates:
        if choice.gain <= 0:
            return f"{simplest.name}: better than all others, and than their averages"
        if choice.gain > choice.error:
            return f"{simplest.name}: the best average is better by {gain}, but hardly right more often"
        return f"{simplest.name}: the best average is better by {gain}, which may be chance"
    networks = sum(len(member.parameters) for member in fitted.model.members)
    what = f"the average of {len(members)} candidates" if len(members) > 1 else members[0][0].name
    text = f"{what}, {networks} networks in all, with a validation loss of {choice.loss:.4f}"
    return text + (f": better than the linear model by {gain}" if not simplest.family.rates else "")


def _judge(console: Console, fitted: Fitted) -> None:
    """Print the metrics beside those of the baseline; for classes, also those of each, and the confusion matrix."""
    _line(console, "held out", f"{fitted.held_out} rows as a test set, which nothing before has seen")
    for metric in fitted.metrics:
        _line(console, "", f"{metric.name:<24}{metric.network:<10.4g} {metric.baseline}: {metric.simple:.4g}")
    if not fitted.classes:
        return
    classes = [printable(class_metric.name) for class_metric in fitted.classes]
    width = max(5, *map(len, classes))
    _line(console, "by class", f"{'':<{width}}  precision  recall  F1      rows")
    for name, class_metric in zip(classes[:_MOST_CLASSES], fitted.classes, strict=False):
        precision, recall, f1 = (
            _share(value) for value in (class_metric.precision, class_metric.recall, class_metric.f1)
        )
        _line(console, "", f"{name:<{width}}  {precision:<9}  {recall:<6}  {f1:<6}  {class_metric.count}")
    if len(fitted.classes) > _MOST_CLASSES:
        _line(console, "", f"and {len(fitted.classes) - _MOST_CLASSES} more")
        return
    if (width + 2) * (len(classes) + 1) > 120:  # the names do not fit into a line: numbers replace them
        wide = max(4, len(str(fitted.confusion.max())))
        names = [str(number) for number in range(1, len(classes) + 1)]
        labels = [f"{number} {name}" for number, name in zip(names, classes, strict=True)]
    else:
        wide, names, labels = width, classes, classes
    first = max(map(len, labels))
    _line(
        console,
        "confusion",
        f"{'is, predicted as':<{max(first, 16)}}  {'  '.join(f'{name:>{wide}}' for name in names)}",
    )
    for label, row in zip(labels, fitted.confusion, strict=True):
        _line(console, "", f"{label:<{max(first, 16)}}  {'  '.join(f'{count:>{wide}}' for count in row)}")


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _line(console: Console, name: str, value: Any) -> None:
    console.print(f"{name:<14}{printable(value)}", markup=False)
