"""A temporary folder with text files in it, where compilers and similar programs run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nncodegen.compiler.building.build import cache_folder
from nncodegen.compiler.building.zig import zig_environment

LONGEST_MESSAGE = 2000
"""The largest number of characters that are shown of a compiler's message."""


@dataclass(frozen=True)
class Workbench:
    """A folder where commands run, without input."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command, which may fail. Raises OSError where it cannot be run at all."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=zig_environment(cache_folder()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.folder / name).read_bytes()


@contextmanager
def workbench(texts: Mapping[str, str]) -> Iterator[Workbench]:
    """Yield a temporary folder with these files; it is removed at the end."""
    with TemporaryDirectory(prefix="nncodegen") as name:
        for file, text in texts.items():
            (Path(name) / file).write_text(text)
        yield Workbench(Path(name))


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error output of a command, cut to LONGEST_MESSAGE characters."""
    return done.stderr.strip()[:LONGEST_MESSAGE]
