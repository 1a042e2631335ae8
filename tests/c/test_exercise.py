"""The interface in C: NULL wherever the header allows it, and nothing is read that has not been written."""

import shutil
import subprocess

import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building.targets import KERNEL_FLAGS
from tests.support import SUPPORT
from tests.support.compilers import WARNINGS

a, b, x, z, y = sympy.symbols("a b x z y")
SAFE = sympy.Piecewise((a * x, x > b), (b * x**2, True)) + nn.sigmoid(a * z)
CLASSES = "categorical_crossentropy"
WAVE = a * sympy.sin(b * x) + z


def network(*layers, inputs, loss="mse"):
    return nn.Sequential(list(layers), inputs, loss, name="exercised")


CASES = {
    "formula": (nn.Model("exercised", [x, z], [y], {a: 0.5, b: 0.3}, SAFE, (SAFE - y) ** 2), "float64", {}),
    "library": (nn.Model("exercised", [x, z], [y], {a: 0.5, b: 0.3}, WAVE, (WAVE - y) ** 2), "float32", {}),
    "no data": (nn.Model("exercised", parameters={a: 0.5, b: 0.3}, loss=(1 - a) ** 2 + (b - a**2) ** 2), "float64", {}),
    "small": (network(nn.Dense(3, "tanh"), nn.Dense(1), inputs=2), "float64", {}),
    "blocks": (
        network(nn.Dense(20, "tanh"), nn.Dense(7, "softmax"), inputs=11, loss=CLASSES),
        "float64",
        {},
    ),
    "features": (
        network(nn.Dense(33, "relu"), nn.Dense(5, "softmax"), inputs=20, loss=CLASSES),
        "float32",
        {},
    ),
    "blas": (network(nn.Dense(17, "elu"), nn.Dense(3), inputs=7), "float64", {"blas": True}),
    "noise": (
        network(nn.GaussianNoise(0.1), nn.Dense(19, "gelu"), nn.Dropout(0.3), nn.Dense(2), inputs=9),
        "float32",
        {},
    ),
    "phases": (  # with a large epsilon, as the parameters are drawn, and a variance among them may be below 0
        network(nn.Dense(9), nn.BatchNormalization(epsilon=4), nn.Dropout(0.3), nn.Dense(2), inputs=5),
        "float64",
        {"tile": 16},
    ),
}

ALIKE = ("library", "small", "features", "blas", "phases")
"""Cases whose entry points are those of others."""


def compile_exercise(case, options, folder):
    """Compiles support/exercise.c with the kernel of a case."""
    model, precision, choices = CASES[case]
    compiled = nn.compile_model(model, precision, until="emit", choices=choices)
    program, sources = compiled["simplify"], compiled["emit"]
    for file, text in sources.files.items():
        (folder / file).write_text(text)
    header = sources.files[f"{sources.module}.h"]
    columns = [sum(tensor.size for tensor in tensors) for tensors in (program.inputs, program.targets)]
    outputs = sum(program.count(element.indices) for element in program.outputs)
    sizes = dict(
        zip(("INPUTS", "TARGETS", "OUTPUTS", "PARAMETERS"), (*columns, outputs, program.parameter_count), strict=True)
    )
    rules = [[float(option.default) for option in update.hyperparameters] for update in program.updates]
    most = max(map(len, rules))
    texts = [f"enum {{ {', '.join(f'{key} = {value}' for key, value in sizes.items())} }};"]
    texts += [f"static const double rules[][{most}] = {{"]
    texts += [f"    {{{', '.join(map(repr, rule))}}}," for rule in rules]
    texts += ["};", f"static const int variables[] = {{{', '.join(str(len(u.state)) for u in program.updates)}}};"]
    (folder / "sizes.h").write_text("\n".join(texts) + "\n")
    defined = [f"-DMODEL={sources.module}", f"-DREAL={'double' if precision == 'float64' else 'float'}"]
    defined += ["-DMANY"] * ("_train_many(" in header) + ["-DGEMM"] * ("_use_gemm(" in header)
    command = [*options, *defined, "-include", f"{sources.module}.h", "-I.", f"{sources.module}.c"]
    command += [str(SUPPORT / "exercise.c"), "-lm", "-o", "exercise"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if name in ALIKE else []) for name in CASES]
)
def test_nothing_is_read_before_it_is_written(name, tmp_path):
    """Every entry point takes NULL where the header says so, with the same bits; Valgrind finds nothing in it."""
    options = ["gcc", *KERNEL_FLAGS, "-Og", "-g", *WARNINGS]
    valgrind = shutil.which("valgrind")
    if valgrind:  # which knows no AVX-512
        known = subprocess.run(
            ["gcc", "-march=x86-64-v3", "-E", "-x", "c", "/dev/null"], capture_output=True, check=False
        )
        options += ["-march=x86-64-v3"] if known.returncode == 0 else []
    compile_exercise(name, options, tmp_path)
    command = ["valgrind", "--quiet", "--error-exitcode=9", "--fair-sched=yes"] if valgrind else []
    done = subprocess.run([*command, "./exercise"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
