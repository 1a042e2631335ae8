"""The C, compiled for another machine: an object to link, and its test as a program."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from nncodegen.build import cache_folder
from nncodegen.errors import BuildError
from nncodegen.zig import find_cross_compiler, zig_environment


def binaries(name: str, texts: Mapping[str, str], cross: str) -> dict[str, bytes]:
    """NAME.o and NAME_test for a machine such as "aarch64-linux-gnu". Raises BuildError."""
    compiler = (*find_cross_compiler(cross), "-std=c99", "-O2")
    steps = (
        (*compiler, "-c", f"{name}.c", "-o", f"{name}.o"),
        (*compiler, f"{name}_test.c", f"{name}.o", "-lm", "-o", f"{name}_test"),
    )
    with TemporaryDirectory(prefix="nncodegen") as folder:
        for file, text in texts.items():
            (Path(folder) / file).write_text(text)
        for step in steps:
            done = subprocess.run(
                step, cwd=folder, env=zig_environment(cache_folder()), stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise BuildError(f"{name} could not be compiled for {cross}: {done.stderr.strip()[:2000]}")
        return {file: (Path(folder) / file).read_bytes() for file in (f"{name}.o", f"{name}_test")}
