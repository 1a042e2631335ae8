"""The workloads of differential equations: peers find the same, and wrong results are told from the tolerance."""

from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.bench.command import absences
from nncodegen.bench.measuring import _part
from nncodegen.bench.moving import FIT, FITS, JACOBIAN, JACOBIANS, SOLVE, motion, trajectories
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.reactions import reactions
from nncodegen.bench.tasks import difference, tolerance

pytestmark = pytest.mark.usefixtures("vector_compiler")


def run_of(peer, task):
    """The result of a peer, which is imported as it is asked for: it may not be installed."""
    file, function = PEERS[peer].place.split(":")
    made = getattr(import_module(f"nncodegen.bench.peers.{file}"), function)
    return made(task, 1, force=False)() if file == "ours" else made(task, 1)()


@pytest.mark.parametrize("what", [SOLVE, JACOBIAN, JACOBIANS, FIT, FITS])
@pytest.mark.parametrize("peer", ["odeint", "diffrax"])
def test_peers_find_the_same(peer, what):
    """Results agree to the tolerance of the workload; those of parameters or data that are 1 % off do not."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = motion(what, "float64", rows=3)
    found = run_of(peer, task)
    assert difference(task, run_of(OURS, task), found) < tolerance(task)
    wrong = replace(task, Y=task.Y * 1.01) if what in (FIT, FITS) else replace(task, parameters=task.parameters * 1.01)
    assert difference(task, run_of(OURS, wrong), found) > tolerance(task)


def test_many_fits_one_by_one():
    """Each in a call of its own finds what all find side by side; the peer takes part in that case alone."""
    task = motion(FITS, "float64", rows=11)
    assert task.fits == task.steps == 11
    assert difference(task, run_of(OURS, task), run_of("one-by-one", task)) < tolerance(task)
    part, named = _part(task, PEERS["odeint"])
    assert (part.fits, named) == (10, "10 fits")
    assert _part(motion(FIT, "float64"), PEERS["odeint"])[1] is None
    peers = ["one-by-one", "curve_fit"]
    assert [*absences("motion", "float64", peers, FITS)] == ["curve_fit"]
    assert "10,000 fits" in absences("motion", "float64", peers, SOLVE)["one-by-one"]


def solved(task):
    """The solution by a module of which nothing is compiled that only fits ask for."""
    return nn.build(task.model, task.precision, fit=False).predict(task.parameters, task.times[np.newaxis])[0]


@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        pytest.param("odeint", partial(run_of, OURS), marks=pytest.mark.thorough),
        ("radau", solved),
        ("diffrax", solved),
    ],
    ids=["odeint", "radau", "diffrax"],
)
def test_peers_of_stiff_equations_find_the_same(peer, ours):
    """Results agree to the tolerance of the workload; those of parameters that are 2 % off do not."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = reactions("float64")
    found = run_of(peer, task)
    assert difference(task, ours(task), found) < tolerance(task)
    wrong = replace(task, parameters=task.parameters * 1.02)
    assert difference(task, ours(wrong), found) > tolerance(task)


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
            (0, 1),
            [1, 0, 0],
            "DOP853",
            rtol=1e-12,
            atol=1e-12,
        ).y[0, -1]
        assert abs(ours[n] - exact) < (1e-8 if precision == "float64" else 1e-3)
