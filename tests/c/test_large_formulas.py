"""Formulas of some hundred statements: several loops, several functions, and the same numbers."""

import re
import shutil
from functools import cache

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.schedule import loops as scheduled_loops
from nncodegen.compiler.schedule.fuse import MOST, SUM, statements_of
from nncodegen.compiler.schedule.loops import TERMS
from nncodegen.compiler.schedule.rewrites import functions
from nncodegen.compiler.schedule.tree_walks import steps_in
from tests.support.built import stage
from tests.support.compilers import COMPILERS, OF_FORMULAS, compile_strictly, vectorized
from tests.support.placed import in_tile, placed

pytestmark = pytest.mark.usefixtures("quick_compiler")

X_, Y_ = sympy.symbols("x y")


@cache
def waves(terms):
    """The squared error of d + sum of a*tanh(b*x + c)."""
    d, *rest = sympy.symbols(f"d p:{3 * terms}")
    parameters = {d: 0.1} | {p: np.sin(1.0 + k) for k, p in enumerate(rest)}
    output = d + sum(a * sympy.tanh(b * X_ + c) for a, b, c in zip(*(rest[k::3] for k in range(3)), strict=True))
    return nn.Model(f"waves_{terms}", (X_,), (Y_,), parameters, output, (output - Y_) ** 2)


def by_numpy(parameters, x, y):
    """The outputs, the mean loss and its gradient, written down by hand."""
    d, a, b, c = parameters[0], parameters[1::3], parameters[2::3], parameters[3::3]
    t = np.tanh(np.outer(x, b) + c)
    error = d + t @ a - y
    slope = 2 / len(x) * error[:, None] * a * (1 - t**2)
    gradient = np.empty_like(parameters)
    gradient[0] = 2 * error.mean()
    gradient[1::3] = 2 / len(x) * error @ t
    gradient[2::3], gradient[3::3] = x @ slope, slope.sum(axis=0)
    return d + t @ a, (error**2).mean(), gradient


@pytest.mark.parametrize(
    ("terms", "precision"), [(12, "float64"), pytest.param(50, "float64", marks=pytest.mark.thorough), (50, "float32")]
)
def test_numbers(terms, precision):
    """Outputs, loss, gradient and updates are those of NumPy, for all samples, for a few, and for many models."""
    module = nn.build(waves(terms), precision, fit=False)
    bound = 1e-11 if precision == "float64" else 2e-4
    rng = np.random.default_rng(terms)
    for samples in (1, 3, 63, 65, 1000):
        x, y = rng.uniform(-1, 1, (2, samples))
        parameters = rng.normal(size=module.parameter_count)
        outputs, loss, gradient = by_numpy(parameters, x, y)
        assert module.predict(parameters, x)[:, 0] == pytest.approx(outputs, rel=bound, abs=bound)
        found_loss, found_gradient = module.loss_and_gradient(parameters, x, y)
        assert found_loss == pytest.approx(loss, rel=bound)
        scale = abs(gradient).max()
        assert found_gradient == pytest.approx(gradient, rel=bound, abs=bound * scale)
        step = {"learning_rate": 1e-3, "epochs": 1, "batch_size": samples, "shuffle": False}
        updated = parameters - 1e-3 * gradient
        trained = module.train(x, y, parameters, **step).parameters
        assert trained == pytest.approx(updated, rel=bound, abs=bound * scale)
        many = module.train_many(x, y, np.stack([parameters] * 3), **step).parameters
        assert many[2] == pytest.approx(updated, rel=bound, abs=bound * scale)


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_a_prediction_does_not_depend_on_its_neighbours(precision):
    """Tiles are padded, so that each row is computed in a whole vector: with the same bits, however many there are."""
    module = nn.build(waves(50), precision, fit=False)
    rng = np.random.default_rng(3)
    parameters, x = rng.normal(size=module.parameter_count), rng.uniform(-1, 1, 150)
    whole = module.predict(parameters, x)
    for count in (1, 2, 5, 8, 17, 63, 129):
        assert np.array_equal(module.predict(parameters, x[:count]), whole[:count])
        assert np.array_equal(module.predict(parameters, x[-count:]), whole[-count:])


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_a_sample_alone_has_the_bits_of_two_that_are_equal(precision):
    """A tile of one sample adds up no vectors: the mean of two equal gradients is each of them."""
    module = nn.build(waves(50), precision, fit=False)
    text = stage(waves(50), "emit", precision, fit=False).files["waves_50.c"]
    assert text.count("if (count == 1)") > 3
    rng = np.random.default_rng(11)
    for x, y in rng.uniform(-1, 1, (4, 2)):
        parameters = rng.normal(size=module.parameter_count)
        loss, gradient = module.loss_and_gradient(parameters, [x], [y])
        of_two, gradient_of_two = module.loss_and_gradient(parameters, [x, x], [y, y])
        assert loss == of_two
        assert np.array_equal(gradient, gradient_of_two)


def test_results_for_every_cpu_are_added_in_one_way():
    """Sums with the same bits on every CPU have partial sums, also for one sample."""
    sources = nn.compile_model(waves(50), until="emit", fit=False, bits="portable").sources
    assert "SUM_LANES" in sources.files["waves_50.c"]
    assert "count == 1" not in sources.files["waves_50.c"]


def test_loops_and_functions_are_short():
    """No loop is longer than a compiler is quick with; the loss begins with the functions that predictions have."""
    sources = stage(waves(50), "emit", fit=False)
    text = sources.files[f"{sources.module}.c"]
    parts = re.findall(r"^static HOT void (\w+)_part_(\d+)\(", text, re.MULTILINE)
    assert {name for name, _ in parts} == {"predict", "gradient"}
    loss = text.partition("void loss_tile(")[2].partition("\n}")[0]
    assert all(f"predict_part_{number}(parameters, " in loss for name, number in parts if name == "predict")
    for kernel in placed(waves(50)).kernels:
        loops = in_tile(kernel)
        assert len(loops) > 1
        for each in loops:
            assert len(each.steps) <= MOST
            assert len(each.sums) * SUM <= MOST
            assert all(len(sympy.Add.make_args(step.expression)) <= TERMS + 1 for step in each.steps)


def test_no_function_grows_with_the_formula():
    """Tiles, metrics and what is computed from finished sums are cut, by terms: compilers take the same for each."""
    kernels = placed(waves(250)).kernels
    for kernel in kernels:
        for _, tree in kernel.trees.functions:
            assert sum(map(statements_of, steps_in(tree))) <= functions.MOST
    assert all(len(kernel.trees.metrics) > 1 for kernel in kernels if kernel.outputs)
    (gradient,) = (kernel for kernel in kernels if kernel.name == "gradient")
    assert len(gradient.trees.finish) > 1


def test_metrics_and_gradients_in_several_functions(monkeypatch):
    """Metrics, and gradients from finished sums, are those of NumPy where each of them is cut into functions."""
    for each in (functions, scheduled_loops):
        monkeypatch.setattr(each, "MOST", 40)
    model = waves(70)
    text = stage(model, "emit", fit=False).files["waves_70.c"]
    assert {"gradient_metrics_1", "gradient_finish_1"} <= set(re.findall(r"void (\w+)\(", text))
    module = nn.build(model, fit=False)
    rng = np.random.default_rng(7)
    x, y = rng.uniform(-1, 1, (2, 65))
    parameters = rng.normal(size=module.parameter_count)
    outputs, loss, gradient = by_numpy(parameters, x, y)
    found_loss, found_gradient = module.loss_and_gradient(parameters, x, y)
    assert found_loss == pytest.approx(loss, rel=1e-11)
    assert found_gradient == pytest.approx(gradient, rel=1e-11, abs=1e-11 * abs(gradient).max())
    trained = module.train(x, y, parameters, learning_rate=1e-30, epochs=1, batch_size=65, metrics=["mae"])
    assert trained.metrics["mae"][-1] == pytest.approx(abs(outputs - y).mean(), rel=1e-11)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="asks GCC what it did")
@pytest.mark.parametrize(
    ("terms", "precision"),
    [
        (1, "float64"),
        pytest.param(1, "float32", marks=pytest.mark.thorough),
        *(pytest.param(12, each, marks=pytest.mark.thorough) for each in ("float64", "float32")),
        pytest.param(8, "float32", marks=pytest.mark.thorough),
    ],
)
def test_sums_over_samples_are_vectorized(terms, precision, tmp_path):
    """Loops that add up a loss and its gradient say so of each sum, and become loops over vectors."""
    lines, in_vectors = vectorized(stage(waves(terms), "emit", precision, fit=False), tmp_path)
    loops = [number for number, line in enumerate(lines) if line.strip().startswith("SUM_LOOP(") and "d_" in line]
    assert loops
    for number in loops:
        indent = lines[number][: -len(lines[number].lstrip())]
        body = "\n".join(lines[number + 1 :]).split(f"\n{indent}}}", 1)[0]
        assert sorted(re.findall(r"\w+", lines[number])[1:]) == sorted(re.findall(r"(\w+) \+= ", body))
        assert number + 1 in in_vectors


@pytest.mark.parametrize("compilers", [OF_FORMULAS, pytest.param(COMPILERS, marks=pytest.mark.thorough)], ids=str)
def test_no_warnings(compilers, tmp_path):
    """The parts compile without a warning in strict C11; with --thorough also where GCC optimizes as for people."""
    compile_strictly(stage(waves(50), "emit", fit=False), tmp_path, compilers)


def test_registers_hold_more_than_a_loop():
    """A formula that takes several loops may still train in registers, and its models in lanes."""
    scheduled = stage(waves(12), "schedule", fit=False)
    assert len(scheduled.gradient.trees.tile) > 1
    assert scheduled.unrolled
