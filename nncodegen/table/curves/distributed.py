"""Fits of the groups of a table that is larger than memory, spread over the workers of Dask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nncodegen.errors import TableError
from nncodegen.runtime.python.ground.missing import needed
from nncodegen.table.curves.groups import ColumnFit, fit_partition
from nncodegen.table.read import is_pattern, parquet_files

LOCAL = "local"
"""The address that stands for workers of this machine."""


def names_of(data: Path) -> tuple[str, ...]:
    """Return the columns of a Parquet file, or of a folder of them."""
    return tuple(map(str, _frame(data).columns))


def fit_distributed(
    data: Path, problem: ColumnFit, address: str, tell: Callable[[int, int], None] = lambda done, parts: None
) -> pd.DataFrame:
    """Return a row for each group, sorted by their keys: see ``fit_groups``.

    address is that of a scheduler of Dask, or "local". Rows are moved between the workers until each group lies within
    one partition; only the table of fits is returned from the workers. All groups of a fit that shares parameters stay
    on one worker, which needs the memory for their rows. ``tell`` is called with the number of finished
    partitions, and that of all. Raises TableError and BuildError.
    """
    if not problem.by:
        raise TableError("--dask spreads groups over workers: name the columns that make them with --by")
    distributed = _imported("distributed")
    names = [*problem.by, *problem.needed]
    frame = _frame(data)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise TableError(f"{data} has no column {missing[0]!r}; it has: {', '.join(map(repr, frame.columns))}")
    frame = frame[list(dict.fromkeys(names))]
    with ExitStack() as stack:
        if address == LOCAL:
            quiet = logging.ERROR  # below this level, Dask logs how it moves rows, and how its workers end
            options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": quiet}
            cluster = stack.enter_context(distributed.LocalCluster(**options))
            client = stack.enter_context(distributed.Client(cluster))
        else:
            client = stack.enter_context(distributed.Client(address))
        empty = _empty(frame, problem)
        # the groups of a fit that shares parameters are one problem, which one worker solves
        whole = frame.repartition(npartitions=1) if problem.settings.shared else frame.shuffle(on=list(problem.by))
        fitted = whole.map_partitions(partial(fit_partition, problem=problem, empty=empty), meta=empty)
        parts = client.compute(fitted.to_delayed())
        for done, _ in enumerate(distributed.as_completed(parts), 1):
            tell(done, len(parts))
        fits = pd.concat(client.gather(parts))
    return fits.sort_values(list(problem.by)).reset_index(drop=True)


def _empty(frame: Any, problem: ColumnFit) -> pd.DataFrame:
    """Return a table of fits without rows."""
    kinds = {name: frame.dtypes[name] for name in problem.by} | dict.fromkeys(problem.results, "float64")
    kinds |= {"rows": "int64", "iterations": "int64", "status": "object"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _frame(data: Path) -> Any:
    if not data.exists() and not is_pattern(data):
        raise TableError(f"there is no file {data}")
    files = parquet_files(data)
    try:
        where = list(map(str, files)) if files and is_pattern(data) else str(data)
        return _imported("dask.dataframe").read_parquet(where)
    except (OSError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise TableError(f"{data} is no Parquet file, or folder of them, that can be read: {reason}") from error


def _imported(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415

    with needed("--dask", name.partition(".")[0], "'nncodegen[dask,table]'"):
        return import_module(name)
