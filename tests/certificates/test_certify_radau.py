"""Solutions of differential equations in many digits: coefficients, orders, stiff solutions, and their derivatives."""

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates import trajectories
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.radau import DIGITS, NoSolution, Radau, method_of
from nncodegen.certificates.trajectories import Exact
from tests.support.stiff import STIFF

NEAR = 1e-13
"""The largest error of solutions and derivatives, relative to the largest value at the times of a sample."""


def exact_of(model, parameters, times, derived=True):
    """The exact states (times, states) and their derivatives (times, states, given) of a sample."""
    program, times = model.describe(), np.asarray(times, float)
    targets = np.zeros((1, sum(tensor.size for tensor in program.targets)))
    with mpmath.workdps(DIGITS):
        solution = Exact(program, Point("ordinary", np.array(parameters, float), times[None], targets), 0, derived)
    return solution.solution.states, solution.solution.slopes


def far(computed, expected):
    """The largest error of each column, relative to the largest value at all times."""
    expected = np.array(expected, dtype=object)
    return np.max(abs(computed - expected), axis=0) / np.max(abs(expected), axis=0)


def solver(stages, rates, slopes, allowed, left=10**5):
    """A solver whose steps have an error of at most a number, for rates at one time."""

    def at_each(function):
        return lambda times, states: np.stack([function(t, u) for t, u in zip(times, states, strict=True)])

    return Radau(stages, at_each(rates), at_each(slopes), lambda columns: np.full(columns.shape, allowed), left)


# --- coefficients --------------------------------------------------------------------------------------------------


def test_coefficients_of_few_stages():
    """Methods of two and three stages have the published places and matrices."""
    with mpmath.workdps(DIGITS):
        two = method_of(2)
        rows = np.linalg.inv(two.inverse.astype(float))
        np.testing.assert_allclose(rows, [[5 / 12, -1 / 12], [3 / 4, 1 / 4]], rtol=1e-14)
        root = mpmath.sqrt(6)
        for place, expected in zip(method_of(3).places, [(4 - root) / 10, (4 + root) / 10, 1], strict=True):
            assert abs(place - expected) < mpmath.mpf(10) ** -DIGITS


@pytest.mark.parametrize("stages", [3, 5, 7])
def test_orders(stages):
    """The weights integrate polynomials of the degree 2*s - 2 exactly, and the stages those of the degree s - 1."""
    method = method_of(stages)
    with mpmath.workdps(DIGITS):
        rows = mpmath.matrix(method.inverse.tolist()) ** -1
        for k in range(1, 2 * stages):
            whole = mpmath.fdot((rows[stages - 1, j], method.places[j] ** (k - 1)) for j in range(stages))
            assert abs(whole - mpmath.mpf(1) / k) < 1e-40
        whole = mpmath.fdot((rows[stages - 1, j], method.places[j] ** (2 * stages - 1)) for j in range(stages))
        assert abs(whole - mpmath.mpf(1) / (2 * stages)) > 1e-12


def test_halves():
    """A polynomial of the degree s at the stages of both halves follows from its values at those of the step."""
    method, at = method_of(5), method_of(5).places.astype(float)
    values = at**5 - 2 * at
    for half, weights in enumerate(method.halves):
        x, begin = (half + at) / 2, half / 2
        np.testing.assert_allclose(weights @ values, x**5 - 2 * x - (begin**5 - 2 * begin), atol=1e-13)


def test_order_of_steps():
    """With half the length of a step, its error is 2**-14 of that of one step of the order 13."""
    with mpmath.workdps(DIGITS):
        start = np.array([[mpmath.mpf(1)]], dtype=object)
        errors = []
        for length in (mpmath.mpf(1), mpmath.mpf(0.5)):
            solution = solver(7, lambda t, u: u * mpmath.cos(t), lambda t, u: np.array([[mpmath.cos(t)]]), 1e-40)
            errors.append(
                abs(solution._stages(mpmath.mpf(0), length, start)[1][0, 0] + 1 - mpmath.exp(mpmath.sin(length)))
            )
        assert 13 < mpmath.log(errors[0] / errors[1], 2) < 15


# --- solutions -----------------------------------------------------------------------------------------------------


def test_a_solution_that_is_not_stiff():
    """A pendulum and its derivative by a parameter are those of mpmath's odefun, to thirteen digits."""
    model, times = nn.Dynamics("u'' = -g*sin(u)", {"u": 1, "u'": 0}, {"g": 4}, times=3), [0, 0.5, 1.5]
    states, slopes = exact_of(model, [4], times)
    with mpmath.workdps(25):

        def rates(t, z):
            u, v, a, b = z
            return [v, -4 * mpmath.sin(u), b, -mpmath.sin(u) - 4 * mpmath.cos(u) * a]

        series = mpmath.odefun(rates, 0, [mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(0)])
        expected = [series(t) for t in times]
    assert np.max(far(states, [z[:2] for z in expected])) < NEAR
    assert np.max(far(slopes[:, :, 0], [z[2:] for z in expected])) < NEAR


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_a_stiff_linear_system(method):
    """Two decays, one of them a million times as fast, have their formula and its derivatives, whatever the method."""
    model = nn.Dynamics(
        "u' = -k*u; v' = k*u - fast*v", {"u": "u0", "v": 0}, {"k": 0.5, "fast": 1e6, "u0": 3}, times=5, method=method
    )
    values, times = [0.5, 1e6, 3.0], [0, 1e-6, 1e-3, 1, 10]
    states, slopes = exact_of(model, values, times)

    def u(t, k, fast, u0):
        return u0 * mpmath.exp(-k * t)

    def v(t, k, fast, u0):
        return k * u0 / (fast - k) * (mpmath.exp(-k * t) - mpmath.exp(-fast * t))

    with mpmath.workdps(60):
        exact = [[function(mpmath.mpf(t), *values) for function in (u, v)] for t in times]
        assert np.max(far(states, exact)) < NEAR
        orders = [(0, *row) for row in np.eye(3, dtype=int).tolist()]
        exact = [
            [[mpmath.diff(function, (mpmath.mpf(t), *values), order) for order in orders] for function in (u, v)]
            for t in times
        ]
        expected = np.array(exact, dtype=object)
        assert np.all(abs(slopes - expected) <= NEAR * (np.max(abs(expected), axis=0) + 1e-3))


TIMES = np.array([0, 1e-3, 1, 40, 1e5, 1e11])


@pytest.fixture(scope="module")
def reactions():
    """Robertson's reactions, and the derivatives by all rates, with the tolerance that models usually have."""
    problem = STIFF["robertson to 1e11"]
    return exact_of(problem.model(6, rtol=1e-6, atol=1e-9), problem.values, TIMES)


def test_robertson(reactions):
    """The states at 40 and at 1e11 are those that are published, and their sum stays 1, as equations say."""
    states, slopes = reactions
    np.testing.assert_allclose(states[3].astype(float), [0.7158270687, 9.185534765e-6, 0.2841637457], rtol=3e-10)
    np.testing.assert_allclose(states[-1].astype(float), STIFF["robertson to 1e11"].published, rtol=1e-13)
    assert np.max(abs(np.sum(states, axis=1) - 1)) < NEAR
    assert np.all(abs(np.sum(slopes, axis=1)) <= NEAR * np.max(abs(slopes), axis=(0, 1)))


@pytest.mark.thorough
def test_robertson_with_smaller_steps(reactions):
    """States and derivatives are those of solutions whose steps have a hundredth of the error, to thirteen digits."""
    problem = STIFF["robertson to 1e11"]
    closer = exact_of(problem.model(6, rtol=1e-8, atol=1e-11), problem.values, TIMES)
    for reaction, expected in zip(reactions, closer, strict=True):
        assert np.max(far(reaction[1:], expected[1:])) < NEAR


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(3))
def test_derivatives_by_differences(reactions, number):
    """The derivatives by each rate are central differences of other solutions, to ten digits."""
    problem, ends = STIFF["robertson to 1e11"], []
    for side in (1, -1):
        values = problem.values.copy()
        values[number] *= 1 + side * 2.0**-20
        ends.append((values[number], *exact_of(problem.model(6, rtol=1e-10, atol=1e-13), values, TIMES, derived=False)))
    differences = (ends[0][1] - ends[1][1]) / (ends[0][0] - ends[1][0])
    assert np.max(far(reactions[1][1:, :, number], differences[1:])) < 1e-10


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["van der Pol", "HIRES"])
def test_published_solutions(name, monkeypatch):
    """Stiff problems have the states at the end that are published, where solutions may take long."""
    monkeypatch.setattr(trajectories, "MOST_EVALUATIONS", 10**5)
    problem = STIFF[name]
    states, _ = exact_of(problem.model(2), problem.values, [0, problem.end], derived=False)
    assert np.max(abs(states[-1].astype(float) / np.array(problem.published) - 1)) < 1e-12


# --- what has no solution ------------------------------------------------------------------------------------------


def test_too_many_steps():
    """A solution that takes more evaluations of rates than are allowed is none."""
    with mpmath.workdps(DIGITS), pytest.raises(NoSolution, match="too many steps"):
        solver(5, lambda t, u: -u, lambda t, u: np.array([[mpmath.mpf(-1)]]), 1e-40, 50).solve(
            mpmath.mpf(0), mpmath.mpf(1), np.array([[mpmath.mpf(1)]], dtype=object)
        )


def test_a_pole():
    """A solution that grows beyond all numbers in a finite time ends in steps that are too short, or too many."""
    with mpmath.workdps(DIGITS), pytest.raises(NoSolution):
        solver(5, lambda t, u: u * u, lambda t, u: np.array([[2 * u[0]]]), 1e-10, 20_000).solve(
            mpmath.mpf(0), mpmath.mpf(2), np.array([[mpmath.mpf(1)]], dtype=object)
        )


def test_rates_that_are_no_number():
    """Where rates have no value, a step is too long, however short it is."""
    nothing = np.array([mpmath.nan], dtype=object)
    with mpmath.workdps(DIGITS), pytest.raises(NoSolution, match="too short"):
        solver(5, lambda t, u: nothing, lambda t, u: np.array([[mpmath.nan]]), 1e-10).solve(
            mpmath.mpf(0), mpmath.mpf(1), np.array([[mpmath.mpf(1)]], dtype=object)
        )
