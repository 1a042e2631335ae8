"""The graph of a network as SVG: laid out by a library, with the colours and letters of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nncodegen.reports.graph import Diagram, DrawnNode, Edge

LETTER, LINE, PADDING, ROUND = 7.3, 18.0, 12.0, 26.0
"""The width of a letter, the height of a line, the space around them, and the radius of corners, in pixels."""

_NAME = re.compile(r"(?<![A-Za-z])([A-Za-z])(?:_(?=[a-z]+\d))?((?<=_)[a-z]+\d+|(?<!_)\d+)(?!\w)")


@dataclass(frozen=True)
class Text:
    """A part of a line; ``below`` says that it is a subscript."""

    text: str
    below: bool = False


@dataclass(frozen=True)
class Box:
    """A node in the drawing: its centre and its size, and its lines with their heights."""

    node: DrawnNode
    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Return the left end."""
        return round(self.x - self.width / 2, 1)

    @property
    def top(self) -> float:
        """Return the upper end."""
        return round(self.y - self.height / 2, 1)

    @property
    def lines(self) -> list[tuple[float, list[Text]]]:
        """Return the lines, each with the height of its base line."""
        first = self.y - LINE * (len(self.node.lines) - 1) / 2 + 4.5
        return [(round(first + LINE * k, 1), parts(line)) for k, line in enumerate(self.node.lines)]


@dataclass(frozen=True)
class Line:
    """An edge in the drawing: its path, and its label with its position."""

    edge: Edge
    path: str
    x: float
    y: float
    label: list[Text]
    shared: bool
    """True if the edge comes from a parameter."""


@dataclass(frozen=True)
class Drawing:
    """A graph laid out: its boxes and lines, its corner, and its size."""

    boxes: list[Box]
    lines: list[Line]
    left: float
    top: float
    width: float
    height: float


def drawing(graph: Diagram) -> Drawing:
    """Return the graph, laid out from the top to the bottom."""
    import graphlay  # noqa: PLC0415 (optional)

    request = graphlay.Graph()
    sizes = {key: _size(node) for key, node in graph.nodes.items()}
    for key, (width, height) in sizes.items():
        request.node(key, width=width, height=height)
    for edge in graph.edges:
        label = {"label_size": {"width": LETTER * len(edge.label) + 8, "height": LINE}} if edge.label else {}
        request.edge(edge.source, edge.target, **label)
    between = 70.0 if any(edge.label for edge in graph.edges) else 52.0
    options = {
        "direction": "topbottom",
        "routing": {"style": "diagonal"},
        "spacing": {"layer_gap": between, "node_gap": 36.0},
    }
    placed = graphlay.layout(request, options=options)
    boxes = [
        Box(node, round(laid["center"]["x"], 1), round(laid["center"]["y"], 1), *sizes[key])
        for (key, node), laid in zip(graph.nodes.items(), placed.nodes, strict=True)
    ]
    lines = [
        _line(edge, laid, graph.nodes[edge.source].kind == "parameter")
        for edge, laid in zip(graph.edges, placed.edges, strict=True)
    ]
    low, high = placed.bounds["min"], placed.bounds["max"]
    margin = 8.0
    return Drawing(
        boxes,
        lines,
        round(low["x"] - margin, 1),
        round(low["y"] - margin, 1),
        round(high["x"] - low["x"] + 2 * margin, 1),
        round(high["y"] - low["y"] + 2 * margin, 1),
    )


def parts(line: str) -> list[Text]:
    """Return a line in parts: the digits of a name such as w13 become a subscript, and so does f1 of z_f1."""
    texts, at = [], 0
    for match in _NAME.finditer(line):
        texts += [Text(line[at : match.end(1)]), Text(match[2], below=True)]
        at = match.end()
    return [part for part in [*texts, Text(line[at:])] if part.text]


def _size(node: DrawnNode) -> tuple[float, float]:
    longest = max((len(line) for line in node.lines), default=1)
    width = max(40.0, LETTER * longest + 2 * PADDING)
    height = LINE * len(node.lines) + PADDING
    return (round(width, 1), round(height, 1)) if node.kind != "parameter" else (max(width, 40.0), max(height, 32.0))


def _line(edge: Edge, laid: dict[str, Any], shared: bool) -> Line:
    points = [(round(point["x"], 1), round(point["y"], 1)) for point in laid["points"]]
    anchor = laid.get("label_anchor")
    x, y = (anchor["x"], anchor["y"]) if anchor else points[0]
    return Line(edge, _path(points), round(x, 1), round(y + 4.5, 1), parts(edge.label), shared)


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return a line through points, which is rounded where it bends."""
    path = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path += f" L{_near(corner, before)} Q{corner[0]:g} {corner[1]:g} {_near(corner, after)}"
    return f"{path} L{points[-1][0]:g} {points[-1][1]:g}"


def _near(corner: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a point beside a corner, towards an end."""
    along = end[0] - corner[0], end[1] - corner[1]
    length = math.hypot(*along) or 1.0
    part = min(ROUND, length / 2) / length
    return f"{corner[0] + along[0] * part:.1f} {corner[1] + along[1] * part:.1f}"
