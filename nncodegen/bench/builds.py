"""The workloads build and growth, which measure nncodegen alone: its stages, and how they grow with a model.

Every build runs in a new process, so that SymPy's caches are empty. Imports are not part of the time, nor is the
wrapper of modules, which an installed package brings. These functions are called in that process.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import sympy

from nncodegen.bench.workloads import MODELS
from nncodegen.compiler.building.build import load, prepare_shared
from nncodegen.compiler.describe import Dense, Model, Network, Sequential
from nncodegen.compiler.emit.printer import REAL_TYPES
from nncodegen.compiler.motion import Dynamics
from nncodegen.compiler.pipeline import Stage, compile_model

SAMPLES = 1024
"""The number of samples in one call of loss_and_gradient. The time that is shown is that of one sample."""

SIZES = {
    "width": (16, 32, 64, 128, 256, 512, 1024),
    "depth": (1, 2, 4, 8, 16),
    "formula size": (10, 31, 100, 301, 1000),
}
"""The sizes that grow: units of two hidden layers; number of hidden layers of 32 units; parameters of a formula."""

QUICK_SIZES = {"width": (16, 32), "depth": (1, 2), "formula size": (10, 31)}


def grown(axis: str, size: int) -> Model | Sequential:
    """Return the model of a size: a network with 16 inputs and one output, or a formula with one input."""
    if axis == "formula size":
        return _waves((size - 1) // 3)
    width, depth = (size, 2) if axis == "width" else (32, size)
    hidden = [Dense(width, "tanh") for _ in range(depth)]
    return Sequential([*hidden, Dense(1)], inputs=16, name=f"grown_{axis}_{size}")


def _waves(terms: int) -> Model:
    """Return the squared error of d + sum of a*tanh(b*x + c), where each term has separate parameters."""
    x, y, d = sympy.symbols("x y d")
    parameters: dict[sympy.Symbol, float] = {d: 0.1}
    output: sympy.Expr = d
    for k in range(terms):
        a, b, c = sympy.symbols(f"a{k} b{k} c{k}")
        parameters |= {a: math.sin(k), b: 1 + math.cos(k), c: 0.1 * k % 1}
        output += a * sympy.tanh(b * x + c)
    return Model(f"waves_{terms}", (x,), (y,), parameters, output, (output - y) ** 2)


def compile_once(model: str, precision: str) -> dict[str, Any]:
    """Build a workload's model; return the seconds of each stage, and whether it came from the cache."""
    compiled, seconds = _compile(MODELS[model], precision)
    return {"seconds": seconds, "cached": compiled.built.cached}


def grow_once(axis: str, size: int, precision: str) -> dict[str, Any]:
    """Build a model of a size; return seconds of stages, parameters, bytes of C, seconds for a sample's gradient."""
    compiled, seconds = _compile(grown(axis, size), precision)
    source = next(text for name, text in compiled.sources.files.items() if name.endswith(".c"))
    module = load(compiled.built)
    X, Y = np.random.default_rng(5).standard_normal((2, SAMPLES, len(module.input_names))).astype(precision)
    p, Y = module.initial_parameters(), Y[:, :1].copy()
    module.loss_and_gradient(p, X, Y)
    times: list[float] = []
    until = time.perf_counter() + 0.3
    while len(times) < 5 or time.perf_counter() < until:
        begin = time.perf_counter()
        module.loss_and_gradient(p, X, Y)
        times.append((time.perf_counter() - begin) / SAMPLES)
    return {
        "seconds": seconds,
        "parameters": module.parameter_count,
        "bytes": len(source.encode()),
        "sample": float(np.median(times)),
    }


def _compile(model: Model | Sequential | Network | Dynamics, precision: str) -> tuple[Any, dict[str, float]]:
    seconds: dict[str, float] = {}
    prepare_shared(REAL_TYPES[precision][0])

    def observe(stage: Stage) -> None:
        seconds[stage.name] = stage.seconds

    compiled = compile_model(model, precision, observe=observe)
    return compiled, seconds
