"""Models as packages: wheels and source distributions, in an environment that has NumPy alone."""

import csv
import io
import os
import platform
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sympy import exp, symbols

import nncodegen as nn
from nncodegen.compiler.building.compiler import suffix_of
from nncodegen.compiler.building.targets import STABLE
from nncodegen.formats.export import Exportable
from tests.support import ROOT
from tests.support.compilers import QUICK

pytest.importorskip("wheel", reason="the extra wheel is not installed")
pytestmark = pytest.mark.usefixtures("quick_compiler")

LABELS = ("petal length", 'petal "width"', "sepal", "größe")
CLASSES = ("lily", "rose", "tulip")
FLOWERS = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="flowers")
PARAMETERS = np.linspace(-1, 1, 43)
ROWS = np.array([[1.5, 2, 3, 4], [0, -1, 0.25, 1e-3]])

x, a, b = symbols("x a b")


class Learned:
    """What an estimator or the model of a table is to an export."""

    def exportable(self):
        return Exportable(FLOWERS, parameters=PARAMETERS, inputs=LABELS, outputs=CLASSES)


class Environment:
    """A virtual environment with NumPy, and nothing else but what is installed in it."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")
        of_tests = Path(np.__file__).parents[1]
        for part in of_tests.glob("numpy*"):
            (self.packages / part.name).symlink_to(part)
        self.folder = folder

    def unpack(self, path):
        """Puts there what pip would."""
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(self.packages)

    def install(self, path):
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*pip, str(path)], check=True, capture_output=True)

    def build(self, path, by):
        """What is to be compiled is compiled by the setuptools of the tests, which pip calls, or no pip."""
        folder = self.folder
        if by == "pip":
            command = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
            command += ["--target", str(self.packages), str(path)]
        else:
            with tarfile.open(path) as archive:
                archive.extractall(self.folder, filter="data")
            folder = self.folder / path.name.removesuffix(".tar.gz")
            command = ["setup.py", "-q", "build", "--build-lib", str(self.packages)]
        environment = {**os.environ, "CC": QUICK, "PYTHONPATH": ""}
        done = subprocess.run(
            [sys.executable, *command], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *arguments, **options):
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CC")}
        return subprocess.run(
            [self.python, *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The wheel of a trained network."""
    return nn.export(Learned(), "wheel", tmp_path_factory.mktemp("wheel") / "out")


@pytest.fixture(scope="module")
def installed(exported, tmp_path_factory):
    """An environment in which it is installed."""
    environment = Environment(tmp_path_factory.mktemp("environment"))
    environment.install(exported.paths[0])
    return environment


def test_the_wheel(exported, tmp_path):
    """A wheel names its Python, its system and NumPy, holds types, and its files are those of its list."""
    from wheel.wheelfile import WheelFile

    (path,) = exported.paths
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tags = "cp311-abi3" if STABLE else f"{version}-{version}"
    if sys.platform == "linux":
        assert path.name == f"flowers-0.1.0-{tags}-linux_{platform.machine()}.whl"
    with WheelFile(path) as wheel:
        names = {name: wheel.read(name) for name in wheel.namelist()}  # reading checks the hashes
        assert {info.date_time for info in wheel.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    metadata = names["flowers-0.1.0.dist-info/METADATA"].decode()
    assert "\nRequires-Dist: numpy>=" in metadata
    python = ">=3.11" if STABLE else f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    assert f"Requires-Python: {python}\n" in metadata
    assert {"flowers/py.typed", "flowers/__init__.pyi", "flowers/flowers.pyi"} <= set(names)
    again = nn.export(Learned(), "wheel", tmp_path / "again")
    assert again.files == exported.files


def test_the_test_of_an_installation(installed):
    """``python -m NAME`` compares the module with stored values, and says so where they differ."""
    done = installed.run("-m", "flowers")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("right\n")
    stored = installed.packages / "flowers" / "self_test.npz"
    kept = stored.read_bytes()
    with np.load(io.BytesIO(kept)) as archive:
        values = dict(archive)
    assert values["gradient"].shape == (43,)
    values["gradient"][7] += 1e-6
    np.savez(stored, **values)
    done = installed.run("-m", "flowers")
    stored.write_bytes(kept)
    assert done.returncode == 1
    assert "gradient  differ by" in done.stdout


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("parameters.npy", ["-c", "import flowers"]),
        ("self_test.npz", ["-m", "flowers"]),
        ("flowers.*so", ["-c", "import flowers"]),
    ],
)
@pytest.mark.parametrize("share", [0.99, 0.5, 0])
def test_a_file_that_was_cut(installed, pattern, command, share):
    """Each file that was cut is named, with what to do; a library that was would end Python without a word."""
    (path,) = (installed.packages / "flowers").glob(pattern)
    kept = path.read_bytes()
    path.unlink()  # a process may have loaded it
    path.write_bytes(kept[: int(share * len(kept))])
    done = installed.run(*command)
    path.write_bytes(kept)
    assert done.returncode == 1, done.stdout
    assert str(path) in done.stderr.splitlines()[-1]
    assert "damaged" in done.stderr
    assert "install the package again" in done.stderr
    assert ("ImportError" if "-c" in command else "error") in done.stderr.splitlines()[-1]
    assert installed.run(*command).returncode == 0


def test_what_the_package_offers(installed):
    """It predicts with its own parameters, trains, keeps and pickles results, and tells names and meanings."""
    program = f"""if True:
        import pickle, sys
        import numpy as np
        import flowers
        assert not [name for name in sys.modules if name.split(".")[0] in ("nncodegen", "sympy", "Cython")]
        np.save("outputs.npy", flowers.predict(flowers.parameters, {ROWS.tolist()}))
        assert not flowers.parameters.flags.writeable
        result = flowers.train({ROWS.tolist()}, [0, 2], parameters=flowers.parameters, epochs=3, optimizer="adam")
        assert pickle.loads(pickle.dumps(result)).loss == result.loss
        assert flowers.input_labels == {LABELS!r} and flowers.output_labels == {CLASSES!r}
        print(flowers.__doc__)
        """
    done = installed.run("-c", program)
    assert done.returncode == 0, done.stderr
    loaded = np.load(installed.folder / "outputs.npy")
    np.testing.assert_allclose(loaded, nn.build(FLOWERS).predict(PARAMETERS, ROWS), rtol=1e-14)
    for text in ("W1 (5, 4)", "43 parameters", *LABELS, *CLASSES, "python -m flowers"):
        assert text in done.stdout, text


TABLES = {
    "by names": ('größe,sepal,other,petal length,"petal ""width"""\n4,3,x,1.5,2\n1e-3,.25,y,0,-1\n', None),
    "other names": ("a,b,c,d\n1.5,2,3,4\n0,-1,0.25,0.001\n", None),
    "no names": ("1.5,2,3,4\n0,-1,0.25,0.001\n", None),
    "of the model": ("x[0],x[1],x[2],x[3]\n1.5,2,3,4\n0,-1,0.25,0.001\n", None),
    "missing": ("sepal,größe\n1,2\n", 'DATA.csv has no column petal length, petal "width"; it has: sepal, größe'),
    "text": ("a,b,c,d\n1,2,3,4\n1,two,3,4\n", """DATA.csv, row 3, column petal "width": 'two' is no number"""),
    "short": ("a,b,c,d\n1,2,3\n", "DATA.csv, row 2: it has 3 values; expected 4"),
    "few": ("1,2,3\n", "DATA.csv, row 1: it has 3 values; expected 4"),
    "infinite": ("a,b,c,d\n1,2,inf,4\n", "DATA.csv: X[0, 2] is inf; expected (samples, 4)"),
    "nothing": ("", "DATA.csv is empty"),
    "no rows": ("a,b,c,d\n", "DATA.csv has no rows below the names of its columns"),
}


@pytest.mark.parametrize("name", TABLES)
def test_predictions_for_a_table(installed, name):
    """``python -m NAME predict`` finds the columns by their names or places, and says where a table is wrong."""
    text, wrong = TABLES[name]
    (installed.folder / "DATA.csv").write_text(text, encoding="utf-8")
    done = installed.run("-m", "flowers", "predict", "DATA.csv", "--out", "OUT.csv", encoding="utf-8")
    if wrong:
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {wrong}")
        assert done.stderr.count("\n") == 1
        return
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    header, *rows = csv.reader((installed.folder / "OUT.csv").read_text().splitlines())
    assert tuple(header) == CLASSES
    expected = nn.build(FLOWERS).predict(PARAMETERS, ROWS)
    np.testing.assert_allclose(np.array(rows, float), expected, rtol=1e-14)


def test_without_parameters(tmp_path):
    """A package without trained parameters takes those of a file; formulas without layers are packages, too."""
    environment = Environment(tmp_path / "environment")
    model = nn.Model("decay", inputs=x, targets=symbols("y"), parameters={a: 2, b: 1}, output=a * exp(-b * x))
    (path,) = nn.export(model, "wheel", tmp_path / "out", precision="float32", name="renamed").paths
    environment.unpack(path)
    done = environment.run("-m", "renamed")
    assert done.returncode == 0, done.stdout + done.stderr
    (environment.folder / "DATA.csv").write_text("x\n0\n1\n")
    done = environment.run("-m", "renamed", "predict", "DATA.csv")
    assert done.returncode == 1
    assert "renamed was packed without trained parameters: give --parameters FILE.npz" in done.stderr
    np.savez(environment.folder / "found.npz", a=np.float32(3), b=np.float32(0.5))
    done = environment.run("-m", "renamed", "predict", "DATA.csv", "--parameters", "found.npz")
    np.testing.assert_allclose([float(row) for row in done.stdout.split()[1:]], [3, 3 * np.exp(-0.5)], rtol=1e-6)
    done = environment.run("-m", "renamed", "predict", "nothing.csv", "--parameters", "found.npz")
    assert done.stderr == "error: nothing.csv: No such file or directory\n"


@pytest.mark.filterwarnings("ignore:the training ended after")
def test_an_estimator(installed, tmp_path):
    """A fitted estimator is a package whose columns have its names, and which gives its probabilities."""
    from nncodegen.estimators import NNClassifier

    frame = pd.DataFrame({"length": ROWS[[0, 1, 0, 1], 0], "width": ROWS[[0, 1, 1, 0], 1]})
    learned = NNClassifier((3,), max_iter=5, random_state=0).fit(frame, ["lily", "rose", "rose", "lily"])
    installed.unpack(nn.export(learned, "wheel", tmp_path / "out", name="estimator").paths[0])
    (installed.folder / "DATA.csv").write_text(frame[["width", "length"]].to_csv())
    done = installed.run("-m", "estimator", "predict", "DATA.csv")
    assert done.returncode == 0, done.stderr
    probabilities = np.array([line.split(",") for line in done.stdout.splitlines()[1:]], float)
    np.testing.assert_allclose(probabilities[:, -1], learned.predict_proba(frame)[:, 1], rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("by", ["setuptools", "pip"])
def test_the_source_distribution(by, tmp_path):
    """The C is compiled with neither nncodegen nor Cython, and the module passes its test; the bytes are the same.

    setuptools compiles it, as pip asks it to; with --thorough, pip is what asks.
    """
    pytest.importorskip("setuptools")
    exported, again = (nn.export(Learned(), "sdist", tmp_path / name) for name in ("out", "again"))
    assert exported.files == again.files
    with tarfile.open(exported.paths[0]) as archive:
        texts = [archive.extractfile(member).read() for member in archive if member.name.endswith((".py", ".c", ".h"))]
    assert not [text for text in texts if str(ROOT).encode() in text]
    environment = Environment(tmp_path / "environment")
    environment.build(exported.paths[0], by)
    done = environment.run("-m", "flowers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("right\n")
    assert not list(environment.packages.glob("*ython*"))


def test_from_the_shell(commands, tmp_path):
    """The command names what it has written, and how it is installed."""
    (tmp_path / "model.py").write_text("import nncodegen as nn\nmodel = nn.Sequential([nn.Dense(1)], 2, name='line')\n")
    arguments = ["export", str(tmp_path / "model.py"), "--target", "sdist", "--out", str(tmp_path / "out")]
    done = commands.run(arguments, tmp_path, dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "pip install line-0.1.0.tar.gz" in done.stdout
    with tarfile.open(tmp_path / "out" / "line-0.1.0.tar.gz") as archive:
        assert "line-0.1.0/c/line.c" in archive.getnames()


# --- other machines ----------------------------------------------------------------------------------------------


def test_other_machines(tmp_path):
    """A machine that there is no compiler for is refused, with those that there are."""
    with pytest.raises(nn.BuildError, match=r"no compiler for 'sparc-linux-gnu'; there are: aarch64-linux-gnu.*sdist"):
        nn.export(FLOWERS, "wheel", tmp_path / "out", cross="sparc-linux-gnu")
    with pytest.raises(nn.ModelError, match="sdist has no --cross: leave it out; these have it: c, wheel"):
        nn.export(FLOWERS, "sdist", tmp_path / "out", cross="aarch64-linux-gnu")
    assert suffix_of("aarch64-linux-gnu") == ".abi3.so" or not STABLE
    assert not (tmp_path / "out").exists()


def test_without_the_compiler_of_ziglang(tmp_path, monkeypatch):
    """A wheel for another machine takes the package ziglang."""
    monkeypatch.setattr("nncodegen.compiler.building.zig.find_zig", lambda march: None)
    needs = r"^compiling for aarch64-linux-gnu needs ziglang, .* python -m pip install 'nncodegen\[compiler\]'$"
    with pytest.raises(nn.MissingDependencyError, match=needs):
        nn.export(FLOWERS, "wheel", tmp_path / "out", cross="aarch64-linux-gnu")


@pytest.mark.thorough
def test_a_wheel_for_aarch64(aarch64_python, tmp_path):
    """A wheel that is made for AArch64 passes its own test there, in an emulator; its name holds the glibc it needs."""
    pytest.importorskip("ziglang", reason="the extra compiler is not installed")
    (path,) = nn.export(Learned(), "wheel", tmp_path / "out", cross="aarch64-linux-gnu.2.28").paths
    assert path.name.endswith("-manylinux_2_28_aarch64.whl")
    with zipfile.ZipFile(path) as wheel:
        (module,) = (wheel.read(name) for name in wheel.namelist() if name.endswith(".so"))
        wheel.extractall(tmp_path / "site")
    assert module[18:20] == b"\xb7\x00"  # the number of this family in a file of ELF
    assert b"libpython" not in module
    command = [*aarch64_python(tmp_path / "site"), "-m", "flowers"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("flowers on this CPU (neon): right\n")
