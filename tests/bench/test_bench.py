"""The benchmarks: what is computed, that peers compute the same, and what the command says."""

import os
from dataclasses import replace

import numpy as np
import pytest

from nncodegen.bench import data
from nncodegen.bench.flops import flops
from nncodegen.bench.measuring import MeasuringSettings, Timing, measure
from nncodegen.bench.peers import OURS, PEERS, Peer
from nncodegen.bench.processes import Process, WorkerError, available_cores, environment
from nncodegen.bench.report import Measurement, short
from nncodegen.bench.tasks import difference, tolerance
from nncodegen.bench.workloads import CHAIN, CONV1D, LENET, LSTM, WORKLOADS
from nncodegen.errors import BenchError
from tests.support.tasks import KINDS, WORKLOAD, by_definition, run_of, tiny

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.mark.parametrize("stack", [CHAIN, LENET, CONV1D, LSTM], ids=lambda stack: stack.name)
def test_parameters_by_layer_are_those_of_the_model(stack):
    """The arrays of the layers are views, in the order and with the sizes of the model's parameters; and back."""
    sizes = [tensor.size for tensor in stack.model.describe().parameters]
    flat = np.arange(float(sum(sizes)))
    arrays = [array for layer in stack.unpack(flat) for array in layer]
    assert [array.size for array in arrays] == sizes
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in arrays]), flat)
    np.testing.assert_array_equal(stack.pack(stack.unpack(flat)), flat)
    arrays[0][:] = -1
    assert (flat == -1).sum() == sizes[0]


def test_parameters_of_several_models_by_layer():
    """A leading axis for models is kept in every array."""
    models = np.arange(3.0 * 756).reshape(3, 756)
    layers = CHAIN.unpack(models)
    assert [[array.shape for array in layer] for layer in layers[:1]] == [[(3, 32, 4), (3, 32)]]
    np.testing.assert_array_equal(CHAIN.pack(layers), models)
    for array, array_of_one in zip(layers[1], CHAIN.unpack(models[2])[1], strict=True):
        np.testing.assert_array_equal(array[2], array_of_one)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        pytest.param(kind, precision, marks=[pytest.mark.thorough] if (number + other) % 2 else [])
        for number, kind in enumerate(KINDS)
        for other, precision in enumerate(("float64", "float32"))
    ],
)
@pytest.mark.parametrize("peer", [OURS, "numpy", "c"])
def test_peers_compute_what_the_task_says(peer, kind, precision):
    """nncodegen, NumPy by hand and C by hand agree with the steps of the definition, and do so a second time."""
    if WORKLOAD[kind] in PEERS[peer].left_out:
        pytest.skip("does not take part")
    task = tiny(kind, precision)
    run, expected = run_of(peer, task), by_definition(task)
    for _ in range(2):
        outcome = run()
        assert outcome.dtype == precision
        assert difference(task, expected, outcome) < tolerance(task)
        assert difference(task, expected, outcome) < (1e-10 if precision == "float64" else 1e-3)


def test_flops_are_those_of_the_contractions():
    """A network's count is 2*rows*columns for each product; a formula's grows with its parameters alone."""
    relu = tiny("relu")  # 4-6-3, 21 samples in 9 steps
    forward, weights, inputs = 2 * (6 * 4 + 3 * 6), 2 * (6 * 4 + 3 * 6), 2 * 3 * 6
    assert flops(relu) == round(21 / 9 * (forward + weights + inputs))
    assert flops(tiny("predict")) == 7 * forward
    windows, dense = 2 * 5 * 4 * (3 * 2 * 2 * 2), 2 * (4 * 12 + 3 * 4)  # 5 x 4 places, of which 2 x 2 are left
    assert flops(tiny("windows")) == round(21 / 9 * (2 * windows + 3 * dense))
    gates, dense = 2 * 4 * 8, 2 * 2 * 2  # 4 steps, 8 rows of gates
    assert flops(tiny("sequence")) == 7 * (2 * gates * 3 + 3 * gates * 2 + 3 * dense)
    assert flops(tiny("many relu")) == flops(relu)
    assert tiny("many relu").steps == 3 * relu.steps
    simultaneous, sequential = (flops(tiny(kind)) for kind in ("simultaneous", "sequential"))
    assert 40 < simultaneous < sequential < 7 * simultaneous
    assert 3 * 10 < flops(tiny("curve")) / 7 < 3 * 30


@pytest.mark.parametrize("name", [name for name in WORKLOADS if WORKLOADS[name].task])
def test_workloads_are_the_same_at_every_call(name):
    """Tasks have the precision that was asked for, contiguous arrays, and the same numbers each time."""
    pytest.importorskip("sklearn")
    workload = WORKLOADS[name]
    for case in workload.cases:
        for precision in ("float64", "float32"):
            first, second = (vars(workload.task(case, precision, True)) for _ in range(2))
            for key, value in first.items():
                if isinstance(value, np.ndarray) and key != "labels":
                    assert value.dtype == precision
                    assert value.flags.c_contiguous
                    np.testing.assert_array_equal(value, second[key])


def test_sizes_are_those_of_the_table():
    """Full workloads have the samples, steps and shapes that they are described with."""
    pytest.importorskip("sklearn")
    tasks = {name: w.task(w.cases[-1], w.precisions[0], False) for name, w in WORKLOADS.items() if w.task}
    perceptron = WORKLOADS["perceptron"]
    iterations = [perceptron.task(case, "float64", False).iterations for case in perceptron.cases if perceptron.task]
    assert (tasks["perceptron"].starts.shape, iterations) == ((1, 7), [999, 999, 99_900])
    assert (tasks["ensemble"].starts.shape, tasks["ensemble"].steps) == ((1024, 7), 1024 * 999)
    assert (tasks["curve"].X.shape, tasks["curve"].batch, tasks["curve"].start.shape) == ((10_000, 1), 10_000, (10,))
    assert tasks["simplechains"].X.shape == (10_000, 4)
    assert tasks["spiral"].X.shape == (1024, 2)
    assert (tasks["digits"].X.shape, tasks["digits"].batch) == ((1797, 64), 64)
    assert (tasks["online"].X.shape, tasks["online"].batch) == ((1797, 64), 1)
    assert (tasks["wide"].X.shape, tasks["wide"].batch) == ((6400, 784), 128)
    assert (tasks["lenet"].X.shape, tasks["lenet"].batch, len(tasks["lenet"].start)) == ((2560, 784), 128, 44_426)
    assert (tasks["conv1d"].X.shape, tasks["conv1d"].batch, len(tasks["conv1d"].start)) == ((1280, 1024), 32, 3418)
    assert (tasks["lstm"].X.shape, tasks["lstm"].batch, len(tasks["lstm"].start)) == ((1024, 400), 32, 5281)
    assert (tasks["lstm-16"].X.shape, len(tasks["lstm-16"].parameters)) == ((1, 1), 1152)
    assert (tasks["microgpt"].X.shape, len(tasks["microgpt"].parameters)) == ((16, 16), 4192)
    assert (tasks["transformer"].X.shape, len(tasks["transformer"].parameters)) == ((32, 64), 110_720)
    assert (tasks["networks"].start.shape, tasks["networks"].X.shape) == ((1024, 161), (256, 8))
    batches = [WORKLOADS["networks"].task(case, "float32", False).batch for case in WORKLOADS["networks"].cases]
    assert batches == [8, 256]
    assert tasks["predict"].X.shape == (100_000, 64)


def test_matrix_exponentials():
    """The targets of simplechains are the exponentials of its inputs."""
    linalg = pytest.importorskip("scipy.linalg")
    A, E = data.matrix_exponentials(5)
    for a, e in zip(A, E, strict=True):
        np.testing.assert_allclose(e.reshape(2, 2), linalg.expm(a.reshape(2, 2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("change", ["rate", "order", "step", "loss"])
def test_other_arithmetic_is_not_taken_for_rounding(change):
    """A doubled rate, other batches, one epoch more: each moves the result beyond the tolerance of either precision."""
    for precision in ("float64", "float32"):
        task = tiny("relu", precision)
        other = {
            "rate": replace(task, learning_rate=2 * task.learning_rate),
            "order": replace(task, X=task.X[::-1].copy(), Y=task.Y[::-1].copy()),
            "step": replace(task, epochs=task.epochs + 1),
            "loss": replace(task, Y=2 * task.Y),
        }[change]
        expected, changed = run_of("numpy", task)(), run_of("numpy", other)()
        assert difference(task, expected, changed) > tolerance(task)
    assert difference(task, expected, np.full_like(expected, np.nan)) > tolerance(task)
    assert difference(task, expected, expected[1:]) > tolerance(task)


INTRUDERS = """
import os, sys, types

def wrong(task, threads):
    return lambda: task.starts + 1e-3

def failing(task, threads):
    return lambda: 1 / 0

def dying(task, threads):
    return lambda: os._exit(3)

module = types.ModuleType("nncodegen.bench.peers.intruder")
vars(module).update(wrong=wrong, failing=failing, dying=dying)
sys.modules[module.__name__] = module
"""


@pytest.fixture
def intruders(tmp_path, monkeypatch):
    """Three more peers: "wrong", "failing" and "dying"; and NumPy in place of the module, which the command measures.

    So the workers compile none.
    """
    (tmp_path / "sitecustomize.py").write_text(INTRUDERS)  # runs in every worker, before anything else
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(PEERS, OURS, replace(PEERS["numpy"], title=OURS))
    for name in ("wrong", "failing", "dying"):
        monkeypatch.setitem(PEERS, name, Peer(name, f"intruder:{name}"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where measurements keep what they build."""
    return tmp_path_factory.mktemp("bench")


@pytest.mark.usefixtures("intruders")
def test_a_peer_that_disagrees_is_an_error(folder):
    """Whoever computes something else is named, with the difference; there are no times."""
    with pytest.raises(BenchError, match=r"wrong does not compute what nncodegen computes.* differ by [\de.+-]+,"):
        measure(tiny("simultaneous"), ["wrong"], MeasuringSettings(rounds=1, seconds=1e-4), folder, lambda text: None)


@pytest.mark.usefixtures("intruders")
def test_measure(folder, monkeypatch):
    """Peers run in processes of their own; each has as many runs as rounds, and a result like nncodegen's.

    One that raises is reported with its reason, one whose process dies as well; the others are measured.
    """
    monkeypatch.setitem(PEERS, "sympy-subs", replace(PEERS["sympy-subs"], iterations=1))
    settings = MeasuringSettings(rounds=2, seconds=1e-4, quick=True)
    parts = []
    timings, failed = measure(
        tiny("simultaneous"), ["failing", "dying", "c", "sympy-subs"], settings, folder, parts.append
    )
    assert [timing.peer for timing in timings] == [OURS, "c", "sympy-subs"]
    assert [timing.steps for timing in timings] == [9, 9, 1]
    assert all(len(timing.runs) == 2 and min(timing.runs) > 0 for timing in timings)
    assert all(timing.difference < 1e-12 for timing in timings)
    assert "round 2 of 2" in parts
    assert set(failed) == {"failing", "dying"}
    assert failed["failing"] == "ZeroDivisionError: division by zero"
    assert "its process ended with exit code 3" in failed["dying"]


def test_environment(monkeypatch, tmp_path):
    """Workers have thread pools of the asked size and cores of their own, and no setting that slows a BLAS down."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    values = environment(1, tmp_path)
    assert "OPENBLAS_CORETYPE" not in values
    assert values["OMP_NUM_THREADS"] == values["OPENBLAS_NUM_THREADS"] == "1"
    assert "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" in values["XLA_FLAGS"]
    assert "multi_thread_eigen=true" in environment(2, tmp_path)["XLA_FLAGS"]
    before = available_cores()
    with Process("some", 1, tmp_path) as process:
        if hasattr(os, "sched_getaffinity"):
            assert os.sched_getaffinity(process.process.pid) == {before[0]}
        with pytest.raises(WorkerError, match="KeyError"):
            process.ask(do="nothing")
        assert process.ask(do="peak", precision="float32", folder=str(tmp_path))["flops"] > 1e8
    assert available_cores() == before


def test_figures():
    """Ratios are of medians; numbers have three digits."""
    timings = [Timing(name, 1.0, 1.0, 1, None, 0.0, 1, runs) for name, runs in (("nncodegen", [1, 2, 9]), ("c", [3.0]))]
    measured = Measurement("perceptron", "", "float64", "", "", 10, 20.0, 1e-8, 1, timings, {})
    assert [timing["ratio"] for timing in measured.as_json()["timings"]] == [1, 1.5]
    first = measured.as_json()["timings"][0]
    assert (first["minimum"], first["quartiles"], first["share_of_peak"]) == (1, [1.5, 5.5], 0.25)
    assert [short(x) for x in (0.012345, 1.5, 3.0, 1234.5, 999.6)] == ["0.0123", "1.5", "3", "1,230", "1,000"]
