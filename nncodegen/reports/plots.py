"""Curves as SVG: drawn by matplotlib, with the font of the page and its colours, which are CSS variables."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Array = NDArray[np.float64]

INK, QUIET, LINE, ACCENT, SECOND, CARD = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
BLACK = "#000000"
VARIABLES = {INK: "ink", QUIET: "quiet", LINE: "line", ACCENT: "accent", SECOND: "second", CARD: "card", BLACK: "ink"}
"""Colours that occur nowhere else, and the black of results' pictures; the variables of the page replace them."""

SIZE = (5.0, 3.1)
"""The width and height of a plot, in inches of 72 pixels."""

MOST_POINTS, MOST_OF_ALL = 1500, 20_000
"""The most points of data, or of one line, and of all lines in a plot; more are thinned out, as a page holds the
picture, not the data."""

LIGHTEST = 0.005
"""The smallest weight of attention that is drawn."""

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "nncodegen", "font.family": "sans-serif", "font.size": 10.5,
    "axes.edgecolor": LINE, "axes.labelcolor": QUIET, "axes.facecolor": "none", "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.6,
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": QUIET, "ytick.labelcolor": QUIET,
    "text.color": INK, "figure.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "legend.fontsize": 10, "lines.linewidth": 1.8, "lines.solid_capstyle": "round", "axes.axisbelow": True,
    "axes.formatter.useoffset": False, "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A picture with its title, and a description in words."""

    title: str
    about: str
    svg: Markup


def picture(
    key: str, title: str, about: str, draw: Callable[[Any], object], heights: Sequence[float], **styles: Sequence[str]
) -> Plot:
    """Plot what a result draws on axes, one above the other: their heights in inches, and the styles of lines."""
    import matplotlib as mpl  # noqa: PLC0415 (optional, and slow to import)
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({**STYLE, "axes.prop_cycle": mpl.cycler(**styles)}):
        figure = Figure(figsize=(SIZE[0], sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        draw(axes)
        axes[0].set_title("")  # the page has a title
        for each in axes:
            _thin(each)
            if each.get_yscale() == "log":
                _write_powers(each)
        return drawn(figure, key, title, about)


def _thin(axes: Any) -> None:
    """Leave out points of lines, and bars of errors, where there are many."""
    most = max(50, min(MOST_POINTS, MOST_OF_ALL // max(1, len(axes.lines))))
    for line in axes.lines:
        kept = _thinned(len(line.get_xdata()), most)
        line.set_data(line.get_xdata()[kept], line.get_ydata()[kept])
    for bars in axes.collections:
        if hasattr(bars, "get_segments"):
            segments = np.asarray(bars.get_segments())
            bars.set_segments(segments[_thinned(len(segments), most)])


@contextmanager
def canvas(height: float = SIZE[1]) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its axes, in the style of the page."""
    import matplotlib as mpl  # noqa: PLC0415 (optional, and slow to import)
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        yield figure, figure.subplots()


def drawn(figure: Any, key: str, title: str, about: str) -> Plot:
    """Return a figure as a plot; ``key`` is a prefix that makes its identifiers unique in the page."""
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = written.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<= )id="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r'(href=")#([^"]+)"', rf'\1#{key}-\2"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"font: ([\d.]+)px '[^;\"]*", r"font: \1px var(--sans)", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    head = text[: text.index(">") + 1]
    width, height = (float(value) for value in re.findall(r'(?:width|height)="([\d.]+)pt"', head)[:2])
    opened = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-labelledby="{key}-title {key}-about">').format(
        width, height, key=key
    ) + Markup('<title id="{key}-title">{}</title><desc id="{key}-about">{}</desc>').format(title, about, key=key)
    return Plot(title, about, opened + Markup(text[len(head) :]))


def curves(key: str, title: str, about: str, lines: dict[str, Array], across: str, up: str, log: bool = False) -> Plot:
    """Plot curves over the integers from 1: the first in the accent colour, the others in further colours."""
    with canvas() as (figure, axes):
        for number, (name, values) in enumerate(lines.items()):
            x = np.arange(1, len(values) + 1)
            kept = _thinned(len(values))
            style = {"color": (ACCENT, SECOND, QUIET)[number % 3], "linestyle": ("-", "--", ":")[number % 3]}
            axes.plot(x[kept], np.asarray(values, float)[kept], label=name, **style)
        if log:
            axes.set_yscale("log")
            _write_powers(axes)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        if len(lines) > 1:
            axes.legend()
        return drawn(figure, key, title, about)


def histogram(key: str, title: str, about: str, before: Array, after: Array) -> Plot:
    """Plot the distributions of weights before and after."""
    low, high = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
    edges = np.linspace(low, high if high > low else low + 1, 41)
    with canvas() as (figure, axes):
        axes.hist(before, edges, histtype="step", color=SECOND, linestyle="--", linewidth=1.5, label="before")
        axes.hist(after, edges, histtype="stepfilled", color=ACCENT, alpha=0.25)
        axes.hist(after, edges, histtype="step", color=ACCENT, linewidth=1.5, label="after")
        axes.set_xlabel("value")
        axes.set_ylabel("weights")
        axes.legend()
        return drawn(figure, key, title, about)


def changes(key: str, title: str, about: str, names: list[str], before: Array, after: Array) -> Plot:
    """Plot a few parameters, each with its value before and after."""
    with canvas(0.9 + 0.26 * len(names)) as (figure, axes):
        y = np.arange(len(names))[::-1]
        axes.hlines(y, before, after, color=LINE, linewidth=2)
        axes.plot(before, y, "o", mfc=CARD, mec=SECOND, color=SECOND, markersize=6, label="before")
        axes.plot(after, y, "o", color=ACCENT, markersize=6, label="after")
        axes.set_yticks(y, names)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("value")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return drawn(figure, key, title, about)


def curve_with_data(
    key: str,
    title: str,
    about: str,
    data: tuple[Array, Array] | None,
    curve: tuple[Array, Array],
    band: tuple[Array, Array] | None,
    labels: tuple[str, str],
) -> Plot:
    """Plot data with the curve of a model over one input, and a band around it."""
    x, y = curve
    with canvas(3.4) as (figure, axes):
        if band is not None:
            axes.fill_between(x, *band, color=ACCENT, alpha=0.18, linewidth=0, label="95 % confidence")
        axes.plot(x, y, color=ACCENT, label="model")
        if data is not None:
            kept = _thinned(len(data[0]))
            axes.plot(data[0][kept], data[1][kept], "o", color=INK, markersize=4, markerfacecolor=CARD, label="data")
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend()
        return drawn(figure, key, title, about)


def scattered(key: str, title: str, about: str, x: Array, y: Array, labels: tuple[str, str], line: str) -> Plot:
    """Plot points, with a line: the diagonal, or the level 0."""
    kept = _thinned(len(x))
    with canvas(2.6 if line == "zero" else 3.4) as (figure, axes):
        if line == "zero":
            axes.axhline(0, color=QUIET, linewidth=1)
        else:
            ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
            axes.plot(ends, ends, color=QUIET, linewidth=1)
        axes.plot(x[kept], y[kept], "o", color=ACCENT, markersize=3.5, alpha=0.7)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return drawn(figure, key, title, about)


def surface(
    key: str,
    title: str,
    about: str,
    grid: tuple[Array, Array, Array],
    points: list[tuple[str, Array, Array]],
    labels: tuple[str, str],
    boundary: float | None = None,
) -> Plot:
    """Plot the outputs over two inputs as shades of the accent colour, or the areas of classes; with points of data.

    The values of the grid have the shape (H, W), or (classes, H, W). With ``boundary``, the line where the output has
    that value is drawn.
    """
    x, y, z = grid
    with canvas(4.2) as (figure, axes):
        axes.grid(visible=False)
        if z.ndim == 3:
            _regions(axes, x, y, z)
        else:
            levels = np.linspace(float(z.min()), float(z.max()), 12) if z.max() > z.min() else np.array([0.0, 1.0])
            for number, (low, high) in enumerate(pairwise(levels)):
                opacity = 0.04 + 0.5 * number / (len(levels) - 2)
                axes.contourf(x, y, z, levels=[low, high], colors=[ACCENT], alpha=opacity, extend="neither")
            if boundary is not None and z.min() < boundary < z.max():
                axes.contour(x, y, z, levels=[boundary], colors=[INK], linewidths=1.4)
        markers = (("o", CARD), ("s", INK), ("^", CARD), ("D", INK), ("v", CARD), ("P", INK))
        for number, (name, a, b) in enumerate(points):
            kept = _thinned(len(a))
            marker, fill = markers[number % len(markers)]
            style = {"color": INK, "markerfacecolor": fill, "markeredgewidth": 0.9, "markersize": 4.5}
            axes.plot(a[kept], b[kept], marker, label=name, **style)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if len(points) > 1:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=min(len(points), 4))
        return drawn(figure, key, title, about)


def looks(key: str, title: str, about: str, heads: Array) -> Plot:
    """Plot weights of attention, (heads, steps, places), as squares that are the darker, the larger a weight is."""
    import matplotlib as mpl  # noqa: PLC0415 (optional, and slow to import)
    from matplotlib.collections import PolyCollection  # noqa: PLC0415
    from matplotlib.colors import to_rgba  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = min(len(heads), 2)
    rows = -(-len(heads) // columns)
    with mpl.rc_context(STYLE):
        height = SIZE[0] / columns * min(heads.shape[1] / heads.shape[2], 1.5) + 0.3
        figure = Figure(figsize=(SIZE[0], max(1.2, height) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for number, axes in enumerate(panels.ravel()):
            axes.set_visible(number < len(heads))
            if number >= len(heads):
                continue
            places = np.argwhere(heads[number] >= LIGHTEST)
            corners = [[(s, t), (s + 1, t), (s + 1, t + 1), (s, t + 1)] for t, s in places + 0.5]
            shades = [to_rgba(ACCENT, float(min(1.0, heads[number][t, s]))) for t, s in places]
            axes.add_collection(PolyCollection(corners, facecolors=shades, edgecolors="none"))
            axes.set(xlim=(0.5, heads.shape[2] + 0.5), ylim=(heads.shape[1] + 0.5, 0.5), aspect="equal")
            axes.grid(visible=False)
            axes.set_title(f"head {number + 1}", fontsize=10, color=QUIET)
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_major_locator().set_params(integer=True)
        figure.supxlabel("place", fontsize=10.5, color=QUIET)
        figure.supylabel("step", fontsize=10.5, color=QUIET)
        return drawn(figure, key, title, about)


def _regions(axes: Any, x: Array, y: Array, z: Array) -> None:
    """Draw the areas where each class is the most probable, from its margin over the next one's probability."""
    shades = ((ACCENT, 0.34), (INK, 0.03), (INK, 0.2), (ACCENT, 0.14), (INK, 0.1), (ACCENT, 0.55))
    for number, probability in enumerate(z):
        margin = probability - np.delete(z, number, axis=0).max(axis=0)
        if not margin.min() < 0 < margin.max():
            continue
        colour, alpha = shades[number % len(shades)]
        axes.contourf(x, y, margin, levels=[0, 2], colors=[colour], alpha=alpha)
        axes.contour(x, y, margin, levels=[0], colors=[INK], linewidths=0.8)


def _write_powers(axes: Any) -> None:
    """Write the numbers at a logarithmic axis as the page does."""
    axes.yaxis.set_major_formatter(_power)
    axes.yaxis.set_minor_formatter(lambda value, place: "")


def _power(value: float, place: int | None = None) -> str:
    """Return a power of ten as text: 0.01, 1, 10⁵."""
    if 1e-4 < value < 1e5:
        return f"{value:g}"
    exponent = f"{math.log10(value):g}"
    return f"10{exponent.translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _thinned(count: int, most: int = MOST_POINTS) -> Any:
    """Return the indices of at most ``most`` of ``count`` values, evenly spaced, with the first and the last."""
    return slice(None) if count <= most else np.unique(np.linspace(0, count - 1, most).astype(int))
