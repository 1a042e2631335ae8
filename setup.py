"""One extension for each generated/*/, so that ``pip install`` ships them compiled, portable to other CPUs."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-DNNCODEGEN_SIMD"]

extensions = [
    Extension(
        f"generated.{wrapper.parent.name}.{wrapper.stem}",
        sources=[wrapper.as_posix(), wrapper.with_suffix(".c").as_posix()],
        include_dirs=[wrapper.parent.as_posix()],
        extra_compile_args=FLAGS,
    )
    for wrapper in sorted(Path("generated").glob("*/*.pyx"))
]

# build_dir: Cython's C must not be written over the kernel, which has the same name
setup(ext_modules=cythonize(extensions, build_dir="build/cython", language_level=3))
