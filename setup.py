"""One extension for each generated/*/, so that ``pip install`` ships them compiled, for several CPUs at once."""

import runpy
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

TARGETS = runpy.run_path(str(Path(__file__).parent / "nncodegen" / "targets.py"))


class BuildExtension(build_ext):
    """Compiles the kernel of a module for each CPU that it has a variant for, beside the wrapper."""

    def build_extension(self, extension):
        """Adds the objects of the kernel to those that the extension is linked from."""
        (folder,) = extension.include_dirs
        name = extension.name.rpartition(".")[2]
        for part, source, options in TARGETS["kernel_objects"](name, TARGETS["supported"](self.compiler.compiler_so)):
            extension.extra_objects += self.compiler.compile(
                [f"{folder}/{source}"],
                output_dir=f"{self.build_temp}/{name}/{part}",
                extra_postargs=[*TARGETS["KERNEL_FLAGS"], *options],
            )
        super().build_extension(extension)


extensions = cythonize(
    [
        Extension(
            f"generated.{wrapper.parent.name}.{wrapper.stem}",
            sources=[wrapper.as_posix()],
            include_dirs=[wrapper.parent.as_posix()],
            extra_compile_args=[*TARGETS["WRAPPER_FLAGS"]],
            extra_link_args=["-lm", "-pthread"],
        )
        for wrapper in sorted(Path("generated").glob("*/*.pyx"))
    ],
    build_dir="build/cython",
    language_level=3,
)
for extension in extensions:
    # only now: Cython writes a file of the kernel's name, and would take the kernel to its folder as well
    (folder,) = extension.include_dirs
    extension.depends += [path.as_posix() for path in sorted(Path(folder).glob("*.[ch]"))]

setup(ext_modules=extensions, cmdclass={"build_ext": BuildExtension})
