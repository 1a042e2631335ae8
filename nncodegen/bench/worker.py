"""The process of one peer: ``python -m nncodegen.bench.worker`` answers requests, each one line of JSON.

Every peer has a separate process, so that its environment is set before it is imported, and its threads and settings
do not affect the others. Requests come from standard input, and answers go to standard output; everything else that is
printed goes to standard error.

    {"do": "import", "place": "jax:make"}                     -> {}
    {"do": "first", "task": FILE, "key": K, "threads": N, "result": FILE}  -> {"build": seconds, "call": seconds}
    {"do": "run", "key": K, "repetitions": R[, "result": FILE]}  -> {"seconds": for all}
    {"do": "peak", "precision": P, "folder": F}               -> {"flops": a second, of one core}
    {"do": "compile" or "grow", ...}                          -> see builds.py
    {"do": "solve", "seed": S, "rounds": R}                   -> see solving.py
    {"do": "functions", "quick": Q}                           -> see functions.py
    {"do": "profiles", "quick": Q}                            -> see profiling.py

An error is answered as {"error": text}.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nncodegen.bench import builds, functions, native, profiling, solving

Answer = dict[str, Any]


class Worker:
    """The state of the process between requests: the function of its peer, and the prepared runs."""

    def __init__(self) -> None:
        self.make: Callable[[Any, int], Callable[[], Any]] | None = None
        self.runs: dict[str, Callable[[], Any]] = {}

    def answer(self, request: Answer) -> Answer:
        """Answer one request."""
        actions: dict[str, Callable[..., Answer]] = {
            "import": self.load,
            "first": self.first,
            "run": self.run,
            "peak": peak,
            "compile": builds.compile_once,
            "grow": builds.grow_once,
            "solve": solving.solve_once,
            "functions": functions.measure_functions,
            "profiles": profiling.measure_profiles,
        }
        arguments = dict(request)
        return actions[arguments.pop("do")](**arguments)

    def load(self, place: str) -> Answer:
        """Import a peer, and prepare what belongs to its installation; this is not part of any time."""
        module, function = place.split(":")
        peer = importlib.import_module(f"nncodegen.bench.peers.{module}")
        self.make = getattr(peer, function)
        getattr(peer, "prepare", lambda: None)()
        return {}

    def first(self, task: str, key: str, threads: int, result: str) -> Answer:
        """Prepare a task and do it once; measure both."""
        assert self.make is not None
        loaded = pickle.loads(Path(task).read_bytes())
        begin = time.perf_counter()
        run = self.runs[key] = self.make(loaded, threads)
        middle = time.perf_counter()
        value = run()
        end = time.perf_counter()
        np.save(result, value)
        return {"build": middle - begin, "call": end - middle}

    def run(self, key: str, repetitions: int, result: str | None = None) -> Answer:
        """Repeat a task; save the last result if a file is given."""
        run: Callable[[], Any] = self.runs[key]
        value: Any = None
        gc.collect()
        gc.disable()
        try:
            begin = time.perf_counter()
            for _ in range(repetitions):
                value = run()
            seconds = time.perf_counter() - begin
        finally:
            gc.enable()
        if result is not None:
            np.save(result, value)
        return {"seconds": seconds}


def peak(precision: str, folder: str) -> Answer:
    """Return the operations a second of fused multiply-adds on one core: the best of many short tries."""
    library = native.compile_c("peak", precision, Path(folder))
    library.operations.restype, library.chains.restype = ctypes.c_size_t, ctypes.c_double
    rounds, best, until = 500_000, 0.0, time.perf_counter() + 0.5
    factor, term = ctypes.c_double(0.999), ctypes.c_double(0.001)
    while time.perf_counter() < until:
        begin = time.perf_counter()
        library.chains(ctypes.c_size_t(rounds), factor, term)
        best = max(best, rounds * library.operations() / (time.perf_counter() - begin))
    return {"flops": best}


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the parent reports any error of a peer, with its name
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
