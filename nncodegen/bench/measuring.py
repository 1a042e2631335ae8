"""Runs peers in turn on the same task, and compares their results before any time is shown."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nncodegen.bench.moving import Motion
from nncodegen.bench.peers import OURS, PEERS, Peer
from nncodegen.bench.processes import Process, WorkerError
from nncodegen.bench.tasks import Array, Fit, PerceptronTask, Task, difference, tolerance
from nncodegen.errors import BenchError


@dataclass(frozen=True)
class MeasuringSettings:
    """The settings of measurements: the number of cores, of rounds of runs, and the seconds of each run."""

    threads: int = 1
    rounds: int = 9
    seconds: float = 0.2
    quick: bool = False


QUICK = {"rounds": 3, "seconds": 0.02, "quick": True}

PAUSE = 0.01
"""Seconds between the runs of two peers, so that waiting threads of the first have gone to sleep."""


@dataclass
class Timing:
    """The times of one peer in seconds: of the build, of the first call, and of a step in each run.

    ``part`` names the part of the task that a peer does, if not all: "3 iterations".
    """

    peer: str
    build: float
    first_call: float
    steps: int
    part: str | None
    difference: float
    repetitions: int = 1
    runs: list[float] = field(default_factory=list)

    def quartile(self, k: int) -> float:
        """Return the minimum (0), median (2), maximum (4) or a quartile (1, 3) of the seconds of a step."""
        return float(np.percentile(self.runs, 25 * k))


Watch = Callable[[str], None]


@dataclass
class _Turn:
    """A running peer: its process, its task, the expected result, the file of its result, and its times."""

    peer: Peer
    process: Process
    task: Task
    expected: Array | None
    file: Path
    timing: Timing


def measure(
    task: Task, peers: Iterable[str], settings: MeasuringSettings, folder: Path, watch: Watch
) -> tuple[list[Timing], dict[str, str]]:
    """Return the times of nncodegen, which comes first, and of its peers; and the reasons of failed peers by name.

    Raises BenchError where a peer disagrees with nncodegen, or nncodegen itself fails.
    """
    failed: dict[str, str] = {}
    turns: list[_Turn] = []
    with ExitStack() as stack:
        for name in (OURS, *peers):
            watch(f"{name}: build and first call")
            try:
                turns.append(_begin(name, task, settings, folder, turns, stack))
            except WorkerError as error:
                if name == OURS:
                    raise BenchError(f"nncodegen failed: {error}") from error
                failed[name] = str(error)
        for turn in turns:
            watch(f"{turn.timing.peer}: warm-up")
            turn.timing.repetitions = _repetitions(turn, settings.seconds)
        for number in range(settings.rounds):
            watch(f"round {number + 1} of {settings.rounds}")
            for turn in turns:
                time.sleep(PAUSE)
                timing = turn.timing
                result = {"result": str(turn.file)} if number == settings.rounds - 1 else {}
                seconds = _run(turn, timing.repetitions, **result)
                timing.runs.append(seconds / timing.repetitions / timing.steps)
        for turn in turns:  # compared again after the last run: a peer may have changed its data meanwhile
            _compare(turn)
    return [turn.timing for turn in turns], failed


def _begin(
    name: str, task: Task, settings: MeasuringSettings, folder: Path, turns: list[_Turn], stack: ExitStack
) -> _Turn:
    """Start the process of a peer, take its first call, and compare the result."""
    peer = PEERS[name]
    expected = np.load(turns[0].file) if turns else None
    task, part = _part(task, peer)
    if part:
        expected = _ask_first(turns[0].process, task, "short", 1, folder / "short")[1]
    process = stack.enter_context(Process(name, settings.threads, folder / "cache"))
    process.ask(do="import", place=peer.place)
    answer, _ = _ask_first(process, task, "task", settings.threads, folder / name)
    timing = Timing(name, answer["build"], answer["call"], task.steps, part, 0.0)
    turn = _Turn(peer, process, task, expected, _result(folder / name), timing)
    _compare(turn)
    return turn


def _part(task: Task, peer: Peer) -> tuple[Task, str | None]:
    """Return the part of a task that a peer does, and its name in the table if it is not all of the task."""
    if isinstance(task, PerceptronTask) and peer.iterations is not None and peer.iterations < task.iterations:
        return replace(task, iterations=peer.iterations), f"{peer.iterations} iterations"
    if isinstance(task, Fit | Motion) and task.fits and peer.fits is not None and peer.fits < task.fits:
        return task.first(peer.fits), f"{peer.fits} fits"
    return task, None


def _ask_first(process: Process, task: Task, key: str, threads: int, base: Path) -> tuple[dict[str, Any], Array]:
    file = base.with_suffix(".task")
    file.write_bytes(pickle.dumps(task))
    answer = process.ask(do="first", task=str(file), key=key, threads=threads, result=str(_result(base)))
    return answer, np.load(_result(base))


def _result(base: Path) -> Path:
    return base.with_suffix(".npy")


def _compare(turn: _Turn) -> None:
    """Raise BenchError if the last result of a peer differs from that of nncodegen by more than rounding."""
    result = np.load(turn.file)
    expected = result if turn.expected is None else turn.expected
    turn.timing.difference = max(turn.timing.difference, difference(turn.task, expected, result))
    if turn.timing.difference > tolerance(turn.task):
        raise BenchError(
            f"{turn.timing.peer} does not compute what nncodegen computes: the results differ by "
            f"{turn.timing.difference:.1e}, where rounding explains {tolerance(turn.task):.0e}; "
            f"its time would mean nothing"
        )


def _run(turn: _Turn, repetitions: int, **result: str) -> float:
    """Return the seconds that a number of repetitions take."""
    try:
        return float(turn.process.ask(do="run", key="task", repetitions=repetitions, **result)["seconds"])
    except WorkerError as error:
        raise BenchError(f"{turn.timing.peer} failed after its first call: {error}") from error


def _repetitions(turn: _Turn, seconds: float) -> int:
    """Return how often a peer can do its task in the given seconds, found by doubling."""
    count = 1
    while True:
        taken = _run(turn, count)
        if taken > seconds / 4:
            return max(1, round(count * seconds / taken))
        count *= 2 if taken > seconds / 64 else 8
