"""The linear equations of implicit steps, in one lane and in several, in the C runtime, against NumPy."""

import numpy as np
import pytest

RNG = np.random.default_rng(7)


@pytest.fixture(scope="session")
def equations(runtime):
    return runtime("equations")


def solved(equations, lanes, jacobian, shift, right):
    """The solutions (lanes, n) of (shift - J) x = right, for a Jacobian, a shift and a right-hand side in each lane."""
    n = jacobian.shape[-1]
    along = [equations.array(np.moveaxis(each, 0, -1)) for each in (jacobian, shift, right)]
    equations.call(
        "solve_equations", lanes, n, *along, aligned(equations, n * n * lanes), aligned(equations, n * lanes)
    )
    return along[2].T


def aligned(equations, count):
    """An array that begins where vectors may be loaded at once."""
    size = equations.dtype.itemsize
    room = equations.zeros(count + 64 // size)
    begin = -room.ctypes.data % 64 // size
    return room[begin : begin + count]


@pytest.mark.parametrize("kind", ["any", "nothing first", "orders differ"])
def test_solutions(equations, kind):
    """They are those of NumPy, also where nothing stands on the diagonal, and in lanes whose rows have other orders."""
    most = equations.call("most_lanes")
    for lanes in sorted({1, 16 // equations.dtype.itemsize, most}):
        for n in (1, 2, 5, 9):
            jacobian, shift = RNG.normal(size=(lanes, n, n)), RNG.uniform(0.5, 2, lanes)
            if kind == "nothing first":  # what is divided by first is rounding alone
                jacobian[:, range(n), range(n)] = shift[:, None] - (1e-30 if n > 1 else 1)
            elif kind == "orders differ":
                for lane in range(lanes):
                    order = np.roll(np.arange(n), lane)
                    jacobian[lane] = shift[lane] * np.eye(n) - 10 * np.eye(n)[order] + 0.1 * jacobian[lane]
            right = RNG.normal(size=(lanes, n))
            matrix = shift[:, None, None] * np.eye(n) - jacobian
            expected = np.linalg.solve(matrix, right[..., None])[..., 0]
            error = abs(solved(equations, lanes, jacobian, shift, right) - expected).max(axis=1)
            sensitivity = np.linalg.cond(matrix) * abs(expected).max(axis=1)
            assert (error <= 10 * n * equations.eps * sensitivity).all(), (lanes, n)
