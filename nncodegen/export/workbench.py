"""A temporary folder with texts in it, where compilers and their like run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nncodegen.build import cache_folder
from nncodegen.zig import zig_environment

LONGEST_MESSAGE = 2000
"""As many letters of what a compiler says are shown."""


@dataclass(frozen=True)
class Workbench:
    """The folder, in which commands run without input."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command, which may fail. Raises OSError where it cannot be run at all."""
        return subprocess.run(
            command, cwd=self.folder, env=zig_environment(cache_folder()), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.folder / name).read_bytes()


@contextmanager
def workbench(texts: Mapping[str, str]) -> Iterator[Workbench]:
    """A folder with these files, which is removed in the end."""
    with TemporaryDirectory(prefix="nncodegen") as name:
        for file, text in texts.items():
            (Path(name) / file).write_text(text)
        yield Workbench(Path(name))


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said that failed, if not too long."""
    return done.stderr.strip()[:LONGEST_MESSAGE]
