"""With bits="portable", results have the same bits with every compiler, on every CPU and operating system."""

import json
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sympy import asin, exp, symbols

import nncodegen as nn
from nncodegen.emit.fused import RUNTIME, print_fused
from nncodegen.runtime.python.ground.same_bits import standard_normal, uniform
from tests.support import hashes
from tests.support.same_bits import FAST, MODELS, TABLE, build, build_for

a, t, y = symbols("a t y")

COMMITTED = json.loads(TABLE.read_text())


@pytest.mark.parametrize(("name", "precision"), FAST)
def test_the_compiler_at_hand(name, precision):
    """Predictions, gradients and trained parameters have the committed bits."""
    assert hashes.hashes(build(name, precision)) == COMMITTED[name][precision]


def named(compiler):
    """The command of a compiler, which the test skips if it is missing."""
    if compiler == "zig":
        pytest.importorskip("ziglang", reason="the extra compiler is not installed")
        return "python -m ziglang cc"
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    return compiler


@pytest.mark.thorough
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the flags are those of x86-64")
@pytest.mark.parametrize("flags", ["", " -mno-avx512f", " -mno-avx512f -mno-fma"], ids=["longest", "avx2", "no fma"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig"])
@pytest.mark.parametrize("name", MODELS)
def test_every_compiler(name, compiler, flags, monkeypatch):
    """GCC, Clang and Zig give the committed bits, with the longest vectors of this CPU, shorter ones, and no fma."""
    monkeypatch.setenv("CC", named(compiler) + flags)
    found = {precision: hashes.hashes(build(name, precision)) for precision in COMMITTED[name]}
    assert found == COMMITTED[name]


@pytest.mark.parametrize("bits", ["64", "32"])
def test_printed_functions(bits, request):
    """The functions with fused operations are printed from those without; ``--update-golden`` prints them anew."""
    path = RUNTIME / f"fused{bits}.h"
    if request.config.getoption("--update-golden"):
        path.write_text(print_fused(bits))
    assert path.read_text() == print_fused(bits)


@pytest.mark.thorough
def test_aarch64(tmp_path):
    """The C library, the instructions and the compiler of AArch64 give the committed bits, in an emulator."""
    pytest.importorskip("ziglang", reason="the extra compiler is not installed")
    from tests.support.aarch64 import python_for_aarch64

    site = tmp_path / "site"
    command = python_for_aarch64(tmp_path / "python", site)
    for precision in ("float64", "float32"):
        for name in MODELS:
            shutil.copy(build_for(name, precision, "aarch64-linux-gnu.2.28").path, site)
        script = str(Path(hashes.__file__))
        done = subprocess.run([*command, script, *MODELS], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {name: COMMITTED[name][precision] for name in MODELS}


def test_what_is_refused():
    """What depends on the CPU or on a library of the system is refused in words, before anything is compiled."""
    formula = nn.Model("formula", t, y, {a: 1.0}, a * exp(-t))
    with pytest.raises(nn.ModelError, match='bits="portable" has no asin'):
        nn.build(nn.Model("inverse", t, y, {a: 0.5}, asin(a * t)), bits="portable")
    with pytest.raises(nn.ModelError, match="cannot be fitted: with bits"):
        nn.build(formula, bits="portable", fit=True)
    network = nn.Sequential([nn.Dense(3)], 2, name="network")
    with pytest.raises(nn.ModelError, match="goes without BLAS"):
        nn.build(network, bits="portable", choices={"blas": True})
    with pytest.raises(nn.ModelError, match="goes without digits='best'"):
        nn.build(formula, bits="portable", choices={"digits": "best"})
    x = nn.Input((4, 3), name="x")
    heads = nn.MultiHeadAttention(1, 2)
    with pytest.raises(nn.ModelError, match="goes without attention"):
        nn.build(nn.Network(x, heads(x, x), name="heads"), bits="portable")
    with pytest.raises(nn.ModelError, match="bits must be one of 'native', 'portable', not 'same'"):
        nn.build(formula, bits="same")


def test_what_a_module_refuses():
    """A module says which options of its functions would depend on the CPU, and has the attribute bits."""
    name, precision = FAST[0]
    module = build(name, precision)
    X, Y = hashes.data(module)
    assert module.bits == "portable"
    refused = "may differ by rounding between CPUs"
    with pytest.raises(ValueError, match=f"the schedule cosine {refused}"):
        module.train(X, Y, schedule="cosine")
    with pytest.raises(ValueError, match=f"the metric r2 {refused}"):
        module.train(X, Y, metrics="r2")
    with pytest.raises(ValueError, match=f"SciPy computes {refused}"):
        module.minimize(X, Y)
    with pytest.raises(ValueError, match="it has no fits"):
        module.fit(X, Y)


def test_draws():
    """Uniform numbers are those of NumPy where it fuses nothing; normal ones have the moments of the distribution."""
    drawn = uniform(np.random.default_rng(1), 0.3, 1000)
    assert np.allclose(drawn, np.random.default_rng(1).uniform(-0.3, 0.3, 1000), rtol=0, atol=1e-16)
    normal = standard_normal(np.random.default_rng(1), 10_001)
    moments = [np.mean(normal**power) for power in (1, 2, 3, 4)]
    assert normal.shape == (10_001,)
    assert np.allclose(moments, [0, 1, 0, 3], atol=0.15)
