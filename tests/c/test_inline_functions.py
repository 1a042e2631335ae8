"""The inline functions in C against mpmath: at most 2 units in the last place, over the whole range."""

import ctypes
import hashlib
import math
import platform
import re
import shutil
import subprocess
from functools import lru_cache

import mpmath
import numpy as np
import pytest
from scipy.special import wofz

from nncodegen.compiler.ir import faddeeva
from tests.support.runtime import INCLUDES, WARNINGS

CALLS = {
    "exp_of": "exp_of(x)",
    "exp_scalar": "exp_scalar(x)",
    "exp_plus_1": "exp_plus_1(x)",
    "odds": "odds(x)",
    "odds_of": "odds_of(x)",
    "odds_plus_1": "odds_plus_1(x)",
    "decay_of": "decay_of(x)",
    "expm1_of": "expm1_of(x)",
    "log_of": "log_of(x)",
    "log1p_of": "log1p_of(x)",
    "half_expm1_of": "half_expm1_of(x)",
    "half_expm1_plus_1": "half_expm1_plus_1(x)",
    "tanh_of": "tanh_of(x, half_expm1_of(x), 1/(1 + half_expm1_of(x)))",
    "sech2": "(1/(1 + half_expm1_of(x)))*(2 - 1/(1 + half_expm1_of(x)))",
    "sech2_far": "(1/(1 + half_expm1_of(x)))*(2 - 1/(1 + half_expm1_of(x)))",
    "erf_of": "erf_of(x)",
    "erfc_of": "erfc_of(x)",
}
OF_TWO = {"faddeeva_real": "faddeeva_real_of(x, z)", "faddeeva_imag": "faddeeva_imag_of(x, z)"}
"""Functions of two arguments; their errors have a test of their own."""
EXACT = {"exp_of": mpmath.exp, "exp_scalar": mpmath.exp, "exp_plus_1": lambda x: 1 + mpmath.exp(x),
         "odds": lambda x: mpmath.exp(-x), "odds_of": lambda x: mpmath.exp(-x),
         "odds_plus_1": lambda x: 1 + mpmath.exp(-x),
         "decay_of": lambda a: mpmath.exp(-a),
         "half_expm1_of": lambda z: mpmath.expm1(2 * abs(z)) / 2,
         "half_expm1_plus_1": lambda z: (mpmath.exp(2 * abs(z)) + 1) / 2, "sech2": lambda z: mpmath.sech(z) ** 2,
         "sech2_far": lambda z: mpmath.sech(z) ** 2,
         "expm1_of": mpmath.expm1, "log_of": mpmath.log, "log1p_of": mpmath.log1p,
         "tanh_of": mpmath.tanh, "erf_of": mpmath.erf, "erfc_of": mpmath.erfc}  # fmt: skip
WORST = {"half_expm1_of": 5, "half_expm1_plus_1": 5, "sech2": 3.5, "sech2_far": 6}
"""The derivative of tanh is a product of values that are rounded themselves. In float32 it has fewer digits where it
is nearly 0: one product less for every tanh."""
ALONE = ("erf_of", "erfc_of")
"""Those that only mpmath has in more digits: they are compared with it at more points."""
FLAGS = {"vector": ["-O3", "-march=native", "-ffp-contract=fast"], "plain": ["-O1", "-ffp-contract=off"]}
PORTABLE = [*FLAGS["vector"][:2], "-ffp-contract=off", "-DNN_SAME_BITS=1"]
"""The flags of modules whose bits are the same everywhere, which have sines of their own as well."""
SINES = {
    64: {"sine": "sin(x)", "cosine": "cos(x)", "tangent": "tan(x)"},
    32: {"sine": "sinf(x)", "cosine": "cosf(x)", "tangent": "tanf(x)"},
}
ALL_FLAGS = {**FLAGS, "portable": PORTABLE}
LARGEST_ODDS = {64: 650.0, 32: 60.0}  # their logarithm: beyond, odds stay what they are
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, -2.0]


def arguments(name, bits, times=1):
    """Points where the function has digits to lose: its whole range, near 0 and 1, and where branches meet."""
    rng = np.random.default_rng([bits, *name.encode()])  # whichever tests run before

    def uniform(begin, end, count):
        return rng.uniform(begin, end, times * count)

    top = 709.0 if bits == 64 else 88.0
    low = -745.0 if bits == 64 else -103.0
    normal = 354.1 if bits == 64 else 43.6  # where exp(-2*|z|) is no longer a normal number
    vanishing = 27.3 if bits == 64 else 10.1  # where erfc underflows
    tiny = np.exp(uniform(-40, 0, 1500))
    whole = [uniform(-1, 1, 2000), uniform(low, top, 3000), tiny, -tiny]
    points = {
        "exp_of": whole,
        "exp_scalar": whole,
        "exp_plus_1": whole,
        "odds": [*whole[:1], uniform(-LARGEST_ODDS[bits], -low, 3000), *whole[2:]],
        "odds_of": [*whole[:1], uniform(-LARGEST_ODDS[bits], 2 * normal, 3000), *whole[2:]],
        "odds_plus_1": [*whole[:1], uniform(-LARGEST_ODDS[bits], -low, 3000), *whole[2:]],
        "decay_of": [uniform(0, 1, 3000), uniform(0, -low, 3000), tiny],
        "half_expm1_of": [uniform(-1, 1, 3000), uniform(-normal, normal, 3000), tiny],
        "half_expm1_plus_1": [uniform(-1, 1, 3000), uniform(-normal, normal, 3000), tiny],
        "sech2": [uniform(-2, 2, 4000), uniform(-8, 8, 3000), tiny],
        "sech2_far": [uniform(-normal, normal, 3000)],
        "expm1_of": [uniform(-1, 1, 4000), uniform(-60, top, 1500), tiny, -tiny],
        "log_of": [np.exp(uniform(-1, 1, 3000)), np.exp(uniform(low, top, 3000)), 1 + tiny, 1 - tiny],
        "log1p_of": [uniform(-0.9, 3, 3000), np.exp(uniform(-80, 80, 2000)), tiny - 1, tiny, -tiny],
        "erf_of": [uniform(-1, 1, 3000), uniform(0.75, 1, 2000), uniform(-7, 7, 3000), tiny, -tiny],
        "erfc_of": [uniform(-1, 1, 3000), uniform(0.75, 4, 3000), uniform(-7, vanishing, 5000), tiny],
        "tanh_of": [uniform(-1, 1, 4000), uniform(0.5, 0.65, 2000), uniform(-4, 4, 2000), tiny, 50 * tiny],
    }
    return np.concatenate(points[name])


def in_numpy(name, bits):
    """A function in NumPy, in the precision of its arguments; erf and erfc in that of ``bits``."""
    real = f"f{bits // 8}"
    return {
        "exp_of": np.exp,
        "exp_scalar": np.exp,
        "exp_plus_1": lambda x: 1 + np.exp(x),
        "odds": lambda x: np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
        "odds_of": lambda x: np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
        "odds_plus_1": lambda x: 1 + np.exp(np.minimum(-x, LARGEST_ODDS[bits])),
        "decay_of": lambda a: np.exp(-a),
        "half_expm1_of": lambda z: np.expm1(2 * abs(z)) / 2,
        "half_expm1_plus_1": lambda z: (np.exp(2 * abs(z)) + 1) / 2,
        "expm1_of": np.expm1,
        "log_of": np.log,
        "log1p_of": np.log1p,
        "tanh_of": np.tanh,
        "sech2": lambda z: 1 / np.cosh(z) ** 2,
        "sech2_far": lambda z: 1 / np.cosh(z) ** 2,
        "erf_of": np.vectorize(math.erf, [real]),
        "erfc_of": np.vectorize(math.erfc, [real]),
        "sine": np.sin,
        "cosine": np.cos,
        "tangent": np.tan,
    }[name]


@lru_cache
def reference(name, bits, share):
    """Arguments of a function, its values there with 40 digits, and the unit in the last place of each."""
    step = share if name in ALONE else 3 * share
    x = arguments(name, bits)[::step].astype(f"f{bits // 8}")
    with mpmath.workdps(40):
        exact = [EXACT[name](mpmath.mpf(float(value))) for value in x]
    with np.errstate(over="ignore"):
        return x, exact, np.spacing(abs(np.array([float(value) for value in exact]).astype(x.dtype)))


def loops(bits):
    """The lines of a C source with a loop over each function."""
    real = {64: "double", 32: "float"}[bits]
    yield from (f"#define NN_BITS {bits}", '#include "sample.h"', '#include "nncodegen/math/functions.h"')
    for name, call in {**CALLS, **SINES[bits]}.items():
        yield f"void loop_{name}(const {real} *restrict xs, {real} *restrict ys, long count)"
        yield f"{{ for (long n = 0; n < count; n++) {{ const {real} x = xs[n]; ys[n] = {call}; }} }}"
    for name, call in OF_TWO.items():
        arrays = f"const {real} *restrict xs, const {real} *restrict zs, {real} *restrict ys"
        yield f"void loop_{name}({arrays}, long count)"
        yield f"{{ for (long n = 0; n < count; n++) {{ const {real} x = xs[n], z = zs[n]; ys[n] = {call}; }} }}"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """call(name, bits, flags, *arguments) -> the values of a function, as C computes them in a loop."""
    folder = tmp_path_factory.mktemp("functions")
    compiler = next(name for name in ("gcc", "clang", "cc") if shutil.which(name))

    def library(bits, flags):
        source, target = folder / f"f{bits}.c", folder / f"f{bits}{flags}.so"
        source.write_text("\n".join(loops(bits)) + "\n")
        options = [*ALL_FLAGS[flags], *INCLUDES, "-std=c11", *WARNINGS, "-fno-trapping-math"]
        command = [compiler, *options, "-fno-math-errno", "-shared", "-fPIC", "-o", str(target), str(source), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(target))

    libraries = {(bits, flags): library(bits, flags) for bits in (64, 32) for flags in ALL_FLAGS}

    def call(name, bits, flags, *arguments):
        y = np.empty_like(arguments[0])
        function = getattr(libraries[bits, flags], f"loop_{name}")
        function(*(ctypes.c_void_p(array.ctypes.data) for array in (*arguments, y)), ctypes.c_long(len(y)))
        return y

    return call


def check(name, bits, flags, x, errors):
    """Prints the worst of the errors, in units in the last place, and holds it to its bound."""
    worst = int(np.argmax(errors))
    print(f"{name} float{bits} {flags}: {float(errors[worst]):.3f} units in the last place, at {x[worst]!r}")
    assert errors[worst] <= WORST.get(name, 2)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.thorough)])
def test_error(compiled, share, name, bits, flags):
    """The error is at most 2 units in the last place, but for WORST; the worst case is printed.

    So it is at every fourth point, and with --thorough at each of them.
    """
    x, exact, unit = reference(name, bits, share)
    results = compiled(name, bits, flags, x)
    with mpmath.workdps(40):
        errors = [
            abs(float((mpmath.mpf(float(f)) - e) / mpmath.mpf(float(u)))) if np.isfinite(u) else 0.0
            for f, e, u in zip(results, exact, unit, strict=True)
        ]
    check(name, bits, flags, x, errors)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ALONE])
@pytest.mark.parametrize("times", [20, pytest.param(100, marks=pytest.mark.thorough)])
def test_error_at_many_points(compiled, times, name, bits, flags):
    """The same for many times as many arguments, against NumPy in a longer precision, where there is one."""
    longer = {64: np.longdouble, 32: np.float64}[bits]
    if np.finfo(longer).nmant < {64: 63, 32: 52}[bits]:
        pytest.skip("NumPy has no precision that is longer")
    x = arguments(name, bits, times=times).astype(f"f{bits // 8}")
    results = compiled(name, bits, flags, x)
    with np.errstate(all="ignore"):
        exact = in_numpy(name, bits)(x.astype(longer))
        unit = np.spacing(abs(exact.astype(x.dtype)))
        errors = np.where(np.isfinite(unit), abs(results.astype(longer) - exact) / unit.astype(longer), 0)
    check(name, bits, flags, x, errors)


def special_arguments(name, bits):
    """Zeros, infinities, NaN, the ends of the range, and subnormal numbers, with both signs."""
    info = np.finfo(f"f{bits // 8}")
    special = [abs(value) for value in SPECIAL] if name == "decay_of" else SPECIAL
    sizes = np.array([info.max, info.tiny, info.smallest_subnormal, 3 * info.smallest_subnormal], info.dtype)
    below = [] if name == "decay_of" else -sizes
    return np.array([*special, *sizes, *below], info.dtype)


def check_special_values(compiled, name, bits, flags, expected):
    """Compare values and signs, in a loop of vectors, and of each argument alone."""
    x = special_arguments(name, bits)
    together = compiled(name, bits, flags, x)
    alone = np.concatenate([compiled(name, bits, flags, x[n : n + 1]) for n in range(len(x))])
    numbers = ~np.isnan(expected)
    for computed in (together, alone):
        assert computed == pytest.approx(expected, rel=3 * float(np.finfo(x.dtype).eps), abs=0, nan_ok=True)
        assert (np.signbit(computed) == np.signbit(expected))[numbers].all(), (x, computed)


@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", CALLS)
def test_special_values(compiled, name, bits, flags):
    """Zeros, infinities, NaN, the ends of the range and subnormal numbers are what C's own functions make of them.

    So are their signs: expm1, log1p, tanh and erf of -0 are -0.
    """
    with np.errstate(all="ignore"):
        expected = in_numpy(name, bits)(special_arguments(name, bits))
    check_special_values(compiled, name, bits, flags, expected)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", SINES[64])
def test_special_angles(compiled, name, bits):
    """Sines and tangents of portable bits have NumPy's values and signs there; angles above 2^50 give NaN."""
    x = special_arguments(name, bits)
    with np.errstate(all="ignore"):
        expected = np.where(abs(x) <= 2.0**50, in_numpy(name, bits)(x), x.dtype.type(np.nan))
    check_special_values(compiled, name, bits, "portable", expected)


@lru_cache
def faddeeva_points(bits, count):
    """Points of both parts where digits could be lost: near both axes, in the wings, where the rule changes; below 0.

    They are (x, y, values with 40 digits).
    """
    rng = np.random.default_rng(bits)
    wide, low = (26.0, -300) if bits == 64 else (9.0, -35)
    powers = [10 ** rng.uniform(low / part, 1, count) for part in (1, 1, 15, 15)]
    beyond = 10 ** rng.uniform(0, 30, (2, count))
    parts = [
        (rng.uniform(-8, 8, count), rng.uniform(0, 8, count)),
        (rng.uniform(-wide, wide, count), powers[0]),
        (powers[1], rng.uniform(0, 8, count)),
        (powers[2], powers[3]),
        (rng.uniform(0, wide, count), np.zeros(count)),
        (rng.uniform(0, 30, count), rng.uniform(6, 6.6, count)),
        tuple(beyond if bits == 64 else beyond ** (1 / 3)),
        (rng.uniform(0, 6, count), rng.uniform(-4, 0, count)),
    ]
    x, y = np.concatenate(parts, axis=1).astype(f"f{bits // 8}")
    with mpmath.workdps(40):
        return x, y, [faddeeva.exact(float(a), float(b)) for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("count", [25, pytest.param(400, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("part", [0, 1])
def test_faddeeva(compiled, count, bits, part):
    """Both parts of the Faddeeva function are precise for y >= 0, each by itself, and below 0 as its absolute value.

    So are the values with NumPy.
    """
    x, y, exact = faddeeva_points(bits, count)
    smallest, allowed = float(np.finfo(x.dtype).tiny), {64: 1e-14, 32: 5e-6}[bits]
    values = {flags: compiled(tuple(OF_TWO)[part], bits, flags, x, y) for flags in ALL_FLAGS}
    if bits == 64:
        values["NumPy"] = faddeeva.values(x, y)[part]
    for flags, computed in values.items():
        with mpmath.workdps(40):
            sizes = [abs(e[part]) if b >= 0 else abs(mpmath.mpc(*e)) for e, b in zip(exact, y, strict=True)]
            errors = [
                float(abs(mpmath.mpf(float(f)) - e[part]) / size) if size > smallest else float(f > smallest)
                for f, e, size in zip(computed, exact, sizes, strict=True)
            ]
        worst = int(np.argmax(errors))
        print(f"part {part} float{bits} {flags}: {errors[worst]:.2e} at {x[worst]!r}, {y[worst]!r}")
        assert errors[worst] < allowed, (flags, x[worst], y[worst])


FADDEEVA_BITS = {64: "c63c571bf880654d", 32: "20536f540dc832d2"}
"""Hashes of portable values at 9,600 points, with which GCC, Clang and zig agree, with vectors and without."""


@pytest.mark.parametrize("bits", [64, 32])
def test_faddeeva_has_the_same_bits_everywhere(compiled, bits):
    """Portable values of the Faddeeva function have the bits that all compilers give them."""
    grid = np.arange(-60, 60, dtype=f"f{bits // 8}")
    x, y = (side.ravel().copy() for side in np.meshgrid(grid / 7, (grid[40:] / 11) ** 3))
    values = b"".join(compiled(name, bits, "portable", x, y).tobytes() for name in OF_TWO)
    assert hashlib.sha256(values).hexdigest()[:16] == FADDEEVA_BITS[bits]


@pytest.mark.skipif(not shutil.which("clang"), reason="needs Clang")
@pytest.mark.parametrize("bits", [64, 32])
def test_no_product_is_left_to_the_compiler(bits, tmp_path):
    """Portable functions say of every sum with a product that it is rounded once; native ones leave it to the compiler.

    Clang, which fuses within an expression if it may (-ffp-contract=on), writes llvm.fmuladd where it would.
    """
    source = tmp_path / "functions.c"
    source.write_text("\n".join(loops(bits)) + "\n")
    left = {}
    for same in (0, 1):
        options = [*INCLUDES, "-std=c11", f"-DNN_SAME_BITS={same}", "-ffp-contract=on", "-S", "-emit-llvm"]
        command = ["clang", *options, "-o", "-", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        left[same] = re.findall(r"call .*@llvm\.fmuladd.*", done.stdout)
    assert len(left[0]) > 100
    assert left[1] == []


def test_faddeeva_is_that_of_scipy():
    """The values of the definition, which the other test takes for exact, are those of SciPy."""
    x, y, exact = faddeeva_points(64, 25)
    defined, expected = np.array([complex(*e) for e in exact]), wofz(x + 1j * y)
    np.testing.assert_allclose(abs(defined - expected) / abs(defined), 0, atol=1e-12)
    above = (y >= 0) & (defined.real > 1e-300)
    np.testing.assert_allclose(defined.real[above], expected.real[above], rtol=1e-12)
    np.testing.assert_allclose(defined.imag[above], expected.imag[above], rtol=1e-12)


@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("bits", [64, 32])
def test_faddeeva_at_its_ends(compiled, bits, flags):
    """It is 1 at 0, 0 at infinity, and NaN of NaN, and where exp(y*y) leaves the range of numbers."""
    lowest, inf, nan = {64: -26, 32: -9}[bits], np.inf, np.nan
    table = [(0, 0, 1, 0), (-0.0, 0, 1, -0.0), (inf, 1, 0, 0), (-inf, 1, 0, -0.0), (1, inf, 0, 0), (inf, inf, 0, 0),
             (nan, 1, nan, nan), (1, nan, nan, nan), (1, lowest - 0.1, nan, nan), (1, -inf, nan, nan)]  # fmt: skip
    x, y, *expected = np.array(table, f"f{bits // 8}").T.copy()
    for name, values in zip(OF_TWO, expected, strict=True):
        results = compiled(name, bits, flags, x, y)
        np.testing.assert_allclose(results, values, atol=0, rtol=1e-14 if bits == 64 else 1e-6)
        numbers = ~np.isnan(values)
        np.testing.assert_array_equal(np.signbit(results)[numbers], np.signbit(values)[numbers])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="asks GCC what it did")
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("flags", ["vector", "portable"])
def test_loops_are_vectorized(flags, bits, tmp_path):
    """A loop over any function for many arguments becomes one over vectors: nothing in it branches or is called.

    With portable bits, so do loops over sines and tangents, if the CPU has fused operations.
    """
    lines = "\n".join(loops(bits)).splitlines()
    (tmp_path / "loops.c").write_text("\n".join(lines) + "\n")
    fused = platform.machine() in ("x86_64", "AMD64") and flags == "portable"
    options = [
        *ALL_FLAGS[flags],
        *(("-mavx2", "-mfma") if fused else ()),
        *INCLUDES,
        "-std=c11",
        "-fno-trapping-math",
        "-fno-math-errno",
        "-fopt-info-vec-optimized",
        "-fno-ipa-icf",
    ]
    command = ["gcc", *options, "-c", "loops.c", "-o", "loops.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    in_vectors = {int(line) for line in re.findall(r"^loops.c:(\d+):.*loop vectorized", done.stderr, re.MULTILINE)}
    portable = SINES[bits] if flags == "portable" else ()
    for name in {*CALLS, *OF_TWO, *portable} - {
        "exp_scalar",
        "exp_plus_1",
        "odds",
        "odds_plus_1",
    }:  # those are for one at a time
        first = next(number for number, line in enumerate(lines, start=1) if f"loop_{name}(" in line)
        assert first + 1 in in_vectors, name


@pytest.mark.parametrize("bits", [64, 32])
def test_rare_arguments_are_one_function(bits, tmp_path):
    """Formulas in registers call one function for arguments beyond the table: each held a copy for each exponential."""
    calls = "".join(
        f"s += odds(x[{n}]) + odds_plus_1(x[{n}]) + exp_scalar(x[{n}]) + exp_plus_1(x[{n}]); " for n in "01"
    )
    lines = (*list(loops(bits))[:3], f"real sum_of(const real *x) {{ real s = 0; {calls}return s; }}")
    (tmp_path / "sum.c").write_text("\n".join(lines) + "\n")
    compiler = next(name for name in ("gcc", "clang", "cc") if shutil.which(name))
    command = [compiler, "-O2", "-std=c11", *INCLUDES, *WARNINGS, "-S", "-o", "sum.s", "sum.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assembly = (tmp_path / "sum.s").read_text()
    assert len(re.findall(r"^_?exp_outside(?:\.\w+)*:", assembly, re.MULTILINE)) == 1
    assert len(re.findall(r"\b_?exp_outside\b", assembly)) > 4


@pytest.mark.parametrize("bits", [64, 32])
def test_powers_one_at_a_time(bits, tmp_path):
    """The power of one base has the bits of the same power among many, where power_scalar branches as elsewhere."""
    real, size = {64: "double", 32: "float"}[bits], np.dtype(f"f{bits // 8}")
    lines = [
        *list(loops(bits))[:3],
        f"void loop_of(const {real} *restrict x, const {real} *restrict e, {real} *restrict y, long count)",
        "{ for (long n = 0; n < count; n++) y[n] = power_of(x[n], e[n]); }",
        f"void loop_scalar(const {real} *restrict x, const {real} *restrict e, {real} *restrict y, long count)",
        "{ for (long n = 0; n < count; n++) y[n] = power_scalar(x[n], e[n]); }",
    ]
    (tmp_path / "powers.c").write_text("\n".join(lines) + "\n")
    compiler = next(name for name in ("gcc", "clang", "cc") if shutil.which(name))
    options = [*PORTABLE, *INCLUDES, "-std=c11", *WARNINGS, "-fno-trapping-math", "-fno-math-errno", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", "powers.so", "powers.c", "-lm"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "powers.so"))
    rng, top = np.random.default_rng(6), float(np.log(np.finfo(size).max))
    bases = np.exp(np.concatenate([rng.uniform(-s, s, 20_000) for s in (1e-6, 0.4, 3, top)]))
    exponents = rng.uniform(-1.2 * top, 1.2 * top, bases.size) / np.maximum(abs(np.log(bases)), 1e-3)
    few = rng.uniform(-4, 4, bases.size)
    edges = [*SPECIAL, 0.5, -0.5, 3.0, *(float(x) for x in (np.finfo(size).tiny, np.finfo(size).max, 1e-310, 1e-42))]
    pairs = np.array([(p, q) for p in edges for q in edges])
    x = np.concatenate([bases, bases, pairs[:, 0]]).astype(size)
    e = np.concatenate([exponents, few, pairs[:, 1]]).astype(size)
    results = []
    for name in ("loop_of", "loop_scalar"):
        y = np.empty_like(x)
        getattr(library, name)(*(ctypes.c_void_p(a.ctypes.data) for a in (x, e, y)), ctypes.c_long(x.size))
        results.append(y)
    np.testing.assert_array_equal(np.isnan(results[0]), np.isnan(results[1]))
    number = ~np.isnan(results[0])
    assert results[0][number].tobytes() == results[1][number].tobytes()
    normal = (x > 0) & np.isfinite(x) & np.isfinite(e)
    with np.errstate(all="ignore"):
        expected = np.power(x, e)
    rounding, tiny = 4 * np.finfo(size).eps, np.finfo(size).tiny
    np.testing.assert_allclose(results[1][normal], expected[normal], rtol=rounding, atol=tiny)
