"""The folder of what the searches for forms of formulas have found, in the cache of modules."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nncodegen.compiler.building.build import cache_folder
from nncodegen.compiler.building.files import write_at_once
from nncodegen.compiler.building.targets import compiler_digest

SEARCHES = "searches_"
"""The beginning of the name of the folder; it goes on with the digest of the code that searches."""


class Searches:
    """The forms that have been found, a file for each. Where the disk fails, nothing is known, and nothing is kept."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a name; empty where there are none."""
        try:
            return (_folder() / name).read_bytes()
        except OSError:
            return b""

    def write(self, name: str, content: bytes) -> None:
        """Keep the bytes of a name, if the disk allows it."""
        with suppress(OSError):
            write_at_once(_folder() / name, content)


def _folder() -> Path:
    return cache_folder() / f"{SEARCHES}{compiler_digest()}"
