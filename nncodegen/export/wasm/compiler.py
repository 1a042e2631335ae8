"""C to WebAssembly, by Clang with its linker for WebAssembly, or by the compiler that the package ziglang brings."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from nncodegen.build import cache_folder
from nncodegen.errors import BuildError

OPTIONS = (
    "-std=c99", "-O2", "-g0", "-ffreestanding", "-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384", "-Wl,--export=__heap_base",
)  # fmt: skip
"""No library and no start; memory from ``__heap_base`` on is JavaScript's."""

NO_COMPILER = """\
no compiler for WebAssembly was found: neither Clang with the linker wasm-ld, nor the package ziglang
Install one:
    Debian, Ubuntu   apt install clang lld
    Fedora           dnf install clang lld
    macOS            brew install llvm lld
    anywhere         pip install ziglang"""


def compile_to_wasm(sources: Mapping[str, str], exports: Iterable[str]) -> tuple[bytes, str]:
    """The WebAssembly of C files, with functions that it exports, and the name of the compiler. Raises BuildError.

    Functions of JavaScript are imported, where the C declares them so; anything else that is missing is an error.
    """
    failures = []
    options = [*OPTIONS, *(f"-Wl,--export={name}" for name in exports)]
    for name, command in compilers():
        with TemporaryDirectory(prefix="nncodegen") as folder:
            for file, text in sources.items():
                (Path(folder) / file).write_text(text)
            used = [*command, *options, *(file for file in sources if file.endswith(".c")), "-o", "linked.wasm"]
            done = subprocess.run(
                used, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return (Path(folder) / "linked.wasm").read_bytes(), name
            said = done.stderr.strip()[:2000]
            failures.append(f"{shlex.join(used)}\nfailed with exit code {done.returncode}: {said}")
    raise BuildError("\n".join(failures) or NO_COMPILER)


def compilers() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The compilers that may be there, the preferred one first: a name, and the begin of a command."""
    clang = shutil.which("clang")
    if clang and _linker(clang):
        yield "clang", (clang, "--target=wasm32")
    zig = _zig()
    if zig:
        yield "zig", (zig, "cc", "-target", "wasm32-freestanding", "-fno-sanitize=undefined")


def _linker(clang: str) -> bool:
    """Whether Clang has its linker for WebAssembly, which is another package in most systems."""
    asked = [clang, "--target=wasm32", "-print-prog-name=wasm-ld"]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode == 0 and shutil.which(done.stdout.strip() or "wasm-ld") is not None


def _zig() -> str | None:
    """The program in the package ziglang, if that is installed. It needs no Python."""
    found = importlib.util.find_spec("ziglang")
    for folder in (found and found.submodule_search_locations) or ():
        program = Path(folder) / ("zig.exe" if os.name == "nt" else "zig")
        if program.is_file():
            return str(program)
    return None


def _environment() -> dict[str, str]:
    """The environment of a compiler. Zig keeps what it has compiled in a folder of its own."""
    folder = str(cache_folder() / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder, **os.environ}
