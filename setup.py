"""One extension for each generated/*/, so that ``pip install`` ships them compiled, for several CPUs at once.

They become modules of nncodegen.generated.

The wrapper and the library, which are the same for every model, are compiled for each precision, the library also for
each CPU that has a variant, and shipped as they are: modules that are built later are linked with them.

Where the system has no C compiler, that of the package ziglang compiles; it is then a requirement of the build, which
pip installs.

With SOURCE_DATE_EPOCH set, the same sources give the same bytes: of the wheel, and of the archive of the sources.
"""

import gzip
import importlib.util
import io
import os
import re
import runpy
import shlex
import shutil
import sysconfig
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import product
from pathlib import Path

import Cython
from Cython.Compiler.Main import compile as translate
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

TARGETS = runpy.run_path(str(Path(__file__).parent / "nncodegen" / "compiler" / "building" / "targets.py"))
PERMUTATIONS = runpy.run_path(str(Path(TARGETS["__file__"]).with_name("permutations.py")))
FILES = runpy.run_path(str(Path(__file__).parent / "nncodegen" / "compiler" / "building" / "files.py"))
EMBEDDED = runpy.run_path(str(Path(__file__).parent / "nncodegen" / "runtime" / "embedded.py"))
WRAPPER = TARGETS["WRAPPER"]
LIBRARY = (TARGETS["RUNTIME"] / "nncodegen" / "module" / "library.c").relative_to(Path(__file__).parent.resolve())
"""The source of the library, relative as the paths of objects follow from it."""
OBJECTS = Path("build", "objects")
"""The folder in which objects are kept for the next build from the same sources."""
SINGLE = r"""    "'precision': 'float32',\n","""
"""The line of NAME_module.c that tells a model in single precision."""


def choose_compiler():
    """Name a C compiler in $CC where Python's own is missing, and return the packages that the build needs for it."""
    own = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    try:
        command = shlex.split(own)
    except ValueError as error:  # a quotation without an end
        raise SystemExit(f"the environment variable CC is no command: {own} ({error})") from error
    if command and shutil.which(command[0]):
        return []
    if os.environ.get("CC"):
        raise SystemExit(f"no C compiler was found: the environment variable CC is {own}: unset it, or correct it")
    found = next(filter(shutil.which, ("gcc", "clang", "cc")), None)
    if found:
        os.environ["CC"] = found
        return []
    package = importlib.util.find_spec("ziglang")
    if package is None:
        (needed,) = re.findall(r'^compiler = \["(.*)"\]$', Path("pyproject.toml").read_text(), re.MULTILINE)
        return [needed]
    program = str(Path(package.submodule_search_locations[0], "zig"))
    os.environ["CC"] = shlex.join([program, "cc", *TARGETS["ZIG_OPTIONS"], *TARGETS["ZIG_CPUS"]["portable"]])
    for cache in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        os.environ.setdefault(cache, str(Path("build", "zig").resolve()))
    return []


class BuildExtension(build_ext):
    """Compile the kernel of a module for each CPU that it has a variant for, beside the wrapper."""

    def run(self):
        """Begin without the wrappers of an earlier version of the sources."""
        self.shipped = None if self.inplace else Path(self.build_lib, "nncodegen", "wrappers")
        if self.shipped:
            shutil.rmtree(self.shipped, ignore_errors=True)
        self.wrappers, self.translated, self.kept = {}, None, set()
        Path("build", "python", EMBEDDED["PYTHON"]).unlink(missing_ok=True)  # of an earlier version
        super().run()
        if self.shipped:
            flags = {each.name: each.flags for each in TARGETS["supported"](self.compiler.compiler_so)}
            objects = product(TARGETS["LIBRARY"], ("double", "float"), (flags | {TARGETS["PLAIN"]: ()}).items())
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda each: self.library(*each), objects))
            self.python_files()
            self.made(TARGETS["caller_object"], (), self.caller)
        for path in OBJECTS.glob("*"):
            if path.name.removesuffix(".sha256") not in self.kept:  # of an earlier version
                path.unlink()

    @cached_property
    def identity(self):
        """The command of the compiler, what it says of itself, and this file, which has options of its own."""
        return (*self.compiler.compiler_so, self.macros, Path(__file__).read_text(encoding="utf-8"))

    @cached_property
    def macros(self):
        """The macros that the compiler defines."""
        return TARGETS["macros_of"](self.compiler.compiler_so)

    def compile_kernels(self, source, folder, flags, **named):
        """Compile a file of kernels, and return its objects. The names of folders stay out of them."""

        def compile_with(options):
            extra = [*flags, *options, "-g0"]
            return self.compiler.compile([source], output_dir=folder, extra_postargs=extra, **named)

        return PERMUTATIONS["compiled_rightly"](compile_with, self.macros, folder)

    def build_extension(self, extension):
        """Add the objects of the kernel and the wrapper to those from which the extension is linked."""
        (folder,) = extension.include_dirs
        name = extension.name.rpartition(".")[2]
        variants = TARGETS["supported"](self.compiler.compiler_so)
        companions = [f"{name}_{part}.c" for part in TARGETS["COMPANIONS"] if Path(folder, f"{name}_{part}.c").exists()]
        for part, source, options in TARGETS["kernel_objects"](name, variants, companions):
            extension.extra_objects += self.compile_kernels(
                f"{folder}/{source}",
                f"{self.build_temp}/{name}/{part}",
                [*TARGETS["KERNEL_FLAGS"], *options],
                include_dirs=[str(self.python())],
            )
        single = SINGLE in Path(folder, f"{name}_module.c").read_text().splitlines()
        extension.extra_objects.append(self.wrapper("float" if single else "double"))
        super().build_extension(extension)

    def python(self):
        """Return the folder of the header with the Python part of the runtime, which is written if it is missing."""
        folder = Path("build", "python")  # relative, as the paths of objects follow from it
        if not (folder / EMBEDDED["PYTHON"]).exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / EMBEDDED["PYTHON"]).write_text(EMBEDDED["header"](), encoding="utf-8")
        return folder

    def wrapper(self, real):
        """Return the object of the wrapper for a type of numbers; the package gets one for each type."""
        if not self.wrappers:
            text = EMBEDDED["wrapper_source"]()
            for kind in ("double", "float"):
                built = self.made(TARGETS["wrapper_object"], (text, kind, Cython.__version__), self.compiled, kind)
                self.wrappers[kind] = str(built)
        return self.wrappers[real]

    def compiled(self, real):
        """Compile the wrapper for a type of numbers, and return its object."""
        if not self.translated:
            files = EMBEDDED["wrapper_files"]()
            folder = Path("build", "cython")  # relative, as the paths of objects follow from it
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
            source, self.translated = folder / EMBEDDED["NATIVE"][0], folder / f"{WRAPPER}.c"
            done = translate(str(source), full_module_name=WRAPPER, language_level=3, output_file=str(self.translated))
            if done.num_errors:
                raise SystemExit(f"Cython failed on {source}")
        (built,) = self.compiler.compile(
            [str(self.translated)],
            output_dir=f"{self.build_temp}/{real}",
            include_dirs=[sysconfig.get_paths()["include"], str(self.translated.parent)],
            macros=TARGETS["wrapper_macros"](real),
            extra_postargs=[*TARGETS["WRAPPER_FLAGS"], "-g0"],
        )
        return built

    def library(self, part, real, variant):
        """Compile a part of the library for a type of numbers and a variant, given its name and flags, and ship it."""
        name, flags = variant

        def compiled():
            options = [*TARGETS["library_flags"](part, real, name), *flags]
            (built,) = self.compile_kernels(LIBRARY.as_posix(), f"{self.build_temp}/{part}_{real}_{name}", options)
            return built

        self.made(TARGETS["library_object"], (part, real, name), compiled)

    def python_files(self):
        """Compile the Python part of the runtime, which all modules hold, and ship it."""
        source = self.python() / "python.c"
        source.write_text(EMBEDDED["object_source"](), encoding="utf-8")
        flags = [*TARGETS["PYTHON_FLAGS"], "-g0"]

        def compiled():
            (built,) = self.compiler.compile([source.as_posix()], output_dir=self.build_temp, extra_postargs=flags)
            return built

        self.made(TARGETS["python_object"], (EMBEDDED["source"](),), compiled)

    def caller(self):
        """Compile and link the library with the type that calls functions, and return it."""
        source = (TARGETS["RUNTIME"] / "nncodegen" / "module" / "caller.c").relative_to(Path(__file__).parent.resolve())
        flags = [*TARGETS["caller_flags"](), "-g0"]
        folder = f"{self.build_temp}/caller"
        include = [sysconfig.get_paths()["include"]]
        objects = self.compiler.compile([source.as_posix()], folder, include_dirs=include, extra_postargs=flags)
        self.compiler.link_shared_object(objects, f"{folder}/caller.so", extra_postargs=["-pthread"])
        return f"{folder}/caller.so"

    def made(self, name_of, parts, compile_it, *arguments):
        """Return an object, compiled if no earlier build has left it, and put it into the package.

        It is kept in ``build`` by the hash of everything that it depends on, the compiler and its options included.
        """
        path = OBJECTS / name_of(*parts, compiler=self.identity)
        if not FILES["is_intact"](path):
            path.parent.mkdir(parents=True, exist_ok=True)
            FILES["write_at_once"](path, Path(compile_it(*arguments)).read_bytes())
            FILES["seal"](path)
        self.kept.add(path.name)
        if self.shipped:
            name = name_of(*parts)
            self.shipped.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.shipped / name)
            FILES["seal"](self.shipped / name)
        return path


class SourceDistribution(sdist):
    """An archive of the sources whose bytes depend on nothing else: not on times, owners, umask or order."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        """Write the archive, and return its path."""
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        date = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
        path = Path(f"{base_name}.tar.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=date) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for source in sorted(Path(base_dir).rglob("*")):
                if source.is_file():
                    content = source.read_bytes()
                    entry = tarfile.TarInfo(source.as_posix())
                    entry.size, entry.mtime = len(content), date
                    entry.mode = 0o755 if os.access(source, os.X_OK) else 0o644
                    archive.addfile(entry, io.BytesIO(content))
        return str(path)


JOINTS = {joint.name.removesuffix("_module.c"): joint for joint in sorted(Path("generated").glob("*/*_module.c"))}
if len(JOINTS) < len(list(Path("generated").glob("*/*_module.c"))):
    raise SystemExit("two folders of generated/ hold a module of the same name: remove one of them")

setup(
    setup_requires=choose_compiler(),
    ext_modules=[
        Extension(
            f"nncodegen.generated.{name}",
            sources=[],
            include_dirs=[joint.parent.as_posix()],
            depends=[
                path.as_posix()
                for path in sorted([*joint.parent.iterdir(), *TARGETS["RUNTIME"].rglob("*.h")])
                if path.suffix in {".c", ".h"}
            ],
            extra_link_args=["-lm", "-pthread"],
            py_limited_api=TARGETS["STABLE"],
        )
        for name, joint in JOINTS.items()
    ],
    options={"bdist_wheel": {"py_limited_api": TARGETS["STABLE_SINCE"]}} if TARGETS["STABLE"] else {},
    cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution},
)
