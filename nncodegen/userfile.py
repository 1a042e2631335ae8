"""A user's Python file: run under a name that is no other module's, its neighbours within its reach."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from nncodegen.errors import ModelError, NncodegenError

OURS = Path(__file__).parent
NOBODYS = ("<frozen", contextlib.__file__)
"""What stands in a traceback between our frames and a user's."""


class UserFileError(ModelError):
    """A user's file failed: the message says where and why, ``trace`` holds the lines that led there, as text."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


def run_file(path: Path) -> ModuleType:
    """The module that a Python file makes. Raises ModelError."""
    name = f"nncodegen.files.{path.stem}"  # a model.py that is called queue.py must be nobody's queue
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is no Python file: give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _neighbours(path.absolute()):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _told(error, path) from error
    return module


def _told(error: BaseException, path: Path) -> UserFileError:
    """An error of a file as people read it: its place and its message, and the frames but for our own."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    while frames and Path(frames[0].filename) != path.absolute():  # how we came there
        del frames[0]
    theirs = [f for f in frames if OURS not in Path(f.filename).parents and not f.filename.startswith(NOBODYS)]
    trace = "".join(traceback.StackSummary.from_list(theirs).format())
    if isinstance(error, SyntaxError):
        trace += "".join(traceback.format_exception_only(error)[:-1])
        if error.filename == str(path.absolute()):
            lines.append(error.lineno)
    if isinstance(error, NncodegenError):  # it names the culprit
        return UserFileError(str(error), trace)
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return UserFileError(f"{where}: {type(error).__name__}: {error}", trace)


@contextlib.contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """What is imported meanwhile may lie beside a file, as for `python MODEL.py`; but modules of Python come first."""
    finder = _Finder(path)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds modules beside a file, but for those of the names of Python's modules and for the file itself."""

    def __init__(self, path: Path) -> None:
        self.folder, self.taken = str(path.parent), {*sys.stdlib_module_names, path.stem}

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """The spec of a module beside the file, if it is there."""
        if path is not None or name in self.taken:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [self.folder])
