"""The orders of eight doubles that GCC gets wrong are known, and no module has them."""

import random
import re
import shutil
import subprocess

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building import permutations
from nncodegen.compiler.building.build import run_command
from nncodegen.compiler.building.compiler import find_compiler

WIDE = ["-O2", "-mavx512f", "-mprefer-vector-width=512"]
PLACES = [0, 1, 2, 5, 4, 5, 6, 7]
"""An order that GCC gets wrong."""
INPUTS = [f"x{place}" for place in range(8)]
OUTPUTS = [f"k*x{place}" for place in PLACES]
CHAIN = """\
void chain(const double *restrict k, const double *restrict x, double *restrict r)
{
    r[0] = k[0]*(x[0] - 2*x[1] + x[2]);
    r[1] = k[0]*(x[1] - 2*x[2] + x[3]);
    r[2] = k[0]*(x[4] + x[2] - 2*x[3]);
    r[3] = k[1]*(-2*x[4] + x[5] + x[3]);
    r[4] = k[1]*(x[4] - 2*x[5] + x[6]);
    r[5] = k[1]*(x[5] - 2*x[6] + x[7]);
    r[6] = k[1]*(x[6] - 2*x[7] + x[8]);
    r[7] = k[1]*(x[7] - 2*x[8] + x[9]);
}
"""
LOOP = """\
void loop(const double *restrict x, double *restrict r)
{
    for (int i = 0; i < 8000; i += 8) {
        r[i] = 3*x[i]; r[i + 1] = 3*x[i + 1]; r[i + 2] = 3*x[i + 2]; r[i + 3] = 3*x[i + 5];
        r[i + 4] = 3*x[i + 4]; r[i + 5] = 3*x[i + 5]; r[i + 6] = 3*x[i + 6]; r[i + 7] = 3*x[i + 7];
    }
}
"""


@pytest.fixture
def gcc():
    """GCC for x86-64."""
    compiler = find_compiler("portable")
    if not compiler.is_looked_at:
        pytest.skip("the compiler is not GCC for x86-64")
    return list(compiler.command)


def orders(count):
    """Return orders of eight numbers of two vectors, most of them near the order within pairs."""
    chosen, drawn = random.Random(5), []
    for _ in range(count):
        swap = chosen.choice([lambda k: k, lambda k: k ^ 1, lambda k: k // 2 * 2, lambda k: k | 1, lambda k: k ^ 2])
        order = [swap(k) for k in range(8)]
        for _ in range(chosen.choice([0, 1, 1, 2, 3, 8])):
            order[chosen.choice([2, 3, 2, 3, *range(8)])] = chosen.randrange(chosen.choice([8, 8, 16]))
        drawn.append(order)
    return drawn


def made(instructions, default):
    """Return the order of the numbers that a function returns: by vpermilpd, or the one that was asked for."""
    within_pairs = re.search(r"vpermilpd\s+\$(\d+), .*%zmm0$", instructions, re.MULTILINE)
    return [k // 2 * 2 + (int(within_pairs[1]) >> k & 1) for k in range(8)] if within_pairs else default


def test_the_wrong_orders_are_known(gcc, tmp_path):
    """Whichever order of pairs GCC makes of another one, is_wrong says so; and of many that it makes rightly, none."""
    asked = [order for order in orders(600) if max(order) < 8]
    functions = "".join(
        f"v f{k}(v x) {{ return __builtin_shuffle(x, (m){{{', '.join(map(str, order))}}}); }}\n"
        for k, order in enumerate(asked)
    )
    types = "typedef double v __attribute__((vector_size(64)));\ntypedef long m __attribute__((vector_size(64)));\n"
    (tmp_path / "orders.c").write_text(types + functions)
    subprocess.run([*gcc, *WIDE, "-S", "orders.c", "-o", "orders.s"], cwd=tmp_path, check=True)
    parts = re.split(r"(?m)^f(\d+):$", (tmp_path / "orders.s").read_text())
    assembly = {int(k): text for k, text in zip(parts[1::2], parts[2::2], strict=True)}
    wrong = [order for k, order in enumerate(asked) if made(assembly[k], order) != order]
    assert all(map(permutations.is_wrong, wrong))
    assert sum(map(permutations.is_wrong, asked)) > 20  # newer compilers may make all of them rightly
    within_pairs = [order for order in asked if all(order[k] // 2 == k // 2 for k in range(8))]
    assert len(within_pairs) > 20
    assert not any(map(permutations.is_wrong, within_pairs))


@pytest.mark.parametrize("text", [CHAIN, LOOP], ids=["statements in a row", "a loop"])
def test_files_with_wrong_orders_are_compiled_again(gcc, text, tmp_path):
    """GCC makes such an order of these statements, and none when it compiles them again, with shorter vectors."""
    (tmp_path / "kernel.c").write_text(text)
    command = [*gcc, "-O3", *WIDE[1:], "-S", "kernel.c", "-o", "kernel.s"]
    run_command(command, tmp_path)
    longer = (tmp_path / "kernel.s").read_text()
    run_command(command, tmp_path, looked_at=True)
    shorter = (tmp_path / "kernel.s").read_text()
    assert permutations.any_wrong((tmp_path / "kernel.s.permutations").read_text())
    assert "zmm" in longer
    assert "ymm" in shorter
    assert "zmm" not in shorter


def test_other_files_keep_their_vectors(gcc, tmp_path):
    """A file without such an order is compiled once, with the longest vectors."""
    (tmp_path / "kernel.c").write_text(LOOP.replace("x[i + 5];\n", "x[i + 3];\n"))
    command = [*gcc, "-O3", *WIDE[1:], "-S", "kernel.c", "-o", "kernel.s"]
    run_command(command, tmp_path, looked_at=True)
    assert not permutations.any_wrong((tmp_path / "kernel.s.permutations").read_text())
    assert "zmm" in (tmp_path / "kernel.s").read_text()


def test_orders_of_other_numbers_count_for_nothing():
    """Only doubles are hit: not floats and integers, and not numbers of two vectors."""
    line = "  vect_a.1_2 = VEC_PERM_EXPR <vect_b.3_4, vect_b.3_4, { 0, 1, 2, 5, 4, 5, 6, 7 }>;\n"
    assert permutations.any_wrong("  vector(8) double vect_b.3;\n" + line)
    assert permutations.any_wrong("  const vector(8) double _9;\n" + line.replace("vect_b.3_4", "_9"))
    assert not permutations.any_wrong("  vector(8) float vect_b.3;\n" + line)
    assert not permutations.any_wrong("  vector(8) double vect_b.3;\n" + line.replace("5, 4", "3, 4"))
    two = line.replace("vect_b.3_4, {", "vect_c.5_6, {")
    assert permutations.any_wrong("  vector(8) double vect_b.3;\n" + two)  # only numbers of the first
    assert not permutations.any_wrong("  vector(8) double vect_b.3;\n" + two.replace("7 }", "15 }"))


def test_objects_of_a_setup_script(gcc, tmp_path):
    """What setup.py compiles is compiled again where it is wrong, and as it is by a compiler without the fault."""
    (tmp_path / "kernel.c").write_text(LOOP)
    calls = []

    def compile_with(options):
        calls.append(options)
        subprocess.run([*gcc, "-O3", *WIDE[1:], *options, "-c", "kernel.c"], cwd=tmp_path, check=True)
        return ["kernel.o"]

    assert permutations.compiled_rightly(compile_with, find_compiler().macros, str(tmp_path)) == ["kernel.o"]
    assert len(calls) == 2
    assert calls[1] == permutations.HALF
    assert permutations.compiled_rightly(compile_with, "#define __clang__ 1\n", str(tmp_path)) == ["kernel.o"]
    assert calls[2:] == [()]


@pytest.fixture
def as_usual(monkeypatch, tmp_path):
    """GCC with all its optimization, and an empty cache."""
    if not shutil.which("gcc"):
        pytest.skip("there is no GCC")
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path))


@pytest.mark.usefixtures("as_usual")
def test_outputs_of_a_model_have_the_right_order():
    """GCC would put the outputs of this model into a wrong order on a CPU with AVX-512."""
    targets = [f"y{k}" for k in range(8)]
    module = nn.build(nn.Model("permuted", INPUTS, targets, {"k": 3}, OUTPUTS))
    X = np.random.default_rng(0).normal(size=(100, 8))
    np.testing.assert_array_equal(module.predict([3], X), 3 * X[:, PLACES])


@pytest.mark.usefixtures("as_usual")
@pytest.mark.parametrize("march", ["native", "portable"])
def test_results_of_a_function_have_the_right_order(march):
    """So it would those of a function, for one point and for arrays."""
    f = nn.lambdify(INPUTS, [text.replace("k", "3") for text in OUTPUTS], march=march)
    X = np.random.default_rng(0).normal(size=(100, 8))
    np.testing.assert_array_equal(f(*X[0]), 3 * X[0, PLACES])
    np.testing.assert_array_equal(f(*X.T), 3 * X.T[PLACES])


@pytest.mark.parametrize("vectors", [False, True])
def test_exported_c_has_the_right_order(gcc, vectors, tmp_path):
    """Plain C of eight outputs, of a model and of a function, does without the instruction that GCC takes wrongly."""
    model = nn.Model("permuted", INPUTS, [f"y{k}" for k in range(8)], {"k": 3}, OUTPUTS)
    nn.export(model, "c", tmp_path, vectors=vectors)
    function = nn.lambdify(INPUTS, [text.replace("k", "3") for text in OUTPUTS])
    nn.export(function, "c", tmp_path / "function")
    sources = [path for path in tmp_path.rglob("*.c") if not path.stem.endswith("_test")]
    assert len(sources) == 2
    for source in sources:
        subprocess.run([*gcc, "-O3", *WIDE[1:], "-S", source, "-o", "out.s"], cwd=tmp_path, check=True)
        assert not re.search(r"vpermilpd\s+\$\d+, .*zmm", (tmp_path / "out.s").read_text())
