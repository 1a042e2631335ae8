"""The benchmark that trains until Burgers' equation is solved: the solution that it compares with, and its rounds."""

import numpy as np
import pytest

from nncodegen.bench.solving import exact, solve_once
from nncodegen.bench.tasks import VISCOSITY


def test_the_exact_solution():
    """The quadrature satisfies the equation, to the errors of differences, and what the equation starts from."""
    X, h = np.array([[0.31, 0.2], [-0.62, 0.7], [0.004, 0.4], [0.9, 0.9]]), 1e-4
    x, t = np.array([h, 0]), np.array([0, h])
    before, u, after = exact(X - x), exact(X), exact(X + x)
    by_t, by_x = (exact(X + t) - exact(X - t)) / (2 * h), (after - before) / (2 * h)
    by_xx = (after - 2 * u + before) / h**2
    np.testing.assert_allclose(by_t + u * by_x, VISCOSITY * by_xx, atol=1e-3 * np.abs(u * by_x).max())
    start = np.array([[0.5, 0], [-0.25, 0]])
    np.testing.assert_allclose(exact(start), -np.sin(np.pi * start[:, 0]), rtol=1e-12)


@pytest.mark.thorough
def test_the_first_rounds_come_close():
    """A third of the rounds leaves less than a tenth of the solution as error; the benchmark measures the rest."""
    answer = solve_once(2, 20)
    assert len(answer["errors"]) == 20
    assert answer["errors"][-1] < 0.1
    assert answer["seconds"] > 0
