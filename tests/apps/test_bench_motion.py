"""The workloads of differential equations: peers find the same, and wrong results are told from the tolerance."""

from dataclasses import replace
from importlib import import_module

import pytest
from scipy.integrate import solve_ivp

from nncodegen.bench.moving import FIT, JACOBIAN, JACOBIANS, SOLVE, motion, trajectories
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.reactions import reactions
from nncodegen.bench.tasks import difference, tolerance


def run_of(peer, task):
    """The result of a peer, which is imported as it is asked for: it may not be installed."""
    file, function = PEERS[peer].place.split(":")
    made = getattr(import_module(f"nncodegen.bench.peers.{file}"), function)
    return made(task, 1, force=False)() if peer == OURS else made(task, 1)()


@pytest.mark.parametrize("what", [SOLVE, JACOBIAN, JACOBIANS, FIT])
@pytest.mark.parametrize("peer", ["odeint", "diffrax"])
def test_peers_find_the_same(peer, what):
    """Results agree to the tolerance of the workload; those of parameters or data that are 1 % off do not."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = motion(what, "float64", rows=3)
    ours = run_of(OURS, task)
    assert difference(task, ours, run_of(peer, task)) < tolerance(task)
    wrong = replace(task, Y=task.Y * 1.01) if what == FIT else replace(task, parameters=task.parameters * 1.01)
    assert difference(task, ours, run_of(peer, wrong)) > tolerance(task)


@pytest.mark.parametrize("peer", ["odeint", "radau", "diffrax"])
def test_peers_of_stiff_equations_find_the_same(peer):
    """Results agree to the tolerance of the workload; those of parameters that are 2 % off do not."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = reactions("float64")
    ours = run_of(OURS, task)
    assert difference(task, ours, run_of(peer, task)) < tolerance(task)
    wrong = replace(task, parameters=task.parameters * 1.02)
    assert difference(task, ours, run_of(peer, wrong)) > tolerance(task)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_trajectories_are_the_same(precision):
    """Those of C by hand, of a number that fills no vectors, and of SciPy; other rates are told from the tolerance."""
    task = trajectories(precision, 77)
    ours = run_of(OURS, task)
    assert difference(task, ours, run_of("c", task)) < tolerance(task)
    wrong = replace(task, rates=task.rates * task.rates.dtype.type(1.01))
    assert difference(task, ours, run_of("c", wrong)) > tolerance(task)
    for n in (0, 40, 76):
        r = float(task.rates[n])
        exact = solve_ivp(
            lambda t, u, r=r: [10 * (u[1] - u[0]), r * u[0] - u[1] - u[0] * u[2], u[0] * u[1] - 2.666 * u[2]],
            (0, 1), [1, 0, 0], "DOP853", rtol=1e-12, atol=1e-12,
        ).y[0, -1]  # fmt: skip
        assert abs(ours[n] - exact) < (1e-8 if precision == "float64" else 1e-3)
