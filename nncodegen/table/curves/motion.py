"""Differential equations of the command ``curve``: "u' = -k*u", fitted to columns over time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nncodegen.compiler.describe.grammar import names_in, primed
from nncodegen.compiler.describe.hints import PRIME, shown
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.motion import Dynamics
from nncodegen.compiler.motion.dynamics import HELD, LINEAR
from nncodegen.compiler.motion.equations import Equation, read_equations
from nncodegen.compiler.pipeline import build_module
from nncodegen.curves.fitting.start import check_names
from nncodegen.errors import ModelError, TableError
from nncodegen.runtime.python import FitResult
from nncodegen.runtime.python.ground.pictures import new_axes
from nncodegen.table.curves.columns import numbers_of
from nncodegen.table.curves.settings import FitSettings
from nncodegen.table.read import Table

NAME = "motion"

TIMES = ("t", "time")
"""The columns that are the time where there are several that may be."""

FEWEST, MOST = 4, 1024
"""The steps from each row to the next that are tried first, and the most."""

ENOUGH = 1e-5
"""The largest change of the curve by twice as many steps, relative to its largest value, at which steps are enough."""


@dataclass(frozen=True)
class Motion:
    """Differential equations and what their names are in a table: the time, observed states, other columns."""

    equations: tuple[Equation, ...]
    text: str
    time: str
    observed: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    starts: dict[str, str]
    """The parameters that are initial values, by what they start: u0 for u."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all parameters, initial values last."""
        return (*self.parameters, *self.starts.values())

    def model(self, times: int, steps: int, start: dict[str, float]) -> Dynamics:
        """Return the model of a table with a number of rows."""
        return Dynamics(
            self.text,
            self.starts,
            {name: start[name] for name in self.names},
            times=times,
            columns=self.columns,
            observed=self.observed,
            steps=steps,
            time=self.time,
            interpolation=LINEAR if self.columns else HELD,
            name=NAME,
        )


class Fitted(NamedTuple):
    """A fit, the number of its steps from row to row, the times, the curves and the data, (observed states, rows).

    ``checked`` tells whether the curves of twice as many steps have been compared with these: if the fit converged.
    """

    result: FitResult
    steps: int
    checked: bool
    times: Any
    curves: Any
    data: Any


def is_motion(equation: str) -> bool:
    """Return whether an equation has a derivative in time on a left side: u' = ..."""
    return PRIME in primed(equation).partition("=")[0] or bool(re.search(rf"[;\n][^=]*{PRIME}[^=]*=", primed(equation)))


def read_motion(text: str, columns: Sequence[str], reserved: Collection[str] = ()) -> Motion:
    """Return the equations, given the names of all columns; ``reserved`` are not the time. Raises ModelError.

    States that are columns are observed. Names that are neither states nor columns are parameters.
    """
    equations = read_equations(text, "the command")
    states = [equation.name for equation in equations]
    observed = tuple(equation.name for equation in equations if equation.name in columns)
    if not observed:
        raise ModelError(f"none of {', '.join(states)} in {shown(text)} is a column; there are: {', '.join(columns)}")
    left = [name for name in columns if name not in states and name not in reserved]
    moving = {equation.name + PRIME * order for equation in equations for order in range(max(equation.order, 1))}
    read: dict[str, None] = {}
    for equation in equations:
        right = primed(str(equation.right))
        read |= dict.fromkeys(names_in(right, f"the equation {equation.left} = ...", {*columns, *moving}))
    unread = [name for name in left if name not in read]
    time = next((name for name in TIMES if name in left), unread[0] if len(unread) == 1 else None)
    if time is None or not time.isidentifier():
        raise ModelError(
            f"which column is the time is not clear: name it {' or '.join(TIMES)}; there are: {', '.join(columns)}"
        )
    starts = {
        equation.name + "'" * order: f"{equation.name}{'_prime' * order}0"
        for equation in equations
        for order in range(equation.order)
    }
    used = tuple(name for name in left if name in read and name != time)
    parameters = tuple(name for name in read if name not in (*moving, *used, time, *starts.values()))
    for name in starts.values():
        if name in columns:
            raise ModelError(f"the column {name} has the name of an initial value: rename it")
    return Motion(equations, text, time, observed, used, parameters, starts)


def fit_motion(table: Table, problem: Motion, sigma: str | None, settings: FitSettings) -> Fitted:
    """Return the fit to a table.

    Steps are quadrupled until doubling them changes the fitted curve by less than ENOUGH. A fit that ends in another
    way than by converging is not repeated, and its steps are not checked. Raises ModelError where MOST of them are not
    enough, and TableError.
    """
    check_names(problem.names, settings.starts, "--p0")
    check_names(problem.names, settings.bounds, "--bounds")
    times, Y, columns, deviations = _rows(table, problem, sigma)
    start = dict.fromkeys(problem.names, 1.0)
    start |= {name: 0.0 for key, name in problem.starts.items() if key.endswith("'")}
    start |= {
        problem.starts[name]: _first(values)
        for name, values in zip(problem.observed, Y, strict=True)
        if name in problem.starts  # an abbreviation has no initial value
    }
    start |= {name: min(max(start[name], low), high) for name, (low, high) in settings.bounds.items()}
    start |= settings.starts
    X = np.concatenate([times, *columns])[None]
    weights = None if deviations is None else np.tile(deviations, len(Y))[None]
    steps, p0 = FEWEST, np.array([start[name] for name in problem.names])
    while steps <= MOST:
        module = build_module(problem.model(len(times), steps, start))
        result = module.fit(
            X,
            Y.reshape(1, -1),
            p0=p0,
            sigma=weights,
            bounds=settings.bounds or None,
            **settings.options,
            n_starts=settings.n_starts,
        )
        if result.converged:
            p0 = result.parameters
            coarse = module.predict(p0, X)
            fine = _solution(problem.model(len(times), 2 * steps, start), p0, X)
            if np.isfinite(fine).all() and abs(fine - coarse).max() <= ENOUGH * max(abs(fine).max(), 1e-300):
                return Fitted(result, steps, True, times, coarse.reshape(len(Y), -1), Y)
        elif np.isfinite(result.chi2):
            curves = module.predict(result.parameters, X).reshape(len(Y), -1)
            return Fitted(result, steps, False, times, curves, Y)
        steps *= 4
    raise ModelError(
        f"{MOST} steps from row to row are not enough for {shown(problem.text)}: it is stiff, or its solution is not "
        f'finite; give other starts by --p0; in Python, nncodegen.Dynamics(..., method="rodas5p") takes stiff equations'
    )


def _solution(model: Dynamics, parameters: Any, X: Any) -> Any:
    """Return the outputs of a model at the times of its sample, (1, outputs*times), without compiling it."""
    program = model.describe()
    targets = np.zeros((1, sum(tensor.size for tensor in program.targets)))
    with np.errstate(all="ignore"):
        values = evaluate(program, parameters, X, targets, results=program.outputs)
    return np.concatenate([values[tensor.tensor] for tensor in program.outputs], axis=1)


def _first(values: Any) -> float:
    """Return the first value that is not missing."""
    return float(values[np.isfinite(values)][0])


def _rows(table: Table, problem: Motion, sigma: str | None) -> tuple[Any, Any, list[Any], Any]:
    """Return times in ascending order, the data of each observed state, other columns and the standard deviations."""
    times = numbers_of(table, problem.time)
    columns = [numbers_of(table, name) for name in problem.columns]
    deviations: Any = None if sigma is None else numbers_of(table, sigma)
    if sigma is not None and not (deviations > 0).all():
        wrong = int(np.flatnonzero(~(deviations > 0))[0])
        raise TableError(f"{table.where(wrong, sigma)}: a standard deviation must be above 0")
    for name, values in zip((problem.time, *problem.columns), (times, *columns), strict=True):
        if not np.isfinite(values).all():
            wrong = int(np.flatnonzero(~np.isfinite(values))[0])
            raise TableError(f"{table.where(wrong, name)}: a value is missing, which the equations need in each row")
    order = np.argsort(times, kind="stable")
    Y = np.array([numbers_of(table, name)[order] for name in problem.observed])
    for name, values in zip(problem.observed, Y, strict=True):
        if not np.isfinite(values).any():
            raise TableError(f"{table.path} has no value of {name}")
    return times[order], Y, [values[order] for values in columns], None if sigma is None else deviations[order]


def draw_motion(problem: Motion, times: Any, data: Any, curves: Any, path: Path) -> None:
    """Write a picture of data and fitted curves over time to a file: axes for each observed state."""
    axes = new_axes(len(problem.observed), sharex=True, figsize=(6.4, 2 + 2 * len(problem.observed)))
    for axis, name, points, curve in zip(axes, problem.observed, data, curves, strict=True):
        axis.plot(times, curve, color="C1")
        axis.plot(times, points, "o", color="C0", markersize=4)
        axis.set_ylabel(name)
    axes[-1].set_xlabel(problem.time)
    axes[0].set_title(problem.text, fontsize="medium")
    axes[0].figure.savefig(path, dpi=150)
