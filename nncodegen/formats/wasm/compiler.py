"""C to WebAssembly, by Clang with its linker for WebAssembly, or by the compiler of the package ziglang."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping

from nncodegen.compiler.building.targets import ZIG_OPTIONS
from nncodegen.compiler.building.zig import zig_program
from nncodegen.errors import BuildError
from nncodegen.formats.export.workbench import said, workbench

OPTIONS = (
    "-std=c99",
    "-O2",
    "-g0",
    "-ffreestanding",
    "-nostdlib",
    "-mbulk-memory",
    "-mnontrapping-fptoint",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384",
)
"""Options: no library and no start function; the memory from ``__heap_base`` on belongs to JavaScript."""

OF_STEPS = ("-mllvm", "-unroll-threshold=40")
"""Further options for models with steps of sequences, whose C has many loops of 16 or so iterations, twice: LLVM would
write them all out. microgpt takes 10.6 kB instead of 15.9, and is as fast."""

NO_COMPILER = """\
no compiler for WebAssembly was found: neither Clang with the linker wasm-ld, nor the package ziglang
Install one:
    Debian, Ubuntu   apt install clang lld
    Fedora           dnf install clang lld
    macOS            brew install llvm lld
    anywhere         pip install 'nncodegen[compiler]'"""


def compile_to_wasm(sources: Mapping[str, str], exports: Iterable[str], steps: bool) -> tuple[bytes, str]:
    """Return the WebAssembly of C files, which exports some functions, and the compiler's name. Raises BuildError.

    Functions of JavaScript are imported, where the C declares them so; any other missing function is an error.
    ``steps`` tells that the C computes steps of sequences.
    """
    failures = []
    options = [*OPTIONS, *(OF_STEPS if steps else ()), *(f"-Wl,--export={name}" for name in exports)]
    for name, command in compilers():
        used = [*command, *options, *(file for file in sources if file.endswith(".c")), "-o", "linked.wasm"]
        with workbench(sources) as bench:
            done = bench.run(*used)
            if done.returncode == 0:
                return bench.read("linked.wasm"), name
        failures.append(f"{shlex.join(used)}\nfailed with exit code {done.returncode}: {said(done)}")
    raise BuildError("\n".join(failures) or NO_COMPILER)


def compilers() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the available compilers, the preferred one first: a name, and the begin of a command."""
    clang = shutil.which("clang")
    if clang and _linker(clang):
        yield "clang", (clang, "--target=wasm32")
    zig = zig_program()
    if zig:
        yield "zig", (zig, "cc", *ZIG_OPTIONS, "-target", "wasm32-freestanding")


def _linker(clang: str) -> bool:
    """Return whether Clang has its linker for WebAssembly, which is another package in most systems."""
    asked = [clang, "--target=wasm32", "-print-prog-name=wasm-ld"]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode == 0 and shutil.which(done.stdout.strip() or "wasm-ld") is not None
