"""Modules that have moved since 0.2: their old names, the names that users may rely on, and the keys of the cache."""

import importlib
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nncodegen
from nncodegen.compiler import moved
from nncodegen.compiler.building import targets
from tests.support import ROOT

PUBLIC = (
    "nncodegen.bench", "nncodegen.certificates", "nncodegen.curves", "nncodegen.errors", "nncodegen.estimators",
    "nncodegen.generated", "nncodegen.perceptron", "nncodegen.reports", "nncodegen.runtime.python",
    "nncodegen.runtime.python.ground.certificate", "nncodegen.runtime.python.results.fit_result",
    "nncodegen.runtime.python.results.grouped_fit", "nncodegen.runtime.python.results.many_fits",
    "nncodegen.runtime.python.results.result", "nncodegen.table",
)  # fmt: skip
"""Modules that have stayed where 0.2 had them."""

OLD = (
    "nncodegen.building.parts", "nncodegen.curve", "nncodegen.curve.formula", "nncodegen.describe",
    "nncodegen.describe.loss_steps", "nncodegen.describe.losses", "nncodegen.exports", "nncodegen.exports.c.model",
    "nncodegen.exports.onnx", "nncodegen.imports", "nncodegen.imports.onnx", "nncodegen.imports.torch", "nncodegen.ir",
    "nncodegen.ir.elementary", "nncodegen.ir.functions", "nncodegen.ir.program", "nncodegen.ir.reductions",
    "nncodegen.module", "nncodegen.motion.methods.tsit5", "nncodegen.network", "nncodegen.network.description",
    "nncodegen.passes.differentiate", "nncodegen.pipeline", "nncodegen.schedule.tree",
)  # fmt: skip
"""Old names of modules that have moved."""


@pytest.mark.parametrize("name", PUBLIC)
def test_what_stays_is_imported_without_a_warning(name):
    """Public modules keep their names; a warning would be an error here."""
    assert importlib.import_module(name).__name__ in {name, *sys.modules}


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_gives_the_present_module(name):
    """It warns, and gives the very module that has the new name, which keeps its own name and spec."""
    new = moved.present(name)
    present = importlib.import_module(new)
    forget_old_names()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old = importlib.import_module(name)
    messages = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    assert any(message.startswith(f"the module {name} is {new} now") for message in messages)
    if name.partition(".")[2] in moved.FACADES:
        assert all(
            getattr(old, public) is getattr(present, public) for public in dir(present) if not public.startswith("_")
        )
    else:
        assert old is present
        assert (old.__name__, old.__spec__.name) == (new, new)


@pytest.mark.filterwarnings("ignore:the module nncodegen:DeprecationWarning")
def test_an_old_name_takes_no_other_place():
    """A package does not lose its own modules to those that are imported by an old name."""
    forget_old_names()
    importlib.import_module("nncodegen.imports.onnx")
    importlib.import_module("nncodegen.imports.torch")
    importlib.import_module("nncodegen.exports.c")
    assert importlib.import_module("nncodegen.formats").onnx.__name__ == "nncodegen.formats.onnx"
    assert importlib.import_module("nncodegen.formats").torch.__name__ == "nncodegen.formats.torch"
    assert not hasattr(importlib.import_module("nncodegen.formats.export"), "c")


def forget_old_names():
    """Let the old names be imported again, as in a new process."""
    for known in [module for module in sys.modules if module.startswith("nncodegen.") and moved.present(module)]:
        del sys.modules[known]


def test_every_old_name_leads_somewhere():
    """Each entry of the table names a module that is there."""
    for old in moved.MOVED:
        new = moved.present(f"nncodegen.{old}")
        assert importlib.util.find_spec(new), new


def test_an_attribute_of_the_package_has_the_old_name():
    """Programs that wrote nn.describe go on, with a warning."""
    program = (
        "import nncodegen as nn, warnings\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    nn.describe.Model, nn.ir.functions.relu\n"
        "assert {str(one.message).split()[2] for one in told} >= {'nncodegen.describe', 'nncodegen.ir'}, told\n"
        "try:\n    nn.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("module 'nncodegen' has no attribute 'nothing'\n", "")


def test_a_pickle_with_old_names_loads():
    """Estimators that 0.2 pickled name nncodegen.network; they load as what is there now."""
    from nncodegen.estimators.network import Description

    description = Description(2, ((3, "tanh"), (1, "linear")), "mse")
    now = pickle.dumps(description, protocol=0)
    before = now.replace(b"nncodegen.estimators.network", b"nncodegen.network")
    assert before != now
    forget_old_names()
    with pytest.warns(DeprecationWarning, match=r"nncodegen\.network"):
        assert pickle.loads(before) == description


def test_the_old_names_go_with_the_next_minor_version():
    """The table of old names is removed in the version that the warnings name."""
    assert nncodegen.__version__.split(".")[:2] < moved.FIRST_WITHOUT.split(".")[:2]


def test_unknown_modules_stay_unknown():
    """What never was a module is no module now: no old name hides a mistake."""
    forget_old_names()
    with pytest.warns(DeprecationWarning, match=r"nncodegen\.ir"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("nncodegen.ir.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nncodegen.nothing")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the folders from which the keys of the cache follow, which the digests read."""
    for name in ("compiler", "runtime/c"):
        shutil.copytree(ROOT / "nncodegen" / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(targets, "RUNTIME", tmp_path / "runtime" / "c")
    monkeypatch.setattr(targets, "_HERE", tmp_path / "compiler" / "building")
    yield tmp_path
    clear()


def clear():
    """Forget the digests."""
    targets.runtime_digest.cache_clear()
    targets.compiler_digest.cache_clear()


def changed(path: Path, digest):
    """Return whether a byte more in a file changes a digest."""
    clear()
    before, content = digest(), path.read_bytes()
    path.write_bytes(content + b"\n")
    clear()
    try:
        return digest() != before
    finally:
        path.write_bytes(content)


def test_each_header_counts_for_the_keys(package):
    """Objects in the cache depend on every header of the runtime, in whichever folder: one byte changes the key."""
    headers = sorted((package / "runtime" / "c").rglob("*.[ch]"))
    folders = {path.parent: path for path in headers}
    assert len(headers) > 100
    for path in folders.values():
        assert changed(path, targets.runtime_digest), path


def test_each_stage_counts_for_the_keys(package):
    """Parts and searches in the cache depend on each stage that writes C: a byte more in any folder changes the key."""
    stages = {"ir", "describe", "motion", "passes", "schedule", "emit"}
    assert {*targets.WRITERS} == stages
    for path in {
        file.parent: file for stage in stages for file in (package / "compiler" / stage).rglob("*.py")
    }.values():
        assert changed(path, targets.compiler_digest), path


def test_a_folder_that_is_missing_is_an_error(package):
    """A hash of nothing would take stale modules for new ones."""
    shutil.rmtree(package / "compiler" / "motion")
    clear()
    with pytest.raises(FileNotFoundError, match="motion has no files"):
        targets.compiler_digest()
