"""A model as a source distribution: C that pip compiles where it is installed, for any version of Python and CPU."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

from nncodegen.compiler.building import permutations, targets
from nncodegen.compiler.building.build import wrapper_in_c
from nncodegen.formats.export.request import Exported, Request
from nncodegen.formats.wheel.package import REQUIRES, VERSION, Package, package_of

SETUP = Path(__file__).with_name("package_setup.py")

PROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "{title}"
version = "{version}"
description = {summary}
requires-python = ">=3.10"
dependencies = ["{requires}"]
"""

INFO = """\
Metadata-Version: 2.1
Name: {title}
Version: {version}
Summary: {summary}
Requires-Python: >=3.10
Requires-Dist: {requires}

{documentation}
"""


def files(request: Request) -> Exported:
    """Return the source distribution, which needs neither nncodegen nor Cython to be built.

    Its C is that of this version of nncodegen. Raises ModelError.
    """
    package = package_of(request, "emit")
    name = f"{package.title}-{VERSION}"
    content = _packed(name, _sources(request, package))
    report = f"pip install {name}.tar.gz  # with GCC or Clang and the headers of Python"
    return Exported({f"{name}.tar.gz": content}, f"{report}\npython -m {request.name}  # tests it")


def _sources(request: Request, package: Package) -> dict[str, bytes]:
    """Return the files of the distribution by name."""
    sources = package.compiled.sources
    model = {"name": request.name, "title": package.title, "real": sources.real, "companions": sources.companions}
    terms = {
        "title": package.title,
        "version": VERSION,
        "requires": REQUIRES,
        "documentation": package.documentation,
    }
    texts = {
        "PKG-INFO": INFO.format(summary=package.summary, **terms),
        "pyproject.toml": PROJECT.format(summary=json.dumps(package.summary), **terms),
        "setup.py": SETUP.read_text(encoding="utf-8"),
        "targets.py": Path(targets.__file__).read_text(encoding="utf-8"),
        "permutations.py": Path(permutations.__file__).read_text(encoding="utf-8"),
        "model.json": json.dumps(model, indent=1) + "\n",
    }
    in_c = {name: text for name, text in sources.files.items() if name.endswith((".c", ".h"))} | wrapper_in_c()
    texts |= {f"c/{name}": text for name, text in in_c.items()}
    headers = sorted(targets.RUNTIME.rglob("*.h"))
    texts |= {
        f"runtime/c/{path.relative_to(targets.RUNTIME).as_posix()}": path.read_text(encoding="utf-8")
        for path in headers
    }
    return {name: text.encode() for name, text in texts.items()} | {
        f"{request.name}/{name}": content for name, content in package.files.items()
    }


def _packed(folder: str, contents: dict[str, bytes]) -> bytes:
    """Return files in a folder as a compressed archive; equal files give equal bytes."""
    stream = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
