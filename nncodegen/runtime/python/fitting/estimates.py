"""Estimates of the parameters of curves that are not linear, from data.

Each function takes x and y, (N,) with x ascending. An estimate need not be good: least squares gives the linear
parameters, and a search looks around it. The records of curves name these functions in the texts of their starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..ground.types import Array


def span(x: Array) -> float:
    """Return the length of the interval of x, or 1 if that is 0."""
    return float(x[-1] - x[0]) or 1.0


def middle(x: Array) -> float:
    """Return the middle of the interval of x."""
    return float(x[0] + x[-1]) / 2


def peak(x: Array, y: Array) -> tuple[float, float]:
    """Return the centre of the largest peak or dip above the chord of the data, and its area divided by its height."""
    above = y - np.interp(x, x[[0, -1]], y[[0, -1]])
    top = int(np.argmax(np.abs(above)))
    height = above[top]
    if not height:
        return middle(x), span(x) / 4
    relative = np.maximum(above / height, 0)
    left = top - int(np.argmax(relative[top::-1] < 0.1))  # where the peak has fallen to a tenth, on either side
    right = top + int(np.argmax(relative[top:] < 0.1))
    left, right = left if left < top else 0, right if right > top else len(x) - 1
    width = float(integral(x[left : right + 1], relative[left : right + 1])[-1])
    return float(x[top]), min(max(width, span(x) / (4 * len(x))), span(x))


def centre_of_peak(x: Array, y: Array) -> float:
    """Return the centre of the largest peak or dip."""
    return peak(x, y)[0]


def width_of_peak(x: Array, y: Array) -> float:
    """Return the area of the largest peak or dip divided by its height."""
    return peak(x, y)[1]


def extremes(x: Array, y: Array) -> tuple[float, float, float]:
    """Return the middle between the least and the largest value, half of their distance, and its sign."""
    low, high = float(x[np.argmin(y)]), float(x[np.argmax(y)])
    return (low + high) / 2, abs(high - low) / 2 or span(x) / 4, 1.0 if high >= low else -1.0


def summit(x: Array, y: Array) -> float:
    """Return the x above 0 of the value farthest from the first one, or the end of the data."""
    farthest = float(x[int(np.argmax(np.abs(y - y[0])))])
    return farthest if farthest > 0 else float(x[-1]) if x[-1] > 0 else 1.0


def integral(x: Array, y: Array) -> Array:
    """Return the integral of y from the first x on, by trapezoids: (N,)."""
    return np.concatenate([[0.0], np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)])


def rate_of_decay(x: Array, y: Array) -> float:
    """Return b of y = a*exp(-b*x) + c, by linear regression: y = -b*integral(y) + b*c*x + constant.

    (J. Jacquelin, Regressions et equations integrales, 2009.)
    """
    columns = np.column_stack([integral(x, y), x - x[0], np.ones_like(x)])
    b = -float(np.linalg.lstsq(columns, y, rcond=None)[0][0])
    return b if np.isfinite(b) and abs(b) > 1e-3 / span(x) else 1 / span(x)


def positive_rate(x: Array, y: Array) -> float:
    """Return the rate at which y approaches its last value, above 0."""
    b = rate_of_decay(x, y)
    return b if b > 0 else 3 / span(x)


def middle_of_step(x: Array, y: Array) -> float:
    """Return the x at which y passes the mean of its least and its largest value, where it does so between these."""
    low, high = sorted((int(np.argmin(y)), int(np.argmax(y))))
    if low == high:
        return middle(x)
    level, part = (y[low] + y[high]) / 2, y[low : high + 1]
    sign = np.sign(part - level)
    place = int(np.argmax(sign != sign[0]))
    return float(x[low + place] + x[max(low + place - 1, 0)]) / 2


def width_of_step(x: Array, y: Array) -> float:
    """Return the part of x in which y passes the middle half of its range, at least a small part of all."""
    low, high = np.quantile(y, [0.05, 0.95])
    inner = np.abs(y - (low + high) / 2) < (high - low) / 4
    return max(float(inner.mean()), 1 / len(x)) * span(x)


def half_dose(x: Array, y: Array) -> float:
    """Return the x above 0 at which half of the change has happened."""
    used = x > 0
    if used.sum() < 2:
        return 1.0
    at_half = middle_of_step(x[used], y[used])
    return at_half if at_half > 0 else float(np.median(x[used]))


def largest_frequency(x: Array, y: Array) -> float:
    """Return the angular frequency of the largest amplitude, of those that fit into the data, by least squares."""
    step = 2 * np.pi / span(x)
    angular = step * np.arange(0.5, max(len(x) / 2, 2), 0.25)
    angles = angular[:, None] * (x - x[0])
    centred = y - y.mean()
    columns = np.stack([np.sin(angles), np.cos(angles), np.ones_like(angles)], axis=2)
    q, _ = np.linalg.qr(columns)
    return float(angular[int(np.argmax((np.einsum("kni,n->ki", q, centred) ** 2).sum(axis=1)))])


def phase_of_wave(x: Array, y: Array, angular: float) -> float:
    """Return the phase of the sine of an angular frequency that is closest to the data."""
    columns = np.column_stack([np.sin(angular * x), np.cos(angular * x), np.ones_like(x)])
    sine, cosine, _ = np.linalg.lstsq(columns, y, rcond=None)[0]
    return float(np.arctan2(cosine, sine))


def slope_of_logs(x: Array, y: Array) -> float:
    """Return the slope of log|y| over log(x), where both exist."""
    used = x > 0
    return slope_of_log(np.log(x[used]), y[used])


def slope_of_log(z: Array, y: Array) -> float:
    """Return the slope of log|y| over z, where y is not 0; 1 where that does not tell it."""
    used = y != 0
    if used.sum() < 2 or np.ptp(z[used]) == 0:
        return 1.0
    return float(np.polyfit(z[used], np.log(np.abs(y[used])), 1)[0])


def slope_over_inverse(x: Array, y: Array) -> float:
    """Return the slope of log|y| over 1/x, where both exist."""
    used = x != 0
    return slope_of_log(1 / x[used], y[used])
