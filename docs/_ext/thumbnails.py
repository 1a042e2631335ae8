"""Alternative texts of the thumbnails in the gallery: the titles of the examples, where sphinx-gallery gives none."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TITLE = re.compile(r'class="sphx-glr-thumbnail-title">(.*?)</div>', re.DOTALL)
"""The title below a thumbnail."""


def name_thumbnails(app: Any, document: nodes.document) -> None:
    """Give each thumbnail without a text the title that follows it."""
    waiting: list[nodes.image] = []
    for node in document.findall(lambda node: isinstance(node, nodes.image | nodes.raw)):
        if isinstance(node, nodes.image):
            if "_thumb." in node["uri"] and not node.get("alt"):
                waiting.append(node)
        elif title := TITLE.search(node.astext()):
            for image in waiting:
                image["alt"] = html.unescape(title[1]).strip()
            waiting = []


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the reading of pages."""
    app.connect("doctree-read", name_thumbnails)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
