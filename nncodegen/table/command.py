"""The commands ``fit`` and ``predict``: what they print, and where they write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from nncodegen.errors import BuildError
from nncodegen.printable import printable
from nncodegen.table.fit import Fitted, Settings, Understood, fit
from nncodegen.table.model import check_out, load_model
from nncodegen.table.read import Table, read_table
from nncodegen.table.rows import ending_of, stem_of, write_csv

_ENDINGS = {
    "stopped_early": "the validation loss fell no longer",
    "completed": "all epochs were used: more may be better",
    "diverged": "it diverged: choose a lower --learning-rate",
}
_MOST_COLUMNS = 30


def run_fit(
    data: Path,
    layers: tuple[int, ...],
    target: str,
    task: str | None,
    activation: str,
    loss: str | None,
    category: tuple[str, ...],
    drop: tuple[str, ...],
    keep: tuple[str, ...],
    epochs: int,
    learning_rate: float,
    seed: int,
    precision: str,
    out: Path | None,
    quiet: bool,
) -> None:
    """Learns from a file, and writes a folder. Raises TableError, ModelError and BuildError."""
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    folder = out or Path(f"{stem_of(data)}_model")
    check_out(folder)  # before the work, not after it
    table = read_table(data)
    commas = f", with decimal commas as in {table.decimal_comma}" if table.decimal_comma else ""
    _line(console, "read", f"{data}: {len(table.frame)} rows, {len(table.columns)} columns{commas}")
    settings = Settings(layers, activation, loss, epochs, learning_rate=learning_rate, seed=seed, precision=precision)
    fitted = fit(
        table, target, task, category, drop, settings, lambda understood: _tell(console, table, understood),
        progress=not quiet, keep=keep,
    )  # fmt: skip
    _line(console, "trained", f"{fitted.epochs} epochs, the best was {fitted.best_epoch}; {_ENDINGS[fitted.status]}")
    _judge(console, fitted)
    fitted.model.write(folder)
    predict = f"python -m nncodegen predict {folder} DATA{ending_of(data)}"
    console.print(printable(f"\nwritten to    {folder}\npredict with  {predict}", lines=True), markup=False)


def run_predict(model: Path, data: Path, out: Path | None, unknown: str) -> None:
    """Predicts for a file, to another or to the standard output. Raises TableError, ModelError and BuildError."""
    if out is not None and out.exists():
        raise BuildError(f"{out} exists already, and is not overwritten: name another file")
    loaded = load_model(model)
    text = write_csv(loaded.predict(read_table(data), unknown))
    if out is None:
        text = printable(text, lines=True) if sys.stdout.isatty() else text
        sys.stdout.write(text)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BuildError(f"cannot write to {out}: {error.strerror or error}; name another file") from error


def _tell(console: Console, table: Table, understood: Understood) -> None:
    """What was understood of a table."""
    rows = len(table.frame)
    _line(console, "task", understood.target.show())
    if understood.left_out:
        _line(console, "left out", f"{understood.left_out} of {rows} rows, which have no {understood.target.name}")
    width = max((len(column.name) for column in understood.columns[:_MOST_COLUMNS]), default=0)
    for number, column in enumerate(understood.columns[:_MOST_COLUMNS]):
        missing = understood.missing.get(column.name)
        lacks = f"; missing in {missing} of {rows} rows" if missing else ""
        _line(console, "" if number else "columns", f"{column.name:<{width}}  {column.show()}{lacks}")
    if len(understood.columns) > _MOST_COLUMNS:
        _line(console, "", f"and {len(understood.columns) - _MOST_COLUMNS} more")
    for number, skipped in enumerate(understood.skipped[:_MOST_COLUMNS]):
        _line(console, "" if number else "not used", f"{skipped.name}: {skipped.reason}")
    if len(understood.skipped) > _MOST_COLUMNS:
        _line(console, "", f"and {len(understood.skipped) - _MOST_COLUMNS} more")


def _judge(console: Console, fitted: Fitted) -> None:
    """The metrics, beside those of the baseline."""
    _line(console, "held out", f"{fitted.held_out} rows, which the training has not seen")
    for metric in fitted.metrics:
        _line(console, "", f"{metric.name:<24}{metric.network:<10.4g} {metric.baseline}: {metric.simple:.4g}")


def _line(console: Console, name: str, found: Any) -> None:
    console.print(f"{name:<14}{printable(found)}", markup=False)
