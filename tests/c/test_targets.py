"""The generated C on other CPUs: AArch64 in an emulator, AVX2 and plain x86-64 on this one, against the evaluator."""

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building.build import KERNEL_FLAGS
from nncodegen.perceptron import model as perceptron_model
from tests.support import SUPPORT
from tests.support.compilers import WARNINGS
from tests.support.models import gradient_of

pytestmark = pytest.mark.thorough

TARGETS = {
    "aarch64": (("aarch64-linux-gnu-gcc", "-static"), ("qemu-aarch64",)),
    "haswell": (("gcc", "-march=haswell"), ()),
    "haswell, loops shared": (("gcc", "-march=haswell", "-DCUT=0"), ()),
    "x86-64": (("gcc", "-march=x86-64"), ()),
}
"""The compiler of each, and what runs its programs."""

EPOCHS, THREADS, MODELS, RATE = 3, 3, 5, 0.05


def cases():
    """A formula, and networks with their samples or features innermost: name -> model, choices, precision, samples."""
    layers = [nn.Dense(17, "tanh"), nn.Dense(5, "gelu"), nn.Dense(3, "softmax")]
    large = [nn.Dense(100, "relu"), nn.Dense(33, "sigmoid"), nn.Dense(3, "softmax")]
    chain = nn.Sequential(layers, 7, "categorical_crossentropy", name="chain")
    wide = nn.Sequential(large, 130, "categorical_crossentropy", name="wide")
    return {
        "formula float64": (perceptron_model, {}, "float64", (1, 65)),
        "formula float32": (perceptron_model, {}, "float32", (3, 129)),
        "samples float64": (chain, {"features": []}, "float64", (3, 2500)),
        "samples float32": (chain, {"features": []}, "float32", (65, 2500)),
        "features float64": (wide, {"features": ["i", "j"]}, "float64", (2, 63)),
        "features float32": (wide, {"features": ["i", "j"]}, "float32", (1, 65)),
    }


def runs(target):
    """Whether this machine can compile for a target and run what it compiled."""
    command, emulator = TARGETS[target]
    if not all(shutil.which(tool) for tool in (command[0], *emulator)):
        return False
    if emulator or target == "x86-64":
        return bool(emulator) or platform.machine() == "x86_64"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return platform.machine() == "x86_64" and " avx2 " in flags and " fma " in flags


IN_BOTH_PRECISIONS = ("aarch64",)
"""The targets for which every case is worth its seconds."""

PAIRS = [
    (target, name)
    for target in TARGETS
    for name in cases()
    if target in IN_BOTH_PRECISIONS or name in ("formula float32", "samples float64", "features float32")
]


@pytest.mark.parametrize(("target", "name"), PAIRS)
def test_target(target, name, tmp_path):
    """Outputs, loss, gradient and trainings agree with the evaluator, without a warning of the compiler.

    One case of each target has the options that people get.
    """
    if not runs(target):
        pytest.skip(f"no compiler for {target}, or nothing to run its programs")
    model, choices, precision, numbers_of_samples = cases()[name]
    compiled = nn.compile_model(model, precision, until="emit", choices=choices)
    many = compile_driver(compiled["emit"], precision, target, name == "features float32", tmp_path)
    for samples in numbers_of_samples:
        check(compiled["simplify"], precision, samples, many, TARGETS[target][1], tmp_path)


def compile_driver(sources, precision, target, thoroughly, folder):
    """Compiles support/driver.c with a kernel; returns whether it trains many models.

    With all options that people get, or, in a third of the time, with little optimization.
    """
    for file, text in sources.files.items():
        (folder / file).write_text(text)
    many = "train_many" in sources.files[f"{sources.module}.h"]
    real = {"float64": "double", "float32": "float"}[precision]
    flags = [flag if thoroughly or not flag.startswith("-O") else "-O1" for flag in KERNEL_FLAGS]
    options = [*TARGETS[target][0], *flags, *WARNINGS, f"-DMODEL={sources.module}", f"-DREAL={real}"]
    options += ["-DMANY"] * many + ["-include", f"{sources.module}.h", "-I."]
    command = [*options, f"{sources.module}.c", str(SUPPORT / "driver.c"), "-lm", "-o", "driver"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return many


def check(program, precision, samples, many, emulator, folder):
    """Runs a driver on random data, and compares what it found."""
    rng = np.random.default_rng(samples)
    inputs, targets = (sum(t.size for t in tensors) for tensors in (program.inputs, program.targets))
    outputs = sum(program.count(element.indices) for element in program.outputs)
    count = sum(tensor.size for tensor in program.parameters)
    p, X = 0.5 * rng.normal(size=count), rng.normal(size=(samples, inputs))
    p, X = p.astype(precision).astype(float), X.astype(precision).astype(float)
    classes = rng.integers(0, max(targets, 2), samples)
    Y = np.eye(targets)[classes] if targets > 1 else classes[:, None] * 1.0
    rates = RATE * np.arange(1, MODELS + 1)
    head = [count, inputs, targets, outputs, samples, EPOCHS, THREADS, MODELS, RATE]
    np.concatenate([head, p, X.ravel(), Y.ravel(), rates]).tofile(folder / "data")
    command = [*emulator, "./driver", "data", "result"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sizes = [samples * outputs, min(samples, 4) * outputs, 2, count, *[count, EPOCHS] * 2]
    sizes += [MODELS * count, MODELS * EPOCHS] if many else []
    numbers = np.fromfile(folder / "result")
    assert len(numbers) == sum(sizes)
    predicted, few, losses, gradient, single, history, team, team_history, *group = np.split(
        numbers, np.cumsum(sizes)[:-1]
    )

    bound = 1e-13 if precision == "float64" else 1e-5
    values, exact = nn.evaluate(program, p, X, Y), gradient_of(program, p, X, Y)
    assert predicted == pytest.approx(values[program.outputs[0].tensor].ravel(), rel=bound, abs=bound)
    assert few == pytest.approx(predicted[: len(few)], rel=bound, abs=bound)
    assert losses == pytest.approx(float(values["loss"]), rel=bound)
    assert np.linalg.norm(gradient - exact) <= bound * np.linalg.norm(exact)

    def descended(rate):
        """The parameters after the training, and the loss before each update."""
        parameters, met = p.copy(), []
        for _ in range(EPOCHS):
            met.append(float(nn.evaluate(program, parameters, X, Y)["loss"]))
            parameters = parameters - rate * gradient_of(program, parameters, X, Y)
        return parameters, met

    parameters, met = descended(RATE)
    assert single == pytest.approx(parameters, rel=bound, abs=bound)
    assert history == pytest.approx(met, rel=bound)
    assert (team == single).all()
    assert (team_history == history).all()
    if many:
        ends, begun = (np.array(part) for part in zip(*map(descended, rates), strict=True))
        assert group[0].reshape(MODELS, count) == pytest.approx(ends, rel=bound, abs=bound)
        assert group[1].reshape(EPOCHS, MODELS) == pytest.approx(begun.T, rel=bound)
