"""What the tests share: a build cache, compilers, modules, the command line; and some flags.

What takes long and rarely tells something new needs ``--thorough``: other CPUs in an emulator, sanitizers of C, the
C runtime in both precisions with either compiler, Hessians of all pairs of an activation and a loss, and more; with
``--part 1/48``, a 48th of that.
Random examples are the same in every run. ``--search 10`` tries each property with ten times as many, which are others
in every run: hypothesis prints how to try one of them again. ``--update-golden`` renews the committed texts,
``--store-durations`` the seconds that each file of tests takes, by which several processes share them: seconds of CPU
time, so that nothing else that runs on the machine counts. ``--replay-save FOLDER`` keeps every text that the tests
make, and ``--replay FOLDER`` tells which of them a change alters.
"""

import gc
import json
import math
import os
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

import nncodegen as nn
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.estimators.network import modules
from tests.support import replay
from tests.support.aarch64 import python_for_aarch64
from tests.support.caches import begun
from tests.support.command import RUNNING, Commands
from tests.support.compilers import QUICK, VECTORS
from tests.support.search import repeat, search

COMPILER = os.environ.get("CC")

_COUNTED = pytest.StashKey[float]()
"""The CPU time until the last report of a test."""

_seconds = {}
"""The seconds of CPU time that each file has taken until now."""

_networks = {}
"""For each compiler, the modules of estimators' networks that it has made in this process."""

_begins = {}
"""For each file of tests with a generator RNG, its state after the file was imported."""

CORE = ("compiler", "functions", "golden")
"""The folders whose tests are run with ``-m core``: the stages of the compiler, what they print, and small functions
through all of them."""

DURATIONS = Path(__file__).with_name("durations.json")
"""The seconds of CPU time that each file of tests takes, as ``--store-durations`` has measured them."""


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="renew generated/perceptron and tests/golden")
    parser.addoption("--thorough", action="store_true", help="run the tests that are marked as thorough, too")
    parser.addoption("--part", metavar="K/N", help="run only each Nth of the thorough tests, beginning with the Kth")
    parser.addoption("--store-durations", action="store_true", help="keep the CPU time of each file that is run")
    parser.addoption("--search", type=int, metavar="N", help="try N times as many random examples, others in every run")
    replay.add_options(parser)


def pytest_configure(config):
    config.addinivalue_line("markers", "thorough: takes long; skipped without --thorough")
    config.addinivalue_line("markers", "core: what to run while one works on the compiler")
    config.option.loadscopereorder = False  # of pytest-xdist: first the files that have most tests
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in the background like that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    times = config.getoption("--search")
    search(times) if times else repeat()
    replay.configure(config)
    cache = getattr(config, "cache", None)  # not with -p no:cacheprovider
    folder = cache.mkdir("nncodegen") if cache else tempfile.mkdtemp(prefix="nncodegen")
    os.environ.setdefault("NNCODEGEN_CACHE", str(folder))
    # hundreds of processes import nncodegen: what Python compiles for one is kept for the others, wherever it runs
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bytecode = cache.mkdir("bytecode") if cache else tempfile.mkdtemp(prefix="bytecode")
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(bytecode))


@pytest.hookimpl(tryfirst=True)  # before -m chooses by markers
def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.parent.name in CORE:
            item.add_marker("core")
    if not config.getoption("--thorough"):
        skip = pytest.mark.skip(reason="takes long: --thorough runs it")
        for item in items:
            if "thorough" in item.keywords:
                item.add_marker(skip)
    for module in dict.fromkeys(item.module for item in items if hasattr(getattr(item, "module", None), "RNG")):
        _begins[module] = module.RNG.bit_generator.state
    if config.getoption("--part"):
        first, count = map(int, config.getoption("--part").split("/"))
        thorough = sorted({_apart(item) for item in items if "thorough" in item.keywords})
        kept = set(thorough[first % count :: count])
        items[:] = [item for item in items if "thorough" not in item.keywords or _apart(item) in kept]
    if hasattr(config, "workerinput"):  # the longest first, so that all processes end at once
        seconds = json.loads(DURATIONS.read_text())
        items.sort(key=lambda item: -seconds.get(_file(item.nodeid), math.inf))  # a file that is new may take long


@pytest.fixture(autouse=True)
def begun_again(request):
    """Let the generator RNG of a file of tests begin again in each test, so that no data depend on their order."""
    if request.module in _begins:
        request.module.RNG.bit_generator.state = _begins[request.module]


@pytest.fixture
def forget_derivatives():
    """The function that a test calls when it has changed a rule; after the test, derivatives are forgotten again."""
    yield derivative.cache_clear
    derivative.cache_clear()


def _apart(item):
    """The name of a test, or of all that share a fixture with one parameter: what is built for it serves one part."""
    chosen, fixtures = getattr(item, "callspec", None), item._fixtureinfo.name2fixturedefs
    shared = [
        f"{name}={index}"
        for name, index in (chosen.indices.items() if chosen else ())
        if name in fixtures and fixtures[name][-1].scope != "function"
    ]
    return "::".join([_file(item.nodeid), *shared]) if shared else item.nodeid


def _file(node):
    """The path of the file that has a test, as it begins the name of the test."""
    return node.partition("::")[0]


def _cpu_time():
    """The seconds of CPU time of this process, of all that it has waited for, such as compilers, and of commands."""
    times, commands = os.times(), sum(each.cpu_time() for each in RUNNING)
    return times.user + times.system + times.children_user + times.children_system + commands


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.config.stash[_COUNTED] = _cpu_time()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Give a report the CPU time since the one before it; pytest-xdist sends it to the process that adds them up."""
    report = yield
    before, item.config.stash[_COUNTED] = item.config.stash[_COUNTED], _cpu_time()
    report.cpu_time = item.config.stash[_COUNTED] - before
    return report


def pytest_runtest_logreport(report):
    """Add up how long each file takes."""
    name = _file(report.nodeid)
    _seconds[name] = _seconds.get(name, 0.0) + getattr(report, "cpu_time", 0.0)  # which a crash has not


def pytest_sessionfinish(session):
    if session.config.getoption("--store-durations") and not hasattr(session.config, "workerinput"):
        known, root = json.loads(DURATIONS.read_text()), session.config.rootpath
        kept = {name: seconds for name, seconds in known.items() if (root / name).exists()}
        measured = {name: round(seconds) for name, seconds in _seconds.items()}
        DURATIONS.write_text(json.dumps(dict(sorted((kept | measured).items())), indent=0) + "\n")


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


@pytest.fixture
def begun_cache(tmp_path, monkeypatch):
    """A build cache that holds no module, but what all of them are linked with."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(begun(tmp_path / "cache")))
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


@pytest.fixture(scope="session")
def aarch64_python(tmp_path_factory):
    """A function from a folder to the command of a Python for AArch64, in an emulator, that finds what lies there."""
    return python_for_aarch64(tmp_path_factory.mktemp("aarch64"))


@pytest.fixture
def usual_compiler():
    """Modules are compiled as people get them, in a file of tests that has another compiler."""
    with compiler_of_this_run():
        yield


def as_people_get_it(model):
    """The module of a model, whichever test is the first to ask for it."""
    with compiler_of_this_run():
        return nn.build(model)


def compiler_of_this_run():
    return compiler(COMPILER)


@contextmanager
def compiler(command):
    """Modules are compiled by a command; also the networks of estimators, which otherwise are built once a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", command) if command else patch.delenv("CC", raising=False)
        patch.setattr(modules, "_modules", _networks.setdefault(command, {}))
        yield


@pytest.fixture(scope="module")
def quick_compiler():
    """Modules are compiled without optimization and without a warning, also by processes that a test starts.

    For what is built around modules, and for what their C computes by itself. What optimization may break, such as
    lanes and bits, is tested with ``vector_compiler`` or with the options that people get.
    """
    with compiler(QUICK):
        yield


@pytest.fixture(scope="module")
def vector_compiler():
    """The same with vectors in the loops that are marked for them: for tests of such loops."""
    with compiler(VECTORS):
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


@pytest.fixture
def built(monkeypatch):
    """The numbers of inputs of the modules that are built in a test, which finds none."""
    numbers, original = [], modules.build_module
    monkeypatch.setattr(modules, "_modules", {})
    monkeypatch.setattr(
        modules,
        "build_module",
        lambda model, *others, **options: numbers.append(model.inputs) or original(model, *others, **options),
    )
    return numbers
