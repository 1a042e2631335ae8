"""The C compiler that the package ziglang brings, Clang with the libraries of every system: ``zig cc``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

OPTIONS = ("-fno-sanitize=undefined", "-g0")
"""By itself, it makes code that stops where C leaves open what happens, and that a debugger can show."""


CPUS = {"native": (), "portable": ("-mcpu=baseline",)}
"""By itself, it compiles for the CPU on which it runs."""


def find_zig(march: str) -> tuple[str, ...] | None:
    """The command, if the package is installed. It needs no Python, and can be called from any folder."""
    found = importlib.util.find_spec("ziglang")
    for folder in (found and found.submodule_search_locations) or ():
        program = Path(folder) / ("zig.exe" if os.name == "nt" else "zig")
        if program.is_file():
            return (str(program), "cc", *OPTIONS, *CPUS[march])
    return None


def zig_environment(cache: Path) -> dict[str, str]:
    """The environment of a compiler, with a folder in which Zig keeps what it makes of libraries of C."""
    return {"ZIG_GLOBAL_CACHE_DIR": str(cache / "zig"), "ZIG_LOCAL_CACHE_DIR": str(cache / "zig"), **os.environ}
