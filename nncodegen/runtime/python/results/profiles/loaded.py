"""Profiles from the arrays of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .axis import Axis
from .follow import Followed
from .joined import Curves
from .many import ManyProfiles
from .profile import Profiles, Scale
from .verdicts import Verdict
from .walk import UNFINISHED

if TYPE_CHECKING:
    from ...ground.types import Array


def of_profiles(result: Any, arrays: dict[str, Array]) -> Profiles:
    """Return the profiles of a fit from the arrays of a file. Raises ValueError if they do not fit together."""
    names = tuple(arrays["names"].tolist())
    if (
        not set(names) <= {*result.names, *result.derived.names}
        or len(arrays["verdicts"]) != len(names)
        or len(arrays["scale"].T) != 1
    ):
        raise ValueError("its parts do not fit together")
    followed = _followed(arrays, len(names), len(result.names))
    verdicts = [
        Verdict(word, detail, tuple(together.splitlines()), tuple(combinations.splitlines()))
        for word, detail, together, combinations in arrays["verdicts"].tolist()
    ]
    scale = Scale(*arrays["scale"][:, 0].tolist())
    return Profiles(result, names, float(arrays["level"]), scale, followed, verdicts)


def of_many_profiles(fits: Any, arrays: dict[str, Array]) -> ManyProfiles:
    """Return the profiles of many fits from the arrays of a file. Raises ValueError if they do not fit together."""
    places, positions = arrays["places"].astype(np.intp), arrays["positions"].astype(np.intp)
    inside = [
        (part >= 0).all() and (part < most).all() for part, most in ((places, len(fits)), (positions, len(fits.names)))
    ]
    quantities = tuple(arrays["quantities"].tolist()) if "quantities" in arrays else ()
    known = set(quantities) <= set(fits.derived.names) and len(arrays["scale"].T) == len(places)
    if not known or not all(inside) or not (arrays["lower"] < len(places)).all():
        raise ValueError("its parts do not fit together")
    followed = _followed(arrays, len(places) * (len(positions) + len(quantities)), len(fits.names))
    lower = {fit: (np.nan, np.full(len(fits.names), np.nan)) for fit in arrays["lower"].tolist()}
    scale = Scale(*arrays["scale"])
    followed = followed._replace(lower=lower)
    return ManyProfiles(fits, places, positions, float(arrays["level"]), scale, followed, quantities)


def _followed(arrays: dict[str, Array], count: int, parameters: int) -> Followed:
    """Return what was followed, ``count`` profiles. Raises ValueError if the arrays do not fit together."""
    begins, points = arrays["begins"].astype(np.intp), arrays["points"]
    known = len(points)
    fits = (
        len(begins) == count + 1
        and begins[0] == 0
        and begins[-1] == known
        and (np.diff(begins) > 0).all()
        and points.shape[1] == parameters
        and all(len(arrays[name]) == known for name in ("u", "z", "values"))
        and len(arrays["intervals"]) == len(arrays["ends"]) == count
        and arrays["axis"].shape == (len(Axis._fields), count)
        and (arrays["ends"] >= 0).all()
        and (arrays["ends"] <= UNFINISHED).all()
    )
    if not fits:
        raise ValueError("its parts do not fit together")
    curves = Curves(begins, *(arrays[name] for name in ("u", "z", "values", "points")))
    best, unit, low, high, is_log, *others = arrays["axis"]
    return Followed(curves, arrays["intervals"], arrays["ends"], Axis(best, unit, low, high, is_log > 0, *others), {})
