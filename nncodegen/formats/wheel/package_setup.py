"""The setup script of a model's source distribution: compiles its C where the package is installed.

It is copied into the source distribution as ``setup.py``, beside ``model.json``, which holds the names.
"""

import json
import runpy
import sysconfig
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

TARGETS, PERMUTATIONS = runpy.run_path("targets.py"), runpy.run_path("permutations.py")
MODEL = json.loads(Path("model.json").read_text())
NAME = MODEL["name"]
SAME_BITS = TARGETS["is_same_everywhere"](Path(f"c/{NAME}.c").read_text(encoding="utf-8"))
SAME_BITS_FLAGS = TARGETS["SAME_BITS_FLAGS"] if SAME_BITS else ()
"""Flags without which the results of this model would depend on the CPU and the compiler, if they promise not to."""


class BuildExtension(build_ext):
    """A build step that compiles the kernel for each CPU that it has a variant for, in addition to the wrapper."""

    def build_extension(self, extension: Extension) -> None:
        """Compile the objects of the kernel, and add them to those that the extension is linked from."""
        command = self.compiler.compiler_so
        variants, macros = TARGETS["supported"](command), TARGETS["macros_of"](command)
        for part, source, options in TARGETS["kernel_objects"](NAME, variants, MODEL["companions"]):
            effort = TARGETS["effort"](macros, Path(f"c/{source}").read_text(encoding="utf-8"))
            flags = [*TARGETS["KERNEL_FLAGS"], *SAME_BITS_FLAGS, *effort, *options]
            folder = f"{self.build_temp}/{part}"
            compile_with = partial(self.compile_kernels, f"c/{source}", folder, flags)
            extension.extra_objects += PERMUTATIONS["compiled_rightly"](compile_with, macros, folder)
        super().build_extension(extension)

    def compile_kernels(self, source: str, folder: str, flags: list[str], options: Sequence[str]) -> list[str]:
        """Compile a file of kernels into a folder, and return its objects."""
        objects: list[str] = self.compiler.compile([source], output_dir=folder, extra_postargs=[*flags, *options])
        return objects


if __name__ == "__main__":
    setup(
        name=MODEL["title"],
        packages=[NAME],
        package_data={NAME: ["*.npz", "*.npy", "*.pyi", "py.typed"]},
        ext_modules=[
            Extension(
                f"{NAME}.{NAME}",
                sources=[f"c/{TARGETS['WRAPPER']}.c"],
                include_dirs=["c", sysconfig.get_paths()["include"]],
                define_macros=TARGETS["wrapper_macros"](MODEL["real"]),
                extra_compile_args=[*TARGETS["WRAPPER_FLAGS"], "-g0"],
                extra_link_args=["-lm", "-pthread"],
                py_limited_api=TARGETS["STABLE"],
            )
        ],
        options={"bdist_wheel": {"py_limited_api": TARGETS["STABLE_SINCE"]}} if TARGETS["STABLE"] else {},
        cmdclass={"build_ext": BuildExtension},
    )
