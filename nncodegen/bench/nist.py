"""Measures the workload nist: how many digits of each peer's results are right, and how long its fits take.

A result is compared with the certified one of NIST, not with that of another peer, as not all find the solution.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from nncodegen.bench import strd
from nncodegen.bench.measuring import MeasuringSettings, Watch
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.processes import Process, WorkerError
from nncodegen.bench.strd import CertifiedProblem
from nncodegen.bench.tasks import Array, Fit
from nncodegen.errors import BenchError

MOST_DIGITS = 11.0
"""The number of digits of a certified value."""

RIGHT, PRECISE = 4, 9
"""The right digits of a solution, and of one with the full precision of least squares in double precision."""


@dataclass
class Score:
    """The result of a peer for a problem, from one of its two starts.

    ``digits`` and ``error_digits`` are the right digits of the worst parameter and of the worst standard error, 0
    without a result. ``seconds`` is the time of a fit; it is NaN if the fit raised an error, whose text is ``reason``.
    """

    problem: str
    start: int
    digits: float = 0.0
    error_digits: float = 0.0
    seconds: float = math.nan
    reason: str = ""


@dataclass
class Scores:
    """The results of a peer for all problems and starts."""

    peer: str
    fits: list[Score] = field(default_factory=list)

    def solved(self, digits: int = RIGHT) -> int:
        """Return the number of fits with at least this many right digits."""
        return sum(score.digits >= digits for score in self.fits)

    @property
    def errors(self) -> int:
        """Return the number of fits whose standard errors are right."""
        return sum(score.error_digits >= RIGHT for score in self.fits)

    @property
    def mean_digits(self) -> float:
        """Return the mean of the right digits over all fits."""
        return fmean(score.digits for score in self.fits)

    @property
    def seconds(self) -> float:
        """Return the median time of a fit that raised no error; NaN if every fit raised one."""
        taken = [score.seconds for score in self.fits if not score.reason]
        return median(taken) if taken else math.nan

    def ratio(self, ours: Scores) -> float:
        """Return the median of the ratios of its times and ours, over the fits in which neither raised an error."""
        pairs = zip(self.fits, ours.fits, strict=True)
        ratios = [theirs.seconds / mine.seconds for theirs, mine in pairs if not theirs.reason + mine.reason]
        return median(ratios) if ratios else math.nan

    def as_json(self, ours: Scores) -> dict[str, Any]:
        """Return the scores as plain data for JSON."""
        numbers = {"median": self.seconds, "ratio": self.ratio(ours), "mean_digits": self.mean_digits}
        counts = {"right": self.solved(), "precise": self.solved(PRECISE), "errors": self.errors}
        plain = [{**asdict(score), "seconds": _or_none(score.seconds)} for score in self.fits]
        return {"peer": self.peer, **counts, **{key: _or_none(x) for key, x in numbers.items()}, "fits": plain}


def _or_none(number: float) -> float | None:
    """Return a number, or None for NaN, which JSON cannot hold."""
    return None if math.isnan(number) else number


def measure_nist(
    peers: Iterable[str], precision: str, settings: MeasuringSettings, folder: Path, watch: Watch
) -> tuple[list[Scores], dict[str, str]]:
    """Return the scores of nncodegen, which comes first, and of its peers; and the reasons of failed peers by name.

    All peers fit a problem, one after the other, before the next problem begins. Raises BenchError where the problems
    are not installed.
    """
    problems = strd.problems()[: 2 if settings.quick else None]
    failed: dict[str, str] = {}
    processes: dict[str, Process] = {}
    with ExitStack() as stack:
        for name in (OURS, *peers):
            process = stack.enter_context(Process(name, settings.threads, folder / "cache"))
            reason = _import(process)
            if reason and name == OURS:
                raise BenchError(f"nncodegen failed: {reason}")
            if reason:
                failed[name] = reason
            else:
                processes[name] = process
        scores = {name: Scores(name) for name in processes}
        for problem in problems:
            watch(problem.name)
            for start in range(len(problem.starts)):
                for name, process in processes.items():
                    scores[name].fits.append(_fit(process, problem, start, precision, settings, folder))
    return list(scores.values()), failed


def _fit(
    process: Process, problem: CertifiedProblem, start: int, precision: str, settings: MeasuringSettings, folder: Path
) -> Score:
    """Return the score of one fit in the process of a peer; its time is measured with further fits."""
    score = Score(problem.name, start + 1)
    x, y, first = (array.astype(precision) for array in (problem.x, problem.y, problem.starts[start]))
    file, result = folder / f"{process.name}.task", folder / f"{process.name}.npy"
    file.write_bytes(pickle.dumps(Fit(problem.curve, x, y, first)))
    try:
        answer = process.ask(do="first", task=str(file), key="fit", threads=settings.threads, result=str(result))
        repetitions = max(1, min(1000, round(settings.seconds / 10 / answer["call"])))
        taken = [process.ask(do="run", key="fit", repetitions=repetitions)["seconds"] for _ in range(3)]
    except WorkerError as error:
        score.reason = str(error)
        return score
    parameters, errors = np.load(result)
    score.digits = right_digits(parameters, problem.certified)
    score.error_digits = right_digits(errors, problem.standard_deviations)
    score.seconds = median(taken) / repetitions
    return score


def _import(process: Process) -> str:
    """Import the peer of a process; return the reason if that fails, else an empty text."""
    try:
        process.ask(do="import", place=PEERS[process.name].place)
    except WorkerError as error:
        return str(error)
    return ""


def right_digits(values: Array, certified: Array) -> float:
    """Return the right digits of the worst number: from 0 to MOST_DIGITS, and 0 where one is not finite."""
    worst = float(np.max(abs(values.astype(float) - certified) / abs(certified)))
    if not math.isfinite(worst):
        return 0.0
    return float(np.clip(-math.log10(max(worst, 1e-300)), 0.0, MOST_DIGITS))
