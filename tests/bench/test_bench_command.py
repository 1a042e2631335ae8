"""``python -m nncodegen bench``, as people use it; and the peers that need a framework, where it is installed."""

import json
import os
from importlib.util import find_spec

import pytest

from nncodegen.bench.peers import PEERS
from nncodegen.bench.tasks import difference, tolerance
from tests.support import ROOT
from tests.support.tasks import KINDS, WORKLOAD, by_definition, run_of, tiny

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture
def bench(tmp_path, commands):
    """Runs the command in an empty folder: bench(*arguments) -> the finished process."""

    def call(*arguments):
        return commands.run(["bench", *arguments], tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"})

    return call


def test_bench(bench, tmp_path):
    """Prints every peer's times and who is absent, and writes all of it to a file."""
    plots = ["--plot", "chart.png"] if find_spec("matplotlib") else []
    done = bench(
        "spiral",
        "--quick",
        "--precision",
        "float64",
        "--peers",
        "c,numpy",
        "--peers",
        "sklearn",
        "--json",
        "all.json",
        *plots,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("NumPy by hand") == 1
    assert "sklearn: left out: it has one logistic output, not a softmax, for two classes" in done.stdout
    assert "c: left out: it is for the perceptron and for trajectories" in done.stdout
    results = json.loads((tmp_path / "all.json").read_text())
    assert {"cpu", "compiler", "versions", "date"} <= set(results["machine"])
    (measurement,) = results["measurements"]
    assert [timing["peer"] for timing in measurement["timings"]] == ["nncodegen", "numpy"]
    assert all(0 < timing["share_of_peak"] < 1 for timing in measurement["timings"])
    assert all(timing["difference"] < measurement["tolerance"] for timing in measurement["timings"])
    if plots:
        assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "there is no workload 'digit'; there are: perceptron, curve, simplechains, spiral"),
        (["digits", "--peers", "jax,tensorflow"], "there is no peer 'tensorflow'; there are: nncodegen, numpy, jax"),
        (["--threads", "4096"], "4096 threads need 4096 cores; "),
        (["--threads", "0"], "0 is not in the range"),
        (["--json", "missing/all.json"], "missing/all.json is in a folder that does not exist"),
        (["--precision", "float16"], "'float16' is not one of"),
    ],
)
def test_wrong_usage(bench, arguments, message):
    """What is wrong is said before anything is measured, with exit code 2."""
    done = bench(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_peers_are_named():
    """A peer whose module is not installed is absent, with the name of the module."""
    from nncodegen.bench.command import absences
    from nncodegen.bench.peers import Peer

    PEERS["absent"] = Peer("Absent", "absent:make", ("no_such_module",))
    try:
        assert absences("digits", "float64", ["absent", "numpy", "c"]) == {
            "absent": "is not installed (no module no_such_module)",
            "c": "left out: it is for the perceptron and for trajectories",
        }
    finally:
        del PEERS["absent"]


def test_grown_formulas():
    """A grown formula has as many parameters as it is said to have."""
    from nncodegen.bench.builds import grown

    for size in (10, 31, 100, 301, 1000):
        assert len(grown("formula size", size).parameters) == size


@pytest.mark.thorough
def test_builds_and_growth(empty_cache):
    """Stages of a cold and of a cached build, and what a network of more layers takes."""
    from nncodegen.bench.builds import compile_once, grow_once
    from nncodegen.bench.growing import _ask
    from nncodegen.bench.measuring import MeasuringSettings

    cold = compile_once("spiral", "float64")
    cached = _ask(MeasuringSettings(), empty_cache, do="compile", model="spiral", precision="float64")
    assert (cold["cached"], cached["cached"]) == (False, True)
    assert list(cold["seconds"]) == ["describe", "stabilize", "differentiate", "simplify", "schedule", "emit", "build"]
    answer = grow_once("depth", 2, "float64")
    assert answer["parameters"] == 16 * 32 + 32 + 32 * 32 + 32 + 33
    assert answer["bytes"] > 1000
    assert answer["sample"] > 0


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        pytest.param(kind, precision, marks=[pytest.mark.thorough] if (number + other) % 2 else [])
        for number, kind in enumerate(KINDS)
        for other, precision in enumerate(("float64", "float32"))
    ],
)
@pytest.mark.parametrize("peer", ["jax", "jax-by-hand", "torch", "torch-modules", "sklearn", "sympy-lambdify", "blas"])
def test_frameworks_compute_what_the_task_says(peer, kind, precision):
    """The frameworks that are installed agree with the steps of the definition, too, and do so a second time."""
    for name in PEERS[peer].needs:
        pytest.importorskip(name)
    if WORKLOAD[kind] in PEERS[peer].left_out or precision not in PEERS[peer].precisions:
        pytest.skip("does not take part")
    task = tiny(kind, precision)
    run, expected = run_of(peer, task), by_definition(task)
    for _ in range(2):
        assert difference(task, expected, run()) < tolerance(task)
