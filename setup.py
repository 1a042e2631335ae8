"""One extension for each generated/*/, so that ``pip install`` ships them compiled, portable to other CPUs."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = [
    "-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-DNNCODEGEN_SIMD", "-pthread",
    "-DNNCODEGEN_THREADS",
]  # fmt: skip

wrappers = sorted(Path("generated").glob("*/*.pyx"))
extensions = cythonize(
    [
        Extension(
            f"generated.{wrapper.parent.name}.{wrapper.stem}",
            sources=[wrapper.as_posix()],
            include_dirs=[wrapper.parent.as_posix()],
            extra_compile_args=FLAGS,
            extra_link_args=["-pthread"],
        )
        for wrapper in wrappers
    ],
    build_dir="build/cython",
    language_level=3,
)
for extension, wrapper in zip(extensions, wrappers, strict=True):
    # only now: Cython writes a file of the kernel's name, and would take the kernel to its folder as well
    extension.sources.append(wrapper.with_suffix(".c").as_posix())

setup(ext_modules=extensions)
