"""Functions of the C library: for whole vectors where glibc has them, and as right as it says."""

import ctypes
import platform
import re
import shutil
import subprocess

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building.build import KERNEL_FLAGS
from tests.support.runtime import INCLUDES, WARNINGS

VECTORS = {
    (2, 22): {"sin": 1, "cos": 1, "pow": 2},
    (2, 35): {
        "tan": 1, "asin": 1, "acos": 1, "atan": 1, "sinh": 1, "cosh": 1, "asinh": 1, "acosh": 1, "atanh": 1,
        "exp2": 1, "log2": 1, "log10": 1, "cbrt": 1, "atan2": 2, "hypot": 2,
    },
}  # fmt: skip
"""The version of glibc from which on a function comes for vectors -> its name -> the number of its arguments."""

POSITIVE, UNIT, FAR, NEAR = (0.01, 50), (-1, 1), (-60, 60), (-7, 7)
RANGES = {"pow": (POSITIVE, NEAR), "acosh": ((1, 20),), "asin": (UNIT,), "acos": (UNIT,), "atanh": (UNIT,),
          "log2": (POSITIVE,), "log10": (POSITIVE,), "cbrt": (POSITIVE,), "sinh": (NEAR,), "cosh": (NEAR,),
          "exp2": (NEAR,)}  # fmt: skip
"""Name -> the range of each argument; of all others FAR."""

EXACT = {"pow": lambda x, y: x**y, "exp2": lambda x: mpmath.mpf(2) ** x, "log2": lambda x: mpmath.log(x, 2)}
"""Name -> the value with any number of digits; all others are mpmath's."""

FUNCTIONS = {name: count for functions in VECTORS.values() for name, count in functions.items()}


def loops(precision):
    """The C of a loop over each function, for two arrays of arguments."""
    real, suffix = {"float64": ("double", ""), "float32": ("float", "f")}[precision]
    text = ""
    for name, count in FUNCTIONS.items():
        arguments = ", ".join(["x[n]", "y[n]"][:count])
        text += (
            f"void loop_{name}(const {real} *restrict x, const {real} *restrict y, {real} *restrict z, long count)\n"
            f"{{ (void) y; for (long n = 0; n < count; n++) z[n] = {name}{suffix}({arguments}); }}\n"
        )
    return f'#define NN_BITS {precision[-2:]}\n#include "sample.h"\n#include "nncodegen/math/library.h"\n\n{text}'


@pytest.fixture(scope="module", params=["float64", "float32"])
def call(request, tmp_path_factory):
    """call(name, *arguments) -> the values of a function, as a loop computes them; arrays have call.dtype."""
    source = tmp_path_factory.mktemp("library") / "loops.c"
    source.write_text(loops(request.param))
    compiler = next(name for name in ("gcc", "clang", "cc") if shutil.which(name))
    flags = [*KERNEL_FLAGS, *INCLUDES, *WARNINGS, "-march=native", "-shared", "-fPIC"]
    target = source.with_suffix(".so")
    subprocess.run([compiler, *flags, "-o", str(target), str(source), "-lm"], check=True)
    library = ctypes.CDLL(str(target))

    def function(name, x, y=None):
        result = np.empty_like(x)
        pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, x if y is None else y, result))
        getattr(library, f"loop_{name}")(*pointers, ctypes.c_long(len(x)))
        return result

    function.path, function.dtype = target, np.dtype(request.param)
    return function


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers(call, name):
    """No value is off by more than 4 units in the last place."""
    rng = np.random.default_rng(0)
    ranges = RANGES.get(name, (FAR, FAR))[: FUNCTIONS[name]]
    arguments = [rng.uniform(*ends, 1003).astype(call.dtype) for ends in ranges]
    computed, function = call(name, *arguments), EXACT.get(name) or getattr(mpmath, name)
    with mpmath.workdps(40):
        exact = [function(*(mpmath.mpf(float(value)) for value in values)) for values in zip(*arguments, strict=True)]
        off = np.array([float(mpmath.mpf(float(f)) - e) for f, e in zip(computed, exact, strict=True)])
    units = off / np.spacing(abs(np.array(exact, float).astype(call.dtype))).astype(float)
    print(f"{name} in {call.dtype}: {abs(units).max():.2f}")
    assert abs(units).max() <= 4


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(call, name):
    """Infinities, NaN, zeros, subnormal and huge numbers, and what has no value, are as NumPy has them."""
    info = np.finfo(call.dtype)
    values = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e30, -1e30, info.max, -info.max, info.smallest_subnormal, info.tiny,
              np.inf, -np.inf, np.nan, 710.0, -746.0]  # fmt: skip
    x, y = (np.ravel(a).astype(call.dtype) for a in np.meshgrid(values, values))
    others = {
        "asin": "arcsin",
        "acos": "arccos",
        "atan": "arctan",
        "asinh": "arcsinh",
        "acosh": "arccosh",
        "atanh": "arctanh",
        "atan2": "arctan2",
        "pow": "power",
    }
    with np.errstate(all="ignore"):
        expected = getattr(np, others.get(name, name))(*(a.astype(np.longdouble) for a in (x, y)[: FUNCTIONS[name]]))
        expected = expected.astype(call.dtype)
    computed = call(name, *(x, y)[: FUNCTIONS[name]])
    np.testing.assert_allclose(computed, expected, rtol=6 * info.eps, atol=4 * info.smallest_subnormal)


ON_GLIBC = platform.libc_ver()[0] == "glibc" and platform.machine() == "x86_64"


@pytest.mark.skipif(not ON_GLIBC or not all(map(shutil.which, ("gcc", "nm"))), reason="needs GCC, glibc and x86-64")
def test_loops_call_them_for_vectors(call, tmp_path, monkeypatch):
    """All of them in loops of their own; in a model sin and cos of the same argument, and a power."""

    def called(path):
        done = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True, check=True)
        return set(re.findall(r" U _ZGV[a-z]N\d+v+_(\w+)", done.stdout))

    version = tuple(map(int, platform.libc_ver()[1].split(".")))
    suffix = "f" if call.dtype == np.float32 else ""
    there = {name + suffix for since, functions in VECTORS.items() if version >= since for name in functions}
    assert called(call.path) == there
    monkeypatch.setenv("CC", "gcc")
    a, b, c, x, y = sympy.symbols("a b c x y")
    wave = a * sympy.sin(b * x + c) * x**b
    model = nn.Model("wave", [x], [y], {a: 1.0, b: 2.0, c: 0.5}, wave, (wave - y) ** 2)
    path = nn.compile_model(model, str(call.dtype), fit=False).built.path
    assert called(path) == {n + suffix for n in ("sin", "cos", "pow")}
