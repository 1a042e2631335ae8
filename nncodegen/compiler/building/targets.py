"""The options that the generated C is compiled with, and the CPUs for which a portable module has variants.

``setup.py`` reads this file before anything is installed: it needs only the standard library.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

WRAPPER = "nncodegen_wrapper"
"""The name of the part of a module that is the same for every model, as a file and to the linker."""

_HERE = Path(__file__).parent

RUNTIME = (_HERE if (_HERE / "runtime").is_dir() else _HERE.parents[1]) / "runtime" / "c"
"""The folder of the C that is the same for every model; in an exported source distribution, it is beside this file."""

INCLUDE = (f"-I{RUNTIME}",)

KERNEL_FLAGS = (
    "-std=c11", "-O3", "-falign-loops=32", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
    "-fopenmp-simd", "-DNNCODEGEN_SIMD", "-pthread", "-DNNCODEGEN_THREADS", *INCLUDE,
)  # fmt: skip
"""Flags for the kernel. No -ffast-math: it would break the detection of NaN, and undo what stabilize arranged. Loops
begin at multiples of 32 bytes: otherwise the same loop may take a fifth longer, by chance, in another file."""

SAME_BITS_FLAGS = ("-ffp-contract=off",)
"""Further flags for results that do not depend on the CPU and the compiler: products and sums are fused where the text
says so (fused in base.h), and nowhere else."""

SAME_BITS = "NN_SAME_BITS"
"""The macro of C whose results do not depend on the CPU and the compiler: config.h."""

GCC_FLAGS = ("-fno-tree-loop-distribute-patterns",)
"""Further flags of GCC. It would make a memset of a short loop that sets sums to 0, whose narrow stores delay vectors
that are read next: a network with two convolutions trained 10 % slower."""

SAME_BITS_GCC_FLAGS = ("-fno-tree-loop-distribution",)
"""Further flags of GCC for results that do not depend on the CPU and the compiler, which change no bits: a pass treats
calls of fma unlike products and sums. It makes many loops of a loop with many of them, which write what they share to
memory and read it again: the gradient of two GRUs of 5 and 4 units took a quarter longer in single precision. The
schedule decides what has a loop of its own."""

SOLVES = "\n#define NN_HAS_PATHS 1\n"
"""The line of a file of C that solves differential equations."""

LONG_FILE = 4000
"""Lines from which a file of kernels is a long one: a formula of some two hundred parameters, written out."""

LONG_FILE_FLAGS = (
    "-O2", "-fvect-cost-model=dynamic", "-fno-tree-slp-vectorize", "--param=vect-epilogues-nomask=0",
    "-fno-gcse", "--param=sccvn-max-alias-queries-per-access=50",
)  # fmt: skip
"""Further flags of GCC for a long file, whose loops have a hundred statements each, over whole vectors of samples: they
become loops over vectors as with -O3, and are as fast, but are not copied for what is left of the samples. 990
parameters (330 tanh) take 11 s instead of 16.

The last two save another fifth, with the same bits at the same speed: GCC does not look for what is computed in another
loop too, since simplify computes every value once; and it looks at fifty stores before a load, not at a thousand, since
the pointers are restrict already."""

PLAIN_FLAGS = (
    "-std=c11", "-O0", "-fno-fast-math", "-ffp-contract=off", "-pthread", "-DNNCODEGEN_THREADS", *INCLUDE,
)  # fmt: skip
"""Flags for a kernel compiled without any optimization, to be compared with the optimized one."""

STABLE = sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")
"""True if modules use the stable interface of Python alone, so that one file is for Python 3.11 and every later one.

Python 3.10 has no buffers in it, and the stable interface of free-threaded Pythons is another one."""

STABLE_SINCE, STABLE_SUFFIX = "cp311", ".abi3.so"
"""The oldest Python of such modules, as wheels name it, and how their files end."""

WRAPPER_FLAGS = (
    "-Og", "-w", "-DCYTHON_CLINE_IN_TRACEBACK=0", "-fvisibility=hidden", "-DCYTHON_NO_PYINIT_EXPORT",
    "-fno-lto", "-ffp-contract=off", *INCLUDE,
)  # fmt: skip
"""Flags for the wrapper, which Cython wrote: -O1 takes half as long again to compile, and makes calls no faster. Its
names are hidden, since they are the same in all modules. Any compiler can link it. It computes covariances, whose bits
may not depend on what a compiler fuses."""

TUNING = ("-mtune=icelake-server", "-mprefer-vector-width=512")
"""Flags for any x86-64 CPU. GCC assumes that loads are as cheap as registers on AMD's CPUs, and loads the operands
of a block of a product again for every use: networks are up to a fifth slower on Zen 4 itself, and a quarter with AVX2.
Loops use the longest vectors that the CPU has: by itself, GCC uses half of the length of AVX-512, which is a fifth
slower as well.
"""

ZIG_OPTIONS = ("-fno-sanitize=undefined", "-g0")
"""Options against defaults of Zig: code that stops at undefined behaviour, and debug information."""

ZIG_CPUS = {"native": (), "portable": ("-mcpu=baseline",)}
"""Options of Zig for the CPU; without one, it compiles for the CPU on which it runs."""


COMPANIONS = ("many", "fitting", "fits", "hessian", "fields", "step")
"""The suffixes of further kernel files, in addition to NAME.c: NAME_fitting.c."""


class Variant(NamedTuple):
    """A kernel for some CPUs of a family: its name, the compiler's options, and the features that the CPU must have."""

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

NATIVE = "native"
"""The variant of the library for a CPU that none of these is made for: only that CPU can use it."""

GROUP_BYTES = (64, 512)
"""The bytes of a number of each model of a group that is trained side by side: of a network, one vector; of a formula,
several."""

LIBRARY = {
    "training": (),
    "fits": ("-DNNCODEGEN_FITS",),
    "hessian": ("-DNNCODEGEN_HESSIAN",),
    "paths": ("-DNNCODEGEN_PATHS",),
    **{f"groups_{count}": (f"-DNNCODEGEN_GROUPS={count}",) for count in GROUP_BYTES},
}
"""The parts of the C that is compiled once for all models (library.c): the options of each, besides those of kernels. A
module has the others only if its model can be fitted, has a Hessian, has differential equations whose steps are chosen,
or can be trained side by side with others of its kind."""

LIBRARY_OF_MODELS = "training"
"""The part of the library that every module is linked with."""

LINKED = ("-DNNCODEGEN_LINKED", "-fvisibility=hidden")
"""Further flags for what is linked with the library."""

VARIANT_NAMES = (*(variant.name for variant in VARIANTS), "neon", PLAIN)
"""The names of all kernels, the fastest first (VARIANT in vectors.h of the runtime)."""


def get_include() -> str:
    """Return the folder of the headers that the C of every model includes, for the option ``-I`` of a C compiler."""
    return str(RUNTIME)


def interface_of_python() -> tuple[str, str]:
    """Return what a module depends on: the version of Python and how its modules end, unless any version will do."""
    return ("", STABLE_SUFFIX) if STABLE else (sys.version, str(sysconfig.get_config_var("EXT_SUFFIX")))


def wrapper_macros(real: str) -> list[tuple[str, str]]:
    """Return the macros for compiling the wrapper, for a floating-point type."""
    stable = [("Py_LIMITED_API", "0x030b0000")] if STABLE else []
    return [("NNCODEGEN_REAL", real), ("NNCODEGEN_VARIANT_NAMES", f'"{" ".join(VARIANT_NAMES)}"'), *stable]


def supported(command: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants that a C compiler can make; none on other families of CPUs.

    The option for tuning is left out for a compiler that does not accept it, such as Zig's.
    """
    untuned = (each._replace(flags=tuple(flag for flag in each.flags if flag != TUNING[0])) for each in VARIANTS)
    pairs = zip(VARIANTS, untuned, strict=True)
    chosen = (
        next(
            (candidate for candidate in pair if candidate.macro in _defined(macros_of((*command, *candidate.flags)))),
            None,
        )
        for pair in pairs
    )
    return tuple(variant for variant in chosen if variant)


def macros_of(command: Sequence[str]) -> str:
    """Return the macros that a compiler defines, as lines ``#define NAME VALUE``; none if it refuses the options."""
    asked = [*command, "-dM", "-E", "-x", "c", os.devnull]
    return subprocess.run(asked, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False).stdout


def _defined(macros: str) -> set[str]:
    return {line.split()[1] for line in macros.splitlines() if line.startswith("#define ")}


def effort(macros: str, text: str) -> tuple[str, ...]:
    """Return the further flags for a file of kernels, which only GCC has: fewer passes for a long one.

    ``macros`` are those that the compiler defines.
    """
    defined = _defined(macros)
    if "__GNUC__" not in defined or "__clang__" in defined:
        return ()
    same_bits = SAME_BITS_GCC_FLAGS if is_same_everywhere(text) else ()
    return (*GCC_FLAGS, *same_bits, *(LONG_FILE_FLAGS if text.count("\n") > LONG_FILE else ()))


def kernel_objects(
    name: str, variants: Sequence[Variant], companions: Sequence[str] = ()
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return the objects that a module is linked from, except the wrapper: the name of each, its source, its options.

    The kernels are in NAME.c and in the files of its companions. With variants, each kernel has one object for every
    variant and one for all other CPUs, and one more object chooses among them.
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
    """Return the hash of the C that is the same for every model; objects depend on it."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in _files(RUNTIME / "nncodegen", "*.[ch]"))).hexdigest()


WRITERS = ("ir", "describe", "motion", "passes", "schedule", "emit")
"""The folders of the compiler whose files write the C of a model."""


@lru_cache(maxsize=1)
def compiler_digest() -> str:
    """Return the hash of what writes the C of a model, from its description on."""
    files = (file for room in WRITERS for file in _files(_HERE.parent / room, "*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder, those of its folders included, in a fixed order; there is at least one.

    A folder that is named wrongly would be a hash of nothing, by which stale modules are taken for new ones.
    """
    files = sorted(folder.rglob(pattern))
    if not files:
        raise FileNotFoundError(f"{folder} has no files {pattern}: this installation of nncodegen is incomplete")
    return files


def variant_of(macros: str) -> str:
    """Return the variant that a compiler makes, by the macros that it defines, as lines ``#define NAME VALUE``.

    It is NATIVE for vectors that no variant has: those of the library and of the kernels must have the same length.
    """
    defined = _defined(macros)
    held = {v.name: [f"__{feature.upper()}__" in defined for feature in v.features] for v in VARIANTS}
    longest = next((name for name, (first, *_) in held.items() if first), PLAIN)
    if longest == PLAIN:
        return NATIVE if "__AVX__" in defined else PLAIN
    return longest if all(held[longest]) else NATIVE


def is_same_everywhere(kernel: str) -> bool:
    """Return whether the text of a kernel asks for results that do not depend on the CPU and the compiler."""
    return f"#define {SAME_BITS} 1" in kernel


def linked_with(variant: str) -> tuple[str, ...]:
    """Return the further flags for what is linked with a variant of the library."""
    return (*LINKED, f"-DNNCODEGEN_VARIANT={variant}")


def linked_parts(kernels: str, text: str) -> tuple[str, ...]:
    """Return the parts of the library that a file of kernels is linked with, given its name and C.

    The name is "kernel" for that of the model, or that of a companion.
    """
    paths = ("paths",) if SOLVES in text else ()
    if kernels == "many":
        models, bits = (int(re.findall(rf"(?m)^#define NN_{name} (\d+)$", text)[0]) for name in ("MODELS", "BITS"))
        return (f"groups_{models * bits // 8}", *paths)
    part = {"kernel": LIBRARY_OF_MODELS, "fitting": "fits", "hessian": "hessian"}.get(kernels)
    return (part, *paths) if part else paths


def library_flags(part: str, real: str, variant: str, same_bits: bool = False) -> tuple[str, ...]:
    """Return the options with which ``library.c`` becomes one of its parts, but for those of the CPU.

    With ``same_bits``, its results do not depend on the CPU and the compiler.
    """
    bits = (*SAME_BITS_FLAGS, f"-D{SAME_BITS}=1") if same_bits else ()
    return (*KERNEL_FLAGS, *bits, *linked_with(variant), *LIBRARY[part], f"-DNN_BITS={64 if real == 'double' else 32}")


def library_object(part: str, real: str, variant: str, compiler: Sequence[str] = (), same_bits: bool = False) -> str:
    """Return the name of the object of a part of the library, with the hash of everything that it depends on.

    Objects that come with the package name no compiler: any compiler can link them.
    """
    flags = (
        *without_paths(library_flags(part, real, variant, same_bits)),
        *chain.from_iterable(v.flags for v in VARIANTS),
    )
    digested = chr(0).join((runtime_digest(), *flags, *compiler, platform.machine()))
    return f"library_{part}_{real}_{variant}_{hashlib.sha256(digested.encode()).hexdigest()[:32]}.o"


CALLER = "nncodegen_caller"
"""The module with the type of Python that calls the kernels of functions (caller.c)."""


def caller_flags() -> tuple[str, ...]:
    """Return the options for the library of this module."""
    stable = ("-DPy_LIMITED_API=0x030b0000",) if STABLE else ()
    return ("-std=c11", "-O2", "-w", "-fvisibility=hidden", *stable, *INCLUDE)


def caller_object(compiler: Sequence[str] = ()) -> str:
    """Return the name of this library, with the hash of everything that it depends on.

    The one that comes with the package names no compiler.
    """
    texts = [(RUNTIME / "nncodegen" / file).read_text() for file in ("module/caller.c", "base/formula_table.h")]
    parts = (*texts, *without_paths(caller_flags()), *compiler, *interface_of_python(), platform.machine())
    return f"caller_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.so"


PYTHON_FLAGS = ("-std=c11", "-fvisibility=hidden")
"""The options for the object of the Python files that modules hold."""


def python_object(source: str, compiler: Sequence[str] = ()) -> str:
    """Return the name of the object of the Python files, with the hash of everything that it depends on.

    Objects that come with the package name no compiler: any compiler can link them.
    """
    digested = chr(0).join((source, *PYTHON_FLAGS, *compiler, platform.machine()))
    return f"python_{hashlib.sha256(digested.encode()).hexdigest()[:32]}.o"


def without_paths(flags: Sequence[str]) -> tuple[str, ...]:
    """Return the options without paths of include folders: objects do not depend on them."""
    return tuple(flag for flag in flags if flag not in INCLUDE)


def wrapper_object(source: str, real: str, cython: str, compiler: Sequence[str] = ()) -> str:
    """Return the name of the wrapper's object for its source, floating-point type, Cython version and compiler.

    It holds the hash of everything that the object depends on. Objects that come with the package name no compiler: any
    compiler can link them.
    """
    abi = (*interface_of_python(), platform.machine())
    parts = (source, runtime_digest(), real, *without_paths(WRAPPER_FLAGS), cython, *compiler, *abi)
    return f"wrapper_{real}_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.o"
