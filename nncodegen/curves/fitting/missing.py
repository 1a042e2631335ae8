"""Data that are not finite, as SciPy's ``curve_fit`` treats them: ``check_finite`` and ``nan_policy``."""

from __future__ import annotations

from typing import Any

import numpy as np

POLICIES = (None, "raise", "omit")


def without_missing(X: Any, y: Any, sigma: Any, check_finite: Any, nan_policy: Any) -> tuple[Any, Any, Any]:
    """Return X (N,) or (N, inputs), y and sigma, without the data that are NaN in x or y where these are to be omitted.

    With neither argument, they are returned unchanged. Raises ValueError for data that are not finite, where this was
    asked for, with the place of the first.
    """
    if nan_policy not in POLICIES:
        raise ValueError(f"nan_policy is {nan_policy!r}; there are: 'raise', 'omit', None")
    if not check_finite and nan_policy is None:
        return X, y, sigma
    data = {role: np.asarray(values, float) for role, values in (("x", X), ("y", y)) if values is not None}
    if nan_policy == "omit":
        missing = np.zeros(len(data["y"]), bool)
        for values in data.values():
            if len(values) != len(missing):
                raise ValueError(f"x has {len(data['x'])} data, and y {len(missing)}: the numbers must be equal")
            missing |= np.isnan(values.reshape(len(values), -1)).any(axis=1)
        data = {role: values[~missing] for role, values in data.items()}
        if np.ndim(sigma):
            sigma = np.asarray(sigma)[~missing]
    wrong = np.isnan if not check_finite else lambda values: ~np.isfinite(values)
    for role, values in data.items():
        if (bad := wrong(values)).any():
            place = ", ".join(map(str, np.argwhere(bad)[0].tolist()))
            raise ValueError(
                f"{role}[{place}] is {values[bad][0]}, which {'check_finite' if check_finite else 'nan_policy'} "
                f"refuses; nan_policy='omit' leaves NaN out"
            )
    return data.get("x"), data["y"], sigma
