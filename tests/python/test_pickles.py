"""Pickles of results and modules in another process, which need not have built the model."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.runtime.python.ground.certificate import Certificate, CertifiedBuild, Conditions, Figure
from nncodegen.runtime.python.ground.facts import DEFAULTS, literals, of_literals
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X1, A, B, C, Y1 = sympy.symbols("x a b c y")
MODEL = nn.Model("decay", [X1], [Y1], {A: 1.0, B: 1.0, C: 0.0}, A * sympy.exp(-B * X1) + C)
X = np.linspace(0, 2, 20)
Y = 3 * np.exp(-X) + 1 + 0.01 * np.sin(9 * X)
GROUPS = {"groups": ["u"] * 20 + ["v"] * 20, "own": ["a"]}
TWICE = np.r_[X, X], np.r_[Y, 2 * Y]


@pytest.fixture(scope="module")
def decay(quick_compiler):
    return nn.build(MODEL)


@pytest.fixture(scope="module")
def results(decay):
    return {
        "fit": decay.fit(X, Y),
        "many": decay.fit_many(X, np.stack([Y, 2 * Y])),
        "groups": decay.fit(*TWICE, **GROUPS),
        "training": decay.train(X, Y, epochs=5, optimizer="adam"),
        "trainings": decay.train_many(X, Y, models=2, epochs=3),
        "function": decay.predict,
        "module": decay,
    }


def in_another_process(program, folder, **pickled):
    """What a program prints in a process of its own, which finds pickled objects in files by their names."""
    for name, value in pickled.items():
        (folder / name).write_bytes(pickle.dumps(value))
    program = textwrap.dedent(program)
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_results_are_data_in_any_process(results, tmp_path):
    """A result of any kind is the same in a process that has no module, which is needed only to compute.

    There, an error says what to build; after that, the same object computes what it did where it was pickled.
    """
    texts = {name: str(result) for name, result in results.items() if name not in ("function", "module")}
    expected = {name: results[name].predict(X) for name in ("fit", "training")}
    program = """
        import pickle, sys
        from pathlib import Path
        import numpy as np
        read = lambda name: pickle.loads(Path(name).read_bytes())
        told, expected, model = read("told"), read("expected"), read("model")
        found = {name: read(name) for name in told}
        for name, one in found.items():
            one._model.native._path = None  # as on another machine
            assert str(one) == told[name], name
            pickle.loads(pickle.dumps(one))
        found["fit"].covariance, found["groups"].group_errors, found["many"].standard_errors
        assert not [name for name in sys.modules if name.startswith("nncodegen.modules.")]
        for name, one in expected.items():
            try:
                found[name].predict(np.linspace(0, 2, 20))
            except ImportError as error:
                print(error)
        import nncodegen
        nncodegen.build(model)
        for name, one in expected.items():
            np.testing.assert_array_equal(found[name].predict(np.linspace(0, 2, 20)), one)
        assert read("function")([1.0, 1.0, 0.0], [0.0]) == 1
    """
    message = in_another_process(program, tmp_path, told=texts, expected=expected, model=MODEL, **results)
    assert message.splitlines() == 2 * [
        "this is computed by the module of decay, which was built in another process: build the same model here, "
        "nncodegen.build(model, precision='float64', bits='native'), and call this again"
    ]


def test_results_find_their_module_in_the_cache(results, tmp_path):
    """On the machine where it was built, a result finds its module by itself; a module is built again, by its model."""
    program = """
        import pickle
        from pathlib import Path
        import numpy as np
        read = lambda name: pickle.loads(Path(name).read_bytes())
        fit, module = read("fit"), read("module")
        np.testing.assert_array_equal(fit.predict([0.0, 1]), module.predict(fit.parameters, [0.0, 1]))
        print(module.name, module.parameter_names, read("many")[1].success, fit.predict([0.5], interval="confidence"))
    """
    printed = in_another_process(program, tmp_path, **results)
    fit = results["fit"]
    assert printed.strip() == f"decay ('a', 'b', 'c') True {fit.predict([0.5], interval='confidence')}"


def test_a_library_that_was_cut_short_is_not_loaded(results, tmp_path, monkeypatch):
    """A damaged library in the cache, which would end the process, counts as one that is not there."""
    program = """
        import pickle
        from pathlib import Path
        fit = pickle.loads(Path("fit").read_bytes())
        fit._model.native._path = str(Path("decay.abi3.so").absolute())
        try:
            fit.predict([0.0])
        except ImportError as error:
            print(error)
    """
    library = Path(results["module"].__file__)
    for name in (library.name, f"{library.name}.sha256"):
        (tmp_path / name).write_bytes((library.parent / name).read_bytes())
    (tmp_path / library.name).write_bytes(library.read_bytes()[:20_000])
    message = in_another_process(program, tmp_path, fit=results["fit"])
    assert message.startswith("this is computed by the module of decay, which was built in another process")


def test_copies_of_a_module(decay):
    """A module is its own copy, also within what is copied as a whole, and where it was built its own pickle."""
    assert copy.copy(decay) is copy.deepcopy([decay])[0] is decay
    assert pickle.loads(pickle.dumps(decay)) is decay


def test_a_model_that_cannot_be_pickled(quick_compiler):
    """A module whose model holds a function without a name says how it goes to another process."""
    module = nn.build(nn.Sequential([nn.Dense(1, lambda z: z**2)], inputs=1, name="square"))
    with pytest.raises(pickle.PicklingError, match=r"module of square .* its model cannot be: .*; write functions"):
        pickle.dumps(module)
    assert copy.deepcopy(module) is module


def test_certificates_of_older_pickles():
    """A certificate that version 0.2 pickled, with all members side by side, is read as its parts."""
    figure = Figure("loss", "ordinary", 0.5, 1.0, 4.0)
    build = CertifiedBuild("decay", "float64", "a" * 64, "b" * 64, "0.2.0", "gcc 14", ("-O3",))
    conditions = Conditions("a CPU", ("avx2",), "formulas", 50, {"ordinary": 3}, 32, 7, "2026-11-01")
    certificate = Certificate(build, conditions, (figure,))
    older = object.__new__(Certificate)
    older.__setstate__(certificate.members)
    assert older == certificate == pickle.loads(pickle.dumps(certificate))
    assert str(older) == str(certificate)
    assert Certificate.from_json(older.to_json()) == certificate


def test_facts_are_literals(decay):
    """The facts in pickles of results lie side by side, as version 0.2 wrote them, and are read as the same facts."""
    facts = decay._model.facts
    members = literals(facts)
    assert members["curved"] is facts.fitting.curved
    assert members["inputs"] == facts.samples.inputs
    assert not {"samples", "fitting", "steps"} & {*members}
    assert of_literals(members) == facts
    needed = {name: value for name, value in members.items() if DEFAULTS.get(name, ...) != value}
    assert of_literals(needed) == facts
