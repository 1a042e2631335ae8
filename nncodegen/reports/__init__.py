"""A page that shows what a model computes and why its gradient is right: ``nn.report``."""

from __future__ import annotations

import html
import sys
from os import PathLike
from pathlib import Path
from typing import Any

from nncodegen.compiler.building.files import reason_of, write_at_once
from nncodegen.compiler.emit import MARK
from nncodegen.errors import BuildError
from nncodegen.runtime.python.ground.missing import missing_package


class Report:
    """A report: one self-contained page of HTML.

    name   the name of the model
    html   the page, at most 2 MB
    """

    __slots__ = ("html", "name")

    def __init__(self, name: str, html: str) -> None:
        self.name = name
        self.html = html

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file, atomically. Raises BuildError if that fails, or if the file is no report."""
        target = Path(path)
        check_target(target)
        try:
            write_at_once(target, self.html.encode())
        except OSError as error:
            raise BuildError(f"cannot write {target}: {reason_of(error)}; name another file") from error

    def __repr__(self) -> str:
        return f"<Report: {self.name}, {len(self.html.encode()):,} bytes>"

    def _repr_html_(self) -> str:
        """Return the page in a frame, as notebooks show it."""
        source = html.escape(self.html)
        style = "width: 100%; height: 44rem; border: 1px solid #8888; border-radius: .5rem"
        return f'<iframe title="Report of {html.escape(self.name)}" style="{style}" srcdoc="{source}"></iframe>'


def report(
    model: Any,
    result: Any = None,
    data: Any = None,
    precision: str | None = None,
    certificate: Any = None,
    certify: bool = False,
) -> Report:
    """Return a page that shows what a model computes: its graph, formulas, derivatives, C and numbers.

    model        a Model, a Sequential or another model, a fitted estimator, or a trained model of a table
    result       a result of ``train``, ``minimize`` or ``fit``, or profiles of a fit, the path of the .npz file of
                 one, or parameters (P,); or a result of ``train_many`` or ``fit_many``, whose best model is drawn
    data         (X, Y), or X alone, as ``train`` takes them; or the path of a CSV file, or of an .npz archive with X
                 and Y. Columns of a CSV file are found by the names of inputs and targets, else taken in this order
    precision    "float64" or "float32"; by default the model's own, or float64
    certificate  the certificate of the model's module, or the path of its file; by default the one beside the built
                 module, in the cache or in the folder generated/NAME, if one exists
    certify      whether to build and examine the module now, as ``nn.certify`` does, which takes some seconds

    A formula that is given data and no result is fitted to them; the perceptron that nncodegen ships is trained as its
    command trains it. Everything else is shown with the parameters of the result, or with those with which a training
    begins. The page can train the model itself where the model and the data are small and a compiler for WebAssembly is
    installed.

    Returns a Report: ``save(path)`` writes it; a notebook shows it. Raises ModelError, which says what is wrong with
    the arguments, and MissingDependencyError where the libraries of the extra [report] are missing.
    """
    _check_libraries()
    from nncodegen.reports.page_data import make  # noqa: PLC0415 (its libraries are optional)

    page = make(model, result, data, precision, certificate, certify, sys.modules["nncodegen"].__version__)
    return Report(_name(model), page)


def _check_libraries() -> None:
    """Raise MissingDependencyError, which says how to install them, if the libraries of reports are not installed."""
    try:
        import fontTools  # noqa: F401, PLC0415 (optional)
        import graphlay  # noqa: F401, PLC0415
        import jinja2  # noqa: F401, PLC0415
        import latex2mathml  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, PLC0415
        import pygments  # noqa: F401, PLC0415

        from nncodegen.reports.math_font import font_file  # noqa: PLC0415

        font_file()
    except ImportError as error:
        raise missing_package("a report", str(error.name), "'nncodegen[report]'") from error


def _name(model: Any) -> str:
    subject = model.exportable().model if hasattr(model, "exportable") else model
    return str(subject.name)


def check_target(path: Path) -> None:
    """Raise BuildError if a report cannot be written to a path: it is a folder, or a file that is no report."""
    if path.is_dir():
        raise BuildError(f"{path} is a folder: name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise BuildError(f"there is no folder {path.parent}: make it, or name another file")
    if path.is_symlink() or path.exists():
        try:
            with path.open("rb") as file:
                ours = not path.is_symlink() and MARK.encode() in file.read(200)
        except OSError as error:
            raise BuildError(f"cannot read {path}: {error.strerror or error}; name another file") from error
        if not ours:
            raise BuildError(f"{path} is no report of nncodegen, and is left as it is: name another file")
