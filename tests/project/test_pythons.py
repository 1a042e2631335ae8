"""One module for every Python: a file that is built by one version is imported by all others from 3.11 on."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building.targets import STABLE

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.skipif(not STABLE, reason="this Python has modules of its own"),
]

X = np.linspace(0, 3, 20)[:, None]
DATA = 2 * np.exp(-0.7 * X) + 0.3

PROGRAM = """
    import sys
    sys.path[:0] = sys.argv[1:]
    import numpy as np
    import decay
    X = np.linspace(0, 3, 20)[:, None]
    DATA = 2 * np.exp(-0.7 * X) + 0.3
    trained = decay.train(X, DATA, epochs=20, learning_rate=0.1)
    fitted = decay.fit(X, DATA)
    many = decay.train_many(X, DATA, models=3, epochs=5)
    found = [decay.predict(trained.parameters, X), trained.parameters, fitted.parameters, many.parameters]
    print("".join(array.tobytes().hex() for array in found))
    """


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_compiler):
    """The folder of a module, which has all of its parts."""
    out = tmp_path_factory.mktemp("one")
    nn.build(nn.Model("decay", "x", "y", {"a": 1, "b": 0.5, "c": 0.1}, "a*exp(-b*x) + c"), out=out)
    return out


def others():
    """The commands of the Pythons from 3.11 on that start on this machine."""
    commands = []
    for minor in range(11, 20):
        command = shutil.which(f"python3.{minor}")
        starts = command and subprocess.run([command, "-c", "import pip"], capture_output=True, check=False)
        if starts and starts.returncode == 0:
            commands.append(command)
    return commands


def results_of(command, *folders):
    program = [command, "-I", "-c", textwrap.dedent(PROGRAM), *map(str, folders)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_file_is_for_the_stable_interface(folder):
    """Its name says so, and it calls nothing that is not in the stable interface of Python 3.11."""
    audit = pytest.importorskip("abi3audit")
    del audit
    (module,) = folder.glob("decay.*.so")
    assert module.name == "decay.abi3.so"
    command = [sys.executable, "-m", "abi3audit", "--strict", "--assume-minimum-abi3", "3.11", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
def test_every_python_computes_the_same_bits(folder, tmp_path):
    """What one Python has built, the others import, without a compiler and without nncodegen, with equal results."""
    commands = others()
    if len(commands) < 2:
        pytest.skip("there is one Python only")
    results = set()
    for number, command in enumerate(commands):
        site = tmp_path / str(number)
        subprocess.run([command, "-m", "pip", "install", "-q", "--target", str(site), "numpy"], check=True)
        results.add(results_of(command, folder, site))
    assert len(results) == 1
