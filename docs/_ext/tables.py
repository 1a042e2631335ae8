"""The directives ``activations`` and ``onnx-operators``: the tables that the code reads, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from functions import table
from sphinx.util.docutils import SphinxDirective

from nncodegen.describe.activations import RECORDS, SOFTMAX
from nncodegen.imports.onnx.operators import BOTH, GROUPS, Operator

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


class OnnxOperators(SphinxDirective):
    """A table of all operators of ONNX that are read or written."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        body = [
            (name.rpartition(".")[2], group, str(one.since or "none"), "yes" if one.read else "", _written(one))
            for group, operators in GROUPS.items()
            for name, one in sorted(operators.items())
        ]
        return [table(("operator", "group", "first opset", "read", "written"), body, (0,))]


def _written(operator: Operator) -> str:
    return "yes" if operator.written == BOTH else ", ".join(operator.written)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("activations", Activations)
    app.add_directive("onnx-operators", OnnxOperators)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
