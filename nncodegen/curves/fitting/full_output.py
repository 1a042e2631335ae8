"""The additional results of SciPy's ``curve_fit`` with ``full_output``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nncodegen.runtime.module import Module
    from nncodegen.runtime.python import FitResult

    Array = np.ndarray[Any, np.dtype[Any]]

ENDS = {"cost": 1, "step": 2, "gradient": 4}
"""MINPACK's codes for the tests of convergence, by the names of a fit's endings."""


def full_output_of(result: FitResult, module: Module, X: Any, y: Any, sigma: Any) -> tuple[dict[str, Any], str, int]:
    """Return infodict, mesg and ier, as SciPy's ``leastsq`` gives them. Missing data count as 0."""
    scale = 1.0 if sigma is None else np.asarray(sigma, float)
    data = np.asarray(y, float).ravel()
    known = np.isfinite(data)
    outputs = np.broadcast_to(module.predict(result.parameters, X)[:, 0], data.shape)
    residuals = np.where(known, (outputs - data) / scale, 0.0)
    slopes = np.broadcast_to(module.jacobian(result.parameters, X)[:, 0], (len(data), len(result.parameters)))
    J = np.where(known[:, None], slopes / np.reshape(scale, (-1, 1)), 0.0)
    Q, R, order = _pivoted(J)
    fjac = np.zeros(J.T.shape)
    fjac[:, : len(R)] = R.T
    info = {"nfev": result.evaluations, "fvec": residuals, "fjac": fjac, "ipvt": order + 1, "qtf": Q.T @ residuals}
    return info, result.message, ENDS[result._ending]


def _pivoted(J: Array) -> tuple[Array, Array, Array]:
    """Return Q (N, K), R (K, P) and the pivot order (longest remaining column first), with J[:, order] = Q R."""
    order: list[int] = []
    left = J.copy()
    for _ in range(J.shape[1]):
        norms = np.linalg.norm(left, axis=0)
        norms[order] = -1
        chosen = int(norms.argmax())
        order.append(chosen)
        if norms[chosen] > 0:
            unit = left[:, chosen] / norms[chosen]
            left = left - np.outer(unit, unit @ left)
    Q, R = np.linalg.qr(J[:, order])
    return Q, R, np.array(order)
