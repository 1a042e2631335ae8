"""diffrax: Tsit5 and Kvaerno5 with its usual controller, in one jit; derivatives forwards, of many rows by vmap; fits.

The method of fits is that of ``jax_fits`` (Levenberg and Marquardt), with the solution and its Jacobian in one
computation.
"""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from nncodegen.bench.moving import ATOL, FIT, FITS, JACOBIANS, RTOL, SOLVE, Motion
from nncodegen.bench.peers import Run
from nncodegen.bench.reactions import STIFF_ATOL, STIFF_RTOL, Reactions
from nncodegen.bench.tasks import Task

ITERATIONS, REDUCTION = 200, 1e-8
"""A fit ends when a step changes the sum of squares by less than this part, as SciPy's does."""


def make(task: Task, threads: int) -> Run:
    """Return the run of a task."""
    if not isinstance(task, Motion):
        raise TypeError(f"diffrax solves no equations in {task!r}")
    jax.config.update("jax_enable_x64", task.precision == "float64")
    jax.config.update("jax_platforms", "cpu")
    p, times, Y = (jnp.asarray(array) for array in (task.parameters, task.times, task.Y))
    if isinstance(task, Reactions):
        run = jax.jit(lambda p: _stiff_solution(p, times))
    elif task.what == SOLVE:
        run = jax.jit(lambda p: _solution(p, times, diffrax.RecursiveCheckpointAdjoint()))
    elif task.what == FIT:
        run = jax.jit(lambda p: _fit(p, times, Y))
    elif task.what == FITS:
        run = jax.jit(lambda p: jax.vmap(_fit, (0, None, 0))(p, times, Y))
    elif task.what == JACOBIANS:
        run = jax.jit(lambda p: jax.vmap(jax.jacfwd(_solution), (None, 0))(p, times))
    else:
        run = jax.jit(jax.jacfwd(lambda p: _solution(p, times)))
    return lambda: np.asarray(run(p))


def _rates(t: Any, y: Any, p: Any) -> Any:
    u, v = y
    return jnp.stack([(p[0] - p[1] * v) * u, (p[3] * u - p[2]) * v])


def _solution(p: Any, times: Any, adjoint: Any = None) -> Any:
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_rates),
        diffrax.Tsit5(),
        times[0],
        times[-1],
        None,
        p[4:],
        p,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(RTOL, ATOL),
        adjoint=adjoint or diffrax.ForwardMode(),
    )
    return solution.ys.T.ravel()


def _reactions(t: Any, y: Any, p: Any) -> Any:
    a, b, c = y
    slow, fast, back = p[0] * a, p[1] * b * b, p[2] * b * c
    return jnp.stack([back - slow, slow - back - fast, fast])


def _stiff_solution(p: Any, times: Any) -> Any:
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_reactions),
        diffrax.Kvaerno5(),
        times[0],
        times[-1],
        None,
        jnp.array([1.0, 0, 0], p.dtype),
        p,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(STIFF_RTOL, STIFF_ATOL),
    )
    return solution.ys.T.ravel()


def _fit(start: Any, times: Any, Y: Any) -> Any:
    def residuals(p: Any) -> Any:
        r = _solution(p, times) - Y
        return r, r

    def at(p: Any) -> Any:
        J, r = jax.jacfwd(residuals, has_aux=True)(p)
        return r @ r, J.T @ J, J.T @ r

    def step(state: Any) -> Any:
        p, (cost, A, g), damping, count, _ = state
        trial = p - jnp.linalg.solve(A + damping * jnp.diag(jnp.diag(A)), g)
        new = at(trial)
        better = new[0] < cost  # not where it is NaN
        done = abs(cost - new[0]) <= REDUCTION * cost
        p, new_state = jax.tree.map(lambda a, b: jnp.where(better, a, b), (trial, new), (p, (cost, A, g)))
        return p, new_state, damping * jnp.where(better, 0.1, 10), count + 1, done

    state = start, at(start), jnp.asarray(1e-3, start.dtype), 0, False
    return jax.lax.while_loop(lambda state: ~state[4] & (state[3] < ITERATIONS), step, state)[0]
