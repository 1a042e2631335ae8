"""Reads the arrays of an .npz archive: none before its size is checked, and nothing is unpickled.

nncodegen reads its own archives with it as well.
"""

from __future__ import annotations

import math
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .types import Array


def members_of(archive: zipfile.ZipFile, file: Any) -> dict[str, zipfile.ZipInfo]:
    """The arrays in an archive, by name. Raises ValueError where they would be larger than the file."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in found or name == member.filename:
            raise ValueError(f"it holds {member.filename[:50]!r}, which is no array, or there twice")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"{name[:50]!r} is compressed")
        found[name] = member
    if sum(member.file_size for member in found.values()) > os.fstat(file.fileno()).st_size:
        raise ValueError("its parts are larger than the file")
    return found


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: tuple[Any, ...], kind: Any) -> Array:
    """An array of a shape (None: any length) and a type ("U": texts of any length), or a ValueError."""
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} has a format that is not known")
        sizes, by_columns, found = np.lib.format.read_array_header_1_0(stream)
        count = math.prod(sizes)
        fits = len(sizes) == len(shape) and all(n in (None, m) for n, m in zip(shape, sizes, strict=True))
        known = (found.kind == "U" or not count) if kind == "U" else found == kind
        if not fits or not known or found.hasobject:
            name = member.filename.removesuffix(".npy").removeprefix("state.")
            raise ValueError(f"{name} has the shape {sizes} and the type {found}; expected {shape}, {kind}")
        if count * found.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} is not as long as it says")
        content = bytearray(stream.read())  # to its end, where its checksum is compared
    array = np.frombuffer(content, found) if count else np.empty(0, found)
    return array.reshape(sizes, order="F" if by_columns else "C")
