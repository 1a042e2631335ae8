"""How tests compile the C that is the same for every model: against the configuration in sample.h."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from nncodegen.compiler.building.targets import INCLUDE, KERNEL_FLAGS, RUNTIME
from tests.support import ROOT, SUPPORT, compilers

HEADERS = RUNTIME / "nncodegen"
SOURCES = ROOT / "tests" / "c" / "runtime"
INCLUDES = (*INCLUDE, f"-I{SUPPORT}")
WARNINGS = tuple(compilers.WARNINGS)

GCC = shutil.which("gcc") or shutil.which("cc")
NATIVE = ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ()
THREADS = ("-pthread", "-DNNCODEGEN_THREADS")
OBSERVED = ("-std=c11", "-O1", "-g", *NATIVE, *THREADS)
"""Under a sanitizer."""
STRICT = ("-fno-sanitize-recover=undefined", "-fno-sanitize=pointer-overflow")
"""What is undefined ends a program. Pointers are watched where they are used: their sums take half of the time."""

BUILDS = {
    "plain": (shutil.which("clang") or GCC, "-std=c11", "-O2", *THREADS),
    "native": (GCC, *KERNEL_FLAGS, *NATIVE),
    "sanitized": (GCC, *OBSERVED, "-fsanitize=address,undefined", *STRICT),
}
"""The compilers and options that tests of the runtime are built with: another compiler, and other vectors, each."""

LIGHT_BUILDS = {
    f"light {name}": tuple("-O1" if option in ("-O2", "-O3") else option for option in BUILDS[name])
    for name in ("plain", "native")
}
"""The same with little optimization, in two thirds of the time."""

MODELS = {
    "network": (
        "-DSAMPLE_OPERATIONS=1000000",
        "-DSAMPLE_HAS_NOISE=0",
        "-DSAMPLE_HAS_TRANSPOSED=1",
        "-DSAMPLE_SINGLE_SAMPLES=4",
        "-DSAMPLE_DESCENDS=1",
    ),
    "formula": (
        "-DSAMPLE_OPERATIONS=1000000",
        "-DSAMPLE_HAS_NOISE=0",
        "-DSAMPLE_HAS_REGISTERS=1",
        "-DSAMPLE_HAS_BLOCKS=0",
        "-DSAMPLE_HAS_BLAS=0",
        "-DSAMPLE_HAS_CLASSES=0",
        "-DSAMPLE_HAS_SINGLE_GRADIENT=0",
    ),
}
"""The sample model as it would be made of layers, and of a formula; it asks after every tile whether to end."""
PRECISIONS = {"network": 64, "formula": 32}
"""What each of them is tested in: they take long to compile."""

SANITIZED = "NNCODEGEN_TEST_SANITIZED"
"""Set in a process of Python into which the sanitizers are loaded, and which tests libraries that need them."""


def builds_of_libraries() -> tuple[str, ...]:
    """The builds whose libraries this process can load."""
    return ("sanitized",) if os.environ.get(SANITIZED) else ("plain", "native")


def compiled(build: Iterable[str | None], source: Path, target: Path, options: Iterable[str] = ()) -> Path:
    """Compiles a source against the sample model, to a program or, where it is called so, a shared library."""
    shared = ("-shared", "-fPIC") if target.suffix == ".so" else ()
    command = [*map(str, build), *WARNINGS, *INCLUDES, *options, *shared, str(source), "-o", str(target), "-lm"]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "-fsanitize" in " ".join(command) and done.returncode and "cannot find" in done.stderr:
        pytest.skip("the compiler has come without its sanitizers")
    assert done.returncode == 0, done.stderr
    return target


def run(program: Path) -> None:
    """Runs a test program, which says what is not as it should be."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Library:
    """A shared library of C functions, called by their names with arrays, whole numbers and numbers.

    Whole numbers are handed over as size_t, numbers as double, arrays as pointers; None is NULL.
    """

    def __init__(self, path: Path, bits: int) -> None:
        self.bits = bits
        self.dtype = np.dtype(f"f{bits // 8}")
        self.eps = float(np.finfo(self.dtype).eps)
        self._real = {64: ctypes.c_double, 32: ctypes.c_float}[bits]
        self._functions = ctypes.CDLL(str(path))

    def call(self, function, *arguments, returns="size"):
        """Calls a function; it returns a size_t, a double ("number"), or one of the library's numbers ("real")."""
        called = getattr(self._functions, function)
        called.restype = {"size": ctypes.c_size_t, "number": ctypes.c_double, "real": self._real}[returns]
        return called(*map(_argument, arguments))

    def array(self, values):
        """Values in the precision of the library."""
        return np.array(values, self.dtype, order="C")

    def zeros(self, *shape):
        return np.zeros(shape, self.dtype)


def _argument(value):
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_size_t(int(value))
