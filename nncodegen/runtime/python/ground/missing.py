"""The error for packages that are not installed, which has one wording wherever they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module


class MissingDependencyError(ImportError):
    """The error where the package nncodegen, whose error of that name is raised elsewhere, is not installed either."""


def missing_package(what: str, package: str, install: str) -> ImportError:
    """Return the error for a package that ``what`` needs; pip installs it by the name ``install``.

    It is ``nncodegen.MissingDependencyError`` where that can be imported, by its name: the runtime travels without it.
    """
    kind: type[ImportError] = MissingDependencyError
    with suppress(ImportError, AttributeError):  # there is none, or one of another version
        kind = import_module("nncodegen.errors").MissingDependencyError
    return kind(f"{what} needs {package}, which is not installed: python -m pip install {install}")


@contextmanager
def needed(what: str, package: str, install: str) -> Iterator[None]:
    """Open a context that imports a package: an ImportError becomes the error for one that is not installed."""
    try:
        yield
    except ImportError as error:
        raise missing_package(what, package, install) from error
