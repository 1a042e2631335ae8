"""The directive ``activations``: every activation by name, from the table of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from functions import table
from sphinx.util.docutils import SphinxDirective

from nncodegen.compiler.describe.activations import RECORDS, SOFTMAX

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Activations(SphinxDirective):
    """A table of all activations by name."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        body = [
            (
                record.name,
                record.about,
                ", ".join(record.aliases),
                record.torch.name if record.torch else "",
                record.onnx.name if record.onnx else "",
            )
            for record in RECORDS
        ]
        body.append((SOFTMAX, "exp(z) over the sum of exp(z) over the units of the layer", "", "Softmax", "Softmax"))
        return [table(("name", "what it is", "also called", "in PyTorch", "in ONNX"), body, (0, 2, 3, 4))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("activations", Activations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
