"""C that is written by hand, ``perceptron.c`` and ``lorenz.c``: compiled with -O3 for this CPU, called by ctypes."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import numpy as np

from nncodegen.bench.moving import Trajectories
from nncodegen.bench.native import TYPES, compile_c
from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Array, PerceptronTask, Task


def make(task: Task, threads: int) -> Run:
    """Return a run that calls the compiled function for the task; it runs on one thread."""
    if isinstance(task, Trajectories):
        return _trajectories(task)
    if not isinstance(task, PerceptronTask):
        raise TypeError(f"there is no C for {task!r}")
    with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as folder:
        library = compile_c("perceptron", task.precision, Path(folder))
    _, _, real = TYPES[task.precision]
    x, y, rate = ctypes.c_void_p(task.x.ctypes.data), real(float(task.y[0, 0])), real(task.learning_rate)
    iterations, models = ctypes.c_size_t(task.iterations), ctypes.c_size_t(len(task.starts))
    function = library.ensemble if len(task.starts) > 1 else library.sequential if task.sequential else None
    function = function or library.simultaneous
    function.restype = None
    counted = (models,) if len(task.starts) > 1 else ()

    def run() -> Array:
        p = np.array(task.starts)
        function(ctypes.c_void_p(p.ctypes.data), *counted, x, y, rate, iterations)
        return p

    return run


def _trajectories(task: Trajectories) -> Run:
    with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as folder:
        library = compile_c("lorenz", task.precision, Path(folder))
    library.trajectories.restype = None
    rates, count = ctypes.c_void_p(task.rates.ctypes.data), ctypes.c_size_t(len(task.rates))

    def run() -> Array:
        computed = np.empty_like(task.rates)
        library.trajectories(rates, count, ctypes.c_void_p(computed.ctypes.data))
        return computed

    return run
