"""What is emitted, as C compilers and sanitizers see it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest

import nncodegen as nn
from nncodegen.compiler.building.compiler import TARGETS
from nncodegen.compiler.building.targets import INCLUDE, KERNEL_FLAGS
from nncodegen.runtime.embedded import PYTHON, header
from tests.support import ROOT, SUPPORT

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wdouble-promotion", "-Werror"]
"""What any C of nncodegen is compiled with in tests."""
QUICK = shlex.join([str(SUPPORT / "cc_at"), "0", *WARNINGS])
VECTORS = shlex.join([str(SUPPORT / "cc_at"), "1", *WARNINGS])
"""For the environment variable CC: see the fixtures quick_compiler and vector_compiler. Each compiler makes libraries
of its own, which takes as long as fifty modules: tests share these two, and the usual one."""
COMPILERS = {
    name: options
    for name, options in {"gcc": ("-O2", "-c", "-o", "kernel.o"), "clang": ("-fsyntax-only",)}.items()
    if shutil.which(name)
}
"""Those that are installed, and what they need to find what they warn of: Clang does so before it optimizes."""
OF_FORMULAS = {**COMPILERS, **({"gcc": ("-Og", "-c", "-o", "kernel.o")} if "gcc" in COMPILERS else {})}
"""The same, where only formulas differ: what GCC finds when it optimizes more is a matter of loops and arrays."""
AT_SIGHT = dict.fromkeys(COMPILERS, ("-fsyntax-only",))
"""The same, for what they warn of before they optimize."""
TO_AN_OBJECT = {**COMPILERS, **({"clang": ("-O1", "-c", "-o", "kernel.o")} if "clang" in COMPILERS else {})}
"""The same, where Clang has to compile, too: what it cannot make machine code of, it refuses only then."""
LIGHTLY_TO_AN_OBJECT = {**TO_AN_OBJECT, **{name: OF_FORMULAS[name] for name in OF_FORMULAS if name == "gcc"}}
"""The same with little optimization."""


def emitted(model, precision="float64", fit=None):
    return nn.compile_model(model, precision, until="emit", fit=fit)["emit"]


def compile_strictly(sources, folder, compilers=COMPILERS):
    """Compiles the C of a model in strict C11, with every compiler there is; a warning is an error."""
    for name, text in {**sources.files, PYTHON: header(with_texts=False)}.items():
        (folder / name).write_text(text)
    for compiler, options in compilers.items():
        for source in (f"{sources.module}_module.c", f"{sources.module}.c", *sources.companions):
            command = [compiler, "-std=c11", *INCLUDE, *WARNINGS, *options, source]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def vectorized(sources, folder):
    """The lines of a kernel, and the numbers, from 1, of those whose loops GCC turns into loops over vectors."""
    for name, text in sources.files.items():
        (folder / name).write_text(text)
    kernel = f"{sources.module}.c"
    options = [*KERNEL_FLAGS, *TARGETS["native"][1], "-fopt-info-vec-optimized", "-fno-ipa-icf"]
    command = ["gcc", *options, "-c", kernel, "-o", "kernel.o"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    in_vectors = {int(line) for line in re.findall(rf"^{kernel}:(\d+):.*loop vectorized", done.stderr, re.MULTILINE)}
    return sources.files[kernel].splitlines(), in_vectors


def sanitized(program, cache, compiler="gcc"):
    """What a program prints whose modules are compiled with sanitizers, which find nothing."""
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(os.path.isabs(library) for library in libraries):
        pytest.skip("GCC has come without its sanitizers")
    environment = {
        **os.environ,
        "CC": f"{compiler} -fsanitize=address,undefined -fno-sanitize-recover=undefined",
        "NNCODEGEN_CACHE": str(cache),
        "PYTHONPATH": str(ROOT),
        "ASAN_OPTIONS": "detect_leaks=0",
        "LD_PRELOAD": " ".join(libraries),
    }
    alone = 'import os\ndel os.environ["LD_PRELOAD"]  # the compilers run without it\n'
    command = [sys.executable, "-c", alone + textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "runtime error" not in done.stderr
    return done.stdout.strip()
