"""The C compiler that the package ziglang brings, Clang with the libraries of every system: ``zig cc``.

It compiles for other machines as well: a *cross* names one, such as "aarch64-linux-gnu", or, with the oldest version of
glibc that it may have, "aarch64-linux-gnu.2.28".
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from nncodegen.compiler.building.targets import ZIG_CPUS, ZIG_OPTIONS
from nncodegen.errors import BuildError
from nncodegen.runtime.python.ground.missing import missing_package

FAMILIES = ("aarch64", "riscv64", "x86_64")
"""The CPU families of other machines: 64-bit ones whose Python has the same headers as this one."""


def zig_program() -> str | None:
    """Return the program in the package, or None. It needs no Python, and can be called from any folder."""
    spec = importlib.util.find_spec("ziglang")
    for folder in (spec and spec.submodule_search_locations) or ():
        program = Path(folder) / ("zig.exe" if os.name == "nt" else "zig")
        if program.is_file():
            return str(program)
    return None


def find_zig(march: str) -> tuple[str, ...] | None:
    """Return the command that compiles C; None if the package is not installed."""
    program = zig_program()
    return (program, "cc", *ZIG_OPTIONS, *ZIG_CPUS[march]) if program else None


def find_cross_compiler(cross: str) -> tuple[str, ...]:
    """Return the command that compiles for another machine. Raises BuildError, MissingDependencyError."""
    check_cross(cross)
    command = find_zig("portable")
    if command is None:
        raise missing_package(f"compiling for {cross}", "ziglang", "'nncodegen[compiler]'")
    return (*command, "-target", cross)


def check_cross(cross: str) -> tuple[str, str | None]:
    """Return the CPU family of another machine, and its glibc version, as "2_28", or None if it names none.

    Raises BuildError for a machine that has no compiler here.
    """
    known = re.fullmatch(rf"({'|'.join(FAMILIES)})-linux-gnu(?:\.(\d+)\.(\d+))?", cross)
    if not known:
        names = ", ".join(f"{family}-linux-gnu" for family in FAMILIES)
        raise BuildError(
            f"there is no compiler for {cross!r}; there are: {names}, each also with a version of glibc "
            f"({FAMILIES[0]}-linux-gnu.2.28); others build the target sdist themselves"
        )
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        raise BuildError("binaries for other machines are made on Linux with 64 bits, as they need its headers")
    family, major, minor = known.groups()
    return family, f"{major}_{minor}" if major else None


def zig_environment(cache: Path) -> dict[str, str]:
    """Return the environment of a compiler, with a folder in which Zig caches the C libraries that it builds."""
    return {"ZIG_GLOBAL_CACHE_DIR": str(cache / "zig"), "ZIG_LOCAL_CACHE_DIR": str(cache / "zig"), **os.environ}
