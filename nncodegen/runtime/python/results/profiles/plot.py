"""Profiles and contours as pictures, drawn by matplotlib."""

from __future__ import annotations

import math
from textwrap import fill
from typing import Any

import numpy as np

from ...ground.pictures import new_axes

ACROSS, MOST = 4, 40
"""The most pictures side by side, and the most of them."""

POINTS = 200
"""The points of a line."""

DECADES = 3
"""The decades on either side of the best value that are shown of a profile without an end."""

HIGHEST = 1.6
"""The top of a picture, in units of the level."""


def plot_profiles(profiles: Any, axes: Any) -> Any:
    """Draw profiles on axes, one for each parameter. Returns their figure."""
    names = profiles.names[:MOST]
    if axes is None:
        across = min(ACROSS, len(names))
        down = math.ceil(len(names) / across)
        axes = new_axes(down, across, figsize=(3.2 * across + 0.4, 2.7 * down + 0.5))
    axes = np.ravel(axes)
    if len(axes) < len(names):
        raise ValueError(f"there are {len(axes)} axes for {len(names)} profiles: give one for each")
    for panel, name, error in zip(axes, names, profiles.standard_errors.tolist(), strict=False):
        draw_profile(panel, profiles[name], error, profiles.level)
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    axes[0].legend(fontsize="x-small", loc="best")
    figure = axes[0].figure
    figure.supylabel("rise of the cost")
    return figure


def draw_profile(panel: Any, profile: Any, error: float, level: float) -> None:
    """Draw one profile: its line and points, the parabola of the standard error, the level, and the interval."""
    known = (profile.rises <= HIGHEST**2 * profile.level_rise) & _near(profile)
    values = profile.values[known]
    span, height = float(values[-1] - values[0]) or 1.0, profile.level_rise
    is_log = bool(values[0] > 0 and values[-1] > 30 * values[0])
    grid = np.geomspace(values[0], values[-1], POINTS) if is_log else np.linspace(values[0], values[-1], POINTS)
    panel.plot(grid, profile.rise(grid), color="C0", lw=1.5, label="profile")
    panel.plot(values, profile.rises[known], "o", color="C0", ms=3)
    if np.isfinite(error) and error > 0:
        panel.plot(grid, ((grid - profile.value) / error) ** 2, "--", color="C1", lw=1, label="standard error")
    panel.axhline(height, color="black", lw=0.8, ls=":", label=f"{100 * level:g} %")
    for end in profile.interval:
        if np.isfinite(end):
            panel.axvline(end, color="C0", lw=0.8, alpha=0.6)
    if is_log:
        panel.set_xscale("log")
    else:
        panel.set_xlim(values[0] - 0.03 * span, values[-1] + 0.03 * span)
    panel.set_ylim(0, HIGHEST * height)
    panel.set_xlabel(profile.name)
    panel.set_title(fill(profile.verdict.text, 34), fontsize="small")


def _near(profile: Any) -> Any:
    """Return which points are not far away: of flat profiles, those within DECADES on either side."""
    far, values, best = 10.0**DECADES, profile.values, profile.value
    if best > 0:
        near = (values > best / far) & (values < best * far)
    else:
        near = np.abs(values - best) < far * (abs(best) or 1.0)
    bounded = np.isfinite(profile.interval).all()
    return np.ones(len(values), bool) if bounded else near


def plot_contour(contour: Any, axes: Any) -> Any:
    """Draw a contour on axes. Returns their figure."""
    panel = new_axes()[0] if axes is None else axes
    panel.plot(*contour.points.T, "-", color="C0", label=f"{100 * contour.level:g} %")
    panel.plot(*contour.best, "+", color="black", ms=8)
    panel.set_xlabel(contour.names[0])
    panel.set_ylabel(contour.names[1])
    panel.legend()
    return panel.figure
