"""The Python part of compiled modules: one package for all of them in a process, which needs nothing of nncodegen."""

import ast
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
from importlib import import_module

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building.build import load
from nncodegen.perceptron import model
from nncodegen.runtime import NAME, finder
from nncodegen.runtime.embedded import texts
from nncodegen.runtime.python.ground.facts import read
from tests.support import ROOT

PYTHON = ROOT / "nncodegen" / "runtime" / "python"

LOAD = """
    import importlib.machinery, importlib.util, sys
    def load(path, name):
        loader = importlib.machinery.ExtensionFileLoader(name, path)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        return module
"""


def run(program, *modules, environment=None):
    """What a program prints in a process of its own, in which load(path, name) imports a module; {0}, ... are paths."""
    program = textwrap.dedent(LOAD) + textwrap.dedent(program).format(*(repr(m.__file__) for m in modules))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def perceptron():
    """The perceptron as a module that holds everything, as those in folders do."""
    return load(nn.compile_model(model).built)


@pytest.fixture(scope="module")
def chain():
    """A network with three classes, in the same way."""
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    return load(nn.compile_model(nn.Sequential(layers, 4, "categorical_crossentropy", name="chain")).built)


WITH_NNCODEGEN = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_compiled_once_in_a_process(perceptron, chain):
    """The second module that a process imports compiles no Python, but has the package of the first."""
    program = """
        compiled = []
        sys.addaudithook(lambda event, given: compiled.append(given[1]) if event == "compile" else None)
        first = load({0}, "perceptron")
        assert sum("/training.py" in str(file) for file in compiled) == 1, compiled
        compiled.clear()
        second = load({1}, "chain")
        assert not [file for file in compiled if ".py" in str(file)], compiled
        assert first.Result is second.Result and first.ManyResult is second.ManyResult
        print([name for name in sys.modules if name.startswith("_nncodegen") and "." not in name])
        """
    assert run(program, perceptron, chain).split() == [f"['{NAME}']"]


@pytest.mark.parametrize("order", ["module first", "nncodegen first"])
def test_result_is_one_class(perceptron, order):
    """Result is one class in a process, whichever of a module and nncodegen was imported first."""
    imports = ['module = load({0}, "perceptron")', "import nncodegen as nn"]
    program = """
        import numpy as np
        result = module.train([[0.35, 0.9]], [0.5], epochs=2)
        assert type(result) is module.Result is nn.Result
        from nncodegen.runtime.python.results.result import Result
        import nncodegen.runtime.python.arguments.rate_schedules as schedules
        assert Result is nn.Result and nn.runtime.python.arguments.rate_schedules is schedules
        other = nn.build(nn.Sequential([nn.Dense(1)], 1), fit=False)
        assert isinstance(other.train([[1.0]], [1.0], epochs=1), nn.Result)
        assert len([name for name in sys.modules if name.startswith("_nncodegen") and "." not in name]) == 1
        """
    lines = imports if order == "module first" else imports[::-1]
    run("\n".join(lines) + "\n" + textwrap.dedent(program), perceptron, environment=WITH_NNCODEGEN)
    assert perceptron.Result is nn.Result
    assert perceptron.ManyResult is nn.ManyResult


def test_what_a_module_holds(perceptron):
    """A module holds the files of the package, to the letter."""
    program = """
        load({0}, "perceptron")
        package, = (module for name, module in sys.modules.items() if name.startswith("_nncodegen") and "." not in name)
        print(repr(package.__spec__.loader.texts))
        """
    assert ast.literal_eval(run(program, perceptron)) == texts()
    assert set(texts()) == {path.relative_to(PYTHON).as_posix() for path in PYTHON.rglob("*.py")}


def test_other_versions_live_beside():
    """The package of another version is another one, with classes of its own; its tracebacks show their lines."""
    name = "_nncodegen_other"
    other = {file: text.replace("{name} must be True or False", "{name} is no flag") for file, text in texts().items()}
    finder.install(name, other)
    try:
        package = import_module(name)
        assert package.Result is not nn.Result
        with pytest.raises(ValueError, match="shuffle is no flag") as caught:
            import_module(f"{name}.arguments.scalars").flag("shuffle", 1)
        assert 'raise ValueError(f"{name} is no flag' in "".join(traceback.format_exception(caught.value))
        with pytest.raises(ModuleNotFoundError):
            import_module(f"{name}.nothing")
    finally:
        sys.meta_path[:] = [entry for entry in sys.meta_path if getattr(entry, "package", "") != name]
        for known in [known for known in sys.modules if known.startswith(name)]:
            del sys.modules[known]


def test_tracebacks_of_a_module_alone(perceptron):
    """Where no file holds the Python part, tracebacks show its lines as well."""
    program = """
        import traceback
        module = load({0}, "perceptron")
        try:
            module.train([[1.0]], [1.0])
        except ValueError:
            print(traceback.format_exc())
        """
    assert "self.X, self.Y, self.samples = check_samples(model, X, Y, sparse=True)" in run(program, perceptron)


def test_no_import_upwards():
    """The package imports its own files, the standard library and NumPy; within functions, what is optional."""
    allowed = {*sys.stdlib_module_names, "numpy"}
    for path in PYTHON.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            if isinstance(node, ast.ImportFrom) and not node.level:
                inside = node not in ast.walk(ast.Module([n for n in tree.body if not isinstance(n, ast.If)], []))
                optional = (
                    set() if node in tree.body or inside else {"scipy", "matplotlib", "pandas", "rich", "IPython"}
                )
                assert node.module.split(".")[0] in allowed | optional, path
            if isinstance(node, ast.ImportFrom):
                assert node.level <= len(path.relative_to(PYTHON).parts), path


def test_public_names(perceptron):
    """dir lists what a module offers, and nothing else; there are no other names but hidden ones."""
    names = dir(perceptron)
    assert names == perceptron.__all__
    assert {"train", "predict", "loss", "load", "Result", "name", "precision", "optimizers", "variant"} <= set(names)
    assert not [name for name in names if name.startswith("_") or inspect.ismodule(getattr(perceptron, name))]
    held = {name for name in vars(perceptron) if not name.startswith("_")}
    assert held | {"certificate"} == set(names)  # which is read from its file where it is asked for
    for name in names:
        if callable(getattr(perceptron, name)):
            assert getattr(perceptron, name).__doc__, name


def test_functions_are_pickled(chain, tmp_path):
    """A function of a module, and a Result, go to another process that imports the module by its name."""
    X = np.ones((2, 4))
    predict = pickle.loads(pickle.dumps(chain.predict))
    assert predict(chain.initial_parameters(), X).tolist() == chain.predict(chain.initial_parameters(), X).tolist()
    program = """
        import pickle
        module = load({0}, "chain")
        result = module.train([[1.0, 2, 3, 4]], [1], epochs=2)
        many = module.train_many([[1.0, 2, 3, 4]], [1], models=3, epochs=2)
        open("pickled", "wb").write(pickle.dumps((module.predict, result, many)))
        del sys.modules["chain"]
        try:
            pickle.dumps(result)
        except pickle.PicklingError as error:
            print(error)
        """
    again = """
        import pickle
        load({0}, "chain")
        predict, result, many = pickle.load(open("pickled", "rb"))
        print(repr(result)[:9], repr(many)[:21], len(predict(result.parameters, [[1.0, 2, 3, 4]])[0]))
        """
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert "import it before you pickle" in run(program, chain)
        assert run(again, chain).strip() == "<Result:  <ManyResult: 3 models 3"
    finally:
        os.chdir(here)


def test_facts_are_literals():
    """What a model is called, or is limited by, arrives as it was."""
    from nncodegen.compiler.emit.facts import facts

    limits = nn.Hyperparameter("pace", 0.5, low=-np.inf, high=2.0)
    slow = nn.Optimizer("slow", lambda parameter, gradient, pace: parameter - pace * gradient, (), [limits])
    model = nn.Sequential([nn.Dense(2)], 3, name='it\'s "quoted" \\ \n é', optimizers=[slow])
    schedule = nn.compile_model(model, "float32", until="schedule")["schedule"]
    text = facts(schedule)
    content = read(text)
    assert text.isascii()
    assert (content.name, content.precision) == (model.name, "float32")
    assert content.parameters[0][:2] == ("W1", (2, 3))
    assert list(content.rules) == ["slow"]
    assert content.rules["slow"].hyperparameters[1] == limits
    assert not content.rules["slow"].scheduled
