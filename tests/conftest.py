"""What the tests share: a build cache, compilers, modules, the command line; and four flags.

What takes long and rarely tells something new needs ``--thorough``: other CPUs in an emulator, sanitizers of C, the
C runtime in both precisions with either compiler, Hessians of all pairs of an activation and a loss, and more; with
``--part 1/3``, a third of that.
Random examples are the same in every run. ``--search 10`` tries each property with ten times as many, which are others
in every run: hypothesis prints how to try one of them again. ``--update-golden`` renews the committed texts.
"""

import gc
import os
import tempfile
from contextlib import contextmanager

import pytest

import nncodegen as nn
from tests.support.command import Commands
from tests.support.compilers import LIGHT_AND_STRICT, QUICK, VECTORS_AND_STRICT
from tests.support.search import repeat, search

COMPILER = os.environ.get("CC")

LONGEST = (
    "test_documents.py", "test_build.py", "test_lanes.py", "test_rows.py", "test_one_sample.py", "test_bench.py",
    "test_planted.py", "test_certify.py", "test_report.py", "test_digits.py", "test_window_layers.py",
    "test_windows.py",
    "test_table_learn.py", "test_export_wheel.py", "test_c.py", "test_targets.py", "test_training.py",
    "test_estimators.py", "test_descent.py", "test_blocks.py", "test_bench_fits.py", "test_blas.py",
    "test_variants.py", "test_plain_c.py", "test_large_formulas.py", "test_nist.py", "test_slow.py",
    "test_hessian.py", "test_divergence.py", "test_estimators_sklearn.py", "test_schedule.py", "test_registers.py",
    "test_runtime_fit.py", "test_numbers.py", "test_table.py", "test_export_wasm.py", "test_onnx.py", "test_many.py",
    "test_dask.py", "test_kinds.py", "test_runtime_headers.py", "test_limits.py", "test_exercise.py",
    "test_strd.py", "test_runtime_products.py", "test_onnx_nodes.py", "test_cli.py",
    "test_curve_fit.py", "test_accepted.py", "test_results.py", "test_noise.py", "test_runtime_fits.py",
    "test_inline_functions.py", "test_bench_command.py", "test_interrupt.py", "test_equations.py", "test_interface.py",
    "test_runtime.py", "test_grouping.py", "test_types.py",
)  # fmt: skip
"""The files that take longest, the longest first: where several processes share the tests, all end at once."""


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="renew generated/perceptron and tests/golden")
    parser.addoption("--thorough", action="store_true", help="run the tests that are marked as thorough, too")
    parser.addoption("--part", metavar="K/N", help="run only each Nth of the thorough tests, beginning with the Kth")
    parser.addoption("--search", type=int, metavar="N", help="try N times as many random examples, others in every run")


def pytest_configure(config):
    config.addinivalue_line("markers", "thorough: takes long; skipped without --thorough")
    config.option.loadscopereorder = False  # of pytest-xdist: first the files that have most tests
    times = config.getoption("--search")
    search(times) if times else repeat()
    cache = getattr(config, "cache", None)  # not with -p no:cacheprovider
    folder = cache.mkdir("nncodegen") if cache else tempfile.mkdtemp(prefix="nncodegen")
    os.environ.setdefault("NNCODEGEN_CACHE", str(folder))
    # hundreds of processes import nncodegen: what Python compiles for one is kept for the others, wherever it runs
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bytecode = cache.mkdir("bytecode") if cache else tempfile.mkdtemp(prefix="bytecode")
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(bytecode))


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--thorough"):
        skip = pytest.mark.skip(reason="takes long: --thorough runs it")
        for item in items:
            if "thorough" in item.keywords:
                item.add_marker(skip)
    if config.getoption("--part"):
        first, count = map(int, config.getoption("--part").split("/"))
        thorough = sorted(item.nodeid for item in items if "thorough" in item.keywords)
        kept = set(thorough[first % count :: count])
        items[:] = [item for item in items if "thorough" not in item.keywords or item.nodeid in kept]
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish():
    """What the imports have made stays: to look through it for garbage again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A build cache that holds nothing."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def perceptron():
    """The compiled perceptron."""
    from nncodegen.perceptron import model

    return as_people_get_it(model)


@pytest.fixture(scope="session")
def chain():
    """A compiled 4-5-3 network with three classes."""
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    return as_people_get_it(nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="chain"))


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """What runs the command line."""
    commands = Commands(tmp_path_factory.mktemp("command"))
    yield commands
    commands.close()


@pytest.fixture
def usual_compiler():
    """Modules are compiled as people get them, in a file of tests that has another compiler."""
    with compiler_of_this_run():
        yield


def as_people_get_it(model):
    """The module of a model, whichever test is the first to ask for it."""
    with compiler_of_this_run():
        return nn.build(model)


@contextmanager
def compiler_of_this_run():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", COMPILER) if COMPILER else patch.delenv("CC", raising=False)
        yield


@pytest.fixture(scope="module")
def quick_compiler():
    """Modules are compiled without optimization, also by processes that a test starts.

    For what is built around modules. What their C computes is tested with the options that people get, or, where many
    modules are compared with the evaluator, with those of ``light_compiler`` or ``vector_compiler``.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        yield


@pytest.fixture(scope="module")
def light_compiler():
    """Modules are compiled with little optimization, in a third of the time, and without a warning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", LIGHT_AND_STRICT)
        yield


@pytest.fixture(scope="module")
def vector_compiler():
    """The same with vectors in the loops that are marked for them, in half of the time: for tests of such loops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", VECTORS_AND_STRICT)
        yield


@pytest.fixture
def pyplot():
    """Matplotlib without a screen."""
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")
    matplotlib.use(before)
