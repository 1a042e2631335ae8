"""The workload solution: how long Burgers' equation takes until the network is as accurate as a published one.

The equation is u_t + u*u_x = 0.01/pi*u_xx for x from -1 to 1 and t from 0 to 1, from -sin(pi*x) at the start and 0 at
both ends. Raissi, Perdikaris and Karniadakis (2019) trained 9 layers of 20 tanh for it, to a relative L2 error of
6.7e-4. Here, three layers of 16 are trained in rounds, by the method of Levenberg and Marquardt, each at new points
that are drawn more often where the equation is not yet satisfied. ``solve_once`` is called in a separate process.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from nncodegen.bench.tasks import VISCOSITY
from nncodegen.compiler.describe import Dense, Sequential
from nncodegen.compiler.pipeline import build_module

Array = NDArray[Any]

ERROR = 6.7e-4
"""The relative L2 error of Raissi, Perdikaris and Karniadakis (2019), table A.1 of the arXiv version, 1711.10561."""

UNITS = (16, 16, 16)
STEEPEST = 200.0
"""The largest weight of x that the first layer starts with: the front is about 1/200 wide."""

ROUNDS = (*((10, 1200),) * 20, *((10, 2400),) * 10, *((10, 5000),) * 30)
"""The iterations and the points of each round."""

SEEDS, QUICK_ROUNDS = range(5), 2


def model() -> Sequential:
    """Return the model: a formula around the network makes the initial and boundary conditions hold exactly."""
    x, t = sympy.symbols("x t")
    u = sympy.Function("u")(x, t)
    equation = u.diff(t) + u * u.diff(x) - VISCOSITY * u.diff(x, 2)
    return Sequential(
        [*(Dense(units, "tanh") for units in UNITS), Dense(1)],
        inputs=(x, t),
        outputs={u: -sympy.sin(sympy.pi * x) + t * (1 - x**2) * u},
        losses={"equation": equation},
        name="solution",
    )


def exact(X: Array) -> Array:
    """Return the solution at the points X = (x, t), (n, 2), by the transformation of Cole and Hopf and a quadrature.

    The integrals over the start contain a Gaussian of variance 2*viscosity*t: Gauss-Hermite with 100 nodes.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    start = X[:, :1] - nodes * np.sqrt(4 * VISCOSITY * np.maximum(X[:, 1:], 1e-300))
    exponents = -np.cos(math.pi * start) / (2 * math.pi * VISCOSITY)
    kernel = weights * np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return np.asarray(-(np.sin(math.pi * start) * kernel).sum(axis=1) / kernel.sum(axis=1))


def first_parameters(module: Any, seed: int) -> Array:
    """Return initial parameters; weights of x in the first layer are from 1 to STEEPEST: a front needs steep units."""
    rng = np.random.default_rng(seed)
    parts = {name: np.array(part) for name, part in module.unpack(module.initial_parameters(seed)).items()}
    steepness = np.exp(rng.uniform(0, math.log(STEEPEST), UNITS[0])) * rng.choice([-1, 1], UNITS[0])
    parts["W1_x"], parts["W1_t"] = steepness, rng.normal(size=UNITS[0])
    parts["b1"] = rng.normal(scale=0.3, size=UNITS[0]) * np.abs(steepness) ** 0.3
    return np.concatenate([np.ravel(part) for part in parts.values()])


def draw(module: Any, parameters: Array, points: int, seed: int) -> Array:
    """Return the points of the next round, (points, 2), drawn with weights 1 + the residual in units of its mean.

    Half of the candidates lie all over the domain, half in a strip of a twentieth around x = 0, where the front is.
    """
    rng = np.random.default_rng(seed)
    pool = rng.uniform((-1, 0), (1, 1), (10 * points, 2))
    pool[5 * points :, 0] /= 20
    left = np.abs(module.residuals(parameters, {"equation": pool})["equation"]).ravel()
    chances = 1 + left / left.mean()
    return pool[rng.choice(len(pool), points, replace=False, p=chances / chances.sum())]


def solve_once(seed: int, rounds: int | None = None) -> dict[str, Any]:
    """Train once from a seed; return the seconds until the error is at most ERROR, or of all rounds, errors and loss.

    The time is that of drawing and training; the build, and the comparison with the solution, are not part of it.
    """
    module = build_module(model(), fit=True)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 256), np.linspace(0, 0.99, 100)), -1).reshape(-1, 2)
    right = exact(grid)
    parameters, seconds, errors = first_parameters(module, seed), 0.0, list[float]()
    for number, (iterations, points) in enumerate(ROUNDS[:rounds]):
        begin = time.perf_counter()
        data = {"equation": draw(module, parameters, points, len(ROUNDS) * seed + number)}
        result = module.train(data=data, optimizer="lm", epochs=iterations, parameters=parameters, tolerance=1e-14)
        parameters = result.parameters
        seconds += time.perf_counter() - begin
        predicted = module.predict(parameters, grid)[:, 0]
        errors.append(float(np.linalg.norm(predicted - right) / np.linalg.norm(right)))
        if errors[-1] <= ERROR:
            break
    return {"seed": seed, "seconds": seconds, "errors": errors, "loss": float(result.loss)}
