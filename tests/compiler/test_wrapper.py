"""The wrapper that the modules of a process share: those in the cache, which are linked without it."""

import importlib
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building import wrapper
from nncodegen.compiler.building.build import load, shared_wrapper
from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.compiler.building.files import is_intact
from nncodegen.compiler.building.parts import offer
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = np.linspace(0, 3, 20)[:, None]
Y = 2 * np.exp(-0.7 * X) + 0.3
MODELS = {
    "formula": nn.Model("shared_formula", "x", "y", {"a": 1, "b": 0.5, "c": 0.1}, "a*exp(-b*x) + c"),
    "network": nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], 1, name="shared_network"),
    "two inputs": nn.Sequential([nn.Dense(2)], 2, name="shared_inputs"),
    "no inputs": nn.Model("shared_loss", parameters={"a": 3.0}, loss="(a - 1)**2"),
    "bounded": nn.Sequential([nn.Embedding(4, 2), nn.Flatten(), nn.Dense(1)], 3, name="shared_words"),
}


def data(module):
    """Samples for a module: six rows of X and Y, or None."""
    rng = np.random.default_rng(1)
    inputs, targets = len(module.input_names), len(module.target_names)
    samples = (
        rng.integers(0, 4, (6, inputs)).astype(float) if module.name == "shared_words" else rng.random((6, inputs))
    )
    return samples if inputs else None, rng.random((6, targets)) if targets else None


def shared_module(model):
    """A module as it is in the cache, also where the cache holds a whole one."""
    apart = nn.compile_model(model, fit=False, apart=True).built
    offer(apart.path, lambda of_fits: nn.compile_model(model, fit=False, until="emit").sources)
    return load(apart)


@pytest.fixture(scope="module")
def modules(quick_compiler):
    """The modules of all models as they are in the cache, and as they are in folders, with everything."""
    return {
        name: (shared_module(model), load(nn.compile_model(model, fit=False).built)) for name, model in MODELS.items()
    }


def test_models_of_one_wrapper_do_not_mix(modules):
    """Whichever module was called before, each computes what it computes when it is alone, short calls and others."""
    calls = {
        "predict": lambda m, X, Y, p: m.predict(p, X) if X is not None else p,
        "one row": lambda m, X, Y, p: m.predict(p, X[:1]) if X is not None else p,
        "a list": lambda m, X, Y, p: m.predict(p, X.tolist()) if X is not None else p,
        "loss": lambda m, X, Y, p: m.loss(p, X, Y),
        "gradient": lambda m, X, Y, p: m.loss_and_gradient(p, X, Y)[1],
        "short": lambda m, X, Y, p: m.train(X, Y, p, epochs=3).parameters,
        "rule": lambda m, X, Y, p: m.train(X, Y, p, "adam", 0.02, epochs=3).metrics["loss"],
        "train": lambda m, X, Y, p: m.train(X, Y, p, epochs=3, l2=0.1).parameters,
        "many": lambda m, X, Y, p: m.train_many(X, Y, models=3, epochs=3).parameters,
    }
    for name, call in calls.items():
        by_name = {kind: [call(m, *data(m), m.initial_parameters(3)) for m in pair] for kind, pair in modules.items()}
        for kind, (shared, alone) in by_name.items():
            assert np.array_equal(shared, alone), (name, kind)


def test_a_wrapper_is_not_in_the_module(modules):
    """A module in the cache has neither the wrapper nor the Python texts, but the same names, and is a module."""
    shared, whole = modules["formula"]
    sizes = [Path(module.__file__).stat().st_size for module in (shared, whole)]
    assert sizes[0] < sizes[1] / 2
    assert dir(shared) == dir(whole)
    shown, held = ({name for name in vars(m) if not name.startswith("_")} for m in (shared, whole))
    assert shown == held
    assert repr(shared) == repr(whole)
    assert shared.__doc__ == whole.__doc__
    assert type(shared) is type(whole)
    assert type(shared.__loader__) is type(whole.__loader__)
    result = pickle.loads(pickle.dumps(shared.train(X, Y, epochs=1)))
    assert result.predict(X).shape == Y.shape


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs the list of libraries of a process")
def test_a_process_has_one_wrapper(modules):
    """Modules in the cache are mapped beside one library of their precision."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert {pair[0].__file__ for pair in modules.values()} <= mapped
    known = Path(shared_wrapper("double", find_compiler())).name.split("_")[2]
    assert len([path for path in mapped if f"wrapper_double_{known}" in path]) == 1


def test_threads_load_one_wrapper(modules, monkeypatch):
    """Threads that import the first modules at once share the wrapper that one of them loads."""
    monkeypatch.setattr(wrapper, "_LOADED", {})
    for shared, _ in modules.values():
        monkeypatch.setitem(sys.modules, shared.__name__, shared)  # so that they are known afterwards as before
    loads, right = [], wrapper.shared_wrapper
    monkeypatch.setattr(wrapper, "shared_wrapper", lambda *arguments: loads.append(1) or right(*arguments))
    loaded = {}
    threads = [
        threading.Thread(target=lambda name=name: loaded.update({name: shared_module(MODELS[name])})) for name in MODELS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == len(MODELS)
    assert all(shared_module(MODELS[name]) is module for name, module in loaded.items())  # a library has one module
    assert len(loads) == 1


def test_a_wrapper_that_is_gone_is_made_again(empty_cache):
    """Where the cache has lost it, or it is damaged, it is linked again; the module itself is not."""
    module = nn.build(MODELS["formula"])
    expected = module.predict(module.initial_parameters(), X)
    path = shared_wrapper("double", find_compiler())
    program = f"""
import nncodegen as nn, numpy as np
module = nn.build(nn.Model("shared_formula", "x", "y", {{"a": 1, "b": 0.5, "c": 0.1}}, "a*exp(-b*x) + c"))
assert module.__file__ == {module.__file__!r}
print(module.predict(module.initial_parameters(), np.linspace(0, 3, 20)[:, None]).tobytes().hex())
"""
    for content in (None, b"broken"):
        path.rename(path.with_suffix(".old"))  # this process has loaded it
        if content:
            path.write_bytes(content)
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == expected.tobytes().hex(), done.stderr
        assert is_intact(path)


def test_a_module_of_another_version_says_so():
    """A library that needs a wrapper with other members is refused before anything of it is read."""
    with pytest.raises(ImportError, match="built by another version of nncodegen: build the model again"):
        wrapper.define("double_0123", 0)


def test_a_module_of_the_cache_is_imported_by_its_path(modules):
    """It is a module of Python: where nncodegen is installed, its file can be imported."""
    shared, _ = modules["formula"]
    program = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("shared_formula", {shared.__file__!r})
module = sys.modules["shared_formula"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
again = importlib.util.module_from_spec(spec)
spec.loader.exec_module(again)
assert again is module
print(module, module.predict([2.0, 0.0, 1.0], [[5.0]]))
try:
    importlib.reload(module)
except ImportError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("<compiled module 'shared_formula'"), done.stderr
    assert lines[0].endswith("[[3.]]")
    assert "cannot be loaded again" in lines[1]


def test_modules_are_found_by_their_names(modules):
    """Each is known to Python by its own name, and the wrapper by none."""
    for shared, _ in modules.values():
        assert importlib.import_module(shared.__name__) is shared
    assert not [name for name in sys.modules if "wrapper" in name and name.startswith("nncodegen_")]
