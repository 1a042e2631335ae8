"""The workload of differential equations: peers find the same, and wrong results are told from the tolerance."""

from dataclasses import replace
from importlib import import_module

import pytest

from nncodegen.bench.moving import FIT, JACOBIAN, SOLVE, motion
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.reactions import reactions
from nncodegen.bench.tasks import difference, tolerance


def run_of(peer, task):
    """The result of a peer, which is imported as it is asked for: it may not be installed."""
    file, function = PEERS[peer].place.split(":")
    made = getattr(import_module(f"nncodegen.bench.peers.{file}"), function)
    return made(task, 1, force=False)() if peer == OURS else made(task, 1)()


@pytest.mark.parametrize("what", [SOLVE, JACOBIAN, FIT])
@pytest.mark.parametrize("peer", ["odeint", "diffrax"])
def test_peers_find_the_same(peer, what):
    """Results agree to the tolerance of the workload; those of parameters or data that are 1 % off do not."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    task = motion(what, "float64")
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
