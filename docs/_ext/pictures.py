"""The directive ``picture``: what the Python of a page has drawn up to there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LOOK = {
    "figure.figsize": (6.4, 3.8),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=["#1f5fa8", "#c2601f", "#2e7d4f", "#7a4fa3", "#8a8a8a"]),
    "legend.frameon": False,
    "svg.hashsalt": "nncodegen",
}
"""The look of all pictures of the site."""

BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def drawn(text: str, path: Path) -> None:
    """Run the blocks of Python in a text, one after the other, and keep their figures."""
    names: dict[str, Any] = {"__name__": "document"}
    before = Path.cwd()
    with mpl.rc_context(LOOK), contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for block in BLOCK.findall(text):
                exec(compile(block, str(path.name), "exec"), names)
            plt.savefig(path, metadata={"Date": None})
        finally:
            os.chdir(before)
            plt.close("all")


class Picture(SphinxDirective):
    """``{picture} TEXT``: the figure that is open after the blocks of Python before it; the text says what it shows."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the figure as an image."""
        source = Path(self.env.doc2path(self.env.docname))
        folder = Path(self.env.srcdir) / "pictures"
        folder.mkdir(exist_ok=True)
        name = f"{self.env.docname.replace('/', '_')}_{self.lineno}.svg"
        mpl.use("agg")
        drawn("\n".join(source.read_text().split("\n")[: self.lineno - 1]), folder / name)
        return [nodes.image(uri=f"/pictures/{name}", alt=self.arguments[0], classes=["picture"])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
