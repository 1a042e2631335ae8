"""Prediction of a few rows: a path of its own, with the results and the errors of the other."""

import shutil

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building.build import load, load_variant
from nncodegen.perceptron import model as perceptron_model
from tests.support.compilers import QUICK, VECTORS

RNG = np.random.default_rng(0)


def networks():
    for inputs, hidden in ((1, 1), (7, 17), (17, 33)):
        layers = [nn.Dense(hidden, "tanh"), nn.Dense(3, use_bias=False), nn.Dense(4, "softmax")]
        yield nn.Sequential(layers, inputs, "categorical_crossentropy", name="rows")
    for name in ("gelu", "elu"):
        yield nn.Sequential([nn.Dense(6, name), nn.Dense(2)], 5, name="rows")


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        *(
            pytest.param(model, "float64", marks=[pytest.mark.thorough] if number in (1, 4) else [])
            for number, model in enumerate(networks())
        ),
        (list(networks())[2], "float32"),
    ],
    ids=lambda value: str(getattr(value, "inputs", value)),
)
def test_networks(model, precision, monkeypatch):
    """One to four rows have the outputs that they have among many, and in NumPy, to rounding."""
    monkeypatch.setenv("CC", QUICK)
    module = nn.build(model, precision, fit=False)
    program = nn.compile_model(model, until="simplify")["simplify"]
    parameters = module.initial_parameters(1) + 0.1 * RNG.normal(size=module.parameter_count).astype(precision)
    X = RNG.normal(size=(9, model.inputs)).astype(precision)
    many = module.predict(parameters, X)
    expected = nn.evaluate(program, parameters.astype(float), X.astype(float), np.zeros((9, many.shape[1])))[
        program.outputs[0].tensor
    ]
    bound = 1e-13 if precision == "float64" else 1e-5
    for rows in (1, 2, 3, 4, 5):
        few = module.predict(parameters, X[:rows])
        assert few.shape == (rows, many.shape[1])
        assert few.dtype == module.dtype
        assert few == pytest.approx(many[:rows], rel=bound, abs=bound)
        assert few == pytest.approx(expected[:rows], rel=bound, abs=bound)


def test_formulas():
    """A formula has the same bits for one row as for many."""
    a, x = sympy.symbols("a x")
    several = nn.Model("outputs", [x], (), {a: 2.0}, (a * x, sympy.sin(x), a), (a * x) ** 2)
    for model, fit in ((perceptron_model, None), (several, False)):
        module = nn.build(model, fit=fit)
        parameters, X = module.initial_parameters(), RNG.normal(size=(9, len(model.inputs)))
        assert np.array_equal(module.predict(parameters, X[:1]), module.predict(parameters, X)[:1])


def test_outputs_that_are_given(monkeypatch):
    """An output may be an input as it is, beside others or alone."""
    monkeypatch.setenv("CC", QUICK)
    a, x, z, y = sympy.symbols("a x z y")
    X = RNG.normal(size=(20, 2))
    for outputs in ((sympy.sin(a * x), z, a), z):
        module = nn.build(nn.Model("given", [x, z], [y], {a: 0.5}, outputs, (a * x - y) ** 2), fit=False)
        predicted = module.predict(module.initial_parameters(), X)
        expected = np.stack([np.sin(0.5 * X[:, 0]), X[:, 1], np.full(20, 0.5)], axis=1)
        assert predicted == pytest.approx(expected if isinstance(outputs, tuple) else X[:, 1:], rel=1e-15)
        assert module.loss([0.5], X, X[:, 1]) == pytest.approx(((0.5 * X[:, 0] - X[:, 1]) ** 2).mean(), rel=1e-14)


@pytest.mark.parametrize("precision", [pytest.param("float64", marks=pytest.mark.thorough), "float32"])
def test_functions_of_the_library(precision, monkeypatch):
    """So do functions that loops may call for whole vectors, on every CPU, wherever a row lies among others.

    Of four columns one is left out, so that what is read has gaps. In double precision the module is as people
    get it, in single precision it is less optimized.
    """
    if precision == "float32":
        monkeypatch.setenv("CC", VECTORS)
    a, b, x, z, v, unused = sympy.symbols("a b x z v unused")
    wave, power, angle = sympy.sin(b * x) * sympy.cos(b * x), z**b, sympy.atan2(x, v)
    model = nn.Model(
        "wave", [x, unused, z, v], (), {a: 2.0, b: 1.25}, (a * wave + power, angle, a * z), (a * power) ** 2
    )
    built = nn.compile_model(model, precision, march="portable", fit=False).built
    bound = 50 * float(np.finfo(precision).eps)
    for variant in load(built).variants:
        module = load_variant(built, variant)
        parameters, X = module.initial_parameters(), RNG.uniform(0.1, 9, (1100, 4)).astype(precision)
        many = module.predict(parameters, X)
        x, z, v = X.astype(float)[:, [0, 2, 3]].T
        exact = np.stack([2 * np.sin(1.25 * x) * np.cos(1.25 * x) + z**1.25, np.arctan2(x, v), 2 * z], axis=1)
        assert many == pytest.approx(exact, rel=bound, abs=bound)
        for rows in (1, 2, 7, 8, 9, 15, 16, 17, 33, 600):
            for first in (0, 1, 5, 495, 500):
                part = module.predict(parameters, X[first : first + rows])
                assert np.array_equal(part, many[first : first + rows])


def branches(rng, depth, a, b, x, z):
    """A random formula that chooses between values, in which products and sums stand on both sides of the choices."""
    if depth == 0:
        return [a * x + b, b * z - a, x * z, a * x][rng.integers(4)]
    first, second = (branches(rng, depth - 1, a, b, x, z) for _ in range(2))
    chosen = [
        lambda: sympy.Piecewise((sympy.log(first**2 + 1) * a, first > 0), (a * second * b, True)),
        lambda: sympy.Piecewise((first * second - a, second < b), (sympy.exp(-(first**2)), True)),
        lambda: sympy.Max(first, second) * a + first,
        lambda: nn.sigmoid(first) * second - z,
        lambda: abs(first) * sympy.tanh(second) + b,
        lambda: sympy.log(sympy.exp(first) + 1) * second + first,
    ]
    return chosen[rng.integers(len(chosen))]()


@pytest.mark.parametrize(
    ("compiler", "march", "precision", "seed"),
    [
        ("gcc", "portable", "float64", 0),
        pytest.param("gcc", "portable", "float32", 1, marks=pytest.mark.thorough),
        pytest.param("gcc", "native", "float64", 4, marks=pytest.mark.thorough),
        pytest.param("clang", "native", "float64", 0, marks=pytest.mark.thorough),
        pytest.param("clang", "native", "float32", 2, marks=pytest.mark.thorough),
    ],
)
def test_formulas_with_branches(compiler, march, precision, seed, monkeypatch):
    """So do formulas that choose between values, on every CPU, in any company, with unused columns or none."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.setenv("CC", compiler)
    rng = np.random.default_rng(seed)
    a, b, x, z, unused = sympy.symbols("a b x z unused")
    outputs = tuple(z + branches(rng, 2, a, b, x, z) for _ in range(3))
    inputs = [x, z] if seed % 3 else [x, unused, z]
    model = nn.Model("branches", inputs, (), {a: 1.3, b: 0.7}, outputs, (a * x - b) ** 2)
    built = nn.compile_model(model, precision, march=march, fit=False).built
    X = 3 * rng.normal(size=(1003, len(inputs)))
    for variant in load(built).variants:
        module = load_variant(built, variant)
        parameters, rows = module.initial_parameters(), X.astype(precision)
        many = module.predict(parameters, rows)
        for count in (1, 2, 3, 5, 9, 600):
            parts = [module.predict(parameters, rows[first : first + count]) for first in range(0, len(rows), count)]
            assert np.array_equal(np.vstack(parts), many)


def test_results_are_their_own(chain):
    """Every call returns an array of its own, which later calls do not change; nothing given is changed."""
    parameters, X = chain.initial_parameters(), RNG.normal(size=(2, 4))
    copies = parameters.copy(), X.copy()
    first = chain.predict(parameters, X[:1])
    kept = first.copy()
    chain.predict(parameters, X[1:])
    assert np.array_equal(first, kept)
    assert np.array_equal(parameters, copies[0])
    assert np.array_equal(X, copies[1])
    assert first.flags.owndata


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.tolist(),
        lambda a: a.astype(np.float32),
        np.asfortranarray,
        lambda a: a.astype(">f8"),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        np.ma.masked_array,
        lambda a: a.astype(object),
    ],
)
def test_rows_of_any_kind(chain, convert):
    """What is no plain array of the module's precision gives the same, to rounding."""
    parameters, X = chain.initial_parameters(), RNG.normal(size=(1, 4)).astype(np.float32).astype(float)
    assert chain.predict(parameters, convert(X)) == pytest.approx(chain.predict(parameters, X), rel=1e-14)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, np.nan, 0, 0]]), r"X\[0, 1\] is nan"),
        (np.array([[1.0, 0, 0, np.inf]]), r"X\[0, 3\] is inf"),
        (np.zeros((1, 3)), r"X has the shape \(1, 3\); expected \(samples, 4\)"),
        (np.zeros((0, 4)), "X is empty"),
        (np.zeros(4), "give it as"),
    ],
)
def test_errors(chain, X, message):
    """One row is refused with the same words as many."""
    with pytest.raises(ValueError, match=message):
        chain.predict(chain.initial_parameters(), X)
    with pytest.raises(ValueError, match=r"parameters\[2\] is nan"):
        chain.predict(np.where(np.arange(43) == 2, np.nan, 0.0), np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"parameters has the shape \(42,\)"):
        chain.predict(np.zeros(42), np.zeros((1, 4)))
