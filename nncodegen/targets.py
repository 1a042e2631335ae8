"""The options that the generated C is compiled with, and the CPUs for which a portable module has variants.

``setup.py`` reads this file before anything is installed: it needs only the standard library.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

WRAPPER = "nncodegen_wrapper"
"""The name of the part of a module that is the same for every model, as a file and to the linker."""

OF_RUNTIME = ("begin", "carve", "end", "group_of", "place_of", "robust", "size_of", "nncodegen", WRAPPER)
"""What names of the runtime begin with that end like an entry point: end_fit would also be the fit of a model called
end."""

RUNTIME = Path(__file__).parent / "runtime" / "c"
"""The folder of the C that is the same for every model."""

INCLUDE = (f"-I{RUNTIME}",)

KERNEL_FLAGS = (
    "-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd",
    "-DNNCODEGEN_SIMD", "-pthread", "-DNNCODEGEN_THREADS", *INCLUDE,
)  # fmt: skip
"""For the kernel. No -ffast-math: it would break the detection of NaN, and rearrange what stabilize arranged."""

PLAIN_FLAGS = (
    "-std=c11", "-O0", "-fno-fast-math", "-ffp-contract=off", "-pthread", "-DNNCODEGEN_THREADS", *INCLUDE,
)  # fmt: skip
"""For a kernel that is compiled as its C stands, without any optimization, to be compared with the other."""

WRAPPER_FLAGS = (
    "-Og", "-w", "-DCYTHON_CLINE_IN_TRACEBACK=0", "-fvisibility=hidden", "-DCYTHON_NO_PYINIT_EXPORT",
    "-fno-lto", *INCLUDE,
)  # fmt: skip
"""For the wrapper, which Cython wrote: -O1 takes half as long again to compile, and makes calls no faster. Its names
are hidden, since they are the same in all modules. Any compiler can link it."""

TUNING = ("-mtune=icelake-server", "-mprefer-vector-width=512")
"""For x86-64, whichever CPU it is. GCC assumes that loads are as cheap as registers on AMD's CPUs, and loads the
operands of a block of a product again for every use: networks are up to a fifth slower on Zen 4 itself, and a
quarter with AVX2. Loops use the longest vectors that the CPU has: by itself, GCC uses half of those of AVX-512, which
is a fifth slower as well.
"""


COMPANIONS = ("fitting", "hessian", "fields")
"""What files of kernels besides NAME.c may be called: NAME_fitting.c."""


class Variant(NamedTuple):
    """A kernel for some CPUs of a family: its name, the compiler's options, and what a CPU must have to run it."""

    name: str
    flags: tuple[str, ...]
    features: tuple[str, ...]
    macro: str
    """A macro that a compiler defines if it has understood the options."""


VARIANTS = (
    Variant(
        "avx512",
        ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", *TUNING),
        ("avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"),
        "__AVX512VL__",
    ),
    Variant("avx2", ("-mavx2", "-mfma", *TUNING), ("avx2", "fma"), "__AVX2__"),
)
"""The variants for x86-64, the fastest first. AArch64 has NEON in all its CPUs and needs none."""

PLAIN = "plain"
"""The variant for every CPU of the family."""

VARIANT_NAMES = (*(variant.name for variant in VARIANTS), "neon", PLAIN)
"""The names of all kernels, the fastest first (VARIANT in vectors.h of the runtime)."""


def get_include() -> str:
    """The folder of the headers that the C of every model includes, for the option ``-I`` of a C compiler."""
    return str(RUNTIME)


def wrapper_macros(real: str) -> list[tuple[str, str]]:
    """The macros for compiling the wrapper, for a type of numbers."""
    return [("NNCODEGEN_REAL", real), ("NNCODEGEN_VARIANT_NAMES", f'"{" ".join(VARIANT_NAMES)}"')]


def supported(command: Sequence[str]) -> tuple[Variant, ...]:
    """The variants that a C compiler can make; none on other families of CPUs.

    One that does not know the CPU to tune for, as Zig's does not, does without.
    """
    untuned = (each._replace(flags=tuple(flag for flag in each.flags if flag != TUNING[0])) for each in VARIANTS)
    pairs = zip(VARIANTS, untuned, strict=True)
    found = (next((one for one in pair if one.macro in _macros((*command, *one.flags))), None) for pair in pairs)
    return tuple(variant for variant in found if variant)


def _macros(command: Sequence[str]) -> set[str]:
    """The names of the macros that a compiler defines; none if it does not work with these options."""
    asked = [*command, "-dM", "-E", "-x", "c", os.devnull]
    done = subprocess.run(asked, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("#define ")}


def kernel_objects(
    name: str, variants: Sequence[Variant], companions: Sequence[str] = ()
) -> list[tuple[str, str, tuple[str, ...]]]:
    """What a module is linked from, but for the wrapper: the name of each object, its source and the options for it.

    Its kernels stand in NAME.c and in the files of its companions. With variants, there are objects of these for each
    of them, for every other CPU, and the choice among them.
    """
    joint = ("module", f"{name}_module.c", ())
    sources = {"kernel": f"{name}.c"} | {Path(file).stem.removeprefix(f"{name}_"): file for file in companions}
    if not variants:
        return [*((part, source, ()) for part, source in sources.items()), joint]
    listed = " ".join(
        f"VARIANT({v.name}, {' && '.join(f'CPU_HAS({feature})' for feature in v.features)})" for v in variants
    )
    choice = (f"-DNNCODEGEN_VARIANTS(VARIANT)={listed}",)
    flags = {variant.name: variant.flags for variant in variants} | {PLAIN: ()}
    kernels = [
        (f"{part}_{variant}", source, (*options, f"-DNNCODEGEN_VARIANT={variant}"))
        for part, source in sources.items()
        for variant, options in flags.items()
    ]
    return [*kernels, ("choice", f"{name}_variants.c", choice), joint]


@lru_cache(maxsize=1)
def runtime_digest() -> str:
    """What the C that is the same for every model hashes to: objects depend on it."""
    texts = (path.read_bytes() for path in sorted(RUNTIME.glob("nncodegen/*.h")))
    return hashlib.sha256(b"".join(texts)).hexdigest()


def without_paths(flags: Sequence[str]) -> tuple[str, ...]:
    """Options, without those that say where something lies: objects do not depend on it."""
    return tuple(flag for flag in flags if flag not in INCLUDE)


def wrapper_object(source: str, real: str, cython: str, compiler: Sequence[str] = ()) -> str:
    """The name of the wrapper's object, for its source, a type of numbers, a version of Cython, and a compiler.

    It holds the hash of all that the object depends on. Those that come with the package name no compiler: any can link
    them.
    """
    abi = (sys.version, str(sysconfig.get_config_var("EXT_SUFFIX")), platform.machine())
    parts = (source, runtime_digest(), real, *without_paths(WRAPPER_FLAGS), cython, *compiler, *abi)
    return f"wrapper_{real}_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.o"
