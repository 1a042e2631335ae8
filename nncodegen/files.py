"""Files that are written at once, and such that are kept with their digest: all that is needed of the disk.

``setup.py`` reads this file before anything is installed: it needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

MODULES = (".so", ".pyd")
"""How the names of compiled modules end."""


def write_at_once(path: Path, content: bytes) -> None:
    """Writes a file so that its readers, and a machine that fails, see the old content or the new.

    Raises OSError; then the old file is whole, and nothing lies beside it.
    """
    handle, name = mkstemp(dir=path.parent, prefix=".")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o755 if path.suffix in MODULES else 0o644)
        _move(Path(name), path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def keep(made: Path, path: Path) -> None:
    """Moves a file to its place, with its digest beside it, for ``is_intact``. Raises OSError."""
    write_at_once(_seal(path), _digest(made))  # first: a reader who finds the old file then makes it anew
    _move(made, path)


def seal(path: Path) -> None:
    """Writes the digest of a file beside it. Raises OSError."""
    write_at_once(_seal(path), _digest(path))


def is_intact(path: Path) -> bool:
    """Whether a file is there, as it was when its digest was written. Raises OSError where that cannot be told."""
    try:
        return _seal(path).read_bytes() == _digest(path)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _move(made: Path, path: Path) -> None:
    """Gives a file its name once all of it is on the disk."""
    _sync(made)
    os.replace(made, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _seal(path: Path) -> Path:
    """Where the digest of a file lies."""
    return path.with_name(f"{path.name}.sha256")


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"\n"
