"""Runs a user's Python file as a module with a unique name; it can import the files beside it."""

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

from nncodegen.errors import ModelError, NncodegenError, UserFileError

OURS = Path(__file__).parents[1]
NOBODYS = ("<frozen", contextlib.__file__)
"""Files whose frames stand in a traceback between nncodegen's and the user's."""


def run_file(path: Path) -> ModuleType:
    """Run a Python file and return it as a module. Raises ModelError."""
    name = f"nncodegen.files.{path.stem}"  # a user's queue.py must not replace the module queue of Python
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file: give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _neighbours(path.absolute()):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _as_user_file_error(error, path) from error
    return module


def _as_user_file_error(error: BaseException, path: Path) -> UserFileError:
    """Return an error in a user's file as a UserFileError: place, message, and traceback without nncodegen's frames."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    while frames and Path(frames[0].filename) != path.absolute():  # nncodegen's frames
        del frames[0]
    theirs = [f for f in frames if OURS not in Path(f.filename).parents and not f.filename.startswith(NOBODYS)]
    trace = "".join(traceback.StackSummary.from_list(theirs).format())
    if isinstance(error, SyntaxError):
        trace += "".join(traceback.format_exception_only(error)[:-1])
        if error.filename == str(path.absolute()):
            lines.append(error.lineno)
    if isinstance(error, NncodegenError):  # its message says already what is wrong
        return UserFileError(str(error), trace)
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return UserFileError(f"{where}: {type(error).__name__}: {error}", trace)


@contextlib.contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """Let imports find modules beside a file, as `python MODEL.py` does; modules of Python come first."""
    finder = _Finder(path)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """An import finder for modules beside a file, except the file itself and those named like a module of Python."""

    def __init__(self, path: Path) -> None:
        self.folder, self.taken = str(path.parent), {*sys.stdlib_module_names, path.stem}

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """Return the spec of a module beside the file, or None."""
        if path is not None or name in self.taken:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [self.folder])
