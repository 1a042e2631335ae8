"""Draws a chart: how many times as long as nncodegen each peer takes, and the times of builds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from nncodegen.bench.peers import PEERS
from nncodegen.bench.report import Measurement, short

COLORS = {"float64": "#1f4e79", "float32": "#e08e2b"}
STAGES = ("#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#e08e2b")
"""The colors of the stages: shades of blue for six, and another color for the C compiler."""

INK, FAINT = "#333333", "#dddddd"
COLUMNS, WIDTH = 3, 15.0
STYLE = {
    "font.size": 9, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "svg.fonttype": "none",
    "legend.frameon": False, "legend.fontsize": 8,
}  # fmt: skip

Panel = tuple[int, Callable[[Any], None]]
"""The height of a panel in lines, and the function that draws it."""


def plot(measurements: list[Measurement], results: dict[str, Any], file: Path) -> None:
    """Draw all measurements into one file."""
    with mpl.rc_context(STYLE):
        kinds = (_ratio_panels(measurements), _build_panels(results), _growth_panels(results))
        rows = [row for panels in kinds for row in _rows(panels)]
        heights = [1.0 + 0.21 * max(lines for lines, _ in row) for row in rows] or [1.0]
        figure = Figure(figsize=(WIDTH, sum(heights) + 1.1), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1, rect=(0, 0, 1, 1 - 0.85 / (sum(heights) + 1.1)))
        grid = figure.add_gridspec(max(1, len(rows)), COLUMNS, height_ratios=heights)
        for number, row in enumerate(rows):
            for column, (_, draw) in enumerate(row):
                draw(figure.add_subplot(grid[number, column]))
        _heading(figure, results, bool(measurements))
        figure.savefig(file, dpi=150, facecolor="white", metadata=None)


def _heading(figure: Any, results: dict[str, Any], compared: bool) -> None:
    machine, height = results["machine"], figure.get_figheight()
    cores = results["settings"]["threads"]
    quick = "; a quick look, no figures to quote" if results["settings"]["quick"] else ""
    title = "How many times as long as nncodegen?" if compared else "What nncodegen needs to build a module"
    figure.text(0.012, 1 - 0.18 / height, title, fontsize=16, fontweight="bold", va="top")
    what = "Medians of the same arithmetic, on a logarithmic scale; the line at 1 is nncodegen. " if compared else ""
    where = f"{machine['cpu']}, {cores} core{'s' if cores > 1 else ''}, {machine['date'][:10]}{quick}"
    figure.text(0.012, 1 - 0.56 / height, what + where, fontsize=9.5, va="top")
    if compared:
        measured = [precision for precision in COLORS if precision in results["peaks"]]
        swatches = [Patch(color=COLORS[precision], label=precision) for precision in measured]
        figure.legend(handles=swatches, loc="upper right", ncols=2, fontsize=10, borderaxespad=0.8)


def _rows(panels: list[Panel]) -> list[list[Panel]]:
    return [panels[begin : begin + COLUMNS] for begin in range(0, len(panels), COLUMNS)]


# --- peers -------------------------------------------------------------------------------------------------------


def _ratio_panels(measurements: list[Measurement]) -> list[Panel]:
    """Return one panel for each case of a workload, with both precisions in it."""
    cases: dict[tuple[str, str], list[Measurement]] = {}
    for measured in measurements:
        cases.setdefault((measured.workload, measured.case), []).append(measured)
    return [
        (2 + sum(len(measured.timings) - 1 for measured in group), partial(_ratios, group)) for group in cases.values()
    ]


def _ratios(group: list[Measurement], axes: Any) -> None:
    """Draw horizontal bars from 1, to the right where nncodegen is faster."""
    axes.set_title(", ".join(filter(None, [group[0].workload, group[0].case])))
    peers = [name for name in PEERS if any(timing.peer == name for m in group for timing in m.timings[1:])]
    position, ticks, ratios = 0.0, [], []
    for peer in peers:
        bars = [(m, timing) for m in group for timing in m.timings if timing.peer == peer]
        for k, (measured, timing) in enumerate(bars):
            ratio = measured.ratio(timing)
            ratios.append(ratio)
            axes.barh(position + k, ratio - 1, left=1, height=0.86, color=COLORS[measured.precision])
            axes.annotate(
                f"{short(ratio)}",
                (max(ratio, 1), position + k),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        ticks.append(position + (len(bars) - 1) / 2)
        position += len(bars) + 0.5
    axes.set_xscale("log")
    low, high = min([1, *ratios]), max([2, *ratios])
    axes.set_xlim(low / 1.15, high * (high / low) ** 0.18)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(ticks, [PEERS[peer].title for peer in peers])
    axes.set_ylim(max(position - 0.5, 1) - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1,), numticks=7))
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


# --- builds ------------------------------------------------------------------------------------------------------


def _build_panels(results: dict[str, Any]) -> list[Panel]:
    return [
        (10, partial(_builds, rows, kind, precision))
        for precision, rows in results["builds"].items()
        for kind in ("cold", "cached")
    ]


def _builds(rows: list[dict[str, Any]], kind: str, precision: str, axes: Any) -> None:
    """Draw one bar for each model, its stages side by side."""
    axes.set_title(f"build, {kind}, {precision}: seconds")
    chosen = [row for row in rows if row["kind"] == kind]
    for position, row in enumerate(chosen):
        left = 0.0
        for (stage, seconds), color in zip(row["stages"].items(), STAGES, strict=True):
            axes.barh(position, seconds, left=left, height=0.7, color=color, label=stage if position == 0 else None)
            left += seconds
        axes.annotate(f"{left:.2f}", (left, position), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(chosen)), [row["model"].split(",")[0] for row in chosen])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=4)


# --- growth ------------------------------------------------------------------------------------------------------


def _growth_panels(results: dict[str, Any]) -> list[Panel]:
    panels: list[Panel] = []
    for precision, rows in results["growth"].items():
        for axis in dict.fromkeys(row["axis"] for row in rows):
            some = [row for row in rows if row["axis"] == axis]
            panels.append((10, partial(_growth, some, f"growth with {axis}, {precision}")))
    return panels


def _growth(rows: list[dict[str, Any]], title: str, axes: Any) -> None:
    """Draw three lines, each relative to its value at the smallest size, which stands in the legend."""
    axes.set_title(title)
    sizes = [row["size"] for row in rows]
    lines: tuple[tuple[str, str, str, str, Callable[[float], str]], ...] = (
        ("build", "build", COLORS["float64"], "o", lambda v: f"{v:.2f} s"),
        ("bytes of C", "bytes", "#7a7a7a", "s", lambda v: f"{v / 1e3:.0f} kB"),
        ("a sample", "sample", COLORS["float32"], "^", lambda v: f"{short(v * 1e9)} ns"),
    )
    for name, key, color, marker, show in lines:
        values = [row[key] for row in rows]
        label = f"{name}, from {show(values[0])} to {show(values[-1])}"
        axes.plot(sizes, [v / values[0] for v in values], color=color, marker=marker, markersize=4, label=label)
    largest = max(row[key] / rows[0][key] for _, key, *_ in lines for row in rows)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if largest < 60 else (1,), numticks=8))
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0.5, max(4, largest * 4 ** (1 + math.log10(max(largest, 1)) / 4)))
    axes.set_ylabel(f"times that of size {sizes[0]:,}")
    axes.grid(color=FAINT, linewidth=0.6)
    axes.legend(loc="upper left")
