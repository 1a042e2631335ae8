"""A portable module holds its kernel for several CPUs, and uses the fastest that the current one can run."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sympy import exp, symbols

import nncodegen as nn
from nncodegen.compiler.building.build import load, load_variant
from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.compiler.building.targets import KERNEL_FLAGS, PLAIN, VARIANTS, kernel_objects, supported
from nncodegen.perceptron import model as perceptron_model
from nncodegen.runtime.embedded import PYTHON, header
from tests.support.compilers import QUICK, VECTORS, WARNINGS
from tests.support.models import gradient_of

NETWORK = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 20, "mse", name="portable")
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the variants are those of x86-64")


@pytest.fixture(scope="module", params=["less optimized", pytest.param("as usual", marks=pytest.mark.thorough)])
def built(request):
    """A portable module; with --thorough also as people get it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "less optimized":
            patch.setenv("CC", VECTORS)
        return nn.compile_model(NETWORK, march="portable", fit=False).built


@on_x86_64
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="asks Linux what the CPU has")
def test_the_cpu_chooses(built):
    """The variants are those for which Linux names the features of this CPU; the first of them is used."""
    flags = set(re.findall(r"\w+", re.search(r"^flags.*$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0]))
    module = load(built)
    assert module.variants == (*(v.name for v in VARIANTS if set(v.features) <= flags), PLAIN)
    assert module.variant == module.variants[0]


def test_every_variant_is_right(built):
    """Outputs, gradients and trainings of each variant that this CPU can run agree with the evaluator."""
    program = nn.compile_model(NETWORK, until="simplify")["simplify"]
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(701, 20)), rng.normal(size=(701, 3))
    first = load(built)
    parameters = first.initial_parameters()
    values, exact = nn.evaluate(program, parameters, X, Y), gradient_of(program, parameters, X, Y)
    outputs = values[program.outputs[0].tensor]
    for variant in first.variants:
        module = load_variant(built, variant)
        assert module.variant == variant
        assert module.predict(parameters, X) == pytest.approx(outputs, rel=1e-12, abs=1e-14)
        loss, gradient = module.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(float(values["loss"]), rel=1e-13)
        assert np.linalg.norm(gradient - exact) <= 1e-13 * np.linalg.norm(exact)
        result = module.train(X, Y, parameters, epochs=1, learning_rate=0.1, threads=2)
        assert result.parameters == pytest.approx(parameters - 0.1 * exact, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    "features",
    [pytest.param([], marks=pytest.mark.thorough), ["j"], pytest.param(["i", "j", "k"], marks=pytest.mark.thorough)],
    ids=str,
)
def test_few_samples_in_every_variant(features, monkeypatch):
    """Batches that end within a vector, or have one more than the shortest holds: what pads them is one of them.

    The inverse has no value at 0, and NaN stands after the samples.
    """
    monkeypatch.setenv("CC", VECTORS)
    layers = [nn.Dense(32, "tanh"), nn.Dense(9, lambda z: 1 / z, use_bias=False), nn.Dense(3)]
    model = nn.Sequential(layers, 16, "mse", name="few")
    built = nn.compile_model(model, march="portable", choices={"features": features}, fit=False).built
    program = nn.compile_model(model, until="simplify")["simplify"]
    rng = np.random.default_rng(0)
    for variant in load(built).variants:
        module = load_variant(built, variant)
        parameters = 0.5 * rng.normal(size=module.parameter_count)
        for samples in (1, 2, 3, 4, 5, 7, 9):
            X, Y = (np.full((samples + 32, width), np.nan)[:samples] for width in (16, 3))
            X[:], Y[:] = rng.normal(size=X.shape), rng.normal(size=Y.shape)
            exact = gradient_of(program, parameters, X, Y)
            loss, gradient = module.loss_and_gradient(parameters, X, Y)
            assert loss == pytest.approx(float(nn.evaluate(program, parameters, X, Y)["loss"]), rel=1e-10)
            assert np.linalg.norm(gradient - exact) <= 1e-10 * np.linalg.norm(exact), (variant, samples)
            trained = module.train(X, Y, parameters, epochs=1, shuffle=False, learning_rate=1e-6)
            assert trained.parameters == pytest.approx(parameters - 1e-6 * exact, rel=1e-9)


def test_fits_in_every_variant(monkeypatch):
    """Fits, many fits and second derivatives of each variant are those of a module for this CPU."""
    monkeypatch.setenv("CC", QUICK)
    x, y, a, b = symbols("x y a b")
    model = nn.Model("decay", x, y, {a: 2, b: 1}, a * exp(-b * x))
    native, built = nn.build(model), nn.compile_model(model, march="portable").built
    X, Y = np.linspace(0, 2, 9), np.linspace(3, 1, 9) ** 2
    for variant in load(built).variants:
        module = load_variant(built, variant)
        assert module.fit(X, Y).parameters == pytest.approx(native.fit(X, Y).parameters, rel=1e-10)
        several = module.fit_many(X, np.stack([Y, 2 * Y]))
        assert several.parameters == pytest.approx(native.fit_many(X, np.stack([Y, 2 * Y])).parameters, rel=1e-8)
        assert module.hessian([2, 1], X, Y) == pytest.approx(native.hessian([2, 1], X, Y), rel=1e-12)


def test_a_name_that_is_none(built):
    """NNCODEGEN_VARIANT is a variant's name, or the error says which there are."""
    with pytest.raises(nn.BuildError, match="NNCODEGEN_VARIANT is 'sse9'; there are: avx512, avx2, neon, plain"):
        load_variant(built, "sse9")


def test_modules_for_this_cpu_have_one_variant(perceptron):
    """A native module has one variant, and uses it whatever NNCODEGEN_VARIANT is."""
    assert perceptron.variants == (perceptron.variant,)
    assert load_variant(nn.compile_model(perceptron_model).built, PLAIN).variant == perceptron.variant


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@pytest.mark.parametrize("model", [perceptron_model, NETWORK], ids=lambda model: model.name)
def test_every_function_can_be_chosen(model, tmp_path):
    """The choice hands on the calls of every function of a variant."""
    sources = nn.compile_model(model, until="emit")["emit"]
    for name, text in sources.files.items():
        (tmp_path / name).write_text(text)
    names_by_kind = {PLAIN: set(), "choice": set()}
    compiler = find_compiler().command
    for part, source, options in kernel_objects(sources.module, supported(compiler), sources.companions):
        kind = part.rpartition("_")[2]
        if kind in names_by_kind:
            command = [*compiler, *KERNEL_FLAGS, "-O0", *options, "-c", source, "-o", f"{part}.o"]
            subprocess.run(command, cwd=tmp_path, check=True)
            command = ["nm", "-g", "--defined-only", f"{part}.o"]
            names = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
            names_by_kind[kind] |= set(re.findall(rf"\b{sources.module}_(\w+)", names))
    assert {"train", "predict", "loss_and_gradient", "use", "kernel"} < names_by_kind["choice"]
    assert names_by_kind[PLAIN] == {f"{PLAIN}_{name}" for name in names_by_kind["choice"]}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_choice_compiles_without_a_warning(compiler, tmp_path):
    """No warning in strict C11 for any variant, nor for the choice."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    sources = nn.compile_model(perceptron_model, until="emit")["emit"]
    for name, text in {**sources.files, PYTHON: header()}.items():
        (tmp_path / name).write_text(text)
    strict = [*WARNINGS, "-Wmissing-prototypes", "-fsyntax-only"]
    for _, source, options in kernel_objects(sources.module, supported([compiler]), sources.companions):
        command = [compiler, *KERNEL_FLAGS, *strict, *options, source]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-gcc") is None, reason="needs a compiler for AArch64")
def test_other_families_have_no_variants():
    """For AArch64 there is one kernel, which is compiled from its own source."""
    assert supported(["aarch64-linux-gnu-gcc"]) == ()
    assert [source for _, source, _ in kernel_objects("chain", ())] == ["chain.c", "chain_module.c"]
