"""The C compiler of this machine, or one for another machine: its command, and what it says about itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from nncodegen.compiler.building import permutations
from nncodegen.compiler.building.targets import (
    PLAIN,
    TUNING,
    Variant,
    effort,
    interface_of_python,
    supported,
    variant_of,
)
from nncodegen.compiler.building.zig import check_cross, find_cross_compiler, find_zig
from nncodegen.errors import BuildError, CompilerNotFoundError

TARGETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "native": (("-march=native", *TUNING), ("-march=native",), ("-mcpu=native",), ()),
    "portable": ((),),
}
"""Options for the CPU that the kernel is for: alternatives, of which the first that a compiler accepts is used."""

CROSS = "-target"
"""The option that only a compiler for another machine is given."""

NO_COMPILER = """no C compiler was found (looked for gcc, clang, cc, ziglang)
This command brings one, on every system:
    {command}
Or name one in the environment variable CC, or install that of the system:
    Debian, Ubuntu   apt install gcc python3-dev
    Fedora           dnf install gcc python3-devel
    macOS            xcode-select --install"""

NO_SUCH_COMPILER = """no C compiler was found (looked for $CC = {named})
Unset the environment variable CC, or let it name a compiler that is installed."""


def in_one_line(error: BuildError) -> str:
    """Return the first line of an error; if no compiler was found, with how to get one."""
    reason = str(error).splitlines()[0]
    if not isinstance(error, CompilerNotFoundError):
        return reason
    if os.environ.get("CC"):
        return f"{reason}; unset CC, or let it name a compiler that is installed"
    return f"{reason}; {_bringing()} brings one"


def _bringing() -> str:
    """Return the command that brings a compiler."""
    return f"{shlex.quote(sys.executable or 'python')} -m pip install 'nncodegen[compiler]'"


@dataclass(frozen=True)
class Compiler:
    """A C compiler: its command, and what it says about itself and the CPU that it compiles for."""

    command: tuple[str, ...]
    target: tuple[str, ...]
    macros: str
    variants: tuple[Variant, ...] = ()
    """The variants of a kernel that it can compile for CPUs with more instructions than its own target."""
    named: bool = False
    """True if it is $CC: then everything in a module is made by it."""

    def effort(self, text: str) -> tuple[str, ...]:
        """Return the further flags for a file of kernels, which only GCC has."""
        return effort(self.macros, text)

    @property
    def is_looked_at(self) -> bool:
        """True if its vectors may be wrong, and have to be looked at: see permutations.py."""
        return permutations.may_be_wrong(self.macros)

    @property
    def linked(self) -> tuple[str, ...]:
        """Return the variants of the library that a module is linked with; none for another machine."""
        if self.cross:
            return ()
        return (*(variant.name for variant in self.variants), PLAIN) if self.variants else (variant_of(self.macros),)

    @property
    def cross(self) -> str | None:
        """Return the other machine that it compiles for; None for this machine."""
        return self.command[-1] if CROSS in self.command else None


def find_compiler(march: str = "native", cross: str | None = None) -> Compiler:
    """Return the C compiler: $CC, the one that Python was built with, gcc, clang, cc, or that of the package ziglang.

    For another machine, it is that of ziglang. Raises CompilerNotFoundError if none is found, and BuildError for one
    that does not work.
    """
    if march not in TARGETS:
        raise BuildError(f"there is no march {march!r}; there are: {', '.join(TARGETS)}")
    if cross is not None:
        return _inspect(find_cross_compiler(cross), "portable")
    named = os.environ.get("CC")
    candidates = [named] if named else [sysconfig.get_config_var("CC"), "gcc", "clang", "cc"]
    for candidate in candidates:
        try:
            command = shlex.split(candidate or "")
        except ValueError as error:
            raise BuildError(f"CC is no command: {candidate} ({error})") from error
        program = shutil.which(command[0]) if command else None
        if program:
            compiler = _inspect((os.path.abspath(program), *command[1:]), march)  # it will run in another folder
            return replace(compiler, named=bool(named))
    zig = None if named else find_zig(march)
    if zig:
        return _inspect(zig, march)
    if named:
        raise CompilerNotFoundError(NO_SUCH_COMPILER.format(named=named))
    raise CompilerNotFoundError(NO_COMPILER.format(command=_bringing()))


@lru_cache(maxsize=8)
def _inspect(command: tuple[str, ...], march: str) -> Compiler:
    for target in TARGETS[march]:
        asked = [*command, *target, "-dM", "-E", "-x", "c", os.devnull]
        try:
            done = subprocess.run(
                asked, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
            )
        except OSError as error:  # it is no program that this system can run
            raise BuildError(f"{shlex.join(command)} does not work as a C compiler; set CC to one. {error}") from error
        if done.returncode == 0 and "__STDC__" in done.stdout:
            return Compiler(command, target, done.stdout, supported(command) if march == "portable" else ())
    raise BuildError(f"{shlex.join(command)} does not work as a C compiler; set CC to one. {done.stderr.strip()[:500]}")


def suffix_of(cross: str | None) -> str:
    """Return the file suffix of a module, for this machine or another one. Raises BuildError."""
    _, suffix = interface_of_python()
    if cross is None:
        return suffix
    family, _ = check_cross(cross)
    return re.sub(r"-[^-]+-linux-gnu\.so$", f"-{family}-linux-gnu.so", suffix)


def python_headers() -> Path:
    """Return the folder of Python's headers. Raises BuildError where they are not installed."""
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        raise BuildError(
            f"the headers of Python are missing ({include / 'Python.h'}): install them "
            f"(Debian, Ubuntu: apt install python3-dev; Fedora: dnf install python3-devel)"
        )
    return include


def headers_of(compiler: Compiler, include: Path, work: Path) -> list[str]:
    """Return options for Debian's headers of Python, one of which depends on the CPU: ours stands in for another's."""
    if compiler.cross is None:
        return []
    family, _ = check_cross(compiler.cross)
    headers = sorted(include.parent.glob(f"*-linux-gnu/{include.name}/pyconfig.h"))
    for header in headers:
        other = work / "include" / f"{family}-linux-gnu" / include.name / header.name
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text(f'#include "{header}"\n')
    return ["-Iinclude"] if headers else []
