"""The C, compiled for another machine: an object file to link, and the test program."""

from __future__ import annotations

from collections.abc import Mapping

from nncodegen.compiler.building.zig import find_cross_compiler
from nncodegen.errors import BuildError
from nncodegen.formats.export.workbench import said, workbench


def binaries(name: str, texts: Mapping[str, str], cross: str) -> dict[str, bytes]:
    """Return NAME.o and NAME_test for a machine such as "aarch64-linux-gnu". Raises BuildError."""
    compiler = (*find_cross_compiler(cross), "-std=c99", "-O2")
    steps = (
        (*compiler, "-c", f"{name}.c", "-o", f"{name}.o"),
        (*compiler, f"{name}_test.c", f"{name}.o", "-lm", "-o", f"{name}_test"),
    )
    with workbench(texts) as bench:
        for step in steps:
            done = bench.run(*step)
            if done.returncode != 0:
                raise BuildError(f"{name} could not be compiled for {cross}: {said(done)}")
        return {file: bench.read(file) for file in (f"{name}.o", f"{name}_test")}
