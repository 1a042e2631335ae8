"""Measures the workloads build, growth and solution, each build and each training in a new process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from nncodegen.bench.builds import QUICK_SIZES, SIZES
from nncodegen.bench.measuring import MeasuringSettings, Watch
from nncodegen.bench.peers import OURS
from nncodegen.bench.processes import Process, WorkerError
from nncodegen.bench.solving import QUICK_ROUNDS, SEEDS
from nncodegen.bench.workloads import MODELS
from nncodegen.errors import BenchError

Row = dict[str, Any]


def measure_builds(precision: str, settings: MeasuringSettings, watch: Watch) -> list[Row]:
    """Return, for each model, cold and cached: seconds of every stage in each run, the medians, and their sum."""
    rows = []
    for model in MODELS:
        runs: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
        for number in range(1 if settings.quick else 5):
            watch(f"{model}: build {number + 1}")
            with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as cache:
                for kind, taken in runs.items():
                    answer = _ask(settings, Path(cache), do="compile", model=model, precision=precision)
                    if answer["cached"] != (kind == "cached"):
                        raise BenchError(f"the {kind} build of {model} was {'' if answer['cached'] else 'not '}cached")
                    taken.append(answer["seconds"])
        rows += [_build_row(model, kind, some) for kind, some in runs.items()]
    return rows


def _build_row(model: str, kind: str, runs: list[dict[str, float]]) -> Row:
    totals = [sum(run.values()) for run in runs]
    stages = {stage: median(run[stage] for run in runs) for stage in runs[0]}
    return {
        "model": model,
        "kind": kind,
        "runs": runs,
        "stages": stages,
        "minimum": min(totals),
        "median": median(totals),
    }


def measure_growth(precision: str, settings: MeasuringSettings, watch: Watch) -> list[Row]:
    """Return, for each kind and size of growth: seconds of the build, parameters, bytes of C, seconds for a sample."""
    rows = []
    for axis, sizes in (QUICK_SIZES if settings.quick else SIZES).items():
        for size in sizes:
            watch(f"{axis} {size}")
            with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as cache:
                answer = _ask(settings, Path(cache), do="grow", axis=axis, size=size, precision=precision)
            rows.append({"axis": axis, "size": size, "build": sum(answer["seconds"].values()), **answer})
    return rows


def measure_solutions(settings: MeasuringSettings, watch: Watch) -> list[Row]:
    """Return the answers of ``solve_once`` for each seed; with ``quick``, the first rounds of one seed."""
    rows = []
    for seed in SEEDS[: 1 if settings.quick else None]:
        watch(f"seed {seed}")
        with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as cache:
            rounds = QUICK_ROUNDS if settings.quick else None
            rows.append(_ask(settings, Path(cache), do="solve", seed=seed, rounds=rounds))
    return rows


def _ask(settings: MeasuringSettings, cache: Path, **request: Any) -> dict[str, Any]:
    try:
        with Process(OURS, settings.threads, cache) as process:
            return process.ask(**request)
    except WorkerError as error:
        raise BenchError(f"nncodegen failed: {error}") from error
