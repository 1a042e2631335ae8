"""emit -> **build** -> run: the only stage that touches the disk or runs a compiler.

A built module is kept in a cache under the hash of everything that it depends on: sources, flags, the compiler with the
features of the CPU, the ABI of Python, the version of Cython. A build holds a lock, works in a separate folder and
renames the result into place: a build that is killed leaves nothing incomplete, and two that run at once both end with
a complete module. A file that was damaged later no longer matches its digest, and is built again: to load it could
crash the process. The wrapper and the library are the same for every model of a precision: their objects come with the
package, or are made with the first module and kept as well. Modules in the cache are linked without the wrapper, which
a process loads once for all of them (``wrapper.py``).
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import distributions, version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import cast

from nncodegen.compiler.building import permutations
from nncodegen.compiler.building.commands import Commands, CompilerError
from nncodegen.compiler.building.compiler import Compiler, find_compiler, headers_of, python_headers, suffix_of
from nncodegen.compiler.building.files import MODULES, is_intact, keep, reason_of, write_together
from nncodegen.compiler.building.targets import (
    GCC_FLAGS,
    INCLUDE,
    KERNEL_FLAGS,
    LIBRARY,
    LINKED,
    LONG_FILE_FLAGS,
    PLAIN_FLAGS,
    PYTHON_FLAGS,
    RUNTIME,
    SAME_BITS_FLAGS,
    SAME_BITS_GCC_FLAGS,
    WRAPPER,
    WRAPPER_FLAGS,
    compiler_digest,
    interface_of_python,
    is_same_everywhere,
    kernel_objects,
    library_flags,
    library_object,
    linked_parts,
    linked_with,
    python_object,
    runtime_digest,
    without_paths,
    wrapper_macros,
    wrapper_object,
)
from nncodegen.compiler.building.zig import zig_environment
from nncodegen.compiler.emit import MARK, Sources
from nncodegen.errors import BuildError
from nncodegen.runtime import embedded
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.native.absent import OF_BUILD

SHIPPED = "nncodegen/wrappers"
"""The folder of an installed package where setup.py puts the objects of the wrapper and of the library."""

VARIANT_VARIABLE = "NNCODEGEN_VARIANT"
"""The environment variable that names the fastest variant of its kernel that a portable module may use."""

APART = "apart_"
"""The beginning of the name of the folder of a module that is linked without its parts, and without a wrapper."""

SHARED_WRAPPER = "nncodegen_shared_wrapper"
"""The name of the wrapper that such modules share, as a module of Python (wrapper.c)."""

PARTS, PART_SUFFIX = "parts_", ".so"
"""The folder of the sources and libraries of a module's parts, beside the module, and how these libraries end. The name
of the folder goes on with the digest of what writes such sources."""

CACHE_ADVICE = "set NNCODEGEN_CACHE to a folder that can be written"


PARTS_OF_FITS = ("fitting", "fits")
"""The parts that fit: sources that hold them alone need no second derivatives."""


@dataclass(frozen=True)
class Built:
    """A compiled module in the cache."""

    module: str
    path: Path
    cached: bool

    def show(self) -> str:
        """Return the path of the module as a line of text."""
        return f"{self.path}\n"


def build(
    sources: Sources,
    force: bool = False,
    march: str = "native",
    cross: str | None = None,
    apart: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Built:
    """Return the compiled module of some sources, from the cache or newly compiled.

    With ``force`` the module is always compiled, but not the wrapper, which is the same for every model. With
    ``apart`` its companions are compiled when they are first used (``parts``); only this machine can use it.

    ``march`` is "native", for this CPU, or "portable", for any CPU of its family: then the module holds its kernel for
    several CPUs, and uses the one for the CPU where it is imported. ``cross`` names another machine (``zig.py``); only
    that machine can import the module. ``meanwhile`` is called while the compilers run, if they have to. Raises
    BuildError.
    """
    compiler = find_compiler(march, cross)
    key = f"{APART}{_key(sources, compiler)}" if apart else _key(sources, compiler)
    folder = cache_folder() / key
    path = folder / f"{sources.module}{suffix_of(cross)}"
    if not force and is_kept(path):
        return Built(sources.module, path, cached=True)
    with work_folder(key) as work:
        if not force and is_kept(path):  # another process has built it meanwhile
            return Built(sources.module, path, cached=True)
        compiled = _compile(sources, compiler, work, apart=apart, meanwhile=meanwhile)
        folder.mkdir(exist_ok=True)
        for parts in folder.glob(f"{PARTS}*"):  # of an earlier build
            shutil.rmtree(parts)
        keep(compiled, path)
    return Built(sources.module, path, cached=False)


def compile_part(
    module: Path, part: str, compiler: Compiler, write: Callable[[bool], Sources] | None
) -> tuple[Path | None, bool]:
    """Return the library of a part of a module in the cache, or None without such a part; and whether it was compiled.

    ``write`` returns the sources of the model with all parts, or with those of fits alone, which are derived in half of
    the time; they are kept beside the module. Raises BuildError.
    """
    folder = module.parent / f"{PARTS}{compiler_digest()}"
    path, of_fits = folder / f"{part}{PART_SUFFIX}", part in PARTS_OF_FITS
    if is_kept(path):
        return path, False
    with work_folder(f"{module.parent.name}_{part}") as work:
        if is_kept(path):  # another process has compiled it meanwhile
            return path, False
        name = module.name.split(".")[0]
        written = folder / ("fits" if of_fits else "all")
        header, source = written / f"{name}.h", written / f"{name}_{part}.c"
        if not header.exists():
            if write is None:
                raise BuildError(
                    f"the part {part} of {module.name} has not been compiled yet: build the model in this process, or "
                    "write its module to a folder (out=), where it has all parts"
                )
            sources = write(of_fits)
            files = (*sources.companions, header.name)  # the header last: with it, all are there
            write_together(written, {file: sources.files[file].encode() for file in files})
        if not source.exists():
            return None, False
        for file in (source, header):
            shutil.copy(file, work)
        linked, real = f"{part}.linked", "float" if "#define NN_REAL float" in header.read_text() else "double"
        effort, same_bits = compiler.effort(source.read_text()), is_same_everywhere(source.read_text())
        flags = [*KERNEL_FLAGS, *bits_flags(same_bits), *_linked(compiler), *effort, *compiler.target]
        options = [*flags, "-DNNCODEGEN_APART", "-fPIC", *shared_options()]
        needed = product(linked_parts(part, source.read_text()), compiler.linked)
        library = [str(_library(each, real, variant, compiler, same_bits)) for each, variant in needed]
        command = [*compiler.command, *options, source.name, *library, "-lm", "-pthread", "-o", linked]
        run_command(command, work, compiler.is_looked_at)
        keep(work / linked, path)
    return path, True


def build_plainly(sources: Sources) -> Built:
    """Compile some sources without any optimization, to tell a fault of the C from a fault of its optimized build.

    The module is put into the cache as well, under another key. Raises BuildError.
    """
    compiler = replace(find_compiler("portable"), target=(), variants=())
    key = hashlib.sha256("\0".join([_key(sources, compiler), *PLAIN_FLAGS]).encode()).hexdigest()[:32]
    path = cache_folder() / key / f"{sources.module}{suffix_of(None)}"
    if not is_kept(path):
        with work_folder(key) as work:
            compiled = _compile(sources, compiler, work, PLAIN_FLAGS)
            path.parent.mkdir(exist_ok=True)
            keep(compiled, path)
    return Built(sources.module, path, cached=False)


def kept(sources: Sources, march: str = "native") -> Path | None:
    """Return the path of the undamaged module of some sources in the cache, or None. Raises BuildError."""
    path = cache_folder() / _key(sources, find_compiler(march)) / f"{sources.module}{suffix_of(None)}"
    return path if is_kept(path) else None


def is_any_kept(module: str) -> bool:
    """Return whether the cache holds a whole module of a name. Raises BuildError where it cannot be read."""
    with _errors_of(cache_folder(), CACHE_ADVICE, "read"):
        files = cache_folder().glob(f"*/{module}{suffix_of(None)}")
        return any(not path.parent.name.startswith(APART) for path in files)


def prepare_shared(real: str, march: str = "native") -> None:
    """Compile what is the same for every model, for a floating-point type ("double" or "float"), if it is missing.

    An installed package brings these objects, except that of the Python files. Otherwise the first build of a module
    compiles them, which takes longer than the module itself; this function does it beforehand. Raises BuildError.
    """
    compiler = find_compiler(march)
    if march == "native":
        shared_wrapper(real, compiler)
    _wrapper(real, compiler)
    _python(compiler)
    for part, variant in product(LIBRARY, compiler.linked):
        _library(part, real, variant, compiler)


def load(built: Built) -> Module:
    """Import a compiled module under a unique name. Raises BuildError if that fails."""
    key = built.path.parent.name.replace(".", "_")
    name = f"{OF_BUILD}{key}.{built.module}"  # its last part is what the library calls itself
    loader = importlib.machinery.ExtensionFileLoader(name, str(built.path))
    spec = importlib.util.spec_from_file_location(name, built.path, loader=loader)
    if spec is None:
        raise BuildError(f"{built.path} is no module that this Python can import; build it again with force")
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # the module looks itself up by this name, and so does pickle
        loader.exec_module(module)
    except ImportError as error:
        sys.modules.pop(name, None)
        raise BuildError(f"{built.path} cannot be imported: {error}; build it again with force") from error
    parent = sys.modules.setdefault(name.rpartition(".")[0], ModuleType(name.rpartition(".")[0]))  # for reload
    parent.__path__ = []
    return cast(Module, module)


def load_again(path: str) -> Module | None:
    """Import a compiled module that another process has built, from the cache; None if it is not there undamaged.

    A library that was cut short would end the process. Raises BuildError.
    """
    library = Path(path)
    if not is_kept(library):
        return None
    return load(Built(library.name.partition(".")[0], library, cached=True))


def load_variant(built: Built, variant: str) -> Module:
    """Import another copy of a compiled module, which uses the given variant of its kernel, or the next slower one.

    No other thread may read the environment meanwhile. Raises BuildError.
    """
    before = os.environ.get(VARIANT_VARIABLE)
    with TemporaryDirectory() as folder:  # a copy, since the system loads a file only once
        copy = Path(folder) / f"{built.path.parent.name}_{variant}" / built.path.name
        copy.parent.mkdir()
        shutil.copyfile(built.path, copy)
        os.environ[VARIANT_VARIABLE] = variant
        try:
            return load(replace(built, path=copy))
        finally:
            os.environ.pop(VARIANT_VARIABLE)
            os.environ.update({VARIANT_VARIABLE: before} if before is not None else {})


def discard(built: Built) -> None:
    """Remove a compiled module from the cache, so that the next build compiles it again. Raises BuildError."""
    with _errors_of(built.path, CACHE_ADVICE):
        built.path.unlink(missing_ok=True)


def check_folder(out: Path) -> None:
    """Raise BuildError if a folder cannot take a module: it is a file, or holds files that nncodegen did not write."""
    with _errors_of(out, "name another folder", "read"):
        if out.exists() and not out.is_dir():
            raise BuildError(f"{out} is a file: name a folder")
        foreign = [path for path in _files(out) if not _is_ours(path, out)]
    if foreign:
        names = ", ".join(str(path.relative_to(out)) for path in foreign[:5])
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise BuildError(f"{out} holds files that nncodegen did not write ({names}{more}): name another folder")


def write(built: Built, texts: dict[str, str], out: Path) -> Path:
    """Write a built module and text files to a folder, all or none; return the path of the written module.

    Raises BuildError before anything is written if ``check_folder`` does, or if the folder cannot be written.
    Texts of earlier builds of this module that are not written again are removed.
    """
    key = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()
    with _errors_of(out, "name another folder"), _lock(key):
        check_folder(out)
        target = out / built.path.name
        content = built.path.read_bytes()
        certificate = out / f"{built.module}.certificate.json"
        stale = certificate.exists() and target.exists() and target.read_bytes() != content
        wanted = {name: text.encode() for name, text in texts.items()} | {target.name: content}
        write_together(out, {name: new for name, new in wanted.items() if not _holds(out / name, new)})
        if stale and certificate.name not in texts:
            certificate.unlink()  # it belongs to the module that was replaced
        stages = out / "stages"
        for text in sorted(stages.glob("*.txt")):  # checked: nncodegen wrote it, and it is no link
            if f"stages/{text.name}" not in texts:
                text.unlink()
        if stages.is_dir() and not any(stages.iterdir()):
            stages.rmdir()
        return target


# --- the compiler ------------------------------------------------------------------------------------------------


def _compile(
    sources: Sources,
    compiler: Compiler,
    work: Path,
    flags: tuple[str, ...] | None = None,
    apart: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Path:
    """Compile the kernel, at the same time the wrapper if it is missing, and link them.

    With ``apart``, no companions are compiled, and the module is linked without the wrapper. ``flags`` are given for a
    kernel that is not optimized. ``meanwhile`` is called while the compilers run.
    """
    same_bits = is_same_everywhere(sources.files[f"{sources.module}.c"])
    optimized, flags = flags is None, (*KERNEL_FLAGS, *_linked(compiler)) if flags is None else flags
    flags = (*flags, *bits_flags(same_bits))
    flags, companions = ((*flags, "-DNNCODEGEN_APART"), ()) if apart else (flags, sources.companions)
    name, cc = sources.module, compiler.command
    kernels = {"kernel": f"{name}.c"} | {Path(file).stem.removeprefix(f"{name}_"): file for file in companions}
    needed = (part for each, file in kernels.items() for part in linked_parts(each, sources.files[file]))
    parts = tuple(dict.fromkeys(needed))
    for file, text in sources.files.items():
        (work / file).write_text(text)
    python = embedded.name_of_wrapper(wrapper_name(sources.real)) if apart else embedded.HEADER_OF_OBJECT
    (work / embedded.PYTHON).write_text(python)
    with _commands(work) as commands:
        for part, source, options in kernel_objects(name, compiler.variants, companions):
            effort = compiler.effort(sources.files[source]) if optimized else ()
            command = [*cc, *flags, *effort, *compiler.target, *options, "-fPIC", "-c", source, "-o", f"{part}.o"]
            commands.start(command, optimized and compiler.is_looked_at)
        if apart:
            shared_wrapper(sources.real, compiler)  # which the module asks for when it is imported
        shared = [] if apart else [_wrapper(sources.real, compiler), _python(compiler)]
        if optimized:
            variants = product(compiler.linked, parts)
            shared += [_library(part, sources.real, each, compiler, same_bits) for each, part in variants]
        if meanwhile:
            meanwhile()
    linked = work / f"{name}.linked"
    files = [*commands.written, *map(str, shared)]
    run_command([*cc, *shared_options(), *files, "-lm", "-pthread", "-o", linked.name], work)
    return linked


def shared_options() -> tuple[str, ...]:
    """Return the options that link a library that Python can load, without the names of what is only used inside."""
    return ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared", "-s")


def bits_flags(same_bits: bool) -> tuple[str, ...]:
    """Return the further flags where results must not depend on the CPU and the compiler."""
    return SAME_BITS_FLAGS if same_bits else ()


def _linked(compiler: Compiler) -> tuple[str, ...]:
    """Return the further flags for what is linked with the library; each kernel names its variant, if there are any."""
    if not compiler.linked:
        return ()
    return LINKED if compiler.variants else linked_with(*compiler.linked)


def shipped_file(file: str) -> Path | None:
    """Return an object that came with the package, or None.

    It is in an installed copy, even if a source folder hides that.
    """
    for installed in distributions(name="nncodegen"):
        shipped = Path(str(installed.locate_file(SHIPPED)), file)
        with suppress(OSError):
            if is_intact(shipped):
                return shipped
    return None


def _library(part: str, real: str, variant: str, compiler: Compiler, same_bits: bool = False) -> Path:
    """Return the object of a part of the library, from the package or from the cache.

    It is compiled if it is missing, for a compiler that the user has named, and for the same bits everywhere.
    """
    shipped = None if compiler.named or same_bits else shipped_file(library_object(part, real, variant))
    if shipped:
        return shipped
    flags = {each.name: each.flags for each in compiler.variants}.get(variant, compiler.target)
    path = cache_folder() / library_object(part, real, variant, (*compiler.command, *flags, compiler.macros), same_bits)
    if is_kept(path):
        return path
    with work_folder(path.stem) as work:
        if is_kept(path):  # another process has made it meanwhile
            return path
        shutil.copy(RUNTIME / "nncodegen" / "module" / "library.c", work)  # for whoever reads of an error
        options = [*library_flags(part, real, variant, same_bits), *flags, "-fPIC"]
        run_command([*compiler.command, *options, "-c", "library.c", "-o", "library.o"], work, compiler.is_looked_at)
        keep(work / "library.o", path)
    return path


def _wrapper(real: str, compiler: Compiler) -> Path:
    """Return the object of the wrapper: from the package, or from the cache, where it is compiled if it is missing."""
    source = embedded.wrapper_source()
    shipped = None if compiler.cross else shipped_file(wrapper_object(source, real, version("cython")))
    if shipped:
        return shipped
    path = cache_folder() / wrapper_object(source, real, version("cython"), compiler.command)
    if is_kept(path):
        return path
    include = python_headers()
    with work_folder(path.stem) as work:
        if is_kept(path):  # another process has made it meanwhile
            return path
        for name, text in embedded.wrapper_files().items():
            (work / name).write_text(text)
        _cythonize(work / embedded.NATIVE[0], work / f"{WRAPPER}.c")
        macros = [f"-D{name}={value}" for name, value in wrapper_macros(real)]
        options = [*WRAPPER_FLAGS, *macros, f"-I{include}", "-I.", "-fPIC", *headers_of(compiler, include, work)]
        run_command([*compiler.command, *options, "-c", f"{WRAPPER}.c", "-o", "wrapper.o"], work)
        keep(work / "wrapper.o", path)
    return path


def _python(compiler: Compiler) -> Path:
    """Return the object of the Python files that modules hold: from the package, or from the cache.

    To compress these files, and to read them as C, takes 0.07 s, and gives the same for every model.
    """
    source = embedded.source()
    shipped = None if compiler.cross else shipped_file(python_object(source))
    if shipped:
        return shipped
    path = cache_folder() / python_object(source, compiler.command)
    if is_kept(path):
        return path
    with work_folder(path.stem) as work:
        if is_kept(path):  # another process has made it meanwhile
            return path
        (work / "python.c").write_text(embedded.object_source())
        run_command([*compiler.command, *PYTHON_FLAGS, "-fPIC", "-c", "python.c", "-o", "python.o"], work)
        keep(work / "python.o", path)
    return path


@lru_cache(maxsize=2)
def wrapper_name(real: str) -> str:
    """Return the name of the shared wrapper for a floating-point type, with the hash of everything that it contains."""
    parts = (wrapper_object(embedded.wrapper_source(), real, version("cython")), embedded.source())
    return f"{real}_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def shared_wrapper(real: str, compiler: Compiler) -> Path:
    """Return the wrapper as a library of its own in the cache, linked if it is missing (``wrapper.py``).

    Raises BuildError.
    """
    made_by = hashlib.sha256("\0".join(compiler.command).encode()).hexdigest()[:16]
    path = cache_folder() / f"wrapper_{wrapper_name(real)}_{made_by}{suffix_of(None)}"
    if is_kept(path):
        return path
    wrapper = _wrapper(real, compiler)
    with work_folder(path.name) as work:
        if is_kept(path):  # another process has linked it meanwhile
            return path
        shutil.copy(RUNTIME / "nncodegen" / "module" / "wrapper.c", work)
        (work / embedded.PYTHON).write_text(embedded.header(with_texts=False))
        options = [*INCLUDE, f"-DNNCODEGEN_REAL={real}", "-std=c11", "-fPIC", *shared_options()]
        run_command(
            [*compiler.command, *options, "wrapper.c", str(wrapper), "-lm", "-pthread", "-o", "wrapper.linked"], work
        )
        keep(work / "wrapper.linked", path)
    return path


def wrapper_in_c() -> dict[str, str]:
    """Return the wrapper translated to C by Cython, and the header of a module's Python part, by file name."""
    with TemporaryDirectory() as folder:
        files = embedded.wrapper_files()
        for name, text in files.items():
            Path(folder, name).write_text(text)
        _cythonize(Path(folder, embedded.NATIVE[0]), Path(folder, f"{WRAPPER}.c"))
        return {f"{WRAPPER}.c": Path(folder, f"{WRAPPER}.c").read_text(), embedded.PYTHON: embedded.header()}


def _cythonize(source: Path, target: Path) -> None:
    """Translate a file to C, which does not depend on the folder where this is done."""
    from Cython.Compiler.Main import compile as cython  # noqa: PLC0415 (slow to import, and rarely needed)

    result = cython(str(source), full_module_name=WRAPPER, language_level=3, output_file=str(target))
    if result.num_errors:
        raise BuildError(f"Cython failed on {source}: this is a defect of nncodegen, please report it")
    folder = re.escape(source.parent.name)
    target.write_text(re.sub(rf'[^\s"]*{folder}/', "", target.read_text()))  # comments and tracebacks hold paths


def _commands(work: Path) -> Commands:
    """Return a context for the commands of a compiler in a folder."""
    return Commands(work, zig_environment(cache_folder()))


def run_command(command: list[str], work: Path, looked_at: bool = False) -> None:
    """Run one command of a compiler, whose vectors are looked at if they may be wrong: see permutations.py."""
    with _commands(work) as commands:
        commands.start(command, looked_at)


# --- the cache and the disk --------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder of built modules: $NNCODEGEN_CACHE, or one in the cache folder of the user."""
    named = os.environ.get("NNCODEGEN_CACHE")
    if named:
        return Path(named)
    from platformdirs import user_cache_path  # noqa: PLC0415 (3 ms)

    return user_cache_path("nncodegen", appauthor=False)


def is_kept(path: Path) -> bool:
    """Return whether the cache holds a file, undamaged. Raises BuildError where it cannot be read."""
    with _errors_of(cache_folder(), CACHE_ADVICE, "read"):
        return is_intact(path)


def _key(sources: Sources, compiler: Compiler) -> str:
    parts = [
        *(part for file in sources.files.items() for part in file), runtime_digest(), embedded.source(),
        *without_paths(KERNEL_FLAGS), *GCC_FLAGS, *LONG_FILE_FLAGS, *permutations.HALF, *SAME_BITS_FLAGS,
        *SAME_BITS_GCC_FLAGS, *LINKED, *without_paths(WRAPPER_FLAGS), *compiler.command, *compiler.target,
        compiler.macros, repr(compiler.variants), *interface_of_python(), version("cython"),
    ]  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def _lock(key: str) -> Iterator[None]:
    """Hold the lock of a key, which only one process can hold at a time."""
    from filelock import FileLock  # noqa: PLC0415 (10 ms, which modules that are in the cache save)

    with _errors_of(cache_folder(), CACHE_ADVICE):
        cache_folder().mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache_folder() / f"{key}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def work_folder(key: str) -> Iterator[Path]:
    """Yield an empty folder to build in, for one process at a time.

    The folder stays, with its logs, where a compiler failed. It is removed in any other case, such as Ctrl-C or a full
    disk.
    """
    with _errors_of(cache_folder(), CACHE_ADVICE), _lock(key):
        work = cache_folder() / f"{key}.work"
        shutil.rmtree(work, ignore_errors=True)  # left by a killed build; no other process holds the lock
        work.mkdir()
        try:
            yield work
        except CompilerError:
            raise
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            with suppress(OSError):
                (cache_folder() / key).rmdir()  # the folder of the module, if it is empty
            raise
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _errors_of(folder: Path, advice: str, doing: str = "write to") -> Iterator[None]:
    """Turn errors of the disk inside the context into BuildErrors that name a folder."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"cannot {doing} {folder}: {reason_of(error)}; {advice}") from error


def _files(out: Path) -> list[Path]:
    """Return the files and links in a folder, except hidden ones and Python's caches."""
    return sorted(
        path
        for path in out.rglob("*")
        if (path.is_file() or path.is_symlink())
        and not any(p.startswith(".") or p == "__pycache__" for p in path.relative_to(out).parts)
    )


def _is_ours(path: Path, out: Path) -> bool:
    """Return whether nncodegen wrote a file: its first line says so, or it is a module whose source says so."""
    if path.is_symlink():  # the file that it leads to must not change
        return False
    if path.suffix in MODULES and path.parent == out:
        kernel = out / f"{path.name.split('.')[0]}.c"
        return kernel.exists() and _is_ours(kernel, out)
    with path.open("rb") as file:
        return MARK.encode() in file.readline()


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content already."""
    return path.is_file() and path.read_bytes() == content
