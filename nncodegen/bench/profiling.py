"""The workload profiles: what the data say of all parameters, by nncodegen, MINOS and lmfit, in turn in one process.

All have the same level: where chi2 has risen by the estimated variance of the data, one standard error of a parabola.
The ends of intervals are compared with those of MINOS before any time is shown. Times of many fits and of equations are
compared with those of the fits themselves.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

import nncodegen as nn
from nncodegen.bench import strd
from nncodegen.bench.strd import CertifiedProblem
from nncodegen.bench.tasks import Array

PEERS = ("iminuit", "lmfit")

ROUNDS, QUICK_ROUNDS = 5, 1
"""The times that each is measured."""

FITS, QUICK_FITS = 10_000, 100
"""The decays whose profiles are followed side by side."""


def measure_profiles(quick: bool = False) -> dict[str, Any]:
    """Return times, the distances of our intervals from those of MINOS, and the versions of the peers."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    there = [name for name in PEERS if find_spec(name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problems = strd.problems() if strd.folder() else []
        rows = [_row(problem, there, rounds) for problem in problems[: 2 if quick else None]]
        return {
            "versions": {"nncodegen": nn.__version__, **{name: version(name) for name in there}},
            "rows": [row for row in rows if row],
            "together": [_decays(QUICK_FITS if quick else FITS, rounds), _lotka_volterra(rounds)],
        }


def _row(problem: CertifiedProblem, peers: list[str], rounds: int) -> dict[str, Any] | None:
    """Return the times of a problem, None where our fit does not end at the certified solution."""
    module: Any = nn.build(problem.curve.model)
    result = module.fit(problem.x, problem.y, p0=problem.starts[1])
    if not result.success or not np.allclose(result.parameters, problem.certified, rtol=1e-4):
        return None
    level = _level(result.degrees_of_freedom)
    runs: dict[str, Callable[[], Array]] = {"nncodegen": lambda: np.asarray(result.profiles(level).intervals)}
    if "iminuit" in peers:
        runs["iminuit"] = _minos(problem, result)
    if "lmfit" in peers:
        runs["lmfit"] = _lmfit(problem, level)
    intervals: dict[str, Array] = {}
    failed: dict[str, str] = {}
    for name, run in runs.items():
        outcome = _outcome(run)
        if isinstance(outcome, str):
            failed[name] = outcome
        else:
            intervals[name] = outcome
    seconds: dict[str, list[float]] = {name: [] for name in intervals}
    for _ in range(rounds):
        for name in intervals:
            begin = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - begin)
    apart = {name: _apart(intervals[name], intervals["nncodegen"]) for name in intervals if name != "nncodegen"}
    medians = {name: median(taken) for name, taken in seconds.items()}
    return {"problem": problem.name, "seconds": medians, "apart": apart, "failed": failed}


def _outcome(run: Callable[[], Array]) -> Array | str:
    """Return the intervals that a library finds, or its error as a text."""
    try:
        return run()
    except Exception as error:  # each library has errors of its own
        return f"{type(error).__name__}: {error}"


def _level(degrees: int) -> float:
    """Return the probability of Student's t to be within one standard error."""
    from scipy.special import stdtr  # noqa: PLC0415 (optional)

    return float(2 * stdtr(degrees, 1) - 1)


def _apart(theirs: Array, ours: Array) -> float:
    """Return the largest distance of ends, in units of the width; infinite where only one of both is infinite."""
    width = np.abs(np.diff(ours, axis=1))
    distances = np.where(theirs == ours, 0, np.abs(theirs - ours) / width)
    return float(np.nan_to_num(distances, nan=math.inf).max())


def _minos(problem: CertifiedProblem, result: Any) -> Callable[[], Array]:
    """Return a function that makes MINOS find the intervals of all parameters, from the solution."""
    from iminuit import Minuit  # noqa: PLC0415 (optional)

    formula, gradients = problem.curve.function("numpy"), problem.curve.jacobian("numpy")
    x, y, variance = problem.x[:, 0], problem.y[:, 0], result.reduced_chi2
    units = np.asarray(result.standard_errors, float)  # in which MINOS succeeds more often

    def cost(scaled: Array) -> float:
        return float(np.sum((formula(x, *(scaled * units)) - y) ** 2) / variance)

    def gradient(scaled: Array) -> Array:
        residuals = 2 * (formula(x, *(scaled * units)) - y) / variance
        slopes = np.array([np.sum(residuals * slope) for slope in gradients(x, *(scaled * units))])
        return np.asarray(slopes * units)

    def run() -> Array:
        minuit = Minuit(
            cost, np.asarray(result.parameters, float) / units, grad=gradient, name=problem.curve.parameters
        )
        minuit.print_level = -1
        minuit.errors = np.ones(len(units))
        minuit.errordef, minuit.tol, minuit.strategy = 1, 1e-5, 2
        minuit.migrad()
        minuit.minos()
        if not minuit.valid or not all(each.is_valid for each in minuit.merrors.values()):
            raise ValueError("MINOS has no valid errors")
        ends = [(each.lower, each.upper) for each in minuit.merrors.values()]
        intervals: Array = (np.asarray(minuit.values)[:, None] + np.array(ends)) * units[:, None]
        return intervals

    return run


def _lmfit(problem: CertifiedProblem, level: float) -> Callable[[], Array]:
    """Return a function that makes lmfit find the intervals of all parameters, from the solution."""
    import lmfit  # noqa: PLC0415 (optional)

    names = problem.curve.parameters
    model = lmfit.Model(problem.curve.function("numpy"), independent_vars=["x"])
    start = model.make_params(**dict(zip(names, problem.certified.tolist(), strict=True)))
    result = model.fit(problem.y[:, 0], start, x=problem.x[:, 0])

    def run() -> Array:
        ends = result.conf_interval(sigmas=[level])
        return np.array([(ends[name][0][1], ends[name][-1][1]) for name in names])

    return run


def _decays(count: int, rounds: int) -> dict[str, Any]:
    """Return the times of many fits of a decay to 40 points, and of all their profiles."""
    module: Any = nn.build(nn.Model("decay", "x", "y", {"a": 1, "b": 1, "c": 0}, "a*exp(-b*x) + c"))
    x = np.linspace(0, 4, 40)
    Y = 2.5 * np.exp(-1.3 * x) + 0.5 + 0.05 * np.random.default_rng(59).normal(size=(count, 40))
    fits = module.fit_many(x, Y)
    points = [len(profile.values) for profile in fits.profiles()[0]]
    return {
        "what": f"{count:,} decays of 40 points",
        "points": median(points),
        **_times(lambda: module.fit_many(x, Y), fits.profiles, rounds),
    }


def _lotka_volterra(rounds: int) -> dict[str, Any]:
    """Return the times of a fit of predators and prey with six parameters, and of their profiles."""
    model = nn.Dynamics(
        ["u' = a*u - b*u*v", "v' = c*u*v - d*v"],
        {"u": "u0", "v": "v0"},
        {"a": 1.0, "b": 0.1, "c": 0.075, "d": 1.5, "u0": 10.0, "v0": 5.0},
        times=21,
        rtol=1e-8,
        name="predators",
    )
    module: Any = nn.build(model)
    times = np.linspace(0, 10, 21)[None]
    start = np.array([1.0, 0.1, 0.075, 1.5, 10.0, 5.0])
    exact = module.predict(start, times)
    noisy = exact * (1 + 0.05 * np.random.default_rng(59).normal(size=exact.shape))
    result = module.fit(times, noisy, p0=start * 1.1)
    points = [len(profile.values) for profile in result.profiles()]
    return {
        "what": "predators and prey, 6 parameters",
        "points": median(points),
        **_times(lambda: module.fit(times, noisy, p0=start * 1.1), result.profiles, rounds),
    }


def _times(fit: Callable[[], Any], follow: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Return the median times of fits and of profiles, and the median of their ratios, each pair in one round."""
    fits: list[float] = []
    follows: list[float] = []
    for _ in range(max(rounds, 1)):
        for run, taken in ((fit, fits), (follow, follows)):
            begin = time.perf_counter()
            with suppress(RuntimeWarning):
                run()
            taken.append(time.perf_counter() - begin)
    ratio = median(after / before for before, after in zip(fits, follows, strict=True))
    return {"fit": median(fits), "profiles": median(follows), "ratio": ratio}
