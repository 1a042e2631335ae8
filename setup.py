"""One extension for each generated/*/, so that ``pip install`` ships them compiled, for several CPUs at once.

The wrapper, which is the same for every model, is compiled for each precision, and shipped as it is, too: modules that
are built later are linked with it.
"""

import runpy
import shutil
import sysconfig
from pathlib import Path

import Cython
from Cython.Compiler.Main import compile as translate
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

TARGETS = runpy.run_path(str(Path(__file__).parent / "nncodegen" / "targets.py"))
WRAPPER = "nncodegen_wrapper"


class BuildExtension(build_ext):
    """Compiles the kernel of a module for each CPU that it has a variant for, beside the wrapper."""

    def run(self):
        """Begins without the wrappers of an earlier version of the sources."""
        self.shipped = Path(self.build_lib, "nncodegen", "wrappers")
        shutil.rmtree(self.shipped, ignore_errors=True)
        super().run()

    def build_extension(self, extension):
        """Adds the objects of the kernel and the wrapper to those that the extension is linked from."""
        (folder,) = extension.include_dirs
        name = extension.name.rpartition(".")[2]
        for part, source, options in TARGETS["kernel_objects"](name, TARGETS["supported"](self.compiler.compiler_so)):
            extension.extra_objects += self.compiler.compile(
                [f"{folder}/{source}"],
                output_dir=f"{self.build_temp}/{name}/{part}",
                extra_postargs=[*TARGETS["KERNEL_FLAGS"], *options],
            )
        is_single = "precision = 'float32'" in Path(folder, f"{name}_module.c").read_text()
        wrappers = self.build_wrappers(Path(folder, f"{WRAPPER}.pyx"))
        extension.extra_objects.append(wrappers["float" if is_single else "double"])
        super().build_extension(extension)

    def build_wrappers(self, source):
        """The object of the wrapper for each type of numbers, which the package gets as well."""
        text = source.read_text()
        objects = {}
        for real in ("double", "float"):
            name = TARGETS["wrapper_object"](text, real, Cython.__version__)
            work = Path(self.build_temp, Path(name).stem)
            objects[real] = str(work / name)
            if not Path(objects[real]).exists():
                work.mkdir(parents=True, exist_ok=True)
                if translate(str(source), language_level=3, output_file=str(work / f"{WRAPPER}.c")).num_errors:
                    raise SystemExit(f"Cython failed on {source}")
                (compiled,) = self.compiler.compile(
                    [str(work / f"{WRAPPER}.c")],
                    include_dirs=[sysconfig.get_paths()["include"]],
                    macros=[("NNCODEGEN_REAL", real)],
                    extra_postargs=[*TARGETS["WRAPPER_FLAGS"], "-g0"],
                )
                Path(compiled).rename(objects[real])
            if not self.inplace:
                self.shipped.mkdir(parents=True, exist_ok=True)
                self.copy_file(objects[real], str(self.shipped / name))
        return objects


setup(
    ext_modules=[
        Extension(
            f"generated.{folder.name}.{header.stem}",
            sources=[],
            include_dirs=[folder.as_posix()],
            depends=[path.as_posix() for path in sorted(folder.iterdir()) if path.suffix in {".c", ".h", ".pyx"}],
            extra_link_args=["-lm", "-pthread"],
        )
        for folder in sorted(Path("generated").iterdir())
        for header in sorted(folder.glob("*.h"))
    ],
    cmdclass={"build_ext": BuildExtension},
)
