"""The C that is emitted: without warnings, of a size that does not grow, and safe from names."""

import platform
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.describe.losses import LOSSES
from tests.support.compilers import AT_SIGHT, OF_FORMULAS, QUICK, compile_strictly, emitted, vectorized


def network(*activations, loss="mse"):
    last = {"poisson": "softplus", "binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
    layers = [*(nn.Dense(3, name) for name in activations), nn.Dense(2, last.get(loss, "linear"))]
    return nn.Sequential(layers, inputs=3, loss=loss)


def formulas():
    a, b, x, y = sympy.symbols("a b x y")
    yield nn.Model("rosenbrock", parameters={a: 0, b: 0}, loss=(1 - a) ** 2 + 100 * (b - a**2) ** 2)
    yield nn.Model("no_inputs", (), [y], {a: 0.0}, a, (y - a) ** 2)
    yield nn.Model("constant", [x], [y], {a: 0.0}, sympy.Integer(1), (y - a) ** 2)
    unary = [sympy.sin, sympy.cos, sympy.tan, sympy.sinh, sympy.cosh, sympy.atan, sympy.asinh, sympy.erf, sympy.sign,
             sympy.Abs, sympy.Heaviside, sympy.sech, sympy.coth, lambda z: sympy.Max(z, 1, a), sympy.exp,
             lambda z: sympy.log(z**2 + 1), lambda z: sympy.sqrt(z**2 + 1),
             lambda z: (z**2 + 1) ** sympy.Rational(7, 3),
             lambda z: z**11, lambda z: sympy.Piecewise((z, (z > 0) & (a < 1)), (a, sympy.Ne(b, z)), (0, True)),
             lambda z: sympy.Piecewise((z, ((z > 0) & (a < 1)) | ((z < -1) & (b < 1))), (a, True)),
             lambda z: sympy.sign(sympy.cos(z) * sympy.sign(z)),
             lambda z: sympy.atan2(z, 2), lambda z: sympy.Min(z, 10**12)]  # fmt: skip
    yield nn.Model(
        "functions",
        [x],
        [y],
        {a: 0.1, b: 0.2},
        tuple(f(a * x + b) for f in unary),
        sum(f(a * x + b) for f in unary) - y,
    )


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        pytest.param(model, precision, marks=[pytest.mark.thorough] if (number + other) % 2 else [])
        for number, model in enumerate(formulas())
        for other, precision in enumerate(("float32", "float64"))
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_formulas_compile_without_a_warning(model, precision, tmp_path):
    """Every function, a formula without inputs, without targets, a constant output: no warning in strict C11."""
    compile_strictly(emitted(model, precision), tmp_path, AT_SIGHT)


@pytest.mark.parametrize("activations", [list(ACTIVATIONS)[first::3] for first in range(3)], ids="-".join)
def test_activations_compile_without_a_warning(activations, tmp_path):
    """No warning in strict C11, with GCC and Clang, for any activation."""
    compile_strictly(emitted(network(*activations), "float32", fit=False), tmp_path, AT_SIGHT)


def test_values_that_are_always_zero(tmp_path):
    """A shared layer minus itself on the same input is 0, whatever reads it: sums, and a maximum of several values."""
    inputs, shared = nn.Input(4), nn.Dense(3, "tanh")
    zero = shared(inputs) - shared(inputs)
    outputs = [nn.Dense(2)(zero), nn.Activation("softmax")(zero)]
    compile_strictly(emitted(nn.Network(inputs, outputs), "float64", fit=False), tmp_path, AT_SIGHT)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_compile_without_a_warning(loss, tmp_path):
    """No warning in strict C11, with GCC and Clang, for any loss."""
    compile_strictly(emitted(network("tanh", loss=loss), fit=False), tmp_path, AT_SIGHT)


def test_little_optimization_finds_no_more(tmp_path):
    """Nor is there a warning where GCC optimizes a little."""
    compile_strictly(emitted(network("elu", loss="poisson"), fit=False), tmp_path, OF_FORMULAS)


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_optimization_finds_no_more(precision, tmp_path):
    """Nor is there a warning in any of them where GCC optimizes more."""
    networks = [network(*list(ACTIVATIONS)[first::3]) for first in range(3)]
    for model in (*formulas(), *networks, *(network("tanh", loss=loss) for loss in LOSSES)):
        compile_strictly(emitted(model, precision), tmp_path)


def test_a_large_network_compiles_without_a_warning(tmp_path):
    """No warning where the lanes of gradients are added up in every tile, nor without a bias."""
    layers = [nn.Dense(100, "relu"), nn.Dense(3, use_bias=False)]
    compile_strictly(emitted(nn.Sequential(layers, 64)), tmp_path)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="asks GCC what it did")
@pytest.mark.parametrize("precision", [pytest.param("float64", marks=pytest.mark.thorough), "float32"])
def test_loops_of_few_turns_are_vectorized(precision, tmp_path):
    """Loops over the units of a layer of 16, which choose between values, become loops over vectors."""
    model = nn.Sequential([nn.Dense(32, "tanh"), nn.Dense(16, "relu"), nn.Dense(1)], inputs=8)
    lines, in_vectors = vectorized(emitted(model, precision), tmp_path)
    loops = [number for number, line in enumerate(lines) if re.search(r"for .* < 16;", line)]
    loops = [number for number in loops if "INDEPENDENT" in lines[number - 1] and "? " in "".join(lines[number:][:6])]
    assert len(loops) == 5  # of a tile of predictions, losses, gradients, and of predictions and gradients of one row
    assert {number + 1 for number in loops} <= in_vectors


def test_the_size_does_not_grow_with_the_width():
    """The C of 64-32-10 and of 64-512-10 differ by less than 5 % in size."""

    def size(width):
        layers = [nn.Dense(width, "tanh"), nn.Dense(10, "softmax")]
        sources = emitted(nn.Sequential(layers, 64, "categorical_crossentropy"))
        return sum(map(len, sources.files.values()))

    assert abs(size(512) / size(32) - 1) < 0.05


AWKWARD = ["if", "lambda", "I", "x[0]", "α", "a; b", "*/ int evil; /*", "double", "n", "count", "weight", "loss",
           "output", "t1", "exp", "%s", '"', "\\", "x\ny", "inputs", "real", "TILE",
           "output column 0", "gradient of I", "HUGE_VAL", "INFINITY", "NNCODEGEN_SIMD", "M_PI", "W" * 300]  # fmt: skip


def test_awkward_names(tmp_path, monkeypatch):
    """Names that are no identifiers, or reserved, work; they never reach the sources as text; people see them."""
    monkeypatch.setenv("CC", QUICK)
    symbols = [sympy.Symbol(name) for name in AWKWARD]
    x, y, *parameters = symbols
    output = sum(p * (k + 1) for k, p in enumerate(parameters)) * x
    model = nn.Model("a; b", [x], [y], dict.fromkeys(parameters, 0.5), output, (output - y) ** 2)
    sources = emitted(model)
    compile_strictly(sources, tmp_path, AT_SIGHT)
    for text in sources.files.values():
        assert text.isascii()
    assert "int evil" not in sources.files[f"{sources.module}.c"]
    module = nn.build(model, fit=False)
    assert (module.name, module.__name__.rpartition(".")[2]) == ("a; b", "a_b")
    assert module.input_names == ("if",)
    assert module.target_names == ("lambda",)
    assert module.parameter_names == tuple(AWKWARD[2:])
    factor = sum(0.5 * (k + 1) for k in range(len(parameters)))
    assert module.predict(module.initial_parameters(), [[3.0]])[0, 0] == pytest.approx(3 * factor)
    _, gradient = module.loss_and_gradient(module.initial_parameters(), [[3.0]], [1.0])
    expected = [2 * (3 * factor - 1) * 3 * (k + 1) for k in range(len(parameters))]
    assert gradient == pytest.approx(expected)


@pytest.mark.parametrize("units", [3, 32])
def test_sums_that_a_step_reads_more_than_once(units, monkeypatch):
    """A product that is added to something is not written into that sum where it is needed as a value as well."""
    monkeypatch.setenv("CC", QUICK)
    layers = [nn.Dense(units, lambda z: z + z**2, use_bias=False), nn.Dense(1)]
    module = nn.build(nn.Sequential(layers, 2, name=f"twice{units}"), fit=False)
    rng = np.random.default_rng(1)
    X, parameters = rng.normal(size=(9, 2)), rng.normal(size=module.parameter_count)
    named = module.unpack(parameters)
    z = X @ named["W1"].T
    outputs = (z + z**2) @ named["W2"].T + named["b2"]
    assert module.predict(parameters, X) == pytest.approx(outputs, rel=1e-12)
    assert module.loss_and_gradient(parameters, X, outputs)[1] == pytest.approx(0, abs=1e-10)


def test_the_folder_of_the_runtime():
    """A C compiler finds what the C of a model includes in the folder that the package names."""
    assert (Path(nn.get_include()) / "nncodegen" / "interface.h").exists()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="asks GCC what it did")
@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="libmvec of x86-64")
def test_choices_of_functions_are_vectorized(tmp_path):
    """Predictions that choose among functions of the C library become a loop over vectors, which computes them all."""
    choice = "Piecewise((a*exp(-b*x), x < 0.5), (sqrt(x)*log(c*x), x < 1), (a*cos(x)/x, True))"
    model = nn.Model("choice", "x", "y", {"a": 1, "b": 0.5, "c": 1.2}, choice)
    lines, in_vectors = vectorized(emitted(model, fit=False), tmp_path)
    begin = next(number for number, line in enumerate(lines, 1) if "predict_tile(" in line)
    end = lines.index("}", begin)
    (loop,) = (number for number in range(begin, end) if "size_t n = 0; n < padded" in lines[number - 1])
    assert loop in in_vectors
