"""Reading results from the files that they were saved to."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments.fit_options import restored
from .arguments.grouping import Grouping, begins_of
from .fitting.fit_with_errors import ProblemWithErrors
from .fitting.grouped import GroupedProblem, GroupedSolution, Rows
from .fitting.grouped_with_errors import GroupedProblemWithErrors
from .fitting.problem import Problem
from .ground.endings import ENDINGS, STATUSES
from .results.bordered import in_lanes
from .results.fit_result import FitResult
from .results.fit_with_errors import FitWithErrors
from .results.grouped_fit import GroupedFit
from .results.grouped_with_errors import GroupedFitWithErrors
from .results.many_fits import ENDINGS as ENDINGS_OF_MANY
from .results.many_fits import ManyFits
from .results.many_result import ManyResult
from .results.profiles.loaded import of_many_profiles, of_profiles
from .results.profiles.many import ManyProfiles
from .results.profiles.profile import Profiles
from .results.result import Result
from .results.saved import (
    FIT,
    GROUPED,
    LABELS,
    MANY,
    MANY_FITS,
    MANY_PROFILES,
    PROFILES,
    OtherFormatError,
    read_arrays,
)
from .results.solution import solution_of

if TYPE_CHECKING:
    from .native.model import Model


def load(model: Model, /, path: str | PathLike[str]) -> Any:
    """Return the result that was saved in a file, of the class that was saved, for this model in this precision.

    Raises ValueError for a file that is no result, that is damaged, or that belongs to another model.
    """
    with open(path, "rb") as file:
        try:
            content = read_arrays(model, file)
            if isinstance(content, dict):
                restore: Callable[[Model, dict[str, Any]], Any] = _RESTORE.get(str(content["format"]), _restore)
                return restore(model, content)
        except KeyError as error:
            raise ValueError(f"{path!s} is no result that was saved: it lacks {error}") from error
        except OtherFormatError as error:
            raise ValueError(
                f"{path!s} was saved by another version of nncodegen: {error}; load it with a module that this version "
                f"built, or save the result again with this one"
            ) from error
        except Exception as error:  # reading a damaged archive may raise any error
            raise ValueError(f"{path!s} is damaged, or no result that was saved: {error}") from error
    raise ValueError(
        f"{path!s} belongs to another model: it was saved for {content}, this is {model.name} in {model.precision}; "
        f"load it with the module that saved it"
    )


def _restore(model: Model, arrays: dict[str, Any]) -> Result:
    """Return the result of a training from the arrays of a file. Raises ValueError if they do not fit together."""
    names, figures, best = [str(key) for key in arrays["names"]], arrays["figures"], int(arrays["best_epoch"])
    loss, seconds = map(float, arrays["numbers"])
    status, message = map(str, arrays["status"])
    state = {key.removeprefix("state."): value for key, value in arrays.items() if key.startswith("state.")}
    if state:
        state |= {key: str(state[key]) for key in ("identity", "optimizer", "monitor", "watched") if key in state}
        state["variables"] = [str(key) for key in state["variables"]]
        state["metrics"] = int(state["metrics"])
    epochs = figures.shape[1]
    resumable = not state or (state["counters"][1] == epochs and len(state["state"]) == len(state["variables"]))
    rate = arrays.get("learning_rate")
    classes = arrays.get("classes", arrays.get("numbered_classes"))
    fit = (
        len(names) == len(figures)
        and (rate is None or len(rate) == epochs)
        and ("plateau" in state) == ("watched" in state)
    )
    plateau = state.get("plateau", np.array([1.0, 0.0, 0.0, 0.0]))
    counted = np.isfinite(plateau[2:]).all() and (plateau[2:] >= 0).all()
    fit = fit and bool(0 < plateau[0] <= 1 and not np.isnan(plateau[1]) and counted)
    if "loss" not in names or status not in STATUSES or not fit or not 0 <= best <= epochs or not resumable:
        raise ValueError("its parts do not fit together")
    metrics = dict(zip(names, figures, strict=True))
    held = state or None
    reached = arrays["parameters"]
    return Result(model, reached, loss, metrics, status, best or None, seconds, message, held, rate, classes)


def _restore_fit(model: Model, arrays: dict[str, Any]) -> FitResult:
    """Return the result of a fit from the arrays of a file. Raises ValueError if they do not fit together."""
    Y, triangle, X, residuals = arrays["Y"], arrays["triangle"], arrays.get("X"), arrays.get("residuals")
    cost, chi2, *numbers = map(float, arrays["numbers"])
    used, iterations, evaluations, *counts = map(int, arrays["counts"])
    ending, *texts = map(str, arrays["texts"])
    sigma = next((arrays[name] for name in ("sigma", "sigmas", "sigmas_of_each") if name in arrays), None)
    bounds = (arrays["lower"], arrays["upper"]) if "lower" in arrays else None
    free, outputs = np.count_nonzero(arrays["free"]), len(model.output_names)
    fits = (
        (X is None) == (not model.input_names)
        and (X is None or len(X) == len(Y))
        and triangle.shape == (free, free)
        and (residuals is None) == (model.facts.fitting.curved and not model.facts.fitting.noise)
        and (residuals is None or residuals.shape == (len(Y), outputs))
        and (sigma is None or sigma.ndim == 0 or len(sigma) == len(Y))
        and _fit_together(arrays)
    )
    if not fits or ending not in ENDINGS:
        raise ValueError("its parts do not fit together")
    options = restored(model, bounds, numbers=numbers, counts=counts, texts=texts)
    problem = Problem(model, X, Y, sigma, options)
    poles = tuple(map(str, arrays.get("poles", ())))
    solution = solution_of(
        arrays["parameters"],
        residuals,
        triangle,
        arrays["at_bound"],
        cost,
        chi2,
        used,
        ending,
        iterations,
        evaluations,
        arrays.get("costs"),
        poles,
    )
    values = problem, solution, arrays["start"], ~arrays["free"]
    if "sigma_x" in arrays:
        errors = {name: arrays[name] for name in ("sigma_x", "changes")}
        result = FitWithErrors(*values, ProblemWithErrors(problem, **errors), **errors)
        if "x_errors" in arrays:
            result.x_standard_errors = arrays["x_errors"]
        return result
    return FitResult(*values, problem)


def _fit_together(arrays: dict[str, Any]) -> bool:
    """Return whether the arrays of a file that tell the errors of inputs have the same samples as the others."""
    lengths = {len(arrays[name]) for name in ("sigma_x", "changes", "x_errors") if name in arrays}
    has_sigma_x = "sigma_x" in arrays
    return (
        lengths <= {len(arrays["Y"])}
        and has_sigma_x == ("changes" in arrays)
        and (has_sigma_x or "x_errors" not in arrays)
    )


def _restore_groups(model: Model, arrays: dict[str, Any]) -> FitResult:
    """Return the result of a fit in groups, or of one of them, from the arrays of a file. Raises ValueError."""
    whole = _restore_all_groups(model, arrays)
    place = int(arrays.get("group", 0))
    if not 0 <= place < len(whole.labels):
        raise ValueError(f"it has no group {place}")
    return whole.group(whole.labels[place]) if "group" in arrays else whole


def _restore_all_groups(model: Model, arrays: dict[str, Any]) -> GroupedFit:
    """Return the result of a fit in groups from the arrays of a file. Raises ValueError if they do not fit together."""
    Y, X, order, numbers = arrays["Y"], arrays.get("X"), arrays["order"], arrays["numbers_of_groups"]
    labels: list[Any] = next((arrays[name].tolist() for name in LABELS if name in arrays), [])
    groups, samples = len(labels), len(Y)
    own_indices, shared = (np.flatnonzero(mask & arrays["free"]) for mask in (arrays["own"], ~arrays["own"]))
    sigma = next((arrays[name] for name in ("sigma", "sigmas", "sigmas_of_each") if name in arrays), None)
    bounds = (arrays["lower"], arrays["upper"]) if "lower" in arrays else None
    ending, *texts = map(str, arrays["texts"])
    count = len(own_indices) + len(shared)
    fits = (
        groups > 0
        and {len(arrays[name]) for name in ("parameters", "start", "triangles", "costs", "signs", "unfinished")}
        == {groups}
        and arrays["triangles"].shape == (groups, count, count + 1)
        and arrays["own_at_bound"].shape == (groups, len(own_indices))
        and arrays["shared_at_bound"].shape == (len(shared),)
        and (X is None) == (not model.input_names)
        and (X is None or len(X) == samples)
        and len(numbers) == samples
        and sorted(order.tolist()) == list(range(samples))
        and (sigma is None or sigma.ndim == 0 or len(sigma) == samples)
        and sorted(set(numbers.tolist())) == list(range(groups))
        and (np.diff(numbers) >= 0).all()
        and _fit_together(arrays)
    )
    if not fits or ending not in ENDINGS:
        raise ValueError("its parts do not fit together")
    iterations, evaluations, *counts, threads = map(int, arrays["counts"])
    options = restored(model, bounds, numbers=map(float, arrays["numbers"]), counts=counts, texts=texts)
    numbers_by_sample = np.empty(samples, np.intp)
    numbers_by_sample[order] = numbers
    grouping = Grouping(labels, numbers_by_sample, order.astype(np.intp), begins_of(numbers, groups))
    values = (
        model,
        X,
        Y,
        sigma,
        grouping.begins,
        own_indices,
        shared,
        tuple(np.flatnonzero(arrays["own"]).tolist()),
        options,
        threads,
    )
    rows = Rows(in_lanes(arrays["triangles"]), arrays["costs"], arrays["signs"], np.zeros(groups))
    solution = GroupedSolution(
        arrays["parameters"],
        rows,
        ending,
        iterations,
        evaluations,
        arrays["history"],
        arrays["own_at_bound"],
        arrays["shared_at_bound"],
        arrays["unfinished"],
    )
    if "sigma_x" not in arrays:
        return GroupedFit(GroupedProblem(*values), solution, grouping, arrays["start"])
    known = arrays["residuals"], arrays["chi2_of_groups"], arrays["used_in_groups"].astype(np.intp)
    if [len(array) for array in known] != [samples, groups, groups]:
        raise ValueError("its parts do not fit together")
    problem = GroupedProblemWithErrors(*values, sigma_x=arrays["sigma_x"], changes=arrays["changes"])
    problem.known = known
    result = GroupedFitWithErrors(problem, solution, grouping, arrays["start"])
    if "x_errors" in arrays:
        result.x_standard_errors = np.empty_like(arrays["x_errors"])
        result.x_standard_errors[order] = arrays["x_errors"]
    return result


def _restore_many(model: Model, arrays: dict[str, Any]) -> ManyResult:
    """Return the result of many trainings from the arrays of a file. Raises ValueError if they do not fit together."""
    names = ("parameters", "loss", "epochs", "status", "rates")
    epochs, history = arrays["epochs"], arrays.get("history")
    count = _count(arrays, names)
    fits = history is None or (history.shape[1] == count and (epochs <= len(history)).all())
    if not fits or (epochs < 0).any() or not set(arrays["status"].tolist()) <= set(STATUSES):
        raise ValueError("its parts do not fit together")
    parameters, loss, status = (arrays[name] for name in ("parameters", "loss", "status"))
    return ManyResult(model, parameters, loss, history, epochs.astype(np.intp), status, arrays.get("rates"))


def _restore_fits(model: Model, arrays: dict[str, Any]) -> ManyFits:
    """Return many fits from the arrays of a file, without their data. Raises ValueError if they do not fit together."""
    count, free = _count(arrays, FITS), int(arrays["free_count"])
    if not 0 <= free <= model.parameter_count or (arrays["numbers"] >= len(ENDINGS_OF_MANY)).any():
        raise ValueError("its parts do not fit together")
    fits = ManyFits(model, count, free, "covariance" in arrays)
    for target, name in zip(fits.arrays(), FITS, strict=True):
        if target is not None:
            target[...] = arrays[name]
    return fits


FITS = ("parameters", "standard_errors", "covariance", "chi2", "data", "iterations", "numbers", "poles")
"""The arrays of a file of fits in the order of ``ManyFits.arrays``."""


def _count(arrays: dict[str, Any], names: tuple[str, ...]) -> int:
    """Return the common length of arrays, at least 1. Raises ValueError if they have several."""
    lengths = {len(arrays[name]) for name in names if name in arrays}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("its parts do not fit together")
    return lengths.pop()


def _restore_profiles(model: Model, arrays: dict[str, Any]) -> Profiles:
    """Return the profiles of a fit from the arrays of a file. Raises ValueError if they do not fit together."""
    return of_profiles(_restore_within(model, arrays, (FIT, GROUPED)), arrays)


def _restore_many_profiles(model: Model, arrays: dict[str, Any]) -> ManyProfiles:
    """Return the profiles of many fits from the arrays of a file. Raises ValueError if they do not fit together."""
    return of_many_profiles(_restore_within(model, arrays, (MANY_FITS,)), arrays)


def _restore_within(model: Model, arrays: dict[str, Any], formats: tuple[str, ...]) -> Any:
    """Return the result whose file is in an array of another file. Raises ValueError if it has none of some formats."""
    content = read_arrays(model, BytesIO(arrays["fit"].tobytes()))
    if not isinstance(content, dict) or str(content["format"]) not in formats:
        raise ValueError("it holds no fit of this model")
    return _RESTORE[str(content["format"])](model, content)


_RESTORE: dict[str, Callable[[Model, dict[str, Any]], Any]] = {
    FIT: _restore_fit,
    MANY: _restore_many,
    MANY_FITS: _restore_fits,
    GROUPED: _restore_groups,
    PROFILES: _restore_profiles,
    MANY_PROFILES: _restore_many_profiles,
}
"""The functions that make a result from the arrays of a file, by its format marker; others hold a training."""
