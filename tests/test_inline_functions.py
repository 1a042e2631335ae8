"""The inline functions in C against mpmath: at most 2 units in the last place, over the whole range."""

import ctypes
import math
import re
import shutil
import subprocess
from functools import lru_cache

import mpmath
import numpy as np
import pytest

from tests.conftest import ROOT

RNG = np.random.default_rng(0)
CALLS = {
    "exp_of": "exp_of(x)",
    "exp_scalar": "exp_scalar(x)",
    "exp_plus_1": "exp_plus_1(x)",
    "odds": "odds(x)",
    "odds_of": "odds_of(x)",
    "odds_plus_1": "odds_plus_1(x)",
    "decay_of": "decay_of(x)",
    "rise_of": "rise_of(x)",
    "expm1_of": "expm1_of(x)",
    "log_of": "log_of(x)",
    "log1p_of": "log1p_of(x)",
    "tanh_of": "tanh_of(x, decay_of(2*absolute(x)), 1/(1 + decay_of(2*absolute(x))))",
    "erf_of": "erf_of(x)",
    "erfc_of": "erfc_of(x)",
}
EXACT = {"exp_of": mpmath.exp, "exp_scalar": mpmath.exp, "exp_plus_1": lambda x: 1 + mpmath.exp(x),
         "odds": lambda x: mpmath.exp(-x), "odds_of": lambda x: mpmath.exp(-x),
         "odds_plus_1": lambda x: 1 + mpmath.exp(-x),
         "decay_of": lambda a: mpmath.exp(-a), "rise_of": lambda a: -mpmath.expm1(-a),
         "expm1_of": mpmath.expm1, "log_of": mpmath.log, "log1p_of": mpmath.log1p,
         "tanh_of": mpmath.tanh, "erf_of": mpmath.erf, "erfc_of": mpmath.erfc}  # fmt: skip
FLAGS = {"vector": ["-O3", "-march=native", "-ffp-contract=fast"], "plain": ["-O1", "-ffp-contract=off"]}
LARGEST_ODDS = {64: 650.0, 32: 60.0}  # their logarithm: beyond, odds stay what they are
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, -2.0]


def arguments(name, bits):
    """Points where the function has digits to lose: its whole range, near 0 and 1, and where branches meet."""
    top = 709.0 if bits == 64 else 88.0
    low = -745.0 if bits == 64 else -103.0
    vanishing = 27.3 if bits == 64 else 10.1  # where erfc underflows
    tiny = np.exp(RNG.uniform(-40, 0, 1500))
    whole = [RNG.uniform(-1, 1, 2000), RNG.uniform(low, top, 3000), tiny, -tiny]
    points = {
        "exp_of": whole,
        "exp_scalar": whole,
        "exp_plus_1": whole,
        "odds": [*whole[:1], RNG.uniform(-LARGEST_ODDS[bits], -low, 3000), *whole[2:]],
        "odds_of": [*whole[:1], RNG.uniform(-LARGEST_ODDS[bits], -low, 3000), *whole[2:]],
        "odds_plus_1": [*whole[:1], RNG.uniform(-LARGEST_ODDS[bits], -low, 3000), *whole[2:]],
        "decay_of": [RNG.uniform(0, 1, 3000), RNG.uniform(0, -low, 3000), tiny],
        "rise_of": [RNG.uniform(0, 1, 3000), RNG.uniform(0, -low, 1000), tiny],
        "expm1_of": [RNG.uniform(-1, 1, 4000), RNG.uniform(-60, top, 1500), tiny, -tiny],
        "log_of": [np.exp(RNG.uniform(-1, 1, 3000)), np.exp(RNG.uniform(low, top, 3000)), 1 + tiny, 1 - tiny],
        "log1p_of": [RNG.uniform(-0.9, 3, 3000), np.exp(RNG.uniform(-80, 80, 2000)), tiny - 1, tiny, -tiny],
        "erf_of": [RNG.uniform(-1, 1, 3000), RNG.uniform(0.75, 1, 2000), RNG.uniform(-7, 7, 3000), tiny, -tiny],
        "erfc_of": [RNG.uniform(-1, 1, 3000), RNG.uniform(0.75, 4, 3000), RNG.uniform(-7, vanishing, 5000), tiny],
        "tanh_of": [RNG.uniform(-1, 1, 4000), RNG.uniform(0.5, 0.65, 2000), RNG.uniform(-4, 4, 2000), tiny, 50 * tiny],
    }
    return np.concatenate(points[name])


@lru_cache
def reference(name, bits):
    """Arguments of a function, its values there with 40 digits, and the unit in the last place of each."""
    x = arguments(name, bits).astype(f"f{bits // 8}")
    with mpmath.workdps(40):
        exact = [EXACT[name](mpmath.mpf(float(value))) for value in x]
    with np.errstate(over="ignore"):
        return x, exact, np.spacing(abs(np.array([float(value) for value in exact]).astype(x.dtype)))


def loops(bits):
    """The lines of a C source with a loop over each function."""
    real = {64: "double", 32: "float"}[bits]
    yield from ("#include <math.h>", "#include <stdint.h>", f"#define absolute fabs{'f' if bits == 32 else ''}")
    yield "#define INLINE static inline"
    yield (ROOT / "nncodegen" / "emit" / f"functions{bits}.c").read_text()
    for name, call in CALLS.items():
        yield f"void loop_{name}(const {real} *restrict xs, {real} *restrict ys, long count)"
        yield f"{{ for (long n = 0; n < count; n++) {{ const {real} x = xs[n]; ys[n] = {call}; }} }}"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """call(name, bits, flags, x) -> the values of a function, as C computes them in a loop."""
    folder = tmp_path_factory.mktemp("functions")
    compiler = next(name for name in ("gcc", "clang", "cc") if shutil.which(name))

    def library(bits, flags):
        source, target = folder / f"f{bits}.c", folder / f"f{bits}{flags}.so"
        source.write_text("\n".join(loops(bits)) + "\n")
        options = [*FLAGS[flags], "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-trapping-math"]
        command = [compiler, *options, "-fno-math-errno", "-shared", "-fPIC", "-o", str(target), str(source), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(target))

    libraries = {(bits, flags): library(bits, flags) for bits in (64, 32) for flags in FLAGS}

    def call(name, bits, flags, x):
        y = np.empty_like(x)
        function = getattr(libraries[bits, flags], f"loop_{name}")
        function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(len(x)))
        return y

    return call


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", CALLS)
def test_error(compiled, name, bits, flags):
    """The error is at most 2 units in the last place; the worst case is printed."""
    x, exact, unit = reference(name, bits)
    found = compiled(name, bits, flags, x)
    with mpmath.workdps(40):
        errors = [
            abs(float((mpmath.mpf(float(f)) - e) / mpmath.mpf(float(u)))) if np.isfinite(u) else 0.0
            for f, e, u in zip(found, exact, unit, strict=True)
        ]
    worst = int(np.argmax(errors))
    print(f"{name} float{bits} {flags}: {errors[worst]:.3f} units in the last place, at {x[worst]!r}")
    assert errors[worst] <= 2


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", CALLS)
def test_special_values(compiled, name, bits, flags):
    """Zeros, infinities, NaN, the ends of the range and subnormal numbers are what C's own functions make of them."""
    info = np.finfo(f"f{bits // 8}")
    special = [abs(value) for value in SPECIAL] if name in ("decay_of", "rise_of") else SPECIAL
    x = np.array(
        [*special, info.max, -info.max * (name not in ("decay_of", "rise_of")), info.tiny, info.smallest_subnormal],
        info.dtype,
    )
    with np.errstate(all="ignore"):
        theirs = {
            "exp_of": np.exp,
            "exp_scalar": np.exp,
            "exp_plus_1": lambda x: 1 + np.exp(x),
            "odds": lambda x: np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
            "odds_of": lambda x: np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
            "odds_plus_1": lambda x: 1 + np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
            "decay_of": lambda a: np.exp(-a),
            "rise_of": lambda a: -np.expm1(-a),
            "expm1_of": np.expm1,
            "log_of": np.log,
            "log1p_of": np.log1p,
            "tanh_of": np.tanh,
            "erf_of": np.vectorize(math.erf, [info.dtype]),
            "erfc_of": np.vectorize(math.erfc, [info.dtype]),
        }
        expected = theirs[name](x)
    assert compiled(name, bits, flags, x) == pytest.approx(expected, rel=3 * float(info.eps), abs=0, nan_ok=True)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="asks GCC what it did")
@pytest.mark.parametrize("bits", [64, 32])
def test_loops_are_vectorized(bits, tmp_path):
    """A loop over any function for many arguments becomes one over vectors: nothing in it branches or is called."""
    lines = "\n".join(loops(bits)).splitlines()
    (tmp_path / "loops.c").write_text("\n".join(lines) + "\n")
    options = [*FLAGS["vector"], "-std=c11", "-fno-trapping-math", "-fno-math-errno", "-fopt-info-vec-optimized"]
    command = ["gcc", *options, "-c", "loops.c", "-o", "loops.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = {int(line) for line in re.findall(r"^loops.c:(\d+):.*loop vectorized", done.stderr, re.MULTILINE)}
    for name in CALLS.keys() - {"exp_scalar", "exp_plus_1", "odds", "odds_plus_1"}:  # those are for one at a time
        first = next(number for number, line in enumerate(lines, start=1) if f"loop_{name}(" in line)
        assert first + 1 in found, name
