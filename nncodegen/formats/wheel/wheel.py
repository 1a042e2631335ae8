"""A model as a wheel: a package for pip, with the compiled module, for one system and Python 3.11 or newer."""

from __future__ import annotations

import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipInfo

from packaging.tags import Tag, sys_tags
from wheel.wheelfile import WheelFile

from nncodegen.compiler.building.targets import STABLE, STABLE_SINCE
from nncodegen.compiler.building.zig import check_cross
from nncodegen.formats.export.request import Exported, Request
from nncodegen.formats.wheel.package import REQUIRES, VERSION, Package, package_of

DATE = (1980, 1, 1, 0, 0, 0)
"""The date of all files; it is fixed, so that the same model gives the same bytes."""

METADATA = """\
Metadata-Version: 2.1
Name: {title}
Version: {version}
Summary: {summary}
Requires-Python: {python}
Requires-Dist: {requires}
Description-Content-Type: text/plain

{documentation}
"""

WHEEL = """\
Wheel-Version: 1.0
Generator: nncodegen
Root-Is-Purelib: false
Tag: {tag}
"""


class _Dated(WheelFile):  # type: ignore[misc, unused-ignore]
    """A wheel whose files all have the same date."""

    def writestr(self, zinfo_or_arcname: str | ZipInfo, data: Any, compress_type: int | None = None) -> None:
        """Add a file with the fixed date and fixed permissions."""
        info = ZipInfo(zinfo_or_arcname.filename if isinstance(zinfo_or_arcname, ZipInfo) else zinfo_or_arcname, DATE)
        info.external_attr = (0o755 if info.filename.endswith(".so") else 0o644) | stat.S_IFREG
        info.external_attr <<= 16
        super().writestr(info, data, ZIP_DEFLATED)


def files(request: Request) -> Exported:
    """Return the wheel for this system, or that of ``cross``, and Python 3.11 or newer, or the version before.

    Raises ModelError and BuildError.
    """
    package = package_of(request, "build", request.options.cross)
    tag = tag_of(request.options.cross)
    name = f"{package.title}-{VERSION}-{tag}.whl"
    content = _packed(name, tag, request.name, package)
    newer = " or newer" if STABLE else ""
    report = f"pip install {name}  # for Python {_version(tag)}{newer} and {tag.platform}; needs NumPy"
    return Exported({name: content}, f"{report}\npython -m {request.name}  # tests it")


def tag_of(cross: str | None) -> Tag:
    """Return the tag of the Python and the system that a wheel is for.

    On this machine, the tag names only the system ("linux"), because the libraries of other distributions have not been
    checked. For another machine, the tag names the version of glibc that was asked for, which the wheel needs (PEP
    600).
    """
    built = next(tag for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))
    if STABLE:
        built = Tag(STABLE_SINCE, "abi3", built.platform)
    if cross is None:
        return built
    family, glibc = check_cross(cross)
    return Tag(built.interpreter, built.abi, f"manylinux_{glibc}_{family}" if glibc else f"linux_{family}")


def _version(tag: Tag) -> str:
    """Return the version of Python in a tag: 3.11 for cp311."""
    return f"{tag.interpreter[2:3]}.{tag.interpreter[3:]}"


def _packed(name: str, tag: Tag, module: str, package: Package) -> bytes:
    """Return the content of the wheel file."""
    built = package.compiled.built
    python = f">={_version(tag)}" if STABLE else f"=={_version(tag)}.*"
    metadata = METADATA.format(
        title=package.title,
        version=VERSION,
        summary=package.summary,
        python=python,
        requires=REQUIRES,
        documentation=package.documentation,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        with _Dated(path, "w") as wheel:
            for file, content in sorted(package.files.items()):
                wheel.writestr(f"{module}/{file}", content)
            wheel.writestr(f"{module}/{built.path.name}", built.path.read_bytes())
            wheel.writestr(f"{wheel.dist_info_path}/METADATA", metadata)
            wheel.writestr(f"{wheel.dist_info_path}/WHEEL", WHEEL.format(tag=tag))
        return path.read_bytes()
