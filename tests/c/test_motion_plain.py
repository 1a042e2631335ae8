"""Plain C of differential equations whose steps are chosen by an estimate of their error, against NumPy and SciPy."""

import ctypes
import math
import re
import subprocess
from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.ir.integrate import _exp2, _log2
from tests.support.built import built, stage
from tests.support.dosing import START, dosing, samples
from tests.support.motion import VALUES, lotka_volterra, lotka_volterra_model
from tests.support.plain import COMPILERS, compiled, exported, loaded
from tests.support.stiff import STIFF

PULLED = {
    "equations": "u' = -k*(u - cos(w*t)) + f*sin(t)",
    "initial": {"u": "f"},
    "parameters": {"k": 3, "w": 1.1},
    "inputs": "f",
    "start": 0,
    "times": 6,
}
"""Rates that read the time and an input, from an initial value at the time 0 that is an input."""

pytestmark = pytest.mark.usefixtures("quick_compiler")
OWN = {"libm": False}
SINGLE = {"precision": "float32"}


def prey(**options):
    return lotka_volterra_model(steps=None, **options)


PREY, ROBERTSON = prey(), STIFF["robertson"].model(rtol=1e-7, atol=1e-13)
MODELS = {
    "prey": (PREY, {}),
    "prey_own": (PREY, OWN),
    "pulled": (nn.Dynamics(**PULLED), {}),
    "pulled_stiff": (nn.Dynamics(**PULLED, method="rodas5p"), {}),
    "pulled_auto": (nn.Dynamics(**PULLED, method="auto"), {}),
    "robertson": (ROBERTSON, {}),
    "robertson_own": (ROBERTSON, OWN),
    "hires": (STIFF["HIRES"].model(method="auto", atol=1e-12), {}),
    "dosing": (dosing(), {}),
    "dosing_stiff": (dosing("rodas5p", "held", name="dosing_stiff"), {}),
    "bolus": (nn.Dynamics("u' = -k*u", {"u": 0}, {"k": 1}, columns="d", jumps={"u": "u + d"}, times=6), OWN),
}
"""Models in double precision, and the options of their exports."""

SINGLES = {
    "prey32": (prey(), SINGLE),
    "prey_own32": (prey(), {**SINGLE, **OWN}),
    "robertson32": (STIFF["robertson"].model(rtol=1e-4, atol=1e-9), SINGLE),
    "robertson_own32": (STIFF["robertson"].model(rtol=1e-4, atol=1e-9), {**SINGLE, **OWN}),
}
"""The same in single precision."""


SLOW = ("robertson", "robertson_own", "hires")
"""Those whose steps take seconds in NumPy."""

SELF_TESTS = [("prey_own32", COMPILERS[0]), ("pulled_auto", COMPILERS[-1]), ("robertson32", COMPILERS[-1])]
"""Exports whose tests are run, and the compilers."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("motion")


@pytest.fixture(scope="module")
def functions(folder, request):
    """All exports with training, compiled in one go without a warning: name -> functions.

    HIRES, the largest, takes part in thorough tests alone.
    """
    exports = {
        name: (model, {"train": True, **options})
        for name, (model, options) in (MODELS | SINGLES).items()
        if name != "hires" or request.config.getoption("--thorough")
    }
    return loaded(folder, exports, COMPILERS[0], ("-Og",), tested=[name for name, _ in SELF_TESTS])


def data(name):
    """Parameters and the rows of three samples."""
    if name.startswith("pulled"):
        return [3, 1.1], np.column_stack([np.sort(np.random.default_rng(1).uniform(0, 5, (3, 6))), [0.5, 1, 2]])
    if name.startswith("dosing"):
        return START, samples(3, np.random.default_rng(1))
    if name == "bolus":
        return [0.5], np.hstack([np.sort(np.random.default_rng(1).uniform(0, 5, (3, 6))), np.eye(3, 6)])
    if name.startswith("prey"):
        return [*VALUES.values()], np.linspace(0, 20, 21) * np.array([[1], [0.3], [0.7]])
    example = STIFF["HIRES" if name == "hires" else "robertson"]
    return example.values, example.times() * np.array([[1], [1e-3], [0.2]])


@cache
def evaluated(model, name):
    """Random targets, and what NumPy evaluates of a model for the data of a name: outputs, a loss, its gradient."""
    parameters, X = data(name)
    program = stage(model, "differentiate")
    Y = np.random.default_rng(2).uniform(0.1, 0.9, (3, sum(target.size for target in program.targets)))
    values = evaluate(program, parameters, X, Y)
    outputs = np.column_stack([values[output.tensor].reshape(3, -1) for output in program.outputs])
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    return Y, outputs, values[program.loss.tensor], gradient


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in SLOW else name for name in MODELS]
)
def test_values(name, functions):
    """Outputs, losses and gradients are those that NumPy evaluates, which takes the same steps."""
    model, _ = MODELS[name]
    parameters, X = data(name)
    c, (Y, expected, exact_loss, exact) = functions[name], evaluated(model, name.removesuffix("_own"))
    predicted = c.predict(parameters, X)
    assert np.isfinite(predicted).all()
    assert (abs(predicted - expected) <= 1e-11 * abs(expected).max()).all()
    loss, gradient = c.loss_and_gradient(parameters, X, Y)
    np.testing.assert_allclose(loss, exact_loss, rtol=1e-11)
    np.testing.assert_allclose(c.loss(parameters, X, Y).mean(), loss, rtol=1e-13)
    assert np.linalg.norm(gradient - exact) <= 1e-10 * np.linalg.norm(exact)


def test_solutions(functions):
    """They are those of SciPy's methods at smaller tolerances, to 100 times the tolerance."""
    parameters, X = data("prey")
    predicted = functions["prey"].predict(parameters, X)
    rate = lotka_volterra(*parameters[:4])
    for row, times in zip(predicted, X, strict=True):
        exact = solve_ivp(rate, times[[0, -1]], parameters[4:], "DOP853", times, rtol=1e-12, atol=1e-12).y
        assert (abs(row.reshape(2, 21) - exact) <= 1e-4 * abs(exact).max()).all()
    example = STIFF["robertson"]
    predicted = functions["robertson"].predict(example.values, example.times()[None]).reshape(3, -1)
    exact = example.solution(example.values, example.times())
    assert (abs(predicted - exact) <= 1e-5 * abs(exact).max(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("name", ["prey", "robertson", "robertson_own"])
def test_difference_from_modules(name, functions):
    """Predictions differ from those of a compiled module by rounding."""
    parameters, X = data(name)
    module = built(MODELS[name][0], fit=False)
    expected = module.predict(parameters, X)
    predicted = functions[name].predict(parameters, X)
    assert (abs(predicted - expected) <= 1e-10 * abs(expected).max()).all()


@pytest.mark.parametrize("name", SINGLES)
def test_single_precision(name, functions):
    """Outputs and gradients are within what single precision allows of those in double precision."""
    parameters, X = data(name)
    c, double = functions[name], functions[name.removesuffix("32").removesuffix("_own")]
    expected = double.predict(parameters, X)
    predicted = c.predict(parameters, X)
    size = 1e-3 if name.startswith("prey") else 1e-2  # b of Robertson's equations is 1e-5 of the others
    rows = expected.reshape(3, c.sizes["OUTPUTS"] // (X.shape[1]), -1)
    scale = abs(rows).max(axis=(0, 2), keepdims=True)
    assert (abs(predicted.reshape(rows.shape) - rows) <= size * scale).all()
    Y = np.zeros((3, c.sizes["TARGETS"]))
    (_, gradient), (_, exact) = (each.loss_and_gradient(parameters, X, Y) for each in (c, double))
    assert np.linalg.norm((gradient - exact) * parameters) <= 1e-2 * np.linalg.norm(exact * parameters)


OF_LENGTHS = """
double found_log2(double x) { return (double) rough_log2((real) x); }
double found_exp2(double x) { return (double) rough_exp2((real) x); }
double found_root(double x, double exponent) { return rough_root(x, exponent); }
"""


@pytest.mark.parametrize(("name", "largest", "eps"), [("prey", 300, 1e-16), ("prey32", 36, 1.2e-7)])
def test_functions_of_lengths(name, largest, eps, functions, folder):
    """Logarithms and powers of two, by which lengths of steps are chosen, are precise to 1e-7; a root of 0 is 0."""
    assert functions[name]
    source = folder / f"{name}_lengths.c"
    source.write_text((folder / name / f"{name}.c").read_text() + OF_LENGTHS)
    options = ("-Og", f"-I{folder / name}")
    library = ctypes.CDLL(str(compiled([source], folder / f"{name}_lengths.so", COMPILERS[0], options, ("-std=c99",))))
    random = np.random.default_rng(3)
    values = [*10 ** random.uniform(-largest, largest, 500), *random.uniform(0.5, 2, 500), 1.0, 2**-0.5, 2**0.5]

    def computed(function, *numbers):
        called = getattr(library, f"found_{function}")
        called.restype = ctypes.c_double
        return called(*map(ctypes.c_double, numbers))

    for x in np.array(values, functions[name].precision).tolist():
        exact = math.log2(x)
        assert abs(computed("log2", x) - exact) <= 2e-7 + 2 * eps * abs(exact)
        assert computed("root", x, 5) == pytest.approx(x**0.2, rel=1e-7 + 20 * eps)
        power = min(max(exact, -100), 100)
        assert computed("exp2", power) == pytest.approx(2**power, rel=2e-7 + 100 * eps)
        if eps < 1e-15:
            assert (computed("log2", x), computed("exp2", power)) == (_log2(x), _exp2(power))
    assert computed("root", 0, 5) == 0


def test_paths_that_fail(folder):
    """From a pole or the largest number of steps on, values are NaN; other samples have the bits of each alone."""
    models = {
        "pole": nn.Dynamics("u' = w*u**2", {"u": "u0"}, {"u0": 1}, inputs="w", times=3),
        "stiff_pole": nn.Dynamics("u' = w*u**2", {"u": "u0"}, {"u0": 1}, inputs="w", times=3, method="rodas5p"),
        "tired": nn.Dynamics("u' = -w*u", {"u": "u0"}, {"u0": 1}, inputs="w", times=3, max_steps=30),
    }
    loaded_model = loaded(
        folder / "failing", {name: (model, {}) for name, model in models.items()}, COMPILERS[0], ("-Og",)
    )
    for name, rates in {"pole": [0.1, 3, 0.2], "stiff_pole": [0.1, 3, 0.2], "tired": [0.1, 300, 0.2]}.items():
        X = np.column_stack([np.tile([0, 1, 2], (3, 1)), rates])
        together = loaded_model[name].predict([1], X)
        assert np.isnan(together).tolist() == [[False] * 3, [False, True, True], [False] * 3]
        alone = [loaded_model[name].predict([1], row[None])[0] for row in X]
        np.testing.assert_array_equal(together, alone)
    early = nn.Dynamics("u' = -u", {"u": 1}, start=0, times=2, name="early")
    (c,) = loaded(folder / "early", {"early": (early, {})}, COMPILERS[0], ("-Og",)).values()
    assert np.isnan(c.predict(None, [[-1, 1], [0, 1]])).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(("name", "compiler"), SELF_TESTS)
def test_self_tests(name, compiler, folder, functions):
    """The test that comes with an export passes, without a warning, and nothing is read or written beside arrays."""
    assert functions[name]
    sources = [folder / name / f"{name}_test.c", folder / name / f"{name}.c"]
    options = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    program = compiled(sources, folder / f"{name}-{compiler}", compiler, options)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right") == 4


def test_without_training(tmp_path):
    """An export for predictions has the solver of the states alone, and no memory for derivatives."""
    plain = exported(prey(), tmp_path / "plain", name="prey")
    trained = exported(prey(), tmp_path / "trained", name="prey", train=True)
    assert plain["prey.c"].count("INLINE void equations_") == 2
    assert trained["prey.c"].count("INLINE void equations_") == 4
    assert "rosenbrock" not in trained["prey.c"]
    assert "malloc" not in plain["prey.c"]


def test_functions_that_only_a_library_has(tmp_path):
    """Without the library of mathematics, rates that need it are refused, and name the function."""
    model = nn.Dynamics("u' = -k*sin(u)", {"u": 1}, {"k": 1}, times=3, name="swing")
    with pytest.raises(nn.ModelError, match="swing needs sin of the C library"):
        nn.export(model, "c", tmp_path, libm=False)


@pytest.mark.parametrize("name", ["prey", "dosing", "pulled_auto", "robertson32"])
def test_one_lane(name, tmp_path):
    """The text has one lane: no loop or argument for several, and no function that nothing calls."""
    model, options = (MODELS | SINGLES)[name]
    text = exported(model, tmp_path, tested=False, name=name, **options)[f"{name}.c"]
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    defined = re.findall(r"^(?:INLINE|IN_LOOP|static) .*?\b(\w+)\(", code, re.MULTILINE)
    assert not re.search(r"\blane\b|LANES", code)
    assert {"norm_of", "add_stages"} <= set(defined)
    assert [function for function in defined if len(re.findall(rf"\b{function}\b", code)) < 2] == []
