"""Reads weights that lie in files beside an ONNX file, as torch.onnx writes them.

The ONNX file names these files, and may come from anywhere. So they are looked for in its folder alone, by names that
cannot leave it, and only the bytes that the declared shape of a tensor takes are read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from nncodegen.errors import ModelError

MOST_BYTES = 512 * 2**20
"""The most bytes that are read from an ONNX file, and again from all files beside it."""


class Beside:
    """The files beside an ONNX file, in its folder, which is None for a graph without a path."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._left = MOST_BYTES

    def read(self, tensor: Any, size: int, role: str) -> bytes:
        """Return the bytes of an external tensor, which has this size. Raise ModelError, OSError."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if self._folder is None:
            raise ModelError(
                f"{role} lies in another file, {location[:80]!r}, and without a path it is not known where that is: "
                f"call from_onnx with the path of the ONNX file, or save the network in one file "
                f"(external_data=False of torch.onnx.export)"
            )
        path = self._path(location, role)
        offset, length = (_whole(entries.get(key), key, role) for key in ("offset", "length"))
        if length is not None and length != size:
            raise ModelError(f"{role} says that it has {length:,} bytes in {location!r}; its shape takes {size:,}")
        self._left -= size
        if self._left < 0:
            raise ModelError(f"the tensors in files beside the ONNX file have more than {MOST_BYTES:,} bytes in all")
        with _opened(path, role) as file:
            there, start = os.fstat(file.fileno()).st_size, offset or 0
            if start + size > there:
                raise ModelError(
                    f"{role} takes the bytes {start:,} to {start + size:,} of {location!r}, which has {there:,}: the "
                    f"file is cut off, or belongs to another network"
                )
            file.seek(start)
            content: bytes = file.read(size)
        if len(content) != size:
            raise ModelError(f"{location!r} changed while {role} was read from it")
        return content

    def _path(self, location: str, role: str) -> Path:
        """Return the path of a file in the folder. Raise ModelError for one that leaves it, also by a link."""
        posix, windows = PurePosixPath(location), PureWindowsPath(location)
        outside = windows.drive or windows.root or ".." in posix.parts or ".." in windows.parts or "\\" in location
        if not posix.parts or outside or not location.isprintable():
            raise ModelError(
                f"{role} lies in {location[:80]!r}, which is not read: data beside an ONNX file have a name within its "
                f"folder, without '..' and not from the root"
            )
        path = self._folder or Path()
        for part in posix.parts:
            path /= part
            if path.is_symlink():
                raise ModelError(
                    f"{role} lies in {location!r}, where {part!r} is a symbolic link, which is not followed"
                )
        return path


def _whole(value: str | None, key: str, role: str) -> int | None:
    """Read a number of bytes, which a file gives as a text. Raise ModelError."""
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 19):
        raise ModelError(f"{role} has the {key} {value[:40]!r} in another file: a number of bytes from 0")
    return int(value)


def _opened(path: Path, role: str) -> Any:
    """Open a regular file. Raise ModelError for anything else."""
    try:
        handle = os.open(
            path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        )
    except FileNotFoundError as error:
        raise ModelError(
            f"{role} lies in {path.name!r}, which is not there: the file belongs beside the ONNX file, in {path.parent}"
        ) from error
    except OSError as error:
        raise ModelError(f"{role} lies in {path.name!r}, which cannot be read: {error}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ModelError(f"{role} lies in {path.name!r}, which is no file")
    return os.fdopen(handle, "rb")
