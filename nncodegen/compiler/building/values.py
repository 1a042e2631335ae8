"""Builds functions: a small library for each, and once for all the type of Python that calls them.

The library of a function is kept in the cache under the key of what it was made from, with its C beside it: no stage of
the compiler, and no C compiler, runs to find it again. So the key names the compiler by its file, and the CPU by what
the system says about it.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from nncodegen.compiler.building.build import (
    bits_flags,
    cache_folder,
    is_kept,
    run_command,
    shared_options,
    shipped_file,
    work_folder,
)
from nncodegen.compiler.building.compiler import Compiler, find_compiler, headers_of, python_headers
from nncodegen.compiler.building.files import keep, reason_of, write_together
from nncodegen.compiler.building.targets import (
    CALLER,
    KERNEL_FLAGS,
    NATIVE,
    PLAIN_FLAGS,
    RUNTIME,
    VARIANT_NAMES,
    WRITERS,
    caller_flags,
    caller_object,
    is_same_everywhere,
    kernel_objects,
)
from nncodegen.compiler.emit import Sources
from nncodegen.compiler.ir import Program
from nncodegen.errors import BuildError

PACKAGE = Path(__file__).parents[2]

CANDIDATES = ("gcc", "clang", "cc")
"""The commands of compilers, as ``find_compiler`` looks for them."""

NUMBER, TUPLE = 0, 3
"""Two kinds of results, as caller.c numbers them."""

_CALLERS: list[ModuleType] = []
_LOCK = Lock()


def key_of(parts: Iterable[str], march: str) -> str:
    """Return the key of a function that is made from some texts, by this nncodegen, compiler and CPU."""
    digest = hashlib.sha256()
    for part in (*parts, _version(), *_compilers(os.environ.get("CC"), os.environ.get("PATH")), march):
        digest.update(f"{part}\0".encode())
    if march == "native":
        digest.update(_cpu().encode())
    return digest.hexdigest()[:32]


def kept_function(key: str) -> Path | None:
    """Return the library of a function in the cache, if it is there undamaged. Raises BuildError."""
    path = _path(key)
    return path if is_kept(path) else None


def source_of(library: Path) -> str:
    """Return the C of a function. Raises BuildError if it has been removed from the cache."""
    try:
        return library.with_suffix(".c").read_text(encoding="utf-8")
    except OSError as error:
        raise BuildError(f"{library.with_suffix('.c')} cannot be read: make the function again") from error


def build_function(sources: Sources, key: str, march: str, plainly: bool = False) -> Path:
    """Compile the C of a function, and return its library in the cache. Raises BuildError.

    ``plainly`` compiles it without any optimization.
    """
    compiler = find_compiler(march)
    path = _path(key)
    name = f"{sources.module}.c"
    text = sources.files[name]
    with work_folder(f"function_{key}") as work:
        if is_kept(path):  # another process has built it meanwhile
            return path
        (work / name).write_text(text, encoding="utf-8")
        effort = PLAIN_FLAGS if plainly else (*KERNEL_FLAGS, *compiler.effort(text), *compiler.target)
        command = [*compiler.command, *effort, *bits_flags(is_same_everywhere(text)), "-fvisibility=hidden", "-fPIC"]
        variants = () if plainly else compiler.variants
        files, looked_at = [name], not plainly and compiler.is_looked_at
        if variants:
            files = _compile_variants(sources.module, compiler, command, work)
        link = [*command, *shared_options(), *files, "-lm", "-o", "function.linked"]
        run_command(link, work, looked_at and not variants)
        write_together(path.parent, {path.with_suffix(".c").name: text.encode()})
        keep(work / "function.linked", path)
    return path


def _compile_variants(module: str, compiler: Compiler, command: Sequence[str], work: Path) -> list[str]:
    """Compile a function for several CPUs, and the choice among these. Return the objects."""
    choice = f'#define NN_MODEL(name) {module}_##name\n#include "nncodegen/base/variants.h"\n'
    (work / f"{module}_variants.c").write_text(choice, encoding="utf-8")
    objects = []
    for part, source, options in kernel_objects(module, compiler.variants):
        if source != f"{module}_module.c":
            run_command([*command, *options, "-c", source, "-o", f"{part}.o"], work, compiler.is_looked_at)
            objects.append(f"{part}.o")
    return objects


def discard_function(library: Path) -> None:
    """Remove a function from the cache, so that it is compiled again. Raises BuildError."""
    try:
        library.unlink(missing_ok=True)
    except OSError as error:
        raise BuildError(f"cannot remove {library}: {reason_of(error)}") from error


class Kernels:
    """The kernels of a function in its library, without the nesting of its arguments and results."""

    def __init__(self, library: Path, program: Program, variant: str = "") -> None:
        self._library, self._program = library, program
        self.name, self.precision = program.name, program.precision
        self.dtype: np.dtype[Any] = np.dtype(program.precision)
        self._outputs = len(program.outputs)
        numbers = tuple((NUMBER, place, (), None) for place in range(self._outputs))
        form = (None,) * len(program.inputs)
        table = load_function(library, variant)
        self._caller = caller().Caller(table, form, (TUPLE, 0, numbers, None), np.empty, np.ndarray)

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the names of the kernels in the library that this CPU can run, the fastest first."""
        return tuple(name for name in VARIANT_NAMES if _has_variant(self._library, name)) or (NATIVE,)

    @property
    def each(self) -> list[Kernels]:
        """Return the kernels of each variant."""
        if self.variants == (NATIVE,):
            return [self]
        return [Kernels(self._library, self._program, variant) for variant in self.variants]

    def predict(self, _parameters: Any, X: Any) -> Any:
        """Return the outputs of some points, (N, outputs): of a single one, those of the kernel of one point."""
        points = np.asarray(X, self.dtype)
        if len(points) == 1:
            return np.asarray([self._caller(*points[0].tolist())], self.dtype)
        outputs = np.empty((len(points), self._outputs), self.dtype)
        self._caller._run((len(points),), (*points.T, *outputs.T), 1)
        return outputs


def _has_variant(library: Path, variant: str) -> bool:
    """Return whether a library has kernels for several CPUs, and one of a name that this CPU can run."""
    try:
        caller().load(str(library), variant)
    except ImportError:
        return False
    return True


def load_function(library: Path, variant: str = "") -> Any:
    """Return the table of the kernels of a library, for ``Caller``: of those for several CPUs, the fastest ones.

    ``variant`` names others. Raises BuildError.
    """
    try:
        return caller().load(str(library), variant)
    except ImportError as error:
        raise BuildError(f"{library} cannot be loaded: {error}; remove it, and make the function again") from error


def caller() -> Any:
    """Return the module of the type that calls functions, compiled if it is missing. Raises BuildError."""
    with _LOCK:
        if not _CALLERS:
            path = str(_shared_caller())
            loader = importlib.machinery.ExtensionFileLoader(CALLER, path)
            spec = importlib.machinery.ModuleSpec(CALLER, loader, origin=path)
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            _CALLERS.append(module)
        return _CALLERS[0]


def _shared_caller() -> Path:
    """Return the library of this module: that of the package, or one in the cache."""
    beside = PACKAGE / "wrappers" / caller_object()
    if is_kept(beside):
        return beside
    path = cache_folder() / caller_object(_compilers(os.environ.get("CC"), os.environ.get("PATH")))
    if is_kept(path):
        return path
    shipped = shipped_file(caller_object())  # of an installed copy that a source folder hides
    if shipped:
        return shipped
    compiler = find_compiler()
    include = python_headers()
    with work_folder(path.stem) as work:
        if not is_kept(path):  # by another process meanwhile
            _compile_caller(compiler, include, work)
            keep(work / "caller.linked", path)
    return path


def _compile_caller(compiler: Compiler, include: Path, work: Path) -> None:
    shutil.copy(RUNTIME / "nncodegen" / "module" / "caller.c", work)
    options = [*caller_flags(), "-fPIC", f"-I{include}", *headers_of(compiler, include, work), *shared_options()]
    run_command([*compiler.command, *options, "caller.c", "-pthread", "-o", "caller.linked"], work)


def _path(key: str) -> Path:
    return cache_folder() / f"function_{key}.so"


@lru_cache(maxsize=1)
def _version() -> str:
    """Return a digest of the files of nncodegen that write the C of a function, by their sizes and times."""
    from sympy import __version__  # noqa: PLC0415 (which whoever has an expression has imported)

    digest = hashlib.sha256(__version__.encode())
    for folder in (*(PACKAGE / "compiler" / room for room in WRITERS), RUNTIME):
        waiting = [str(folder)]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.endswith((".py", ".h", ".c")):
                        state = entry.stat()
                        digest.update(f"{entry.name} {state.st_size} {state.st_mtime_ns}\n".encode())
                    elif "." not in entry.name and entry.name != "__pycache__":
                        waiting.append(entry.path)
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _compilers(named: str | None, _path: str | None) -> tuple[str, ...]:
    """Return what tells the compilers apart that may be used: the file of each, its size and its time."""
    commands = (named,) if named else (sysconfig.get_config_var("CC") or "", *CANDIDATES)
    states = []
    for command in commands:
        program = shutil.which(command.split()[0]) if command.split() else None
        if program:
            state = os.stat(program)
            states.append(f"{command} {os.path.realpath(program)} {state.st_size} {state.st_mtime_ns}")
    return (*states, platform.machine())


@lru_cache(maxsize=1)
def _cpu() -> str:
    """Return what the system says about the first CPU: its name, and what it can do."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        text = file.read(8192).partition("\n\n")[0]
        lines = [line for line in text.splitlines() if line.partition(":")[0].strip() not in CHANGING]
        return "\n".join(lines)
    return platform.processor()


CHANGING = ("cpu MHz", "bogomips", "BogoMIPS", "apicid", "initial apicid", "core id", "physical id", "processor")
"""The facts about a CPU that differ between its cores, or from one moment to the next."""
