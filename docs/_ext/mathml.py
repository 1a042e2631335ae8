"""Formulas as MathML, which every browser sets by itself, in a font of the site: it loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

from nncodegen.reports.math_font import font_of
from nncodegen.reports.mathml import mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, which scroll where the page is narrow."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def write_font(app: Sphinx, error: Exception | None) -> None:
    """Write the font of the formulas, with the signs that the pages of the site show."""
    folder = Path(app.outdir)
    if error is None and app.builder.format == "html":
        pages = "".join(page.read_text(encoding="utf-8") for page in sorted(folder.rglob("*.html")))
        (folder / "_static" / "formulas.woff").write_bytes(font_of(pages))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the renderer ``mathml``, and the font that ``style.css`` names."""
    app.connect("build-finished", write_font)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
