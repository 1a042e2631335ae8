"""Measures how many bits formulas and their derivatives lose: as written with NumPy or JAX, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import fmean
from typing import Any

import numpy as np
import sympy

from nncodegen.bench.accuracy.expressions import EXPRESSIONS
from nncodegen.bench.accuracy.hamming import HAMMING
from nncodegen.bench.accuracy.problem import NUMPY, AccuracyProblem, Array, Sample, draw
from nncodegen.bench.accuracy.suites import SUITES
from nncodegen.compiler.describe import Model
from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.ir.evaluate import evaluate, interpret
from nncodegen.compiler.ir.functions import NAN
from nncodegen.compiler.ir.program import BEST
from nncodegen.compiler.passes.digits.formats import bits_lost
from nncodegen.compiler.pipeline import build_module, compile_model

CHOICES = {"digits": BEST}

FACTOR = "factor"
"""The name of the parameter, 1 at its start, that multiplies a variable."""


@dataclass
class Loss:
    """The mean bits that a formula loses, by each way to compute it; ``slopes`` has those of its derivative."""

    name: str
    values: dict[str, float] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)


def model_of(problem: AccuracyProblem) -> Model:
    """Return a model whose output is the formula, with a factor of one of its variables as the parameter."""
    symbols = {name: sympy.Symbol(name) for name in problem.variables}
    factor = sympy.Symbol(FACTOR)
    chosen = problem.factor if problem.factor in symbols else problem.variables[0]
    output = problem.formula({**symbols, chosen: factor * symbols[chosen]})
    name = "digits_" + "".join(letter if letter.isalnum() else "_" for letter in problem.name)
    return Model(name, [*symbols.values()], [sympy.Symbol("target")], {factor: 1}, output, output)


def lost_by(problem: AccuracyProblem, sample: Sample, compiled: bool) -> Loss:
    """Return the bits that NumPy, JAX (where it is installed) and nncodegen lose at the points of a sample.

    Without ``compiled``, the program is evaluated with NumPy instead of being compiled.
    """
    loss = Loss(problem.name)
    with np.errstate(all="ignore"):
        written = problem.as_written(NUMPY, sample.points)
        loss.values["written"] = fmean(bits_lost(written, sample.exact))
        _add_jax(loss, problem, sample)
        values, slopes = (_compiled if compiled else _evaluated)(problem, sample)
        loss.values["nncodegen"] = fmean(bits_lost(values, sample.exact))
        known = np.isfinite(sample.slopes)
        if known.any():
            loss.slopes["nncodegen"] = fmean(bits_lost(slopes, sample.slopes)[known])
    return loss


def _compiled(problem: AccuracyProblem, sample: Sample) -> tuple[Array, Array]:
    module = build_module(model_of(problem), fit=False, choices=CHOICES)
    X, target, start = np.stack([*sample.points.values()], axis=1), np.zeros((1, 1)), np.ones(1)
    slopes = [module.loss_and_gradient(start, row[None, :], target)[1][0] for row in X]
    return np.ravel(module.predict(start, X)), np.array(slopes)


def _evaluated(problem: AccuracyProblem, sample: Sample) -> tuple[Array, Array]:
    program: Program = compile_model(model_of(problem), until="simplify", fit=False, choices=CHOICES)["simplify"]
    X = np.stack([*sample.points.values()], axis=1)
    values = evaluate(program, np.ones(1), X, np.zeros((len(X), 1)), np.ones(len(X)))
    (slope,), (output,) = program.gradient, program.outputs
    step = next((step for step in program.steps if step.target == slope), None)
    operands: dict[Element, Any] = {} if step is None else {e: values[e.tensor] for e in step.operands}
    slopes = np.nan if step is None or step.expression.has(NAN) else interpret(step.expression, operands, exact=False)
    return np.ravel(values[output.tensor]), np.broadcast_to(np.ravel(slopes), len(X))


def _add_jax(loss: Loss, problem: AccuracyProblem, sample: Sample) -> None:
    """Add the bits that JAX loses, in float64; its derivative is that of the formula as written."""
    if find_spec("jax") is None:
        return
    import jax  # noqa: PLC0415 (JAX is optional)

    jax.config.update("jax_enable_x64", True)
    names = {name: getattr(jax.numpy, _jax_name(name)) for name in NUMPY if name != "pi"}
    names |= {"pi": np.pi, "cbrt": jax.numpy.cbrt}

    def value(factor: Any, point: Any) -> Any:
        moved = {name: factor * x if name == problem.factor else x for name, x in point.items()}
        return problem.as_written(names, moved)

    points = {name: jax.numpy.asarray(column) for name, column in sample.points.items()}
    loss.values["JAX"] = fmean(bits_lost(jax.vmap(value, (None, 0))(1.0, points), sample.exact))
    known = np.isfinite(sample.slopes)
    if known.any():
        slopes = jax.vmap(jax.grad(value), (None, 0))(1.0, points)
        loss.slopes["JAX"] = fmean(bits_lost(slopes, sample.slopes)[known])


def _jax_name(name: str) -> str:
    return str(getattr(NUMPY[name], "__name__", name)).replace("absolute", "abs")


SETS = {"Hamming": HAMMING, "expressions": EXPRESSIONS, "suites": SUITES}
"""The sets of problems, by name."""

POINTS, QUICK_POINTS, QUICK_PROBLEMS = 200, 20, 2
"""The number of points of a problem; with ``quick``, of fewer points and of the first problems of each set."""

SEED = 3
"""The seed of the points, which are not those at which the compiler looks for forms."""


def measure_accuracy(quick: bool, watch: Callable[[str], None]) -> dict[str, list[Loss]]:
    """Return the bits that each problem loses, by set; ``watch`` is called with the name of each.

    With ``quick``, few problems are measured at few points, and nothing is compiled.
    """
    rows: dict[str, list[Loss]] = {}
    for name, problems in SETS.items():
        rows[name] = []
        for problem in problems[: QUICK_PROBLEMS if quick else None]:
            watch(problem.name)
            sample = draw(problem, QUICK_POINTS if quick else POINTS, SEED)
            rows[name].append(lost_by(problem, sample, compiled=not quick))
    return rows


def count_of_problems(quick: bool) -> int:
    """Return the number of problems that ``measure_accuracy`` measures."""
    return sum(len(problems[: QUICK_PROBLEMS if quick else None]) for problems in SETS.values())
