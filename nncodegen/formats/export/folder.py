"""The folder of an export: a file is replaced only if an earlier export wrote it; others are left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from nncodegen.compiler.building.files import reason_of, write_together
from nncodegen.compiler.emit import MARK
from nncodegen.errors import BuildError

LIST = "exported.json"
"""The file that lists what an export wrote, with a hash of each."""


def check_folder(folder: Path, names: list[str]) -> None:
    """Raise BuildError if files of these names cannot be written: some exist and are not (or no longer) exports."""
    try:
        _check_folder(folder, names)
    except OSError as error:
        raise _not_written(folder, error) from error


def _not_written(folder: Path, error: OSError) -> BuildError:
    return BuildError(f"cannot write to {folder}: {reason_of(error)}; name another folder")


def _check_folder(folder: Path, names: list[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise BuildError(f"{folder} is a file: name a folder")
    listed = _listed(folder / LIST)
    foreign = [name for name in (*names, LIST) if not _may_replace(folder / name, listed.get(name))]
    if foreign:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise BuildError(
            f"{folder} holds files that nncodegen did not write, or that were changed since "
            f"({', '.join(foreign[:5])}{more}): name another folder, or move them away"
        )


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a folder, which is created, all or none; remove files of an earlier export that are not renewed.

    Raises BuildError, before anything is written, where ``check_folder`` does, and if the disk fails.
    """
    try:
        check_folder(folder, list(files))
        earlier = _listed(folder / LIST)
        listed = {name: sha256(content).hexdigest() for name, content in files.items()}
        text = json.dumps({"generated": MARK, "files": listed}, indent=1) + "\n"
        write_together(folder, {**files, LIST: text.encode()})
        for name, hash in earlier.items():
            if name not in files and (folder / name).is_file() and _may_replace(folder / name, hash):
                (folder / name).unlink()
    except OSError as error:
        raise _not_written(folder, error) from error


def _may_replace(path: Path, hash: str | None) -> bool:
    """Return whether a path is free, or holds an unchanged file of an export; the list itself is checked by content."""
    if path.is_symlink():  # the file that it leads to must not change
        return False
    if not path.exists():
        return True
    if path.name == LIST and hash is None:
        return bool(_listed(path))
    return path.is_file() and hash == sha256(path.read_bytes()).hexdigest()


def _listed(path: Path) -> dict[str, str]:
    """Return the names and hashes in the list of an earlier export; an empty dictionary without such a list."""
    try:
        text = json.loads(path.read_text())
        inside = {name: hash for name, hash in text["files"].items() if not _leaves(str(name))}
        return inside if text["generated"] == MARK else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _leaves(name: str) -> bool:
    """Return whether a name in a list would lead out of the folder."""
    return Path(name).is_absolute() or ".." in Path(name).parts
