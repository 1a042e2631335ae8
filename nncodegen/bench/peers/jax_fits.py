"""Least squares in JAX: Levenberg-Marquardt, all in one jit, with derivatives by SymPy; many fits use vmap.

Systems of equations for a few parameters are solved in code that is written out: calls of a library for such small
matrices take several times as long. Fits run in groups whose data fit into a cache; a group ends with its last fit.
``vmapped`` is the same method as it is usually written: JAX's own derivatives, products of matrices, the library's
solver, and one vmap over all fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Array, Fit

GROUP = 64
"""The number of fits side by side: faster than 128, 256 or the whole set for images of 25 points."""

ITERATIONS = 200
REDUCTION = {"float64": 1e-8, "float32": 1e-5}
"""A fit ends when a step changes the sum of squares by less than this part: SciPy's default, or nearly rounding."""

FIRST_DAMPING, LARGEST_DAMPING = 1e-3, 1e12

Normal = tuple[Any, Any, Any]
"""The sum of squares, and the two sides of the normal equations: J'J and J'r."""


def fitting(task: Fit) -> Run:
    """Return the run of a task."""
    X = tuple(jnp.asarray(column) for column in task.X.T)
    fit = _levenberg_marquardt(task, X)
    if task.fits is None:
        single_fit = jax.jit(lambda start, y: _with_errors(fit(start, y), len(task.X)))
        start, y = jnp.asarray(task.start), jnp.asarray(task.Y[:, 0])
        return lambda: np.asarray(single_fit(start, y))
    starts, Y = jnp.asarray(task.start), jnp.asarray(task.Y)
    many = jax.jit(lambda starts, Y: jax.lax.map(lambda pair: fit(*pair)[0], (starts, Y), batch_size=GROUP))
    return lambda: np.asarray(many(starts, Y))


def vmapped(task: Fit, threads: int) -> Run:
    """Return the run of many fits under one vmap."""
    jax.config.update("jax_enable_x64", task.precision == "float64")
    jax.config.update("jax_platforms", "cpu")
    X, curve = tuple(jnp.asarray(column) for column in task.X.T), task.curve.function("jax")

    def normal(p: Any, y: Any) -> Normal:
        r, J = curve(*X, *p) - y, jax.jacfwd(lambda p: curve(*X, *p))(p)
        return r @ r, J.T @ J, J.T @ r

    fit = _method(task, normal, _solve_by_library)
    many = jax.jit(jax.vmap(lambda start, y: fit(start, y)[0]))
    starts, Y = jnp.asarray(task.start), jnp.asarray(task.Y)
    return lambda: np.asarray(many(starts, Y))


def _levenberg_marquardt(task: Fit, X: tuple[Any, ...]) -> Any:
    """Return a fast function from a start and y to the parameters and their normal equations."""
    curve, derivatives = task.curve.function("jax"), task.curve.jacobian("jax")

    def normal(p: Any, y: Any) -> Normal:
        r = curve(*X, *p) - y
        J = [jnp.broadcast_to(column, r.shape) for column in derivatives(*X, *p)]
        r, J = jax.lax.optimization_barrier((r, J))  # otherwise XLA computes them again for each sum below
        products = [[(J[max(i, j)] * J[min(i, j)]).sum() for j in range(len(J))] for i in range(len(J))]
        return (r * r).sum(), jnp.stack([jnp.stack(row) for row in products]), jnp.stack([(j * r).sum() for j in J])

    return _method(task, normal, _solve)


def _method(task: Fit, normal: Callable[[Any, Any], Normal], solve: Callable[[Any, Any, Any], Any]) -> Any:
    """Return a function from a start and y to the parameters, with given ways to make and solve normal equations."""

    def step(state: Any) -> Any:
        p, y, (cost, A, g), damping, count, _ = state
        trial = p - solve(A, g, damping)
        new = normal(trial, y)
        better = new[0] < cost  # not where it is NaN
        done = (abs(cost - new[0]) <= REDUCTION[task.precision] * cost) | (damping > LARGEST_DAMPING)
        p, at = jax.tree.map(lambda a, b: jnp.where(better, a, b), (trial, new), (p, (cost, A, g)))
        return p, y, at, damping * jnp.where(better, 0.1, 10).astype(damping.dtype), count + 1, done

    def fit(start: Any, y: Any) -> tuple[Any, Normal]:
        state = start, y, normal(start, y), jnp.asarray(FIRST_DAMPING, task.precision), 0, False
        p, _, at, *_ = jax.lax.while_loop(lambda state: ~state[5] & (state[4] < ITERATIONS), step, state)
        return p, at

    return fit


def _solve_by_library(A: Any, g: Any, damping: Any) -> Any:
    """Return the solution of (A + damping*diag(A))*x = g."""
    return jnp.linalg.solve(A + damping * jnp.diag(jnp.diag(A)), g)


def _solve(A: Any, g: Any, damping: Any) -> Any:
    """Return the solution of (A + damping*diag(A))*x = g by Cholesky's method, written out."""
    L: dict[tuple[int, int], Any] = {}
    for i in range(len(g)):
        for j in range(i + 1):
            rest = A[i, j] * (1 + damping) if i == j else A[i, j]
            rest -= sum(L[i, k] * L[j, k] for k in range(j))
            L[i, j] = 1 / jnp.sqrt(rest) if i == j else rest * L[j, j]  # the diagonal is kept inverted
    x: list[Any] = []
    for i in range(len(g)):
        x.append((g[i] - sum(L[i, k] * x[k] for k in range(i))) * L[i, i])
    for i in reversed(range(len(g))):
        x[i] = (x[i] - sum(L[k, i] * x[k] for k in range(i + 1, len(g)))) * L[i, i]
    return jnp.stack(x)


def _with_errors(fitted: tuple[Any, Normal], samples: int) -> Array:
    """Return the parameters, and the roots of the diagonal of their covariance."""
    p, (cost, A, _) = fitted
    variance = cost / (samples - len(p))
    return jnp.stack([p, jnp.sqrt(variance * jnp.diag(jnp.linalg.inv(A)))])  # type: ignore[no-any-return]
