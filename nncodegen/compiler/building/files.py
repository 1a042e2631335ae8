"""Writes files atomically, and keeps digests beside them that tell whether they are damaged.

``setup.py`` reads this file before anything is installed: it needs only the standard library.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

MODULES = (".so", ".pyd")
"""The suffixes of compiled modules."""

SYNCED_AT_ONCE = 16
"""The number of files that the disk is asked to write at the same time."""


def write_at_once(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the old content or the new one, also after a crash.

    Raises OSError; then the old file is unchanged, and no temporary file is left.
    """
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files below a folder, each atomically, and none before all have been written to temporary files.

    Missing folders are created. Raises OSError; then neither temporary files nor new folders are left, and no file has
    changed, unless the system crashed or others changed the folder meanwhile.
    """
    new_folders: list[Path] = []
    waiting: list[tuple[Path, Path]] = []
    try:
        for name, content in contents.items():
            path = folder / name
            missing = [parent for parent in (path.parent, *path.parent.parents) if not parent.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            new_folders += reversed(missing)
            try:
                handle, beside = mkstemp(dir=path.parent, prefix=".")
            except OSError as error:  # which names the temporary file
                raise OSError(error.errno, error.strerror, str(path)) from error
            waiting.append((Path(beside), path))
            with open(handle, "wb") as file:
                file.write(content)
            os.chmod(beside, 0o755 if path.suffix in MODULES else 0o644)
        _sync_together([written for written, _ in waiting])
        for written, path in waiting:
            os.replace(written, path)
        _sync_together(list(dict.fromkeys(path.parent for _, path in waiting)))
    except BaseException:
        for written, _ in waiting:
            with suppress(OSError):
                written.unlink()
        for parent in reversed(new_folders):
            with suppress(OSError):  # others have written to the folder meanwhile
                parent.rmdir()
        raise


def reason_of(error: OSError) -> str:
    """Return in words why the system could not read or write; a full disk is called so."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return error.strerror or str(error)


def keep(made: Path, path: Path) -> None:
    """Move a file to its place, with its digest beside it, for ``is_intact``. Raises OSError."""
    # the digest first: while the old file is still in place, it does not match, and a reader builds the file again
    write_at_once(_seal(path), _digest(made))
    _move(made, path)


def seal(path: Path) -> None:
    """Write the digest of a file beside it. Raises OSError."""
    write_at_once(_seal(path), _digest(path))


def is_intact(path: Path) -> bool:
    """Return whether a file exists and matches the digest beside it. Raises OSError if it cannot be read."""
    try:
        return _seal(path).read_bytes() == _digest(path)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _move(made: Path, path: Path) -> None:
    """Give a file its final name after its content has reached the disk."""
    _sync(made)
    os.replace(made, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file or a folder has been written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_together(paths: Sequence[Path]) -> None:
    """Wait until several files or folders have been written to the disk.

    It is asked for all of them at once: fourteen files took 0.03 s, and 0.14 s one after the other.
    """
    if len(paths) < 2:
        for path in paths:
            _sync(path)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (5 ms, which modules in the cache save)

    with ThreadPoolExecutor(min(len(paths), SYNCED_AT_ONCE)) as pool:
        list(pool.map(_sync, paths))  # which raises the first error


def _seal(path: Path) -> Path:
    """Return the path of the file that holds the digest of another."""
    return path.with_name(f"{path.name}.sha256")


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"\n"
