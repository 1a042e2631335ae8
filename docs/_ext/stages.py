"""The directives ``stage`` and ``report``: what the compiler makes of a model, printed when the site is built."""

from __future__ import annotations

import importlib
import importlib.util
import posixpath
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

import nncodegen as nn
from nncodegen import perceptron
from nncodegen.compiler.describe import Describable
from nncodegen.compiler.pipeline import Compiled
from nncodegen.compiler.show import ABOUT, shown

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH = 96
"""The characters of a line, as many as a page of the site has room for."""


def digits() -> Describable:
    """Return the network 64-32-10 for handwritten digits."""
    layers = [nn.Dense(32, "tanh"), nn.Dense(10, "softmax")]
    return nn.Sequential(layers, inputs=64, loss="categorical_crossentropy", name="digits")


MODELS: dict[str, Callable[[], Describable]] = {"perceptron": lambda: perceptron.model, "digits": digits}
"""The models whose stages the site shows."""


LANGUAGES = {"schedule": "text", "emit": "c"}
"""The colouring of the text of a stage; that of the others is coloured as formulas in Python."""


@cache
def compiled(name: str) -> Compiled:
    """Return a model, and what the stages up to C make of it."""
    return nn.compile_model(MODELS[name](), until="emit")


def text_of(model: str, stage: str, begin: str | None, end: str | None) -> str:
    """Return the text of a stage, or its lines from one that begins with a text to one that begins with another."""
    lines = shown(compiled(model).stages, [stage], [], False, WIDTH).rstrip("\n").split("\n")[2:]
    first = next(k for k, line in enumerate(lines) if line.strip().startswith(begin)) if begin else 0
    last = next(k for k, line in enumerate(lines[first:], first) if line.strip().startswith(end)) if end else len(lines)
    return "\n".join(lines[first:last]).rstrip()


class Stage(SphinxDirective):
    """``{stage} MODEL STAGE``: the text of a stage; with options, from a line that begins so to one that begins so."""

    required_arguments = 2
    option_spec: ClassVar[dict[str, Any]] = {"from": directives.unchanged, "to": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the text as a block of code."""
        model, stage = self.arguments
        if model not in MODELS or stage not in ABOUT:
            raise self.error(f"there is no stage {stage} of {model}")
        text = text_of(model, stage, self.options.get("from"), self.options.get("to"))
        return [nodes.literal_block(text, text, language=LANGUAGES.get(stage, "python"), classes=["stage"])]


class Report(SphinxDirective):
    """``{report} MODEL``: a link to the model's report, where this nncodegen writes reports; else nothing."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a paragraph with the link."""
        (model,) = self.arguments
        if model not in MODELS:
            raise self.error(f"there is no model {model}")
        if not has_reports():
            return []
        up = posixpath.relpath(f"reports/{model}.html", posixpath.dirname(self.env.docname) or ".")
        name = f"The whole report of {model}"
        link = nodes.reference("", name, refuri=up, internal=True)
        return [nodes.paragraph("", "", link, nodes.Text(": every formula, step and decision, on one page."))]


def has_reports() -> bool:
    """Return whether this nncodegen can write reports."""
    return importlib.util.find_spec("nncodegen.reports") is not None


def write_reports(app: Sphinx, error: Exception | None) -> None:
    """Write the reports to which pages link."""
    if error or app.builder.format != "html" or not has_reports():
        return
    folder = Path(app.outdir) / "reports"
    folder.mkdir(exist_ok=True)
    for name, make in MODELS.items():
        importlib.import_module("nncodegen.reports").report(make()).save(folder / f"{name}.html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("stage", Stage)
    app.add_directive("report", Report)
    app.connect("build-finished", write_reports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
