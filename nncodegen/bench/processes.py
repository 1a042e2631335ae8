"""Starts the worker processes, each in its environment and on its cores, and sends them requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from nncodegen.errors import BenchError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Environment variables by which a user may have turned off the fastest kernels of NumPy's BLAS."""


class WorkerError(BenchError):
    """The error of a worker that could not answer a request."""


def available_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int, cache: Path) -> dict[str, str]:
    """Return the environment of a worker: the number of threads for each library, and a separate build cache."""
    values = {name: value for name, value in os.environ.items() if name not in UNSET}
    values.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    eigen = "true" if threads > 1 else "false"
    flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
    values["XLA_FLAGS"] = f"{values.get('XLA_FLAGS', '')} {flags}".strip()
    values["NNCODEGEN_CACHE"] = str(cache)
    values["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "torch")  # so that the first call includes the compiler
    root = str(Path(__file__).parents[2])
    values["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [values.get("PYTHONPATH")])])
    return values


class Process:
    """A worker process, which ends with the ``with`` block."""

    def __init__(self, name: str, threads: int, cache: Path) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed in __exit__)
        with _on_cores(threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nncodegen.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
                env=environment(threads, cache),
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer. Raises WorkerError with the reason if it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            self.log.seek(0)
            last = self.log.read().strip().splitlines()[-1:] or ["it printed nothing"]
            raise WorkerError(f"its process ended with exit code {code}: {last[0]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.process.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """Make processes that are started inside the context run on ``count`` cores."""
    if not hasattr(os, "sched_setaffinity"):  # not on macOS
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
