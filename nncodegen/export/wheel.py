"""A model as a wheel: a package that pip installs, with the compiled module, for one version of Python and a system."""

from __future__ import annotations

import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipInfo

from packaging.tags import Tag, sys_tags
from wheel.wheelfile import WheelFile

from nncodegen.export.package import REQUIRES, VERSION, Package, package_of
from nncodegen.export.request import Exported, Request
from nncodegen.zig import check_cross

DATE = (1980, 1, 1, 0, 0, 0)
"""Of all files, so that the same model gives the same bytes."""

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
    """A wheel whose files have the same date."""

    def writestr(self, given: str | ZipInfo, data: Any, compress_type: int | None = None) -> None:
        """Adds a file."""
        info = ZipInfo(given.filename if isinstance(given, ZipInfo) else given, DATE)
        info.external_attr = (0o755 if info.filename.endswith(".so") else 0o644) | stat.S_IFREG
        info.external_attr <<= 16
        super().writestr(info, data, ZIP_DEFLATED)


def files(request: Request) -> Exported:
    """The wheel, for this Python and this system, or that of ``cross``; ModelError and BuildError are raised."""
    package = package_of(request, "build", request.cross)
    tag = tag_of(request.cross)
    name = f"{package.title}-{VERSION}-{tag}.whl"
    content = _packed(name, tag, request.name, package)
    version = f"{tag.interpreter[2:3]}.{tag.interpreter[3:]}"
    report = f"pip install {name}  # for Python {version} and {tag.platform}; needs NumPy"
    return Exported({name: content}, f"{report}\npython -m {request.name}  # tests it")


def tag_of(cross: str | None) -> Tag:
    """For which Python and system a wheel is.

    It is named after the system alone, as nobody has looked at the libraries of other distributions. For another
    machine, the version of glibc that was asked for is what it needs, and stands in the name (PEP 600).
    """
    own = next(tag for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))
    if cross is None:
        return own
    family, glibc = check_cross(cross)
    return Tag(own.interpreter, own.abi, f"manylinux_{glibc}_{family}" if glibc else f"linux_{family}")


def _packed(name: str, tag: Tag, module: str, package: Package) -> bytes:
    """The wheel as a file."""
    built = package.compiled.built
    python = f"=={tag.interpreter[2:3]}.{tag.interpreter[3:]}.*"
    metadata = METADATA.format(
        title=package.title, version=VERSION, summary=package.summary, python=python, requires=REQUIRES,
        documentation=package.documentation,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        with _Dated(path, "w") as wheel:
            for file, content in sorted(package.files.items()):
                wheel.writestr(f"{module}/{file}", content)
            wheel.writestr(f"{module}/{built.path.name}", built.path.read_bytes())
            wheel.writestr(f"{wheel.dist_info_path}/METADATA", metadata)
            wheel.writestr(f"{wheel.dist_info_path}/WHEEL", WHEEL.format(tag=tag))
        return path.read_bytes()
