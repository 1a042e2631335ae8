"""Arrays of the files of profiles."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..saved import MANY_PROFILES, PROFILES, head

if TYPE_CHECKING:
    from ...ground.types import Array


def arrays_of_profiles(profiles: Any) -> dict[str, Array]:
    """Return the arrays of the file of the profiles of a fit."""
    verdicts = [
        [verdict.word, verdict.detail, "\n".join(verdict.together), "\n".join(verdict.combinations)]
        for verdict in profiles._verdicts
    ]
    return (
        head(profiles.result._model, PROFILES)
        | _arrays(profiles.result, profiles)
        | {
            "names": np.array(profiles.names),
            "verdicts": np.array(verdicts),
        }
    )


def arrays_of_many(profiles: Any) -> dict[str, Array]:
    """Return the arrays of the file of the profiles of many fits."""
    return (
        head(profiles._fits._model, MANY_PROFILES)
        | _arrays(profiles._fits, profiles)
        | {
            "places": profiles._places.astype(np.int64),
            "positions": profiles._positions.astype(np.int64),
            "quantities": np.array(profiles.names[len(profiles._positions) :], str),
            "lower": np.array(sorted(profiles._followed.lower), np.int64),
        }
    )


def _arrays(fit: Any, profiles: Any) -> dict[str, Array]:
    """Return the arrays of what was followed, and those of the fit, as the bytes of its file."""
    file = BytesIO()
    np.savez(file, **fit._archive())
    followed = profiles._followed
    return {
        "fit": np.frombuffer(file.getvalue(), np.uint8),
        "level": np.array(profiles.level, float),
        "begins": followed.curves.begins.astype(np.int64),
        **{name: getattr(followed.curves, name) for name in ("u", "z", "values", "points")},
        "intervals": followed.intervals,
        "ends": followed.ends.astype(np.int8),
        "axis": np.stack([part.astype(float) for part in followed.axis]),
        "scale": np.array([np.atleast_1d(part) for part in profiles._scale], float),
    }
