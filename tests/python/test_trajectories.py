"""The example of a million trajectories, with a thousand: where they end, and what it prints."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.support import ROOT

EXAMPLE = ROOT / "docs" / "gallery" / "16_a_million_trajectories.py"


@pytest.fixture(scope="module")
def names():
    """The names that the program defines."""
    pytest.importorskip("matplotlib").use("agg")
    text = EXAMPLE.read_text()
    assert "COUNT = 1_000_000\n" in text
    namespace = {"__name__": "example"}
    exec(compile(text.replace("COUNT = 1_000_000", "COUNT = 1000"), str(EXAMPLE), "exec"), namespace)
    return namespace


def test_trajectories_end_where_they_should(names):
    """With a weak heating x is that of SciPy; with a strong one it is within the attractor, on both sides."""
    x, X = names["x"], names["X"]
    for n in (0, 100, 333, 450):
        _, r, *start = X[n]
        exact = solve_ivp(
            lambda t, u, r=r: [10 * (u[1] - u[0]), r * u[0] - u[1] - u[0] * u[2], u[0] * u[1] - 8 / 3 * u[2]],
            (0, 20),
            [start[0], 0, start[1]],
            "DOP853",
            rtol=1e-10,
            atol=1e-12,
        ).y[0, -1]
        assert abs(x[n] - exact) < 1e-3
    assert np.isfinite(x).all()
    wild = x[names["r"] > 25]
    assert 5 < wild.max() < 25
    assert -25 < wild.min() < -5


def test_what_it_says_of_rolls(names):
    """Close to rest or to a steady roll are all trajectories with a weak heating, and few with a strong one."""
    r, near = names["r"], names["near"]
    assert near[r < 0.5].all()
    assert near[(r > 5) & (r < 10)].all()
    assert near[r > 28].mean() < 0.2
