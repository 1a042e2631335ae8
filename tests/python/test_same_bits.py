"""With bits="portable", results have the same bits with every compiler, on every CPU and operating system."""

import ctypes
import itertools
import json
import math
import operator
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
import warnings
import zipfile
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy
from sympy import asin, cos, exp, log, sin, symbols

import nncodegen as nn
from nncodegen.compiler.building.build import VARIANT_VARIABLE
from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.compiler.building.targets import get_include
from nncodegen.compiler.ir.elementary import log10
from nncodegen.runtime.python.ground import same_bits
from nncodegen.runtime.python.ground.same_bits import standard_normal, uniform
from tests.support import hashes
from tests.support.compilers import QUICK
from tests.support.same_bits import (
    FAST,
    MODELS,
    OTHERS,
    TABLE,
    build,
    build_for,
    columns_of_curve,
    fit_with_errors_in_x,
    from_numpy,
)

a, b, t, y = symbols("a b t y")

COMMITTED = json.loads(TABLE.read_text())

COMPILER = os.environ.get("CC")
"""That of this run of the tests."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning"),  # fits of few steps
    pytest.mark.usefixtures("quick_compiler"),
]


@pytest.mark.parametrize(("name", "precision"), FAST)
def test_the_compiler_at_hand(name, precision, request):
    """Predictions, gradients, trained and fitted parameters have the committed bits, optimized or not.

    In single precision the compiler optimizes as for people, in double precision it does not at all.
    """
    if precision == "float32":
        request.getfixturevalue("usual_compiler")
    assert hashes.hashes(build(name, precision)) == COMMITTED[name][precision]


def named(compiler):
    """The command of a compiler, which the test skips if it is missing."""
    if compiler == "zig":
        pytest.importorskip("ziglang", reason="the extra compiler is not installed")
        return f"{shlex.quote(sys.executable)} -m ziglang cc"
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    return compiler


@pytest.mark.thorough
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
@pytest.mark.parametrize("flags", ["", " -mno-avx512f", " -mno-avx512f -mno-fma"], ids=["longest", "avx2", "no fma"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig"])
@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_every_compiler(name, compiler, flags, monkeypatch):
    """GCC, Clang and Zig give the committed bits, with the longest vectors of this CPU, shorter ones, and no fma."""
    monkeypatch.setenv("CC", named(compiler) + flags)
    if name in OTHERS:
        assert OTHERS[name]() == COMMITTED[name]["float64"]
        return
    by_name = {precision: hashes.hashes(build(name, precision)) for precision in COMMITTED[name]}
    assert by_name == COMMITTED[name]


@pytest.fixture
def of_any_length(usual_compiler, monkeypatch):
    """A function from a model to its modules in single precision: as people get it, and by GCC with short vectors."""

    def modules(name):
        longest = build(name, "float32")
        monkeypatch.setenv("CC", f"{QUICK} -mno-avx512f")
        return longest, build(name, "float32")

    return modules


class Largest(nn.Layer):
    """The largest value of a row."""

    def describe(self, call):
        n, i = call.x.indices
        return call.output(call.step("m", (n,), call.x, "max", (i,)), (n, call.index(1)))


def no_number():
    """A network that chooses the largest value after logarithms, in four ways: of each, what NumPy makes of a row."""
    x = nn.Input((40, 2), name="x")
    logarithms = nn.Activation(sympy.log)(x)
    flat = nn.Flatten()(logarithms)
    ways = {
        "pooling": (nn.Flatten()(nn.MaxPooling1D(4)(logarithms)), lambda z: z.reshape(10, 4, 2).max(1).reshape(-1)),
        "everywhere": (nn.GlobalMaxPooling1D()(logarithms), lambda z: z.max(0)),
        "largest": (Largest()(flat), lambda z: z.max(keepdims=True)[0]),
        "softmax": (nn.Activation("softmax")(flat), lambda z: np.exp(z - z.max()).reshape(-1)),
    }
    outputs = {name: output for name, (output, _) in ways.items()}
    network = nn.Network(x, outputs, loss=dict.fromkeys(ways, "mse"), name="largest_of_each")
    return network, lambda row: np.concatenate([of_row(row) for _, of_row in ways.values()])


def check_no_number(precision):
    """Compare the places of NaN with those of NumPy, where the logarithm of one value is NaN."""
    network, expected = no_number()
    module = nn.build(network, precision, bits="portable")
    X = 1 + np.random.default_rng(5).random((80, 80))
    np.fill_diagonal(X, -1)
    rows = np.where(X < 0, np.nan, X).reshape(-1, 40, 2)
    places = np.array([np.isnan(expected(row)) for row in rows])
    assert (np.isnan(module.predict([], X)) == places).all()
    for k in range(80):
        assert (np.isnan(module.predict([], X[k : k + 1])) == places[k]).all(), k


@pytest.mark.parametrize("precision", [pytest.param("float64", marks=pytest.mark.thorough), "float32"])
def test_no_number(precision, usual_compiler):
    """NaN is in the places in which NumPy has it, wherever in a row it is."""
    check_no_number(precision)


@pytest.mark.thorough
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
@pytest.mark.parametrize("flags", ["", " -mno-avx512f", " -mno-avx512f -mno-fma"], ids=["longest", "avx2", "no fma"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig"])
def test_no_number_anywhere(compiler, flags, monkeypatch):
    """Every compiler keeps NaN in its places, with vectors of any length."""
    monkeypatch.setenv("CC", named(compiler) + flags)
    for precision in ("float64", "float32"):
        check_no_number(precision)


OTHER_KERNELS = """
import json
from tests.support.hashes import hashes
from tests.support.same_bits import build, from_numpy
print(json.dumps([from_numpy(), *(hashes(build(name, "float64")) for name in {names})]))
"""
"""Prints what NumPy computes for models, and the hashes of some, with the vectors that the environment allows."""


@pytest.mark.parametrize("name", ["fit_decay", pytest.param("network_fit_squares", marks=pytest.mark.thorough)])
def test_other_kernels_of_numpy(name):
    """What follows from a fit does not depend on the vectors that NumPy and its BLAS use; nor do first weights of
    recurrent layers, and errors of fits with robust losses."""
    build(name, "float64")
    features = np.show_config("dicts")["SIMD Extensions"]["found"]
    plain = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Prescott"}
    command = [sys.executable, "-W", "ignore", "-c", OTHER_KERNELS.replace("{names}", repr([name]))]
    environment = {**os.environ, **plain}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TABLE.parents[2], check=True)
    assert json.loads(done.stdout) == [from_numpy(), COMMITTED[name]["float64"]]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
@pytest.mark.parametrize("name", [pytest.param("tanh", marks=pytest.mark.thorough), "classes"])
def test_metrics(name, of_any_length):
    """The metrics that the kernel measures have the same bits with vectors of any length."""
    digests = []
    for module in of_any_length(name):
        X, Y = hashes.data(module)
        metrics = ("accuracy", "mae", "r2") if name == "classes" else ("mae", "r2")
        options = {"metrics": metrics, "validation_split": 0.3, "epochs": 3, "sample_weight": 1 + X[:, 0]}
        results = [module.train(X, Y, batch_size=batch, **options) for batch in (1, 16, None)]
        assert all(len(result.metrics) == 2 + 2 * len(metrics) for result in results)
        digests.append(hashes.digest(*(figure for result in results for figure in result.metrics.values())))
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["errors in x", pytest.param("estimators", marks=pytest.mark.thorough)])
def test_more_than_one_module(name):
    """Fits with errors in the inputs, quantities that follow from fits, and estimators have the committed bits."""
    pytest.importorskip("sklearn")
    assert OTHERS[name]() == COMMITTED[name]["float64"]


def test_formulas_of_parameters():
    """Logarithms and powers in derived quantities are rounded once, as with 30 digits."""
    fit = fit_with_errors_in_x()
    with mpmath.workdps(30):
        p, q = (mpmath.mpf(float(fit[name])) for name in "ab")
        assert fit.derived["half"] == float(mpmath.log(2)) / float(q)
        assert fit.derived["power"] == float(p**2.5)
        assert fit.derived["rate"] == float(mpmath.exp(-q))


EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -3.0,
    0.5,
    -0.5,
    math.inf,
    -math.inf,
    math.nan,
    800.0,
    -800.0,
    1e300,
    -1e300,
    1e-300,
]


def result(function, *arguments):
    """The value of a function; NaN where it has none, as quantities that follow from a fit have it."""
    try:
        value = function(*arguments)
    except (ArithmeticError, ValueError):
        return math.nan
    return math.nan if isinstance(value, complex) else value


def test_edges_of_functions():
    """Zero, infinity and what overflows give the values of Python and its module ``math``, and NaN where they do."""
    for function_of_ours, usual in ((same_bits.log, math.log), (same_bits.exp, math.exp)):
        for value in EDGES:
            assert result(function_of_ours, value) == pytest.approx(result(usual, value), rel=1e-15, nan_ok=True), (
                function_of_ours,
                value,
            )
    for base, exponent in itertools.product(EDGES, EDGES):
        expected = result(operator.pow, base, exponent)
        assert result(same_bits.power, base, exponent) == pytest.approx(expected, rel=1e-15, nan_ok=True), (
            base,
            exponent,
        )
    for function, value in ((same_bits.exp, 800.0), (same_bits.exp, 1e300)):
        with pytest.raises(OverflowError):
            function(value)
    with pytest.raises(ValueError, match="no logarithm"):
        same_bits.log(0.0)


OF_X, POWER, SCALE = symbols("x power scale")
FUNCTIONS = nn.Model(
    "functions",
    (OF_X, POWER),
    symbols("y1:4"),
    {SCALE: 1.0},
    [sin(OF_X * SCALE), cos(POWER * SCALE), OF_X ** (POWER * SCALE)],
)


@cache
def modules_of_functions(precision):
    return nn.build(FUNCTIONS, precision, bits="portable", fit=False)


def functions_of(precision):
    """The module of a sine of x, a cosine of y and the power x**y: what it computes of rows (N, 2)."""
    module = modules_of_functions(precision)
    return lambda *columns: module.predict([1.0], np.column_stack(columns)).T


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1.5), ("float32", 1.6)])
def test_sines(precision, bound, request):
    """Sines and cosines are within their bound, with 40 digits, for small and for large angles; huge ones give NaN."""
    if precision == "float32":
        request.getfixturevalue("usual_compiler")
    function = functions_of(precision)
    random = np.random.default_rng(4)
    angles = np.concatenate([random.uniform(-size, size, 300) for size in (1e-3, 4, 1e3, 1e6, 1e15)]).astype(precision)
    beyond = np.array([1.2e15, -1e17, 1e25, np.finfo(precision).max], precision)
    assert np.isnan(function(beyond, beyond)[:2]).all()
    for sine, predicted in zip(("sin", "cos"), function(angles, angles), strict=False):
        with mpmath.workdps(40):
            for angle, value in zip(angles, predicted, strict=True):
                error = abs(mpmath.mpf(float(value)) - getattr(mpmath, sine)(mpmath.mpf(float(angle))))
                assert error <= bound * float(np.spacing(abs(value))), (sine, angle)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
@pytest.mark.parametrize("name", [pytest.param("convolution", marks=pytest.mark.thorough), "normalized"])
def test_any_number_of_samples(name, of_any_length):
    """Numbers of samples that fill some lanes of a sum give the bits of longer vectors, and NaN in the same places."""
    longest, shorter = of_any_length(name)
    X, Y = hashes.data(longest)
    X, parameters = np.float32(X), longest.initial_parameters(1)
    overflowing = X.copy()
    overflowing[::3] *= np.float32(1e38)
    for samples in range(1, 35):
        for inputs in (X, overflowing):
            arguments = parameters, inputs[:samples], Y[:samples]
            loss, gradient = longest.loss_and_gradient(*arguments)
            same, others = shorter.loss_and_gradient(*arguments)
            assert np.array_equal([loss], [same], equal_nan=True), samples
            assert np.array_equal(gradient, others, equal_nan=True), samples


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1.1), ("float32", 0.52)])
def test_powers(precision, bound, request):
    """Powers in C are within their bound, with 40 digits; zeros, infinity, NaN and bases below 0 give NumPy's."""
    if precision == "float32":
        request.getfixturevalue("usual_compiler")
    function = functions_of(precision)
    random, largest = np.random.default_rng(3), math.log(np.finfo(precision).max)
    for spread in (0.36, 3, largest):
        base = np.exp(random.uniform(-spread, spread, 400))
        base, exponent = (
            numbers.astype(precision)
            for numbers in (base, random.uniform(-largest, largest, 400) / np.maximum(abs(np.log(base)), 0.1))
        )
        predicted = function(base, exponent)[2]
        with mpmath.workdps(40):
            for x_, e_, value in zip(base.tolist(), exponent.tolist(), predicted, strict=True):
                exact = mpmath.mpf(x_) ** mpmath.mpf(e_)
                if np.finfo(precision).tiny < exact < np.finfo(precision).max:
                    assert abs(mpmath.mpf(float(value)) - exact) <= bound * float(np.spacing(value)), (x_, e_)
    edges = np.array([(p, q) for p, q in itertools.product(EDGES, EDGES) if abs(p) < 1e30 and abs(q) < 1e30], precision)
    with np.errstate(all="ignore"):
        expected = np.power(edges[:, 0], edges[:, 1])
    np.testing.assert_allclose(function(*edges.T)[2], expected, rtol=4 * np.finfo(precision).eps)


def test_exported_c(tmp_path):
    """C with vectors, exported with this option, has the bits of the module if it is compiled as its Makefile says."""
    model = MODELS["binary"]("binary")
    module = nn.build(model, bits="portable", fit=False)
    nn.export(model, "c", tmp_path, vectors=True, bits="portable")
    flags = [
        line.split("= ", 1)[1].split("#")[0]
        for line in (tmp_path / "Makefile").read_text().splitlines()
        if line.startswith("CFLAGS")
    ]
    assert "-ffp-contract=off" in " ".join(flags)
    command = [
        *shlex.split(COMPILER or "cc"),
        *" ".join(flags).split(),
        "-shared",
        "-fPIC",
        "binary.c",
        "-lm",
    ]
    subprocess.run([*command, "-o", "binary.so"], cwd=tmp_path, check=True)
    library, work = ctypes.CDLL(str(tmp_path / "binary.so")), np.empty(2**20)
    library.binary_work_size.restype = ctypes.c_size_t
    assert library.binary_work_size() <= work.nbytes
    X, predicted, start = hashes.data(module)[0], np.empty((hashes.SAMPLES, 1)), module.initial_parameters(3)
    arguments = (start.ctypes, X.ctypes, ctypes.c_size_t(len(X)), work.ctypes, predicted.ctypes, None)
    library.binary_predict(*(each.data_as(ctypes.c_void_p) if hasattr(each, "data_as") else each for each in arguments))
    assert predicted.tobytes() == module.predict(start, X).tobytes()


def test_exports_that_differ(tmp_path):
    """Destinations that cannot keep the bits refuse the option, or say so of an estimator that has it."""
    pytest.importorskip("sklearn")
    from nncodegen.estimators import FormulaRegressor

    with pytest.raises(nn.ModelError, match="plain C adds up in another order than a module"):
        nn.export(MODELS["decay"]("decay"), "c", tmp_path / "refused", bits="portable")
    with pytest.raises(nn.ModelError, match="the destination casadi has no --bits"):
        nn.export(MODELS["decay"]("decay"), "casadi", tmp_path / "refused", bits="portable")
    X, Y, *_ = hashes.curve_data()
    fitted = FormulaRegressor("a*exp(-b*x1) + c", bits="portable").fit(X, Y)
    report = nn.export(fitted, "c", tmp_path / "plain").report
    assert "results differ by rounding from those of the estimator" in report


@pytest.mark.thorough
def test_wheels(tmp_path, usual_compiler):
    """A wheel with this option holds a kernel for each CPU, all of which promise the bits of the module."""
    model = MODELS["binary"]("binary")
    module = nn.build(model, bits="portable")
    X, start = hashes.data(module)[0], module.initial_parameters(3)
    (wheel,) = nn.export(model, "wheel", tmp_path, bits="portable").paths
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    np.savez(tmp_path / "given.npz", start=start, X=X)
    script = (
        "import binary, numpy as np; given = np.load('given.npz'); "
        "print(binary.bits, binary.predict(given['start'], given['X']).tobytes().hex())"
    )
    for variant in ("avx512", "avx2", "plain"):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), VARIANT_VARIABLE: variant}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
        )
        assert done.stdout.split() == ["portable", module.predict(start, X).tobytes().hex()]


def unpacked(tmp_path, name):
    """The folder of a source distribution that promises the same bits."""
    (path,) = nn.export(MODELS[name](name), "sdist", tmp_path, bits="portable").paths
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / path.name.removesuffix(".tar.gz")


def compiled_by_setup(folder, **environment):
    """What setup.py of a source distribution says and does when it compiles a package to the folder site."""
    command = [sys.executable, "setup.py", "build", "--build-lib", "site"]
    environment = {**os.environ, "PYTHONPATH": "", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.thorough
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
def test_source_distributions(tmp_path, usual_compiler):
    """What setup.py compiles has the committed bits on each CPU; flags of the environment cannot fuse or reorder."""
    name = "fit_decay"
    folder = unpacked(tmp_path, name)
    done = compiled_by_setup(folder, CFLAGS="-ffp-contract=fast")
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-W", "ignore", hashes.__file__, f"{name}.{name}"]
    for variant in ("avx512", "avx2", "plain"):
        environment = {**os.environ, "PYTHONPATH": str(folder / "site"), VARIANT_VARIABLE: variant}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        assert json.loads(done.stdout) == {f"{name}.{name}": COMMITTED[name]["float64"]}
    refused = compiled_by_setup(folder, CFLAGS="-ffast-math")
    assert refused.returncode != 0
    assert "this C promises the same bits everywhere: compile it without -ffast-math" in refused.stderr


@pytest.mark.thorough
def test_a_source_distribution_beside_a_build(tmp_path, usual_compiler):
    """What setup.py compiles has the flags of GCC, and the bits, of the module that nn.build compiles."""
    name = "binary"
    folder, module = unpacked(tmp_path, name), build(name, "float64")
    done = compiled_by_setup(folder)
    assert done.returncode == 0, done.stderr
    flags = {*find_compiler().effort((folder / "c" / f"{name}.c").read_text())}
    commands = [shlex.split(line) for line in done.stdout.splitlines() if f"c/{name}.c" in line]
    assert commands
    assert all(flags <= {*command} for command in commands)
    command = [sys.executable, "-W", "ignore", hashes.__file__, f"{name}.{name}"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert json.loads(done.stdout) == {f"{name}.{name}": hashes.hashes(module)}


@pytest.mark.parametrize(
    ("compiler", "flag"),
    [*itertools.product(["gcc", "clang", "zig"], ["-ffast-math", "-ffinite-math-only"]), ("gcc", "-Ofast")],
)
def test_what_reorders_sums(compiler, flag, tmp_path):
    """C that promises the same bits refuses flags that reorder sums, or know no NaN; other C is compiled with them."""
    for same, refused in (("1", True), ("0", False)):
        source = tmp_path / f"promises_{same}.c"
        source.write_text(f'#define NN_BITS 64\n#define NN_SAME_BITS {same}\n#include "nncodegen/base/same_bits.h"\n')
        command = [*shlex.split(named(compiler)), flag, "-c", "-I", get_include(), str(source), "-o", "promises.o"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (done.returncode != 0) == refused, done.stderr
        assert ("compile it without -ffast-math" in done.stderr) == refused


def test_what_estimators_refuse():
    """Estimators refuse what depends on the CPU, in the words of the module."""
    pytest.importorskip("sklearn")
    from nncodegen import estimators

    X, Y = columns_of_curve()
    sizes = {"hidden_layer_sizes": 9}
    with pytest.raises(ValueError, match="SciPy computes may differ by rounding between CPUs"):
        estimators.NNRegressor(**sizes, solver="lbfgs", bits="portable").fit(X, Y)
    with pytest.raises(ValueError, match="learning_rate='invscaling', may differ by rounding between CPUs"):
        estimators.NNRegressor(**sizes, solver="sgd", learning_rate="invscaling", bits="portable").fit(X, Y)
    with pytest.raises(ValueError, match="the start that a curve finds in data"):
        estimators.FormulaRegressor(nn.curves.gaussian(), bits="portable").fit(X[:, :1], Y)
    with pytest.raises(ValueError, match="bits must be one of native, portable, not 'same'"):
        estimators.NNRegressor(bits="same").fit(X, Y)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_aarch64(name, aarch64_python, tmp_path, usual_compiler):
    """The C library, the instructions and the compiler of AArch64 give the committed bits, in an emulator."""
    pytest.importorskip("ziglang", reason="the extra compiler is not installed")
    for precision in COMMITTED[name]:
        (tmp_path / precision).mkdir()
        shutil.copy(build_for(name, precision, "aarch64-linux-gnu.2.28").path, tmp_path / precision)
    modules = [f"{precision}.{name}" for precision in COMMITTED[name]]
    command = [*aarch64_python(tmp_path), hashes.__file__, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict(zip(modules, COMMITTED[name].values(), strict=True))


def test_what_is_refused():
    """What depends on the CPU or on a library of the system is refused in words, before anything is compiled."""
    formula = nn.Model("formula", t, y, {a: 1.0}, a * exp(-t))
    with pytest.raises(nn.ModelError, match='bits="portable" has no asin'):
        nn.build(nn.Model("inverse", t, y, {a: 0.5}, asin(a * t)), bits="portable")
    with pytest.raises(nn.ModelError, match=r'bits="portable" has no log10.*: write log\(x\)/log\(10\)$'):
        nn.build(nn.Model("decades", t, y, {a: 0.5}, log10(a * t)), bits="portable")
    nn.compile_model(nn.Model("decades", t, y, {a: 0.5}, log(a * t) / log(10)), until="emit", bits="portable")
    with pytest.raises(nn.ModelError, match='bits="portable" has no asin'):
        nn.build(nn.Dynamics("u' = -asin(k*u)", {"u": 1}, {"k": 1}, times=3), bits="portable")
    with pytest.raises(nn.ModelError, match=r"has no (sin|cos) in formulas of parameters, such as that of d"):
        nn.build(nn.Model("derived", t, y, {a: 1.0}, a * exp(-t), derived={"d": "sin(a)"}), bits="portable")
    network = nn.Sequential([nn.Dense(3)], 2, name="network")
    with pytest.raises(nn.ModelError, match="goes without BLAS"):
        nn.build(network, bits="portable", choices={"blas": True})
    with pytest.raises(nn.ModelError, match="goes without digits='best'"):
        nn.build(formula, bits="portable", choices={"digits": "best"})
    with pytest.raises(nn.ModelError, match="bits must be one of 'native', 'portable', not 'same'"):
        nn.build(formula, bits="same")


def test_what_a_module_refuses():
    """A module says which options of its functions would depend on the CPU, and has the attribute bits."""
    name, precision = "fit_decay", "float64"
    module = build(name, precision)
    X, Y = hashes.data(module)
    assert module.bits == "portable"
    refused = "may differ by rounding between CPUs"
    with pytest.raises(ValueError, match=f"the schedule cosine {refused}"):
        module.train(X, Y, schedule="cosine")
    with pytest.raises(ValueError, match=f"the metric rmse {refused}"):
        module.train(X, Y, metrics="rmse")
    with pytest.raises(ValueError, match=f"the metric mae {refused}"):
        module.evaluate(module.initial_parameters(), X, Y, metrics="mae")
    with pytest.raises(ValueError, match=f"SciPy computes {refused}"):
        module.minimize(X, Y)
    with pytest.raises(ValueError, match=f'the search for a start, "auto", {refused}'):
        module.fit(X, Y, p0="auto")
    fit = module.fit(*hashes.curve_data()[:2])
    with pytest.raises(ValueError, match=f"the search for the ends of profiles, by SciPy, {refused}"):
        fit.confidence_intervals(method="profile")


def test_classifiers():
    """Early stopping measures accuracies, or r2; logarithms of probabilities are rounded once, as with 40 digits."""
    pytest.importorskip("sklearn")
    from nncodegen.estimators import NNClassifier, NNRegressor

    X, Y = columns_of_curve()
    options = {"hidden_layer_sizes": 9, "max_iter": 3, "random_state": 1, "early_stopping": True, "bits": "portable"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 3 epochs are few
        regressor, classifier = NNRegressor(**options).fit(X, Y), NNClassifier(**options).fit(X, Y > 1)
    assert len(regressor.validation_scores_) == len(classifier.validation_scores_) == 3
    probabilities, logarithms = classifier.predict_proba(X), classifier.predict_log_proba(X)
    with mpmath.workdps(40):
        exact = [float(mpmath.log(mpmath.mpf(value))) for value in probabilities.ravel().tolist()]
    assert logarithms.ravel().tolist() == exact


def test_draws():
    """Uniform numbers are those of NumPy where it fuses nothing; normal ones have the moments of the distribution."""
    drawn = uniform(np.random.default_rng(1), 0.3, 1000)
    assert np.allclose(drawn, np.random.default_rng(1).uniform(-0.3, 0.3, 1000), rtol=0, atol=1e-16)
    normal = standard_normal(np.random.default_rng(1), 10_001)
    moments = [np.mean(normal**power) for power in (1, 2, 3, 4)]
    assert normal.shape == (10_001,)
    assert np.allclose(moments, [0, 1, 0, 3], atol=0.15)
