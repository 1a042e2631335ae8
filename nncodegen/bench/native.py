"""Compiles the C files of this folder: the peer that is written by hand, and the measurement of the peak."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.errors import BenchError

HERE = Path(__file__).parent
FLAGS = ("-O3", "-fPIC", "-shared")
TYPES = {"float64": ("double", "exp", ctypes.c_double), "float32": ("float", "expf", ctypes.c_float)}
"""The type in C, its exponential, and the type in ctypes."""


def compile_c(name: str, precision: str, folder: Path) -> ctypes.CDLL:
    """Compile ``name``.c for one precision to a shared library, with the compiler of the modules."""
    compiler = find_compiler()
    real, exponential, _ = TYPES[precision]
    library = folder / f"{name}-{precision}.so"
    command = [
        *compiler.command,
        *FLAGS,
        *compiler.target,
        f"-DREAL={real}",
        f"-DEXP={exponential}",
        str(HERE / f"{name}.c"),
        "-o",
        str(library),
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the compiler failed on {name}.c: {done.stderr.strip()[:500]}")
    return ctypes.CDLL(str(library))
