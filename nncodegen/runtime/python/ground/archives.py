"""Reading the arrays of an .npz archive: each size is checked before reading, and nothing is unpickled.

nncodegen also reads its own archives with it, and exported packages read the archives that they are given.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .types import Array

NUMBERS = "real numbers"
"""The ``kind`` that makes ``read_member`` accept any real type."""

LONGEST_HEADER = 65_536 + 10
"""The most bytes before the values of an array, in the header version that NumPy writes for ordinary field names."""


def members_of(archive: zipfile.ZipFile, file: Any, compressed: bool = False) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays in an archive, by name. Raises ValueError if they would be larger than the file.

    If they may be ``compressed``, their sizes are known only from their headers, which ``read_member`` checks.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members or name == member.filename:
            raise ValueError(f"it holds {member.filename[:50]!r}, which is no array, or there twice")
        if not compressed and (member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size):
            raise ValueError(f"{name[:50]!r} is compressed")
        members[name] = member
    if not compressed and sum(m.file_size for m in members.values()) > file.seek(0, os.SEEK_END):
        raise ValueError("its parts are larger than the file")
    return members


def shape_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[int, ...]:
    """Return the shape of an array; only its header is read. Raises ValueError."""
    return _header(archive, member)[0]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: tuple[Any, ...], kind: Any) -> Array:
    """Return an array of a shape (None: any length) and type ("U": any text; NUMBERS: any real). Raises ValueError."""
    sizes, by_columns, stored_type, begin = _header(archive, member)
    count = math.prod(sizes)
    fits = len(sizes) == len(shape) and all(n in (None, m) for n, m in zip(shape, sizes, strict=True))
    if isinstance(kind, str) and kind == NUMBERS:
        known = stored_type.kind in "biuf"
    else:
        known = (stored_type.kind == "U" or not count) if isinstance(kind, str) and kind == "U" else stored_type == kind
    if not fits or not known or stored_type.hasobject:
        name = member.filename.removesuffix(".npy").removeprefix("state.")
        raise ValueError(f"{name[:50]} has the shape {sizes} and the type {stored_type}; expected {shape}, {kind}")
    if count * stored_type.itemsize != member.file_size - begin:
        raise ValueError(f"{member.filename[:50]} is not as long as it says")
    with archive.open(member) as stream:
        stream.read(begin)
        content = bytearray(stream.read())  # up to the end, where the checksum is compared
    array = np.frombuffer(content, stored_type) if count else np.empty(0, stored_type)
    return array.reshape(sizes, order="F" if by_columns else "C")


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, Any, int]:
    """Return the shape of an array, whether it is in Fortran order, its type, and the offset of its values."""
    with archive.open(member) as stream:
        head = io.BytesIO(stream.read(LONGEST_HEADER))
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError(f"{member.filename[:50]} has a format that is not known")
    sizes, by_columns, kind = np.lib.format.read_array_header_1_0(head)
    return sizes, by_columns, kind, head.tell()


def read_parameters(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]]) -> Array | dict[str, Array]:
    """Return the parameters in an .npz archive, whose content is not trusted.

    The archive holds those of a Result, one array with all values (P,), or one array of its shape for each name. Raises
    OSError, and ValueError for anything else, before an array of another size is read.
    """
    whole = (sum(math.prod(shape) for shape in shapes.values()),)
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("is no .npz archive: save a Result (result.save), or arrays with numpy.savez")
        try:
            with zipfile.ZipFile(file) as archive:
                members = members_of(archive, file, compressed=True)
                if set(members) == set(shapes):
                    return {name: read_member(archive, members[name], shapes[name], NUMBERS) for name in shapes}
                if "parameters" in members or len(members) == 1:
                    chosen = members["parameters"] if "parameters" in members else next(iter(members.values()))
                    return read_member(archive, chosen, whole, NUMBERS)
        except Exception as error:  # a damaged archive may raise any error
            raise ValueError(f"is damaged, or does not hold the parameters of this model: {error}") from error
    names = ", ".join(name[:50] for name in list(members)[:5])
    raise ValueError(f"holds {names or 'no arrays'}; expected parameters, one array, or: {', '.join(shapes)}")
